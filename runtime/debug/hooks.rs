//! Hooks: the user's observer, the watch on slow polls, and the seeded order of a batch.
//!
//! All of them are off by default, and then cost a comparison a turn or a poll.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crate::debug::report;
use crate::task::queue::RunQueue;
use crate::task::table::{About, Kind};

const REMEDY: &str = "long work belongs in `spawn_blocking`";

/// Watches a loop from inside: install one with [`Builder::observer`](crate::Builder::observer).
///
/// The methods run on the loop's thread, outside any task, and should be short. A panic in one is
/// caught and reported.
pub trait Observer {
    /// A turn has ended.
    fn turn_ended(&self) {}

    /// A task was polled for this long. `name` and `location` tell which and where it was spawned.
    fn task_polled(
        &self,
        name: Option<&str>,
        location: &'static std::panic::Location<'static>,
        took: Duration,
    ) {
        let _ = (name, location, took);
    }
}

pub(crate) struct Hooks {
    observer: Option<Box<dyn Observer>>,
    /// A poll that takes longer is reported.
    slow_poll: Option<Duration>,
    /// State of the generator that shuffles batches.
    seed: Option<Cell<u64>>,
    /// Whether the observer or the watch wants to know how long a poll took.
    times_polls: bool,
}

impl Hooks {
    pub(crate) fn new(
        observer: Option<Box<dyn Observer>>,
        slow_poll: Option<Duration>,
        seed: Option<u64>,
    ) -> Hooks {
        let times_polls = observer.is_some() || slow_poll.is_some();
        Hooks { observer, slow_poll, seed: seed.map(Cell::new), times_polls }
    }

    #[inline]
    pub(crate) fn turn_ended(&self) {
        if let Some(observer) = &self.observer {
            guard(|| observer.turn_ended());
        }
    }

    /// Whether anybody wants to know how long a poll takes.
    #[inline]
    pub(crate) fn times_polls(&self) -> bool {
        self.times_polls
    }

    pub(crate) fn poll_ended(&self, started: Instant, about: impl FnOnce() -> Option<About>) {
        let took = started.elapsed();
        let is_slow = self.slow_poll.is_some_and(|slow| took >= slow);
        if !is_slow && self.observer.is_none() {
            return;
        }
        let Some(about) = about() else { return };
        if is_slow {
            guard(|| warn_of(&about, took));
        }
        // The root is no task: the observer would take where the loop was made for a spawn site.
        if let Some(observer) = self.observer.as_ref().filter(|_| about.kind != Kind::Root) {
            guard(|| observer.task_polled(about.name(), about.location, took));
        }
    }

    pub(crate) fn is_seeded(&self) -> bool {
        self.seed.is_some()
    }

    #[inline]
    pub(crate) fn shuffle(&self, queue: &RunQueue, count: usize) {
        if let Some(state) = &self.seed {
            queue.shuffle(count, |below| (split_mix(state) % below as u64) as usize);
        }
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): small, seedable, good enough to vary an order.
fn split_mix(state: &Cell<u64>) -> u64 {
    state.set(state.get().wrapping_add(0x9e37_79b9_7f4a_7c15));
    let mut z = state.get();
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Names who held the loop. What somebody asked for must be seen, also where nothing is set up to
/// see it.
fn warn_of(about: &About, took: Duration) {
    let (task, at, is_root) = (about.name(), about.location, about.kind == Kind::Root);
    let took_us = took.as_micros() as u64;
    if !tracing::dispatcher::has_been_set() {
        let who = match task {
            _ if is_root => format!("the future of `block_on` (loop made at {at})"),
            Some(name) => format!("the task {name:?} (spawned at {at})"),
            None => format!("a task (spawned at {at})"),
        };
        eprintln!("wheelhouse: {who} held the loop for {} ms; {REMEDY}", took.as_millis());
    } else if is_root {
        let what = "the future of `block_on` held the loop";
        tracing::warn!(loop_made_at = %at, took_us, "{what}; {REMEDY}");
    } else {
        let task = task.unwrap_or("unnamed");
        tracing::warn!(task, spawned_at = %at, took_us, "a task held the loop; {REMEDY}");
    }
}

fn guard(run: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(run)) {
        report::foreign_panic("an observer", payload);
    }
}
