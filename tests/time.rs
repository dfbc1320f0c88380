//! Timers: exact under virtual time, never early under the real clock, at home in every range of
//! deadlines, and fair to everything else. How the virtual clock itself moves is in
//! `virtual_time.rs`.

mod support;

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use support::{
    GUARD, Trace, WakeCount, is_readable, poll_with, rounds, run_checked, run_virtual, socket_pair,
    under_foreign_waker,
};
use wheelhouse::io::{AsyncFd, Interest};
use wheelhouse::time::{self, Instant, Sleep, sleep, sleep_until, timeout, timeout_at};
use wheelhouse::{EventLoop, call_at, call_later, call_soon, metrics, spawn, yield_now};

const TICK: Duration = Duration::from_nanos(1024);
const MS: Duration = Duration::from_millis(1);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// SplitMix64, as anywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Of any size up to 2^`bits`: as many small ones as large.
    fn any_size(&mut self, bits: u32) -> u64 {
        let shift = 64 - 1 - self.next() % u64::from(bits);
        self.next() >> shift
    }
}

/// Asserts that this is the moment at which a timer with this deadline fires.
#[track_caller]
fn assert_due(deadline: Instant) {
    let now = Instant::now();
    assert!(now >= deadline, "early by {:?}", deadline - now);
    assert!(now - deadline < TICK, "late by {:?}", now - deadline);
}

/// Rows 33 and 34 of the pitfalls.
#[test]
fn deadlines_of_every_size_are_met_to_the_tick_and_in_order() {
    run_virtual(async {
        let start = Instant::now();
        let mut random = Random(33);
        let latest = Rc::new(Cell::new(start));
        let tasks: Vec<_> = (0..rounds(5000, 100))
            .map(|_| {
                let deadline = start + Duration::from_nanos(random.any_size(60));
                let latest = latest.clone();
                spawn(async move {
                    sleep_until(deadline).await;
                    assert_due(deadline);
                    assert!(latest.replace(Instant::now()) <= Instant::now());
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
}

/// Row 34.
#[test]
fn a_short_timer_fires_after_any_uptime() {
    run_virtual(async {
        let mut uptime = Duration::ZERO;
        let start = Instant::now();
        for step in [12 * DAY, 127 * DAY, 2 * YEAR, 100 * YEAR, 450 * YEAR] {
            time::advance(step).await;
            uptime += step;
            assert!(start.elapsed() >= uptime);
            let deadline = Instant::now() + MS;
            let far = spawn(sleep(3 * DAY));
            sleep(MS).await;
            assert_due(deadline);
            far.cancel();
            assert!(far.await.unwrap_err().is_cancelled());
            uptime += MS;
        }
    });
}

/// Row 35.
#[test]
fn sleeps_that_are_reset_or_dropped_at_random_end_at_their_last_deadline_or_never() {
    run_virtual(async {
        let mut random = Random(35);
        let mut sleeps: Vec<Pin<Box<Sleep>>> = Vec::new();
        let (count, waker) = WakeCount::new();
        for _ in 0..rounds(20_000, 300) {
            let deadline = Instant::now() + Duration::from_nanos(random.any_size(34));
            let pick = random.next() as usize % sleeps.len().max(1);
            match random.next() % 6 {
                0 | 1 => {
                    let mut one = Box::pin(sleep_until(deadline));
                    assert!(poll_with(&mut one, &waker).is_pending());
                    sleeps.push(one);
                }
                2 if !sleeps.is_empty() => drop(sleeps.swap_remove(pick)),
                3 | 4 if !sleeps.is_empty() => sleeps[pick].as_mut().reset(deadline),
                _ => {
                    time::advance(Duration::from_nanos(random.any_size(28))).await;
                    let now = Instant::now();
                    sleeps.retain_mut(|one| {
                        let is_over = poll_with(one, &waker).is_ready();
                        let due = one.deadline();
                        // A deadline that was past when it was set takes a batch.
                        assert!(!is_over || due <= now, "early by {:?}", due - now);
                        assert!(is_over || due + TICK > now || one.is_elapsed());
                        !is_over
                    });
                }
            }
        }
        assert!(count.get() > 0);
        drop(sleeps);
    });
}

/// Row 37.
#[test]
fn the_far_future_is_pending_and_never_panics() {
    let far = async {
        let (_, waker) = WakeCount::new();
        let now = Instant::now();
        assert!(now + Duration::MAX > now + 100 * YEAR);
        let mut sleeps = [
            Box::pin(sleep(Duration::MAX)),
            Box::pin(sleep_until(now + Duration::MAX)),
            Box::pin(sleep(Duration::from_nanos(u64::MAX))),
            Box::pin(sleep(MS).tolerance(Duration::MAX)),
        ];
        for one in &mut sleeps {
            assert!(poll_with(one, &waker).is_pending());
        }
        sleeps[0].as_mut().reset(now + Duration::MAX);
        let mut late = Box::pin(timeout(Duration::MAX, pending::<()>()));
        assert!(poll_with(&mut late, &waker).is_pending());
        call_later(Duration::MAX, || unreachable!()).cancel();
        for _ in 0..10 {
            yield_now().await;
        }
        for one in &mut sleeps[..3] {
            assert!(poll_with(one, &waker).is_pending());
        }
    };
    run_checked(far);
}

#[test]
fn virtual_time_does_not_jump_to_the_end_of_time() {
    run_virtual(async {
        let start = Instant::now();
        let never = spawn(sleep(Duration::MAX));
        sleep(100 * YEAR).await;
        assert_eq!(start.elapsed().as_secs(), (100 * YEAR).as_secs());
        never.cancel();
        assert!(never.await.is_err());
    });
    let event_loop = support::virtual_time().build().unwrap();
    let forever = {
        let _entered = event_loop.enter();
        spawn(sleep(Duration::MAX))
    };
    support::turn_until_idle(&event_loop);
    assert!(event_loop.time() < DAY && !forever.is_finished(), "{:?}", event_loop.time());
}

/// Row 39.
#[test]
fn a_million_sleeps_of_zero_end_and_take_a_batch_each() {
    let count = if cfg!(debug_assertions) { 100_000 } else { 1_000_000 };
    run_virtual(async move {
        let (start, trace) = (Instant::now(), Trace::default());
        for _ in 0..rounds(count, 300) {
            sleep(Duration::ZERO).await;
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        let inner = trace.clone();
        let other = spawn(async move { inner.note("other") });
        trace.note("before");
        sleep(Duration::ZERO).await;
        trace.note("after");
        other.await.unwrap();
        assert_eq!(trace.take(), "before other after");
    });
}

/// Row 40.
#[test]
fn a_sleep_started_after_the_loop_was_blocked_is_not_early() {
    run_checked(async {
        yield_now().await;
        std::thread::sleep(20 * MS);
        let start = std::time::Instant::now();
        sleep(5 * MS).await;
        assert!(start.elapsed() >= 5 * MS, "{:?}", start.elapsed());
    });
}

#[test]
fn no_real_sleep_is_early_and_one_after_the_other_ends() {
    run_checked(async {
        for us in [1, 2, 10, 50, 100, 500, 999, 1000, 1001, 2500] {
            let (start, wanted) = (std::time::Instant::now(), Duration::from_micros(us));
            sleep(wanted).await;
            assert!(start.elapsed() >= wanted, "{us} us took {:?}", start.elapsed());
        }
    });
}

#[test]
fn a_loop_that_sleeps_does_not_spin() {
    let event_loop = EventLoop::new().unwrap();
    event_loop.block_on(async { sleep(30 * MS).await });
    // Turns are the measure: one to start, one to wait, and what the alarm's rounding costs.
    assert!(event_loop.metrics().turns <= 8, "{:?}", event_loop.metrics());
}

/// Row 41.
#[test]
fn a_callback_that_re_arms_itself_with_no_delay_lets_sockets_be_served() {
    fn re_arm(left: Rc<Cell<bool>>, runs: Rc<Cell<u64>>) {
        runs.set(runs.get() + 1);
        if left.get() {
            call_later(Duration::ZERO, move || re_arm(left, runs));
        }
    }
    let goes_on = Rc::new(Cell::new(true));
    let runs = Rc::new(Cell::new(0));
    run_checked(async {
        re_arm(goes_on.clone(), runs.clone());
        echo(rounds(100, 3)).await;
        goes_on.set(false);
        for _ in 0..64 {
            yield_now().await;
        }
    });
    assert!(runs.get() > 1);
}

/// Row 42.
#[test]
fn tasks_that_are_always_ready_delay_neither_a_timer_nor_a_socket() {
    run_checked(async {
        let busy: Vec<_> = (0..8)
            .map(|_| {
                spawn(async {
                    loop {
                        yield_now().await;
                    }
                })
            })
            .collect();
        let mut late = pin!(sleep(10 * MS));
        assert!(poll_with(&mut late, Waker::noop()).is_pending());
        std::thread::sleep(10 * MS);
        // The clock is read, and descriptors are looked at, once in so many polls.
        let polls = polls_until(late).await;
        assert!(polls <= 50, "{polls} polls");
        let (ours, mut peer) = socket_pair();
        let ours = AsyncFd::new(ours).unwrap();
        for n in 0..rounds(20, 1) as u8 {
            let read = |mut fd: &TcpStream| fd.read(&mut [0]);
            let mut waits = pin!(ours.async_io(Interest::READABLE, read));
            assert!(poll_with(&mut waits, Waker::noop()).is_pending());
            peer.write_all(&[n]).unwrap();
            assert!(cfg!(miri) || is_readable(ours.get_ref(), GUARD));
            let polls = polls_until(async { assert_eq!(waits.await.unwrap(), 1) }).await;
            assert!(polls <= 100, "{polls} polls");
        }
        for task in busy {
            task.cancel();
            assert!(task.await.unwrap_err().is_cancelled());
        }
    });
}

/// How many polls the loop makes until it is over.
async fn polls_until(future: impl Future<Output = ()>) -> u64 {
    let before = metrics().polls;
    future.await;
    metrics().polls - before
}

/// Sends bytes to and fro over two sockets of this loop.
async fn echo(times: usize) {
    let (one, other) = socket_pair();
    let (one, other) = (AsyncFd::new(one).unwrap(), AsyncFd::new(other).unwrap());
    let mirror = spawn(async move {
        for _ in 0..times {
            let mut byte = [0];
            let read = |mut fd: &TcpStream| fd.read(&mut byte);
            assert_eq!(other.async_io(Interest::READABLE, read).await.unwrap(), 1);
            other.get_ref().write_all(&byte).unwrap();
        }
    });
    for n in 0..times {
        one.get_ref().write_all(&[n as u8]).unwrap();
        let mut byte = [0];
        let read = |mut fd: &TcpStream| fd.read(&mut byte);
        assert_eq!(one.async_io(Interest::READABLE, read).await.unwrap(), 1);
        assert_eq!(byte, [n as u8]);
    }
    mirror.await.unwrap();
}

#[test]
fn a_sleep_counts_from_its_making_and_its_deadline_can_be_asked() {
    run_virtual(async {
        let start = Instant::now();
        let made_first = sleep(10 * MS);
        assert_eq!(made_first.deadline(), start + 10 * MS);
        sleep(7 * MS).await;
        assert!(!made_first.is_elapsed());
        made_first.await;
        assert_due(start + 10 * MS);
        let past = sleep_until(start);
        assert!(past.is_elapsed());
        past.await;
        assert!(start.elapsed() < 10 * MS + TICK, "the past takes a batch and no time");
    });
}

#[test]
fn a_sleep_can_be_moved_either_way_and_used_again() {
    run_virtual(async {
        let start = Instant::now();
        let mut one = pin!(sleep(10 * MS));
        let (count, waker) = WakeCount::new();
        assert!(poll_with(&mut one, &waker).is_pending());
        one.as_mut().reset(start + 50 * MS);
        sleep(20 * MS).await;
        assert!(poll_with(&mut one, &waker).is_pending());
        one.as_mut().reset(start + 30 * MS);
        one.as_mut().await;
        assert_due(start + 30 * MS);
        assert_eq!(count.get(), 0, "the task took over from the other waker");
        assert!(one.is_elapsed());
        one.as_mut().reset(start + 40 * MS);
        assert!(!one.is_elapsed());
        one.as_mut().await;
        assert_due(start + 40 * MS);
        one.as_mut().reset(start);
        one.await;
        assert_due(start + 40 * MS);
    });
}

/// Row 15.
#[test]
fn a_sleep_polled_with_two_wakers_wakes_the_second_only() {
    run_virtual(async {
        let mut one = sleep(MS);
        let (first, first_waker) = WakeCount::new();
        let (second, second_waker) = WakeCount::new();
        assert!(poll_with(&mut one, &first_waker).is_pending());
        assert!(poll_with(&mut one, &second_waker).is_pending());
        time::advance(2 * MS).await;
        assert_eq!((first.get(), second.get()), (0, 1));
        assert!(poll_with(&mut one, &first_waker).is_ready());
    });
}

#[test]
fn a_sleep_wakes_through_a_combinators_waker_as_well() {
    run_virtual(async {
        let start = Instant::now();
        under_foreign_waker(sleep(3 * MS)).await;
        assert_due(start + 3 * MS);
        let start = Instant::now();
        let late = under_foreign_waker(timeout(MS, under_foreign_waker(sleep(DAY)))).await;
        assert!(late.is_err());
        assert_due(start + MS);
    });
}

#[test]
fn sleeps_with_a_tolerance_end_together_within_it() {
    run_virtual(async {
        let start = Instant::now();
        let ends = Rc::new(RefCell::new(std::collections::BTreeSet::new()));
        let tasks: Vec<_> = (0..1000u64)
            .map(|n| {
                let ends = ends.clone();
                spawn(async move {
                    let deadline = start + 10 * MS + Duration::from_micros(n);
                    sleep_until(deadline).tolerance(MS).await;
                    let late = Instant::now() - deadline;
                    assert!(Instant::now() >= deadline && late <= MS + TICK, "{late:?}");
                    ends.borrow_mut().insert(Instant::now());
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert!(ends.borrow().len() <= 4, "{} wake-ups", ends.borrow().len());
    });
}

#[test]
fn timeout_gives_the_output_in_time_and_elapsed_after() {
    run_virtual(async {
        let start = Instant::now();
        assert_eq!(timeout(MS, async { 1 }).await, Ok(1));
        assert_eq!(timeout(Duration::ZERO, async { 2 }).await, Ok(2), "what is ready wins");
        assert_eq!(timeout_at(start, async { 3 }).await, Ok(3));
        let in_time = timeout(5 * MS, sleep(4 * MS)).await;
        assert_eq!(in_time, Ok(()));
        let late = timeout(5 * MS, sleep(6 * MS)).await.unwrap_err();
        assert_eq!(late.to_string(), "the deadline has elapsed");
        assert_eq!(std::io::Error::from(late).kind(), std::io::ErrorKind::TimedOut);
        assert_eq!(timeout(Duration::ZERO, pending::<()>()).await, Err(late));
        let inner = timeout(DAY, pending::<()>());
        assert_eq!(inner.deadline(), Instant::now() + DAY);
        drop(inner.into_inner());
    });
}

#[test]
fn of_nested_deadlines_the_nearest_wins_and_the_others_go_on() {
    run_virtual(async {
        let start = Instant::now();
        let inner = timeout(2 * MS, timeout(9 * MS, timeout(5 * MS, pending::<()>())));
        let outer = timeout(7 * MS, async { (inner.await.is_err(), sleep(MS).await) });
        assert_eq!(outer.await, Ok((true, ())));
        // Two, and one more from the tick that showed.
        assert!(start.elapsed() >= 3 * MS && start.elapsed() < 3 * MS + 2 * TICK);
        // Of equal ones the innermost is told first.
        let equal = timeout_at(start + 9 * MS, timeout_at(start + 9 * MS, pending::<()>()));
        assert!(matches!(equal.await, Ok(Err(_))));
        assert_due(start + 9 * MS);
        // A deadline can be moved while it is awaited, either way.
        let mut moved = pin!(timeout(DAY, pending::<()>()));
        assert!(poll_with(&mut moved, std::task::Waker::noop()).is_pending());
        moved.as_mut().reset(start + 20 * MS);
        assert!(moved.as_mut().await.is_err());
        assert_due(start + 20 * MS);
        moved.as_mut().reset(start + 30 * MS);
        assert!(poll_with(&mut moved, std::task::Waker::noop()).is_pending());
    });
}

#[test]
fn a_dropped_sleep_leaves_no_timer_and_wakes_nobody() {
    run_virtual(async {
        let (count, waker) = WakeCount::new();
        for ms in 1..rounds(1000, 50) as u32 {
            let mut one = Box::pin(sleep(ms * MS));
            assert!(poll_with(&mut one, &waker).is_pending());
        }
        time::advance(DAY).await;
        assert_eq!(count.get(), 0);
    });
}

#[test]
fn a_callback_can_be_asked_moved_and_cancelled() {
    let trace = Trace::default();
    let note = |what| {
        let trace = trace.clone();
        move || trace.note(what)
    };
    run_virtual(async {
        let start = Instant::now();
        let soon = call_soon(note("soon"));
        assert_eq!((soon.when(), soon.is_cancelled()), (None, false));
        let mut moved = call_later(10 * MS, note("moved"));
        assert_eq!(moved.when(), Some(start + 10 * MS));
        assert!(moved.reschedule(start + 30 * MS));
        assert_eq!(moved.when(), Some(start + 30 * MS));
        let _kept_by_nobody = call_at(start + 20 * MS, note("at"));
        let cancelled = [call_soon(note("never")), call_later(MS, note("never"))];
        for one in &cancelled {
            one.cancel();
            assert!(one.is_cancelled());
        }
        sleep(40 * MS).await;
        assert!(!moved.reschedule(start + DAY), "it has run");
        moved.cancel();
        let past = call_at(start, note("past"));
        sleep(MS).await;
        assert!(!past.is_cancelled());
    });
    assert_eq!(trace.take(), "soon at moved past");
}

#[test]
fn a_cancelled_callback_is_dropped_by_the_loop_and_soon() {
    run_virtual(async {
        let dropped = Rc::new(Cell::new(false));
        let flag = dropped.clone();
        let guard = support::OnDrop::new(move || flag.set(true));
        let call = call_later(DAY, move || drop(guard));
        call.cancel();
        assert!(!dropped.get());
        yield_now().await;
        assert!(dropped.get());
    });
}

#[test]
fn the_next_deadline_is_the_earliest_that_still_counts() {
    let event_loop = EventLoop::new().unwrap();
    assert_eq!(event_loop.next_deadline(), None);
    event_loop.block_on(async {
        let near = Box::pin(sleep(DAY));
        let mut both = (near, Box::pin(sleep(2 * DAY)));
        poll_fn(|cx| {
            assert!(both.0.as_mut().poll(cx).is_pending() && both.1.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        let due = |one: &Sleep| event_loop.next_deadline().unwrap() - one.deadline() < TICK;
        assert!(due(&both.0));
        drop(both.0);
        assert!(due(&both.1));
    });
    assert_eq!(event_loop.next_deadline(), None);
    support::assert_nothing_left(&event_loop);
}

#[test]
fn instants_convert_add_and_subtract_without_ever_panicking() {
    let now = Instant::now();
    let std = now.into_std();
    assert_eq!(
        (Instant::from_std(std), Instant::from(std), std::time::Instant::from(now)),
        (now, now, std)
    );
    assert_eq!(now - (now + MS), Duration::ZERO);
    assert_eq!((now + MS) - now, MS);
    assert_eq!((now + MS).checked_duration_since(now), Some(MS));
    assert_eq!(now.checked_duration_since(now + MS), None);
    assert_eq!(now.checked_add(Duration::MAX), None);
    let mut moved = now;
    moved += Duration::MAX;
    moved -= Duration::MAX;
    assert!(now - Duration::MAX <= now && moved <= now + Duration::MAX);
}
