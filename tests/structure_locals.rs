//! `task_local!`: where a value holds, who inherits it, and that it is put away between polls,
//! whatever happens in one.

mod support;

use std::cell::Cell;
use std::future::pending;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use futures_lite::future::block_on as foreign_block_on;
use support::{OnDrop, Trace, WakeCount, panic_of, poll_with, run_checked, under_foreign_waker};
use wheelhouse::time::timeout;
use wheelhouse::{JoinSet, TaskGroup, join, spawn, task_local, yield_now};

task_local! {
    /// A value for the tests.
    static NAME: &'static str;
    static SHARED: Rc<Cell<u32>>
}

#[test]
fn a_value_holds_inside_its_scope_and_nowhere_else() {
    run_checked(async {
        assert!(NAME.try_with(|_| ()).is_err() && NAME.try_get().is_err());
        let outer = NAME.scope("outer", async {
            assert_eq!(NAME.get(), "outer");
            NAME.scope("inner", async {
                yield_now().await;
                assert_eq!(NAME.get(), "inner");
            })
            .await;
            yield_now().await;
            assert_eq!(NAME.with(|name| name.len()), 5);
        });
        let beside = async {
            for _ in 0..3 {
                assert!(NAME.try_with(|_| ()).is_err(), "between the polls it is put away");
                yield_now().await;
            }
        };
        join!(outer, beside);
        assert_eq!(NAME.sync_scope("sync", || NAME.get()), "sync");
        let error = NAME.try_with(|_| ()).unwrap_err();
        assert_eq!(error.to_string(), "the task-local `NAME` has no value here");
    });
}

#[test]
fn child_tasks_inherit_and_do_not_reach_back() {
    run_checked(async {
        let mut child = None;
        let parent = NAME.scope("parent", async {
            child = Some(spawn(async {
                assert_eq!(NAME.get(), "parent");
                let grandchild = NAME.sync_scope("child", || spawn(async { NAME.get() }));
                yield_now().await;
                assert_eq!(NAME.get(), "parent");
                assert_eq!(grandchild.await.unwrap(), "child");
            }));
            yield_now().await;
            assert_eq!(NAME.get(), "parent");
        });
        // The child runs on where the value no longer holds for its parent.
        parent.await;
        let stranger = spawn(async { NAME.try_with(|_| ()).is_err() });
        child.unwrap().await.unwrap();
        assert!(stranger.await.unwrap());
    });
}

#[test]
fn every_way_to_make_child_tasks_inherits() {
    run_checked(NAME.scope("all", async {
        let names = wheelhouse::gather((0..2).map(|_| async { NAME.get() })).await;
        assert_eq!(names, ["all", "all"]);
        let mut set = JoinSet::new();
        set.spawn(async { NAME.get() });
        assert_eq!(set.join_all().await, ["all"]);
        assert_eq!(wheelhouse::shield(async { NAME.get() }).await, "all");
        TaskGroup::run(async |group| {
            group.spawn(async { assert_eq!(NAME.get(), "all") });
        })
        .await
        .unwrap();
        wheelhouse::scope(async |s| {
            s.spawn(async { assert_eq!(NAME.get(), "all") });
        })
        .await;
        // Callbacks run in the context in which they were asked for, as asyncio's do.
        let (soon, has_run) = wheelhouse::completion();
        wheelhouse::call_soon(|| soon.complete(NAME.try_get()));
        assert_eq!(has_run.await, Ok(Ok("all")));
        let (later, has_run) = wheelhouse::completion();
        wheelhouse::call_later(Duration::from_micros(1), || later.complete(NAME.try_get()));
        assert_eq!(has_run.await, Ok(Ok("all")));
    }));
}

#[test]
fn values_are_shared_and_need_not_be_send() {
    run_checked(async {
        let count = Rc::new(Cell::new(0));
        SHARED
            .scope(count.clone(), async {
                let tasks: Vec<_> = (0..5)
                    .map(|_| spawn(async { SHARED.with(|count| count.set(count.get() + 1)) }))
                    .collect();
                for task in tasks {
                    task.await.unwrap();
                }
                NAME.scope("both", async { assert_eq!(SHARED.get().get(), 5) }).await;
            })
            .await;
        assert_eq!((count.get(), Rc::strong_count(&count)), (5, 1), "nothing keeps it");
    });
}

#[test]
fn a_task_sees_its_values_while_it_is_dropped() {
    let trace = Trace::default();
    run_checked(async {
        let at_drop = |trace: &Trace| {
            let trace = trace.clone();
            OnDrop::new(move || trace.note(NAME.try_with(|name| *name).unwrap_or("none")))
        };
        let (one, two, three) = (at_drop(&trace), at_drop(&trace), at_drop(&trace));
        NAME.scope("cancelled", async {
            let task = spawn(async move {
                let _guard = one;
                pending::<()>().await;
            });
            yield_now().await;
            task.cancel();
            let _ = task.await;
        })
        .await;
        let task = NAME.sync_scope("unpolled", || spawn(async move { drop(two) }));
        task.cancel();
        let _ = task.await;
        let scope = NAME.scope("scope", async move {
            let _guard = three;
            pending::<()>().await;
        });
        assert!(timeout(Duration::from_micros(1), scope).await.is_err());
        assert_eq!(trace.take(), "cancelled unpolled scope");
    });
}

#[test]
fn a_panic_in_a_scope_puts_the_values_back() {
    run_checked(async {
        let panicking = spawn(NAME.scope("panics", async { panic!("inside") }));
        let inheriting = NAME.sync_scope("child", || spawn(async { panic!("child") }));
        assert!(panicking.await.is_err() && inheriting.await.is_err());
        assert!(NAME.try_with(|_| ()).is_err());
        let text = panic_of(|| NAME.sync_scope("sync", || panic!("sync")));
        assert!(text == "sync" && NAME.try_with(|_| ()).is_err());
    });
}

#[test]
fn a_value_that_does_not_hold_is_missed_with_a_remedy() {
    let text = panic_of(|| NAME.get());
    for part in ["the task-local `NAME` has no value here", "expects", "or use `try_with`"] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn values_around_a_run_hold_for_its_tasks_and_under_foreign_executors_in_their_scope() {
    let name = NAME.sync_scope("host", || run_checked(async { spawn(async { NAME.get() }).await }));
    assert_eq!(name.unwrap(), "host");
    assert_eq!(foreign_block_on(NAME.scope("foreign", async { NAME.get() })), "foreign");
    run_checked(under_foreign_waker(NAME.scope("relayed", async {
        yield_now().await;
        assert_eq!(NAME.get(), "relayed");
    })));
}

#[test]
fn blocking_jobs_inherit_nothing() {
    run_checked(NAME.scope("loop", async {
        let there = wheelhouse::spawn_blocking(|| NAME.try_with(|_| ()).is_err());
        assert!(there.await.unwrap());
    }));
}

#[test]
fn a_task_local_future_may_move_to_another_thread_between_polls() {
    static DROPPED: AtomicBool = AtomicBool::new(false);
    task_local! { static COUNT: Arc<u32> }
    let mut scope = Box::pin(COUNT.scope(Arc::new(5), async {
        let _guard = OnDrop::new(|| DROPPED.store(COUNT.get() == Arc::new(5), Ordering::SeqCst));
        yield_now().await;
        pending::<()>().await;
    }));
    let (_, waker) = WakeCount::new();
    assert!(poll_with(&mut scope, &waker).is_pending());
    thread::spawn(move || {
        assert!(poll_with(&mut scope, &waker).is_pending());
    })
    .join()
    .unwrap();
    assert!(DROPPED.load(Ordering::SeqCst));
}
