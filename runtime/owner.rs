//! [`EventLoop`], the owner of a loop, and `run`.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::current::{self, Entry};
use crate::debug::metrics::Metrics;
use crate::debug::tree::TaskTree;
use crate::event_loop::{LoopState, Patience, Root};
use crate::handle::Handle;
use crate::shutdown::ShutdownReport;
use crate::time::Instant;

/// What [`run`] gives the tasks that are left.
const RUN_GRACE: Duration = Duration::from_secs(5);

/// Runs a future on a new loop on this thread, then cancels what is left and closes the loop
/// (`asyncio.run`). What does not stop within five seconds (a blocking job, that is) is reported as
/// a warning and left behind.
///
/// # Panics
///
/// If a loop is running on this thread already, or the system refuses one (no descriptors left). A
/// panic of the future is passed on.
///
/// # Examples
///
/// ```
/// let answer = wheelhouse::run(async {
///     let task = wheelhouse::spawn(async { 6 * 7 });
///     task.await.unwrap()
/// });
/// assert_eq!(answer, 42);
/// ```
#[track_caller]
pub fn run<F: Future>(future: F) -> F::Output {
    match EventLoop::new() {
        Ok(event_loop) => event_loop.run_and_close(future, "run"),
        Err(error) => panic!("`run` could not make an event loop: {error}"),
    }
}

/// What the loop of this thread has done and holds: [`EventLoop::metrics`] for the tasks on it.
///
/// # Panics
///
/// If no loop is running on this thread.
///
/// # Examples
///
/// ```
/// wheelhouse::run(async {
///     let before = wheelhouse::metrics();
///     wheelhouse::spawn(async {}).await.unwrap();
///     assert_eq!(wheelhouse::metrics().spawned, before.spawned + 1);
/// });
/// ```
#[track_caller]
pub fn metrics() -> Metrics {
    current::expect("metrics").metrics()
}

/// An event loop. It belongs to the thread that made it and runs there, by
/// [`block_on`](Self::block_on), [`run_forever`](Self::run_forever), or turn by turn inside another
/// loop ([`turn`](Self::turn)).
///
/// Dropping it drops all its tasks; [`shutdown`](Self::shutdown) also waits for blocking jobs and
/// reports. What waits for the loop under another executor is woken then, and finds it closed.
///
/// # Hosting it
///
/// Between turns the descriptor ([`AsFd`]) is readable whenever a turn has something to do: events,
/// timers that are due, messages of other threads, and what host code spawned, woke or started to
/// sleep on between turns. A host that watches it level-triggered calls
/// `turn(Some(Duration::ZERO))` when it is readable; an edge-triggered host turns until
/// [`Turn::more`] is false.
///
/// Timers are part of that on Linux. macOS and the BSDs have no descriptor that is a timer: there a
/// host waits no longer than until [`next_deadline`](Self::next_deadline), and turns then too.
///
/// # Forks
///
/// A child made by `fork` shares the selector and the timer of its parent. In the child the loop and
/// its sockets can be dropped, and the parent notices nothing; turning it there panics. A task that
/// forks must not await anything in the child: let it `exec` or exit, or return and make a new loop.
///
/// On macOS and the BSDs the child has no copy of the kqueue, only its number: there it drops the loop
/// before it opens anything, which could get that number.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use wheelhouse::EventLoop;
///
/// # fn main() -> std::io::Result<()> {
/// let mut event_loop = EventLoop::new()?;
/// let task = event_loop.block_on(async { wheelhouse::spawn(async { "both" }) });
/// // What was spawned stays on the loop, and goes on when it runs again.
/// assert_eq!(event_loop.block_on(task).unwrap(), "both");
/// assert!(event_loop.shutdown(Duration::from_secs(1)).is_clean());
/// # Ok(())
/// # }
/// ```
pub struct EventLoop {
    state: Rc<LoopState>,
}

impl EventLoop {
    pub(crate) fn from_state(state: LoopState) -> EventLoop {
        let state = Rc::new(state);
        current::note_made(&state);
        EventLoop { state }
    }

    /// Turns the loop until `future` is ready. Tasks that are left stay for the next call.
    ///
    /// # Panics
    ///
    /// If this or another loop is running on this thread already. A panic of the future is passed
    /// on.
    #[track_caller]
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        // Declared first, as the future is to be dropped in its loop.
        let running = self.enter_to_run("EventLoop::block_on").handing_back();
        let future = pin!(future);
        match self.drive(&running, future, || Some(Patience::Forever)) {
            Some(output) => output,
            None => unreachable!("it never gives up"),
        }
    }

    /// What [`run`] and [`Builder::run`](crate::Builder::run) do with the loop they made.
    #[track_caller]
    pub(crate) fn run_and_close<F: Future>(self, future: F, what: &str) -> F::Output {
        let entered = current::enter(&self.state, what);
        let output = catch_unwind(AssertUnwindSafe(|| self.block_on(future)));
        drop(entered);
        let report = self.shutdown(RUN_GRACE);
        if !report.is_clean() {
            tracing::warn!("`{what}` ended with something left: {report}");
        }
        output.unwrap_or_else(|payload| resume_unwind(payload))
    }

    /// Turns until `future` is ready, each time waiting as long as `patience` says, or until that
    /// says `None`.
    #[inline]
    pub(crate) fn drive<F: Future>(
        &self,
        _running: &Running<'_>,
        mut future: Pin<&mut F>,
        patience: impl Fn() -> Option<Patience>,
    ) -> Option<F::Output> {
        let output = Cell::new(None);
        let is_ready = Cell::new(false);
        let mut root = |cx: &mut Context<'_>| {
            if is_ready.get() {
                return;
            }
            // A panic passes to the caller, but not through the turn.
            let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx)));
            let result = match polled {
                Ok(Poll::Pending) => return,
                Ok(Poll::Ready(ready)) => Ok(ready),
                Err(payload) => Err(payload),
            };
            output.set(Some(result));
            is_ready.set(true);
        };
        self.state.queue.push(self.state.tasks.root());
        while !is_ready.get() {
            self.turn_or_panic(&mut root, patience()?);
        }
        match output.take() {
            Some(Ok(output)) => Some(output),
            Some(Err(payload)) => resume_unwind(payload),
            None => unreachable!("the output is set before the flag"),
        }
    }

    /// Turns the loop until [`Handle::stop`] is called.
    ///
    /// # Panics
    ///
    /// If this or another loop is running on this thread already.
    #[track_caller]
    pub fn run_forever(&self) {
        let _entry = self.enter_to_run("EventLoop::run_forever").handing_back();
        while !self.state.stopping.take() {
            self.turn_or_panic(&mut |_| {}, Patience::Forever);
        }
    }

    /// One turn, for a host loop. `wait`: how long it may wait for something to happen; `None` for
    /// ever.
    ///
    /// # Errors
    ///
    /// When the selector fails. Nothing is lost; the next turn tries again.
    ///
    /// # Panics
    ///
    /// If it is called from inside a turn, or another loop is running on this thread.
    #[track_caller]
    pub fn turn(&self, wait: Option<Duration>) -> io::Result<Turn> {
        let _entry = self.enter_to_run("EventLoop::turn");
        let state = &self.state;
        // The host may have waited long since the last turn.
        state.pace.make_select_due();
        state.pace.note_time_passed();
        let before = state.metrics();
        let wait = Patience::AtMost(wait.unwrap_or(Duration::MAX));
        let outcome = state.turn(&mut |_| {}, wait);
        let after = state.metrics();
        let events = (after.events - before.events) as usize;
        // Events that did not fit cause no new edge, and after an error the wait is to be tried
        // again.
        let more = state.hand_back(outcome.is_err() || state.selector.borrow().was_full());
        outcome?;
        Ok(Turn {
            events,
            polls: (after.polls - before.polls) as usize,
            timers: (after.timers_fired - before.timers_fired) as usize,
            more,
        })
    }

    /// When the earliest pending timer is due; `None` if there is none.
    pub fn next_deadline(&self) -> Option<Instant> {
        let tick = self.state.wheel.borrow_mut().next_deadline()?;
        Some(Instant::from_std(self.state.clock.instant_at(tick)))
    }

    /// Makes this the thread's loop until the guard is dropped, so that `spawn`, `sleep` and
    /// sockets can be used between turns.
    ///
    /// # Panics
    ///
    /// If another loop is running on this thread.
    #[track_caller]
    pub fn enter(&self) -> EnterGuard<'_> {
        let entry = current::enter(&self.state, "EventLoop::enter");
        EnterGuard { _entry: entry, _loop: PhantomData }
    }

    /// The loop's handle, for other threads.
    pub fn handle(&self) -> Handle {
        Handle::new(self.state.remote.clone())
    }

    /// Now, on the loop's clock.
    pub fn now(&self) -> Instant {
        Instant::from_std(self.state.clock.now())
    }

    /// How long the loop has existed, on its own clock.
    pub fn time(&self) -> Duration {
        self.now().duration_since(Instant::from_std(self.state.clock.origin()))
    }

    /// The counters.
    pub fn metrics(&self) -> Metrics {
        self.state.metrics()
    }

    /// All tasks and what they wait for. Nothing is polled.
    pub fn dump(&self) -> TaskTree {
        self.state.dump()
    }

    /// Cancels every task, turns until all have stopped and no blocking job runs or `grace` is
    /// over, and closes the loop. A job that still runs is left to its thread.
    ///
    /// In a child made by `fork` it only drops what there is: see [Forks](Self#forks).
    #[track_caller]
    pub fn shutdown(self, grace: Duration) -> ShutdownReport {
        if !self.state.remote.is_at_home() {
            return ShutdownReport::default();
        }
        let running = self.enter_to_run("EventLoop::shutdown");
        let report = self.state.wind_down(grace);
        drop(running);
        report
    }

    /// The loop itself, for what knows its parts.
    pub(crate) fn state(&self) -> &LoopState {
        &self.state
    }

    #[track_caller]
    pub(crate) fn enter_to_run(&self, what: &str) -> Running<'_> {
        assert!(
            !self.state.queue.is_in_turn(),
            "`{what}` was called from inside a turn of {} itself. To wait inside a task use \
             `.await`; to run a second loop use a second thread.",
            self.state.remote.label()
        );
        assert!(
            self.state.remote.is_at_home(),
            "`{what}` was called in a fork of the process that made {}: both would take events \
             from one selector. Make a new loop in the child process.",
            self.state.remote.label()
        );
        let entry = current::enter(&self.state, what);
        self.state.queue.set_in_turn(true);
        Running { state: &self.state, hands_back: false, _entry: entry }
    }

    #[inline]
    fn turn_or_panic(&self, root: &mut Root<'_>, patience: Patience) {
        if let Err(error) = self.state.turn(root, patience) {
            panic!("the selector of {} failed: {error}", self.state.remote.label());
        }
    }
}

impl Drop for EventLoop {
    fn drop(&mut self) {
        // What is dropped must find its loop, also while another one is entered here.
        let _entry = current::enter_to_close(&self.state);
        self.state.close();
    }
}

impl AsFd for EventLoop {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.state.remote.registrar.as_fd()
    }
}

impl AsRawFd for EventLoop {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl fmt::Debug for EventLoop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventLoop({})", self.state.remote.label())
    }
}

/// The loop is entered and turns.
pub(crate) struct Running<'a> {
    state: &'a LoopState,
    hands_back: bool,
    _entry: Entry,
}

impl Running<'_> {
    /// What is left when it ends, a host is told of: it may watch the descriptor from there on.
    fn handing_back(mut self) -> Self {
        self.hands_back = true;
        self
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if self.hands_back && self.state.remote.is_at_home() {
            self.state.hand_back(false);
        }
        self.state.queue.set_in_turn(false);
    }
}

/// Keeps a loop entered; from [`EventLoop::enter`].
#[must_use = "the loop is left when the guard is dropped"]
pub struct EnterGuard<'a> {
    _entry: Entry,
    // Entering is a matter of this thread.
    _loop: PhantomData<(&'a EventLoop, *const ())>,
}

impl fmt::Debug for EnterGuard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EnterGuard")
    }
}

/// What happened in a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    events: usize,
    polls: usize,
    timers: usize,
    more: bool,
}

impl Turn {
    /// Whether work is left: an edge-triggered host turns again until it is not.
    pub fn more(&self) -> bool {
        self.more
    }

    /// Events that the selector reported.
    pub fn events(&self) -> usize {
        self.events
    }

    /// Polls of tasks, and drops of those that were cancelled.
    pub fn polls(&self) -> usize {
        self.polls
    }

    /// Timers that expired.
    pub fn timers(&self) -> usize {
        self.timers
    }
}
