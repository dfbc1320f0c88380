//! Spawning tasks and blocking jobs on the loop of this thread.

use std::future::{Future, pending};
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::rc::Rc;

use crate::blocking::AboutJob;
use crate::current;
use crate::event_loop::LoopState;
use crate::reply::{Reply, reply};
use crate::structure::task_local::{self, Inheriting};
use crate::table::Key;
use crate::task::join::Refused;
use crate::task::polled::Wait;
use crate::task::table::{About, Kind};
use crate::task::{Id, JoinError, JoinHandle};

/// Spawns a task on the loop of this thread. It first runs in the loop's next batch.
///
/// The future need not be `Send`. The loop owns the task: dropping the handle detaches it. On a
/// loop that is closing the future is dropped and the handle gives [`JoinError::is_closed`].
///
/// # Panics
///
/// If no loop is running on this thread.
///
/// # Examples
///
/// ```
/// # wheelhouse::run(async {
/// let rc = std::rc::Rc::new(21);
/// let task = wheelhouse::spawn(async move { *rc * 2 });
/// assert_eq!(task.await.unwrap(), 42);
/// # });
/// ```
#[track_caller]
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    Builder::new().spawn(future)
}

/// Runs a closure that blocks on a thread of the loop's pool. The task that comes back waits for
/// it.
///
/// Cancelling the task drops a job that has not started; one that runs goes on, and its result is
/// dropped. A panic in the closure is the task's panic. When the system refuses the pool's first
/// thread, the task panics with a message that says so; when it refuses another one, the job waits
/// for the threads that are there, and the thread is asked for again whenever one of them takes a
/// job.
///
/// # Panics
///
/// If no loop is running on this thread.
///
/// # Examples
///
/// ```
/// # wheelhouse::run(async {
/// let sum = wheelhouse::spawn_blocking(|| (1..=1000u32).sum::<u32>());
/// assert_eq!(sum.await.unwrap(), 500_500);
/// # });
/// ```
#[track_caller]
pub fn spawn_blocking<F, T>(work: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    Builder::new().spawn_blocking(work)
}

/// The task that is being polled on this thread; `None` outside one.
pub fn current() -> Option<Id> {
    let state = current::get()?;
    let key = state.polled.key();
    (key != Key::NONE).then(|| Id { loop_id: state.remote.id, key })
}

/// Spawns with more to say about the task.
///
/// # Examples
///
/// ```
/// use wheelhouse::task::Builder;
/// # wheelhouse::run(async {
/// let task = Builder::new().name("answer").spawn(async { 42 });
/// assert_eq!(task.name().as_deref(), Some("answer"));
/// # task.await.unwrap();
/// # });
/// ```
#[derive(Debug, Default)]
#[must_use = "a task builder does nothing until it spawns"]
pub struct Builder {
    name: Option<Rc<Box<str>>>,
    is_expendable: bool,
}

impl Builder {
    /// A task without a name.
    pub fn new() -> Builder {
        Builder::default()
    }

    /// Names the task, for reports and the task tree.
    pub fn name(mut self, name: impl AsRef<str>) -> Builder {
        self.name = Some(Rc::new(Box::from(name.as_ref())));
        self
    }

    /// Makes a blocking job expendable: the end of the loop does not wait for it, nor reports it as
    /// left behind; its thread goes on until it is done or the process ends. For work that may hang
    /// and whose result nobody needs by then, such as looking up a name. It makes no difference to
    /// tasks.
    pub fn expendable(mut self) -> Builder {
        self.is_expendable = true;
        self
    }

    /// As [`spawn`].
    ///
    /// # Panics
    ///
    /// If no loop is running on this thread.
    #[track_caller]
    pub fn spawn<F>(self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let location = Location::caller();
        if task_local::are_here() {
            return self.spawn_at(location, Inheriting::new(Box::pin(future)));
        }
        self.spawn_at(location, future)
    }

    #[inline]
    #[track_caller]
    fn spawn_at<F>(self, location: &'static Location<'static>, future: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let spawned = current::expect_with("spawn", |state| {
            let mut about = About::new(Kind::Task, location, state.polled.key());
            about.name = self.name;
            state.spawn(future, about)
        });
        spawned.unwrap_or_else(JoinHandle::refused)
    }

    /// As [`spawn_blocking`].
    ///
    /// # Panics
    ///
    /// If no loop is running on this thread.
    #[track_caller]
    pub fn spawn_blocking<F, T>(self, work: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let state = current::expect("spawn_blocking");
        let location = Location::caller();
        let mut about = About::new(Kind::Blocking, location, state.polled.key());
        about.name = self.name;
        let job = AboutJob { location, is_expendable: self.is_expendable };
        let spawned = state.spawn(submit(&state, work, job), about);
        spawned.unwrap_or_else(JoinHandle::refused)
    }
}

/// Hands a job to the pool. What comes back awaits it; dropped before the job starts, it withdraws
/// it.
pub(crate) fn submit<F, T>(
    state: &LoopState,
    work: F,
    about: AboutJob,
) -> impl Future<Output = T> + use<F, T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let (sender, answer) = reply();
    let job = Box::new(move || {
        if sender.is_unwanted() {
            // Cancelled before it started.
            return;
        }
        let result = catch_unwind(AssertUnwindSafe(work));
        sender.give(result.map_err(|payload| JoinError::panicked(None, payload)));
    });
    let refused = match state.closing.get() {
        true => None,
        false => state.blocking.submit(job, about).err(),
    };
    await_job(answer, refused)
}

/// The task that stands for a blocking job: ends as the job ended.
async fn await_job<T>(answer: Reply<T>, refused: Option<std::io::Error>) -> T {
    if let Some(error) = refused {
        let text = format!("the system refused a thread for a blocking job: {error}");
        resume_unwind(Box::new(text));
    }
    if let Some(state) = current::get() {
        state.polled.set_waits(Wait::Blocking);
    }
    match answer.await {
        Ok(output) => output,
        Err(error) => match error.try_into_panic() {
            Ok(payload) => resume_unwind(payload),
            // The pool closed before the job started.
            Err(_) => {
                if let Some(state) = current::get() {
                    state.cancel(state.polled.key());
                }
                pending().await
            }
        },
    }
}

impl LoopState {
    #[inline]
    fn spawn<F>(&self, future: F, about: About) -> Result<JoinHandle<F::Output>, Refused<F>>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let remote = self.remote.clone();
        match self.insert_task(future, about) {
            Ok(key) => Ok(JoinHandle::new(remote, key)),
            Err(future) => Err(Refused { future, remote }),
        }
    }

    /// Edge 1 of a task's life; a loop that is closing gives the future back.
    #[inline]
    pub(crate) fn insert_task<F>(&self, future: F, about: About) -> Result<Key, F>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        if self.closing.get() {
            return Err(future);
        }
        self.counters.spawned.add(1);
        let key = self.tasks.insert(future, about);
        self.queue.push(key);
        Ok(key)
    }
}
