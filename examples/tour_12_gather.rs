//! Tour 12: one after another, waiting adds up. Gathered, it takes as long as the longest.

use wheelhouse::time::{Duration, Instant, sleep};
use wheelhouse::{Clock, EventLoop, gather};

async fn say_after(seconds: u64) -> u64 {
    sleep(Duration::from_secs(seconds)).await;
    println!("{seconds} s are over");
    seconds
}

fn main() {
    let no_time = EventLoop::builder().clock(Clock::Virtual { settle: None });
    no_time.run(async {
        println!("-- one after another");
        let start = Instant::now();
        let outputs = [say_after(3).await, say_after(2).await, say_after(1).await];
        println!("{outputs:?} in {} s", start.elapsed().as_secs());

        // The outputs come in the order of the futures, whoever was first.
        println!("-- gathered");
        let start = Instant::now();
        let outputs = gather([3, 2, 1].map(say_after)).await;
        println!("{outputs:?} in {} s", start.elapsed().as_secs());
    });
}
