//! The bytes that are sent: on each connection one endless stream, cut into messages.
//!
//! Each eight bytes are a function of the connection and of their position, so what comes back is
//! compared without having been kept, and a byte that is changed, lost, doubled, or that belongs to
//! another message or connection, differs.

/// The stream of one connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pattern {
    seed: u64,
}

impl Pattern {
    pub(crate) fn new(connection: usize) -> Pattern {
        Pattern { seed: mix(connection as u64 + 1) }
    }

    /// Writes the part of the stream that begins at `offset`.
    pub(crate) fn fill(&self, offset: u64, out: &mut [u8]) {
        let (head, body) = split(offset, out.len());
        let (first, rest) = out.split_at_mut(head);
        first.copy_from_slice(&self.word(offset / 8)[(offset % 8) as usize..][..head]);
        let mut words = rest.chunks_exact_mut(8);
        let mut at = body;
        for word in &mut words {
            word.copy_from_slice(&self.word(at));
            at += 1;
        }
        let tail = words.into_remainder();
        tail.copy_from_slice(&self.word(at)[..tail.len()]);
    }

    /// Where `data`, which should be the stream from `offset` on, first differs from it, and what
    /// should be there.
    pub(crate) fn first_difference(&self, offset: u64, data: &[u8]) -> Option<(usize, u8)> {
        let (head, body) = split(offset, data.len());
        let (first, rest) = data.split_at(head);
        let mut at = body;
        let mut is_same = *first == self.word(offset / 8)[(offset % 8) as usize..][..head];
        let words = rest.chunks_exact(8);
        let tail = words.remainder();
        for word in words {
            is_same &= *word == self.word(at);
            at += 1;
        }
        is_same &= *tail == self.word(at)[..tail.len()];
        // The place is only looked for when there is one.
        if is_same { None } else { self.find(offset, data) }
    }

    #[cold]
    fn find(&self, offset: u64, data: &[u8]) -> Option<(usize, u8)> {
        let right = |at: usize| {
            let position = offset + at as u64;
            self.word(position / 8)[(position % 8) as usize]
        };
        data.iter()
            .enumerate()
            .map(|(at, byte)| (at, *byte, right(at)))
            .find_map(|(at, byte, right)| if byte == right { None } else { Some((at, right)) })
    }

    #[inline]
    fn word(&self, number: u64) -> [u8; 8] {
        mix(self.seed.wrapping_add(number)).to_le_bytes()
    }
}

/// How many bytes come before the first whole word, and the number of that word.
#[inline]
fn split(offset: u64, len: usize) -> (usize, u64) {
    let head = ((8 - offset % 8) % 8) as usize;
    (head.min(len), offset.div_ceil(8))
}

/// The finalizer of splitmix64: a bijection in which every bit depends on all.
#[inline]
fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(connection: usize, offset: u64, len: usize) -> Vec<u8> {
        let mut out = vec![0; len];
        Pattern::new(connection).fill(offset, &mut out);
        out
    }

    #[test]
    fn any_cut_of_the_stream_is_the_same_stream() {
        let whole = stream(3, 0, 200);
        for offset in 0..40 {
            for len in 0..60 {
                let part = stream(3, offset as u64, len);
                assert_eq!(part, whole[offset..offset + len], "{offset}, {len}");
                assert_eq!(Pattern::new(3).first_difference(offset as u64, &part), None);
            }
        }
    }

    #[test]
    fn every_changed_byte_is_found() {
        let pattern = Pattern::new(0);
        for offset in [0, 5, 1 << 40] {
            for at in 0..100 {
                let mut data = stream(0, offset, 100);
                let right = data[at];
                data[at] ^= 0x40;
                assert_eq!(pattern.first_difference(offset, &data), Some((at, right)));
            }
        }
    }

    #[test]
    fn messages_of_other_places_and_connections_differ() {
        let size = 64;
        let first = stream(0, 0, size);
        for other in 1..1000 {
            assert_ne!(first, stream(0, (other * size) as u64, size), "message {other}");
            assert_ne!(first, stream(other, 0, size), "connection {other}");
            assert!(Pattern::new(other).first_difference(0, &first).is_some());
        }
    }
}
