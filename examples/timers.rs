//! Timers: many at once, short ones, a deadline that moves, and a callback.

use std::pin::pin;

use wheelhouse::time::{Duration, Instant, sleep};
use wheelhouse::{call_later, run, spawn};

const MS: Duration = Duration::from_millis(1);

fn main() {
    run(async {
        // They end in order of their deadlines.
        let tasks = [30, 10, 20].map(|n| {
            spawn(async move {
                sleep(n * MS).await;
                println!("{n} ms are over");
            })
        });
        for task in tasks {
            task.await.unwrap();
        }

        // Never early, and on an idle machine some microseconds late.
        let start = Instant::now();
        sleep(Duration::from_micros(300)).await;
        assert!(start.elapsed() >= Duration::from_micros(300));
        println!("300 us are over");

        // An idle timeout, put off by every message. Putting off costs nanoseconds.
        let mut idle = pin!(sleep(100 * MS));
        for message in ["ping", "pong"] {
            sleep(2 * MS).await;
            println!("{message}");
            idle.as_mut().reset(Instant::now() + 10 * MS);
        }
        idle.await;
        println!("nothing came for 10 ms");

        // A callback needs no task. This one is called off before it is due.
        call_later(2 * MS, || println!("called back"));
        let other = call_later(2 * MS, || println!("never printed"));
        other.cancel();
        sleep(10 * MS).await;
    });
}
