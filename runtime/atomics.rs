//! The atomics and locks of what crosses threads: std's, or loom's when the protocols are model-checked.
//!
//! Only `inbox.rs` and `task/waker.rs` use it; everything else on a loop has one thread.

#[cfg(not(loom))]
pub(crate) use std::sync::{Mutex, atomic::AtomicBool, atomic::AtomicU64, atomic::Ordering};

#[cfg(loom)]
pub(crate) use loom::sync::{Mutex, atomic::AtomicBool, atomic::AtomicU64, atomic::Ordering};
