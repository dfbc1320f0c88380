//! The end of a loop: what `shutdown` reports, and that nothing a task does while it goes can keep
//! it from ending.

mod support;

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::Poll;
use std::time::{Duration, Instant};

use support::{GUARD, Gate, OnDrop, in_child, panic_of, rounds, socket_pair, turn_until_idle};
use wheelhouse::io::AsyncFd;
use wheelhouse::time::sleep;
use wheelhouse::{
    EventLoop, Handle, LeftKind, ShutdownReport, call_later, call_soon, spawn, spawn_blocking,
    yield_now,
};

const GRACE: Duration = Duration::from_millis(50);

/// Spawns a blocking job that has started when this returns and runs until it is sent something.
#[track_caller]
fn stuck_job() -> mpsc::Sender<()> {
    let (started, starts) = mpsc::channel();
    let (open, gate) = mpsc::channel::<()>();
    drop(spawn_blocking(move || {
        started.send(()).unwrap();
        gate.recv()
    }));
    starts.recv_timeout(GUARD).unwrap();
    open
}

/// A loop on which `make` was called, and which has come to rest.
fn loop_with<T>(make: impl FnOnce() -> T) -> (EventLoop, T) {
    let event_loop = EventLoop::new().unwrap();
    let made = {
        let _entered = event_loop.enter();
        make()
    };
    turn_until_idle(&event_loop);
    (event_loop, made)
}

#[test]
fn an_idle_loop_shuts_down_at_once_and_clean() {
    let report = EventLoop::new().unwrap().shutdown(GUARD);
    assert!(report.is_clean() && report.took < GUARD);
    assert_eq!((report.cancelled, report.left.len()), (0, 0));
    assert!(report.to_string().starts_with("0 tasks cancelled in "), "{report}");
}

#[test]
fn a_report_counts_tasks_and_no_callbacks() {
    let (event_loop, ()) = loop_with(|| {
        call_later(GUARD, || ());
        drop(spawn(pending::<()>()));
    });
    let report = event_loop.shutdown(GUARD);
    assert_eq!(report.cancelled, 1);
    assert!(report.to_string().starts_with("1 task cancelled in "), "{report}");
}

#[test]
fn an_expendable_job_that_hangs_is_neither_waited_for_nor_reported() {
    let (started, starts) = mpsc::channel();
    let (open, gate) = mpsc::channel::<()>();
    let (event_loop, hangs) = loop_with(|| {
        let builder = wheelhouse::task::Builder::new().name("hangs").expendable();
        let hangs = builder.spawn_blocking(move || {
            started.send(()).unwrap();
            gate.recv()
        });
        starts.recv_timeout(GUARD).unwrap();
        hangs
    });
    let report = event_loop.shutdown(GUARD);
    assert!(report.is_clean() && report.took < GUARD, "{report}");
    assert_eq!(report.cancelled, 1, "the task that stood for it");
    assert!(hangs.is_finished());
    drop(open);
}

#[test]
fn what_is_left_is_cancelled_and_counted() {
    let dropped = Rc::new(Cell::new(0));
    let (event_loop, tasks) = loop_with(|| {
        let tasks = (0..10).map(|_| {
            let dropped = dropped.clone();
            spawn(async move {
                let _guard = OnDrop::new(move || dropped.set(dropped.get() + 1));
                pending::<()>().await;
            })
        });
        tasks.collect::<Vec<_>>()
    });
    let handle = event_loop.handle();
    let report = event_loop.shutdown(GUARD);
    assert_eq!((report.cancelled, dropped.get()), (10, 10));
    assert!(report.is_clean() && handle.is_closed());
    assert!(tasks.iter().all(wheelhouse::JoinHandle::is_finished));
}

/// Row 54 of the pitfalls.
#[test]
fn a_stuck_blocking_job_is_left_behind_and_named_within_the_grace() {
    let (event_loop, (line, open)) = loop_with(|| (line!(), stuck_job()));
    let started = Instant::now();
    let report = event_loop.shutdown(GRACE);
    let took = started.elapsed();
    assert!(took >= GRACE && took < GRACE + GUARD / 10, "{took:?}");
    let [left] = &report.left[..] else { panic!("{report}") };
    assert_eq!(left.kind, LeftKind::BlockingJob);
    assert_eq!((left.location.file(), left.location.line()), (file!(), line));
    assert!(!report.is_clean());
    assert!(report.to_string().contains("; a blocking job did not stop: spawned at "), "{report}");
    open.send(()).unwrap();
}

#[test]
fn a_job_that_ends_within_the_grace_is_waited_for_and_no_longer() {
    for _ in 0..rounds(1000, 3) {
        let (event_loop, open) = loop_with(stuck_job);
        open.send(()).unwrap();
        let report = event_loop.shutdown(GUARD);
        assert!(report.is_clean(), "{report}");
        assert!(report.took < GUARD / 2, "the end of the job was slept through: {report}");
    }
}

#[test]
fn jobs_that_have_not_started_are_dropped_by_shutdown() {
    let ran = Arc::new(AtomicUsize::new(0));
    let builder = EventLoop::builder().max_blocking_threads(1);
    let event_loop = builder.build().unwrap();
    {
        let _entered = event_loop.enter();
        let open = stuck_job();
        for _ in 0..10 {
            let ran = ran.clone();
            drop(spawn_blocking(move || ran.fetch_add(1, Ordering::SeqCst)));
        }
        // Cancelled together with them, it lets the one that runs end.
        let opener = OnDrop::new(move || open.send(()).unwrap());
        drop(spawn(async move {
            let _opener = opener;
            pending::<()>().await;
        }));
    }
    turn_until_idle(&event_loop);
    let report = event_loop.shutdown(GUARD);
    assert!(report.is_clean(), "{report}");
    assert_eq!(ran.load(Ordering::SeqCst), 0);
}

/// Behind whatever it stood: no thread runs it, and nobody wants it any more.
#[test]
fn a_job_that_never_started_is_neither_waited_for_nor_reported() {
    for is_expendable in [true, false] {
        let event_loop = EventLoop::builder().max_blocking_threads(1).build().unwrap();
        let (started, starts) = mpsc::channel();
        let (open, gate) = mpsc::channel::<()>();
        {
            let _entered = event_loop.enter();
            let builder = wheelhouse::task::Builder::new();
            let builder = if is_expendable { builder.expendable() } else { builder };
            drop(builder.spawn_blocking(move || {
                started.send(()).unwrap();
                gate.recv()
            }));
            starts.recv_timeout(GUARD).unwrap();
            (0..10).for_each(|_| drop(spawn_blocking(|| ())));
        }
        let report = event_loop.shutdown(if is_expendable { GUARD } else { GRACE });
        assert!(report.took < GUARD, "{report}");
        assert_eq!(report.left.len(), usize::from(!is_expendable), "{report}");
        drop(open);
    }
}

/// Does to the runtime what a destructor should not, and then panics.
fn misbehave(n: usize, waker: Option<&std::task::Waker>) {
    if let Some(waker) = waker {
        waker.wake_by_ref();
    }
    match n % 8 {
        0 => drop(spawn(async { unreachable!("no task starts while a loop closes") })),
        1 => {
            let refused = spawn(async {});
            assert!(refused.is_finished());
        }
        2 => drop(spawn_blocking(|| ())),
        3 => drop(sleep(Duration::from_secs(1))),
        4 => drop((call_soon(|| unreachable!()), call_later(Duration::ZERO, || unreachable!()))),
        5 => drop(Handle::current().spawn(|| async { unreachable!() })),
        6 => drop(AsyncFd::new(socket_pair().0)),
        _ => drop(Handle::current().call_soon(|| {})),
    }
    panic!("drop {n}");
}

/// Spawns tasks that hold sockets and sleeps and misbehave when they are dropped: waiting, queued,
/// never polled, cancelled already.
fn spawn_misbehaving(count: usize, dropped: &Rc<Cell<usize>>) {
    for n in 0..count {
        let dropped = dropped.clone();
        let waker = Rc::new(RefCell::new(None));
        let seen = waker.clone();
        let guard = OnDrop::new(move || {
            dropped.set(dropped.get() + 1);
            misbehave(n, waker.borrow().as_ref());
        });
        let task = spawn(async move {
            let _guard = guard;
            poll_fn(|cx| {
                seen.replace(Some(cx.waker().clone()));
                Poll::Ready(())
            })
            .await;
            if n % 3 == 0 {
                sleep(Duration::from_secs(1000)).await;
            } else if n % 3 == 1 {
                let (ours, _peer) = socket_pair();
                let ours = AsyncFd::new(ours).unwrap();
                ours.readable().await.unwrap().retain_ready();
            }
            pending::<()>().await;
        });
        if n % 5 == 0 {
            task.cancel();
        }
        if n % 7 == 0 {
            // Kept in the loop: the task is finished, its handle is in another task.
            spawn(async move { drop(task.await) });
        }
    }
}

/// Rows 45 and 47.
#[test]
fn tasks_whose_drops_panic_spawn_and_wake_do_not_keep_a_loop_from_shutting_down() {
    let dropped = Rc::new(Cell::new(0));
    let (event_loop, ()) = loop_with(|| spawn_misbehaving(100, &dropped));
    let report = event_loop.shutdown(GUARD);
    assert!(report.is_clean() && report.took < GUARD, "{report}");
    assert_eq!(dropped.get(), 100);
}

/// Rows 45 and 47: without a shutdown, and in whatever state.
#[test]
fn nor_from_being_dropped_at_any_moment() {
    for turns in 0..4 {
        let dropped = Rc::new(Cell::new(0));
        let event_loop = EventLoop::new().unwrap();
        {
            let _entered = event_loop.enter();
            spawn_misbehaving(100, &dropped);
        }
        for _ in 0..turns {
            let _ = event_loop.turn(Some(Duration::ZERO)).unwrap();
        }
        drop(event_loop);
        assert_eq!(dropped.get(), 100);
    }
}

#[test]
fn a_cancelled_task_whose_turn_never_came_is_dropped_with_the_loop_and_its_panic_stays_inside() {
    let (event_loop, abort) = loop_with(|| {
        let task = spawn(async {
            let _guard = OnDrop::new(|| panic!("dropped with the loop"));
            pending::<()>().await;
        });
        task.abort_handle()
    });
    let entered = event_loop.enter();
    abort.cancel();
    drop(entered);
    drop(event_loop);
}

#[test]
fn closures_whose_drop_panics_do_not_leak_out_of_a_closing_loop() {
    let event_loop = EventLoop::builder().max_blocking_threads(1).build().unwrap();
    let bomb = || OnDrop::new(|| panic!("a closure that never ran"));
    let open = {
        let _entered = event_loop.enter();
        let open = stuck_job();
        for _ in 0..3 {
            let bomb = bomb();
            drop(spawn_blocking(move || drop(bomb)));
        }
        for _ in 0..3 {
            let bomb = bomb();
            event_loop.handle().call_soon(move || drop(bomb)).unwrap();
        }
        open
    };
    drop(event_loop);
    open.send(()).unwrap();
}

#[test]
fn what_is_spawned_while_a_loop_closes_is_refused_and_says_so() {
    let seen = Rc::new(RefCell::new(None));
    let place = seen.clone();
    let ran = Arc::new(AtomicUsize::new(0));
    let count = ran.clone();
    let (event_loop, ()) = loop_with(|| {
        drop(spawn(async move {
            let _guard = OnDrop::new(move || {
                let job = spawn_blocking(move || count.fetch_add(1, Ordering::SeqCst));
                place.replace(Some((spawn(async {}), job)));
            });
            pending::<()>().await;
        }));
    });
    assert!(event_loop.shutdown(GUARD).is_clean());
    let (task, job) = seen.take().unwrap();
    assert!(futures_lite::future::block_on(task).unwrap_err().is_closed());
    assert!(futures_lite::future::block_on(job).unwrap_err().is_closed());
    assert_eq!(ran.load(Ordering::SeqCst), 0);
}

#[test]
fn a_callback_that_posts_itself_for_ever_does_not_keep_a_loop_from_shutting_down() {
    fn again(handle: Handle) {
        let next = handle.clone();
        // Twice, so that there are ever more.
        for _ in 0..2 {
            let next = next.clone();
            let _ = handle.call_soon(move || again(next));
        }
    }
    let (done, wait) = mpsc::channel();
    std::thread::spawn(move || {
        let event_loop = EventLoop::new().unwrap();
        again(event_loop.handle());
        let _ = event_loop.turn(Some(Duration::ZERO)).unwrap();
        let _entered = event_loop.enter();
        drop(spawn(pending::<()>()));
        drop(_entered);
        done.send(event_loop.shutdown(GRACE)).unwrap();
    });
    let report = wait.recv_timeout(GUARD).expect("the shutdown never ended");
    assert!(report.is_clean());
}

#[test]
fn a_great_many_tasks_are_cancelled_in_passing() {
    let count = rounds(100_000, 300);
    let (event_loop, ()) = loop_with(|| (0..count).for_each(|_| drop(spawn(pending::<()>()))));
    let report = event_loop.shutdown(GUARD);
    assert_eq!(report.cancelled, count);
    assert!(report.took < GUARD / 3, "{report}");
}

#[test]
fn a_panic_that_unwinds_past_a_loop_drops_it_in_peace() {
    let text = panic_of(|| {
        let (_event_loop, ()) = loop_with(|| {
            for _ in 0..10 {
                drop(spawn(async {
                    let _guard = OnDrop::new(|| panic!("in the unwinding"));
                    pending::<()>().await;
                }));
            }
        });
        panic!("the host")
    });
    assert_eq!(text, "the host");
}

/// Row 48: what the runtime gave out outlives it.
#[test]
fn sockets_and_sleeps_may_outlive_their_loop() {
    let (event_loop, (source, sleeping, gate)) = loop_with(|| {
        let gate = Gate::default();
        let wait = gate.clone();
        let (ours, peer) = socket_pair();
        drop(spawn(async move { wait.wait().await }));
        (AsyncFd::new(ours).unwrap(), sleep(Duration::from_secs(1)), (gate, peer))
    });
    drop(event_loop);
    let error = futures_lite::future::block_on(source.readable()).map(drop).unwrap_err();
    assert!(
        error.to_string().contains("was closed while this source still belonged to it"),
        "{error}"
    );
    gate.0.open();
    assert!(!sleeping.is_elapsed());
    std::thread::spawn(move || drop((source, sleeping))).join().unwrap();
}

/// Row 49.
#[test]
fn a_loop_in_a_thread_local_may_end_with_its_thread() {
    thread_local! {
        static LOOP: RefCell<Option<EventLoop>> = const { RefCell::new(None) };
    }
    let (sender, dropped) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let (event_loop, ()) = loop_with(|| {
            drop(spawn(async move {
                let _guard = OnDrop::new(move || {
                    sender.send(()).unwrap();
                    drop(spawn(async {}));
                });
                let (ours, _peer) = socket_pair();
                let ours = AsyncFd::new(ours).unwrap();
                let _ =
                    futures_lite::future::or(async { ours.readable().await.map(drop) }, async {
                        sleep(Duration::from_secs(1000)).await;
                        Ok(())
                    })
                    .await;
            }));
        });
        LOOP.with(|place| place.replace(Some(event_loop)));
    });
    thread.join().unwrap();
    assert!(dropped.recv_timeout(GUARD).is_ok());
}

/// Row 51.
#[test]
fn guards_of_one_loop_may_be_dropped_in_any_order() {
    let event_loop = EventLoop::new().unwrap();
    let (first, second) = (event_loop.enter(), event_loop.enter());
    drop(first);
    assert_eq!(Handle::try_current().map(|handle| handle.is_closed()), Some(false));
    drop(second);
    assert!(Handle::try_current().is_none());
    assert_eq!(event_loop.block_on(async { spawn(async { 1 }).await.unwrap() }), 1);
}

/// Row 51.
#[test]
fn a_loop_dropped_inside_another_leaves_the_other_entered() {
    let inner = EventLoop::new().unwrap();
    let dropped_on = Rc::new(RefCell::new(String::new()));
    let place = dropped_on.clone();
    {
        let _entered = inner.enter();
        drop(spawn(async move {
            let _guard =
                OnDrop::new(move || *place.borrow_mut() = Handle::current().name().to_owned());
            pending::<()>().await;
        }));
    }
    turn_until_idle(&inner);
    support::run_checked_on(EventLoop::builder().name("outer"), async move {
        let woken = spawn(yield_now());
        drop(inner);
        assert_eq!(Handle::current().name(), "outer");
        woken.await.unwrap();
    });
    assert_eq!(*dropped_on.borrow(), "", "the inner one has no name");
}

#[test]
fn run_cancels_what_is_left_and_passes_a_panic_on() {
    let dropped = Rc::new(Cell::new(false));
    let flag = dropped.clone();
    let text = panic_of(|| {
        wheelhouse::run(async move {
            drop(spawn(async move {
                let _guard = OnDrop::new(move || flag.set(Handle::try_current().is_some()));
                pending::<()>().await;
            }));
            yield_now().await;
            panic!("main")
        })
    });
    assert_eq!(text, "main");
    assert!(dropped.get(), "the drop found its loop");
}

/// The descriptors of this process.
#[cfg(target_os = "linux")]
fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
#[cfg(target_os = "linux")]
#[cfg_attr(miri, ignore = "child processes are not for Miri")]
fn a_loop_gives_all_its_descriptors_back() {
    in_child("a_loop_gives_all_its_descriptors_back", || {
        let before = descriptors();
        for _ in 0..100 {
            let dropped = Rc::new(Cell::new(0));
            let (event_loop, ()) = loop_with(|| spawn_misbehaving(8, &dropped));
            drop(event_loop);
        }
        let refused: Vec<ShutdownReport> =
            (0..10).map(|_| EventLoop::new().unwrap().shutdown(GRACE)).collect();
        assert_eq!(refused.len(), 10);
        assert_eq!(descriptors(), before);
    });
}

#[test]
fn a_future_dropped_by_block_on_finds_its_loop() {
    let event_loop = EventLoop::new().unwrap();
    let found = Rc::new(Cell::new(false));
    let flag = found.clone();
    let mut held = Some(OnDrop::new(move || flag.set(Handle::try_current().is_some())));
    event_loop.block_on(poll_fn(move |_| {
        let _ = &mut held;
        Poll::Ready(())
    }));
    assert!(found.get());
    support::assert_nothing_left(&event_loop);
}
