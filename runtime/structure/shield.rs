//! [`shield()`]: work that goes on when whoever awaits it is cancelled.
//!
//! It is a spawned task whose handle detaches it when dropped, and which hands its panic on. So it
//! says in the code what a bare `spawn(..).await` does only for those who know.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::structure::children::output_of;
use crate::task::{AbortHandle, Builder, JoinHandle};

/// Runs `future` as a task and awaits its output. If whoever awaits is cancelled or stops waiting,
/// the task goes on to its end; only the end of the loop ends it earlier. It begins in the loop's
/// next batch, whether or not this is awaited.
///
/// Cancel safe in this sense: nothing of `future` is lost. Its output is, unless a `&mut` to the
/// shield is awaited.
///
/// # Panics
///
/// If no loop is running on this thread; with the panic of `future`; if the task was ended through
/// [`Shield::abort_handle`].
///
/// # Examples
///
/// ```
/// use wheelhouse::shield;
/// use wheelhouse::time::{Duration, sleep, timeout};
/// # wheelhouse::run(async {
/// let mut commit = shield(async {
///     sleep(Duration::from_millis(2)).await;
///     "committed"
/// });
/// assert!(timeout(Duration::from_millis(1), &mut commit).await.is_err());
/// assert_eq!(commit.await, "committed");
/// # });
/// ```
#[track_caller]
pub fn shield<F>(future: F) -> Shield<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    Shield { task: Builder::new().spawn(future) }
}

/// The future of [`shield()`].
#[derive(Debug)]
pub struct Shield<T> {
    task: JoinHandle<T>,
}

impl<T> Shield<T> {
    /// The way through the shield: cancels the task after all.
    pub fn abort_handle(&self) -> AbortHandle {
        self.task.abort_handle()
    }

    /// The task, as any other.
    pub fn into_handle(self) -> JoinHandle<T> {
        self.task
    }
}

impl<T: 'static> Future for Shield<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        Pin::new(&mut self.task).poll(cx).map(|result| output_of(result, "shield"))
    }
}
