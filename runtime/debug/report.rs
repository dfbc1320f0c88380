//! Reports of what nobody else handles: unread panics, panics in foreign code.
//!
//! They go to `tracing` as errors. The panic itself was printed by the panic hook when it happened;
//! the report says which task it was and that nobody awaited it. A test may also have a [`Witness`]
//! on its thread, which remembers them.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use crate::task::error::panic_text;
use crate::task::table::About;

/// What a panic carries.
type Payload = Box<dyn Any + Send>;

thread_local! {
    static WITNESS: RefCell<Option<Witness>> = const { RefCell::new(None) };
}

/// Remembers what was reported: on its thread, and on those that work for it.
#[derive(Clone, Default)]
pub(crate) struct Witness(Arc<Mutex<Vec<String>>>);

impl Witness {
    /// This thread's.
    pub(crate) fn here() -> Option<Witness> {
        WITNESS.try_with(|witness| witness.borrow().clone()).unwrap_or(None)
    }

    /// Makes it, or nobody, this thread's; gives back the one before.
    pub(crate) fn set_here(witness: Option<Witness>) -> Option<Witness> {
        WITNESS.try_with(|here| here.replace(witness)).unwrap_or(None)
    }

    /// All reports so far.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn hear(&self, what: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }
}

pub(crate) fn unread_panic(payload: Payload, about: Option<About>) {
    unread_panic_before(Witness::here().as_ref(), payload, about);
}

/// Of something that belongs to a test on another thread.
pub(crate) fn unread_panic_before(
    witness: Option<&Witness>,
    payload: Payload,
    about: Option<About>,
) {
    let text = panic_text(&*payload);
    tell(|| match &about {
        Some(about) => tracing::error!(
            task = about.name().unwrap_or("unnamed"),
            spawned_at = %about.location,
            "a task panicked and nobody awaited it: {text}"
        ),
        None => tracing::error!("a task panicked and nobody awaited it: {text}"),
    });
    testify(witness, || {
        let site = about.map(|about| format!(" (spawned at {})", about.location));
        let site = site.unwrap_or_default();
        format!("a task panicked and nobody awaited it{site}: {text}")
    });
    discard(payload);
}

/// A task panicked, and what was left of its future panicked again when it was dropped.
pub(crate) fn second_panic(payload: Payload, about: Option<About>) {
    let text = panic_text(&*payload);
    let spawned_at = about.map(|about| about.location.to_string()).unwrap_or_default();
    tell(|| tracing::error!(spawned_at, "a panicked task panicked again in a drop: {text}"));
    testify(Witness::here().as_ref(), || {
        format!("a panicked task (spawned at {spawned_at}) panicked again in a drop: {text}")
    });
    discard(payload);
}

pub(crate) fn foreign_panic(what: &str, payload: Payload) {
    let text = panic_text(&*payload);
    tell(|| tracing::error!("{what} panicked outside a task: {text}"));
    testify(Witness::here().as_ref(), || format!("{what} panicked outside a task: {text}"));
    discard(payload);
}

fn testify(witness: Option<&Witness>, what: impl FnOnce() -> String) {
    if let Some(witness) = witness {
        witness.hear(what());
    }
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
