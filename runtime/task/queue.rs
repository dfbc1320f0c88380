//! The run queue: keys of the tasks that are to be polled, first in, first out, each at most once.
//!
//! It knows keys and nothing of tasks, so a wake needs no look at the task's slot: the queue itself
//! remembers, by slot index, which key it holds. What is pushed while the loop does not turn (host
//! code between two turns) makes the loop's descriptor readable, once.

use std::cell::{Cell, RefCell, RefMut};
use std::rc::Rc;
use std::sync::Arc;

use crate::atomics::thread_local;
use crate::remote::{LoopId, Remote};
use crate::table::Key;

thread_local! {
    /// The queue of the loop that is entered on this thread: where a waker used here delivers.
    static HERE: RefCell<Option<Rc<RunQueue>>> = const { RefCell::new(None) };
}

pub(crate) struct RunQueue {
    id: LoopId,
    remote: Arc<Remote>,
    lanes: RefCell<Lanes>,
    in_turn: Cell<bool>,
}

/// Two plain vectors take turns, which is cheaper than a ring: what is pushed never meets what is
/// popped.
pub(crate) struct Lanes {
    /// Keys that are being handed out, from `next` on.
    leaving: Vec<Key>,
    next: usize,
    /// Keys pushed since the lanes changed places.
    arriving: Vec<Key>,
    /// By slot index: the key that stands in a lane, or `Key::NONE`.
    held: Vec<Key>,
}

impl RunQueue {
    pub(crate) fn new(remote: Arc<Remote>) -> Rc<RunQueue> {
        let lanes = Lanes { leaving: Vec::new(), next: 0, arriving: Vec::new(), held: Vec::new() };
        let in_turn = Cell::new(false);
        Rc::new(RunQueue { id: remote.id, remote, lanes: RefCell::new(lanes), in_turn })
    }

    /// Queues a task behind all others, unless it is queued already.
    #[inline]
    pub(crate) fn push(&self, key: Key) {
        self.lanes.borrow_mut().push(key);
        if !self.in_turn.get() {
            self.remote.rouse();
        }
    }

    /// The lanes themselves, borrowed once for many pushes: for the stages of a turn, which need no
    /// signal.
    pub(crate) fn lanes(&self) -> RefMut<'_, Lanes> {
        self.lanes.borrow_mut()
    }

    #[inline]
    pub(crate) fn pop(&self) -> Option<Key> {
        self.lanes.borrow_mut().pop()
    }

    /// Takes out what stands behind the first `mark` keys, in order. Nothing may have been popped
    /// since the queue was `mark` keys long.
    pub(crate) fn split_off(&self, mark: usize) -> Vec<Key> {
        let lanes = &mut *self.lanes.borrow_mut();
        let behind = lanes.arriving.split_off(mark - (lanes.leaving.len() - lanes.next));
        for &key in &behind {
            lanes.release(key);
        }
        behind
    }

    /// Puts the first `count` keys in an order drawn with `random(n)`, a number below `n`.
    pub(crate) fn shuffle(&self, count: usize, mut random: impl FnMut(usize) -> usize) {
        let lanes = &mut *self.lanes.borrow_mut();
        lanes.leaving.drain(..lanes.next);
        lanes.next = 0;
        lanes.leaving.append(&mut lanes.arriving);
        for last in (1..count.min(lanes.leaving.len())).rev() {
            lanes.leaving.swap(last, random(last + 1));
        }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        let lanes = self.lanes.borrow();
        lanes.leaving.len() - lanes.next + lanes.arriving.len()
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a task is queued.
    pub(crate) fn holds(&self, key: Key) -> bool {
        self.lanes.borrow().held.get(key.index()) == Some(&key)
    }

    /// Says whether the loop turns. While it does, a push needs no signal: the turn looks before it
    /// waits.
    pub(crate) fn set_in_turn(&self, in_turn: bool) -> bool {
        self.in_turn.replace(in_turn)
    }

    pub(crate) fn is_in_turn(&self) -> bool {
        self.in_turn.get()
    }
}

impl Lanes {
    /// Queues a task behind all others, unless it is queued already.
    #[inline]
    pub(crate) fn push(&mut self, key: Key) {
        match self.held.get_mut(key.index()) {
            Some(held) if *held == key => {}
            // A stale key of the same slot may still be queued; it will find nothing when its turn
            // comes.
            Some(held) => {
                *held = key;
                self.arriving.push(key);
            }
            None => self.push_first(key),
        }
    }

    /// The first push for a slot of that index.
    #[cold]
    fn push_first(&mut self, key: Key) {
        self.held.resize(key.index() + 1, Key::NONE);
        self.push(key);
    }

    #[inline]
    fn pop(&mut self) -> Option<Key> {
        if self.next == self.leaving.len() {
            self.leaving.clear();
            self.next = 0;
            std::mem::swap(&mut self.leaving, &mut self.arriving);
        }
        let key = *self.leaving.get(self.next)?;
        self.next += 1;
        self.release(key);
        Some(key)
    }

    #[inline]
    fn release(&mut self, key: Key) {
        if let Some(held) = self.held.get_mut(key.index()) {
            if *held == key {
                *held = Key::NONE;
            }
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
        Some(queue) if queue.id == id => {
            queue.push(key);
            true
        }
        _ => false,
    });
    pushed.unwrap_or(false)
}
