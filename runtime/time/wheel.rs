//! The timing wheel: values that wait for a tick, found by a [`Key`], fired in order of deadline.
//!
//! It is pure. It knows neither clocks nor tasks nor how long a tick is: `now` is an argument, a
//! fired value goes to a closure, and so all of time can be tested in a second.
//!
//! A deadline is a number of eleven digits in base 64, and each digit has a level of 64 slots. An
//! entry is filed by the highest digit in which its deadline differs from `elapsed`, in the slot of
//! that digit. Levels and slots, taken in order, are then in order of time, each level has a bitmap
//! of its occupied slots, and finding the first takes two `trailing_zeros`. When it is due its
//! entries are filed again under the new `elapsed`, lower down, and fire from level 0, where a slot
//! is a single tick.
//!
//! These hold between any two calls, and before each call of `fire`:
//!
//! * **A place is exact for `elapsed`.** Equal deadlines are always in the same slot, whenever they
//!   were filed; so those that were never reset fire in order of creation.
//! * **`elapsed` never enters the range of an occupied slot** without filing its entries again, nor
//!   passes the latest `now`. It may lag behind `now`: a slot whose range has begun, but in which
//!   nothing is due, is left alone. (A far timer would otherwise be moved at every level, and
//!   timers that are going to be removed would be moved at all.)
//! * **No entry is filed later than its deadline.** It may be filed earlier: pushing a deadline
//!   out, as an idle timeout does with every message, only stores it.
//! * **A slot's minimum is never late**, and lies in the slot's range. It is the smallest deadline
//!   in the slot, unless that one left or was pushed out, which marks the slot stale. So a far
//!   timer costs one wake-up, at its deadline, and not one a level.
//!
//! An entry goes down at most ten levels between two pushes, which bounds the cost of filing again.

use std::num::NonZeroU16;

use crate::table::{Key, Table};

/// A point in time, or a deadline. How long a tick takes is the clock's business.
pub(crate) type Tick = u64;

/// Bits of a digit: one word of bitmap a level.
const DIGIT_BITS: u32 = 6;
const SLOTS: usize = 1 << DIGIT_BITS;
const DIGIT_MASK: u64 = SLOTS as u64 - 1;
/// As many digits as a tick has.
const LEVELS: usize = u64::BITS.div_ceil(DIGIT_BITS) as usize;

/// The end of a list. The table has no such index.
const NIL: u32 = u32::MAX;

/// A slot of a level. The order of places is the order of their times.
///
/// It is held plus one, so that the table finds room in an entry to tell it from a free slot.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place(NonZeroU16);

impl Place {
    /// Where a deadline belongs; one that has passed belongs to the tick of `elapsed`.
    #[inline]
    fn of(deadline: Tick, elapsed: Tick) -> Place {
        let when = deadline.max(elapsed);
        // Deadlines that agree in all digits but the last, or in all of them, are on level 0.
        let differing = (when ^ elapsed) | DIGIT_MASK;
        let level = differing.ilog2() / DIGIT_BITS;
        let digit = (when >> (level * DIGIT_BITS)) & DIGIT_MASK;
        Place::new(level as usize, digit as usize)
    }

    fn new(level: usize, digit: usize) -> Place {
        Place(NonZeroU16::MIN.saturating_add((level * SLOTS + digit) as u16))
    }

    fn index(self) -> usize {
        usize::from(self.0.get() - 1)
    }

    fn level(self) -> usize {
        self.index() / SLOTS
    }

    /// The slot's bit in its level's bitmaps.
    fn bit(self) -> u64 {
        1 << (self.index() % SLOTS)
    }

    /// The first tick of the slot's range. `elapsed` gives the digits above.
    fn start(self, elapsed: Tick) -> Tick {
        let shift = self.level() as u32 * DIGIT_BITS;
        ((elapsed >> shift) & !DIGIT_MASK | (self.index() % SLOTS) as u64) << shift
    }
}

struct Entry<T> {
    deadline: Tick,
    links: Links,
    value: T,
}

/// Where an entry is filed, which for a pushed-out deadline is before where it belongs.
#[derive(Clone, Copy)]
struct Links {
    place: Place,
    prev: u32,
    next: u32,
}

/// A list of entries, in order of filing.
#[derive(Clone, Copy)]
struct Slot {
    /// No deadline in the list is smaller. It means nothing while the list is empty.
    min: Tick,
    head: u32,
    tail: u32,
}

impl Slot {
    const EMPTY: Slot = Slot { min: Tick::MAX, head: NIL, tail: NIL };
}

/// Values that wait for their deadlines. See the module's description.
pub(crate) struct Wheel<T> {
    entries: Table<Entry<T>>,
    /// All deadlines are filed by how they differ from this.
    elapsed: Tick,
    /// The latest `now`.
    now: Tick,
    /// Whether passed deadlines were filed out of order in the slot of `elapsed`.
    disordered: bool,
    /// Which levels have occupied slots.
    levels: u16,
    /// Which slots of a level have entries.
    occupied: [u64; LEVELS],
    /// Which of those have a minimum that may be too small.
    stale: [u64; LEVELS],
    slots: Box<[Slot; LEVELS * SLOTS]>,
    /// Room for sorting passed deadlines: deadline, position in the list, index.
    sorting: Vec<(Tick, u32, u32)>,
}

impl<T> Wheel<T> {
    pub(crate) fn new(start: Tick) -> Self {
        Wheel {
            entries: Table::new(),
            elapsed: start,
            now: start,
            disordered: false,
            levels: 0,
            occupied: [0; LEVELS],
            stale: [0; LEVELS],
            slots: Box::new([Slot::EMPTY; LEVELS * SLOTS]),
            sorting: Vec::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// All that is pending, in no particular order.
    pub(crate) fn pending(&self) -> impl Iterator<Item = (Key, Tick)> {
        self.entries.iter().map(|(key, entry)| (key, entry.deadline))
    }

    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        self.entries.get_mut(key).map(|entry| &mut entry.value)
    }

    /// A deadline that has passed fires at the next [`advance`](Wheel::advance).
    pub(crate) fn insert(&mut self, deadline: Tick, value: T) -> Key {
        let place = Place::of(deadline, self.elapsed);
        let links = Links { place, prev: NIL, next: NIL };
        let key = self.entries.insert(Entry { deadline, links, value });
        self.link(key.index() as u32, deadline, place);
        key
    }

    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        let entry = self.entries.remove(key)?;
        self.unlink(entry.links, entry.deadline);
        Some(entry.value)
    }

    /// Moves a deadline, later or earlier. False when the key is stale.
    #[inline]
    pub(crate) fn reset(&mut self, key: Key, deadline: Tick) -> bool {
        let Some(entry) = self.entries.get_mut(key) else { return false };
        let place = entry.links.place;
        let min = self.slots[place.index()].min;
        // Not before the slot's minimum it may stay in the slot, which is filed again in time. In
        // the slot of `elapsed` deadlines have passed and fire as they stand, so they must stand in
        // order.
        if deadline >= min && min > self.elapsed {
            let old = std::mem::replace(&mut entry.deadline, deadline);
            if old == min && deadline != min {
                self.stale[place.level()] |= place.bit();
            }
        } else {
            self.file_anew(key.index() as u32, deadline);
        }
        true
    }

    /// A tick before which nothing is due: `Tick::MAX` when nothing ever is. It may be too early
    /// after a removal or a push-out, and is never late.
    #[inline]
    pub(crate) fn earliest(&self) -> Tick {
        self.first().map_or(Tick::MAX, |place| self.slots[place.index()].min)
    }

    /// The earliest deadline, exactly. This looks through a whole slot when the earliest deadline
    /// was removed or pushed out, so it is to be called when an alarm is set and not at every turn.
    pub(crate) fn next_deadline(&mut self) -> Option<Tick> {
        loop {
            let place = self.first()?;
            let min = self.slots[place.index()].min;
            if self.stale[place.level()] & place.bit() == 0 {
                return Some(min);
            }
            // If the slot's range has begun its entries move down, and are not looked through
            // again.
            self.elapsed = self.elapsed.max(min.min(self.now));
            self.refile(place);
        }
    }

    /// Fires all whose deadline is at or before `now`, in order of deadline, and those of the same
    /// tick that were never reset in order of creation.
    ///
    /// A `now` before an earlier one is no error; what was filed since then fires by it.
    pub(crate) fn advance(&mut self, now: Tick, mut fire: impl FnMut(T)) {
        self.now = self.now.max(now);
        while let Some(place) = self.first() {
            let min = self.slots[place.index()].min;
            if min > now {
                // Up to here, nothing changes its place. (The slot of `elapsed` itself stays.)
                let before = place.start(self.elapsed).saturating_sub(1);
                self.elapsed = self.elapsed.max(before.min(now));
                return;
            }
            self.elapsed = self.elapsed.max(min);
            if place.level() == 0 {
                self.fire_due(place, now, &mut fire);
            } else {
                self.refile(place);
            }
        }
        self.elapsed = self.elapsed.max(now);
    }

    /// Fires what is due in the slot of `elapsed`, and files again what was pushed out.
    fn fire_due(&mut self, place: Place, now: Tick, fire: &mut impl FnMut(T)) {
        if self.disordered {
            self.sort(place);
        }
        loop {
            let index = self.slots[place.index()].head;
            if index == NIL {
                return;
            }
            let deadline = self.entries.at(index as usize).deadline;
            if deadline <= now.min(self.elapsed) {
                let entry = self.entries.remove_at(index as usize);
                self.unlink(entry.links, deadline);
                fire(entry.value);
            } else if deadline > self.elapsed {
                self.file_anew(index, deadline);
            } else {
                // `now` went backwards. This one and those after it were due by an earlier `now`.
                self.slots[place.index()].min = deadline;
                self.stale[0] &= !place.bit();
                return;
            }
        }
    }

    /// The occupied slot of the earliest range.
    #[inline]
    fn first(&self) -> Option<Place> {
        if self.levels == 0 {
            return None;
        }
        let level = self.levels.trailing_zeros() as usize;
        Some(Place::new(level, self.occupied[level].trailing_zeros() as usize))
    }

    /// Adds an entry that is in no list to the end of a slot's.
    #[inline]
    fn link(&mut self, index: u32, deadline: Tick, place: Place) {
        let (level, bit) = (place.level(), place.bit());
        let slot = &mut self.slots[place.index()];
        let prev = std::mem::replace(&mut slot.tail, index);
        if prev == NIL {
            slot.head = index;
            slot.min = deadline;
            self.occupied[level] |= bit;
            self.levels |= 1 << level;
        } else {
            if deadline <= slot.min {
                slot.min = deadline;
                self.stale[level] &= !bit;
            }
            let last = self.entries.at_mut(prev as usize);
            last.links.next = index;
            self.disordered |= deadline < self.elapsed && deadline < last.deadline;
        }
        self.entries.at_mut(index as usize).links = Links { place, prev, next: NIL };
    }

    /// Takes an entry, which may be out of the table already, out of the list it is in.
    #[inline]
    fn unlink(&mut self, links: Links, deadline: Tick) {
        let Links { place, prev, next } = links;
        let slot = &mut self.slots[place.index()];
        match prev {
            NIL => slot.head = next,
            _ => self.entries.at_mut(prev as usize).links.next = next,
        }
        match next {
            NIL => slot.tail = prev,
            _ => self.entries.at_mut(next as usize).links.prev = prev,
        }
        if slot.head == NIL {
            self.vacate(place);
        } else if deadline == slot.min {
            self.stale[place.level()] |= place.bit();
        }
    }

    /// Empties a slot and gives the head of what was its list.
    fn vacate(&mut self, place: Place) -> u32 {
        let level = place.level();
        self.occupied[level] &= !place.bit();
        self.stale[level] &= !place.bit();
        if self.occupied[level] == 0 {
            self.levels &= !(1 << level);
        }
        std::mem::replace(&mut self.slots[place.index()], Slot::EMPTY).head
    }

    /// Moves an entry to where a deadline belongs, and gives it that deadline.
    fn file_anew(&mut self, index: u32, deadline: Tick) {
        let entry = self.entries.at_mut(index as usize);
        let links = entry.links;
        let old = std::mem::replace(&mut entry.deadline, deadline);
        self.unlink(links, old);
        self.link(index, deadline, Place::of(deadline, self.elapsed));
    }

    /// Moves a slot's entries to where they belong by now, in order: lower down, elsewhere if they
    /// were pushed out, or into the same slot again. No minimum that this leaves is stale that was
    /// not before.
    fn refile(&mut self, place: Place) {
        let mut index = self.vacate(place);
        while index != NIL {
            let Entry { deadline, links, .. } = *self.entries.at(index as usize);
            self.link(index, deadline, Place::of(deadline, self.elapsed));
            index = links.next;
        }
    }

    /// Puts the slot of `elapsed`, where deadlines that had passed were filed as they came, in
    /// order.
    fn sort(&mut self, place: Place) {
        let mut index = self.vacate(place);
        while index != NIL {
            let Entry { deadline, links, .. } = *self.entries.at(index as usize);
            self.sorting.push((deadline, self.sorting.len() as u32, index));
            index = links.next;
        }
        // The position keeps equals in order; a stable sort would allocate.
        self.sorting.sort_unstable();
        for i in 0..self.sorting.len() {
            let (deadline, _, index) = self.sorting[i];
            self.link(index, deadline, Place::of(deadline, self.elapsed));
        }
        self.sorting.clear();
        self.disordered = false;
    }
}

#[cfg(test)]
#[path = "wheel_tests.rs"]
mod wheel_tests;
