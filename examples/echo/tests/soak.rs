//! A soak: mixed clients, polite and not, against the real program for a while, and nothing that it holds may grow.
//!
//! Some seconds by default; `SOAK_SECONDS=600 cargo test -p wheelhouse-echo --test soak -- --nocapture` is the long
//! form. What is watched is what a leak would show in: resident memory, open descriptors, and the tables of the
//! program's loops, which it tells when a signal asks for them; and at the end its own count of what was cut. The
//! clients run on a loop of this process, whose tables must be empty afterwards.

use std::cell::Cell;
use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::net::{Shutdown, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use wheelhouse::EventLoop;
use wheelhouse::net::TcpStream;
use wheelhouse::time::{sleep, timeout};

/// Short enough that idle clients are closed by the dozen in a short soak, long enough for busy ones on
/// a machine that has much else to do.
const IDLE_TIMEOUT: Duration = Duration::from_secs(2);

const LOOPS: usize = 2;

/// Clients at once.
const CLIENTS: usize = 48;

/// What a connection has in a loop's tables at most: its task, its timer, its descriptor. One that
/// was aborted may be there for a moment beside the next one of its client.
const ENTRIES: usize = CLIENTS * 2 * 3;

/// What the program may have grown by between the middle and the end: allocators keep some.
const GROWTH_KIB: u64 = 2048;

/// Longer than anything here takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(20);

struct Echo {
    child: Child,
    address: SocketAddr,
    said: Arc<Said>,
}

/// What it has said on stderr; a thread reads it.
#[derive(Default)]
struct Said {
    /// Of all tasks, timers and descriptors in the tables of its loops, as often as it was asked.
    tables: Mutex<Vec<usize>>,
    /// All but the tasks, of which there are many.
    text: Mutex<String>,
}

impl Said {
    fn listen(self: Arc<Said>, stderr: impl Read) {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            if let Some(tables) = line.strip_prefix("in its tables: ") {
                let numbers = tables.split(' ').filter_map(|word| word.parse::<usize>().ok());
                self.tables.lock().unwrap().push(numbers.sum());
            } else if !line.starts_with([' ', '(']) && !line.starts_with("loop ") {
                let mut text = self.text.lock().unwrap();
                text.push_str(&line);
                text.push('\n');
            }
        }
    }
}

impl Echo {
    fn start() -> Echo {
        let line = format!(
            "--tcp 127.0.0.1:0 --loops {LOOPS} --idle-timeout {}ms",
            IDLE_TIMEOUT.as_millis()
        );
        let mut child = Command::new(env!("CARGO_BIN_EXE_wheelhouse-echo"))
            .args(line.split_whitespace())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut first = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
        let address = first.trim().strip_prefix("listening tcp ").unwrap().parse().unwrap();
        let said = Arc::<Said>::default();
        let (listener, stderr) = (said.clone(), child.stderr.take().unwrap());
        thread::spawn(move || listener.listen(stderr));
        Echo { child, address, said }
    }

    /// What is in the tables of all loops, the loops one after the other.
    fn tables(&self) -> Vec<usize> {
        let before = self.said.tables.lock().unwrap().len();
        self.signal(Signal::USR1);
        let asked = Instant::now();
        loop {
            let tables = self.said.tables.lock().unwrap()[before..].to_vec();
            if tables.len() == LOOPS {
                return tables;
            }
            assert!(asked.elapsed() < PATIENCE, "it does not answer a signal");
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn held(&self) -> Held {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let resident_kib = resident.trim().trim_end_matches(" kB").parse().unwrap();
        let descriptors = fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count();
        Held { resident_kib, descriptors, tables: self.tables().iter().sum() }
    }

    /// Stops it; the exit code and what it said.
    fn stop(mut self) -> (Option<i32>, String) {
        self.signal(Signal::TERM);
        let code = self.child.wait().unwrap().code();
        let text = self.said.text.lock().unwrap().clone();
        (code, text)
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a leak would show in.
#[derive(Clone, Copy, Debug)]
struct Held {
    resident_kib: u64,
    descriptors: usize,
    tables: usize,
}

/// How often each kind of client came and went.
#[derive(Debug, Default)]
struct Counts {
    echoed: Cell<u64>,
    half_closed: Cell<u64>,
    aborted: Cell<u64>,
    slow: Cell<u64>,
    timed_out: Cell<u64>,
    gave_up: Cell<u64>,
}

fn count(cell: &Cell<u64>) {
    cell.set(cell.get() + 1);
}

/// Small numbers that differ: which client comes next, and how much it sends.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    /// Up to so many bytes.
    fn bytes(&mut self, most: u64) -> Vec<u8> {
        let len = 1 + self.roll(most);
        (0..len).map(|_| self.roll(256) as u8).collect()
    }
}

async fn read_exactly(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<()> {
    let mut filled = 0;
    while filled < buffer.len() {
        match stream.read(&mut buffer[filled..]).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => filled += n,
        }
    }
    Ok(())
}

/// Messages there and back, each compared.
async fn echoes(address: SocketAddr, dice: &mut Dice) -> io::Result<()> {
    let stream = TcpStream::connect(address).await?;
    for _ in 0..dice.roll(8) + 1 {
        let sent = dice.bytes(20_000);
        let mut received = vec![0; sent.len()];
        let (writing, reading) =
            wheelhouse::join!(stream.write_all(&sent), read_exactly(&stream, &mut received));
        writing?;
        reading?;
        assert!(sent == received, "{} bytes came back different", sent.len());
    }
    Ok(())
}

/// Says all it has to say, ends its side, and gets every byte back before the end.
async fn half_closes(address: SocketAddr, dice: &mut Dice) -> io::Result<()> {
    let stream = TcpStream::connect(address).await?;
    let sent = dice.bytes(60_000);
    let mut received = vec![0; sent.len()];
    let send = async {
        stream.write_all(&sent).await?;
        stream.shutdown(Shutdown::Write)
    };
    let (sending, reading) = wheelhouse::join!(send, read_exactly(&stream, &mut received));
    sending?;
    reading?;
    assert!(sent == received, "a half-closed connection lost or changed bytes");
    assert_eq!(stream.read(&mut [0; 1]).await?, 0, "the end comes after the last byte");
    Ok(())
}

/// Sends and resets, mostly with the answer under way.
async fn aborts(address: SocketAddr, dice: &mut Dice) -> io::Result<()> {
    let stream = TcpStream::connect(address).await?;
    let sent = dice.bytes(30_000);
    let _ = timeout(Duration::from_millis(dice.roll(5)), stream.write_all(&sent)).await;
    stream.set_zero_linger()
}

/// Sends more than the buffers on the way hold and reads it in sips.
async fn reads_slowly(address: SocketAddr, dice: &mut Dice) -> io::Result<()> {
    let stream = TcpStream::connect(address).await?;
    let sent = dice.bytes(300_000);
    let mut received = vec![0; sent.len()];
    let sip = async {
        for part in received.chunks_mut(50_000) {
            sleep(Duration::from_millis(10)).await;
            read_exactly(&stream, part).await?;
        }
        Ok::<(), io::Error>(())
    };
    let (writing, reading) = wheelhouse::join!(stream.write_all(&sent), sip);
    writing?;
    reading?;
    assert!(sent == received, "a slow reader got other bytes");
    Ok(())
}

/// Says nothing until the server closes the connection.
async fn idles(address: SocketAddr) -> io::Result<()> {
    let stream = TcpStream::connect(address).await?;
    assert_eq!(stream.read(&mut [0; 1]).await?, 0, "the idle timeout closes it");
    Ok(())
}

/// Connects and gives up a read that is under way, then goes.
async fn gives_up(address: SocketAddr, dice: &mut Dice) -> io::Result<()> {
    let stream = TcpStream::connect(address).await?;
    let (began, wait) = (Instant::now(), Duration::from_millis(dice.roll(10)));
    let read = timeout(wait, stream.read(&mut [0; 64])).await;
    // On a machine that stood still for so long it was idle.
    let is_idle = matches!(read, Ok(Ok(0))) && began.elapsed() >= IDLE_TIMEOUT;
    assert!(read.is_err() || is_idle, "{read:?} after {:?}", began.elapsed());
    Ok(())
}

async fn client(address: SocketAddr, seed: u64, end: Instant, counts: Rc<Counts>) {
    let mut dice = Dice(seed);
    while Instant::now() < end {
        let (outcome, counter) = match dice.roll(16) {
            0..8 => (echoes(address, &mut dice).await, &counts.echoed),
            8..10 => (half_closes(address, &mut dice).await, &counts.half_closed),
            10..12 => (aborts(address, &mut dice).await, &counts.aborted),
            12 => (reads_slowly(address, &mut dice).await, &counts.slow),
            13 => (idles(address).await, &counts.timed_out),
            _ => (gives_up(address, &mut dice).await, &counts.gave_up),
        };
        if let Err(error) = outcome {
            panic!("a client was let down: {error}");
        }
        count(counter);
    }
}

/// Looks at what the program holds, four times a second, and stops and continues it now and then.
fn watch(echo: &Echo, end: Instant) -> Vec<Held> {
    let mut seen = Vec::new();
    while Instant::now() < end {
        thread::sleep(Duration::from_millis(250));
        seen.push(echo.held());
        if seen.len() % 16 == 0 {
            echo.signal(Signal::STOP);
            thread::sleep(Duration::from_millis(20));
            echo.signal(Signal::CONT);
        }
    }
    seen
}

async fn soak(address: SocketAddr, end: Instant, counts: &Rc<Counts>) {
    let clients = (0..CLIENTS as u64)
        .map(|seed| wheelhouse::spawn(client(address, seed, end, counts.clone())));
    let clients: Vec<_> = clients.collect();
    for client in clients {
        let time_left = end.saturating_duration_since(Instant::now());
        let ended = timeout(time_left + PATIENCE, client).await;
        ended.expect("a client hangs").expect("a client failed");
    }
}

fn highest_resident(seen: &[Held]) -> u64 {
    seen.iter().map(|held| held.resident_kib).max().unwrap_or(0)
}

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "what the program holds is read from /proc")]
fn nothing_grows_under_mixed_clients() {
    let seconds =
        std::env::var("SOAK_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(6);
    let echo = Echo::start();
    let before = echo.held();
    let counts = Rc::new(Counts::default());

    let event_loop = EventLoop::new().unwrap();
    let end = Instant::now() + Duration::from_secs(seconds);
    // On a thread of its own, so that no client waits for what it waits for.
    let seen = thread::scope(|threads| {
        let watching = threads.spawn(|| watch(&echo, end));
        event_loop.block_on(soak(echo.address, end, &counts));
        watching.join().unwrap()
    });
    let left = event_loop.metrics();
    assert_eq!(
        (left.tasks, left.timers, left.sources),
        (0, 0, 0),
        "left here: {}",
        event_loop.dump()
    );

    let settled = Instant::now() + PATIENCE;
    let is_over =
        |held: Held| (held.descriptors, held.tables) <= (before.descriptors, before.tables);
    while !is_over(echo.held()) && Instant::now() < settled {
        thread::sleep(Duration::from_millis(50));
    }
    let after = echo.held();
    let (first, second) = seen.split_at(seen.len() / 2);
    let (middle, last) = (highest_resident(first), highest_resident(second));
    let highest = |seen: &[Held]| seen.iter().map(|held| held.tables).max().unwrap_or(0);
    println!(
        "{counts:?}\nresident KiB: {} at first, {middle} and {last} at most in each half\n\
         in the tables: {} at first, {} and {} at most in each half, {} at the end",
        before.resident_kib,
        before.tables,
        highest(first),
        highest(second),
        after.tables
    );
    assert_eq!(after.tables, before.tables, "the tables of its loops are not empty again");
    assert!(highest(&seen) <= before.tables + ENTRIES, "more in the tables than clients make");
    assert_eq!(after.descriptors, before.descriptors, "descriptors are left open");
    assert!(last <= middle + GROWTH_KIB, "resident memory grew from {middle} to {last} KiB");

    let (code, text) = echo.stop();
    assert_eq!(code, Some(0), "{text}");
    for (counter, what) in [
        (&counts.echoed, "echoed"),
        (&counts.half_closed, "half-closed"),
        (&counts.aborted, "aborted"),
        (&counts.slow, "slow"),
        (&counts.timed_out, "idle"),
        (&counts.gave_up, "given up"),
    ] {
        assert!(counter.get() > 0, "no client of this kind came: {what}");
    }
}
