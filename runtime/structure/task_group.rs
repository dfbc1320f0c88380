//! [`TaskGroup`]: tasks that end together, before whoever started them goes on.
//!
//! The group's future owns it: it polls the body, keeps the deadline of a soft end, and is ready
//! when nobody is left. The tasks are the loop's, each with a membership that it drops with its
//! future, so that no way of ending goes unseen. What they share is in `group_state.rs`.

use std::cell::RefCell;
use std::fmt;
use std::future::{Future, pending, poll_fn};
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use pin_project_lite::pin_project;

use crate::blocking::AboutJob;
use crate::current;
use crate::debug::report;
use crate::structure::cancel::{CancelToken, Cancelled};
use crate::structure::group_error::{
    CancelReport, Cause, GroupError, GroupFailure, GroupTask, Outcome,
};
use crate::structure::group_state::{GroupState, Member};
use crate::structure::waiting::Place;
use crate::table::Key;
use crate::task::cell::Payload;
use crate::task::spawn::submit;
use crate::task::{Builder, JoinHandle};
use crate::time::{Instant, Sleep, sleep_until};

/// Tasks that end together. Clones are the same group, and may be moved into its tasks.
///
/// Nothing of a group outlives its [`run`](TaskGroup::run): that waits for all, and when it is
/// dropped in the middle, all are cancelled. The first failure, an `Err` or a panic, cancels the
/// rest.
///
/// # Examples
///
/// ```
/// use std::io;
/// use wheelhouse::TaskGroup;
/// # wheelhouse::run(async {
/// let failed = TaskGroup::run(async |group| {
///     group.spawn(async { Err(io::Error::other("no route")) as io::Result<()> });
///     group.spawn(std::future::pending::<()>());
/// })
/// .await
/// .unwrap_err();
/// assert_eq!(failed.failures()[0].error().unwrap().to_string(), "no route");
/// # });
/// ```
#[derive(Clone)]
pub struct TaskGroup {
    state: Arc<GroupState>,
}

impl TaskGroup {
    /// Runs `body` in this task, with a group to spawn into, and waits for the body and for all
    /// tasks of the group. The body's value comes out, unless something failed.
    ///
    /// On a failure, of the body as well, the tasks are cancelled and the body is dropped. What
    /// fails afterwards, while they end, is in the error, too. A panic of the body goes on here,
    /// once the tasks have ended.
    ///
    /// Dropped in the middle, it cancels the tasks: they are dropped in the loop's next batch, and a
    /// group around this one waits for that. Cancel safe in that sense; the work is lost.
    ///
    /// # Errors
    ///
    /// [`GroupError`], with all failures; or without any, if the group was cancelled before the
    /// body had ended.
    ///
    /// # Panics
    ///
    /// With the panic of the body.
    pub async fn run<T, F>(body: F) -> Result<T::Value, GroupError>
    where
        F: AsyncFnOnce(TaskGroup) -> T,
        T: Outcome,
    {
        let state = Arc::new(GroupState::default());
        let mut body = pin!(Some(body(TaskGroup { state: state.clone() })));
        // Declared last, so dropped first: the tasks are cancelled before the body goes.
        let mut owner = Owner { state, sleep: None, value: None, panic: None };
        poll_fn(|cx| owner.poll(cx, body.as_mut())).await
    }

    /// Spawns a task of the group. It gives `()` or a `Result`; an `Err` ends the group.
    ///
    /// The handle gives the value inside. A task that failed is cancelled, for its handle: the
    /// failure is the group's. Dropping the handle detaches nothing; cancelling it is no failure.
    /// In a group that is being cancelled the task is dropped unpolled.
    ///
    /// # Panics
    ///
    /// If no loop is running on this thread, or the group is over.
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> JoinHandle<<F::Output as Outcome>::Value>
    where
        F: Future + 'static,
        F::Output: Outcome,
        <F::Output as Outcome>::Value: 'static,
    {
        self.spawn_with(Builder::new(), future)
    }

    /// As [`spawn`](Self::spawn), with more to say about the task.
    ///
    /// # Panics
    ///
    /// If no loop is running on this thread, or the group is over.
    ///
    /// # Examples
    ///
    /// ```
    /// # use wheelhouse::{TaskGroup, task};
    /// # wheelhouse::run(async {
    /// TaskGroup::run(async |group| {
    ///     group.spawn_with(task::Builder::new().name("reader"), async {});
    /// })
    /// .await
    /// .unwrap();
    /// # });
    /// ```
    #[track_caller]
    pub fn spawn_with<F>(
        &self,
        builder: Builder,
        future: F,
    ) -> JoinHandle<<F::Output as Outcome>::Value>
    where
        F: Future + 'static,
        F::Output: Outcome,
        <F::Output as Outcome>::Value: 'static,
    {
        let Some(key) = self.state.enter() else {
            panic!(
                "`TaskGroup::spawn` was called on a group that is over: it expects one whose \
                 `run` is still awaited. Keep clones of a group inside it, or start another group."
            )
        };
        let membership = Membership { state: self.state.clone(), key, has_returned: false };
        let handle = builder.spawn(Child { future: Some(future), membership });
        let (id, name, location) = (handle.id(), handle.name(), Location::caller());
        let task = GroupTask { id, name, location };
        if !self.state.admit(key, Member::new(task, handle.abort_handle())) {
            handle.cancel();
        }
        handle
    }

    /// Runs a closure that blocks on the loop's pool, as a task of the group. A job that runs when
    /// it is cancelled goes on, and nobody waits for it: give it the group's [`token`](Self::token)
    /// to look at. In a group that is being cancelled the job is dropped and never runs.
    ///
    /// # Panics
    ///
    /// If no loop is running on this thread, or the group is over.
    #[track_caller]
    pub fn spawn_blocking<F, T>(&self, work: F) -> JoinHandle<T::Value>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Outcome + Send + 'static,
        T::Value: 'static,
    {
        let state = current::expect("TaskGroup::spawn_blocking");
        let about = AboutJob { location: Location::caller(), is_expendable: false };
        // In a group that is being cancelled the task is not polled, nor does the job begin.
        let job = self.state.is_open().then(|| submit(&state, work, about));
        self.spawn(async {
            match job {
                Some(job) => job.await,
                None => pending().await,
            }
        })
    }

    /// Cancels the group: its [`token`](Self::token), its tasks, and its body, which is dropped
    /// where it waits. The group ends when all have ended. A body that calls this itself goes on,
    /// to give its value.
    pub fn cancel(&self) {
        self.state.cancel();
    }

    /// The soft way: cancels the [`token`](Self::token) only, so that the tasks and the body can
    /// end by themselves. Those that have not when `grace` is over are dropped. Awaiting what comes
    /// back gives the report, when all who were asked have ended.
    ///
    /// Whoever calls this, task or body, is not dropped, and not waited for. The deadline holds
    /// whether or not the report is awaited; of several the first one counts.
    ///
    /// # Examples
    ///
    /// ```
    /// use wheelhouse::TaskGroup;
    /// use wheelhouse::time::Duration;
    /// # wheelhouse::run(async {
    /// TaskGroup::run(async |group| {
    ///     group.spawn(group.cancelled());
    ///     group.spawn(std::future::pending::<()>());
    ///     let report = group.cancel_with(Duration::from_millis(1)).await;
    ///     assert_eq!((report.stopped, report.left.len()), (1, 1));
    ///     println!("{report}");
    /// })
    /// .await
    /// .unwrap();
    /// # });
    /// ```
    pub fn cancel_with(&self, grace: Duration) -> CancelWith {
        let deadline = Instant::now() + grace;
        let stopped_before = self.state.ask_to_stop(deadline, crate::task::current());
        CancelWith { state: self.state.clone(), stopped_before, place: Place::default() }
    }

    /// The group's token: cancelled when the group is, fails, or is asked to stop.
    pub fn token(&self) -> &CancelToken {
        &self.state.token
    }

    /// Waits until the group's token is cancelled. Cancel safe.
    pub fn cancelled(&self) -> Cancelled {
        self.state.token.cancelled()
    }

    /// Whether the group's token is cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.state.token.is_cancelled()
    }

    /// Tasks that have not ended.
    pub fn len(&self) -> usize {
        self.state.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Debug for TaskGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskGroup")
            .field("tasks", &self.len())
            .field("is_cancelled", &self.is_cancelled())
            .finish()
    }
}

/// The group's end, in its future.
struct Owner<V> {
    state: Arc<GroupState>,
    /// Until the deadline of a soft end.
    sleep: Option<Sleep>,
    value: Option<V>,
    /// What the body panicked with.
    panic: Option<Payload>,
}

impl<V> Owner<V> {
    fn poll<B>(
        &mut self,
        cx: &mut Context<'_>,
        mut body: Pin<&mut Option<B>>,
    ) -> Poll<Result<V, GroupError>>
    where
        B: Future,
        B::Output: Outcome<Value = V>,
    {
        self.state.set_owner(cx.waker());
        if body.is_some() && !self.state.must_body_go() {
            self.poll_body(cx, body.as_mut());
        }
        self.keep_deadline(cx);
        if body.is_some() && self.state.must_body_go() {
            self.drop_body(body.as_mut());
        }
        if body.is_some() {
            return Poll::Pending;
        }
        let Some(failures) = self.state.end() else { return Poll::Pending };
        if let Some(payload) = self.panic.take() {
            failures.into_iter().for_each(GroupFailure::report_unread);
            resume_unwind(payload);
        }
        Poll::Ready(match self.value.take() {
            Some(value) if failures.is_empty() => Ok(value),
            _ => Err(GroupError { failures }),
        })
    }

    fn poll_body<B>(&mut self, cx: &mut Context<'_>, mut body: Pin<&mut Option<B>>)
    where
        B: Future,
        B::Output: Outcome<Value = V>,
    {
        let Some(running) = body.as_mut().as_pin_mut() else { return };
        self.state.note_body_is_polled(true);
        let poll = || running.poll(cx).map(Outcome::into_result);
        let polled = adopting(&self.state, poll);
        self.state.note_body_is_polled(false);
        match polled {
            Ok(Poll::Pending) => return,
            Ok(Poll::Ready(Ok(value))) => self.value = Some(value),
            Ok(Poll::Ready(Err(error))) => self.state.fail(None, Cause::Error(error)),
            Err(payload) => {
                self.panic = Some(payload);
                self.state.cancel();
            }
        }
        self.drop_body(body);
    }

    fn drop_body<B>(&mut self, mut body: Pin<&mut Option<B>>) {
        let dropped = adopting(&self.state, || body.set(None));
        self.state.note_body_is_over();
        match dropped {
            Ok(()) => {}
            Err(payload) if self.panic.is_none() => {
                self.panic = Some(payload);
                self.state.cancel();
            }
            Err(payload) => report::foreign_panic("the body of a task group", payload),
        }
    }

    fn keep_deadline(&mut self, cx: &mut Context<'_>) {
        let Some(deadline) = self.state.deadline() else {
            self.sleep = None;
            return;
        };
        let sleep = self.sleep.get_or_insert_with(|| sleep_until(deadline));
        if sleep.deadline() != deadline {
            Pin::new(&mut *sleep).reset(deadline);
        }
        if Pin::new(sleep).poll(cx).is_ready() {
            self.sleep = None;
            self.state.stop_the_rest();
        }
    }
}

impl<V> Drop for Owner<V> {
    fn drop(&mut self) {
        // After the end there is nobody left to cancel.
        self.state.disown();
        if self.state.len() > 0 {
            let _ = ORPHANS.try_with(|orphans| {
                if let Some(orphans) = &mut *orphans.borrow_mut() {
                    orphans.push(self.state.clone());
                }
            });
        }
    }
}

thread_local! {
    /// Groups that were dropped in the middle while the task or the body of another one was polled or
    /// dropped; `None` outside.
    static ORPHANS: RefCell<Option<Vec<Arc<GroupState>>>> = const { RefCell::new(None) };
}

/// Runs a part of a group, and catches its panic. Groups that this drops in the middle have tasks
/// that are yet to be dropped: they hold the group as its own do.
fn adopting<R>(state: &Arc<GroupState>, run: impl FnOnce() -> R) -> thread::Result<R> {
    let set = |orphans| ORPHANS.try_with(|here| here.replace(orphans)).unwrap_or(None);
    let before = set(Some(Vec::new()));
    let result = catch_unwind(AssertUnwindSafe(run));
    let orphans = set(before).unwrap_or_default();
    if !orphans.is_empty() {
        if let Some(key) = state.enter() {
            let guest = Membership { state: state.clone(), key, has_returned: false };
            let guest = Arc::new(guest);
            orphans.iter().for_each(|orphan| orphan.keep(guest.clone()));
        }
    }
    result
}

pin_project! {
    /// A task of a group.
    struct Child<F> {
        // `None` when it has failed, and waits to be dropped.
        #[pin]
        future: Option<F>,
        // Dropped after the future: it says that all of it is gone.
        membership: Membership,
    }

    impl<F> PinnedDrop for Child<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if this.future.is_none() {
                return;
            }
            if let Err(payload) = adopting(&this.membership.state, || this.future.set(None)) {
                this.membership.fail(Cause::panicked(payload));
            }
        }
    }
}

impl<F> Future for Child<F>
where
    F: Future,
    F::Output: Outcome,
{
    type Output = <F::Output as Outcome>::Value;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let Some(future) = this.future.as_mut().as_pin_mut() else { return Poll::Pending };
        let poll = || future.poll(cx).map(Outcome::into_result);
        let mut result = match adopting(&this.membership.state, poll) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(result)) => result.map_err(Cause::Error),
            Err(payload) => Err(Cause::panicked(payload)),
        };
        if let Err(payload) = adopting(&this.membership.state, || this.future.set(None)) {
            match result {
                Ok(_) => result = Err(Cause::panicked(payload)),
                Err(_) => report::foreign_panic("the drop of a failed task of a group", payload),
            }
        }
        match result {
            Ok(value) => {
                this.membership.has_returned = true;
                Poll::Ready(value)
            }
            Err(cause) => {
                // This cancels all tasks of the group, and so this one.
                this.membership.fail(cause);
                Poll::Pending
            }
        }
    }
}

struct Membership {
    state: Arc<GroupState>,
    key: Key,
    has_returned: bool,
}

impl Membership {
    fn fail(&self, cause: Cause) {
        self.state.fail(Some(self.key), cause);
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.state.leave(self.key, self.has_returned);
    }
}

/// The future of [`TaskGroup::cancel_with`]. Dropping it changes nothing but that nobody gets the
/// report.
pub struct CancelWith {
    state: Arc<GroupState>,
    stopped_before: usize,
    place: Place,
}

impl Future for CancelWith {
    type Output = CancelReport;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<CancelReport> {
        let CancelWith { state, stopped_before, place } = &mut *self;
        match state.report(*stopped_before, place, cx.waker()) {
            Some(report) => Poll::Ready(report),
            None => Poll::Pending,
        }
    }
}

impl Drop for CancelWith {
    fn drop(&mut self) {
        self.state.forget_report(&self.place);
    }
}

impl fmt::Debug for CancelWith {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelWith").finish_non_exhaustive()
    }
}
