//! The rig of the selector's tests: every selector, connected pairs, and the waits that a check is
//! made of.
//!
//! Another selector is another line of [`SELECTORS`]. Nothing here asserts a clause of the contract
//! but those that hold for every wait: events are appended, and never more than there is room for.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};

use super::kind::SelectorKind;
use super::script::Script;
use super::scripted::ScriptedSelector;
use super::{Event, Interest, Ready, Registrar, Selector};
use crate::table::Key;

/// Makes a selector with room for so many events a wait.
type Make = fn(usize) -> Box<dyn Selector>;

const SELECTORS: &[(&str, Make)] = &[
    ("mio", |room| SelectorKind::Mio.make(room).unwrap()),
    // Its timer is unknown to Miri.
    #[cfg(all(feature = "polling", not(miri)))]
    ("polling", |room| SelectorKind::Polling.make(room).unwrap()),
    ("scripted, with nothing in the script", |room| Box::new(scripted(Script::default(), room))),
];

/// What should end does so before this, on the slowest machine.
pub(super) const GUARD: Duration = Duration::from_secs(30);

/// Room for events in the tests that do not care.
const ROOM: usize = 64;

pub(super) fn scripted(script: Script, room: usize) -> ScriptedSelector {
    ScriptedSelector::new(SelectorKind::default().make(room).unwrap(), script, room)
}

pub(super) const fn key(n: u64) -> Key {
    Key::from_bits(n)
}

pub(super) fn on_every_selector(check: fn(Rig)) {
    on_every_selector_with_room(ROOM, check);
}

pub(super) fn on_every_selector_with_room(room: usize, check: fn(Rig)) {
    for (name, make) in SELECTORS {
        println!("selector: {name}");
        check(Rig::new(make(room), room));
    }
}

/// Runs `check` with a connected pair of each kind of stream: ours, which does not block, and the
/// peer's, which does.
pub(super) fn on_every_selector_and_stream(check: fn(Rig, TcpStream, TcpStream)) {
    for (name, make) in SELECTORS {
        println!("selector: {name}, over TCP");
        let (ours, peer) = tcp_pair();
        check(Rig::new(make(ROOM), ROOM), ours, peer);
        if cfg!(not(miri)) {
            println!("selector: {name}, over a Unix socket");
            let (ours, peer) = unix_pair();
            check(Rig::new(make(ROOM), ROOM), ours, peer);
        }
    }
}

pub(super) fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (peer, _) = listener.accept().unwrap();
    ours.set_nonblocking(true).unwrap();
    (ours, peer)
}

/// In the clothes of a TCP stream, whose methods work on any stream socket: the checks then have
/// one type to deal with.
fn unix_pair() -> (TcpStream, TcpStream) {
    let (ours, peer) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    (TcpStream::from(OwnedFd::from(ours)), TcpStream::from(OwnedFd::from(peer)))
}

/// A selector under test and what a check asks of it.
pub(super) struct Rig {
    pub(super) selector: Box<dyn Selector>,
    pub(super) registrar: Arc<dyn Registrar>,
    room: usize,
}

impl Rig {
    pub(super) fn new(selector: Box<dyn Selector>, room: usize) -> Self {
        Rig { registrar: selector.registrar(), selector, room }
    }

    pub(super) fn register(&self, source: &impl AsRawFd, key: Key, interest: Interest) {
        self.registrar.register(source.as_raw_fd(), key, interest).unwrap();
    }

    pub(super) fn deregister(&self, source: &impl AsRawFd) {
        self.registrar.deregister(source.as_raw_fd()).unwrap();
    }

    /// One wait.
    pub(super) fn wait(&mut self, timeout: Option<Duration>) -> Vec<Event> {
        let before = Event { key: Key::NONE, ready: Ready::EMPTY };
        let mut events = vec![before];
        self.selector.select(&mut events, timeout).unwrap();
        assert_eq!(events.remove(0), before, "events are appended");
        assert!(events.len() <= self.room, "{events:?} in a list of {}", self.room);
        events
    }

    /// One wait that must not run into [`GUARD`].
    pub(super) fn wait_in_time(&mut self) -> Vec<Event> {
        let began = Instant::now();
        let events = self.wait(Some(GUARD));
        assert!(began.elapsed() < GUARD, "the wait did not end");
        events
    }

    /// Waits until `key` was reported with any of `wanted`, and returns all it was reported with.
    pub(super) fn wait_for_any(&mut self, key: Key, wanted: Ready) -> Ready {
        let mut ready = Ready::EMPTY;
        while ready.intersection(wanted).is_empty() {
            ready |= ready_of(key, &self.wait_in_time());
        }
        ready
    }

    /// Waits until `key` was reported with all of `wanted`.
    pub(super) fn wait_for(&mut self, key: Key, wanted: Ready) -> Ready {
        let mut ready = Ready::EMPTY;
        while !ready.contains(wanted) {
            ready |= self.wait_for_any(key, wanted.without(ready));
        }
        ready
    }

    /// Waits until the end of a direction was reported: as such, or by a selector that cannot tell
    /// it, as `instead`.
    pub(super) fn wait_for_end(&mut self, key: Key, closed: Ready, instead: Ready) -> Ready {
        let tells_ends = self.selector.transfers().short_means_empty;
        self.wait_for(key, if tells_ends { closed } else { instead })
    }

    /// Takes what there is.
    pub(super) fn settle(&mut self) {
        let empty = (0..1_000).any(|_| self.wait(Some(Duration::ZERO)).is_empty());
        assert!(empty, "there is no end to the events");
    }

    /// What a host loop sees.
    pub(super) fn is_due(&self) -> bool {
        is_readable_now(self.selector.registrar().as_fd())
    }
}

fn is_readable_now(fd: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::new(&fd, PollFlags::IN)];
    rustix::event::poll(&mut fds, Some(&rustix::event::Timespec::default())).unwrap() == 1
}

/// All that `events` say of `key`.
pub(super) fn ready_of(key: Key, events: &[Event]) -> Ready {
    let of_key = events.iter().filter(|event| event.key == key);
    of_key.fold(Ready::EMPTY, |sum, event| sum | event.ready)
}

pub(super) fn read_until_it_would_block(stream: &mut TcpStream) {
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => panic!("the stream has ended"),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Writes what fits and returns how much that was.
pub(super) fn write_until_it_would_block(stream: &mut TcpStream) -> usize {
    let block = vec![0; 64 * 1024];
    let mut written = 0;
    loop {
        match stream.write(&block) {
            Ok(n) => written += n,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return written,
            Err(error) => panic!("{error}"),
        }
    }
}
