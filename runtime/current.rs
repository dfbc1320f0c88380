//! Which loop this thread is on, and the messages for when there is none.

use std::cell::RefCell;
use std::panic::Location;
use std::rc::{Rc, Weak};

use crate::event_loop::LoopState;
use crate::remote::LoopId;
use crate::task::queue;

thread_local! {
    static CURRENT: RefCell<Option<Entered>> = const { RefCell::new(None) };

    /// The loops that were made on this thread and are not dropped. Nearly always there is one.
    static LIVING: RefCell<Vec<Weak<LoopState>>> = const { RefCell::new(Vec::new()) };
}

struct Entered {
    /// The state's, at hand: every poll of a source compares it.
    id: LoopId,
    state: Rc<LoopState>,
    location: &'static Location<'static>,
    /// Entries that are not undone yet. They may go in any order; the last one leaves.
    entries: usize,
}

/// Undoes an `enter` when dropped.
pub(crate) struct Entry {
    undo: Undo,
}

enum Undo {
    Leave(LoopId),
    /// Back to who was entered before.
    Restore(Option<Entered>),
}

/// Makes `state` this thread's loop.
///
/// # Panics
///
/// If another loop is entered here.
#[track_caller]
pub(crate) fn enter(state: &Rc<LoopState>, what: &str) -> Entry {
    let id = state.remote.id;
    let location = Location::caller();
    let other = CURRENT.with(|current| match &mut *current.borrow_mut() {
        Some(entered) if entered.id != id => Some((entered.state.remote.clone(), entered.location)),
        Some(entered) => {
            entered.entries += 1;
            None
        }
        free => {
            *free = Some(Entered { id, state: state.clone(), location, entries: 1 });
            queue::set_here(Some(state.queue.clone()));
            None
        }
    });
    if let Some((remote, location)) = other {
        panic!(
            "`{what}` was called while {} is running on this thread (entered at {location}). A \
             thread has one loop: to wait inside a task use `.await`; to run a second loop use a \
             second thread.",
            remote.label(),
        )
    }
    Entry { undo: Undo::Leave(id) }
}

/// Makes `state` this thread's loop whoever was it before: for a loop that is dropped, whose
/// futures must find it while they go. `None` when the thread's own variables are gone already.
pub(crate) fn enter_to_close(state: &Rc<LoopState>) -> Option<Entry> {
    let (id, location) = (state.remote.id, Location::caller());
    let entered = Entered { id, state: state.clone(), location, entries: 1 };
    let before = CURRENT.try_with(|current| current.replace(Some(entered))).ok()?;
    queue::set_here(Some(state.queue.clone()));
    Some(Entry { undo: Undo::Restore(before) })
}

impl Drop for Entry {
    fn drop(&mut self) {
        let left = CURRENT.try_with(|current| {
            let current = &mut *current.borrow_mut();
            match &mut self.undo {
                Undo::Restore(before) => std::mem::replace(current, before.take()),
                Undo::Leave(id) => {
                    let entered = current.as_mut().filter(|entered| entered.id == *id)?;
                    entered.entries -= 1;
                    if entered.entries > 0 {
                        return None;
                    }
                    current.take()
                }
            }
        });
        if let Ok(Some(left)) = left {
            queue::set_here(get().map(|state| state.queue.clone()));
            drop(left);
        }
    }
}

/// The loop of this thread.
#[inline]
pub(crate) fn get() -> Option<Rc<LoopState>> {
    CURRENT
        .try_with(|current| current.borrow().as_ref().map(|entered| entered.state.clone()))
        .unwrap_or(None)
}

/// Calls `with` with the loop `id` if it is this thread's. `with` must run no foreign code.
#[inline]
pub(crate) fn with<R>(id: LoopId, with: impl FnOnce(&LoopState) -> R) -> Option<R> {
    let found = CURRENT.try_with(|current| match &*current.borrow() {
        Some(entered) if entered.id == id => Some(with(&entered.state)),
        _ => None,
    });
    found.unwrap_or(None)
}

/// Calls `with` with the loop of this thread, for `what`, which cannot do without. `with` must run
/// no foreign code.
///
/// # Panics
///
/// If there is none.
#[inline]
#[track_caller]
pub(crate) fn expect_with<R>(what: &str, with: impl FnOnce(&LoopState) -> R) -> R {
    let found =
        CURRENT.try_with(|current| current.borrow().as_ref().map(|entered| with(&entered.state)));
    match found {
        Ok(Some(result)) => result,
        _ => no_loop(what),
    }
}

/// The loop `id` if it is this thread's.
#[inline]
pub(crate) fn of(id: LoopId) -> Option<Rc<LoopState>> {
    get().filter(|state| state.remote.id == id)
}

/// The loop of this thread, for `what`, which cannot do without.
///
/// # Panics
///
/// If there is none.
#[track_caller]
pub(crate) fn expect(what: &str) -> Rc<LoopState> {
    match get() {
        Some(state) => state,
        None => no_loop(what),
    }
}

/// As `expect`, for a descriptor: what the user called has a name that is not known here.
///
/// # Panics
///
/// If there is none.
#[track_caller]
pub(crate) fn expect_to_watch() -> Rc<LoopState> {
    match get() {
        Some(state) => state,
        None => panic!(
            "no event loop is running on this thread: a socket, or whatever else has a descriptor, \
             needs one that watches it. Make it inside `wheelhouse::run` or `EventLoop::block_on`; \
             from another thread, use a `Handle`."
        ),
    }
}

#[cold]
#[track_caller]
fn no_loop(what: &str) -> ! {
    panic!(
        "no event loop is running on this thread: `{what}` needs one. Call it inside \
         `wheelhouse::run` or `EventLoop::block_on`; from another thread, use a `Handle`."
    )
}

/// Notes that a loop was made on this thread.
pub(crate) fn note_made(state: &Rc<LoopState>) {
    LIVING.with(|living| {
        let mut living = living.borrow_mut();
        living.retain(|made| made.strong_count() > 0);
        living.push(Rc::downgrade(state));
    });
}

/// The loop `id` if it was made on this thread, entered or not: for questions that a host asks
/// between turns.
pub(crate) fn made_here(id: LoopId) -> Option<Rc<LoopState>> {
    let found = LIVING.try_with(|living| {
        let living = living.borrow();
        living.iter().filter_map(Weak::upgrade).find(|state| state.remote.id == id)
    });
    found.unwrap_or(None)
}
