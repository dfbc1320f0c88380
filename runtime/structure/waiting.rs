//! Those who wait for one thing that happens once: wakers, in the order in which they came.
//!
//! It runs no foreign code itself: wakers that are replaced, removed or taken are handed out, to be
//! dropped or called where no borrow and no lock is held.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

use crate::debug::report;

#[derive(Default)]
pub(crate) struct Waiting {
    wakers: BTreeMap<u64, Waker>,
    last: u64,
}

/// Where one of them stands, if it does.
#[derive(Debug, Default)]
pub(crate) struct Place(Option<u64>);

impl Waiting {
    /// Whether this waker stands there already.
    pub(crate) fn holds(&self, place: &Place, waker: &Waker) -> bool {
        let kept = place.0.and_then(|place| self.wakers.get(&place));
        kept.is_some_and(|kept| kept.will_wake(waker))
    }

    /// Keeps a waker; gives the one it replaces.
    #[must_use]
    pub(crate) fn keep(&mut self, place: &mut Place, waker: Waker) -> Option<Waker> {
        let place = *place.0.get_or_insert_with(|| {
            self.last += 1;
            self.last
        });
        self.wakers.insert(place, waker)
    }

    #[must_use]
    pub(crate) fn remove(&mut self, place: &Place) -> Option<Waker> {
        place.0.and_then(|place| self.wakers.remove(&place))
    }

    /// All of them, to be woken.
    pub(crate) fn take(&mut self) -> impl Iterator<Item = Waker> + use<> {
        std::mem::take(&mut self.wakers).into_values()
    }
}

/// Wakes them all: one that panics is reported and keeps the news from nobody behind it.
pub(crate) fn wake_all(wakers: impl Iterator<Item = Waker>) {
    for waker in wakers {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| waker.wake())) {
            report::foreign_panic("a waker", payload);
        }
    }
}
