//! The runtime of wheelhouse: event loop, tasks and time. It knows descriptors and the system calls
//! on them, not addresses, names or socket options; those are in `wheelhouse-net`, and the crate
//! `wheelhouse` offers both as one.
//!
//! # The map
//!
//! ```text
//! lib.rs              this map, and what users see
//! event_loop.rs       the loop: the struct that owns one of each part, and the turn by stages
//! run.rs              stage 7, the one place where user code runs
//! pace.rs             how often a busy loop asks the clock and the selector
//! spin.rs             when an idle loop asks the selector rather than sleep in it
//! locals.rs           what belongs to a loop without the loop knowing it
//! shutdown.rs         the end of a loop, and the report of what did not stop
//! current.rs          which loop this thread is on, and what is said when there is none
//! owner.rs            EventLoop, which users own and turn; run
//! builder.rs          every knob, with its default and the reason for it
//! testing.rs          tests in one line: virtual time, a drawn order, nothing left behind
//! group.rs            LoopGroup: several loops, a thread each
//! handle.rs           Handle, the door for other threads, and RemoteHandle
//! remote.rs           what every thread may hold of a loop: id, inbox, registrar
//! inbox.rs            what other threads write into, and the flag that says if the loop sleeps
//! reply.rs            one result on its way back to another thread
//! affinity.rs         which cores a thread may run on
//! atomics.rs          std's atomics and locks, or loom's when the protocols are model-checked
//! table.rs            the generational table, and the keys into it
//! waiter.rs           one who waits: a task by its key, or anything else by its waker
//! reactor.rs          sources by key: what they are ready for, and who waits for it
//! source.rs           one registered descriptor, and how an operation on it waits
//! loop_local.rs       a value for each loop
//! stream.rs           what a source does with a stream: receive, send, connect, accept
//! datagram.rs         what a source does with a datagram socket: receive from, send to, peek
//! known.rs            what was known of a readiness, and clearing nothing newer
//! io.rs               AsyncFd: any descriptor at all
//! address.rs          socket addresses, which the runtime only passes on
//! syscall.rs          the system calls on descriptors, where systems differ
//! signal.rs           signals as a source
//! blocking.rs         the thread pool for calls that block
//! selector/           the contract with the operating system, in prose and as a trait
//!   mio.rs            epoll and kqueue, through mio
//!   polling.rs        the same through polling; the one file with unsafe, behind a feature
//!   script.rs         which faults a test wants, and what it then asks
//!   scripted.rs       a real selector, made to misbehave on request
//!   kind.rs           which of them there are to choose from
//!   contract.rs       the contract as a test, clause by clause, over every selector
//!   rig.rs            what those tests share
//! task/               tasks: the picture of their states
//!   table.rs          the slots: cell, name, spawn site, what the task waits for
//!   cell.rs           one box with the waker and the future, then the output
//!   waker.rs          where a wake is delivered: the queue here, the inbox elsewhere
//!   queue.rs          keys of the tasks that are runnable, first in, first out
//!   polled.rs         the poll under way, and what its leaf futures say
//!   spawn.rs          spawn and spawn_blocking
//!   id.rs             which task
//!   join.rs           JoinHandle, AbortHandle
//!   error.rs          JoinError: why there is no output
//!   call.rs           call_soon, call_later, call_at
//!   yield_now.rs      lets everything else that is runnable go first
//! time/               the clock, the wheel, the alarm, and what users make of them
//!   wheel.rs          pending timers in order of deadline; knows no clock
//!   clock.rs          real or virtual time, and the tick
//!   alarm.rs          ends the selector's wait at a deadline: a timerfd where there is one
//!   instant.rs        Instant: a moment on the loop's clock
//!   sleep.rs          sleep and sleep_until: a key into the wheel
//!   interval.rs       a tick every so often
//!   timeout.rs        a future with a deadline
//!   virtual_time.rs   moving a virtual clock by hand
//! structure/          several futures at once, and who ends when
//!   ready.rs          which of a parent's children were woken
//!   children.rs       child tasks that are awaited together
//!   waiting.rs        those who wait for what happens once
//!   arms.rs           what the three macros expand to
//!   join.rs           join! and try_join!
//!   select.rs         select!
//!   race.rs           the first that is ready, and the others alive
//!   gather.rs         many, in their order: gather, try_gather, gather_settled
//!   as_completed.rs   many, as they end, as a stream
//!   join_set.rs       JoinSet
//!   wait.rs           some of a JoinSet, for some time
//!   scope.rs          children that borrow from their parent
//!   task_group.rs     TaskGroup: tasks that end together
//!   group_state.rs    what a group's handles, tasks and owner share
//!   group_error.rs    what a group failed with, and who did not stop
//!   cancel.rs         CancelToken: a request to stop
//!   shield.rs         work that goes on when who awaits it is cancelled
//!   completion.rs     a value that somebody gives later, once
//!   task_local.rs     values that hold for a task and what it spawns
//! debug/              seeing into a running loop
//!   metrics.rs        counters
//!   places.rs         where timers and sources were made
//!   tree.rs           the task tree, as a value to print
//!   inspect.rs        reads both off the loop, and polls nothing
//!   hooks.rs          the observer, the watch on slow polls, the seeded order
//!   report.rs         panics that nobody else handles
//! ```
//!
//! # The words
//!
//! One noun is one thing, in code, in messages and in this documentation.
//!
//! * **loop**: one of each part, on one thread; its owner holds an [`EventLoop`]. **turn**: one
//!   pass through its eight stages. **group**: several loops.
//! * **handle**: the way to a loop from another thread; [`Handle`] is the only one. **inbox**:
//!   where what is sent through it arrives.
//! * **selector**: the operating system's side of waiting. **event**: what it reports. **source**:
//!   a descriptor registered with it.
//! * **slot**: an entry of one of the loop's tables. **key**: its index and generation; it goes
//!   stale when the slot is freed, and then finds nothing.
//! * **queue**: the keys of the tasks that are runnable. **batch**: those that one turn runs.
//! * **wheel**: the pending timers. **tick**: its unit, 1,024 ns. **alarm**: what ends the wait
//!   when the first is due.
//! * **waiter**: who is told when something happens. **woken**: those to be told in this turn.
//!
//! # The layers
//!
//! A file imports only from layers below its own; `tests/tidy.rs` holds the table.
//!
//! 1. Plain values and rules: the table, waiters, the selector's contract, the wheel, the clock.
//! 2. Parts, each for one loop: selectors, alarm, reactor, inbox, remote, queue.
//! 3. Tasks and jobs: wakers, cells, slots, errors and the reports of them.
//! 4. The loop: its state and the turn, stage 7, the end, and which loop a thread is on.
//! 5. What users hold, a key and a way to the loop: join handles, sleeps, sources, handles.
//! 6. Whole loops: builder, owner, group.
//!
//! # The three flows
//!
//! A stage never calls another. All but stage 7 only enqueue, and the loop carries the data.
//!
//! **A socket becomes readable**, and its task goes on:
//!
//! ```text
//! kernel -> selector/mio.rs   stage 2: an event with the source's key
//!        -> reactor.rs        stage 4: set the bit, take every waiter of that direction
//!        -> task/queue.rs     stage 6: its key, once
//!        -> task/table.rs     stage 7: lend the cell to a poll
//!        -> source.rs         the bit is set: read; on WouldBlock clear it and leave the waiter
//! ```
//!
//! **A sleep expires**, and its task goes on:
//!
//! ```text
//! timerfd -> selector/mio.rs  stage 2: the wait ends; the alarm's key is nobody's
//!         -> time/clock.rs    stage 5: now, in ticks
//!         -> time/wheel.rs    what is due leaves the wheel, in order
//!         -> task/queue.rs    stage 6
//!         -> task/table.rs    stage 7
//!         -> time/sleep.rs    its entry is gone: ready
//! ```
//!
//! **Another thread submits work**, and waits for the result:
//!
//! ```text
//! there: handle.rs            box the closure; keep the other end of a reply
//!     -> inbox.rs             push; if the loop is asleep, claim the flag and ...
//!     -> selector/mio.rs      ... wake it
//! here:  event_loop.rs        stage 3: the closure becomes a task
//!     -> task/table.rs        a slot; its key goes into the queue, and from here it is any task
//!     -> run.rs               stage 7: its first poll makes the future, which need not be `Send`
//! there: reply.rs             the output, awaited on any executor or waited for on a thread
//! ```

#![warn(missing_docs)]

mod address;
mod affinity;
mod atomics;
mod blocking;
mod builder;
mod current;
mod datagram;
mod debug;
mod event_loop;
mod group;
mod handle;
mod inbox;
pub mod io;
mod known;
mod locals;
#[cfg(all(test, loom))]
mod loom_tests;
mod loop_local;
mod owner;
mod pace;
mod reactor;
mod remote;
mod reply;
mod run;
mod selector;
mod shutdown;
pub mod signal;
mod source;
mod spin;
mod stream;
pub mod structure;
mod syscall;
mod table;
pub mod task;
pub mod testing;
pub mod time;
mod waiter;

pub use crate::builder::Builder;
pub use crate::debug::hooks::Observer;
pub use crate::debug::metrics::Metrics;
pub use crate::debug::tree::{TaskInfo, TaskTree, WaitsFor};
pub use crate::group::{GroupBuilder, LoopGroup};
pub use crate::handle::{Handle, LoopClosed, RemoteHandle};
pub use crate::loop_local::loop_local;
pub use crate::owner::{EnterGuard, EventLoop, Turn, metrics, run};
pub use crate::selector::kind::SelectorKind;
pub use crate::selector::script::{Script, Step};
pub use crate::shutdown::{LeftBehind, LeftKind, ShutdownReport};
pub use crate::structure::as_completed::as_completed;
pub use crate::structure::cancel::CancelToken;
pub use crate::structure::completion::completion;
pub use crate::structure::gather::{gather, gather_settled, try_gather};
pub use crate::structure::join_set::JoinSet;
pub use crate::structure::race::race;
pub use crate::structure::scope::scope;
pub use crate::structure::shield::shield;
pub use crate::structure::task_group::TaskGroup;
pub use crate::structure::wait::{WaitFor, wait};
pub use crate::task::call::{CallHandle, call_at, call_later, call_soon};
pub use crate::task::{JoinHandle, spawn, spawn_blocking, yield_now};
pub use crate::time::clock::Clock;
