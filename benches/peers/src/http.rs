//! hyper's hello world, HTTP/1 and HTTP/2, on tokio's current_thread runtime with hyper-util's adapters and on
//! wheelhouse with its own: one service, one set of settings, each started as its documentation says. The load is
//! wrk's and h2load's, which know nothing of either.

use crate::contenders::Contender;
use crate::job::{Answer, Job, Protocol};
use crate::measure;
use crate::plan::{Metric, Plan, plain, ratio};
use crate::process::{Server, with_started};
use crate::runtime::Bound;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::rt::{Read, Timer, Write};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Instant;

/// How many requests h2load makes a second of the time that is asked for: it counts requests, not seconds.
const H2_A_SECOND: u32 = 50_000;

pub const METRICS: &[Metric] = &[
    ratio("cpu_ns", "cpu ns/request"),
    plain("user_ns", "~user"),
    plain("system_ns", "~system"),
    ratio("requests_per_s", "requests/s"),
    plain("busy", "server busy"),
];

// --------------------------------------------------------------------------------------------------- servers

/// Serves until it is killed.
pub fn serve(contender: &str, job: &Job) -> Result<(), String> {
    match contender {
        "tokio" => on_tokio(job.bound(), job.http),
        #[cfg(feature = "wheelhouse")]
        "wheelhouse" => on_wheelhouse(job.bound(), job.http),
        other => Err(format!("hyper is measured on tokio and on wheelhouse, not on {other}")),
    }
}

async fn hello(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::new(Bytes::from_static(b"Hello, World!"))))
}

async fn one(io: impl Read + Write + Unpin + 'static, timer: impl Timer + Send + Sync + 'static) {
    let _ = http1::Builder::new().timer(timer).serve_connection(io, service_fn(hello)).await;
}

/// A macro, since what an executor must be able to run has no name.
macro_rules! two {
    ($io:expr, $timer:expr, $executor:expr) => {{
        let mut builder = http2::Builder::new($executor);
        let _ = builder.timer($timer).serve_connection($io, service_fn(hello)).await;
    }};
}

#[cfg(feature = "wheelhouse")]
fn on_wheelhouse(bound: Bound, protocol: Protocol) -> Result<(), String> {
    use wheelhouse::net::TcpListener;
    use wheelhouse::net::compat::hyper::{HyperExecutor, HyperIo, HyperTimer};
    // In a task, as on tokio.
    let serving = async move {
        let listener = TcpListener::bind(bound.address()).await?;
        bound.announce(listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let io = HyperIo::new(stream);
            match protocol {
                Protocol::One => wheelhouse::spawn(one(io, HyperTimer)),
                Protocol::Two => wheelhouse::spawn(async { two!(io, HyperTimer, HyperExecutor) }),
            };
        }
    };
    let served: io::Result<()> =
        wheelhouse::run(async { wheelhouse::spawn(serving).await }).map_err(|e| e.to_string())?;
    served.map_err(|error| error.to_string())
}

fn on_tokio(bound: Bound, protocol: Protocol) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
    // In a task, as a server's code mostly is: `block_on` itself is slower.
    let serving = runtime.spawn(async move {
        let listener = tokio::net::TcpListener::bind(bound.address()).await?;
        bound.announce(listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let io = TokioIo::new(stream);
            match protocol {
                Protocol::One => tokio::spawn(one(io, TokioTimer::new())),
                Protocol::Two => tokio::spawn(async { two!(io, TokioTimer::new(), TokioExecutor::new()) }),
            };
        }
    });
    let served: io::Result<()> = runtime.block_on(serving).map_err(|e| e.to_string())?;
    served.map_err(|error| error.to_string())
}

// ---------------------------------------------------------------------------------------------- the measuring

/// Once, in a fresh process, after a shorter run that warms it up.
pub fn measure(contender: &Contender, plan: &Plan, protocol: Protocol) -> Result<Answer, String> {
    let run = |server: &mut Server| {
        let address = server.place.tcp()?;
        load(protocol, address, 1)?;
        let ticks_before = measure::process_ticks(server.pid()).unwrap_or_default();
        let (start, before) = (Instant::now(), server.cpu_ns()?);
        let (requests, per_second) = load(protocol, address, if plan.quick { 1 } else { 4 })?;
        let (elapsed, used) = (start.elapsed(), (server.cpu_ns()? - before) as f64);
        let ticks = measure::process_ticks(server.pid()).unwrap_or_default();
        let (user, system) = ((ticks.0 - ticks_before.0) as f64, (ticks.1 - ticks_before.1) as f64);
        let mut answer = Answer::new(server.detail.clone());
        answer.put("cpu_ns", used / requests);
        if user + system > 0.0 {
            answer.put("user_ns", used / requests * user / (user + system));
            answer.put("system_ns", used / requests * system / (user + system));
        }
        answer.put("requests_per_s", per_second);
        answer.put("busy", used / elapsed.as_nanos() as f64);
        Ok(answer)
    };
    let more = ["--http".to_owned(), protocol.name().to_owned()];
    let command = plan.child("http-server", contender, None, &more);
    with_started(contender, command, run).map(|(answer, _)| answer)
}

/// How many requests were answered, all of them well, and how many a second.
fn load(protocol: Protocol, address: SocketAddr, seconds: u32) -> Result<(f64, f64), String> {
    let url = format!("http://{address}/");
    match protocol {
        Protocol::One => {
            let text = run("wrk", &["-t1", "-c64", &format!("-d{seconds}s"), &url])?;
            if text.contains("Socket errors") || text.contains("Non-2xx") {
                return Err(format!("wrk saw errors: {text}"));
            }
            let requests = number(&text, |line| line.contains("requests in"), 0);
            let per_second = number(&text, |line| line.starts_with("Requests/sec:"), 1);
            requests.zip(per_second)
        }
        Protocol::Two => {
            let count = seconds * H2_A_SECOND;
            let text = run("h2load", &["-t1", "-c16", "-m16", "-n", &count.to_string(), &url])?;
            if !text.contains(&format!("{count} succeeded, 0 failed, 0 errored")) {
                return Err(format!("h2load saw errors: {text}"));
            }
            let per_second = number(&text, |line| line.starts_with("finished in"), 3);
            per_second.map(|per_second| (f64::from(count), per_second))
        }
    }
    .ok_or_else(|| "what the load generator said was not understood".to_owned())
}

/// The number in the first line that is meant, at that word.
fn number(text: &str, is_meant: impl Fn(&str) -> bool, word: usize) -> Option<f64> {
    let line = text.lines().map(str::trim).find(|line| is_meant(line))?;
    line.split_whitespace().nth(word)?.parse().ok()
}

fn run(tool: &str, words: &[&str]) -> Result<String, String> {
    let mut command = Command::new(tool);
    command.args(words).stdin(Stdio::null());
    let output = measure::tie_to_parent(&mut command).output();
    let output = output.map_err(|e| format!("{tool}: {e} (Debian's packages: wrk, nghttp2-client)"))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(format!("{tool} failed: {}", String::from_utf8_lossy(&output.stderr).trim())),
    }
}
