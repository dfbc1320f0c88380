//! A daemon's end: SIGTERM comes, the loop shuts down within a grace, and says what it stopped.

use std::future::pending;
use std::io;

use rustix::process::{Signal, getpid, kill_process};
use wheelhouse::signal::{SignalKind, signal};
use wheelhouse::time::{Duration, sleep};
use wheelhouse::{EventLoop, spawn};

fn main() -> io::Result<()> {
    let event_loop = EventLoop::new()?;
    event_loop.block_on(async {
        // From here on the signal no longer ends the process.
        let mut terminate = signal(SignalKind::terminate())?;
        for name in ["one", "two"] {
            spawn(worker(name));
        }
        // Stands for the service manager.
        spawn(async {
            sleep(Duration::from_millis(10)).await;
            kill_process(getpid(), Signal::TERM)
        });
        terminate.recv().await;
        println!("SIGTERM: shutting down");
        io::Result::Ok(())
    })?;
    let report = event_loop.shutdown(Duration::from_secs(1));
    println!("cancelled: {}, clean: {}", report.cancelled, report.is_clean());
    Ok(())
}

async fn worker(name: &'static str) {
    println!("worker {name} starts");
    let _end = OnDrop(name);
    pending().await
}

struct OnDrop(&'static str);

impl Drop for OnDrop {
    fn drop(&mut self) {
        println!("worker {} stops", self.0);
    }
}
