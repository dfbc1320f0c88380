//! Signals, each test in a process of its own: what a process does on a signal is its own affair.
#![cfg(not(miri))]

mod support;

use std::cell::Cell;
use std::io::{ErrorKind, Read, Write};
use std::rc::Rc;
use std::time::Duration;

use rustix::process::{Signal as Raw, getpid, kill_process};
use support::{in_child, run_checked, socket_pair};
use wheelhouse::io::{Ready, Source};
use wheelhouse::signal::{SignalKind, ctrl_c, signal};
use wheelhouse::time::{sleep, timeout};
use wheelhouse::{LoopGroup, spawn, yield_now};

const HOUR: Duration = Duration::from_secs(3600);

fn raise(signal: Raw) {
    kill_process(getpid(), signal).unwrap();
}

/// Row 31 of the pitfalls.
#[test]
fn a_storm_of_signals_is_coalesced_without_a_deadlock_and_its_last_is_not_lost() {
    in_child("a_storm_of_signals_is_coalesced_without_a_deadlock_and_its_last_is_not_lost", || {
        run_checked(async {
            let mut usr1 = signal(SignalKind::user_defined1()).unwrap();
            let received = Rc::new(Cell::new(0));
            let (count, busy) = (received.clone(), spawn(allocate_for_ever()));
            let listener = spawn(async move {
                loop {
                    usr1.recv().await.unwrap();
                    count.set(count.get() + 1);
                }
            });
            let storm = std::thread::spawn(|| (0..100_000).for_each(|_| raise(Raw::USR1)));
            while !storm.is_finished() {
                yield_now().await;
            }
            storm.join().unwrap();
            for _ in 0..50 {
                sleep(Duration::from_micros(100)).await;
            }
            let so_far = received.get();
            assert!((1..=100_000).contains(&so_far));
            raise(Raw::USR1);
            while received.get() == so_far {
                sleep(Duration::from_micros(100)).await;
            }
            for task in [listener, busy] {
                task.cancel();
                assert!(task.await.is_err());
            }
        });
    });
}

/// What a signal handler must not run into: the allocator's lock.
async fn allocate_for_ever() {
    loop {
        drop(std::hint::black_box(vec![vec![1_u8; 100]; 10]));
        yield_now().await;
    }
}

#[test]
fn all_listeners_are_told_on_every_loop_and_the_rest_when_one_has_gone() {
    in_child("all_listeners_are_told_on_every_loop_and_the_rest_when_one_has_gone", || {
        let group = LoopGroup::new(1).unwrap();
        run_checked(async {
            let mut one = signal(SignalKind::hangup()).unwrap();
            let mut two = signal(SignalKind::hangup()).unwrap();
            let mut other = signal(SignalKind::user_defined2()).unwrap();
            let elsewhere = group.handle(0).spawn(|| {
                let mut three = signal(SignalKind::hangup()).unwrap();
                async move { three.recv().await }
            });
            // It listens when a later call has come back.
            group.handle(0).spawn(|| async {}).await.unwrap();
            raise(Raw::HUP);
            assert_eq!(one.recv().await, Some(()));
            assert_eq!(two.recv().await, Some(()));
            assert_eq!(elsewhere.await.unwrap(), Some(()));
            drop(one);
            raise(Raw::HUP);
            assert_eq!(two.recv().await, Some(()));
            assert!(timeout(Duration::from_millis(1), other.recv()).await.is_err());
            assert!(timeout(Duration::from_millis(1), two.recv()).await.is_err());
            raise(Raw::USR2);
            assert_eq!(other.recv().await, Some(()));
            drop(two);
            // Its effect stays off when nobody listens any more.
            raise(Raw::HUP);
        });
    });
}

#[test]
fn ctrl_c_listens_from_the_call_on() {
    in_child("ctrl_c_listens_from_the_call_on", || {
        run_checked(async {
            let pressed = ctrl_c();
            raise(Raw::INT);
            timeout(HOUR, pressed).await.unwrap().unwrap();
        });
    });
}

#[test]
fn signals_that_nobody_can_handle_are_refused() {
    in_child("signals_that_nobody_can_handle_are_refused", || {
        run_checked(async {
            for number in [9, 19, 11, 4, 8, 0, -1, 1000] {
                let refused = signal(SignalKind::from_raw(number)).map(drop);
                let error = refused.expect_err(&format!("signal {number}"));
                assert_eq!(error.kind(), ErrorKind::InvalidInput, "signal {number}: {error}");
            }
        });
    });
}

/// Writes never raise `SIGPIPE`. (std ignores it; a listener takes it off the ignored ones.)
#[test]
fn a_send_to_a_closed_peer_is_an_error_and_no_sigpipe() {
    in_child("a_send_to_a_closed_peer_is_an_error_and_no_sigpipe", || {
        run_checked(async {
            let mut sigpipe = signal(SignalKind::pipe()).unwrap();
            let (ours, peer) = socket_pair();
            let ours = Source::stream(ours, Ready::WRITABLE).unwrap();
            drop(peer);
            let error = loop {
                match ours.send(b"into the void").await {
                    Ok(_) => sleep(Duration::from_micros(50)).await,
                    Err(error) => break error,
                }
            };
            assert!(matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset));
            let again = ours.send(b"again").await.unwrap_err();
            assert_eq!(again.kind(), ErrorKind::BrokenPipe);
            let slices = [std::io::IoSlice::new(b"and"), std::io::IoSlice::new(b"vectored")];
            assert_eq!(ours.try_send_vectored(&slices).unwrap_err().kind(), ErrorKind::BrokenPipe);
            assert!(timeout(Duration::from_millis(2), sigpipe.recv()).await.is_err());

            // A plain write to a pipe raises it: the listener does hear.
            let (reader, writer) = rustix::pipe::pipe().unwrap();
            drop(reader);
            assert!(rustix::io::write(&writer, b"x").is_err());
            assert_eq!(timeout(HOUR, sigpipe.recv()).await.unwrap(), Some(()));
        });
    });
}

/// Row 32.
#[test]
fn the_ends_of_many_children_are_all_noticed() {
    in_child("the_ends_of_many_children_are_all_noticed", || {
        run_checked(async {
            let mut ended = signal(SignalKind::child()).unwrap();
            let mut children: Vec<_> =
                (0..50).map(|_| std::process::Command::new("true").spawn().unwrap()).collect();
            // Several ends count as one signal, so each time all children are asked.
            loop {
                children.retain_mut(|child| child.try_wait().unwrap().is_none());
                if children.is_empty() {
                    break;
                }
                timeout(HOUR, ended.recv()).await.unwrap().unwrap();
            }
        });
    });
}

#[test]
fn a_signal_interrupts_no_stream() {
    in_child("a_signal_interrupts_no_stream", || {
        run_checked(async {
            let mut alarm = signal(SignalKind::alarm()).unwrap();
            let (ours, mut peer) = socket_pair();
            let ours = Source::stream(ours, Ready::WRITABLE).unwrap();
            let reader = spawn(async move {
                let (mut seen, mut buffer) = (0, [0; 4096]);
                while seen < 100_000 {
                    seen += ours.recv(&mut buffer).await.unwrap();
                }
                seen
            });
            peer.set_nonblocking(false).unwrap();
            let writer = std::thread::spawn(move || {
                for _ in 0..100 {
                    peer.write_all(&[0; 1000]).unwrap();
                    raise(Raw::ALARM);
                }
                let _ = peer.read(&mut [0; 1]);
            });
            assert_eq!(reader.await.unwrap(), 100_000);
            assert_eq!(timeout(HOUR, alarm.recv()).await.unwrap(), Some(()));
            writer.join().unwrap();
        });
    });
}

/// Row 31: what a signal handler may do is little, and a write is all that it does.
#[test]
fn the_handler_makes_one_write_and_nothing_else() {
    const MARK: &str = "WHEELHOUSE_TEST_TRACED";
    const NAME: &str = "the_handler_makes_one_write_and_nothing_else";
    if std::env::var_os(MARK).is_some() {
        run_checked(async {
            let mut usr1 = signal(SignalKind::user_defined1()).unwrap();
            for _ in 0..10 {
                raise(Raw::USR1);
                usr1.recv().await.unwrap();
            }
        });
        return;
    }
    let log = std::env::temp_dir().join(format!("wheelhouse-strace-{}", std::process::id()));
    let traced = std::process::Command::new("strace")
        .args(["-f", "-qq", "-o"])
        .arg(&log)
        .arg(std::env::current_exe().unwrap())
        .args([NAME, "--exact", "--test-threads=1"])
        .env(MARK, "1")
        .output();
    let text = std::fs::read_to_string(&log).unwrap_or_default();
    let _ = std::fs::remove_file(&log);
    if !traced.as_ref().is_ok_and(|traced| traced.status.success()) || text.is_empty() {
        eprintln!("SKIPPED: strace is not installed, or may not trace here: {traced:?}");
        return;
    }
    let calls = calls_in_handlers(&text, "SIGUSR1");
    assert_eq!(calls.len(), 10, "{calls:?}");
    for calls in calls {
        let is_write = |call: &str| ["write(", "send("].iter().any(|name| call.contains(name));
        let is_write = |call: &String| is_write(call) || call.contains("sendto(");
        assert!(calls.len() == 1 && is_write(&calls[0]), "{calls:?}");
    }
}

/// The system calls between each arrival of the signal and the return from its handler, on the
/// thread that got it.
fn calls_in_handlers(trace: &str, signal: &str) -> Vec<Vec<String>> {
    let arrival = format!("--- {signal} ");
    let mut found: Vec<Vec<String>> = Vec::new();
    let mut inside = None;
    for line in trace.lines() {
        // Short numbers of threads are filled up with spaces.
        let Some((thread, call)) = line.split_once(' ') else { continue };
        let call = call.trim_start();
        if call.contains(&arrival) {
            inside = Some(thread);
            found.push(Vec::new());
        } else if inside == Some(thread) && call.contains("rt_sigreturn(") {
            inside = None;
        } else if inside == Some(thread) && !call.starts_with("<... ") {
            // What another thread's line came between is told in two.
            found.last_mut().unwrap().push(call.to_owned());
        }
    }
    found
}
