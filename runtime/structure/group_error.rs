//! How a task group ends when not well: what its tasks failed with, and who did not stop when
//! asked.
//!
//! Errors of different types meet in a group, so they are boxed; [`GroupFailure::downcast_ref`]
//! finds the type again.

use std::any::Any;
use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::panic::Location;
use std::sync::{Mutex, PoisonError};

use crate::debug::report;
use crate::task::Id;
use crate::task::error::panic_text;

/// What a task of a [`TaskGroup`](crate::TaskGroup), or its body, may give: `()`, or a `Result`
/// whose error is a failure of the group. So no error is lost because nobody looked at it.
#[diagnostic::on_unimplemented(
    message = "a task of a group gives `()` or a `Result`, not `{Self}`",
    note = "give `Ok::<_, std::convert::Infallible>(value)` for a task that cannot fail",
    note = "the error of a `Result` must be `Into<Box<dyn Error + Send + Sync>>`"
)]
pub trait Outcome {
    /// What comes out of the task's handle.
    type Value;

    /// The value, or the error that ends the group.
    ///
    /// # Errors
    ///
    /// If it was a failure.
    fn into_result(self) -> Result<Self::Value, Box<dyn Error + Send + Sync>>;
}

impl Outcome for () {
    type Value = ();

    fn into_result(self) -> Result<(), Box<dyn Error + Send + Sync>> {
        Ok(())
    }
}

/// What never ends, such as a server's `loop`, has the type `!`, whose name is not stable: this is
/// it.
type Never = <fn() -> ! as Gives>::Output;

trait Gives {
    type Output;
}

impl<T> Gives for fn() -> T {
    type Output = T;
}

// The trait behind the name is nobody's business.
#[allow(private_interfaces)]
impl Outcome for Never {
    type Value = Infallible;

    fn into_result(self) -> Result<Infallible, Box<dyn Error + Send + Sync>> {
        self
    }
}

impl<T, E: Into<Box<dyn Error + Send + Sync>>> Outcome for Result<T, E> {
    type Value = T;

    fn into_result(self) -> Result<T, Box<dyn Error + Send + Sync>> {
        self.map_err(Into::into)
    }
}

/// A task group failed, or was cancelled before its body had ended. It has all failures, in the
/// order in which they happened: the first one caused the cancelling of the rest.
#[derive(Debug)]
pub struct GroupError {
    pub(crate) failures: Vec<GroupFailure>,
}

impl GroupError {
    /// What failed. Empty if the group was cancelled.
    pub fn failures(&self) -> &[GroupFailure] {
        &self.failures
    }

    /// What failed, to take apart.
    pub fn into_failures(self) -> Vec<GroupFailure> {
        self.failures
    }

    /// Whether nothing failed, but the group was cancelled before its body had ended.
    pub fn is_cancelled(&self) -> bool {
        self.failures.is_empty()
    }
}

impl fmt::Display for GroupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.failures.as_slice() {
            [] => f.write_str("the task group was cancelled before its body had ended"),
            [only] => write!(f, "the task group failed: {only}"),
            [first, rest @ ..] => {
                write!(f, "the task group failed: {first}; then {} more", rest.len())?;
                rest.iter().try_for_each(|failure| write!(f, "; {failure}"))
            }
        }
    }
}

impl Error for GroupError {
    /// The first failure, if it is an error.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        let first = self.failures.first()?.error()?;
        Some(first)
    }
}

/// What one task of a group, or the group's body, failed with.
pub struct GroupFailure {
    pub(crate) task: Option<GroupTask>,
    pub(crate) cause: Cause,
}

/// A task of a group, as reports name it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupTask {
    /// The task.
    pub id: Id,
    /// Its name, if it was given one.
    pub name: Option<String>,
    /// Where it was spawned.
    pub location: &'static Location<'static>,
}

pub(crate) enum Cause {
    Error(Box<dyn Error + Send + Sync>),
    /// The lock makes it `Sync`, as those demand who pass errors on; its text stands outside.
    Panicked {
        text: String,
        payload: Mutex<Box<dyn Any + Send>>,
    },
}

impl Cause {
    pub(crate) fn panicked(payload: Box<dyn Any + Send>) -> Cause {
        Cause::Panicked { text: panic_text(&*payload).to_owned(), payload: Mutex::new(payload) }
    }
}

impl GroupFailure {
    /// The task; `None` for the body.
    pub fn task(&self) -> Option<&GroupTask> {
        self.task.as_ref()
    }

    /// The error; `None` if it was a panic.
    pub fn error(&self) -> Option<&(dyn Error + Send + Sync + 'static)> {
        match &self.cause {
            Cause::Error(error) => Some(&**error),
            Cause::Panicked { .. } => None,
        }
    }

    /// The error, if it is of this type.
    pub fn downcast_ref<E: Error + 'static>(&self) -> Option<&E> {
        self.error()?.downcast_ref()
    }

    /// Whether it was a panic.
    pub fn is_panic(&self) -> bool {
        matches!(self.cause, Cause::Panicked { .. })
    }

    /// The error, or what the panic carried.
    ///
    /// # Errors
    ///
    /// What the panic carried, if it was one.
    pub fn into_error(self) -> Result<Box<dyn Error + Send + Sync>, Box<dyn Any + Send>> {
        match self.cause {
            Cause::Error(error) => Ok(error),
            Cause::Panicked { payload, .. } => {
                Err(payload.into_inner().unwrap_or_else(PoisonError::into_inner))
            }
        }
    }
}

impl GroupFailure {
    /// Nobody gets the group's error. As with tasks, a panic must not be lost in silence.
    pub(crate) fn report_unread(self) {
        if let Err(payload) = self.into_error() {
            report::unread_panic(payload, None);
        }
    }
}

impl fmt::Display for GroupFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.task {
            Some(task) => write!(f, "{task}")?,
            None => f.write_str("its body")?,
        }
        match &self.cause {
            Cause::Error(error) => write!(f, ": {error}"),
            Cause::Panicked { text, .. } => write!(f, " panicked: {text}"),
        }
    }
}

impl fmt::Debug for GroupFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GroupFailure({self})")
    }
}

/// How the tasks of a group took it when they were asked to stop: from
/// [`TaskGroup::cancel_with`](crate::TaskGroup::cancel_with).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CancelReport {
    /// Tasks that ended by themselves since they were asked, those spawned meanwhile among them.
    pub stopped: usize,
    /// Tasks that had not when the grace was over, or was cut short by a failure or by
    /// [`TaskGroup::cancel`](crate::TaskGroup::cancel), and were dropped.
    pub left: Vec<GroupTask>,
    /// Whether the group's body was one of those who did not stop.
    pub body_left: bool,
}

impl CancelReport {
    /// Whether all stopped by themselves.
    pub fn is_clean(&self) -> bool {
        self.left.is_empty() && !self.body_left
    }
}

impl fmt::Display for CancelReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.stopped == 1 { "" } else { "s" };
        write!(f, "{} task{plural} stopped", self.stopped)?;
        if self.body_left {
            f.write_str("; the body did not stop")?;
        }
        self.left.iter().try_for_each(|left| write!(f, "; {left} did not stop"))
    }
}

impl fmt::Display for GroupTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task {}", self.id)?;
        if let Some(name) = &self.name {
            write!(f, " \"{name}\"")?;
        }
        write!(f, " (spawned at {})", self.location)
    }
}
