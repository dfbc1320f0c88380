//! `TaskGroup`: nothing outlives it, and the first failure ends the rest. Exact orders and virtual
//! times; failures, panics and drops in each place; and nothing left behind. The soft end is in
//! `structure_soft_end.rs`.

mod support;

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use support::{
    GUARD, Trace, assert_took, catching, nap, noted, panic_of, rounds, run_checked, run_virtual,
    text_of, under_foreign_waker,
};
use wheelhouse::structure::GroupError;
use wheelhouse::task::Builder;
use wheelhouse::testing::{Test, seeds};
use wheelhouse::time::{Instant, sleep, timeout};
use wheelhouse::{EventLoop, JoinHandle, LoopGroup, TaskGroup, spawn, yield_now};

const SECOND: Duration = Duration::from_secs(1);

async fn nap_unit(seconds: u64) {
    nap(seconds).await;
}

async fn fails(seconds: u64) -> io::Result<()> {
    Err(io::Error::other(format!("failed at {}", nap(seconds).await)))
}

#[test]
fn a_group_waits_for_its_body_and_all_its_tasks() {
    let trace = Trace::default();
    run_virtual(async {
        let start = Instant::now();
        let value = TaskGroup::run(async |group| {
            group.spawn(noted(&trace, "three", nap_unit(3)));
            let (inner, trace) = (group.clone(), trace.clone());
            group.spawn(async move {
                nap(1).await;
                // A task may spawn more, also when the body has ended.
                inner.spawn(noted(&trace, "four", nap_unit(3)));
            });
            let handle: JoinHandle<u64> = group.spawn(async { Ok::<_, Infallible>(nap(1).await) });
            assert_eq!((group.len(), handle.await.unwrap()), (3, 1));
            Ok::<_, GroupError>("value")
        })
        .await;
        assert_eq!(value.unwrap(), "value");
        assert_took(start, 4);
        assert_eq!(trace.take(), "three four");
        TaskGroup::run(async |_| {}).await.unwrap();
    });
}

#[test]
fn the_first_error_cancels_the_siblings_and_the_body() {
    let trace = Trace::default();
    run_virtual(async {
        let start = Instant::now();
        let error = TaskGroup::run(async |group| {
            group.spawn(noted(&trace, "sibling", pending::<()>()));
            group.spawn_with(Builder::new().name("failing"), fails(2));
            noted(&trace, "body", pending::<()>()).await;
        })
        .await
        .unwrap_err();
        assert_took(start, 2);
        assert_eq!(trace.take_sorted(), "body sibling");
        let [failure] = error.failures() else { panic!("{error}") };
        assert!(!error.is_cancelled() && !failure.is_panic());
        assert_eq!(failure.downcast_ref::<io::Error>().unwrap().to_string(), "failed at 2");
        let task = failure.task().unwrap();
        assert_eq!((task.name.as_deref(), task.location.file()), (Some("failing"), file!()));
        let said = error.to_string();
        assert!(said.starts_with("the task group failed: task "), "{said}");
        assert!(said.ends_with("): failed at 2") && said.contains("\"failing\""), "{said}");
        assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "failed at 2");
    });
}

#[test]
fn a_panic_is_a_failure_with_its_payload() {
    run_virtual(async {
        let error = TaskGroup::run(async |group| {
            group.spawn(async {
                nap(1).await;
                panic!("in a task")
            });
            pending::<()>().await;
        })
        .await
        .unwrap_err();
        let failure = error.into_failures().pop().unwrap();
        assert!(failure.is_panic() && failure.error().is_none());
        assert!(failure.to_string().ends_with(" panicked: in a task"), "{failure}");
        assert_eq!(text_of(&*failure.into_error().unwrap_err()), "in a task");
    });
}

/// Panics when it is dropped.
struct Bomb(&'static str);

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("{}", self.0);
    }
}

#[test]
fn failures_while_the_group_ends_are_collected_too() {
    run_virtual(async {
        let error = TaskGroup::run(async |group| {
            for text in ["b", "c"] {
                group.spawn(async move {
                    let _bomb = Bomb(text);
                    pending::<()>().await;
                });
            }
            group.spawn(fails(1));
            pending::<()>().await;
        })
        .await
        .unwrap_err();
        let said = error.to_string();
        assert!(said.contains("): failed at 1; then 2 more; task "), "{said}");
        let panics = error.failures().iter().map(|failure| failure.is_panic());
        assert_eq!(panics.collect::<Vec<_>>(), [false, true, true]);
        // A task that has cancelled its group and fails then has failed.
        let error = TaskGroup::run(async |group| {
            let inner = group.clone();
            group.spawn(async move {
                inner.cancel();
                Err::<(), _>("after the cancelling")
            });
            pending::<()>().await;
        })
        .await
        .unwrap_err();
        assert!(error.to_string().ends_with(": after the cancelling"), "{error}");
    });
}

#[test]
fn an_error_of_the_body_cancels_the_tasks_and_waits_for_them() {
    let trace = Trace::default();
    run_checked(async {
        let error = TaskGroup::run(async |group| {
            group.spawn(noted(&trace, "task", pending::<()>()));
            yield_now().await;
            "x".parse::<u32>()?;
            Ok::<(), std::num::ParseIntError>(())
        })
        .await
        .unwrap_err();
        assert_eq!(trace.take(), "task");
        assert!(error.failures()[0].task().is_none());
        assert!(error.failures()[0].downcast_ref::<std::num::ParseIntError>().is_some());
    });
}

#[test]
fn a_panic_of_the_body_goes_on_when_the_tasks_have_ended() {
    let trace = Trace::default();
    run_checked(async {
        let run = TaskGroup::run(async |group| {
            group.spawn(noted(&trace, "task", pending::<()>()));
            yield_now().await;
            if !group.is_cancelled() {
                panic!("the body");
            }
        });
        assert_eq!(catching(run).await.unwrap_err(), "the body");
        assert_eq!(trace.take(), "task");
    });
}

#[test]
fn panics_in_drops_are_not_lost_and_hurt_nobody() {
    run_checked(async {
        let error = TaskGroup::run(async |group| {
            group.spawn(async { drop(Bomb("a task's end")) });
            pending::<()>().await;
        });
        assert!(error.await.unwrap_err().failures()[0].to_string().contains("a task's end"));
        let run = TaskGroup::run(async |group| {
            group.spawn(async { Err::<(), _>("failed") });
            let _bomb = Bomb("the body's end");
            pending::<()>().await;
        });
        assert_eq!(catching(run).await.unwrap_err(), "the body's end");
    });
    // Of a group that is dropped nobody gets the failures: they are reported.
    let dropped = async {
        let run = TaskGroup::run(async |group| {
            group.spawn(async {
                let _bomb = Bomb("reported");
                pending::<()>().await;
            });
            pending::<()>().await;
        });
        assert!(timeout(Duration::from_millis(1), run).await.is_err());
        yield_now().await;
    };
    let reports = panic_of(|| run_checked(dropped));
    assert!(reports.contains("a task panicked and nobody awaited it: reported"), "{reports}");
}

#[test]
fn a_task_cancelled_by_its_handle_is_no_failure() {
    run_checked(async {
        TaskGroup::run(async |group| {
            let handle = group.spawn(pending::<()>());
            yield_now().await;
            handle.cancel();
            assert!(handle.await.unwrap_err().is_cancelled());
            // Dropping a handle does nothing.
            drop(group.spawn(yield_now()));
        })
        .await
        .unwrap();
    });
}

#[test]
fn a_failed_task_is_cancelled_for_its_handle() {
    run_checked(async {
        let outside = Rc::new(RefCell::new(None));
        let kept = outside.clone();
        let error = TaskGroup::run(async |group| {
            let task = group.spawn(async { Err::<u32, _>("no") });
            kept.replace(Some(task));
        })
        .await
        .unwrap_err();
        assert_eq!(error.failures().len(), 1);
        let handle = outside.take().unwrap();
        assert!(handle.await.unwrap_err().is_cancelled());
    });
}

#[test]
fn cancel_ends_tasks_and_body_and_spares_a_body_that_asks() {
    let trace = Trace::default();
    run_virtual(async {
        let start = Instant::now();
        let error = TaskGroup::run(async |group| {
            let inner = group.clone();
            group.spawn(noted(&trace, "task", async move {
                nap(1).await;
                inner.cancel();
                pending::<()>().await;
            }));
            noted(&trace, "body", pending::<()>()).await;
        })
        .await
        .unwrap_err();
        assert!(error.is_cancelled(), "{error}");
        assert_eq!(error.to_string(), "the task group was cancelled before its body had ended");
        assert_eq!(trace.take_sorted(), "body task");
        assert_took(start, 1);
        let value = TaskGroup::run(async |group| {
            group.spawn(noted(&trace, "task", pending::<()>()));
            yield_now().await;
            group.cancel();
            assert!(group.is_cancelled());
            group.cancelled().await;
            // What comes now is cancelled before it runs.
            let late = group.spawn(async { unreachable!() });
            assert!(late.await.unwrap_err().is_cancelled());
            nap(1).await;
            Ok::<_, Infallible>(5)
        });
        assert_eq!(value.await.unwrap(), 5);
        assert_eq!(trace.take(), "task");
    });
}

#[test]
fn a_group_dropped_in_the_middle_takes_its_tasks_with_it() {
    let trace = Trace::default();
    run_virtual(async {
        let leaked = Rc::new(RefCell::new(None));
        let run = TaskGroup::run(async |group| {
            leaked.replace(Some(group.clone()));
            for name in ["a", "b"] {
                group.spawn(noted(&trace, name, pending::<()>()));
            }
            noted(&trace, "body", pending::<()>()).await;
        });
        assert!(timeout(SECOND, run).await.is_err());
        assert_eq!(trace.take(), "body");
        yield_now().await;
        assert_eq!(trace.take(), "a b");
        let group = leaked.take().unwrap();
        assert!(group.is_empty() && group.is_cancelled());
        let late = group.spawn(async { unreachable!() });
        assert!(late.await.unwrap_err().is_cancelled());
        // Never polled: nothing began.
        drop(TaskGroup::run(async |_| unreachable!("it was not awaited")));
    });
}

#[test]
fn a_group_that_is_over_refuses_with_a_remedy() {
    run_checked(async {
        let leaked = Rc::new(RefCell::new(None));
        TaskGroup::run(async |group| drop(leaked.replace(Some(group)))).await.unwrap();
        let group = leaked.take().unwrap();
        let text = catching(async { drop(group.spawn(async {})) }).await.unwrap_err();
        for part in ["`TaskGroup::spawn` was called on a group that is over", "expects", "Keep"] {
            assert!(text.contains(part), "{text}");
        }
    });
}

/// Tasks may tidy up with the help of others.
/// The body is asked as well, also where it is the only one.
#[test]
fn a_blocking_job_is_a_task_of_the_group() {
    run_checked(async {
        TaskGroup::run(async |group| {
            let job = group.spawn_blocking(|| Ok::<_, io::Error>(6 * 7));
            assert_eq!(job.await.unwrap(), 42);
        })
        .await
        .unwrap();
        let error = TaskGroup::run(async |group| {
            group.spawn_blocking(|| Err::<(), _>("the job failed"));
            pending::<()>().await;
        });
        assert!(error.await.unwrap_err().to_string().ends_with("the job failed"));
        let error = TaskGroup::run(async |group| {
            let token = group.token().clone();
            // It ends only because it looks at the token.
            group.spawn_blocking(move || {
                while !token.is_cancelled() {
                    std::thread::yield_now();
                }
            });
            group.spawn_blocking(|| panic!("the job panicked"));
            pending::<()>().await;
        });
        assert!(error.await.unwrap_err().failures()[0].is_panic());
    });
}

#[test]
fn groups_nest() {
    let trace = Trace::default();
    run_virtual(async {
        let error = TaskGroup::run(async |outer| {
            let trace = trace.clone();
            outer.spawn(async move {
                TaskGroup::run(async |inner| {
                    inner.spawn(noted(&trace, "inner", pending::<()>()));
                    inner.spawn(fails(1));
                })
                .await
            });
            pending::<()>().await;
        });
        let error = error.await.unwrap_err();
        let inner = error.failures()[0].downcast_ref::<GroupError>().unwrap();
        assert_eq!(inner.failures()[0].error().unwrap().to_string(), "failed at 1");
        assert_eq!(trace.take(), "inner");
    });
}

/// The handles of a group go to any thread, and `spawn` spawns where it is called.
#[test]
fn a_group_may_have_tasks_on_several_loops() {
    for closes in [false, true] {
        let far = LoopGroup::new(1).unwrap();
        let far_handle = far.handle(0);
        let mut far = Some(far);
        run_checked(async {
            let run = TaskGroup::run(async |group| {
                let there = group.clone();
                let spawning = far_handle.spawn(move || async move {
                    there.spawn(async move {
                        yield_now().await;
                        if closes { pending().await } else { Err::<(), _>("far away") }
                    });
                });
                spawning.await.unwrap();
                if closes {
                    // What ends with its loop was cancelled, which is no failure.
                    drop(far.take());
                } else {
                    group.spawn(pending::<()>());
                }
            });
            match timeout(GUARD, run).await.unwrap() {
                Ok(()) => assert!(closes),
                Err(error) => assert!(!closes && error.to_string().ends_with("): far away")),
            }
        });
    }
}

#[test]
fn ten_thousand_tasks_of_a_group_are_polled_in_a_line() {
    let count = rounds(10_000, 100) as u64;
    let event_loop = support::virtual_time().build().unwrap();
    event_loop.block_on(async {
        TaskGroup::run(async |group| {
            for n in 0..count {
                group.spawn(sleep(Duration::from_millis(n)));
            }
        })
        .await
        .unwrap();
    });
    let polls = event_loop.metrics().polls;
    assert!(polls < 3 * count, "{polls} polls");
    support::assert_nothing_left(&event_loop);
}

#[test]
fn a_group_works_under_a_foreign_waker_and_dies_with_its_loop() {
    let trace = Trace::default();
    run_virtual(async {
        let run = TaskGroup::run(async |group| {
            group.spawn(nap_unit(2));
            group.spawn(nap_unit(1));
            let report = group.cancel_with(9 * SECOND).await;
            assert!(report.is_clean());
        });
        under_foreign_waker(run).await.unwrap();
    });
    let event_loop = EventLoop::new().unwrap();
    {
        let _entered = event_loop.enter();
        let trace = trace.clone();
        drop(spawn(async move {
            let _ = TaskGroup::run(async |group| {
                group.spawn(noted(&trace, "task", pending::<()>()));
                noted(&trace, "body", pending::<()>()).await;
            })
            .await;
        }));
    }
    support::turn_until_idle(&event_loop);
    drop(event_loop);
    assert_eq!(trace.take_sorted(), "body task");
}

/// As a task that is spawned then is never polled.
#[test]
fn a_job_for_a_group_that_is_cancelled_never_starts() {
    let ran = Arc::new(AtomicBool::new(false));
    run_checked(async {
        TaskGroup::run(async |group| {
            group.cancel();
            let ran = ran.clone();
            let job = group.spawn_blocking(move || ran.store(true, Ordering::SeqCst));
            // The pool, which begins at once with what it has, has not heard of it.
            assert_eq!(wheelhouse::metrics().blocking_jobs, 0);
            assert_eq!(wheelhouse::metrics().blocking_threads, 0);
            assert!(job.await.unwrap_err().is_cancelled());
        })
        .await
        .unwrap();
    });
    assert!(!ran.load(Ordering::SeqCst));
}

/// Only the body itself goes on after it has cancelled its group: what another thread does at that
/// moment is no wish of the body.
#[test]
fn a_group_cancelled_by_another_thread_while_its_body_is_polled_drops_the_body() {
    for softly in [false, true] {
        run_virtual(async {
            let group = TaskGroup::run(async |group: TaskGroup| {
                let other = group.clone();
                let cancel = move || {
                    if softly { drop(other.cancel_with(SECOND)) } else { other.cancel() }
                };
                std::thread::spawn(cancel).join().unwrap();
                pending::<()>().await;
            });
            let ended = timeout(10 * SECOND, group).await;
            assert!(ended.expect("the body is left to itself").unwrap_err().is_cancelled());
        });
    }
}

/// A group of which a part is cancelled with a group in it waits for that one's tasks, too, however
/// deep, and in whatever order they are dropped.
#[test]
fn nothing_of_the_groups_inside_outlives_a_group_that_is_cancelled() {
    fn nested(depth: u32, trace: Trace) -> Pin<Box<dyn Future<Output = ()>>> {
        Box::pin(async move {
            if depth == 0 {
                return noted(&trace, "innermost", pending()).await;
            }
            let group = TaskGroup::run(async |group| {
                group.spawn(nested(depth - 1, trace.clone()));
                pending::<()>().await;
            });
            // As any future around it, this one is dropped in the middle.
            let _ = timeout(100 * SECOND, group).await;
        })
    }

    for seed in seeds(rounds(20, 2) as u64) {
        Test::new().seed(seed).run(async {
            for in_body in [false, true] {
                let trace = Trace::default();
                let ended = TaskGroup::run(async |group: TaskGroup| {
                    let canceller = group.clone();
                    group.spawn(async move {
                        sleep(SECOND).await;
                        canceller.cancel();
                    });
                    if !in_body {
                        group.spawn(nested(3, trace.clone()));
                        pending::<()>().await;
                    }
                    nested(3, trace.clone()).await;
                })
                .await;
                assert!(ended.unwrap_err().is_cancelled());
                assert_eq!(trace.take(), "innermost", "in the body: {in_body}");
            }
        });
    }
}
