//! Calls that block go to a thread of the loop's pool; the loop goes on.

use std::thread;

use wheelhouse::time::{Duration, sleep};
use wheelhouse::{run, spawn_blocking};

fn main() {
    run(async {
        let job = spawn_blocking(|| {
            thread::sleep(Duration::from_millis(50));
            "the job is done"
        });
        for tick in 1..=3 {
            sleep(Duration::from_millis(5)).await;
            println!("tick {tick}");
        }
        println!("{}", job.await.unwrap());

        // A job's panic is an error here, and nothing else. (This way of panicking prints nothing.)
        let job = spawn_blocking(|| std::panic::resume_unwind(Box::new("out of luck")));
        let error = job.await.unwrap_err();
        println!("panicked: {}", error.is_panic());
    });
}
