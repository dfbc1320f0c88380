//! An async I/O runtime that fits into any program: one event loop a thread, turned by itself or by
//! the loop you have already, with timers precise to microseconds.
//!
//! It has asyncio's ideas under tokio's names, on real sockets and real OS timers. Futures need not
//! be `Send`, buffers are borrowed, and no thread starts unless the call that needs one says so.
//!
//! ```
//! use wheelhouse::time::{Duration, sleep};
//!
//! let answer = wheelhouse::run(async {
//!     let task = wheelhouse::spawn(async {
//!         sleep(Duration::from_micros(300)).await;
//!         6 * 7
//!     });
//!     task.await.unwrap()
//! });
//! assert_eq!(answer, 42);
//! ```
//!
//! An echo server, a loop inside a host's loop and a test on virtual time are in `README.md`, one
//! idea a file in `examples/`. The pages to read are in [`docs`]: [the tour](docs::tour) first;
//! coming [from tokio](docs::coming_from_tokio) or [from asyncio](docs::coming_from_asyncio), what
//! is what; [how a turn works](docs::how_a_turn_works), [cancel safety](docs::cancel_safety) and
//! [embedding in a host loop](docs::embedding).
//!
//! # The map
//!
//! | to | use |
//! |---|---|
//! | run a future | [`run`]; with settings [`EventLoop::builder`], [`Builder::run`] |
//! | turn a loop inside another | [`EventLoop::enter`], [`EventLoop::turn`], [`EventLoop::next_deadline`] |
//! | start work beside this | [`spawn`], [`JoinHandle`]; with a name [`task::Builder`] |
//! | have a function called | [`call_soon`], [`call_later`], [`call_at`] |
//! | block | [`spawn_blocking`] |
//! | await several here | [`join!`], [`try_join!`], [`select!`], [`race`] |
//! | await several as tasks | [`gather`], [`try_gather`], [`as_completed`], [`JoinSet`], [`wait`](wait()) |
//! | have tasks end together | [`TaskGroup`]; where they borrow, [`scope`] |
//! | cancel, and be spared | [`JoinHandle::cancel`], [`CancelToken`], [`shield`] |
//! | give a value later | [`completion`] |
//! | keep a value | for each loop [`loop_local`], for each task [`task_local!`] |
//! | wait for a time | [`time::sleep`], [`time::interval`], [`time::timeout`] |
//! | talk | [`net::TcpStream`], [`net::TcpListener`], [`net::UdpSocket`], [`net::UnixStream`], [`net::unix::pipe`] |
//! | look up a name | [`net::lookup_host`] |
//! | read by lines, write without waiting | [`net::StreamReader`], [`net::StreamWriter`] |
//! | pass bytes on | [`net::copy`], [`net::copy_bidirectional`], [`net::send_file`] |
//! | serve | [`net::Server`]: limits, and an end in steps |
//! | watch a descriptor of another kind | [`io::AsyncFd`] |
//! | hear a signal | [`signal::ctrl_c`], [`signal::signal`] |
//! | come from another thread | [`Handle`]; several loops [`LoopGroup`] |
//! | test | [`testing::run`]: virtual time, a drawn order, nothing left behind; faults [`Script`] |
//! | see inside | [`EventLoop::dump`], [`TaskTree`], [`metrics`], [`Builder::debug`], [`Observer`] |
//! | end | [`EventLoop::shutdown`], which reports what did not stop |
//!
//! # What holds everywhere
//!
//! * A loop belongs to its thread, and so does what waits on it. [`Handle`] is the way in for others.
//! * Each async method says what is lost when it is dropped before it is ready.
//! * Misuse panics and says what was called, what was expected and what to do. I/O gives the
//!   system's [`io::Error`](std::io::Error).
//! * No timer fires early. Durations are counted in ticks of 1.024 µs, rounded up.
//!
//! # Features
//!
//! There is nothing to switch on: all of the above is there, and no part may be missing when the
//! program runs. The cargo features add what brings dependencies of its own.
//!
//! | feature | |
//! |---|---|
//! | `hyper` | `net::compat::hyper`: hyper's clients and servers on this loop |
//! | `tokio-io` | `net::compat::tokio`: tokio's `AsyncRead` and `AsyncWrite`; its traits, not its runtime |
//! | `polling` | `SelectorKind::Polling`: the crate `polling` instead of `mio` |
//!
//! TLS is a package of its own, `wheelhouse-tls`. Locks, channels and streams are not written anew:
//! `async-lock`, `async-channel` and `futures-lite` run on this loop as they are.
//!
//! # How precise
//!
// The picture goes in as it is, so that it follows the theme of these pages.
#![doc = include_str!("docs/timer-precision.svg")]
#![forbid(unsafe_code)]

#[doc(inline)]
pub use wheelhouse_net as net;
#[doc(inline)]
pub use wheelhouse_runtime::*;

/// Pages to read, beside what stands at each item. They are files in `docs/` of the repository; the
/// links between them lead to files there, and to each other here.
pub mod docs {
    #[doc = "[Coming from asyncio]: coming_from_asyncio\n"]
    #[doc = "[How a turn works]: how_a_turn_works\n"]
    #[doc = include_str!("docs/tour.md")]
    pub mod tour {}

    #[doc = "[Embedding in a host loop]: embedding\n"]
    // As above; the file's own reference to the picture is for those who read the file.
    #[doc = "The eight stages of a turn, and what can be relied upon.\n"]
    #[doc = "<style>img[src='turn.svg'] { display: none }</style>\n"]
    #[doc = include_str!("docs/turn.svg")]
    #[doc = "\n"]
    #[doc = include_str!("docs/turn.md")]
    pub mod how_a_turn_works {}

    #[doc = "[Cancel safety]: cancel_safety\n"]
    #[doc = "[Embedding in a host loop]: embedding\n"]
    #[doc = "[The tour]: tour\n"]
    #[doc = include_str!("docs/coming-from-asyncio.md")]
    #[doc = "\n<style>.docblock td { font-size: 85% }</style>"]
    pub mod coming_from_asyncio {}

    #[doc = "[name by name]: from_tokio_net\n"]
    #[doc = include_str!("docs/coming-from-tokio.md")]
    // Three columns of long paths are wider than the page.
    #[doc = "\n<style>.docblock td { font-size: 85% } "]
    #[doc = ".docblock td:first-child code { overflow-wrap: anywhere }</style>"]
    pub mod coming_from_tokio {}

    #[doc = include_str!("docs/from-tokio-net.md")]
    pub mod from_tokio_net {}

    #[doc = include_str!("docs/cancel-safety.md")]
    #[doc = "\n<style>.docblock td { font-size: 85% }</style>"]
    pub mod cancel_safety {}

    #[doc = include_str!("docs/embedding.md")]
    pub mod embedding {}
}

// What the README shows is compiled and run.
#[cfg(doctest)]
#[doc = include_str!("README.md")]
mod readme {}
