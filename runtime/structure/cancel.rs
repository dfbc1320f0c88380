//! [`CancelToken`]: a request to stop, seen by everybody who holds the token or a child of it.
//!
//! It knows no loop: it may be cancelled and awaited on any thread and under any executor, so it is
//! kept under locks, one a token, never two at once. Wakers are called, cloned and dropped outside
//! them. Trees may be deep: nothing here recurses.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::structure::waiting::{Place, Waiting, wake_all};

/// A request to stop. Clones are the same token; a [`child`](Self::child) is cancelled with its
/// parent, but not the other way round.
///
/// It is a soft signal: whoever looks at it ends in its own way. To end a task whatever it does,
/// cancel its handle.
///
/// # Examples
///
/// ```
/// use wheelhouse::{CancelToken, spawn};
/// # wheelhouse::run(async {
/// let stop = CancelToken::new();
/// let request = stop.child();
/// let task = spawn(async move {
///     request.cancelled().await;
///     "tidied up"
/// });
/// std::thread::spawn(move || stop.cancel());
/// assert_eq!(task.await.unwrap(), "tidied up");
/// # });
/// ```
#[derive(Clone)]
pub struct CancelToken {
    node: Arc<Node>,
}

struct Node {
    /// Set under the lock, and never unset: whoever only asks takes no lock.
    is_cancelled: AtomicBool,
    state: Mutex<State>,
    /// Kept alive by its children, so that a request passes through a token that nobody holds any
    /// more.
    parent: Option<Arc<Node>>,
    /// Which of the parent's children it is.
    number: u64,
}

#[derive(Default)]
struct State {
    waiting: Waiting,
    /// In the order in which they were made.
    children: BTreeMap<u64, Weak<Node>>,
    last_child: u64,
}

impl CancelToken {
    /// A token that is nobody's child.
    pub fn new() -> CancelToken {
        CancelToken { node: Arc::new(Node::new(None, 0, false)) }
    }

    /// A token that is cancelled with this one, and may be cancelled alone.
    pub fn child(&self) -> CancelToken {
        let parent = &self.node;
        let mut state = parent.lock();
        if parent.is_cancelled() {
            drop(state);
            return CancelToken { node: Arc::new(Node::new(None, 0, true)) };
        }
        state.last_child += 1;
        let number = state.last_child;
        let node = Arc::new(Node::new(Some(parent.clone()), number, false));
        state.children.insert(number, Arc::downgrade(&node));
        drop(state);
        CancelToken { node }
    }

    /// Cancels this token and all below it, for good, and then wakes who waits for that. From any
    /// thread.
    pub fn cancel(&self) {
        let mut to_cancel = VecDeque::from([self.node.clone()]);
        let mut to_wake = Vec::new();
        while let Some(node) = to_cancel.pop_front() {
            let mut state = node.lock();
            node.is_cancelled.store(true, Ordering::Release);
            to_wake.extend(state.waiting.take());
            let children = std::mem::take(&mut state.children);
            drop(state);
            to_cancel.extend(children.values().filter_map(Weak::upgrade));
        }
        // Whoever hears of one token finds all of them cancelled.
        wake_all(to_wake.into_iter());
    }

    /// Whether it was cancelled. It takes no lock, and may be asked as often as one likes.
    #[inline]
    pub fn is_cancelled(&self) -> bool {
        self.node.is_cancelled()
    }

    /// Waits until it is cancelled. The future holds the token, borrows nothing, and is cancel
    /// safe.
    pub fn cancelled(&self) -> Cancelled {
        Cancelled { token: self.clone(), place: Place::default() }
    }

    /// Runs `future` until it is ready, or the token is cancelled: then it is dropped, and `None`
    /// comes out. On a token that is cancelled already it is never polled; later, a future that is
    /// ready wins. Cancel safe where `future` is.
    ///
    /// # Examples
    ///
    /// ```
    /// # use wheelhouse::CancelToken;
    /// # wheelhouse::run(async {
    /// let token = CancelToken::new();
    /// assert_eq!(token.run_until_cancelled(async { 42 }).await, Some(42));
    /// token.cancel();
    /// assert_eq!(token.run_until_cancelled(async { 42 }).await, None);
    /// # });
    /// ```
    pub fn run_until_cancelled<F: IntoFuture>(
        &self,
        future: F,
    ) -> RunUntilCancelled<F::IntoFuture> {
        RunUntilCancelled {
            cancelled: self.cancelled(),
            future: future.into_future(),
            has_begun: false,
        }
    }

    /// Cancels the token when the guard is dropped.
    pub fn drop_guard(self) -> DropGuard {
        DropGuard { token: Some(self) }
    }
}

impl Node {
    fn new(parent: Option<Arc<Node>>, number: u64, is_cancelled: bool) -> Node {
        let is_cancelled = AtomicBool::new(is_cancelled);
        Node { is_cancelled, state: Mutex::default(), parent, number }
    }

    #[inline]
    fn is_cancelled(&self) -> bool {
        self.is_cancelled.load(Ordering::Acquire)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic runs under the lock but an allocation that fails.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let Some(parent) = self.parent.take() else { return };
        parent.lock().children.remove(&self.number);
        // A long line of tokens that only hold each other goes one after the other, not one inside
        // the other.
        let mut last = Arc::into_inner(parent);
        while let Some(mut node) = last {
            let parent = node.parent.take();
            if let Some(parent) = &parent {
                parent.lock().children.remove(&node.number);
            }
            drop(node);
            last = parent.and_then(Arc::into_inner);
        }
    }
}

impl Default for CancelToken {
    fn default() -> CancelToken {
        CancelToken::new()
    }
}

impl fmt::Debug for CancelToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelToken").field("is_cancelled", &self.is_cancelled()).finish()
    }
}

/// The future of [`CancelToken::cancelled`].
#[must_use = "futures do nothing unless awaited"]
pub struct Cancelled {
    token: CancelToken,
    place: Place,
}

impl Future for Cancelled {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let state = this.token.node.lock();
        if this.token.is_cancelled() {
            return Poll::Ready(());
        }
        if state.waiting.holds(&this.place, cx.waker()) {
            return Poll::Pending;
        }
        drop(state);
        let waker = cx.waker().clone();
        let mut state = this.token.node.lock();
        if this.token.is_cancelled() {
            drop(state);
            return Poll::Ready(());
        }
        let before = state.waiting.keep(&mut this.place, waker);
        drop(state);
        drop(before);
        Poll::Pending
    }
}

impl Drop for Cancelled {
    fn drop(&mut self) {
        let waker = self.token.node.lock().waiting.remove(&self.place);
        drop(waker);
    }
}

impl fmt::Debug for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cancelled").field(&self.token).finish()
    }
}

pin_project! {
    /// The future of [`CancelToken::run_until_cancelled`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless awaited"]
    pub struct RunUntilCancelled<F> {
        #[pin]
        cancelled: Cancelled,
        #[pin]
        future: F,
        has_begun: bool,
    }
}

impl<F: Future> Future for RunUntilCancelled<F> {
    type Output = Option<F::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if !std::mem::replace(this.has_begun, true) && this.cancelled.token.is_cancelled() {
            return Poll::Ready(None);
        }
        if let Poll::Ready(output) = this.future.poll(cx) {
            return Poll::Ready(Some(output));
        }
        this.cancelled.poll(cx).map(|()| None)
    }
}

/// Cancels its token when dropped: from [`CancelToken::drop_guard`].
#[derive(Debug)]
#[must_use = "the token is cancelled when the guard is dropped"]
pub struct DropGuard {
    token: Option<CancelToken>,
}

impl DropGuard {
    /// The token, which is not cancelled any more when this goes.
    pub fn disarm(mut self) -> CancelToken {
        self.token.take().unwrap_or_default()
    }
}

impl Drop for DropGuard {
    fn drop(&mut self) {
        if let Some(token) = &self.token {
            token.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_keeps_nothing_of_children_that_are_gone() {
        let root = CancelToken::new();
        let kept = root.child();
        for _ in 0..3 {
            // The middle one goes with the last.
            drop(root.child().child());
        }
        drop(root.cancelled());
        let state = root.node.lock();
        assert_eq!(state.children.len(), 1);
        drop(state);
        assert!(!kept.is_cancelled());
    }
}
