//! Tasks: spawning, awaiting, cancelling.
//!
//! [`spawn`] starts one, [`Builder`] says more about it (a name); [`JoinHandle`] awaits and cancels
//! it, [`AbortHandle`] only cancels. [`current`] is the task that asks, [`yield_now`] and
//! [`consume_budget`] let others go first.
//!
//! # What a task is
//!
//! It is a slot in its loop's table: a box with the future (then its output), a waker, and what
//! is known about it. What users hold is its key. The life of a task, with the functions that make
//! each step:
//!
//! ```text
//!            ┌─────────── 3 ───────────┐
//!            v                         │
//! ─ 1 ─> [ idle ] ─────── 2 ──────> [ lent ] ── 4 ──> [ finished ] ── 5 ──> (freed)
//!            │                                            ^
//!            └──────────────────── 6 ─────────────────────┘
//!
//! 1  LoopState::spawn -> Tasks::insert; the key goes into the run queue
//! 2  stage 7: LoopState::run_one -> Tasks::begin; the cell and the waker are lent to the poll
//! 3  the poll returned Pending: Tasks::put_back
//! 4  the poll returned Ready, or panicked: Tasks::finish; who awaits it is woken
//! 5  the handle takes the ending (Tasks::join) or is dropped (Tasks::detach); without a handle, at 4
//! 6  cancelled: the key was queued by LoopState::cancel, and Tasks::begin hands the cell out to be dropped
//! ```
//!
//! A task that is cancelled while it is lent finishes its poll first; if that ends in `Ready`, it
//! was not cancelled.

pub(crate) mod call;
pub(crate) mod cell;
pub(crate) mod error;
pub(crate) mod id;
pub(crate) mod join;
pub(crate) mod polled;
pub(crate) mod queue;
pub(crate) mod spawn;
pub(crate) mod table;
pub(crate) mod waker;
pub(crate) mod yield_now;

pub use self::error::JoinError;
pub use self::id::Id;
pub use self::join::{AbortHandle, JoinHandle};
pub use self::spawn::{Builder, current, spawn, spawn_blocking};
pub use self::yield_now::{consume_budget, yield_now};
pub use crate::structure::join_set::JoinSet;
pub use crate::structure::task_local::LocalKey;
