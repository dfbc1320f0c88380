//! Child tasks that are awaited together: `gather` and its kin, `as_completed`, `JoinSet`, `wait`.
//! Exact orders and virtual times, cancellation at each point, panics, drops in the middle, and ten
//! thousand children without a circle of polls.

mod support;

use std::cell::Cell;
use std::future::{pending, ready};
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use futures_lite::{Stream, StreamExt};
use support::{
    Gate, Trace, assert_took, catching, nap, noted, panic_of, poll_with, rounds, run_checked,
    run_virtual, turn_until_idle, under_foreign_waker,
};
use wheelhouse::structure::wait_until;
use wheelhouse::task::{self, JoinError};
use wheelhouse::time::{Instant, sleep, timeout};
use wheelhouse::{
    EventLoop, JoinSet, WaitFor, as_completed, gather, gather_settled, spawn, testing, try_gather,
    wait, yield_now,
};

const SECOND: Duration = Duration::from_secs(1);

fn values(results: Vec<Result<u64, JoinError>>) -> Vec<u64> {
    results.into_iter().map(Result::unwrap).collect()
}

#[test]
fn gather_ends_with_the_last_child_and_keeps_their_order() {
    run_virtual(async {
        let start = Instant::now();
        assert_eq!(gather([1, 3, 2].map(nap)).await, [1, 3, 2]);
        assert_took(start, 3);
        assert!(gather(Vec::<std::future::Ready<()>>::new()).await.is_empty());
    });
}

#[test]
fn gathered_children_are_tasks_and_run_in_the_order_of_the_loop() {
    let trace = Trace::default();
    run_checked(async {
        let parent = task::current();
        let child = |name: &'static str| {
            let trace = trace.clone();
            async move {
                assert_ne!(task::current(), parent);
                trace.note(name);
                yield_now().await;
                trace.note(name);
            }
        };
        let before = spawn(child("before"));
        // They begin before anybody awaits them.
        let gathered = gather(["a", "b", "c"].map(child));
        let after = spawn(child("after"));
        yield_now().await;
        trace.note("parent");
        gathered.await;
        before.await.unwrap();
        after.await.unwrap();
    });
    assert_eq!(trace.take(), "before a b c after parent before a b c after");
}

#[test]
fn a_panicking_child_ends_the_gathering_and_is_passed_on() {
    let trace = Trace::default();
    run_virtual(async {
        let start = Instant::now();
        let children = (1..=3).map(|n| {
            noted(&trace, n, async move {
                if nap(n).await == 2 {
                    panic!("two");
                }
            })
        });
        assert_eq!(catching(gather(children)).await.unwrap_err(), "two");
        assert_took(start, 2);
        assert_eq!(trace.take(), "1 2 3", "the panic comes out when the siblings have ended");
    });
}

#[test]
fn a_gathering_dropped_in_the_middle_cancels_its_children() {
    let trace = Trace::default();
    run_virtual(async {
        let children = (1..=3).map(|n| noted(&trace, n, nap(n)));
        assert!(timeout(SECOND + SECOND / 2, gather(children)).await.is_err());
        assert_eq!(trace.take(), "1");
        yield_now().await;
        assert_eq!(trace.take(), "2 3", "in the next batch");
        // Never polled at all: the same.
        drop(gather((1..=3).map(|n| noted(&trace, n, nap(n)))));
        yield_now().await;
    });
}

#[test]
fn the_first_error_cancels_the_siblings_and_waits_for_them() {
    let trace = Trace::default();
    run_virtual(async {
        let start = Instant::now();
        let failing = |n: u64| {
            noted(&trace, n, async move {
                match nap(n).await {
                    2 => Err("two"),
                    n => Ok(n),
                }
            })
        };
        assert_eq!(try_gather([3, 1].map(failing)).await, Ok(vec![3, 1]));
        trace.take();
        assert_eq!(try_gather([3, 2, 1, 2].map(failing)).await, Err("two"));
        assert_took(start, 5);
        let mut ended: Vec<_> = trace.take().split(' ').map(str::to_owned).collect();
        ended.sort();
        assert_eq!(ended, ["1", "2", "2", "3"]);
    });
}

#[test]
fn a_panic_under_try_gather_is_passed_on() {
    run_checked(async {
        let children = (0..3).map(|n| async move {
            assert!(n != 1, "one panics");
            pending::<Result<(), ()>>().await
        });
        assert_eq!(catching(try_gather(children)).await.unwrap_err(), "one panics");
    });
}

#[test]
fn gather_settled_tells_of_each_child_how_it_ended() {
    run_virtual(async {
        let start = Instant::now();
        let ends = gather_settled([2, 0, 1].map(|n| async move {
            nap(n).await;
            10 / n
        }))
        .await;
        assert_took(start, 2);
        assert_eq!(*ends[0].as_ref().unwrap(), 5);
        assert!(ends[1].as_ref().unwrap_err().is_panic());
        assert_eq!(*ends[2].as_ref().unwrap(), 10);
    });
}

#[test]
fn as_completed_gives_ends_in_their_order() {
    run_virtual(async {
        let start = Instant::now();
        let mut ends = as_completed([3, 1, 2].map(nap));
        assert_eq!(ends.size_hint(), (3, Some(3)));
        for n in 1..=3 {
            assert_eq!(ends.next().await.unwrap().unwrap(), n);
            assert_took(start, n);
        }
        assert!(ends.next().await.is_none());
        let stream = as_completed([2, 1].map(nap)).map(Result::unwrap);
        assert_eq!(stream.collect::<Vec<_>>().await, [1, 2]);
        // What is left is cancelled, or may be taken along.
        let mut ends = as_completed([1, 9].map(nap));
        ends.next().await;
        drop(ends);
        let mut ends = as_completed([1, 2].map(nap));
        ends.next().await;
        assert_eq!(ends.into_set().join_all().await, [2]);
    });
}

#[test]
fn a_set_gives_its_tasks_as_they_end() {
    run_virtual(async {
        let mut set = JoinSet::new();
        assert!(set.is_empty() && set.join_next().await.is_none());
        let ids: Vec<_> = [2, 1].map(|n| set.spawn(nap(n)).id()).into();
        assert_eq!((set.len(), set.try_join_next().is_none()), (2, true));
        let (id, output) = set.join_next_with_id().await.unwrap().unwrap();
        assert_eq!((id, output), (ids[1], 1));
        nap(1).await;
        let (id, output) = set.try_join_next_with_id().unwrap().unwrap();
        assert_eq!((id, output), (ids[0], 2));
        set.extend([3, 1, 2].map(nap));
        set.insert(task::Builder::new().name("named").spawn(nap(4)));
        assert_eq!(set.join_all().await, [1, 2, 3, 4]);
    });
}

#[test]
fn a_set_spawns_blocking_jobs_and_mixes_them() {
    run_checked(async {
        let mut set = JoinSet::new();
        set.spawn_blocking(|| 1);
        set.spawn(async { 2 });
        let mut outputs = set.join_all().await;
        outputs.sort();
        assert_eq!(outputs, [1, 2]);
    });
}

#[test]
fn aborted_and_panicked_tasks_come_out_with_their_ids() {
    run_checked(async {
        let mut set: JoinSet<()> = JoinSet::new();
        let aborted = set.spawn(pending());
        let panicked = set.spawn(async { panic!("task") });
        yield_now().await;
        aborted.cancel();
        let mut errors = Vec::new();
        while let Some(end) = set.join_next_with_id().await {
            errors.push(end.unwrap_err());
        }
        assert!(errors[0].is_panic() && errors[0].id() == Some(panicked.id()));
        assert!(errors[1].is_cancelled() && errors[1].id() == Some(aborted.id()));
        set.spawn(pending());
        set.spawn(async {});
        set.abort_all();
        assert_eq!(set.len(), 2, "they stay until they are taken");
        assert!(set.join_next().await.unwrap().unwrap_err().is_cancelled());
        set.shutdown().await;
        assert!(set.is_empty());
    });
}

#[test]
fn join_all_passes_a_panic_on_and_cancels_the_rest() {
    let trace = Trace::default();
    run_checked(async {
        let mut set = JoinSet::new();
        set.spawn(noted(&trace, "rest", pending::<()>()));
        set.spawn(async { panic!("all") });
        assert_eq!(catching(set.join_all()).await.unwrap_err(), "all");
        yield_now().await;
        assert_eq!(trace.take(), "rest");
        let mut set = JoinSet::new();
        set.spawn(pending::<()>());
        set.abort_all();
        let text = catching(set.join_all()).await.unwrap_err();
        for part in ["`JoinSet::join_all` was awaited", "was cancelled. It expects", "await"] {
            assert!(text.contains(part), "{text}");
        }
    });
}

/// Row 43: what has ended is ready, and there may be much of it.
#[test]
fn thousands_that_have_ended_are_taken_in_portions() {
    run_checked(async {
        let count = rounds(10_000, 1000);
        let rest = Rc::new(Cell::new(0));
        let beside = || {
            let rest = rest.clone();
            rest.set(0);
            spawn(async move {
                loop {
                    rest.set(rest.get() + 1);
                    yield_now().await;
                }
            })
        };
        let portions = count / 128 - 1;
        let mut set: JoinSet<usize> = (0..count).map(|n| async move { n }).collect();
        while set.len() == count && set.try_join_next().is_none() {
            yield_now().await;
        }
        for _ in 0..count / 64 {
            yield_now().await;
        }
        let other = beside();
        while let Some(ended) = set.join_next().await {
            ended.unwrap();
        }
        assert!(rest.get() >= portions, "{} turns of others in {count} ends", rest.get());
        other.cancel();
        let handles: Vec<_> = (0..count).map(|n| spawn(async move { n })).collect();
        for _ in 0..count / 64 {
            yield_now().await;
        }
        let other = beside();
        for handle in handles {
            handle.await.unwrap();
        }
        assert!(rest.get() >= portions, "{} turns of others in {count} handles", rest.get());
        other.cancel();
        // Without waiting, all that is there is taken at once.
        let mut set: JoinSet<usize> = (0..count).map(|n| async move { n }).collect();
        for _ in 0..count / 64 {
            yield_now().await;
        }
        while set.try_join_next().is_some() {}
        assert!(set.is_empty());
    });
}

#[test]
fn a_dropped_set_cancels_and_a_detached_one_does_not() {
    let trace = Trace::default();
    run_virtual(async {
        let set: JoinSet<u64> = (1..=2).map(|n| noted(&trace, n, nap(n))).collect();
        yield_now().await;
        drop(set);
        yield_now().await;
        assert_eq!(trace.take(), "1 2");
        let mut set: JoinSet<u64> = (1..=2).map(|n| noted(&trace, n, nap(n))).collect();
        set.spawn(ready(0));
        yield_now().await;
        set.detach_all();
        assert!(set.is_empty());
        nap(1).await;
        yield_now().await;
        assert_eq!(trace.take(), "1");
        nap(1).await;
        yield_now().await;
        assert_eq!(trace.take(), "2");
    });
}

#[test]
fn a_dropped_join_next_loses_nothing() {
    run_virtual(async {
        let mut set = JoinSet::new();
        set.spawn(nap(3));
        for _ in 0..2 {
            assert!(timeout(SECOND, set.join_next()).await.is_err());
        }
        assert_eq!(set.join_next().await.unwrap().unwrap(), 3);
    });
}

#[test]
fn wait_ends_as_it_was_told_and_leaves_the_losers_alive() {
    run_virtual(async {
        let start = Instant::now();
        let mut set: JoinSet<u64> = [4, 1, 3, 1].map(nap).into_iter().collect();
        let done = wait(&mut set, WaitFor::FirstCompleted, None).await;
        assert_eq!((values(done), set.len()), (vec![1, 1], 2));
        assert_took(start, 1);
        let done = wait(&mut set, WaitFor::All, Some(SECOND)).await;
        assert_eq!((values(done), set.len()), (vec![], 2));
        assert_took(start, 2);
        let done = wait(&mut set, WaitFor::All, Some(9 * SECOND)).await;
        assert_eq!((values(done), set.len()), (vec![3, 4], 0));
        assert_took(start, 4);
        assert!(wait(&mut set, WaitFor::FirstCompleted, None).await.is_empty());
    });
}

#[test]
fn wait_for_the_first_error_gives_what_ended_by_then() {
    run_virtual(async {
        let start = Instant::now();
        let mut set: JoinSet<u64> = [1, 9].map(nap).into_iter().collect();
        set.spawn(async {
            nap(2).await;
            panic!("two")
        });
        let done = wait(&mut set, WaitFor::FirstError, None).await;
        assert_took(start, 2);
        assert_eq!((done.len(), set.len()), (2, 1));
        assert!(done[0].is_ok() && done[1].is_err());
        let done = wait(&mut set, WaitFor::FirstError, None).await;
        assert_eq!(values(done), [9]);
        let mut set: JoinSet<Result<(), ()>> = JoinSet::new();
        set.spawn(ready(Ok(())));
        set.spawn(async {
            nap(1).await;
            Err(())
        });
        set.spawn(pending());
        let done = wait_until(&mut set, |end| matches!(end, Ok(Err(()))), None).await;
        assert_eq!((done.len(), set.len()), (2, 1));
        set.shutdown().await;
    });
}

#[test]
fn a_wait_dropped_in_the_middle_leaves_what_it_found_in_the_set() {
    run_virtual(async {
        let mut set: JoinSet<u64> = [1, 2, 4].map(nap).into_iter().collect();
        let all = wait(&mut set, WaitFor::All, None);
        assert!(timeout(3 * SECOND, all).await.is_err());
        assert_eq!(set.len(), 3);
        // The next wait sees them, and so does `join_next`.
        let done = wait(&mut set, WaitFor::FirstCompleted, None).await;
        assert_eq!(values(done), [1, 2]);
        assert!(timeout(SECOND / 2, wait(&mut set, WaitFor::All, None)).await.is_err());
        assert_eq!(set.join_next().await.unwrap().unwrap(), 4);
    });
}

#[test]
fn ten_thousand_children_are_polled_in_a_line() {
    let count = rounds(10_000, 100) as u64;
    let event_loop = support::virtual_time().build().unwrap();
    // Each ends in a moment of its own, so each wakes the parent alone.
    let naps = || (0..count).map(|n| async move { sleep(Duration::from_millis(n)).await });
    let polls_of = |run: &mut dyn FnMut()| {
        let before = event_loop.metrics().polls;
        run();
        event_loop.metrics().polls - before
    };
    let polls = polls_of(&mut || drop(event_loop.block_on(async { gather(naps()).await })));
    assert!((count..4 * count).contains(&polls), "{polls} polls");
    let polls = polls_of(&mut || {
        event_loop.block_on(async {
            let mut set: JoinSet<()> = naps().collect();
            while set.join_next().await.is_some() {}
        });
    });
    assert!((count..4 * count).contains(&polls), "{polls} polls");
    assert_eq!(event_loop.metrics().tasks, 0);
}

#[test]
fn a_gathering_polls_a_handle_only_when_its_child_has_ended() {
    // Counted by the drops of outputs: an output is taken by the poll that finds it.
    run_checked(async {
        let gates: Vec<Gate> = (0..100).map(|_| Gate::default()).collect();
        let ended = Rc::new(Cell::new(0));
        let children: Vec<_> = gates
            .iter()
            .map(|gate| {
                let (gate, ended) = (gate.clone(), ended.clone());
                async move {
                    gate.wait().await;
                    ended.set(ended.get() + 1);
                }
            })
            .collect();
        let gathered = spawn(async move { gather(children).await.len() });
        for gate in &gates {
            yield_now().await;
            gate.open();
        }
        assert_eq!(gathered.await.unwrap(), 100);
        assert_eq!(ended.get(), 100);
    });
}

#[test]
fn what_is_gathered_works_under_a_foreign_waker() {
    run_virtual(async {
        let all = async {
            let mut set: JoinSet<u64> = [2, 1].map(nap).into_iter().collect();
            let done = wait(&mut set, WaitFor::FirstCompleted, Some(9 * SECOND)).await;
            (gather([1, 2].map(nap)).await, values(done), set.join_all().await)
        };
        assert_eq!(under_foreign_waker(all).await, (vec![1, 2], vec![1], vec![2]));
    });
}

#[test]
fn a_loop_that_is_dropped_takes_sets_and_gatherings_with_it() {
    let trace = Trace::default();
    let event_loop = EventLoop::new().unwrap();
    {
        let _entered = event_loop.enter();
        let (one, two) = (trace.clone(), trace.clone());
        drop(spawn(async move {
            let child = noted(&one, "gathered", pending::<()>());
            gather([child]).await;
        }));
        drop(spawn(async move {
            let mut set = JoinSet::new();
            set.spawn(noted(&two, "set", pending::<()>()));
            set.join_next().await;
        }));
    }
    turn_until_idle(&event_loop);
    drop(event_loop);
    let mut dropped: Vec<_> = trace.take().split(' ').map(str::to_owned).collect();
    dropped.sort();
    assert_eq!(dropped, ["gathered", "set"]);
}

#[test]
fn without_a_loop_the_message_names_the_caller() {
    let text = panic_of(|| drop(gather([ready(())])));
    assert!(text.contains("no event loop is running on this thread"), "{text}");
    let text = panic_of(|| drop(JoinSet::new().spawn(ready(()))));
    assert!(text.contains("no event loop is running on this thread"), "{text}");
}

#[test]
fn children_are_known_by_where_they_were_gathered() {
    let event_loop = EventLoop::new().unwrap();
    event_loop.block_on(async {
        let gathered = gather([pending::<()>()]);
        let line = line!() - 1;
        let tree = event_loop.dump();
        let location = tree.tasks()[0].location;
        assert_eq!((location.file(), location.line()), (file!(), line));
        drop(gathered);
        yield_now().await;
    });
}

/// Whoever gives up on several tasks has read the panic of none.
#[test]
fn the_panic_of_a_child_whose_end_nobody_gets_is_unread() {
    async fn panics() -> Result<(), ()> {
        panic!("of a child")
    }
    /// A set in which a wait that was dropped has found the panic.
    async fn set_with_an_end() -> JoinSet<Result<(), ()>> {
        let mut set = JoinSet::new();
        set.spawn(panics());
        set.spawn(pending());
        assert!(timeout(SECOND, wait(&mut set, WaitFor::All, None)).await.is_err());
        set
    }
    /// Drops it when it has seen the panic and still waits for the others.
    async fn drop_in_the_middle<F: Future + Unpin>(mut gathering: F) {
        for _ in 0..2 {
            assert!(poll_with(&mut gathering, std::task::Waker::noop()).is_pending());
            // In whatever order a batch runs.
            yield_now().await;
            yield_now().await;
        }
    }
    type Test = Pin<Box<dyn Future<Output = ()>>>;
    let children = || [Box::pin(panics()) as Pin<Box<dyn Future<Output = _>>>, Box::pin(pending())];
    let tests: [(&str, Test); 6] = [
        ("gather", Box::pin(async move { drop_in_the_middle(gather(children())).await })),
        ("try_gather", Box::pin(async move { drop_in_the_middle(try_gather(children())).await })),
        (
            "gather_settled",
            Box::pin(async move {
                assert!(timeout(SECOND, gather_settled(children())).await.is_err());
            }),
        ),
        ("a dropped set", Box::pin(async { drop(set_with_an_end().await) })),
        (
            "a detached set",
            Box::pin(async {
                let mut set = set_with_an_end().await;
                let last = set.spawn(pending());
                set.abort_all();
                set.detach_all();
                assert!(set.is_empty() && !last.is_finished());
            }),
        ),
        (
            "a set that is shut down",
            Box::pin(async {
                let mut set = JoinSet::new();
                set.spawn(panics());
                yield_now().await;
                yield_now().await;
                set.shutdown().await;
            }),
        ),
    ];
    for (what, test) in tests {
        let text = panic_of(|| testing::run(test));
        assert!(text.contains("nobody awaited it: of a child"), "{what}: {text}");
    }
}
