//! Tour 5: what `await` is made of. A rock, written by hand, gives 7 and waits for 42. The future
//! that awaits it is polled by hand first, with a waker of our own, and then by a loop.

use std::cell::Cell;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, Wake, Waker};

use wheelhouse::{join, run};

/// A poll carries no values. Those for and from the rock lie here, and its waker.
#[derive(Default)]
struct Lap(Cell<u32>, Cell<Option<u32>>, Cell<Option<Waker>>);

struct Rock<'a>(&'a Lap);

impl Future for Rock<'_> {
    type Output = u32;
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<u32> {
        let Lap(given, sent, waker) = self.0;
        if let Some(value) = sent.take() {
            println!("  rock: resumed with {value}");
            return Poll::Ready(value);
        }
        given.set(7);
        waker.set(Some(cx.waker().clone()));
        Poll::Pending
    }
}

async fn future(lap: &Lap) -> u32 {
    println!("  future: begins, awaits the rock");
    println!("  future: got {} from it", Rock(lap).await);
    23
}

fn resume(Lap(given, sent, waker): &Lap) {
    println!("it waits, and gave {}; sending 42", given.get());
    sent.set(Some(42));
    waker.take().unwrap().wake();
}

/// A waker says that its future is worth another poll. A loop polls when it does, never before.
struct Bell(AtomicBool);
impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Relaxed);
    }
}

fn main() {
    let (lap, bell) = (&Lap::default(), Arc::new(Bell(AtomicBool::new(false))));
    let (waker, mut by_hand) = (Waker::from(bell.clone()), pin!(future(lap)));
    assert!(by_hand.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    resume(lap);
    assert!(bell.0.load(Relaxed));
    println!("by hand: {:?}", by_hand.poll(&mut Context::from_waker(&waker)));
    println!("by the loop: {}", run(async { join!(future(lap), async { resume(lap) }).0 }));
}
