//! The runtime of wheelhouse: event loop, tasks and time. It knows descriptors, not sockets; those are in
//! `wheelhouse-net`, and the crate `wheelhouse` offers both as one.

#![warn(missing_docs)]

mod atomics;
mod blocking;
mod builder;
mod current;
mod debug;
mod event_loop;
mod group;
mod handle;
mod inbox;
pub mod io;
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
mod syscall;
mod table;
pub mod task;
pub mod time;
mod waiter;

pub use crate::builder::{Builder, SelectorKind};
pub use crate::debug::hooks::Observer;
pub use crate::debug::metrics::Metrics;
pub use crate::debug::tree::{TaskInfo, TaskTree, WaitsFor};
pub use crate::group::LoopGroup;
pub use crate::handle::{Handle, LoopClosed, RemoteHandle};
pub use crate::owner::{EnterGuard, EventLoop, Turn, run};
pub use crate::selector::scripted::{Script, Step};
pub use crate::shutdown::{LeftBehind, LeftKind, ShutdownReport};
pub use crate::task::call::{CallHandle, call_at, call_later, call_soon};
pub use crate::task::{JoinHandle, spawn, spawn_blocking, yield_now};
pub use crate::time::clock::Clock;
