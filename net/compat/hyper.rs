//! What hyper asks of a runtime (`hyper::rt`): its input and output, its clock, its tasks.
//!
//! [`HyperIo`] wraps a stream, and what hyper gives back after an upgrade; [`HyperTimer`] is the
//! loop's clock, and [`HyperExecutor`] spawns on the loop. With them hyper's clients and servers run
//! here, HTTP/1 and HTTP/2, with services, bodies and streams that need not be `Send`. hyper's
//! features are the user's to choose; this needs none.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};
use hyper::rt::{Executor, Read, ReadBuf, ReadBufCursor, Sleep, Timer, Write};
use wheelhouse_runtime as runtime;
use wheelhouse_runtime::time::{Duration, Instant};

use crate::scratch::read_through;

/// A stream as hyper reads and writes it: any that has futures-io's traits, such as
/// [`TcpStream`](crate::TcpStream).
///
/// No buffer is kept while the stream waits. Several buffers are written with one call; a stream
/// that only writes the first of them is better served with hyper's `writev(false)`. hyper's
/// shutdown is futures-io's close.
///
/// It is also the way back: around what is hyper's, such as `hyper::upgrade::Upgraded`, it has
/// futures-io's traits. (Of HTTP/1, the stream itself comes out of `Upgraded::downcast`; a tunnel
/// through HTTP/2 has none of its own.)
///
/// # Examples
///
/// ```
/// use wheelhouse::net::TcpStream;
/// use wheelhouse::net::compat::hyper::HyperIo;
///
/// fn takes_hyper(_: impl hyper::rt::Read + hyper::rt::Write) {}
///
/// fn serve(stream: TcpStream) {
///     takes_hyper(HyperIo::new(stream)); // hyper's serve_connection, handshake, ...
/// }
/// ```
#[derive(Debug)]
pub struct HyperIo<T> {
    stream: T,
}

impl<T> HyperIo<T> {
    /// Wraps a stream.
    pub fn new(stream: T) -> HyperIo<T> {
        HyperIo { stream }
    }

    /// The stream.
    pub fn get_ref(&self) -> &T {
        &self.stream
    }

    /// The stream.
    pub fn get_mut(&mut self) -> &mut T {
        &mut self.stream
    }

    /// Gives the stream back. Nothing is buffered here.
    pub fn into_inner(self) -> T {
        self.stream
    }
}

impl<T: AsyncRead + Unpin> Read for HyperIo<T> {
    #[inline]
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        read_through(
            buffer.remaining(),
            |scratch| Pin::new(&mut self.stream).poll_read(cx, scratch),
            |data| buffer.put_slice(data),
        )
    }
}

impl<T: AsyncWrite + Unpin> Write for HyperIo<T> {
    #[inline]
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    #[inline]
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, data)
    }
}

impl<T: Read + Unpin> AsyncRead for HyperIo<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer.unfilled());
        polled.map_ok(|()| buffer.filled().len())
    }
}

impl<T: Write + Unpin> AsyncWrite for HyperIo<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, data)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// The loop's clock for hyper: real, or virtual in tests, where hyper's timeouts then end at their
/// exact moment and in no time.
///
/// It is used on a loop; so its methods panic where none is running.
#[derive(Clone, Copy, Debug, Default)]
pub struct HyperTimer;

impl Timer for HyperTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        Box::pin(HyperSleep { sleep: runtime::time::sleep(duration) })
    }

    fn sleep_until(&self, deadline: std::time::Instant) -> Pin<Box<dyn Sleep>> {
        let sleep = runtime::time::sleep_until(Instant::from_std(deadline));
        Box::pin(HyperSleep { sleep })
    }

    fn now(&self) -> std::time::Instant {
        Instant::now().into_std()
    }

    /// Moves the deadline without a new allocation.
    fn reset(&self, sleep: &mut Pin<Box<dyn Sleep>>, deadline: std::time::Instant) {
        match sleep.as_mut().downcast_mut_pin::<HyperSleep>() {
            Some(own) => Pin::new(&mut own.get_mut().sleep).reset(Instant::from_std(deadline)),
            // Another timer's.
            None => *sleep = self.sleep_until(deadline),
        }
    }
}

/// A [`Sleep`](runtime::time::Sleep) for hyper, from [`HyperTimer`].
#[derive(Debug)]
struct HyperSleep {
    sleep: runtime::time::Sleep,
}

impl Future for HyperSleep {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.sleep).poll(cx)
    }
}

impl Sleep for HyperSleep {}

/// Spawns hyper's tasks on the loop of this thread. They need not be `Send`.
///
/// Its `execute` panics where no loop is running.
#[derive(Clone, Copy, Debug, Default)]
pub struct HyperExecutor;

impl<F> Executor<F> for HyperExecutor
where
    F: Future + 'static,
    F::Output: 'static,
{
    fn execute(&self, task: F) {
        drop(runtime::spawn(task));
    }
}
