//! Reports of what nobody else handles: unread panics, panics in foreign code.
//!
//! They go to `tracing` as errors. The panic itself was printed by the panic hook when it happened; the
//! report says which task it was and that nobody awaited it.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::task::error::panic_text;
use crate::task::table::About;

pub(crate) fn unread_panic(payload: &(dyn Any + Send), about: Option<About>) {
    let text = panic_text(payload);
    tell(|| match &about {
        Some(about) => tracing::error!(
            task = about.name.as_deref().unwrap_or("unnamed"),
            spawned_at = %about.location,
            "a task panicked and nobody awaited it: {text}"
        ),
        None => tracing::error!("a task panicked and nobody awaited it: {text}"),
    });
}

/// A task panicked, and what was left of its future panicked again when it was dropped.
pub(crate) fn second_panic(payload: &(dyn Any + Send), about: Option<About>) {
    let text = panic_text(payload);
    let spawned_at = about.map(|about| about.location.to_string()).unwrap_or_default();
    tell(|| tracing::error!(spawned_at, "a panicked task panicked again in a drop: {text}"));
}

pub(crate) fn foreign_panic(what: &str, payload: &(dyn Any + Send)) {
    let text = panic_text(payload);
    tell(|| tracing::error!("{what} panicked outside a task: {text}"));
}

/// A subscriber is foreign code too.
fn tell(say: impl FnOnce()) {
    let _ = catch_unwind(AssertUnwindSafe(say));
}
