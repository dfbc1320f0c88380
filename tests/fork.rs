//! Forks: what a child process does with the loops it inherits is nothing to the parent, whose
//! selector, timer and descriptors it shares. Row 30 of the pitfalls.
#![cfg(all(unix, not(miri)))]

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use fork::{Fork, fork, waitpid};
use support::{GUARD, in_child, panic_of, socket_pair};
use wheelhouse::io::{AsyncFd, Interest};
use wheelhouse::time::{sleep, timeout};
use wheelhouse::{EventLoop, LoopGroup, spawn, yield_now};

/// Forks and runs `child` in the child, which must return in peace; in the parent it waits for that.
fn in_a_fork(child: impl FnOnce()) {
    match fork().unwrap() {
        Fork::Child => {
            let peace = catch_unwind(AssertUnwindSafe(child)).is_ok();
            std::process::exit(if peace { 0 } else { 1 });
        }
        Fork::Parent(pid) => assert_eq!(waitpid(pid).unwrap(), 0, "how the child ended"),
    }
}

/// Sends a byte over one socket and awaits it on the other.
async fn talk(one: &AsyncFd<TcpStream>, other: &AsyncFd<TcpStream>) {
    one.get_ref().write_all(b"x").unwrap();
    let mut byte = [0];
    let read = other.async_io(Interest::READABLE, |mut fd| fd.read(&mut byte));
    assert_eq!(timeout(GUARD, read).await.expect("it hears nothing").unwrap(), 1);
}

#[test]
fn a_child_that_drops_its_copy_of_a_loop_takes_nothing_from_the_parent() {
    in_child("a_child_that_drops_its_copy_of_a_loop_takes_nothing_from_the_parent", || {
        let event_loop = EventLoop::new().unwrap();
        let handle = event_loop.handle();
        let (one, other) = socket_pair();
        let (one, other, napping) = event_loop.block_on(async {
            let pair = (AsyncFd::new(one).unwrap(), AsyncFd::new(other).unwrap());
            talk(&pair.0, &pair.1).await;
            let napping = spawn(sleep(Duration::from_millis(20)));
            yield_now().await;
            (pair.0, pair.1, napping)
        });
        let mut inherited = Some((event_loop, one, other, napping));
        for with_shutdown in [false, true] {
            let copy = &mut inherited;
            in_a_fork(move || {
                let (event_loop, one, other, napping) = copy.take().unwrap();
                drop((one, napping));
                if with_shutdown {
                    drop(other);
                    assert!(event_loop.shutdown(GUARD).is_clean());
                } else {
                    drop(event_loop);
                    drop(other);
                }
            });
        }
        let (event_loop, one, other, napping) = inherited.unwrap();
        event_loop.block_on(async {
            for _ in 0..10 {
                talk(&one, &other).await;
                talk(&other, &one).await;
            }
            // Its timer goes off as well.
            timeout(GUARD, napping).await.unwrap().unwrap();
        });
        let thread = std::thread::spawn(move || handle.spawn(|| async { 1 }).wait().unwrap());
        event_loop.block_on(async {
            while !thread.is_finished() {
                yield_now().await;
            }
        });
        assert_eq!(thread.join().unwrap(), 1);
    });
}

#[test]
fn a_task_may_fork_and_its_child_leave_the_loop_behind() {
    in_child("a_task_may_fork_and_its_child_leave_the_loop_behind", || {
        wheelhouse::run(async {
            let (one, other) = socket_pair();
            let (one, other) = (AsyncFd::new(one).unwrap(), AsyncFd::new(other).unwrap());
            let mut pair = Some((one, other));
            let copy = &mut pair;
            in_a_fork(move || drop(copy.take()));
            let (one, other) = pair.unwrap();
            talk(&one, &other).await;
        });
        // The child returns from `run` and goes on with a loop of its own.
        let child = wheelhouse::run(async {
            spawn(std::future::pending::<()>());
            yield_now().await;
            matches!(fork().unwrap(), Fork::Child)
        });
        if child {
            let answer = wheelhouse::run(async { spawn(async { 42 }).await.unwrap() });
            std::process::exit(answer);
        }
        assert!(fork::wait_any().unwrap().1 == 42 << 8);
    });
}

#[test]
fn an_inherited_loop_that_is_turned_says_why_not() {
    in_child("an_inherited_loop_that_is_turned_says_why_not", || {
        let event_loop = EventLoop::builder().name("parent's").build().unwrap();
        in_a_fork(|| {
            let text = panic_of(|| event_loop.turn(Some(Duration::ZERO)));
            assert!(text.starts_with("`EventLoop::turn` was called in a fork of the process"));
            assert!(text.contains("(\"parent's\")") && text.ends_with("in the child process."));
            let text = panic_of(|| event_loop.block_on(async {}));
            assert!(text.starts_with("`EventLoop::block_on` was called in a fork"), "{text}");
        });
        event_loop.block_on(yield_now());
    });
}

#[test]
fn a_child_does_not_wait_for_the_threads_of_a_group_that_it_has_not() {
    in_child("a_child_does_not_wait_for_the_threads_of_a_group_that_it_has_not", || {
        let mut group = Some(LoopGroup::new(2).unwrap());
        for with_shutdown in [false, true] {
            let copy = &mut group;
            in_a_fork(move || {
                let group = copy.take().unwrap();
                if with_shutdown {
                    assert_eq!(group.shutdown(GUARD).len(), 2);
                }
            });
        }
        let group = group.unwrap();
        assert_eq!(group.spawn(|| async { 7 }).wait().unwrap(), 7);
    });
}
