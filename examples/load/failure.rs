//! What can go wrong, by kind.

use std::io;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    ConnectRefused,
    ConnectTimeout,
    ConnectFailed,
    /// The peer broke the connection off.
    Reset,
    /// The peer ended the connection while answers were due.
    ClosedByPeer,
    /// An answer took longer than `--timeout`.
    Timeout,
    /// What came back is not what was sent.
    Mismatch,
    /// An answer that is no HTTP.
    Malformed,
    /// A status of 400 or more.
    Status,
    /// A body of another length than `--expect-length` says.
    Length,
    /// TLS could not be agreed on, or broke.
    Tls,
    /// Any other error of the system.
    Io,
    /// No answer had come when the run ended, within the time that is given to the last ones.
    Unfinished,
}

/// All kinds with their names, in the order of reports.
pub(crate) const KINDS: [(Kind, &str); 13] = [
    (Kind::ConnectRefused, "connect_refused"),
    (Kind::ConnectTimeout, "connect_timeout"),
    (Kind::ConnectFailed, "connect_failed"),
    (Kind::Reset, "reset"),
    (Kind::ClosedByPeer, "closed_by_peer"),
    (Kind::Timeout, "timeout"),
    (Kind::Mismatch, "mismatch"),
    (Kind::Malformed, "malformed"),
    (Kind::Status, "status"),
    (Kind::Length, "length"),
    (Kind::Tls, "tls"),
    (Kind::Io, "io"),
    (Kind::Unfinished, "unfinished"),
];

/// Something that went wrong, with words for the report.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    pub(crate) text: String,
}

impl Failure {
    pub(crate) fn connecting(error: &io::Error) -> Failure {
        let kind = match error.kind() {
            io::ErrorKind::ConnectionRefused => Kind::ConnectRefused,
            io::ErrorKind::TimedOut => Kind::ConnectTimeout,
            io::ErrorKind::InvalidData => Kind::Tls,
            _ => Kind::ConnectFailed,
        };
        Failure { kind, text: error.to_string() }
    }

    /// An error on connection `connection` while `doing`.
    pub(crate) fn talking(connection: usize, doing: &str, error: &io::Error) -> Failure {
        let kind = match error.kind() {
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionAborted => Kind::Reset,
            io::ErrorKind::InvalidData => Kind::Tls,
            _ => Kind::Io,
        };
        Failure { kind, text: format!("connection {connection}, {doing}: {error}") }
    }
}

/// In words.
pub(crate) fn unanswered(count: usize) -> String {
    format!("{count} {} unanswered", if count == 1 { "message" } else { "messages" })
}

/// Counts by kind, with the words of the first of each: bounded, however much goes wrong.
#[derive(Clone, Debug, Default)]
pub(crate) struct Failures {
    counts: [u64; KINDS.len()],
    firsts: [Option<String>; KINDS.len()],
}

impl Failures {
    pub(crate) fn add(&mut self, failure: Failure) {
        self.add_many(failure.kind, 1, || failure.text);
    }

    pub(crate) fn add_many(&mut self, kind: Kind, count: u64, text: impl FnOnce() -> String) {
        let at = kind as usize;
        if count > 0 {
            self.counts[at] += count;
            self.firsts[at].get_or_insert_with(text);
        }
    }

    pub(crate) fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    pub(crate) fn merge(&mut self, other: &Failures) {
        for (at, count) in other.counts.iter().enumerate() {
            self.counts[at] += count;
            if self.firsts[at].is_none() {
                self.firsts[at].clone_from(&other.firsts[at]);
            }
        }
    }

    /// The kinds that occurred: name, count, the first one's words.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'static str, u64, &str)> {
        KINDS.iter().filter_map(|(kind, name)| {
            let first = self.firsts[*kind as usize].as_deref()?;
            Some((*name, self.counts[*kind as usize], first))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_names_is_in_the_order_of_the_kinds() {
        for (at, (kind, _)) in KINDS.iter().enumerate() {
            assert_eq!(*kind as usize, at);
        }
    }

    #[test]
    fn one_message_is_one() {
        let all = [0, 1, 2].map(unanswered);
        assert_eq!(all, ["0 messages unanswered", "1 message unanswered", "2 messages unanswered"]);
    }

    #[test]
    fn kinds_are_counted_and_the_first_words_kept() {
        let mut failures = Failures::default();
        let reset = io::Error::from(io::ErrorKind::ConnectionReset);
        failures.add(Failure::talking(1, "receiving", &reset));
        failures.add(Failure::talking(2, "receiving", &reset));
        failures.add(Failure::connecting(&io::ErrorKind::ConnectionRefused.into()));
        failures.add_many(Kind::Unfinished, 0, || unreachable!());
        let all: Vec<_> = failures.iter().collect();
        assert_eq!(failures.total(), 3);
        assert_eq!((all[0].0, all[0].1), ("connect_refused", 1));
        assert_eq!((all[1].0, all[1].1), ("reset", 2));
        assert!(all[1].2.starts_with("connection 1, receiving: "));
    }
}
