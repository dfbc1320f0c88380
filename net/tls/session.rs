//! The moves of a TLS connection: rustls's connection and the stream below it. This is the only
//! file that knows how rustls is driven.
//!
//! rustls holds what is received until it is read, and what is to be sent, encrypted, until the
//! stream takes it. Nothing is lost when the stream is not ready: what it did not take stays, and
//! goes out with the next move of any kind.
//!
//! # Who sends what is left
//!
//! Reading also sends, for what is queued may be what the peer waits for, and who wrote it may be
//! gone. But the stream below wakes only the task that polled last for each direction; when one
//! task reads and another writes, neither may take the other's place. So both are noted, and while
//! the stream takes no more, both are woken when it does ([`Several`]).

use std::io::{self, IoSlice, Read, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker, ready};

use futures_io::{AsyncRead, AsyncWrite};
use rustls::Connection;

pub(crate) struct Session<S> {
    pub(crate) stream: S,
    pub(crate) tls: Connection,
    /// Who wrote what is not sent yet.
    writer: Option<Waker>,
    /// Who read last, and perhaps waits for what comes.
    reader: Option<Waker>,
    /// Why the connection cannot be read any more. It is told once what came before is read.
    failure: Option<rustls::Error>,
    is_closed: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    pub(crate) fn new(stream: S, tls: Connection) -> Session<S> {
        Session { stream, tls, writer: None, reader: None, failure: None, is_closed: false }
    }

    /// Goes through the handshake: ready when the peer may rely on it, which is when our last
    /// message has left the stream below too.
    pub(crate) fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let sent = ready!(self.poll_send_all(cx));
            if !self.tls.is_handshaking() {
                return Poll::Ready(sent);
            }
            if let Err(error) = sent {
                // The peer may have said why before it closed.
                return match self.poll_receive(cx) {
                    Poll::Ready(Err(reason)) if self.failure.is_some() => Poll::Ready(Err(reason)),
                    _ => Poll::Ready(Err(error)),
                };
            }
            if ready!(self.poll_receive(cx))? == 0 && self.tls.is_handshaking() {
                let what = "the peer closed the connection during the TLS handshake";
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, what)));
            }
        }
    }

    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            match self.tls.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
            if let Some(failure) = &self.failure {
                return Poll::Ready(Err(invalid(failure)));
            }
            note(&mut self.reader, cx);
            // If it fails, reading may still go on, and tells why if not.
            let _ = self.poll_send_queued(cx);
            match ready!(self.poll_receive(cx)) {
                // What came before the failure is to be read first; so is the end.
                Err(error) if self.failure.is_none() => return Poll::Ready(Err(error)),
                _ => {}
            }
        }
    }

    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.is_closed {
            let what = "the TLS stream was closed: nothing can be written any more";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::BrokenPipe, what)));
        }
        let is_nothing = data.iter().all(|data| data.is_empty());
        loop {
            let taken = self.tls.writer().write_vectored(data)?;
            let sent = self.poll_send(cx)?;
            if taken > 0 || is_nothing {
                return Poll::Ready(Ok(taken));
            }
            // It holds as much as it may. When that is sent, there is room.
            ready!(sent);
        }
    }

    /// Sends all that was written, and flushes the stream below.
    pub(crate) fn poll_send_all(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// Sends close_notify after what was written, then closes the stream below.
    pub(crate) fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.is_closed {
            self.is_closed = true;
            self.tls.send_close_notify();
        }
        match ready!(self.poll_send_all(cx)) {
            // The peer has said that it is done and has left: nobody is there to be told.
            Err(error) if self.peer_has_closed() && is_gone(&error) => {}
            result => result?,
        }
        Pin::new(&mut self.stream).poll_close(cx)
    }

    fn peer_has_closed(&mut self) -> bool {
        matches!(self.tls.process_new_packets(), Ok(state) if state.peer_has_closed())
    }

    /// Sends what is queued, as who writes. Pending: the task is woken when the stream takes more.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.tls.wants_write() {
            note(&mut self.writer, cx);
        }
        self.poll_send_queued(cx)
    }

    /// Sends what is queued, on whosever behalf.
    fn poll_send_queued(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut sent = self.poll_send_alone(cx);
        let all = if sent.is_pending() { self.all_who_wait(cx) } else { None };
        if let Some(all) = all {
            // Once more, only to be heard: it must be all of them who are woken.
            sent = self.poll_send_alone(&mut Context::from_waker(&all));
        }
        if sent.is_ready() {
            self.writer = None;
        }
        sent
    }

    fn poll_send_alone(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.tls.wants_write() {
            let mut polled = Polled { stream: &mut self.stream, cx };
            match self.tls.write_tls(&mut polled) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Wakes this task and those noted; `None` if there is no other.
    fn all_who_wait(&self, cx: &Context<'_>) -> Option<Waker> {
        let others = [&self.reader, &self.writer].into_iter().flatten();
        let mut others = others.filter(|other| !other.will_wake(cx.waker())).peekable();
        others.peek()?;
        let all = others.chain([cx.waker()]).cloned().collect();
        Some(Waker::from(Arc::new(Several(all))))
    }

    /// Receives once, and understands what came. 0 is the end of what the peer sends.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut polled = Polled { stream: &mut self.stream, cx };
        let received = match self.tls.read_tls(&mut polled) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
            result => result?,
        };
        if let Err(failure) = self.tls.process_new_packets() {
            let error = invalid(&failure);
            self.failure = Some(failure);
            // An alert tells the peer why, if there is room for it.
            if self.poll_send_queued(cx).is_ready() {
                let _ = Pin::new(&mut self.stream).poll_flush(cx);
            }
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(received))
    }
}

/// The tasks that are to be woken when the stream takes more.
struct Several(Vec<Waker>);

impl Wake for Several {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.iter().for_each(Waker::wake_by_ref);
    }
}

fn note(place: &mut Option<Waker>, cx: &Context<'_>) {
    match place {
        Some(noted) => noted.clone_from(cx.waker()),
        None => *place = Some(cx.waker().clone()),
    }
}

fn invalid(failure: &rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, failure.clone())
}

fn is_gone(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected)
}

/// A stream for rustls, which asks and does not wait: pending is `WouldBlock` to it.
struct Polled<'a, 'b, S> {
    stream: &'a mut S,
    cx: &'a mut Context<'b>,
}

fn or_would_block<T>(polled: Poll<io::Result<T>>) -> io::Result<T> {
    match polled {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

impl<S: AsyncRead + Unpin> Read for Polled<'_, '_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        or_would_block(Pin::new(&mut *self.stream).poll_read(self.cx, buffer))
    }
}

impl<S: AsyncWrite + Unpin> Write for Polled<'_, '_, S> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        or_would_block(Pin::new(&mut *self.stream).poll_write(self.cx, data))
    }

    fn write_vectored(&mut self, data: &[IoSlice<'_>]) -> io::Result<usize> {
        or_would_block(Pin::new(&mut *self.stream).poll_write_vectored(self.cx, data))
    }

    fn flush(&mut self) -> io::Result<()> {
        or_would_block(Pin::new(&mut *self.stream).poll_flush(self.cx))
    }
}
