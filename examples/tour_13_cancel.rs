//! Tour 13: cancelling a task, a timeout, and a shield against both. What is cancelled is dropped
//! where it waits, so its clean-up is a `Drop`.

use wheelhouse::time::{Duration, sleep, timeout};
use wheelhouse::{Clock, EventLoop, shield, spawn};

const SECOND: Duration = Duration::from_secs(1);

struct CleanUp(&'static str);

impl Drop for CleanUp {
    fn drop(&mut self) {
        println!("{}: cleans up", self.0);
    }
}

async fn work(name: &'static str, seconds: u32) -> &'static str {
    let _clean_up = CleanUp(name);
    println!("{name}: begins");
    sleep(seconds * SECOND).await;
    println!("{name}: is done");
    name
}

fn main() {
    let no_time = EventLoop::builder().clock(Clock::Virtual { settle: None });
    no_time.run(async {
        let task = spawn(work("cancelled", 3600));
        sleep(SECOND).await;
        task.cancel();
        println!("main: {}", task.await.unwrap_err());

        let late = timeout(SECOND, work("eternal", 3600)).await;
        println!("main: {}", late.unwrap_err());
        println!("main: in time: {}", timeout(SECOND, async { 42 }).await.unwrap());

        // The task that waits for it is cancelled. What is shielded goes on.
        let task = spawn(async { shield(work("shielded", 2)).await });
        sleep(SECOND).await;
        task.cancel();
        println!("main: {}", task.await.unwrap_err());
        sleep(2 * SECOND).await;
    });
}
