//! The pace of a busy loop: how often the clock and the selector are asked while tasks are runnable.
//!
//! Both cost more than a poll (a clock read some 25 ns, a selector that need not wait 160 ns, a wake and a
//! poll together about 20), so they are asked only every so many polls, and the clock also after a poll that made a
//! system call, if a timer is pending. It only counts; the loop asks.

use std::cell::Cell;

use crate::time::wheel::Tick;

/// The clock is read at least once in so many polls.
const POLLS_PER_CLOCK_READ: u32 = 16;

/// While tasks are runnable the selector is asked when the clock shows that the last time was 50 us ago.
const TICKS_PER_SELECT: Tick = 49;

/// Polls of the rest between two pauses for timers, so that a task that re-arms a tiny sleep starves nobody.
const POLLS_PER_PAUSE: u32 = 8;

pub(crate) struct Pace {
    polls_per_select: u32,
    polls_since_select: Cell<u32>,
    polls_since_read: Cell<u32>,
    polls_since_pause: Cell<u32>,
    /// The selector waited, or a leaf future made a system call: time has passed unseen.
    time_passed: Cell<bool>,
    last_read: Cell<Tick>,
    last_select: Cell<Tick>,
}

impl Pace {
    pub(crate) fn new(polls_per_select: u32) -> Pace {
        Pace {
            polls_per_select,
            polls_since_select: Cell::new(0),
            polls_since_read: Cell::new(0),
            polls_since_pause: Cell::new(0),
            time_passed: Cell::new(true),
            last_read: Cell::new(0),
            last_select: Cell::new(0),
        }
    }

    #[inline]
    pub(crate) fn polled(&self) {
        self.polls_since_select.set(self.polls_since_select.get() + 1);
        self.polls_since_read.set(self.polls_since_read.get() + 1);
        self.polls_since_pause.set(self.polls_since_pause.get() + 1);
    }

    pub(crate) fn selected(&self) {
        self.polls_since_select.set(0);
        self.last_select.set(self.last_read.get());
        self.time_passed.set(true);
    }

    pub(crate) fn read(&self, now: Tick) {
        self.polls_since_read.set(0);
        self.last_read.set(now);
        self.time_passed.set(false);
    }

    /// What the clock showed when it was last read.
    pub(crate) fn last_read(&self) -> Tick {
        self.last_read.get()
    }

    pub(crate) fn paused(&self) {
        self.polls_since_pause.set(0);
    }

    /// A leaf future made a system call.
    #[inline]
    pub(crate) fn note_time_passed(&self) {
        self.time_passed.set(true);
    }

    /// The selector is asked in the next turn, whatever is runnable.
    pub(crate) fn make_select_due(&self) {
        self.polls_since_select.set(self.polls_per_select);
    }

    /// Whether the selector is due although tasks are runnable.
    #[inline]
    pub(crate) fn select_is_due(&self) -> bool {
        self.polls_since_select.get() >= self.polls_per_select || self.select_is_overdue()
    }

    /// Whether the clock shows that the selector was not asked for long.
    pub(crate) fn select_is_overdue(&self) -> bool {
        self.last_read.get().saturating_sub(self.last_select.get()) >= TICKS_PER_SELECT
    }

    /// Whether the clock should be read now; `pending`: a timer is.
    #[inline]
    pub(crate) fn read_is_due(&self, pending: bool) -> bool {
        self.polls_since_read.get() >= POLLS_PER_CLOCK_READ || pending && self.time_passed.get()
    }

    /// Whether a batch may be interrupted for timers again.
    pub(crate) fn may_pause(&self) -> bool {
        self.polls_since_pause.get() >= POLLS_PER_PAUSE
    }
}
