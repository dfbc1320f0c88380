//! Several attempts at one thing, begun one after another until one succeeds (RFC 8305, "happy
//! eyeballs").
//!
//! A host may have addresses that do not answer: often it is IPv6 that is broken somewhere on the
//! way. Trying one after another takes minutes then; trying all at once is a burden to everybody.
//! So each attempt has a head start, 250 ms by default, before the next begins beside it; one that
//! fails makes room for the next at once. The families take turns, beginning with the one that the
//! system prefers. The first to succeed wins, and the others are dropped, which closes them.
//!
//! What an attempt is, is an argument: this file knows an order and a clock, and no socket.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use wheelhouse_runtime::time::{Duration, Sleep, sleep};

/// An address, and what became of the attempt at it.
pub(crate) type Failure = (SocketAddr, io::Error);

/// The future of the race: what the winner gave, or why there is none.
#[must_use = "futures do nothing unless awaited"]
pub(crate) struct Race<F, A> {
    attempt: A,
    head_start: Duration,
    waiting: VecDeque<SocketAddr>,
    /// The earliest first.
    running: Vec<(SocketAddr, Pin<Box<F>>)>,
    failed: Vec<Failure>,
    /// One has failed since the last was begun.
    has_room: bool,
    /// The end of the latest head start, if somebody waits for it.
    turn: Option<Sleep>,
}

impl<T, F, A> Race<F, A>
where
    F: Future<Output = io::Result<T>>,
    A: FnMut(SocketAddr) -> F,
{
    pub(crate) fn new(addresses: Vec<SocketAddr>, head_start: Duration, attempt: A) -> Race<F, A> {
        Race {
            attempt,
            head_start,
            waiting: taking_turns(addresses),
            running: Vec::new(),
            failed: Vec::new(),
            has_room: true,
            turn: None,
        }
    }

    /// Ends the race: what failed, and with `error` what had not ended. Those that were not begun
    /// are not told of.
    pub(crate) fn give_up(self, error: impl Fn() -> io::Error) -> Vec<Failure> {
        let running = self.running.into_iter().map(|(address, _)| (address, error()));
        self.failed.into_iter().chain(running).collect()
    }

    fn poll_running(&mut self, cx: &mut Context<'_>) -> Option<T> {
        let mut at = 0;
        while let Some((address, attempt)) = self.running.get_mut(at) {
            match attempt.as_mut().poll(cx) {
                Poll::Pending => at += 1,
                Poll::Ready(Ok(won)) => return Some(won),
                Poll::Ready(Err(error)) => {
                    self.failed.push((*address, error));
                    drop(self.running.remove(at));
                    self.has_room = true;
                }
            }
        }
        None
    }

    /// Whether it is time to begin with the next.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.turn {
            _ if self.has_room => Poll::Ready(()),
            Some(turn) => Pin::new(turn).poll(cx),
            None => Poll::Pending,
        }
    }

    fn begin(&mut self, address: SocketAddr) {
        self.has_room = false;
        self.turn = (!self.waiting.is_empty()).then(|| sleep(self.head_start));
        self.running.push((address, Box::pin((self.attempt)(address))));
    }
}

// What is pinned is in boxes.
impl<F, A> Unpin for Race<F, A> {}

impl<T, F, A> Future for Race<F, A>
where
    F: Future<Output = io::Result<T>>,
    A: FnMut(SocketAddr) -> F,
{
    type Output = Result<T, Vec<Failure>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        loop {
            if let Some(won) = this.poll_running(cx) {
                // Closed now, not when whoever awaits this drops it.
                this.running.clear();
                return Poll::Ready(Ok(won));
            }
            if this.waiting.is_empty() {
                if this.running.is_empty() {
                    return Poll::Ready(Err(std::mem::take(&mut this.failed)));
                }
                return Poll::Pending;
            }
            if this.poll_turn(cx).is_pending() {
                return Poll::Pending;
            }
            if let Some(next) = this.waiting.pop_front() {
                this.begin(next);
            }
        }
    }
}

/// The families in turn, the first address first; within a family the order stays.
fn taking_turns(addresses: Vec<SocketAddr>) -> VecDeque<SocketAddr> {
    let Some(first) = addresses.first().copied() else { return VecDeque::new() };
    let (ours, others): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == first.is_ipv6());
    let (mut ours, mut others) = (ours.into_iter(), others.into_iter());
    let mut in_turn = VecDeque::new();
    loop {
        let pair = [ours.next(), others.next()];
        if pair == [None, None] {
            return in_turn;
        }
        in_turn.extend(pair.into_iter().flatten());
    }
}

#[cfg(test)]
#[path = "race_tests.rs"]
mod tests;
