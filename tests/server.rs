//! `Server`, on real sockets: who is served, who is turned away, and the end in every order. Rows 18,
//! 19 and 25 of the pitfalls.

#[path = "support/server.rs"]
mod server;
mod support;

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixListener;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use server::{
    Conn, connect, counts, echo, echo_server, guarded, is_served, is_turned_away, run, total,
    virtual_time,
};
use support::{GUARD, OnDrop, panic_of, run_checked_on, run_with_panics};
use wheelhouse::net::{Connection, Server, StreamReader, TcpListener, TcpStream, copy};
use wheelhouse::time::{Instant, sleep, timeout};
use wheelhouse::{EventLoop, LoopGroup, spawn, yield_now};

#[test]
fn a_server_serves_and_counts() {
    run(async {
        let peers = Rc::new(RefCell::new(Vec::new()));
        let seen = peers.clone();
        // Neither the handler nor its future is `Send`.
        let server = Server::builder()
            .bind("127.0.0.1:0")
            .bind(("127.0.0.1", 0))
            .serve(move |connection, peer| {
                seen.borrow_mut().push(peer);
                echo(connection)
            })
            .await
            .unwrap();
        let addresses = server.local_addrs();
        let mut clients = Vec::new();
        for address in [addresses[0], addresses[1], addresses[1]] {
            let client = TcpStream::connect(address).await.unwrap();
            assert!(is_served(&client).await);
            clients.push(client);
        }
        let ours: Vec<_> = clients.iter().map(|client| client.local_addr().unwrap()).collect();
        assert_eq!(*peers.borrow(), ours);
        let stats = server.stats();
        let rows = stats.listeners.iter().map(|row| (row.address, row.counts.active));
        assert_eq!(rows.collect::<Vec<_>>(), [(addresses[0], 1), (addresses[1], 2)]);
        drop(clients.pop());
        while total(&server).active == 3 {
            yield_now().await;
        }
        let expected = counts(|counts| (counts.accepted, counts.active) = (3, 2));
        assert_eq!(total(&server), expected);
        drop(clients);
        server.close();
        server.wait_closed().await;
    });
}

#[test]
fn close_stops_accepting_and_leaves_connections_alone() {
    run(async {
        let server = echo_server().await;
        let client = connect(&server).await;
        assert!(is_served(&client).await);
        assert!(!server.is_closed());
        server.close();
        server.close();
        assert!(server.is_closed());
        timeout(Duration::from_millis(5), server.wait_closed()).await.expect_err("one is there");
        let refused = TcpStream::connect(server.local_addrs()[0]).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        assert!(is_served(&client).await);
        drop(client);
        server.wait_closed().await;
        server.wait_closed().await;
    });
}

#[test]
fn dropping_a_server_is_close() {
    run(async {
        let server = echo_server().await;
        let address = server.local_addrs()[0];
        let client = connect(&server).await;
        assert!(is_served(&client).await);
        drop(server);
        assert!(is_served(&client).await, "nobody is cut off");
        assert!(TcpStream::connect(address).await.is_err());
    });
}

/// Who had connected when the server closed has a connection; it is not reset.
#[test]
fn who_waits_in_the_queue_at_the_close_is_served() {
    run(async {
        let server = echo_server().await;
        let address = server.local_addrs()[0];
        // They connect while the loop does not turn.
        let clients: Vec<_> =
            (0..20).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
        server.close();
        for client in clients {
            let client = TcpStream::from_std(client).unwrap();
            assert!(is_served(&client).await);
        }
        server.wait_closed().await;
        assert_eq!(total(&server).accepted, 20);
    });
}

#[test]
fn wait_closed_may_come_first_and_on_another_thread() {
    run(async {
        let server = Arc::new(echo_server().await);
        let client = connect(&server).await;
        assert!(is_served(&client).await);
        let waiting = {
            let server = server.clone();
            spawn(async move { server.wait_closed().await })
        };
        let elsewhere = server.clone();
        let thread = std::thread::spawn(move || {
            elsewhere.close();
            assert_eq!(elsewhere.abort_clients(), 1);
            wheelhouse::run(async move { elsewhere.wait_closed().await });
        });
        waiting.await.unwrap();
        assert!(is_turned_away(&client).await);
        assert_eq!(total(&server).aborted, 1);
        thread.join().unwrap();
    });
}

#[test]
fn clients_are_asked_then_cut_off_at_the_deadline() {
    run_checked_on(virtual_time(), async {
        let dropped = Rc::new(Cell::new(0));
        let count = dropped.clone();
        let handler = move |connection: Conn, _| {
            let count = count.clone();
            async move {
                let _guard = OnDrop::new(move || count.set(count.get() + 1));
                let mut kind = [0];
                let _ = connection.read(&mut kind).await;
                connection.closing().cancelled().await;
                match kind[0] {
                    // Polite, slow, deaf.
                    b'p' => {}
                    b's' => sleep(Duration::from_secs(8)).await,
                    _ => std::future::pending().await,
                }
            }
        };
        let server = Server::builder().bind("127.0.0.1:0").serve(handler).await.unwrap();
        let mut clients = Vec::new();
        for kind in [b"p", b"s", b"d", b"d"] {
            let client = connect(&server).await;
            client.write_all(kind).await.unwrap();
            clients.push(client);
        }
        sleep(Duration::from_secs(1)).await;
        server.close();
        let start = Instant::now();
        let report = server.close_clients(Duration::from_secs(10)).await;
        let took = start.elapsed();
        assert!((10_000..10_001).contains(&took.as_millis()), "{took:?}");
        assert_eq!((report.asked, report.is_clean()), (4, false));
        let deaf: Vec<_> = report.aborted.iter().map(|straggler| straggler.peer).collect();
        let expected: Vec<_> =
            clients[2..].iter().map(|client| client.local_addr().unwrap()).collect();
        assert_eq!(deaf, expected);
        assert!(report.aborted.iter().all(|one| one.age.as_secs() >= 11 && !one.is_stuck));
        assert!(report.to_string().starts_with("asked to end: 4, cut off: 2; "));
        assert_eq!(dropped.get(), 4, "when it returns they are gone");
        server.wait_closed().await;
        let expected = counts(|counts| (counts.accepted, counts.aborted) = (4, 2));
        assert_eq!(total(&server), expected);
    });
}

#[test]
fn asking_clients_without_close_leaves_later_ones_alone() {
    run_checked_on(virtual_time(), async {
        let handler = |connection: Conn, _| async move {
            let closing = connection.closing().clone();
            let _ = closing.run_until_cancelled(echo(connection)).await;
        };
        let server = Server::builder().bind("127.0.0.1:0").serve(handler).await.unwrap();
        let first = connect(&server).await;
        assert!(is_served(&first).await);
        let start = Instant::now();
        let report = server.close_clients(Duration::from_secs(10)).await;
        assert!(report.is_clean() && report.asked == 1, "{report}");
        assert!(start.elapsed() < Duration::from_secs(1));
        assert!(is_turned_away(&first).await);
        let second = connect(&server).await;
        assert!(is_served(&second).await);
        drop(second);
        server.close();
        server.wait_closed().await;
        assert!(server.close_clients(Duration::ZERO).await.is_clean());
    });
}

/// After the close they are asked even if they are taken out of the queue only then.
#[test]
fn close_and_ask_in_one_breath_reaches_those_in_the_queue() {
    run_checked_on(virtual_time(), async {
        let handler = |connection: Conn, _| async move {
            connection.closing().cancelled().await;
            connection.write_all(b"bye").await
        };
        let server = Server::builder().bind("127.0.0.1:0").serve(handler).await.unwrap();
        let address = server.local_addrs()[0];
        let mut client = std::net::TcpStream::connect(address).unwrap();
        server.close();
        let report = server.close_clients(Duration::from_secs(10)).await;
        assert!(report.is_clean() && report.asked == 1, "{report}");
        server.wait_closed().await;
        let mut said = String::new();
        client.read_to_string(&mut said).unwrap();
        assert_eq!(said, "bye");
    });
}

#[test]
fn a_panic_in_a_handler_hurts_nobody_else() {
    run_with_panics(
        EventLoop::builder(),
        guarded(async {
            let handler = |connection: Conn, _| async move {
                let mut reader = StreamReader::new(&connection);
                match reader.read_line(99).await? {
                    Some("panic") => panic!("as the client wished"),
                    Some("fail") => Err(io::Error::other("as the client wished")),
                    _ => connection.write_all(b"!").await,
                }
            };
            let server = Server::builder().bind("127.0.0.1:0").serve(handler).await.unwrap();
            for line in ["panic\n", "fail\n", "serve\n", "panic\n", "serve\n"] {
                let client = connect(&server).await;
                client.write_all(line.as_bytes()).await.unwrap();
                let n = client.read(&mut [0]).await.unwrap();
                assert_eq!(n, usize::from(line == "serve\n"));
            }
            server.close();
            server.wait_closed().await;
            let expected = counts(|counts| {
                (counts.accepted, counts.panicked, counts.failed) = (5, 2, 1);
            });
            assert_eq!(total(&server), expected);
        }),
    );
}

/// Row 25: the client vanishes in the middle of an answer.
#[test]
fn a_client_that_vanishes_ends_its_handler() {
    run(async {
        async fn pour(connection: Conn) -> io::Result<()> {
            loop {
                connection.write_all(&[7; 4096]).await?;
            }
        }
        let builder = Server::builder().bind("127.0.0.1:0");
        let server = builder.serve(|connection, _| pour(connection)).await.unwrap();
        let client = connect(&server).await;
        client.read(&mut [0; 9]).await.unwrap();
        drop(client);
        server.close();
        server.wait_closed().await;
        let expected = counts(|counts| (counts.accepted, counts.failed) = (1, 1));
        assert_eq!(total(&server), expected);
    });
}

/// Row 18, when connections wait: 200 connections, 64 descriptors. All are served in the end, and
/// until then the server sleeps.
/// Row 18, when they are shed: nobody waits for a server that cannot serve.
/// The clients of `crowd`, if this is their process.
#[test]
fn a_group_serves_on_all_its_loops() {
    let group = LoopGroup::new(2).unwrap();
    run(async {
        let threads = Arc::new(Mutex::new(BTreeSet::new()));
        let seen = threads.clone();
        let builder = Server::builder().bind("127.0.0.1:0").bind("127.0.0.1:0");
        let handler = move |connection: Conn, _| {
            // Each loop has its own; what it makes need not be `Send`.
            let here = Rc::new(std::thread::current().name().map(str::to_owned));
            seen.lock().unwrap().insert((*here).clone().unwrap());
            async move {
                let result = echo(connection).await;
                drop(here);
                result
            }
        };
        let server = builder.serve_on(&group, handler).await.unwrap();
        let addresses = server.local_addrs();
        assert_eq!((addresses.len(), server.stats().listeners.len()), (2, 4));
        let mut clients = Vec::new();
        for n in 0..100 {
            let client = TcpStream::connect(addresses[n % 2]).await.unwrap();
            assert!(is_served(&client).await);
            clients.push(client);
        }
        let names: Vec<_> = threads.lock().unwrap().iter().cloned().collect();
        assert_eq!(names, ["loop-0", "loop-1"]);
        assert!(server.stats().listeners.iter().all(|row| row.counts.active > 0));
        server.close();
        let report = server.close_clients(Duration::from_millis(5)).await;
        assert_eq!((report.asked, report.aborted.len()), (100, 100));
        assert!(report.aborted.iter().all(|straggler| !straggler.is_stuck));
        server.wait_closed().await;
        assert!(TcpStream::connect(addresses[0]).await.is_err());
    });
    assert!(group.shutdown(GUARD).iter().all(|report| report.is_clean()));
}

/// A loop that does not turn cannot drop its handlers; the report says so and does not hang.
#[test]
fn a_stuck_loop_does_not_hold_up_the_end() {
    let group = LoopGroup::new(1).unwrap();
    let (release, stuck) = std::sync::mpsc::channel::<()>();
    let stuck = Arc::new(Mutex::new(stuck));
    run(async {
        let handler = move |connection: Conn, _| {
            let stuck = stuck.clone();
            async move {
                connection.write_all(b"stuck from here on").await.unwrap();
                let _ = stuck.lock().unwrap().recv();
            }
        };
        let server = Server::builder().bind("127.0.0.1:0").serve_on(&group, handler);
        let server = server.await.unwrap();
        let client = connect(&server).await;
        assert!(client.read(&mut [0]).await.unwrap() > 0);
        let report = server.close_clients(Duration::ZERO).await;
        assert!(report.aborted.len() == 1 && report.aborted[0].is_stuck, "{report}");
        release.send(()).unwrap();
        server.close();
        server.wait_closed().await;
    });
}

#[test]
fn the_end_of_a_loop_is_the_end_of_its_server() {
    let group = LoopGroup::new(2).unwrap();
    run(async {
        let builder = Server::builder().bind("127.0.0.1:0");
        let server = builder.serve_on(&group, |conn, _| echo(conn)).await.unwrap();
        let client = connect(&server).await;
        assert!(is_served(&client).await);
        group.shutdown(Duration::from_secs(1));
        server.wait_closed().await;
        assert!(server.is_closed());
        assert!(is_turned_away(&client).await);
        assert_eq!(total(&server).aborted, 1);
    });
}

#[test]
fn unix_sockets_are_served_too() {
    let name = format!("wheelhouse-server-{}", std::process::id());
    let path = support::folder_of_sockets().join(name);
    let _ = std::fs::remove_file(&path);
    let group = LoopGroup::new(2).unwrap();
    run(async {
        let handler = |connection: Connection<std::os::unix::net::UnixStream>, _| async move {
            copy(&connection, &connection).await.map(drop)
        };
        let server = Server::unix_builder().bind(&path).serve(handler).await.unwrap();
        assert_eq!(server.local_addrs()[0].as_pathname(), Some(&*path));
        let ask = |path: std::path::PathBuf| {
            wheelhouse::spawn_blocking(move || {
                let mut client = std::os::unix::net::UnixStream::connect(path).unwrap();
                client.write_all(b"hello").unwrap();
                client.shutdown(Shutdown::Write).unwrap();
                let mut answer = String::new();
                client.read_to_string(&mut answer).unwrap();
                answer
            })
        };
        assert_eq!(ask(path.clone()).await.unwrap(), "hello");
        server.close();
        server.wait_closed().await;
        let taken = Server::unix_builder().bind(&path).serve(handler).await.unwrap_err();
        assert_eq!(taken.kind(), ErrorKind::AddrInUse);
        std::fs::remove_file(&path).unwrap();

        // Every loop has a copy of the one listener.
        let listener = UnixListener::bind(&path).unwrap();
        let builder = Server::unix_builder().listener(listener);
        let server = builder.serve_on(&group, handler).await.unwrap();
        for _ in 0..20 {
            assert_eq!(ask(path.clone()).await.unwrap(), "hello");
        }
        assert_eq!(server.stats().total().accepted, 20);
        server.close();
        server.wait_closed().await;
        std::fs::remove_file(&path).unwrap();
    });
}

#[test]
fn an_address_that_is_taken_is_named() {
    let group = LoopGroup::new(2).unwrap();
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let builder = || Server::builder().bind("127.0.0.1:0").bind(address);
        let error = builder().serve(|conn, _| echo(conn)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        let text = error.to_string();
        assert!(text.starts_with(&format!("cannot listen on {address}: ")), "{text}");
        drop(listener);

        // Two servers of several loops each would share the clients without knowing.
        let first = Server::builder().bind(address).serve_on(&group, |conn, _| echo(conn));
        let first = first.await.unwrap();
        let error = builder().serve_on(&group, |conn, _| echo(conn)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        first.close();
        first.wait_closed().await;
    });
}

/// On its own an address of IPv6 may take IPv4's clients as well, and nothing else can then be bound
/// to the port.
#[test]
fn both_families_can_share_a_port() {
    // The first binds even where IPv6 is switched off.
    let any = std::net::TcpListener::bind("[::]:0");
    let (Ok(probe), Ok(_)) = (any, std::net::TcpListener::bind("[::1]:0")) else {
        eprintln!("SKIPPED: there is no IPv6 here");
        return;
    };
    let port = probe.local_addr().unwrap().port();
    drop(probe);
    run(async {
        let builder = Server::builder().bind(("::", port)).bind(("0.0.0.0", port));
        let server = builder.serve(|conn, _| echo(conn)).await.unwrap();
        for host in ["127.0.0.1", "::1"] {
            let client = TcpStream::connect((host, port)).await.unwrap();
            assert!(is_served(&client).await);
        }
        let rows =
            server.stats().listeners.iter().map(|row| row.counts.accepted).collect::<Vec<_>>();
        assert_eq!(rows, [1, 1]);
        server.close();
        server.wait_closed().await;
    });
}

#[test]
fn misuse_is_told() {
    assert_eq!(
        panic_of(|| drop(Server::builder().serve(|conn, _| echo(conn)))),
        "`ServerBuilder::serve` was called with nothing to listen on: it expects `bind` or \
         `listener` before."
    );
    assert!(panic_of(|| Server::builder().max_connections(0)).contains("leave it out"));
    assert!(panic_of(|| Server::builder().max_connections_per_peer(0)).contains("leave it out"));
}

/// Frameworks ask it of handlers, and so of what handlers await.
#[test]
fn what_crosses_threads_may() {
    fn may<T: Send>(_: &T) {}
    const fn both<T: Send + Sync>() {}
    const { both::<Server>() };
    const { both::<Conn>() };
    run(async {
        let server = echo_server().await;
        let client = connect(&server).await;
        let file = std::fs::File::open(std::env::current_exe().unwrap()).unwrap();
        let mut reader = StreamReader::new(&client);
        may(&reader.read_exact(&mut [0; 9]));
        may(&reader.read_until(b"\r\n", 9));
        may(&reader.read_line(9));
        let mut writer = wheelhouse::net::StreamWriter::new(&client);
        may(&writer.drain());
        may(&copy(&client, &client));
        may(&wheelhouse::net::copy_bidirectional(&client, &client));
        may(&wheelhouse::net::send_file(&client, &file, ..9));
        may(&client.send_file(&file, ..9));
        may(&server.wait_closed());
        may(&server.close_clients(Duration::ZERO));
    });
}
