//! What bounds the server: open files, places for connections, and how many of them one peer has.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::future::poll_fn;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit of open files to the hard one, and gives what holds now; `None` is no
/// limit. A connection is a file, and the usual soft limit, 1,024, dates from `select(2)`.
pub(crate) fn raise_open_files() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: maximum, maximum };
    if setrlimit(Resource::Nofile, raised).is_ok() { maximum } else { current }
}

/// The places of `--max-connections`, shared by all loops. Taken and freed once a connection, so a
/// lock is good enough.
#[derive(Debug)]
pub(crate) struct Places {
    free: Mutex<Free>,
}

#[derive(Debug)]
struct Free {
    left: usize,
    waiting: Vec<Waker>,
}

/// A connection's place; free again when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    of: Arc<Places>,
    _peer: Option<PeerPlace>,
}

/// The connections of each peer, shared by all loops, where they are limited.
#[derive(Debug)]
pub(crate) struct Peers {
    most: usize,
    counts: Mutex<HashMap<IpAddr, usize>>,
}

/// One of a peer's connections; no longer counted when dropped.
#[derive(Debug)]
pub(crate) struct PeerPlace {
    of: Arc<Peers>,
    peer: IpAddr,
}

impl Peers {
    pub(crate) fn new(most: usize) -> Arc<Peers> {
        Arc::new(Peers { most, counts: Mutex::default() })
    }

    /// `None`: the peer has as many as it may.
    pub(crate) fn take(self: &Arc<Self>, peer: IpAddr) -> Option<PeerPlace> {
        // An IPv4 client of an IPv6 listener is the same peer.
        let peer = peer.to_canonical();
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(peer).or_default();
        if *count == self.most {
            return None;
        }
        *count += 1;
        Some(PeerPlace { of: self.clone(), peer })
    }
}

impl Drop for PeerPlace {
    fn drop(&mut self) {
        let mut counts = self.of.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut count) = counts.entry(self.peer) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

impl Places {
    pub(crate) fn new(most: Option<usize>) -> Arc<Places> {
        let free = Free { left: most.unwrap_or(usize::MAX), waiting: Vec::new() };
        Arc::new(Places { free: Mutex::new(free) })
    }

    /// Waits until there is a place, without taking it: while none is free nobody accepts, and a
    /// loop that waits for a client holds no place that another loop could use. Cancel safe.
    pub(crate) async fn vacancy(&self) {
        poll_fn(|cx| self.poll_free(cx).map(drop)).await;
    }

    /// Takes a place. Waits only if another loop was faster since [`vacancy`](Self::vacancy).
    /// Cancel safe.
    pub(crate) async fn take(self: &Arc<Self>, peer: Option<PeerPlace>) -> Place {
        poll_fn(|cx| self.poll_free(cx).map(|mut free| free.left -= 1)).await;
        Place { of: self.clone(), _peer: peer }
    }

    fn poll_free(&self, cx: &Context<'_>) -> Poll<MutexGuard<'_, Free>> {
        let mut free = self.lock();
        if free.left > 0 {
            return Poll::Ready(free);
        }
        if !free.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            free.waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }

    fn lock(&self) -> MutexGuard<'_, Free> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut free = self.of.lock();
        free.left += 1;
        // All of them: who is woken may have been cancelled, and there are at most as many as
        // listeners.
        let waiting = std::mem::take(&mut free.waiting);
        drop(free);
        waiting.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_when_dropped() {
        let places = Places::new(Some(1));
        wheelhouse::run(async move {
            places.vacancy().await;
            let first = places.take(None).await;
            let other = places.clone();
            let second = wheelhouse::spawn(async move {
                other.vacancy().await;
                other.take(None).await
            });
            for _ in 0..3 {
                wheelhouse::yield_now().await;
                assert!(!second.is_finished());
            }
            drop(first);
            drop(second.await.unwrap());
            assert_eq!(places.lock().left, 1);
        });
    }

    #[test]
    fn a_peer_has_so_many_connections_and_no_more() {
        let peers = Peers::new(2);
        let (one, other) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        let mapped = "::ffff:10.0.0.1".parse().unwrap();
        let first = peers.take(one).unwrap();
        let second = peers.take(mapped).unwrap();
        assert!(peers.take(one).is_none());
        let third = peers.take(other).unwrap();
        drop(first);
        drop(peers.take(one).unwrap());
        drop((second, third));
        assert!(peers.counts.lock().unwrap().is_empty(), "who is gone is forgotten");
    }

    #[test]
    fn open_files_can_be_raised_and_stay_raised() {
        let raised = raise_open_files();
        assert_eq!(getrlimit(Resource::Nofile).current, raised);
        assert_eq!(raise_open_files(), raised);
    }
}
