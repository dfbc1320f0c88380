//! `Server` when accepting fails, on virtual time: which errors it passes over at once, how long it
//! pauses for the others, and that it goes on at the very moment that it should. Rows 18 and 19 of
//! the pitfalls.
//!
//! Descriptors do run out here, by the limit of the process. Other errors are those of a script:
//! it refuses to watch what was accepted, so that the connection goes with the error.

#[path = "support/server.rs"]
mod server;
mod support;

use std::io::Read;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use server::{Conn, counts, echo_server, total};
use support::{in_child, run_checked_on};
use wheelhouse::net::{Overload, Server};
use wheelhouse::time::{Instant, sleep, sleep_until};
use wheelhouse::{Builder, Clock, EventLoop, Script, SelectorKind};

const EPERM: i32 = 1;
const ENOMEM: i32 = 12;
const EINVAL: i32 = 22;
const ENFILE: i32 = 23;
const EMFILE: i32 = 24;
#[cfg(target_os = "linux")]
const ENOBUFS: i32 = 105;
#[cfg(target_os = "linux")]
const ECONNABORTED: i32 = 103;
#[cfg(not(target_os = "linux"))]
const ENOBUFS: i32 = 55;
#[cfg(not(target_os = "linux"))]
const ECONNABORTED: i32 = 53;

/// What lies between just before and just after.
const MOMENT: Duration = Duration::from_micros(200);

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Time jumps as soon as nothing has come for a moment, sockets or not.
fn jumping() -> Builder {
    EventLoop::builder().clock(Clock::Virtual { settle: Some(ms(2)) })
}

fn scripted(script: &Script) -> Builder {
    jumping().selector(SelectorKind::Scripted(script.clone()))
}

/// In the queue when this returns; the loop knows nothing of the client.
fn queued(server: &Server) -> TcpStream {
    let client = TcpStream::connect(server.local_addrs()[0]).unwrap();
    client.set_read_timeout(Some(support::GUARD)).unwrap();
    client
}

/// Whether it was closed without a word.
fn is_closed(mut client: &TcpStream) -> bool {
    !matches!(client.read(&mut [0]), Ok(1))
}

/// Greets, and stays until the client goes.
async fn greeting_server(overload: Overload) -> Server {
    let handler = |connection: Conn, _: SocketAddr| async move {
        connection.write_all(b"!").await?;
        connection.read(&mut [0]).await.map(drop)
    };
    let builder = Server::builder().bind("127.0.0.1:0").overload(overload);
    builder.serve(handler).await.unwrap()
}

fn is_greeted(mut client: &TcpStream) -> bool {
    matches!(client.read(&mut [0]), Ok(1))
}

/// Leaves the process without another descriptor.
fn use_up_descriptors() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // The lowest number that is free; those above it are beyond the limit then.
    let lowest = std::fs::File::open("/dev/null").unwrap().as_raw_fd();
    let current = Some(u64::try_from(lowest).unwrap());
    setrlimit(Resource::Nofile, Rlimit { current, maximum }).unwrap();
    std::fs::File::open("/dev/null").expect_err("a descriptor is left");
}

fn free_descriptors() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
}

#[test]
fn without_descriptors_it_tries_again_at_the_promised_times_and_then_serves_all() {
    in_child(
        "without_descriptors_it_tries_again_at_the_promised_times_and_then_serves_all",
        || {
            run_checked_on(jumping(), async {
                let server = greeting_server(Overload::Wait).await;
                let clients = [queued(&server), queued(&server), queued(&server)];
                use_up_descriptors();
                let start = Instant::now();
                let tries = [0, 5, 15, 35, 75, 155, 315, 635, 1275, 2275, 3275];
                for (failed, at) in tries.into_iter().enumerate().skip(1) {
                    sleep_until(start + ms(at) - MOMENT).await;
                    assert_eq!(total(&server).errors, failed as u64, "before {at} ms");
                    sleep_until(start + ms(at) + MOMENT).await;
                    assert_eq!(total(&server).errors, failed as u64 + 1, "at {at} ms");
                }
                free_descriptors();
                sleep_until(start + ms(4275) - MOMENT).await;
                assert_eq!(total(&server).accepted, 0, "it tried too early");
                sleep_until(start + ms(4275) + MOMENT).await;
                let expected = counts(|counts| {
                    (counts.accepted, counts.active, counts.errors) = (3, 3, 11);
                });
                assert_eq!(total(&server), expected);
                assert!(clients.iter().all(is_greeted));

                // A success ends the trouble: the next one begins with the shortest pause.
                let late = queued(&server);
                use_up_descriptors();
                let start = Instant::now();
                sleep_until(start + ms(5) - MOMENT).await;
                assert_eq!(total(&server).errors, 12);
                free_descriptors();
                sleep_until(start + ms(5) + MOMENT).await;
                assert_eq!((total(&server).errors, total(&server).accepted), (12, 4));
                assert!(is_greeted(&late));
                drop((clients, late));
                server.close();
                server.wait_closed().await;
                assert_eq!(total(&server).failed, 0);
            });
        },
    );
}

#[test]
fn a_connection_that_ends_gives_its_descriptor_to_the_next_one_at_once() {
    in_child("a_connection_that_ends_gives_its_descriptor_to_the_next_one_at_once", || {
        run_checked_on(jumping(), async {
            let server = greeting_server(Overload::Wait).await;
            let (first, second) = (queued(&server), queued(&server));
            sleep(MOMENT).await;
            assert!(is_greeted(&first) && is_greeted(&second));
            let late = [queued(&server), queued(&server)];
            use_up_descriptors();
            let start = Instant::now();
            // It tries at 0, 5, 15, 35 and 75 ms, and would again at 155.
            sleep_until(start + ms(100)).await;
            assert_eq!((total(&server).accepted, total(&server).errors), (2, 5));
            // Of its two descriptors only the server's is given back.
            first.shutdown(Shutdown::Write).unwrap();
            sleep(MOMENT).await;
            // The second one that waits meets the shortage again: there was one descriptor.
            let seen = total(&server);
            assert_eq!((seen.accepted, seen.active, seen.errors), (3, 2, 6));
            assert!(is_greeted(&late[0]));
            free_descriptors();
            sleep(ms(5) + MOMENT).await;
            assert!(is_greeted(&late[1]));
            drop((first, second, late));
            server.close();
            server.close_clients(Duration::ZERO).await;
            server.wait_closed().await;
        });
    });
}

#[test]
fn without_descriptors_it_sheds_at_once_and_serves_at_once_when_there_are_some() {
    in_child("without_descriptors_it_sheds_at_once_and_serves_at_once_when_there_are_some", || {
        run_checked_on(jumping(), async {
            let server = greeting_server(Overload::Shed).await;
            // Its reserve is taken when it begins to accept.
            let first = queued(&server);
            sleep(MOMENT).await;
            assert!(is_greeted(&first));
            let clients = [queued(&server), queued(&server), queued(&server)];
            use_up_descriptors();
            let start = Instant::now();
            sleep(MOMENT).await;
            let expected = counts(|counts| {
                (counts.accepted, counts.active, counts.shed) = (1, 1, 3);
            });
            assert_eq!(total(&server), expected);
            assert!(clients.iter().all(is_closed));
            free_descriptors();
            let last = queued(&server);
            sleep(MOMENT).await;
            assert!(is_greeted(&last) && start.elapsed() < ms(5), "no pause is under way");
            assert_eq!((total(&server).accepted, total(&server).errors), (2, 0));
            drop((first, last));
            server.close();
            server.wait_closed().await;
        });
    });
}

#[test]
fn an_error_of_one_connection_costs_the_next_ones_no_moment() {
    for errno in [ECONNABORTED, EPERM] {
        let script = Script::default();
        run_checked_on(scripted(&script), async {
            let server = greeting_server(Overload::Wait).await;
            let clients = [queued(&server), queued(&server), queued(&server)];
            script.fail_register(errno, 1);
            sleep(MOMENT).await;
            assert!(is_closed(&clients[0]), "it went with the error");
            assert!(clients[1..].iter().all(is_greeted));
            let expected = counts(|counts| (counts.accepted, counts.active) = (2, 2));
            assert_eq!(total(&server), expected);
            drop(clients);
            server.close();
            server.wait_closed().await;
        });
    }
}

#[test]
fn a_shortage_costs_the_next_ones_a_pause() {
    for errno in [EMFILE, ENFILE, ENOBUFS, ENOMEM] {
        let script = Script::default();
        run_checked_on(scripted(&script), async {
            let server = greeting_server(Overload::Wait).await;
            let clients = [queued(&server), queued(&server), queued(&server)];
            script.fail_register(errno, 2);
            let start = Instant::now();
            sleep_until(start + ms(5 + 10) - MOMENT).await;
            assert_eq!(total(&server).accepted, 0, "errno {errno}");
            sleep_until(start + ms(5 + 10) + MOMENT).await;
            let expected = counts(|counts| (counts.accepted, counts.active) = (1, 1));
            let seen = total(&server);
            assert_eq!((seen.accepted, seen.active), (expected.accepted, expected.active));
            assert_eq!(seen.errors, 2);
            assert!(is_closed(&clients[0]) && is_closed(&clients[1]) && is_greeted(&clients[2]));
            drop(clients);
            server.close();
            server.wait_closed().await;
        });
    }
}

/// Whatever says so 64 times in a row keeps a processor busy.
#[test]
fn errors_of_single_connections_without_end_are_a_shortage() {
    let script = Script::default();
    run_checked_on(scripted(&script), async {
        let server = greeting_server(Overload::Wait).await;
        let clients: Vec<_> = (0..65).map(|_| queued(&server)).collect();
        script.fail_register(ECONNABORTED, 64);
        let start = Instant::now();
        sleep_until(start + ms(5) - MOMENT).await;
        assert!(clients[..64].iter().all(is_closed));
        assert_eq!(total(&server).accepted, 0);
        sleep_until(start + ms(5) + MOMENT).await;
        assert!(is_greeted(&clients[64]));
        drop(clients);
        server.close();
        server.wait_closed().await;
    });
}

/// A listener that cannot go on ends alone; with the last one the server is closed.
#[test]
fn a_broken_listener_leaves_the_others() {
    let script = Script::default();
    run_checked_on(scripted(&script), async {
        let handler =
            |connection: Conn, _: SocketAddr| async move { connection.write_all(b"!").await };
        let builder = Server::builder().bind("127.0.0.1:0").bind("127.0.0.1:0");
        let server = builder.serve(handler).await.unwrap();
        let addresses = server.local_addrs();
        let connect = |n: usize| TcpStream::connect(addresses[n]);
        let lost = connect(0).unwrap();
        script.fail_register(EINVAL, 1);
        sleep(MOMENT).await;
        assert!(is_closed(&lost) && !server.is_closed());
        assert!(connect(0).is_err(), "nobody listens there any more");
        let served = connect(1).unwrap();
        sleep(MOMENT).await;
        assert!(is_greeted(&served));
        assert_eq!((total(&server).errors, total(&server).accepted), (1, 1));
        let lost = connect(1).unwrap();
        script.fail_register(EINVAL, 1);
        server.wait_closed().await;
        assert!(server.is_closed() && is_closed(&lost));
    });
    // The usual course, for comparison.
    run_checked_on(scripted(&script), async {
        let server = echo_server().await;
        server.close();
        server.wait_closed().await;
        assert_eq!(total(&server).errors, 0);
    });
}
