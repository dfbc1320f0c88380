//! Tour 8: an async sleep made of OS threads. Five of them sleep five seconds each, and the loop
//! hears of it: five seconds in all.
//!
//! A second is 40 ms here. The tutorial's trap, a future that a thread completes without waking
//! the loop, does not compile: a `Completer` cannot be moved to a thread, only what `remote()`
//! makes of it can.

use std::thread;

use wheelhouse::time::{Duration, Instant};
use wheelhouse::{completion, gather, run};

const SECOND: Duration = Duration::from_millis(40);

async fn thread_sleep(name: u32, duration: Duration) -> u32 {
    let (completer, over) = completion();
    let completer = completer.remote();
    thread::spawn(move || {
        thread::sleep(duration);
        // Through the loop's inbox, which wakes the loop if it waits.
        completer.complete(name);
    });
    println!("sleeper {name}: asleep in a thread of its own");
    over.await.unwrap()
}

fn main() {
    run(async {
        let start = Instant::now();
        let sleepers = gather((1..=5).map(|name| thread_sleep(name, 5 * SECOND)));
        println!("all are awake: {:?}", sleepers.await);

        let took = start.elapsed();
        println!("five seconds have passed: {}", took >= 5 * SECOND);
        println!("five times five have: {}", took >= 5 * 5 * SECOND);
    });
}
