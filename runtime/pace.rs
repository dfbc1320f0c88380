//! The pace of a busy loop: how often the clock and the selector are asked while tasks are
//! runnable.
//!
//! Both cost more than a poll (a clock read some 25 ns, a selector that need not wait 160 ns, a
//! wake and a poll together about 20), so they are asked only every so many polls, and the clock
//! also after a poll that made a system call, if a timer is pending that may be due soon: one that is
//! far off costs a busy server nothing. It only counts; the loop asks.

use std::cell::Cell;

use crate::time::wheel::Tick;

/// The clock is read at least once in so many polls.
const POLLS_PER_READ: u64 = 16;

/// A timer is near when it is due within a millisecond of the last reading, or before the next one
/// if polls go on taking as long as they did.
const TICKS_NEAR: Tick = 977;

/// While tasks are runnable the selector is asked when the clock shows that the last time was 50 us
/// ago.
const TICKS_PER_SELECT: Tick = 49;

/// While tasks are runnable the selector is asked after so many polls: a call costs as much as some
/// eight polls, so this keeps it below an eighth, and an event waits a few microseconds at most.
const POLLS_PER_SELECT: u64 = 61;

/// Polls of the rest between two pauses for timers, so that a task that re-arms a tiny sleep
/// starves nobody.
const POLLS_PER_PAUSE: u64 = 8;

#[derive(Default)]
pub(crate) struct Pace {
    /// All polls so far, and how many they were when something was done last.
    polls: Cell<u64>,
    polls_at_select: Cell<u64>,
    polls_at_read: Cell<u64>,
    polls_at_measure: Cell<u64>,
    polls_at_pause: Cell<u64>,
    /// The selector waited, or the clock was moved: time has passed unseen.
    time_passed: Cell<bool>,
    /// A leaf future made a system call: a little time has passed unseen.
    was_called: Cell<bool>,
    /// A timer may be due soon.
    is_near: Cell<bool>,
    /// How long the polls between two readings take, by the last ones that were seen.
    ticks_per_read: Cell<Tick>,
    /// A timer was set since the wheel was last seen empty: cheaper to look at than the wheel.
    may_pend: Cell<bool>,
    last_read: Cell<Tick>,
    /// The first reading after the selector was asked, `Tick::MAX` until then: how long it waited
    /// does not count.
    last_select: Cell<Tick>,
}

impl Pace {
    #[inline]
    pub(crate) fn polled(&self) {
        self.polls.set(self.polls.get() + 1);
    }

    pub(crate) fn polls(&self) -> u64 {
        self.polls.get()
    }

    /// The selector was asked. If it could not wait it was a system call like others: a server with
    /// much to do, whose timers are all far off, need not look at the clock after each time.
    pub(crate) fn selected(&self, may_have_waited: bool) {
        self.polls_at_select.set(self.polls.get());
        self.last_select.set(Tick::MAX);
        if may_have_waited {
            self.note_time_passed();
        } else {
            self.note_call();
        }
    }

    pub(crate) fn read(&self, now: Tick) {
        let polls = self.since(&self.polls_at_read);
        // What the selector waited is not the time of polls.
        if polls > 0 && !self.time_passed.get() {
            let took = now.saturating_sub(self.last_read.get());
            let measured = took.saturating_mul(POLLS_PER_READ) / polls;
            // A short poll among long ones proves little, and to look once too often costs little.
            let before = self.ticks_per_read.get();
            self.ticks_per_read.set(measured.max(before - before / 4));
            self.polls_at_measure.set(self.polls.get());
        }
        self.polls_at_read.set(self.polls.get());
        self.last_read.set(now);
        if self.last_select.get() == Tick::MAX {
            self.last_select.set(now);
        }
        self.time_passed.set(false);
        self.was_called.set(false);
    }

    /// The first timer, as of the last reading.
    #[inline]
    pub(crate) fn earliest_is(&self, earliest: Tick) {
        let near = self.ticks_per_read.get().max(TICKS_NEAR);
        self.is_near.set(earliest.saturating_sub(self.last_read.get()) <= near);
    }

    /// No timer is pending: nobody is late, however much time has passed.
    pub(crate) fn nothing_pends(&self) {
        self.may_pend.set(false);
    }

    #[inline]
    pub(crate) fn timer_was_set(&self) {
        self.may_pend.set(true);
        self.is_near.set(true);
    }

    /// Whether a timer may be pending.
    #[inline]
    pub(crate) fn may_pend(&self) -> bool {
        self.may_pend.get()
    }

    /// What the clock showed when it was last read.
    pub(crate) fn last_read(&self) -> Tick {
        self.last_read.get()
    }

    pub(crate) fn paused(&self) {
        self.polls_at_pause.set(self.polls.get());
    }

    /// The selector waited, the clock was moved, a host was at work, or a batch was interrupted.
    pub(crate) fn note_time_passed(&self) {
        self.time_passed.set(true);
    }

    /// A leaf future made a system call.
    #[inline]
    pub(crate) fn note_call(&self) {
        self.was_called.set(true);
    }

    /// The selector is asked in the next turn, whatever is runnable.
    pub(crate) fn make_select_due(&self) {
        self.polls_at_select.set(self.polls.get().wrapping_sub(POLLS_PER_SELECT));
    }

    /// Whether the selector is due although tasks are runnable.
    #[inline]
    pub(crate) fn select_is_due(&self) -> bool {
        self.since(&self.polls_at_select) >= POLLS_PER_SELECT || self.select_is_overdue()
    }

    /// Whether the clock shows that the selector was not asked for long.
    #[inline]
    pub(crate) fn select_is_overdue(&self) -> bool {
        self.last_read.get().saturating_sub(self.last_select.get()) >= TICKS_PER_SELECT
    }

    /// Whether the clock may have to be read: many polls were made, or time has passed unseen and a
    /// timer may be late.
    #[inline]
    pub(crate) fn is_read_due(&self) -> bool {
        let may_be_late = self.time_passed.get() || (self.was_called.get() && self.is_near.get());
        (self.may_pend.get() && may_be_late) || self.is_read_overdue()
    }

    /// Whether the clock has to be read even if no timer is pending, to know when to ask the
    /// selector.
    #[inline]
    pub(crate) fn is_read_overdue(&self) -> bool {
        self.since(&self.polls_at_read) >= POLLS_PER_READ
    }

    /// Whether the clock is to be read before the selector is asked, to learn how long polls take:
    /// where each batch is short, none of the other readings has only polls behind it.
    #[inline]
    pub(crate) fn is_measure_due(&self) -> bool {
        self.may_pend.get()
            && !self.time_passed.get()
            && self.since(&self.polls_at_measure) >= POLLS_PER_READ
    }

    /// Whether a batch may be interrupted for timers again.
    pub(crate) fn may_pause(&self) -> bool {
        self.since(&self.polls_at_pause) >= POLLS_PER_PAUSE
    }

    #[inline]
    fn since(&self, mark: &Cell<u64>) -> u64 {
        self.polls.get().wrapping_sub(mark.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many polls, each with a system call, are made before the clock is read.
    fn polls_until_read(pace: &Pace) -> u64 {
        let before = pace.polls();
        loop {
            pace.polled();
            pace.note_call();
            if pace.is_read_due() {
                return pace.polls() - before;
            }
        }
    }

    #[test]
    fn the_clock_is_read_after_each_call_only_when_a_timer_is_near() {
        let pace = Pace::default();
        pace.read(100);
        assert_eq!(polls_until_read(&pace), POLLS_PER_READ, "no timer");
        // One that was just set may be near.
        pace.read(100);
        pace.timer_was_set();
        assert_eq!(polls_until_read(&pace), 1);
        pace.read(100);
        pace.earliest_is(100 + TICKS_NEAR + 1);
        assert_eq!(polls_until_read(&pace), POLLS_PER_READ, "it is far");
        // Time goes on, and each reading looks again.
        pace.read(101);
        pace.earliest_is(100 + TICKS_NEAR + 1);
        assert_eq!(polls_until_read(&pace), 1);
        // With long polls, near is what would be due before the next reading.
        pace.read(601);
        pace.earliest_is(601 + 500 * POLLS_PER_READ);
        assert_eq!(polls_until_read(&pace), 1);
        pace.read(1101);
        pace.earliest_is(1101 + 500 * POLLS_PER_READ + 1);
        assert_eq!(polls_until_read(&pace), POLLS_PER_READ);
        pace.read(1101);
        pace.earliest_is(7);
        assert_eq!(polls_until_read(&pace), 1, "it is due");
        // However far it was: who knows how long the selector waited.
        pace.read(1101);
        pace.earliest_is(Tick::MAX);
        pace.selected(true);
        assert!(pace.is_read_due());
        // One that could not wait is a call.
        pace.read(1101);
        pace.earliest_is(Tick::MAX);
        pace.selected(false);
        assert!(!pace.is_read_due());
        pace.earliest_is(1101);
        assert!(pace.is_read_due());
    }

    #[test]
    fn polls_are_measured_where_no_batch_is_long_enough_for_a_second_reading() {
        let pace = Pace::default();
        pace.timer_was_set();
        // A turn of ten polls that take 1,000 ticks each; how often the clock is read in its batch.
        let turn = |timer_is_in: Tick| {
            let mut now = pace.last_read() + 10_000;
            if pace.is_measure_due() {
                pace.read(now);
            }
            pace.selected(true);
            now += 70_000;
            pace.read(now);
            pace.earliest_is(now + timer_is_in);
            let is_read = |_: &i32| {
                pace.polled();
                pace.note_call();
                now += 1000;
                let is_due = pace.is_read_due();
                if is_due {
                    pace.read(now);
                }
                is_due
            };
            (0..10).filter(is_read).count()
        };
        assert_eq!([turn(3000), turn(3000)], [0, 0], "who knows how long they take");
        assert_eq!(turn(3000), 10, "it is due in the middle of the batch");
        assert_eq!(turn(17 * 1000), 0, "it is not, whatever the selector waited");
        // One short poll, as that of a sleeper is.
        pace.polled();
        pace.read(pace.last_read() + 1);
        assert_eq!(turn(3000), 10);
    }
}
