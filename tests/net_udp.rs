//! UDP, through the public API and a real kernel on the loopback interface.
//!
//! Where a test names a row, it is one of the list of pitfalls: something that went wrong in
//! another runtime.

mod support;

use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::task::Context;
use std::time::Duration;

use socket2::SockRef;
use support::{
    GUARD, WakeCount, assert_close_on_exec, assert_nothing_left, kind_of, poll_once, run_checked,
    run_checked_on,
};
use wheelhouse::io::Interest;
use wheelhouse::net::UdpSocket;
use wheelhouse::time::{sleep, timeout};
use wheelhouse::{EventLoop, Script, SelectorKind, spawn};

/// Runs on a fresh loop, with an end to waiting, and checks that nothing is left.
#[track_caller]
fn run<F: Future>(future: F) -> F::Output {
    run_checked(async { timeout(GUARD, future).await.expect("it hangs") })
}

async fn socket() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").await.unwrap()
}

/// Two sockets, connected to each other.
async fn pair() -> (UdpSocket, UdpSocket) {
    let (one, other) = (socket().await, socket().await);
    one.connect(other.local_addr().unwrap()).await.unwrap();
    other.connect(one.local_addr().unwrap()).await.unwrap();
    (one, other)
}

#[test]
fn what_is_sent_to_an_address_comes_with_that_of_the_sender() {
    run(async {
        let (server, client) = (socket().await, socket().await);
        let (to, from) = (server.local_addr().unwrap(), client.local_addr().unwrap());
        let mut buffer = [0; 16];
        // In each form that an address may be given in.
        client.send_to(b"one", to).await.unwrap();
        client.send_to(b"two", to.to_string()).await.unwrap();
        client.send_to(b"three", ("localhost", to.port())).await.unwrap();
        client.try_send_to(b"four", to).unwrap();
        poll_fn(|cx| client.poll_send_to(cx, b"five", to)).await.unwrap();
        for word in ["one", "two", "three", "four", "five"] {
            let (n, sender) = server.recv_from(&mut buffer).await.unwrap();
            assert_eq!((std::str::from_utf8(&buffer[..n]).unwrap(), sender), (word, from));
        }
        assert_eq!(kind_of(server.try_recv_from(&mut buffer)), ErrorKind::WouldBlock);
        let nowhere: &[SocketAddr] = &[];
        assert_eq!(kind_of(client.send_to(b"lost", nowhere).await), ErrorKind::InvalidInput);
        assert_eq!(kind_of(client.send_to(b"lost", "no port").await), ErrorKind::InvalidInput);
        assert_eq!(kind_of(UdpSocket::bind(nowhere).await), ErrorKind::InvalidInput);
        assert_eq!(kind_of(UdpSocket::bind(to).await), ErrorKind::AddrInUse);
    });
}

#[test]
fn a_connected_socket_hears_its_peer_alone() {
    run(async {
        let (one, other) = pair().await;
        let stranger = socket().await;
        assert_eq!(kind_of(stranger.peer_addr()), ErrorKind::NotConnected);
        assert_eq!(one.peer_addr().unwrap(), other.local_addr().unwrap());
        stranger.send_to(b"me too", one.local_addr().unwrap()).await.unwrap();
        other.send(b"hello").await.unwrap();
        let mut buffer = [0; 16];
        assert_eq!(one.recv(&mut buffer).await.unwrap(), 5);
        assert_eq!(kind_of(one.try_recv(&mut buffer)), ErrorKind::WouldBlock);
        other.try_send(b"again").unwrap();
        poll_fn(|cx| other.poll_send(cx, b"and again")).await.unwrap();
        assert_eq!(poll_fn(|cx| one.poll_recv(cx, &mut buffer)).await.unwrap(), 5);
        let (n, from) = poll_fn(|cx| one.poll_recv_from(cx, &mut buffer)).await.unwrap();
        assert_eq!((n, from), (9, other.local_addr().unwrap()));
    });
}

#[test]
fn datagrams_keep_their_bounds_and_lose_what_does_not_fit() {
    run(async {
        let (one, other) = pair().await;
        for data in [&b"larger than the buffer"[..], b"", b"exactly8", b"next"] {
            one.send(data).await.unwrap();
        }
        let mut buffer = [0; 8];
        let mut received = Vec::new();
        for _ in 0..4 {
            let n = other.recv(&mut buffer).await.unwrap();
            received.push(buffer[..n].to_vec());
        }
        assert_eq!(received, [&b"larger t"[..], b"", b"exactly8", b"next"]);
        // Larger than any datagram may be: an error, and the socket works on.
        let error = one.send(&[0; 70_000]).await.unwrap_err();
        assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::MSGSIZE.raw_os_error()));
        let largest = vec![7; 65_507];
        one.send(&largest).await.unwrap();
        let mut room = vec![0; 65_536];
        assert_eq!(other.recv(&mut room).await.unwrap(), largest.len());
    });
}

#[test]
fn peeking_takes_nothing() {
    run(async {
        let (one, other) = pair().await;
        let from = one.local_addr().unwrap();
        let mut buffer = [0; 4];
        assert_eq!(kind_of(other.try_peek(&mut buffer)), ErrorKind::WouldBlock);
        assert_eq!(kind_of(other.try_peek_sender()), ErrorKind::WouldBlock);
        one.send(b"abcdef").await.unwrap();
        assert_eq!(other.peek(&mut buffer).await.unwrap(), 4);
        assert_eq!(poll_fn(|cx| other.poll_peek(cx, &mut buffer)).await.unwrap(), 4);
        assert_eq!(other.try_peek(&mut buffer).unwrap(), 4);
        assert_eq!(other.peek_from(&mut buffer).await.unwrap(), (4, from));
        assert_eq!(poll_fn(|cx| other.poll_peek_from(cx, &mut buffer)).await.unwrap(), (4, from));
        assert_eq!(other.try_peek_from(&mut buffer).unwrap(), (4, from));
        assert_eq!(other.peek_sender().await.unwrap(), from);
        assert_eq!(poll_fn(|cx| other.poll_peek_sender(cx)).await.unwrap(), from);
        assert_eq!(other.try_peek_sender().unwrap(), from);
        let mut whole = [0; 16];
        assert_eq!(other.recv_from(&mut whole).await.unwrap(), (6, from));
    });
}

#[test]
fn what_is_received_is_appended_to_a_vec() {
    run(async {
        let (one, other) = pair().await;
        let from = one.local_addr().unwrap();
        let mut buffer = Vec::new();
        assert_eq!(kind_of(other.try_recv_buf(&mut buffer)), ErrorKind::WouldBlock);
        {
            let mut waiting = pin!(other.recv_buf(&mut buffer));
            assert!(poll_once(waiting.as_mut()).is_pending());
        }
        assert!(buffer.is_empty());
        for data in [&b"a"[..], b"bc", b"def", b"ghij"] {
            one.send(data).await.unwrap();
        }
        assert_eq!(other.recv_buf(&mut buffer).await.unwrap(), 1);
        assert_eq!(other.recv_buf_from(&mut buffer).await.unwrap(), (2, from));
        assert_eq!(other.try_recv_buf(&mut buffer).unwrap(), 3);
        assert_eq!(other.try_recv_buf_from(&mut buffer).unwrap(), (4, from));
        assert_eq!(buffer, b"abcdefghij");
        // Room for as much as there is capacity, and no more.
        let mut small = Vec::with_capacity(3);
        one.send(b"longer").await.unwrap();
        assert_eq!(other.recv_buf(&mut small).await.unwrap(), 3);
    });
}

#[test]
fn readiness_says_when_to_try() {
    run(async {
        let (one, other) = pair().await;
        let ready = other.ready(Interest::BOTH).await.unwrap();
        assert!(ready.is_writable());
        one.writable().await.unwrap();
        poll_fn(|cx| one.poll_send_ready(cx)).await.unwrap();
        // Nothing there: the first try finds out, the next wait is for a datagram.
        assert_eq!(kind_of(other.try_recv(&mut [0; 8])), ErrorKind::WouldBlock);
        assert!(poll_once(other.readable()).is_pending());
        one.send(b"there").await.unwrap();
        other.readable().await.unwrap();
        poll_fn(|cx| other.poll_recv_ready(cx)).await.unwrap();
        let mut buffer = [0; 8];
        let receive = || rustix_recv(&other, &mut buffer);
        assert_eq!(other.try_io(Interest::READABLE, receive).unwrap(), 5);
        let blocked = other.try_io(Interest::READABLE, || rustix_recv(&other, &mut [0; 8]));
        assert_eq!(kind_of(blocked), ErrorKind::WouldBlock);
        assert!(poll_once(other.readable()).is_pending());
        one.send(b"later").await.unwrap();
        let receive = || rustix_recv(&other, &mut buffer);
        assert_eq!(other.async_io(Interest::READABLE, receive).await.unwrap(), 5);
    });
}

/// As code of somebody else would receive.
fn rustix_recv(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<usize> {
    let (n, _) = rustix::net::recv(socket, buffer, rustix::net::RecvFlags::empty())?;
    Ok(n)
}

#[test]
fn sockets_come_from_std_and_go_back() {
    run(async {
        let theirs = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let ours = UdpSocket::try_from(theirs).unwrap();
        let client = socket().await;
        client.send_to(b"hi", ours.local_addr().unwrap()).await.unwrap();
        let mut buffer = [0; 8];
        assert_eq!(ours.recv(&mut buffer).await.unwrap(), 2);
        let theirs = ours.into_std().unwrap();
        assert_eq!(kind_of(theirs.recv(&mut buffer)), ErrorKind::WouldBlock);
        let ours = UdpSocket::from_std(theirs).unwrap();
        client.send_to(b"again", ours.local_addr().unwrap()).await.unwrap();
        assert_eq!(ours.recv(&mut buffer).await.unwrap(), 5);
    });
}

#[test]
fn options_come_back() {
    run(async {
        let socket = socket().await;
        socket.set_broadcast(true).unwrap();
        assert!(socket.broadcast().unwrap());
        socket.set_ttl(7).unwrap();
        assert_eq!(socket.ttl().unwrap(), 7);
        socket.set_tos_v4(16).unwrap();
        assert_eq!(socket.tos_v4().unwrap(), 16);
        socket.set_multicast_loop_v4(false).unwrap();
        assert!(!socket.multicast_loop_v4().unwrap());
        socket.set_multicast_ttl_v4(3).unwrap();
        assert_eq!(socket.multicast_ttl_v4().unwrap(), 3);
        assert!(socket.take_error().unwrap().is_none());
        #[cfg(target_os = "linux")]
        assert_eq!(socket.device().unwrap(), None);
        if let Ok(socket) = UdpSocket::bind("[::1]:0").await {
            socket.set_tclass_v6(8).unwrap();
            assert_eq!(socket.tclass_v6().unwrap(), 8);
            socket.set_multicast_loop_v6(false).unwrap();
            assert!(!socket.multicast_loop_v6().unwrap());
            // No such interface: the arguments get there.
            let group = "ff02::1234".parse().unwrap();
            assert!(socket.join_multicast_v6(&group, 65_000).is_err());
            assert!(socket.leave_multicast_v6(&group, 65_000).is_err());
        }
    });
}

#[test]
fn a_group_is_heard_by_who_has_joined_it_until_who_leaves() {
    run(async {
        const GROUP: Ipv4Addr = Ipv4Addr::new(239, 255, 77, 1);
        let member = UdpSocket::bind("0.0.0.0:0").await.unwrap();
        let port = member.local_addr().unwrap().port();
        let sender = socket().await;
        SockRef::from(&sender).set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
        member.join_multicast_v4(GROUP, Ipv4Addr::LOCALHOST).unwrap();
        sender.send_to(b"members", (GROUP, port)).await.unwrap();
        let mut buffer = [0; 16];
        assert_eq!(member.recv(&mut buffer).await.unwrap(), 7);
        member.leave_multicast_v4(GROUP, Ipv4Addr::LOCALHOST).unwrap();
        sender.send_to(b"nobody", (GROUP, port)).await.unwrap();
        sender.send_to(b"you", (Ipv4Addr::LOCALHOST, port)).await.unwrap();
        assert_eq!(member.recv(&mut buffer).await.unwrap(), 3);
    });
}

#[test]
fn several_tasks_on_one_socket_get_a_datagram_each() {
    run(async {
        let server = Rc::new(socket().await);
        let client = socket().await;
        let readers: Vec<_> = (0..8)
            .map(|_| {
                let server = server.clone();
                spawn(async move {
                    let mut byte = [0];
                    server.recv_from(&mut byte).await.unwrap();
                    byte[0]
                })
            })
            .collect();
        for n in 0..8 {
            client.send_to(&[n], server.local_addr().unwrap()).await.unwrap();
        }
        let mut bytes = Vec::new();
        for reader in readers {
            bytes.push(reader.await.unwrap());
        }
        bytes.sort_unstable();
        assert_eq!(bytes, [0, 1, 2, 3, 4, 5, 6, 7]);
    });
}

// What went wrong elsewhere.

/// Row 26: the error of a datagram that nobody wanted is said once, and costs nothing more.
#[test]
fn a_port_unreachable_is_said_once_and_does_not_spin() {
    let event_loop = EventLoop::new().unwrap();
    event_loop.block_on(async {
        let socket = socket().await;
        let closed = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let nobody = closed.local_addr().unwrap();
        socket.connect(nobody).await.unwrap();
        drop(closed);
        socket.send(b"anybody there?").await.unwrap();
        let mut buffer = [0; 8];
        let error = timeout(GUARD, socket.recv(&mut buffer)).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        let before = event_loop.metrics();
        let nothing = timeout(Duration::from_millis(5), socket.recv(&mut buffer)).await;
        assert!(nothing.is_err(), "{nothing:?}");
        let after = event_loop.metrics();
        assert!(after.turns - before.turns < 10 && after.polls - before.polls < 10);
        // And the socket works on.
        let somebody = UdpSocket::bind(nobody).await.unwrap();
        socket.send(b"and now?").await.unwrap();
        assert_eq!(somebody.recv(&mut buffer).await.unwrap(), 8);
    });
    assert_nothing_left(&event_loop);
}

/// Rows 14 and 55: whichever of many futures are dropped, and wherever, each datagram arrives once,
/// in order; with true edges and with emulated ones.
#[test]
fn dropped_futures_lose_no_datagram() {
    for emulate in [false, true] {
        let script = Script::default();
        if emulate {
            script.emulate_edges();
        }
        run_checked_on(EventLoop::builder().selector(SelectorKind::Scripted(script)), async {
            let (one, other) = pair().await;
            let mut buffer = [0; 64];
            let mut next = 0_u32;
            for round in 0..3000_u32 {
                // Dropped before the datagram is there, and when it is but was not looked at.
                assert!(poll_once(other.recv_from(&mut buffer)).is_pending());
                let mut dropped_late = Box::pin(other.recv_from(&mut buffer));
                assert!(poll_once(dropped_late.as_mut()).is_pending());
                one.send(&round.to_be_bytes()).await.unwrap();
                if round % 3 == 0 {
                    // Now it was woken for the datagram.
                    other.readable().await.unwrap();
                } else if round % 7 == 0 {
                    // The event is still to come; the datagram waits for the next round.
                    continue;
                }
                drop(dropped_late);
                while next <= round {
                    let (n, _) = other.recv_from(&mut buffer).await.unwrap();
                    assert_eq!(buffer[..n], next.to_be_bytes());
                    next += 1;
                }
            }
        });
    }
}

/// Row 15.
#[test]
fn the_last_task_that_polled_is_woken() {
    run(async {
        let (one, other) = pair().await;
        let (first, first_waker) = WakeCount::new();
        let (second, second_waker) = WakeCount::new();
        let mut buffer = [0; 8];
        for waker in [&first_waker, &second_waker] {
            let mut cx = Context::from_waker(waker);
            assert!(other.poll_recv_from(&mut cx, &mut buffer).is_pending());
        }
        one.send(b"x").await.unwrap();
        while second.get() == 0 {
            sleep(Duration::from_micros(50)).await;
        }
        assert_eq!((first.get(), second.get()), (0, 1));
    });
}

/// Rows 27 and 28: what is dropped leaves nothing, and who gets the number next is not disturbed.
#[test]
fn sockets_that_are_dropped_while_tasks_wait_leave_nothing() {
    run(async {
        for _ in 0..2000 {
            let waits = socket().await;
            let address = waits.local_addr().unwrap();
            assert!(poll_once(waits.recv_from(&mut [0; 8])).is_pending());
            drop(waits);
            let next = UdpSocket::bind(address).await.unwrap();
            assert!(poll_once(next.recv_from(&mut [0; 8])).is_pending());
        }
    });
}

/// Row 29.
#[test]
fn no_descriptor_is_passed_on_to_child_processes() {
    run(async { assert_close_on_exec(socket().await) });
}

#[test]
fn a_socket_awaited_on_another_loop_is_an_error() {
    let home = EventLoop::new().unwrap();
    let socket = home.block_on(socket());
    let away = std::thread::spawn(move || {
        let error = wheelhouse::run(async { socket.recv_from(&mut [0; 8]).await.unwrap_err() });
        assert!(error.to_string().contains("loop"), "{error}");
        // What does not wait works everywhere.
        let to = socket.local_addr().unwrap();
        socket.try_send_to(b"self", to).unwrap();
        assert_eq!(socket.try_recv_from(&mut [0; 8]).unwrap(), (4, to));
    });
    away.join().unwrap();
    home.block_on(async { wheelhouse::yield_now().await });
    assert_nothing_left(&home);
}
