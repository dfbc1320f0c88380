//! Tour 10: async functions are chained as plain ones are. x^2 + 3 for the first hundred numbers:
//! one by one, all at once, and as a stream.

use std::pin::pin;

use futures_lite::stream::{self, StreamExt};
use wheelhouse::time::{Duration, Instant, sleep};
use wheelhouse::{Clock, EventLoop, gather};

const SECOND: Duration = Duration::from_secs(1);

async fn square(x: u32) -> u32 {
    sleep(SECOND).await;
    x * x
}

async fn add_three(x: u32) -> u32 {
    sleep(SECOND).await;
    x + 3
}

async fn both(x: u32) -> u32 {
    add_three(square(x).await).await
}

fn main() {
    let no_time = EventLoop::builder().clock(Clock::Virtual { settle: None });
    no_time.run(async {
        let start = Instant::now();
        let mut one_by_one = Vec::new();
        for x in 0..100 {
            one_by_one.push(both(x).await);
        }
        for ten in one_by_one.chunks(10) {
            println!("{ten:?}");
        }
        println!("one by one: {} s", start.elapsed().as_secs());

        let start = Instant::now();
        assert_eq!(gather((0..100).map(both)).await, one_by_one);
        println!("all at once: {} s", start.elapsed().as_secs());

        // A stream is a loop that awaits. The next number is squared when it is asked for.
        let start = Instant::now();
        let mut numbers = pin!(stream::iter(0..100).then(square).then(add_three).enumerate());
        while let Some((x, y)) = numbers.next().await {
            assert_eq!(y, one_by_one[x]);
        }
        println!("as a stream: {} s", start.elapsed().as_secs());
    });
}
