//! `scope`: children that borrow from their parent. What they borrow, which of them are polled, and
//! what is dropped when, whichever way the scope ends.

mod support;

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use support::{
    Gate, OnDrop, Trace, assert_took, catching, nap, noted, panic_of, rounds, run_checked,
    run_virtual, under_foreign_waker,
};
use wheelhouse::structure::{Scope, ScopedJoinHandle};
use wheelhouse::time::{Instant, sleep, timeout};
use wheelhouse::{scope, spawn, yield_now};

const SECOND: Duration = Duration::from_secs(1);

async fn nap_unit(seconds: u64) {
    nap(seconds).await;
}

/// Panics when it is dropped.
struct Bomb(&'static str);

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("{}", self.0);
    }
}

#[test]
fn children_of_a_scope_borrow_from_their_parent() {
    run_virtual(async {
        let start = Instant::now();
        let mut words = vec![String::from("one"), String::from("two")];
        let count = Cell::new(0);
        let total = scope(async |s| {
            for (n, word) in (1..).zip(&mut words) {
                let count = &count;
                s.spawn(async move {
                    word.push_str(&nap(n).await.to_string());
                    count.set(count.get() + 1);
                });
            }
            let own = s.spawn(async { count.get() });
            own.await.unwrap() + 10
        })
        .await;
        assert_eq!((words.join(" ").as_str(), count.get(), total), ("one1 two2", 2, 10));
        assert_took(start, 2);
    });
}

#[test]
fn a_child_of_a_scope_is_polled_only_when_it_was_woken() {
    let trace = Trace::default();
    run_virtual(async {
        let counting = |name: &'static str, future: Pin<Box<dyn Future<Output = ()>>>| {
            let trace = trace.clone();
            let mut future = future;
            poll_fn(move |cx| {
                trace.note(name);
                future.as_mut().poll(cx)
            })
        };
        scope(async |s| {
            s.spawn(counting("a", Box::pin(nap_unit(3))));
            s.spawn(counting("b", Box::pin(nap_unit(1))));
            s.spawn(counting("c", Box::pin(yield_now())));
            trace.note("body");
            nap(2).await;
            trace.note("body");
        })
        .await;
        assert_eq!(trace.take(), "body a b c c b body a");
    });
}

#[test]
fn a_scope_may_be_cloned_into_its_children() {
    fn descend<'env>(s: Scope<'env>, depth: usize, sum: &'env Cell<usize>) {
        let inner = s.clone();
        s.spawn(async move {
            yield_now().await;
            sum.set(sum.get() + depth);
            if depth > 0 {
                descend(inner, depth - 1, sum);
            }
        });
    }
    let sum = Cell::new(0);
    run_checked(scope(async |s| descend(s, 10, &sum)));
    assert_eq!(sum.get(), 55);
}

#[test]
fn a_panic_of_a_scopes_child_drops_the_rest_and_goes_on_in_the_parent() {
    let trace = Trace::default();
    run_virtual(async {
        let start = Instant::now();
        let result = catching(scope(async |s| {
            s.spawn(noted(&trace, "a", pending::<()>()));
            s.spawn(async {
                nap(1).await;
                panic!("child")
            });
            let inner = s.clone();
            s.spawn(noted(&trace, "b", async move {
                let _circle = inner;
                pending::<()>().await;
            }));
            noted(&trace, "body", pending::<()>()).await;
        }));
        assert_eq!(result.await.unwrap_err(), "child");
        assert_eq!(trace.take(), "a b body");
        assert_took(start, 1);
        let result = catching(scope(async |s| {
            s.spawn(noted(&trace, "a", pending::<()>()));
            yield_now().await;
            panic!("body");
        }));
        assert_eq!(result.await.unwrap_err(), "body");
        assert_eq!(trace.take(), "a");
    });
}

#[test]
fn a_scope_dropped_in_the_middle_drops_its_children_at_once() {
    let trace = Trace::default();
    run_virtual(async {
        let run = scope(async |s| {
            for n in 0..3 {
                let inner = s.clone();
                let trace = trace.clone();
                s.spawn(noted(&trace.clone(), n, async move {
                    // Whoever spawns while the scope ends gets a child that is dropped at once.
                    let _late = OnDrop::new(move || {
                        let handle = inner.spawn(async { unreachable!() });
                        trace.note(format!("late:{}", handle.is_finished()));
                    });
                    pending::<()>().await;
                }));
            }
            noted(&trace, "body", pending::<()>()).await;
        });
        assert!(timeout(SECOND, run).await.is_err());
        assert_eq!(trace.take(), "late:true 0 late:true 1 late:true 2 body");
    });
}

/// What makes the borrows sound: nobody else has the children, so without the scope nobody polls or
/// drops them, woken or not.
#[test]
#[cfg_attr(miri, ignore = "what is leaked is leaked")]
fn the_children_of_a_leaked_scope_are_never_touched_again() {
    run_checked(async {
        let mut words = [String::from("one"), String::from("two")];
        let wakes = Rc::new(Cell::new(0));
        {
            let mut leaked = Box::pin(scope(async |s| {
                for word in &mut words {
                    let wakes = wakes.clone();
                    s.spawn(async move {
                        word.push('!');
                        yield_now().await;
                        wakes.set(wakes.get() + 1);
                        word.push('?');
                    });
                }
                pending::<()>().await;
            }));
            poll_fn(|cx| {
                for _ in 0..2 {
                    assert!(leaked.as_mut().poll(cx).is_pending());
                }
                Poll::Ready(())
            })
            .await;
            std::mem::forget(leaked);
        }
        for _ in 0..5 {
            yield_now().await;
        }
        assert_eq!((wakes.get(), words.clone()), (0, ["one!".into(), "two!".into()]));
        words[0].clear();
    });
}

#[test]
fn a_child_of_a_scope_is_cancelled_by_its_handle_at_a_safe_point() {
    let trace = Trace::default();
    run_virtual(async {
        scope(async |s| {
            let child = s.spawn(noted(&trace, "child", pending::<()>()));
            nap(1).await;
            assert!(!child.is_finished());
            child.cancel();
            trace.note("cancelled");
            assert!(child.await.unwrap_err().is_cancelled());
            // Before its first poll, and after its end.
            let child = s.spawn(async { unreachable!() });
            child.cancel();
            assert!(child.await.unwrap_err().is_cancelled());
            let child = s.spawn(async { 7 });
            yield_now().await;
            child.cancel();
            assert_eq!(child.await.unwrap(), 7);
            // By itself.
            let own = Rc::new(RefCell::new(None));
            let inside = own.clone();
            let child = s.spawn(async move {
                yield_now().await;
                let handle: ScopedJoinHandle<'_, ()> = inside.take().unwrap();
                handle.cancel();
                pending::<()>().await;
            });
            own.replace(Some(child));
        })
        .await;
        assert_eq!(trace.take(), "cancelled child");
    });
}

#[test]
fn a_scope_that_is_over_takes_no_children() {
    run_checked(async {
        let leaked = scope(async |s| s).await;
        let child = leaked.spawn(async { 1 });
        assert!(child.is_finished() && child.await.unwrap_err().is_cancelled());
    });
}

#[test]
fn a_busy_child_of_a_scope_starves_neither_siblings_nor_the_loop() {
    run_checked(async {
        let gate = Gate::default();
        let other = gate.clone();
        let outside = spawn(async move {
            yield_now().await;
            other.open();
        });
        scope(async |s| {
            let busy = s.spawn(async {
                loop {
                    yield_now().await;
                }
            });
            s.spawn(async { gate.wait().await }).await.unwrap();
            busy.cancel();
        })
        .await;
        outside.await.unwrap();
    });
}

#[test]
fn ten_thousand_children_of_a_scope_are_polled_in_a_line() {
    let count = rounds(10_000, 100) as u64;
    let polls = Cell::new(0);
    run_virtual(scope(async |s| {
        for n in 0..count {
            let mut sleep = Box::pin(async move { sleep(Duration::from_millis(n)).await });
            let polls = &polls;
            s.spawn(poll_fn(move |cx| {
                polls.set(polls.get() + 1);
                sleep.as_mut().poll(cx)
            }));
        }
    }));
    assert_eq!(polls.get(), 2 * count);
    run_virtual(under_foreign_waker(scope(async |s| drop(s.spawn(nap(1))))));
}

#[test]
fn a_panic_in_the_drop_of_a_scopes_child_goes_on_in_the_parent() {
    run_checked(async {
        let result = catching(scope(async |s| {
            let child = s.spawn(async {
                let _bomb = Bomb("drop");
                pending::<()>().await;
            });
            yield_now().await;
            child.cancel();
            pending::<()>().await;
        }));
        assert_eq!(result.await.unwrap_err(), "drop");
    });
    // While the scope itself is being dropped it is reported, and goes no further.
    let dropped = async {
        let run = scope(async |s| {
            s.spawn(async {
                let _bomb = Bomb("drop");
                pending::<()>().await;
            });
            pending::<()>().await;
        });
        assert!(timeout(Duration::from_millis(1), run).await.is_err());
    };
    let reports = panic_of(|| run_checked(dropped));
    assert!(reports.contains("a child of a scope panicked outside a task: drop"), "{reports}");
}
