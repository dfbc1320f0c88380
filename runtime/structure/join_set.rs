//! [`JoinSet`]: tasks that are awaited in the order in which they end.
//!
//! It adds to `children.rs` what a `wait` that was dropped has found: ends wait here until somebody
//! takes them, so no way to wait loses one.

use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::task::{Context, Poll};

use crate::structure::children::{Children, output_of, report_unread};
use crate::task::{AbortHandle, Builder, Id, JoinError, JoinHandle};

/// A set of tasks, awaited in the order in which they end. Dropping it cancels those that are left.
///
/// Ten thousand tasks cost ten thousand polls of their handles: each has a waker of its own.
///
/// # Examples
///
/// ```
/// use wheelhouse::structure::JoinSet;
/// # wheelhouse::run(async {
/// let mut set = JoinSet::new();
/// for n in 1..=3 {
///     set.spawn(async move { n * n });
/// }
/// let mut sum = 0;
/// while let Some(square) = set.join_next().await {
///     sum += square.unwrap();
/// }
/// assert_eq!(sum, 14);
/// # });
/// ```
pub struct JoinSet<T> {
    running: Children<T>,
    /// Ended, found by a `wait`, and not taken yet. A `wait` that is dropped loses none of them.
    ended: VecDeque<(Id, Result<T, JoinError>)>,
}

impl<T> JoinSet<T> {
    /// An empty set.
    pub fn new() -> JoinSet<T> {
        JoinSet { running: Children::new(), ended: VecDeque::new() }
    }

    /// Tasks in the set: those that run, and those that have ended and were not taken.
    pub fn len(&self) -> usize {
        self.running.len() + self.ended.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Cancels all tasks. They stay in the set, and come out as [`JoinError::is_cancelled`].
    pub fn abort_all(&mut self) {
        self.running.cancel_all();
    }

    /// Empties the set; its tasks run on by themselves.
    pub fn detach_all(&mut self) {
        self.running.detach_all();
        self.forget_ended();
    }

    /// Lets go of what nobody took.
    fn forget_ended(&mut self) {
        let ended = std::mem::take(&mut self.ended).into_iter();
        ended.filter_map(|(_, result)| result.err()).for_each(report_unread);
    }
}

impl<T> Drop for JoinSet<T> {
    fn drop(&mut self) {
        self.forget_ended();
    }
}

impl<T: 'static> JoinSet<T> {
    /// Spawns a task into the set, as [`spawn`](crate::spawn).
    ///
    /// # Panics
    ///
    /// If no loop is running on this thread.
    #[track_caller]
    pub fn spawn<F>(&mut self, future: F) -> AbortHandle
    where
        F: Future<Output = T> + 'static,
    {
        self.insert(Builder::new().spawn(future))
    }

    /// Runs a closure that blocks on the loop's pool, as [`spawn_blocking`](crate::spawn_blocking).
    ///
    /// # Panics
    ///
    /// If no loop is running on this thread.
    #[track_caller]
    pub fn spawn_blocking<F>(&mut self, work: F) -> AbortHandle
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send,
    {
        self.insert(Builder::new().spawn_blocking(work))
    }

    /// Adds a task that runs already, for instance one with a name. From here on the set owns it,
    /// and cancels it when dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// # use wheelhouse::{structure::JoinSet, task};
    /// # wheelhouse::run(async {
    /// let mut set = JoinSet::new();
    /// set.insert(task::Builder::new().name("answer").spawn(async { 42 }));
    /// assert_eq!(set.join_all().await, [42]);
    /// # });
    /// ```
    pub fn insert(&mut self, handle: JoinHandle<T>) -> AbortHandle {
        let abort = handle.abort_handle();
        self.running.insert(handle);
        abort
    }

    /// Waits for the next task that ends; `None` if the set is empty. Cancel safe.
    ///
    /// # Errors
    ///
    /// [`JoinError`] inside, if that task panicked or was cancelled.
    pub async fn join_next(&mut self) -> Option<Result<T, JoinError>> {
        poll_fn(|cx| self.poll_join_next(cx)).await
    }

    /// As [`join_next`](Self::join_next), with the task's id; an error knows it too. Cancel safe.
    ///
    /// # Errors
    ///
    /// [`JoinError`] inside, if that task panicked or was cancelled.
    pub async fn join_next_with_id(&mut self) -> Option<Result<(Id, T), JoinError>> {
        poll_fn(|cx| self.poll_join_next_with_id(cx)).await
    }

    /// A task that has ended, if there is one.
    ///
    /// # Errors
    ///
    /// [`JoinError`] inside, if that task panicked or was cancelled.
    pub fn try_join_next(&mut self) -> Option<Result<T, JoinError>> {
        self.take_ended().map(|(_, result)| result)
    }

    /// As [`try_join_next`](Self::try_join_next), with the task's id.
    ///
    /// # Errors
    ///
    /// [`JoinError`] inside, if that task panicked or was cancelled.
    pub fn try_join_next_with_id(&mut self) -> Option<Result<(Id, T), JoinError>> {
        self.take_ended().map(with_id)
    }

    /// Polls for the next task that ends; `Ready(None)` if the set is empty. The waker of the last
    /// call is woken.
    ///
    /// # Errors
    ///
    /// [`JoinError`] inside, if that task panicked or was cancelled.
    pub fn poll_join_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T, JoinError>>> {
        self.poll_ended(cx).map(|ended| ended.map(|(_, result)| result))
    }

    /// As [`poll_join_next`](Self::poll_join_next), with the task's id.
    ///
    /// # Errors
    ///
    /// [`JoinError`] inside, if that task panicked or was cancelled.
    pub fn poll_join_next_with_id(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<(Id, T), JoinError>>> {
        self.poll_ended(cx).map(|ended| ended.map(with_id))
    }

    /// Waits for all tasks and gives their outputs in the order in which they ended.
    /// [`gather`](crate::gather) keeps the order in which they were spawned. Dropped in the middle,
    /// it cancels what is left.
    ///
    /// # Panics
    ///
    /// With a task's panic, or if a task was cancelled; the others are cancelled then.
    pub async fn join_all(mut self) -> Vec<T> {
        let mut outputs = Vec::with_capacity(self.len());
        while let Some(result) = self.join_next().await {
            outputs.push(output_of(result, "JoinSet::join_all"));
        }
        outputs
    }

    /// Cancels all tasks and waits until they have ended. Their outputs are dropped, and panics
    /// reported as of any task that nobody awaited. Cancel safe: call it again.
    pub async fn shutdown(&mut self) {
        self.abort_all();
        while let Some(end) = self.join_next().await {
            if let Err(error) = end {
                report_unread(error);
            }
        }
    }

    pub(crate) fn poll_ended(
        &mut self,
        cx: &Context<'_>,
    ) -> Poll<Option<(Id, Result<T, JoinError>)>> {
        match self.ended.pop_front() {
            Some(ended) => Poll::Ready(Some(ended)),
            None => self.running.poll_next(cx).map(|next| next.map(|end| (end.id, end.result))),
        }
    }

    fn take_ended(&mut self) -> Option<(Id, Result<T, JoinError>)> {
        self.ended.pop_front().or_else(|| self.running.try_next().map(|end| (end.id, end.result)))
    }

    /// Moves the next task that has ended among those to be taken; `None` if none is running.
    pub(crate) fn poll_collect(&mut self, cx: &Context<'_>) -> Poll<Option<&Result<T, JoinError>>> {
        match self.running.poll_next(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Ready(Some(end)) => {
                self.ended.push_back((end.id, end.result));
                Poll::Ready(self.ended.back().map(|(_, result)| result))
            }
        }
    }

    /// What [`poll_collect`](Self::poll_collect) has moved.
    pub(crate) fn collected(&self) -> impl Iterator<Item = &Result<T, JoinError>> {
        self.ended.iter().map(|(_, result)| result)
    }

    pub(crate) fn take_collected(&mut self) -> Vec<Result<T, JoinError>> {
        self.ended.drain(..).map(|(_, result)| result).collect()
    }
}

fn with_id<T>((id, result): (Id, Result<T, JoinError>)) -> Result<(Id, T), JoinError> {
    result.map(|output| (id, output))
}

impl<T> Default for JoinSet<T> {
    fn default() -> JoinSet<T> {
        JoinSet::new()
    }
}

impl<F> FromIterator<F> for JoinSet<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    /// Spawns every future.
    ///
    /// # Panics
    ///
    /// If no loop is running on this thread.
    #[track_caller]
    fn from_iter<I: IntoIterator<Item = F>>(futures: I) -> JoinSet<F::Output> {
        let mut set = JoinSet::new();
        for future in futures {
            set.spawn(future);
        }
        set
    }
}

impl<F> Extend<F> for JoinSet<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    #[track_caller]
    fn extend<I: IntoIterator<Item = F>>(&mut self, futures: I) {
        for future in futures {
            self.spawn(future);
        }
    }
}

impl<T> fmt::Debug for JoinSet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinSet")
            .field("running", &self.running)
            .field("ended", &self.ended.len())
            .finish()
    }
}
