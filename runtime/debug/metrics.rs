//! Counters of a loop. Counting is an addition to a cell; a [`Metrics`] is a copy of them all.

use std::cell::Cell;
use std::time::Duration;

#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) turns: Count,
    pub(crate) selects: Count,
    pub(crate) events: Count,
    pub(crate) messages: Count,
    pub(crate) timers_fired: Count,
    pub(crate) spawned: Count,
}

#[derive(Default)]
pub(crate) struct Count(Cell<u64>);

impl Count {
    #[inline]
    pub(crate) fn add(&self, n: usize) {
        self.0.set(self.0.get().wrapping_add(n as u64));
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.get()
    }
}

/// What a loop has done since it was made, and what it holds now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// Turns of the loop.
    pub turns: u64,
    /// How often the selector was asked.
    pub selects: u64,
    /// Events that the selector reported.
    pub events: u64,
    /// Polls of tasks, and drops of those that were cancelled.
    pub polls: u64,
    /// Messages from other threads: wakes, calls, chores.
    pub messages: u64,
    /// Timers that expired.
    pub timers_fired: u64,
    /// Tasks spawned.
    pub spawned: u64,
    /// How long the loop [spun](crate::Builder::spin): time on a processor in which it had nothing
    /// to do.
    pub spun: Duration,
    /// Tasks that are there now: unfinished ones, and finished ones whose handle was neither
    /// awaited nor dropped.
    pub tasks: usize,
    /// Tasks that are queued to be polled.
    pub runnable: usize,
    /// Descriptors registered.
    pub sources: usize,
    /// Timers pending.
    pub timers: usize,
    /// Blocking jobs that wait for a thread or run.
    pub blocking_jobs: usize,
    /// Threads of the blocking pool.
    pub blocking_threads: usize,
}
