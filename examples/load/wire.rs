//! Counts the bytes of a stream that somebody else reads and writes.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead, AsyncWrite};

use crate::stream::Stream;

/// All of a loop's, above TLS if there is any.
#[derive(Debug, Default)]
pub(crate) struct WireBytes {
    pub(crate) sent: Cell<u64>,
    pub(crate) received: Cell<u64>,
}

pub(crate) struct Counted {
    pub(crate) stream: Stream,
    pub(crate) bytes: Rc<WireBytes>,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let count = ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        self.bytes.received.set(self.bytes.received.get() + count as u64);
        Poll::Ready(Ok(count))
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let count = ready!(Pin::new(&mut self.stream).poll_write(cx, data))?;
        self.bytes.sent.set(self.bytes.sent.get() + count as u64);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }
}
