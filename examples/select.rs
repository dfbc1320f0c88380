//! Whichever comes first: `select!` over futures that are dropped when they lose, over one that
//! lives on, and in a stated order.

use std::pin::pin;

use wheelhouse::time::{Duration, Instant, interval, sleep};
use wheelhouse::{Clock, EventLoop, completion, select, spawn};

const SECOND: Duration = Duration::from_secs(1);

fn main() {
    let no_time = EventLoop::builder().clock(Clock::Virtual { settle: None });
    no_time.run(async {
        // The loser is dropped where it waits.
        let first = select! {
            () = sleep(SECOND) => "one second",
            () = sleep(2 * SECOND) => "two seconds",
        };
        println!("first: {first}");

        // Behind a `&mut`, what loses lives on: the work goes on while the clock ticks.
        let mut work = pin!(work());
        let mut ticks = interval(SECOND);
        let answer = loop {
            select! {
                answer = &mut work => break answer,
                _ = ticks.tick() => println!("still at work"),
            }
        };
        println!("the answer is {answer}");

        // Of those that are ready any may win, unless their order is said to count.
        let both = select! {
            biased;
            name = async { "the first" } => name,
            name = async { "the second" } => name,
        };
        println!("both are ready: {both}");

        // Asked to stop, or done: a value that somebody gives is a future as any other.
        let (completer, stop) = completion::<()>();
        spawn(async move {
            sleep(3 * SECOND).await;
            completer.complete(());
        });
        let start = Instant::now();
        select! {
            _ = stop => println!("stopped after {} s", start.elapsed().as_secs()),
            () = sleep(60 * SECOND) => println!("done"),
        }
    });
}

async fn work() -> u32 {
    sleep(2 * SECOND + SECOND / 2).await;
    42
}
