//! The order in which things run, as exact traces. It is part of the promise: one queue, first in,
//! first out, for tasks and callbacks; what a batch adds runs in the next; timers of a tick fire in
//! order of creation; and the one exception, that a timer which falls due in the middle of a batch
//! is served at once.

mod support;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use support::{
    Gate, OnDrop, Trace, run_checked, run_checked_on, run_virtual, socket_pair, virtual_time,
};
use wheelhouse::io::AsyncFd;
use wheelhouse::time::{self, Instant, sleep, sleep_until};
use wheelhouse::{EventLoop, Handle, call_at, call_later, call_soon, spawn, task, yield_now};

const MICROSECOND: Duration = Duration::from_micros(1);

/// `"0 1 2"` for `0..3`.
fn numbers(range: std::ops::Range<usize>) -> String {
    range.map(|n| n.to_string()).collect::<Vec<_>>().join(" ")
}

/// Awaits all of them.
async fn join_all<T: 'static>(tasks: Vec<wheelhouse::JoinHandle<T>>) {
    for task in tasks {
        task.await.unwrap();
    }
}

#[test]
fn ready_tasks_run_first_in_first_out_in_every_batch() {
    let trace = Trace::default();
    run_checked(async {
        let tasks = ["a", "b", "c"].map(|name| {
            let trace = trace.clone();
            spawn(async move {
                for round in 1..=3 {
                    trace.note(format_args!("{name}{round}"));
                    yield_now().await;
                }
            })
        });
        join_all(tasks.into()).await;
    });
    assert_eq!(trace.take(), "a1 b1 c1 a2 b2 c2 a3 b3 c3");
}

#[test]
fn a_spawned_task_first_runs_in_the_next_batch() {
    let trace = Trace::default();
    run_checked(async {
        let (first, second) = (trace.clone(), trace.clone());
        let a = spawn(async move {
            let inner = first.clone();
            let child = spawn(async move { inner.note("child") });
            first.note("a");
            child.await.unwrap();
            first.note("a-joined");
        });
        let b = spawn(async move { second.note("b") });
        trace.note("root");
        join_all(vec![a, b]).await;
    });
    assert_eq!(trace.take(), "root a b child a-joined");
}

#[test]
fn a_woken_task_runs_in_the_next_batch_and_once_however_often_it_was_woken() {
    let trace = Trace::default();
    run_checked(async {
        let gate = Gate::default();
        let waiter = {
            let (trace, gate) = (trace.clone(), gate.clone());
            spawn(async move {
                trace.note("waits");
                gate.wait().await;
                trace.note("passes");
                yield_now().await;
                trace.note("on");
            })
        };
        let opener = {
            let (trace, gate) = (trace.clone(), gate.clone());
            spawn(async move {
                gate.open();
                gate.open();
                trace.note("opens");
            })
        };
        let other = {
            let trace = trace.clone();
            spawn(async move {
                for _ in 0..3 {
                    trace.note("other");
                    yield_now().await;
                }
            })
        };
        join_all(vec![waiter, opener, other]).await;
    });
    assert_eq!(trace.take(), "waits opens other passes other on other");
}

#[test]
fn awaiting_a_plain_future_does_not_yield_and_awaiting_a_task_does() {
    let trace = Trace::default();
    run_checked(async {
        let (one, two) = (trace.clone(), trace.clone());
        let a = spawn(async move {
            one.note("a");
            async { one.note("plain") }.await;
            std::future::ready(()).await;
            one.note("still-a");
            spawn(async {}).await.unwrap();
            one.note("a-again");
        });
        let b = spawn(async move { two.note("b") });
        join_all(vec![a, b]).await;
    });
    assert_eq!(trace.take(), "a plain still-a b a-again");
}

#[test]
fn call_soon_and_spawn_share_one_order() {
    let trace = Trace::default();
    run_checked(async {
        let mut tasks = Vec::new();
        for n in 0..8 {
            let trace = trace.clone();
            if n % 2 == 0 {
                call_soon(move || trace.note(n));
            } else {
                tasks.push(spawn(async move { trace.note(n) }));
            }
        }
        join_all(tasks).await;
    });
    assert_eq!(trace.take(), numbers(0..8));
}

#[test]
fn what_another_thread_sends_runs_in_the_order_sent_behind_what_was_queued_before() {
    let (sender, sent) = std::sync::mpsc::channel();
    run_checked(async {
        let handle = Handle::current();
        let here = sender.clone();
        let worker = std::thread::spawn(move || {
            let mut made = Vec::new();
            for n in 0..10 {
                let sender = sender.clone();
                if n % 2 == 0 {
                    handle.call_soon(move || sender.send(n).unwrap()).unwrap();
                } else {
                    // The closure and the first poll of the future that it makes are one step.
                    made.push(handle.spawn(move || {
                        sender.send(n).unwrap();
                        async move { sender.send(100 + n).unwrap() }
                    }));
                }
            }
            made
        });
        call_soon(move || here.send(-1).unwrap());
        for made in worker.join().unwrap() {
            made.await.unwrap();
        }
    });
    let order: Vec<i32> = sent.try_iter().collect();
    assert_eq!(order, [-1, 0, 1, 101, 2, 3, 103, 4, 5, 105, 6, 7, 107, 8, 9, 109]);
}

#[test]
fn a_handle_used_on_the_loops_own_thread_keeps_the_order_of_its_calls() {
    let (sender, sent) = std::sync::mpsc::channel();
    run_checked(async {
        for n in 0..5 {
            let sender = sender.clone();
            Handle::current().call_soon(move || sender.send(n).unwrap()).unwrap();
        }
        // One batch for the inbox to be taken, and one for the callbacks.
        yield_now().await;
        yield_now().await;
    });
    assert_eq!(sent.try_iter().collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
}

#[test]
fn a_batch_that_one_turn_does_not_finish_goes_on_in_the_next_before_what_was_added() {
    let trace = Trace::default();
    run_checked_on(EventLoop::builder().polls_per_turn(3), async {
        let tasks: Vec<_> = (0..10)
            .map(|n| {
                let trace = trace.clone();
                spawn(async move {
                    trace.note(n);
                    yield_now().await;
                    trace.note(n + 10);
                })
            })
            .collect();
        join_all(tasks).await;
    });
    assert_eq!(trace.take(), numbers(0..20));
}

#[test]
fn a_cancelled_future_is_dropped_in_the_next_batch_and_never_inside_the_cancelling_poll() {
    let trace = Trace::default();
    run_checked(async {
        let victim = {
            let trace = trace.clone();
            spawn(async move {
                let _guard = OnDrop::new(|| trace.note("dropped"));
                std::future::pending::<()>().await;
            })
        };
        yield_now().await;
        let (one, two) = (trace.clone(), trace.clone());
        let abort = victim.abort_handle();
        let a = spawn(async move {
            abort.cancel();
            one.note("cancels");
        });
        let b = spawn(async move { two.note("b") });
        join_all(vec![a, b]).await;
        assert!(victim.await.unwrap_err().is_cancelled());
    });
    assert_eq!(trace.take(), "cancels b dropped");
}

#[test]
fn a_seed_draws_an_order_that_can_be_drawn_again() {
    let order_of = |builder: wheelhouse::Builder| {
        let trace = Trace::default();
        run_checked_on(builder, async {
            let tasks = (0..20).map(|n| {
                let trace = trace.clone();
                spawn(async move { trace.note(n) })
            });
            join_all(tasks.collect()).await;
        });
        trace.take()
    };
    // On virtual time, as real time decides how many tasks one turn runs.
    let seeded = |seed| order_of(virtual_time().seed(seed));
    assert_eq!(order_of(EventLoop::builder()), numbers(0..20));
    assert_eq!(seeded(7), seeded(7));
    assert_ne!(seeded(7), seeded(8));
    assert_ne!(seeded(7), numbers(0..20));
}

#[test]
fn timers_of_one_tick_fire_in_the_order_in_which_they_were_made() {
    let trace = Trace::default();
    run_virtual(async {
        let when = Instant::now() + Duration::from_millis(100);
        let mut tasks = Vec::new();
        for n in 0..12 {
            let trace = trace.clone();
            if n % 3 == 0 {
                call_at(when, move || trace.note(n));
                continue;
            }
            tasks.push(spawn(async move {
                sleep_until(when).await;
                trace.note(n);
            }));
            // Filed by its first poll, from ever nearer.
            sleep(Duration::from_millis(3)).await;
        }
        join_all(tasks).await;
        assert_eq!(Instant::now().duration_since(when), Duration::ZERO.max(Instant::now() - when));
    });
    assert_eq!(trace.take(), numbers(0..12));
}

#[test]
fn timers_of_different_ticks_fire_in_order_of_time_whatever_the_order_of_creation() {
    let trace = Trace::default();
    run_virtual(async {
        for ms in [50u64, 10, 70_000, 30, 20, 4000, 40] {
            let trace = trace.clone();
            call_later(Duration::from_millis(ms), move || trace.note(ms));
        }
        sleep(Duration::from_secs(100)).await;
    });
    assert_eq!(trace.take(), "10 20 30 40 50 4000 70000");
}

/// Spends polls until the batch may be interrupted for timers again.
async fn rest() {
    for _ in 0..10 {
        yield_now().await;
    }
}

/// Spawns `count` tasks for one batch, each of which notes its number and lets `step` of virtual
/// time pass.
fn spawn_clockwork(trace: &Trace, count: usize, step: Duration) -> Vec<wheelhouse::JoinHandle<()>> {
    let tasks = (0..count).map(|n| {
        let trace = trace.clone();
        spawn(async move {
            trace.note(n);
            drop(time::advance(step));
        })
    });
    tasks.collect()
}

/// Spawns a task that notes `name` each time it has slept for `every`, `times` times.
fn spawn_sleeper(
    trace: &Trace,
    name: String,
    every: Duration,
    times: usize,
) -> wheelhouse::JoinHandle<()> {
    let trace = trace.clone();
    spawn(async move {
        for _ in 0..times {
            sleep(every).await;
            trace.note(&name);
        }
    })
}

#[test]
fn a_timer_that_falls_due_in_the_middle_of_a_batch_is_served_before_the_rest_of_it() {
    let trace = Trace::default();
    run_virtual(async {
        time::pause();
        let sleeper = spawn_sleeper(&trace, "timer".into(), 9 * MICROSECOND, 1);
        rest().await;
        join_all(spawn_clockwork(&trace, 20, MICROSECOND)).await;
        sleeper.await.unwrap();
    });
    let expected = format!("{} timer {}", numbers(0..9), numbers(9..20));
    assert_eq!(trace.take(), expected);
}

#[test]
fn what_a_timer_task_wakes_and_spawns_goes_behind_the_batch_all_the_same() {
    let trace = Trace::default();
    run_virtual(async {
        time::pause();
        let (outer, gate) = (trace.clone(), Gate::default());
        let waiter = {
            let (trace, gate) = (trace.clone(), gate.clone());
            spawn(async move {
                gate.wait().await;
                trace.note("woken");
            })
        };
        let sleeper = spawn(async move {
            sleep(MICROSECOND).await;
            outer.note("timer");
            gate.open();
            spawn(async move { outer.note("spawned") }).await.unwrap();
        });
        rest().await;
        join_all(spawn_clockwork(&trace, 6, 2 * MICROSECOND)).await;
        join_all(vec![waiter, sleeper]).await;
    });
    assert_eq!(trace.take(), "0 timer 1 2 3 4 5 woken spawned");
}

#[test]
fn a_timer_task_runs_ahead_at_most_once_a_batch() {
    let trace = Trace::default();
    run_virtual(async {
        time::pause();
        let sleeper = spawn_sleeper(&trace, "timer".into(), MICROSECOND / 10, 2);
        rest().await;
        // Twenty tasks of 2 us stay within the 50 us after which the selector must be asked.
        join_all(spawn_clockwork(&trace, 20, 2 * MICROSECOND)).await;
        sleeper.await.unwrap();
    });
    assert_eq!(trace.take(), format!("0 timer {} timer", numbers(1..20)));
}

#[test]
fn between_two_pauses_for_timers_some_of_the_rest_run() {
    let trace = Trace::default();
    run_virtual(async {
        time::pause();
        let sleepers = (1..=20).map(|n| {
            let when = n * 2 * MICROSECOND - MICROSECOND;
            spawn_sleeper(&trace, format!("t{n}"), when, 1)
        });
        let sleepers: Vec<_> = sleepers.collect();
        rest().await;
        join_all(spawn_clockwork(&trace, 20, 2 * MICROSECOND)).await;
        join_all(sleepers).await;
    });
    let trace = trace.take();
    let pauses = trace.split(' ').collect::<Vec<_>>();
    let rest_between: Vec<usize> = pauses
        .split(|note| note.starts_with('t'))
        .map(<[_]>::len)
        .filter(|&rest| rest > 0)
        .collect();
    let (last, between) = rest_between.split_last().unwrap();
    assert_eq!(rest_between.iter().sum::<usize>(), 20, "{trace}");
    assert!(between[1..].iter().all(|&rest| rest >= 8), "{rest_between:?} in {trace}");
    assert!(*last <= 20 && between.len() >= 2, "there were several pauses: {trace}");
}

/// Row 41 of the pitfalls, and the rule's other half: whoever re-arms gets no more than a share.
#[test]
fn a_loop_that_consumes_its_budget_lets_others_run_and_needs_no_loop() {
    run_checked_on(EventLoop::builder().operations_per_poll(10), async {
        let trace = Trace::default();
        let tasks = ["a", "b"].map(|name| {
            let trace = trace.clone();
            spawn(async move {
                for _ in 0..25 {
                    task::consume_budget().await;
                }
                trace.note(name);
            })
        });
        let inner = trace.clone();
        let between = spawn(async move { inner.note("between") });
        for task in tasks {
            task.await.unwrap();
        }
        between.await.unwrap();
        assert_eq!(trace.take(), "between a b");
    });
    futures_lite::future::block_on(async {
        for _ in 0..1000 {
            task::consume_budget().await;
        }
    });
}

#[test]
fn a_task_that_re_arms_a_tiny_sleep_starves_nobody() {
    let wakes = run_checked(async {
        let greedy = spawn(async {
            for wakes in 0u64.. {
                sleep(Duration::from_nanos(1)).await;
                if wheelhouse::task::current().is_none() {
                    return wakes;
                }
            }
            0
        });
        let tasks = (0..10).map(|_| {
            spawn(async {
                for _ in 0..support::rounds(1000, 50) {
                    yield_now().await;
                }
            })
        });
        join_all(tasks.collect()).await;
        greedy.cancel();
        greedy.await.is_err()
    });
    assert!(wakes);
}

#[test]
fn a_loop_on_virtual_time_keeps_all_of_this() {
    let trace = Trace::default();
    run_checked_on(virtual_time(), async {
        for n in 0..5 {
            let trace = trace.clone();
            call_soon(move || trace.note(n));
        }
        yield_now().await;
    });
    assert_eq!(trace.take(), numbers(0..5));
}

/// Dropping is work as polling is: neither descriptors nor timers wait for thousands of it.
#[test]
fn a_great_many_cancelled_tasks_are_dropped_with_looks_at_the_selector_between() {
    run_checked(async {
        let selects = || wheelhouse::metrics().selects;
        let seen = Trace::default();
        let tasks: Vec<_> = (0..2000)
            .map(|n| {
                let seen = seen.clone();
                spawn(async move {
                    let _guard = OnDrop::new(move || {
                        if n == 0 || n == 1999 {
                            seen.note(wheelhouse::metrics().selects);
                        }
                    });
                    std::future::pending::<()>().await
                })
            })
            .collect();
        yield_now().await;
        tasks.iter().for_each(wheelhouse::JoinHandle::cancel);
        let before = selects();
        for task in tasks {
            assert!(task.await.unwrap_err().is_cancelled());
        }
        let seen = seen.take();
        let (first, last) = seen.split_once(' ').unwrap();
        let [first, last]: [u64; 2] = [first, last].map(|n| n.parse().unwrap());
        assert!(first - before <= 2, "{before} {first}");
        assert!(last - first >= 10, "asked {} times in 2,000 drops", last - first);
    });
}

/// The system call is the user's there, and as long as any other.
#[test]
fn a_timer_that_falls_due_while_a_descriptor_is_used_is_served_next() {
    let trace = Trace::default();
    run_checked(async {
        let (ours, _peer) = socket_pair();
        let ours = Rc::new(AsyncFd::new(ours).unwrap());
        drop(ours.writable().await.unwrap());
        for _ in 0..10 {
            yield_now().await;
        }
        let (deadline, sleeping) = (Rc::new(Cell::new(None)), trace.clone());
        let due = deadline.clone();
        let mut tasks = vec![spawn(async move {
            due.set(Some(Instant::now() + 900 * MICROSECOND));
            sleep_until(due.get().unwrap()).await;
            sleeping.note("rang");
        })];
        tasks.extend((0..12).map(|n| {
            let (ours, deadline, trace) = (ours.clone(), deadline.clone(), trace.clone());
            spawn(async move {
                ours.writable().await.unwrap().retain_ready();
                while Instant::now() < deadline.get().unwrap() {}
                trace.note(n);
            })
        }));
        join_all(tasks).await;
    });
    let order = trace.take();
    assert!(order.starts_with("0 rang 1 ") || order.starts_with("rang 0 1 "), "{order}");
}
