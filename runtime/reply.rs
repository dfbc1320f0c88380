//! A reply: one result that crosses threads. One side gives it, the other awaits it on any executor
//! or waits on a thread.
//!
//! Both sides can look at a subject, which is kept with it: what the reply is about. So whoever
//! asks for something makes one allocation for all that the two sides share.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::debug::report::{self, Witness};
use crate::task::JoinError;

pub(crate) fn reply<T>() -> (ReplySender<T>, Reply<T>) {
    reply_about(())
}

pub(crate) fn reply_about<T, A>(subject: A) -> (ReplySender<T, A>, Reply<T, A>) {
    let state = Mutex::new(State::Open { waker: None, has_thread: false });
    let cell = Arc::new(ReplyCell { state, given: Condvar::new(), subject });
    (ReplySender { cell: Some(cell.clone()) }, Reply { cell })
}

struct ReplyCell<T, A> {
    state: Mutex<State<T>>,
    given: Condvar,
    subject: A,
}

enum State<T> {
    Open {
        waker: Option<Waker>,
        /// A thread waits. Telling it is a system call, which nobody else is to pay.
        has_thread: bool,
    },
    Given(Result<T, JoinError>, Option<Witness>),
    Taken,
}

/// Gives the reply; dropped without, the other side learns that it was cancelled.
pub(crate) struct ReplySender<T, A = ()> {
    cell: Option<Arc<ReplyCell<T, A>>>,
}

pub(crate) struct Reply<T, A = ()> {
    cell: Arc<ReplyCell<T, A>>,
}

impl<T, A> ReplySender<T, A> {
    /// `None` once it has given the reply.
    pub(crate) fn subject(&self) -> Option<&A> {
        self.cell.as_ref().map(|cell| &cell.subject)
    }

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

impl<T, A> Drop for ReplySender<T, A> {
    fn drop(&mut self) {
        if let Some(cell) = self.cell.take() {
            cell.give(Err(JoinError::cancelled(None)));
        }
    }
}

impl<T, A> ReplyCell<T, A> {
    fn give(&self, result: Result<T, JoinError>) {
        // Who is to hear of a panic that nobody reads: it may be dropped on any thread.
        let witness = if result.is_err() { Witness::here() } else { None };
        let mut state = self.lock();
        let before = std::mem::replace(&mut *state, State::Given(result, witness));
        drop(state);
        let State::Open { waker, has_thread } = before else { return };
        if has_thread {
            self.given.notify_all();
        }
        // Outside the lock: a waker is foreign code.
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T, A> Drop for ReplyCell<T, A> {
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

impl<T, A> Reply<T, A> {
    pub(crate) fn subject(&self) -> &A {
        &self.cell.subject
    }

    pub(crate) fn is_given(&self) -> bool {
        !matches!(*self.cell.lock(), State::Open { .. })
    }

    fn take_given(&self) -> Option<Result<T, JoinError>> {
        let mut state = self.cell.lock();
        match *state {
            State::Open { .. } => None,
            State::Given(..) | State::Taken => Some(state.take()),
        }
    }

    /// Blocks the thread until the reply is there, or until the deadline.
    pub(crate) fn wait(&self, deadline: Option<Instant>) -> Option<Result<T, JoinError>> {
        let mut state = self.cell.lock();
        while let State::Open { has_thread, .. } = &mut *state {
            *has_thread = true;
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

impl<T, A> Future for Reply<T, A> {
    type Output = Result<T, JoinError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(result) = self.take_given() {
            return Poll::Ready(result);
        }
        // Cloned outside the lock: a waker is foreign code.
        let own = cx.waker().clone();
        let mut state = self.cell.lock();
        let before = match &mut *state {
            State::Open { waker, .. } => waker.replace(own),
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
            State::Open { .. } | State::Taken => {
                panic!("a `RemoteHandle` was asked for its result after it had given it")
            }
        }
    }
}
