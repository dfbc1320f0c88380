//! Several futures or tasks as one, and who ends when.
//!
//! There are two kinds of children. *Arms* are polled in their parent's task and may
//! borrow from it: `join!`, `try_join!`, `select!`, `race`, `scope`. *Child tasks* are spawned, so
//! that each is polled by the loop in its own turn, has a name in the task tree and costs its
//! parent nothing while it waits: `gather`, `as_completed`, `JoinSet`, `wait`, `TaskGroup`,
//! `shield`. Whatever starts children ends them: dropped in the middle, it cancels those that are
//! left.
//!
//! | asyncio | here | polled by |
//! |---|---|---|
//! | `gather(a, b)` of a few | [`join!`](crate::join), [`try_join!`](crate::try_join) | the parent |
//! | `gather(*many)` | [`gather()`], [`try_gather`], [`gather_settled`] | the loop |
//! | `wait(FIRST_COMPLETED)` | [`wait()`] on a [`JoinSet`], [`race()`], [`select!`](crate::select) | either |
//! | `as_completed` | [`as_completed()`] | the loop |
//! | `TaskGroup` | [`TaskGroup`], and [`scope()`] where children borrow | the loop; the parent |
//! | `shield` | [`shield()`] | the loop |
//! | `Future` | [`completion()`] | - |
//! | `contextvars` | [`task_local!`](crate::task_local) | - |

#[doc(hidden)]
pub mod arms;
pub(crate) mod as_completed;
pub(crate) mod cancel;
pub(crate) mod children;
pub(crate) mod completion;
pub(crate) mod gather;
pub(crate) mod group_error;
pub(crate) mod group_state;
pub(crate) mod join;
pub(crate) mod join_set;
pub(crate) mod race;
pub(crate) mod ready;
pub(crate) mod scope;
pub(crate) mod select;
pub(crate) mod shield;
pub(crate) mod task_group;
pub(crate) mod task_local;
pub(crate) mod wait;
pub(crate) mod waiting;

pub use self::as_completed::{AsCompleted, as_completed};
pub use self::cancel::{CancelToken, Cancelled, DropGuard, RunUntilCancelled};
pub use self::completion::{Abandoned, Completer, Completion, RemoteCompleter, completion};
pub use self::gather::{Gather, GatherSettled, TryGather, gather, gather_settled, try_gather};
pub use self::group_error::{CancelReport, GroupError, GroupFailure, GroupTask, Outcome};
pub use self::join_set::JoinSet;
pub use self::race::{Race, race};
pub use self::scope::{Scope, ScopedJoinHandle, scope};
pub use self::shield::{Shield, shield};
pub use self::task_group::{CancelWith, TaskGroup};
pub use self::task_local::{LocalKey, NotSet, TaskLocalFuture};
pub use self::wait::{Wait, WaitFor, WaitUntil, wait, wait_until};
