//! The generational table: values in slots, found by a [`Key`] that goes stale with its slot.
//!
//! Tasks, sources and timers all live in one of these, and what users hold is a key. A key whose
//! value was removed finds nothing, even when its slot holds another value by then: each insertion
//! into a table gets the table's next generation, and a key must match it.
//!
//! It knows nothing of what it holds.

use slab::Slab;

/// Bits of a key that name the slot; the rest hold the generation.
const INDEX_BITS: u32 = 28;
const INDEX_MASK: u64 = (1 << INDEX_BITS) - 1;

// A key travels through the selector as a `usize` token.
const _: () = assert!(usize::BITS >= 64, "wheelhouse needs a 64-bit target");

/// Where a value is (28 bits: 268 million slots) and which of the slot's tenants it was (36 bits).
///
/// A stale key could only match after 2^36 further insertions into the same table, and then only if
/// the very one that repeats its generation lands in its slot.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key(u64);

impl Key {
    /// A key that no table ever hands out.
    pub(crate) const NONE: Key = Key(u64::MAX);

    /// A key for something that lives beside a table, not in it; `n` tells such things apart.
    pub(crate) const fn reserved(n: u64) -> Key {
        Key(u64::MAX - 1 - n)
    }

    pub(crate) const fn to_bits(self) -> u64 {
        self.0
    }

    pub(crate) const fn from_bits(bits: u64) -> Key {
        Key(bits)
    }

    pub(crate) const fn index(self) -> usize {
        (self.0 & INDEX_MASK) as usize
    }

    fn new(index: usize, generation: u64) -> Key {
        Key(generation << INDEX_BITS | index as u64)
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.index(), self.0 >> INDEX_BITS)
    }
}

struct Entry<T> {
    key: Key,
    value: T,
}

/// Values by key. Insertion, removal and look-up are O(1); freed slots are used again first.
pub(crate) struct Table<T> {
    entries: Slab<Entry<T>>,
    generation: u64,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Table::new()
    }
}

impl<T> Table<T> {
    pub(crate) const fn new() -> Self {
        Table { entries: Slab::new(), generation: 0 }
    }

    /// # Panics
    ///
    /// When all 2^28 slots are taken.
    pub(crate) fn insert(&mut self, value: T) -> Key {
        self.insert_with(|_| value)
    }

    /// Inserts what `make` makes of the key it is going to have.
    pub(crate) fn insert_with(&mut self, make: impl FnOnce(Key) -> T) -> Key {
        let vacant = self.entries.vacant_entry();
        // The last index is left to the reserved keys.
        assert!((vacant.key() as u64) < INDEX_MASK, "the table is full: 2^28 slots are in use");
        let key = Key::new(vacant.key(), self.generation);
        self.generation = (self.generation + 1) & (u64::MAX >> INDEX_BITS);
        vacant.insert(Entry { key, value: make(key) });
        key
    }

    #[inline]
    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        self.get(key)?;
        Some(self.entries.remove(key.index()).value)
    }

    #[inline]
    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        match self.entries.get(key.index()) {
            Some(entry) if entry.key == key => Some(&entry.value),
            _ => None,
        }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        match self.entries.get_mut(key.index()) {
            Some(entry) if entry.key == key => Some(&mut entry.value),
            _ => None,
        }
    }

    /// The value in a slot that is known to be taken, as by a list whose links are slots.
    ///
    /// # Panics
    ///
    /// As [`at_mut`](Table::at_mut) and [`remove_at`](Table::remove_at), when the slot is free.
    #[inline]
    pub(crate) fn at(&self, index: usize) -> &T {
        &self.entries[index].value
    }

    #[inline]
    pub(crate) fn at_mut(&mut self, index: usize) -> &mut T {
        &mut self.entries[index].value
    }

    pub(crate) fn remove_at(&mut self, index: usize) -> T {
        self.entries.remove(index).value
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.entries.iter_mut().map(|(_, entry)| &mut entry.value)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        self.entries.iter().map(|(_, entry)| (entry.key, &entry.value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_key_finds_nothing_in_a_slot_used_again() {
        let mut table = Table::new();
        let old = table.insert("old");
        assert_eq!(table.remove(old), Some("old"));
        let new = table.insert("new");
        assert_eq!(old.index(), new.index(), "the freed slot is used first");
        assert_eq!(table.get(old), None);
        assert_eq!(table.get_mut(old), None);
        assert_eq!(table.remove(old), None);
        assert_eq!(table.get(new), Some(&"new"));
    }

    #[test]
    fn a_taken_slot_is_found_by_its_index() {
        let mut table = Table::new();
        let key = table.insert(1);
        *table.at_mut(key.index()) += 1;
        assert_eq!(table.at(key.index()), &2);
        assert_eq!(table.remove_at(key.index()), 2);
        assert_eq!(table.get(key), None);
    }

    #[test]
    fn no_slot_is_ever_found_by_a_reserved_key() {
        let mut table = Table::new();
        let key = table.insert_with(|key| key);
        assert_eq!(table.get(key), Some(&key), "a value can know its key");
        assert!(table.get(Key::NONE).is_none());
        assert!(table.get(Key::reserved(0)).is_none());
        assert_ne!(Key::reserved(0), Key::reserved(1));
    }

    #[test]
    fn generations_wrap_without_touching_the_index() {
        let mut table = Table::new();
        table.generation = u64::MAX >> INDEX_BITS;
        let last = table.insert(1);
        let first = table.insert(2);
        assert_eq!((last.index(), first.index()), (0, 1));
        assert_eq!((table.get(last), table.get(first)), (Some(&1), Some(&2)));
    }
}
