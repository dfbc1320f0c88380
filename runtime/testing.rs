//! Tests in one line: [`run`] instead of `wheelhouse::run`, in a plain `#[test]`.
//!
//! It is a function and not an attribute macro, so that a test stays what `cargo test`, editors and
//! other test crates know: a `#[test] fn`, which may give a `Result`, take parameters, and run
//! something before and after.
//!
//! ```
//! use wheelhouse::testing;
//! use wheelhouse::time::{Duration, Instant, sleep};
//!
//! # /*
//! #[test]
//! # */
//! fn a_day_passes_in_no_time() {
//!     testing::run(async {
//!         let start = Instant::now();
//!         sleep(Duration::from_secs(24 * 60 * 60)).await;
//!         assert_eq!(start.elapsed().as_secs(), 24 * 60 * 60);
//!     });
//! }
//! # a_day_passes_in_no_time();
//! ```
//!
//! What is different from `run`:
//!
//! * **Time is virtual**: sleeps take none, and end in the order of their deadlines, exactly.
//! * **The order of ready tasks is drawn** from a seed, a fresh one each time, and so are the arms
//!   of `select!`. What only works in one order fails sooner or later; then the seed is printed, and
//!   `WHEELHOUSE_SEED=<seed> cargo test <name>` has the same order again.
//! * **Nothing may be left behind**: when the future is ready, all tasks that can still run do, and
//!   then a task, a timer or a source that is there fails the test, which says where it was made;
//!   so does a blocking job that does not end ([`Test::grace`]).
//! * **No panic goes unread**: a task that panicked and that nobody awaited fails the test.
//! * **A test that hangs fails**, after a minute of real time, and says who waits for what.
//!
//! [`Test`] has the settings.

use std::cell::Cell;
use std::future::Future;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::time::{Duration, Instant};

use crate::builder::Builder;
use crate::debug::report::Witness;
use crate::event_loop::Patience;
use crate::owner::EventLoop;
use crate::structure::arms;
use crate::time::clock::Clock;

/// Replays the order of a test that failed.
const SEED_VARIABLE: &str = "WHEELHOUSE_SEED";

/// In real time, on the slowest machine.
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// What blocking jobs that nobody waits for are given to end, in real time. A test that passes waits
/// for them and no longer; only one that fails waits for so long.
const GRACE: Duration = Duration::from_secs(10);

/// Turns in which what can still run does; a task that never rests is left behind.
const LAST_TURNS: usize = 1000;

/// Runs a test on a loop of its own: [`Test::new`] with nothing else said.
///
/// # Panics
///
/// If the future does, if something is left behind, if a panic goes unread, if it hangs.
///
/// # Examples
///
/// ```should_panic
/// wheelhouse::testing::run(async {
///     wheelhouse::spawn(std::future::pending::<()>());
/// }); // the test left something behind: task 1.1 (src/lib.rs:2:5): ...
/// ```
#[track_caller]
pub fn run<F: Future>(future: F) -> F::Output {
    Test::new().run(future)
}

/// So many seeds, to try one test in as many orders: a fresh one and its followers. With
/// `WHEELHOUSE_SEED` it is only that one.
///
/// # Panics
///
/// If `WHEELHOUSE_SEED` is not a number.
///
/// # Examples
///
/// ```
/// use wheelhouse::testing::{Test, seeds};
/// for seed in seeds(100) {
///     Test::new().seed(seed).run(async { wheelhouse::yield_now().await });
/// }
/// ```
#[track_caller]
pub fn seeds(count: u64) -> impl Iterator<Item = u64> {
    let (first, count) = match wanted_seed() {
        Some(seed) => (seed, 1),
        None => (fresh_seed(), count),
    };
    (0..count).map(move |n| first.wrapping_add(n))
}

/// Settings of a test.
///
/// # Examples
///
/// ```
/// use wheelhouse::testing::Test;
/// use wheelhouse::time::{Duration, sleep};
/// Test::new().real_time().seed(7).run(async { sleep(Duration::from_micros(50)).await });
/// ```
#[derive(Debug)]
#[must_use = "a test does nothing until `run`"]
pub struct Test {
    builder: Builder,
    is_drawn: bool,
    time_limit: Duration,
    grace: Duration,
    reads_panics: bool,
}

/// Why a test failed.
enum Failure {
    /// Its own panic.
    Panic(Box<dyn std::any::Any + Send>),
    /// What was found at the end.
    Told(String),
}

impl Default for Test {
    fn default() -> Test {
        Test::new()
    }
}

impl Test {
    /// A test on virtual time, in a drawn order.
    pub fn new() -> Test {
        Test::on(EventLoop::builder().clock(Clock::Virtual { settle: None }))
    }

    /// A test on a loop with these settings, its clock among them.
    pub fn on(builder: Builder) -> Test {
        Test { builder, is_drawn: true, time_limit: TIME_LIMIT, grace: GRACE, reads_panics: true }
    }

    /// Runs on the system's clock.
    pub fn real_time(self) -> Test {
        self.clock(Clock::Real)
    }

    /// Runs on this clock. With sockets, a virtual one needs to know how long the outside world must
    /// be quiet before it may jump.
    pub fn clock(mut self, clock: Clock) -> Test {
        self.builder = self.builder.clock(clock);
        self
    }

    /// Polls ready tasks in the order of this seed, whatever `WHEELHOUSE_SEED` says.
    pub fn seed(mut self, seed: u64) -> Test {
        self.builder = self.builder.seed(seed);
        self
    }

    /// Polls ready tasks first in, first out, as a loop does that is not tested: for tests of an
    /// exact order.
    pub fn in_order(mut self) -> Test {
        self.is_drawn = false;
        self
    }

    /// How long it may take in real time. Default: a minute.
    pub fn time_limit(mut self, limit: Duration) -> Test {
        self.time_limit = limit;
        self
    }

    /// How long, in real time, a blocking job may run on that nobody awaits any more, until it counts
    /// as left behind. A test whose jobs end is over when they do. Default: 10 s.
    pub fn grace(mut self, grace: Duration) -> Test {
        self.grace = grace;
        self
    }

    /// Panics of tasks that nobody awaits are only reported, as they are without a test.
    pub fn allow_unread_panics(mut self) -> Test {
        self.reads_panics = false;
        self
    }

    /// Runs it.
    ///
    /// # Panics
    ///
    /// If the future does, if something is left behind, if a panic goes unread, if it hangs; if a
    /// loop is running on this thread, or the system refuses one; if `WHEELHOUSE_SEED` is not a
    /// number.
    #[track_caller]
    pub fn run<F: Future>(self, future: F) -> F::Output {
        // It may be large, and is moved no further.
        let future = pin!(Some(future));
        let seed = self.choose_seed();
        let failure = match self.run_with(seed, future) {
            Ok(output) => return output,
            Err(failure) => failure,
        };
        if let Some(seed) = seed {
            eprintln!(
                "note: ready tasks ran in the order of seed {seed}; {SEED_VARIABLE}={seed} has \
                 the same order again"
            );
        }
        match failure {
            Failure::Panic(payload) => resume_unwind(payload),
            Failure::Told(text) => panic!("{text}"),
        }
    }

    #[track_caller]
    fn choose_seed(&self) -> Option<u64> {
        match self.builder.seed_if_any() {
            None if self.is_drawn => Some(wanted_seed().unwrap_or_else(fresh_seed)),
            given => given,
        }
    }

    #[track_caller]
    fn run_with<F: Future>(
        self,
        seed: Option<u64>,
        future: Pin<&mut Option<F>>,
    ) -> Result<F::Output, Failure> {
        let mut builder = self.builder.record_places();
        if let Some(seed) = seed {
            builder = builder.seed(seed);
            arms::seed(seed);
        }
        let event_loop = match builder.build() {
            Ok(event_loop) => event_loop,
            Err(error) => panic!("`testing` could not make an event loop: {error}"),
        };
        let watch = self.reads_panics.then(Watch::new);
        let output = drive(&event_loop, future, self.time_limit)?;
        let found = what_is_left(event_loop, watch, self.grace);
        if found.is_empty() { Ok(output) } else { Err(Failure::Told(found)) }
    }
}

/// Runs the future on the loop, for so long at most, and drops it there.
#[track_caller]
fn drive<F: Future>(
    event_loop: &EventLoop,
    mut future: Pin<&mut Option<F>>,
    limit: Duration,
) -> Result<F::Output, Failure> {
    let started = Instant::now();
    let hangs = Cell::default();
    let patience = || {
        let left = limit.saturating_sub(started.elapsed());
        if left.is_zero() {
            hangs.set(who_waits(event_loop, limit));
            return None;
        }
        Some(Patience::AtMost(left))
    };
    let running = event_loop.enter_to_run("testing::run");
    let run = || {
        let future_of_the_test = future.as_mut().as_pin_mut()?;
        event_loop.drive(&running, future_of_the_test, patience)
    };
    let result = catch_unwind(AssertUnwindSafe(run));
    let dropped = catch_unwind(AssertUnwindSafe(|| future.set(None)));
    match (result, dropped) {
        (Ok(Some(output)), Ok(())) => Ok(output),
        (Ok(None), _) => Err(Failure::Told(hangs.take())),
        (Err(payload), _) | (Ok(Some(_)), Err(payload)) => Err(Failure::Panic(payload)),
    }
}

/// Says of a test that hangs what it waits for.
fn who_waits(event_loop: &EventLoop, limit: Duration) -> String {
    let state = event_loop.state();
    let (root, tree) = (state.root_waits_for(), event_loop.dump());
    let mut text = format!("the test did not end within {limit:?}. It {root}.\n{tree}");
    let is_held = state.clock.is_virtual() && state.reactor.has_waiters();
    if is_held && state.wheel.borrow().len() > 0 {
        text += "Virtual time does not jump while a descriptor is waited for, as the outside world \
                 may still act: give `Test::clock` a `settle` time, or use `Test::real_time`.";
    }
    text
}

/// Lets everything run that still can, closes the loop, and says what was left.
fn what_is_left(event_loop: EventLoop, watch: Option<Watch>, grace: Duration) -> String {
    let mut text = String::new();
    let state = event_loop.state();
    state.clock.set_paused(true);
    // What tasks keep on the loop is there as long as they are, as at the end of any loop; and what
    // that lets go may be something that ends.
    let mut selected = turn_until_idle(&event_loop);
    {
        let _entered = event_loop.enter();
        for value in state.locals.close() {
            state.guard("the drop of a `loop_local`", || drop(value));
        }
    }
    selected = selected.and(turn_until_idle(&event_loop));
    if let Err(error) = selected {
        text = format!("the selector failed: {error}\n");
    }
    let mut left = state.left_behind();
    let report = event_loop.shutdown(grace);
    let jobs = report.left.iter().map(|left| left.location);
    left.extend(jobs.map(|at| format!("a blocking job that does not end, spawned at {at}")));
    if !left.is_empty() {
        let left = left.join("\n  ");
        text += &format!(
            "the test left something behind:\n  {left}\nAwait or cancel and await tasks, and drop \
             sleeps and sockets, before the test ends.\n"
        );
    }
    let unread = watch.map(|watch| watch.witness.take()).unwrap_or_default();
    if !unread.is_empty() {
        let unread = unread.join("\n  ");
        text += &format!("panics went unread:\n  {unread}\n");
    }
    text
}

/// Lets everything run that still can, or so much of it.
fn turn_until_idle(event_loop: &EventLoop) -> io::Result<()> {
    for _ in 0..LAST_TURNS {
        if !event_loop.turn(Some(Duration::ZERO))?.more() {
            break;
        }
    }
    Ok(())
}

/// Hears of unread panics on this thread as long as it is there.
struct Watch {
    witness: Witness,
    before: Option<Witness>,
}

impl Watch {
    fn new() -> Watch {
        let witness = Witness::default();
        Watch { before: Witness::set_here(Some(witness.clone())), witness }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = Witness::set_here(self.before.take());
    }
}

/// What the environment asks for.
#[track_caller]
fn wanted_seed() -> Option<u64> {
    let text = std::env::var_os(SEED_VARIABLE)?;
    let seed = text.to_str().and_then(|text| text.trim().parse().ok());
    assert!(
        seed.is_some(),
        "`{SEED_VARIABLE}` is {text:?}. It takes a seed, a number below 2^64, as a failed test \
         printed it; without it every test draws one of its own."
    );
    seed
}

/// The standard library's hash maps are seeded by the system.
fn fresh_seed() -> u64 {
    RandomState::new().build_hasher().finish()
}
