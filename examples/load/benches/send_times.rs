//! How punctual load testers are: a server that is told by the kernel when requests came, and the
//! testers that are there, one after the other, each asked for the same steady rates.
//!
//! ```text
//! cargo bench -p wheelhouse-load --bench send_times -- [RATE...]
//! ```
//!
//! Request `k` of a rate `r` should come `k / r` after the first. The error of each is how much
//! later it came than the line through the most punctual hundredth. When it came is the time stamp
//! that the kernel gives a packet (`SO_TIMESTAMPNS`): over loopback it is taken within the sender's
//! call, so that neither the server's wake-up nor its other connections are in it. Where several
//! requests lie in a socket together, the kernel keeps the last one's.
//!
//! The first half second is left out. A tester that paces each connection by itself is given one
//! connection for each step of its own. Last stands what wheelhouse-load itself reports: the median
//! from the plan's moment to the moment of the send, with no line to go by.

use std::cell::RefCell;
use std::io::{self, IoSliceMut, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};
use std::rc::Rc;

use nix::cmsg_space;
use nix::sys::socket::sockopt::ReceiveTimestampns;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt};
use nix::sys::time::TimeSpec;
use wheelhouse::io::{AsyncFd, Interest};
use wheelhouse::net::TcpListener;
use wheelhouse::{LoopGroup, spawn};

const SECONDS: u64 = 4;

fn main() {
    // Cargo's own word to a bench is not a rate.
    let asked: Vec<u64> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let rates = if asked.is_empty() { vec![100, 1_000, 10_000, 50_000] } else { asked };
    println!(
        "{:<16} {:>9} {:>9} {:>10} {:>10} {:>10} {:>10}",
        "tool", "rate", "came", "p50", "p99", "max", "own p50"
    );
    for rate in rates {
        for (name, words) in testers(rate) {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            match arrivals(&words) {
                Some(came) => line(name, rate, &errors(came.moments, rate), came.own_median),
                None => println!("{name:<16} {rate:>9} SKIPPED: it is not installed"),
            }
        }
    }
}

/// `URL` stands for the server's address.
fn testers(rate: u64) -> Vec<(&'static str, Vec<String>)> {
    // Enough that no tester has to wait for an answer.
    let connections = (rate / 500).clamp(10, 100);
    let each = (rate / connections).max(1);
    let words = |line: String| line.split_whitespace().map(str::to_owned).collect();
    let own = env!("CARGO_BIN_EXE_wheelhouse-load");
    vec![
        (
            "wheelhouse-load",
            words(format!(
                "{own} URL -q -c {connections} --rate {rate} -d {SECONDS}s --warm-up 0s --json -"
            )),
        ),
        ("oha", words(format!("oha URL --no-tui -c {connections} -q {rate} -z {SECONDS}s"))),
        ("hey", words(format!("hey -c {connections} -q {each} -z {SECONDS}s URL"))),
        (
            "h2load",
            words(format!(
                "h2load --h1 -t1 -c {connections} --rps {each} -n {} URL",
                each * connections * SECONDS
            )),
        ),
    ]
}

/// What came of one tester.
struct Came {
    /// When its requests came, in nanoseconds.
    moments: Vec<u64>,
    /// The median error that it reports itself, if it does.
    own_median: Option<u64>,
}

/// Runs a tester against a server of its own.
fn arrivals(words: &[&str]) -> Option<Came> {
    let group = LoopGroup::new(1).expect("a loop for the server");
    let bound = group.handle(0).spawn(move || async move {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let address = listener.local_addr()?;
        let seen = Rc::new(RefCell::new(Vec::with_capacity(1 << 20)));
        let noted = seen.clone();
        drop(spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (Ok(stream), noted) = (stream.into_std(), noted.clone()) else { continue };
                // Whoever goes away in the middle of a request is none of the others' business.
                drop(spawn(async move { drop(serve(stream, noted).await) }));
            }
        }));
        SEEN.with(|kept| *kept.borrow_mut() = seen);
        Ok::<_, io::Error>(address)
    });
    let address = bound.wait().expect("the server runs").expect("the server listens");
    let url = format!("http://{address}/");
    let words: Vec<&str> = words.iter().map(|w| if *w == "URL" { &url } else { *w }).collect();
    let output = Command::new(words[0])
        .args(&words[1..])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let seen = group.handle(0).spawn(|| async { SEEN.with(|kept| kept.borrow().take()) });
    let summary: Option<serde_json::Value> = serde_json::from_slice(&output.stdout).ok();
    let own_median = summary.and_then(|own| own["plan"]["send_error_median_ns"].as_u64());
    Some(Came { moments: seen.wait().ok()?, own_median })
}

thread_local! {
    /// Of the server's loop: between the two calls into it.
    static SEEN: RefCell<Rc<RefCell<Vec<u64>>>> = RefCell::default();
}

async fn serve(stream: TcpStream, seen: Rc<RefCell<Vec<u64>>>) -> io::Result<()> {
    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    stream.set_nodelay(true)?;
    setsockopt(&stream, ReceiveTimestampns, &true)?;
    let stream = AsyncFd::new(stream)?;
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let (count, came) =
            stream.async_io(Interest::READABLE, |stream| receive(stream, &mut buffer)).await?;
        if count == 0 {
            return Ok(());
        }
        // A request of these testers comes whole, and has one empty line.
        let ends = buffer[..count].windows(4).filter(|four| four == b"\r\n\r\n").count();
        // What came before the socket was asked for its times has none.
        if let Some(came) = came {
            seen.borrow_mut().extend(std::iter::repeat_n(came, ends));
        }
        // The little that is sent always finds room.
        stream.get_ref().write_all(&ANSWER.repeat(ends))?;
    }
}

/// The bytes received, and when the kernel had the last of them, in nanoseconds of its real-time
/// clock. That and the testers' monotonic clocks run at one speed.
fn receive(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<(usize, Option<u64>)> {
    let mut parts = [IoSliceMut::new(buffer)];
    let mut control = cmsg_space!(TimeSpec);
    let message =
        recvmsg::<()>(stream.as_raw_fd(), &mut parts, Some(&mut control), MsgFlags::empty())?;
    let came = message.cmsgs()?.find_map(|control| match control {
        ControlMessageOwned::ScmTimestampns(time) => {
            Some(time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64)
        }
        _ => None,
    });
    Ok((message.bytes, came))
}

/// How much later each came than its place on the line.
fn errors(mut moments: Vec<u64>, rate: u64) -> Vec<i64> {
    moments.sort_unstable();
    let first = moments.first().map_or(0, |first| first + 500_000_000);
    let moments: Vec<u64> = moments.into_iter().filter(|moment| *moment >= first).collect();
    let place = |number: u64| (u128::from(number) * 1_000_000_000 / u128::from(rate)) as i64;
    let mut errors: Vec<i64> =
        (0..).zip(&moments).map(|(number, moment)| *moment as i64 - place(number)).collect();
    errors.sort_unstable();
    let line = errors.get(errors.len() / 100).copied().unwrap_or(0);
    errors.iter().map(|error| (error - line).max(0)).collect()
}

fn line(name: &str, rate: u64, errors: &[i64], own_median: Option<u64>) {
    let at = |share: f64| {
        let last = errors.len().saturating_sub(1);
        errors.get((share * last as f64) as usize).map_or(0.0, |error| *error as f64 / 1000.0)
    };
    let came = errors.len();
    let (p50, p99, max) = (at(0.5), at(0.99), at(1.0));
    let own = own_median.map_or(String::new(), |ns| format!(" {:>7.1} us", ns as f64 / 1000.0));
    println!("{name:<16} {rate:>9} {came:>9} {p50:>7.1} us {p99:>7.0} us {max:>7.0} us{own}");
}
