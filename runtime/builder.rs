//! Every knob of a loop, with its default and the reason for it.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::io;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use crate::affinity::Cores;
use crate::blocking::{BlockingPool, PoolSettings};
use crate::debug::hooks::{Hooks, Observer};
use crate::debug::metrics::Counters;
use crate::debug::places::Places;
use crate::event_loop::{Limits, LoopState};
use crate::locals::Locals;
use crate::owner::EventLoop;
use crate::pace::Pace;
use crate::reactor::Reactor;
use crate::remote::Remote;
use crate::selector::kind::SelectorKind;
use crate::spin::Spin;
use crate::task::polled::{Polled, Wait};
use crate::task::queue::RunQueue;
use crate::task::table::Tasks;
use crate::time::alarm::Alarm;
use crate::time::clock::{Clock, LoopClock};
use crate::time::wheel::Wheel;

/// Settings for an [`EventLoop`].
///
/// # Examples
///
/// ```
/// use wheelhouse::{Clock, EventLoop};
/// let event_loop = EventLoop::builder()
///     .name("clockwork")
///     .clock(Clock::Virtual { settle: None })
///     .build()?;
/// # event_loop.block_on(async {});
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "settings do nothing until `build`"]
pub struct Builder {
    selector: SelectorKind,
    clock: Clock,
    name: String,
    events_per_turn: usize,
    polls_per_turn: usize,
    budget: u32,
    max_blocking_threads: usize,
    blocking_keep_alive: Duration,
    blocking_cores: Option<Cores>,
    slow_task_threshold: Option<Duration>,
    spin: Duration,
    debug: bool,
    records_places: bool,
    seed: Option<u64>,
    observer: Option<Box<dyn Observer>>,
}

impl EventLoop {
    /// A loop with the defaults of the [`Builder`].
    ///
    /// # Errors
    ///
    /// When the system refuses a descriptor.
    #[track_caller]
    pub fn new() -> io::Result<EventLoop> {
        EventLoop::builder().build()
    }

    /// Settings for a loop.
    pub fn builder() -> Builder {
        Builder::new()
    }
}

impl Builder {
    fn new() -> Builder {
        Builder {
            selector: SelectorKind::default(),
            clock: Clock::default(),
            name: String::new(),
            events_per_turn: 1024,
            polls_per_turn: 128,
            budget: 128,
            max_blocking_threads: 512,
            blocking_keep_alive: Duration::from_secs(10),
            blocking_cores: None,
            slow_task_threshold: None,
            spin: Duration::ZERO,
            debug: false,
            records_places: false,
            seed: None,
            observer: None,
        }
    }

    /// Which selector waits. Default: `mio`.
    pub fn selector(mut self, selector: SelectorKind) -> Builder {
        self.selector = selector;
        self
    }

    /// Real or virtual time. Default: real.
    pub fn clock(mut self, clock: Clock) -> Builder {
        self.clock = clock;
        self
    }

    /// A name for messages, threads and the task tree. Default: none.
    pub fn name(mut self, name: impl Into<String>) -> Builder {
        self.name = name.into();
        self
    }

    /// How many events one wait takes from the system; the rest wait for the next turn. Default:
    /// 1,024 (16 KiB).
    pub fn events_per_turn(mut self, events: usize) -> Builder {
        self.events_per_turn = events.max(1);
        self
    }

    /// How many tasks one turn polls before it looks at descriptors and timers again. Default: 128:
    /// some microseconds of trivial tasks, and enough to make a system call between them cheap.
    pub fn polls_per_turn(mut self, polls: usize) -> Builder {
        self.polls_per_turn = polls.max(1);
        self
    }

    /// How many operations the sockets of one task may do in one poll, and how many ticks and ended
    /// tasks it may take, before it yields to the others. Default: 128.
    pub fn operations_per_poll(mut self, operations: u32) -> Builder {
        self.budget = operations.max(1);
        self
    }

    /// How many threads `spawn_blocking` may have. Default: 512, as jobs may wait for each other:
    /// with one thread, a job that waits for another job waits for ever.
    pub fn max_blocking_threads(mut self, threads: usize) -> Builder {
        self.max_blocking_threads = threads.max(1);
        self
    }

    /// How long an idle thread of `spawn_blocking` stays. Default: 10 s.
    pub fn blocking_keep_alive(mut self, keep_alive: Duration) -> Builder {
        self.blocking_keep_alive = keep_alive;
        self
    }

    /// Asks the selector again and again instead of sleeping in it, for so long before a timer is
    /// due, and for so long after the last poll of a task. A thread that sleeps is late when it is
    /// woken, by some 20 to 70 us, and costs whoever wakes it a few more; one that spins is neither.
    /// Default: zero. What is spun is taken from a processor, whether others want it or not: up to
    /// this much for each timer that is waited for, and as much again for each burst of events.
    /// [`Metrics::spun`](crate::Metrics::spun) says how much it was.
    ///
    /// A loop that is kept from its processor while it spins takes that for a sign that others need
    /// it, and only sleeps for the next 10 ms, or for longer where that goes on.
    ///
    /// A good value is a little more than the machine takes to wake a thread, such as 100 us, and a
    /// good loop one that has a processor to itself. A loop that a host [turns](EventLoop::turn)
    /// never spins: the host says how long a turn waits. Nor does one with a virtual clock, where
    /// no timer is late.
    ///
    /// # Examples
    ///
    /// ```
    /// use wheelhouse::EventLoop;
    /// use wheelhouse::time::{Duration, Instant, sleep_until};
    /// let punctual = EventLoop::builder().spin(Duration::from_micros(100));
    /// punctual.run(async {
    ///     let deadline = Instant::now() + Duration::from_millis(1);
    ///     sleep_until(deadline).await;
    ///     assert!(Instant::now() >= deadline);
    /// });
    /// ```
    pub fn spin(mut self, time: Duration) -> Builder {
        self.spin = time;
        self
    }

    /// Where the threads of `spawn_blocking` run, if not where the loop's own does.
    pub(crate) fn blocking_cores(mut self, cores: Cores) -> Builder {
        self.blocking_cores = Some(cores);
        self
    }

    /// Debug mode: polls that hold the loop for 100 ms are reported with the task's name and spawn
    /// site, unless [`slow_task_threshold`](Self::slow_task_threshold) says another time; and where
    /// timers and sources are made is recorded. Default: off; it reads the clock twice a poll.
    pub fn debug(mut self, debug: bool) -> Builder {
        self.debug = debug;
        self.records_places = debug;
        self
    }

    /// Records where timers and sources are made, without the rest of the debug mode.
    pub(crate) fn record_places(mut self) -> Builder {
        self.records_places = true;
        self
    }

    /// The seed, unless the order is first in, first out.
    pub(crate) fn seed_if_any(&self) -> Option<u64> {
        self.seed
    }

    /// Reports polls that hold the loop for so long, as [`debug`](Self::debug) does. Default: off.
    pub fn slow_task_threshold(mut self, threshold: Duration) -> Builder {
        self.slow_task_threshold = Some(threshold);
        self
    }

    /// Polls the tasks of a batch in an order drawn from this seed, to find out what a program
    /// takes for granted. Default: first in, first out.
    pub fn seed(mut self, seed: u64) -> Builder {
        self.seed = Some(seed);
        self
    }

    /// Installs hooks. Default: none.
    pub fn observer(mut self, observer: impl Observer + 'static) -> Builder {
        self.observer = Some(Box::new(observer));
        self
    }

    /// Makes the loop. It belongs to this thread.
    ///
    /// # Errors
    ///
    /// When the system refuses a descriptor: a loop on Linux takes four (epoll twice, eventfd,
    /// timerfd).
    #[track_caller]
    pub fn build(self) -> io::Result<EventLoop> {
        let selector = self.selector.make(self.events_per_turn)?;
        let registrar = selector.registrar();
        let remote = Remote::new(self.name.clone(), registrar, selector.transfers());
        let remote = Arc::new(remote);
        let clock = LoopClock::new(self.clock);
        let alarm = Alarm::new(&*remote.registrar)?;
        let state = LoopState {
            tasks: Tasks::new(remote.clone(), Location::caller()),
            queue: RunQueue::new(remote.clone()),
            reactor: Reactor::default(),
            wheel: RefCell::new(Wheel::new(0)),
            blocking: BlockingPool::new(self.pool_settings(), remote.clone()),
            locals: Locals::default(),
            pace: Pace::default(),
            spin: Spin::new(self.spin),
            polled: Polled::new(),
            batch: Cell::new(0),
            counters: Counters::default(),
            limits: Limits { polls_per_turn: self.polls_per_turn, budget: self.budget },
            places: Places::new(self.records_places),
            hooks: self.into_hooks(),
            root_waits: Cell::new(Wait::Unknown),
            stopping: Cell::new(false),
            closing: Cell::new(false),
            alarm: RefCell::new(alarm),
            events: RefCell::default(),
            messages: RefCell::default(),
            woken: RefCell::default(),
            may_jump: Cell::new(false),
            selector: RefCell::new(selector),
            clock,
            remote,
        };
        Ok(EventLoop::from_state(state))
    }

    /// Makes the loop, runs a future on it, and closes it: [`run`](crate::run) with settings
    /// (`asyncio.run(main(), debug=True)`).
    ///
    /// # Panics
    ///
    /// As [`run`](crate::run).
    ///
    /// # Examples
    ///
    /// ```
    /// use wheelhouse::time::{Duration, sleep};
    /// use wheelhouse::{Clock, EventLoop};
    /// let an_hour_in_no_time = EventLoop::builder().clock(Clock::Virtual { settle: None });
    /// an_hour_in_no_time.run(async { sleep(Duration::from_secs(3600)).await });
    /// ```
    #[track_caller]
    pub fn run<F: Future>(self, future: F) -> F::Output {
        match self.build() {
            Ok(event_loop) => event_loop.run_and_close(future, "Builder::run"),
            Err(error) => panic!("`Builder::run` could not make an event loop: {error}"),
        }
    }

    fn pool_settings(&self) -> PoolSettings {
        let name = if self.name.is_empty() { "wheelhouse" } else { &self.name };
        PoolSettings {
            max_threads: self.max_blocking_threads,
            keep_alive: self.blocking_keep_alive,
            thread_name: format!("{name}-blocking"),
            cores: self.blocking_cores,
        }
    }

    fn into_hooks(self) -> Hooks {
        let debug = self.debug.then_some(Duration::from_millis(100));
        Hooks::new(self.observer, self.slow_task_threshold.or(debug), self.seed)
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("selector", &self.selector)
            .field("clock", &self.clock)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
