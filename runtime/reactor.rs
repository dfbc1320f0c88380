//! The reactor: which source is ready for what, and who waits for it.
//!
//! It turns events into waiters to wake and keeps the readiness that operations consult. It makes no system
//! call and wakes nobody: the loop does, when no borrow is held.
//!
//! Readiness is edge-triggered knowledge: a bit is set by an event and cleared by an operation that
//! came up empty. Since events are dispatched and operations run on one thread, never at the same time,
//! clearing needs no stamp, but for a guard that a user carries across an await: it notes the stamp of
//! its direction (one per direction, 64 bits) and clears nothing that came after.

use std::cell::{Cell, RefCell};

use crate::selector::{Event, Ready};
use crate::table::{Key, Table};
use crate::waiter::Waiter;

/// What one waits for on a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Data, or a connection to accept.
    Read,
    /// Room.
    Write,
    /// Priority (out-of-band) data.
    Priority,
}

impl Direction {
    /// Every bit that lets an operation of this direction go ahead.
    #[inline(always)]
    pub(crate) const fn mask(self) -> Ready {
        match self {
            Direction::Read => Ready::READABLE.with(Ready::READ_CLOSED).with(Ready::ERROR),
            Direction::Write => Ready::WRITABLE.with(Ready::WRITE_CLOSED).with(Ready::ERROR),
            Direction::Priority => Ready::PRIORITY.with(Ready::READ_CLOSED).with(Ready::ERROR),
        }
    }

    /// The bit that a short read or write clears. The others are sticky: they say that the end or an error follows.
    const fn passing(self) -> Ready {
        match self {
            Direction::Read => Ready::READABLE,
            Direction::Write => Ready::WRITABLE,
            Direction::Priority => Ready::PRIORITY,
        }
    }
}

/// One entry in the list of a direction's waiters; goes stale when the waiter was woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket(u64);

impl Ticket {
    pub(crate) const NONE: Ticket = Ticket(0);
}

/// Where a waiter is kept.
pub(crate) enum Place<'a> {
    /// The one place of the `poll_*` calls: the last caller is woken.
    Polled,
    /// In the list of the async calls: all are woken.
    Listed(&'a mut Ticket),
}

#[derive(Default)]
pub(crate) struct Reactor {
    sources: RefCell<Table<Slot>>,
    /// The last ticket given out.
    tickets: Cell<u64>,
}

struct Slot {
    ready: Ready,
    read: Side,
    write: Side,
    /// Few sources ever wait for priority data.
    priority: Option<Box<Side>>,
}

struct Side {
    stamp: u64,
    polled: Waiter,
    /// Nearly always there is one at most.
    first: Listed,
    others: Vec<Listed>,
}

struct Listed {
    ticket: Ticket,
    waiter: Waiter,
}

impl Listed {
    const NOBODY: Listed = Listed { ticket: Ticket::NONE, waiter: Waiter::NONE };
}

impl Reactor {
    pub(crate) fn insert(&self, ready: Ready) -> Key {
        let slot = Slot { ready, read: Side::default(), write: Side::default(), priority: None };
        self.sources.borrow_mut().insert(slot)
    }

    /// Frees a slot. Its waiters come back to be dropped, or woken, by the caller.
    pub(crate) fn remove(&self, key: Key) -> Vec<Waiter> {
        let Some(mut slot) = self.sources.borrow_mut().remove(key) else { return Vec::new() };
        let mut waiters = Vec::new();
        slot.take_waiters(Ready::ALL, &mut |waiter| waiters.push(waiter));
        waiters
    }

    /// Stage 4: notes what became ready and hands out who waited for it. `wake` must run no foreign code.
    #[inline]
    pub(crate) fn dispatch(&self, events: &[Event], mut wake: impl FnMut(Waiter)) {
        let sources = &mut *self.sources.borrow_mut();
        for event in events {
            // A stale key, the alarm's among them, finds nothing.
            if let Some(slot) = sources.get_mut(event.key) {
                slot.ready |= event.ready;
                slot.take_waiters(event.ready, &mut wake);
            }
        }
    }

    /// Whether an operation may go ahead.
    #[inline(always)]
    pub(crate) fn is_ready(&self, key: Key, direction: Direction, place: &mut Place<'_>) -> bool {
        let mut sources = self.sources.borrow_mut();
        let Some(slot) = sources.get_mut(key) else { return false };
        if slot.ready.intersection(direction.mask()).is_empty() {
            return false;
        }
        if let Place::Listed(ticket) = place {
            slot.side(direction).note_woken(ticket);
        }
        true
    }

    /// Leaves a waiter. The one it replaces comes back: its drop is foreign code.
    #[inline(always)]
    pub(crate) fn wait(
        &self,
        key: Key,
        direction: Direction,
        place: &mut Place<'_>,
        waiter: Waiter,
    ) -> Waiter {
        let mut sources = self.sources.borrow_mut();
        let Some(slot) = sources.get_mut(key) else { return waiter };
        let side = slot.side(direction);
        match place {
            Place::Polled => std::mem::replace(&mut side.polled, waiter),
            Place::Listed(ticket) => side.list(ticket, waiter, || self.next_ticket()),
        }
    }

    /// What a source is ready for.
    pub(crate) fn readiness(&self, key: Key) -> Ready {
        self.sources.borrow().get(key).map_or(Ready::EMPTY, |slot| slot.ready)
    }

    /// An operation said `WouldBlock`: nothing is ready in this direction, the sticky bits included.
    pub(crate) fn clear(&self, key: Key, direction: Direction) {
        self.clear_bits(key, direction.mask());
    }

    /// An operation did less than it was asked to: the next one would block, unless an end or an error follows.
    #[inline(always)]
    pub(crate) fn clear_passing(&self, key: Key, direction: Direction) {
        if let Some(slot) = self.sources.borrow_mut().get_mut(key) {
            // Not once urgent data came: a read ends at its mark, however much follows.
            if !slot.ready.is_priority() {
                slot.ready = slot.ready.without(direction.passing());
            }
        }
    }

    /// The stamp of a direction's last event, for `clear_since`.
    pub(crate) fn stamp(&self, key: Key, direction: Direction) -> u64 {
        let mut sources = self.sources.borrow_mut();
        sources.get_mut(key).map_or(0, |slot| slot.side(direction).stamp)
    }

    /// Clears `bits` of a direction unless an event came after `stamp`.
    pub(crate) fn clear_since(&self, key: Key, direction: Direction, bits: Ready, stamp: u64) {
        let mut sources = self.sources.borrow_mut();
        if let Some(slot) = sources.get_mut(key) {
            if slot.side(direction).stamp == stamp {
                slot.clear(bits.intersection(direction.mask()));
            }
        }
    }

    /// Takes a waiter out again, if it was not woken.
    pub(crate) fn forget(&self, key: Key, direction: Direction, ticket: Ticket) -> Option<Waiter> {
        let mut sources = self.sources.borrow_mut();
        sources.get_mut(key)?.side(direction).unlist(ticket)
    }

    /// Takes out everybody who waits for anything.
    pub(crate) fn take_all_waiters(&self) -> Vec<Waiter> {
        let mut waiters = Vec::new();
        for slot in self.sources.borrow_mut().values_mut() {
            slot.take_waiters(Ready::ALL, &mut |waiter| waiters.push(waiter));
        }
        waiters
    }

    pub(crate) fn len(&self) -> usize {
        self.sources.borrow().len()
    }

    /// Whether anybody waits for a source.
    pub(crate) fn has_waiters(&self) -> bool {
        self.sources.borrow().iter().any(|(_, slot)| slot.has_waiters())
    }

    fn next_ticket(&self) -> Ticket {
        let next = self.tickets.get() + 1;
        self.tickets.set(next);
        Ticket(next)
    }

    #[inline(always)]
    fn clear_bits(&self, key: Key, bits: Ready) {
        if let Some(slot) = self.sources.borrow_mut().get_mut(key) {
            slot.clear(bits);
        }
    }
}

impl Slot {
    /// Clears `bits`. If the priority direction gives up one that it shares with readers, they are to try.
    #[inline(always)]
    fn clear(&mut self, bits: Ready) {
        let shared = self.ready.intersection(bits).is_readable();
        self.ready = self.ready.without(bits);
        if bits.is_priority() && shared {
            self.ready |= Ready::READABLE;
        }
    }

    #[inline(always)]
    fn side(&mut self, direction: Direction) -> &mut Side {
        match direction {
            Direction::Read => &mut self.read,
            Direction::Write => &mut self.write,
            Direction::Priority => self.priority.get_or_insert_default(),
        }
    }

    #[inline(always)]
    fn take_waiters(&mut self, ready: Ready, wake: &mut impl FnMut(Waiter)) {
        if !ready.intersection(Direction::Read.mask()).is_empty() {
            self.read.take_waiters(wake);
        }
        if !ready.intersection(Direction::Write.mask()).is_empty() {
            self.write.take_waiters(wake);
        }
        if let Some(priority) = &mut self.priority {
            if !ready.intersection(Direction::Priority.mask()).is_empty() {
                priority.take_waiters(wake);
            }
        }
    }

    fn has_waiters(&self) -> bool {
        let priority = self.priority.as_ref().is_some_and(|side| side.has_waiters());
        self.read.has_waiters() || self.write.has_waiters() || priority
    }
}

impl Default for Side {
    fn default() -> Side {
        Side { stamp: 0, polled: Waiter::NONE, first: Listed::NOBODY, others: Vec::new() }
    }
}

impl Side {
    #[inline(always)]
    fn take_waiters(&mut self, wake: &mut impl FnMut(Waiter)) {
        self.stamp += 1;
        if !self.polled.is_none() {
            wake(std::mem::replace(&mut self.polled, Waiter::NONE));
        }
        if self.first.ticket != Ticket::NONE {
            wake(std::mem::replace(&mut self.first, Listed::NOBODY).waiter);
        }
        // An empty drain is not free.
        if !self.others.is_empty() {
            self.others.drain(..).for_each(|listed| wake(listed.waiter));
        }
    }

    /// Lists a waiter. The one that had the ticket comes back.
    #[inline(always)]
    fn list(
        &mut self,
        ticket: &mut Ticket,
        waiter: Waiter,
        next_ticket: impl FnOnce() -> Ticket,
    ) -> Waiter {
        if *ticket != Ticket::NONE {
            if let Some(listed) = self.find(*ticket) {
                return std::mem::replace(&mut listed.waiter, waiter);
            }
        }
        *ticket = next_ticket();
        let listed = Listed { ticket: *ticket, waiter };
        if self.first.ticket == Ticket::NONE {
            self.first = listed;
        } else {
            self.others.push(listed);
        }
        Waiter::NONE
    }

    /// Makes the ticket void if its waiter was woken, so that it need not be looked for again.
    #[inline(always)]
    fn note_woken(&self, ticket: &mut Ticket) {
        if *ticket != self.first.ticket && self.others.is_empty() {
            *ticket = Ticket::NONE;
        }
    }

    fn unlist(&mut self, ticket: Ticket) -> Option<Waiter> {
        if self.first.ticket == ticket {
            return Some(std::mem::replace(&mut self.first, Listed::NOBODY).waiter);
        }
        let at = self.others.iter().position(|listed| listed.ticket == ticket)?;
        Some(self.others.remove(at).waiter)
    }

    fn find(&mut self, ticket: Ticket) -> Option<&mut Listed> {
        if self.first.ticket == ticket {
            return Some(&mut self.first);
        }
        self.others.iter_mut().find(|listed| listed.ticket == ticket)
    }

    fn has_waiters(&self) -> bool {
        let is_listed = self.first.ticket != Ticket::NONE || !self.others.is_empty();
        is_listed || !self.polled.is_none()
    }
}
