//! Stage 7: polling tasks. All user code runs here.
//!
//! A batch is what was runnable when the stage began. When a deadline passes in the middle of it, the stage pauses:
//! stages 5 and 6 run, and the tasks that timers woke run next, each at most once a batch; whatever else
//! is added goes behind the batch.

use std::cell::Cell;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::task::{Context, Poll, RawWakerVTable, Waker};

use crate::debug::report;
use crate::event_loop::LoopState;
use crate::table::Key;
use crate::task::cell::{self, BoxedCell};
use crate::task::table::{About, Ending, Kind, Lent, Next, Wait};
use crate::task::waker::OwnWaker;
use crate::time::wheel::Tick;
use crate::waiter::Waiter;

/// Polls the future that is not a task: `block_on`'s.
pub(crate) type Root<'a> = dyn FnMut(&mut Context<'_>) + 'a;

/// The poll under way.
pub(crate) struct Polled {
    key: Cell<Key>,
    /// Data and vtable of the task's own waker: tells it from a combinator's.
    waker: Cell<Option<(*const (), &'static RawWakerVTable)>>,
    budget: Cell<u32>,
    waits: Cell<Wait>,
    batch: Cell<u64>,
}

impl Polled {
    pub(crate) fn new() -> Polled {
        Polled {
            key: Cell::new(Key::NONE),
            waker: Cell::new(None),
            budget: Cell::new(0),
            waits: Cell::new(Wait::Unknown),
            batch: Cell::new(0),
        }
    }

    /// The task that is being polled, or `Key::NONE`.
    pub(crate) fn key(&self) -> Key {
        self.key.get()
    }

    /// Says what the current task waits for.
    #[inline]
    pub(crate) fn set_waits(&self, waits: Wait) {
        self.waits.set(waits);
    }

    /// Who is to be woken for this context: the current task by key if the waker is its own.
    #[inline]
    pub(crate) fn waiter(&self, cx: &Context<'_>) -> Waiter {
        let waker = cx.waker();
        match self.waker.get() {
            Some((data, vtable)) if data == waker.data() && vtable == waker.vtable() => {
                Waiter::Task(self.key.get())
            }
            _ => Waiter::Foreign(waker.clone()),
        }
    }

    /// Spends one operation of the poll's budget. `false`: it is gone, the future was woken and must yield.
    #[inline]
    pub(crate) fn spend(&self, cx: &Context<'_>) -> bool {
        match self.budget.get() {
            0 if self.key.get() != Key::NONE => {
                self.waits.set(Wait::Yielded);
                cx.waker().wake_by_ref();
                false
            }
            left => {
                self.budget.set(left.saturating_sub(1));
                true
            }
        }
    }

    #[inline]
    fn begin(&self, key: Key, waker: &Waker, budget: u32) {
        self.key.set(key);
        self.waker.set(Some((waker.data(), waker.vtable())));
        self.budget.set(budget);
        self.waits.set(Wait::Unknown);
    }

    #[inline]
    fn end(&self) {
        self.key.set(Key::NONE);
        self.waker.set(None);
    }
}

impl LoopState {
    /// Stage 7: the tasks that were runnable when the stage began, not those they add.
    pub(crate) fn run(&self, root: &mut Root<'_>) {
        let count = self.queue.len().min(self.limits.polls_per_turn);
        if count == 0 {
            return;
        }
        self.polled.batch.set(self.polled.batch.get() + 1);
        self.hooks.shuffle(&self.queue, count);
        for _ in 0..count {
            let Some(key) = self.queue.pop() else { break };
            self.run_one(key, root);
            let earliest = self.wheel.borrow().earliest();
            if self.pace.read_is_due(earliest != Tick::MAX) {
                let now = self.read_clock();
                if earliest <= now && self.pace.may_pause() {
                    self.pause_for_timers(root);
                }
                if self.pace.select_is_overdue() {
                    break;
                }
            }
        }
    }

    /// Fires timers in the middle of a batch and runs the tasks they woke.
    fn pause_for_timers(&self, root: &mut Root<'_>) {
        let behind = self.queue.len();
        self.pace.note_time_passed();
        self.timers();
        self.wake();
        self.pace.paused();
        let mut woken = Vec::new();
        self.queue.split_off(behind, &mut woken);
        for key in woken {
            if self.tasks.board_express(key, self.polled.batch.get()) {
                self.run_one(key, root);
            } else {
                self.queue.push(key);
            }
        }
    }

    fn run_one(&self, key: Key, root: &mut Root<'_>) {
        match self.tasks.begin(key) {
            Next::Poll(lent) => self.poll(key, lent),
            Next::PollRoot(waker) => self.poll_root(key, waker, root),
            Next::Drop(cell) => {
                let ending = match self.drop_caught(cell) {
                    Ok(()) => Ending::Cancelled,
                    Err(payload) => Ending::Panicked(payload),
                };
                self.finish(key, None, ending);
            }
            Next::Nothing => {}
        }
    }

    fn poll(&self, key: Key, mut lent: Lent) {
        self.pace.polled();
        self.counters.polls.add(1);
        self.polled.begin(key, &lent.waker.waker, self.limits.budget);
        let started = self.hooks.poll_starts();
        let mut cx = Context::from_waker(&lent.waker.waker);
        let outcome = catch_unwind(AssertUnwindSafe(|| lent.cell.as_mut().poll(&mut cx)));
        if let Some(started) = started {
            self.hooks.poll_ended(started, || self.tasks.about(key));
        }
        match outcome {
            Ok(Poll::Pending) => self.tasks.put_back(key, lent, self.polled.waits.get()),
            Ok(Poll::Ready(())) => self.finish(key, Some(lent.waker), Ending::Output(lent.cell)),
            Err(payload) => {
                if let Err(second) = self.drop_caught(lent.cell) {
                    report::second_panic(&*second, self.tasks.about(key));
                }
                self.finish(key, Some(lent.waker), Ending::Panicked(payload));
            }
        }
        self.polled.end();
    }

    fn poll_root(&self, key: Key, waker: OwnWaker, root: &mut Root<'_>) {
        self.pace.polled();
        self.polled.begin(key, &waker.waker, self.limits.budget);
        // The root catches its own panics, to pass them to the caller of `block_on`.
        root(&mut Context::from_waker(&waker.waker));
        self.tasks.put_root_back(waker, self.polled.waits.get());
        self.polled.end();
    }

    fn finish(&self, key: Key, waker: Option<OwnWaker>, ending: Ending) {
        let about = self.tasks.about_if_panicked(key, &ending);
        let (joiner, unwanted) = self.tasks.finish(key, waker, ending);
        if let Some(ending) = unwanted {
            self.drop_ending(ending, about);
        }
        if let Some(joiner) = joiner {
            self.wake_one(joiner);
        }
    }

    /// Drops what a task left and nobody wants; a panic is reported.
    pub(crate) fn drop_ending(&self, ending: Ending, about: Option<About>) {
        match ending {
            Ending::Output(cell) => {
                if let Err(payload) = self.drop_caught(cell) {
                    report::unread_panic(&*payload, about);
                }
            }
            Ending::Cancelled => {}
            Ending::Panicked(payload) => report::unread_panic(&*payload, about),
        }
    }

    fn drop_caught(&self, cell: BoxedCell) -> std::thread::Result<()> {
        catch_unwind(AssertUnwindSafe(|| drop(cell)))
    }

    /// Runs foreign code outside stage 7: a panic in it is reported and goes no further.
    pub(crate) fn guard(&self, what: &str, run: impl FnOnce()) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(run)) {
            report::foreign_panic(what, &*payload);
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
        let cell = cell::boxed(poll_fn(move |_| {
            if let Some(call) = call.take() {
                call();
            }
            Poll::Ready(())
        }));
        let about = About::new(Kind::Callback, Location::caller(), self.polled.key());
        let key = self.tasks.insert(cell, about);
        let _ = self.tasks.detach(key);
        self.queue.push(key);
    }

    /// Has what a task left dropped in stage 7.
    pub(crate) fn queue_ending(&self, ending: Ending) {
        let mut ending = Some(ending);
        let cell = cell::boxed(poll_fn(move |_| {
            if let Some(Ending::Panicked(payload)) = ending.take() {
                report::unread_panic(&*payload, None);
            }
            Poll::Ready(())
        }));
        let about = About::new(Kind::Callback, Location::caller(), Key::NONE);
        let key = self.tasks.insert(cell, about);
        let _ = self.tasks.detach(key);
        self.queue.push(key);
    }
}
