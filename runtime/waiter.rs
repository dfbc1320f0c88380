//! Who waits for a source, a timer or a task: a task of this loop by its key, or anything else by
//! its waker.
//!
//! A task that polls one of our futures directly is remembered by its key alone. That saves the
//! reference counting of a waker at each wait, and waking it runs no foreign code. Where a
//! combinator or another executor stands between, its waker is kept.

use std::task::Waker;

use crate::table::Key;

/// One who waits.
#[derive(Debug)]
pub(crate) enum Waiter {
    /// A task of this loop, polled directly.
    Task(Key),
    /// Whatever this waker stands for. Calling, cloning and dropping it is foreign code: never
    /// under a borrow.
    Foreign(Waker),
}

impl Waiter {
    /// Nobody: no task has this key.
    pub(crate) const NONE: Waiter = Waiter::Task(Key::NONE);
}
