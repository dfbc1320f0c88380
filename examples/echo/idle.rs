//! The watch on a connection that falls silent, made so that a busy one pays nothing for it.
//!
//! Moving an alarm with every message would cost a read of the clock and a look into the wheel, a
//! third of all that a message costs. Instead a message leaves a mark. The alarm rings eight times
//! a timeout while there are marks; after the first ring without one it is set to the very end, and
//! drawn near again by the next message. So a connection is closed no earlier than its timeout and
//! at most an eighth of it later, and one that is idle wakes the loop three times in all.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use wheelhouse::time::{Instant, Sleep, sleep_until};

const RINGS_PER_TIMEOUT: u32 = 8;

pub(crate) struct IdleWatch {
    timeout: Duration,
    alarm: Sleep,
    bell: Arc<Bell>,
    /// The bell again, as what the alarm wakes.
    waker: Waker,
    has_moved: bool,
    /// The alarm is set to the very end.
    is_far: bool,
    /// When something moved last, or a moment after.
    last_moved: Instant,
}

/// Remembers that the alarm rang, so that polls with other reasons need not ask it.
struct Bell {
    has_rung: AtomicBool,
    task: Waker,
}

impl IdleWatch {
    /// Watches from now on. `cx` is that of the connection's task.
    pub(crate) fn new(timeout: Duration, cx: &Context<'_>) -> IdleWatch {
        let bell = Arc::new(Bell { has_rung: AtomicBool::new(false), task: cx.waker().clone() });
        let now = Instant::now();
        let mut watch = IdleWatch {
            timeout,
            alarm: sleep_until(now + timeout / RINGS_PER_TIMEOUT),
            waker: bell.clone().into(),
            bell,
            has_moved: false,
            is_far: false,
            last_moved: now,
        };
        watch.file();
        watch
    }

    /// Ready when nothing has moved for the timeout. `moved`: something did since the last call.
    #[inline]
    pub(crate) fn poll(&mut self, moved: bool) -> Poll<()> {
        if moved && !self.has_moved {
            self.has_moved = true;
            if self.is_far {
                self.set(Instant::now(), false);
            }
        }
        // Set and read on the loop's thread only.
        if self.bell.has_rung.load(Ordering::Relaxed) { self.look() } else { Poll::Pending }
    }

    #[cold]
    fn look(&mut self) -> Poll<()> {
        self.bell.has_rung.store(false, Ordering::Relaxed);
        let now = Instant::now();
        let is_over = !self.has_moved && self.last_moved + self.timeout <= now;
        if is_over {
            return Poll::Ready(());
        }
        let is_far = !self.has_moved;
        if self.has_moved {
            self.has_moved = false;
            self.last_moved = now;
        }
        self.set(now, is_far);
        Poll::Pending
    }

    #[cold]
    fn set(&mut self, now: Instant, is_far: bool) {
        self.is_far = is_far;
        let near = now + self.timeout / RINGS_PER_TIMEOUT;
        let rings = if is_far { self.last_moved + self.timeout } else { near };
        Pin::new(&mut self.alarm).reset(rings);
        self.file();
    }

    fn file(&mut self) {
        if Pin::new(&mut self.alarm).poll(&mut Context::from_waker(&self.waker)).is_ready() {
            self.waker.wake_by_ref();
        }
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.has_rung.store(true, Ordering::Relaxed);
        self.task.wake_by_ref();
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::future::poll_fn;
    use std::rc::Rc;

    use wheelhouse::{Clock, EventLoop, spawn};

    use super::*;

    /// Moves at the given milliseconds; gives when the watch was over, and how often it was polled.
    fn watch(moves: &'static [u64]) -> (u128, u32) {
        let clock = Clock::Virtual { settle: None };
        let event_loop = EventLoop::builder().clock(clock).build().unwrap();
        event_loop.block_on(async move {
            let start = Instant::now();
            let moved = Rc::new((Cell::new(false), RefCell::new(None::<Waker>)));
            let mover = moved.clone();
            drop(spawn(async move {
                for at in moves {
                    sleep_until(start + Duration::from_millis(*at)).await;
                    mover.0.set(true);
                    mover.1.take().into_iter().for_each(Waker::wake);
                }
            }));
            let mut watch = None;
            let mut polls = 0;
            poll_fn(|cx| {
                polls += 1;
                moved.1.replace(Some(cx.waker().clone()));
                let timeout = Duration::from_millis(800);
                let watch = watch.get_or_insert_with(|| IdleWatch::new(timeout, cx));
                watch.poll(moved.0.take())
            })
            .await;
            (start.elapsed().as_millis(), polls)
        })
    }

    #[test]
    fn it_is_over_after_the_timeout_and_at_most_an_eighth_later() {
        assert_eq!(watch(&[]).0, 800);
        let cases: [(&[u64], u128); 4] =
            [(&[1], 1), (&[100, 200, 300], 300), (&[250], 250), (&[799, 1500, 2000], 2000)];
        for (moves, last) in cases {
            let (over, _) = watch(moves);
            assert!((last + 800..=last + 905).contains(&over), "{moves:?}: over at {over}");
        }
    }

    #[test]
    fn who_is_idle_wakes_the_loop_rarely() {
        let (_, polls) = watch(&[10]);
        assert!(polls <= 6, "{polls} polls");
    }
}
