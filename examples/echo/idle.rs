//! The watch on a connection that falls silent, made so that a busy one pays nothing for it.
//!
//! Moving an alarm with every message would cost a read of the clock and a look into the wheel, a
//! third of all that a message costs. Instead a message leaves a mark. The alarm rings eight times
//! a timeout while there are marks; after the first ring without one it is set to the very end, and
//! drawn near again by the next message. So a connection is closed no earlier than its timeout and
//! at most an eighth of it later, and one that is idle wakes the loop three times in all.
//!
//! A message and the alarm may wake a task at once, so each poll has to know whether the alarm has
//! rung. With ten thousand connections a word of its own for that would hardly ever be in the
//! processor's cache. But alarms ring in the order of their times: those of a loop share one word,
//! which says how far they have come.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use wheelhouse::time::{Instant, Sleep, sleep_until};

const RINGS_PER_TIMEOUT: u32 = 8;

/// What the watches of one loop share.
#[derive(Clone, Debug)]
pub(crate) struct Rung {
    origin: Instant,
    /// The latest alarm that has rung, in nanoseconds since the origin. It is set and read on the
    /// loop's thread only.
    latest: Arc<AtomicU64>,
}

impl Rung {
    /// None so far.
    pub(crate) fn none() -> Rung {
        Rung { origin: Instant::now(), latest: Arc::default() }
    }

    fn ns_at(&self, at: Instant) -> u64 {
        u64::try_from(at.duration_since(self.origin).as_nanos()).unwrap_or(u64::MAX)
    }
}

pub(crate) struct IdleWatch {
    /// When the alarm rings, as [`Rung`] counts.
    rings_at: u64,
    has_moved: bool,
    /// The alarm is set to the very end.
    is_far: bool,
    /// What a message does not look at.
    rest: Box<Rest>,
}

struct Rest {
    timeout: Duration,
    alarm: Sleep,
    bell: Arc<Bell>,
    /// When something moved last, or a moment after.
    last_moved: Instant,
}

/// What the alarm wakes: says that it has rung, and wakes the connection's task.
struct Bell {
    rings_at: AtomicU64,
    latest: Arc<AtomicU64>,
    task: Waker,
}

impl IdleWatch {
    /// Watches from now on. `cx` is that of the connection's task.
    pub(crate) fn new(timeout: Duration, rung: &Rung, cx: &Context<'_>) -> IdleWatch {
        let (latest, task) = (rung.latest.clone(), cx.waker().clone());
        let bell = Arc::new(Bell { rings_at: AtomicU64::new(0), latest, task });
        let now = Instant::now();
        let rest = Rest { timeout, alarm: sleep_until(now), bell, last_moved: now };
        let rest = Box::new(rest);
        let mut watch = IdleWatch { rings_at: 0, has_moved: false, is_far: false, rest };
        watch.set(now, false, rung);
        watch
    }

    /// Ready when nothing has moved for the timeout. `moved`: something did since the last call.
    #[inline]
    pub(crate) fn poll(&mut self, moved: bool, rung: &Rung) -> Poll<()> {
        if moved && !self.has_moved {
            self.has_moved = true;
            if self.is_far {
                self.set(Instant::now(), false, rung);
            }
        }
        if self.rings_at > rung.latest.load(Ordering::Relaxed) {
            return Poll::Pending;
        }
        self.look(rung)
    }

    /// The alarm has rung, or is to ring at this moment.
    #[cold]
    fn look(&mut self, rung: &Rung) -> Poll<()> {
        let now = Instant::now();
        let is_over = !self.has_moved && self.rest.last_moved + self.rest.timeout <= now;
        if is_over {
            return Poll::Ready(());
        }
        let is_far = !self.has_moved;
        if self.has_moved {
            self.has_moved = false;
            self.rest.last_moved = now;
        }
        self.set(now, is_far, rung);
        Poll::Pending
    }

    #[cold]
    fn set(&mut self, now: Instant, is_far: bool, rung: &Rung) {
        self.is_far = is_far;
        let Rest { timeout, alarm, bell, last_moved } = &mut *self.rest;
        let near = now + *timeout / RINGS_PER_TIMEOUT;
        let rings_at = if is_far { *last_moved + *timeout } else { near };
        self.rings_at = rung.ns_at(rings_at);
        bell.rings_at.store(self.rings_at, Ordering::Relaxed);
        let mut alarm = Pin::new(alarm);
        alarm.as_mut().reset(rings_at);
        let waker = bell.clone().into();
        if alarm.poll(&mut Context::from_waker(&waker)).is_ready() {
            waker.wake();
        }
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.latest.fetch_max(self.rings_at.load(Ordering::Relaxed), Ordering::Relaxed);
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

    const TIMEOUT: Duration = Duration::from_millis(800);

    /// Moves at the given milliseconds; gives when the watch was over, and how often it was polled.
    async fn watch(moves: &'static [u64], timeout: Duration, rung: Rung) -> (u128, u32) {
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
            let watch = watch.get_or_insert_with(|| IdleWatch::new(timeout, &rung, cx));
            watch.poll(moved.0.take(), &rung)
        })
        .await;
        (start.elapsed().as_millis(), polls)
    }

    fn run<F: Future>(future: F) -> F::Output {
        let clock = Clock::Virtual { settle: None };
        EventLoop::builder().clock(clock).build().unwrap().block_on(future)
    }

    fn watch_alone(moves: &'static [u64]) -> (u128, u32) {
        run(async { watch(moves, TIMEOUT, Rung::none()).await })
    }

    #[test]
    fn it_is_over_after_the_timeout_and_at_most_an_eighth_later() {
        assert_eq!(watch_alone(&[]).0, 800);
        let cases: [(&[u64], u128); 4] =
            [(&[1], 1), (&[100, 200, 300], 300), (&[250], 250), (&[799, 1500, 2000], 2000)];
        for (moves, last) in cases {
            let (over, _) = watch_alone(moves);
            assert!((last + 800..=last + 905).contains(&over), "{moves:?}: over at {over}");
        }
    }

    #[test]
    fn who_is_idle_wakes_the_loop_rarely() {
        let (_, polls) = watch_alone(&[10]);
        assert!(polls <= 6, "{polls} polls");
    }

    /// Each hears of its own alarm, whatever rings before, after or with it.
    #[test]
    fn those_of_one_loop_do_not_disturb_each_other() {
        const MOVES: [&[u64]; 4] = [&[], &[100, 200], &[1, 350, 700, 1300], &[799, 1500]];
        run(async {
            let rung = Rung::none();
            let mut watches = Vec::new();
            for timeout in [160, 800, 801, 2400] {
                for moves in MOVES {
                    let watching = watch(moves, Duration::from_millis(timeout), rung.clone());
                    watches.push((timeout, moves, spawn(watching)));
                }
            }
            for (timeout, moves, watching) in watches {
                let (over, _) = watching.await.unwrap();
                // The first silence that is as long as the timeout, or a move at its very end.
                let silent =
                    |last: &u64| !moves.iter().any(|at| (last + 1..=last + timeout).contains(at));
                let starts = [&[0], moves].concat();
                let last = *starts.iter().find(|last| silent(last)).unwrap();
                let latest = last + timeout + timeout / 8 + 5;
                let over = u64::try_from(over).unwrap();
                assert!((last + timeout..=latest).contains(&over), "{timeout}, {moves:?}: {over}");
            }
        });
    }
}
