//! What a runtime is asked to do: the workloads are written once over [`Runtime`], the contenders implement it.

use crate::place::Place;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// One runtime on this thread, as its documentation says to use it.
pub trait Runtime: Sized + 'static {
    /// What `spawn` gives; a panic or cancellation of the task panics here.
    type Join<T: 'static>: Future<Output = T> + 'static;

    fn start() -> Result<Self, String>;
    /// What a reader should know: version, driver.
    fn detail(&self) -> String;
    fn block_on<F: Future + 'static>(&mut self, future: F) -> F::Output
    where
        F::Output: 'static;

    fn spawn<F: Future + 'static>(future: F) -> Self::Join<F::Output>
    where
        F::Output: 'static;
    fn spawn_detached<F: Future<Output = ()> + 'static>(future: F);
    fn yield_now() -> impl Future<Output = ()>;
    /// Spawns on this loop from other threads, where the runtime can.
    fn spawner() -> Option<Spawner> {
        None
    }

    fn sleep(duration: Duration) -> impl Future<Output = ()> + 'static;
    /// A sleep that can be moved, where the runtime has one.
    fn resettable(duration: Duration) -> Option<Pin<Box<dyn Resettable>>>;

    /// The ordinary echo server: a task a connection, `read` then `write_all`, a buffer of `buffer` bytes each.
    fn echo(bound: Bound, buffer: usize) -> impl Future<Output = ()> + 'static;
    /// The echo server as the runtime's own examples write it, for mostly idle connections.
    fn echo_idle(bound: Bound) -> impl Future<Output = ()> + 'static;
    /// As `echo`, over a Unix socket.
    fn echo_unix(bound: Bound, buffer: usize) -> impl Future<Output = ()> + 'static;
    /// One UDP socket: `recv_from`, then `send_to`.
    fn echo_udp(bound: Bound, buffer: usize) -> impl Future<Output = ()> + 'static;
}

pub trait Resettable {
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()>;
    /// Moves the deadline to `after` past the moment of creation.
    fn reset(self: Pin<&mut Self>, after: Duration);
}

/// Where to listen, and whom to tell the address.
pub struct Bound {
    pub port: u16,
    /// With which connection the process ends; 0 is never.
    pub exit_at: u64,
    pub accepted: std::cell::Cell<u64>,
}

impl Bound {
    /// Called with every connection: ends the process at the one that was agreed. (A signal would not do: valgrind
    /// looks for signals too seldom in a server that waits in io_uring.)
    pub fn count_accepted(&self) {
        self.accepted.set(self.accepted.get() + 1);
        if self.accepted.get() == self.exit_at {
            std::process::exit(0);
        }
    }

    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// A path of this process's own, free again.
    pub fn path(&self) -> PathBuf {
        let path = std::env::temp_dir().join(format!("peers-{}.socket", std::process::id()));
        let _ = std::fs::remove_file(&path);
        path
    }

    /// Prints the address: the parent waits for this line.
    pub fn announce(&self, address: SocketAddr) {
        self.announce_at(Place::Tcp(address));
    }

    pub fn announce_at(&self, place: Place) {
        use std::io::Write;
        println!("{place}");
        let _ = std::io::stdout().flush();
    }
}

/// `wake_by_ref` and `Pending` once: the yield of runtimes that bring none.
pub fn plain_yield() -> impl Future<Output = ()> {
    futures_lite::future::yield_now()
}

/// A timer's future without its output.
pub struct Discard<F>(pub F);

impl<F: Future + Unpin> Future for Discard<F> {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(context).map(drop)
    }
}

/// Spawns an empty task on the loop that it came from, from any thread; what comes back awaits it.
pub type Spawner = Box<dyn Fn() -> Pin<Box<dyn Future<Output = ()>>> + Send>;
