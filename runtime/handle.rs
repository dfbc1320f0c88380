//! The door for other threads: [`Handle`] and what it gives back, [`RemoteHandle`].

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::thread;
use std::time::{Duration, Instant};

use pin_project_lite::pin_project;

use crate::current;
use crate::debug::metrics::Metrics;
use crate::debug::report;
use crate::debug::tree::TaskTree;
use crate::inbox::{Chore, Message};
use crate::remote::Remote;
use crate::reply::{Reply, ReplySender, reply_about};
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
/// use wheelhouse::{EventLoop, Handle};
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

    /// Asks the loop for its counters, as [`EventLoop::metrics`] gives them on its own thread. The
    /// loop answers in its next turn; the task that does so is counted.
    ///
    /// [`EventLoop::metrics`]: crate::EventLoop::metrics
    #[track_caller]
    pub fn metrics(&self) -> RemoteHandle<Metrics> {
        self.spawn(|| async { current::expect("Handle::metrics").metrics() })
    }

    /// Has the loop call `make` and run the future it makes, which need not be `Send`: both in the
    /// new task, in the order in which this and [`call_soon`](Self::call_soon) were sent. Nothing
    /// is lost: on a closed loop the handle gives [`JoinError::is_closed`].
    #[track_caller]
    pub fn spawn<M, F>(&self, make: M) -> RemoteHandle<F::Output>
    where
        M: FnOnce() -> F + Send + 'static,
        F: Future + 'static,
        F::Output: Send + 'static,
    {
        let (sender, answer) = reply_about(Errand::new(self.remote.clone()));
        let delivery = Delivery { sender: Some(sender) };
        let location = Location::caller();
        let spawn = Box::new(move || delivery.arrive(make, location));
        // A closed loop gives it back, and dropping it answers.
        let refused = self.remote.post(Message::Spawn(spawn));
        drop(refused);
        RemoteHandle { answer }
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

/// What the two sides of a remote spawn know of it beside the reply.
struct Errand {
    remote: Arc<Remote>,
    target: Mutex<Target>,
}

/// Where a remote task is.
enum Target {
    OnItsWay,
    /// Cancelled before it began.
    Cancelled,
    /// From its first poll on.
    Begun(Key),
}

impl Errand {
    fn new(remote: Arc<Remote>) -> Errand {
        Errand { remote, target: Mutex::new(Target::OnItsWay) }
    }

    /// The task begins. Whether it may: it was not cancelled.
    fn begin(&self, key: Key) -> bool {
        !matches!(std::mem::replace(&mut *self.target(), Target::Begun(key)), Target::Cancelled)
    }

    /// Cancels what has not begun; a task that has is to be cancelled by its key.
    fn cancel(&self) -> Option<Key> {
        let mut target = self.target();
        match *target {
            Target::Begun(key) => Some(key),
            Target::OnItsWay | Target::Cancelled => {
                *target = Target::Cancelled;
                None
            }
        }
    }

    fn target(&self) -> MutexGuard<'_, Target> {
        self.target.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The answer of a remote task, which is given whatever becomes of the task.
struct Delivery<T> {
    sender: Option<ReplySender<T, Errand>>,
}

impl<T> Delivery<T> {
    /// On the loop, in stage 3: makes a task, which is to make the future. On a loop that is
    /// closing it is cancelled at once, so that all it holds is dropped in stage 7.
    fn arrive<M, F>(self, make: M, location: &'static Location<'static>)
    where
        M: FnOnce() -> F + 'static,
        F: Future<Output = T> + 'static,
        T: 'static,
    {
        let Some(state) = self.errand().and_then(|errand| current::of(errand.remote.id)) else {
            return;
        };
        let task = Remoted { work: Work::Make { make: Some(make) }, delivery: self };
        let key = state.queue_detached(task, About::new(Kind::Task, location, Key::NONE));
        if state.closing.get() {
            state.cancel(key);
        } else {
            state.counters.spawned.add(1);
        }
    }

    /// In the first poll: `false` if it was cancelled before.
    fn begin(&self) -> bool {
        let key = current::get().map_or(Key::NONE, |state| state.polled.key());
        self.errand().is_some_and(|errand| errand.begin(key))
    }

    fn errand(&self) -> Option<&Errand> {
        self.sender.as_ref()?.subject()
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
        if let Some(errand) = self.errand() {
            let is_closed = errand.remote.is_closed();
            let error = if is_closed { JoinError::closed } else { JoinError::cancelled };
            self.answer(Err(error(None)));
        }
    }
}

pin_project! {
    /// The task of a remote spawn: makes the future, runs it and answers.
    struct Remoted<M, F: Future> {
        #[pin]
        work: Work<M, F>,
        delivery: Delivery<F::Output>,
    }

    impl<M, F: Future> PinnedDrop for Remoted<M, F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if let Err(payload) = this.work.end() {
                this.delivery.answer(Err(JoinError::panicked(None, payload)));
            }
        }
    }
}

pin_project! {
    #[project = WorkProjection]
    enum Work<M, F> {
        Make { make: Option<M> },
        Run { #[pin] future: F },
        Ended,
    }
}

impl<M, F> Work<M, F> {
    /// Drops all that is left of it; a panic comes back.
    fn end(self: &mut Pin<&mut Self>) -> thread::Result<()> {
        catch_unwind(AssertUnwindSafe(|| self.set(Work::Ended)))
    }
}

impl<M, F: Future> Future for Remoted<M, F>
where
    M: FnOnce() -> F,
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        let polled = catch_unwind(AssertUnwindSafe(|| {
            if let WorkProjection::Make { make } = this.work.as_mut().project() {
                let make = make.take().filter(|_| this.delivery.begin());
                let Some(make) = make else { return Poll::Ready(None) };
                let future = make();
                this.work.set(Work::Run { future });
            }
            match this.work.as_mut().project() {
                WorkProjection::Run { future } => future.poll(cx).map(Some),
                WorkProjection::Make { .. } | WorkProjection::Ended => Poll::Ready(None),
            }
        }));
        let mut result = match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(Some(output))) => Ok(output),
            // It was cancelled before it began.
            Ok(Poll::Ready(None)) => Err(JoinError::cancelled(None)),
            Err(payload) => Err(JoinError::panicked(None, payload)),
        };
        // Whoever gets the answer finds nothing of the future left.
        match this.work.end() {
            Err(second) if matches!(&result, Err(error) if error.is_panic()) => {
                report::foreign_panic("the drop of a remote task that panicked", second);
            }
            Err(payload) => result = Err(JoinError::panicked(None, payload)),
            Ok(()) => {}
        }
        this.delivery.answer(result);
        Poll::Ready(())
    }
}

/// A task that runs on a loop of another thread: await it on any executor, or [`wait`](Self::wait)
/// for it on a thread. Dropping it detaches the task.
///
/// Awaiting is cancel safe. It panics when polled again after it has given its result.
pub struct RemoteHandle<T> {
    answer: Reply<T, Errand>,
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
        let errand = self.answer.subject();
        let Some(key) = errand.cancel() else { return };
        match current::of(errand.remote.id) {
            Some(state) => state.cancel(key),
            None => errand.remote.post_chore(Chore::CancelTask(key)),
        }
    }

    /// Whether the result is there.
    pub fn is_finished(&self) -> bool {
        self.answer.is_given()
    }

    #[track_caller]
    fn forbid_own_thread(&self, what: &str) {
        let remote = &self.answer.subject().remote;
        assert!(
            std::thread::current().id() != remote.thread || remote.is_closed(),
            "`RemoteHandle::{what}` was called on the thread of {}, which has to run the task: it \
             would wait for ever. Use `.await`.",
            remote.label()
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
            .field("on", &self.answer.subject().remote)
            .field("is_finished", &self.is_finished())
            .finish()
    }
}
