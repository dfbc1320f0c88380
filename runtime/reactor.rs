//! The reactor: which source is ready for what, and who waits for it.
//!
//! It turns events into waiters to wake and keeps the readiness that operations consult. It makes
//! no system call and wakes nobody: the loop does, when no borrow is held.
//!
//! Readiness is edge-triggered knowledge: a bit is set by an event and cleared by an operation that
//! came up empty. Since events are dispatched and operations run on one thread, never at the same
//! time, clearing needs no stamp, but for a guard that a user carries across an await: it notes the
//! stamp of its direction (one per direction, 64 bits) and clears nothing that came after.

use std::cell::{Cell, RefCell, RefMut};

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
    /// An error, and nothing else.
    Error,
}

impl Direction {
    /// Every bit that lets an operation of this direction go ahead.
    #[inline(always)]
    pub(crate) const fn mask(self) -> Ready {
        match self {
            Direction::Read => Ready::READABLE.with(Ready::READ_CLOSED).with(Ready::ERROR),
            Direction::Write => Ready::WRITABLE.with(Ready::WRITE_CLOSED).with(Ready::ERROR),
            Direction::Priority => Ready::PRIORITY.with(Ready::READ_CLOSED).with(Ready::ERROR),
            Direction::Error => Ready::ERROR,
        }
    }

    /// The bit that a short read or write clears. The others are sticky: they say that the end or
    /// an error follows.
    const fn passing(self) -> Ready {
        match self {
            Direction::Read => Ready::READABLE,
            Direction::Write => Ready::WRITABLE,
            Direction::Priority => Ready::PRIORITY,
            Direction::Error => Ready::EMPTY,
        }
    }
}

/// One entry in the list of a direction's waiters; goes stale when the waiter was woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket(u64);

impl Ticket {
    pub(crate) const NONE: Ticket = Ticket(0);
    /// What the `poll_*` calls of a direction share.
    const POLLED: Ticket = Ticket(u64::MAX);
}

/// Where a waiter is kept.
pub(crate) enum Place<'a> {
    /// The one place of the `poll_*` calls: the last caller is woken.
    Polled,
    /// In the list of the async calls: all are woken.
    Listed(&'a mut Ticket),
}

impl Place<'_> {
    /// The ticket it has, which may have gone stale.
    #[inline(always)]
    fn ticket(&self) -> Ticket {
        match self {
            Place::Polled => Ticket::POLLED,
            Place::Listed(ticket) => **ticket,
        }
    }

    /// Takes `next`, if it is one that changes.
    #[inline(always)]
    fn renew(&mut self, next: Ticket) -> Ticket {
        if let Place::Listed(ticket) = self {
            **ticket = next;
        }
        self.ticket()
    }
}

#[derive(Default)]
pub(crate) struct Reactor {
    sources: RefCell<Table<Slot>>,
    /// The last ticket given out.
    tickets: Cell<u64>,
}

/// What is known of one source.
pub(crate) struct Slot {
    ready: Ready,
    read: Side,
    write: Side,
    /// Few sources ever have one who waits for these.
    rare: Option<Box<Rare>>,
}

#[derive(Default)]
struct Rare {
    priority: Side,
    error: Side,
}

struct Side {
    stamp: u64,
    /// Nearly always there is one at most.
    first: Listed,
    others: Option<Box<Others>>,
}

/// In a box, since a source is three words larger with each empty vector in it.
#[derive(Default)]
struct Others(Vec<Listed>);

struct Listed {
    ticket: Ticket,
    waiter: Waiter,
}

impl Listed {
    const NOBODY: Listed = Listed { ticket: Ticket::NONE, waiter: Waiter::NONE };
}

impl Reactor {
    pub(crate) fn insert(&self, ready: Ready) -> Key {
        let slot = Slot { ready, read: Side::default(), write: Side::default(), rare: None };
        self.sources.borrow_mut().insert(slot)
    }

    /// Frees a slot. Its waiters come back to be dropped, or woken, by the caller.
    pub(crate) fn remove(&self, key: Key) -> Vec<Waiter> {
        let Some(mut slot) = self.sources.borrow_mut().remove(key) else { return Vec::new() };
        let mut waiters = Vec::new();
        slot.take_waiters(Ready::ALL, &mut |waiter| waiters.push(waiter));
        waiters
    }

    /// Stage 4: notes what became ready and hands out who waited for it. `wake` must run no foreign
    /// code. `false`: some event was no source's: a stale key's, or the alarm's.
    #[inline]
    pub(crate) fn dispatch(&self, events: &[Event], mut wake: impl FnMut(Waiter)) -> bool {
        let sources = &mut *self.sources.borrow_mut();
        let mut all_known = true;
        for event in events {
            match sources.get_mut(event.key) {
                Some(slot) => {
                    slot.ready |= event.ready;
                    slot.take_waiters(event.ready, &mut wake);
                }
                None => all_known = false,
            }
        }
        all_known
    }

    /// What is known of a source, borrowed: no foreign code may run meanwhile.
    #[inline(always)]
    pub(crate) fn slot(&self, key: Key) -> Option<RefMut<'_, Slot>> {
        RefMut::filter_map(self.sources.borrow_mut(), |sources| sources.get_mut(key)).ok()
    }

    /// A ticket for one who waits anew.
    #[inline(always)]
    pub(crate) fn next_ticket(&self) -> Ticket {
        let next = self.tickets.get() + 1;
        self.tickets.set(next);
        Ticket(next)
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

    pub(crate) fn keys(&self) -> Vec<Key> {
        self.sources.borrow().iter().map(|(key, _)| key).collect()
    }

    /// Whether anybody waits for a source.
    pub(crate) fn has_waiters(&self) -> bool {
        self.sources.borrow().iter().any(|(_, slot)| slot.has_waiters())
    }
}

impl Slot {
    /// What the source is ready for in this direction.
    pub(crate) fn readiness(&self, direction: Direction) -> Ready {
        self.ready.intersection(direction.mask())
    }

    /// Whether an operation may go ahead.
    #[inline(always)]
    pub(crate) fn is_ready(&mut self, direction: Direction, place: &mut Place<'_>) -> bool {
        if self.readiness(direction).is_empty() {
            return false;
        }
        if let Place::Listed(ticket) = place {
            self.side(direction).note_woken(ticket);
        }
        true
    }

    /// Leaves a waiter, under `ticket` if it did not wait before. The one it replaces comes back:
    /// its drop is foreign code.
    #[inline(always)]
    pub(crate) fn wait(
        &mut self,
        direction: Direction,
        place: &mut Place<'_>,
        waiter: Waiter,
        ticket: Ticket,
    ) -> Waiter {
        self.side(direction).list(place, waiter, ticket)
    }

    /// As `wait`, for a task, but only if nobody else stands before it: no waiter is replaced, so
    /// no foreign code runs.
    #[inline(always)]
    pub(crate) fn wait_alone(
        &mut self,
        direction: Direction,
        place: &mut Place<'_>,
        task: Key,
        ticket: Ticket,
    ) -> bool {
        self.side(direction).list_alone(place, task, ticket)
    }

    /// An operation said `WouldBlock`: nothing is ready in this direction, the sticky bits
    /// included.
    #[inline(always)]
    pub(crate) fn clear(&mut self, direction: Direction) {
        self.clear_bits(direction.mask());
    }

    /// An operation did less than it was asked to: the next one would block, unless an end or an
    /// error follows.
    #[inline(always)]
    pub(crate) fn clear_passing(&mut self, direction: Direction) {
        // Not once urgent data came: a read ends at its mark, however much follows.
        if !self.ready.is_priority() {
            self.ready = self.ready.without(direction.passing());
        }
    }

    /// The stamp of a direction's last event, for `clear_since`.
    pub(crate) fn stamp(&mut self, direction: Direction) -> u64 {
        self.side(direction).stamp
    }

    /// Clears `bits` of a direction unless an event came after `stamp`.
    pub(crate) fn clear_since(&mut self, direction: Direction, bits: Ready, stamp: u64) {
        if self.side(direction).stamp == stamp {
            self.clear_bits(bits.intersection(direction.mask()));
        }
    }

    /// Takes a waiter out again, if it was not woken.
    pub(crate) fn forget(&mut self, ticket: Ticket) -> Option<Waiter> {
        let usual = [&mut self.read, &mut self.write].into_iter();
        let rare = self.rare.iter_mut().flat_map(|rare| [&mut rare.priority, &mut rare.error]);
        usual.chain(rare).find_map(|side| side.unlist(ticket))
    }

    /// Clears `bits`. If a rare direction gives up one that it shares with readers or writers, they
    /// are to try.
    #[inline(always)]
    fn clear_bits(&mut self, bits: Ready) {
        let shared = self.ready.intersection(bits).is_readable();
        self.ready = self.ready.without(bits);
        if bits.is_priority() && shared {
            self.ready |= Ready::READABLE;
        }
        if bits == Ready::ERROR && shared {
            self.ready |= Ready::READABLE.with(Ready::WRITABLE);
        }
    }

    #[inline(always)]
    fn side(&mut self, direction: Direction) -> &mut Side {
        match direction {
            Direction::Read => &mut self.read,
            Direction::Write => &mut self.write,
            Direction::Priority => &mut self.rare.get_or_insert_default().priority,
            Direction::Error => &mut self.rare.get_or_insert_default().error,
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
        if let Some(rare) = &mut self.rare {
            if !ready.intersection(Direction::Priority.mask()).is_empty() {
                rare.priority.take_waiters(wake);
            }
            if ready.is_error() {
                rare.error.take_waiters(wake);
            }
        }
    }

    fn has_waiters(&self) -> bool {
        let has_rare = |rare: &Rare| rare.priority.has_waiters() || rare.error.has_waiters();
        let rare = self.rare.as_deref().is_some_and(has_rare);
        self.read.has_waiters() || self.write.has_waiters() || rare
    }
}

impl Default for Side {
    fn default() -> Side {
        Side { stamp: 0, first: Listed::NOBODY, others: None }
    }
}

impl Side {
    #[inline(always)]
    fn take_waiters(&mut self, wake: &mut impl FnMut(Waiter)) {
        self.stamp += 1;
        if self.first.ticket != Ticket::NONE {
            wake(std::mem::replace(&mut self.first, Listed::NOBODY).waiter);
        }
        if self.others.is_some() {
            self.take_others(wake);
        }
    }

    // Out of line, to keep the common case short.
    #[cold]
    fn take_others(&mut self, wake: &mut impl FnMut(Waiter)) {
        let Some(others) = self.others.take() else { return };
        others.0.into_iter().for_each(|listed| wake(listed.waiter));
    }

    /// Lists a waiter, under the ticket it has or else `next`. The one that had the ticket comes
    /// back.
    #[inline(always)]
    fn list(&mut self, place: &mut Place<'_>, waiter: Waiter, next: Ticket) -> Waiter {
        let held = place.ticket();
        if held != Ticket::NONE {
            if let Some(listed) = self.find(held) {
                return std::mem::replace(&mut listed.waiter, waiter);
            }
        }
        let listed = Listed { ticket: place.renew(next), waiter };
        if self.first.ticket == Ticket::NONE {
            self.first = listed;
        } else {
            self.others.get_or_insert_default().0.push(listed);
        }
        Waiter::NONE
    }

    /// Lists a task if nobody is listed, or it alone already.
    #[inline(always)]
    fn list_alone(&mut self, place: &mut Place<'_>, task: Key, next: Ticket) -> bool {
        if self.first.ticket == Ticket::NONE && self.others.is_none() {
            self.first = Listed { ticket: place.renew(next), waiter: Waiter::Task(task) };
            return true;
        }
        let is_listed = matches!(self.first.waiter, Waiter::Task(key) if key == task);
        is_listed && self.first.ticket == place.ticket()
    }

    /// Makes the ticket void if its waiter was woken, so that it need not be looked for again.
    #[inline(always)]
    fn note_woken(&self, ticket: &mut Ticket) {
        if *ticket != self.first.ticket && self.others.is_none() {
            *ticket = Ticket::NONE;
        }
    }

    fn unlist(&mut self, ticket: Ticket) -> Option<Waiter> {
        if self.first.ticket == ticket {
            return Some(std::mem::replace(&mut self.first, Listed::NOBODY).waiter);
        }
        let Others(others) = &mut **self.others.as_mut()?;
        let at = others.iter().position(|listed| listed.ticket == ticket)?;
        Some(others.remove(at).waiter)
    }

    fn find(&mut self, ticket: Ticket) -> Option<&mut Listed> {
        if self.first.ticket == ticket {
            return Some(&mut self.first);
        }
        let Others(others) = &mut **self.others.as_mut()?;
        others.iter_mut().find(|listed| listed.ticket == ticket)
    }

    fn has_waiters(&self) -> bool {
        self.first.ticket != Ticket::NONE
            || self.others.as_ref().is_some_and(|others| !others.0.is_empty())
    }
}
