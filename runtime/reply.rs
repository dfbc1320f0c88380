//! A reply: one result that crosses threads. One side gives it, the other awaits it on any executor
//! or waits on a thread.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::debug::report::{self, Witness};
use crate::task::JoinError;

pub(crate) fn reply<T>() -> (ReplySender<T>, Reply<T>) {
    let cell = Arc::new(ReplyCell { state: Mutex::new(State::Open(None)), given: Condvar::new() });
    (ReplySender { cell: Some(cell.clone()) }, Reply { cell })
}

struct ReplyCell<T> {
    state: Mutex<State<T>>,
    given: Condvar,
}

enum State<T> {
    Open(Option<Waker>),
    Given(Result<T, JoinError>, Option<Witness>),
    Taken,
}

/// Gives the reply; dropped without, the other side learns that it was cancelled.
pub(crate) struct ReplySender<T> {
    cell: Option<Arc<ReplyCell<T>>>,
}

pub(crate) struct Reply<T> {
    cell: Arc<ReplyCell<T>>,
}

impl<T> ReplySender<T> {
    /// Whether the other side is gone: nobody will ever take the reply.
    pub(crate) fn is_unwanted(&self) -> bool {
        self.cell.as_ref().is_none_or(|cell| Arc::strong_count(cell) == 1)
    }

    pub(crate) fn give(mut self, result: Result<T, JoinError>) {
        if let Some(cell) = self.cell.take() {
            cell.give(result);
        }
    }
}

impl<T> Drop for ReplySender<T> {
    fn drop(&mut self) {
        if let Some(cell) = self.cell.take() {
            cell.give(Err(JoinError::cancelled(None)));
        }
    }
}

impl<T> ReplyCell<T> {
    fn give(&self, result: Result<T, JoinError>) {
        // Who is to hear of a panic that nobody reads: it may be dropped on any thread.
        let witness = if result.is_err() { Witness::here() } else { None };
        let mut state = self.lock();
        let before = std::mem::replace(&mut *state, State::Given(result, witness));
        drop(state);
        self.given.notify_all();
        // Outside the lock: a waker is foreign code.
        if let State::Open(Some(waker)) = before {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Drop for ReplyCell<T> {
    /// Both sides are gone, and nobody took the reply.
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let State::Given(Err(error), witness) = std::mem::replace(state, State::Taken) {
            if let Ok(payload) = error.try_into_panic() {
                report::unread_panic_before(witness.as_ref(), payload, None);
            }
        }
    }
}

impl<T> Reply<T> {
    pub(crate) fn is_given(&self) -> bool {
        !matches!(*self.cell.lock(), State::Open(_))
    }

    /// Blocks the thread until the reply is there, or until the deadline.
    pub(crate) fn wait(&self, deadline: Option<Instant>) -> Option<Result<T, JoinError>> {
        let mut state = self.cell.lock();
        while matches!(*state, State::Open(_)) {
            let given = &self.cell.given;
            state = match deadline {
                None => given.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left == Duration::ZERO {
                        return None;
                    }
                    given.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        Some(state.take())
    }
}

impl<T> Future for Reply<T> {
    type Output = Result<T, JoinError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // Cloned before the lock: a waker is foreign code.
        let waker = cx.waker().clone();
        let mut state = self.cell.lock();
        let before = match &mut *state {
            State::Open(kept) => kept.replace(waker),
            State::Given(..) | State::Taken => return Poll::Ready(state.take()),
        };
        drop(state);
        drop(before);
        Poll::Pending
    }
}

impl<T> State<T> {
    fn take(&mut self) -> Result<T, JoinError> {
        match std::mem::replace(self, State::Taken) {
            State::Given(result, _) => result,
            State::Open(_) | State::Taken => {
                panic!("a `RemoteHandle` was asked for its result after it had given it")
            }
        }
    }
}
