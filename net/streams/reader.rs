//! [`StreamReader`]: what was read and not yet taken is in the reader, never in a future. So a read
//! that is dropped halfway, by a timeout or a `select!`, has lost nothing: the next one goes on
//! where it was.
//!
//! The reader has memory only while there is something unread: what it waits with is the thread's
//! one buffer (`scratch.rs`).

use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncBufRead, AsyncRead, AsyncWrite};

use crate::scratch;
use crate::streams::errors::{IncompleteRead, LimitOverrun, NotUtf8, ReadError};

/// How much is read at once unless more is asked for.
const CHUNK: usize = 16 * 1024;

/// Reads from a stream by number of bytes, by separator or by line: asyncio's `StreamReader`, over
/// anything with futures-io's `AsyncRead`.
///
/// Every method is cancel safe, `read_exact`, `read_until` and `read_line` too: what they have
/// found so far stays in the reader. Errors lose nothing either: see [`ReadError`].
///
/// It reads ahead, 16 KiB at a time; what was not asked for yet is in [`buffer`](Self::buffer), and
/// comes back from [`into_inner`](Self::into_inner). While nothing is unread, it holds no memory.
/// Over a stream that can be written it can be as well, so that it may be handed on as a whole: to
/// a TLS handshake, which then reads first what was read ahead.
///
/// # Examples
///
/// ```
/// use wheelhouse::net::{StreamReader, TcpListener, TcpStream};
/// use wheelhouse::time::{Duration, timeout};
/// # fn main() -> std::io::Result<()> {
/// # wheelhouse::run(async {
/// # let listener = TcpListener::bind("127.0.0.1:0").await?;
/// # let client = TcpStream::connect(listener.local_addr()?).await?;
/// # let (server, _) = listener.accept().await?;
/// let mut reader = StreamReader::new(&server);
/// client.write_all(b"half of ").await?;
/// let half = timeout(Duration::from_millis(10), reader.read_line(1024)).await;
/// assert!(half.is_err(), "the line has no end yet");
///
/// client.write_all(b"a line\r\nHEAD....").await?;
/// assert_eq!(reader.read_line(1024).await?, Some("half of a line"));
/// assert_eq!(reader.read_until(b"..", 1024).await?, b"HEAD..");
/// # Ok(())
/// # })
/// # }
/// ```
pub struct StreamReader<R> {
    io: R,
    data: Vec<u8>,
    /// So much of `data` was taken.
    taken: usize,
    is_ended: bool,
}

/// Where what was looked for ends, in bytes from the first unread one.
enum Found {
    Separator(usize),
    /// The stream ended first.
    End(usize),
}

/// Whether what is looked for must end with the separator.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ends {
    Needed,
    /// The last piece may end with the stream.
    Spared,
}

impl<R> StreamReader<R> {
    /// Reads from `io`.
    pub fn new(io: R) -> StreamReader<R> {
        StreamReader { io, data: Vec::new(), taken: 0, is_ended: false }
    }

    /// What was read and not yet taken.
    pub fn buffer(&self) -> &[u8] {
        &self.data[self.taken..]
    }

    /// Takes bytes out of [`buffer`](Self::buffer).
    ///
    /// # Panics
    ///
    /// If there are not so many.
    #[track_caller]
    pub fn consume(&mut self, bytes: usize) {
        let there = self.buffer().len();
        assert!(
            bytes <= there,
            "`StreamReader::consume` was called with {bytes} bytes, but {there} are unread: it \
             expects at most as many as `buffer` or `fill_buf` gave"
        );
        self.taken += bytes;
    }

    /// What it reads from.
    pub fn get_ref(&self) -> &R {
        &self.io
    }

    /// What it reads from. What is read from it past the reader is missing there.
    pub fn get_mut(&mut self) -> &mut R {
        &mut self.io
    }

    /// What it reads from, and the bytes that it read ahead.
    pub fn into_inner(mut self) -> (R, Vec<u8>) {
        self.compact();
        (self.io, self.data)
    }

    fn take(&mut self, bytes: usize) -> &[u8] {
        let from = self.taken;
        self.taken += bytes;
        &self.data[from..self.taken]
    }

    fn take_all(&mut self) -> Vec<u8> {
        self.compact();
        std::mem::take(&mut self.data)
    }

    /// Moves what is unread to the front.
    fn compact(&mut self) {
        self.data.drain(..self.taken);
        self.taken = 0;
    }
}

impl<R: AsyncRead + Unpin> StreamReader<R> {
    /// Reads what is there, at least a byte unless `buffer` is empty or the stream has ended: then
    /// it is 0.
    ///
    /// Cancel safe: nothing is read once it is dropped.
    ///
    /// # Errors
    ///
    /// The stream's.
    pub async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        poll_fn(|cx| self.poll_read_into(cx, buffer)).await
    }

    /// Fills `buffer`.
    ///
    /// Cancel safe: what has come stays in the reader, and `buffer` is untouched until all has.
    ///
    /// # Errors
    ///
    /// `Incomplete`, with what came, if the stream ends before; the stream's.
    pub async fn read_exact(&mut self, buffer: &mut [u8]) -> Result<(), ReadError> {
        let wanted = buffer.len();
        while self.buffer().len() < wanted {
            if self.is_ended {
                let partial = self.take_all();
                let expected = Some(wanted);
                return Err(ReadError::Incomplete(IncompleteRead { partial, expected }));
            }
            let missing = wanted - self.buffer().len();
            poll_fn(|cx| self.poll_fill(cx, missing)).await?;
        }
        buffer.copy_from_slice(self.take(wanted));
        Ok(())
    }

    /// Reads up to a separator of one or more bytes, and gives what came with the separator:
    /// `limit` bytes at most, the separator counted in.
    ///
    /// Cancel safe: what has come stays in the reader.
    ///
    /// # Errors
    ///
    /// `Incomplete`, with what came, if the stream ends before; `Limit` if the separator does not
    /// end within the limit; the stream's.
    ///
    /// # Panics
    ///
    /// If the separator is empty.
    pub async fn read_until(&mut self, separator: &[u8], limit: usize) -> Result<&[u8], ReadError> {
        let mut searched = 0;
        let ends = Ends::Needed;
        match poll_fn(|cx| self.poll_find(cx, separator, ends, limit, &mut searched)).await? {
            Found::Separator(end) => Ok(self.take(end)),
            Found::End(_) => {
                let partial = self.take_all();
                Err(ReadError::Incomplete(IncompleteRead { partial, expected: None }))
            }
        }
    }

    /// Reads a line: up to `\n`, and gives it without the `\n` or `\r\n`; `None` at the end of the
    /// stream. The last line need not end with one. `limit` is how many bytes the line may have,
    /// its end counted in.
    ///
    /// Cancel safe: what has come stays in the reader.
    ///
    /// # Errors
    ///
    /// `Limit` if the line does not end within the limit; `NotUtf8`, with the line; the stream's.
    pub async fn read_line(&mut self, limit: usize) -> Result<Option<&str>, ReadError> {
        let mut searched = 0;
        let (length, from) = match poll_fn(|cx| self.poll_line(cx, limit, &mut searched)).await? {
            None => return Ok(None),
            Some(line) => line,
        };
        let line = &self.data[from..from + length];
        match std::str::from_utf8(line) {
            Ok(line) => Ok(Some(line)),
            Err(_) => Err(ReadError::NotUtf8(NotUtf8 { line: line.to_vec() })),
        }
    }

    /// Reads all that comes until the stream ends, `limit` bytes at most.
    ///
    /// Cancel safe: what has come stays in the reader.
    ///
    /// # Errors
    ///
    /// `Limit` if there is more; the stream's.
    pub async fn read_to_end(&mut self, limit: usize) -> Result<Vec<u8>, ReadError> {
        loop {
            if self.buffer().len() > limit {
                return Err(ReadError::Limit(LimitOverrun { limit }));
            }
            if self.is_ended {
                return Ok(self.take_all());
            }
            poll_fn(|cx| self.poll_fill(cx, scratch::SIZE)).await?;
        }
    }

    /// Drops everything up to a separator and the separator too, however much it is, and keeps
    /// none of it meanwhile. `false`: the stream has ended first, and all of it was dropped.
    ///
    /// Cancel safe: the next call goes on, even within a separator.
    ///
    /// # Errors
    ///
    /// The stream's.
    ///
    /// # Panics
    ///
    /// If the separator is empty.
    pub async fn skip_until(&mut self, separator: &[u8]) -> io::Result<bool> {
        loop {
            if let Some(at) = find(self.buffer(), separator) {
                self.taken += at + separator.len();
                return Ok(true);
            }
            let there = self.buffer().len();
            // The separator may have begun.
            let kept = if self.is_ended { 0 } else { there.min(separator.len() - 1) };
            self.taken += there - kept;
            if self.is_ended {
                return Ok(false);
            }
            poll_fn(|cx| self.poll_fill(cx, CHUNK)).await?;
        }
    }

    /// Waits until there is a byte to read or the stream has ended, and says whether it is the end.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    ///
    /// The stream's.
    pub async fn at_eof(&mut self) -> io::Result<bool> {
        Ok(self.fill_buf().await?.is_empty())
    }

    /// What is unread, after waiting until there is something; it is empty only when the stream has
    /// ended. It stays unread until [`consume`](Self::consume).
    ///
    /// Cancel safe.
    ///
    /// # Errors
    ///
    /// The stream's.
    pub async fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.buffer().is_empty() && !self.is_ended {
            poll_fn(|cx| self.poll_fill(cx, CHUNK)).await?;
        }
        Ok(self.buffer())
    }

    fn poll_read_into(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if self.buffer().is_empty() && !buffer.is_empty() && !self.is_ended {
            if buffer.len() >= CHUNK {
                let n = ready!(Pin::new(&mut self.io).poll_read(cx, buffer))?;
                self.is_ended = n == 0;
                return Poll::Ready(Ok(n));
            }
            ready!(self.poll_fill(cx, CHUNK))?;
        }
        let n = buffer.len().min(self.buffer().len());
        buffer[..n].copy_from_slice(self.take(n));
        Poll::Ready(Ok(n))
    }

    /// Takes a line: how long it is without its end, and where in `data` it begins.
    pub(crate) fn poll_line(
        &mut self,
        cx: &mut Context<'_>,
        limit: usize,
        searched: &mut usize,
    ) -> Poll<Result<Option<(usize, usize)>, ReadError>> {
        let length = match ready!(self.poll_find(cx, b"\n", Ends::Spared, limit, searched))? {
            Found::End(0) => return Poll::Ready(Ok(None)),
            Found::End(length) | Found::Separator(length) => length,
        };
        let from = self.taken;
        let line = self.take(length);
        let bare = line.strip_suffix(b"\n").map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let bare = bare.unwrap_or(line).len();
        Poll::Ready(Ok(Some((bare, from))))
    }

    /// As `poll_line`, for a text of its own.
    pub(crate) fn poll_line_owned(
        &mut self,
        cx: &mut Context<'_>,
        limit: usize,
        searched: &mut usize,
    ) -> Poll<Result<Option<String>, ReadError>> {
        let Some((length, from)) = ready!(self.poll_line(cx, limit, searched))? else {
            return Poll::Ready(Ok(None));
        };
        let line = self.data[from..from + length].to_vec();
        let line = String::from_utf8(line);
        let line = line.map_err(|error| NotUtf8 { line: error.into_bytes() });
        Poll::Ready(line.map(Some).map_err(ReadError::NotUtf8))
    }

    /// Takes what is before the next separator; the last piece need not end with one.
    pub(crate) fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
        separator: &[u8],
        limit: usize,
        searched: &mut usize,
    ) -> Poll<Result<Option<Vec<u8>>, ReadError>> {
        let found = ready!(self.poll_find(cx, separator, Ends::Spared, limit, searched))?;
        let (length, rest) = match found {
            Found::End(0) => return Poll::Ready(Ok(None)),
            Found::End(length) => (length, 0),
            Found::Separator(length) => (length - separator.len(), separator.len()),
        };
        let piece = self.take(length).to_vec();
        self.taken += rest;
        Poll::Ready(Ok(Some(piece)))
    }

    /// Looks for a separator that ends within `limit`. So many unread bytes are known to hold
    /// none.
    fn poll_find(
        &mut self,
        cx: &mut Context<'_>,
        separator: &[u8],
        ends: Ends,
        limit: usize,
        searched: &mut usize,
    ) -> Poll<Result<Found, ReadError>> {
        loop {
            let there = self.buffer().len();
            let within = &self.buffer()[..there.min(limit)];
            if let Some(at) = find(&within[*searched..], separator) {
                let end = *searched + at + separator.len();
                return Poll::Ready(Ok(Found::Separator(end)));
            }
            *searched = within.len().saturating_sub(separator.len() - 1);
            // What fills the limit may be the last piece: that shows with the next byte.
            if there > limit || (there == limit && ends == Ends::Needed) {
                return Poll::Ready(Err(ReadError::Limit(LimitOverrun { limit })));
            }
            if self.is_ended {
                return Poll::Ready(Ok(Found::End(there)));
            }
            ready!(self.poll_fill(cx, CHUNK))?;
        }
    }

    /// Reads more, or learns that the stream has ended.
    fn poll_fill(&mut self, cx: &mut Context<'_>, wanted: usize) -> Poll<io::Result<()>> {
        if self.taken == self.data.len() {
            self.data.clear();
            self.taken = 0;
        } else if self.taken > self.data.len() / 2 {
            self.compact();
        }
        let StreamReader { io, data, is_ended, .. } = self;
        let read = |buffer: &mut [u8]| Pin::new(io).poll_read(cx, buffer);
        let read = scratch::read_through(wanted.max(CHUNK), read, |read| {
            data.extend_from_slice(read);
            *is_ended = read.is_empty();
        });
        if read.is_pending() && data.is_empty() {
            // Who waits with nothing unread holds nothing.
            *data = Vec::new();
        }
        read
    }
}

#[track_caller]
fn find(data: &[u8], separator: &[u8]) -> Option<usize> {
    match separator {
        [] => panic!(
            "a `StreamReader` was asked to read up to an empty separator: it expects at least a \
             byte. To read whatever comes, use `read`."
        ),
        [byte] => memchr::memchr(*byte, data),
        _ => memchr::memmem::find(data, separator),
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for StreamReader<R> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_read_into(cx, buffer)
    }
}

impl<R: AsyncRead + Unpin> AsyncBufRead for StreamReader<R> {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        if this.buffer().is_empty() && !this.is_ended {
            ready!(this.poll_fill(cx, CHUNK))?;
        }
        Poll::Ready(Ok(this.buffer()))
    }

    fn consume(self: Pin<&mut Self>, bytes: usize) {
        StreamReader::consume(self.get_mut(), bytes);
    }
}

/// Writing goes straight to the stream below.
impl<R: AsyncWrite + Unpin> AsyncWrite for StreamReader<R> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, data)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write_vectored(cx, data)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_close(cx)
    }
}

impl<R: fmt::Debug> fmt::Debug for StreamReader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("StreamReader");
        out.field("io", &self.io).field("unread", &self.buffer().len());
        out.field("is_ended", &self.is_ended).finish()
    }
}
