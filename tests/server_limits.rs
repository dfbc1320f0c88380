//! `Server` with more clients than it has room or descriptors for. Row 18 of the pitfalls.

#[path = "support/server.rs"]
mod server;
mod support;

use std::cell::Cell;
use std::io::Read;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, setrlimit};
use server::{Conn, connect, counts, echo, guarded, is_served, is_turned_away, run, total};
use support::in_child;
use wheelhouse::net::{ConnectionLimit, Counts, Overload, Server};
use wheelhouse::time::{sleep, timeout};
use wheelhouse::{EventLoop, LoopGroup, spawn, yield_now};

#[test]
fn at_the_limit_connections_wait() {
    run(async {
        let builder = Server::builder().bind("127.0.0.1:0").max_connections(2);
        let server = builder.serve(|conn, _| echo(conn)).await.unwrap();
        let mut clients = Vec::new();
        for _ in 0..5 {
            clients.push(connect(&server).await);
        }
        assert!(is_served(&clients[0]).await && is_served(&clients[1]).await);
        timeout(Duration::from_millis(5), is_served(&clients[2])).await.expect_err("no room");
        assert_eq!(total(&server).active, 2);
        // The byte was sent by the attempt that was cut off.
        clients.remove(0);
        assert_eq!(clients[1].read(&mut [0]).await.unwrap(), 1);
        while !clients.is_empty() {
            assert!(is_served(&clients[0]).await);
            assert!(total(&server).active <= 2);
            clients.remove(0);
        }
        server.close();
        server.wait_closed().await;
        assert_eq!(total(&server), counts(|counts| counts.accepted = 5));
    });
}

#[test]
fn at_the_limit_connections_are_shed_if_wished() {
    run(async {
        let builder = Server::builder().bind("127.0.0.1:0").max_connections(2);
        let builder = builder.overload(Overload::Shed);
        let server = builder.serve(|conn, _| echo(conn)).await.unwrap();
        let first = connect(&server).await;
        let second = connect(&server).await;
        assert!(is_served(&first).await && is_served(&second).await);
        let third = connect(&server).await;
        assert!(is_turned_away(&third).await);
        drop(second);
        while total(&server).active == 2 {
            yield_now().await;
        }
        let fourth = connect(&server).await;
        assert!(is_served(&fourth).await && is_served(&first).await);
        assert_eq!(total(&server).refused, 1);
        server.close();
        server.abort_clients();
        server.wait_closed().await;
    });
}

#[test]
fn a_peer_can_have_only_so_many() {
    run(async {
        let builder = Server::builder().bind("127.0.0.1:0").max_connections_per_peer(2);
        let server = builder.serve(|conn, _| echo(conn)).await.unwrap();
        let first = connect(&server).await;
        let second = connect(&server).await;
        assert!(is_served(&first).await && is_served(&second).await);
        let third = connect(&server).await;
        assert!(is_turned_away(&third).await);
        let elsewhere = wheelhouse::net::TcpSocket::new_v4().unwrap();
        elsewhere.bind(([127, 0, 0, 2], 0).into()).unwrap();
        let elsewhere = elsewhere.connect(server.local_addrs()[0]).await.unwrap();
        assert!(is_served(&elsewhere).await, "another address is another peer");
        drop(first);
        while total(&server).active == 3 {
            yield_now().await;
        }
        let fourth = connect(&server).await;
        assert!(is_served(&fourth).await);
        assert_eq!(total(&server).refused, 1);
        server.close();
        server.abort_clients();
        server.wait_closed().await;
    });
}

#[test]
fn servers_can_share_a_limit() {
    run(async {
        let limit = ConnectionLimit::new(3);
        let builder = || Server::builder().bind("127.0.0.1:0").connection_limit(&limit);
        let one = builder().serve(|conn, _| echo(conn)).await.unwrap();
        let shedding = builder().overload(Overload::Shed);
        let other = shedding.serve(|conn, _| echo(conn)).await.unwrap();
        let (first, second, third) =
            (connect(&one).await, connect(&other).await, connect(&one).await);
        assert!(is_served(&first).await && is_served(&second).await && is_served(&third).await);
        assert_eq!(limit.free(), 0);
        let shed = connect(&other).await;
        assert!(is_turned_away(&shed).await, "the other server has the places");
        let waiting = connect(&one).await;
        timeout(Duration::from_millis(5), is_served(&waiting)).await.expect_err("no room");
        // The end of a connection of the other server makes room.
        drop(second);
        assert_eq!(waiting.read(&mut [0]).await.unwrap(), 1);
        assert_eq!((total(&one).active, total(&other).active, limit.free()), (3, 0, 0));
        drop((first, third, waiting));
        for server in [&one, &other] {
            server.close();
            server.wait_closed().await;
        }
        assert_eq!(limit.free(), 3);
    });
}

#[test]
fn a_handler_knows_the_listener() {
    let group = LoopGroup::new(2).unwrap();
    run(async {
        let builder = Server::builder().bind("127.0.0.1:0").bind("127.0.0.1:0");
        let handler = |connection: Conn, _| async move {
            connection.write_all(&[connection.listener_index() as u8]).await
        };
        let server = builder.serve_on(&group, handler).await.unwrap();
        for _ in 0..20 {
            for (index, address) in server.local_addrs().into_iter().enumerate() {
                let client = wheelhouse::net::TcpStream::connect(address).await.unwrap();
                let mut said = [9];
                assert_eq!(client.read(&mut said).await.unwrap(), 1);
                assert_eq!(usize::from(said[0]), index);
            }
        }
        server.close();
        server.wait_closed().await;
    });
}

#[test]
fn without_descriptors_connections_wait_and_are_all_served() {
    in_child("without_descriptors_connections_wait_and_are_all_served", || {
        let (polls, clients, server_stats) = crowd(Overload::Wait, true);
        assert!(polls < 200, "{polls} polls of the server while it had no descriptors");
        assert_eq!(clients, 200);
        assert!(server_stats.accepted == 200 && server_stats.shed == 0);
        assert!(server_stats.errors > 0);
    });
}

#[test]
fn without_descriptors_connections_are_shed_if_wished() {
    in_child("without_descriptors_connections_are_shed_if_wished", || {
        let (polls, clients, server_stats) = crowd(Overload::Shed, false);
        assert!(polls < 200, "{polls} polls of the server while it had no descriptors");
        assert_eq!(server_stats.shed + server_stats.accepted, 200);
        assert!(server_stats.shed >= 140, "{server_stats:?}");
        assert_eq!(clients, server_stats.accepted as usize);
    });
}

/// 200 clients in another process, which stay until they are served or turned away. How often the
/// loop polled while nothing moved, how many clients were served, and the server's counters.
fn crowd(overload: Overload, waits: bool) -> (u64, usize, Counts) {
    let limit = Rlimit { current: Some(64), maximum: Some(64) };
    let event_loop = EventLoop::new().unwrap();
    event_loop.block_on(guarded(async {
        let builder = Server::builder().bind("127.0.0.1:0").overload(overload);
        let gate = support::Gate::default();
        let opened = gate.clone();
        let handler = move |connection: Conn, _| {
            let gate = gate.clone();
            async move {
                gate.wait().await;
                let _ = connection.write_all(b"!").await;
            }
        };
        let server = builder.serve(handler).await.unwrap();
        let port = server.local_addrs()[0].port();
        let mut clients = Command::new(std::env::current_exe().unwrap())
            .args(["the_crowd", "--exact", "--nocapture", "--test-threads=1"])
            .env(CROWD, port.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        setrlimit(Resource::Nofile, limit).unwrap();
        let busy = |counts: Counts| match waits {
            true => counts.errors > 3,
            false => counts.accepted + counts.shed == 200,
        };
        while !busy(total(&server)) {
            sleep(Duration::from_millis(5)).await;
        }
        let before = event_loop.metrics().polls;
        sleep(Duration::from_millis(300)).await;
        let polls = event_loop.metrics().polls - before;
        opened.open();
        let mut output = clients.stdout.take().unwrap();
        let served = wheelhouse::spawn_blocking(move || {
            let mut text = String::new();
            output.read_to_string(&mut text).unwrap();
            let served = text.lines().find_map(|line| line.strip_prefix("served: "));
            served.unwrap_or_else(|| panic!("{text}")).parse::<usize>().unwrap()
        });
        let served = served.await.unwrap();
        clients.wait().unwrap();
        server.close();
        server.wait_closed().await;
        (polls, served, total(&server))
    }))
}

/// The port to connect to, for a process of clients.
const CROWD: &str = "WHEELHOUSE_TEST_CROWD";

#[test]
fn the_crowd() {
    let Ok(port) = std::env::var(CROWD) else { return };
    let port: u16 = port.parse().unwrap();
    let client = move || {
        let mut client = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        usize::from(client.read(&mut [0]).is_ok_and(|n| n == 1))
    };
    let clients: Vec<_> = (0..200).map(|_| std::thread::spawn(client)).collect();
    let served: usize = clients.into_iter().map(|client| client.join().unwrap()).sum();
    println!("\nserved: {served}");
}

#[test]
fn limits_hold_over_all_loops() {
    let group = LoopGroup::new(2).unwrap();
    run(async {
        let builder = Server::builder().bind("127.0.0.1:0").max_connections(3);
        let server = builder.serve_on(&group, |conn, _| echo(conn)).await.unwrap();
        let served = Rc::new(Cell::new(0));
        let most = Rc::new(Cell::new(0));
        let mut clients = Vec::new();
        for _ in 0..40 {
            let client = connect(&server).await;
            let (served, most) = (served.clone(), most.clone());
            clients.push(spawn(async move {
                assert!(is_served(&client).await);
                served.set(served.get() + 1);
                most.set(most.get().max(served.get()));
                sleep(Duration::from_micros(300)).await;
                served.set(served.get() - 1);
            }));
        }
        for client in clients {
            client.await.unwrap();
        }
        assert!(most.get() <= 3, "{} at a time", most.get());
        server.close();
        server.wait_closed().await;
        assert_eq!(total(&server).accepted, 40);
    });
}
