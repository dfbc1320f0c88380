//! [`copy`]: everything from a reader to a writer; and the error that says which of them failed,
//! and after how much.

use std::error::Error;
use std::fmt;
use std::io;

use futures_io::{AsyncRead, AsyncWrite};

use crate::streams::pipe::{Copy, CopyOperation, Pipe};

/// Copies all that comes from `reader` to `writer` until the reader's stream ends, flushes the
/// writer, and gives how many bytes it was. The writer's stream goes on.
///
/// Either may be a reference: `copy(&tcp_stream, &mut file)`. While it waits for the reader it
/// holds no buffer.
///
/// Not cancel safe: dropped while the writer is slow, up to 64 KiB were read and not written.
///
/// # Errors
///
/// [`CopyError`], which says which side failed, and turns into an `io::Error`.
///
/// # Examples
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// # wheelhouse::run(async {
/// let mut copied = Vec::new();
/// let bytes = wheelhouse::net::copy(&b"all of it"[..], &mut copied).await?;
/// assert_eq!((bytes, &copied[..]), (9, &b"all of it"[..]));
/// # Ok(())
/// # })
/// # }
/// ```
pub async fn copy<R, W>(reader: R, writer: W) -> Result<u64, CopyError>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let (copied, result) = Copy { reader, writer, pipe: Pipe::default() }.await;
    match result {
        Ok(()) => Ok(copied),
        Err((operation, error)) => Err(CopyError { operation, copied, error }),
    }
}

/// Why a copy in one direction has failed.
#[derive(Debug)]
pub struct CopyError {
    /// What it was doing: reading is the reader's side, the rest the writer's.
    pub operation: CopyOperation,
    /// How many bytes the writer had taken.
    pub copied: u64,
    /// What went wrong.
    pub error: io::Error,
}

impl fmt::Display for CopyOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CopyOperation::Read => "reading",
            CopyOperation::Write => "writing",
            CopyOperation::Shutdown => "ending",
        })
    }
}

impl fmt::Display for CopyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CopyError { operation, copied, error } = self;
        write!(f, "{operation} failed after {copied} bytes were copied: {error}")
    }
}

impl Error for CopyError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}

impl From<CopyError> for io::Error {
    fn from(error: CopyError) -> io::Error {
        io::Error::new(error.error.kind(), error)
    }
}
