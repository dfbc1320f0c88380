//! What the errors of accept mean: whose fault they are, and when to try again.
//!
//! A listener outlives nearly all of them. There are three kinds:
//!
//! * **This connection's**: the peer went away while it waited in the queue, a firewall refused it,
//!   or the network had an error that Linux passes on. The next one may be fine: accept is called
//!   again at once. But an error that comes again and again without taking a connection out of the
//!   queue would keep a processor busy, so that after 64 in a row it counts as the next kind.
//! * **A shortage**: no descriptors, no memory. Nothing that the listener does ends it, and the
//!   connection stays in the queue, so that trying at once would spin. Accepting pauses, 5 ms
//!   first, twice as long each time, at most 1 s; a success ends the trouble. A server that sees one
//!   of its own connections end, and a descriptor come back, does not wait for the rest of the
//!   pause. A warning goes out at the first, and then at most once a second.
//! * **The listener's own**: not a socket, not listening, closed behind our back. Only these come
//!   out.
//!
//! # Several acceptors
//!
//! Any number of tasks may accept on one listener. The state of the pause is the listener's, so
//! that a shortage that they all meet is one pause and not one each; each waits for its end with a
//! sleep of its own. Whoever begins to accept while others do goes behind them by yielding once:
//! else a task that accepts in a loop, being woken first each time, would get every connection and
//! the others none.

use std::fmt;
use std::future::Future;
use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use rustix::io::Errno;
use wheelhouse_runtime::io::{Direction, Interest, Source};
use wheelhouse_runtime::time::{Duration, Instant, Sleep, sleep_until, timeout_at};
use wheelhouse_runtime::yield_now;

use crate::platform::ERRORS_OF_ONE_CONNECTION;

const PAUSE_MIN: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_secs(1);
const WARN_EVERY: Duration = Duration::from_secs(1);

/// So many errors of single connections in a row are taken for a shortage.
const SKIPS_MAX: u32 = 64;

/// Whose fault an error of accept is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Connection,
    Shortage,
    Listener,
}

const SHORTAGES: &[Errno] = &[
    Errno::MFILE,
    Errno::NFILE,
    Errno::NOBUFS,
    Errno::NOMEM,
    // The limit of descriptors that may be watched.
    Errno::NOSPC,
];

/// Beside those that only some systems have.
const OF_ONE_CONNECTION: &[Errno] = &[
    Errno::CONNABORTED,
    Errno::CONNREFUSED,
    Errno::CONNRESET,
    Errno::HOSTDOWN,
    Errno::HOSTUNREACH,
    Errno::INTR,
    Errno::NETDOWN,
    Errno::NETUNREACH,
    Errno::NOPROTOOPT,
    Errno::OPNOTSUPP,
    // A firewall of Linux.
    Errno::PERM,
    Errno::PROTO,
    Errno::TIMEDOUT,
];

fn fault_of(error: &io::Error) -> Fault {
    match Errno::from_io_error(error) {
        Some(errno) if SHORTAGES.contains(&errno) => Fault::Shortage,
        Some(errno) if OF_ONE_CONNECTION.contains(&errno) => Fault::Connection,
        Some(errno) if ERRORS_OF_ONE_CONNECTION.contains(&errno) => Fault::Connection,
        _ => Fault::Listener,
    }
}

/// Whether the next connection may be fine: only this one is broken.
pub(crate) fn is_of_one_connection(error: &io::Error) -> bool {
    fault_of(error) == Fault::Connection
}

/// Accepts for a listener, whatever happens.
#[derive(Default)]
pub(crate) struct Acceptor {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    trouble: Trouble,
    /// Async calls under way.
    acceptors: usize,
    /// How the `poll_*` call waits for the end of a pause.
    sleep: Option<Sleep>,
}

impl Acceptor {
    /// Awaits `accept` until it succeeds or the listener is broken. At a shortage `relieve` is
    /// asked: if it says that it has got a connection out of the queue, there is no pause. One that
    /// is under way ends early with what `freed` gives: when there may be a descriptor again.
    pub(crate) async fn accept<L, R, F>(
        &self,
        source: &Source<L>,
        mut accept: impl FnMut() -> F,
        mut relieve: impl FnMut() -> bool,
        mut freed: impl AsyncFnMut(),
    ) -> io::Result<R>
    where
        L: AsFd,
        F: Future<Output = io::Result<R>>,
    {
        let _inside = self.go_behind_others().await;
        loop {
            self.pause_is_over(source, &mut freed).await?;
            match accept().await {
                Ok(accepted) => {
                    self.succeeded();
                    return Ok(accepted);
                }
                Err(error) if fault_of(&error) == Fault::Shortage && relieve() => {}
                Err(error) => self.failed(error)?,
            }
        }
    }

    /// Polls `accept` until it is pending, succeeds, or the listener is broken.
    pub(crate) fn poll_accept<L: AsFd, R>(
        &self,
        cx: &mut Context<'_>,
        source: &Source<L>,
        mut accept: impl FnMut(&mut Context<'_>) -> Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        loop {
            ready!(self.poll_pause_is_over(cx, source))?;
            match ready!(accept(cx)) {
                Ok(accepted) => {
                    self.succeeded();
                    return Poll::Ready(Ok(accepted));
                }
                Err(error) => self.failed(error)?,
            }
        }
    }

    async fn go_behind_others(&self) -> Inside<'_> {
        let others = {
            let mut state = self.lock();
            state.acceptors += 1;
            state.acceptors - 1
        };
        let inside = Inside(self);
        if others > 0 {
            yield_now().await;
        }
        inside
    }

    /// Waits for the end of a pause, but only if there is something to accept. Asking for that also
    /// gives an error outside the listener's loop, where a sleep would panic.
    async fn pause_is_over<L: AsFd>(
        &self,
        source: &Source<L>,
        freed: &mut impl AsyncFnMut(),
    ) -> io::Result<()> {
        // Once more after each: another acceptor may have tried, in vain.
        while let Some(resume_at) = self.paused_until() {
            source.ready(Interest::READABLE).await?;
            if timeout_at(resume_at, freed()).await.is_ok() {
                self.lock().trouble.resume_at = None;
            }
        }
        Ok(())
    }

    fn poll_pause_is_over<L: AsFd>(
        &self,
        cx: &mut Context<'_>,
        source: &Source<L>,
    ) -> Poll<io::Result<()>> {
        while let Some(resume_at) = self.paused_until() {
            ready!(source.poll_ready(cx, Direction::Read))?;
            // Out of the lock: polling calls the clone and drop of wakers, which are foreign code.
            let kept = self.lock().sleep.take();
            let kept = kept.filter(|sleep| sleep.deadline() == resume_at);
            let mut sleep = kept.unwrap_or_else(|| sleep_until(resume_at));
            if Pin::new(&mut sleep).poll(cx).is_pending() {
                let replaced = self.lock().sleep.replace(sleep);
                drop(replaced);
                return Poll::Pending;
            }
        }
        Poll::Ready(Ok(()))
    }

    fn paused_until(&self) -> Option<Instant> {
        let resume_at = self.lock().trouble.resume_at?;
        (Instant::now() < resume_at).then_some(resume_at)
    }

    fn succeeded(&self) {
        self.lock().trouble.succeeded();
    }

    /// `Ok`: try again, after the pause if there is one.
    fn failed(&self, error: io::Error) -> io::Result<()> {
        let now = Instant::now();
        let warn = match fault_of(&error) {
            Fault::Listener => return Err(error),
            fault => self.lock().trouble.failed(fault, now),
        };
        if let Some(pause) = warn {
            tracing::warn!(%error, ?pause, "accepting connections is paused");
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        let mut out = f.debug_struct("Acceptor");
        out.field("acceptors", &state.acceptors).field("trouble", &state.trouble).finish()
    }
}

/// Somebody is accepting.
struct Inside<'a>(&'a Acceptor);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.lock().acceptors -= 1;
    }
}

/// What went wrong since the last success. It has no clock: `now` is an argument.
#[derive(Debug, Default)]
struct Trouble {
    /// The last pause; zero if there was none.
    pause: Duration,
    resume_at: Option<Instant>,
    /// Errors of single connections in a row.
    skips: u32,
    /// Kept across successes, for where they alternate with shortages.
    warned_at: Option<Instant>,
}

impl Trouble {
    fn succeeded(&mut self) {
        self.pause = Duration::ZERO;
        self.resume_at = None;
        self.skips = 0;
    }

    /// The new pause, if it is to be warned of.
    fn failed(&mut self, fault: Fault, now: Instant) -> Option<Duration> {
        if fault == Fault::Connection {
            self.skips += 1;
            if self.skips < SKIPS_MAX {
                return None;
            }
            self.skips = 0;
        }
        if self.resume_at.is_some_and(|resume_at| now < resume_at) {
            // Another acceptor has met the same shortage.
            return None;
        }
        self.pause = (self.pause * 2).clamp(PAUSE_MIN, PAUSE_MAX);
        self.resume_at = Some(now + self.pause);
        if self.warned_at.is_some_and(|warned_at| now - warned_at < WARN_EVERY) {
            return None;
        }
        self.warned_at = Some(now);
        Some(self.pause)
    }
}

#[cfg(test)]
#[path = "accept_tests.rs"]
mod tests;
