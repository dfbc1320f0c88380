//! What a server says of itself: counters, and who did not end when asked. Plain data; nothing here
//! changes once it is made.

use std::fmt;
use std::time::Duration;

/// What a server has done so far: from [`Server::stats`](crate::Server::stats).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServerStats<A> {
    /// A row for each listener: for each address, and for each loop that serves it.
    pub listeners: Vec<ListenerStats<A>>,
}

/// What has come in by one listener.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ListenerStats<A> {
    /// The address it listens on.
    pub address: A,
    /// Which loop of the group it is on; 0 without a group.
    pub loop_index: usize,
    /// The counters.
    pub counts: Counts,
}

/// Counters of connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Given to a handler.
    pub accepted: u64,
    /// Whose handler has not ended.
    pub active: u64,
    /// Closed at once, because the server or their peer had too many.
    pub refused: u64,
    /// Closed at once, because descriptors had run out.
    pub shed: u64,
    /// Failures to accept: descriptors or memory had run out, or the listener is broken.
    pub errors: u64,
    /// Whose handler has ended in an error.
    pub failed: u64,
    /// Whose handler has panicked.
    pub panicked: u64,
    /// Whose handler was cut off.
    pub aborted: u64,
}

impl<A> ServerStats<A> {
    /// The sum over all listeners.
    pub fn total(&self) -> Counts {
        let mut total = Counts::default();
        for Counts { accepted, active, refused, shed, errors, failed, panicked, aborted } in
            self.listeners.iter().map(|listener| listener.counts)
        {
            total.accepted += accepted;
            total.active += active;
            total.refused += refused;
            total.shed += shed;
            total.errors += errors;
            total.failed += failed;
            total.panicked += panicked;
            total.aborted += aborted;
        }
        total
    }
}

/// How the clients of a server ended: from [`Server::close_clients`](crate::Server::close_clients).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CloseReport<A> {
    /// How many were asked to end.
    pub asked: usize,
    /// Those that had not ended when the grace was over, and were cut off. Oldest first.
    pub aborted: Vec<Straggler<A>>,
}

/// A connection that did not end when asked.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Straggler<A> {
    /// Its peer.
    pub peer: A,
    /// How old it was.
    pub age: Duration,
    /// Its handler is still there: its loop is stuck in a poll and could not drop it.
    pub is_stuck: bool,
}

impl<A> CloseReport<A> {
    /// Whether all have ended by themselves.
    pub fn is_clean(&self) -> bool {
        self.aborted.is_empty()
    }
}

impl<A: fmt::Debug> fmt::Display for CloseReport<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CloseReport { asked, aborted } = self;
        write!(f, "asked to end: {asked}, cut off: {}", aborted.len())?;
        for Straggler { peer, age, is_stuck } in aborted {
            let stuck = if *is_stuck { ", and is still stuck" } else { "" };
            write!(f, "; {peer:?} after {age:?}{stuck}")?;
        }
        Ok(())
    }
}
