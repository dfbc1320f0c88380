//! Tour 11: a thread has one loop at most, and several threads have several, which run at the same
//! time. (`LoopGroup` does this for you.)

use std::sync::mpsc;
use std::thread;

use wheelhouse::{EventLoop, Handle};

fn main() {
    let (sender, made) = mpsc::channel();
    let start = |name: &'static str| {
        let sender = sender.clone();
        let thread = thread::spawn(move || {
            let event_loop = EventLoop::builder().name(name).build().unwrap();
            sender.send(event_loop.handle()).unwrap();
            event_loop.run_forever();
        });
        (made.recv().unwrap(), thread)
    };
    let loops = ["one", "two", "three"].map(start);

    // All three run: a task on the first asks the second, which asks the third.
    let [one, two, three] = [0, 1, 2].map(|index: usize| loops[index].0.clone());
    let answer = one.spawn(|| async move {
        let here = Handle::current();
        println!("loop {}: asks", here.name());
        let answer = two.spawn(|| async move {
            println!("loop {}: asks on", Handle::current().name());
            three.spawn(|| async { format!("loop {}", Handle::current().name()) }).await
        });
        answer.await.unwrap().unwrap()
    });
    println!("the answer comes from {}", answer.wait().unwrap());

    for (handle, thread) in loops {
        handle.stop();
        thread.join().unwrap();
        println!("loop {}: closed: {}", handle.name(), handle.is_closed());
    }
}
