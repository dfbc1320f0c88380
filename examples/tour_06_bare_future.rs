//! Tour 6: a bare future, which stands for a value and not for work. Whoever holds the completer
//! gives the value; any number may await it.

use wheelhouse::time::{Duration, Instant, sleep};
use wheelhouse::{Clock, EventLoop, completion, spawn};

fn main() {
    let no_time = EventLoop::builder().clock(Clock::Virtual { settle: None });
    no_time.run(async {
        let (completer, answer) = completion::<&str>();
        let start = Instant::now();
        spawn(async move {
            sleep(Duration::from_secs(2)).await;
            println!("setter: gives the value");
            // It is used up: a value cannot be given twice.
            completer.complete("forty-two");
        });
        let readers = ["one", "two"].map(|name| {
            let answer = answer.clone();
            spawn(async move {
                println!("reader {name}: waits");
                let value = answer.await.unwrap();
                println!("reader {name}: got {value} after {} s", start.elapsed().as_secs());
            })
        });
        println!("complete: {}", answer.is_complete());
        for reader in readers {
            reader.await.unwrap();
        }
        println!("complete: {}, and still there: {}", answer.is_complete(), answer.await.unwrap());

        // Dropped instead, it leaves an error and nobody who waits for ever.
        let (completer, never) = completion::<()>();
        drop(completer);
        println!("without a value: {}", never.await.unwrap_err());
    });
}
