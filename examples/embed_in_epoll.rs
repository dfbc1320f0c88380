//! A host with an epoll of its own, edge-triggered: an edge comes once, so it turns our loop until
//! there is no more to do.

use std::io;
use std::thread;

use wheelhouse::time::{Duration, sleep};
use wheelhouse::{EventLoop, Handle, spawn, spawn_blocking, yield_now};

fn main() -> io::Result<()> {
    let event_loop = EventLoop::new()?;
    let _here = event_loop.enter();
    let work = spawn(work());
    host(&event_loop, || work.is_finished())?;
    println!("host: the work is done");
    Ok(())
}

#[cfg(target_os = "linux")]
fn host(event_loop: &EventLoop, is_over: impl Fn() -> bool) -> io::Result<()> {
    use rustix::buffer::spare_capacity;
    use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

    const OURS: u64 = 1; // The host's own descriptors would have other numbers.
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    let edges = EventFlags::IN | EventFlags::ET;
    epoll::add(&epoll, event_loop, EventData::new_u64(OURS), edges)?;
    let mut events = Vec::with_capacity(8);
    while !is_over() {
        events.clear();
        epoll::wait(&epoll, spare_capacity(&mut events), None)?;
        for _edge in events.iter().filter(|event| event.data.u64() == OURS) {
            while event_loop.turn(Some(Duration::ZERO))?.more() {}
        }
    }
    Ok(())
}

/// Other systems have no epoll.
#[cfg(not(target_os = "linux"))]
fn host(event_loop: &EventLoop, is_over: impl Fn() -> bool) -> io::Result<()> {
    while !is_over() {
        event_loop.turn(None)?;
    }
    Ok(())
}

async fn work() {
    for step in 1..=3 {
        yield_now().await;
        println!("step {step}, one a turn");
    }
    sleep(Duration::from_millis(5)).await;
    println!("timer: 5 ms later");

    let handle = Handle::current();
    let asks = move || handle.spawn(|| async { "a thread asked for this" }).wait();
    let answer = spawn_blocking(move || thread::spawn(asks).join().unwrap());
    println!("thread: {}", answer.await.unwrap().unwrap());
}
