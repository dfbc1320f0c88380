//! [`as_completed()`]: the outputs of many futures as a stream, in the order in which they are
//! ready.
//!
//! Each future becomes a task at the call, as in [`gather`](crate::gather). What comes out says how
//! each ended, so that one failure does not hide the others.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::{FusedStream, Stream};

use crate::structure::join_set::JoinSet;
use crate::task::JoinError;

/// Runs every future as a task and gives how they end, one after the other, in the order of their
/// ends.
///
/// The result is a [`Stream`], and has a [`next`](AsCompleted::next) of its own. Dropping it
/// cancels the tasks that are left.
///
/// # Panics
///
/// If no loop is running on this thread.
///
/// # Examples
///
/// ```
/// use wheelhouse::as_completed;
/// use wheelhouse::time::{Duration, sleep};
/// # wheelhouse::run(async {
/// let naps = [3, 1, 2].map(|n| async move {
///     sleep(Duration::from_millis(n)).await;
///     n
/// });
/// let mut ends = as_completed(naps);
/// while let Some(nap) = ends.next().await {
///     println!("{} ms are over", nap.unwrap());
/// }
/// # });
/// ```
#[track_caller]
pub fn as_completed<I>(futures: I) -> AsCompleted<<I::Item as IntoFuture>::Output>
where
    I: IntoIterator,
    I::Item: IntoFuture,
    <I::Item as IntoFuture>::IntoFuture: 'static,
    <I::Item as IntoFuture>::Output: 'static,
{
    let mut tasks = JoinSet::new();
    for future in futures {
        tasks.spawn(future.into_future());
    }
    AsCompleted { tasks }
}

/// The stream of [`as_completed`].
#[derive(Debug)]
#[must_use = "its tasks are cancelled when it is dropped"]
pub struct AsCompleted<T> {
    tasks: JoinSet<T>,
}

impl<T: 'static> AsCompleted<T> {
    /// Waits for the next task that ends; `None` if all have ended. Cancel safe.
    ///
    /// # Errors
    ///
    /// [`JoinError`] inside, if that task panicked.
    pub async fn next(&mut self) -> Option<Result<T, JoinError>> {
        poll_fn(|cx| self.tasks.poll_join_next(cx)).await
    }
}

impl<T> AsCompleted<T> {
    /// The tasks that are left, to be waited for in another way.
    pub fn into_set(self) -> JoinSet<T> {
        self.tasks
    }
}

// What the tasks give is never pinned.
impl<T> Unpin for AsCompleted<T> {}

impl<T: 'static> Stream for AsCompleted<T> {
    type Item = Result<T, JoinError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.tasks.poll_join_next(cx)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.tasks.len(), Some(self.tasks.len()))
    }
}

impl<T: 'static> FusedStream for AsCompleted<T> {
    fn is_terminated(&self) -> bool {
        self.tasks.is_empty()
    }
}
