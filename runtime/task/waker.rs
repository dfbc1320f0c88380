//! The waker of a task: on its loop's thread it queues the key, elsewhere it posts to the inbox.
//!
//! It holds no future, only where to deliver: a waker kept for years keeps some forty bytes.
//!
//! `posted` says that a message for this task is under way. It is set by the thread that sends and
//! cleared by a wake on the loop's own thread, which is also how the loop delivers the message
//! (stage 3). Whoever finds it set can rely on a poll that comes later and sees what was written
//! before the wake:
//!
//! * the swap that sets it and the swap that clears it are one order, so a wake that found it set
//!   comes before the clearing, which acquires what the waking thread wrote;
//! * the clearing comes before the task is polled, since it is part of queueing it.

use std::sync::Arc;
use std::task::{Wake, Waker};

use crate::atomics::{AtomicBool, AtomicU64, Ordering};
use crate::inbox::Message;
use crate::remote::Remote;
use crate::table::Key;
use crate::task::queue;

pub(crate) struct TaskWaker {
    key: AtomicU64,
    posted: AtomicBool,
    remote: Arc<Remote>,
}

impl TaskWaker {
    fn wake_here(&self) -> bool {
        let key = Key::from_bits(self.key.load(Ordering::Relaxed));
        if !queue::push_here(self.remote.id, key) {
            return false;
        }
        if self.posted.load(Ordering::Relaxed) {
            self.posted.swap(false, Ordering::AcqRel);
        }
        true
    }

    /// Whether this wake is the one that has to send the message.
    fn must_post(&self) -> bool {
        !self.posted.swap(true, Ordering::AcqRel)
    }
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        if !self.wake_here() && self.must_post() {
            let remote = self.remote.clone();
            // A closed loop has no task left to wake.
            let _ = remote.post(Message::Wake(Waker::from(self)));
        }
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.wake_here() && self.must_post() {
            let _ = self.remote.post(Message::Wake(Waker::from(self.clone())));
        }
    }
}

/// A task's waker, ready to be lent to a poll, with the `Arc` behind it.
pub(crate) struct OwnWaker {
    target: Arc<TaskWaker>,
    waker: Waker,
}

/// References that an [`OwnWaker`] itself holds on its target.
const OWN_REFERENCES: usize = 2;

impl OwnWaker {
    pub(crate) fn new(remote: Arc<Remote>, key: Key) -> OwnWaker {
        let target = Arc::new(TaskWaker {
            key: AtomicU64::new(key.to_bits()),
            posted: AtomicBool::new(false),
            remote,
        });
        OwnWaker { waker: Waker::from(target.clone()), target }
    }

    #[inline]
    pub(crate) fn as_waker(&self) -> &Waker {
        &self.waker
    }

    /// Whether nobody else holds this waker, so that it can serve another task. A message under way
    /// holds it too.
    pub(crate) fn is_unshared(&self) -> bool {
        if Arc::strong_count(&self.target) != OWN_REFERENCES {
            return false;
        }
        // Whoever held the others is done with them: their last use happens before what follows.
        std::sync::atomic::fence(std::sync::atomic::Ordering::Acquire);
        true
    }

    /// Points an unshared waker at another task.
    pub(crate) fn retarget(&self, key: Key) {
        self.target.key.store(key.to_bits(), Ordering::Relaxed);
    }
}
