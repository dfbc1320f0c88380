//! Looking up names: one look-up at a time for each name, and the answers kept for a minute.
//!
//! getaddrinfo(3) blocks, for milliseconds or for as long as a name server is silent, and cannot be
//! stopped. So it is called on the loop's blocking pool, by a job that is expendable: the end of a
//! loop does not wait for a name that nobody needs any more.
//!
//! Whoever asks for a name that is being looked up waits for the same answer; a crowd of tasks that
//! connect to one host costs one thread. Who stops waiting does not stop the look-up: the others,
//! and the next to ask, have its answer.
//!
//! An answer is kept for 60 s, since getaddrinfo does not tell how long it holds; failures are not
//! kept, and an answer of which no address could be connected to is forgotten (`connect.rs`). All
//! of this belongs to the loop, and goes with it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use wheelhouse_runtime::loop_local;
use wheelhouse_runtime::task::Builder;
use wheelhouse_runtime::time::{Duration, Instant};

/// How long an answer is kept.
const KEPT_FOR: Duration = Duration::from_secs(60);

/// How many answers are kept; the oldest give way.
const KEPT_MAX: usize = 256;

/// The addresses of a host, as the system gives them, in its order of preference.
///
/// # Panics
///
/// If no loop is running on this thread.
pub(crate) async fn look_up(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let answer = loop_local::<Names>().ask(host);
    let mut addresses = answer.await?;
    addresses.iter_mut().for_each(|address| address.set_port(port));
    Ok(addresses)
}

/// The answer about a host was of no use: the next to ask is to have a new one.
pub(crate) fn forget(host: &str) {
    loop_local::<Names>().forget(host);
}

/// Whether an answer about a host is kept.
#[cfg(test)]
pub(crate) fn is_known(host: &str) -> bool {
    matches!(loop_local::<Names>().entries.borrow().get(host), Some(Entry::Known { .. }))
}

type Resolver = dyn Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync;

/// What a loop knows of names.
struct Names {
    resolver: Arc<Resolver>,
    entries: RefCell<HashMap<String, Entry>>,
}

enum Entry {
    UnderWay(Arc<LookUp>),
    Known { addresses: Vec<SocketAddr>, until: Instant },
}

impl Default for Names {
    fn default() -> Names {
        Names::new(|host| (host, 0).to_socket_addrs().map(Vec::from_iter))
    }
}

impl Names {
    fn new(
        resolver: impl Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static,
    ) -> Names {
        Names { resolver: Arc::new(resolver), entries: RefCell::default() }
    }

    /// From what is known, or from the look-up under way, or from a new one.
    fn ask(self: &Rc<Self>, host: &str) -> Answer {
        // Names are the same in any case.
        let host = host.to_ascii_lowercase();
        match self.entries.borrow().get(host.as_str()) {
            Some(Entry::UnderWay(look_up)) => return Answer::of(look_up),
            Some(Entry::Known { addresses, until }) if Instant::now() < *until => {
                return Answer::Known(addresses.clone());
            }
            _ => {}
        }
        let look_up = Arc::new(LookUp::default());
        let answer = Answer::of(&look_up);
        let entry = Entry::UnderWay(look_up.clone());
        self.entries.borrow_mut().insert(host.clone(), entry);
        self.begin(UnderWay { names: self.clone(), host, look_up });
        answer
    }

    /// A task of its own, so that it goes on when whoever asked first is gone.
    fn begin(self: &Rc<Self>, mut under_way: UnderWay) {
        let resolver = self.resolver.clone();
        let host = under_way.host.clone();
        let named = || Builder::new().name(format!("look up {}", under_way.host));
        let (task, job) = (named(), named().expendable());
        drop(task.spawn(async move {
            let job = job.spawn_blocking(move || resolver(&host)).await;
            // A job that panicked, or for which there was no thread.
            under_way.end(job.unwrap_or_else(|error| Err(io::Error::other(error.to_string()))));
        }));
    }

    fn keep(&self, host: &str, addresses: Vec<SocketAddr>) {
        let now = Instant::now();
        let entries = &mut *self.entries.borrow_mut();
        entries.remove(host);
        if addresses.is_empty() {
            return;
        }
        make_room(entries, now);
        entries.insert(host.to_owned(), Entry::Known { addresses, until: now + KEPT_FOR });
    }

    fn forget(&self, host: &str) {
        let host = host.to_ascii_lowercase();
        let mut entries = self.entries.borrow_mut();
        if matches!(entries.get(host.as_str()), Some(Entry::Known { .. })) {
            entries.remove(host.as_str());
        }
    }
}

/// Lets the answers go that are too old, or at least the oldest, if there are as many as may be.
fn make_room(entries: &mut HashMap<String, Entry>, now: Instant) {
    let known = |(host, entry): (&String, &Entry)| match entry {
        Entry::Known { until, .. } => Some((*until, host.clone())),
        Entry::UnderWay(_) => None,
    };
    if entries.iter().filter_map(known).count() < KEPT_MAX {
        return;
    }
    let oldest = entries.iter().filter_map(known).min();
    entries.retain(|host, entry| match entry {
        Entry::Known { until, .. } => {
            now < *until && oldest.as_ref().is_none_or(|(_, oldest)| oldest != host)
        }
        Entry::UnderWay(_) => true,
    });
}

/// A look-up's side of the bargain: everybody who waits gets an answer, also if its task is dropped
/// before it has one.
struct UnderWay {
    names: Rc<Names>,
    host: String,
    look_up: Arc<LookUp>,
}

impl UnderWay {
    fn end(&mut self, found: io::Result<Vec<SocketAddr>>) {
        let outcome = found.map_err(|error| Failure {
            kind: error.kind(),
            text: format!("`{}`: {error}", self.host),
        });
        // A failure is kept no longer than by those who wait for it.
        self.names.keep(&self.host, outcome.clone().unwrap_or_default());
        self.look_up.end(outcome);
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if !self.look_up.has_ended() {
            self.end(Err(io::Error::other("the loop ended before the name was looked up")));
        }
    }
}

/// `io::Error` cannot be cloned.
#[derive(Clone)]
struct Failure {
    kind: io::ErrorKind,
    text: String,
}

type Outcome = Result<Vec<SocketAddr>, Failure>;

/// What those who wait for one look-up share. It is `Send`, so that their futures are.
#[derive(Default)]
struct LookUp(Mutex<State>);

#[derive(Default)]
struct State {
    outcome: Option<Outcome>,
    waiters: Vec<(u64, Waker)>,
    last_ticket: u64,
}

impl LookUp {
    fn end(&self, outcome: Outcome) {
        let mut state = self.lock();
        state.outcome = Some(outcome);
        let waiters = std::mem::take(&mut state.waiters);
        drop(state);
        waiters.into_iter().for_each(|(_, waker)| waker.wake());
    }

    fn has_ended(&self) -> bool {
        self.lock().outcome.is_some()
    }

    fn poll(&self, cx: &Context<'_>, ticket: &mut u64) -> Poll<Outcome> {
        // Cloning a waker and dropping one is foreign code: with no lock held.
        let waker = cx.waker().clone();
        let mut state = self.lock();
        if let Some(outcome) = state.outcome.clone() {
            return Poll::Ready(outcome);
        }
        if *ticket == 0 {
            state.last_ticket += 1;
            *ticket = state.last_ticket;
        }
        let listed = state.waiters.iter_mut().find(|(listed, _)| listed == ticket);
        let replaced = match listed {
            Some((_, before)) => Some(std::mem::replace(before, waker)),
            None => {
                state.waiters.push((*ticket, waker));
                None
            }
        };
        drop(state);
        drop(replaced);
        Poll::Pending
    }

    fn forget(&self, ticket: u64) {
        let mut state = self.lock();
        let listed = state.waiters.iter().position(|(listed, _)| *listed == ticket);
        let forgotten = listed.map(|at| state.waiters.swap_remove(at));
        drop(state);
        drop(forgotten);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The addresses, without a port, now or when they are there.
#[must_use = "futures do nothing unless awaited"]
enum Answer {
    Known(Vec<SocketAddr>),
    Awaited { look_up: Arc<LookUp>, ticket: u64 },
}

impl Answer {
    fn of(look_up: &Arc<LookUp>) -> Answer {
        Answer::Awaited { look_up: look_up.clone(), ticket: 0 }
    }
}

impl Future for Answer {
    type Output = io::Result<Vec<SocketAddr>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *self {
            Answer::Known(addresses) => Poll::Ready(Ok(std::mem::take(addresses))),
            Answer::Awaited { look_up, ticket } => look_up
                .poll(cx, ticket)
                .map_err(|failure| io::Error::new(failure.kind, failure.text)),
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Answer::Awaited { look_up, ticket } = self {
            look_up.forget(*ticket);
        }
    }
}

#[cfg(test)]
#[path = "dns_tests.rs"]
mod tests;
