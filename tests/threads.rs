//! Other threads: handles, what they give back, blocking jobs and groups of loops.

mod support;

use std::cell::Cell;
use std::future::{Future, pending};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use futures_lite::future::block_on as foreign_block_on;
use support::{
    GUARD, OnDrop, WakeCount, assert_nothing_left, in_child, poll_with, rounds, run_checked,
    run_checked_on, text_of, turn_until_idle,
};
use wheelhouse::task::{self, JoinError};
use wheelhouse::time::sleep;
use wheelhouse::{EventLoop, Handle, RemoteHandle, spawn, spawn_blocking, yield_now};

/// Runs `host` on a thread beside a loop that runs until it has ended.
fn beside_a_loop<T: Send + 'static>(host: impl FnOnce(Handle) -> T + Send + 'static) -> T {
    let event_loop = EventLoop::builder().name("beside").build().unwrap();
    let handle = event_loop.handle();
    let thread = thread::spawn(move || {
        let stop = handle.clone();
        let _stops = OnDrop::new(move || stop.stop());
        host(handle)
    });
    event_loop.run_forever();
    let output = thread.join().unwrap();
    turn_until_idle(&event_loop);
    assert_nothing_left(&event_loop);
    output
}

#[test]
fn a_future_that_is_not_send_can_be_made_and_run_on_the_loop_from_outside() {
    let (here, there) = beside_a_loop(|handle| {
        let remote = handle.spawn(|| async {
            let shared = Rc::new(Cell::new(1));
            yield_now().await;
            shared.set(shared.get() + 1);
            (shared.get(), thread::current().id())
        });
        assert_eq!(handle.name(), "beside");
        let (sum, thread) = remote.wait().unwrap();
        assert_eq!(sum, 2);
        (thread, thread::current().id())
    });
    assert_eq!(here, thread::current().id());
    assert_ne!(here, there);
}

#[test]
fn panics_on_the_loop_come_back_to_the_thread_that_asked() {
    beside_a_loop(|handle| {
        let in_future = handle.spawn(|| async { panic!("future") });
        let error: JoinError = in_future.wait().unwrap_err();
        assert_eq!(text_of(&*error.into_panic()), "future");

        fn in_the_closure() -> std::future::Ready<()> {
            panic!("closure")
        }
        let error = handle.spawn(in_the_closure).wait().unwrap_err();
        assert_eq!(text_of(&*error.into_panic()), "closure");

        handle.call_soon(|| panic!("callback")).unwrap();
        assert_eq!(handle.spawn(|| async { 1 }).wait().unwrap(), 1);
    });
}

#[test]
fn a_remote_task_can_be_cancelled_before_it_arrives_and_while_it_runs() {
    let event_loop = EventLoop::new().unwrap();
    let handle = event_loop.handle();
    let (before, running) = thread::spawn(move || {
        let before = handle.spawn(|| async { unreachable!() });
        before.cancel();
        (before, handle.spawn(pending::<()>))
    })
    .join()
    .unwrap();
    turn_until_idle(&event_loop);
    thread::spawn(move || {
        assert!(before.is_finished() && !running.is_finished());
        assert!(before.wait().unwrap_err().is_cancelled());
        running.cancel();
        running
    })
    .join()
    .map(|running| {
        assert!(event_loop.block_on(running).unwrap_err().is_cancelled());
    })
    .unwrap();
    assert_nothing_left(&event_loop);
}

#[test]
fn a_thread_may_wait_for_what_a_task_has_asked_for_in_vain() {
    beside_a_loop(|handle| {
        let (sender, receiver) = mpsc::channel();
        let mut answer = handle.spawn(move || async move {
            receiver.recv_timeout(GUARD).unwrap();
            5
        });
        assert!(Pin::new(&mut answer).poll(&mut Context::from_waker(Waker::noop())).is_pending());
        let mut answer = answer.wait_timeout(Duration::ZERO).unwrap_err();
        assert!(Pin::new(&mut answer).poll(&mut Context::from_waker(Waker::noop())).is_pending());
        sender.send(()).unwrap();
        assert_eq!(answer.wait().unwrap(), 5);
    });
}

#[test]
fn dropping_a_remote_handle_detaches_its_task() {
    beside_a_loop(|handle| {
        let (sender, receiver) = mpsc::channel();
        drop(handle.spawn(move || async move {
            yield_now().await;
            sender.send(7).unwrap();
        }));
        assert_eq!(receiver.recv_timeout(GUARD).unwrap(), 7);
    });
}

#[test]
fn a_remote_handle_is_awaited_on_another_loop_or_another_executor() {
    beside_a_loop(|handle| {
        let on_a_loop = handle.spawn(|| async {
            sleep(Duration::from_micros(100)).await;
            1
        });
        assert_eq!(run_checked(on_a_loop).unwrap(), 1);
        let elsewhere = handle.spawn(|| async {
            sleep(Duration::from_micros(100)).await;
            2
        });
        assert_eq!(foreign_block_on(elsewhere).unwrap(), 2);
    });
}

#[test]
fn wait_timeout_gives_the_handle_back_when_the_time_is_over() {
    beside_a_loop(|handle| {
        let (open, gate) = mpsc::channel::<()>();
        let task = handle.spawn(move || async move {
            while gate.try_recv().is_err() {
                sleep(Duration::from_micros(50)).await;
            }
            5
        });
        let task = task.wait_timeout(Duration::from_millis(2)).unwrap_err();
        assert!(!task.is_finished());
        open.send(()).unwrap();
        let Ok(output) = task.wait_timeout(Duration::MAX) else { panic!("it was over in time") };
        assert_eq!(output.unwrap(), 5);
    });
}

/// Row 15 of the pitfalls.
#[test]
fn a_remote_handle_polled_with_two_wakers_wakes_the_second_only() {
    let event_loop = EventLoop::new().unwrap();
    let mut task = event_loop.handle().spawn(|| async { 1 });
    let (first, first_waker) = WakeCount::new();
    let (second, second_waker) = WakeCount::new();
    assert!(poll_with(&mut task, &first_waker).is_pending());
    assert!(poll_with(&mut task, &second_waker).is_pending());
    turn_until_idle(&event_loop);
    assert_eq!((first.get(), second.get()), (0, 1));
    assert!(matches!(poll_with(&mut task, &second_waker), Poll::Ready(Ok(1))));
    assert_nothing_left(&event_loop);
}

#[test]
fn a_closed_loop_refuses_work_and_says_what_became_of_it() {
    let event_loop = EventLoop::builder().name("gone").build().unwrap();
    let handle = event_loop.handle();
    let arrived = handle.spawn(pending::<()>);
    turn_until_idle(&event_loop);
    let on_its_way = handle.spawn(pending::<()>);
    let dropped = Arc::new(AtomicUsize::new(0));
    let count = || {
        let dropped = dropped.clone();
        OnDrop::new(move || {
            dropped.fetch_add(1, Ordering::Relaxed);
        })
    };
    let (guard, late_guard) = (count(), count());
    handle.call_soon(move || drop(guard)).unwrap();
    assert!(!handle.is_closed());
    drop(event_loop);

    assert!(handle.is_closed());
    let error = handle.call_soon(move || drop(late_guard)).unwrap_err();
    assert!(error.to_string().ends_with("(\"gone\") is closed"), "{error}");
    assert_eq!(dropped.load(Ordering::Relaxed), 2, "closures that never ran are dropped");
    let refused = handle.spawn(|| async {});
    for task in [arrived, on_its_way, refused] {
        assert!(task.is_finished());
        assert!(foreign_block_on(task).unwrap_err().is_closed());
    }
    // Also on what was its thread: there is nothing left to wait for.
    assert!(handle.spawn(|| async {}).wait().unwrap_err().is_closed());
    let late = handle.spawn(|| async {});
    assert!(late.wait_timeout(GUARD).unwrap().unwrap_err().is_closed());
    handle.stop();
}

#[test]
fn stop_ends_run_forever_also_when_it_comes_first() {
    let event_loop = EventLoop::new().unwrap();
    event_loop.handle().stop();
    event_loop.run_forever();
    let handle = event_loop.handle();
    let thread = thread::spawn(move || handle.stop());
    event_loop.run_forever();
    thread.join().unwrap();
    assert_nothing_left(&event_loop);
}

#[test]
fn a_loop_knows_its_handle_inside_and_no_other_outside() {
    run_checked_on(EventLoop::builder().name("here"), async {
        assert_eq!(Handle::current().name(), "here");
        assert_eq!(Handle::try_current().unwrap().name(), "here");
        let outside = thread::spawn(|| Handle::try_current().is_none()).join().unwrap();
        assert!(outside);
    });
    assert!(Handle::try_current().is_none());
}

#[test]
fn calls_of_many_threads_all_arrive_and_each_threads_in_its_order() {
    const THREADS: usize = 4;
    let calls = rounds(20_000, 50);
    let event_loop = EventLoop::new().unwrap();
    let (sender, arrived) = mpsc::channel();
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let (handle, sender) = (event_loop.handle(), sender.clone());
            thread::spawn(move || {
                for n in 0..calls {
                    let sender = sender.clone();
                    handle.call_soon(move || sender.send((thread, n)).unwrap()).unwrap();
                }
            })
        })
        .collect();
    let mut next = [0; THREADS];
    while next.iter().sum::<usize>() < THREADS * calls {
        // A lost wake-up would leave this waiting for ever.
        let _ = event_loop.turn(None).unwrap();
        for (thread, n) in arrived.try_iter() {
            assert_eq!(std::mem::replace(&mut next[thread], n + 1), n);
        }
    }
    for thread in threads {
        thread.join().unwrap();
    }
    turn_until_idle(&event_loop);
    assert_nothing_left(&event_loop);
}

#[test]
fn a_blocking_job_runs_beside_the_loop_and_gives_its_output() {
    run_checked_on(EventLoop::builder().name("pool"), async {
        let (ask, answer) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
        let (asked, answered) = (ask.clone(), answer.clone());
        let job = task::Builder::new().name("job").spawn_blocking(move || {
            asked.wait();
            answered.wait();
            thread::current().name().map(str::to_owned)
        });
        assert_eq!(job.name().as_deref(), Some("job"));
        // The job waits for what the loop does meanwhile.
        spawn(async move {
            ask.wait();
            answer.wait();
        })
        .await
        .unwrap();
        assert_eq!(job.await.unwrap().as_deref(), Some("pool-blocking"));
    });
}

/// Row 53.
#[test]
fn a_panic_in_a_blocking_job_is_its_callers_and_the_next_job_runs() {
    run_checked_on(EventLoop::builder().max_blocking_threads(1), async {
        let bad = spawn_blocking(|| panic!("blocking")).await.unwrap_err();
        assert_eq!(text_of(&*bad.into_panic()), "blocking");
        assert_eq!(spawn_blocking(|| 3).await.unwrap(), 3);
    });
}

#[test]
fn jobs_beyond_the_threads_wait_and_run_in_order_and_idle_threads_leave() {
    let keep_alive = Duration::from_millis(1);
    let builder = EventLoop::builder().max_blocking_threads(2).blocking_keep_alive(keep_alive);
    let event_loop = builder.build().unwrap();
    event_loop.block_on(async {
        let jobs: Vec<_> = (0..rounds(200, 10)).map(|n| spawn_blocking(move || n)).collect();
        assert!(event_loop.metrics().blocking_threads <= 2);
        for (n, job) in jobs.into_iter().enumerate() {
            assert_eq!(job.await.unwrap(), n);
        }
        while event_loop.metrics().blocking_threads > 0 {
            sleep(keep_alive).await;
        }
        assert_eq!(event_loop.metrics().blocking_jobs, 0);
        assert_eq!(spawn_blocking(|| 1).await.unwrap(), 1);
    });
    assert_nothing_left(&event_loop);
}

/// Row 54, the half about closures.
#[test]
fn a_job_that_is_cancelled_before_it_starts_never_runs_and_one_that_runs_goes_on() {
    run_checked_on(EventLoop::builder().max_blocking_threads(1), async {
        let (started, starts) = mpsc::channel();
        let (open, gate) = mpsc::channel::<()>();
        let (done, ended) = mpsc::channel();
        let running = spawn_blocking(move || {
            started.send(()).unwrap();
            gate.recv().unwrap();
            done.send(()).unwrap();
        });
        starts.recv_timeout(GUARD).unwrap();
        let ran = Arc::new(AtomicUsize::new(0));
        let count = ran.clone();
        let unstarted = spawn_blocking(move || count.fetch_add(1, Ordering::SeqCst));
        let detached = spawn_blocking(|| 1);
        yield_now().await;
        unstarted.cancel();
        running.cancel();
        assert!(unstarted.await.unwrap_err().is_cancelled());
        assert!(running.await.unwrap_err().is_cancelled());
        open.send(()).unwrap();
        ended.recv_timeout(GUARD).unwrap();
        assert_eq!(detached.await.unwrap(), 1);
        assert_eq!(ran.load(Ordering::SeqCst), 0, "the only thread has come past it");
    });
}

/// Row 52.
#[test]
#[cfg(target_os = "linux")]
#[cfg_attr(miri, ignore = "child processes and limits are not for Miri")]
fn when_the_system_refuses_a_thread_the_caller_is_told_and_later_jobs_run() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    in_child("when_the_system_refuses_a_thread_the_caller_is_told_and_later_jobs_run", || {
        let before = getrlimit(Resource::As);
        run_checked(async {
            let status = std::fs::read_to_string("/proc/self/statm").unwrap();
            let pages: u64 = status.split(' ').next().unwrap().parse().unwrap();
            // Room for some data, and none for the stack of a thread.
            let current = Some(pages * 4096 + (256 << 10));
            setrlimit(Resource::As, Rlimit { current, maximum: before.maximum }).unwrap();
            let refused = spawn_blocking(|| 1).await;
            setrlimit(Resource::As, before).unwrap();
            let payload = refused.unwrap_err().into_panic();
            let text = text_of(&*payload);
            assert!(text.starts_with("the system refused a thread for a blocking job: "), "{text}");
            assert_eq!(spawn_blocking(|| 2).await.unwrap(), 2);
        });
    });
}

/// Row 52, when there is a thread already: the job waits, and the thread is asked for again.
#[test]
#[cfg(target_os = "linux")]
#[cfg_attr(miri, ignore = "child processes and limits are not for Miri")]
fn when_the_pool_cannot_grow_no_job_is_lost_and_it_grows_later() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    in_child("when_the_pool_cannot_grow_no_job_is_lost_and_it_grows_later", || {
        let before = getrlimit(Resource::As);
        let event_loop = EventLoop::new().unwrap();
        event_loop.block_on(async {
            let (open, gate) = mpsc::channel::<()>();
            let (started, starts) = mpsc::channel();
            let first = spawn_blocking(move || {
                started.send(()).unwrap();
                gate.recv().unwrap();
            });
            starts.recv_timeout(GUARD).unwrap();
            let status = std::fs::read_to_string("/proc/self/statm").unwrap();
            let pages: u64 = status.split(' ').next().unwrap().parse().unwrap();
            let current = Some(pages * 4096 + (256 << 10));
            setrlimit(Resource::As, Rlimit { current, maximum: before.maximum }).unwrap();
            // These two wait for each other, so they need two threads.
            let both = Arc::new(Barrier::new(2));
            let (one, two) = (both.clone(), both);
            let second = spawn_blocking(move || one.wait().is_leader());
            let third = spawn_blocking(move || two.wait().is_leader());
            assert_eq!(event_loop.metrics().blocking_threads, 1);
            assert_eq!(event_loop.metrics().blocking_jobs, 3);
            setrlimit(Resource::As, before).unwrap();
            open.send(()).unwrap();
            first.await.unwrap();
            assert_ne!(second.await.unwrap(), third.await.unwrap());
            assert_eq!(event_loop.metrics().blocking_threads, 2);
        });
        assert_nothing_left(&event_loop);
    });
}

#[test]
fn many_threads_spawn_await_and_cancel_without_losing_one() {
    beside_a_loop(|handle| {
        let threads: Vec<_> = (0..4)
            .map(|seed| {
                let handle = handle.clone();
                thread::spawn(move || {
                    for n in 0..rounds(500, 5) {
                        let task: RemoteHandle<usize> = handle.spawn(move || async move {
                            yield_now().await;
                            n
                        });
                        match (n + seed) % 3 {
                            0 => assert_eq!(task.wait().unwrap(), n),
                            1 => {
                                task.cancel();
                                let ended = task.wait();
                                assert!(ended.is_ok() || ended.unwrap_err().is_cancelled());
                            }
                            _ => drop(task),
                        }
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

#[test]
fn a_remote_output_that_nobody_takes_is_dropped() {
    let drops = Arc::new(AtomicUsize::new(0));
    let count = drops.clone();
    beside_a_loop(move |handle| {
        let make = |count: Arc<AtomicUsize>| {
            move || async move {
                OnDrop::new(move || {
                    count.fetch_add(1, Ordering::SeqCst);
                })
            }
        };
        let kept = handle.spawn(make(count.clone()));
        drop(handle.spawn(make(count)));
        handle.spawn(yield_now).wait().unwrap();
        let mut kept = pin!(kept);
        let (_, waker) = WakeCount::new();
        assert!(kept.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
    });
    assert_eq!(drops.load(Ordering::SeqCst), 2);
}

/// As with a local task: whoever has its output finds nothing of it left, and a panic on the way is
/// its end.
#[test]
fn a_remote_task_answers_when_all_of_its_future_is_gone() {
    /// Ends at once, keeps what it holds until it is dropped, and notes there whether it was
    /// answered by then.
    struct Lingers {
        handle: Arc<Mutex<Option<RemoteHandle<u32>>>>,
        was_answered: Arc<Mutex<Option<bool>>>,
        is_cancelled: bool,
        panics: bool,
    }

    impl Future for Lingers {
        type Output = u32;

        fn poll(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<u32> {
            if self.is_cancelled { Poll::Pending } else { Poll::Ready(7) }
        }
    }

    impl Drop for Lingers {
        fn drop(&mut self) {
            let was_answered = self.handle.lock().unwrap().as_ref().map(RemoteHandle::is_finished);
            *self.was_answered.lock().unwrap() = was_answered;
            assert!(!self.panics, "in the drop");
        }
    }

    for (is_cancelled, panics) in [(false, false), (false, true), (true, false), (true, true)] {
        let event_loop = EventLoop::new().unwrap();
        let (handle, was_answered) = (Arc::new(Mutex::new(None)), Arc::new(Mutex::new(None)));
        let (its_handle, its_answer) = (handle.clone(), was_answered.clone());
        let remote = event_loop.handle().spawn(move || Lingers {
            handle: its_handle,
            was_answered: its_answer,
            is_cancelled,
            panics,
        });
        *handle.lock().unwrap() = Some(remote);
        if is_cancelled {
            turn_until_idle(&event_loop);
            handle.lock().unwrap().as_ref().unwrap().cancel();
        }
        turn_until_idle(&event_loop);
        assert_eq!(*was_answered.lock().unwrap(), Some(false), "answered before it was dropped");
        let mut remote = handle.lock().unwrap().take().unwrap();
        let Poll::Ready(result) = poll_with(&mut remote, Waker::noop()) else { panic!("no end") };
        match result {
            Ok(output) => assert!(output == 7 && !is_cancelled && !panics),
            Err(error) => assert_eq!((error.is_panic(), error.is_cancelled()), (panics, !panics)),
        }
        assert_nothing_left(&event_loop);
    }
}
