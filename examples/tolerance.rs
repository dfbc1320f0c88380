//! What a tolerance saves: timers that need not be exact end together, and the machine sleeps on.

use wheelhouse::time::{Duration, Instant, sleep_until};
use wheelhouse::{Clock, EventLoop, spawn, yield_now};

const MS: Duration = Duration::from_millis(1);

/// How often a loop wakes up for 1,000 timers in a second, each late by up to `tolerance`.
fn wake_ups(tolerance: Duration) -> std::io::Result<u64> {
    // On virtual time, so that it takes none and is the same each time.
    let event_loop = EventLoop::builder().clock(Clock::Virtual { settle: None }).build()?;
    let waits = event_loop.block_on(async {
        let start = Instant::now();
        let tasks: Vec<_> =
            (1..=1000).map(|n| spawn(sleep_until(start + n * MS).tolerance(tolerance))).collect();
        while event_loop.metrics().timers < tasks.len() {
            yield_now().await;
        }
        let before = event_loop.metrics().selects;
        for task in tasks {
            task.await.unwrap();
        }
        event_loop.metrics().selects - before
    });
    Ok(waits)
}

fn main() -> std::io::Result<()> {
    for tolerance in [0, 1, 10, 100] {
        println!("late by up to {tolerance} ms: {} wake-ups", wake_ups(tolerance * MS)?);
    }
    Ok(())
}
