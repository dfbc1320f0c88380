//! A soak: the real program loads a server that behaves as badly as servers do, for a while, and
//! nothing that it holds may grow.
//!
//! Some seconds by default; `SOAK_SECONDS=600 cargo test -p wheelhouse-load --test soak --
//! --nocapture` is the long form. The server, of HTTP, of echoes over TCP or of echoes over a Unix
//! socket, answers, and aborts, half-closes, answers slowly, not at all or nonsense, and turns away;
//! the program connects anew each time. What is watched is what a leak of the program's would show
//! in: resident memory, open descriptors, threads, and the tasks, timers and sources of its loops,
//! which it reports itself; and the server's loop is in this process, whose tables stay small and
//! end empty.

mod server;
#[path = "../support/mod.rs"]
mod support;

use std::cell::Cell;
use std::fs;
use std::future::Future;
use std::io::{self, Read};
use std::process::Child;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use wheelhouse::EventLoop;
use wheelhouse::net::{Accepting, Server};
use wheelhouse::time::{sleep, timeout};

use crate::server::Counts;

const CONNECTIONS: usize = 48;

/// What is not answered in time is given up: often, since many are not.
const TIMEOUT: Duration = Duration::from_millis(300);

/// What the program may have grown by between the middle and the end. A row of figures is kept for
/// each second, and allocators keep some.
const GROWTH_KIB: u64 = 3072;

/// Longer than anything here takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// The program at work; killed when the test ends.
struct Load {
    child: Child,
}

impl Load {
    fn start(target: &str, time: Duration) -> Load {
        let line = format!(
            "{target} --rate 3000 --depth 4 --connections {CONNECTIONS} --loops 2 --json - \
             --warm-up 0s --timeout {}ms --drain 1s --duration {}s --quiet",
            TIMEOUT.as_millis(),
            time.as_secs()
        );
        Load { child: support::program(&line).spawn().unwrap() }
    }

    /// `None` when it has ended.
    fn held(&self) -> Option<Held> {
        let of = |name: &str| format!("/proc/{}/{name}", self.child.id());
        let status = fs::read_to_string(of("status")).ok()?;
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse().ok()
        };
        let descriptors = fs::read_dir(of("fd")).ok()?.count() as u64;
        Some(Held { resident_kib: number("VmRSS:")?, threads: number("Threads:")?, descriptors })
    }
}

impl Load {
    fn last_words(&mut self) -> String {
        let mut text = format!("{:?} ", self.child.wait());
        let _ = self.child.stdout.take().unwrap().read_to_string(&mut text);
        let _ = self.child.stderr.take().unwrap().read_to_string(&mut text);
        text
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a leak would show in.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Held {
    resident_kib: u64,
    descriptors: u64,
    threads: u64,
}

impl Held {
    /// The most of each.
    fn most(all: &[Held]) -> Held {
        all.iter().fold(Held::default(), |most, held| Held {
            resident_kib: most.resident_kib.max(held.resident_kib),
            descriptors: most.descriptors.max(held.descriptors),
            threads: most.threads.max(held.threads),
        })
    }
}

/// Looks four times a second at what the program holds, until shortly before its end: then it makes
/// its report. A stopped and continued process is what a terminal does to one.
async fn watch(load: &mut Load, end: Instant) -> Vec<Held> {
    let (mut seen, mut looks) = (Vec::new(), 0);
    while Instant::now() < end {
        sleep(Duration::from_millis(250)).await;
        looks += 1;
        if looks % 16 == 0 {
            let pid = Pid::from_child(&load.child);
            kill_process(pid, Signal::STOP).unwrap();
            sleep(Duration::from_millis(20)).await;
            kill_process(pid, Signal::CONT).unwrap();
        }
        // The first second is for what is made once.
        if looks > 4 {
            seen.push(
                load.held().unwrap_or_else(|| panic!("it has ended early: {}", load.last_words())),
            );
        }
    }
    seen
}

/// Loads `target`, which is where the server is.
async fn soak<L: Accepting>(server: Server<L>, target: &str) -> (Vec<Held>, Value) {
    let time = Duration::from_secs(seconds());
    let mut load = Load::start(target, time);
    let end = Instant::now() + time - Duration::from_millis(500);
    let seen = watch(&mut load, end).await;

    // It reads all the while, so that nothing waits for a full pipe.
    let mut stdout = load.child.stdout.take().unwrap();
    let report = wheelhouse::spawn_blocking(move || io::read_to_string(&mut stdout).unwrap());
    let report = timeout(PATIENCE, report).await.expect("it does not end").unwrap();
    let report = serde_json::from_str(&report).unwrap_or_else(|error| panic!("{error}: {report}"));
    server.close();
    server.close_clients(TIMEOUT).await;
    server.wait_closed().await;
    (seen, report)
}

fn seconds() -> u64 {
    std::env::var("SOAK_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(6)
}

/// Numbers, from 1.
fn numbers() -> impl Fn() -> u64 {
    let last = Cell::new(0);
    move || {
        last.set(last.get() + 1);
        last.get()
    }
}

/// Soaks what `soaks` starts, and judges what was seen.
fn judge<F>(soaks: impl FnOnce(Rc<Counts>) -> F)
where
    F: Future<Output = (Vec<Held>, Value)>,
{
    let counts = Rc::new(Counts::default());
    let event_loop = EventLoop::new().unwrap();
    let (seen, report) = event_loop.block_on(soaks(counts.clone()));
    let left = event_loop.metrics();
    let left = (left.tasks, left.timers, left.sources);
    assert_eq!(left, (0, 0, 0), "left here: {}", event_loop.dump());

    let (first, second) = seen.split_at(seen.len() / 2);
    let (middle, last) = (Held::most(first), Held::most(second));
    println!("{counts:?}\nmost in the first half: {middle:?}\nin the second: {last:?}");
    println!("{} messages, errors {}", report["messages"], report["errors"]);
    assert!(last.resident_kib <= middle.resident_kib + GROWTH_KIB, "memory: {middle:?} {last:?}");
    // A connection has one; one that is replaced may have two for a moment.
    assert!(last.descriptors <= middle.descriptors + 8, "descriptors: {middle:?} {last:?}");
    // So has one that it forgot.
    assert!(last.descriptors <= CONNECTIONS as u64 + 32, "descriptors: {last:?}");
    assert!(last.threads <= middle.threads, "threads: {middle:?} {last:?}");
    tables_are_flat(&report["generator"]["tables"]);

    assert!(report["messages"].as_u64().unwrap() > 100 * seconds(), "{report}");
    assert!(report["error_count"].as_u64().unwrap() > seconds(), "{report}");
    assert_eq!(counts.missing(), [""; 0], "the server never did this");
}

/// A connection is a task with an alarm and a socket; one that is made has a timeout beside. The
/// rest is a few for each of the two loops. However many connections there have been: what each left
/// behind would be in the hundreds after seconds.
fn tables_are_flat(tables: &Value) {
    println!("tables: {tables}");
    for (table, each) in [("tasks", 1), ("timers", 2), ("sources", 1)] {
        let most = |half: usize| tables[half][table].as_u64().unwrap();
        let connections = CONNECTIONS as u64;
        assert!(most(0) >= connections, "{table} are not looked at: {tables}");
        assert!(most(1) <= connections * each + 16, "{table}: {tables}");
    }
}

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "what the program holds is read from /proc")]
fn nothing_grows_against_an_http_server_that_misbehaves() {
    judge(|counts| async move {
        let number = numbers();
        let handler = move |connection, _| server::http(connection, number(), counts.clone());
        let server = Server::builder().bind("127.0.0.1:0").serve(handler).await.unwrap();
        let target = format!("http://{}/", server.local_addrs()[0]);
        soak(server, &target).await
    });
}

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "what the program holds is read from /proc")]
fn nothing_grows_against_a_tcp_echo_that_misbehaves() {
    judge(|counts| async move {
        let number = numbers();
        let handler = move |connection, _| server::echo(connection, number(), counts.clone());
        let server = Server::builder().bind("127.0.0.1:0").serve(handler).await.unwrap();
        let target = format!("tcp://{}", server.local_addrs()[0]);
        soak(server, &target).await
    });
}

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "what the program holds is read from /proc")]
fn nothing_grows_against_a_unix_echo_that_misbehaves() {
    judge(|counts| async move {
        let number = numbers();
        let handler = move |connection, _| server::echo(connection, number(), counts.clone());
        let socket = support::Scratch::new("soak.sock");
        let server = Server::unix_builder().bind(socket.path()).serve(handler).await.unwrap();
        soak(server, &format!("unix:{socket}")).await
    });
}
