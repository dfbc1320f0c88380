//! Tour 3: a task is a future that the loop runs. The loop holds it: who drops the handle does not
//! lose the task.

use std::cell::Cell;
use std::rc::Rc;

use wheelhouse::time::{Duration, sleep};
use wheelhouse::{Clock, EventLoop, spawn};

fn main() {
    let no_time = EventLoop::builder().clock(Clock::Virtual { settle: None });
    no_time.run(async {
        // It is in the loop's queue now. It runs when this future waits.
        let task = spawn(penguin(5));
        println!("spawned, not begun");
        println!("the task gave {}", task.await.unwrap());

        // In asyncio the garbage collector may take such tasks before they have run.
        let done = Rc::new(Cell::new(0));
        for _ in 0..1000 {
            let done = done.clone();
            drop(spawn(async move {
                sleep(Duration::from_secs(1)).await;
                done.set(done.get() + 1);
            }));
        }
        sleep(Duration::from_secs(2)).await;
        println!("{} of 1000 tasks without a handle have run to their end", done.get());
    });
    println!("the root future is done");
}

async fn penguin(number: u32) -> u32 {
    println!("the task: my number is {number}");
    number * 2
}
