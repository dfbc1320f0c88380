//! Why a task has no output: [`JoinError`].

use std::any::Any;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use crate::task::id::Id;

/// A task gave no output: it was cancelled, it panicked, or its loop is closed or elsewhere.
pub struct JoinError {
    id: Option<Id>,
    cause: Cause,
}

enum Cause {
    Cancelled,
    /// Locked only so that the error is `Sync`: `?` into a boxed error demands it.
    Panicked(Mutex<Box<dyn Any + Send>>),
    Closed,
    Foreign,
}

impl JoinError {
    pub(crate) fn cancelled(id: Option<Id>) -> JoinError {
        JoinError { id, cause: Cause::Cancelled }
    }

    pub(crate) fn panicked(id: Option<Id>, payload: Box<dyn Any + Send>) -> JoinError {
        JoinError { id, cause: Cause::Panicked(Mutex::new(payload)) }
    }

    pub(crate) fn closed(id: Option<Id>) -> JoinError {
        JoinError { id, cause: Cause::Closed }
    }

    pub(crate) fn foreign(id: Option<Id>) -> JoinError {
        JoinError { id, cause: Cause::Foreign }
    }

    /// The task was cancelled: its future was dropped before it finished.
    pub fn is_cancelled(&self) -> bool {
        matches!(self.cause, Cause::Cancelled)
    }

    /// The task panicked, or its future did while it was dropped.
    pub fn is_panic(&self) -> bool {
        matches!(self.cause, Cause::Panicked(_))
    }

    /// The loop was closed before the task finished.
    pub fn is_closed(&self) -> bool {
        matches!(self.cause, Cause::Closed)
    }

    /// The handle was polled outside the loop of its task. Use a
    /// [`RemoteHandle`](crate::RemoteHandle) there.
    pub fn is_foreign(&self) -> bool {
        matches!(self.cause, Cause::Foreign)
    }

    /// What the task panicked with.
    ///
    /// # Panics
    ///
    /// If the task did not panic; [`try_into_panic`](Self::try_into_panic) does not.
    #[track_caller]
    pub fn into_panic(self) -> Box<dyn Any + Send> {
        self.try_into_panic().unwrap_or_else(|error| {
            panic!(
                "`JoinError::into_panic` was called on an error that is not a panic ({error}). \
                 Ask `is_panic` first, or use `try_into_panic`."
            )
        })
    }

    /// What the task panicked with, or the error back if it did not panic.
    ///
    /// # Errors
    ///
    /// The error itself if it is not a panic.
    pub fn try_into_panic(self) -> Result<Box<dyn Any + Send>, JoinError> {
        match self.cause {
            Cause::Panicked(payload) => {
                Ok(payload.into_inner().unwrap_or_else(PoisonError::into_inner))
            }
            cause => Err(JoinError { id: self.id, cause }),
        }
    }

    /// The task's id; `None` if it was never spawned (its loop was closed by then).
    pub fn id(&self) -> Option<Id> {
        self.id
    }
}

/// The text of a panic, where it has one.
pub(crate) fn panic_text(payload: &(dyn Any + Send)) -> &str {
    if let Some(text) = payload.downcast_ref::<&'static str>() {
        text
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text
    } else {
        "a value that is no text"
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.id {
            Some(id) => write!(f, "task {id} ")?,
            None => f.write_str("the task ")?,
        }
        match &self.cause {
            Cause::Cancelled => f.write_str("was cancelled"),
            Cause::Panicked(payload) => {
                let payload = payload.lock().unwrap_or_else(PoisonError::into_inner);
                write!(f, "panicked: {}", panic_text(&**payload))
            }
            Cause::Closed => f.write_str("was dropped: its loop is closed"),
            Cause::Foreign => f.write_str(
                "belongs to another loop than the one that polls its handle; \
                 use a RemoteHandle (`Handle::spawn`) across threads",
            ),
        }
    }
}

impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinError({self})")
    }
}

impl std::error::Error for JoinError {}
