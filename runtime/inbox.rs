//! The inbox: what other threads hand to a loop, and the flag that says whether it sleeps.
//!
//! This is the one protocol between threads. It knows nothing of tasks or selectors: a message is
//! carried, and whoever pushes it is told whether the loop has to be woken.
//!
//! # The protocol
//!
//! ```text
//! loop                                  sender
//! 1 asleep := true                      1 push the message (under the lock)
//! 2 is anything there? (under the lock) 2 asleep? then asleep := false, and wake the selector
//! 3 no: wait; yes: asleep := false         (only the sender whose swap it was)
//! ```
//!
//! If the loop's look (2) misses a message, the push came later in the order of the lock, so the
//! sender sees the flag that was set before that look, and wakes. (The flag changes by swaps alone,
//! so that all changes have one order.) Only the sender whose swap finds the flag set makes the
//! system call: a burst costs one. The models in `loom_tests.rs` check it.
//!
//! The queue is unbounded and a push never waits beyond the short lock: a waker that could block is
//! a dead-lock in waiting.

use std::task::Waker;

use crate::atomics::{AtomicBool, Mutex, Ordering};
use crate::table::Key;

/// What another thread asks of a loop.
pub(crate) enum Message {
    /// Queue the task of this waker, which is one of the loop's own.
    Wake(Waker),
    /// Run this as a callback.
    Call(Box<dyn FnOnce() + Send>),
    /// Call this at once: it makes a task of what it holds, and runs nothing of it.
    Spawn(Box<dyn FnOnce() + Send>),
    /// Tidy up after a handle that was used or dropped elsewhere.
    Chore(Chore),
}

/// What a handle does when it is used on a thread that is not its loop's.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Chore {
    CancelTask(Key),
    DetachTask(Key),
    FreeSource(Key),
    CancelTimer(Key),
    /// A blocking job has ended. There is nothing to do but to look again who waits for that.
    JobEnded,
    Stop,
}

pub(crate) struct Inbox {
    letters: Mutex<Letters>,
    /// Whether there is anything to take; lets a busy loop look without the lock.
    filled: AtomicBool,
    /// Whether the loop waits, or its host may.
    asleep: AtomicBool,
}

struct Letters {
    messages: Vec<Message>,
    closed: bool,
}

impl Inbox {
    /// A loop that has not turned yet counts as asleep: its host must be told of the first message.
    pub(crate) fn new() -> Self {
        Inbox {
            letters: Mutex::new(Letters { messages: Vec::new(), closed: false }),
            filled: AtomicBool::new(false),
            asleep: AtomicBool::new(true),
        }
    }

    /// Leaves a message. `Ok(true)`: the loop sleeps, and the caller must wake it. On a closed
    /// inbox the message comes back.
    pub(crate) fn push(&self, message: Message) -> Result<bool, Message> {
        let mut letters = self.lock();
        if letters.closed {
            return Err(message);
        }
        letters.messages.push(message);
        self.filled.store(true, Ordering::Relaxed);
        drop(letters);
        // Read first: while the loop is awake, senders need not fight over the flag.
        Ok(self.asleep.load(Ordering::Relaxed) && self.rouse())
    }

    /// Whether the loop slept; it counts as awake from here on, and a `true` obliges the caller to
    /// wake it.
    #[must_use]
    pub(crate) fn rouse(&self) -> bool {
        self.asleep.swap(false, Ordering::AcqRel)
    }

    /// A look without the lock. What it misses, the look in `fall_asleep` sees.
    #[inline]
    pub(crate) fn is_filled(&self) -> bool {
        self.filled.load(Ordering::Relaxed)
    }

    /// Moves all messages to the end of `into`.
    pub(crate) fn take(&self, into: &mut Vec<Message>) {
        let mut letters = self.lock();
        self.filled.store(false, Ordering::Relaxed);
        into.append(&mut letters.messages);
    }

    /// Step 1 and 2 for the loop: `true` if there is nothing to do and it may wait.
    #[must_use]
    pub(crate) fn fall_asleep(&self) -> bool {
        let _ = self.asleep.swap(true, Ordering::AcqRel);
        let empty = self.lock().messages.is_empty();
        if !empty {
            self.wake_up();
        }
        empty
    }

    /// Whoever was to wake the loop could not: it counts as asleep again. If it woke up by itself
    /// meanwhile, the next sender makes a needless call.
    pub(crate) fn was_not_woken(&self) {
        let _ = self.asleep.swap(true, Ordering::AcqRel);
    }

    /// The loop runs again: messages need no wake-up.
    pub(crate) fn wake_up(&self) {
        // Only the loop sets it (but for senders that could not wake it), so a busy one sees here
        // that it never did.
        if self.asleep.load(Ordering::Relaxed) {
            let _ = self.rouse();
        }
    }

    /// Refuses messages from here on and gives back those that were not taken.
    pub(crate) fn close(&self) -> Vec<Message> {
        let mut letters = self.lock();
        letters.closed = true;
        self.filled.store(false, Ordering::Relaxed);
        std::mem::take(&mut letters.messages)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    #[cfg(not(loom))]
    fn lock(&self) -> std::sync::MutexGuard<'_, Letters> {
        // Nothing that can panic runs under the lock but an allocation that fails.
        self.letters.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    #[cfg(loom)]
    fn lock(&self) -> loom::sync::MutexGuard<'_, Letters> {
        self.letters.lock().unwrap()
    }
}
