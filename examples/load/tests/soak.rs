//! A soak: the real program loads a server that behaves as badly as servers do, for a while, and
//! nothing that it holds may grow.
//!
//! Some seconds by default; `SOAK_SECONDS=600 cargo test -p wheelhouse-load --test soak --
//! --nocapture` is the long form. The server answers, and aborts, half-closes, answers slowly, not
//! at all or nonsense, and turns away; the program connects anew each time. What is watched is what
//! a leak of the program's would show in: resident memory, open descriptors, threads; and the
//! server's loop is in this process, whose tables stay small and end empty.

use std::cell::Cell;
use std::fs;
use std::io::{self, Read};
use std::net::{Shutdown, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use wheelhouse::EventLoop;
use wheelhouse::net::{Connection, Server};
use wheelhouse::time::{sleep, timeout};

type Conn = Connection<std::net::TcpStream>;

const CONNECTIONS: usize = 48;

/// What is not answered in time is given up: often, since many are not.
const TIMEOUT: Duration = Duration::from_millis(300);

/// What the program may have grown by between the middle and the end. A row of figures is kept for
/// each second, and allocators keep some.
const GROWTH_KIB: u64 = 3072;

/// Longer than anything here takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often the server did what.
#[derive(Debug, Default)]
struct Counts {
    answered: Cell<u64>,
    closed: Cell<u64>,
    aborted: Cell<u64>,
    half_closed: Cell<u64>,
    slow: Cell<u64>,
    stalled: Cell<u64>,
    garbled: Cell<u64>,
    turned_away: Cell<u64>,
    most_there: Cell<u64>,
}

fn count(cell: &Cell<u64>) {
    cell.set(cell.get() + 1);
}

/// Small numbers that differ: what comes next, and after how much.
fn dice(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move |sides| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 20) % sides
    }
}

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n01234567890123456789";
const LAST_ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";

/// Answers so many requests.
async fn answer(connection: &Conn, requests: u64, pause: Duration) -> io::Result<()> {
    let (mut received, mut buffer) = (Vec::new(), vec![0; 4096]);
    let end_of = |received: &[u8]| received.windows(4).position(|four| four == b"\r\n\r\n");
    for _ in 0..requests {
        let end = loop {
            if let Some(end) = end_of(&received) {
                break end;
            }
            match connection.read(&mut buffer).await? {
                0 => return Ok(()),
                n => received.extend_from_slice(&buffer[..n]),
            }
        };
        received.drain(..end + 4);
        let (head, rest) = ANSWER.split_at(if pause.is_zero() { ANSWER.len() } else { 25 });
        connection.write_all(head).await?;
        if !pause.is_zero() {
            sleep(pause).await;
            connection.write_all(rest).await?;
        }
    }
    Ok(())
}

/// Takes what comes, to the end of it.
async fn listen_only(connection: &Conn) -> io::Result<()> {
    let mut buffer = vec![0; 4096];
    while connection.read(&mut buffer).await? > 0 {}
    Ok(())
}

async fn misbehave(connection: Conn, number: u64, counts: Rc<Counts>) -> io::Result<()> {
    let mut dice = dice(number + 1);
    let kind = dice(12);
    let requests = dice(if kind < 5 { 1000 } else { 60 });
    let pause = if kind == 8 { Duration::from_millis(20) } else { Duration::ZERO };
    if kind < 11 {
        answer(&connection, requests, pause).await?;
    }
    let counter = match kind {
        0..4 => &counts.answered,
        4 => {
            connection.write_all(LAST_ANSWER).await?;
            &counts.closed
        }
        5..7 => {
            connection.write_all(&ANSWER[..30]).await?;
            connection.set_zero_linger()?;
            &counts.aborted
        }
        7 => {
            connection.shutdown(Shutdown::Write)?;
            listen_only(&connection).await?;
            &counts.half_closed
        }
        8 => &counts.slow,
        9 => {
            listen_only(&connection).await?;
            &counts.stalled
        }
        10 => {
            connection.write_all(b"HTTP/9 garbage\r\n\r\n").await?;
            &counts.garbled
        }
        _ => &counts.turned_away,
    };
    count(counter);
    Ok(())
}

/// The program at work; killed when the test ends.
struct Load {
    child: Child,
}

impl Load {
    fn start(target: SocketAddr, time: Duration) -> Load {
        let line = format!(
            "http://{target}/ --rate 3000 --depth 4 --connections {CONNECTIONS} --loops 2 --json - \
             --warm-up 0s --timeout {}ms --drain 1s --duration {}s --quiet",
            TIMEOUT.as_millis(),
            time.as_secs()
        );
        let child = Command::new(env!("CARGO_BIN_EXE_wheelhouse-load"))
            .args(line.split_whitespace())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Load { child }
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
async fn watch(load: &mut Load, server: &Server, counts: &Counts, end: Instant) -> Vec<Held> {
    let (mut seen, mut looks) = (Vec::new(), 0);
    while Instant::now() < end {
        sleep(Duration::from_millis(250)).await;
        counts.most_there.set(counts.most_there.get().max(server.stats().total().active));
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

async fn soak(time: Duration, counts: Rc<Counts>) -> (Vec<Held>, Value) {
    let (numbers, shared) = (Cell::new(0), counts.clone());
    let handler = move |connection, _| {
        count(&numbers);
        misbehave(connection, numbers.get(), shared.clone())
    };
    let server = Server::builder().bind("127.0.0.1:0").serve(handler).await.unwrap();
    let mut load = Load::start(server.local_addrs()[0], time);
    let end = Instant::now() + time - Duration::from_millis(500);
    let seen = watch(&mut load, &server, &counts, end).await;

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

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "what the program holds is read from /proc")]
fn nothing_grows_against_a_server_that_misbehaves() {
    let seconds =
        std::env::var("SOAK_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(6);
    let counts = Rc::new(Counts::default());
    let event_loop = EventLoop::new().unwrap();
    let (seen, report) = event_loop.block_on(soak(Duration::from_secs(seconds), counts.clone()));
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
    assert!(last.descriptors <= CONNECTIONS as u64 * 2 + 32, "descriptors: {last:?}");
    assert!(last.threads <= middle.threads, "threads: {middle:?} {last:?}");
    assert!(counts.most_there.get() <= CONNECTIONS as u64 * 2, "connections it has forgotten");

    assert!(report["messages"].as_u64().unwrap() > 100 * seconds, "{report}");
    assert!(report["error_count"].as_u64().unwrap() > seconds, "{report}");
    for (counter, what) in [
        (&counts.answered, "answered"),
        (&counts.closed, "closed"),
        (&counts.aborted, "aborted"),
        (&counts.half_closed, "half-closed"),
        (&counts.slow, "slow"),
        (&counts.stalled, "stalled"),
        (&counts.garbled, "garbled"),
        (&counts.turned_away, "turned away"),
    ] {
        assert!(counter.get() > 0, "the server never did this: {what}");
    }
}
