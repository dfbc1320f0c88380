//! [`StreamWriter`]: what was written and not yet sent is in the writer, never in a future. So a
//! `drain` that is dropped halfway has sent nothing twice and lost nothing: the next one goes on
//! where it was.
//!
//! Nothing runs behind the writer's back. asyncio's transports send in the background; here `drain`,
//! `flush` and `shutdown` send, and what they leave stays where it is. That is why the marks are 0
//! unless set: a program that drains and then waits for the answer has sent its question.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSliceMut};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead, AsyncWrite};

/// What the futures-io side takes in one call.
const CHUNK: usize = 64 * 1024;

/// Writes to a stream without waiting, and waits for the stream to keep up where you say so:
/// asyncio's `StreamWriter`, over anything with futures-io's `AsyncWrite`.
///
/// [`write`](Self::write) only keeps the data, [`drain`](Self::drain) sends it. Small writes
/// between two drains go out as one. What is not sent when the writer is dropped is lost;
/// [`shutdown`](Self::shutdown) sends it first. While nothing is unsent, it holds no memory.
///
/// # Back-pressure
///
/// By default `drain` returns when everything is sent. With [`set_limits`](Self::set_limits) it
/// leaves up to `high` bytes for later when the stream takes no more: the program goes on making
/// data while a slow peer reads. Once more than `high` are unsent, `drain` waits until it is `low`
/// or less. What is left is sent by the next call that sends; so before waiting for the peer's
/// answer, [`flush`](Self::flush).
///
/// # Examples
///
/// ```
/// use wheelhouse::net::{StreamReader, StreamWriter, TcpListener, TcpStream};
/// # fn main() -> std::io::Result<()> {
/// # wheelhouse::run(async {
/// # let listener = TcpListener::bind("127.0.0.1:0").await?;
/// # let client = TcpStream::connect(listener.local_addr()?).await?;
/// # let (server, _) = listener.accept().await?;
/// let mut writer = StreamWriter::new(&client);
/// writer.write(b"GET / HTTP/1.0\r\n");
/// write!(writer, "Host: {}\r\n\r\n", "localhost");
/// writer.drain().await?; // one segment
///
/// let mut reader = StreamReader::new(&server);
/// assert_eq!(reader.read_line(1024).await?, Some("GET / HTTP/1.0"));
/// # Ok(())
/// # })
/// # }
/// ```
pub struct StreamWriter<W> {
    io: W,
    data: Vec<u8>,
    /// So much of `data` was sent.
    sent: usize,
    high: usize,
    low: usize,
    /// More than `high` was unsent, and it is not yet down to `low`.
    is_over: bool,
    /// The stream has taken something since it was flushed.
    needs_flush: bool,
}

impl<W> StreamWriter<W> {
    /// Writes to `io`. Both marks are 0.
    pub fn new(io: W) -> StreamWriter<W> {
        let (high, low) = (0, 0);
        StreamWriter {
            io,
            data: Vec::new(),
            sent: 0,
            high,
            low,
            is_over: false,
            needs_flush: false,
        }
    }

    /// Keeps `data` to be sent. It never waits and never fails; nothing limits it but memory, so
    /// [`drain`](Self::drain) now and then.
    pub fn write(&mut self, data: &[u8]) {
        self.data.extend_from_slice(data);
        self.is_over |= self.unsent() > self.high;
    }

    /// As [`write`](Self::write), for text: what `write!` and `writeln!` call.
    ///
    /// # Panics
    ///
    /// If a value's `Display` fails, as `format!` does.
    pub fn write_fmt(&mut self, text: fmt::Arguments<'_>) {
        match text.as_str() {
            Some(text) => self.write(text.as_bytes()),
            None => self.write(text.to_string().as_bytes()),
        }
    }

    /// How many bytes are kept and not sent.
    pub fn unsent(&self) -> usize {
        self.data.len() - self.sent
    }

    /// Sets the marks, in bytes: `drain` leaves up to `high` unsent, and once there are more, waits
    /// until there are `low` or less.
    ///
    /// # Panics
    ///
    /// If `low` is more than `high`.
    #[track_caller]
    pub fn set_limits(&mut self, high: usize, low: usize) {
        assert!(
            low <= high,
            "`StreamWriter::set_limits` was called with high {high} and low {low}: it expects low \
             to be at most high. The first argument is the high mark."
        );
        (self.high, self.low) = (high, low);
        self.is_over = self.unsent() > high;
    }

    /// The marks, high and low, in bytes.
    pub fn limits(&self) -> (usize, usize) {
        (self.high, self.low)
    }

    /// What it writes to.
    pub fn get_ref(&self) -> &W {
        &self.io
    }

    /// What it writes to. What is written past the writer overtakes what it holds.
    pub fn get_mut(&mut self) -> &mut W {
        &mut self.io
    }

    /// What it writes to, and the bytes that are not sent.
    pub fn into_inner(mut self) -> (W, Vec<u8>) {
        self.data.drain(..self.sent);
        (self.io, self.data)
    }
}

impl<W: AsyncWrite + Unpin> StreamWriter<W> {
    /// Sends what the stream takes, and waits until there is little enough left: nothing, unless
    /// [`set_limits`](Self::set_limits) says otherwise.
    ///
    /// Cancel safe: what is not sent stays in the writer.
    ///
    /// # Errors
    ///
    /// The stream's; `WriteZero` if it takes nothing. What is not sent stays in the writer.
    pub async fn drain(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_drain(cx)).await
    }

    /// Sends everything.
    ///
    /// Cancel safe: what is not sent stays in the writer.
    ///
    /// # Errors
    ///
    /// As [`drain`](Self::drain).
    pub async fn flush(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_send(cx, 0)).await
    }

    /// Sends everything, then ends the stream: the peer reads all of it, then the end.
    ///
    /// Cancel safe: call it again to go on.
    ///
    /// # Errors
    ///
    /// As [`drain`](Self::drain).
    pub async fn shutdown(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_shutdown(cx)).await
    }

    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let enough = if self.is_over { self.low } else { self.high };
        self.poll_send(cx, enough)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx, 0))?;
        Pin::new(&mut self.io).poll_close(cx)
    }

    /// Sends all that the stream takes. Ready when no more than `enough` is left.
    fn poll_send(&mut self, cx: &mut Context<'_>, enough: usize) -> Poll<io::Result<()>> {
        while self.unsent() > 0 {
            match Pin::new(&mut self.io).poll_write(cx, &self.data[self.sent..])? {
                Poll::Ready(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(n) => {
                    self.sent += n;
                    self.needs_flush = true;
                }
                Poll::Pending if self.unsent() <= enough => {
                    self.is_over = false;
                    self.forget_sent();
                    return Poll::Ready(Ok(()));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
        (self.data, self.sent, self.is_over) = (Vec::new(), 0, false);
        if self.needs_flush {
            // A stream that keeps data of its own, as TLS does, has to send it.
            ready!(Pin::new(&mut self.io).poll_flush(cx))?;
            self.needs_flush = false;
        }
        Poll::Ready(Ok(()))
    }

    /// More will be written behind what is left: it moves to the front when that is worth it.
    fn forget_sent(&mut self) {
        if self.sent > self.data.len() / 2 {
            self.data.drain(..self.sent);
            self.sent = 0;
        }
    }
}

/// Writing waits where [`drain`](StreamWriter::drain) would.
impl<W: AsyncWrite + Unpin> AsyncWrite for StreamWriter<W> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.is_over {
            ready!(this.poll_drain(cx))?;
        }
        let n = data.len().min(CHUNK);
        this.write(&data[..n]);
        Poll::Ready(Ok(n))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_send(cx, 0)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_shutdown(cx)
    }
}

/// Reading goes straight to the stream below, and sends nothing: drain before waiting for an answer.
impl<W: AsyncRead + Unpin> AsyncRead for StreamWriter<W> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_read(cx, buffer)
    }

    fn poll_read_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_read_vectored(cx, buffers)
    }
}

impl<W: fmt::Debug> fmt::Debug for StreamWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("StreamWriter");
        out.field("io", &self.io).field("unsent", &self.unsent());
        out.field("high", &self.high).field("low", &self.low).finish()
    }
}
