//! What was known of a descriptor's readiness at one moment, and clearing that and nothing newer:
//! what stands behind the guards of `AsyncFd`. And the two errors that `AsyncFd` has.
//!
//! A guard may be held across an await. So it notes the stamp of each direction's last event, and
//! where another event has come since, it clears nothing.

use std::error::Error;
use std::fmt;
use std::io;
use std::os::fd::AsFd;

use crate::reactor::Direction;
use crate::selector::{Interest, Ready};
use crate::source::Source;

/// What was known, and when.
pub(crate) struct Known {
    ready: Ready,
    stamps: [u64; DIRECTIONS.len()],
}

const DIRECTIONS: [Direction; 4] =
    [Direction::Read, Direction::Write, Direction::Priority, Direction::Error];

impl Known {
    /// The source is ready for this.
    pub(crate) fn new<T: AsFd>(source: &Source<T>, ready: Ready) -> Known {
        Known { ready, stamps: DIRECTIONS.map(|direction| source.stamp(direction)) }
    }

    /// Whatever the source may be ready for.
    pub(crate) fn of_all<T: AsFd>(source: &Source<T>) -> Known {
        Known::new(source, Ready::ALL)
    }

    pub(crate) fn ready(&self) -> Ready {
        self.ready
    }

    /// Clears these bits where no event has come since.
    pub(crate) fn clear<T: AsFd>(&mut self, source: &Source<T>, ready: Ready) {
        self.clear_bits(source, ready);
        self.ready = self.ready.without(ready);
    }

    /// Clears what `interest` wants if an operation said `WouldBlock`.
    pub(crate) fn clear_if_blocked<T: AsFd, R>(
        &self,
        source: &Source<T>,
        interest: Interest,
        result: &io::Result<R>,
    ) {
        if is_would_block(result) {
            self.clear_bits(source, wanted_bits(interest));
        }
    }

    /// The result, or if it is `WouldBlock` the error that says so, and nothing is ready any more.
    pub(crate) fn judge<T: AsFd, R>(
        &mut self,
        source: &Source<T>,
        result: io::Result<R>,
    ) -> Result<io::Result<R>, TryIoError> {
        if is_would_block(&result) {
            self.clear(source, self.ready);
            return Err(TryIoError(()));
        }
        Ok(result)
    }

    fn clear_bits<T: AsFd>(&self, source: &Source<T>, ready: Ready) {
        for (direction, stamp) in DIRECTIONS.into_iter().zip(self.stamps) {
            source.clear_since(direction, ready, stamp);
        }
    }
}

fn wanted_bits(interest: Interest) -> Ready {
    let mut ready = Ready::EMPTY;
    for (is_wanted, direction) in [
        (interest.is_readable(), Direction::Read),
        (interest.is_writable(), Direction::Write),
        (interest.is_priority(), Direction::Priority),
        (interest.is_error(), Direction::Error),
    ] {
        if is_wanted {
            ready |= direction.mask();
        }
    }
    ready
}

fn is_would_block<R>(result: &io::Result<R>) -> bool {
    matches!(result, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

/// The operation would have blocked; the readiness was cleared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TryIoError(());

impl fmt::Display for TryIoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the operation would have blocked")
    }
}

impl Error for TryIoError {}

/// A descriptor could not be watched. Here it is, and why.
pub struct AsyncFdRegisterError<T> {
    io: T,
    cause: io::Error,
}

impl<T> AsyncFdRegisterError<T> {
    pub(crate) fn new(io: T, cause: io::Error) -> AsyncFdRegisterError<T> {
        AsyncFdRegisterError { io, cause }
    }

    /// The descriptor, and the selector's error.
    pub fn into_parts(self) -> (T, io::Error) {
        (self.io, self.cause)
    }
}

impl<T> fmt::Display for AsyncFdRegisterError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the descriptor cannot be watched: {}", self.cause)
    }
}

impl<T> fmt::Debug for AsyncFdRegisterError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AsyncFdRegisterError").field(&self.cause).finish()
    }
}

impl<T> Error for AsyncFdRegisterError<T> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.cause)
    }
}

impl<T> From<AsyncFdRegisterError<T>> for io::Error {
    fn from(error: AsyncFdRegisterError<T>) -> io::Error {
        error.cause
    }
}
