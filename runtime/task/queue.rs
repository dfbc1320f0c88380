//! The run queue: keys of the tasks that are to be polled, first in, first out, each at most once.
//!
//! It knows keys and nothing of tasks, so a wake needs no look at the task's slot: the queue itself
//! remembers, by slot index, which key it holds. What is pushed while the loop does not turn (host code
//! between two turns) makes the loop's descriptor readable, once.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use crate::remote::{LoopId, Remote};
use crate::table::Key;

thread_local! {
    /// The queue of the loop that is entered on this thread: where a waker used here delivers.
    static HERE: RefCell<Option<Rc<RunQueue>>> = const { RefCell::new(None) };
}

pub(crate) struct RunQueue {
    remote: Arc<Remote>,
    lanes: RefCell<Lanes>,
    in_turn: Cell<bool>,
}

struct Lanes {
    keys: VecDeque<Key>,
    /// By slot index: the key that stands in `keys`, or `Key::NONE`.
    held: Vec<Key>,
}

impl RunQueue {
    pub(crate) fn new(remote: Arc<Remote>) -> Rc<RunQueue> {
        let lanes = Lanes { keys: VecDeque::new(), held: Vec::new() };
        Rc::new(RunQueue { remote, lanes: RefCell::new(lanes), in_turn: Cell::new(false) })
    }

    /// Queues a task behind all others, unless it is queued already.
    #[inline]
    pub(crate) fn push(&self, key: Key) {
        self.lanes.borrow_mut().push(key);
        if !self.in_turn.get() {
            self.remote.rouse();
        }
    }

    #[inline]
    pub(crate) fn pop(&self) -> Option<Key> {
        let lanes = &mut *self.lanes.borrow_mut();
        let key = lanes.keys.pop_front()?;
        lanes.release(key);
        Some(key)
    }

    /// Takes out what stands behind the first `mark` keys, in order.
    pub(crate) fn split_off(&self, mark: usize, into: &mut Vec<Key>) {
        let lanes = &mut *self.lanes.borrow_mut();
        for key in lanes.keys.drain(mark..) {
            into.push(key);
        }
        for &key in into.iter() {
            lanes.release(key);
        }
    }

    /// Puts the first `count` keys in an order drawn with `random(n)`, a number below `n`.
    pub(crate) fn shuffle(&self, count: usize, mut random: impl FnMut(usize) -> usize) {
        let keys = &mut self.lanes.borrow_mut().keys;
        for last in (1..count.min(keys.len())).rev() {
            keys.swap(last, random(last + 1));
        }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.lanes.borrow().keys.len()
    }

    /// Whether a task is queued.
    pub(crate) fn holds(&self, key: Key) -> bool {
        self.lanes.borrow().held.get(key.index()) == Some(&key)
    }

    /// Says whether the loop turns. While it does, a push needs no signal: the turn looks before it waits.
    pub(crate) fn set_in_turn(&self, in_turn: bool) -> bool {
        self.in_turn.replace(in_turn)
    }

    pub(crate) fn is_in_turn(&self) -> bool {
        self.in_turn.get()
    }
}

impl Lanes {
    fn push(&mut self, key: Key) {
        let index = key.index();
        if index >= self.held.len() {
            self.held.resize(index + 1, Key::NONE);
        }
        // A stale key of the same slot may still be queued; it will find nothing when its turn comes.
        if self.held[index] != key {
            self.held[index] = key;
            self.keys.push_back(key);
        }
    }

    fn release(&mut self, key: Key) {
        let held = &mut self.held[key.index()];
        if *held == key {
            *held = Key::NONE;
        }
    }
}

/// Makes `queue` the one that wakers on this thread deliver to; gives back the one before.
pub(crate) fn set_here(queue: Option<Rc<RunQueue>>) -> Option<Rc<RunQueue>> {
    // While the thread's own variables are being destroyed there is no loop here.
    HERE.try_with(|here| here.replace(queue)).unwrap_or(None)
}

/// Queues a task of loop `id` if that loop is entered on this thread.
#[inline]
pub(crate) fn push_here(id: LoopId, key: Key) -> bool {
    let pushed = HERE.try_with(|here| match &*here.borrow() {
        Some(queue) if queue.remote.id == id => {
            queue.push(key);
            true
        }
        _ => false,
    });
    pushed.unwrap_or(false)
}
