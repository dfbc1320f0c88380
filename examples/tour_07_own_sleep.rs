//! Tour 7: three sleeps made at home: a task that watches the clock, a loop without it, and one on
//! `call_later`. Each sleeps at least the time asked for, as every sleep does.
//!
//! The clock is the real one. A virtual one only moves when nothing can run, and the first two
//! always can.

use wheelhouse::structure::Completer;
use wheelhouse::time::{Duration, Instant};
use wheelhouse::{call_later, completion, run, spawn, yield_now};

const A_WHILE: Duration = Duration::from_millis(30);

/// A watcher gives the value of a bare future when the time has come.
async fn watched_sleep(duration: Duration) {
    let (completer, over) = completion();
    spawn(watch(completer, Instant::now() + duration));
    over.await.unwrap();
}

async fn watch(completer: Completer<()>, wake_at: Instant) {
    while Instant::now() < wake_at {
        // Once round the loop.
        yield_now().await;
    }
    completer.complete(());
}

/// It works without a bare future as well. Both keep the processor busy.
async fn simple_sleep(duration: Duration) {
    let wake_at = Instant::now() + duration;
    while Instant::now() < wake_at {
        yield_now().await;
    }
}

/// This one sleeps: the loop's timers know when to call.
async fn lazy_sleep(duration: Duration) {
    let (completer, over) = completion();
    call_later(duration, || completer.complete(()));
    over.await.unwrap();
}

async fn measure(name: &str, sleep: impl Future<Output = ()> + 'static) {
    let workers = [(); 3].map(|()| spawn(async { println!("worker: work, work") }));
    println!("{name}: asleep");
    let start = Instant::now();
    spawn(sleep).await.unwrap();
    println!("{name}: awake, too early: {}", start.elapsed() < A_WHILE);
    for worker in workers {
        worker.await.unwrap();
    }
}

fn main() {
    run(measure("watched", watched_sleep(A_WHILE)));
    run(measure("simple", simple_sleep(A_WHILE)));
    run(measure("lazy", lazy_sleep(A_WHILE)));
}
