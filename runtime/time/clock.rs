//! The loop's clock: real or virtual, and the tick in which the wheel counts.
//!
//! A tick is 1,024 ns since the loop was made. A deadline is rounded up to a tick and the present
//! down, so a timer is late by up to a tick and never early. The clock is monotonic and stands
//! still while the machine is suspended (`CLOCK_MONOTONIC`).

use std::cell::Cell;
use std::time::{Duration, Instant};

use crate::time::wheel::Tick;

/// log2 of the nanoseconds in a tick.
const TICK_SHIFT: u32 = 10;

/// Deadlines from here on are never due: 584 years, where nanoseconds in 64 bits end.
pub(crate) const NEVER: Tick = (u64::MAX >> TICK_SHIFT) + 1;

/// Which clock a loop runs on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Clock {
    /// The operating system's monotonic clock.
    #[default]
    Real,
    /// A clock that stands still and jumps to the next deadline when nothing else can happen:
    /// nothing is runnable, no message came from another thread and no blocking job runs.
    Virtual {
        /// While a task waits for a descriptor, the outside world may still act, so the clock does
        /// not jump (`None`), or only after nothing happened for this long in real time. A host
        /// loop gives `turn` at least that long to wait.
        settle: Option<Duration>,
    },
}

pub(crate) struct LoopClock {
    /// Tick 0.
    origin: Instant,
    hand: Option<Hand>,
}

/// The hand of a virtual clock.
struct Hand {
    elapsed_ns: Cell<u64>,
    settle: Option<Duration>,
    paused: Cell<bool>,
}

impl Hand {
    /// A virtual clock shows whole ticks, the next one where it was moved to a part of one. Between
    /// two ticks it would stand still where "late by a tick at most" means never.
    #[inline]
    fn tick(&self) -> Tick {
        self.elapsed_ns.get().div_ceil(1 << TICK_SHIFT).min(NEVER - 1)
    }
}

impl LoopClock {
    pub(crate) fn new(kind: Clock) -> LoopClock {
        let hand = match kind {
            Clock::Real => None,
            Clock::Virtual { settle } => {
                Some(Hand { elapsed_ns: Cell::new(0), settle, paused: Cell::new(false) })
            }
        };
        LoopClock { origin: Instant::now(), hand }
    }

    #[inline]
    pub(crate) fn now(&self) -> Instant {
        match &self.hand {
            None => Instant::now(),
            Some(hand) => self.instant_at(hand.tick()),
        }
    }

    /// The tick that has begun.
    #[inline]
    pub(crate) fn now_tick(&self) -> Tick {
        match &self.hand {
            None => self.ns_since_origin(Instant::now()) >> TICK_SHIFT,
            Some(hand) => hand.tick(),
        }
    }

    /// The first tick that is not before `at`; [`NEVER`] for what is too far.
    #[inline]
    pub(crate) fn tick_at(&self, at: Instant) -> Tick {
        let ns = self.ns_since_origin(at);
        (ns >> TICK_SHIFT) + u64::from(ns & ((1 << TICK_SHIFT) - 1) != 0)
    }

    /// When a tick begins; what is beyond the reach of an `Instant` is as far off as one can say.
    pub(crate) fn instant_at(&self, tick: Tick) -> Instant {
        self.origin + ticks_to_duration(tick)
    }

    pub(crate) fn origin(&self) -> Instant {
        self.origin
    }

    pub(crate) fn is_virtual(&self) -> bool {
        self.hand.is_some()
    }

    /// Whether a virtual clock may jump by itself, and how long the outside world must be quiet.
    pub(crate) fn jumps(&self) -> Option<Option<Duration>> {
        self.hand.as_ref().filter(|hand| !hand.paused.get()).map(|hand| hand.settle)
    }

    /// Moves a virtual clock forward to `tick`.
    pub(crate) fn jump_to(&self, tick: Tick) {
        if let Some(hand) = &self.hand {
            let ns = tick.saturating_mul(1 << TICK_SHIFT);
            hand.elapsed_ns.set(hand.elapsed_ns.get().max(ns));
        }
    }

    /// Moves a virtual clock forward by `duration`.
    pub(crate) fn advance(&self, duration: Duration) {
        if let Some(hand) = &self.hand {
            let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
            hand.elapsed_ns.set(hand.elapsed_ns.get().saturating_add(ns));
        }
    }

    pub(crate) fn set_paused(&self, paused: bool) {
        if let Some(hand) = &self.hand {
            hand.paused.set(paused);
        }
    }

    /// Puts a virtual clock to a moment, be it past: what no monotonic clock does, and some did.
    #[cfg(test)]
    pub(crate) fn set_to(&self, elapsed: Duration) {
        let hand = self.hand.as_ref().expect("a virtual clock");
        hand.elapsed_ns.set(u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX));
    }

    #[inline]
    fn ns_since_origin(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.origin);
        since
            .as_secs()
            .saturating_mul(1_000_000_000)
            .saturating_add(u64::from(since.subsec_nanos()))
    }
}

pub(crate) fn ticks_to_duration(ticks: Tick) -> Duration {
    Duration::from_nanos(ticks.saturating_mul(1 << TICK_SHIFT))
}

/// The number of ticks in a duration, rounded down, saturating.
pub(crate) fn duration_to_ticks(duration: Duration) -> Tick {
    u64::try_from(duration.as_nanos() >> TICK_SHIFT).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "clock_tests.rs"]
mod clock_tests;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_round_up_and_the_present_down() {
        let clock = LoopClock::new(Clock::Virtual { settle: None });
        let at = |ns| clock.origin + Duration::from_nanos(ns);
        assert_eq!(clock.tick_at(at(0)), 0);
        assert_eq!(clock.tick_at(at(1)), 1);
        assert_eq!(clock.tick_at(at(1024)), 1);
        assert_eq!(clock.tick_at(at(1025)), 2);
        clock.advance(Duration::from_nanos(2047));
        assert_eq!(clock.now_tick(), 2, "a virtual clock shows whole ticks");
        assert_eq!(clock.now(), at(2048));
    }

    #[test]
    fn what_is_past_or_far_saturates() {
        let clock = LoopClock::new(Clock::Virtual { settle: None });
        let past = clock.origin.checked_sub(Duration::from_secs(1)).unwrap_or(clock.origin);
        assert_eq!(clock.tick_at(past), 0);
        let far = clock.origin + Duration::from_secs(1 << 40);
        assert_eq!(clock.tick_at(far), NEVER);
        clock.advance(Duration::MAX);
        clock.advance(Duration::MAX);
        assert_eq!(clock.now_tick(), NEVER - 1);
        let _ = clock.instant_at(Tick::MAX);
    }
}
