//! Why no answer came: what a request may fail of, in classes that decide whether to try again.

use std::error::Error;
use std::fmt;
use std::io;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Class {
    /// The name has no address.
    Name,
    /// Nobody listens, or nobody can be reached.
    Connect,
    Tls,
    Timeout,
    /// The connection ended before the answer did.
    CutOff,
    /// It was no HTTP, or more of it than allowed.
    Protocol,
}

impl Class {
    const ALL: [Class; 6] =
        [Class::Name, Class::Connect, Class::Tls, Class::Timeout, Class::CutOff, Class::Protocol];

    pub(crate) fn from_name(name: &str) -> Option<Class> {
        Class::ALL.into_iter().find(|class| class.name() == name)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Class::Name => "name",
            Class::Connect => "connect",
            Class::Tls => "tls",
            Class::Timeout => "timeout",
            Class::CutOff => "cut-off",
            Class::Protocol => "protocol",
        }
    }
}

/// A class, and the words of whoever noticed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) class: Class,
    pub(crate) text: String,
}

impl Failure {
    pub(crate) fn new(class: Class, text: impl Into<String>) -> Failure {
        Failure { class, text: text.into() }
    }

    pub(crate) fn connecting(error: &io::Error) -> Failure {
        Failure::new(Class::Connect, error.to_string())
    }

    /// A handshake that failed: cut off by the other side, or refused by one of us.
    pub(crate) fn shaking_hands(error: &io::Error) -> Failure {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
        let cut = [BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof];
        let class = if cut.contains(&error.kind()) { Class::CutOff } else { Class::Tls };
        Failure::new(class, with_causes(error))
    }

    /// What hyper says, put into a class.
    pub(crate) fn http(error: &hyper::Error) -> Failure {
        // Chunks that are none come as errors of this kind.
        let is_other = |error: &io::Error| {
            !matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData)
        };
        let is_io = source_of::<io::Error>(error).is_some_and(is_other);
        let is_cut = error.is_incomplete_message()
            || error.is_canceled()
            || error.is_closed()
            || error.is_body_write_aborted()
            || is_io;
        let class = if is_cut && !error.is_parse() { Class::CutOff } else { Class::Protocol };
        Failure::new(class, with_causes(error))
    }

    /// A certificate does not mend itself. The rest may pass, names too: that a name server is busy
    /// is not told apart from its not knowing the name.
    pub(crate) fn may_pass(&self) -> bool {
        !matches!(self.class, Class::Tls)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn source_of<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        cause = error.source();
    }
    None
}

/// The error and what caused it, each said once.
fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}
