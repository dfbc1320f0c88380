//! A loop that spins rather than sleeps: it fires nothing early, hears everything, says how long it
//! spun, and leaves alone those who say themselves how long a loop waits.

mod support;

use std::future::Future;
use std::time::Duration;

use support::{assert_nothing_left, virtual_time};
use wheelhouse::time::{Instant, sleep, sleep_until};
use wheelhouse::{Builder, Clock, EventLoop, Script, SelectorKind, completion, metrics, spawn};

const MS: Duration = Duration::from_millis(1);
const US: Duration = Duration::from_micros(1);

/// By `block_on`: a test of `testing` turns its loop as a host does.
fn run_on(builder: Builder, future: impl Future<Output = ()>) {
    let event_loop = builder.build().unwrap();
    event_loop.block_on(future);
    assert_nothing_left(&event_loop);
}

#[test]
fn no_timer_is_early_and_what_was_spun_is_told() {
    let start = std::time::Instant::now();
    run_on(EventLoop::builder().spin(200 * US), async {
        for n in 1..=50 {
            let deadline = Instant::now() + n * 40 * US;
            sleep_until(deadline).await;
            assert!(Instant::now() >= deadline);
        }
        let spun = metrics().spun;
        assert!(spun > Duration::ZERO && spun < start.elapsed(), "{spun:?}");
    });
}

#[test]
fn a_loop_that_was_not_asked_to_never_spins() {
    run_on(EventLoop::builder(), async {
        let before = metrics().selects;
        sleep(2 * MS).await;
        assert_eq!(metrics().spun, Duration::ZERO);
        assert!(metrics().selects - before < 5);
    });
}

/// A loop that spins is not asleep, so nobody rings for it: it has to look by itself.
#[test]
fn what_other_threads_say_is_heard_while_it_spins() {
    run_on(EventLoop::builder().spin(3600 * 1000 * MS), async {
        for n in 0..100 {
            let (to, answer) = completion();
            let to = to.remote();
            let thread = std::thread::spawn(move || to.complete(n));
            assert_eq!(answer.await, Ok(n));
            thread.join().unwrap();
        }
    });
}

/// Spinning turns come back at once, and a host would have to spin with them.
#[test]
fn a_turn_that_a_host_makes_waits_as_long_as_it_is_told() {
    let event_loop = EventLoop::builder().spin(3600 * 1000 * MS).build().unwrap();
    let entered = event_loop.enter();
    let task = spawn(sleep(5 * MS));
    drop(entered);
    let mut turns = 0;
    while !task.is_finished() {
        event_loop.turn(None).unwrap();
        turns += 1;
    }
    assert!(turns < 6, "{turns} turns");
    assert_eq!(event_loop.metrics().spun, Duration::ZERO);
    drop(task);
    event_loop.turn(Some(Duration::ZERO)).unwrap();
    assert_nothing_left(&event_loop);
}

#[test]
fn a_virtual_clock_jumps_as_it_does_without() {
    let waits = |builder: Builder| {
        let script = Script::default();
        let builder = builder.selector(SelectorKind::Scripted(script.clone()));
        let event_loop = builder.build().unwrap();
        event_loop.block_on(async {
            for n in 1..100 {
                let deadline = Instant::now() + n * 17 * US;
                sleep_until(deadline).await;
                assert!(Instant::now() <= deadline + 2 * US);
            }
        });
        assert_eq!(event_loop.metrics().spun, Duration::ZERO);
        script.waits()
    };
    assert_eq!(waits(virtual_time()), waits(virtual_time().spin(MS)));
    let settling = Clock::Virtual { settle: Some(US) };
    waits(EventLoop::builder().clock(settling).spin(MS));
}
