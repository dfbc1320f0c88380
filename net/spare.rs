//! Reading into a `Vec`: its spare capacity, which is what the `*_buf` methods of every type do, or
//! all that comes until the end.
//!
//! Without `unsafe` the room must be cleared before it is filled. So much as is left after that is
//! all the cost there is, and how much is cleared for one call is bounded. Reading to the end clears
//! nothing: what is read goes through the thread's scratch.

use std::future::Future;
use std::io;
use std::task::Poll;

use crate::scratch::{SIZE, read_through};

/// What is offered to fill in one call.
pub(crate) const ROOM_MAX: usize = 64 * 1024;

/// What is made where there is none.
const ROOM_MIN: usize = 64;

/// Has `read` fill the spare capacity of `buffer`: [`ROOM_MIN`] bytes if it has none, [`ROOM_MAX`]
/// at most. An error leaves it as it was.
pub(crate) fn fill<R>(
    buffer: &mut Vec<u8>,
    read: impl FnOnce(&mut [u8]) -> io::Result<R>,
    length_of: impl FnOnce(&R) -> usize,
) -> io::Result<R> {
    fill_within(ROOM_MAX, buffer, read, length_of)
}

/// As `fill`, with at most so many bytes.
pub(crate) fn fill_within<R>(
    most: usize,
    buffer: &mut Vec<u8>,
    read: impl FnOnce(&mut [u8]) -> io::Result<R>,
    length_of: impl FnOnce(&R) -> usize,
) -> io::Result<R> {
    let filled = buffer.len();
    if buffer.capacity() == filled {
        buffer.reserve(ROOM_MIN);
    }
    let room = (buffer.capacity() - filled).min(most);
    buffer.resize(filled + room, 0);
    let result = read(&mut buffer[filled..]);
    buffer.truncate(filled + result.as_ref().map_or(0, length_of));
    result
}

/// Appends all that `read` gives until it gives nothing, at least a wait before each; `ready` waits.
/// The work is proportional to what comes, however little of it comes at a time.
pub(crate) async fn read_to_end<W: Future<Output = io::Result<()>>>(
    buffer: &mut Vec<u8>,
    ready: impl Fn() -> W,
    read: impl Fn(&mut [u8]) -> io::Result<usize>,
) -> io::Result<usize> {
    let start = buffer.len();
    loop {
        ready().await?;
        let append = |data: &[u8]| {
            buffer.extend_from_slice(data);
            data.len()
        };
        match read_through(SIZE, |room| Poll::Ready(read(room)), append) {
            Poll::Ready(Ok(0)) => return Ok(buffer.len() - start),
            Poll::Ready(Err(error)) if error.kind() != io::ErrorKind::WouldBlock => {
                return Err(error);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn what_is_read_is_appended_and_nothing_else() {
        let mut buffer = b"kept ".to_vec();
        let read = |room: &mut [u8]| {
            room[..3].copy_from_slice(b"new");
            Ok(3)
        };
        assert_eq!(fill(&mut buffer, read, |n| *n).unwrap(), 3);
        assert_eq!(buffer, b"kept new");
        let failed = fill(&mut buffer, |_| Err::<usize, _>(io::ErrorKind::Other.into()), |n| *n);
        assert!(failed.is_err());
        assert_eq!(buffer, b"kept new");
    }

    #[test]
    fn the_room_is_what_is_spare_within_bounds() {
        for (capacity, room) in [(0, ROOM_MIN), (10, 10), (ROOM_MAX + 1, ROOM_MAX)] {
            let mut buffer = Vec::with_capacity(capacity);
            let given = fill(&mut buffer, |room| Ok(room.len()), |_| 0).unwrap();
            assert!(given >= room && given <= ROOM_MAX, "{given} of {capacity}");
        }
    }

    /// One wait and one read for each piece, however small: nothing is asked twice, and no room but
    /// the thread's own is cleared or grown on a guess.
    #[test]
    fn reading_to_the_end_asks_once_for_each_piece() {
        let pieces = 10_000;
        let (waits, reads) = (Cell::new(0), Cell::new(0));
        let wait = || {
            waits.set(waits.get() + 1);
            std::future::ready(Ok(()))
        };
        let read = |room: &mut [u8]| {
            assert_eq!(room.len(), SIZE);
            reads.set(reads.get() + 1);
            // Every third time it was woken for nothing.
            if reads.get() % 3 == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let left = pieces - (reads.get() - reads.get() / 3 - 1);
            room[..3].copy_from_slice(b"abc");
            Ok(if left > 0 { 3 } else { 0 })
        };
        let mut buffer = b"kept ".to_vec();
        let read = wheelhouse_runtime::run(read_to_end(&mut buffer, wait, read)).unwrap();
        assert_eq!(read, 3 * pieces);
        assert_eq!(buffer, [&b"kept "[..], &b"abc".repeat(pieces)].concat());
        assert_eq!((waits.get(), reads.get()), (pieces * 3 / 2 + 1, pieces * 3 / 2 + 1));
    }
}
