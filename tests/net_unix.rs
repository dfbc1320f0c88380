//! Unix sockets, through the public API and a real kernel.
//!
//! Where a test names a row, it is one of the list of pitfalls: something that went wrong in
//! another runtime.

mod support;

use std::future::{Future, poll_fn};
use std::io::{ErrorKind, IoSlice, IoSliceMut};
use std::net::Shutdown;
use std::os::fd::AsFd;
#[cfg(target_os = "linux")]
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures_lite::io::{AsyncReadExt, AsyncWriteExt};
use support::{
    GUARD, TempPath, assert_close_on_exec, assert_nothing_left, folder_of_sockets, kind_of,
    poll_once, run_checked, run_checked_on, turn_until_idle,
};
use wheelhouse::io::Interest;
use wheelhouse::net::{UnixDatagram, UnixListener, UnixSocket, UnixStream};
use wheelhouse::time::timeout;
use wheelhouse::{Clock, EventLoop, Script, SelectorKind, spawn, yield_now};

/// Runs on a fresh loop, with an end to waiting, and checks that nothing is left.
#[track_caller]
fn run<F: Future>(future: F) -> F::Output {
    run_checked(async { timeout(GUARD, future).await.expect("it hangs") })
}

/// Runs with true edges, then with emulated ones.
fn run_with_both_edges<F: Future<Output = ()>>(future: impl Fn() -> F) {
    for emulate in [false, true] {
        let script = Script::default();
        if emulate {
            script.emulate_edges();
        }
        let builder = EventLoop::builder().selector(SelectorKind::Scripted(script));
        run_checked_on(builder, async { timeout(GUARD, future()).await.expect("it hangs") });
    }
}

// Streams.

#[test]
fn an_echo_server_at_a_path_echoes() {
    run(async {
        let path = TempPath::new("echo");
        let listener = UnixListener::bind(&path).unwrap();
        assert_eq!(listener.local_addr().unwrap().as_pathname(), Some(path.as_ref()));
        let server = spawn(async move {
            let (stream, peer) = listener.accept().await.unwrap();
            assert!(peer.is_unnamed());
            let (mut reader, mut writer) = (&stream, &stream);
            futures_lite::io::copy(&mut reader, &mut writer).await.unwrap()
        });
        let mut client = UnixStream::connect(&path).await.unwrap();
        assert_eq!(client.peer_addr().unwrap().as_pathname(), Some(path.as_ref()));
        assert!(client.local_addr().unwrap().is_unnamed());
        let sent: Vec<u8> = (0..1_000_000).map(|n| n as u8).collect();
        let mut received = Vec::new();
        let (reader, mut writer) = client.split();
        let send = async {
            AsyncWriteExt::write_all(&mut writer, &sent).await.unwrap();
            writer.close().await.unwrap();
        };
        let (n, ()) = futures_lite::future::zip(reader.read_to_end(&mut received), send).await;
        assert_eq!(n.unwrap(), sent.len());
        assert!(received == sent);
        assert_eq!(server.await.unwrap(), sent.len() as u64);
    });
}

#[test]
fn a_pair_has_the_methods_of_every_stream() {
    run(async {
        let (one, other) = UnixStream::pair().unwrap();
        let mut buffer = [0; 8];
        assert_eq!(kind_of(other.try_read(&mut buffer)), ErrorKind::WouldBlock);
        assert_eq!(one.try_write(b"abcd").unwrap(), 4);
        other.readable().await.unwrap();
        assert_eq!(other.peek(&mut buffer).await.unwrap(), 4);
        let mut room = Vec::with_capacity(3);
        assert_eq!(other.try_read_buf(&mut room).unwrap(), 3);
        assert_eq!(other.read(&mut buffer).await.unwrap(), 1);
        assert_eq!((&room[..], buffer[0]), (&b"abc"[..], b'd'));

        one.writable().await.unwrap();
        poll_fn(|cx| one.poll_write_ready(cx)).await.unwrap();
        let parts = [IoSlice::new(b"one"), IoSlice::new(b"two")];
        assert_eq!(one.try_write_vectored(&parts).unwrap(), 6);
        poll_fn(|cx| other.poll_read_ready(cx)).await.unwrap();
        let (mut a, mut b) = ([0; 4], [0; 4]);
        let mut rooms = [IoSliceMut::new(&mut a), IoSliceMut::new(&mut b)];
        assert_eq!(other.try_read_vectored(&mut rooms).unwrap(), 6);
        assert_eq!((&a, &b[..2]), (b"onet", &b"wo"[..]));

        assert!(other.ready(Interest::BOTH).await.unwrap().is_writable());
        let nothing = other.try_io(Interest::READABLE, || Ok(rustix::io::read(&other, &mut a)?));
        assert_eq!(kind_of(nothing), ErrorKind::WouldBlock);
        one.write_all(b"x").await.unwrap();
        let read = other.async_io(Interest::READABLE, || Ok(rustix::io::read(&other, &mut a)?));
        assert_eq!(read.await.unwrap(), 1);
        assert!(other.take_error().unwrap().is_none());

        one.shutdown(Shutdown::Write).unwrap();
        assert_eq!(other.read(&mut buffer).await.unwrap(), 0);
        other.write_all(b"still").await.unwrap();
        assert_eq!(one.read(&mut buffer).await.unwrap(), 5);
        drop(other);
        assert_eq!(kind_of(one.write(b"x").await), ErrorKind::BrokenPipe);
    });
}

#[test]
fn owned_halves_end_and_reunite() {
    run(async {
        let (one, other) = UnixStream::pair().unwrap();
        let (reader, writer) = one.into_split();
        let (other_reader, other_writer) = other.into_split();
        let error = reader.reunite(other_writer).unwrap_err();
        let (reader, other_writer) = (error.0, error.1);
        let one = writer.reunite(reader).unwrap();
        let (_reader, writer) = one.into_split();
        writer.write_all(b"last").await.unwrap();
        drop(writer);
        let mut buffer = [0; 8];
        assert_eq!(other_reader.read(&mut buffer).await.unwrap(), 4);
        assert_eq!(other_reader.read(&mut buffer).await.unwrap(), 0);
        other_writer.forget();
        assert!(other_reader.peer_addr().unwrap().is_unnamed());
    });
}

#[test]
fn the_peer_is_known() {
    run(async {
        let (one, _other) = UnixStream::pair().unwrap();
        let peer = one.peer_cred().unwrap();
        assert_eq!(peer.uid(), rustix::process::geteuid().as_raw());
        assert_eq!(peer.gid(), rustix::process::getegid().as_raw());
        #[cfg(target_os = "linux")]
        assert_eq!(peer.pid(), Some(std::process::id() as i32));
    });
}

/// The system gives 0 for a process outside of our namespace, and for the peer of a socket that has
/// none; it is nobody's number.
#[cfg(target_os = "linux")]
#[test]
fn a_peer_that_cannot_be_seen_has_no_process() {
    run(async {
        let alone = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None);
        let alone = UnixStream::from_std(OwnedFd::from(alone.unwrap()).into()).unwrap();
        assert_eq!(alone.peer_cred().unwrap().pid(), None);
    });
}

#[test]
fn a_socket_becomes_what_it_was_made_for() {
    run(async {
        let (path, datagrams) = (TempPath::new("socket"), TempPath::new("datagrams"));
        let socket = UnixSocket::new_stream().unwrap();
        socket.bind(&path).unwrap();
        let listener = socket.listen(8).unwrap();
        let client = UnixSocket::new_stream().unwrap().connect(&path).await.unwrap();
        listener.accept().await.unwrap().0.write_all(b"hi").await.unwrap();
        assert_eq!(client.read(&mut [0; 8]).await.unwrap(), 2);

        let socket = UnixSocket::new_datagram().unwrap();
        socket.bind(&datagrams).unwrap();
        let socket = socket.datagram().unwrap();
        UnixDatagram::unbound().unwrap().send_to(b"hello", &datagrams).await.unwrap();
        assert_eq!(socket.recv(&mut [0; 8]).await.unwrap(), 5);

        // And nothing else.
        let stream = UnixSocket::new_stream().unwrap();
        let error = stream.datagram().unwrap_err();
        let text = "`UnixSocket::datagram` needs a socket from `UnixSocket::new_datagram`";
        assert_eq!((error.kind(), &*error.to_string()), (ErrorKind::InvalidInput, text));
        let datagram = || UnixSocket::new_datagram().unwrap();
        assert_eq!(kind_of(datagram().listen(8)), ErrorKind::InvalidInput);
        assert_eq!(kind_of(datagram().connect(&path).await), ErrorKind::InvalidInput);
    });
}

#[test]
fn sockets_come_from_std_and_go_back() {
    run(async {
        let path = TempPath::new("std");
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let listener = UnixListener::try_from(listener).unwrap();
        let client = std::os::unix::net::UnixStream::connect(&path).unwrap();
        let client = UnixStream::try_from(client).unwrap();
        let (server, _) = listener.accept().await.unwrap();
        server.write_all(b"hi").await.unwrap();
        assert_eq!(client.read(&mut [0; 8]).await.unwrap(), 2);
        let mut client = client.into_std().unwrap();
        assert_eq!(kind_of(std::io::Read::read(&mut client, &mut [0])), ErrorKind::WouldBlock);
        assert_eq!(kind_of(listener.into_std().unwrap().accept()), ErrorKind::WouldBlock);
        let (one, other) = std::os::unix::net::UnixDatagram::pair().unwrap();
        let one = UnixDatagram::try_from(one).unwrap();
        other.send(b"hello").unwrap();
        assert_eq!(one.recv(&mut [0; 8]).await.unwrap(), 5);
        assert_eq!(kind_of(one.into_std().unwrap().recv(&mut [0])), ErrorKind::WouldBlock);
    });
}

/// Row 20: a full queue of a Unix listener is an error, never a stream that is not connected.
#[cfg(target_os = "linux")]
#[test]
fn a_full_queue_is_an_error_and_connections_before_it_are_real() {
    run(async {
        let path = TempPath::new("full");
        let socket = UnixSocket::new_stream().unwrap();
        socket.bind(&path).unwrap();
        let listener = socket.listen(2).unwrap();
        let mut clients = Vec::new();
        let error = loop {
            match UnixStream::connect(&path).await {
                Ok(client) => clients.push(client),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        assert!((2..=4).contains(&clients.len()), "{}", clients.len());
        for client in &clients {
            assert!(client.peer_addr().is_ok());
            client.write_all(b"early").await.unwrap();
        }
        for _ in 0..clients.len() {
            let (server, _) = listener.accept().await.unwrap();
            assert_eq!(server.read(&mut [0; 8]).await.unwrap(), 5);
        }
        // There is room again.
        UnixStream::connect(&path).await.unwrap();
    });
}

/// Rows 27 and 28.
#[test]
fn cancelled_waits_leave_nothing_and_disturb_nobody() {
    run(async {
        let path = TempPath::new("cancelled");
        let listener = UnixListener::bind(&path).unwrap();
        for _ in 0..1000 {
            assert!(poll_once(listener.accept()).is_pending());
            let client = UnixStream::connect(&path).await.unwrap();
            let (server, _) = listener.accept().await.unwrap();
            assert!(poll_once(server.read(&mut [0; 4])).is_pending());
            client.write_all(b"new").await.unwrap();
            assert_eq!(server.read(&mut [0; 4]).await.unwrap(), 3);
        }
    });
}

/// Row 22.
#[test]
fn a_peer_that_ended_its_side_does_not_make_a_blocked_writer_spin() {
    let event_loop = EventLoop::new().unwrap();
    let (ours, theirs) = event_loop.block_on(async { UnixStream::pair() }).unwrap();
    theirs.shutdown(Shutdown::Write).unwrap();
    let writer = {
        let _entered = event_loop.enter();
        spawn(async move { ours.write_all(&vec![5; 4 << 20]).await.unwrap() })
    };
    turn_until_idle(&event_loop);
    let before = event_loop.metrics().polls;
    for _ in 0..1000 {
        let _ = event_loop.turn(Some(Duration::ZERO)).unwrap();
    }
    assert!(event_loop.metrics().polls - before <= 2, "the writer spins");
    assert!(!writer.is_finished());
    event_loop.block_on(async {
        let mut received = Vec::new();
        theirs.read_to_end(&mut received).await.unwrap();
        assert_eq!(received.len(), 4 << 20);
        drop(theirs);
        writer.await.unwrap();
    });
    assert_nothing_left(&event_loop);
}

/// Row 13.
#[test]
fn a_read_that_would_block_leaves_a_waiting_writer_alone() {
    run(async {
        let (one, other) = UnixStream::pair().unwrap();
        let one = Rc::new(one);
        while one.try_write(&[0; 65536]).is_ok() {}
        let sender = one.clone();
        let writer = spawn(async move { sender.write_all(b"the last").await });
        yield_now().await;
        assert_eq!(kind_of(one.try_read(&mut [0; 8])), ErrorKind::WouldBlock);
        let mut buffer = vec![0; 65536];
        while !writer.is_finished() {
            other.read(&mut buffer).await.unwrap();
            yield_now().await;
        }
        writer.await.unwrap().unwrap();
    });
}

/// Row 14, and an end that comes with the last bytes.
#[test]
fn short_reads_lose_neither_data_nor_the_end() {
    run_with_both_edges(|| async {
        let (one, other) = UnixStream::pair().unwrap();
        let mut buffer = [0; 4097];
        let mut received = 0;
        for _ in 0..2 {
            one.write_all(&[1; 4096]).await.unwrap();
            one.write_all(&[2; 4096]).await.unwrap();
        }
        while received < 4 * 4096 {
            received += other.read(&mut buffer).await.unwrap();
        }
        one.write_all(b"last words").await.unwrap();
        drop(one);
        assert_eq!(other.read(&mut buffer).await.unwrap(), 10);
        assert_eq!(other.read(&mut buffer).await.unwrap(), 0);
    });
}

/// A read ends behind what descriptors came with, though more is there, and no event tells of that.
#[test]
fn what_comes_behind_passed_descriptors_is_read_too() {
    run_with_both_edges(|| async {
        let (one, other) = UnixStream::pair().unwrap();
        let said = [&b"with one, "[..], b"and ", b"without"];
        for is_vectored in [false, true] {
            send_with_descriptor(&one, said[0]);
            send_with_descriptor(&one, said[1]);
            one.write_all(said[2]).await.unwrap();
            let mut received = Vec::new();
            while received.len() < said.concat().len() {
                let mut buffer = [0; 64];
                let n = match is_vectored {
                    true => (&other).read_vectored(&mut [IoSliceMut::new(&mut buffer)]).await,
                    false => other.read(&mut buffer).await,
                };
                received.extend_from_slice(&buffer[..n.unwrap()]);
            }
            assert_eq!(received, said.concat());
        }
    });
}

/// Sends `data` and a descriptor with it.
fn send_with_descriptor(stream: &UnixStream, data: &[u8]) {
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
    let descriptor = [stream.as_fd()];
    let mut room = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut passed = SendAncillaryBuffer::new(&mut room);
    assert!(passed.push(SendAncillaryMessage::ScmRights(&descriptor)));
    let data = [IoSlice::new(data)];
    let sent = sendmsg(stream, &data, &mut passed, SendFlags::empty()).unwrap();
    assert_eq!(sent, data[0].len());
}

// Datagrams.

#[test]
fn datagrams_come_whole_in_order_and_with_the_senders_address() {
    run(async {
        let (here, there) = (TempPath::new("here"), TempPath::new("there"));
        let server = UnixDatagram::bind(&here).unwrap();
        let client = UnixDatagram::bind(&there).unwrap();
        client.send_to(b"larger than the buffer", &here).await.unwrap();
        client.try_send_to(b"", &here).unwrap();
        poll_fn(|cx| client.poll_send_to(cx, b"third", &here)).await.unwrap();
        client.connect(&here).unwrap();
        client.send(b"fourth").await.unwrap();
        let mut buffer = [0; 8];
        for expected in [&b"larger t"[..], b"", b"third", b"fourth"] {
            assert_eq!(server.peek_sender().await.unwrap().as_pathname(), Some(there.as_ref()));
            let (n, sender) = server.recv_from(&mut buffer).await.unwrap();
            assert_eq!(&buffer[..n], expected);
            assert_eq!(sender.as_pathname(), Some(there.as_ref()));
        }
        let sender = client.local_addr().unwrap();
        server.send_to_addr(b"answer", &sender).await.unwrap();
        assert_eq!(server.try_send_to_addr(b"and more", &sender).unwrap(), 8);
        assert_eq!(client.recv(&mut buffer).await.unwrap(), 6);
        let mut room = Vec::new();
        assert_eq!(client.recv_buf(&mut room).await.unwrap(), 8);
        assert_eq!(room, b"and more");
    });
}

#[test]
fn a_long_datagram_is_not_cut_where_there_is_room() {
    run(async {
        let (one, other) = UnixDatagram::pair().unwrap();
        let long: Vec<u8> = (0..100_000).map(|n| n as u8).collect();
        let mut buffer = Vec::with_capacity(2 * long.len());
        one.send(&long).await.unwrap();
        assert_eq!(other.recv_buf(&mut buffer).await.unwrap(), long.len());
        one.send(&long).await.unwrap();
        let (n, sender) = other.recv_buf_from(&mut buffer).await.unwrap();
        assert!(n == long.len() && sender.is_unnamed());
        assert!(buffer == [&long[..], &long].concat());
    });
}

#[test]
fn a_pair_of_datagram_sockets_talks_until_one_ends() {
    run(async {
        let (one, other) = UnixDatagram::pair().unwrap();
        let mut buffer = [0; 8];
        one.send(b"hi").await.unwrap();
        assert_eq!(other.recv(&mut buffer).await.unwrap(), 2);
        assert_eq!(kind_of(other.try_recv(&mut buffer)), ErrorKind::WouldBlock);
        other.shutdown(Shutdown::Read).unwrap();
        assert_eq!(kind_of(one.send(b"x").await), ErrorKind::BrokenPipe);
        drop(other);
        assert_eq!(kind_of(one.send(b"x").await), ErrorKind::ConnectionRefused);
        assert!(one.take_error().unwrap().is_none());
    });
}

/// A full queue makes the sender wait, and room in it wakes the sender: the peer's.
#[test]
fn a_connected_sender_waits_for_room() {
    let event_loop = EventLoop::new().unwrap();
    event_loop.block_on(async {
        let (one, other) = UnixDatagram::pair().unwrap();
        let mut sent = 0;
        while one.try_send(b"filling").is_ok() {
            sent += 1;
        }
        let writer = spawn(async move {
            one.send(b"late").await.unwrap();
            one
        });
        for _ in 0..10 {
            yield_now().await;
        }
        assert!(!writer.is_finished());
        let before = event_loop.metrics().polls;
        for _ in 0..100 {
            yield_now().await;
        }
        assert!(event_loop.metrics().polls - before < 110, "the sender spins");
        let mut buffer = [0; 8];
        for _ in 0..sent {
            assert_eq!(other.recv(&mut buffer).await.unwrap(), 7);
        }
        assert_eq!(other.recv(&mut buffer).await.unwrap(), 4);
        drop(writer.await.unwrap());
    });
    assert_nothing_left(&event_loop);
}

/// The queue is full of what others sent: no event ever tells this sender that there is room, and
/// those that come tell nothing.
#[test]
fn a_sender_to_an_address_waits_for_room_that_others_took_and_does_not_spin() {
    let clock = Clock::Virtual { settle: Some(Duration::ZERO) };
    let event_loop = EventLoop::builder().clock(clock).build().unwrap();
    event_loop.block_on(async {
        let path = TempPath::new("crowded");
        let server = UnixDatagram::bind(&path).unwrap();
        let others = UnixDatagram::unbound().unwrap();
        let mut sent = 0;
        while others.try_send_to(b"filling", &path).is_ok() {
            sent += 1;
        }
        let client = UnixDatagram::unbound().unwrap();
        let mut sending = pin!(client.send_to(b"late", &path));
        let before = event_loop.metrics().turns;
        assert!(timeout(Duration::from_secs(3), sending.as_mut()).await.is_err());
        let turns = event_loop.metrics().turns - before;
        assert!(turns < 400, "{turns} turns in 3 s");
        let mut buffer = [0; 8];
        for _ in 0..sent {
            assert_eq!(server.try_recv(&mut buffer).unwrap(), 7);
        }
        let in_time = timeout(Duration::from_millis(33), sending).await;
        assert_eq!(in_time.expect("it was not tried again").unwrap(), 4);
        assert_eq!(server.recv(&mut buffer).await.unwrap(), 4);
    });
    assert_nothing_left(&event_loop);
}

/// Row 55.
#[test]
fn dropped_futures_lose_no_datagram() {
    run_with_both_edges(|| async {
        let (one, other) = UnixDatagram::pair().unwrap();
        let mut buffer = [0; 8];
        for round in 0..2000_u32 {
            let mut dropped = Box::pin(other.recv_from(&mut buffer));
            assert!(poll_once(dropped.as_mut()).is_pending());
            one.send(&round.to_be_bytes()).await.unwrap();
            if round % 2 == 0 {
                other.readable().await.unwrap();
            }
            drop(dropped);
            let (n, _) = other.recv_from(&mut buffer).await.unwrap();
            assert_eq!(buffer[..n], round.to_be_bytes());
        }
    });
}

/// A name that fills its field to the last byte is known to neither std nor rustix: such a sender
/// passes for one without a name, and does no harm.
#[cfg(target_os = "linux")]
#[test]
fn a_sender_with_the_longest_path_does_no_harm() {
    run(async {
        let here = TempPath::new("long");
        let server = UnixDatagram::bind(&here).unwrap();
        let folder = folder_of_sockets();
        let name = format!("{}/wheelhouse-{}-", folder.display(), std::process::id());
        let path = format!("{name}{}", "x".repeat(108 - name.len()));
        let client = UnixSocket::new_datagram().unwrap();
        let address = rustix::net::SocketAddrUnix::new(&*path).unwrap();
        if rustix::net::bind(&client, &address).is_ok() {
            let client = client.datagram().unwrap();
            client.send_to(b"hi", &here).await.unwrap();
            let (n, sender) = server.recv_from(&mut [0; 8]).await.unwrap();
            let _ = std::fs::remove_file(&path);
            assert!(n == 2 && sender.is_unnamed(), "{sender:?}");
        }
    });
}

// All of them.

/// Row 29.
#[test]
fn no_descriptor_is_passed_on_to_child_processes() {
    run(async {
        let path = TempPath::new("exec");
        let listener = UnixListener::bind(&path).unwrap();
        let client = UnixStream::connect(&path).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        assert_close_on_exec(&listener);
        assert_close_on_exec(&client);
        assert_close_on_exec(&server);
        assert_close_on_exec(UnixStream::pair().unwrap().0);
        assert_close_on_exec(UnixDatagram::pair().unwrap().1);
        assert_close_on_exec(UnixDatagram::unbound().unwrap());
        assert_close_on_exec(UnixSocket::new_stream().unwrap());
    });
}

#[test]
fn on_another_thread_waiting_is_an_error_and_the_rest_works() {
    run(async {
        let (one, other) = UnixStream::pair().unwrap();
        let (gram, peer) = UnixDatagram::pair().unwrap();
        let back = std::thread::spawn(move || {
            assert!(poll_once(one.read(&mut [0; 8])).is_ready_and_failed());
            assert!(poll_once(gram.recv(&mut [0; 8])).is_ready_and_failed());
            assert_eq!(one.try_write(b"x").unwrap(), 1);
            assert_eq!(gram.try_send(b"x").unwrap(), 1);
            (one, gram)
        });
        let back = back.join().unwrap();
        assert_eq!(other.read(&mut [0; 8]).await.unwrap(), 1);
        assert_eq!(peer.recv(&mut [0; 8]).await.unwrap(), 1);
        drop(back);
    });
}

trait ReadyAndFailed {
    fn is_ready_and_failed(&self) -> bool;
}

impl<R> ReadyAndFailed for std::task::Poll<std::io::Result<R>> {
    fn is_ready_and_failed(&self) -> bool {
        matches!(self, std::task::Poll::Ready(Err(_)))
    }
}
