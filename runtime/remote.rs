//! What every thread may hold of a loop: its id, its inbox and the registrar of its selector.
//!
//! Handles, wakers and sources keep an `Arc` of this. It outlives the loop; then the inbox is
//! closed.
//!
//! It also knows the process. A child made by `fork` has copies of all our descriptors, and they
//! are the same epoll and the same timer as the parent's: what the child deregisters, the parent no
//! longer hears of. So in the child a loop can be dropped, and does nothing else.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::ThreadId;

use crate::inbox::{Chore, Inbox, Message};
use crate::selector::{Registrar, Transfers};

/// How often one sender asks for a wake-up that the system refuses.
const WAKE_ATTEMPTS: usize = 8;

/// Which loop of this process. Never used twice.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct LoopId(pub(crate) u64);

impl LoopId {
    pub(crate) fn next() -> LoopId {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        LoopId(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

impl fmt::Display for LoopId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "loop {}", self.0)
    }
}

pub(crate) struct Remote {
    pub(crate) id: LoopId,
    pub(crate) name: String,
    pub(crate) thread: ThreadId,
    process: u32,
    pub(crate) registrar: Arc<dyn Registrar>,
    pub(crate) transfers: Transfers,
    inbox: Inbox,
}

impl Remote {
    pub(crate) fn new(name: String, registrar: Arc<dyn Registrar>, transfers: Transfers) -> Remote {
        Remote {
            id: LoopId::next(),
            name,
            thread: std::thread::current().id(),
            process: std::process::id(),
            registrar,
            transfers,
            inbox: Inbox::new(),
        }
    }

    /// Sends a message and wakes the loop if it sleeps. A closed loop gives the message back.
    pub(crate) fn post(&self, message: Message) -> Result<(), Message> {
        if self.inbox.push(message)? {
            self.wake_selector();
        }
        Ok(())
    }

    /// Sends a chore; a closed loop has none left to do.
    pub(crate) fn post_chore(&self, chore: Chore) {
        let _ = self.post(Message::Chore(chore));
    }

    /// Makes the loop turn if it sleeps: for work that was queued on its own thread between two
    /// turns.
    pub(crate) fn rouse(&self) {
        if self.inbox.rouse() {
            self.wake_selector();
        }
    }

    /// Makes the loop's descriptor readable: the host is to turn it again.
    pub(crate) fn signal(&self) {
        self.inbox.wake_up();
        self.wake_selector();
    }

    pub(crate) fn inbox(&self) -> &Inbox {
        &self.inbox
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.inbox.is_closed()
    }

    /// Whether this is the process that made the loop, and not a fork of it. A system call.
    pub(crate) fn is_at_home(&self) -> bool {
        std::process::id() == self.process
    }

    /// The error of an operation on a source of this loop from a thread that is not the loop's.
    #[cold]
    pub(crate) fn foreign_error(&self, what: &str) -> io::Error {
        if self.is_closed() {
            return io::Error::other(format!(
                "{} was closed while this {what} still belonged to it. Keep the loop alive as long \
                 as its sockets, or register the descriptor with another loop.",
                self.label()
            ));
        }
        io::Error::other(format!(
            "this {what} belongs to {} and was polled outside it. Poll it in a task of that loop, \
             or take the descriptor out with `into_std()` and register it with the loop that runs \
             here.",
            self.label()
        ))
    }

    /// The loop in words, for messages.
    pub(crate) fn label(&self) -> String {
        if self.name.is_empty() {
            format!("{}", self.id)
        } else {
            format!("{} (\"{}\")", self.id, self.name)
        }
    }

    /// Wakes a loop that slept. A refusal is a rare thing (mio itself deals with a full eventfd),
    /// but the loop has no other way to learn of its message, so it is not taken for an answer.
    fn wake_selector(&self) {
        let mut refused = None;
        for _ in 0..WAKE_ATTEMPTS {
            match self.registrar.wake() {
                Ok(()) => return,
                Err(error) => refused = Some(error),
            }
            std::thread::yield_now();
        }
        // The next who has something for the loop is to try again.
        self.inbox.was_not_woken();
        if let Some(error) = refused {
            tracing::error!(%error, "could not wake {}", self.label());
        }
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.label())
    }
}
