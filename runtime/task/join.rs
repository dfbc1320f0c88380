//! What users hold of a task: [`JoinHandle`] and [`AbortHandle`], a key and a way to the loop.
//!
//! They hold neither the future nor its output, so they go to any thread whatever the task is made
//! of; the loop alone polls it, drops it and hands its output out.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::current;
use crate::event_loop::LoopState;
use crate::inbox::Chore;
use crate::remote::Remote;
use crate::table::Key;
use crate::task::polled::Wait;
use crate::task::table::Ending;
use crate::task::{Id, JoinError};
use crate::waiter::Waiter;

/// A spawned task: await it for its output. Dropping it detaches the task, which runs on.
///
/// It may be sent to other threads and dropped or cancelled there, but it is awaited on its own
/// loop; elsewhere it gives [`JoinError::is_foreign`]. To wait on another thread, spawn with
/// [`Handle::spawn`](crate::Handle::spawn).
///
/// Awaiting is cancel safe: the output stays with the task until a poll returns it. It counts as an
/// operation of what one poll of a task may do, so that whoever awaits thousands that have ended
/// lets others in.
///
/// # Panics
///
/// When polled again after it has given the output.
///
/// # Examples
///
/// ```
/// # wheelhouse::run(async {
/// let task = wheelhouse::spawn(async { 6 * 7 });
/// assert_eq!(task.await.unwrap(), 42);
/// # });
/// ```
pub struct JoinHandle<T> {
    remote: Arc<Remote>,
    /// `Key::NONE` if there is no task: it was refused by a loop that closes, or has given its
    /// output.
    key: Key,
    is_done: bool,
    output: PhantomData<fn() -> T>,
}

impl<T> JoinHandle<T> {
    pub(crate) fn new(remote: Arc<Remote>, key: Key) -> JoinHandle<T> {
        JoinHandle { remote, key, is_done: false, output: PhantomData }
    }

    /// The handle of a task that was never made.
    pub(crate) fn refused<F>(refused: Refused<F>) -> JoinHandle<T> {
        drop(refused.future);
        JoinHandle::new(refused.remote, Key::NONE)
    }

    /// Cancels the task: its future is dropped in the loop's next batch, never inside a poll, and
    /// awaiting the handle gives [`JoinError::is_cancelled`]. A task that has finished, or finishes
    /// in the poll under way, keeps its output. Works on any thread.
    pub fn cancel(&self) {
        cancel(&self.remote, self.key);
    }

    /// [`cancel`](Self::cancel) under tokio's name.
    pub fn abort(&self) {
        self.cancel();
    }

    /// A handle that can cancel the task and nothing else.
    pub fn abort_handle(&self) -> AbortHandle {
        AbortHandle { remote: self.remote.clone(), key: self.key }
    }

    /// Whether the task has ended. On another thread than the loop's: whether the loop is closed.
    pub fn is_finished(&self) -> bool {
        is_finished(&self.remote, self.key)
    }

    /// The task's id.
    pub fn id(&self) -> Id {
        Id { loop_id: self.remote.id, key: self.key }
    }

    /// The task's name, if it was given one. Known on the loop's thread while the task is there.
    pub fn name(&self) -> Option<String> {
        let state = current::made_here(self.remote.id)?;
        state.tasks.about(self.key)?.name().map(str::to_owned)
    }

    fn error(&self, make: impl FnOnce(Option<Id>) -> JoinError) -> JoinError {
        make((self.key != Key::NONE).then(|| self.id()))
    }
}

impl<T: 'static> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.poll_within(cx, false)
    }
}

impl<T: 'static> JoinHandle<T> {
    /// Polls it, `beyond` what the poll of the task may do as well.
    #[inline(always)]
    pub(crate) fn poll_within(
        &mut self,
        cx: &Context<'_>,
        beyond: bool,
    ) -> Poll<Result<T, JoinError>> {
        assert!(!self.is_done, "a `JoinHandle` was polled after it had given its output");
        if self.key == Key::NONE {
            self.is_done = true;
            return Poll::Ready(Err(self.error(JoinError::closed)));
        }
        // The common case: a task of the loop awaits the handle itself, so no waker is cloned.
        let joined = current::with(self.remote.id, |state| {
            let waiter = state.polled.own_waiter(cx)?;
            (beyond || !state.polled.is_spent()).then(|| state.join(self.key, waiter))
        });
        let joined = match joined {
            Some(Some(joined)) => joined,
            Some(None) => {
                let state = current::of(self.remote.id);
                if !beyond && state.as_ref().is_some_and(|state| state.polled.is_spent()) {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                let waiter = Waiter::Foreign(cx.waker().clone());
                // Not needed, the waker is dropped in there: foreign code.
                state.map_or(Ok(Ending::Cancelled), |state| state.join(self.key, waiter))
            }
            None => return self.poll_elsewhere(),
        };
        match joined {
            // Who was to be woken before: it may be a foreign waker, dropped with no borrow held.
            Err(replaced) => {
                drop(replaced);
                Poll::Pending
            }
            Ok(ending) => {
                self.is_done = true;
                Poll::Ready(self.output_of(ending))
            }
        }
    }
}

impl LoopState {
    #[inline]
    fn join(&self, key: Key, waiter: Waiter) -> Result<Ending, Waiter> {
        self.polled.set_waits(Wait::Task(key));
        let joined = self.tasks.join(key, waiter);
        if joined.is_ok() {
            self.polled.spend_quickly();
        }
        joined
    }
}

impl<T: 'static> JoinHandle<T> {
    /// Polled outside the loop, or after it was closed.
    #[cold]
    fn poll_elsewhere(&mut self) -> Poll<Result<T, JoinError>> {
        if !self.remote.is_closed() {
            return Poll::Ready(Err(self.error(JoinError::foreign)));
        }
        self.is_done = true;
        Poll::Ready(Err(self.error(JoinError::closed)))
    }

    #[inline]
    fn output_of(&self, ending: Ending) -> Result<T, JoinError> {
        match ending {
            Ending::Output(mut cell) => {
                let mut output: Option<T> = None;
                cell.as_mut().take_output(&mut output);
                output.ok_or_else(|| self.error(JoinError::closed))
            }
            Ending::Cancelled => Err(self.error(JoinError::cancelled)),
            Ending::Panicked(payload) => Err(self.error(|id| JoinError::panicked(id, payload))),
        }
    }
}

impl<T> Drop for JoinHandle<T> {
    #[inline]
    fn drop(&mut self) {
        if !self.is_done && self.key != Key::NONE {
            self.detach();
        }
    }
}

impl<T> JoinHandle<T> {
    // Out of line: most handles have given their output.
    fn detach(&self) {
        match current::of(self.remote.id) {
            Some(state) => {
                let about = state.tasks.about(self.key);
                if let Some(ending) = state.tasks.detach(self.key) {
                    state.drop_ending(ending, about);
                }
            }
            None => self.remote.post_chore(Chore::DetachTask(self.key)),
        }
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinHandle(task {} of {})", self.id(), self.remote.label())
    }
}

/// A future that a closing loop did not take, and the way to that loop. It is dropped where no
/// borrow is held.
pub(crate) struct Refused<F> {
    pub(crate) future: F,
    pub(crate) remote: Arc<Remote>,
}

/// Cancels a task, from any thread; holds neither the task nor its output.
#[derive(Clone)]
pub struct AbortHandle {
    remote: Arc<Remote>,
    key: Key,
}

impl AbortHandle {
    /// As [`JoinHandle::cancel`].
    pub fn cancel(&self) {
        cancel(&self.remote, self.key);
    }

    /// [`cancel`](Self::cancel) under tokio's name.
    pub fn abort(&self) {
        self.cancel();
    }

    /// As [`JoinHandle::is_finished`].
    pub fn is_finished(&self) -> bool {
        is_finished(&self.remote, self.key)
    }

    /// The task's id.
    pub fn id(&self) -> Id {
        Id { loop_id: self.remote.id, key: self.key }
    }
}

impl fmt::Debug for AbortHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AbortHandle(task {} of {})", self.id(), self.remote.label())
    }
}

fn cancel(remote: &Remote, key: Key) {
    match current::of(remote.id) {
        Some(state) => state.cancel(key),
        None => remote.post_chore(Chore::CancelTask(key)),
    }
}

fn is_finished(remote: &Remote, key: Key) -> bool {
    match current::made_here(remote.id) {
        Some(state) => state.tasks.is_finished(key),
        None => remote.is_closed(),
    }
}
