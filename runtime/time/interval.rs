//! `interval`: a tick every so often, on one deadline after the other.
//!
//! An interval is one [`Sleep`] that starts over at each tick, so a pending one is a single entry in
//! the wheel. The deadlines are sums of the period and not of what the ticks took: an interval does
//! not drift. What happens when its user falls behind is a matter of three policies.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::current;
use crate::time::{Instant, Sleep};

/// A tick counts as missed when it is late by more than this, or by more than the period.
const GRACE: Duration = Duration::from_millis(5);

/// Ticks every `period`, at once for the first time. Nothing is too far: with `Duration::MAX` there
/// is one tick.
///
/// # Panics
///
/// If `period` is zero, or no loop is running on this thread.
///
/// # Examples
///
/// ```
/// use wheelhouse::time::{Duration, Instant, interval};
/// # wheelhouse::run(async {
/// let start = Instant::now();
/// let mut ticks = interval(Duration::from_micros(200));
/// for _ in 0..3 {
///     ticks.tick().await;
/// }
/// assert!(start.elapsed() >= Duration::from_micros(400), "the first came at once");
/// # });
/// ```
#[track_caller]
pub fn interval(period: Duration) -> Interval {
    let state = current::expect("interval");
    Interval::new("interval", Instant::from_std(state.clock.now()), period)
}

/// Ticks every `period`, at `start` for the first time. Otherwise as [`interval`].
///
/// # Panics
///
/// If `period` is zero, or no loop is running on this thread.
#[track_caller]
pub fn interval_at(start: Instant, period: Duration) -> Interval {
    Interval::new("interval_at", start, period)
}

/// What an [`Interval`] does about ticks that nobody awaited in time.
///
/// A tick is missed when it is awaited more than 5 ms after it was due, or more than the period if
/// that is shorter. What is less late changes nothing: the next tick is due when it would have been.
///
/// ```text
/// due      1        2        3        4        5        6
/// Burst    1        work-----------------2345--6
/// Delay    1        work-----------------2--------3--------4
/// Skip     1        work-----------------2-----3
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissedTickBehavior {
    /// Ticks at once until it has caught up: no tick is lost, and the period is kept on average.
    #[default]
    Burst,
    /// Ticks at once, and a period after that: two ticks are never closer than the period.
    Delay,
    /// Ticks at once, then at the next multiple of the period from the start: what was missed stays
    /// missed.
    Skip,
}

impl MissedTickBehavior {
    /// When the tick after a missed one is due.
    fn next(self, due: Instant, now: Instant, period: Duration) -> Instant {
        match self {
            MissedTickBehavior::Burst => due + period,
            MissedTickBehavior::Delay => now + period,
            MissedTickBehavior::Skip => {
                let over = (now - due).as_nanos() % period.as_nanos();
                // What is left of a period that began before now is not beyond 64 bits, unless it
                // ends in the far future anyway.
                let left = period.as_nanos() - over;
                now + u64::try_from(left).map_or(Duration::MAX, Duration::from_nanos)
            }
        }
    }
}

/// Ticks again and again; from [`interval`] and [`interval_at`]. It is plain data, hence `Send` and
/// `Sync`, but it is awaited on its own loop.
#[derive(Debug)]
pub struct Interval {
    /// Until the next tick.
    sleep: Sleep,
    period: Duration,
    missed: MissedTickBehavior,
}

impl Interval {
    #[track_caller]
    fn new(what: &str, start: Instant, period: Duration) -> Interval {
        assert!(
            !period.is_zero(),
            "`{what}` was called with a period of zero: it would tick for ever without time going \
             on. Give it a period; to let others run now and then use `yield_now`."
        );
        let state = current::expect(what);
        let sleep = Sleep::new(&state, start, false);
        Interval { sleep, period, missed: MissedTickBehavior::default() }
    }

    /// Waits for the next tick, and gives the moment at which it was due. A tick that is due already
    /// is there at once, within what one poll of a task may do.
    ///
    /// Cancel safe: a tick that nobody got is not lost.
    ///
    /// # Panics
    ///
    /// When awaited on another loop.
    pub async fn tick(&mut self) -> Instant {
        poll_fn(|cx| self.poll_tick(cx)).await
    }

    /// As [`tick`](Self::tick).
    ///
    /// # Panics
    ///
    /// When polled on another loop.
    #[track_caller]
    pub fn poll_tick(&mut self, cx: &mut Context<'_>) -> Poll<Instant> {
        let state = self.sleep.own_loop("Interval");
        let due = self.sleep.deadline();
        let now = Instant::from_std(state.clock.now());
        if now < due && Pin::new(&mut self.sleep).poll(cx).is_pending() {
            return Poll::Pending;
        }
        if !state.polled.spend(cx) {
            return Poll::Pending;
        }
        let in_time = self.sleep.allowed_late() + GRACE.min(self.period);
        let next = if now - due > in_time {
            self.missed.next(due, now, self.period)
        } else {
            due + self.period
        };
        self.sleep.start_over(next);
        Poll::Ready(due)
    }

    /// The next tick is a period from now.
    ///
    /// # Panics
    ///
    /// Like the other resets, on a thread that does not run its loop.
    #[track_caller]
    pub fn reset(&mut self) {
        self.reset_after(self.period);
    }

    /// The next tick is now.
    #[track_caller]
    pub fn reset_immediately(&mut self) {
        self.reset_after(Duration::ZERO);
    }

    /// The next tick is in `after`, and the others a period each after it.
    #[track_caller]
    pub fn reset_after(&mut self, after: Duration) {
        let state = self.sleep.own_loop("Interval");
        self.reset_at(Instant::from_std(state.clock.now()) + after);
    }

    /// The next tick is at `deadline`, and the others a period each after it.
    #[track_caller]
    pub fn reset_at(&mut self, deadline: Instant) {
        let _own = self.sleep.own_loop("Interval");
        Pin::new(&mut self.sleep).reset(deadline);
    }

    /// What happens to missed ticks.
    pub fn missed_tick_behavior(&self) -> MissedTickBehavior {
        self.missed
    }

    /// Says what is to happen to missed ticks. Default: [`MissedTickBehavior::Burst`].
    pub fn set_missed_tick_behavior(&mut self, behavior: MissedTickBehavior) {
        self.missed = behavior;
    }

    /// The time from one tick to the next.
    pub fn period(&self) -> Duration {
        self.period
    }

    /// Lets every tick be late by up to `tolerance`, as [`Sleep::tolerance`] does: intervals that
    /// need not be exact then tick together. The period is kept: lateness does not add up.
    pub fn tolerance(mut self, tolerance: Duration) -> Interval {
        self.sleep = self.sleep.tolerance(tolerance);
        self
    }
}
