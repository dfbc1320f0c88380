//! The door for other threads: [`Handle`] and what it gives back, [`RemoteHandle`].

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use pin_project_lite::pin_project;

use crate::current;
use crate::debug::tree::TaskTree;
use crate::inbox::{Chore, Message};
use crate::remote::Remote;
use crate::reply::{Reply, ReplySender, reply};
use crate::table::Key;
use crate::task::JoinError;
use crate::task::table::{About, Kind};

/// A way to a loop from any thread: spawn on it, have it call something, stop it. Cheap to clone;
/// it does not keep the loop alive. It does keep two of its descriptors open (the selector's and
/// the one that wakes it), as do wakers and join handles: let go of those that outlive their loop
/// where loops come and go.
///
/// # Examples
///
/// ```
/// use wheelhouse_runtime::{EventLoop, Handle};
/// let event_loop = EventLoop::new()?;
/// let handle: Handle = event_loop.handle();
/// let worker = std::thread::spawn(move || {
///     let answer = handle.spawn(|| async { 42 });
///     let answer = answer.wait().unwrap();
///     handle.stop();
///     answer
/// });
/// event_loop.run_forever();
/// assert_eq!(worker.join().unwrap(), 42);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct Handle {
    remote: Arc<Remote>,
}

impl Handle {
    pub(crate) fn new(remote: Arc<Remote>) -> Handle {
        Handle { remote }
    }

    /// The handle of this thread's loop.
    ///
    /// # Panics
    ///
    /// If no loop is running on this thread.
    #[track_caller]
    pub fn current() -> Handle {
        Handle { remote: current::expect("Handle::current").remote.clone() }
    }

    /// The handle of this thread's loop, if one is running here.
    pub fn try_current() -> Option<Handle> {
        current::get().map(|state| Handle { remote: state.remote.clone() })
    }

    /// Asks the loop for its tasks and what each waits for, as [`EventLoop::dump`] does on its own
    /// thread. The loop answers in its next turn.
    ///
    /// [`EventLoop::dump`]: crate::EventLoop::dump
    #[track_caller]
    pub fn dump(&self) -> RemoteHandle<TaskTree> {
        self.spawn(|| async { current::expect("Handle::dump").dump() })
    }

    /// Has the loop call `make` and run the future it makes, which need not be `Send`. Nothing is
    /// lost: on a closed loop the handle gives [`JoinError::is_closed`].
    #[track_caller]
    pub fn spawn<M, F>(&self, make: M) -> RemoteHandle<F::Output>
    where
        M: FnOnce() -> F + Send + 'static,
        F: Future + 'static,
        F::Output: Send + 'static,
    {
        let (sender, answer) = reply();
        let target = Arc::new(Mutex::new(Target::OnItsWay));
        let delivery = Delivery {
            remote: self.remote.clone(),
            sender: Some(sender),
            target: target.clone(),
            location: Location::caller(),
        };
        let call = Box::new(move || delivery.arrive(make));
        // A closed loop gives the call back, and dropping it answers.
        let refused = self.remote.post(Message::Call(call));
        drop(refused);
        RemoteHandle { remote: self.remote.clone(), answer, target }
    }

    /// Has the loop call `call`, in the order in which this and its like were sent
    /// (`call_soon_threadsafe`).
    ///
    /// # Errors
    ///
    /// [`LoopClosed`] if the loop is gone; then `call` was dropped.
    pub fn call_soon(&self, call: impl FnOnce() + Send + 'static) -> Result<(), LoopClosed> {
        let posted = self.remote.post(Message::Call(Box::new(call)));
        posted.map_err(|_call| LoopClosed { label: self.remote.label() })
    }

    /// Ends `run_forever` after the turn under way. A loop that is not in `run_forever` leaves its
    /// next one at once; for one that is gone there is nothing to stop.
    pub fn stop(&self) {
        self.remote.post_chore(Chore::Stop);
    }

    /// Whether the loop is gone.
    pub fn is_closed(&self) -> bool {
        self.remote.is_closed()
    }

    /// The name that the loop was built with, or an empty one.
    pub fn name(&self) -> &str {
        &self.remote.name
    }

    /// Whether this is the process that made the loop.
    pub(crate) fn is_at_home(&self) -> bool {
        self.remote.is_at_home()
    }

    /// The loop in words, for messages.
    pub(crate) fn label(&self) -> String {
        self.remote.label()
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handle({})", self.remote.label())
    }
}

/// The loop is closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoopClosed {
    label: String,
}

impl fmt::Display for LoopClosed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is closed", self.label)
    }
}

impl std::error::Error for LoopClosed {}

/// Where a remote task is.
enum Target {
    OnItsWay,
    /// Cancelled before it arrived.
    Cancelled,
    Spawned(Key),
}

/// What travels to the loop beside the closure that makes the future.
struct Delivery<T> {
    remote: Arc<Remote>,
    sender: Option<ReplySender<T>>,
    target: Arc<Mutex<Target>>,
    location: &'static Location<'static>,
}

impl<T> Delivery<T> {
    /// On the loop, in stage 7: makes the future and spawns it.
    fn arrive<M, F>(mut self, make: M)
    where
        M: FnOnce() -> F,
        F: Future<Output = T> + 'static,
        T: 'static,
    {
        let Some(state) = current::of(self.remote.id) else { return };
        if matches!(*lock(&self.target), Target::Cancelled) {
            self.answer(Err(JoinError::cancelled(None)));
            return;
        }
        let future = match catch_unwind(AssertUnwindSafe(make)) {
            Ok(future) => future,
            Err(payload) => {
                self.answer(Err(JoinError::panicked(None, payload)));
                return;
            }
        };
        let target = self.target.clone();
        let about = About::new(Kind::Task, self.location, Key::NONE);
        let Ok(key) = state.insert_task(Remoted { future, delivery: self }, about) else { return };
        drop(state.tasks.detach(key));
        let before = std::mem::replace(&mut *lock(&target), Target::Spawned(key));
        if matches!(before, Target::Cancelled) {
            state.cancel(key);
        }
    }

    fn answer(&mut self, result: Result<T, JoinError>) {
        if let Some(sender) = self.sender.take() {
            sender.give(result);
        }
    }
}

impl<T> Drop for Delivery<T> {
    /// Dropped without an answer: the loop closed, or the task was cancelled.
    fn drop(&mut self) {
        if self.sender.is_some() {
            let is_closed = self.remote.is_closed();
            let error = if is_closed { JoinError::closed } else { JoinError::cancelled };
            self.answer(Err(error(None)));
        }
    }
}

pin_project! {
    /// The task of a remote spawn: runs the future and answers.
    struct Remoted<F: Future> {
        #[pin]
        future: F,
        delivery: Delivery<F::Output>,
    }
}

impl<F: Future> Future for Remoted<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        let future = this.future;
        match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(output)) => this.delivery.answer(Ok(output)),
            Err(payload) => this.delivery.answer(Err(JoinError::panicked(None, payload))),
        }
        Poll::Ready(())
    }
}

/// A task that runs on a loop of another thread: await it on any executor, or [`wait`](Self::wait)
/// for it on a thread. Dropping it detaches the task.
///
/// Awaiting is cancel safe. It panics when polled again after it has given its result.
pub struct RemoteHandle<T> {
    remote: Arc<Remote>,
    answer: Reply<T>,
    target: Arc<Mutex<Target>>,
}

impl<T> RemoteHandle<T> {
    /// Blocks this thread until the task has ended.
    ///
    /// # Errors
    ///
    /// [`JoinError`] if the task panicked, was cancelled, or its loop was closed.
    ///
    /// # Panics
    ///
    /// On the loop's own thread, where it could never end, unless the loop is closed.
    #[track_caller]
    pub fn wait(self) -> Result<T, JoinError> {
        self.forbid_own_thread("wait");
        match self.answer.wait(None) {
            Some(result) => result,
            None => Err(JoinError::cancelled(None)),
        }
    }

    /// As [`wait`](Self::wait), but no longer than `timeout`; then the handle comes back.
    ///
    /// # Errors
    ///
    /// The handle itself if the time is over.
    ///
    /// # Panics
    ///
    /// On the loop's own thread, unless the loop is closed.
    #[track_caller]
    pub fn wait_timeout(self, timeout: Duration) -> Result<Result<T, JoinError>, RemoteHandle<T>> {
        self.forbid_own_thread("wait_timeout");
        let deadline = Instant::now().checked_add(timeout);
        self.answer.wait(deadline).ok_or(self)
    }

    /// Cancels the task, as [`JoinHandle::cancel`](crate::task::JoinHandle::cancel).
    pub fn cancel(&self) {
        let mut target = lock(&self.target);
        match *target {
            Target::OnItsWay => *target = Target::Cancelled,
            Target::Cancelled => {}
            Target::Spawned(key) => {
                drop(target);
                match current::of(self.remote.id) {
                    Some(state) => state.cancel(key),
                    None => self.remote.post_chore(Chore::CancelTask(key)),
                }
            }
        }
    }

    /// Whether the result is there.
    pub fn is_finished(&self) -> bool {
        self.answer.is_given()
    }

    #[track_caller]
    fn forbid_own_thread(&self, what: &str) {
        assert!(
            std::thread::current().id() != self.remote.thread || self.remote.is_closed(),
            "`RemoteHandle::{what}` was called on the thread of {}, which has to run the task: it \
             would wait for ever. Use `.await`.",
            self.remote.label()
        );
    }
}

impl<T> Future for RemoteHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.answer).poll(cx)
    }
}

impl<T> fmt::Debug for RemoteHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteHandle")
            .field("on", &self.remote)
            .field("is_finished", &self.is_finished())
            .finish()
    }
}

fn lock(target: &Mutex<Target>) -> std::sync::MutexGuard<'_, Target> {
    target.lock().unwrap_or_else(PoisonError::into_inner)
}
