//! A buffer to read into: for streams that hold none while they wait, and for traits whose own
//! buffers may be uninitialised memory, which only `unsafe` code may hand to a read.
//!
//! There is one a thread, borrowed for the length of a call, so that no connection keeps a buffer
//! while it waits. What was read is copied out: a few nanoseconds for a request, where filling the
//! room that is offered with zeros first would cost as much for every read, however short. It is
//! made at the first read and lives as long as its thread.

use std::cell::Cell;
use std::io;
use std::task::Poll;

/// As much as one read can ask for.
pub(crate) const SIZE: usize = 64 * 1024;

thread_local! {
    static SCRATCH: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
}

/// Calls `read` with up to `wanted` bytes of scratch, and `take` with what it has read. Nested
/// calls are fine: the inner one makes a buffer of its own.
#[inline]
pub(crate) fn read_through<T>(
    wanted: usize,
    read: impl FnOnce(&mut [u8]) -> Poll<io::Result<usize>>,
    take: impl FnOnce(&[u8]) -> T,
) -> Poll<io::Result<T>> {
    // It cannot be had while the thread ends.
    let kept = SCRATCH.try_with(Cell::take).ok().flatten();
    let mut scratch = kept.unwrap_or_else(|| vec![0; SIZE].into_boxed_slice());
    let polled = read(&mut scratch[..wanted.min(SIZE)]).map_ok(|n| take(&scratch[..n]));
    let _ = SCRATCH.try_with(|kept| kept.set(Some(scratch)));
    polled
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        buffer.fill(7);
        Poll::Ready(Ok(buffer.len()))
    }

    #[test]
    fn a_read_gets_what_it_wants_and_at_most_the_buffer() {
        for (wanted, expected) in [(0, 0), (1, 1), (SIZE, SIZE), (SIZE + 1, SIZE)] {
            let mut taken = Vec::new();
            let polled = read_through(wanted, fill, |data| taken.extend_from_slice(data));
            assert!(matches!(polled, Poll::Ready(Ok(()))));
            assert_eq!(taken, vec![7; expected]);
        }
    }

    #[test]
    fn a_read_inside_a_read_has_a_buffer_of_its_own() {
        let mut outer = Vec::new();
        let read = |buffer: &mut [u8]| {
            buffer.fill(1);
            let mut inner = Vec::new();
            assert!(read_through(8, fill, |data| inner.extend_from_slice(data)).is_ready());
            assert_eq!(inner, [7; 8]);
            Poll::Ready(Ok(buffer.len()))
        };
        assert!(read_through(8, read, |data| outer.extend_from_slice(data)).is_ready());
        assert_eq!(outer, [1; 8]);
    }

    #[test]
    fn what_is_not_ready_takes_nothing() {
        let pending = read_through(8, |_| Poll::Pending, |_| panic!("nothing was read"));
        assert!(pending.is_pending());
        let failed = |_: &mut [u8]| Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        let failed = read_through(8, failed, |_| panic!("nothing was read"));
        let kind = failed.map_err(|error| error.kind());
        assert_eq!(kind, Poll::Ready(Err(io::ErrorKind::ConnectionReset)));
    }
}
