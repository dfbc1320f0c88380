//! Faults that an operating system produces too rarely to wait for, by script: a program runs its
//! usual course, or learns of the fault by an error that says what it is.

mod support;

use std::cell::{Cell, RefCell};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use support::{
    GUARD, assert_nothing_left, panic_of, rounds, run_checked_on, socket_pair, turn_until_idle,
};
use wheelhouse::io::{AsyncFd, Interest, Ready, Source};
use wheelhouse::time::{sleep, timeout};
use wheelhouse::{
    Builder, EventLoop, Script, SelectorKind, Step, spawn, spawn_blocking, yield_now,
};

const EINVAL: i32 = 22;
const ENOMEM: i32 = 12;
const ENOSPC: i32 = 28;

fn scripted(script: &Script) -> Builder {
    EventLoop::builder().selector(SelectorKind::Scripted(script.clone()))
}

fn read_one(mut fd: &TcpStream) -> std::io::Result<u8> {
    let mut byte = [0];
    fd.read_exact(&mut byte)?;
    Ok(byte[0])
}

/// A bit of everything: sockets to and fro, timers, other threads, blocking jobs.
async fn usual_course() {
    let echo = |connections: usize| {
        (0..connections).map(|_| {
            spawn(async {
                let (one, other) = socket_pair();
                let one = Source::stream(one, Ready::WRITABLE).unwrap();
                let other = Source::stream(other, Ready::WRITABLE).unwrap();
                let mirror = spawn(async move {
                    let mut buffer = [0; 512];
                    loop {
                        match other.recv(&mut buffer).await.unwrap() {
                            0 => return,
                            n => assert_eq!(other.send(&buffer[..n]).await.unwrap(), n),
                        }
                    }
                });
                for n in 0..rounds(30, 2) {
                    let message = [n as u8; 300];
                    assert_eq!(one.send(&message).await.unwrap(), 300);
                    let (mut seen, mut buffer) = (0, [0; 512]);
                    while seen < 300 {
                        let n = one.recv(&mut buffer[seen..]).await.unwrap();
                        assert_ne!(n, 0);
                        seen += n;
                    }
                    assert_eq!(buffer[..300], message);
                }
                drop(one);
                mirror.await.unwrap();
            })
        })
    };
    let mut tasks: Vec<_> = echo(8).collect();
    for n in 1..10 {
        tasks.push(spawn(async move {
            let start = std::time::Instant::now();
            sleep(Duration::from_micros(100 * n)).await;
            assert!(start.elapsed() >= Duration::from_micros(100 * n));
        }));
    }
    let handle = wheelhouse::Handle::current();
    let outside = std::thread::spawn(move || {
        (0..50).map(|n| handle.spawn(move || async move { n }).wait().unwrap()).sum::<u32>()
    });
    assert_eq!(spawn_blocking(move || outside.join().unwrap()).await.unwrap(), 49 * 50 / 2);
    for task in tasks {
        task.await.unwrap();
    }
}

/// Row 17 of the pitfalls.
#[test]
fn every_third_wait_interrupted_disturbs_nobody() {
    let script = Script::repeating([Step::Pass, Step::Pass, Step::Interrupted]);
    run_checked_on(scripted(&script), usual_course());
    assert!(script.waits() > 9, "{} waits", script.waits());
}

#[test]
fn events_that_come_one_by_one_late_or_for_nothing_disturb_nobody() {
    for steps in [
        vec![Step::OneAtATime],
        vec![Step::Hold, Step::Pass],
        vec![Step::Hold, Step::OneAtATime, Step::Hold],
        vec![Step::Spurious, Step::Pass],
        vec![Step::Spurious],
        vec![Step::Stale, Step::Pass],
        vec![Step::Interrupted, Step::Hold, Step::Spurious, Step::Stale, Step::OneAtATime],
    ] {
        let script = Script::repeating(steps);
        run_checked_on(scripted(&script), usual_course());
    }
}

/// Row 8.
#[test]
fn an_event_of_a_descriptor_that_is_gone_never_reaches_the_next_in_its_slot() {
    let script = Script::default();
    let event_loop = scripted(&script).build().unwrap();
    let turn = || event_loop.turn(Some(Duration::ZERO)).unwrap();
    for _ in 0..rounds(50, 3) {
        let (old, mut old_peer) = socket_pair();
        let old = {
            let _entered = event_loop.enter();
            AsyncFd::with_interest(old, Interest::READABLE).unwrap()
        };
        old_peer.write_all(&[1]).unwrap();
        while turn().events() == 0 {}
        let (new, _new_peer) = socket_pair();
        let new = {
            let _entered = event_loop.enter();
            drop(old);
            // The slot of the old one, and no data.
            AsyncFd::with_interest(new, Interest::READABLE).unwrap()
        };
        script.push(Step::StaleUnfiltered);
        let polled = Rc::new(Cell::new(0));
        let count = polled.clone();
        let reader = {
            let _entered = event_loop.enter();
            spawn(async move {
                let mut waits = std::pin::pin!(new.readable());
                std::future::poll_fn(|cx| {
                    count.set(count.get() + 1);
                    waits.as_mut().poll(cx).map(drop)
                })
                .await;
            })
        };
        while script.waits() < 2 || polled.get() == 0 {
            let _ = turn();
        }
        for _ in 0..3 {
            let _ = turn();
        }
        assert_eq!(polled.get(), 1, "it was woken by an event of the old one");
        reader.cancel();
        drop(reader);
        turn_until_idle(&event_loop);
    }
    assert_nothing_left(&event_loop);
}

/// Row 8, inside one batch of events: the first to be handled replaces the second.
#[test]
fn a_socket_dropped_while_its_event_is_on_its_way_takes_the_event_along() {
    let script = Script::repeating([Step::Pass, Step::StaleUnfiltered]);
    run_checked_on(scripted(&script), async {
        for _ in 0..rounds(50, 2) {
            let (first, mut first_peer) = socket_pair();
            let (second, mut second_peer) = socket_pair();
            let first = AsyncFd::with_interest(first, Interest::READABLE).unwrap();
            let second = AsyncFd::with_interest(second, Interest::READABLE).unwrap();
            let second = Rc::new(RefCell::new(Some(second)));
            let place = second.clone();
            let (third, third_peer) = socket_pair();
            let swaps = spawn(async move {
                drop(first.readable().await.unwrap());
                drop(place.take());
                AsyncFd::with_interest(third, Interest::READABLE).unwrap()
            });
            first_peer.write_all(&[1]).unwrap();
            second_peer.write_all(&[1]).unwrap();
            let third = swaps.await.unwrap();
            let event = timeout(Duration::from_micros(200), third.readable()).await;
            assert!(event.is_err(), "an event without data");
            drop((third_peer, second));
        }
    });
}

#[test]
fn a_wait_that_fails_is_an_error_of_the_turn_and_nothing_is_lost() {
    let script = Script::default();
    let event_loop = scripted(&script).build().unwrap();
    let (ours, mut peer) = socket_pair();
    let reader = {
        let _entered = event_loop.enter();
        let ours = AsyncFd::new(ours).unwrap();
        spawn(async move { ours.async_io(Interest::READABLE, read_one).await.unwrap() })
    };
    turn_until_idle(&event_loop);
    peer.write_all(&[9]).unwrap();
    script.push(Step::FailOs(EINVAL));
    script.push(Step::Fail(ErrorKind::OutOfMemory));
    let first = event_loop.turn(Some(Duration::ZERO)).unwrap_err();
    assert_eq!(first.raw_os_error(), Some(EINVAL));
    #[cfg(not(miri))]
    assert!(support::is_readable(&event_loop, Duration::ZERO), "the host is to try again");
    let second = event_loop.turn(Some(GUARD)).unwrap_err();
    assert_eq!(second.kind(), ErrorKind::OutOfMemory);
    assert_eq!(event_loop.block_on(reader).unwrap(), 9);
    assert_nothing_left(&event_loop);
}

#[test]
fn block_on_passes_a_broken_selector_on_as_a_panic_and_can_be_called_again() {
    let script = Script::new([Step::FailOs(EINVAL)]);
    let event_loop = scripted(&script).name("broken").build().unwrap();
    let text = panic_of(|| event_loop.block_on(sleep_one()));
    assert!(
        text.starts_with("the selector of loop ") && text.contains("(\"broken\") failed: "),
        "{text}"
    );
    event_loop.block_on(sleep_one());
    script.push(Step::FailOs(EINVAL));
    event_loop.handle().stop();
    assert!(panic_of(|| event_loop.run_forever()).contains("failed: "));
    event_loop.run_forever();
    assert_nothing_left(&event_loop);
}

async fn sleep_one() {
    sleep(Duration::from_micros(50)).await;
}

#[test]
fn a_shutdown_with_a_broken_selector_ends_all_the_same() {
    let script = Script::default();
    let event_loop = scripted(&script).build().unwrap();
    let dropped = Rc::new(Cell::new(false));
    let flag = dropped.clone();
    {
        let _entered = event_loop.enter();
        drop(spawn(async move {
            let _guard = support::OnDrop::new(move || flag.set(true));
            std::future::pending::<()>().await;
        }));
    }
    turn_until_idle(&event_loop);
    for _ in 0..10 {
        script.push(Step::FailOs(EINVAL));
    }
    assert!(event_loop.shutdown(GUARD).is_clean());
    assert!(dropped.get());
}

#[test]
fn a_registration_that_the_system_refuses_leaves_nothing_behind() {
    let script = Script::default();
    run_checked_on(scripted(&script), async {
        let (ours, mut peer) = socket_pair();
        script.fail_register(ENOSPC, 2);
        let before = script.registrations();
        let error = Source::new(ours.try_clone().unwrap(), Interest::BOTH).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(ENOSPC));
        let error = AsyncFd::try_with_interest(ours, Interest::BOTH).unwrap_err();
        let (ours, error) = error.into_parts();
        assert_eq!(error.raw_os_error(), Some(ENOSPC));
        assert_eq!(script.registrations(), before);
        let ours = AsyncFd::new(ours).unwrap();
        peer.write_all(&[4]).unwrap();
        assert_eq!(ours.async_io(Interest::READABLE, read_one).await.unwrap(), 4);
        script.fail_register(ENOMEM, 1);
        assert!(Source::stream(socket_pair().0, Ready::EMPTY).is_err());
    });
}

#[test]
#[cfg(all(target_os = "linux", not(miri)))]
fn a_loop_whose_first_registration_is_refused_is_not_built() {
    let script = Script::default();
    script.fail_register(ENOMEM, 1);
    let error = scripted(&script).build().unwrap_err();
    assert_eq!(error.raw_os_error(), Some(ENOMEM));
    run_checked_on(scripted(&script), yield_now());
}

#[test]
fn a_wake_on_the_loops_own_thread_makes_no_system_call() {
    let script = Script::default();
    let event_loop = scripted(&script).build().unwrap();
    event_loop.block_on(async {
        let before = (script.wakes(), script.waits());
        for _ in 0..32 {
            spawn(async { yield_now().await }).await.unwrap();
        }
        assert_eq!(script.wakes(), before.0);
        assert!(script.waits() - before.1 <= 4, "{} waits", script.waits() - before.1);
    });
    assert_nothing_left(&event_loop);
}

#[test]
fn a_burst_from_another_thread_costs_one_wake_up() {
    let script = Script::default();
    let event_loop = scripted(&script).build().unwrap();
    let _ = event_loop.turn(Some(Duration::ZERO)).unwrap();
    let before = script.wakes();
    let handle = event_loop.handle();
    std::thread::spawn(move || (0..1000).for_each(|_| handle.call_soon(|| ()).unwrap()))
        .join()
        .unwrap();
    assert_eq!(script.wakes() - before, 1);
    turn_until_idle(&event_loop);
    assert_nothing_left(&event_loop);
}

/// Row 16.
#[test]
fn a_wake_up_that_the_system_refuses_is_asked_for_again() {
    const EAGAIN: i32 = 11;
    let script = Script::default();
    let event_loop = scripted(&script).build().unwrap();
    let handle = event_loop.handle();
    turn_until_idle(&event_loop);
    // A sleeping loop is woken all the same: this waits for ever otherwise.
    for refusals in 1..8 {
        script.fail_wake(EAGAIN, refusals);
        let (handle, spawned) = (handle.clone(), event_loop.metrics().spawned);
        let thread = std::thread::spawn(move || handle.spawn(|| async { 1 }).wait().unwrap());
        while event_loop.metrics().spawned == spawned {
            let _ = event_loop.turn(None).unwrap();
        }
        turn_until_idle(&event_loop);
        assert_eq!(thread.join().unwrap(), 1);
        turn_until_idle(&event_loop);
    }
    // One who gives up leaves it to the next, and no message is lost.
    script.fail_wake(EAGAIN, 8);
    std::thread::scope(|threads| {
        threads.spawn(|| handle.call_soon(|| ()).unwrap());
    });
    assert!(!support::is_readable(&event_loop, Duration::ZERO));
    let before = event_loop.metrics().messages;
    std::thread::scope(|threads| {
        threads.spawn(|| handle.call_soon(|| ()).unwrap());
    });
    assert!(support::is_readable(&event_loop, GUARD));
    turn_until_idle(&event_loop);
    assert_eq!(event_loop.metrics().messages - before, 2);
    assert_nothing_left(&event_loop);
}

#[test]
fn host_code_that_spawns_much_between_turns_signals_once() {
    let script = Script::default();
    let event_loop = scripted(&script).build().unwrap();
    let _ = event_loop.turn(Some(Duration::ZERO)).unwrap();
    let before = script.wakes();
    {
        let _entered = event_loop.enter();
        for _ in 0..100 {
            drop(spawn(async {}));
        }
        let mut far = Box::pin(sleep(GUARD));
        assert!(matches!(support::poll_with(&mut far, std::task::Waker::noop()), Poll::Pending));
    }
    assert_eq!(script.wakes() - before, 1);
    turn_until_idle(&event_loop);
    assert_nothing_left(&event_loop);
}
