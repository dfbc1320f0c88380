//! A soak: the real program loads a server that behaves as badly as servers do, for a while, and
//! nothing that it holds may grow.
//!
//! Some seconds by default; `SOAK_SECONDS=600 cargo test -p wheelhouse-load --test soak --
//! --nocapture` is the long form. The server echoes, and aborts, half-closes, answers slowly, not at
//! all or wrongly, and turns away. What is watched is what a leak of the program's would show in:
//! resident memory, open descriptors, threads; and the server's loop is in this process, whose
//! tables stay small and end empty.

use std::cell::Cell;
use std::fs;
use std::io;
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
    echoed: Cell<u64>,
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

/// Echoes so many pieces, or to the end.
async fn echo(connection: &Conn, pieces: u64, pause: Duration, garble: u8) -> io::Result<()> {
    let mut buffer = vec![0; 4096];
    for _ in 0..pieces {
        match connection.read(&mut buffer).await? {
            0 => return Ok(()),
            n => {
                if !pause.is_zero() {
                    sleep(pause).await;
                }
                buffer[0] ^= garble;
                connection.write_all(&buffer[..n]).await?;
            }
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
    let pieces = dice(60);
    let counter = match dice(12) {
        0..5 => {
            echo(&connection, 20 * pieces, Duration::ZERO, 0).await?;
            &counts.echoed
        }
        5..7 => {
            echo(&connection, pieces, Duration::ZERO, 0).await?;
            connection.set_zero_linger()?;
            &counts.aborted
        }
        7 => {
            echo(&connection, pieces, Duration::ZERO, 0).await?;
            connection.shutdown(Shutdown::Write)?;
            listen_only(&connection).await?;
            &counts.half_closed
        }
        8 => {
            echo(&connection, 1 + pieces / 4, Duration::from_millis(20), 0).await?;
            &counts.slow
        }
        9 => {
            echo(&connection, pieces, Duration::ZERO, 0).await?;
            listen_only(&connection).await?;
            &counts.stalled
        }
        10 => {
            echo(&connection, pieces, Duration::ZERO, 0).await?;
            echo(&connection, 1, Duration::ZERO, 1).await?;
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
            "tcp://{target} --rate 4000 --depth 8 --connections {CONNECTIONS} --loops 2 --json - \
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
async fn watch(load: &Load, server: &Server, counts: &Counts, end: Instant) -> Vec<Held> {
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
            seen.push(load.held().expect("it has ended early"));
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
    let seen = watch(&load, &server, &counts, end).await;

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
        (&counts.echoed, "echoed"),
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
