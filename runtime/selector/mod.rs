//! The selector: the one place where a loop waits for the operating system. This file is the
//! contract.
//!
//! A selector knows descriptors, keys and events. It knows no task, no timer and no waker of a
//! future. `mio.rs` is the default, `polling.rs` the second one, `scripted.rs` plays back a script
//! in tests. One suite (`contract.rs`) runs the clauses below over each of them.
//!
//! # The contract
//!
//! 1. **Edges.** A descriptor is registered once, for every direction it will ever need. From then
//!    on an event is reported each time a direction *becomes* ready; it need not be reported again
//!    while it stays ready.
//! 2. **Spurious events are allowed, missing ones are not.** A descriptor that is ready when it is
//!    registered is reported by the next wait.
//! 3. **Events are by descriptor.** A wait reports all that is ready about a descriptor under the
//!    key it was registered with: under epoll as one event, under kqueue as one a direction. A
//!    closed direction is reported as such ([`Ready::READ_CLOSED`], [`Ready::WRITE_CLOSED`]), and
//!    the closing of one direction is never reported as that of the other. A selector that cannot
//!    tell the end of a direction from its being ready reports it as ready, and says so
//!    ([`Transfers::short_means_empty`]). An error to collect is [`Ready::ERROR`], and closes nothing
//!    by itself.
//! 4. **Deregistering ends it.** Once `deregister` has returned, no later wait reports the key. The
//!    caller deregisters before it closes the descriptor. Deregistering what is not registered (or
//!    is closed already) is an error that changes nothing.
//! 5. **Registering is thread-safe.** A [`Registrar`] works from any thread, also while another
//!    waits.
//! 6. **A wake-up is never lost.** [`Registrar::wake`] may be called from any thread, any number of
//!    times; it ends the wait under way, or else the next one. It is not reported as an event.
//! 7. **Waits end.** `None` waits for ever, `Some(ZERO)` not at all, `Some(t)` at least `t` unless
//!    there was an event or a wake-up (or `t` is more than `LONGEST_WAIT`). No `t` is an error. An
//!    interrupted wait (`EINTR`) is none either: it is an empty result, or goes on.
//! 8. **What does not fit is kept.** When more is ready than the list of events holds, the next
//!    wait reports the rest.
//! 9. **The descriptor of the selector** ([`Registrar::as_fd`]) is readable, level-triggered,
//!    whenever a wait with no timeout would return at once, a wake-up included.

pub(crate) mod kind;
mod mio;
#[cfg(feature = "polling")]
mod polling;
pub(crate) mod script;
pub(crate) mod scripted;

#[cfg(test)]
mod contract;
#[cfg(test)]
mod rig;

use std::io;
use std::ops::{BitOr, BitOrAssign};
use std::os::fd::{BorrowedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use crate::table::Key;

/// Under this key a selector keeps what its wake-ups come through. Nobody else may register it.
const WAKE_KEY: Key = Key::reserved(0);

/// What is longer counts as this, eleven days: Apple's kqueue refuses a wait of more than three years
/// as an error, and epoll counts no further than 24 days.
const LONGEST_WAIT: Duration = Duration::from_secs(1_000_000);

/// What a system is asked for.
fn countable(timeout: Option<Duration>) -> Option<Duration> {
    timeout.map(|timeout| timeout.min(LONGEST_WAIT))
}

/// Waits for events. Lives on the loop's thread.
pub(crate) trait Selector {
    /// Waits (clause 7) and appends what happened to `events`: at most as many as the selector was
    /// made for.
    fn select(&mut self, events: &mut Vec<Event>, timeout: Option<Duration>) -> io::Result<()>;

    /// Whether the last wait may have left events behind (clause 8): no new edge tells of them.
    fn was_full(&self) -> bool;

    /// The side that any thread may use.
    fn registrar(&self) -> Arc<dyn Registrar>;

    /// What holds for receiving and sending on what it watches.
    fn transfers(&self) -> Transfers;
}

/// What holds for receiving and sending on streams that a selector watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Transfers {
    /// Whether a short read or write proves that the next event will come. It does where edges are
    /// the kernel's own and the end of a stream is told from its being readable. Where edges are
    /// emulated, or the end may have come in an edge that only said readable, nothing short of
    /// `WouldBlock` proves it.
    pub(crate) short_means_empty: bool,
    /// How many bytes one call may move: all, but for a script that wants it otherwise.
    pub(crate) limit: usize,
}

/// Registers descriptors and wakes the selector, from any thread (clauses 4 to 6).
pub(crate) trait Registrar: Send + Sync {
    /// The descriptor must stay open until it is deregistered.
    fn register(&self, fd: RawFd, key: Key, interest: Interest) -> io::Result<()>;

    fn deregister(&self, fd: RawFd) -> io::Result<()>;

    /// Ends the wait under way, or the next one.
    fn wake(&self) -> io::Result<()>;

    /// The descriptor that a host loop watches (clause 9).
    fn as_fd(&self) -> BorrowedFd<'_>;
}

/// Whether the kernel's side is epoll, which knows priority data, and reports an error with the
/// room to write that was there anyway; else it is kqueue, which keeps the two apart.
const IS_EPOLL: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// The error for an interest of which nothing remains: only priority data was wanted, on a system
/// without it.
fn nothing_to_wait_for() -> io::Error {
    io::Error::new(
        io::ErrorKind::Unsupported,
        "this system does not report priority data: register for READABLE or WRITABLE as well",
    )
}

/// What happened to one descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) key: Key,
    pub(crate) ready: Ready,
}

/// Which changes of a descriptor are wanted: any of reading, writing and priority data.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Interest(u8);

impl Interest {
    /// Data to read, or the end of it; on a listener, a connection to accept.
    pub const READABLE: Interest = Interest(1);
    /// Room to write.
    pub const WRITABLE: Interest = Interest(2);
    /// Priority (out-of-band) data, `EPOLLPRI`; Linux only, elsewhere it is never ready.
    pub const PRIORITY: Interest = Interest(4);
    /// An error to collect. It is reported whatever is wanted; this is for who waits for nothing
    /// else.
    pub const ERROR: Interest = Interest(8);
    /// Both directions, which is what a stream wants.
    pub const BOTH: Interest = Interest(3);
    /// What a stream must hear of: urgent data too, since it makes reads short.
    pub(crate) const STREAM: Interest = Interest(7);

    /// Whether all that `other` wants is wanted.
    pub const fn contains(self, other: Interest) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether reading is wanted.
    pub const fn is_readable(self) -> bool {
        self.0 & 1 != 0
    }

    /// Whether writing is wanted.
    pub const fn is_writable(self) -> bool {
        self.0 & 2 != 0
    }

    /// Whether priority data is wanted.
    pub const fn is_priority(self) -> bool {
        self.0 & 4 != 0
    }

    /// Whether errors are wanted by themselves.
    pub const fn is_error(self) -> bool {
        self.0 & 8 != 0
    }

    /// This, and what `other` wants.
    #[must_use = "it is a new value"]
    pub const fn add(self, other: Interest) -> Interest {
        Interest(self.0 | other.0)
    }

    /// This without what `other` wants; `None` if nothing is left.
    pub const fn remove(self, other: Interest) -> Option<Interest> {
        match self.0 & !other.0 {
            0 => None,
            left => Some(Interest(left)),
        }
    }

    /// What a selector is asked for. Errors alone cannot be asked for everywhere.
    pub(crate) const fn to_register(self) -> Interest {
        if self.0 == Interest::ERROR.0 { Interest::READABLE } else { self }
    }
}

impl BitOr for Interest {
    type Output = Interest;

    fn bitor(self, other: Interest) -> Interest {
        Interest(self.0 | other.0)
    }
}

impl std::fmt::Debug for Interest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = [
            (self.is_readable(), "READABLE"),
            (self.is_writable(), "WRITABLE"),
            (self.is_priority(), "PRIORITY"),
            (self.is_error(), "ERROR"),
        ];
        write_names(f, &names)
    }
}

/// What a descriptor is ready for.
///
/// `READABLE`, `WRITABLE` and `PRIORITY` come and go. The closed and error bits stay once they were
/// seen, until an operation says `WouldBlock` in their direction.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Ready(u8);

impl Ready {
    /// Nothing.
    pub const EMPTY: Ready = Ready(0);
    /// A read will not block.
    pub const READABLE: Ready = Ready(1);
    /// A write will not block.
    pub const WRITABLE: Ready = Ready(2);
    /// Priority data is there.
    pub const PRIORITY: Ready = Ready(4);
    /// The peer has shut down its writing side: after what is buffered a read returns zero.
    pub const READ_CLOSED: Ready = Ready(8);
    /// Both directions are closed: a write fails.
    pub const WRITE_CLOSED: Ready = Ready(16);
    /// The descriptor has an error to collect. It is all that the write end of a pipe shows when
    /// its reader is gone.
    pub const ERROR: Ready = Ready(32);
    /// All of the above.
    pub const ALL: Ready = Ready(63);

    /// Whether nothing is ready.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether a read will not block: data, its end, or an error.
    pub const fn is_readable(self) -> bool {
        self.0 & (Self::READABLE.0 | Self::READ_CLOSED.0 | Self::ERROR.0) != 0
    }

    /// Whether a write will not block: room, a closed connection, or an error.
    pub const fn is_writable(self) -> bool {
        self.0 & (Self::WRITABLE.0 | Self::WRITE_CLOSED.0 | Self::ERROR.0) != 0
    }

    /// Whether priority data is there.
    pub const fn is_priority(self) -> bool {
        self.0 & Self::PRIORITY.0 != 0
    }

    /// Whether the peer has ended its side.
    pub const fn is_read_closed(self) -> bool {
        self.0 & Self::READ_CLOSED.0 != 0
    }

    /// Whether writing has ended for good.
    pub const fn is_write_closed(self) -> bool {
        self.0 & Self::WRITE_CLOSED.0 != 0
    }

    /// Whether an error waits to be collected.
    pub const fn is_error(self) -> bool {
        self.0 & Self::ERROR.0 != 0
    }

    /// Whether every bit of `other` is set.
    pub const fn contains(self, other: Ready) -> bool {
        self.0 & other.0 == other.0
    }

    /// The bits that both have.
    pub const fn intersection(self, other: Ready) -> Ready {
        Ready(self.0 & other.0)
    }

    /// These bits and those of `other`.
    pub const fn with(self, other: Ready) -> Ready {
        Ready(self.0 | other.0)
    }

    /// These bits without those of `other`.
    pub const fn without(self, other: Ready) -> Ready {
        Ready(self.0 & !other.0)
    }
}

impl BitOr for Ready {
    type Output = Ready;

    fn bitor(self, other: Ready) -> Ready {
        Ready(self.0 | other.0)
    }
}

impl BitOrAssign for Ready {
    fn bitor_assign(&mut self, other: Ready) {
        self.0 |= other.0;
    }
}

impl std::fmt::Debug for Ready {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = [
            (self.contains(Ready::READABLE), "READABLE"),
            (self.contains(Ready::WRITABLE), "WRITABLE"),
            (self.is_priority(), "PRIORITY"),
            (self.is_read_closed(), "READ_CLOSED"),
            (self.is_write_closed(), "WRITE_CLOSED"),
            (self.is_error(), "ERROR"),
        ];
        write_names(f, &names)
    }
}

fn write_names(f: &mut std::fmt::Formatter<'_>, names: &[(bool, &str)]) -> std::fmt::Result {
    let mut set = names.iter().filter(|(on, _)| *on).map(|(_, name)| *name);
    let Some(first) = set.next() else { return f.write_str("EMPTY") };
    f.write_str(first)?;
    set.try_for_each(|name| write!(f, " | {name}"))
}
