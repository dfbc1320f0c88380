//! Two loops on two threads: what it costs to go from one to the other and back. Written once over [`Runtime`]; tokio's
//! multi-thread runtime, which is one loop on several threads, has a way of its own.

use crate::job::Answer;
use crate::measure::{self, percentile};
use crate::runtime::{Runtime, Spawner};
use atomic_waker::AtomicWaker;
use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::task::Poll;
use std::time::Instant;

/// How many remote spawns are under way at once.
const BURST: usize = 1_000;

fn rounds(quick: bool) -> u64 {
    if quick { 2_000 } else { 20_000 }
}

/// Counts up on one thread, wakes who waits on another.
#[derive(Default)]
struct Bell {
    rung: AtomicU64,
    waiter: AtomicWaker,
}

impl Bell {
    fn ring(&self) {
        self.rung.fetch_add(1, Ordering::Release);
        self.waiter.wake();
    }
    async fn wait(&self, count: u64) {
        poll_fn(|context| {
            self.waiter.register(context.waker());
            if self.rung.load(Ordering::Acquire) >= count { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

/// What the two sides share.
#[derive(Default)]
pub struct Line {
    there: Bell,
    back: Bell,
    end: Bell,
}

/// The far side: answers, then stays until it is told to end.
pub async fn answer(line: Arc<Line>, rounds: u64) {
    for round in 1..=rounds {
        line.there.wait(round).await;
        line.back.ring();
    }
    line.end.wait(1).await;
}

/// The near side: asks and measures; then spawns over there, one by one and in bursts.
pub async fn ask(line: Arc<Line>, rounds: u64, spawner: Option<Spawner>) -> Answer {
    let mut answer = Answer::default();
    let mut trips = Vec::with_capacity(rounds as usize);
    for round in 1..=rounds {
        let start = Instant::now();
        line.there.ring();
        line.back.wait(round).await;
        trips.push(start.elapsed().as_nanos() as f64 / 1e3);
    }
    answer.put_percentiles("trip", &mut trips);
    if let Some(spawner) = spawner {
        let mut spawns = Vec::new();
        for _ in 0..rounds / 2 {
            let start = Instant::now();
            spawner().await;
            spawns.push(start.elapsed().as_nanos() as f64 / 1e3);
        }
        answer.put_percentiles("spawn", &mut spawns);
        let mut bursts = Vec::new();
        for _ in 0..rounds / 100 {
            let start = Instant::now();
            let burst: Vec<_> = (0..BURST).map(|_| spawner()).collect();
            for spawned in burst {
                spawned.await;
            }
            bursts.push(start.elapsed().as_nanos() as f64 / BURST as f64);
        }
        answer.put("burst_ns", percentile(&mut bursts, 0.5));
    }
    line.end.ring();
    answer
}

/// Two loops of the same runtime.
pub fn run<R: Runtime>(near: &mut R, quick: bool, other_cpu: Option<usize>) -> Result<Answer, String> {
    let line = Arc::new(Line::default());
    let (sender, receiver) = mpsc::channel();
    let far = std::thread::spawn({
        let line = line.clone();
        move || {
            if let Some(cpu) = other_cpu {
                measure::pin_to(cpu);
            }
            let mut far = match R::start() {
                Ok(far) => far,
                Err(error) => return drop(sender.send(Err(error))),
            };
            far.block_on(async move {
                let _ = sender.send(Ok(R::spawner()));
                R::spawn(answer(line, rounds(quick))).await;
            });
        }
    });
    let spawner = receiver.recv().map_err(|_| "the other loop did not start".to_owned())??;
    let answer = near.block_on(async move { R::spawn(ask(line, rounds(quick), spawner)).await });
    far.join().map_err(|_| "the other loop panicked".to_owned())?;
    Ok(answer)
}

/// tokio's multi-thread runtime with one worker: this thread is in `block_on`, the far side is a task on the worker.
/// (Two tasks among its workers would soon be run by the same one.)
pub fn run_multi_thread(quick: bool, other_cpu: Option<usize>) -> Result<Answer, String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .on_thread_start(move || {
            if let Some(cpu) = other_cpu {
                measure::pin_to(cpu);
            }
        })
        .build()
        .map_err(|error| error.to_string())?;
    let line = Arc::new(Line::default());
    let far = runtime.spawn(answer(line.clone(), rounds(quick)));
    let handle = runtime.handle().clone();
    let spawner: Spawner = Box::new(move || {
        let spawned = handle.spawn(async {});
        Box::pin(async { spawned.await.expect("task") })
    });
    let mut answer = runtime.block_on(async move {
        let answer = ask(line, rounds(quick), Some(spawner)).await;
        far.await.expect("far side");
        answer
    });
    answer.detail = "multi_thread with one worker, and block_on".into();
    Ok(answer)
}
