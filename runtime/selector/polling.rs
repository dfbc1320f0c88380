//! The second selector: epoll and kqueue once more, through `polling`.
//!
//! It is there to keep the first one honest: whatever the loop takes for granted of a selector must
//! hold for two that were written by different people. It translates, as `mio.rs` does, and decides
//! nothing.
//!
//! # What is different
//!
//! * **The end of a stream** is not told from its being readable: `polling` does not ask epoll for
//!   RDHUP, nor pass kqueue's EOF on. It comes as [`Ready::READABLE`], and a read finds it. So a
//!   short read proves nothing here, and each message costs one more call. A hang-up (both
//!   directions) and an error are told, under epoll.
//! * **An interrupted wait** goes on inside `polling`, until its deadline.
//! * **A wait with a timeout** costs a `timerfd_settime`, and every wait an `epoll_ctl`. The loop
//!   has an alarm of its own, registered like any source, and gives timeouts under virtual time
//!   only.
//!
//! # Safety
//!
//! `Poller::add_with_mode` asks that a source is deleted before it is dropped, and `Poller::delete`
//! for a descriptor that is open. Here is who sees to that.
//!
//! A registration is made by `Source` (and the alarm, which lives as long as the loop), of a
//! descriptor that it owns: it deregisters when it is dropped, and closes only then. Its fields
//! stand in that order, and giving the descriptor away (`into_inner`) drops the registration first.
//! The number handed to `delete` is then that of an open descriptor.
//!
//! Safe code can break this: it can forget a source that borrows its descriptor, swap what
//! `get_mut` lends out, or close a number behind everybody's back. What happens then is decided by
//! the kernel, since under epoll and kqueue (nothing else is accepted: `supports_edge`) neither
//! `polling` nor this file ever reads, writes, closes or keeps a descriptor that it was given.
//!
//! * The descriptor was closed, and its number is free: the kernel dropped the registration by
//!   itself, and `delete` is an error (`EBADF`) that changes nothing.
//! * The number belongs to something else by now: `delete` says that it is not registered
//!   (`ENOENT`), or takes out the other's registration if there is one, and then the other waits in
//!   vain. That is the harm, it is the same with every selector, and it touches no memory.
//! * The file is open still under another number: it goes on being reported, under a key that finds
//!   nothing (the slot was freed, and a key is never used twice).
//!
//! So the obligation is kept for every program that does not go behind our back, and for one that
//! does, no memory is at stake.

use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, BorrowedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use polling::{Events, PollMode, Poller};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{
    Event, IS_EPOLL, Interest, Ready, Registrar, Selector, Transfers, countable,
    nothing_to_wait_for,
};
use crate::table::Key;

/// How many descriptors of `polling` itself may take up room in the list of events: what its
/// wake-ups come through, and its timer.
const ITS_OWN: usize = 2;

/// Waits through [`polling::Poller`].
#[derive(Debug)]
pub(crate) struct PollingSelector {
    registrar: Arc<PollingRegistrar>,
    /// The kernel writes here; kept, so that a wait allocates nothing.
    arrived: Events,
    was_full: bool,
}

impl PollingSelector {
    /// A selector that reports at most `events_per_turn` events a wait (at least one).
    pub(crate) fn new(events_per_turn: usize) -> io::Result<Self> {
        let poller = Poller::new()?;
        if !poller.supports_edge() {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "`polling` has no edge-triggered events on this system: use `SelectorKind::Mio`",
            ));
        }
        let capacity = NonZeroUsize::new(events_per_turn).unwrap_or(NonZeroUsize::MIN);
        let registrar = Arc::new(PollingRegistrar { poller });
        Ok(PollingSelector { registrar, arrived: Events::with_capacity(capacity), was_full: false })
    }
}

impl Selector for PollingSelector {
    fn select(&mut self, events: &mut Vec<Event>, timeout: Option<Duration>) -> io::Result<()> {
        self.arrived.clear();
        self.was_full = false;
        let arrived = self.registrar.poller.wait(&mut self.arrived, countable(timeout))?;
        events.extend(
            self.arrived
                .iter()
                .map(|event| Event { key: Key::from_bits(event.key as u64), ready: ready(&event) }),
        );
        // Its own events are hidden, so that only the kernel knows whether some did not fit.
        let may_be_full = arrived + ITS_OWN >= self.arrived.capacity().get();
        self.was_full = may_be_full && is_readable_now(self.registrar.as_fd());
        Ok(())
    }

    fn was_full(&self) -> bool {
        self.was_full
    }

    fn registrar(&self) -> Arc<dyn Registrar> {
        self.registrar.clone()
    }

    fn transfers(&self) -> Transfers {
        Transfers { short_means_empty: false, limit: usize::MAX }
    }
}

#[derive(Debug)]
struct PollingRegistrar {
    poller: Poller,
}

impl Registrar for PollingRegistrar {
    #[expect(unsafe_code, reason = "see the essay: the source deregisters before it closes")]
    fn register(&self, fd: RawFd, key: Key, interest: Interest) -> io::Result<()> {
        let wanted = interest_of(key, interest)?;
        // SAFETY: the caller keeps the descriptor open until it is deregistered.
        match unsafe { self.poller.add_with_mode(fd, wanted, PollMode::Edge) } {
            // Under kqueue `polling` has a list of its own, where a number stands that was closed
            // without a word. The kernel forgot it, and is told anew.
            Err(error) if !IS_EPOLL && error.kind() == io::ErrorKind::AlreadyExists => {
                // SAFETY: as above.
                let fd = unsafe { BorrowedFd::borrow_raw(fd) };
                self.poller.modify_with_mode(fd, wanted, PollMode::Edge)
            }
            result => result,
        }
    }

    #[expect(unsafe_code, reason = "see the essay: what is closed already is an error")]
    fn deregister(&self, fd: RawFd) -> io::Result<()> {
        // SAFETY: the caller deregisters before it closes, so that the descriptor is open; it is
        // passed to the kernel as a number and not kept.
        let fd = unsafe { BorrowedFd::borrow_raw(fd) };
        self.poller.delete(fd)
    }

    fn wake(&self) -> io::Result<()> {
        self.poller.notify()
    }

    fn as_fd(&self) -> BorrowedFd<'_> {
        self.poller.as_fd()
    }
}

/// # Errors
///
/// `Unsupported` where nothing remains.
fn interest_of(key: Key, wanted: Interest) -> io::Result<polling::Event> {
    let key = key.to_bits() as usize;
    let mut event = polling::Event::new(key, wanted.is_readable(), wanted.is_writable());
    event.set_priority(wanted.is_priority());
    let is_anything = event.readable || event.writable || (IS_EPOLL && wanted.is_priority());
    if is_anything { Ok(event) } else { Err(nothing_to_wait_for()) }
}

/// What `polling` says. It reads a hang-up, an error and priority data as readable, and the first
/// two as writable too: spurious, and those who try find out.
fn ready(event: &polling::Event) -> Ready {
    let mut ready = Ready::EMPTY;
    let bits = [
        (event.readable, Ready::READABLE),
        (event.writable, Ready::WRITABLE),
        (event.is_priority(), Ready::PRIORITY),
        (event.is_interrupt(), Ready::READ_CLOSED | Ready::WRITE_CLOSED),
        (event.is_err() == Some(true), Ready::ERROR),
    ];
    bits.into_iter().filter(|(is_set, _)| *is_set).for_each(|(_, bit)| ready |= bit);
    ready
}

fn is_readable_now(fd: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::new(&fd, PollFlags::IN)];
    // What cannot be asked is taken to be so: one more turn finds nothing.
    !matches!(poll(&mut fds, Some(&Timespec::default())), Ok(0))
}
