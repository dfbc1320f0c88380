//! The virtual clock: when it jumps, when it must not, and moving it by hand.

mod support;

use std::io::Write;
use std::sync::mpsc;
use std::task::Waker;
use std::time::Duration;

use support::{
    GUARD, Trace, assert_nothing_left, is_readable, poll_with, rounds, run_checked_on, run_virtual,
    socket_pair, turn_until_idle, virtual_time,
};
use wheelhouse::io::AsyncFd;
use wheelhouse::time::{self, Instant, sleep};
use wheelhouse::{
    Builder, Clock, EventLoop, Handle, Script, SelectorKind, Step, call_later, spawn,
    spawn_blocking, yield_now,
};

const MS: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);
const TICK: Duration = Duration::from_nanos(1024);

fn settling(settle: Duration) -> Builder {
    EventLoop::builder().clock(Clock::Virtual { settle: Some(settle) })
}

/// How far the loop's time is, to whole milliseconds.
fn ms(event_loop: &EventLoop) -> u128 {
    event_loop.time().as_millis()
}

#[test]
fn a_year_passes_at_once_and_every_sleeper_sees_its_own_time() {
    let started = std::time::Instant::now();
    let trace = Trace::default();
    run_virtual(async {
        let start = Instant::now();
        let tasks = [300, 1, 365, 20].map(|days| {
            let trace = trace.clone();
            spawn(async move {
                sleep(24 * days * HOUR).await;
                trace.note(format_args!("{}d", start.elapsed().as_secs() / 86_400));
            })
        });
        for task in tasks {
            task.await.unwrap();
        }
    });
    assert_eq!(trace.take(), "1d 20d 300d 365d");
    assert!(started.elapsed() < GUARD);
}

/// What comes through the inbox may make nothing runnable, and is still something that happened.
#[test]
fn a_loop_that_is_stopped_jumps_no_further() {
    let event_loop = virtual_time().build().unwrap();
    let trace = Trace::default();
    {
        let _here = event_loop.enter();
        let (short, long) = (trace.clone(), trace.clone());
        call_later(MS, move || {
            short.note("stop");
            Handle::current().stop();
        });
        call_later(HOUR, move || long.note("later"));
    }
    event_loop.run_forever();
    assert_eq!((trace.take().as_str(), ms(&event_loop)), ("stop", 1));
    event_loop.block_on(async { sleep(HOUR).await });
    assert_eq!(trace.take(), "later");
    assert_nothing_left(&event_loop);
}

#[test]
fn time_stands_still_while_anything_is_runnable() {
    run_virtual(async {
        let sleeper = spawn(sleep(MS));
        for _ in 0..rounds(1000, 100) {
            yield_now().await;
        }
        assert_eq!(Instant::now().elapsed(), Duration::ZERO);
        assert!(!sleeper.is_finished());
        sleeper.await.unwrap();
    });
}

#[test]
fn it_jumps_to_the_earliest_deadline_and_not_beyond() {
    let event_loop = virtual_time().build().unwrap();
    let start = event_loop.now();
    event_loop.block_on(async {
        let far = spawn(sleep(HOUR));
        sleep(MS).await;
        let late = start.elapsed() - MS;
        assert!(late < TICK, "{late:?}");
        far.cancel();
        assert!(far.await.is_err());
        // The cancelled one must not be jumped to.
        sleep(MS).await;
        assert!(start.elapsed() < 3 * MS);
    });
    assert!(event_loop.time() < 3 * MS);
    assert_nothing_left(&event_loop);
}

#[test]
fn a_paused_clock_moves_by_hand_only() {
    let event_loop = virtual_time().build().unwrap();
    let sleeper = {
        let _entered = event_loop.enter();
        time::pause();
        spawn(sleep(HOUR))
    };
    turn_until_idle(&event_loop);
    assert!(!sleeper.is_finished());
    assert_eq!(event_loop.time(), Duration::ZERO);
    event_loop.block_on(async {
        time::advance(HOUR / 2).await;
        assert!(!sleeper.is_finished());
        time::advance(HOUR / 2).await;
        assert!(sleeper.is_finished());
        let after = spawn(sleep(HOUR));
        yield_now().await;
        time::resume();
        after.await.unwrap();
        sleeper.await.unwrap();
    });
    assert_eq!(ms(&event_loop), 2 * HOUR.as_millis());
    assert_nothing_left(&event_loop);
}

#[test]
fn advance_lets_what_falls_due_run_however_small_the_step() {
    run_virtual(async {
        time::pause();
        let trace = Trace::default();
        let inner = trace.clone();
        let sleeper = spawn(async move {
            for n in 0..5 {
                sleep(10 * TICK).await;
                inner.note(n);
            }
        });
        yield_now().await;
        for n in 0..5 {
            trace.note(format_args!("step{n}"));
            time::advance(10 * TICK).await;
        }
        assert_eq!(trace.take(), "step0 0 step1 1 step2 2 step3 3 step4 4");
        sleeper.await.unwrap();
    });
}

#[test]
fn a_timer_of_zero_length_takes_no_time_and_a_nanosecond_takes_a_tick() {
    run_virtual(async {
        let start = Instant::now();
        sleep(Duration::ZERO).await;
        assert_eq!(start.elapsed(), Duration::ZERO);
        sleep(Duration::from_nanos(1)).await;
        assert_eq!(start.elapsed(), TICK);
    });
}

#[test]
fn it_does_not_jump_while_a_blocking_job_runs() {
    let event_loop = virtual_time().build().unwrap();
    let (done, wait) = mpsc::channel::<()>();
    let (sleeper, job) = {
        let _entered = event_loop.enter();
        (spawn(sleep(HOUR)), spawn_blocking(move || wait.recv().unwrap()))
    };
    for _ in 0..100 {
        let _ = event_loop.turn(Some(Duration::ZERO)).unwrap();
    }
    assert_eq!(event_loop.time(), Duration::ZERO);
    assert!(!sleeper.is_finished());
    done.send(()).unwrap();
    event_loop.block_on(async {
        job.await.unwrap();
        sleeper.await.unwrap();
    });
    assert_eq!(ms(&event_loop), HOUR.as_millis());
    assert_nothing_left(&event_loop);
}

/// The end of a job between the loop's last look and its wait must not be lost: nothing else would
/// wake it.
#[test]
fn the_end_of_a_blocking_job_lets_time_jump_whenever_it_comes() {
    let (done, wait) = mpsc::channel();
    std::thread::spawn(move || {
        run_virtual(async {
            for round in 0..rounds(20_000, 20) {
                let job = spawn_blocking(|| ());
                if round % 2 == 0 {
                    job.cancel();
                }
                sleep(MS).await;
                assert_eq!(job.await.is_ok(), round % 2 != 0);
            }
        });
        done.send(()).unwrap();
    });
    wait.recv_timeout(4 * GUARD).expect("the loop slept through the end of a job");
}

#[test]
fn while_a_descriptor_is_waited_for_it_does_not_jump() {
    let event_loop = virtual_time().build().unwrap();
    let (ours, mut peer) = socket_pair();
    let (sleeper, reader) = {
        let _entered = event_loop.enter();
        let ours = AsyncFd::new(ours).unwrap();
        (spawn(sleep(HOUR)), spawn(async move { ours.readable().await.map(drop).unwrap() }))
    };
    turn_until_idle(&event_loop);
    assert!(!event_loop.turn(Some(10 * MS)).unwrap().more());
    assert_eq!(event_loop.time(), Duration::ZERO);
    peer.write_all(b"x").unwrap();
    event_loop.block_on(reader).unwrap();
    // Nobody waits for the outside world any more.
    event_loop.block_on(sleeper).unwrap();
    assert_eq!(ms(&event_loop), HOUR.as_millis());
    assert_nothing_left(&event_loop);
}

#[test]
fn with_a_quiet_time_given_it_jumps_when_the_outside_was_quiet_for_so_long() {
    let quiet = 15 * MS;
    let started = std::time::Instant::now();
    run_checked_on(settling(quiet), async {
        let (ours, _peer) = socket_pair();
        let ours = AsyncFd::new(ours).unwrap();
        let start = Instant::now();
        let late = time::timeout(HOUR, ours.readable()).await;
        assert!(late.is_err());
        assert!(start.elapsed() >= HOUR && start.elapsed() < HOUR + TICK);
    });
    assert!(started.elapsed() >= quiet, "it waited {:?} only", started.elapsed());
}

#[test]
fn what_comes_in_the_quiet_time_is_served_before_the_jump() {
    run_checked_on(settling(GUARD), async {
        let (ours, mut peer) = socket_pair();
        let ours = AsyncFd::new(ours).unwrap();
        let start = Instant::now();
        let writer = std::thread::spawn(move || {
            peer.write_all(b"x").unwrap();
            peer
        });
        let in_time = time::timeout(MS, ours.readable()).await;
        assert!(in_time.is_ok());
        assert_eq!(start.elapsed(), Duration::ZERO);
        drop(writer.join().unwrap());
    });
}

#[test]
fn an_interrupted_wait_does_not_shorten_the_quiet_time() {
    let quiet = 15 * MS;
    let script = Script::new([Step::Interrupted; 5]);
    let builder = settling(quiet).selector(SelectorKind::Scripted(script.clone()));
    let started = std::time::Instant::now();
    run_checked_on(builder, async {
        let (ours, _peer) = socket_pair();
        let ours = AsyncFd::new(ours).unwrap();
        assert!(time::timeout(HOUR, ours.readable()).await.is_err());
    });
    assert!(script.waits() > 5);
    assert!(started.elapsed() >= quiet, "it waited {:?} only", started.elapsed());
}

#[test]
fn a_message_in_the_quiet_time_starts_it_anew() {
    // Long, so that a slow machine does not send the message after it.
    let quiet = 400 * MS;
    let event_loop = settling(quiet).build().unwrap();
    let (ours, _peer) = socket_pair();
    let reader = {
        let _entered = event_loop.enter();
        let ours = AsyncFd::new(ours).unwrap();
        spawn(async move { time::timeout(HOUR, ours.readable()).await.map(drop).unwrap_err() })
    };
    let elsewhere = {
        let _entered = event_loop.enter();
        let mut filed = sleep(MS);
        assert!(poll_with(&mut filed, Waker::noop()).is_pending());
        filed
    };
    let (done, dropped) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        std::thread::sleep(quiet / 4);
        let before = std::time::Instant::now();
        drop(elsewhere);
        done.send(before).unwrap();
    });
    event_loop.block_on(reader).unwrap();
    let quiet_for = dropped.recv().unwrap().elapsed();
    thread.join().unwrap();
    assert!(quiet_for >= quiet - MS, "it jumped {quiet_for:?} after the message");
    assert!(event_loop.time() < HOUR + TICK, "and not beyond the deadline");
    assert_nothing_left(&event_loop);
}

#[test]
#[cfg_attr(miri, ignore = "polls a descriptor")]
fn a_host_is_told_when_time_can_jump() {
    let event_loop = virtual_time().build().unwrap();
    let sleeper = {
        let _entered = event_loop.enter();
        spawn(async {
            for _ in 0..10 {
                sleep(HOUR).await;
            }
        })
    };
    let mut turns = 0;
    while is_readable(&event_loop, Duration::ZERO) {
        let _ = event_loop.turn(Some(Duration::ZERO)).unwrap();
        turns += 1;
        assert!(turns < 50, "it spins");
    }
    assert_eq!(event_loop.time().as_secs() / 3600, 10);
    let _entered = event_loop.enter();
    assert!(sleeper.is_finished());
    drop(sleeper);
    assert_nothing_left(&event_loop);
}

#[test]
fn a_sleep_ends_when_the_clock_is_moved_by_just_its_time() {
    for nanos in [1, 1_023, 1_024, 1_500, 10_000_000, 1_000_000_000] {
        run_virtual(async move {
            time::pause();
            let time = Duration::from_nanos(nanos);
            let task = spawn(sleep(time));
            yield_now().await;
            time::advance(time).await;
            assert!(task.is_finished(), "{time:?}");
            task.await.unwrap();
        });
    }
}

#[test]
fn a_deadline_that_is_now_takes_a_batch_also_between_two_ticks() {
    run_virtual(async {
        time::pause();
        time::advance(Duration::from_nanos(1_500)).await;
        time::sleep_until(Instant::now()).await;
    });
}

#[test]
fn a_clock_that_is_moved_and_not_awaited_wakes_sleepers_all_the_same() {
    run_virtual(async {
        time::pause();
        let mover = spawn(async { drop(time::advance(Duration::from_secs(2))) });
        sleep(Duration::from_secs(1)).await;
        mover.await.unwrap();
    });
}
