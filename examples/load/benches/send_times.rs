//! How punctual load testers are: a server that notes when requests come, and the testers that are
//! there, one after the other, each asked for the same steady rates.
//!
//! ```text
//! cargo bench -p wheelhouse-load --bench send_times -- [RATE...]
//! ```
//!
//! Request `k` of a rate `r` should come `k / r` after the first. The error of each is how much
//! later it came than the line through the most punctual hundredth; what the server itself is late
//! to notice is in it, for all alike. The first half second is left out. A tester that paces each
//! connection by itself is given one connection for each step of its own.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::Instant;

use wheelhouse::net::{TcpListener, TcpStream};
use wheelhouse::{LoopGroup, spawn};

const SECONDS: u64 = 4;

fn main() {
    // Cargo's own word to a bench is not a rate.
    let asked: Vec<u64> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let rates = if asked.is_empty() { vec![100, 1_000, 10_000, 50_000] } else { asked };
    println!(
        "{:<16} {:>9} {:>9} {:>10} {:>10} {:>10}",
        "tool", "rate", "came", "p50", "p99", "max"
    );
    for rate in rates {
        for (name, words) in testers(rate) {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            match arrivals(&words) {
                Some(moments) => line(name, rate, &errors(moments, rate)),
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
                "{own} URL -q -c {connections} --rate {rate} -d {SECONDS}s --warm-up 0s"
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

/// Runs a tester against a server of its own: when its requests came, in nanoseconds.
fn arrivals(words: &[&str]) -> Option<Vec<u64>> {
    let group = LoopGroup::new(1).expect("a loop for the server");
    let start = Instant::now();
    let bound = group.handle(0).spawn(move || async move {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let address = listener.local_addr()?;
        let seen = Rc::new(RefCell::new(Vec::with_capacity(1 << 20)));
        let noted = seen.clone();
        drop(spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                drop(spawn(serve(stream, start, noted.clone())));
            }
        }));
        SEEN.with(|kept| *kept.borrow_mut() = seen);
        Ok::<_, std::io::Error>(address)
    });
    let address = bound.wait().expect("the server runs").expect("the server listens");
    let url = format!("http://{address}/");
    let words: Vec<&str> = words.iter().map(|w| if *w == "URL" { &url } else { *w }).collect();
    let status = Command::new(words[0])
        .args(&words[1..])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.ok()?;
    let seen = group.handle(0).spawn(|| async { SEEN.with(|kept| kept.borrow().take()) });
    seen.wait().ok()
}

thread_local! {
    /// Of the server's loop: between the two calls into it.
    static SEEN: RefCell<Rc<RefCell<Vec<u64>>>> = RefCell::default();
}

async fn serve(stream: TcpStream, start: Instant, seen: Rc<RefCell<Vec<u64>>>) {
    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let _ = stream.set_nodelay(true);
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        // A request of these testers comes whole, and has one empty line.
        let ends = buffer[..count].windows(4).filter(|four| four == b"\r\n\r\n").count();
        let now = start.elapsed().as_nanos() as u64;
        seen.borrow_mut().extend(std::iter::repeat_n(now, ends));
        if ends > 0 && stream.write_all(&ANSWER.repeat(ends)).await.is_err() {
            break;
        }
    }
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

fn line(name: &str, rate: u64, errors: &[i64]) {
    let at = |share: f64| {
        let last = errors.len().saturating_sub(1);
        errors.get((share * last as f64) as usize).map_or(0.0, |error| *error as f64 / 1000.0)
    };
    let came = errors.len();
    let (p50, p99, max) = (at(0.5), at(0.99), at(1.0));
    println!("{name:<16} {rate:>9} {came:>9} {p50:>7.1} us {p99:>7.0} us {max:>7.0} us");
}
