//! Groups of loops: a thread each, work between them, settings of each, cores, and their end.

mod support;

use std::collections::BTreeSet;
use std::future::pending;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use support::{GUARD, OnDrop, panic_of};
use wheelhouse::{Clock, Handle, LeftKind, LoopGroup, spawn_blocking, time, yield_now};

#[test]
fn a_group_has_a_loop_a_thread_and_work_goes_between_them() {
    let group = LoopGroup::new(3).unwrap();
    assert_eq!((group.len(), group.handles().count(), group.is_empty()), (3, 3, false));
    let threads: std::collections::HashSet<_> = group
        .handles()
        .map(|handle| handle.spawn(|| async { thread::current().id() }).wait().unwrap())
        .collect();
    assert_eq!(threads.len(), 3);
    let (next, last) = (group.handle(1), group.handle(2));
    let around = group.handle(0).spawn(move || async move {
        let inner =
            next.spawn(move || async move { last.spawn(|| async { 1 }).await.unwrap() + 10 });
        inner.await.unwrap() + 100
    });
    assert_eq!(around.wait().unwrap(), 111);
    let reports = group.shutdown(GUARD);
    assert_eq!(reports.len(), 3);
    assert!(reports.iter().all(wheelhouse::ShutdownReport::is_clean));
}

#[test]
fn a_group_that_is_dropped_stops_its_loops_and_drops_their_tasks_there() {
    let group = LoopGroup::new(2).unwrap();
    let handles: Vec<_> = group.handles().collect();
    let (sender, dropped) = mpsc::channel();
    for handle in &handles {
        let sender = sender.clone();
        drop(handle.spawn(move || async move {
            let home = thread::current().id();
            let _guard = OnDrop::new(move || sender.send(home == thread::current().id()).unwrap());
            pending::<()>().await;
        }));
        handle.spawn(yield_now).wait().unwrap();
    }
    drop((group, sender));
    assert_eq!(dropped.iter().collect::<Vec<_>>(), [true, true]);
    assert!(handles.iter().all(Handle::is_closed));
}

#[test]
fn a_group_may_be_dropped_on_one_of_its_own_threads() {
    let group = LoopGroup::new(2).unwrap();
    let (first, second) = (group.handle(0), group.handle(1));
    let (done, dropped) = mpsc::channel();
    first
        .call_soon(move || {
            drop(group);
            done.send(()).unwrap();
        })
        .unwrap();
    dropped.recv().unwrap();
    assert!(second.is_closed(), "the other one's thread was joined");
}

#[test]
fn a_group_spawns_round_and_round_from_any_thread() {
    let group = Arc::new(LoopGroup::builder().loops(3).name("ring").build().unwrap());
    let where_next = || {
        let name = group.spawn(|| async { Handle::current().name().to_owned() });
        name.wait().unwrap()
    };
    for expected in ["ring-0", "ring-1", "ring-2", "ring-0"] {
        assert_eq!(where_next(), expected);
    }
    let counts: [AtomicUsize; 3] = Default::default();
    let counts = Arc::new(counts);
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (group, counts) = (group.clone(), counts.clone());
            thread::spawn(move || {
                for _ in 0..30 {
                    let counts = counts.clone();
                    let one = group.spawn(move || async move {
                        let name = Handle::current().name().to_owned();
                        let index = usize::from(name.as_bytes()[5] - b'0');
                        counts[index].fetch_add(1, Ordering::SeqCst);
                    });
                    one.wait().unwrap();
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(counts.each_ref().map(|count| count.load(Ordering::SeqCst)), [40, 40, 40]);
}

#[test]
fn the_same_work_can_be_done_on_each_loop() {
    let group = LoopGroup::new(3).unwrap();
    let offset = 10;
    let answers = group.on_each(move |index| async move {
        yield_now().await;
        (index + offset, thread::current().name().map(str::to_owned))
    });
    let answers: Vec<_> = answers.into_iter().map(|answer| answer.wait().unwrap()).collect();
    let named = |n: usize| (n + 10, Some(format!("loop-{n}")));
    assert_eq!(answers, [named(0), named(1), named(2)]);
    // One that panics hurts no other.
    let ends = group.on_each(|index| async move { assert_ne!(index, 1) });
    let ends: Vec<bool> = ends.into_iter().map(|end| end.wait().is_ok()).collect();
    assert_eq!(ends, [true, false, true]);
}

#[test]
fn each_loop_can_have_settings_of_its_own() {
    let group = LoopGroup::builder()
        .loops(2)
        .configure(|index, builder| match index {
            0 => builder.clock(Clock::Virtual { settle: None }).name("clockwork"),
            _ => builder.max_blocking_threads(1),
        })
        .build()
        .unwrap();
    assert_eq!((group.handle(0).name(), group.handle(1).name()), ("clockwork", "loop-1"));
    let start = Instant::now();
    let slept = group.handle(0).spawn(|| async {
        let start = time::Instant::now();
        time::sleep(Duration::from_secs(3600)).await;
        start.elapsed().as_secs()
    });
    assert_eq!(slept.wait().unwrap(), 3600);
    assert!(start.elapsed() < GUARD);
    let threads = group.handle(1).spawn(|| async {
        let jobs = [(); 3].map(|()| spawn_blocking(|| thread::current().id()));
        let mut threads = BTreeSet::new();
        for job in jobs {
            threads.insert(format!("{:?}", job.await.unwrap()));
        }
        threads.len()
    });
    assert_eq!(threads.wait().unwrap(), 1);
}

#[test]
fn a_group_has_a_loop_for_each_core_unless_it_is_told() {
    let group = LoopGroup::builder().build().unwrap();
    assert_eq!(group.len(), thread::available_parallelism().unwrap().get());
    assert_eq!(format!("{:?}", LoopGroup::builder().loops(2).name("x")).matches('2').count(), 1);
}

/// Where threads can be pinned, and tests can ask where they are.
#[cfg(all(target_os = "linux", not(miri)))]
mod cores {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
    use wheelhouse::{LoopGroup, spawn_blocking};

    use super::support::in_child;

    /// The cores that this thread may run on.
    fn cores() -> Vec<usize> {
        let set = sched_getaffinity(None).unwrap();
        (0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect()
    }

    #[test]
    fn pinned_loops_have_a_core_each_and_their_blocking_jobs_have_all() {
        let all = cores();
        let group =
            LoopGroup::builder().loops(all.len().min(4)).pin_to_cores(true).build().unwrap();
        let seen = group.on_each(|_| async {
            let blocking = spawn_blocking(cores).await.unwrap();
            (cores(), blocking)
        });
        for (index, seen) in seen.into_iter().enumerate() {
            assert_eq!(seen.wait().unwrap(), (vec![all[index]], all.clone()));
        }
        assert_eq!(cores(), all, "the thread that made the group is not pinned");
        let unpinned = LoopGroup::new(1).unwrap();
        assert_eq!(unpinned.spawn(|| async { cores() }).wait().unwrap(), all);
    }

    /// In a process of its own: the cores are the thread's, but others would inherit them.
    #[test]
    fn cores_that_are_not_to_be_had_are_an_error_that_says_so() {
        in_child("cores::cores_that_are_not_to_be_had_are_an_error_that_says_so", || {
            let all = cores();
            let too_many = all.len() + 1;
            let error =
                LoopGroup::builder().loops(too_many).pin_to_cores(true).build().unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
            let expected = format!(
                "{too_many} loops are to be pinned to a core each, but this process may use {} \
                 ({all:?}). Start fewer loops, or do not pin them.",
                all.len()
            );
            assert_eq!(error.to_string(), expected);
            // What counts is what this process was given, and not what the machine has.
            let mut last = CpuSet::new();
            last.set(all[all.len() - 1]);
            sched_setaffinity(None, &last).unwrap();
            let error = LoopGroup::builder().loops(2).pin_to_cores(true).build().unwrap_err();
            assert!(error.to_string().contains("may use 1 (["), "{error}");
            let group = LoopGroup::builder().loops(1).pin_to_cores(true).build().unwrap();
            assert_eq!(group.spawn(|| async { cores() }).wait().unwrap(), [all[all.len() - 1]]);
        });
    }
}

#[test]
fn what_the_settings_do_wrong_comes_out_of_build() {
    let text = panic_of(|| {
        LoopGroup::builder()
            .loops(2)
            .configure(|index, _| panic!("no settings for {index}"))
            .build()
    });
    assert_eq!(text, "no settings for 0");
}

#[test]
fn a_shutdown_gives_jobs_their_grace_and_names_what_is_stuck() {
    let group = LoopGroup::new(2).unwrap();
    let (open, gate) = mpsc::channel::<()>();
    let (started, has_started) = mpsc::channel();
    let line = line!() + 2;
    let stuck = group.handle(0).spawn(move || async move {
        spawn_blocking(move || {
            started.send(()).unwrap();
            let _ = gate.recv();
        })
        .await
    });
    has_started.recv().unwrap();
    let idle = group.handle(1).spawn(pending::<()>);
    let reports = group.shutdown(Duration::from_millis(20));
    drop(open);
    assert_eq!((reports.len(), reports[1].is_clean(), reports[1].cancelled), (2, true, 1));
    assert_eq!(reports[0].left.len(), 1);
    let left = &reports[0].left[0];
    assert_eq!((left.kind, left.location.line()), (LeftKind::BlockingJob, line));
    assert!(stuck.wait().unwrap_err().is_cancelled() && idle.wait().unwrap_err().is_cancelled());
}

#[test]
fn a_loop_that_a_task_holds_is_given_up() {
    let here = Location::caller().line() + 1;
    let group = LoopGroup::new(2).unwrap();
    let (open, gate) = mpsc::channel::<()>();
    let (started, has_started) = mpsc::channel();
    let held = group.handle(0).spawn(move || async move {
        started.send(()).unwrap();
        let _ = gate.recv();
    });
    has_started.recv().unwrap();
    let start = Instant::now();
    let reports = group.shutdown(Duration::from_millis(500));
    assert!(start.elapsed() < GUARD);
    let left = &reports[0].left[0];
    assert_eq!((left.kind, left.location.line()), (LeftKind::Loop, here));
    let text = reports[0].to_string();
    assert!(text.contains("; a task held its loop: made at tests/group.rs:"), "{text}");
    assert!(reports[1].is_clean());
    drop(open);
    assert!(held.wait().is_ok(), "its thread goes on");
}

#[test]
fn a_group_cannot_be_shut_down_by_one_of_its_own_threads() {
    let group = LoopGroup::new(2).unwrap();
    let (first, second) = (group.handle(0), group.handle(1));
    let text = first.spawn(move || async move { panic_of(|| group.shutdown(GUARD)) });
    let text = text.wait().unwrap();
    assert!(text.starts_with("`LoopGroup::shutdown` was called on the thread of loop "));
    assert!(text.ends_with("it would wait for itself. Call it on another thread."), "{text}");
    assert!(second.is_closed(), "it was dropped, which stops the loops");
}
