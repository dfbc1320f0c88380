//! What can go wrong in a [`StreamReader`](crate::StreamReader), with the data that was there.
//!
//! The types are closed: there are no other ways. Each turns into an `io::Error` that has it inside
//! (`io::Error::get_ref`), so that `?` does in functions that return `io::Result`.

use std::error::Error;
use std::fmt;
use std::io;

/// Why a [`StreamReader`](crate::StreamReader) has not given what was asked for.
#[derive(Debug)]
pub enum ReadError {
    /// The stream has failed. What was read before stays in the reader.
    Io(io::Error),
    /// The stream has ended too early.
    Incomplete(IncompleteRead),
    /// It would have been more than the limit.
    Limit(LimitOverrun),
    /// A line is not UTF-8.
    NotUtf8(NotUtf8),
}

/// The stream has ended before all of it came: asyncio's `IncompleteReadError`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncompleteRead {
    /// What came, taken out of the reader.
    pub partial: Vec<u8>,
    /// How many bytes were asked for, if it was a number.
    pub expected: Option<usize>,
}

/// It would have been more than the limit: asyncio's `LimitOverrunError`. Everything stays in the
/// reader: ask again with another limit, or get past it with
/// [`skip_until`](crate::StreamReader::skip_until) or [`consume`](crate::StreamReader::consume).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitOverrun {
    /// The limit, in bytes.
    pub limit: usize,
}

/// A line is not UTF-8.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotUtf8 {
    /// The line without its end, taken out of the reader.
    pub line: Vec<u8>,
}

impl ReadError {
    /// The kind that the error has as an `io::Error`.
    pub fn kind(&self) -> io::ErrorKind {
        match self {
            ReadError::Io(error) => error.kind(),
            ReadError::Incomplete(_) => io::ErrorKind::UnexpectedEof,
            ReadError::Limit(_) | ReadError::NotUtf8(_) => io::ErrorKind::InvalidData,
        }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadError::Io(error) => error.fmt(f),
            ReadError::Incomplete(error) => error.fmt(f),
            ReadError::Limit(error) => error.fmt(f),
            ReadError::NotUtf8(error) => error.fmt(f),
        }
    }
}

impl fmt::Display for IncompleteRead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let came = self.partial.len();
        match self.expected {
            Some(expected) => write!(f, "the stream ended after {came} of {expected} bytes"),
            None => write!(f, "the stream ended after {came} bytes, before the separator"),
        }
    }
}

impl fmt::Display for LimitOverrun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is no end within the limit of {} bytes", self.limit)
    }
}

impl fmt::Display for NotUtf8 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a line of {} bytes is not UTF-8", self.line.len())
    }
}

impl Error for ReadError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            ReadError::Io(error) => error.source(),
            _ => None,
        }
    }
}

impl Error for IncompleteRead {}
impl Error for LimitOverrun {}
impl Error for NotUtf8 {}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> ReadError {
        ReadError::Io(error)
    }
}

impl From<ReadError> for io::Error {
    fn from(error: ReadError) -> io::Error {
        match error {
            ReadError::Io(error) => error,
            ReadError::Incomplete(error) => error.into(),
            ReadError::Limit(error) => error.into(),
            ReadError::NotUtf8(error) => error.into(),
        }
    }
}

impl From<IncompleteRead> for io::Error {
    fn from(error: IncompleteRead) -> io::Error {
        io::Error::new(io::ErrorKind::UnexpectedEof, error)
    }
}

impl From<LimitOverrun> for io::Error {
    fn from(error: LimitOverrun) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, error)
    }
}

impl From<NotUtf8> for io::Error {
    fn from(error: NotUtf8) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, error)
    }
}
