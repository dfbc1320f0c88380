//! Tour 9: a call that blocks starves everybody on the loop. In ten pieces, with awaits between
//! them, it lets others in ten times; in `spawn_blocking` it starves nobody. Debug mode names who
//! held the loop: on stderr, or wherever `tracing` goes.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use wheelhouse::task::Builder;
use wheelhouse::time::{Duration, sleep};
use wheelhouse::{EventLoop, spawn, spawn_blocking};

const MS: Duration = Duration::from_millis(1);

async fn in_one_piece() {
    thread::sleep(100 * MS);
}

async fn in_ten_pieces() {
    for _ in 0..10 {
        thread::sleep(10 * MS);
        sleep(MS).await;
    }
}

/// The job ends when it has heard the notifier ten times.
async fn in_a_thread(notes: Receiver<u32>) {
    let job = spawn_blocking(move || notes.iter().take(10).last());
    println!("in a thread: the notifier spoke {} times", job.await.unwrap().unwrap());
}

fn main() {
    let debug = EventLoop::builder().debug(true).slow_task_threshold(80 * MS);
    debug.run(async {
        let (spoken, (sender, notes)) = (Rc::new(Cell::new(0)), channel());
        let count = spoken.clone();
        spawn(async move {
            loop {
                sleep(5 * MS).await;
                count.set(count.get() + 1);
                let _nobody_listens = sender.send(count.get());
            }
        });
        let report = move |name| println!("{name}: the notifier spoke {} times", spoken.take());
        let also = report.clone();
        let work = async move {
            in_one_piece().await;
            report("in one piece");
        };
        Builder::new().name("one piece").spawn(work).await.unwrap();
        let work = async move {
            in_ten_pieces().await;
            also("in ten pieces");
        };
        Builder::new().name("ten pieces").spawn(work).await.unwrap();
        in_a_thread(notes).await;
    });
}
