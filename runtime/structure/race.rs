//! [`race()`]: the first of many futures that is ready, and the others, alive.
//!
//! It polls its futures in their order, all of them: right for a handful. Where many are raced
//! again and again, a [`JoinSet`](crate::structure::JoinSet) polls only those that have news.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Waits for the first of `futures` that is ready. Gives its output and the others, in their order,
/// alive: handles, or futures that are `Unpin` (a `Box::pin` makes any future so). Of several that
/// are ready the first one wins.
///
/// Cancel safe if the futures are borrowed (`race(futures.iter_mut())`): what is not ready stays
/// with its owner. Futures that were moved in are dropped with it; a dropped handle detaches its
/// task.
///
/// # Panics
///
/// If there is no future: nothing could ever win. When polled again after it has given its result.
///
/// # Examples
///
/// ```
/// use wheelhouse::{race, spawn};
/// # wheelhouse::run(async {
/// let slow = spawn(std::future::pending());
/// let fast = spawn(async { 42 });
/// let (first, mut rest) = race([slow, fast]).await;
/// assert_eq!(first.unwrap(), 42);
/// rest.pop().unwrap().cancel();
/// # });
/// ```
#[track_caller]
pub fn race<I>(futures: I) -> Race<<I::Item as IntoFuture>::IntoFuture>
where
    I: IntoIterator,
    I::Item: IntoFuture,
    <I::Item as IntoFuture>::IntoFuture: Unpin,
{
    let futures: Vec<_> = futures.into_iter().map(IntoFuture::into_future).collect();
    assert!(
        !futures.is_empty(),
        "`race` was called without a future: it expects at least one, or nothing could ever win. \
         Look whether there is one before the call."
    );
    Race { futures }
}

/// The future of [`race()`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct Race<F> {
    /// Empty when it is over.
    futures: Vec<F>,
}

impl<F: Future + Unpin> Future for Race<F> {
    type Output = (F::Output, Vec<F>);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let futures = &mut self.futures;
        assert!(!futures.is_empty(), "a `Race` was polled after it had given its result");
        for place in 0..futures.len() {
            if let Poll::Ready(output) = Pin::new(&mut futures[place]).poll(cx) {
                drop(futures.remove(place));
                return Poll::Ready((output, std::mem::take(futures)));
            }
        }
        Poll::Pending
    }
}
