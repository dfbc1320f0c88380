//! Scripts: which faults a selector shall show, wait by wait, and what it was asked so far.
//!
//! A script is plain data behind a lock, shared by a test and the loop under it. It knows no
//! selector; `scripted.rs` plays it.

use std::collections::VecDeque;
use std::io;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Transfers;

/// How many of the latest timeouts a script remembers: a soak test must not fill the memory.
pub(super) const TIMEOUTS_KEPT: usize = 1024;

/// What one wait does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// What the real selector does. It is also what follows when the script has come to its end.
    Pass,
    /// The wait fails with an error of this kind, and consumes nothing. For how a program meets the
    /// failure of the system call that it lives on.
    Fail(io::ErrorKind),
    /// The same with a raw `errno`, such as `EINVAL` or `EBADF`.
    FailOs(i32),
    /// The wait ends at once with nothing, as one that a signal interrupted.
    Interrupted,
    /// One event is delivered, the others are left for the next waits. For code that relies on two
    /// events coming together, or in a certain order.
    OneAtATime,
    /// Every event is left for the next wait: this one ends without any. For code that takes the
    /// end of a wait to mean that something happened.
    Hold,
    /// Every registered descriptor is reported as ready in the directions that it is registered
    /// for, beside the real events, as far as there is room, and without waiting. For code that
    /// takes an event to mean that a read or write will not block.
    Spurious,
    /// The events of the last wait that had any are reported once more, beside the real ones and
    /// without waiting. Those of descriptors deregistered since are left out, as contract
    /// and kernel promise.
    Stale,
    /// The same with nothing left out: events of descriptors that are long gone. No correct
    /// selector does this. It is there to prove that a program survives one.
    StaleUnfiltered,
}

/// What a loop's waits and registrations shall do, and what they did: for testing a program
/// against faults that an operating system produces too rarely.
///
/// It is a handle: give one clone to the loop's builder and keep another, to extend the script
/// while the program runs and to ask what happened. Each wait of the loop takes one [`Step`]; if
/// several loops share a script, each step goes to whichever loop waits first.
#[derive(Clone, Debug, Default)]
pub struct Script(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    steps: VecDeque<Step>,
    repeats: bool,
    emulated_edges: bool,
    transfer_limit: Option<NonZeroUsize>,
    /// The `errno` with which to fail registrations, and how many more times.
    refusal: Option<(i32, usize)>,
    /// The same for wake-ups.
    wake_refusal: Option<(i32, usize)>,
    waits: usize,
    wakes: usize,
    registrations: usize,
    timeouts: VecDeque<Option<Duration>>,
}

impl Script {
    /// A script of these steps; then the real selector takes over.
    pub fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        let state = State { steps: steps.into_iter().collect(), ..State::default() };
        Script(Arc::new(Mutex::new(state)))
    }

    /// A script that starts anew when it comes to its end, for a fault in every so many waits:
    /// `Script::repeating([Step::Pass, Step::Pass, Step::Interrupted])`.
    pub fn repeating(steps: impl IntoIterator<Item = Step>) -> Self {
        let script = Script::new(steps);
        script.state().repeats = true;
        script
    }

    /// Adds a step at the end, also while the program runs.
    pub fn push(&self, step: Step) {
        self.state().steps.push_back(step);
    }

    /// Makes the loop believe that edges are emulated, as they are where the system has none: a
    /// short read or write then no longer proves that the next event will come. To be
    /// called before the loop is built.
    pub fn emulate_edges(&self) {
        self.state().emulated_edges = true;
    }

    /// Makes every receive and send on a stream move so many bytes at most, at least one: for code
    /// that takes a read to bring a whole message, or a write to take one. To be called before
    /// the loop is built.
    pub fn limit_transfers(&self, bytes: usize) {
        self.state().transfer_limit = NonZeroUsize::new(bytes.max(1));
    }

    /// Fails the next `times` registrations with this `errno`, for instance `ENOMEM`, or `ENOSPC`
    /// (the limit of watches). The real selector does not hear of them.
    pub fn fail_register(&self, errno: i32, times: usize) {
        self.state().refusal = (times > 0).then_some((errno, times));
    }

    /// Fails the next `times` wake-ups with this `errno`, as `EAGAIN` when an eventfd is full. The
    /// real selector does not hear of them.
    pub fn fail_wake(&self, errno: i32, times: usize) {
        self.state().wake_refusal = (times > 0).then_some((errno, times));
    }

    /// How many waits there were.
    pub fn waits(&self) -> usize {
        self.state().waits
    }

    /// How many wake-ups were asked for, by whatever thread. Each costs a system call: a test can
    /// hold a program to not making any.
    pub fn wakes(&self) -> usize {
        self.state().wakes
    }

    /// How many descriptors were registered so far, those since deregistered included.
    pub fn registrations(&self) -> usize {
        self.state().registrations
    }

    /// The timeouts that the waits were given, oldest first, `None` being without end. Only the
    /// latest 1,024 are kept.
    pub fn timeouts(&self) -> Vec<Option<Duration>> {
        self.state().timeouts.iter().copied().collect()
    }

    /// Counts a wait and says what it shall do.
    pub(super) fn next_step(&self, timeout: Option<Duration>) -> Step {
        let mut state = self.state();
        state.waits += 1;
        if state.timeouts.len() == TIMEOUTS_KEPT {
            state.timeouts.pop_front();
        }
        state.timeouts.push_back(timeout);
        let step = state.steps.pop_front();
        if state.repeats {
            state.steps.extend(step);
        }
        step.unwrap_or(Step::Pass)
    }

    pub(super) fn refuse_registration(&self) -> io::Result<()> {
        refuse(&mut self.state().refusal)
    }

    pub(super) fn count_registration(&self) {
        self.state().registrations += 1;
    }

    /// What the real selector's become.
    pub(super) fn limited(&self, real: Transfers) -> Transfers {
        let state = self.state();
        Transfers {
            short_means_empty: real.short_means_empty && !state.emulated_edges,
            limit: state.transfer_limit.map_or(real.limit, NonZeroUsize::get),
        }
    }

    /// Counts a wake-up, and says whether it may be.
    pub(super) fn count_wake(&self) -> io::Result<()> {
        let mut state = self.state();
        state.wakes += 1;
        refuse(&mut state.wake_refusal)
    }

    /// A panic elsewhere leaves the state whole: no update of it can panic halfway.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Fails as often as it is to.
fn refuse(refusal: &mut Option<(i32, usize)>) -> io::Result<()> {
    let Some((errno, times)) = *refusal else { return Ok(()) };
    *refusal = (times > 1).then_some((errno, times - 1));
    Err(io::Error::from_raw_os_error(errno))
}
