//! Reading into the spare capacity of a `Vec`: what the `*_buf` methods of every type do.
//!
//! Without `unsafe` the room must be cleared before it is filled. So much as is left after that is
//! all the cost there is, and how much is cleared for one call is bounded.

use std::io;

/// What is offered to fill in one call.
const ROOM_MAX: usize = 64 * 1024;

/// What is made where there is none.
const ROOM_MIN: usize = 64;

/// Has `read` fill the spare capacity of `buffer`: [`ROOM_MIN`] bytes if it has none, [`ROOM_MAX`]
/// at most. An error leaves it as it was.
pub(crate) fn fill<R>(
    buffer: &mut Vec<u8>,
    read: impl FnOnce(&mut [u8]) -> io::Result<R>,
    length_of: impl FnOnce(&R) -> usize,
) -> io::Result<R> {
    let filled = buffer.len();
    if buffer.capacity() == filled {
        buffer.reserve(ROOM_MIN);
    }
    let room = (buffer.capacity() - filled).min(ROOM_MAX);
    buffer.resize(filled + room, 0);
    let result = read(&mut buffer[filled..]);
    buffer.truncate(filled + result.as_ref().map_or(0, length_of));
    result
}

#[cfg(test)]
mod tests {
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
}
