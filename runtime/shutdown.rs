//! The end of a loop: what `shutdown` reports, and how everything that the loop holds is let go.

use std::fmt;
use std::panic::Location;
use std::time::{Duration, Instant};

use crate::event_loop::{LoopState, Patience};
use crate::inbox::Message;
use crate::task::table::{Ending, Next};
use crate::time::wheel::Tick;
use crate::waiter::Waiter;

/// How a loop ended.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Tasks that had not finished and were cancelled. Callbacks that were still to run are not
    /// among them.
    pub cancelled: usize,
    /// What did not stop within the grace.
    pub left: Vec<LeftBehind>,
    /// How long it took.
    pub took: Duration,
}

/// Something that did not stop.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeftBehind {
    /// What it is.
    pub kind: LeftKind,
    /// Where it was spawned.
    pub location: &'static Location<'static>,
}

/// What kind of thing did not stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LeftKind {
    /// A job on the blocking pool. Its thread runs on.
    BlockingJob,
    /// A whole loop of a [`LoopGroup`](crate::LoopGroup), held by one of its tasks. Its thread runs
    /// on; the location is where the group was made.
    Loop,
}

impl ShutdownReport {
    /// Whether everything stopped.
    pub fn is_clean(&self) -> bool {
        self.left.is_empty()
    }
}

impl fmt::Display for ShutdownReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.cancelled == 1 { "" } else { "s" };
        write!(f, "{} task{plural} cancelled in {:?}", self.cancelled, self.took)?;
        for left in &self.left {
            match left.kind {
                LeftKind::BlockingJob => write!(f, "; a blocking job did not stop: spawned")?,
                LeftKind::Loop => write!(f, "; a task held its loop: made")?,
            }
            write!(f, " at {}", left.location)?;
        }
        Ok(())
    }
}

impl LoopState {
    /// Cancels every task and turns until no blocking job runs that is worth waiting for, or the
    /// grace is over. The loop must be entered.
    pub(crate) fn wind_down(&self, grace: Duration) -> ShutdownReport {
        let started = Instant::now();
        self.closing.set(true);
        let cancelled = self.tasks.unfinished();
        let tasks = cancelled.iter().filter(|&&key| !self.tasks.is_callback(key)).count();
        for &key in &cancelled {
            self.cancel(key);
        }
        // A cancelled task is dropped when its turn comes, so this ends; not so if it waited for
        // callbacks that other threads go on sending.
        let mut awaited = cancelled.as_slice();
        while let [rest @ .., last] = awaited {
            if self.tasks.is_finished(*last) {
                awaited = rest;
            } else if self.turn(&mut |_| {}, Patience::AtMost(Duration::ZERO)).is_err() {
                break;
            }
        }
        // Nobody waits for a job that has not started.
        self.withdraw_jobs();
        while self.blocking.is_worth_waiting_for() {
            let left = grace.saturating_sub(started.elapsed());
            if left.is_zero() || self.turn(&mut |_| {}, Patience::AtMost(left)).is_err() {
                break;
            }
        }
        let jobs = self.blocking.locations().into_iter();
        let left = jobs.map(|location| LeftBehind { kind: LeftKind::BlockingJob, location });
        ShutdownReport { cancelled: tasks, left: left.collect(), took: started.elapsed() }
    }

    /// Drops the jobs that have not started, and lets none start from here on.
    fn withdraw_jobs(&self) {
        for job in self.blocking.close() {
            self.guard("a blocking job that was never run", || drop(job));
        }
    }

    /// Lets everything go. What is dropped is user code: no borrow is held, and a panic goes no
    /// further.
    pub(crate) fn close(&self) {
        self.closing.set(true);
        for message in self.remote.inbox().close() {
            self.guard("a closure that was never called", || match message {
                Message::Wake(waker) => drop(waker),
                Message::Call(call) | Message::Spawn(call) => drop(call),
                Message::Chore(_) => {}
            });
        }
        self.withdraw_jobs();
        let mut waiting = Vec::new();
        for key in self.tasks.unfinished() {
            if let Next::Poll(cell) | Next::Drop(cell) = self.tasks.begin(key) {
                self.guard("the drop of a task", || drop(cell));
                let (joiner, _) = self.tasks.finish_without(key, Ending::Cancelled);
                waiting.push(joiner);
            }
        }
        for ending in self.tasks.take_endings() {
            self.drop_ending(ending, None);
        }
        for value in self.locals.close() {
            self.guard("the drop of a loop's value", || drop(value));
        }
        self.wheel.borrow_mut().advance(Tick::MAX, |waiter| waiting.push(waiter));
        waiting.extend(self.reactor.take_all_waiters());
        // What waits under another executor is to hear that the loop is gone; not so in a fork, whose
        // executors are the parent's.
        let is_at_home = self.remote.is_at_home();
        for waiter in waiting {
            match waiter {
                Waiter::Foreign(waker) if is_at_home => self.guard("a waker", || waker.wake()),
                waiter => self.guard("a waker", || drop(waiter)),
            }
        }
    }
}
