//! Sleeping, ticking, deadlines, and the clock that they go by.
//!
//! | to | use |
//! |---|---|
//! | wait | [`sleep()`], [`sleep_until`]; how late it may be: [`Sleep::tolerance`] |
//! | again and again | [`interval()`], [`interval_at`], with a [`MissedTickBehavior`] |
//! | give up after a while | [`timeout()`], [`timeout_at`] |
//! | move a virtual clock by hand | [`pause`], [`advance`], [`resume`] |
//!
//! A deadline is a tick of 1.024 µs, rounded up: nothing is early, and on an idle loop a sleep ends
//! some tens of microseconds late, most of which the system needs to wake the thread. Setting,
//! moving and dropping a timer costs some tens of nanoseconds, however many there are.
//!
//! # Which clock
//!
//! Deadlines are on the system's monotonic clock, `CLOCK_MONOTONIC` on Linux, which is also std's.
//!
//! * **Suspend**: the clock stands still while the machine is suspended. A sleep of an hour that is
//!   suspended for two ends after an hour of being awake: timeouts do not all fire at once when a
//!   laptop is opened.
//! * **Wall clock**: setting the date, leap seconds and time zones touch nothing here.
//!
//! What has to happen at a time of day, or so long after something whatever the machine did
//! meanwhile, asks the wall clock again and again:
//!
//! ```
//! use std::time::SystemTime;
//! use wheelhouse::time::{Duration, sleep};
//!
//! /// Waits for a time of day; late by a minute at most when the date is set or the machine was
//! /// suspended.
//! async fn until(time: SystemTime) {
//!     while let Ok(left) = time.duration_since(SystemTime::now()) {
//!         sleep(left.min(Duration::from_secs(60))).await;
//!     }
//! }
//! # wheelhouse::run(async {
//! let soon = SystemTime::now() + Duration::from_millis(2);
//! until(soon).await;
//! assert!(SystemTime::now() >= soon);
//! # });
//! ```

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
