//! The signals that mean something: which ask for the end, and which for what is going on.
//!
//! SIGHUP says that the terminal is gone. There are no settings to read again, so it is an end like
//! the others: one that puts things in order, and leaves no path of a Unix socket behind. But whoever
//! starts a program by `nohup` has the signal ignored, and means it.

use std::fs;
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
        let ends = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        let ends = ends.into_iter().filter(|kind| *kind != SignalKind::hangup() || !is_nohup());
        let ends = ends.map(signal).collect::<io::Result<_>>()?;
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

/// Whether we were started with SIGHUP ignored. Where the system does not say, we may have been.
fn is_nohup() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_none_or(|mask| mask & (1 << (SignalKind::hangup().as_raw_value() - 1)) != 0)
}
