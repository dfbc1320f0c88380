//! The word that it is time to stop, from the thread that receives signals to the loops.

use std::future::poll_fn;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::{Poll, Waker};

/// How far the stop has come. It only goes forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Stage {
    /// No stop.
    Running = 0,
    /// Accept no more, echo what has arrived.
    Draining = 1,
    /// Close everything now.
    Now = 2,
}

#[derive(Debug, Default)]
pub(crate) struct Stop {
    stage: AtomicU8,
    waiting: Mutex<Vec<Waker>>,
}

impl Stop {
    pub(crate) fn set(&self, stage: Stage) {
        self.stage.fetch_max(stage as u8, Ordering::SeqCst);
        let waiting =
            std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        // Woken with the lock released: a waker is foreign code.
        waiting.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn has_reached(&self, stage: Stage) -> bool {
        self.stage.load(Ordering::SeqCst) >= stage as u8
    }

    /// Waits on any loop. Cancel safe.
    pub(crate) async fn reached(&self, stage: Stage) {
        poll_fn(|cx| {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            // Looked at under the lock, so that no `set` falls between the look and the entry.
            if self.has_reached(stage) {
                return Poll::Ready(());
            }
            if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                waiting.push(cx.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;

    #[test]
    fn it_only_goes_forward_and_wakes_other_threads() {
        let stop = Arc::new(Stop::default());
        assert!(stop.has_reached(Stage::Running) && !stop.has_reached(Stage::Draining));
        let other = stop.clone();
        let waiter = std::thread::spawn(move || {
            wheelhouse::run(async move { other.reached(Stage::Now).await })
        });
        stop.set(Stage::Draining);
        std::thread::sleep(Duration::from_millis(5));
        assert!(!waiter.is_finished());
        stop.set(Stage::Now);
        waiter.join().unwrap();
        stop.set(Stage::Draining);
        assert!(stop.has_reached(Stage::Now));
    }
}
