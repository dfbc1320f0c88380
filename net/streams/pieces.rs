//! What a [`StreamReader`] gives piece by piece: [`Lines`] and [`Pieces`], as streams and with
//! `next`. They borrow the reader and keep nothing of the data, so that dropping them loses none.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use futures_io::AsyncRead;

use crate::streams::errors::ReadError;
use crate::streams::reader::StreamReader;

/// The lines of a stream: from [`StreamReader::lines_within`]. After an error there are no more; make
/// another one to go on.
///
/// # Examples
///
/// ```
/// use wheelhouse::net::StreamReader;
/// # fn main() -> std::io::Result<()> {
/// # wheelhouse::run(async {
/// let mut reader = StreamReader::new(&b"one\r\ntwo\nthree"[..]);
/// let mut lines = reader.lines_within(1024);
/// while let Some(line) = lines.next().await {
///     println!("{}", line?);
/// }
/// # Ok(())
/// # })
/// # }
/// ```
#[derive(Debug)]
#[must_use = "nothing is read unless it is asked for"]
pub struct Lines<'a, R> {
    reader: &'a mut StreamReader<R>,
    limit: usize,
    searched: usize,
    is_over: bool,
}

/// What is between separators: from [`StreamReader::pieces_within`]. After an error there is no more; make
/// another one to go on.
#[derive(Debug)]
#[must_use = "nothing is read unless it is asked for"]
pub struct Pieces<'a, R> {
    reader: &'a mut StreamReader<R>,
    separator: &'a [u8],
    limit: usize,
    searched: usize,
    is_over: bool,
}

impl<R: AsyncRead + Unpin> StreamReader<R> {
    /// The lines, one after the other, each of `limit` bytes at most with its end.
    pub fn lines_within(&mut self, limit: usize) -> Lines<'_, R> {
        Lines { reader: self, limit, searched: 0, is_over: false }
    }

    /// What is between separators, piece by piece, each of `limit` bytes at most with its
    /// separator.
    ///
    /// # Panics
    ///
    /// When polled, if the separator is empty.
    pub fn pieces_within<'a>(&'a mut self, separator: &'a [u8], limit: usize) -> Pieces<'a, R> {
        Pieces { reader: self, separator, limit, searched: 0, is_over: false }
    }
}

impl<R: AsyncRead + Unpin> Lines<'_, R> {
    /// The next line; `None` when there are no more. Cancel safe. Errors are those of
    /// [`StreamReader::read_line`].
    pub async fn next(&mut self) -> Option<Result<String, ReadError>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl<R: AsyncRead + Unpin> Pieces<'_, R> {
    /// The next piece; `None` when there are no more. Cancel safe. Errors are those of
    /// [`StreamReader::read_until`], but the last piece need not end with a separator.
    pub async fn next(&mut self) -> Option<Result<Vec<u8>, ReadError>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl<R: AsyncRead + Unpin> Stream for Lines<'_, R> {
    type Item = Result<String, ReadError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.is_over {
            return Poll::Ready(None);
        }
        let line = ready!(this.reader.poll_line_owned(cx, this.limit, &mut this.searched));
        this.searched = 0;
        this.is_over = !matches!(line, Ok(Some(_)));
        Poll::Ready(line.transpose())
    }
}

impl<R: AsyncRead + Unpin> Stream for Pieces<'_, R> {
    type Item = Result<Vec<u8>, ReadError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.is_over {
            return Poll::Ready(None);
        }
        let (separator, limit) = (this.separator, this.limit);
        let piece = ready!(this.reader.poll_piece(cx, separator, limit, &mut this.searched));
        this.searched = 0;
        this.is_over = !matches!(piece, Ok(Some(_)));
        Poll::Ready(piece.transpose())
    }
}
