//! [`wait()`]: some of a set's tasks, for some time. What has not ended stays alive in the set.
//!
//! What a wait has found is kept in the set until the wait is over, not in the wait: dropped in the
//! middle, it loses nothing.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::structure::join_set::JoinSet;
use crate::task::JoinError;
use crate::time::Sleep;

/// When a [`wait()`] is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitFor {
    /// When at least one task has ended.
    FirstCompleted,
    /// When one has panicked or was cancelled, or all have ended. For tasks that give a `Result`,
    /// [`wait_until`] can also look at that.
    FirstError,
    /// When all have ended.
    All,
}

/// Waits for tasks of a set, no longer than `timeout`, and gives what those that have ended gave,
/// in the order of their ends. The others run on in the set, which can be waited for again. An
/// empty set is done at once.
///
/// Cancel safe: dropped in the middle, it leaves in the set what it has found.
///
/// # Panics
///
/// If there is a timeout and no loop is running on this thread.
///
/// # Examples
///
/// ```
/// use wheelhouse::structure::{JoinSet, WaitFor, wait};
/// use wheelhouse::time::{Duration, sleep};
/// # wheelhouse::run(async {
/// let mut set: JoinSet<u32> = JoinSet::new();
/// set.spawn(async { 1 });
/// set.spawn(async { sleep(Duration::from_millis(2)).await; 2 });
///
/// let done = wait(&mut set, WaitFor::FirstCompleted, None).await;
/// assert_eq!(done.len(), 1);
/// assert_eq!(set.len(), 1, "the loser is alive");
/// let rest = wait(&mut set, WaitFor::All, Some(Duration::from_secs(1))).await;
/// assert_eq!(rest.into_iter().next().unwrap().unwrap(), 2);
/// # });
/// ```
#[track_caller]
pub fn wait<T: 'static>(
    set: &mut JoinSet<T>,
    wait_for: WaitFor,
    timeout: Option<Duration>,
) -> Wait<'_, T> {
    let is_last: IsLast<T> = match wait_for {
        WaitFor::FirstCompleted => |_| true,
        WaitFor::FirstError => Result::is_err,
        WaitFor::All => |_| false,
    };
    Wait(wait_until(set, is_last, timeout))
}

/// As [`wait()`], until `is_last` says so of a task that has ended, or all have ended.
///
/// # Panics
///
/// If there is a timeout and no loop is running on this thread.
///
/// # Examples
///
/// ```
/// # use wheelhouse::structure::{JoinSet, wait_until};
/// # wheelhouse::run(async {
/// let mut set: JoinSet<Result<u32, String>> = JoinSet::new();
/// set.spawn(async { Ok(1) });
/// set.spawn(async { Err("no".to_owned()) });
/// set.spawn(std::future::pending());
/// let failed = |end: &Result<Result<u32, String>, _>| !matches!(end, Ok(Ok(_)));
/// assert_eq!(wait_until(&mut set, failed, None).await.len(), 2);
/// # });
/// ```
#[track_caller]
pub fn wait_until<T, P>(
    set: &mut JoinSet<T>,
    is_last: P,
    timeout: Option<Duration>,
) -> WaitUntil<'_, T, P>
where
    T: 'static,
    P: FnMut(&Result<T, JoinError>) -> bool,
{
    // Not `map`: the message is to name the caller.
    let mut sleep_or_none = None;
    if let Some(timeout) = timeout {
        sleep_or_none = Some(Sleep::after(timeout, "wait"));
    }
    WaitUntil { set, is_last, sleep: sleep_or_none, has_looked: false, is_over: false }
}

/// The future of [`wait()`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct Wait<'a, T: 'static>(WaitUntil<'a, T, IsLast<T>>);

/// Whether an end is the one that is waited for.
type IsLast<T> = fn(&Result<T, JoinError>) -> bool;

impl<T> Future for Wait<'_, T> {
    type Output = Vec<Result<T, JoinError>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx)
    }
}

/// The future of [`wait_until`].
#[must_use = "futures do nothing unless awaited"]
pub struct WaitUntil<'a, T: 'static, P> {
    set: &'a mut JoinSet<T>,
    is_last: P,
    sleep: Option<Sleep>,
    /// It has seen what earlier waits, dropped in the middle, have left.
    has_looked: bool,
    /// It has found what it waits for.
    is_over: bool,
}

// The closure is called, never pinned.
impl<T, P> Unpin for WaitUntil<'_, T, P> {}

impl<T, P> Future for WaitUntil<'_, T, P>
where
    P: FnMut(&Result<T, JoinError>) -> bool,
{
    type Output = Vec<Result<T, JoinError>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if !std::mem::replace(&mut this.has_looked, true) {
            this.is_over = this.set.collected().any(&mut this.is_last);
        }
        // All that have ended by now are taken along, also behind the one that ends the wait.
        loop {
            match this.set.poll_collect(cx) {
                Poll::Ready(Some(end)) => this.is_over |= (this.is_last)(end),
                Poll::Ready(None) => {
                    this.is_over = true;
                    break;
                }
                Poll::Pending => break,
            }
        }
        let is_late = match &mut this.sleep {
            Some(sleep) if !this.is_over => Pin::new(sleep).poll(cx).is_ready(),
            _ => false,
        };
        if this.is_over || is_late {
            return Poll::Ready(this.set.take_collected());
        }
        Poll::Pending
    }
}

impl<T, P> fmt::Debug for WaitUntil<'_, T, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitUntil").field("set", &self.set).field("sleep", &self.sleep).finish()
    }
}
