//! Intervals: every tick at its time exactly, what the three policies make of missed ones, resets,
//! and the far future. All under virtual time, where a tick of the clock is 1.024 us.

mod support;

use std::task::Poll;
use std::time::Duration;

use support::{WakeCount, panic_of, rounds, run_checked, run_virtual, under_foreign_waker};
use wheelhouse::time::{
    self, Instant, Interval, MissedTickBehavior, interval, interval_at, sleep, timeout,
};
use wheelhouse::{EventLoop, spawn};

const TICK: Duration = Duration::from_nanos(1024);
const MS: Duration = Duration::from_millis(1);

/// The next tick: when it was due and when it came, in milliseconds from `start`.
async fn tick(ticks: &mut Interval, start: Instant) -> (u128, u128) {
    let due = ticks.tick().await;
    let now = Instant::now();
    assert!(due <= now, "early by {:?}", due - now);
    ((due - start).as_millis(), (now - start).as_millis())
}

/// Polls for a tick once.
fn poll(ticks: &mut Interval) -> Poll<Instant> {
    let (_, waker) = WakeCount::new();
    ticks.poll_tick(&mut std::task::Context::from_waker(&waker))
}

/// As in the picture in the documentation: five ticks, with 35 ms of work after the first.
async fn after_a_long_absence(missed: MissedTickBehavior) -> Vec<(u128, u128)> {
    let start = Instant::now();
    let mut ticks = interval(10 * MS);
    assert_eq!(ticks.missed_tick_behavior(), MissedTickBehavior::Burst);
    ticks.set_missed_tick_behavior(missed);
    assert_eq!(ticks.missed_tick_behavior(), missed);
    let mut seen = vec![tick(&mut ticks, start).await];
    sleep(35 * MS).await;
    for _ in 0..5 {
        seen.push(tick(&mut ticks, start).await);
    }
    seen
}

#[test]
fn ticks_come_at_once_and_then_every_period_without_drift() {
    run_virtual(async {
        let start = Instant::now();
        let mut ticks = interval(10 * MS);
        assert_eq!(ticks.period(), 10 * MS);
        for n in 0..rounds(1000, 20) as u32 {
            let due = ticks.tick().await;
            assert_eq!(due, start + n * 10 * MS);
            assert!(Instant::now() - due < TICK);
        }
    });
}

#[test]
fn a_first_tick_can_be_put_off() {
    run_virtual(async {
        let start = Instant::now();
        let mut ticks = interval_at(start + 25 * MS, 10 * MS);
        assert!(poll(&mut ticks).is_pending());
        assert_eq!(tick(&mut ticks, start).await, (25, 25));
        assert_eq!(tick(&mut ticks, start).await, (35, 35));
        // A start that is past has missed ticks as any other.
        time::advance(65 * MS).await;
        let mut ticks = interval_at(start + 50 * MS, 20 * MS);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        assert_eq!(tick(&mut ticks, start).await, (50, 100));
        assert_eq!(tick(&mut ticks, start).await, (110, 110));
    });
}

#[test]
fn a_burst_catches_up() {
    run_virtual(async {
        let seen = after_a_long_absence(MissedTickBehavior::Burst).await;
        assert_eq!(seen, [(0, 0), (10, 35), (20, 35), (30, 35), (40, 40), (50, 50)]);
    });
}

#[test]
fn a_delay_starts_the_period_anew() {
    run_virtual(async {
        let seen = after_a_long_absence(MissedTickBehavior::Delay).await;
        assert_eq!(seen, [(0, 0), (10, 35), (45, 45), (55, 55), (65, 65), (75, 75)]);
    });
}

#[test]
fn a_skip_keeps_to_the_multiples_of_the_period() {
    run_virtual(async {
        let seen = after_a_long_absence(MissedTickBehavior::Skip).await;
        assert_eq!(seen, [(0, 0), (10, 35), (40, 40), (50, 50), (60, 60), (70, 70)]);
    });
}

#[test]
fn a_tick_that_is_a_little_late_is_not_missed() {
    run_virtual(async {
        let start = Instant::now();
        let mut ticks = interval(20 * MS);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        assert_eq!(tick(&mut ticks, start).await, (0, 0));
        sleep(24 * MS).await;
        assert_eq!(tick(&mut ticks, start).await, (20, 24));
        assert_eq!(tick(&mut ticks, start).await, (40, 40), "4 ms are forgiven");
        sleep(26 * MS).await;
        assert_eq!(tick(&mut ticks, start).await, (60, 66));
        assert_eq!(tick(&mut ticks, start).await, (86, 86), "6 ms are not");
        // Nor is more than a period, however short that is.
        let start = Instant::now();
        let mut ticks = interval(MS);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        assert_eq!(tick(&mut ticks, start).await, (0, 0));
        time::advance(3500 * MS / 1000).await;
        assert_eq!(tick(&mut ticks, start).await, (1, 3));
        assert_eq!(tick(&mut ticks, start).await, (4, 4));
    });
}

#[test]
fn a_tick_lost_to_a_timeout_comes_to_the_next_who_asks() {
    run_virtual(async {
        let start = Instant::now();
        let mut ticks = interval(10 * MS);
        ticks.tick().await;
        for _ in 0..3 {
            assert!(timeout(3 * MS, ticks.tick()).await.is_err());
        }
        assert_eq!(tick(&mut ticks, start).await, (10, 10));
        // One that is due needs no time at all.
        time::advance(10 * MS).await;
        assert_eq!(timeout(Duration::ZERO, ticks.tick()).await, Ok(start + 20 * MS));
        // Nor is one lost that came while nobody had polled for it.
        assert!(timeout(MS, ticks.tick()).await.is_err());
        sleep(8 * MS + MS / 2).await;
        assert!(poll(&mut ticks).is_pending());
        sleep(MS).await;
        assert_eq!(poll(&mut ticks), Poll::Ready(start + 30 * MS));
        assert!(poll(&mut ticks).is_pending());
    });
}

#[test]
fn resets_move_the_next_tick_and_those_after_it() {
    run_virtual(async {
        let start = Instant::now();
        let mut ticks = interval(10 * MS);
        assert_eq!(tick(&mut ticks, start).await, (0, 0));
        sleep(5 * MS).await;
        ticks.reset();
        assert_eq!(tick(&mut ticks, start).await, (15, 15));
        ticks.reset_after(3 * MS);
        assert_eq!(tick(&mut ticks, start).await, (18, 18));
        assert_eq!(tick(&mut ticks, start).await, (28, 28));
        ticks.reset_at(start + 100 * MS);
        assert!(poll(&mut ticks).is_pending());
        // Also while somebody waits.
        ticks.reset_at(start + 50 * MS);
        assert_eq!(tick(&mut ticks, start).await, (50, 50));
        ticks.reset_immediately();
        assert_eq!(tick(&mut ticks, start).await, (50, 50));
        assert_eq!(tick(&mut ticks, start).await, (60, 60));
        assert!(poll(&mut ticks).is_pending());
        ticks.reset_immediately();
        assert_eq!(tick(&mut ticks, start).await.1, 60, "it waited already");
    });
}

/// Row 37 of the pitfalls.
#[test]
fn a_period_without_end_ticks_once_and_never_panics() {
    for missed in [MissedTickBehavior::Burst, MissedTickBehavior::Delay, MissedTickBehavior::Skip] {
        run_virtual(async {
            let start = Instant::now();
            let mut ticks = interval(Duration::MAX);
            ticks.set_missed_tick_behavior(missed);
            assert_eq!(ticks.tick().await, start);
            assert!(poll(&mut ticks).is_pending());
            ticks.reset();
            ticks.reset_after(Duration::MAX);
            assert!(poll(&mut ticks).is_pending());
            ticks.reset_at(start);
            time::advance(Duration::from_secs(3600)).await;
            assert_eq!(ticks.tick().await, start);
            assert!(poll(&mut ticks).is_pending());
            let mut never = interval_at(start + Duration::MAX, Duration::MAX);
            assert!(poll(&mut never).is_pending());
        });
    }
}

/// A task that only ticks must not hold the loop while it catches up.
#[test]
fn a_long_burst_lets_others_run() {
    run_virtual(async {
        let start = Instant::now();
        let mut ticks = interval(TICK);
        time::advance(TICK * rounds(1_000_000, 500) as u32).await;
        let missed = ((Instant::now() - start).as_nanos() / TICK.as_nanos()) as usize;
        let other = spawn(async {});
        let mut before = 0;
        while !other.is_finished() {
            ticks.tick().await;
            before += 1;
        }
        assert!(before <= 129, "{before} ticks of {missed} before another task ran");
        for _ in before..=missed {
            ticks.tick().await;
        }
        assert!(poll(&mut ticks).is_pending(), "it has caught up");
        assert_eq!(ticks.tick().await, Instant::now());
    });
}

#[test]
fn a_tick_wakes_through_a_combinator_and_a_dropped_interval_leaves_no_timer() {
    run_virtual(async {
        let start = Instant::now();
        let mut ticks = interval(10 * MS);
        ticks.tick().await;
        under_foreign_waker(async { assert_eq!(tick(&mut ticks, start).await, (10, 10)) }).await;
        assert!(poll(&mut ticks).is_pending());
    });
}

/// A tick that is taken before its timer fired takes the timer along.
#[test]
fn a_tick_that_was_taken_wakes_nobody_later() {
    run_virtual(async {
        let mut ticks = interval(10 * MS);
        let (count, waker) = WakeCount::new();
        let cx = &mut std::task::Context::from_waker(&waker);
        assert!(ticks.poll_tick(cx).is_ready() && ticks.poll_tick(cx).is_pending());
        let moved = time::advance(10 * MS);
        assert!(ticks.poll_tick(cx).is_ready(), "the clock shows that it is due");
        moved.await;
        time::advance(100 * MS).await;
        assert_eq!(count.get(), 0);
    });
}

#[test]
fn with_a_tolerance_intervals_tick_together_and_do_not_drift() {
    let event_loop = support::virtual_time().build().unwrap();
    event_loop.block_on(async {
        let start = Instant::now();
        let tasks: Vec<_> = (0..100u32)
            .map(|n| {
                spawn(async move {
                    let first = start + n * MS / 10;
                    let mut ticks = interval_at(first, 100 * MS).tolerance(20 * MS);
                    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
                    for round in 0..50 {
                        let due = ticks.tick().await;
                        assert_eq!(due, first + round * 100 * MS);
                        assert!(Instant::now() - due <= 20 * MS + TICK);
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    let turns = event_loop.metrics().turns;
    assert!(turns < 50 * 2 * 3, "{turns} turns for 5,000 ticks");
}

#[test]
fn misuse_is_told_in_three_parts() {
    let zero = panic_of(|| run_checked(async { interval(Duration::ZERO) }));
    assert_eq!(
        zero,
        "`interval` was called with a period of zero: it would tick for ever without time going \
         on. Give it a period; to let others run now and then use `yield_now`."
    );
    let nowhere = panic_of(|| interval(MS));
    assert!(nowhere.starts_with("no event loop is running on this thread: `interval` needs one."));
    let at = panic_of(|| run_checked(async { interval_at(Instant::now(), Duration::ZERO) }));
    assert!(at.starts_with("`interval_at` was called with a period of zero"), "{at}");
    let event_loop = EventLoop::new().unwrap();
    let mut ticks = {
        let _entered = event_loop.enter();
        interval(MS)
    };
    let foreign = panic_of(|| run_checked(async { ticks.tick().await }));
    assert!(foreign.starts_with("this `Interval` belongs to loop "), "{foreign}");
    assert!(foreign.contains("make a new one with `interval` on the loop that runs here"));
    let foreign = panic_of(|| run_checked(async { ticks.reset() }));
    assert!(foreign.starts_with("this `Interval` belongs to loop "), "{foreign}");
}
