//! `gather`, `try_gather`, `gather_settled`: many futures at once, their outputs in the order in
//! which they were given.
//!
//! As in asyncio each future becomes a task, at the call: the children run in the loop's order, a
//! child that is ready costs one poll of its own and one of its handle, and ten thousand of them
//! are not polled in circles. Unlike in asyncio no child outlives the gathering: the first failure
//! cancels the others, and so does a drop in the middle. For a few futures that borrow,
//! [`join!`](crate::join) and [`scope`](crate::scope) poll in place.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::structure::children::{Children, Ended, output_of, report_unread};
use crate::task::{Builder, JoinError};

/// Runs every future as a task and gives their outputs in the order of `futures`. The tasks begin
/// in the loop's next batch, in that order, whether or not this is awaited.
///
/// When a child panics, the others are cancelled, their ends are awaited, and the panic goes on in
/// whoever awaits.
///
/// Dropped in the middle, it cancels the children that are left; the outputs so far are dropped. A
/// `&mut` to it may be awaited in `select!` without loss.
///
/// # Panics
///
/// If no loop is running on this thread; with a child's panic. When polled again after it has given
/// the outputs.
///
/// # Examples
///
/// ```
/// use wheelhouse::gather;
/// # wheelhouse::run(async {
/// let squares = gather((1..=3).map(|n| async move { n * n })).await;
/// assert_eq!(squares, [1, 4, 9]);
/// # });
/// ```
#[track_caller]
pub fn gather<I>(futures: I) -> Gather<<I::Item as IntoFuture>::Output>
where
    I: IntoIterator,
    I::Item: IntoFuture,
    <I::Item as IntoFuture>::IntoFuture: 'static,
    <I::Item as IntoFuture>::Output: 'static,
{
    let mut children = Children::new();
    for future in futures {
        children.insert(Builder::new().spawn(future.into_future()));
    }
    Gather { gathering: Gathering::new(children), failure: None }
}

/// As [`gather`], for futures that give a `Result`: the outputs, or the first error. Then the
/// siblings are cancelled, and their ends are awaited before the error comes out.
///
/// # Errors
///
/// The first error of a child, in time.
///
/// # Panics
///
/// As [`gather`].
///
/// # Examples
///
/// ```
/// use wheelhouse::try_gather;
/// # wheelhouse::run(async {
/// let parsed = try_gather(["1", "x", "3"].map(|text| async { text.parse::<u32>() })).await;
/// assert!(parsed.is_err());
/// # });
/// ```
#[track_caller]
pub fn try_gather<I, T, E>(futures: I) -> TryGather<T, E>
where
    I: IntoIterator,
    I::Item: IntoFuture<Output = Result<T, E>>,
    <I::Item as IntoFuture>::IntoFuture: 'static,
    T: 'static,
    E: 'static,
{
    let mut children = Children::new();
    for future in futures {
        children.insert(Builder::new().spawn(future.into_future()));
    }
    TryGather { gathering: Gathering::new(children), failure: None }
}

/// As [`gather`], but a child that fails disturbs nobody: what comes out says of each how it ended
/// (`return_exceptions=True`).
///
/// # Panics
///
/// If no loop is running on this thread.
///
/// # Examples
///
/// ```
/// use wheelhouse::gather_settled;
/// # wheelhouse::run(async {
/// let ends = gather_settled((0..3).map(|n| async move { 6 / n })).await;
/// assert!(ends[0].as_ref().is_err_and(|error| error.is_panic()));
/// assert_eq!(*ends[2].as_ref().unwrap(), 3);
/// # });
/// ```
#[track_caller]
pub fn gather_settled<I>(futures: I) -> GatherSettled<<I::Item as IntoFuture>::Output>
where
    I: IntoIterator,
    I::Item: IntoFuture,
    <I::Item as IntoFuture>::IntoFuture: 'static,
    <I::Item as IntoFuture>::Output: 'static,
{
    let mut children = Children::new();
    for future in futures {
        children.insert(Builder::new().spawn(future.into_future()));
    }
    GatherSettled { gathering: Gathering::new(children) }
}

/// Children, and what those that have ended gave: `V` is what is kept of a child.
struct Gathering<T, V> {
    children: Children<T>,
    places: Vec<Option<V>>,
    is_over: bool,
}

impl<T: 'static, V> Gathering<T, V> {
    fn new(children: Children<T>) -> Gathering<T, V> {
        let places = (0..children.len()).map(|_| None).collect();
        Gathering { children, places, is_over: false }
    }

    /// Hands every child that ends to `keep`, until none is left.
    fn poll(
        &mut self,
        cx: &Context<'_>,
        mut keep: impl FnMut(&Children<T>, Result<T, JoinError>) -> Option<V>,
    ) -> Poll<Vec<V>> {
        assert!(!self.is_over, "what gathers was polled after it had given its outputs");
        loop {
            let next = self.children.poll_next(cx);
            let Poll::Ready(next) = next else { return Poll::Pending };
            let Some(Ended { place, result, .. }) = next else { break };
            self.places[place] = keep(&self.children, result);
        }
        self.is_over = true;
        Poll::Ready(std::mem::take(&mut self.places).into_iter().flatten().collect())
    }
}

/// What a child failed with first.
type Failure<E> = Option<Result<E, JoinError>>;

/// The future of [`gather`].
#[must_use = "its children are cancelled when it is dropped"]
pub struct Gather<T> {
    gathering: Gathering<T, T>,
    failure: Option<JoinError>,
}

impl<T: 'static> Future for Gather<T> {
    type Output = Vec<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Vec<T>> {
        let Gather { gathering, failure } = &mut *self;
        let polled = gathering.poll(cx, |children, result| match result {
            Ok(output) => Some(output),
            Err(error) => {
                // After the first failure, a panic is nobody's but the report's.
                if failure.is_some() {
                    report_unread(error);
                } else {
                    children.cancel_all();
                    *failure = Some(error);
                }
                None
            }
        });
        let Poll::Ready(outputs) = polled else { return Poll::Pending };
        match failure.take() {
            None => Poll::Ready(outputs),
            Some(error) => output_of(Err(error), "gather"),
        }
    }
}

/// The future of [`try_gather`].
#[must_use = "its children are cancelled when it is dropped"]
pub struct TryGather<T, E> {
    gathering: Gathering<Result<T, E>, T>,
    failure: Failure<E>,
}

// What the children give is never pinned.
impl<T, E> Unpin for TryGather<T, E> {}
impl<T> Unpin for Gather<T> {}
impl<T> Unpin for GatherSettled<T> {}

impl<T: 'static, E: 'static> Future for TryGather<T, E> {
    type Output = Result<Vec<T>, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let TryGather { gathering, failure } = &mut *self;
        let polled = gathering.poll(cx, |children, result| {
            let failed = match result {
                Ok(Ok(output)) => return Some(output),
                Ok(Err(error)) => Ok(error),
                Err(error) => Err(error),
            };
            match (&failure, failed) {
                (None, first) => {
                    children.cancel_all();
                    *failure = Some(first);
                }
                (Some(_), Err(error)) => report_unread(error),
                // Ready in the same batch as the first one.
                (Some(_), Ok(_)) => {}
            }
            None
        });
        let Poll::Ready(outputs) = polled else { return Poll::Pending };
        match failure.take() {
            None => Poll::Ready(Ok(outputs)),
            Some(Ok(error)) => Poll::Ready(Err(error)),
            Some(Err(error)) => output_of(Err(error), "try_gather"),
        }
    }
}

/// The future of [`gather_settled`].
#[must_use = "its children are cancelled when it is dropped"]
pub struct GatherSettled<T> {
    gathering: Gathering<T, Result<T, JoinError>>,
}

impl<T> Drop for Gather<T> {
    fn drop(&mut self) {
        if let Some(error) = self.failure.take() {
            report_unread(error);
        }
    }
}

impl<T, E> Drop for TryGather<T, E> {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.failure.take() {
            report_unread(error);
        }
    }
}

impl<T> Drop for GatherSettled<T> {
    fn drop(&mut self) {
        let ends = std::mem::take(&mut self.gathering.places).into_iter().flatten();
        ends.filter_map(Result::err).for_each(report_unread);
    }
}

impl<T: 'static> Future for GatherSettled<T> {
    type Output = Vec<Result<T, JoinError>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.gathering.poll(cx, |_, result| Some(result))
    }
}

impl<T> fmt::Debug for Gather<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Gather").field(&self.gathering.children).finish()
    }
}

impl<T, E> fmt::Debug for TryGather<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TryGather").field(&self.gathering.children).finish()
    }
}

impl<T> fmt::Debug for GatherSettled<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("GatherSettled").field(&self.gathering.children).finish()
    }
}
