//! What timers cost in wake-ups: a tolerance saves them, a deadline that is pushed out costs none,
//! and a far one costs one. Counted under virtual time, where each jump is a wait of its own.

mod support;

use std::time::Duration;

use support::{WakeCount, poll_with, rounds, virtual_time};
use wheelhouse::time::{self, Instant, sleep, sleep_until};
use wheelhouse::{EventLoop, Script, SelectorKind, spawn};

const MS: Duration = Duration::from_millis(1);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How many waits it takes until 1,000 timers, spread over a second, have fired, each late by up to
/// this.
fn waits_for_a_thousand_timers(tolerance: Duration) -> usize {
    let script = Script::default();
    let builder = virtual_time().selector(SelectorKind::Scripted(script.clone()));
    let event_loop = builder.build().unwrap();
    event_loop.block_on(async {
        let start = Instant::now();
        let tasks: Vec<_> = (1..=1000)
            .map(|n| {
                spawn(async move {
                    let deadline = start + n * MS;
                    sleep_until(deadline).tolerance(tolerance).await;
                    assert!(Instant::now() >= deadline);
                    assert!(Instant::now() <= deadline + tolerance + MS / 500);
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    support::assert_nothing_left(&event_loop);
    script.waits()
}

#[test]
fn a_tolerance_saves_wake_ups_and_the_more_the_larger_it_is() {
    let waits = [0, 1, 10, 100, 1000].map(|ms| waits_for_a_thousand_timers(ms * MS));
    // The first turns make and file the timers.
    let exact = waits[0];
    assert!((1000..1050).contains(&exact), "{waits:?}");
    for (wake_ups, limit) in waits[1..].iter().zip([1050, 170, 50, 30]) {
        assert!(*wake_ups < limit, "{waits:?}");
    }
    assert!(waits.is_sorted_by(|more, less| more >= less), "{waits:?}");
}

/// The idle timeout: every message pushes it out.
#[test]
fn a_deadline_that_is_pushed_out_costs_no_wake_up_until_it_is_met() {
    let messages = rounds(100_000, 100) as u32;
    let script = Script::default();
    let builder = virtual_time().selector(SelectorKind::Scripted(script.clone()));
    let event_loop = builder.build().unwrap();
    event_loop.block_on(async {
        let (count, waker) = WakeCount::new();
        let mut idle = Box::pin(sleep(60_000 * MS));
        assert!(poll_with(&mut idle, &waker).is_pending());
        let before = (script.waits(), event_loop.metrics());
        for _ in 0..messages {
            idle.as_mut().reset(Instant::now() + 60_000 * MS);
        }
        let after = event_loop.metrics();
        assert_eq!((script.waits(), after.turns), (before.0, before.1.turns), "it waits not once");
        assert_eq!(after.timers, 1);
        // A message every 10 ms of a quarter of an hour, and then none.
        let start = Instant::now();
        for n in 0..rounds(90_000, 100) as u32 {
            sleep_until(start + n * 10 * MS).await;
            idle.as_mut().reset(Instant::now() + 60_000 * MS);
        }
        let fired = event_loop.metrics().timers_fired;
        let last = Instant::now();
        assert_eq!(count.get(), 0);
        idle.as_mut().await;
        assert_eq!((last.elapsed().as_secs(), event_loop.metrics().timers_fired - fired), (60, 1));
    });
    support::assert_nothing_left(&event_loop);
}

/// On the real clock a pushed-out deadline arms nothing either: waiting is one system call, and the
/// alarm goes off where it was set to first.
#[test]
fn a_far_timer_costs_one_wait_whatever_the_levels_on_its_way() {
    for far in [MS, 70 * MS, 5000 * MS, DAY, 400 * DAY, 40_000 * DAY] {
        let script = Script::default();
        let builder = virtual_time().selector(SelectorKind::Scripted(script.clone()));
        let event_loop = builder.build().unwrap();
        event_loop.block_on(async {
            time::advance(123_456 * MS).await;
            let before = script.waits();
            sleep(far).await;
            let waits = script.waits() - before;
            assert!(waits <= 2, "{waits} waits for {far:?}");
        });
    }
}

#[test]
fn intervals_with_a_tolerance_share_their_wake_ups() {
    let waits = [0, 20].map(|tolerance| {
        let event_loop: EventLoop = virtual_time().build().unwrap();
        event_loop.block_on(async {
            let start = Instant::now();
            let tasks: Vec<_> = (0..50)
                .map(|n| {
                    spawn(async move {
                        let first = start + n * MS / 10;
                        let ticks = time::interval_at(first, 100 * MS);
                        let mut ticks = ticks.tolerance(tolerance * MS);
                        for _ in 0..20 {
                            ticks.tick().await;
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
        });
        event_loop.metrics().selects
    });
    assert!(waits[0] >= 950 && waits[1] <= 60, "{waits:?}");
}
