//! [`Instant`]: a moment on the loop's clock.

use std::fmt;
use std::ops::{Add, AddAssign, Sub, SubAssign};
use std::time::Duration;

use crate::current;

/// What "for ever" is cut to where a sum leaves the range: 1,000 years, further than any loop's
/// clock goes.
const FAR: Duration = Duration::from_secs(1000 * 365 * 24 * 60 * 60);

/// A moment on the clock of this thread's loop; virtual time moves it. Outside a loop it is the
/// system's monotonic clock.
///
/// Sums never panic: what is too far becomes a moment some 1,000 years ahead, differences stop at
/// zero.
///
/// # Examples
///
/// ```
/// use wheelhouse::time::{Duration, Instant};
/// let far = Instant::now() + Duration::MAX;
/// assert!(far > Instant::now());
/// assert_eq!(Instant::now() - far, Duration::ZERO);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(std::time::Instant);

impl Instant {
    /// Now, on the loop's clock.
    pub fn now() -> Instant {
        match current::get() {
            Some(state) => Instant(state.clock.now()),
            None => Instant(std::time::Instant::now()),
        }
    }

    /// The same moment from std's clock, which the loop's real clock is.
    pub fn from_std(instant: std::time::Instant) -> Instant {
        Instant(instant)
    }

    /// The same moment for std.
    pub fn into_std(self) -> std::time::Instant {
        self.0
    }

    /// The time from `earlier` to this; zero if `earlier` is later.
    pub fn duration_since(&self, earlier: Instant) -> Duration {
        self.0.saturating_duration_since(earlier.0)
    }

    /// The time from `earlier` to this, or `None` if `earlier` is later.
    pub fn checked_duration_since(&self, earlier: Instant) -> Option<Duration> {
        self.0.checked_duration_since(earlier.0)
    }

    /// As [`duration_since`](Self::duration_since).
    pub fn saturating_duration_since(&self, earlier: Instant) -> Duration {
        self.duration_since(earlier)
    }

    /// The time from this to now; zero if this is in the future.
    pub fn elapsed(&self) -> Duration {
        Instant::now().duration_since(*self)
    }

    /// The sum, or `None` if it is out of range.
    pub fn checked_add(&self, duration: Duration) -> Option<Instant> {
        self.0.checked_add(duration).map(Instant)
    }

    /// The difference, or `None` if it is out of range.
    pub fn checked_sub(&self, duration: Duration) -> Option<Instant> {
        self.0.checked_sub(duration).map(Instant)
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;

    fn add(self, duration: Duration) -> Instant {
        let far = || self.checked_add(FAR).unwrap_or(self);
        self.checked_add(duration).unwrap_or_else(far)
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl Sub<Duration> for Instant {
    type Output = Instant;

    /// Stops at the earliest moment there is.
    fn sub(self, duration: Duration) -> Instant {
        self.checked_sub(duration).unwrap_or(self)
    }
}

impl SubAssign<Duration> for Instant {
    fn sub_assign(&mut self, duration: Duration) {
        *self = *self - duration;
    }
}

impl Sub<Instant> for Instant {
    type Output = Duration;

    fn sub(self, earlier: Instant) -> Duration {
        self.duration_since(earlier)
    }
}

impl From<std::time::Instant> for Instant {
    fn from(instant: std::time::Instant) -> Instant {
        Instant(instant)
    }
}

impl From<Instant> for std::time::Instant {
    fn from(instant: Instant) -> std::time::Instant {
        instant.0
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
