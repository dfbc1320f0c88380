//! The three services: echo (RFC 862), discard (RFC 863), and the character generator (RFC 864).
//!
//! The generator's lines are 72 of the 95 printing characters of ASCII, in their order and round
//! and round, each line beginning one further than the last. So they come again after 95 lines, and
//! a few rounds in memory are all of it.

use std::fmt;

/// What is done with what comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Service {
    /// It is sent back.
    #[default]
    Echo,
    /// It is thrown away.
    Discard,
    /// It is thrown away, and lines of characters are sent.
    Chargen,
}

impl Service {
    pub(crate) fn named(name: &str) -> Option<Service> {
        let all = [Service::Echo, Service::Discard, Service::Chargen];
        all.into_iter().find(|service| service.to_string() == name)
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Service::Echo => "echo",
            Service::Discard => "discard",
            Service::Chargen => "chargen",
        })
    }
}

const LINE: usize = 72;
const PRINTING: usize = 95;

/// A round of lines, each with its CR LF.
pub(crate) const ROUND: usize = PRINTING * (LINE + 2);

/// So many rounds fill what a send takes at once.
const ROUNDS: usize = 9;

/// The characters, from any place in a round on.
#[derive(Debug)]
pub(crate) struct Characters(Vec<u8>);

impl Characters {
    pub(crate) fn new() -> Characters {
        let mut text = Vec::with_capacity(ROUNDS * ROUND);
        for first in (0..PRINTING).cycle().take(PRINTING * ROUNDS) {
            text.extend((first..first + LINE).map(|n| b' ' + (n % PRINTING) as u8));
            text.extend_from_slice(b"\r\n");
        }
        Characters(text)
    }

    /// At least a few rounds' less one of them, from the character on that comes after `sent`.
    pub(crate) fn after(&self, sent: u64) -> &[u8] {
        &self.0[(sent % ROUND as u64) as usize..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_are_those_of_the_rfc() {
        let characters = Characters::new();
        let text = characters.after(0);
        let lines: Vec<_> = text[..3 * 74].chunks(74).collect();
        let first =
            br##" !"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\]^_`abcdefg"##;
        assert_eq!(&lines[0][..72], first);
        assert_eq!(&lines[1][..71], &first[1..]);
        assert_eq!(&lines[2][..72], &[&first[2..], b"hi"].concat()[..]);
        assert!(lines.iter().all(|line| line.ends_with(b"\r\n")));
        assert!(text.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\r' | b'\n')));
    }

    #[test]
    fn it_goes_on_where_it_left_off() {
        let characters = Characters::new();
        let mut sent = Vec::new();
        for piece in [1, 73, 7000, 60_000, 12_345] {
            sent.extend_from_slice(&characters.after(sent.len() as u64)[..piece.min(50_000)]);
        }
        for (at, byte) in sent.iter().enumerate() {
            assert_eq!(*byte, characters.after(0)[at % ROUND], "at {at}");
        }
        // The last line of a round begins with the last character, and the first follows.
        assert_eq!(characters.after(94 * 74)[..3], *b"~ !");
    }
}
