//! TCP, through the public API and a real kernel on the loopback interface.
//!
//! Where a test names a row, it is one of `research/pitfalls.md`: something that went wrong in
//! another runtime.

mod support;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::AsRawFd;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_lite::io::{AsyncReadExt, AsyncWriteExt};
use socket2::{Domain, SockRef, Socket, Type};
use support::{
    GUARD, WakeCount, assert_nothing_left, in_child, run_checked_on, turn_until_idle,
    under_foreign_waker,
};
use wheelhouse::io::{Interest, Ready};
use wheelhouse::net::{TcpListener, TcpSocket, TcpStream, ToSocketAddrs, lookup_host};
use wheelhouse::time::{sleep, timeout};
use wheelhouse::{Clock, EventLoop, Script, SelectorKind, Step, spawn, yield_now};

/// Runs on a fresh loop, with an end to waiting, and checks that nothing is left.
#[track_caller]
fn run<F: Future>(future: F) -> F::Output {
    run_scripted(Script::default(), future)
}

#[track_caller]
fn run_scripted<F: Future>(script: Script, future: F) -> F::Output {
    let builder = EventLoop::builder().selector(SelectorKind::Scripted(script));
    run_checked_on(builder, async { timeout(GUARD, future).await.expect("it hangs") })
}

async fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

/// Two ends of a connection; the second was accepted.
async fn pair() -> (TcpStream, TcpStream) {
    let listener = listener().await;
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (client, listener.accept().await.unwrap().0)
}

/// Two ends; the buffers between them hold a few KiB only.
async fn narrow_pair() -> (TcpStream, TcpStream) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let listener = socket.listen(8).unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_send_buffer_size(4096).unwrap();
    let client = socket.connect(listener.local_addr().unwrap()).await.unwrap();
    (client, listener.accept().await.unwrap().0)
}

/// An end of ours and one that blocks, as a program of somebody else would have.
async fn pair_with_std() -> (TcpStream, std::net::TcpStream) {
    let listener = listener().await;
    let theirs = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (listener.accept().await.unwrap().0, theirs)
}

/// An address that refuses connections for as long as the socket lives.
fn refusing() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

/// Polls once, with a waker that wakes nobody.
fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

// Everyday use.

#[test]
fn an_echo_server_echoes() {
    run(async {
        let listener = listener().await;
        let address = listener.local_addr().unwrap();
        let server = spawn(async move {
            for _ in 0..3 {
                let (stream, _) = listener.accept().await.unwrap();
                spawn(async move {
                    let mut buffer = [0; 1024];
                    loop {
                        match stream.read(&mut buffer).await.unwrap() {
                            0 => return,
                            n => stream.write_all(&buffer[..n]).await.unwrap(),
                        }
                    }
                });
            }
        });
        for size in [1, 1000, 100_000] {
            let sent: Vec<u8> = (0..size).map(|n| n as u8).collect();
            let mut client = TcpStream::connect(address).await.unwrap();
            let mut received = vec![0; size];
            for (piece, room) in sent.chunks(5000).zip(received.chunks_mut(5000)) {
                client.write_all(piece).await.unwrap();
                client.read_exact(room).await.unwrap();
            }
            assert_eq!(received, sent);
            client.close().await.unwrap();
            assert_eq!(client.read(&mut [0; 1]).await.unwrap(), 0);
        }
        server.await.unwrap();
        // The last echo task ends in this batch or the next.
        yield_now().await;
    });
}

#[test]
fn addresses_are_taken_in_every_form() {
    async fn connects<A: ToSocketAddrs>(address: A, listener: &TcpListener) {
        let client = TcpStream::connect(address).await.unwrap();
        let (server, peer) = listener.accept().await.unwrap();
        assert_eq!(client.local_addr().unwrap(), peer);
        assert_eq!(server.peer_addr().unwrap(), peer);
        assert_eq!(client.peer_addr().unwrap(), server.local_addr().unwrap());
    }
    let builder = EventLoop::builder();
    let event_loop = builder.build().unwrap();
    event_loop.block_on(async {
        let listener = listener().await;
        let address = listener.local_addr().unwrap();
        let port = address.port();
        connects(address, &listener).await;
        connects(&address, &listener).await;
        connects(address.to_string(), &listener).await;
        connects(address.to_string().as_str(), &listener).await;
        connects(("127.0.0.1", port), &listener).await;
        connects((String::from("127.0.0.1"), port), &listener).await;
        connects((address.ip(), port), &listener).await;
        connects((std::net::Ipv4Addr::LOCALHOST, port), &listener).await;
        let (_socket, refuses) = refusing();
        connects(&[refuses, address][..], &listener).await;
    });
    assert_eq!(event_loop.metrics().blocking_threads, 0, "literals need no thread");
    event_loop.block_on(async {
        let listener = listener().await;
        connects(("localhost", listener.local_addr().unwrap().port()), &listener).await;
        let found: Vec<_> = lookup_host("localhost:81").await.unwrap().collect();
        assert!(found.contains(&([127, 0, 0, 1], 81).into()) || found[0].is_ipv6());
    });
    assert_nothing_left(&event_loop);
}

#[test]
fn addresses_that_are_none_are_errors() {
    run(async {
        for text in ["127.0.0.1", "127.0.0.1:none", "nowhere"] {
            let error = TcpStream::connect(text).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{text}: {error}");
        }
        let none: &[SocketAddr] = &[];
        assert_eq!(TcpStream::connect(none).await.unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(TcpListener::bind(none).await.unwrap_err().kind(), ErrorKind::InvalidInput);
        assert!(lookup_host("no such host.invalid:1").await.is_err());
    });
}

#[test]
fn ipv6_works_where_there_is_ipv6() {
    run(async {
        let Ok(listener) = TcpListener::bind("[::1]:0").await else { return };
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (server, peer) = listener.accept().await.unwrap();
        assert_eq!(peer, client.local_addr().unwrap());
        assert!(TcpSocket::new_v6().unwrap().local_addr().is_ok());
        drop(server);
    });
}

#[test]
fn options_of_a_stream_come_back() {
    run(async {
        let (stream, _peer) = pair().await;
        stream.set_nodelay(true).unwrap();
        assert!(stream.nodelay().unwrap());
        stream.set_ttl(33).unwrap();
        assert_eq!(stream.ttl().unwrap(), 33);
        assert_eq!(stream.linger().unwrap(), None);
        stream.set_linger(Some(Duration::from_secs(2))).unwrap();
        assert_eq!(stream.linger().unwrap(), Some(Duration::from_secs(2)));
        stream.set_zero_linger().unwrap();
        assert_eq!(stream.linger().unwrap(), Some(Duration::ZERO));
        assert_eq!(stream.keepalive().unwrap(), None);
        stream.set_keepalive(Some(Duration::from_secs(77))).unwrap();
        assert_eq!(stream.keepalive().unwrap(), Some(Duration::from_secs(77)));
        stream.set_keepalive(None).unwrap();
        assert_eq!(stream.keepalive().unwrap(), None);
        #[cfg(target_os = "linux")]
        {
            stream.set_quickack(false).unwrap();
            assert!(!stream.quickack().unwrap());
        }
        assert!(stream.take_error().unwrap().is_none());
    });
}

#[test]
fn options_of_a_socket_come_back_and_go_over_to_the_stream() {
    run(async {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.set_reuseport(true).unwrap();
        assert!(socket.reuseaddr().unwrap() && socket.reuseport().unwrap());
        socket.set_keepalive(true).unwrap();
        assert!(socket.keepalive().unwrap());
        socket.set_tos_v4(16).unwrap();
        assert_eq!(socket.tos_v4().unwrap(), 16);
        socket.set_linger(Some(Duration::from_secs(1))).unwrap();
        assert_eq!(socket.linger().unwrap(), Some(Duration::from_secs(1)));
        socket.set_linger(None).unwrap();
        socket.set_send_buffer_size(20_000).unwrap();
        socket.set_recv_buffer_size(30_000).unwrap();
        assert!(socket.send_buffer_size().unwrap() >= 20_000);
        assert!(socket.recv_buffer_size().unwrap() >= 30_000);
        assert!(socket.take_error().unwrap().is_none());
        #[cfg(target_os = "linux")]
        assert_eq!(socket.device().unwrap(), None);
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let address = socket.local_addr().unwrap();
        let listener = socket.listen(16).unwrap();
        assert_eq!(listener.local_addr().unwrap(), address);
        listener.set_ttl(44).unwrap();
        assert_eq!(listener.ttl().unwrap(), 44);

        // A second listener on the port, since both asked for it.
        let second = TcpSocket::new_v4().unwrap();
        second.set_reuseport(true).unwrap();
        second.bind(address).unwrap();
        drop(second.listen(16).unwrap());

        let socket = TcpSocket::new_v4().unwrap();
        socket.set_nodelay(true).unwrap();
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let local = socket.local_addr().unwrap();
        let stream = socket.connect(address).await.unwrap();
        assert!(stream.nodelay().unwrap());
        assert_eq!(stream.local_addr().unwrap(), local);
        assert_eq!(listener.accept().await.unwrap().1, local);
    });
}

#[test]
fn sockets_come_from_std_and_go_back() {
    run(async {
        // Blocking ones, which are made non-blocking.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let listener = TcpListener::from_std(listener).unwrap();
        let address = listener.local_addr().unwrap();
        let client = std::net::TcpStream::connect(address).unwrap();
        let client = TcpStream::from_std(client).unwrap();
        let (server, _) = listener.accept().await.unwrap();
        let task = spawn(async move { server.write_all(b"hi").await.map(|()| server) });
        let mut buffer = [0; 8];
        assert_eq!(client.read(&mut buffer).await.unwrap(), 2);

        let mut server = task.await.unwrap().unwrap().into_std().unwrap();
        let mut client = client.into_std().unwrap();
        assert_eq!(client.read(&mut buffer).unwrap_err().kind(), ErrorKind::WouldBlock);
        client.set_nonblocking(false).unwrap();
        server.write_all(b"again").unwrap();
        assert_eq!(client.read(&mut buffer).unwrap(), 5);

        let listener = listener.into_std().unwrap();
        assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        // And once more: what was given back can be registered again.
        let listener = TcpListener::try_from(listener).unwrap();
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let client = TcpSocket::from_std_stream(socket.into()).connect(address).await.unwrap();
        assert_eq!(listener.accept().await.unwrap().1, client.local_addr().unwrap());
    });
}

#[test]
fn borrowed_halves_read_and_write_at_once() {
    run(async {
        let (mut client, server) = pair().await;
        let echo = spawn(async move {
            let (mut reader, mut writer) = (&server, &server);
            futures_lite::io::copy(&mut reader, &mut writer).await.unwrap();
        });
        let (mut reader, mut writer) = client.split();
        assert_eq!(reader.peer_addr().unwrap(), writer.peer_addr().unwrap());
        let data = vec![7; 3_000_000];
        let send = async {
            AsyncWriteExt::write_all(&mut writer, &data).await.unwrap();
            writer.close().await.unwrap();
        };
        let mut received = Vec::new();
        let receive = reader.read_to_end(&mut received);
        let (n, ()) = futures_lite::future::zip(receive, send).await;
        assert_eq!(n.unwrap(), data.len());
        echo.await.unwrap();
    });
}

#[test]
fn owned_halves_end_forget_and_reunite() {
    run(async {
        let (client, server) = pair().await;
        let mut buffer = [0; 8];

        // Halves of two streams do not fit.
        let (client_reader, client_writer) = client.into_split();
        let (server_reader, server_writer) = server.into_split();
        let error = client_reader.reunite(server_writer).unwrap_err();
        assert_eq!(error.to_string(), "the two halves are not of the same stream");
        let wheelhouse::net::tcp::ReuniteError(client_reader, server_writer) = error;

        // Halves of one do, and nothing was shut down.
        let client = client_writer.reunite(client_reader).unwrap();
        client.write_all(b"whole").await.unwrap();
        assert_eq!(server_reader.read(&mut buffer).await.unwrap(), 5);

        // A forgotten half leaves the stream open for the other.
        let (client_reader, client_writer) = client.into_split();
        client_writer.forget();
        yield_now().await;
        let nothing = server_reader.try_read(&mut buffer).unwrap_err();
        assert_eq!(nothing.kind(), ErrorKind::WouldBlock);

        // A dropped one ends writing, not reading.
        drop(server_writer);
        assert_eq!(client_reader.read(&mut buffer).await.unwrap(), 0);
        drop(client_reader);
        assert_eq!(server_reader.read(&mut buffer).await.unwrap(), 0);
    });
}

#[test]
fn peeking_takes_nothing() {
    run(async {
        let (client, server) = pair().await;
        client.write_all(b"abcdef").await.unwrap();
        let mut buffer = [0; 4];
        for _ in 0..3 {
            assert_eq!(server.peek(&mut buffer).await.unwrap(), 4);
            assert_eq!(&buffer, b"abcd");
        }
        let n = poll_fn(|cx| server.poll_peek(cx, &mut buffer)).await.unwrap();
        assert_eq!(n, 4);
        // A peek that is shorter than its buffer does not make the data unreadable.
        assert_eq!(server.peek(&mut [0; 64]).await.unwrap(), 6);
        let mut all = [0; 64];
        assert_eq!(server.read(&mut all).await.unwrap(), 6);
        drop(client);
        assert_eq!(server.peek(&mut buffer).await.unwrap(), 0);
    });
}

#[test]
fn vectored_reads_and_writes_keep_the_order() {
    run(async {
        let (mut client, mut server) = pair().await;
        let parts = [IoSlice::new(b"one"), IoSlice::new(b""), IoSlice::new(b"two")];
        assert_eq!(client.write_vectored(&parts).await.unwrap(), 6);
        let (mut a, mut b) = ([0; 4], [0; 4]);
        let mut rooms = [IoSliceMut::new(&mut a), IoSliceMut::new(&mut b)];
        assert_eq!(server.read_vectored(&mut rooms).await.unwrap(), 6);
        assert_eq!((&a, &b[..2]), (b"onet", &b"wo"[..]));
        assert_eq!(client.try_write_vectored(&parts).unwrap(), 6);
        server.readable().await.unwrap();
        let mut rooms = [IoSliceMut::new(&mut a), IoSliceMut::new(&mut b)];
        assert_eq!(server.try_read_vectored(&mut rooms).unwrap(), 6);
    });
}

/// The system takes 1,024 buffers at a time: more must neither fail nor pass for a short read.
#[test]
fn more_buffers_than_the_system_takes_are_no_obstacle() {
    run(async {
        let (mut client, mut server) = pair().await;
        let data: Vec<u8> = (0..3000).map(|n| n as u8).collect();
        let mut sent = 0;
        while sent < data.len() {
            let parts: Vec<_> = data[sent..].chunks(1).map(IoSlice::new).collect();
            sent += client.write_vectored(&parts).await.unwrap();
        }
        let mut received = vec![0; data.len()];
        let mut n = 0;
        while n < data.len() {
            let mut rooms: Vec<_> = received[n..].chunks_mut(1).map(IoSliceMut::new).collect();
            n += server.read_vectored(&mut rooms).await.unwrap();
        }
        assert_eq!(received, data);
    });
}

#[test]
fn either_side_may_end_first() {
    run(async {
        for client_ends_first in [true, false] {
            let (client, server) = pair().await;
            let (first, second) =
                if client_ends_first { (client, server) } else { (server, client) };
            let mut buffer = [0; 16];
            first.write_all(b"last words").await.unwrap();
            first.shutdown(Shutdown::Write).unwrap();
            assert_eq!(second.read(&mut buffer).await.unwrap(), 10);
            for _ in 0..3 {
                assert_eq!(second.read(&mut buffer).await.unwrap(), 0);
            }
            // The other direction lives on.
            for _ in 0..3 {
                second.write_all(b"still here").await.unwrap();
                assert_eq!(first.read(&mut buffer).await.unwrap(), 10);
            }
            second.shutdown(Shutdown::Write).unwrap();
            assert_eq!(first.read(&mut buffer).await.unwrap(), 0);
            let error = first.write(b"too late").await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        }
    });
}

#[test]
fn try_methods_do_not_wait() {
    run(async {
        let (client, server) = pair().await;
        let mut buffer = Vec::with_capacity(3);
        let nothing = server.try_read_buf(&mut buffer).unwrap_err();
        assert_eq!((nothing.kind(), buffer.len()), (ErrorKind::WouldBlock, 0));
        assert_eq!(client.try_write(b"abcdefgh").unwrap(), 8);
        server.readable().await.unwrap();
        assert_eq!(server.try_read_buf(&mut buffer).unwrap(), 3);
        assert_eq!(server.try_read_buf(&mut buffer).unwrap(), 5);
        assert_eq!(buffer, b"abcdefgh");
        // Fill it up: at some point there is no room, and then there is again.
        let chunk = [0; 65536];
        let mut sent = 0;
        let full = loop {
            match client.try_write(&chunk) {
                Ok(n) => sent += n,
                Err(error) => break error,
            }
        };
        assert_eq!(full.kind(), ErrorKind::WouldBlock);
        let drain = async {
            let mut buffer = vec![0; 65536];
            while sent > 0 {
                sent -= server.read(&mut buffer).await.unwrap();
            }
        };
        let (room, ()) = futures_lite::future::zip(client.writable(), drain).await;
        room.unwrap();
        client.try_write(&chunk).unwrap();
    });
}

#[test]
fn operations_of_ones_own_wait_for_readiness() {
    run(async {
        let (client, server) = pair().await;
        let ready = server.ready(Interest::BOTH).await.unwrap();
        assert!(ready.contains(Ready::WRITABLE));
        let calls = Cell::new(0);
        let mut buffer = [0; 16];
        let mut receive = pin!(server.async_io(Interest::READABLE, || {
            calls.set(calls.get() + 1);
            Ok(rustix::io::read(&server, &mut buffer)?)
        }));
        for _ in 0..5 {
            let polled = poll_fn(|cx| Poll::Ready(receive.as_mut().poll(cx))).await;
            assert!(polled.is_pending());
            yield_now().await;
        }
        let calls_before = calls.get();
        assert!(calls_before <= 2, "called {calls_before} times with nothing to read");
        client.write_all(b"now").await.unwrap();
        assert_eq!(receive.await.unwrap(), 3);
        let blocked = server.try_io(Interest::BOTH, || Err::<(), _>(ErrorKind::WouldBlock.into()));
        assert_eq!(blocked.unwrap_err().kind(), ErrorKind::WouldBlock);
        let mut writable = pin!(server.writable());
        assert!(poll_once(writable.as_mut()).is_pending(), "it was said not to be ready");
    });
}

#[test]
fn several_tasks_may_wait_for_one_stream() {
    run(async {
        let (client, server) = pair().await;
        let server = Rc::new(server);
        let tasks: Vec<_> = (0..4)
            .map(|n| {
                let server = server.clone();
                spawn(async move {
                    let mut byte = [0];
                    // One of them with a waker of its own, as combinators have.
                    match n {
                        0 => under_foreign_waker(server.read(&mut byte)).await.unwrap(),
                        _ => server.read(&mut byte).await.unwrap(),
                    }
                })
            })
            .collect();
        yield_now().await;
        client.write_all(b"1234").await.unwrap();
        for task in tasks {
            assert_eq!(task.await.unwrap(), 1);
        }
    });
}

#[test]
fn the_last_who_polled_is_woken() {
    run(async {
        let (client, server) = pair().await;
        let (first, second) = (WakeCount::new(), WakeCount::new());
        let mut buffer = [0; 8];
        for (_, waker) in [&first, &second] {
            let mut cx = Context::from_waker(waker);
            let mut reader = &server;
            let polled =
                futures_io::AsyncRead::poll_read(Pin::new(&mut reader), &mut cx, &mut buffer);
            assert!(polled.is_pending());
        }
        client.write_all(b"x").await.unwrap();
        server.readable().await.unwrap();
        assert_eq!((first.0.get(), second.0.get()), (0, 1));
    });
}

#[test]
fn everything_is_send_and_sync_and_so_are_the_futures() {
    fn both<T: Send + Sync>() {}
    fn send<T: Send>(value: T) -> T {
        value
    }
    use wheelhouse::net::tcp::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, ReuniteError, WriteHalf};
    both::<(TcpListener, TcpSocket, TcpStream, OwnedReadHalf, OwnedWriteHalf, ReuniteError)>();
    both::<(ReadHalf<'_>, WriteHalf<'_>)>();
    run(async {
        let listener = send(TcpListener::bind("127.0.0.1:0")).await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut stream = send(TcpStream::connect(address)).await.unwrap();
        drop(send(TcpStream::connect(address.to_string())));
        drop(send(lookup_host("localhost:1")));
        drop(send(TcpSocket::new_v4().unwrap().connect(address)));
        let mut buffer = [0; 4];
        drop(send(listener.accept()));
        drop(send(stream.read(&mut buffer)));
        drop(send(stream.peek(&mut buffer)));
        drop((send(stream.write(b"x")), send(stream.write_all(b"x"))));
        drop((
            send(stream.readable()),
            send(stream.writable()),
            send(stream.ready(Interest::BOTH)),
        ));
        drop(send(stream.async_io(Interest::READABLE, || Ok(()))));
        let (reader, writer) = stream.split();
        drop((send(reader.read(&mut buffer)), send(writer.write_all(b"x"))));
        drop((send(reader.readable()), send(writer.writable())));
    });
}

#[test]
fn on_another_thread_waiting_is_an_error_and_the_rest_works() {
    run(async {
        let listener = listener().await;
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let server = listener.accept().await.unwrap().0;
        server.write_all(b"data").await.unwrap();
        client.readable().await.unwrap();
        let (listener, client) = std::thread::spawn(move || {
            let mut buffer = [0; 2];
            assert_eq!(client.try_read(&mut buffer).unwrap(), 2);
            assert_eq!(client.try_write(b"x").unwrap(), 1);
            client.set_nodelay(true).unwrap();
            assert!(matches!(poll_once(pin!(client.read(&mut buffer))), Poll::Ready(Err(_))));
            assert!(matches!(poll_once(pin!(client.write(&buffer))), Poll::Ready(Err(_))));
            assert!(matches!(poll_once(pin!(client.readable())), Poll::Ready(Err(_))));
            assert!(matches!(poll_once(pin!(listener.accept())), Poll::Ready(Err(_))));
            drop(server);
            (listener, client)
        })
        .join()
        .unwrap();
        let mut rest = [0; 8];
        assert_eq!(client.read(&mut rest).await.unwrap(), 2);
        // Closed there with a byte unread, it resets.
        assert_eq!(client.read(&mut rest).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        // The loop hears of the drop by a message.
        drop((listener, client));
        yield_now().await;
    });
}

#[test]
fn a_loop_is_needed_and_the_message_says_so() {
    let text = support::panic_of(|| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        TcpListener::from_std(listener).map(drop)
    });
    assert!(text.starts_with("no event loop is running on this thread"), "{text}");
}

// Connecting.

#[test]
fn a_refused_connect_is_an_error() {
    run(async {
        let (_socket, address) = refusing();
        for _ in 0..100 {
            let error = TcpStream::connect(address).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        }
        let socket = TcpSocket::new_v4().unwrap();
        let error = socket.connect(address).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    });
}

/// Row 20, with a selector that reports everything as ready all the time.
#[test]
fn a_spurious_event_does_not_make_a_connection() {
    run_scripted(Script::repeating([Step::Spurious]), async {
        let (_socket, address) = refusing();
        for _ in 0..20 {
            let error = TcpStream::connect(address).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        }
        let (_listener, _filler, address) = blackhole();
        let mut connect = pin!(TcpStream::connect(address));
        for _ in 0..50 {
            assert!(poll_fn(|cx| Poll::Ready(connect.as_mut().poll(cx))).await.is_pending());
            yield_now().await;
        }
    });
}

/// Row 21.
#[test]
fn connecting_to_oneself_is_refused() {
    run(async {
        for _ in 0..10 {
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
            let itself = socket.local_addr().unwrap();
            let error = socket.connect(itself).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        }
    });
}

/// A listener that answers no more: its queue is full, and the kernel drops what asks to connect.
fn blackhole() -> (Socket, Vec<Socket>, SocketAddr) {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let fillers = (0..8).map(|_| {
        let filler = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        filler.set_nonblocking(true).unwrap();
        // It is under way, or dropped already.
        let _ = filler.connect(&address);
        filler
    });
    let fillers = fillers.collect();
    (listener, fillers, address.as_socket().unwrap())
}

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Rows 27 and 28.
#[cfg(target_os = "linux")]
#[test]
fn cancelled_waits_leave_no_descriptor_and_disturb_nobody() {
    in_child("cancelled_waits_leave_no_descriptor_and_disturb_nobody", || {
        run(async {
            let (_listener, _fillers, address) = blackhole();
            let listener = listener().await;
            let (client, server) = pair().await;
            let before = open_descriptors();
            let mut fds = BTreeMap::new();
            for _ in 0..2000 {
                let mut connect = Box::pin(TcpStream::connect(address));
                assert!(poll_fn(|cx| Poll::Ready(connect.as_mut().poll(cx))).await.is_pending());
                drop(connect);
                let mut accept = Box::pin(listener.accept());
                assert!(poll_fn(|cx| Poll::Ready(accept.as_mut().poll(cx))).await.is_pending());
                // The descriptor that the connect had is used again at once.
                let (ours, mut theirs) = {
                    let theirs = std::net::TcpStream::connect(listener.local_addr().unwrap());
                    (accept.await.unwrap().0, theirs.unwrap())
                };
                *fds.entry(ours.as_raw_fd()).or_insert(0) += 1;
                let mut buffer = [0; 4];
                let mut read = Box::pin(ours.read(&mut buffer));
                assert!(poll_fn(|cx| Poll::Ready(read.as_mut().poll(cx))).await.is_pending());
                drop(read);
                theirs.write_all(b"new").unwrap();
                assert_eq!(ours.read(&mut buffer).await.unwrap(), 3);
            }
            assert_eq!(open_descriptors(), before);
            assert!(fds.len() < 4, "{fds:?}: no number was used again");
            client.write_all(b"still there").await.unwrap();
            assert_eq!(server.read(&mut [0; 16]).await.unwrap(), 11);
        });
    });
}

// Ends, short reads and floods.

/// An edge that brings data and the end together must give both.
#[test]
fn the_end_that_comes_with_the_data_is_seen() {
    for emulated in [false, true] {
        let script = Script::default();
        if emulated {
            script.emulate_edges();
        }
        run_scripted(script, async {
            let (ours, mut theirs) = pair_with_std().await;
            theirs.write_all(&[1; 64]).unwrap();
            drop(theirs);
            let mut buffer = [0; 1024];
            assert_eq!(ours.read(&mut buffer).await.unwrap(), 64);
            assert_eq!(ours.read(&mut buffer).await.unwrap(), 0);
        });
    }
}

/// Row 14.
#[test]
fn a_short_read_proves_nothing_where_edges_are_emulated() {
    for emulated in [false, true] {
        let script = Script::default();
        if emulated {
            script.emulate_edges();
        }
        run_scripted(script.clone(), async {
            let (ours, mut theirs) = pair_with_std().await;
            let mut buffer = [0; 4097];
            let mut received = 0;
            theirs.write_all(&[1; 4096]).unwrap();
            ours.readable().await.unwrap();
            received += ours.read(&mut buffer).await.unwrap();
            // The second piece comes before the event of the first is used up.
            theirs.write_all(&[2; 4096]).unwrap();
            while received < 8192 {
                received += ours.read(&mut buffer).await.unwrap();
            }
            // And both at once.
            theirs.write_all(&[1; 4096]).unwrap();
            theirs.write_all(&[2; 4096]).unwrap();
            while received < 16384 {
                received += ours.read(&mut buffer).await.unwrap();
            }
            // Where an emulated edge does not come again, only trying tells.
            if emulated {
                theirs.write_all(&[3; 10]).unwrap();
                assert_eq!(ours.read(&mut buffer).await.unwrap(), 10);
            }
        });
    }
}

/// A read stops before urgent data though more follows: it is short, and no edge comes for the
/// rest.
#[test]
fn a_read_that_urgent_data_cut_short_is_not_the_last() {
    run(async {
        let (ours, mut theirs) = pair_with_std().await;
        theirs.write_all(b"before").unwrap();
        SockRef::from(&theirs).send_out_of_band(b"!").unwrap();
        theirs.write_all(b"after").unwrap();
        let mut received = Vec::new();
        let mut buffer = [0; 64];
        while received.len() < 11 {
            let read = timeout(Duration::from_secs(2), ours.read(&mut buffer)).await;
            let n = read.expect("the rest is not seen").unwrap();
            received.extend_from_slice(&buffer[..n]);
        }
        assert_eq!(received, b"beforeafter");
    });
}

/// Row 13: what says that there is no urgent data must not take the end of the stream away.
#[test]
fn looking_for_urgent_data_does_not_hide_the_end() {
    run(async {
        let (ours, mut theirs) = pair_with_std().await;
        theirs.write_all(&[1; 64]).unwrap();
        drop(theirs);
        assert_eq!(ours.read(&mut [0; 1024]).await.unwrap(), 64);
        let nothing = || Err::<(), _>(ErrorKind::WouldBlock.into());
        ours.try_io(Interest::PRIORITY, nothing).unwrap_err();
        assert_eq!(ours.read(&mut [0; 1024]).await.unwrap(), 0);
    });
}

/// Row 22.
#[test]
fn a_peer_that_ended_its_side_does_not_make_a_blocked_writer_spin() {
    let event_loop = EventLoop::new().unwrap();
    let (ours, theirs) = event_loop.block_on(narrow_pair());
    let ours = Rc::new(ours);
    theirs.shutdown(Shutdown::Write).unwrap();
    let writer = {
        let ours = ours.clone();
        let _entered = event_loop.enter();
        spawn(async move {
            ours.write_all(&vec![5; 1 << 20]).await.unwrap();
            ours.shutdown(Shutdown::Write).unwrap();
        })
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
        let mut theirs = theirs;
        theirs.read_to_end(&mut received).await.unwrap();
        assert_eq!(received.len(), 1 << 20);
        writer.await.unwrap();
        drop(ours);
    });
    assert_nothing_left(&event_loop);
}

/// Row 24.
#[test]
fn nothing_is_lost_when_writing_ends_before_a_slow_and_chatty_reader_is_done() {
    const SIZE: usize = 8 << 20;
    run(async {
        let (client, server) = pair().await;
        let writer = spawn(async move {
            server.write_all(&vec![9; SIZE]).await.unwrap();
            server.shutdown(Shutdown::Write).unwrap();
            // What the reader says is heard to its end: closing with it unread would reset.
            let mut chat = 0;
            let mut buffer = [0; 4096];
            loop {
                match server.read(&mut buffer).await.unwrap() {
                    0 => return chat,
                    n => chat += n,
                }
            }
        });
        let mut buffer = vec![0; 10_000];
        let (mut received, mut said) = (0, 0);
        loop {
            let n = client.read(&mut buffer).await.unwrap();
            if n == 0 {
                break;
            }
            received += n;
            client.write_all(b"got some").await.unwrap();
            said += 8;
            yield_now().await;
        }
        assert_eq!(received, SIZE);
        drop(client);
        assert_eq!(writer.await.unwrap(), said);
    });
}

/// A stream of bytes that shows what is lost, doubled or out of order.
struct Pattern(u32);

impl Pattern {
    fn fill(&mut self, buffer: &mut [u8]) {
        for byte in buffer {
            self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *byte = (self.0 >> 24) as u8;
        }
    }

    fn check(&mut self, received: &[u8]) {
        let mut expected = vec![0; received.len()];
        self.fill(&mut expected);
        assert!(expected == received, "the bytes are not those that were sent");
    }
}

/// Row 56.
#[test]
fn partial_writes_through_tiny_buffers_keep_every_byte() {
    let size = if cfg!(debug_assertions) { 16 << 20 } else { 100 << 20 };
    run(async move {
        let (client, server) = narrow_pair().await;
        let writer = spawn(async move {
            let mut pattern = Pattern(1);
            let mut data = vec![0; 65_537];
            let mut left = size;
            while left > 0 {
                let n = left.min(data.len());
                pattern.fill(&mut data[..n]);
                client.write_all(&data[..n]).await.unwrap();
                left -= n;
            }
        });
        let mut pattern = Pattern(1);
        let mut buffer = vec![0; 30_011];
        let mut received = 0;
        loop {
            let n = server.read(&mut buffer).await.unwrap();
            if n == 0 {
                break;
            }
            pattern.check(&buffer[..n]);
            received += n;
        }
        assert_eq!(received, size);
        writer.await.unwrap();
    });
}

/// Row 25.
#[test]
fn a_client_that_vanishes_ends_the_task_that_writes_to_it() {
    let event_loop = EventLoop::new().unwrap();
    let (ours, mut theirs) = event_loop.block_on(pair_with_std());
    let ended = Rc::new(RefCell::new(None));
    let note = ended.clone();
    let writer = {
        let _entered = event_loop.enter();
        spawn(async move {
            let body = vec![1; 100_000];
            let error = loop {
                if let Err(error) = ours.write_all(&body).await {
                    break error;
                }
            };
            *note.borrow_mut() = Some(error.kind());
        })
    };
    turn_until_idle(&event_loop);
    assert!(ended.borrow().is_none());
    // Reads a little, then goes with the rest unread.
    theirs.read_exact(&mut [0; 1000]).unwrap();
    drop(theirs);
    event_loop.block_on(async { timeout(GUARD, writer).await.unwrap().unwrap() });
    let kind = ended.borrow_mut().take().unwrap();
    assert!(matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{kind}");
    turn_until_idle(&event_loop);
    let before = event_loop.metrics().polls;
    for _ in 0..100 {
        let _ = event_loop.turn(Some(Duration::ZERO)).unwrap();
    }
    assert_eq!(event_loop.metrics().polls, before);
    assert_nothing_left(&event_loop);
}

/// Waits that are interrupted, late, doubled or split up change nothing.
#[test]
fn a_selector_that_misbehaves_loses_nothing() {
    for steps in [
        vec![Step::Interrupted, Step::Pass],
        vec![Step::Interrupted, Step::Interrupted, Step::Interrupted, Step::Pass],
        vec![Step::OneAtATime],
        vec![Step::Hold, Step::Pass],
        vec![Step::Spurious, Step::Pass, Step::Interrupted],
        vec![Step::Stale, Step::Pass],
        vec![Step::StaleUnfiltered, Step::Pass],
    ] {
        run_scripted(Script::repeating(steps), async {
            let listener = listener().await;
            let address = listener.local_addr().unwrap();
            let server = spawn(async move {
                for _ in 0..20 {
                    let (mut stream, _) = listener.accept().await.unwrap();
                    spawn(async move {
                        let mut all = Vec::new();
                        stream.read_to_end(&mut all).await.unwrap();
                        stream.write_all(&all).await.unwrap();
                    });
                }
            });
            let clients: Vec<_> = (0..20_u8)
                .map(|n| {
                    spawn(async move {
                        let mut stream = TcpStream::connect(address).await.unwrap();
                        let sent = vec![n; 50_000];
                        stream.write_all(&sent).await.unwrap();
                        stream.shutdown(Shutdown::Write).unwrap();
                        let mut all = Vec::new();
                        stream.read_to_end(&mut all).await.unwrap();
                        assert_eq!(all, sent);
                    })
                })
                .collect();
            for client in clients {
                client.await.unwrap();
            }
            server.await.unwrap();
        });
    }
}

// Accepting.

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
