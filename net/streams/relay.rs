//! [`copy_bidirectional`]: two streams tied together, as a proxy does.
//!
//! The directions are independent but for errors. When a stream ends, the other one is ended for
//! writing once all is written to it; the other direction goes on until it ends too. Both are polled
//! in one task: neither can hold up the other, for each poll of a direction is bounded.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead, AsyncWrite};

use crate::streams::pipe::{CopyOperation, Pipe};

/// Copies what comes from each of two streams to the other, until both have ended, and gives how
/// many bytes went from `first` to `second` and back. When one ends, writing to the other is shut
/// down, and the other direction goes on.
///
/// While it waits for both it holds no buffer.
///
/// Not cancel safe: dropped while a stream is slow to take, what was read for it is lost.
///
/// # Errors
///
/// [`RelayError`], which says which stream failed and what was copied until then, and turns into an
/// `io::Error`. Both directions are given up.
///
/// # Examples
///
/// ```
/// use wheelhouse::net::{StreamReader, TcpListener, TcpStream, copy_bidirectional};
/// use wheelhouse::spawn;
/// # use std::net::Shutdown;
/// # fn main() -> std::io::Result<()> {
/// # wheelhouse::run(async {
/// # let server = TcpListener::bind("127.0.0.1:0").await?;
/// # let proxy = TcpListener::bind("127.0.0.1:0").await?;
/// # let (to, from) = (server.local_addr()?, proxy.local_addr()?);
/// let client = TcpStream::connect(from).await?;
/// let (inbound, _) = proxy.accept().await?;
/// let outbound = TcpStream::connect(to).await?;
/// let relay = spawn(async move { copy_bidirectional(&inbound, &outbound).await });
///
/// let (served, _) = server.accept().await?;
/// client.write_all(b"hello?").await?;
/// client.shutdown(Shutdown::Write)?;
/// assert_eq!(StreamReader::new(&served).read_to_end(100).await?, b"hello?");
/// served.write_all(b"hello!").await?;
/// drop(served);
/// assert_eq!(StreamReader::new(&client).read_to_end(100).await?, b"hello!");
/// assert_eq!(relay.await.unwrap()?, (6, 6));
/// # Ok(())
/// # })
/// # }
/// ```
pub async fn copy_bidirectional<A, B>(first: A, second: B) -> Result<(u64, u64), RelayError>
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    Relay { first, second, there: Direction::default(), back: Direction::default() }.await
}

/// Which of the two streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelaySide {
    /// The first argument.
    First,
    /// The second argument.
    Second,
}

/// Why a copy in both directions has failed.
#[derive(Debug)]
pub struct RelayError {
    /// The stream that failed.
    pub side: RelaySide,
    /// What was being done with it.
    pub operation: CopyOperation,
    /// Bytes that the second stream had taken from the first.
    pub to_second: u64,
    /// Bytes that the first stream had taken from the second.
    pub to_first: u64,
    /// What went wrong.
    pub error: io::Error,
}

struct Relay<A, B> {
    first: A,
    second: B,
    there: Direction,
    back: Direction,
}

#[derive(Default)]
struct Direction {
    pipe: Pipe,
    stage: Stage,
}

#[derive(Clone, Copy, Default)]
enum Stage {
    #[default]
    Copying,
    ShuttingDown,
    Done,
}

impl Direction {
    /// Copies, then shuts down writing.
    fn poll<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
        writer: &mut W,
    ) -> Poll<Result<(), (CopyOperation, io::Error)>> {
        if let Stage::Copying = self.stage {
            ready!(self.pipe.poll_copy(cx, Pin::new(reader), Pin::new(writer)))?;
            self.stage = Stage::ShuttingDown;
        }
        if let Stage::ShuttingDown = self.stage {
            let closed = ready!(Pin::new(writer).poll_close(cx));
            closed.map_err(|error| (CopyOperation::Shutdown, error))?;
            self.stage = Stage::Done;
        }
        Poll::Ready(Ok(()))
    }
}

impl<A, B> Relay<A, B> {
    /// `reader` is the side that the direction that failed reads from.
    fn error(
        &self,
        reader: RelaySide,
        (operation, error): (CopyOperation, io::Error),
    ) -> RelayError {
        let side = match (operation, reader) {
            (CopyOperation::Read, side) => side,
            (_, RelaySide::First) => RelaySide::Second,
            (_, RelaySide::Second) => RelaySide::First,
        };
        let (to_second, to_first) = (self.there.pipe.copied, self.back.pipe.copied);
        RelayError { side, operation, to_second, to_first, error }
    }
}

impl<A, B> Future for Relay<A, B>
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    type Output = Result<(u64, u64), RelayError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let there = this.there.poll(cx, &mut this.first, &mut this.second);
        let there = there.map_err(|error| this.error(RelaySide::First, error))?;
        let back = this.back.poll(cx, &mut this.second, &mut this.first);
        let back = back.map_err(|error| this.error(RelaySide::Second, error))?;
        if there.is_pending() || back.is_pending() {
            return Poll::Pending;
        }
        Poll::Ready(Ok((this.there.pipe.copied, this.back.pipe.copied)))
    }
}

impl fmt::Display for RelayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RelayError { operation, to_second, to_first, error, .. } = self;
        let side = if self.side == RelaySide::First { "first" } else { "second" };
        write!(
            f,
            "{operation} the {side} stream failed after {to_second} bytes there and {to_first} \
             back: {error}"
        )
    }
}

impl Error for RelayError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}

impl From<RelayError> for io::Error {
    fn from(error: RelayError) -> io::Error {
        io::Error::new(error.error.kind(), error)
    }
}
