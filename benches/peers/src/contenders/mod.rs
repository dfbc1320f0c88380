//! The contenders. Each runtime's file says how that runtime does the same handful of things ([`Runtime`]); the
//! workloads in `child.rs` are written once over it. `raw.rs` is a hand-written epoll loop and answers only where
//! there is something to hand-write.

pub mod compio;
pub mod glommio;
pub mod monoio;
pub mod raw;
pub mod smol;
pub mod tokio;
#[cfg(feature = "wheelhouse")]
pub mod wheelhouse;

use crate::child;
use crate::pair::{self, Spawner};
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

/// A row of the tables.
pub struct Contender {
    pub name: &'static str,
    /// Runs a scenario's part inside the child and prints its answer.
    pub child: fn(&child::Job) -> Result<child::Answer, String>,
    /// Takes part only in scenarios whose name starts with one of these; in all, if empty.
    pub only_in: &'static [&'static str],
    /// Takes no part in scenarios whose name starts with one of these.
    pub not_in: &'static [&'static str],
    /// Said at the end, beside what it ran on.
    pub note: &'static str,
}

/// In the order of the tables. The first one is what ratios are taken to, beside `tokio`.
pub const ALL: &[Contender] = &[
    Contender {
        name: "raw",
        child: raw::run,
        only_in: &[],
        not_in: &["spawn", "yield", "pair", "task-bytes", "timer-create", "http"],
        note: "written by hand for each scenario; no tasks",
    },
    #[cfg(feature = "wheelhouse")]
    Contender { name: "wheelhouse", child: child::run::<wheelhouse::Wheelhouse>, only_in: &[], not_in: &[], note: "" },
    #[cfg(feature = "wheelhouse")]
    Contender {
        name: "wheelhouse-1ms",
        child: child::run::<wheelhouse::Tolerant>,
        only_in: &["timer-storm"],
        not_in: &[],
        note: "every sleep with .tolerance(1 ms)",
    },
    Contender { name: "tokio", child: child::run::<tokio::CurrentThread>, only_in: &[], not_in: &[], note: "" },
    Contender {
        name: "tokio-local",
        child: child::run::<tokio::Local>,
        only_in: &["spawn", "yield", "wake", "task-bytes"],
        not_in: &[],
        note: "",
    },
    Contender {
        name: "tokio-threads",
        child: |job| pair::run_multi_thread(job.quick, job.other_cpu),
        only_in: &["pair"],
        not_in: &[],
        note: "",
    },
    Contender {
        name: "tokio-lean",
        child: child::run::<tokio::Lean>,
        only_in: &["idle"],
        not_in: &[],
        note: "reads into one buffer for all, instead of a buffer a connection",
    },
    Contender { name: "smol", child: child::run::<smol::Smol>, only_in: &[], not_in: &["http"], note: "" },
    Contender {
        name: "monoio",
        child: child::run::<monoio::Monoio>,
        only_in: &[],
        not_in: &["http"],
        note: "a task that wakes itself there runs again before all others, so its yield awaits a new, empty task",
    },
    Contender { name: "compio", child: child::run::<compio::Compio>, only_in: &[], not_in: &["http"], note: "" },
    Contender {
        name: "glommio",
        child: child::run::<glommio::Glommio>,
        only_in: &[],
        not_in: &["http"],
        note: "the maintained fork of glommio",
    },
];

impl Contender {
    pub fn find(name: &str) -> Option<&'static Contender> {
        ALL.iter().find(|contender| contender.name == name)
    }

    pub fn takes_part(&self, scenario: &str) -> bool {
        let starts = |prefix: &&str| scenario.starts_with(*prefix);
        (self.only_in.is_empty() || self.only_in.iter().any(starts)) && !self.not_in.iter().any(starts)
    }
}
