//! Which of a parent's children were woken: keys in the order of their wakes, each at most once.
//!
//! Every child is polled with a waker of its own, which leaves the child's key here and wakes the
//! parent. So the parent polls the children that have something to do and no others, and ten
//! thousand of them cost ten thousand polls, not their square. It knows neither futures nor tasks;
//! a key that has gone stale is the parent's to skip.
//!
//! Wakers may be used on any thread, hence the lock. Nothing foreign runs under it: the parent's
//! waker is cloned, called and dropped outside.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

use crate::table::Key;

#[derive(Default)]
pub(crate) struct ReadyList {
    woken: Mutex<Woken>,
}

#[derive(Default)]
struct Woken {
    keys: VecDeque<Key>,
    /// By slot index: the key that stands in `keys`, or `Key::NONE`.
    held: Vec<Key>,
    /// Taken by the first wake: until the parent is polled again, it knows.
    parent: Option<Waker>,
}

/// The waker of one child.
struct ChildWaker {
    list: Arc<ReadyList>,
    key: Key,
}

impl ReadyList {
    pub(crate) fn waker(self: &Arc<Self>, key: Key) -> Waker {
        Waker::from(Arc::new(ChildWaker { list: self.clone(), key }))
    }

    /// Says whom to wake. The parent does so at the beginning of each poll, before it looks what is
    /// ready.
    pub(crate) fn set_parent(&self, waker: &Waker) {
        if self.lock().parent.as_ref().is_some_and(|kept| kept.will_wake(waker)) {
            return;
        }
        let waker = waker.clone();
        let before = self.lock().parent.replace(waker);
        drop(before);
    }

    /// Adds a child that is to be polled, and wakes the parent.
    pub(crate) fn push(&self, key: Key) {
        let mut woken = self.lock();
        if !woken.push(key) {
            return;
        }
        let parent = woken.parent.take();
        drop(woken);
        if let Some(parent) = parent {
            parent.wake();
        }
    }

    /// As `push` by the parent itself, which is going to look.
    pub(crate) fn push_quietly(&self, key: Key) {
        self.lock().push(key);
    }

    pub(crate) fn pop(&self) -> Option<Key> {
        let mut woken = self.lock();
        let key = woken.keys.pop_front()?;
        if let Some(held) = woken.held.get_mut(key.index()) {
            if *held == key {
                *held = Key::NONE;
            }
        }
        Some(key)
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().keys.len()
    }

    fn lock(&self) -> MutexGuard<'_, Woken> {
        // Nothing that can panic runs under the lock but an allocation that fails.
        self.woken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Woken {
    /// `false`: it stands here already.
    fn push(&mut self, key: Key) -> bool {
        let index = key.index();
        if index >= self.held.len() {
            self.held.resize(index + 1, Key::NONE);
        }
        if self.held[index] == key {
            return false;
        }
        self.held[index] = key;
        self.keys.push_back(key);
        true
    }
}

impl Wake for ChildWaker {
    fn wake(self: Arc<Self>) {
        self.list.push(self.key);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.list.push(self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Table;

    struct Count(Mutex<usize>);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            *self.0.lock().unwrap() += 1;
        }
    }

    #[test]
    fn keys_come_out_in_order_each_once_and_the_parent_is_woken_once() {
        let count = Arc::new(Count(Mutex::new(0)));
        let list = Arc::new(ReadyList::default());
        list.set_parent(&Waker::from(count.clone()));
        let mut table = Table::new();
        let (one, two) = (table.insert(()), table.insert(()));
        let wakers = [list.waker(two), list.waker(one), list.waker(two)];
        wakers.iter().for_each(Waker::wake_by_ref);
        assert_eq!(*count.0.lock().unwrap(), 1);
        assert_eq!((list.pop(), list.pop(), list.pop()), (Some(two), Some(one), None));
        list.set_parent(&Waker::from(count.clone()));
        wakers.into_iter().for_each(Waker::wake);
        assert_eq!((*count.0.lock().unwrap(), list.len()), (2, 2));
    }

    #[test]
    fn a_stale_key_does_not_hide_the_next_tenant_of_its_slot() {
        let list = ReadyList::default();
        let mut table = Table::new();
        let old = table.insert(());
        list.push(old);
        table.remove(old);
        let new = table.insert(());
        list.push(new);
        assert_eq!((list.pop(), list.pop(), list.pop()), (Some(old), Some(new), None));
        list.push(new);
        assert_eq!(list.pop(), Some(new));
    }
}
