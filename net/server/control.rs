//! The state of a server, which all its loops and the [`Server`](crate::Server) itself share: who is
//! connected, how many may be, and how far the end has come.
//!
//! A connection takes the lock when it begins and when it ends, and never in between. Wakers and
//! tokens are foreign code: they are called with the lock released.

use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::future::poll_fn;
use std::mem::take;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use wheelhouse_runtime::CancelToken;
use wheelhouse_runtime::task::AbortHandle;
use wheelhouse_runtime::time::Instant;

use crate::server::reports::{Counts, ListenerStats, Straggler};
use crate::server::room::{ConnectionLimit, Place};

/// What a server does with connections that it has no room for: because of
/// [`max_connections`](crate::ServerBuilder::max_connections), or because descriptors have run out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overload {
    /// They wait in the system's queue until there is room, as long as the queue has room itself.
    /// Nobody is turned away that could be served a moment later.
    #[default]
    Wait,
    /// They are accepted and closed at once, so that clients learn of it and may go elsewhere.
    Shed,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Limits {
    pub(crate) connections: Option<ConnectionLimit>,
    pub(crate) per_peer: Option<usize>,
    pub(crate) overload: Overload,
}

/// `A` is the type of addresses.
pub(crate) struct Control<A> {
    pub(crate) limits: Limits,
    /// No more connections are accepted.
    pub(crate) closing: CancelToken,
    /// Nor is anybody left.
    pub(crate) closed: CancelToken,
    state: Mutex<State<A>>,
}

pub(crate) struct State<A> {
    pub(crate) listeners: Vec<ListenerStats<A>>,
    /// Accept loops that have not ended.
    acceptors: usize,
    members: BTreeMap<u64, Member<A>>,
    last_number: u64,
    /// Members up to this number are to be aborted.
    aborted: u64,
    /// How many members have gone.
    departed: u64,
    peers: HashMap<IpAddr, usize>,
    /// Asks those who are connected to end.
    asking: CancelToken,
    /// Who waits for members to go.
    waiting: Vec<Waker>,
}

struct Member<A> {
    peer: A,
    listener: usize,
    since: Instant,
    task: Option<AbortHandle>,
    /// Given back with this, outside the lock.
    _place: Option<Place>,
}

/// How a handler has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Done,
    Failed,
    Panicked,
    Aborted,
}

/// Why a connection is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Full,
    TooManyOfPeer,
}

impl<A: Any + Clone> Control<A> {
    pub(crate) fn new(limits: Limits) -> Control<A> {
        let state = State {
            listeners: Vec::new(),
            acceptors: 0,
            members: BTreeMap::new(),
            last_number: 0,
            aborted: 0,
            departed: 0,
            peers: HashMap::new(),
            asking: CancelToken::new(),
            waiting: Vec::new(),
        };
        let (closing, closed) = (CancelToken::new(), CancelToken::new());
        Control { limits, closing, closed, state: Mutex::new(state) }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State<A>> {
        // Nothing that can panic runs under the lock but an allocation that fails.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A listener begins to accept: its number.
    pub(crate) fn add_listener(&self, address: A, loop_index: usize) -> usize {
        let mut state = self.lock();
        state.acceptors += 1;
        state.listeners.push(ListenerStats { address, loop_index, counts: Counts::default() });
        state.listeners.len() - 1
    }

    /// A listener is gone. With the last one the server is closed, whoever ended them.
    pub(crate) fn listener_ended(&self) {
        let mut state = self.lock();
        state.acceptors -= 1;
        let are_all_gone = state.acceptors == 0;
        let waiting = take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
        if are_all_gone {
            self.closing.cancel();
            self.look_if_closed();
        }
    }

    pub(crate) fn count(&self, listener: usize, count: impl FnOnce(&mut Counts)) {
        count(&mut self.lock().listeners[listener].counts);
    }

    /// Lets a connection in, if there is room: its number, and the token that will ask it to end.
    pub(crate) fn let_in(&self, listener: usize, peer: &A) -> Result<(u64, CancelToken), Refusal> {
        let since = Instant::now();
        let key = key_of(peer);
        let limit = self.limits.connections.as_ref();
        let place = limit.map(|limit| limit.take().ok_or(Refusal::Full)).transpose()?;
        let mut state = self.lock();
        if let (Some(most), Some(key)) = (self.limits.per_peer, key) {
            let there = state.peers.entry(key).or_default();
            if *there >= most {
                drop(state);
                return Err(Refusal::TooManyOfPeer);
            }
            *there += 1;
        }
        state.last_number += 1;
        let number = state.last_number;
        let member = Member { peer: peer.clone(), listener, since, task: None, _place: place };
        state.members.insert(number, member);
        let counts = &mut state.listeners[listener].counts;
        counts.accepted += 1;
        counts.active += 1;
        Ok((number, state.asking.clone()))
    }

    /// Says which task a member is.
    pub(crate) fn is_task(&self, number: u64, task: AbortHandle) {
        let mut state = self.lock();
        let is_aborted = number <= state.aborted;
        if let Some(member) = state.members.get_mut(&number) {
            member.task = Some(task.clone());
        }
        drop(state);
        if is_aborted {
            task.cancel();
        }
    }

    /// A member is gone.
    pub(crate) fn ended(&self, number: u64, end: End) {
        let mut state = self.lock();
        let Some(member) = state.members.remove(&number) else { return };
        state.departed += 1;
        let counts = &mut state.listeners[member.listener].counts;
        counts.active -= 1;
        match end {
            End::Done => {}
            End::Failed => counts.failed += 1,
            End::Panicked => counts.panicked += 1,
            End::Aborted => counts.aborted += 1,
        }
        if let (Some(_), Some(key)) = (self.limits.per_peer, key_of(&member.peer)) {
            if let Some(there) = state.peers.get_mut(&key) {
                *there -= 1;
                if *there == 0 {
                    state.peers.remove(&key);
                }
            }
        }
        let is_last = state.members.is_empty();
        // All of them: who is woken may have been cancelled, and there are few.
        let waiting = take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
        if is_last {
            self.look_if_closed();
        }
    }

    fn look_if_closed(&self) {
        let state = self.lock();
        let is_closed = state.acceptors == 0 && state.members.is_empty();
        drop(state);
        if is_closed {
            self.closed.cancel();
        }
    }

    /// Waits until there is room. While there is none nobody accepts, and a loop that waits for a
    /// client holds no room that another loop could use. Cancel safe.
    pub(crate) async fn room(&self) {
        if let Some(limit) = &self.limits.connections {
            limit.vacancy().await;
        }
    }

    /// Waits until none of the members up to a number is left. Cancel safe.
    pub(crate) async fn gone(&self, last: u64) {
        self.until(|state| state.members.range(..=last).next().is_none()).await;
    }

    /// How many members have gone.
    pub(crate) fn departed(&self) -> u64 {
        self.lock().departed
    }

    /// Waits until more than `seen` members have gone, and says how many. Cancel safe.
    pub(crate) async fn departure(&self, seen: u64) -> u64 {
        self.until(|state| state.departed > seen).await;
        self.departed()
    }

    /// Waits until no accept loop is left. Cancel safe.
    pub(crate) async fn no_acceptors(&self) {
        self.until(|state| state.acceptors == 0).await;
    }

    /// Waits for something that members and accept loops bring about by going.
    async fn until(&self, mut is_so: impl FnMut(&State<A>) -> bool) {
        poll_fn(|cx| self.poll_until(cx, &mut is_so)).await;
    }

    fn poll_until(
        &self,
        cx: &mut Context<'_>,
        is_so: &mut impl FnMut(&State<A>) -> bool,
    ) -> Poll<()> {
        if is_so(&self.lock()) {
            return Poll::Ready(());
        }
        let waker = cx.waker().clone();
        let mut state = self.lock();
        if is_so(&state) {
            return Poll::Ready(());
        }
        if !state.waiting.iter().any(|kept| kept.will_wake(&waker)) {
            state.waiting.push(waker);
        }
        Poll::Pending
    }

    /// Asks those who are connected to end: how many they are, and the last one's number. After the
    /// close that goes for whoever is still taken out of the queue.
    pub(crate) fn ask(&self) -> (usize, u64) {
        let is_closed = self.closing.is_cancelled();
        let mut state = self.lock();
        let asked = state.members.len();
        let (asking, last) = match is_closed {
            true => (state.asking.clone(), u64::MAX),
            false => (take(&mut state.asking), state.last_number),
        };
        drop(state);
        asking.cancel();
        (asked, last)
    }

    /// Cuts off the members up to a number; says who they are, and which numbers they have. Without
    /// one it is those who are there, and after the close whoever is still to come.
    pub(crate) fn abort(&self, last: Option<u64>) -> Vec<(u64, Straggler<A>)> {
        let now = Instant::now();
        let is_closed = self.closing.is_cancelled();
        let mut state = self.lock();
        let all = if is_closed { u64::MAX } else { state.last_number };
        let last = last.unwrap_or(all);
        state.aborted = state.aborted.max(last);
        let members = state.members.range(..=last);
        let found = members.map(|(number, member)| {
            let (peer, age) = (member.peer.clone(), now - member.since);
            ((*number, Straggler { peer, age, is_stuck: false }), member.task.clone())
        });
        let (stragglers, tasks): (Vec<_>, Vec<_>) = found.unzip();
        drop(state);
        tasks.into_iter().flatten().for_each(|task| task.cancel());
        stragglers
    }

    pub(crate) fn is_there(&self, number: u64) -> bool {
        self.lock().members.contains_key(&number)
    }
}

/// Whom `per_peer` counts as one: an address, or the network of 64 bits that a home or a machine has
/// in IPv6. Peers on Unix sockets are not told apart.
fn key_of<A: Any>(peer: &A) -> Option<IpAddr> {
    let peer: &SocketAddr = (peer as &dyn Any).downcast_ref()?;
    Some(match peer.ip().to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 64))),
        ip => ip,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(peer: &str) -> Option<String> {
        key_of(&peer.parse::<SocketAddr>().unwrap()).map(|ip| ip.to_string())
    }

    #[test]
    fn a_peer_is_an_address_or_a_network() {
        assert_eq!(key("192.0.2.1:80"), key("192.0.2.1:81"));
        assert_ne!(key("192.0.2.1:80"), key("192.0.2.2:80"));
        assert_eq!(key("[::ffff:192.0.2.1]:80"), key("192.0.2.1:80"));
        assert_eq!(key("[2001:db8::1]:1"), key("[2001:db8::ffff:1]:2"));
        assert_ne!(key("[2001:db8::1]:1"), key("[2001:db8:0:1::1]:1"));
        assert_eq!(key_of(&"/run/socket"), None);
    }
}
