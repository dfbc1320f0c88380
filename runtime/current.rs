//! Which loop this thread is on, and the messages for when there is none.

use std::cell::RefCell;
use std::panic::Location;
use std::rc::Rc;

use crate::event_loop::LoopState;
use crate::remote::LoopId;
use crate::task::queue;

thread_local! {
    static CURRENT: RefCell<Option<Entered>> = const { RefCell::new(None) };
}

#[derive(Clone)]
struct Entered {
    state: Rc<LoopState>,
    location: &'static Location<'static>,
}

/// Undoes an `enter` when dropped.
pub(crate) struct Entry {
    /// Who was entered before; `None` inside says nobody.
    before: Option<Option<Entered>>,
}

/// Makes `state` this thread's loop.
///
/// # Panics
///
/// If another loop is entered here.
#[track_caller]
pub(crate) fn enter(state: &Rc<LoopState>, what: &str) -> Entry {
    let before = CURRENT.with(|current| current.borrow().clone());
    match &before {
        Some(entered) if entered.state.remote.id != state.remote.id => panic!(
            "`{what}` was called while {} is running on this thread (entered at {}). A thread has \
             one loop: to wait inside a task use `.await`; to run a second loop use a second thread.",
            entered.state.remote.label(),
            entered.location,
        ),
        // Entered already: the outer guard leaves.
        Some(_) => Entry { before: None },
        None => {
            let entered = Entered { state: state.clone(), location: Location::caller() };
            CURRENT.with(|current| current.replace(Some(entered)));
            queue::set_here(Some(state.queue.clone()));
            Entry { before: Some(None) }
        }
    }
}

/// Makes `state` this thread's loop whoever was it before: for a loop that is dropped, whose futures must
/// find it while they go. `None` when the thread's own variables are gone already.
pub(crate) fn enter_to_close(state: &Rc<LoopState>) -> Option<Entry> {
    let entered = Entered { state: state.clone(), location: Location::caller() };
    let before = CURRENT.try_with(|current| current.replace(Some(entered))).ok()?;
    queue::set_here(Some(state.queue.clone()));
    Some(Entry { before: Some(before) })
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let Some(before) = self.before.take() {
            queue::set_here(before.as_ref().map(|entered| entered.state.queue.clone()));
            let left = CURRENT.try_with(|current| current.replace(before));
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
        Some(entered) if entered.state.remote.id == id => Some(with(&entered.state)),
        _ => None,
    });
    found.unwrap_or(None)
}

/// Calls `with` with the loop of this thread, for `what`, which cannot do without. `with` must run no foreign code.
///
/// # Panics
///
/// If there is none.
#[inline]
#[track_caller]
pub(crate) fn expect_with<R>(what: &str, with: impl FnOnce(&LoopState) -> R) -> R {
    let found = CURRENT.try_with(|current| current.borrow().as_ref().map(|entered| with(&entered.state)));
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

#[cold]
#[track_caller]
fn no_loop(what: &str) -> ! {
    panic!(
        "no event loop is running on this thread: `{what}` needs one. Call it inside \
         `wheelhouse::run` or `EventLoop::block_on`; from another thread, use a `Handle`."
    )
}
