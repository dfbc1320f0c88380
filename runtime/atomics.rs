//! The atomics and locks of what crosses threads: std's, or loom's when the protocols are
//! model-checked (`loom_tests.rs`).
//!
//! Only `inbox.rs` and `task/waker.rs` use it, and `task/queue.rs` for what tells threads apart:
//! those of a model are all on one of the system's. Everything else on a loop has one thread.

#[cfg(not(loom))]
pub(crate) use std::{
    sync::{Mutex, atomic::AtomicBool, atomic::AtomicU64, atomic::Ordering},
    thread_local,
};

#[cfg(loom)]
pub(crate) use loom::sync::{Mutex, atomic::AtomicBool, atomic::AtomicU64, atomic::Ordering};

#[cfg(loom)]
macro_rules! loom_thread_local {
    ($(#[$attr:meta])* static $name:ident: $of:ty = const { $init:expr };) => {
        loom::thread_local! { $(#[$attr])* static $name: $of = $init; }
    };
}
#[cfg(loom)]
pub(crate) use loom_thread_local as thread_local;
