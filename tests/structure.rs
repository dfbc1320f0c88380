//! Several futures at once, polled in their parent's task: `join!`, `try_join!`, `select!`, `race`,
//! and the shield. What runs, in which order, when it ends on the virtual clock, and what is
//! dropped when.

mod support;

use std::cell::Cell;
use std::future::{pending, ready};
use std::time::Duration;

use support::{
    Trace, assert_took, nap, noted, panic_of, run_checked, run_virtual, socket_pair,
    under_foreign_waker,
};
use wheelhouse::io::AsyncFd;
use wheelhouse::time::{Instant, sleep, timeout};
use wheelhouse::{join, race, select, shield, spawn, try_join, yield_now};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn join_ends_with_its_last_arm_and_keeps_their_order() {
    run_virtual(async {
        let start = Instant::now();
        let outputs = join!(nap(3), async { "text" }, nap(1), nap(2));
        assert_eq!(outputs, (3, "text", 1, 2));
        assert_took(start, 3);
        assert_eq!(join!(ready(1)), (1,));
        join!();
    });
}

#[test]
fn arms_of_a_join_borrow_from_their_parent() {
    run_checked(async {
        let mut left = vec![1];
        let right = Cell::new(0);
        join!(
            async {
                yield_now().await;
                left.push(2);
            },
            async { right.set(right.get() + 1) },
            async { right.set(right.get() + 1) },
        );
        assert_eq!((left, right.get()), (vec![1, 2], 2));
    });
}

#[test]
fn each_poll_of_a_join_begins_with_another_arm() {
    let trace = Trace::default();
    run_checked(async {
        let arm = |name: &'static str| {
            let trace = trace.clone();
            async move {
                for _ in 0..3 {
                    trace.note(name);
                    yield_now().await;
                }
            }
        };
        join!(arm("a"), arm("b"), arm("c"));
    });
    assert_eq!(trace.take(), "a b c b c a c a b");
}

#[test]
fn an_arm_is_dropped_when_it_is_ready_not_when_all_are() {
    let trace = Trace::default();
    run_checked(async {
        join!(noted(&trace, "first", ready(())), async {
            yield_now().await;
            trace.note("second");
        });
    });
    assert_eq!(trace.take(), "first second");
}

#[test]
fn a_panic_in_an_arm_drops_the_others_and_goes_on() {
    let trace = Trace::default();
    let text = panic_of(|| {
        run_checked(async {
            join!(noted(&trace, "dropped", pending::<()>()), async {
                yield_now().await;
                panic!("arm")
            });
        });
    });
    assert_eq!((text.as_str(), trace.take().as_str()), ("arm", "dropped"));
}

#[test]
fn a_join_dropped_in_the_middle_drops_its_arms() {
    let trace = Trace::default();
    run_virtual(async {
        let both = async { join!(noted(&trace, "a", nap(5)), noted(&trace, "b", nap(9))) };
        assert!(timeout(SECOND, both).await.is_err());
        assert_eq!(trace.take(), "b a");
    });
}

#[test]
fn try_join_gives_all_values_or_the_first_error_in_time() {
    run_virtual(async {
        let start = Instant::now();
        let good = try_join!(async { Ok::<_, String>(nap(1).await) }, async { Ok("two") });
        assert_eq!(good, Ok((1, "two")));
        assert_took(start, 1);
        let trace = Trace::default();
        let bad: Result<((), ()), u64> = try_join!(
            async {
                noted(&trace, "sibling", nap(9)).await;
                Ok(())
            },
            async { Err(nap(2).await) },
        );
        assert_eq!((bad, trace.take().as_str()), (Err(2), "sibling"));
        assert_took(start, 3);
    });
}

#[test]
fn select_takes_the_first_and_drops_the_rest_before_the_handler_runs() {
    let trace = Trace::default();
    run_virtual(async {
        let start = Instant::now();
        let chosen = select! {
            _ = noted(&trace, "slow", nap(9)) => "slow",
            seconds = nap(2) => {
                trace.note("handler");
                assert_eq!(seconds, 2);
                "fast"
            }
        };
        assert_eq!((chosen, trace.take().as_str()), ("fast", "slow handler"));
        assert_took(start, 2);
    });
}

#[test]
fn a_handler_may_use_what_the_arms_borrowed_and_leave_loops_and_functions() {
    async fn until_three(numbers: &mut Vec<u32>) -> Result<u32, String> {
        loop {
            select! {
                biased;
                next = async { numbers.pop() } => match next {
                    Some(3) => break,
                    Some(number) => numbers.insert(0, number),
                    None => return Err("none".into()),
                },
                () = pending() => unreachable!(),
            }
        }
        let first = select! { found = ready(numbers.first().copied()) => found.ok_or("empty")? };
        Ok(first)
    }
    run_checked(async {
        assert_eq!(until_three(&mut vec![7, 3, 1, 2]).await, Ok(1));
        assert_eq!(until_three(&mut vec![3]).await, Err("empty".into()));
        assert_eq!(until_three(&mut vec![]).await, Err("none".into()));
    });
}

/// It does not compile if the future may still be there. One that never ends needs no pattern.
#[test]
fn what_a_future_borrowed_is_free_after_the_select_that_took_it() {
    run_checked(async {
        let sent = String::from("all");
        let for_ever = async {
            std::future::pending::<std::convert::Infallible>().await;
            &sent
        };
        let ended = select! {
            _ = for_ever => false,
            () = yield_now() => true,
        };
        drop(sent);
        assert!(ended);
    });
}

#[test]
fn a_pattern_that_does_not_fit_switches_its_arm_off() {
    run_virtual(async {
        let text = String::from("moved");
        let got = select! {
            None = async { Some(nap(1).await) } => unreachable!(),
            Some((mut text, ref number)) = async { nap(2).await; Some((text, 2)) } => {
                text.push('!');
                (text, *number)
            },
            _ = nap(3) => unreachable!(),
        };
        assert_eq!(got, ("moved!".to_owned(), 2));
        let none = select! {
            Some(n) = async { None::<u32> } => n,
            Ok::<u32, ()>(n) = ready(Err(())) => n,
            else => 99,
        };
        assert_eq!(none, 99);
    });
}

#[test]
fn an_arm_whose_condition_is_false_is_not_even_made() {
    run_checked(async {
        let nobody = Vec::<u32>::new().pop();
        let got = select! {
            n = ready(nobody.unwrap()), if nobody.is_some() => n,
            n = ready(5), if nobody.is_none() => { n }
            n = pending::<u32>(), if true => n
        };
        assert_eq!(got, 5);
        let text = {
            let task = spawn(async move {
                select! { _ = ready(()), if nobody.is_some() => () }
            });
            task.await.unwrap_err().to_string()
        };
        assert!(text.contains("`select!` has no arm left to wait for"), "{text}");
        assert!(text.contains("`else => ..`"), "{text}");
    });
}

#[test]
fn a_borrowed_future_survives_the_select_it_lost() {
    run_virtual(async {
        let start = Instant::now();
        let mut slow = std::pin::pin!(nap(3));
        let mut ticks = 0;
        let seconds = loop {
            select! {
                seconds = &mut slow => break seconds,
                _ = sleep(2 * SECOND) => ticks += 1,
            }
        };
        assert_eq!((seconds, ticks), (3, 1));
        assert_took(start, 3);
    });
}

#[test]
fn a_fair_select_starves_no_arm_and_a_biased_one_takes_the_first() {
    run_checked(async {
        let mut counts = [0; 3];
        let mut longest_without = [0; 3];
        let mut last = [0; 3];
        for round in 1..=3000 {
            let arm = select! { _ = ready(()) => 0, _ = ready(()) => 1, _ = ready(()) => 2 };
            counts[arm] += 1;
            longest_without[arm] = longest_without[arm].max(round - last[arm]);
            last[arm] = round;
        }
        assert!(counts.iter().all(|count| (900..1100).contains(count)), "{counts:?}");
        assert!(longest_without.iter().all(|rounds| *rounds < 40), "{longest_without:?}");
        for _ in 0..100 {
            assert_eq!(select! { biased; _ = ready(()) => 0, _ = ready(()) => 1 }, 0);
        }
    });
}

#[test]
fn two_selects_in_one_loop_do_not_keep_step() {
    // With a plain rotation the first would always take one arm, and the second the other.
    run_checked(async {
        let mut counts = [[0; 2]; 2];
        for _ in 0..1000 {
            for count in &mut counts {
                count[select! { _ = ready(()) => 0, _ = ready(()) => 1 }] += 1;
            }
        }
        assert!(counts.iter().flatten().all(|count| (400..600).contains(count)), "{counts:?}");
    });
}

#[test]
fn a_panic_in_a_select_goes_on_from_arm_and_handler() {
    for in_handler in [false, true] {
        let trace = Trace::default();
        let text = panic_of(|| {
            run_checked(async {
                select! {
                    biased;
                    _ = noted(&trace, "other", pending::<()>()) => {}
                    _ = async { if !in_handler { panic!("arm") } } => panic!("handler"),
                }
            });
        });
        assert_eq!(text, if in_handler { "handler" } else { "arm" });
        assert_eq!(trace.take(), "other");
    }
}

#[test]
fn a_race_gives_back_the_losers_alive_and_in_order() {
    run_virtual(async {
        let start = Instant::now();
        let (first, rest) = race([3, 1, 2].map(|n| spawn(nap(n)))).await;
        assert_eq!(first.unwrap(), 1);
        assert_took(start, 1);
        let (second, rest) = race(rest).await;
        assert_eq!(second.unwrap(), 2);
        let (third, rest) = race(rest).await;
        assert_eq!((third.unwrap(), rest.len()), (3, 0));
        assert_took(start, 3);
    });
}

#[test]
fn a_race_takes_the_first_of_several_and_may_borrow() {
    run_checked(async {
        let mut futures = [ready(1), ready(2)];
        let (output, rest) = race(&mut futures).await;
        assert_eq!((output, rest.len()), (1, 1));
        let boxed =
            (0..3).map(|n| Box::pin(async move { if n < 2 { pending().await } else { n } }));
        assert_eq!(race(boxed).await.0, 2);
    });
    let text = panic_of(|| drop(race(Vec::<std::future::Ready<()>>::new())));
    assert!(text.contains("`race` was called without a future"), "{text}");
}

#[test]
fn the_losers_of_a_dropped_race_of_handles_run_on() {
    let trace = Trace::default();
    run_virtual(async {
        let tasks = [1, 2].map(|n| {
            let trace = trace.clone();
            spawn(async move { trace.note(nap(n).await) })
        });
        assert!(timeout(SECOND / 2, race(tasks)).await.is_err());
        sleep(2 * SECOND).await;
        assert_eq!(trace.take(), "1 2");
    });
}

#[test]
fn shielded_work_goes_on_when_its_waiter_is_cancelled() {
    let trace = Trace::default();
    run_virtual(async {
        let start = Instant::now();
        let noting = trace.clone();
        let waiter = spawn(async move {
            shield(async move {
                noting.note(nap(3).await);
            })
            .await;
        });
        nap(1).await;
        waiter.cancel();
        assert!(waiter.await.unwrap_err().is_cancelled());
        assert_eq!(trace.take(), "");
        nap(2).await;
        yield_now().await;
        assert_eq!(trace.take(), "3");
        assert_took(start, 3);
    });
}

#[test]
fn a_shield_gives_output_and_panic_and_has_a_way_through() {
    run_checked(async {
        assert_eq!(shield(ready(1)).await, 1);
        let panicking = spawn(async { shield(async { panic!("inside") }).await });
        assert_eq!(panicking.await.unwrap_err().to_string().split(": ").last(), Some("inside"));
        let through = shield(pending::<()>());
        through.abort_handle().cancel();
        let text = spawn(through).await.unwrap_err().to_string();
        assert!(text.contains("`shield` was awaited for an output that will never be"), "{text}");
        let task = shield(ready(2)).into_handle();
        assert_eq!(task.await.unwrap(), 2);
    });
}

#[test]
fn everything_works_under_a_foreign_waker() {
    run_virtual(async {
        let all = async {
            let joined = join!(nap(1), nap(2));
            let first = race([2, 1].map(|n| Box::pin(nap(n)))).await.0;
            let chosen = select! { n = nap(2) => n, n = nap(1) => n };
            (joined, first, chosen, shield(nap(1)).await)
        };
        assert_eq!(under_foreign_waker(all).await, ((1, 2), 1, 1, 1));
    });
}

#[test]
fn an_arm_that_uses_up_the_budget_does_not_starve_the_others() {
    run_checked(async {
        let (one, other) = socket_pair();
        let (one, other) = (AsyncFd::new(one).unwrap(), AsyncFd::new(other).unwrap());
        let is_over = Cell::new(false);
        // Always ready, so it ends each poll with nothing left of the budget.
        let busy = async {
            while !is_over.get() {
                one.writable().await.unwrap().retain_ready();
            }
        };
        join!(busy, async {
            for _ in 0..3 {
                other.writable().await.unwrap().retain_ready();
                yield_now().await;
            }
            is_over.set(true);
        });
        let busy = async {
            loop {
                one.writable().await.unwrap().retain_ready();
            }
        };
        select! {
            () = busy => unreachable!(),
            writable = other.writable() => writable.unwrap().retain_ready(),
        }
    });
}
