//! Time: the clock, the wheel, the alarm, and what users make of them.
//!
//! A deadline is a tick of 1.024 us, rounded up. The wheel files it in O(1); before the loop waits,
//! it sets the alarm to the earliest one; when the alarm ends the wait, the wheel hands out who
//! waited, in order. Deadlines are on the monotonic clock, which stands still while the machine is
//! suspended.

pub(crate) mod alarm;
pub(crate) mod clock;
pub(crate) mod instant;
pub(crate) mod interval;
pub(crate) mod sleep;
pub(crate) mod timeout;
pub(crate) mod virtual_time;
pub(crate) mod wheel;

pub use std::time::Duration;

pub use self::instant::Instant;
pub use self::interval::{Interval, MissedTickBehavior, interval, interval_at};
pub use self::sleep::{Sleep, sleep, sleep_until};
pub use self::timeout::{Elapsed, Timeout, timeout, timeout_at};
pub use self::virtual_time::{advance, pause, resume};
