//! Tour 1: an event loop runs for ever, whatever comes and goes on it, until somebody stops it.

use std::io;

use wheelhouse::time::{Duration, sleep};
use wheelhouse::{Clock, EventLoop, Handle, call_later, call_soon, spawn};

fn main() -> io::Result<()> {
    // On this clock a second takes no time. `EventLoop::new()` makes a loop that really waits.
    let event_loop = EventLoop::builder().clock(Clock::Virtual { settle: None }).build()?;
    {
        // Inside, what is spawned lands on this loop. It does not run yet.
        let _here = event_loop.enter();
        call_soon(|| println!("a callback: hello"));
        spawn(count());
        call_later(Duration::from_millis(3500), || {
            println!("3.5 s are over: stop");
            Handle::current().stop();
        });
    }
    println!("the loop runs");
    event_loop.run_forever();
    println!("the loop has stopped");

    // The task was only interrupted. A loop that runs again goes on where it was.
    event_loop.block_on(async { sleep(Duration::from_secs(1)).await });
    Ok(())
}

async fn count() {
    for second in 1.. {
        sleep(Duration::from_secs(1)).await;
        println!("tick {second}");
    }
}
