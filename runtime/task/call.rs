//! Callbacks: `call_soon`, `call_later`, `call_at`. A callback is a task that runs once and that
//! nobody awaits.

use std::fmt;
use std::future::poll_fn;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use crate::current;
use crate::debug::places::Site;
use crate::inbox::Chore;
use crate::remote::Remote;
use crate::structure::task_local::{self, Inheriting};
use crate::table::Key;
use crate::task::table::{About, Kind};
use crate::time::Instant;
use crate::waiter::Waiter;

/// Runs `call` in the loop's next batch, in one order with the tasks. Dropping the handle does not
/// cancel it. As a task does, it inherits the values of [`task_local!`](crate::task_local) that hold
/// here.
///
/// # Panics
///
/// If no loop is running on this thread.
#[track_caller]
pub fn call_soon(call: impl FnOnce() + 'static) -> CallHandle {
    schedule("call_soon", None, call)
}

/// Runs `call` once `delay` is over: late by at most the loop's business, never early.
///
/// # Panics
///
/// If no loop is running on this thread.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// # wheelhouse::run(async {
/// wheelhouse::call_later(Duration::from_millis(1), || println!("a millisecond later"));
/// # });
/// ```
#[track_caller]
pub fn call_later(delay: Duration, call: impl FnOnce() + 'static) -> CallHandle {
    let now = current::expect("call_later").clock.now();
    schedule("call_later", Some(Instant::from_std(now) + delay), call)
}

/// Runs `call` at `when`, or in the next batch if that is past.
///
/// # Panics
///
/// If no loop is running on this thread.
#[track_caller]
pub fn call_at(when: Instant, call: impl FnOnce() + 'static) -> CallHandle {
    schedule("call_at", Some(when), call)
}

/// A callback that was asked for. Works on any thread.
pub struct CallHandle {
    remote: Arc<Remote>,
    task: Key,
    timer: Key,
    when: Option<Instant>,
    cancelled: AtomicBool,
}

impl CallHandle {
    /// Sees to it that the callback does not run, if it has not run yet.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
        match current::of(self.remote.id) {
            Some(state) => {
                // The waiter is a key: dropping it runs no foreign code.
                state.wheel.borrow_mut().remove(self.timer);
                state.cancel(self.task);
            }
            None => {
                self.remote.post_chore(Chore::CancelTimer(self.timer));
                self.remote.post_chore(Chore::CancelTask(self.task));
            }
        }
    }

    /// Whether [`cancel`](Self::cancel) was called.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// When it is to run; `None` for [`call_soon`].
    pub fn when(&self) -> Option<Instant> {
        self.when
    }

    /// Moves a callback that still waits for its time to another one. `false`: it has run, was
    /// cancelled or never had a time, or this is not its loop's thread.
    pub fn reschedule(&mut self, when: Instant) -> bool {
        let moved = current::with(self.remote.id, |state| {
            let tick = state.clock.tick_at(when.into_std());
            let moved = state.wheel.borrow_mut().reset(self.timer, tick);
            if moved {
                state.timer_was_set();
            }
            moved
        });
        if moved == Some(true) {
            self.when = Some(when);
        }
        moved == Some(true)
    }
}

impl fmt::Debug for CallHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallHandle")
            .field("when", &self.when)
            .field("is_cancelled", &self.is_cancelled())
            .finish_non_exhaustive()
    }
}

#[track_caller]
fn schedule(what: &str, when: Option<Instant>, call: impl FnOnce() + 'static) -> CallHandle {
    let state = current::expect(what);
    let mut handle = CallHandle {
        remote: state.remote.clone(),
        task: Key::NONE,
        timer: Key::NONE,
        when,
        cancelled: AtomicBool::new(false),
    };
    if state.closing.get() {
        return handle;
    }
    let mut call = Some(call);
    let callback = poll_fn(move |_| {
        if let Some(call) = call.take() {
            call();
        }
        Poll::Ready(())
    });
    let about = About::new(Kind::Callback, Location::caller(), state.polled.key());
    handle.task = match task_local::are_here() {
        true => state.tasks.insert(Inheriting::new(Box::pin(callback)), about),
        false => state.tasks.insert(callback, about),
    };
    // Nobody awaits it; a new task has no ending to give back.
    let _ = state.tasks.detach(handle.task);
    match when {
        // Nobody else has its waker, so it is first polled when the timer fires.
        Some(when) => {
            let tick = state.clock.tick_at(when.into_std());
            let waiter = Waiter::Task(handle.task);
            handle.timer = state.wheel.borrow_mut().insert(tick, waiter);
            let site = state.places.site();
            if site != Site::UNKNOWN {
                let about = state.tasks.about(state.polled.key());
                state.places.timer_was_filed(handle.timer, site, about);
            }
            state.timer_was_set();
        }
        None => state.queue.push(handle.task),
    }
    handle
}
