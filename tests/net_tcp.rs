//! TCP in everyday use, through the public API and a real kernel on the loopback interface: reading
//! and writing, options, halves, readiness, other threads.
//!
//! Where a test names a row, it is one of the list of pitfalls: something that went wrong in
//! another runtime.

mod support;

use std::cell::Cell;
use std::future::poll_fn;
use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_lite::io::{AsyncReadExt, AsyncWriteExt};
use socket2::{Domain, Socket, Type};
use support::tcp::{listener, pair, poll_once, refusing, run};
use support::{WakeCount, assert_nothing_left, under_foreign_waker};
use wheelhouse::io::{Interest, Ready};
use wheelhouse::net::{TcpListener, TcpSocket, TcpStream, ToSocketAddrs, lookup_host};
use wheelhouse::{EventLoop, spawn, yield_now};

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
        // Never earlier than asked for: the system counts in seconds.
        stream.set_keepalive(Some(Duration::from_millis(1500))).unwrap();
        assert_eq!(stream.keepalive().unwrap(), Some(Duration::from_secs(2)));
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
        let (reader, mut writer) = client.split();
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
