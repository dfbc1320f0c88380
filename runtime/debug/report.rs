//! Reports of what nobody else handles: unread panics, panics in foreign code.
//!
//! They go to `tracing` as errors. The panic itself was printed by the panic hook when it happened;
//! the report says which task it was and that nobody awaited it.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::task::error::panic_text;
use crate::task::table::About;

/// What a panic carries.
type Payload = Box<dyn Any + Send>;

pub(crate) fn unread_panic(payload: Payload, about: Option<About>) {
    let text = panic_text(&*payload);
    tell(|| match &about {
        Some(about) => tracing::error!(
            task = about.name().unwrap_or("unnamed"),
            spawned_at = %about.location,
            "a task panicked and nobody awaited it: {text}"
        ),
        None => tracing::error!("a task panicked and nobody awaited it: {text}"),
    });
    discard(payload);
}

/// A task panicked, and what was left of its future panicked again when it was dropped.
pub(crate) fn second_panic(payload: Payload, about: Option<About>) {
    let text = panic_text(&*payload);
    let spawned_at = about.map(|about| about.location.to_string()).unwrap_or_default();
    tell(|| tracing::error!(spawned_at, "a panicked task panicked again in a drop: {text}"));
    discard(payload);
}

pub(crate) fn foreign_panic(what: &str, payload: Payload) {
    let text = panic_text(&*payload);
    tell(|| tracing::error!("{what} panicked outside a task: {text}"));
    discard(payload);
}

/// A subscriber is foreign code too.
fn tell(say: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(say)) {
        discard(payload);
    }
}

/// So is the drop of what a panic carries. One that panics itself is leaked: there is no end to it
/// otherwise.
fn discard(payload: Payload) {
    if let Err(another) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(another);
    }
}
