//! What runs inside a child process: one contender, one part of one scenario. The workloads are written once, over
//! [`Runtime`]; the body always runs as a spawned task, so that nobody's special case for `block_on` counts.

use crate::job::{Answer, Job};
use crate::measure::{self, own_cpu_ns, percentile};
use crate::place::Transport;
use crate::runtime::{Resettable, Runtime};
use atomic_waker::AtomicWaker;
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::hint::black_box;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// Runs a part with one runtime. The server part does not return.
pub fn run<R: Runtime>(job: &Job) -> Result<Answer, String> {
    let mut runtime = R::start()?;
    let mut answer = Answer::new(runtime.detail());
    let quick = job.quick;
    let job = job.clone();
    match job.part.as_str() {
        "server" => runtime.block_on(on_task::<R, _>(serve::<R>(job, answer.detail.clone()))),
        "spawn" => runtime.block_on(on_task::<R, _>(spawn::<R>(quick))).fill(&mut answer),
        "yield" => runtime.block_on(on_task::<R, _>(yields::<R>(quick))).fill(&mut answer),
        "wake" => runtime.block_on(on_task::<R, _>(wake(quick, job.other_cpu))).fill(&mut answer),
        "pair" => copy(&mut answer, crate::pair::run(&mut runtime, quick, job.other_cpu)?),
        "task-bytes" => copy(&mut answer, runtime.block_on(on_task::<R, _>(crate::held::tasks::<R>()))),
        "timer-create" => runtime.block_on(on_task::<R, _>(timer_create::<R>(quick))).fill(&mut answer),
        "timer-storm" => runtime.block_on(on_task::<R, _>(timer_storm::<R>(quick))).fill(&mut answer),
        "sleep" => runtime.block_on(on_task::<R, _>(sleeps::<R>(quick))).fill(&mut answer),
        "sleep-count" => runtime.block_on(on_task::<R, _>(sleep_count::<R>(job.count))),
        other => return Err(format!("no part {other}")),
    }
    Ok(answer)
}

/// Takes over what a workload elsewhere found.
fn copy(answer: &mut Answer, found: Answer) {
    Found(found).fill(answer);
}

/// What a workload found.
#[derive(Default)]
struct Found(Answer);

impl Found {
    fn fill(self, answer: &mut Answer) {
        answer.metrics = self.0.metrics;
        answer.notes = self.0.notes;
    }
}

async fn on_task<R: Runtime, F: Future + 'static>(body: F) -> F::Output
where
    F::Output: 'static,
{
    R::spawn(body).await
}

/// Nanoseconds of processor time an iteration: `body(n)` does `n` of them. Grows `n` until a run lasts a twentieth of
/// the budget, then takes the median of runs that fill it. Processor time, since these bodies never wait, and other
/// programs on the machine would be counted otherwise; if a body did wait, the note says so.
async fn time_per(quick: bool, mut body: impl AsyncFnMut(u64)) -> f64 {
    let budget = Duration::from_millis(if quick { 60 } else { 400 });
    let mut n = 1;
    loop {
        let start = Instant::now();
        body(n).await;
        if start.elapsed() * 20 >= budget || n >= 1 << 30 {
            break;
        }
        n *= 2;
    }
    let end = Instant::now() + budget;
    let mut runs = Vec::new();
    while runs.len() < 5 || Instant::now() < end {
        let start = own_cpu_ns();
        body(n).await;
        runs.push((own_cpu_ns() - start) as f64 / n as f64);
    }
    percentile(&mut runs, 0.5)
}

// --------------------------------------------------------------------------------------------------- server

async fn serve<R: Runtime>(job: Job, detail: String) {
    let bound = job.bound();
    if job.sleeper {
        R::spawn_detached(sleeper::<R>(job.quick, detail));
    }
    match (job.transport, job.idle) {
        (Transport::Tcp, false) => R::echo(bound, job.buffer).await,
        (Transport::Tcp, true) => R::echo_idle(bound).await,
        (Transport::Unix, _) => R::echo_unix(bound, job.buffer).await,
        (Transport::Udp, _) => R::echo_udp(bound, job.buffer).await,
    }
}

/// Set by a line on stdin: the load is running.
pub fn go_flag() -> Arc<AtomicBool> {
    let go = Arc::new(AtomicBool::new(false));
    let set = go.clone();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_line(&mut String::new());
        set.store(true, Ordering::Release);
    });
    go
}

/// Sleeps beside the server's connections, and prints how late they were.
async fn sleeper<R: Runtime>(quick: bool, detail: String) {
    let go = go_flag();
    while !go.load(Ordering::Acquire) {
        R::sleep(Duration::from_millis(20)).await;
    }
    let mut answer = Answer::new(detail);
    for (name, duration) in SLEEPS {
        let end = Instant::now() + busy_time(quick);
        let mut late = Vec::new();
        while Instant::now() < end {
            late.push(one_sleep::<R>(duration).await);
        }
        answer.put_percentiles(name, &mut late);
    }
    answer.print();
}

/// How long each length of sleep is tried beside the busy connections.
pub fn busy_time(quick: bool) -> Duration {
    Duration::from_millis(if quick { 250 } else { 1000 })
}

// -------------------------------------------------------------------------------------------- spawn, yield

const BATCH: u64 = 10_000;

async fn spawn<R: Runtime>(quick: bool) -> Found {
    let mut found = Found::default();
    let one = time_per(quick, async |n| {
        for i in 0..n {
            black_box(R::spawn(async move { black_box(i) }).await);
        }
    });
    found.0.put("one_ns", one.await);
    let mut handles = Vec::with_capacity(BATCH as usize);
    let batch = time_per(quick, async |n| {
        for _ in 0..n {
            for i in 0..BATCH {
                handles.push(R::spawn(async move { black_box(i) }));
            }
            for handle in handles.drain(..) {
                black_box(handle.await);
            }
        }
    });
    found.0.put("batch_ns", batch.await / BATCH as f64);
    found
}

const YIELDERS: u64 = 1_000;

async fn yields<R: Runtime>(quick: bool) -> Found {
    let mut found = Found::default();
    let one = time_per(quick, async |n| {
        for _ in 0..n {
            R::yield_now().await;
        }
    });
    found.0.put("yield_1_ns", one.await);

    let many = time_per(quick, async |n| {
        // At least ten yields a task, so that spawning them does not count.
        let tasks: Vec<_> = (0..YIELDERS)
            .map(|_| {
                R::spawn(async move {
                    for _ in 0..n * 10 {
                        R::yield_now().await;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await;
        }
    });
    found.0.put("yield_1000_ns", many.await / (YIELDERS * 10) as f64);

    let round_trip = time_per(quick, async |n| {
        let (there, back) = (Rc::new(Signal::default()), Rc::new(Signal::default()));
        let other = R::spawn({
            let (there, back) = (there.clone(), back.clone());
            async move {
                for _ in 0..n {
                    there.wait().await;
                    back.notify();
                }
            }
        });
        for _ in 0..n {
            there.notify();
            back.wait().await;
        }
        other.await;
    });
    found.0.put("ping_pong_ns", round_trip.await);
    found
}

/// The least that one task can wake another with, on one thread.
#[derive(Default)]
struct Signal {
    set: Cell<bool>,
    waiter: Cell<Option<Waker>>,
}

impl Signal {
    fn notify(&self) {
        self.set.set(true);
        if let Some(waker) = self.waiter.take() {
            waker.wake();
        }
    }
    fn wait(&self) -> impl Future<Output = ()> {
        poll_fn(|context| {
            if self.set.take() {
                return Poll::Ready(());
            }
            self.waiter.set(Some(context.waker().clone()));
            Poll::Pending
        })
    }
}

// ----------------------------------------------------------------------------------- waking from another thread

/// What the loop's thread and the waking thread share.
#[derive(Default)]
pub struct Gate {
    waker: AtomicWaker,
    turn: AtomicU64,
    called_ns: AtomicU64,
    resumed: AtomicU64,
}

/// How often another thread wakes the loop.
pub fn wake_rounds(quick: bool) -> u64 {
    if quick { 500 } else { 3_000 }
}

/// The other thread: waits 200 us (the loop parks within a few), notes the time, wakes, waits to be seen. Returns
/// how long each call of `wake` took.
pub fn waking_thread(gate: &Gate, zero: Instant, rounds: u64, cpu: Option<usize>, wake: impl Fn()) -> Vec<f64> {
    if let Some(cpu) = cpu {
        measure::pin_to(cpu);
    }
    let mut calls = Vec::new();
    for round in 1..=rounds {
        std::thread::sleep(Duration::from_micros(200));
        let called = zero.elapsed();
        gate.called_ns.store(called.as_nanos() as u64, Ordering::Relaxed);
        gate.turn.store(round, Ordering::Release);
        wake();
        calls.push((zero.elapsed() - called).as_nanos() as f64 / 1e3);
        while gate.resumed.load(Ordering::Acquire) < round {
            if (zero.elapsed() - called) > Duration::from_secs(5) {
                eprintln!("a wake from another thread was lost (round {round})");
                std::process::exit(1);
            }
            std::hint::spin_loop();
        }
    }
    calls
}

impl Gate {
    /// Has the other thread called for this round?
    pub fn called(&self, round: u64) -> bool {
        self.turn.load(Ordering::Acquire) >= round
    }
    /// The loop is here again: microseconds since the call.
    pub fn resume(&self, zero: Instant, round: u64) -> f64 {
        let now = zero.elapsed().as_nanos() as u64;
        let late = now - self.called_ns.load(Ordering::Relaxed);
        self.resumed.store(round, Ordering::Release);
        late as f64 / 1e3
    }
}

async fn wake(quick: bool, other_cpu: Option<usize>) -> Found {
    let (gate, zero, rounds) = (Arc::new(Gate::default()), Instant::now(), wake_rounds(quick));
    let thread = std::thread::spawn({
        let gate = gate.clone();
        move || waking_thread(&gate, zero, rounds, other_cpu, || gate.waker.wake())
    });
    let mut latencies = Vec::with_capacity(rounds as usize);
    for round in 1..=rounds {
        poll_fn(|context| {
            gate.waker.register(context.waker());
            if gate.called(round) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        latencies.push(gate.resume(zero, round));
    }
    let mut found = Found::default();
    found.0.put_percentiles("latency", &mut latencies);
    found.0.put("call_p50", percentile(&mut thread.join().expect("waking thread"), 0.5));
    found
}

// -------------------------------------------------------------------------------------------------- timers

const HOUR: Duration = Duration::from_secs(3600);

/// Polls between two yields: less than tokio's budget of 128 a task poll.
const POLLS: u64 = 64;

async fn timer_create<R: Runtime>(quick: bool) -> Found {
    let mut found = Found::default();
    let waker = poll_fn(|context| Poll::Ready(context.waker().clone())).await;
    let mut random = 0x2545_f491_4f6c_dd1du64;
    let mut others = Vec::new();
    let mut pending = 0;
    for (target, name) in [(0u64, "create_0_ns"), (10_000, "create_10k_ns"), (1_000_000, "create_1m_ns")] {
        // The other sleeps end between one and two hours from now. They stay where the vector has them.
        let more = (target - pending) as usize;
        measure::start_counting_allocations();
        let mut chunk = Vec::with_capacity(more);
        for at in 0..more {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            chunk.push(R::sleep(HOUR + Duration::from_micros(random % 3_600_000_000)));
            // SAFETY: the vector has its full capacity already and is never touched again before the process ends.
            let sleep = unsafe { Pin::new_unchecked(chunk.last_mut().expect("just pushed")) };
            assert!(sleep.poll(&mut Context::from_waker(&waker)).is_pending());
            if at as u64 % POLLS == POLLS - 1 {
                R::yield_now().await;
            }
        }
        let allocated = measure::stop_counting_allocations();
        if target == 1_000_000 {
            found.0.put("bytes", allocated.live_bytes as f64 / more as f64);
        }
        others.push(chunk);
        pending = target;

        found.0.put(
            name,
            without_yields::<R>(quick, || {
                let sleep = pin!(R::sleep(HOUR));
                assert!(sleep.poll(&mut Context::from_waker(&waker)).is_pending());
            })
            .await,
        );

        if target == 10_000 {
            let loops = 20_000;
            measure::start_counting_allocations();
            for at in 0..loops {
                let sleep = pin!(R::sleep(HOUR));
                assert!(sleep.poll(&mut Context::from_waker(&waker)).is_pending());
                if at % POLLS == POLLS - 1 {
                    R::yield_now().await;
                }
            }
            let allocated = measure::stop_counting_allocations();
            found.0.put("allocations", allocated.calls as f64 / loops as f64);

            if let Some(mut sleep) = R::resettable(HOUR) {
                let poll = |sleep: Pin<&mut dyn Resettable>| sleep.poll(&mut Context::from_waker(&waker));
                assert!(poll(sleep.as_mut()).is_pending());
                let mut after = HOUR;
                found.0.put(
                    "reset_ns",
                    without_yields::<R>(quick, || {
                        after += Duration::from_micros(1);
                        sleep.as_mut().reset(after);
                        assert!(poll(sleep.as_mut()).is_pending());
                    })
                    .await,
                );
            }
        }
    }
    // A million drops are not part of it.
    std::mem::forget(others);
    found
}

/// Nanoseconds a call, in batches between yields; what the yields alone cost is taken off. (So what a runtime puts
/// off until its loop runs does count.)
async fn without_yields<R: Runtime>(quick: bool, mut call: impl FnMut()) -> f64 {
    let with_calls = time_per(quick, async |n| {
        for _ in 0..n {
            for _ in 0..POLLS {
                call();
            }
            R::yield_now().await;
        }
    })
    .await;
    let alone = time_per(quick, async |n| {
        for _ in 0..n {
            R::yield_now().await;
        }
    })
    .await;
    (with_calls - alone) / POLLS as f64
}

/// How many timers go off within [`STORM_SPREAD`].
pub const STORM: u64 = 100_000;
pub const STORM_SPREAD: Duration = Duration::from_secs(1);

/// The offsets at which they do: the same for all, in random order.
pub fn storm_offsets(quick: bool) -> Vec<Duration> {
    let count = if quick { STORM / 4 } else { STORM };
    let mut random = 0x9e37_79b9_7f4a_7c15u64;
    (0..count)
        .map(|_| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            Duration::from_nanos(random % STORM_SPREAD.as_nanos() as u64)
        })
        .collect()
}

async fn timer_storm<R: Runtime>(quick: bool) -> Found {
    let offsets = storm_offsets(quick);
    let count = offsets.len();
    let late = Rc::new(RefCell::new(Vec::with_capacity(count)));
    let started = Rc::new(Cell::new(0));
    let first = Instant::now() + Duration::from_secs(1);
    let cpu_before = own_cpu_ns();
    let tasks: Vec<_> = offsets
        .into_iter()
        .map(|offset| {
            let (late, started) = (late.clone(), started.clone());
            R::spawn(async move {
                started.set(started.get() + 1);
                let deadline = first + offset;
                R::sleep(deadline.saturating_duration_since(Instant::now())).await;
                let now = Instant::now();
                let lateness = match now.checked_duration_since(deadline) {
                    Some(late) => late.as_nanos() as f64 / 1e3,
                    None => -((deadline - now).as_nanos() as f64) / 1e3,
                };
                late.borrow_mut().push(lateness);
            })
        })
        .collect();
    while started.get() < count {
        R::yield_now().await;
    }
    assert!(Instant::now() < first, "starting the sleeps took more than a second");
    let cpu_armed = own_cpu_ns();
    for task in tasks {
        task.await;
    }
    let cpu_after = own_cpu_ns();
    let mut found = Found::default();
    found.0.put("total_ns", (cpu_after - cpu_before) as f64 / count as f64);
    found.0.put("fire_ns", (cpu_after - cpu_armed) as f64 / count as f64);
    note_early(&mut found.0, &late.borrow());
    found.0.put_percentiles("late", &mut late.borrow_mut());
    found
}

/// A timer that fires early is a bug, and worth a line under the table.
pub fn note_early(answer: &mut Answer, late: &[f64]) {
    let early = late.iter().filter(|late| **late < 0.0).count();
    if early > 0 {
        let worst = late.iter().copied().fold(0.0, f64::min);
        answer.notes.push(format!("{early} of {} sleeps ended early, by up to {:.1} us", late.len(), -worst));
    }
}

/// The sleeps whose lateness is measured.
pub const SLEEPS: [(&str, Duration); 4] = [
    ("50us", Duration::from_micros(50)),
    ("200us", Duration::from_micros(200)),
    ("1ms", Duration::from_millis(1)),
    ("10ms", Duration::from_millis(10)),
];

/// How many of each, on an idle loop.
pub fn sleep_count_for(duration: Duration, quick: bool) -> usize {
    let all = if duration >= Duration::from_millis(10) { 100 } else { 500 };
    if quick { all / 5 } else { all }
}

async fn one_sleep<R: Runtime>(duration: Duration) -> f64 {
    let start = Instant::now();
    R::sleep(duration).await;
    (start.elapsed().as_nanos() as f64 - duration.as_nanos() as f64) / 1e3
}

async fn sleeps<R: Runtime>(quick: bool) -> Found {
    let mut found = Found::default();
    for (name, duration) in SLEEPS {
        let mut late = Vec::new();
        for _ in 0..sleep_count_for(duration, quick) {
            late.push(one_sleep::<R>(duration).await);
        }
        note_early(&mut found.0, &late);
        found.0.put_percentiles(name, &mut late);
    }
    found
}

async fn sleep_count<R: Runtime>(count: u64) {
    for _ in 0..count {
        R::sleep(Duration::from_millis(1)).await;
    }
}
