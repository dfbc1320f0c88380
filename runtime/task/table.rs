//! The tasks of a loop: slots that hold the cell, the waker and what is known about the task.
//!
//! Nothing here runs foreign code under a borrow: cells, outputs and wakers are moved out and
//! handed to the caller, which polls, calls or drops them. The state picture is in `mod.rs`.

use std::cell::RefCell;
use std::future::Future;
use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

use crate::remote::Remote;
use crate::table::{Key, Table};
use crate::task::cell::{self, BoxedCell, Payload};
use crate::task::polled::Wait;
use crate::task::waker::OwnWaker;
use crate::waiter::Waiter;

pub(crate) struct Tasks {
    remote: Arc<Remote>,
    slots: RefCell<Table<Slot>>,
    /// Wakers of finished tasks that nobody else holds, to be used again.
    spare: RefCell<Vec<OwnWaker>>,
    root: Root,
}

/// The future that `block_on` drives: it is nobody's task, but has a key, and the waker to it.
struct Root {
    key: Key,
    waker: OwnWaker,
}

/// Kept small (a benchmark of ten thousand tasks runs through memory): names are boxed twice, and
/// what a task panicked with takes the place of its cell.
struct Slot {
    stage: Stage,
    cancelled: bool,
    detached: bool,
    /// The batch in which a timer let this task run ahead of the queue.
    express_batch: u32,
    /// Lent to the poll.
    cell: Option<BoxedCell>,
    joiner: Waiter,
    waits: Wait,
    about: About,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// Waiting, queued, or lent to a poll.
    Unfinished,
    /// The cell holds the output.
    HasOutput,
    Cancelled,
    /// The cell holds what it panicked with.
    Panicked,
}

/// How a task ended.
pub(crate) enum Ending {
    /// The cell holds the output.
    Output(BoxedCell),
    Cancelled,
    Panicked(Payload),
}

/// What is known about a task from its spawn on.
#[derive(Clone)]
pub(crate) struct About {
    pub(crate) name: Option<Rc<Box<str>>>,
    pub(crate) location: &'static Location<'static>,
    pub(crate) parent: Key,
    pub(crate) kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Task,
    Callback,
    Blocking,
    Root,
}

impl About {
    pub(crate) fn new(kind: Kind, location: &'static Location<'static>, parent: Key) -> About {
        About { name: None, location, parent, kind }
    }

    pub(crate) fn name(&self) -> Option<&str> {
        self.name.as_ref().map(|name| &***name)
    }
}

/// What is to be done with a key that came out of the run queue.
pub(crate) enum Next {
    /// Lent for one poll.
    Poll(BoxedCell),
    /// It was cancelled: drop the cell, then call `finish`.
    Drop(BoxedCell),
    /// A stale key, or a task that is done.
    Nothing,
}

impl Tasks {
    pub(crate) fn new(remote: Arc<Remote>, location: &'static Location<'static>) -> Tasks {
        let mut slots = Table::new();
        // Its slot is never freed, so the key stays the root's.
        let about = About::new(Kind::Root, location, Key::NONE);
        let key = slots.insert(Slot::new(None, about));
        let root = Root { key, waker: OwnWaker::new(remote.clone(), key) };
        Tasks { remote, slots: RefCell::new(slots), spare: RefCell::new(Vec::new()), root }
    }

    pub(crate) fn root(&self) -> Key {
        self.root.key
    }

    pub(crate) fn root_waker(&self) -> &Waker {
        self.root.waker.as_waker()
    }

    pub(crate) fn insert<F: Future + 'static>(&self, future: F, about: About) -> Key {
        let spare = self.spare.borrow_mut().pop();
        self.slots.borrow_mut().insert_with(|key| {
            let waker = match spare {
                Some(waker) => {
                    waker.retarget(key);
                    waker
                }
                None => OwnWaker::new(self.remote.clone(), key),
            };
            Slot::new(Some(cell::boxed(future, waker)), about)
        })
    }

    /// Edge 2 of the state picture: takes the task out for a poll, or out for good if it was
    /// cancelled.
    #[inline]
    pub(crate) fn begin(&self, key: Key) -> Next {
        let mut slots = self.slots.borrow_mut();
        let Some(slot) = slots.get_mut(key) else { return Next::Nothing };
        if slot.stage != Stage::Unfinished {
            return Next::Nothing;
        }
        let Some(cell) = slot.cell.take() else { return Next::Nothing };
        if slot.cancelled { Next::Drop(cell) } else { Next::Poll(cell) }
    }

    /// Edge 3: the poll returned `Pending`.
    #[inline(always)]
    pub(crate) fn put_back(&self, key: Key, cell: BoxedCell, waits: Wait) {
        if let Some(slot) = self.slots.borrow_mut().get_mut(key) {
            slot.cell = Some(cell);
            slot.waits = waits;
        }
    }

    /// Edge 4: the future is ready. Gives back who awaits it, and the cell if nobody ever will.
    #[must_use]
    #[inline]
    pub(crate) fn finish_with_output(
        &self,
        key: Key,
        mut cell: BoxedCell,
    ) -> (Waiter, Option<BoxedCell>) {
        self.recycle(cell.as_mut().take_waker());
        let mut slots = self.slots.borrow_mut();
        let Some(slot) = slots.get_mut(key) else { return (Waiter::NONE, Some(cell)) };
        let joiner = std::mem::replace(&mut slot.joiner, Waiter::NONE);
        if slot.detached {
            slots.remove(key);
            return (joiner, Some(cell));
        }
        slot.stage = Stage::HasOutput;
        slot.cell = Some(cell);
        (joiner, None)
    }

    /// Edge 4 without an output: the task was cancelled or has panicked.
    #[must_use]
    pub(crate) fn finish_without(&self, key: Key, ending: Ending) -> (Waiter, Option<Ending>) {
        let mut slots = self.slots.borrow_mut();
        let Some(slot) = slots.get_mut(key) else { return (Waiter::NONE, Some(ending)) };
        let joiner = std::mem::replace(&mut slot.joiner, Waiter::NONE);
        if slot.detached {
            slots.remove(key);
            return (joiner, Some(ending));
        }
        (slot.stage, slot.cell) = match ending {
            Ending::Output(cell) => (Stage::HasOutput, Some(cell)),
            Ending::Cancelled => (Stage::Cancelled, None),
            Ending::Panicked(payload) => (Stage::Panicked, Some(cell::panicked(payload))),
        };
        (joiner, None)
    }

    /// Edge 5: takes the ending of a finished task and frees its slot. Otherwise remembers who
    /// wants it; `Err` carries a waiter to be dropped.
    #[inline]
    pub(crate) fn join(&self, key: Key, joiner: Waiter) -> Result<Ending, Waiter> {
        let mut slots = self.slots.borrow_mut();
        if let Some(slot) = slots.get_mut(key) {
            if slot.stage == Stage::Unfinished {
                return Err(std::mem::replace(&mut slot.joiner, joiner));
            }
        }
        Ok(Self::free(&mut slots, key))
    }

    /// The handle is gone: the slot is freed when the task ends. What comes back is to be dropped
    /// by the caller.
    #[must_use]
    pub(crate) fn detach(&self, key: Key) -> Option<Ending> {
        let mut slots = self.slots.borrow_mut();
        let slot = slots.get_mut(key)?;
        slot.detached = true;
        if slot.stage == Stage::Unfinished {
            let joiner = std::mem::replace(&mut slot.joiner, Waiter::NONE);
            drop(slots);
            drop(joiner);
            return None;
        }
        Some(Self::free(&mut slots, key))
    }

    /// Asks for a task's end; `true` if it has to be queued for that.
    #[must_use]
    pub(crate) fn cancel(&self, key: Key) -> bool {
        match self.slots.borrow_mut().get_mut(key) {
            Some(slot) if key != self.root.key && slot.stage == Stage::Unfinished => {
                slot.cancelled = true;
                true
            }
            _ => false,
        }
    }

    /// Takes out what finished tasks left for handles that are still held.
    pub(crate) fn take_endings(&self) -> Vec<Ending> {
        let mut slots = self.slots.borrow_mut();
        let finished = slots.values_mut().filter(|slot| slot.stage != Stage::Unfinished);
        finished.map(Slot::take_ending).collect()
    }

    pub(crate) fn is_finished(&self, key: Key) -> bool {
        match self.slots.borrow().get(key) {
            Some(slot) => slot.stage != Stage::Unfinished,
            None => true,
        }
    }

    /// Whether a timer may let this task run ahead in `batch`: the first time it may.
    pub(crate) fn board_express(&self, key: Key, batch: u32) -> bool {
        match self.slots.borrow_mut().get_mut(key) {
            Some(slot) => std::mem::replace(&mut slot.express_batch, batch) != batch,
            None => true,
        }
    }

    /// Tasks that have not finished, callbacks counted, the root not.
    pub(crate) fn unfinished(&self) -> Vec<Key> {
        let slots = self.slots.borrow();
        let unfinished = slots
            .iter()
            .filter(|(key, slot)| *key != self.root.key && slot.stage == Stage::Unfinished);
        unfinished.map(|(key, _)| key).collect()
    }

    /// Slots in use, finished tasks whose handle is kept included, the root not.
    pub(crate) fn len(&self) -> usize {
        self.slots.borrow().len() - 1
    }

    pub(crate) fn about(&self, key: Key) -> Option<About> {
        self.slots.borrow().get(key).map(|slot| slot.about.clone())
    }

    pub(crate) fn is_callback(&self, key: Key) -> bool {
        let slots = self.slots.borrow();
        slots.get(key).is_some_and(|slot| slot.about.kind == Kind::Callback)
    }

    /// Calls `see` with every task: what it is, what it waits for, whether it has finished.
    pub(crate) fn for_each(&self, mut see: impl FnMut(Key, &About, Wait, bool)) {
        for (key, slot) in self.slots.borrow().iter() {
            see(key, &slot.about, slot.waits, slot.stage != Stage::Unfinished);
        }
    }

    /// Frees the slot of a finished task.
    #[inline]
    fn free(slots: &mut Table<Slot>, key: Key) -> Ending {
        // It is there: an undetached task keeps its slot until it is joined.
        slots.remove(key).map_or(Ending::Cancelled, |mut slot| slot.take_ending())
    }

    /// Keeps the waker for the next task if nobody else holds it.
    fn recycle(&self, waker: Option<OwnWaker>) {
        if let Some(waker) = waker {
            if waker.is_unshared() {
                self.spare.borrow_mut().push(waker);
            }
        }
    }
}

impl Slot {
    fn new(cell: Option<BoxedCell>, about: About) -> Slot {
        Slot {
            stage: Stage::Unfinished,
            cancelled: false,
            detached: false,
            express_batch: 0,
            cell,
            joiner: Waiter::NONE,
            waits: Wait::Unknown,
            about,
        }
    }

    #[inline]
    fn take_ending(&mut self) -> Ending {
        match (self.stage, self.cell.take()) {
            (Stage::HasOutput, Some(cell)) => Ending::Output(cell),
            (Stage::Panicked, Some(cell)) => Ending::Panicked(cell::payload_of(cell)),
            _ => Ending::Cancelled,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_two_cache_lines() {
        assert!(std::mem::size_of::<Slot>() <= 128, "{} bytes", std::mem::size_of::<Slot>());
    }
}
