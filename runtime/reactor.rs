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
    listed: Vec<(Ticket, Waiter)>,
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
        slot.take_waiters(Ready::ALL, &mut waiters);
        waiters
    }

    /// Stage 4: notes what became ready and takes out who waited for it.
    pub(crate) fn dispatch(&self, events: &[Event], woken: &mut Vec<Waiter>) {
        let sources = &mut *self.sources.borrow_mut();
        for event in events {
            // A stale key, the alarm's among them, finds nothing.
            if let Some(slot) = sources.get_mut(event.key) {
                slot.ready |= event.ready;
                slot.take_waiters(event.ready, woken);
            }
        }
    }

    #[inline]
    pub(crate) fn readiness(&self, key: Key) -> Ready {
        self.sources.borrow().get(key).map_or(Ready::EMPTY, |slot| slot.ready)
    }

    /// An operation said `WouldBlock`: nothing is ready in this direction, the sticky bits included.
    pub(crate) fn clear(&self, key: Key, direction: Direction) {
        self.clear_bits(key, direction.mask());
    }

    /// An operation did less than it was asked to: the next one would block, unless an end or an error follows.
    #[inline]
    pub(crate) fn clear_passing(&self, key: Key, direction: Direction) {
        self.clear_bits(key, direction.passing());
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
                slot.ready = slot.ready.without(bits.intersection(direction.mask()));
            }
        }
    }

    /// Leaves a waiter. The one it replaces comes back: its drop is foreign code.
    pub(crate) fn wait(
        &self,
        key: Key,
        direction: Direction,
        place: Place<'_>,
        waiter: Waiter,
    ) -> Waiter {
        let mut sources = self.sources.borrow_mut();
        let Some(slot) = sources.get_mut(key) else { return waiter };
        let side = slot.side(direction);
        match place {
            Place::Polled => std::mem::replace(&mut side.polled, waiter),
            Place::Listed(ticket) => {
                if let Some((_, kept)) = side.listed.iter_mut().find(|(kept, _)| kept == ticket) {
                    return std::mem::replace(kept, waiter);
                }
                let next = self.tickets.get() + 1;
                self.tickets.set(next);
                *ticket = Ticket(next);
                side.listed.push((*ticket, waiter));
                Waiter::NONE
            }
        }
    }

    /// Takes a waiter out again, if it was not woken.
    pub(crate) fn forget(&self, key: Key, direction: Direction, ticket: Ticket) -> Option<Waiter> {
        let mut sources = self.sources.borrow_mut();
        let listed = &mut sources.get_mut(key)?.side(direction).listed;
        let at = listed.iter().position(|(kept, _)| *kept == ticket)?;
        Some(listed.remove(at).1)
    }

    /// Takes out everybody who waits for anything.
    pub(crate) fn take_all_waiters(&self) -> Vec<Waiter> {
        let mut waiters = Vec::new();
        for slot in self.sources.borrow_mut().values_mut() {
            slot.take_waiters(Ready::ALL, &mut waiters);
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

    #[inline]
    fn clear_bits(&self, key: Key, bits: Ready) {
        if let Some(slot) = self.sources.borrow_mut().get_mut(key) {
            slot.ready = slot.ready.without(bits);
        }
    }
}

impl Slot {
    fn side(&mut self, direction: Direction) -> &mut Side {
        match direction {
            Direction::Read => &mut self.read,
            Direction::Write => &mut self.write,
            Direction::Priority => self.priority.get_or_insert_default(),
        }
    }

    #[inline]
    fn take_waiters(&mut self, ready: Ready, woken: &mut Vec<Waiter>) {
        if !ready.intersection(Direction::Read.mask()).is_empty() {
            self.read.take_waiters(woken);
        }
        if !ready.intersection(Direction::Write.mask()).is_empty() {
            self.write.take_waiters(woken);
        }
        if let Some(priority) = &mut self.priority {
            if !ready.intersection(Direction::Priority.mask()).is_empty() {
                priority.take_waiters(woken);
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
        Side { stamp: 0, polled: Waiter::NONE, listed: Vec::new() }
    }
}

impl Side {
    #[inline]
    fn take_waiters(&mut self, woken: &mut Vec<Waiter>) {
        self.stamp += 1;
        if !self.polled.is_none() {
            woken.push(std::mem::replace(&mut self.polled, Waiter::NONE));
        }
        if !self.listed.is_empty() {
            woken.extend(self.listed.drain(..).map(|(_, waiter)| waiter));
        }
    }

    fn has_waiters(&self) -> bool {
        !self.polled.is_none() || !self.listed.is_empty()
    }
}
