//! Ways to end what takes too long: a timeout, and cancelling a task. Dropping its handle is none.

use std::future::pending;

use wheelhouse::time::{Duration, sleep, timeout};
use wheelhouse::{run, spawn};

const MS: Duration = Duration::from_millis(1);

/// Says when it is dropped: that is how cancelled code ends.
struct Work(&'static str);

impl Drop for Work {
    fn drop(&mut self) {
        println!("{} is dropped", self.0);
    }
}

fn main() {
    run(async {
        let quick = timeout(1000 * MS, async { "in time" }).await;
        println!("{}", quick.unwrap());

        let slow = timeout(5 * MS, async {
            let _work = Work("the slow future");
            pending::<()>().await;
        });
        println!("{}", slow.await.unwrap_err());

        let task = spawn(async {
            let _work = Work("the task");
            pending::<()>().await;
        });
        sleep(MS).await;
        task.cancel();
        let error = task.await.unwrap_err();
        println!("cancelled: {}", error.is_cancelled());

        // Dropping a handle detaches the task: it runs on.
        drop(spawn(async {
            sleep(MS).await;
            println!("the detached task has ended");
        }));
        sleep(20 * MS).await;
    });
}
