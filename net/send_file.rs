//! Sending a file: by the system alone where it can, else through memory of ours.
//!
//! Reading a file blocks: there is no readiness for it. sendfile(2) reads in the middle of the call,
//! on the loop's thread, which costs nothing while the file is in the system's memory and as long as
//! the disk takes where it is not. The portable way reads on the blocking pool, so that the loop
//! never waits for a disk, and copies.

use std::fs::File;
use std::future::poll_fn;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;

use futures_io::AsyncWrite;
use rustix::io::Errno;
use wheelhouse_runtime::{spawn_blocking, yield_now};

use crate::stream::StreamSocket;
use crate::streams::copy::CopyError;
use crate::streams::pipe::CopyOperation;
use crate::transport::Transport;

/// As much as one call sends.
const PART: u64 = 256 * 1024;

/// After so many calls the others have a turn: a mebibyte.
const PARTS_IN_A_ROW: usize = 4;

/// As much as one job on the pool reads.
const CHUNK: u64 = 128 * 1024;

impl<S: Transport> StreamSocket<S> {
    /// Sends a range of a file, `..` for all of it, and gives how many bytes that was. The file may
    /// end before the range does, also because somebody shortens it meanwhile; then it is fewer. Its
    /// position is neither used nor moved.
    ///
    /// On Linux the system sends it (sendfile(2)) without a copy through memory. Where a part is not
    /// in the system's memory, the loop waits for the disk: for large files on slow disks
    /// [`send_file`](crate::send_file), which reads on the blocking pool, is the better choice. It
    /// is also what is done on other systems, and with files that the system cannot send.
    ///
    /// Not cancel safe: dropped halfway, nobody knows how much was sent.
    ///
    /// # Errors
    ///
    /// [`CopyError`], which says whether it was the file or the stream, and after how much.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn f(stream: wheelhouse::net::TcpStream) -> std::io::Result<()> {
    /// let file = std::fs::File::open("index.html")?;
    /// let length = file.metadata()?.len();
    /// stream.write_all(format!("content-length: {length}\r\n\r\n").as_bytes()).await?;
    /// assert_eq!(stream.send_file(&file, ..length).await?, length);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn send_file(
        &self,
        file: &File,
        range: impl RangeBounds<u64>,
    ) -> Result<u64, CopyError> {
        let (start, end) = bounds(range);
        let mut at = start;
        let mut parts = 0;
        while at < end {
            let part = PART.min(end - at) as usize;
            match self.source().send_file(file.as_fd(), at, part).await {
                Ok(0) => break,
                Ok(n) => at += n as u64,
                Err(error) if is_no_way(&error) => {
                    let before = at - start;
                    let rest = send_file(self, file, at..end).await;
                    let counted =
                        |error: CopyError| CopyError { copied: before + error.copied, ..error };
                    return rest.map(|rest| before + rest).map_err(counted);
                }
                Err(error) => {
                    let copied = at - start;
                    return Err(CopyError { operation: CopyOperation::Write, copied, error });
                }
            }
            parts += 1;
            if parts % PARTS_IN_A_ROW == 0 {
                yield_now().await;
            }
        }
        Ok(at - start)
    }
}

/// The system has no such call, or not for this file; or it is the file that has failed, which
/// reading it tells apart from the stream.
fn is_no_way(error: &io::Error) -> bool {
    let is_of_the_file = [Errno::BADF, Errno::IO, Errno::SPIPE];
    matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::InvalidInput)
        || Errno::from_io_error(error).is_some_and(|errno| is_of_the_file.contains(&errno))
}

/// Sends a range of a file, `..` for all of it, to any writer, flushes it, and gives how many bytes
/// that was. The file may end before the range does; then it is fewer. Its position is neither used
/// nor moved.
///
/// It reads on the blocking pool, 128 KiB at a time, so that the loop never waits for a disk. To a
/// socket, [`StreamSocket::send_file`] is faster where the file is in the system's memory.
///
/// Not cancel safe: dropped halfway, nobody knows how much was sent.
///
/// # Errors
///
/// [`CopyError`], which says whether it was the file or the writer, and after how much.
///
/// # Panics
///
/// If no loop is running on this thread.
///
/// # Examples
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// # wheelhouse::run(async {
/// # let path = std::env::temp_dir().join(format!("wheelhouse-send-{}", std::process::id()));
/// # std::fs::write(&path, "0123456789")?;
/// let file = std::fs::File::open(&path)?;
/// let mut sent = Vec::new();
/// assert_eq!(wheelhouse::net::send_file(&mut sent, &file, 2..5).await?, 3);
/// assert_eq!(sent, b"234");
/// # std::fs::remove_file(&path)
/// # })
/// # }
/// ```
pub async fn send_file<W: AsyncWrite + Unpin>(
    mut writer: W,
    file: &File,
    range: impl RangeBounds<u64>,
) -> Result<u64, CopyError> {
    let (start, end) = bounds(range);
    let mut at = start;
    let failed = |operation, at, error| CopyError { operation, copied: at - start, error };
    let file = file.try_clone().map_err(|error| failed(CopyOperation::Read, at, error))?;
    let file = Arc::new(file);
    let mut buffer = Vec::new();
    while at < end {
        let wanted = CHUNK.min(end - at) as usize;
        buffer.resize(wanted, 0);
        let job = spawn_blocking({
            let file = file.clone();
            move || read_at(&file, buffer, at)
        });
        let read = job.await.unwrap_or_else(|error| Err(io::Error::other(error)));
        buffer = read.map_err(|error| failed(CopyOperation::Read, at, error))?;
        let mut sent = 0;
        while sent < buffer.len() {
            let data = &buffer[sent..];
            let result = poll_fn(|cx| Pin::new(&mut writer).poll_write(cx, data)).await;
            let n = match result {
                Ok(0) => Err(io::ErrorKind::WriteZero.into()),
                result => result,
            };
            let n = n.map_err(|error| failed(CopyOperation::Write, at, error))?;
            sent += n;
            at += n as u64;
        }
        if sent == 0 {
            break;
        }
    }
    let flushed = poll_fn(|cx| Pin::new(&mut writer).poll_flush(cx)).await;
    flushed.map_err(|error| failed(CopyOperation::Write, at, error))?;
    Ok(at - start)
}

/// Reads what fits, and cuts the buffer to it.
fn read_at(file: &File, mut buffer: Vec<u8>, at: u64) -> io::Result<Vec<u8>> {
    loop {
        match file.read_at(&mut buffer, at) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => {
                buffer.truncate(result?);
                return Ok(buffer);
            }
        }
    }
}

/// From and to where. One that ends before it begins is empty.
fn bounds(range: impl RangeBounds<u64>) -> (u64, u64) {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(before) => before.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(last) => last.saturating_add(1),
        Bound::Excluded(end) => *end,
        Bound::Unbounded => u64::MAX,
    };
    (start, end.max(start))
}
