//! [`ConnectionLimit`]: how many connections there may be, for one server or several.
//!
//! A place is taken when a connection is let in and given back when its handler ends. The lock is
//! held for a few instructions, and wakers are called with it released.

use std::fmt;
use std::future::poll_fn;
use std::mem::take;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

/// How many connections there may be at a time, over all servers that share it: descriptors are the
/// process's, whether a client comes over TCP or over a Unix socket. Clones are the same limit.
/// [`ServerBuilder::connection_limit`](crate::ServerBuilder::connection_limit) takes it.
///
/// # Examples
///
/// ```
/// use wheelhouse::net::{ConnectionLimit, Server};
/// # fn main() -> std::io::Result<()> {
/// # wheelhouse::run(async {
/// let limit = ConnectionLimit::new(1000);
/// let public = Server::builder().bind("127.0.0.1:0").connection_limit(&limit);
/// let public = public.serve(|_connection, _peer| async {}).await?;
/// let private = Server::builder().bind("127.0.0.1:0").connection_limit(&limit);
/// let private = private.serve(|_connection, _peer| async {}).await?;
/// assert_eq!(limit.free(), 1000);
/// # drop((public, private));
/// # Ok(())
/// # })
/// # }
/// ```
#[derive(Clone)]
pub struct ConnectionLimit {
    room: Arc<Room>,
}

struct Room {
    most: usize,
    state: Mutex<State>,
}

struct State {
    free: usize,
    /// Who waits for a free place.
    waiting: Vec<Waker>,
}

/// A connection's place; free again when dropped.
pub(crate) struct Place {
    of: ConnectionLimit,
}

impl ConnectionLimit {
    /// So many connections.
    ///
    /// # Panics
    ///
    /// If it is 0.
    #[track_caller]
    pub fn new(connections: usize) -> ConnectionLimit {
        assert!(
            connections > 0,
            "`ConnectionLimit::new` was called with 0: a server that takes nobody serves nobody. \
             Without a limit, leave it out."
        );
        let state = State { free: connections, waiting: Vec::new() };
        ConnectionLimit { room: Arc::new(Room { most: connections, state: Mutex::new(state) }) }
    }

    /// How many more connections there may be now.
    pub fn free(&self) -> usize {
        self.lock().free
    }

    /// `None`: there is none.
    pub(crate) fn take(&self) -> Option<Place> {
        let mut state = self.lock();
        state.free = state.free.checked_sub(1)?;
        drop(state);
        Some(Place { of: self.clone() })
    }

    /// Waits until there is a place, without taking it: a loop that waits for a client holds none
    /// that another loop could use. Cancel safe.
    pub(crate) async fn vacancy(&self) {
        poll_fn(|cx| {
            if self.lock().free > 0 {
                return Poll::Ready(());
            }
            let waker = cx.waker().clone();
            let mut state = self.lock();
            if state.free > 0 {
                drop(state);
                return Poll::Ready(());
            }
            if state.waiting.iter().any(|kept| kept.will_wake(&waker)) {
                drop(state);
                return Poll::Pending;
            }
            state.waiting.push(waker);
            Poll::Pending
        })
        .await;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic runs under the lock but an allocation that fails.
        self.room.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for ConnectionLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("ConnectionLimit");
        out.field("most", &self.room.most).field("free", &self.free()).finish()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.of.lock();
        state.free += 1;
        // All of them: who is woken may have been cancelled, and there are at most as many as
        // listeners.
        let waiting = take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
    }
}
