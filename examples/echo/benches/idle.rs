//! What idle timeouts cost the echo program: processor time a message, without them and with one of
//! 30 s that every message puts off.
//!
//!     cargo bench -p wheelhouse-echo --bench idle [-- SITTINGS [CONNECTIONS]]
//!     cargo bench -p wheelhouse-echo --bench idle -- --instructions
//!
//! The first takes some five minutes. Three servers run at once, two without timeouts and one with, each
//! with all of its connections and a client of its own. They work by turns, a message on each
//! connection at a time, in an order that runs there and back; what is compared is the processor
//! time the kernel counts for each server in its turns. A machine that grows slow does so for all
//! of them, and connecting is not in it. The second server without timeouts says what the method
//! finds where there is nothing to find.
//!
//! Where the memory of a process happens to lie is worth a percent, too. So there are several
//! sittings, each with new processes, and the intervals (bootstrap, 95 %) are drawn from these.
//! Ratios are those of sums: in a median the turns in which alarms ring would not show.
//!
//! The second counts instructions of the server in user space, by valgrind: no noise, but neither
//! caches nor the kernel.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};

const WITHOUT: &[&str] = &[];
const WITH: &[&str] = &["--idle-timeout", "30s"];

/// Those compared: the first to the others.
const SERVERS: [&[&str]; 3] = [WITHOUT, WITHOUT, WITH];

const MESSAGE: [u8; 64] = [7; 64];

const SITTINGS: usize = 20;

/// No other sitting begins after so long, however slow the machine is.
const LONGEST: Duration = Duration::from_secs(300);

/// Turns of each server in a sitting, which go there and back.
const TURNS: usize = 20;

/// Rounds before the first turn.
const WARM_UP: usize = 4;

/// How often a mean is drawn anew.
const DRAWS: usize = 10_000;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(place) = arguments.iter().position(|argument| argument == "--client") {
        return be_a_client(&arguments[place + 1], arguments[place + 2].parse().expect("a number"));
    }
    if arguments.iter().any(|argument| argument == "--instructions") {
        return compare_instructions();
    }
    // Cargo itself passes `--bench`.
    let mut numbers = arguments.iter().filter_map(|argument| argument.parse().ok());
    let sittings = numbers.next().unwrap_or(SITTINGS);
    let connections = numbers.next().unwrap_or(10_000);
    raise_open_files(connections);
    let (began, mut sat) = (Instant::now(), Vec::new());
    for number in 0..sittings {
        if began.elapsed() > LONGEST {
            break;
        }
        let times = sit(number, connections);
        let [first, control, with] = times.map(|ns| ns / (TURNS * connections) as f64);
        println!(
            "sitting {}: {first:.0} ns a message, {control:.0} again, {with:.0} with timeouts",
            number + 1
        );
        sat.push(times);
    }
    // Against both without timeouts, as there is no telling them apart.
    report("with idle timeouts", &sat, |[one, other, with]| (2.0 * with, one + other));
    report("control, without", &sat, |[one, other, _]| (other, one));
}

/// A server and its client.
struct Pair {
    server: Child,
    client: Child,
    to_client: ChildStdin,
    from_client: ChildStdout,
}

impl Pair {
    fn start(program: &mut Command, options: &[&str], connections: usize) -> Pair {
        let program = program.args(["--tcp", "127.0.0.1:0", "--grace", "0s"]).args(options);
        let mut server = program.stdout(Stdio::piped()).spawn().expect("the server starts");
        let mut line = String::new();
        let said = server.stdout.take().expect("it is piped");
        BufReader::new(said).read_line(&mut line).expect("it says where it listens");
        let address = line.trim().strip_prefix("listening tcp ").expect("it listens");
        let mut client = Command::new(std::env::current_exe().expect("this program's path"))
            .args(["--client", address, &connections.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the client starts");
        let to_client = client.stdin.take().expect("it is piped");
        let mut from_client = client.stdout.take().expect("it is piped");
        from_client.read_exact(&mut [0]).expect("it is connected");
        Pair { server, client, to_client, from_client }
    }

    /// A message on each connection, there and back.
    fn round(&mut self) {
        self.to_client.write_all(&[1]).expect("the client lives");
        self.from_client.read_exact(&mut [0]).expect("all came back");
    }

    /// A round: what it takes the server, in nanoseconds.
    fn turn(&mut self) -> u64 {
        let before = self.processor_time();
        self.round();
        self.processor_time() - before
    }

    /// Of all its threads, as of when they last slept. They sleep again soon.
    fn processor_time(&self) -> u64 {
        thread::sleep(Duration::from_millis(5));
        let tasks = fs::read_dir(format!("/proc/{}/task", self.server.id())).expect("it lives");
        let of_task = |task: std::io::Result<fs::DirEntry>| {
            let path = task.expect("a task").path().join("schedstat");
            let text = fs::read_to_string(path).expect("a kernel that counts (CONFIG_SCHED_INFO)");
            text.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0)
        };
        tasks.map(of_task).sum::<u64>()
    }

    /// Ends both, the server in peace; what it said on stderr, if that is piped.
    fn end(mut self) -> String {
        self.client.kill().and_then(|()| self.client.wait()).expect("the client ends");
        kill_process(Pid::from_child(&self.server), Signal::TERM).expect("the server lives");
        let mut text = String::new();
        if let Some(mut stderr) = self.server.stderr.take() {
            stderr.read_to_string(&mut text).expect("text");
        }
        self.server.wait().expect("the server ends");
        text
    }
}

fn echo() -> Command {
    let mut echo = Command::new(env!("CARGO_BIN_EXE_wheelhouse-echo"));
    echo.stderr(Stdio::null());
    echo
}

/// Nanoseconds of each server in all its turns.
fn sit(number: usize, connections: usize) -> [f64; 3] {
    // Who is started first, and who begins, goes round.
    let mut order: Vec<usize> = (0..SERVERS.len()).map(|n| (n + number) % SERVERS.len()).collect();
    let mut pairs = SERVERS.map(|_| None);
    for &which in &order {
        pairs[which] = Some(Pair::start(&mut echo(), SERVERS[which], connections));
    }
    let mut pairs = pairs.map(|pair| pair.expect("each was started"));
    for _ in 0..WARM_UP {
        pairs.iter_mut().for_each(Pair::round);
    }
    let mut times = [0; 3];
    for _ in 0..TURNS / 2 {
        for &which in order.iter().chain(order.iter().rev()) {
            times[which] += pairs[which].turn();
        }
        order.rotate_left(1);
    }
    pairs.into_iter().for_each(|pair| drop(pair.end()));
    times.map(|ns| ns as f64)
}

/// Prints by how much one is above the other, over all sittings, and between what with 95 %.
fn report(what: &str, sat: &[[f64; 3]], ratio: impl Fn([f64; 3]) -> (f64, f64)) {
    let percents: Vec<f64> = sat
        .iter()
        .map(|&times| {
            let (one, other) = ratio(times);
            (one / other - 1.0) * 100.0
        })
        .collect();
    let mean = |values: &mut dyn Iterator<Item = f64>| values.sum::<f64>() / sat.len() as f64;
    let mut random = 1u64;
    let mut draw = || {
        // Knuth's; the high bits are good enough for this.
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        percents[((random >> 33) as usize) % percents.len()]
    };
    let mut means: Vec<f64> = (0..DRAWS).map(|_| mean(&mut sat.iter().map(|_| draw()))).collect();
    means.sort_by(f64::total_cmp);
    println!(
        "{what}: {:+.2} %, between {:+.2} and {:+.2} % (95 %, {} sittings)",
        mean(&mut percents.iter().copied()),
        means[DRAWS / 40],
        means[DRAWS - 1 - DRAWS / 40],
        sat.len()
    );
}

fn compare_instructions() {
    let [without, with] = [WITHOUT, WITH].map(instructions_a_message);
    let more = (with / without - 1.0) * 100.0;
    println!("instructions a message: without {without:.1}, with {with:.1}: {more:+.2} %");
}

/// The difference of a long and a short run: starting and connecting are in both.
fn instructions_a_message(options: &[&str]) -> f64 {
    let [short, long] = [(10, 100), (210, 100)].map(|(rounds, connections)| {
        let mut valgrind = Command::new("valgrind");
        valgrind
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg(env!("CARGO_BIN_EXE_wheelhouse-echo"))
            .stderr(Stdio::piped());
        let mut pair = Pair::start(&mut valgrind, options, connections);
        (0..rounds).for_each(|_| pair.round());
        let text = pair.end();
        let count = text.lines().filter_map(|line| line.split_once("Collected : ")).next_back();
        let count = count.and_then(|(_, count)| count.trim().parse::<f64>().ok());
        (count.expect("valgrind's count"), (rounds * connections) as f64)
    });
    (long.0 - short.0) / (long.1 - short.1)
}

/// Connects, and makes a round whenever it is told to.
fn be_a_client(address: &str, connections: usize) {
    let connect = |_| {
        let stream = TcpStream::connect(address).expect("the server takes it");
        stream.set_nodelay(true).expect("a socket");
        stream
    };
    let streams: Vec<TcpStream> = (0..connections).map(connect).collect();
    let (mut told, mut done) = (std::io::stdin().lock(), std::io::stdout());
    let mut say_done = move || done.write_all(&[1]).and_then(|()| done.flush());
    say_done().expect("somebody listens");
    while told.read_exact(&mut [0]).is_ok() {
        for mut stream in &streams {
            stream.write_all(&MESSAGE).expect("the server lives");
        }
        for mut stream in &streams {
            stream.read_exact(&mut [0; MESSAGE.len()]).expect("it answers");
        }
        say_done().expect("somebody listens");
    }
}

/// For those started from here, too.
fn raise_open_files(connections: usize) {
    let needed = connections as u64 + 100;
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // Only root may have more than the maximum.
    let maximum = maximum.map(|maximum| maximum.max(needed));
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    raised.unwrap_or_else(|_| panic!("`ulimit -Hn` must be {needed} or more"));
}
