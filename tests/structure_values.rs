//! What is given and what holds: `CancelToken`, `completion`, `task_local!`; on one thread, across
//! threads, and when one side goes away. And which of the structure's types may cross threads.

mod support;

use std::cell::RefCell;
use std::future::{Future, pending, ready};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use futures_lite::future::block_on as foreign_block_on;
use support::{
    OnDrop, Trace, WakeCount, assert_nothing_left, panic_of, poll_with, rounds, run_checked,
    run_virtual, turn_until_idle,
};
use wheelhouse::structure::{
    Abandoned, AsCompleted, CancelReport, CancelWith, Cancelled, Completer, Completion, DropGuard,
    Gather, GatherSettled, GroupError, Race, RemoteCompleter, RunUntilCancelled, Shield,
    TaskLocalFuture, TryGather, Wait,
};
use wheelhouse::task::LocalKey;
use wheelhouse::time::{Instant, sleep};
use wheelhouse::{
    CancelToken, EventLoop, JoinSet, TaskGroup, completion, join, select, spawn, yield_now,
};

const SECOND: Duration = Duration::from_secs(1);

const fn send<T: Send>() {}
const fn send_and_sync<T: Send + Sync>() {}
const fn unpin<T: Unpin>() {}

type Local = Rc<()>;

const _: () = {
    send_and_sync::<CancelToken>();
    send_and_sync::<Cancelled>();
    unpin::<Cancelled>();
    send_and_sync::<DropGuard>();
    send::<RunUntilCancelled<Cancelled>>();
    send_and_sync::<TaskGroup>();
    send_and_sync::<CancelWith>();
    send_and_sync::<CancelReport>();
    // What errors are passed on in demands both.
    send_and_sync::<GroupError>();
    send::<JoinSet<u32>>();
    send::<Gather<u32>>();
    send::<TryGather<u32, u32>>();
    send::<GatherSettled<u32>>();
    send::<AsCompleted<u32>>();
    send::<Race<Cancelled>>();
    send::<Shield<Local>>();
    send::<Wait<'static, u32>>();
    send::<RemoteCompleter<u32>>();
    send::<TaskLocalFuture<u32, Cancelled>>();
    send_and_sync::<LocalKey<Local>>();
    unpin::<JoinSet<u32>>();
    unpin::<Gather<u32>>();
    unpin::<Completion<u32>>();
};

/// It compiles, so a handler that must be `Send` may use them.
#[test]
fn the_futures_are_send_where_what_they_carry_is() {
    fn is_send<F: Future + Send>(future: F) -> F {
        future
    }
    run_checked(is_send(async {
        let token = CancelToken::new();
        is_send(token.run_until_cancelled(ready(()))).await;
        let (one, two) = is_send(async { join!(ready(1), ready(2)) }).await;
        let first = is_send(async {
            select! { n = ready(one) => n, n = ready(two) => n }
        })
        .await;
        assert!(first <= 2);
        let mut set = JoinSet::new();
        set.spawn(ready(1));
        is_send(set.join_next()).await.unwrap().unwrap();
        is_send(wheelhouse::gather([ready(1)])).await;
        is_send(TaskGroup::run(async |group| {
            group.spawn(ready(()));
            yield_now().await;
        }))
        .await
        .unwrap();
    }));
}

#[test]
fn a_token_wakes_all_who_wait_in_their_order() {
    let trace = Trace::default();
    run_virtual(async {
        let token = CancelToken::new();
        for n in 0..3 {
            let (trace, cancelled) = (trace.clone(), token.cancelled());
            drop(spawn(async move {
                cancelled.await;
                trace.note(n);
            }));
        }
        yield_now().await;
        assert!(!token.is_cancelled());
        token.clone().cancel();
        token.cancel();
        assert!(token.is_cancelled());
        yield_now().await;
        assert_eq!(trace.take(), "0 1 2");
        token.cancelled().await;
    });
}

#[test]
fn children_are_cancelled_with_their_parent_and_not_the_other_way_round() {
    let root = CancelToken::new();
    let (left, right) = (root.child(), root.child());
    let leaf = left.child();
    left.cancel();
    let cancelled = |tokens: [&CancelToken; 4]| tokens.map(CancelToken::is_cancelled);
    assert_eq!(cancelled([&root, &left, &leaf, &right]), [false, true, true, false]);
    root.cancel();
    assert_eq!(cancelled([&root, &left, &leaf, &right]), [true; 4]);
    assert!(root.child().is_cancelled() && leaf.child().is_cancelled());
}

/// Who hears of a cancelled token finds those below it cancelled as well.
#[test]
fn all_tokens_are_cancelled_before_anybody_is_woken() {
    struct Look(CancelToken, AtomicBool);
    impl Wake for Look {
        fn wake(self: Arc<Self>) {
            self.1.store(self.0.is_cancelled(), Ordering::SeqCst);
        }
    }
    let root = CancelToken::new();
    let look = Arc::new(Look(root.child().child(), AtomicBool::new(false)));
    let mut cancelled = root.cancelled();
    assert!(poll_with(&mut cancelled, &Waker::from(look.clone())).is_pending());
    root.cancel();
    assert!(look.1.load(Ordering::SeqCst));
}

/// A waker is foreign code: one that panics must not keep the news from those behind it.
#[test]
fn a_waker_that_panics_hurts_nobody_else() {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("a waker, as it should");
        }
    }
    let panics = Waker::from(Arc::new(Panics));
    let (count, counts) = WakeCount::new();
    let root = CancelToken::new();
    let (mut first, mut second, child) = (root.cancelled(), root.cancelled(), root.child());
    assert!(poll_with(&mut first, &panics).is_pending());
    assert!(poll_with(&mut second, &counts).is_pending());
    root.cancel();
    assert!(count.get() == 1 && child.is_cancelled());

    let (completer, mut first) = completion::<u32>();
    let mut second = first.clone();
    assert!(poll_with(&mut first, &panics).is_pending());
    assert!(poll_with(&mut second, &counts).is_pending());
    completer.complete(7);
    assert_eq!((count.get(), poll_with(&mut second, &counts)), (2, Poll::Ready(Ok(7))));
}

#[test]
fn a_request_passes_through_tokens_that_nobody_holds() {
    let root = CancelToken::new();
    let leaf = root.child().child().child();
    let (count, waker) = WakeCount::new();
    let mut cancelled = leaf.cancelled();
    assert!(poll_with(&mut cancelled, &waker).is_pending());
    root.cancel();
    assert_eq!(count.get(), 1);
    assert!(poll_with(&mut cancelled, &waker).is_ready());
}

#[test]
fn deep_and_wide_trees_neither_recurse_nor_grow() {
    let depth = rounds(200_000, 1000);
    let root = CancelToken::new();
    let mut leaf = root.clone();
    for _ in 0..depth {
        leaf = leaf.child();
    }
    root.cancel();
    assert!(leaf.is_cancelled());
    drop(leaf);
    let mut leaf = CancelToken::new();
    for _ in 0..depth {
        leaf = leaf.child();
    }
    // Only the leaf holds the line.
    drop(leaf);
    let root = CancelToken::new();
    for _ in 0..depth {
        // One a request, say; the long-lived parent must not keep them.
        drop(root.child());
    }
    let kept = root.child();
    root.cancel();
    assert!(kept.is_cancelled());
}

#[test]
fn a_dropped_wait_for_a_token_leaves_nothing_and_a_new_waker_replaces_the_old() {
    let token = CancelToken::new();
    let (old, old_waker) = WakeCount::new();
    let (new, new_waker) = WakeCount::new();
    let mut cancelled = token.cancelled();
    assert!(poll_with(&mut cancelled, &old_waker).is_pending());
    assert!(poll_with(&mut cancelled, &new_waker).is_pending());
    let mut dropped = token.cancelled();
    assert!(poll_with(&mut dropped, &old_waker).is_pending());
    drop(dropped);
    assert_eq!((Arc::strong_count(&old), Arc::strong_count(&new)), (2, 3));
    token.cancel();
    assert_eq!((old.get(), new.get()), (0, 1));
}

#[test]
fn tokens_work_from_any_thread_under_any_executor() {
    for _ in 0..rounds(200, 10) {
        let token = CancelToken::new();
        let waiting: Vec<_> = (0..3)
            .map(|_| {
                let child = token.child();
                thread::spawn(move || foreign_block_on(child.cancelled()))
            })
            .collect();
        let maker = {
            let token = token.clone();
            thread::spawn(move || {
                while !token.child().is_cancelled() {
                    thread::yield_now();
                }
            })
        };
        run_checked(async {
            let there = token.clone();
            let canceller = thread::spawn(move || there.cancel());
            token.cancelled().await;
            canceller.join().unwrap();
        });
        waiting.into_iter().chain([maker]).for_each(|thread| thread.join().unwrap());
    }
}

#[test]
fn run_until_cancelled_gives_the_output_or_none() {
    let trace = Trace::default();
    run_virtual(async {
        let start = Instant::now();
        let token = CancelToken::new();
        let nap = async {
            let _guard = OnDrop::new(|| trace.note("dropped"));
            sleep(2 * SECOND).await;
            2
        };
        let stop = token.clone();
        let stopper = spawn(async move {
            sleep(SECOND).await;
            stop.cancel();
        });
        assert_eq!(token.run_until_cancelled(sleep(SECOND / 2)).await, Some(()));
        assert_eq!(token.run_until_cancelled(nap).await, None);
        assert_eq!((trace.take().as_str(), start.elapsed().as_secs()), ("dropped", 1));
        stopper.await.unwrap();
        let never = async { unreachable!("it is not polled") };
        assert_eq!(token.run_until_cancelled::<_>(never).await, None::<()>);
        // Ready and cancelled in one poll: nothing is lost.
        let token = CancelToken::new();
        let cancels = async {
            token.cancel();
            5
        };
        assert_eq!(token.run_until_cancelled(cancels).await, Some(5));
    });
}

#[test]
fn a_drop_guard_cancels_unless_it_is_disarmed() {
    let token = CancelToken::new();
    drop(token.clone().drop_guard().disarm());
    assert!(!token.is_cancelled());
    drop(token.clone().drop_guard());
    assert!(token.is_cancelled());
}

#[test]
fn a_completion_gives_its_value_to_any_number_of_awaiters() {
    let trace = Trace::default();
    run_virtual(async {
        let (completer, answer) = completion::<String>();
        for n in 0..3 {
            let (trace, answer) = (trace.clone(), answer.clone());
            drop(spawn(async move {
                let text = answer.await.unwrap();
                trace.note(format!("{n}{text}"));
            }));
        }
        yield_now().await;
        assert!(!answer.is_complete() && answer.get().is_none());
        completer.complete("x".into());
        assert_eq!(answer.get(), Some(Ok(&"x".to_owned())));
        yield_now().await;
        assert_eq!(trace.take(), "0x 1x 2x");
        let mut again = answer.clone();
        assert_eq!((&mut again).await.unwrap(), "x");
        assert_eq!(again.await.unwrap(), "x", "as often as one likes");
    });
}

#[test]
fn a_completion_needs_no_loop_and_no_clone_to_be_looked_at() {
    struct NotClone(u32);
    let (completer, answer) = completion::<NotClone>();
    completer.complete(NotClone(7));
    assert_eq!(answer.get().unwrap().unwrap().0, 7);
    let (completer, answer) = completion::<u32>();
    let both = async { join!(answer, async { completer.complete(3) }) };
    assert_eq!(foreign_block_on(both).0, Ok(3));
}

#[test]
fn a_dropped_completer_abandons_those_who_wait() {
    run_virtual(async {
        let (completer, answer) = completion::<u32>();
        let waiting = spawn(answer.clone());
        yield_now().await;
        drop(completer);
        let abandoned = waiting.await.unwrap().unwrap_err();
        assert_eq!(abandoned.to_string(), "the completer was dropped without a value");
        assert_eq!(answer.await, Err(abandoned));
        let (completer, answer) = completion::<u32>();
        let task = spawn(async move {
            let _completer: Completer<u32> = completer;
            pending::<()>().await;
        });
        yield_now().await;
        task.cancel();
        assert!(answer.await.is_err(), "also when the task that held it is cancelled");
    });
}

#[test]
fn a_completer_knows_when_nobody_listens() {
    let (completer, answer) = completion::<u32>();
    let also = answer.clone();
    drop(answer);
    assert!(!completer.is_unwanted());
    drop(also);
    assert!(completer.is_unwanted());
    completer.complete(1);
}

#[test]
fn a_dropped_wait_for_a_completion_leaves_nothing_and_a_new_waker_replaces_the_old() {
    let (completer, mut answer) = completion::<u32>();
    let (old, old_waker) = WakeCount::new();
    let (new, new_waker) = WakeCount::new();
    assert!(poll_with(&mut answer, &old_waker).is_pending());
    assert!(poll_with(&mut answer, &new_waker).is_pending());
    let mut dropped = answer.clone();
    assert!(poll_with(&mut dropped, &old_waker).is_pending());
    drop(dropped);
    assert_eq!((Arc::strong_count(&old), Arc::strong_count(&new)), (2, 3));
    completer.complete(1);
    assert_eq!((old.get(), new.get()), (0, 1));
    assert_eq!(poll_with(&mut answer, &new_waker), Poll::Ready(Ok(1)));
}

#[test]
fn a_value_may_look_at_its_completion_while_it_is_cloned() {
    struct Curious(Rc<RefCell<Option<Completion<Curious>>>>);
    impl Clone for Curious {
        fn clone(&self) -> Curious {
            let here = self.0.borrow();
            assert!(here.as_ref().unwrap().clone().is_complete());
            Curious(self.0.clone())
        }
    }
    let (completer, answer) = completion::<Curious>();
    let place = Rc::new(RefCell::new(Some(answer.clone())));
    completer.complete(Curious(place.clone()));
    assert!(foreign_block_on(answer).is_ok());
    drop(place.take());
}

#[test]
fn a_value_comes_from_another_thread() {
    for _ in 0..rounds(100, 5) {
        run_checked(async {
            let (completer, answer) = completion::<Vec<u32>>();
            let completer = completer.remote();
            assert!(!completer.is_unwanted());
            let giver = thread::spawn(move || completer.complete(vec![1, 2]));
            assert_eq!(answer.clone().await, Ok(vec![1, 2]));
            giver.join().unwrap();
            let (completer, answer) = completion::<u32>();
            let completer = completer.remote();
            let dropper = thread::spawn(move || drop(completer));
            assert!(answer.await.is_err());
            dropper.join().unwrap();
        });
    }
}

#[test]
fn a_remote_completer_outlives_its_loop_harmlessly() {
    let event_loop = EventLoop::new().unwrap();
    let entered = event_loop.enter();
    let (completer, answer) = completion::<u32>();
    let completer = completer.remote();
    let early = completion::<u32>().0.remote();
    drop(entered);
    turn_until_idle(&event_loop);
    // On the loop's own thread it works too.
    early.complete(1);
    turn_until_idle(&event_loop);
    assert_eq!(event_loop.metrics().tasks, 1);
    drop(event_loop);
    assert!(completer.is_unwanted());
    completer.complete(5);
    assert!(matches!(answer.get(), Some(Err(Abandoned { .. }))));
    let text = panic_of(|| drop(completion::<u32>().0.remote()));
    assert!(text.contains("no event loop is running on this thread"), "{text}");
}

#[test]
fn nothing_is_left_when_all_of_it_is_used_at_once() {
    let event_loop = support::virtual_time().build().unwrap();
    event_loop.block_on(async {
        let token = CancelToken::new();
        let (completer, answer) = completion::<u64>();
        let group = TaskGroup::run(async |group| {
            for n in 0..10u64 {
                let (token, answer) = (token.child(), answer.clone());
                group.spawn(async move {
                    select! {
                        () = token.cancelled() => Ok(0),
                        value = answer => value.map(|value| value + n),
                    }
                });
            }
            sleep(SECOND).await;
            completer.complete(1);
        });
        group.await.unwrap();
    });
    assert_nothing_left(&event_loop);
}
