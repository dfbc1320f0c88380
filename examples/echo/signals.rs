//! The signals that mean something: which ask for the end, and which for what is going on.

use std::io;
use std::task::{Context, Poll};

use wheelhouse::signal::{Signal, SignalKind, signal};

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// An end.
    Stop,
    /// What is going on.
    Dump,
}

pub(crate) struct Signals {
    ends: Vec<Signal>,
    ask: Signal,
}

impl Signals {
    pub(crate) fn new() -> io::Result<Signals> {
        let ends = [SignalKind::interrupt(), SignalKind::terminate()];
        let ends = ends.into_iter().map(signal).collect::<io::Result<_>>()?;
        Ok(Signals { ends, ask: signal(SignalKind::user_defined1())? })
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Asked> {
        // All are asked, since each is to wake us.
        let mut is_end = false;
        for end in &mut self.ends {
            is_end |= end.poll_recv(cx).is_ready();
        }
        if is_end {
            return Poll::Ready(Asked::Stop);
        }
        self.ask.poll_recv(cx).map(|_| Asked::Dump)
    }
}
