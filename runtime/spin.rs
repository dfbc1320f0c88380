//! When a loop that has nothing to do asks the selector again and again instead of sleeping in it,
//! and how long it has done so.
//!
//! A thread that sleeps is late when it is woken: by the timer's interrupt, by the way out of the
//! processor's idle state, and by the scheduler, some tens of microseconds together; and who wakes
//! it pays for that as well. It only counts; the loop asks.

use std::cell::Cell;
use std::time::Duration;

use crate::time::clock::{duration_to_ticks, ticks_to_duration};
use crate::time::wheel::Tick;

/// Two looks at the clock that are further apart than this were not made by one spin: the thread
/// was kept from its processor in between.
const LONGEST_TURN: Tick = 64;

/// How long it only sleeps then, 10 ms: others want the processor, and a thread that has used up
/// its share by spinning gets it back late when there is work.
const RESPITE: Tick = 9766;

/// Each time it is interrupted before it has spun for this long, 5 ms in all, the machine is busy,
/// and the respite is twice as long as the last, up to 0.64 s.
const ENOUGH: Tick = 4883;
const LONGEST_RESPITE: Tick = RESPITE << 6;

#[derive(Default)]
pub(crate) struct Spin {
    /// Before a deadline, and after the last poll. Zero: it never spins.
    time: Tick,
    /// The loop's polls when it last had nothing to do, and since when it has had nothing to do.
    polls: Cell<u64>,
    idle_since: Cell<Tick>,
    /// The last look at the clock, if the loop has done nothing but spin since.
    last_look: Cell<Option<Tick>>,
    spun: Cell<Tick>,
    /// No spinning before this.
    respite: Cell<Tick>,
    /// How long the last respite was, and what had been spun when it began.
    rested: Cell<Tick>,
    spun_before: Cell<Tick>,
}

impl Spin {
    pub(crate) fn new(time: Duration) -> Spin {
        Spin { time: duration_to_ticks(time), ..Spin::default() }
    }

    #[inline]
    pub(crate) fn is_on(&self) -> bool {
        self.time > 0
    }

    /// How long it has spun since it was made.
    pub(crate) fn spun(&self) -> Duration {
        ticks_to_duration(self.spun.get())
    }

    /// What a loop that has nothing to do until `deadline` is to do: spin (`None`), or sleep, and
    /// until when. `polls` is the number of polls it has made so far.
    pub(crate) fn sleeps_until(&self, deadline: Tick, now: Tick, polls: u64) -> Option<Tick> {
        if polls != self.polls.replace(polls) {
            self.idle_since.set(now);
            self.last_look.set(None);
        }
        if let Some(last_look) = self.last_look.take() {
            let turn = now.saturating_sub(last_look);
            if turn <= LONGEST_TURN {
                self.spun.set(self.spun.get() + turn);
            } else {
                self.interrupted(now);
            }
        }
        if now < self.respite.get() {
            return Some(deadline);
        }
        let has_just_worked = now.saturating_sub(self.idle_since.get()) < self.time;
        let is_near = deadline != Tick::MAX && deadline.saturating_sub(now) <= self.time;
        if has_just_worked || is_near {
            self.last_look.set(Some(now));
            return None;
        }
        Some(if deadline == Tick::MAX { Tick::MAX } else { deadline - self.time })
    }

    #[cold]
    fn interrupted(&self, now: Tick) {
        let spun = self.spun.get();
        let is_busy = spun - self.spun_before.replace(spun) < ENOUGH;
        let longer = if is_busy { self.rested.get() * 2 } else { 0 };
        let rests = longer.clamp(RESPITE, LONGEST_RESPITE);
        self.rested.set(rests);
        self.respite.set(now + rests);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_nanos(1024);

    #[test]
    fn it_spins_for_a_while_after_the_last_poll() {
        let spin = Spin::new(20 * TICK);
        assert_eq!(spin.sleeps_until(Tick::MAX, 100, 7), None);
        assert_eq!(spin.sleeps_until(Tick::MAX, 119, 7), None);
        assert_eq!(spin.sleeps_until(Tick::MAX, 120, 7), Some(Tick::MAX), "nothing is due");
        assert_eq!(spin.sleeps_until(Tick::MAX, 500, 7), Some(Tick::MAX), "nothing was polled");
        assert_eq!(spin.sleeps_until(Tick::MAX, 501, 8), None);
        assert!(spin.is_on() && !Spin::default().is_on());
    }

    #[test]
    fn it_sleeps_until_shortly_before_a_deadline() {
        let spin = Spin::new(50 * TICK);
        assert_eq!(spin.sleeps_until(1000, 100, 1), None, "something was polled");
        assert_eq!(spin.sleeps_until(1000, 150, 1), Some(950));
        assert_eq!(spin.sleeps_until(1000, 949, 1), Some(950));
        assert_eq!(spin.sleeps_until(1000, 950, 1), None);
        assert_eq!(spin.sleeps_until(1000, 999, 1), None);
    }

    #[test]
    fn what_was_spun_is_neither_work_nor_sleep_nor_time_without_a_processor() {
        let spin = Spin::new(100 * TICK);
        let spun = |now, polls| {
            spin.sleeps_until(Tick::MAX, now, polls);
            spin.spun().as_nanos() / TICK.as_nanos()
        };
        assert_eq!(spun(1000, 1), 0);
        assert_eq!(spun(1003, 1), 3);
        assert_eq!(spun(1010, 1), 10);
        assert_eq!(spun(1020, 2), 10, "in these ten something was polled");
        assert_eq!(spun(1030, 2), 20);
        assert_eq!(spun(1120, 2), 20, "another thread had the processor");
        assert_eq!(spun(2000, 3), 20);
    }

    #[test]
    fn it_sleeps_while_others_want_the_processor() {
        let spin = Spin::new(100 * TICK);
        assert_eq!(spin.sleeps_until(5000, 1000, 1), None);
        let interrupted = 1001 + LONGEST_TURN;
        assert_eq!(spin.sleeps_until(5000, interrupted, 1), Some(5000));
        assert_eq!(spin.sleeps_until(5000, 4999, 2), Some(5000));
        let over = interrupted + RESPITE;
        assert_eq!(spin.sleeps_until(Tick::MAX, over - 1, 3), Some(Tick::MAX));
        assert_eq!(spin.sleeps_until(Tick::MAX, over, 4), None);

        // Even if by then it was time.
        let due = over + 5000;
        assert_eq!(spin.sleeps_until(due, due - 10, 5), None);
        spin.sleeps_until(due, due + LONGEST_TURN, 5);
        assert!(spin.respite.get() > due + RESPITE);
    }

    #[test]
    fn the_busier_the_machine_the_longer_it_gives_way() {
        let spin = Spin::new(6000 * TICK);
        let (mut now, mut polls) = (1000, 1);
        // Spins for so long, then is interrupted: how long it gives way.
        let mut gives_way = |spun: Tick| {
            polls += 1;
            for moment in now..=now + spun {
                assert_eq!(spin.sleeps_until(Tick::MAX, moment, polls), None);
            }
            let interrupted = now + spun + LONGEST_TURN + 1;
            assert_eq!(spin.sleeps_until(Tick::MAX, interrupted, polls), Some(Tick::MAX));
            now = spin.respite.get();
            now - interrupted
        };
        assert_eq!(gives_way(0), RESPITE);
        assert_eq!(gives_way(100), RESPITE * 2);
        assert_eq!(gives_way(ENOUGH - 1), RESPITE * 4);
        assert_eq!((0..9).map(|_| gives_way(1)).max(), Some(LONGEST_RESPITE));
        assert_eq!(gives_way(ENOUGH), RESPITE, "it has had its time");
    }
}
