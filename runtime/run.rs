//! Stage 7: polling tasks. All user code runs here.
//!
//! A batch is what was runnable when the stage began. When a deadline passes in the middle of it,
//! the stage pauses: stages 5 and 6 run, and the tasks that timers woke run next, each at most once
//! a batch; whatever else is added goes behind the batch.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::task::{Context, Poll};
use std::time::Instant;

use crate::debug::report;
use crate::event_loop::{LoopState, Root};
use crate::table::Key;
use crate::task::cell::{BoxedCell, Payload};
use crate::task::table::{About, Ending, Kind, Next};
use crate::time::wheel::Tick;

impl LoopState {
    /// Stage 7: the tasks that were runnable when the stage began, not those they add.
    pub(crate) fn run(&self, root: &mut Root<'_>) {
        let count = self.queue.len().min(self.limits.polls_per_turn);
        if count == 0 {
            return;
        }
        self.batch.set(self.batch.get().wrapping_add(1));
        self.hooks.shuffle(&self.queue, count);
        for _ in 0..count {
            let Some(key) = self.queue.pop() else { break };
            self.run_one(key, root);
            if self.pace.is_read_due() && self.look_at_the_clock(root) {
                break;
            }
        }
    }

    /// In the middle of a batch: fires timers that have come due. Whether the batch is to end
    /// early, so that the selector is asked.
    #[inline(never)]
    fn look_at_the_clock(&self, root: &mut Root<'_>) -> bool {
        let earliest = self.wheel.borrow().earliest();
        if earliest == Tick::MAX {
            self.pace.nothing_pends();
            if !self.pace.is_read_overdue() {
                return false;
            }
        }
        let now = self.read_clock();
        self.pace.earliest_is(earliest);
        if earliest <= now && self.pace.may_pause() {
            self.pause_for_timers(root);
        }
        // A seeded order must not depend on how fast the machine is.
        self.pace.select_is_overdue() && !self.hooks.is_seeded()
    }

    /// Fires timers in the middle of a batch and runs the tasks they woke.
    #[inline(never)]
    fn pause_for_timers(&self, root: &mut Root<'_>) {
        let behind = self.queue.len();
        self.pace.note_time_passed();
        self.timers();
        self.wake();
        for key in self.queue.split_off(behind) {
            if self.tasks.board_express(key, self.batch.get()) {
                self.run_one(key, root);
            } else {
                self.queue.push(key);
            }
        }
        // Their polls are none of the rest's.
        self.pace.paused();
    }

    #[inline(always)]
    fn run_one(&self, key: Key, root: &mut Root<'_>) {
        if key == self.tasks.root() {
            return self.poll_root(key, root);
        }
        match self.tasks.begin(key) {
            Next::Poll(cell) => self.poll(key, cell),
            Next::Drop(cell) => self.finish_cancelled(key, cell),
            Next::Nothing => {}
        }
    }

    // Inlined into the batch: what is rare is out of line, so that few registers are saved a poll.
    #[inline(always)]
    fn poll(&self, key: Key, mut cell: BoxedCell) {
        self.pace.polled();
        self.polled.begin(key, self.limits.budget);
        let outcome = match self.hooks.times_polls() {
            false => self.poll_caught(&mut cell),
            true => self.poll_timed(key, &mut cell),
        };
        match outcome {
            Ok(Poll::Pending) => self.tasks.put_back(key, cell, self.polled.waits()),
            Ok(Poll::Ready(())) => self.finish_with_output(key, cell),
            Err(payload) => self.finish_panicked(key, cell, payload),
        }
        self.polled.end();
    }

    #[inline(always)]
    fn poll_caught(&self, cell: &mut BoxedCell) -> Result<Poll<()>, Payload> {
        catch_unwind(AssertUnwindSafe(|| cell.as_mut().poll(&self.polled)))
    }

    #[cold]
    fn poll_timed(&self, key: Key, cell: &mut BoxedCell) -> Result<Poll<()>, Payload> {
        let started = Instant::now();
        let outcome = self.poll_caught(cell);
        // Hooks are called outside any task.
        self.polled.end();
        self.hooks.poll_ended(started, || self.tasks.about(key));
        outcome
    }

    #[cold]
    fn finish_panicked(&self, key: Key, cell: BoxedCell, payload: Payload) {
        if let Err(second) = self.drop_caught(cell) {
            report::second_panic(second, self.tasks.about(key));
        }
        self.finish_without(key, Ending::Panicked(payload));
    }

    fn poll_root(&self, key: Key, root: &mut Root<'_>) {
        self.pace.polled();
        let waker = self.tasks.root_waker();
        self.polled.begin(key, self.limits.budget);
        self.polled.lend(waker);
        let started = self.hooks.times_polls().then(Instant::now);
        // The root catches its own panics, to pass them to the caller of `block_on`.
        root(&mut Context::from_waker(waker));
        self.root_waits.set(self.polled.waits());
        self.polled.end();
        if let Some(started) = started {
            self.hooks.poll_ended(started, || self.tasks.about(key));
        }
    }

    #[inline(never)]
    fn finish_with_output(&self, key: Key, cell: BoxedCell) {
        let (joiner, unwanted) = self.tasks.finish_with_output(key, cell);
        if let Some(cell) = unwanted {
            self.drop_ending(Ending::Output(cell), None);
        }
        self.wake_one(joiner);
    }

    #[cold]
    fn finish_cancelled(&self, key: Key, cell: BoxedCell) {
        // It takes its time as a poll does: a thousand of them must not go unnoticed.
        self.pace.polled();
        let ending = match self.drop_caught(cell) {
            Ok(()) => Ending::Cancelled,
            Err(payload) => Ending::Panicked(payload),
        };
        self.finish_without(key, ending);
    }

    #[cold]
    fn finish_without(&self, key: Key, ending: Ending) {
        let about = self.tasks.about(key);
        let (joiner, unwanted) = self.tasks.finish_without(key, ending);
        if let Some(ending) = unwanted {
            self.drop_ending(ending, about);
        }
        self.wake_one(joiner);
    }

    /// Drops what a task left and nobody wants; a panic is reported.
    pub(crate) fn drop_ending(&self, ending: Ending, about: Option<About>) {
        match ending {
            Ending::Output(cell) => {
                if let Err(payload) = self.drop_caught(cell) {
                    report::unread_panic(payload, about);
                }
            }
            Ending::Cancelled => {}
            Ending::Panicked(payload) => report::unread_panic(payload, about),
        }
    }

    fn drop_caught(&self, cell: BoxedCell) -> std::thread::Result<()> {
        catch_unwind(AssertUnwindSafe(|| drop(cell)))
    }

    /// Runs foreign code outside stage 7: a panic in it is reported and goes no further.
    pub(crate) fn guard(&self, what: &str, run: impl FnOnce()) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(run)) {
            report::foreign_panic(what, payload);
        }
    }

    /// Asks for the end of a task; its future is dropped when its turn comes.
    pub(crate) fn cancel(&self, key: Key) {
        if self.tasks.cancel(key) {
            self.queue.push(key);
        }
    }

    /// A callback is a task that runs once and that nobody awaits.
    pub(crate) fn queue_callback(&self, call: Box<dyn FnOnce() + Send>) {
        let mut call = Some(call);
        let callback = poll_fn(move |_| {
            if let Some(call) = call.take() {
                call();
            }
            Poll::Ready(())
        });
        self.queue_detached(
            callback,
            About::new(Kind::Callback, Location::caller(), self.polled.key()),
        );
    }

    /// Queues a task that nobody awaits, also on a loop that is closing.
    pub(crate) fn queue_detached(
        &self,
        task: impl Future<Output = ()> + 'static,
        about: About,
    ) -> Key {
        let key = self.tasks.insert(task, about);
        let _ = self.tasks.detach(key);
        self.queue.push(key);
        key
    }

    /// Has what a task left dropped in stage 7.
    pub(crate) fn queue_ending(&self, ending: Ending) {
        let mut ending = Some(ending);
        let callback = poll_fn(move |_| {
            if let Some(Ending::Panicked(payload)) = ending.take() {
                report::unread_panic(payload, None);
            }
            Poll::Ready(())
        });
        self.queue_detached(callback, About::new(Kind::Callback, Location::caller(), Key::NONE));
    }
}
