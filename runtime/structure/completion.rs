//! [`completion()`]: a value that somebody gives later, once, and that any number await. asyncio's
//! bare `Future`.
//!
//! That it is given once is in the types: giving it takes the [`Completer`]. Both ends stay on
//! their thread and need no loop; the way from other threads is a [`RemoteCompleter`], behind which
//! a small task of the loop holds the local end.

use std::cell::{OnceCell, RefCell};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::reply::{ReplySender, reply};
use crate::structure::waiting::{Place, Waiting, wake_all};
use crate::task::Builder;

/// Makes a value to come: one end gives it, the other and its clones await it.
///
/// # Examples
///
/// ```
/// use wheelhouse::{completion, spawn};
/// # wheelhouse::run(async {
/// let (completer, answer) = completion::<u32>();
/// let also = answer.clone();
/// let task = spawn(async move { also.await.unwrap() + 1 });
/// completer.complete(41);
/// assert_eq!(answer.await, Ok(41));
/// assert_eq!(task.await.unwrap(), 42);
/// # });
/// ```
pub fn completion<T>() -> (Completer<T>, Completion<T>) {
    let state = Rc::new(State { value: OnceCell::new(), waiting: RefCell::default() });
    (Completer { state: state.clone() }, Completion { state, place: Place::default() })
}

struct State<T> {
    /// Set once, and then only looked at: a value's `clone` is foreign code, and runs with nothing
    /// borrowed for writing.
    value: OnceCell<Result<T, Abandoned>>,
    waiting: RefCell<Waiting>,
}

impl<T> State<T> {
    fn settle(&self, value: Result<T, Abandoned>) {
        // It is set once: the completer is used up by `complete`, and its drop finds a value then.
        if let Err(second) = self.value.set(value) {
            return drop(second);
        }
        let waiting = self.waiting.borrow_mut().take();
        wake_all(waiting);
    }
}

/// Gives the value of a [`Completion`], by being used up. Dropped instead, it leaves [`Abandoned`].
///
/// It stays on its thread, since that is where the value is awaited:
///
/// ```compile_fail,E0277
/// let (completer, _answer) = wheelhouse::completion::<u32>();
/// std::thread::spawn(move || completer.complete(42));
/// ```
///
/// From another thread a [`RemoteCompleter`] gives it:
///
/// ```
/// # wheelhouse::run(async {
/// let (completer, answer) = wheelhouse::completion::<u32>();
/// let completer = completer.remote();
/// std::thread::spawn(move || completer.complete(42));
/// assert_eq!(answer.await, Ok(42));
/// # });
/// ```
#[must_use = "dropped, it abandons those who wait"]
pub struct Completer<T> {
    state: Rc<State<T>>,
}

impl<T> Completer<T> {
    /// Gives the value, and wakes all who await it.
    pub fn complete(self, value: T) {
        self.state.settle(Ok(value));
    }

    /// Whether nobody is left who could see the value.
    pub fn is_unwanted(&self) -> bool {
        Rc::strong_count(&self.state) == 1
    }

    /// Makes it one for other threads. A task of this thread's loop waits for the value then, and
    /// ends with it.
    ///
    /// # Panics
    ///
    /// If no loop is running on this thread.
    #[track_caller]
    pub fn remote(self) -> RemoteCompleter<T>
    where
        T: Send + 'static,
    {
        let (sender, answer) = reply();
        let name = Builder::new().name("remote completion");
        drop(name.spawn(async move {
            // Dropped unset there, it is dropped unset here.
            if let Ok(value) = answer.await {
                self.complete(value);
            }
        }));
        RemoteCompleter { sender }
    }
}

impl<T> Drop for Completer<T> {
    fn drop(&mut self) {
        if self.state.value.get().is_none() {
            self.state.settle(Err(Abandoned(())));
        }
    }
}

impl<T> fmt::Debug for Completer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Completer").field("is_unwanted", &self.is_unwanted()).finish()
    }
}

/// Gives the value of a [`Completion`] from any thread: from [`Completer::remote`]. Dropped
/// instead, it leaves [`Abandoned`].
#[must_use = "dropped, it abandons those who wait"]
pub struct RemoteCompleter<T> {
    sender: ReplySender<T>,
}

impl<T> RemoteCompleter<T> {
    /// Gives the value through the loop's inbox. Once the loop is closed it is dropped.
    pub fn complete(self, value: T) {
        self.sender.give(Ok(value));
    }

    /// Whether the loop is closed, and nobody will take the value.
    pub fn is_unwanted(&self) -> bool {
        self.sender.is_unwanted()
    }
}

impl<T> fmt::Debug for RemoteCompleter<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteCompleter").field("is_unwanted", &self.is_unwanted()).finish()
    }
}

/// A value that is to come. Each clone may be awaited, also several times, and gives a clone of it;
/// put what is dear to clone into an `Rc`.
///
/// Cancel safe: the value stays.
///
/// # Errors
///
/// Awaiting it gives [`Abandoned`] if the [`Completer`] was dropped.
#[must_use = "futures do nothing unless awaited"]
pub struct Completion<T> {
    state: Rc<State<T>>,
    place: Place,
}

impl<T> Completion<T> {
    /// Whether the value is there, or will never be.
    pub fn is_complete(&self) -> bool {
        self.state.value.get().is_some()
    }

    /// The value if it is there.
    ///
    /// # Errors
    ///
    /// [`Abandoned`] inside, if the [`Completer`] was dropped.
    pub fn get(&self) -> Option<Result<&T, Abandoned>> {
        self.state.value.get().map(|value| value.as_ref().map_err(|abandoned| *abandoned))
    }
}

impl<T: Clone> Future for Completion<T> {
    type Output = Result<T, Abandoned>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Some(value) = this.state.value.get() {
            return Poll::Ready(value.clone());
        }
        if this.state.waiting.borrow().holds(&this.place, cx.waker()) {
            return Poll::Pending;
        }
        // Foreign code, and what it does may be to complete us.
        let waker = cx.waker().clone();
        if let Some(value) = this.state.value.get() {
            return Poll::Ready(value.clone());
        }
        let before = this.state.waiting.borrow_mut().keep(&mut this.place, waker);
        drop(before);
        Poll::Pending
    }
}

impl<T> Clone for Completion<T> {
    fn clone(&self) -> Completion<T> {
        Completion { state: self.state.clone(), place: Place::default() }
    }
}

impl<T> Drop for Completion<T> {
    fn drop(&mut self) {
        let waker = self.state.waiting.borrow_mut().remove(&self.place);
        drop(waker);
    }
}

impl<T> fmt::Debug for Completion<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Completion").field("is_complete", &self.is_complete()).finish()
    }
}

/// Nobody will give the value: its [`Completer`] was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abandoned(());

impl fmt::Display for Abandoned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the completer was dropped without a value")
    }
}

impl std::error::Error for Abandoned {}
