//! Wakers that leave the loop: called from anywhere, at any moment, kept for ever, and foreign ones
//! that misbehave.

mod support;

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use support::{
    GUARD, OnDrop, assert_nothing_left, in_child, poll_with, rounds, run_checked, turn_until_idle,
};
use wheelhouse::time::{self, sleep};
use wheelhouse::{EventLoop, spawn, yield_now};

/// Spawns a task that waits for ever, and gives its waker.
async fn waiting_task() -> (wheelhouse::JoinHandle<()>, Waker) {
    let place = Rc::new(RefCell::new(None));
    let seen = place.clone();
    let task = spawn(poll_fn(move |cx| {
        seen.replace(Some(cx.waker().clone()));
        Poll::<()>::Pending
    }));
    yield_now().await;
    let waker = place.take().unwrap();
    (task, waker)
}

/// Runs `test` on a thread of its own: a test for what must not hang.
#[track_caller]
fn must_end(test: impl FnOnce() + Send + 'static) {
    let (done, ended) = mpsc::channel();
    let thread = thread::spawn(move || {
        test();
        done.send(()).unwrap();
    });
    match ended.recv_timeout(4 * GUARD) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("it hangs"),
        _ => thread.join().unwrap(),
    }
}

/// Row 4 of the pitfalls.
#[test]
fn a_loop_may_be_dropped_while_another_thread_wakes_its_tasks() {
    // A waker keeps what wakes its loop, a descriptor: not too many at a time.
    let (wakers, to_wake) = mpsc::sync_channel::<(Waker, Arc<AtomicBool>)>(16);
    let waking = thread::spawn(move || {
        for (waker, done) in to_wake {
            while !done.load(Ordering::Acquire) {
                waker.wake_by_ref();
                drop(waker.clone());
            }
            waker.wake();
        }
    });
    for _ in 0..rounds(10_000, 10) {
        let event_loop = EventLoop::new().unwrap();
        let done = Arc::new(AtomicBool::new(false));
        let (_task, waker) = event_loop.block_on(waiting_task());
        wakers.send((waker, done.clone())).unwrap();
        let _ = event_loop.turn(Some(Duration::ZERO)).unwrap();
        drop(event_loop);
        done.store(true, Ordering::Release);
    }
    drop(wakers);
    waking.join().unwrap();
}

/// Row 5.
#[test]
fn a_waker_outlives_its_task_and_its_loop() {
    let event_loop = EventLoop::new().unwrap();
    let (task, waker) = event_loop.block_on(waiting_task());
    event_loop.block_on(async {
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        waker.wake_by_ref();
        yield_now().await;
    });
    assert_nothing_left(&event_loop);
    let copy = waker.clone();
    assert!(waker.will_wake(&copy));
    drop(event_loop);
    waker.wake_by_ref();
    thread::spawn(move || copy.wake()).join().unwrap();
    drop(waker);
}

/// Row 6.
#[test]
fn waking_a_closed_loop_under_the_lock_that_its_futures_needed_does_not_hang() {
    must_end(|| {
        let shared = Arc::new(Mutex::new(None));
        let (place, locks) = (shared.clone(), shared.clone());
        let event_loop = EventLoop::new().unwrap();
        let task = {
            let _entered = event_loop.enter();
            spawn(async move {
                let _guard = OnDrop::new(move || drop(locks.lock().unwrap()));
                poll_fn(|cx| {
                    *place.lock().unwrap() = Some(cx.waker().clone());
                    Poll::<()>::Pending
                })
                .await;
            })
        };
        turn_until_idle(&event_loop);
        let remote = event_loop.handle().spawn({
            let locks = shared.clone();
            move || {
                let guard = OnDrop::new(move || drop(locks.lock().unwrap()));
                async move {
                    let _guard = guard;
                    pending::<()>().await;
                }
            }
        });
        let handle = event_loop.handle();
        // Dropped on another thread while this one holds the lock and wakes: the loop's thread
        // waits for the lock, not the other way round.
        drop(event_loop);
        let held = shared.lock().unwrap();
        held.as_ref().unwrap().wake_by_ref();
        assert!(handle.call_soon(|| ()).is_err());
        remote.cancel();
        task.cancel();
        drop(held);
        drop((task, remote));
    });
}

/// Row 6, while the loop is closing on another thread.
#[test]
fn waking_under_a_lock_while_the_loop_closes_does_not_hang() {
    must_end(|| {
        for _ in 0..rounds(300, 3) {
            let shared = Arc::new(Mutex::new(()));
            let (wakers, waker) = mpsc::channel();
            let locks = shared.clone();
            let closing = thread::spawn(move || {
                let event_loop = EventLoop::new().unwrap();
                let _entered = event_loop.enter();
                drop(spawn(async move {
                    let _guard = OnDrop::new(move || drop(locks.lock().unwrap()));
                    poll_fn(|cx| {
                        wakers.send(cx.waker().clone()).unwrap();
                        Poll::<()>::Pending
                    })
                    .await;
                }));
                drop(_entered);
                let _ = event_loop.turn(Some(Duration::ZERO)).unwrap();
            });
            let waker = waker.recv().unwrap();
            let held = shared.lock().unwrap();
            for _ in 0..10 {
                waker.wake_by_ref();
                thread::yield_now();
            }
            drop(held);
            closing.join().unwrap();
        }
    });
}

/// Row 7: what is kept of a finished task is its waker, not its future. Measured in a process of
/// its own.
#[test]
#[cfg(target_os = "linux")]
#[cfg_attr(miri, ignore = "child processes are not for Miri")]
fn a_waker_that_is_kept_does_not_keep_the_memory_of_its_future() {
    const TASKS: usize = 10_000;
    const FUTURE: usize = 16 << 10;
    let resident = || {
        let status = std::fs::read_to_string("/proc/self/statm").unwrap();
        status.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
    };
    in_child("a_waker_that_is_kept_does_not_keep_the_memory_of_its_future", || {
        let kept = Rc::new(RefCell::new(Vec::with_capacity(TASKS)));
        run_checked(async {
            let before = resident();
            for n in 0..TASKS {
                let kept = kept.clone();
                let task = spawn(async move {
                    let weight = [n as u8; FUTURE];
                    poll_fn(|cx| {
                        kept.borrow_mut().push(cx.waker().clone());
                        Poll::Ready(())
                    })
                    .await;
                    yield_now().await;
                    std::hint::black_box(weight);
                });
                task.await.unwrap();
            }
            let grown = resident().saturating_sub(before);
            assert!(grown < TASKS * FUTURE / 10, "{grown} bytes are kept by {TASKS} wakers");
        });
        assert_eq!(kept.borrow().len(), TASKS);
    });
}

/// Row 16, and row 1 from outside: the models in `runtime/loom_tests.rs` look at every
/// interleaving.
#[test]
fn wakes_from_many_threads_are_all_followed_by_a_poll_that_sees_what_was_written_before() {
    const THREADS: usize = 4;
    let wakes = rounds(if cfg!(debug_assertions) { 25_000 } else { 250_000 }, 20) as u64;
    must_end(move || {
        let event_loop = EventLoop::new().unwrap();
        let written: Arc<[AtomicU64; THREADS]> = Arc::default();
        let (wakers, waker) = mpsc::channel::<Waker>();
        let seen = written.clone();
        let task = {
            let _entered = event_loop.enter();
            spawn(poll_fn(move |cx| {
                let _ = wakers.send(cx.waker().clone());
                // Relaxed: it is the wake that must make them visible.
                let all = seen.iter().all(|count| count.load(Ordering::Relaxed) == wakes);
                if all { Poll::Ready(()) } else { Poll::Pending }
            }))
        };
        let _ = event_loop.turn(Some(Duration::ZERO)).unwrap();
        let waker = waker.recv().unwrap();
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (written, waker) = (written.clone(), waker.clone());
                thread::spawn(move || {
                    for n in 1..=wakes {
                        written[thread].store(n, Ordering::Relaxed);
                        waker.wake_by_ref();
                    }
                })
            })
            .collect();
        event_loop.block_on(task).unwrap();
        for thread in threads {
            thread.join().unwrap();
        }
        turn_until_idle(&event_loop);
        assert_nothing_left(&event_loop);
    });
}

#[test]
fn a_loop_that_sleeps_is_woken_by_every_single_wake() {
    must_end(|| {
        let event_loop = EventLoop::new().unwrap();
        let rounds = rounds(20_000, 20);
        let (wakers, to_wake) = mpsc::channel::<Waker>();
        let waking = thread::spawn(move || to_wake.into_iter().for_each(Waker::wake));
        event_loop.block_on(async move {
            for _ in 0..rounds {
                let mut sent = false;
                poll_fn(|cx| {
                    if std::mem::replace(&mut sent, true) {
                        return Poll::Ready(());
                    }
                    wakers.send(cx.waker().clone()).unwrap();
                    Poll::Pending
                })
                .await;
            }
        });
        waking.join().unwrap();
        assert_nothing_left(&event_loop);
    });
}

/// A waker that panics when it is woken or dropped.
struct Bomb {
    on_drop: bool,
}

fn bomb(on_drop: bool) -> Waker {
    Waker::from(Arc::new(Bomb { on_drop }))
}

impl Wake for Bomb {
    fn wake(self: Arc<Self>) {
        assert!(self.on_drop, "a foreign waker");
    }
}

impl Drop for Bomb {
    fn drop(&mut self) {
        if self.on_drop && !thread::panicking() {
            panic!("the drop of a foreign waker");
        }
    }
}

#[test]
fn foreign_wakers_that_panic_hurt_nobody() {
    for on_drop in [false, true] {
        let event_loop = EventLoop::builder()
            .clock(wheelhouse::Clock::Virtual { settle: None })
            .build()
            .unwrap();
        event_loop.block_on(async {
            let mut pause = sleep(Duration::from_millis(1));
            let mut task = spawn(yield_now());
            let (ours, mut peer) = support::socket_pair();
            let ours = wheelhouse::io::AsyncFd::new(ours).unwrap();
            // One each, so that the loop is the last to hold it.
            assert!(poll_with(&mut pause, &bomb(on_drop)).is_pending());
            assert!(poll_with(&mut task, &bomb(on_drop)).is_pending());
            let polled = ours.poll_read_ready(&mut Context::from_waker(&bomb(on_drop)));
            assert!(polled.is_pending());
            std::io::Write::write_all(&mut peer, &[1]).unwrap();
            let bystander = spawn(async { yield_now().await });
            time::advance(Duration::from_millis(2)).await;
            bystander.await.unwrap();
            drop(ours.readable().await.unwrap());
            pause.await;
            task.await.unwrap();
        });
        assert_nothing_left(&event_loop);
    }
}

#[test]
fn a_waker_may_call_back_into_the_loop_when_it_is_woken_cloned_or_dropped() {
    /// Spawns a task whenever anything is done to it.
    struct Busy(Arc<AtomicU64>);

    fn spawn_one(count: &Arc<AtomicU64>) {
        if wheelhouse::Handle::try_current().is_some() {
            let count = count.clone();
            drop(spawn(async move {
                count.fetch_add(1, Ordering::Relaxed);
            }));
            drop(sleep(Duration::ZERO));
        }
    }

    impl Wake for Busy {
        fn wake(self: Arc<Self>) {
            spawn_one(&self.0);
        }
    }

    impl Drop for Busy {
        fn drop(&mut self) {
            spawn_one(&self.0);
        }
    }

    let count = Arc::new(AtomicU64::new(0));
    let event_loop = support::virtual_time().build().unwrap();
    event_loop.block_on(async {
        let mut pause = sleep(Duration::from_millis(1));
        let mut task = spawn(yield_now());
        for _ in 0..2 {
            let busy = Waker::from(Arc::new(Busy(count.clone())));
            assert!(poll_with(&mut pause, &busy).is_pending());
            assert!(poll_with(&mut task, &busy).is_pending());
        }
        time::advance(Duration::from_millis(2)).await;
        drop((pause, task));
        for _ in 0..4 {
            yield_now().await;
        }
    });
    assert!(count.load(Ordering::Relaxed) >= 4);
    assert_nothing_left(&event_loop);
}

#[test]
fn a_future_woken_by_its_own_drop_stays_dropped() {
    run_checked(async {
        struct WakesInDrop(Option<Waker>, Rc<Cell<u32>>);
        impl Future for WakesInDrop {
            type Output = ();
            fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
                self.0 = Some(cx.waker().clone());
                Poll::Pending
            }
        }
        impl Drop for WakesInDrop {
            fn drop(&mut self) {
                self.1.set(self.1.get() + 1);
                if let Some(waker) = self.0.take() {
                    waker.wake();
                }
            }
        }
        let drops = Rc::new(Cell::new(0));
        let task = spawn(WakesInDrop(None, drops.clone()));
        yield_now().await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        yield_now().await;
        assert_eq!(drops.get(), 1);
    });
}

/// "Closed loops answer with an error, never silence": who waits under another executor has to be
/// polled again to hear of it.
#[test]
fn who_waits_under_a_foreign_waker_is_woken_when_the_loop_closes() {
    let event_loop = EventLoop::new().unwrap();
    let counts: [_; 3] = std::array::from_fn(|_| support::WakeCount::new());
    let (mut task, mut nap, readable);
    let (ours, _peer) = support::socket_pair();
    {
        let _entered = event_loop.enter();
        task = spawn(pending::<()>());
        nap = sleep(Duration::from_secs(1));
        readable = wheelhouse::io::AsyncFd::new(ours).unwrap();
    }
    turn_until_idle(&event_loop);
    let mut read = Box::pin(readable.readable());
    {
        let _entered = event_loop.enter();
        assert!(poll_with(&mut task, &counts[0].1).is_pending());
        assert!(poll_with(&mut nap, &counts[1].1).is_pending());
        assert!(poll_with(&mut read, &counts[2].1).is_pending());
    }
    drop(event_loop);
    let woken = [0, 1, 2].map(|n| counts[n].0.get());
    assert_eq!(woken, [1, 1, 1], "the task's joiner, the sleeper, the reader");
    let task = poll_with(&mut task, &counts[0].1);
    assert!(matches!(task, Poll::Ready(Err(error)) if error.is_closed()));
    assert!(matches!(poll_with(&mut read, &counts[2].1), Poll::Ready(Err(_))));
}

#[test]
fn a_foreign_waker_that_panics_when_a_handle_goes_elsewhere_hurts_nobody() {
    let event_loop = EventLoop::new().unwrap();
    event_loop.block_on(async {
        let mut task = spawn(pending::<()>());
        let abort = task.abort_handle();
        assert!(poll_with(&mut task, &bomb(true)).is_pending());
        thread::spawn(move || drop(task)).join().unwrap();
        yield_now().await;
        abort.cancel();
    });
    turn_until_idle(&event_loop);
    assert_nothing_left(&event_loop);
}
