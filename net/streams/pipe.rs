//! One direction of a copy: from a reader to a writer, as a state and a poll.
//!
//! What is read comes out of the thread's one buffer (`scratch.rs`) and goes on at once; only what the
//! writer does not take moves to memory of its own, and nothing is read until that is gone. So a
//! copy that waits for its reader holds no buffer, and a slow writer holds up the reader.
//!
//! A poll ends after so many rounds even if both sides would go on for ever, as those in memory do;
//! sockets of this runtime end it themselves before.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead, AsyncWrite};

use crate::scratch;

/// Reads in one poll: half a mebibyte, a fraction of a millisecond.
const ROUNDS: usize = 8;

/// What a copy was doing when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyOperation {
    /// Reading.
    Read,
    /// Writing or flushing.
    Write,
    /// Ending the writer's stream, after the reader's has ended.
    Shutdown,
}

#[derive(Debug, Default)]
pub(crate) struct Pipe {
    unsent: Vec<u8>,
    sent: usize,
    /// Bytes that the writer has taken.
    pub(crate) copied: u64,
    needs_flush: bool,
    is_ended: bool,
}

impl Pipe {
    /// Copies until the reader has ended, and flushes the writer.
    pub(crate) fn poll_copy<R: AsyncRead + ?Sized, W: AsyncWrite + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        mut reader: Pin<&mut R>,
        mut writer: Pin<&mut W>,
    ) -> Poll<Result<(), (CopyOperation, io::Error)>> {
        let write_error = |error| (CopyOperation::Write, error);
        for _ in 0..ROUNDS {
            ready!(self.poll_send(cx, writer.as_mut())).map_err(write_error)?;
            if self.is_ended {
                return writer.poll_flush(cx).map_err(write_error);
            }
            let mut written = Ok(());
            let step = |buffer: &mut [u8]| {
                let n = ready!(reader.as_mut().poll_read(cx, buffer))?;
                written = self.take(cx, writer.as_mut(), &buffer[..n]);
                Poll::Ready(Ok(n))
            };
            match scratch::read_through(scratch::SIZE, step, |_| ()) {
                Poll::Ready(Ok(())) => written.map_err(write_error)?,
                Poll::Ready(Err(error)) => return Poll::Ready(Err((CopyOperation::Read, error))),
                Poll::Pending => {
                    if self.needs_flush {
                        // The reader may wait for an answer to what the writer still holds.
                        ready!(writer.poll_flush(cx)).map_err(write_error)?;
                        self.needs_flush = false;
                    }
                    return Poll::Pending;
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Writes what was just read, and keeps what the writer does not take.
    fn take<W: AsyncWrite + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        mut writer: Pin<&mut W>,
        mut read: &[u8],
    ) -> io::Result<()> {
        self.is_ended = read.is_empty();
        while !read.is_empty() {
            match writer.as_mut().poll_write(cx, read)? {
                Poll::Ready(n) => read = &read[self.wrote(n)?..],
                Poll::Pending => {
                    self.unsent.extend_from_slice(read);
                    break;
                }
            }
        }
        Ok(())
    }

    fn poll_send<W: AsyncWrite + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        mut writer: Pin<&mut W>,
    ) -> Poll<io::Result<()>> {
        while self.sent < self.unsent.len() {
            let n = ready!(writer.as_mut().poll_write(cx, &self.unsent[self.sent..]))?;
            self.sent += self.wrote(n)?;
        }
        if self.sent > 0 {
            (self.unsent, self.sent) = (Vec::new(), 0);
        }
        Poll::Ready(Ok(()))
    }

    fn wrote(&mut self, n: usize) -> io::Result<usize> {
        if n == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.copied += n as u64;
        self.needs_flush = true;
        Ok(n)
    }
}

/// Awaits a copy in one direction.
pub(crate) struct Copy<R, W> {
    pub(crate) reader: R,
    pub(crate) writer: W,
    pub(crate) pipe: Pipe,
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Future for Copy<R, W> {
    type Output = (u64, Result<(), (CopyOperation, io::Error)>);

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Copy { reader, writer, pipe } = self.get_mut();
        let result = ready!(pipe.poll_copy(cx, Pin::new(reader), Pin::new(writer)));
        Poll::Ready((pipe.copied, result))
    }
}
