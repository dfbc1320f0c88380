//! Testing what takes hours in no time: on a virtual clock, time jumps to the next deadline.

use std::io;

use wheelhouse::time::{self, Duration, Instant, sleep, timeout};
use wheelhouse::{Clock, EventLoop, spawn};

fn main() -> io::Result<()> {
    let event_loop = EventLoop::builder().clock(Clock::Virtual { settle: None }).build()?;
    let really = std::time::Instant::now();
    event_loop.block_on(async {
        // Nothing else can happen, so the clock jumps.
        let start = Instant::now();
        let answer = timeout(Duration::from_secs(3600), retry(5)).await;
        println!("{answer:?} after {} s", start.elapsed().as_secs());

        // By hand: what is due runs, and the rest stays as it is.
        time::pause();
        let task = spawn(sleep(Duration::from_secs(60)));
        time::advance(Duration::from_secs(59)).await;
        println!("after 59 s: {}", task.is_finished());
        time::advance(Duration::from_secs(1)).await;
        println!("after 60 s: {}", task.is_finished());
    });
    assert!(really.elapsed() < Duration::from_secs(2));
    Ok(())
}

/// Succeeds at the last attempt; waits twice as long before each.
async fn retry(attempts: u32) -> u32 {
    for attempt in 1..attempts {
        let pause = Duration::from_secs(1 << attempt);
        println!("attempt {attempt} failed; the next in {} s", pause.as_secs());
        sleep(pause).await;
    }
    attempts
}
