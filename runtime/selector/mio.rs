//! The default selector: epoll and kqueue, through `mio`.
//!
//! It translates, and decides nothing: keys to tokens, interests and readiness from one set of
//! names to the other. It keeps no list of what is registered, because the kernel has one already
//! and two lists can disagree. It may not know sources, tasks or the wheel.
//!
//! Under epoll `mio` rounds a timeout up to whole milliseconds. That keeps clause 7 ("at least");
//! precision is the alarm's business, whose descriptor is registered here like any other.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Poll, Registry, Token, Waker};

use super::{
    Event, IS_EPOLL, Interest, Ready, Registrar, Selector, Transfers, WAKE_KEY, countable,
    nothing_to_wait_for,
};
use crate::table::Key;

/// Waits through [`mio::Poll`].
#[derive(Debug)]
pub(crate) struct MioSelector {
    poll: Poll,
    /// The kernel writes here; kept, so that a wait allocates nothing.
    arrived: Events,
    registrar: Arc<MioRegistrar>,
    capacity: usize,
    was_full: bool,
}

impl MioSelector {
    /// A selector that reports at most `events_per_turn` events a wait (at least one).
    pub(crate) fn new(events_per_turn: usize) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), token(WAKE_KEY))?;
        let registrar = Arc::new(MioRegistrar { registry: poll.registry().try_clone()?, waker });
        let capacity = events_per_turn.max(1);
        let arrived = Events::with_capacity(capacity);
        Ok(MioSelector { poll, arrived, registrar, capacity, was_full: false })
    }
}

impl Selector for MioSelector {
    fn select(&mut self, events: &mut Vec<Event>, timeout: Option<Duration>) -> io::Result<()> {
        match self.poll.poll(&mut self.arrived, countable(timeout)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                self.was_full = false;
                return Ok(());
            }
            result => result?,
        }
        let before = events.len();
        let mut woken = 0;
        events.extend(self.arrived.iter().filter_map(|event| {
            let key = Key::from_bits(event.token().0 as u64);
            woken += usize::from(key == WAKE_KEY);
            (key != WAKE_KEY).then(|| Event { key, ready: ready(event) })
        }));
        // A wake-up takes up room too.
        self.was_full = events.len() - before + woken >= self.capacity;
        Ok(())
    }

    fn was_full(&self) -> bool {
        self.was_full
    }

    fn registrar(&self) -> Arc<dyn Registrar> {
        self.registrar.clone()
    }

    fn transfers(&self) -> Transfers {
        Transfers { short_means_empty: true, limit: usize::MAX }
    }
}

/// A second descriptor of the same epoll or kqueue. The kernel does the locking.
#[derive(Debug)]
struct MioRegistrar {
    registry: Registry,
    waker: Waker,
}

impl Registrar for MioRegistrar {
    fn register(&self, fd: RawFd, key: Key, interest: Interest) -> io::Result<()> {
        self.registry.register(&mut SourceFd(&fd), token(key), interest_of(interest)?)
    }

    fn deregister(&self, fd: RawFd) -> io::Result<()> {
        self.registry.deregister(&mut SourceFd(&fd))
    }

    fn wake(&self) -> io::Result<()> {
        self.waker.wake()
    }

    fn as_fd(&self) -> BorrowedFd<'_> {
        self.registry.as_fd()
    }
}

fn token(key: Key) -> Token {
    Token(key.to_bits() as usize)
}

/// # Errors
///
/// `Unsupported` where nothing remains.
fn interest_of(wanted: Interest) -> io::Result<mio::Interest> {
    let parts = [
        wanted.is_readable().then_some(mio::Interest::READABLE),
        wanted.is_writable().then_some(mio::Interest::WRITABLE),
        // `mio` has the name only where the system has the thing.
        #[cfg(any(target_os = "linux", target_os = "android"))]
        wanted.is_priority().then_some(mio::Interest::PRIORITY),
    ];
    let sum = parts.into_iter().flatten().reduce(|sum, part| sum | part);
    sum.ok_or_else(nothing_to_wait_for)
}

/// What `mio` says, but for one thing.
///
/// `mio` reads "room to write, and an error" as a closed write side. That is right for a pipe whose
/// reader went away, and wrong for a datagram socket with an ICMP error to collect, or a stream
/// whose zero-copy sends completed: those can be written to. So under epoll only a hang-up counts,
/// which `mio` reports as both directions closed. [`Ready::ERROR`] makes a write due in either
/// case, and the write tells them apart.
fn ready(event: &mio::event::Event) -> Ready {
    let passing = Ready(
        bit(event.is_readable(), Ready::READABLE) | bit(event.is_writable(), Ready::WRITABLE),
    );
    // Nearly always that is all, and under epoll three questions show it.
    let may_be_more = event.is_read_closed() || event.is_error() || event.is_priority();
    if IS_EPOLL && !may_be_more { passing } else { passing | rare(event) }
}

#[cold]
fn rare(event: &mio::event::Event) -> Ready {
    let read_closed = event.is_read_closed();
    let write_closed = (read_closed || !IS_EPOLL) && event.is_write_closed();
    Ready(
        bit(event.is_priority(), Ready::PRIORITY)
            | bit(read_closed, Ready::READ_CLOSED)
            | bit(write_closed, Ready::WRITE_CLOSED)
            | bit(event.is_error(), Ready::ERROR),
    )
}

/// `ready` if `on`, without a branch.
fn bit(on: bool, ready: Ready) -> u8 {
    u8::from(on) * ready.0
}
