//! Accepting TCP connections: turns of several acceptors, shortages, what is wrong with a single
//! connection, and what child processes get.
//!
//! Where a test names a row, it is one of the list of pitfalls: something that went wrong in
//! another runtime.

mod support;

use std::cell::Cell;
use std::future::poll_fn;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use socket2::SockRef;
use support::tcp::{listener, run};
use support::{assert_nothing_left, in_child, run_checked_on, turn_until_idle};
use wheelhouse::net::{TcpListener, TcpSocket, TcpStream};
use wheelhouse::time::sleep;
use wheelhouse::{Clock, EventLoop, Script, SelectorKind, spawn};

/// Connections that come one at a time, and connections that come all at once.
#[test]
fn acceptors_take_turns() {
    for burst in [1, 20] {
        let event_loop = EventLoop::new().unwrap();
        let listener = Rc::new(event_loop.block_on(listener()));
        let address = listener.local_addr().unwrap();
        let counts = Rc::new([const { Cell::new(0) }; 3]);
        let _entered = event_loop.enter();
        let tasks: Vec<_> = (0..3)
            .map(|n| {
                let (listener, counts) = (listener.clone(), counts.clone());
                spawn(async move {
                    loop {
                        listener.accept().await.unwrap();
                        counts[n].set(counts[n].get() + 1);
                    }
                })
            })
            .collect();
        turn_until_idle(&event_loop);
        for _ in 0..60 / burst {
            let clients: Vec<_> =
                (0..burst).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
            turn_until_idle(&event_loop);
            drop(clients);
        }
        let counts: Vec<i32> = counts.iter().map(Cell::get).collect();
        assert_eq!(counts.iter().sum::<i32>(), 60);
        assert!(counts.iter().all(|&n| n >= 15), "bursts of {burst}: {counts:?}");
        for task in tasks {
            task.cancel();
        }
        turn_until_idle(&event_loop);
        drop(listener);
        assert_nothing_left(&event_loop);
    }
}

/// Row 18: 200 connections, no descriptor to accept them with, then forty.
#[cfg(target_os = "linux")]
#[test]
fn a_shortage_of_descriptors_is_survived_without_spinning() {
    in_child("a_shortage_of_descriptors_is_survived_without_spinning", || {
        // Time jumps over the pauses, after a real millisecond of quiet.
        let clock = Clock::Virtual { settle: Some(Duration::from_millis(1)) };
        let event_loop = EventLoop::builder().clock(clock).build().unwrap();
        let listener = event_loop.block_on(listener());
        let address = listener.local_addr().unwrap();
        let low: Vec<_> = (0..40).map(|_| std::fs::File::open("/dev/null").unwrap()).collect();
        let clients: Vec<_> = (0..200)
            .map(|n| {
                let mut client = std::net::TcpStream::connect(address).unwrap();
                client.write_all(&[n]).unwrap();
                client
            })
            .collect();
        lower_descriptor_limit(64);
        assert!(std::fs::File::open("/dev/null").is_err(), "there are descriptors left");

        let served = Rc::new(Cell::new(0));
        let count = served.clone();
        let server = {
            let _entered = event_loop.enter();
            spawn(async move {
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    let count = count.clone();
                    spawn(async move {
                        let mut byte = [0];
                        assert_eq!(stream.read(&mut byte).await.unwrap(), 1);
                        stream.write_all(&byte).await.unwrap();
                        count.set(count.get() + 1);
                    });
                }
            })
        };
        let before = event_loop.metrics();
        event_loop.block_on(async { sleep(Duration::from_secs(10)).await });
        let during = event_loop.metrics();
        // Nine pauses of together 1.3 s, then one a second.
        let polls = during.polls - before.polls;
        assert!((10..60).contains(&polls), "{polls} polls in ten seconds");
        assert_eq!(served.get(), 0);

        drop(low);
        event_loop.block_on(async {
            while served.get() < 200 {
                sleep(Duration::from_millis(100)).await;
            }
            server.cancel();
            assert!(server.await.unwrap_err().is_cancelled());
        });
        for (n, mut client) in (0..).zip(clients) {
            let mut answer = Vec::new();
            client.read_to_end(&mut answer).unwrap();
            assert_eq!(answer, [n]);
        }
        assert_nothing_left(&event_loop);
    });
}

#[cfg(target_os = "linux")]
fn lower_descriptor_limit(limit: u64) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(limit), maximum }).unwrap();
}

/// No more watches (`ENOSPC`): the connection is lost, the listener is not.
#[test]
fn a_connection_that_cannot_be_watched_does_not_end_the_listener() {
    let script = Script::default();
    let clock = Clock::Virtual { settle: Some(Duration::from_millis(1)) };
    let builder =
        EventLoop::builder().clock(clock).selector(SelectorKind::Scripted(script.clone()));
    run_checked_on(builder, async {
        let listener = listener().await;
        let address = listener.local_addr().unwrap();
        let mut clients: Vec<_> =
            (0..4).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
        script.fail_register(rustix::io::Errno::NOSPC.raw_os_error(), 3);
        let (_, peer) = listener.accept().await.unwrap();
        assert_eq!(peer, clients[3].local_addr().unwrap());
        // Those that were lost know it.
        for client in &mut clients[..3] {
            assert_eq!(client.read(&mut [0]).unwrap(), 0);
        }
        // And the same for who polls.
        let late = std::net::TcpStream::connect(address).unwrap();
        script.fail_register(rustix::io::Errno::NOMEM.raw_os_error(), 1);
        let next = std::net::TcpStream::connect(address).unwrap();
        let (_, peer) = poll_fn(|cx| listener.poll_accept(cx)).await.unwrap();
        assert_eq!(peer, next.local_addr().unwrap());
        drop(late);
    });
}

#[cfg(target_os = "linux")]
#[test]
fn a_listener_that_is_broken_says_so() {
    run(async {
        let listener = listener().await;
        let mut accept = pin!(listener.accept());
        assert!(poll_fn(|cx| Poll::Ready(accept.as_mut().poll(cx))).await.is_pending());
        // It no longer listens, and who waits hears of it.
        SockRef::from(&listener).shutdown(Shutdown::Both).unwrap();
        assert_eq!(accept.await.unwrap_err().kind(), ErrorKind::InvalidInput);
        let error = poll_fn(|cx| listener.poll_accept(cx)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    });
}

/// A client that resets before it is accepted is an error of that client's connection alone.
#[test]
fn clients_that_reset_in_the_queue_do_not_disturb() {
    run(async {
        let listener = listener().await;
        let address = listener.local_addr().unwrap();
        for _ in 0..20 {
            let gone = std::net::TcpStream::connect(address).unwrap();
            SockRef::from(&gone).set_linger(Some(Duration::ZERO)).unwrap();
            drop(gone);
        }
        let stays = TcpStream::connect(address).await.unwrap();
        loop {
            let (stream, peer) = listener.accept().await.unwrap();
            if peer == stays.local_addr().unwrap() {
                break;
            }
            let read = stream.read(&mut [0]).await;
            assert_eq!(read.unwrap_err().kind(), ErrorKind::ConnectionReset);
        }
    });
}

/// Row 29.
#[test]
fn no_descriptor_is_passed_on_to_child_processes() {
    use rustix::io::{FdFlags, fcntl_getfd};
    run(async {
        let listener = listener().await;
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let server = listener.accept().await.unwrap().0;
        let socket = TcpSocket::new_v4().unwrap();
        assert!(fcntl_getfd(&listener).unwrap().contains(FdFlags::CLOEXEC));
        assert!(fcntl_getfd(&client).unwrap().contains(FdFlags::CLOEXEC));
        assert!(fcntl_getfd(&server).unwrap().contains(FdFlags::CLOEXEC));
        assert!(fcntl_getfd(&socket).unwrap().contains(FdFlags::CLOEXEC));
    });
}

#[test]
fn errors_are_those_of_the_system() -> io::Result<()> {
    run(async {
        let listener = listener().await;
        let taken = TcpListener::bind(listener.local_addr()?).await;
        assert_eq!(taken.unwrap_err().kind(), ErrorKind::AddrInUse);
        Ok(())
    })
}
