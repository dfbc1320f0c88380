//! `sleep` and `sleep_until`: a future that is a key into the loop's wheel.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::current;
use crate::debug::places::Site;
use crate::event_loop::LoopState;
use crate::inbox::Chore;
use crate::remote::Remote;
use crate::table::Key;
use crate::task::polled::Wait;
use crate::time::Instant;
use crate::time::clock::{duration_to_ticks, ticks_to_duration};
use crate::time::wheel::Tick;

/// Waits for `duration`, on the loop's clock: never less, and on an idle loop some tens of
/// microseconds more. Zero waits one batch, as [`yield_now`](crate::yield_now) does.
///
/// The time is counted from this call. Nothing is too far: `Duration::MAX` is pending for ever.
/// Cancel safe: a dropped sleep leaves nothing behind.
///
/// # Panics
///
/// If no loop is running on this thread; when awaited on another loop.
///
/// # Examples
///
/// ```
/// use wheelhouse::time::{Duration, Instant, sleep};
/// # wheelhouse::run(async {
/// let start = Instant::now();
/// sleep(Duration::from_micros(300)).await;
/// assert!(start.elapsed() >= Duration::from_micros(300));
/// # });
/// ```
#[track_caller]
pub fn sleep(duration: Duration) -> Sleep {
    Sleep::after(duration, "sleep")
}

/// Waits until `deadline`; one batch if that is past. Otherwise as [`sleep`].
///
/// # Panics
///
/// If no loop is running on this thread; when awaited on another loop.
#[track_caller]
pub fn sleep_until(deadline: Instant) -> Sleep {
    Sleep::until(deadline, "sleep_until")
}

/// The future of [`sleep`] and [`sleep_until`]. It is plain data, hence `Send`, `Sync` and `Unpin`,
/// but it is awaited on its own loop.
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct Sleep {
    remote: Arc<Remote>,
    deadline: Instant,
    /// The entry in the wheel, from the first poll on.
    timer: Key,
    /// Ticks it may be late.
    tolerance: u32,
    /// Where it was made, in debug mode.
    site: Site,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Not polled yet.
    New,
    /// Not polled yet, and due already.
    Due,
    /// Filed in the wheel, or waiting for the next batch.
    Waiting,
    Done,
}

impl Sleep {
    #[inline]
    #[track_caller]
    pub(crate) fn new(state: &LoopState, deadline: Instant, is_due: bool) -> Sleep {
        let stage = if is_due { Stage::Due } else { Stage::New };
        let (remote, site) = (state.remote.clone(), state.places.site());
        Sleep { remote, deadline, timer: Key::NONE, tolerance: 0, site, stage }
    }

    /// [`sleep()`] for `what`, which users called.
    #[inline]
    #[track_caller]
    pub(crate) fn after(duration: Duration, what: &str) -> Sleep {
        let state = current::expect(what);
        let now = Instant::from_std(state.clock.now());
        Sleep::new(&state, now + duration, duration.is_zero())
    }

    /// [`sleep_until`] for `what`, which users called.
    #[inline]
    #[track_caller]
    pub(crate) fn until(deadline: Instant, what: &str) -> Sleep {
        let state = current::expect(what);
        let is_past = deadline.into_std() <= state.clock.instant_at(state.pace.last_read());
        Sleep::new(&state, deadline, is_past)
    }

    /// When it is over.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Whether it is over: it was awaited to its end, or its deadline is past.
    pub fn is_elapsed(&self) -> bool {
        self.stage == Stage::Done || Instant::now() >= self.deadline
    }

    /// Lets the sleep be late by up to `tolerance` (at most 73 minutes count), so that it can end
    /// together with others: the loop wakes up less often. Call it before the first poll.
    pub fn tolerance(mut self, tolerance: Duration) -> Sleep {
        self.tolerance = u32::try_from(duration_to_ticks(tolerance)).unwrap_or(u32::MAX);
        self
    }

    /// How late it may be, by its tolerance.
    pub(crate) fn allowed_late(&self) -> Duration {
        ticks_to_duration(u64::from(self.tolerance))
    }

    /// Moves the deadline, also of a sleep that is over, which then can be awaited again. Moving
    /// a pending sleep to a later deadline only notes it: O(1), a few nanoseconds, and the loop
    /// looks neither at its clock nor at its timers for it.
    ///
    /// # Panics
    ///
    /// On a thread that does not run its loop.
    #[track_caller]
    pub fn reset(mut self: Pin<&mut Self>, deadline: Instant) {
        let state = self.own_loop("Sleep");
        let is_earlier = deadline < self.deadline;
        self.deadline = deadline;
        let tick = self.tick(&state);
        let moved = self.timer != Key::NONE && state.wheel.borrow_mut().reset(self.timer, tick);
        if moved {
            // A later one brings nothing nearer.
            if is_earlier {
                state.timer_was_set();
            }
        } else {
            self.timer = Key::NONE;
            self.stage = Stage::New;
        }
    }

    /// Where the wheel files it.
    fn tick(&self, state: &LoopState) -> Tick {
        let exact = state.clock.tick_at(self.deadline.into_std());
        if self.tolerance == 0 { exact } else { round_within(exact, self.tolerance) }
    }

    fn start(&mut self, state: &LoopState, cx: &Context<'_>) {
        let waiter = state.polled.waiter(cx);
        let tick = self.tick(state);
        self.timer = state.wheel.borrow_mut().insert(tick, waiter);
        if self.site != Site::UNKNOWN {
            let about = state.tasks.about(state.polled.key());
            state.places.timer_was_filed(self.timer, self.site, about);
        }
        self.stage = Stage::Waiting;
        state.timer_was_set();
        state.polled.set_waits(Wait::Timer(tick));
    }

    /// Polled again: over if the wheel no longer has it, else the waiter may be another.
    fn look(&mut self, state: &LoopState, cx: &Context<'_>) -> Poll<()> {
        let waiter = state.polled.waiter(cx);
        let mut wheel = state.wheel.borrow_mut();
        let Some(kept) = wheel.get_mut(self.timer) else {
            drop(wheel);
            self.stage = Stage::Done;
            return Poll::Ready(());
        };
        let before = std::mem::replace(kept, waiter);
        drop(wheel);
        drop(before);
        state.polled.set_waits(Wait::Timer(state.clock.tick_at(self.deadline.into_std())));
        Poll::Pending
    }

    /// Forgets the timer, if there is one, and starts again with another deadline.
    pub(crate) fn start_over(&mut self, deadline: Instant) {
        self.unfile();
        self.timer = Key::NONE;
        self.stage = Stage::New;
        self.deadline = deadline;
    }

    /// Takes the entry out of the wheel.
    fn unfile(&self) {
        if self.stage != Stage::Waiting || self.timer == Key::NONE {
            return;
        }
        let removed =
            current::with(self.remote.id, |state| state.wheel.borrow_mut().remove(self.timer));
        match removed {
            // The waiter may be foreign code: it is dropped with no borrow held.
            Some(waiter) => drop(waiter),
            None => self.remote.post_chore(Chore::CancelTimer(self.timer)),
        }
    }

    /// The loop, which must be the one that runs here. `what` is what users hold.
    #[inline]
    #[track_caller]
    pub(crate) fn own_loop(&self, what: &str) -> Rc<LoopState> {
        match current::of(self.remote.id) {
            Some(state) => state,
            None => self.is_foreign(what),
        }
    }

    #[cold]
    #[track_caller]
    fn is_foreign(&self, what: &str) -> ! {
        let (label, function) = (self.remote.label(), what.to_lowercase());
        assert!(
            !self.remote.is_closed(),
            "this `{what}` belongs to {label}, which is closed: its time never comes. Keep the \
             loop alive as long as what sleeps on it, or make a new one with `{function}` on the \
             loop that runs here."
        );
        panic!(
            "this `{what}` belongs to {label} and was used outside it. Await it in a task of that \
             loop; make a new one with `{function}` on the loop that runs here."
        )
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.stage == Stage::Done {
            return Poll::Ready(());
        }
        let state = self.own_loop("Sleep");
        match self.stage {
            Stage::New => {
                self.start(&state, cx);
                Poll::Pending
            }
            Stage::Due => {
                self.stage = Stage::Waiting;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Stage::Waiting | Stage::Done => self.look(&state, cx),
        }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.unfile();
    }
}

/// The roundest tick (most trailing zeros) from `exact` to `exact + tolerance`: where others fire
/// too.
fn round_within(exact: Tick, tolerance: u32) -> Tick {
    let latest = exact.saturating_add(u64::from(tolerance));
    // The largest power of two up to `tolerance + 1`: of so many ticks in a row one is its
    // multiple.
    let step = 1u64 << (u64::from(tolerance) + 1).ilog2();
    latest & !(step - 1)
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Waker};
    use std::time::Duration;

    use super::{Sleep, current, round_within, sleep};
    use crate::time::Instant;

    #[test]
    fn a_deadline_put_off_has_nobody_look_at_the_clock() {
        crate::run(async {
            let state = current::expect("a test");
            let mut idle = pin!(sleep(Duration::from_secs(60)));
            assert!(idle.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            let look = || {
                state.read_clock();
                state.pace.earliest_is(state.wheel.borrow().earliest());
                state.pace.note_call();
                assert!(!state.pace.is_read_due(), "it is far off");
            };
            look();
            idle.as_mut().reset(Instant::now() + Duration::from_secs(90));
            assert!(!state.pace.is_read_due());
            idle.as_mut().reset(Instant::now() + Duration::from_secs(30));
            assert!(state.pace.is_read_due(), "it may be near");
            look();
        });
    }

    #[test]
    fn a_sleep_is_five_words() {
        assert_eq!(std::mem::size_of::<Sleep>(), 40);
    }

    #[test]
    fn tolerance_moves_a_deadline_later_within_it_and_onto_few_ticks() {
        let mut ticks = std::collections::BTreeSet::new();
        // Miri takes its time.
        let count = if cfg!(miri) { 3_000 } else { 100_000 };
        for exact in 0..count {
            let rounded = round_within(exact, 976);
            assert!((exact..=exact + 976).contains(&rounded));
            ticks.insert(rounded);
        }
        assert!(ticks.len() as u64 <= count / 512 + 2, "{} wake-ups", ticks.len());
        assert_eq!(round_within(7, 0), 7);
        assert!(round_within(u64::MAX - 3, u32::MAX) >= u64::MAX - u64::from(u32::MAX));
    }
}
