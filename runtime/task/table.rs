//! The tasks of a loop: slots that hold the cell, the waker and what is known about the task.
//!
//! Nothing here runs foreign code under a borrow: cells, outputs and wakers are moved out and handed to
//! the caller, which polls, calls or drops them. The state picture is in `mod.rs`.

use std::any::Any;
use std::cell::RefCell;
use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;

use crate::remote::Remote;
use crate::table::{Key, Table};
use crate::task::cell::BoxedCell;
use crate::task::waker::OwnWaker;
use crate::waiter::Waiter;

pub(crate) struct Tasks {
    remote: Arc<Remote>,
    slots: RefCell<Table<Slot>>,
    /// Wakers of finished tasks that nobody else holds, to be used again.
    spare: RefCell<Vec<OwnWaker>>,
    /// The slot of the future that `block_on` drives. It has no cell and stays for the loop's life.
    root: Key,
}

struct Slot {
    stage: Stage,
    /// Lent to the poll while the task runs.
    waker: Option<OwnWaker>,
    cancelled: bool,
    detached: bool,
    /// The batch in which a timer let this task run ahead of the queue.
    express_batch: u64,
    joiner: Option<Waiter>,
    waits: Wait,
    about: About,
}

enum Stage {
    /// Waiting or queued.
    Idle(BoxedCell),
    /// The cell is lent to the poll, or was never there (the root).
    Lent,
    Finished(Ending),
}

/// How a task ended.
pub(crate) enum Ending {
    /// The cell holds the output.
    Output(BoxedCell),
    Cancelled,
    Panicked(Box<dyn Any + Send>),
}

/// What is known about a task from its spawn on.
#[derive(Clone)]
pub(crate) struct About {
    pub(crate) name: Option<Rc<str>>,
    pub(crate) location: &'static Location<'static>,
    pub(crate) parent: Key,
    /// Not one of the user's tasks: a callback, the root.
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
}

/// What a task waits for, as the leaf future that returned `Pending` last says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Something this runtime does not know: a channel, a lock, another executor's future.
    Unknown,
    Readable(i32),
    Writable(i32),
    Priority(i32),
    Timer(u64),
    Task(Key),
    Blocking,
    Yielded,
}

/// A task lent out for one poll.
pub(crate) struct Lent {
    pub(crate) cell: BoxedCell,
    pub(crate) waker: OwnWaker,
}

/// What is to be done with a key that came out of the run queue.
pub(crate) enum Next {
    Poll(Lent),
    /// The root is polled by whoever drives the loop.
    PollRoot(OwnWaker),
    /// It was cancelled: drop the cell, then call `finish`.
    Drop(BoxedCell),
    /// A stale key, or a task that is done.
    Nothing,
}

impl Tasks {
    pub(crate) fn new(remote: Arc<Remote>, location: &'static Location<'static>) -> Tasks {
        let mut slots = Table::new();
        let about = About::new(Kind::Root, location, Key::NONE);
        let root = slots.insert_with(|key| {
            Slot::new(Stage::Lent, OwnWaker::new(remote.clone(), key), about)
        });
        Tasks { remote, slots: RefCell::new(slots), spare: RefCell::new(Vec::new()), root }
    }

    pub(crate) fn root(&self) -> Key {
        self.root
    }

    pub(crate) fn insert(&self, cell: BoxedCell, about: About) -> Key {
        let spare = self.spare.borrow_mut().pop();
        self.slots.borrow_mut().insert_with(|key| {
            let waker = match spare {
                Some(waker) => {
                    waker.retarget(key);
                    waker
                }
                None => OwnWaker::new(self.remote.clone(), key),
            };
            Slot::new(Stage::Idle(cell), waker, about)
        })
    }

    /// Edge 2 of the state picture: takes the task out for a poll, or out for good if it was cancelled.
    pub(crate) fn begin(&self, key: Key) -> Next {
        let mut slots = self.slots.borrow_mut();
        let Some(slot) = slots.get_mut(key) else { return Next::Nothing };
        if key == self.root {
            return slot.waker.take().map_or(Next::Nothing, Next::PollRoot);
        }
        match std::mem::replace(&mut slot.stage, Stage::Lent) {
            Stage::Idle(cell) if slot.cancelled => Next::Drop(cell),
            Stage::Idle(cell) => match slot.waker.take() {
                Some(waker) => Next::Poll(Lent { cell, waker }),
                None => Next::Nothing,
            },
            stage => {
                slot.stage = stage;
                Next::Nothing
            }
        }
    }

    /// Edge 3: the poll returned `Pending`.
    pub(crate) fn put_back(&self, key: Key, lent: Lent, waits: Wait) {
        if let Some(slot) = self.slots.borrow_mut().get_mut(key) {
            slot.stage = Stage::Idle(lent.cell);
            slot.waker = Some(lent.waker);
            slot.waits = waits;
        }
    }

    pub(crate) fn put_root_back(&self, waker: OwnWaker, waits: Wait) {
        if let Some(slot) = self.slots.borrow_mut().get_mut(self.root) {
            slot.waker = Some(waker);
            slot.waits = waits;
        }
    }

    /// Edge 4: the task is over. Gives back who awaits it, and the ending if nobody ever will.
    #[must_use]
    pub(crate) fn finish(
        &self,
        key: Key,
        waker: Option<OwnWaker>,
        ending: Ending,
    ) -> (Option<Waiter>, Option<Ending>) {
        let mut slots = self.slots.borrow_mut();
        let Some(slot) = slots.get_mut(key) else { return (None, Some(ending)) };
        if waker.is_some() {
            slot.waker = waker;
        }
        if !slot.detached {
            slot.stage = Stage::Finished(ending);
            return (slot.joiner.take(), None);
        }
        let slot = slots.remove(key);
        drop(slots);
        (slot.and_then(|slot| self.recycle(slot)), Some(ending))
    }

    /// Edge 5: takes the ending of a finished task and frees its slot. Otherwise remembers who wants it;
    /// `Err` carries a waiter to be dropped.
    pub(crate) fn join(&self, key: Key, joiner: Waiter) -> Result<Ending, Option<Waiter>> {
        let mut slots = self.slots.borrow_mut();
        match slots.get_mut(key) {
            Some(Slot { stage: Stage::Finished(_), .. }) => {}
            Some(slot) => return Err(slot.joiner.replace(joiner)),
            // Cannot be: an undetached task keeps its slot until it is joined.
            None => return Ok(Ending::Cancelled),
        }
        let slot = slots.remove(key);
        drop(slots);
        match slot {
            Some(mut slot) => {
                let stage = std::mem::replace(&mut slot.stage, Stage::Lent);
                let _ = self.recycle(slot);
                match stage {
                    Stage::Finished(ending) => Ok(ending),
                    Stage::Idle(_) | Stage::Lent => Ok(Ending::Cancelled),
                }
            }
            None => Ok(Ending::Cancelled),
        }
    }

    /// The handle is gone: the slot is freed when the task ends. What comes back is to be dropped by the caller.
    #[must_use]
    pub(crate) fn detach(&self, key: Key) -> Option<Ending> {
        let mut slots = self.slots.borrow_mut();
        let slot = slots.get_mut(key)?;
        slot.detached = true;
        if !matches!(slot.stage, Stage::Finished(_)) {
            let joiner = slot.joiner.take();
            drop(slots);
            drop(joiner);
            return None;
        }
        let slot = slots.remove(key);
        drop(slots);
        slot.map(|mut slot| {
            let stage = std::mem::replace(&mut slot.stage, Stage::Lent);
            let _ = self.recycle(slot);
            stage
        })
        .and_then(|stage| match stage {
            Stage::Finished(ending) => Some(ending),
            Stage::Idle(_) | Stage::Lent => None,
        })
    }

    /// Asks for a task's end; `true` if it has to be queued for that.
    #[must_use]
    pub(crate) fn cancel(&self, key: Key) -> bool {
        match self.slots.borrow_mut().get_mut(key) {
            Some(slot) if key != self.root && !matches!(slot.stage, Stage::Finished(_)) => {
                slot.cancelled = true;
                true
            }
            _ => false,
        }
    }

    /// Takes out what finished tasks left for handles that are still held.
    pub(crate) fn take_endings(&self) -> Vec<Ending> {
        let mut slots = self.slots.borrow_mut();
        let stages = slots.values_mut().map(|slot| std::mem::replace(&mut slot.stage, Stage::Lent));
        let endings = stages.filter_map(|stage| match stage {
            Stage::Finished(ending) => Some(ending),
            Stage::Idle(_) | Stage::Lent => None,
        });
        endings.collect()
    }

    pub(crate) fn is_finished(&self, key: Key) -> bool {
        match self.slots.borrow().get(key) {
            Some(slot) => matches!(slot.stage, Stage::Finished(_)),
            None => true,
        }
    }

    /// Whether a timer may let this task run ahead in `batch`: the first time it may.
    pub(crate) fn board_express(&self, key: Key, batch: u64) -> bool {
        match self.slots.borrow_mut().get_mut(key) {
            Some(slot) => std::mem::replace(&mut slot.express_batch, batch) != batch,
            None => true,
        }
    }

    /// Tasks that have not finished, the root and callbacks not counted.
    pub(crate) fn unfinished(&self) -> Vec<Key> {
        let slots = self.slots.borrow();
        let unfinished = slots.iter().filter(|(key, slot)| {
            *key != self.root && !matches!(slot.stage, Stage::Finished(_))
        });
        unfinished.map(|(key, _)| key).collect()
    }

    /// Slots in use, finished tasks whose handle is kept included, the root not.
    pub(crate) fn len(&self) -> usize {
        self.slots.borrow().len() - 1
    }

    pub(crate) fn about(&self, key: Key) -> Option<About> {
        self.slots.borrow().get(key).map(|slot| slot.about.clone())
    }

    /// What a report of a panic needs, taken before the slot may be freed.
    pub(crate) fn about_if_panicked(&self, key: Key, ending: &Ending) -> Option<About> {
        if matches!(ending, Ending::Panicked(_)) { self.about(key) } else { None }
    }

    /// Calls `see` with every task: what it is, what it waits for, whether it has finished.
    pub(crate) fn for_each(&self, mut see: impl FnMut(Key, &About, Wait, bool)) {
        for (key, slot) in self.slots.borrow().iter() {
            see(key, &slot.about, slot.waits, matches!(slot.stage, Stage::Finished(_)));
        }
    }

    /// Keeps the waker for the next task if nobody else holds it. Gives back the joiner, if there was one.
    fn recycle(&self, slot: Slot) -> Option<Waiter> {
        if let Some(waker) = slot.waker {
            if waker.is_unshared() {
                self.spare.borrow_mut().push(waker);
            }
        }
        slot.joiner
    }
}

impl Slot {
    fn new(stage: Stage, waker: OwnWaker, about: About) -> Slot {
        Slot {
            stage,
            waker: Some(waker),
            cancelled: false,
            detached: false,
            express_batch: 0,
            joiner: None,
            waits: Wait::Unknown,
            about,
        }
    }
}
