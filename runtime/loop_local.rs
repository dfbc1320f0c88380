//! [`loop_local`]: a value for each loop, as `thread_local!` has one for each thread.
//!
//! A cache, a pool of connections, a counter: what the tasks of one loop share and other loops have
//! nothing to do with needs no lock and no global, only a place. The loop keeps it, and lets it go
//! when it ends, with its tasks gone and itself still there.

use std::rc::Rc;

use crate::current;

/// The value of type `T` that belongs to the loop of this thread. It is made, by `Default`, when it
/// is first asked for, and dropped when the loop is. What is shared between tasks needs a `Cell` or
/// a `RefCell` in it.
///
/// A type of your own keeps your value apart from everybody else's. Asked for while the loop is
/// being dropped, when the values are gone already, a fresh one comes out and is not kept.
///
/// # Panics
///
/// If no loop is running on this thread.
///
/// # Examples
///
/// ```
/// use std::cell::Cell;
/// use wheelhouse::{loop_local, spawn};
///
/// #[derive(Default)]
/// struct Requests(Cell<u64>);
///
/// # wheelhouse::run(async {
/// let count = || {
///     let Requests(count) = &*loop_local();
///     count.set(count.get() + 1);
/// };
/// count();
/// spawn(async move { count() }).await.unwrap();
/// assert_eq!(loop_local::<Requests>().0.get(), 2);
/// # });
/// ```
#[track_caller]
pub fn loop_local<T: Default + 'static>() -> Rc<T> {
    current::expect("loop_local").locals.get_or_default()
}
