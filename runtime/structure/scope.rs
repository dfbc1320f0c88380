//! [`scope()`]: children that borrow from their parent.
//!
//! They are polled in the parent's task, so the borrow checker sees that they end before what they
//! borrow; no promise of ours is needed. Each has a waker of its own, and a poll of the scope polls
//! those that were woken, in the order of their wakes, each at most once. The body is the first
//! child.
//!
//! The children stand in a table that the scope and its clones share. A child may hold a clone, and
//! so hold itself: what breaks that circle is the end of the scope, which takes the children out of
//! the table, whatever ends it. No foreign code runs while the table is borrowed.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::debug::report;
use crate::structure::ready::ReadyList;
use crate::table::{Key, Table};
use crate::task::JoinError;
use crate::task::cell::Payload;

/// Runs `body` and the children that it spawns through the [`Scope`], and is ready when all of them
/// have ended. They are polled in this task and may borrow whatever outlives the call.
///
/// A panic of the body or a child drops the others and goes on here. Dropped in the middle, it
/// drops all children at once, in the order of their spawns, and then the body. Cancel safe where
/// they are.
///
/// The future is not `Send`: its children need not be.
///
/// # Panics
///
/// With the panic of the body or a child.
///
/// # Examples
///
/// ```
/// use wheelhouse::scope;
/// use wheelhouse::time::{Duration, sleep};
/// # wheelhouse::run(async {
/// let mut words = [String::from("one"), String::from("two")];
/// let count = scope(async |s| {
///     for word in &mut words {
///         s.spawn(async move {
///             sleep(Duration::from_micros(10)).await;
///             word.push('!');
///         });
///     }
///     2
/// })
/// .await;
/// assert_eq!(words, ["one!", "two!"]);
/// assert_eq!(count, 2);
/// # });
/// ```
///
/// What does not outlive the call cannot be borrowed:
///
/// ```compile_fail
/// # async fn example() {
/// wheelhouse::scope(async |s| {
///     let short = String::from("gone before the child");
///     s.spawn(async { println!("{short}") });
/// })
/// .await;
/// # }
/// ```
pub async fn scope<'env, T, F>(body: F) -> T
where
    F: AsyncFnOnce(Scope<'env>) -> T,
{
    let scope = Scope::new();
    let body_key = scope.state.children.borrow_mut().insert(Child::default());
    let body_waker = scope.state.list.waker(body_key);
    scope.state.list.push_quietly(body_key);
    let mut output = None;
    let mut body = pin!(Some(body(scope.clone())));
    // Declared last, so dropped first: the children go before the body.
    let ending = Ending { state: &scope.state };
    poll_fn(|cx| {
        ending.state.poll(cx, |key| {
            if key != body_key {
                return false;
            }
            let Some(running) = body.as_mut().as_pin_mut() else { return true };
            if let Poll::Ready(ready) = running.poll(&mut Context::from_waker(&body_waker)) {
                body.set(None);
                output = Some(ready);
                ending.state.remove(body_key);
            }
            true
        })
    })
    .await;
    drop(ending);
    match output {
        Some(output) => output,
        None => unreachable!("a scope is over when its body is"),
    }
}

/// Spawns children of a [`scope()`]. Clones are the same scope, and may be moved into children.
pub struct Scope<'env> {
    state: Rc<State<'env>>,
}

struct State<'env> {
    children: RefCell<Table<Child<'env>>>,
    list: Arc<ReadyList>,
    /// What a child panicked with.
    panic: RefCell<Option<Payload>>,
    is_over: Cell<bool>,
}

#[derive(Default)]
struct Child<'env> {
    /// Lent to the poll; the body's is not here.
    running: Option<Running<'env>>,
    is_cancelled: bool,
}

struct Running<'env> {
    future: Pin<Box<dyn Future<Output = ()> + 'env>>,
    waker: Waker,
}

impl<'env> Scope<'env> {
    fn new() -> Scope<'env> {
        let state = State {
            children: RefCell::default(),
            list: Arc::default(),
            panic: RefCell::default(),
            is_over: Cell::new(false),
        };
        Scope { state: Rc::new(state) }
    }

    /// Adds a child. It is first polled after what is ready now. Dropping the handle lets it run
    /// on.
    ///
    /// In a scope that is over, or is being dropped, the child is dropped at once, and its handle
    /// gives [`JoinError::is_cancelled`].
    pub fn spawn<F>(&self, future: F) -> ScopedJoinHandle<'env, F::Output>
    where
        F: Future + 'env,
        F::Output: 'env,
    {
        let slot = Rc::new(Slot { stage: RefCell::new(Stage::Running(None)) });
        let giver = Giver { slot: slot.clone() };
        let child = async move {
            // Made inside, so that it is dropped after the future.
            let giver = giver;
            let output = future.await;
            giver.slot.end(Stage::Ended(Ok(output)));
        };
        let mut handle = ScopedJoinHandle { slot, state: self.state.clone(), key: Key::NONE };
        if self.state.is_over.get() {
            drop(child);
            return handle;
        }
        let future = Box::pin(child);
        handle.key = self.state.children.borrow_mut().insert_with(|key| {
            let waker = self.state.list.waker(key);
            Child { running: Some(Running { future, waker }), is_cancelled: false }
        });
        self.state.list.push(handle.key);
        handle
    }
}

impl<'env> State<'env> {
    /// Polls what was ready when this began. `poll_body` polls the body if the key is its own.
    fn poll(&self, cx: &Context<'_>, mut poll_body: impl FnMut(Key) -> bool) -> Poll<()> {
        self.list.set_parent(cx.waker());
        for _ in 0..self.list.len() {
            let Some(key) = self.list.pop() else { break };
            if !poll_body(key) {
                self.poll_child(key);
            }
            if let Some(payload) = self.panic.take() {
                resume_unwind(payload);
            }
        }
        // Who was added or woken meanwhile has woken this task again: the loop and the rest of the
        // task go first.
        if self.children.borrow().len() == 0 { Poll::Ready(()) } else { Poll::Pending }
    }

    fn poll_child(&self, key: Key) {
        let lent = self.children.borrow_mut().get_mut(key).and_then(|child| {
            let running = child.running.take()?;
            Some((running, child.is_cancelled))
        });
        let Some((mut running, is_cancelled)) = lent else { return };
        let is_over = is_cancelled || {
            let cx = &mut Context::from_waker(&running.waker);
            let poll = || running.future.as_mut().poll(cx);
            match catch_unwind(AssertUnwindSafe(poll)) {
                Ok(polled) => polled.is_ready(),
                Err(payload) => {
                    self.note_panic(payload);
                    true
                }
            }
        };
        if is_over {
            self.remove(key);
            self.drop_caught(running);
        } else if let Some(child) = self.children.borrow_mut().get_mut(key) {
            child.running = Some(running);
        }
    }

    fn drop_caught(&self, running: Running<'env>) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(running))) {
            self.note_panic(payload);
        }
    }

    /// The first panic goes on in the parent, the others are reported.
    fn note_panic(&self, payload: Payload) {
        if self.panic.borrow().is_some() || self.is_over.get() {
            return report::foreign_panic("a child of a scope", payload);
        }
        self.panic.replace(Some(payload));
    }

    fn remove(&self, key: Key) {
        let child = self.children.borrow_mut().remove(key);
        drop(child);
    }
}

/// The end of a scope, however it comes: takes the children out and drops them.
struct Ending<'a, 'env> {
    state: &'a State<'env>,
}

impl Drop for Ending<'_, '_> {
    fn drop(&mut self) {
        self.state.is_over.set(true);
        let mut children = self.state.children.take();
        let mut keys: Vec<Key> = children.iter().map(|(key, _)| key).collect();
        // Keys are ordered as they were made.
        keys.sort_unstable();
        for key in keys {
            if let Some(running) = children.remove(key).and_then(|child| child.running) {
                self.state.drop_caught(running);
            }
        }
    }
}

impl Clone for Scope<'_> {
    fn clone(&self) -> Self {
        Scope { state: self.state.clone() }
    }
}

impl fmt::Debug for Scope<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").field("children", &self.state.children.borrow().len()).finish()
    }
}

/// A child's output on its way to the handle.
struct Slot<T> {
    stage: RefCell<Stage<T>>,
}

enum Stage<T> {
    Running(Option<Waker>),
    Ended(Result<T, JoinError>),
    Taken,
}

impl<T> Slot<T> {
    fn end(&self, stage: Stage<T>) {
        if !matches!(*self.stage.borrow(), Stage::Running(_)) {
            return;
        }
        if let Stage::Running(Some(waker)) = self.stage.replace(stage) {
            waker.wake();
        }
    }
}

/// The child's end of its slot: dropped without an output, the child was cancelled.
struct Giver<T> {
    slot: Rc<Slot<T>>,
}

impl<T> Drop for Giver<T> {
    fn drop(&mut self) {
        self.slot.end(Stage::Ended(Err(JoinError::cancelled(None))));
    }
}

/// A child of a [`scope()`]: await it for its output, inside the scope. Dropping it lets the child
/// run on.
///
/// Cancel safe: the output stays until a poll returns it.
///
/// # Errors
///
/// [`JoinError::is_cancelled`] if the child was cancelled. Its panic never comes out here: it ends
/// the scope.
///
/// # Panics
///
/// When polled again after it has given the output.
pub struct ScopedJoinHandle<'env, T> {
    slot: Rc<Slot<T>>,
    state: Rc<State<'env>>,
    key: Key,
}

impl<T> ScopedJoinHandle<'_, T> {
    /// Has the child dropped when the scope is polled next, never inside this call. One that has
    /// ended keeps its output.
    pub fn cancel(&self) {
        let found = match self.state.children.borrow_mut().get_mut(self.key) {
            Some(child) => {
                child.is_cancelled = true;
                true
            }
            None => false,
        };
        if found {
            self.state.list.push(self.key);
        }
    }

    /// Whether the child has ended.
    pub fn is_finished(&self) -> bool {
        !matches!(*self.slot.stage.borrow(), Stage::Running(_))
    }
}

impl<T> Future for ScopedJoinHandle<'_, T> {
    type Output = Result<T, JoinError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // Cloned before the borrow: a waker is foreign code.
        let waker = cx.waker().clone();
        let mut stage = self.slot.stage.borrow_mut();
        let before = match &mut *stage {
            Stage::Running(kept) => kept.replace(waker),
            Stage::Ended(_) => {
                let Stage::Ended(result) = std::mem::replace(&mut *stage, Stage::Taken) else {
                    unreachable!("it was looked at just now")
                };
                return Poll::Ready(result);
            }
            Stage::Taken => {
                panic!("a `ScopedJoinHandle` was polled after it had given its output")
            }
        };
        drop(stage);
        drop(before);
        Poll::Pending
    }
}

impl<T> fmt::Debug for ScopedJoinHandle<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScopedJoinHandle").field("is_finished", &self.is_finished()).finish()
    }
}
