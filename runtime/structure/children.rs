//! Child tasks that are awaited together: their handles in a table, and the list of those that have
//! news.
//!
//! `JoinSet`, `gather` and `as_completed` stand on it. Each handle is polled with a waker of its
//! own, so that an ending costs one poll, however many children wait. Dropping it cancels those
//! that are left.

use std::fmt;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::current;
use crate::debug::report;
use crate::structure::ready::ReadyList;
use crate::table::{Key, Table};
use crate::task::{Id, JoinError, JoinHandle};

pub(crate) struct Children<T> {
    handles: Table<Child<T>>,
    list: Arc<ReadyList>,
}

struct Child<T> {
    handle: JoinHandle<T>,
    waker: Waker,
}

/// How a child ended.
pub(crate) struct Ended<T> {
    /// Its place: children that are only added are counted from zero.
    pub(crate) place: usize,
    pub(crate) id: Id,
    pub(crate) result: Result<T, JoinError>,
}

impl<T> Children<T> {
    pub(crate) fn new() -> Children<T> {
        Children { handles: Table::new(), list: Arc::default() }
    }

    pub(crate) fn insert(&mut self, handle: JoinHandle<T>) {
        let list = &self.list;
        let key = self.handles.insert_with(|key| Child { handle, waker: list.waker(key) });
        // It is polled once, to leave its waker; it may have ended by then.
        list.push_quietly(key);
    }

    pub(crate) fn len(&self) -> usize {
        self.handles.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.handles.len() == 0
    }

    pub(crate) fn cancel_all(&self) {
        for (_, child) in self.handles.iter() {
            child.handle.cancel();
        }
    }

    /// Lets them run on by themselves.
    pub(crate) fn detach_all(&mut self) {
        // What a finished child left is dropped here: foreign code, which must find the set empty.
        drop(std::mem::take(&mut self.handles));
    }
}

impl<T: 'static> Children<T> {
    /// The next child that has ended, in the order of their ends; `None` if there are no children.
    /// However many have ended, others get their turn: it is within what one poll of a task may do.
    pub(crate) fn poll_next(&mut self, cx: &Context<'_>) -> Poll<Option<Ended<T>>> {
        if self.is_empty() {
            return Poll::Ready(None);
        }
        if current::get().is_some_and(|state| state.polled.is_spent()) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.list.set_parent(cx.waker());
        match self.try_next() {
            Some(ended) => Poll::Ready(Some(ended)),
            None => Poll::Pending,
        }
    }

    /// As `poll_next`, for one who does not wait.
    pub(crate) fn try_next(&mut self) -> Option<Ended<T>> {
        while let Some(key) = self.list.pop() {
            if let Some(ended) = self.poll_child(key) {
                return Some(ended);
            }
        }
        None
    }

    fn poll_child(&mut self, key: Key) -> Option<Ended<T>> {
        let child = self.handles.get_mut(key)?;
        // Afterwards the handle no longer knows whose it was.
        let id = child.handle.id();
        let polled = child.handle.poll_within(&Context::from_waker(&child.waker), true);
        let Poll::Ready(result) = polled else { return None };
        self.handles.remove(key);
        Some(Ended { place: key.index(), id, result })
    }
}

impl<T> Drop for Children<T> {
    fn drop(&mut self) {
        self.cancel_all();
    }
}

impl<T> fmt::Debug for Children<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.handles.iter().map(|(_, child)| &child.handle)).finish()
    }
}

/// Of an end that nobody gets any more: as with tasks, a panic must not be lost in silence.
pub(crate) fn report_unread(error: JoinError) {
    if let Ok(payload) = error.try_into_panic() {
        report::unread_panic(payload, None);
    }
}

/// The output of a child that `what` awaits: its panic goes on in the parent.
#[track_caller]
pub(crate) fn output_of<T>(result: Result<T, JoinError>, what: &str) -> T {
    match result.map_err(JoinError::try_into_panic) {
        Ok(output) => output,
        Err(Ok(payload)) => resume_unwind(payload),
        Err(Err(error)) if error.is_cancelled() => panic!(
            "`{what}` was awaited for an output that will never be: {error}. It expects children \
             that nobody cancels; await their handles where one may be, which give an error then."
        ),
        Err(Err(error)) => panic!(
            "`{what}` was awaited where its children cannot give their outputs ({error}). Await it \
             in a task of the loop that made it, while that loop is open."
        ),
    }
}
