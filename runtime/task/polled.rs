//! The poll under way: which task it is, which waker is its own, and what its leaf futures say.

use std::cell::Cell;
use std::task::{Context, RawWakerVTable, Waker};

use crate::table::Key;
use crate::waiter::Waiter;

/// What a task waits for, as the leaf future that returned `Pending` last says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Something this runtime does not know: a channel, a lock, another executor's future.
    Unknown,
    Readable(i32),
    Writable(i32),
    Priority(i32),
    Error(i32),
    Timer(u64),
    Task(Key),
    Blocking,
}

/// So often an operation of one poll is refused. Whoever asks again by then does not end the poll: it
/// is another executor inside the task, which would ask for ever.
const REFUSALS: i64 = 4096;

/// The poll under way.
pub(crate) struct Polled {
    key: Cell<Key>,
    /// Data and vtable of the task's own waker: tells it from a combinator's.
    waker: Cell<Option<(*const (), &'static RawWakerVTable)>>,
    /// Operations that are left; below zero, how often one was refused since there were none.
    budget: Cell<i64>,
    waits: Cell<Wait>,
}

impl Polled {
    pub(crate) fn new() -> Polled {
        Polled {
            key: Cell::new(Key::NONE),
            waker: Cell::new(None),
            budget: Cell::new(0),
            waits: Cell::new(Wait::Unknown),
        }
    }

    /// The task that is being polled, or `Key::NONE`.
    pub(crate) fn key(&self) -> Key {
        self.key.get()
    }

    /// Says what the current task waits for.
    #[inline]
    pub(crate) fn set_waits(&self, waits: Wait) {
        self.waits.set(waits);
    }

    /// Who is to be woken for this context: the current task by key if the waker is its own.
    #[inline(always)]
    pub(crate) fn waiter(&self, cx: &Context<'_>) -> Waiter {
        self.own_waiter(cx).unwrap_or_else(|| Waiter::Foreign(cx.waker().clone()))
    }

    /// As `waiter`, if that is the current task. Runs no foreign code.
    #[inline(always)]
    pub(crate) fn own_waiter(&self, cx: &Context<'_>) -> Option<Waiter> {
        self.own_task(cx).map(Waiter::Task)
    }

    /// The current task, if the waker of this context is its own. Runs no foreign code.
    #[inline(always)]
    pub(crate) fn own_task(&self, cx: &Context<'_>) -> Option<Key> {
        let waker = cx.waker();
        match self.waker.get() {
            // The address of the table: comparing what is in it takes four times as long.
            Some((data, vtable))
                if data == waker.data() && std::ptr::eq(vtable, waker.vtable()) =>
            {
                Some(self.key.get())
            }
            _ => None,
        }
    }

    /// Spends one operation of the poll's budget: one that can go ahead, for one that waits holds
    /// nobody up. `false`: it is gone, the future was woken and must yield.
    #[inline(always)]
    pub(crate) fn spend(&self, cx: &Context<'_>) -> bool {
        if self.is_spent() {
            cx.waker().wake_by_ref();
            return false;
        }
        self.spend_quickly();
        true
    }

    /// Whether nothing of the budget is left: what would be ready is to yield.
    #[inline(always)]
    pub(crate) fn is_spent(&self) -> bool {
        self.budget.get() <= 0 && self.must_refuse()
    }

    #[cold]
    fn must_refuse(&self) -> bool {
        let left = self.budget.get();
        if self.key.get() == Key::NONE || left <= -REFUSALS {
            return false;
        }
        self.budget.set(left - 1);
        true
    }

    /// As `spend`, but runs no foreign code: `false` says that `spend` is to be asked.
    #[inline(always)]
    pub(crate) fn spend_quickly(&self) -> bool {
        let left = self.budget.get();
        if left > 0 {
            self.budget.set(left - 1);
        }
        left > 0
    }

    /// A poll of `key` begins; its waker is told by `lend`.
    #[inline]
    pub(crate) fn begin(&self, key: Key, budget: u32) {
        self.key.set(key);
        self.budget.set(i64::from(budget));
        self.waits.set(Wait::Unknown);
    }

    /// Says which waker the poll under way was given.
    #[inline]
    pub(crate) fn lend(&self, waker: &Waker) {
        self.waker.set(Some((waker.data(), waker.vtable())));
    }

    /// What the poll said it waits for.
    #[inline]
    pub(crate) fn waits(&self) -> Wait {
        self.waits.get()
    }

    /// No task is being polled.
    #[inline]
    pub(crate) fn end(&self) {
        self.key.set(Key::NONE);
        self.waker.set(None);
    }
}
