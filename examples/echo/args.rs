//! The command line: options, their defaults, the help.

use std::ffi::OsString;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::Duration;

use lexopt::prelude::*;

use crate::service::Service;

/// Loopback only, so that trying it out opens nothing to the network. RFC 862's own port, 7, needs
/// privileges.
const DEFAULT_ADDRESS: &str = "127.0.0.1:7777";

/// Long enough for a slow client to read what is on its way, short enough for a service manager not
/// to kill us first.
const DEFAULT_GRACE: Duration = Duration::from_secs(5);

/// A loop is a thread; more than this is a typing error.
const MAX_LOOPS: usize = 1024;

const HELP: &str = "\
wheelhouse-echo: sends back what it receives, over TCP, TLS, UDP and Unix sockets

Usage: wheelhouse-echo [OPTIONS]

Where (each may be given several times; port 0 takes a free one and prints it):
  --tcp ADDR             Listen here. [default, if nothing is given: 127.0.0.1:7777, which is
                         reachable from this machine only]
  --udp ADDR             Answer datagrams here.
  --unix PATH            Listen at this path; @NAME is an abstract name. A socket that a dead
                         server left at the path is replaced.
  --tls ADDR             Listen here with TLS; needs the two below (a build with --features tls).
  --tls-cert FILE        The certificate chain, PEM.
  --tls-key FILE         Its private key, PEM.
  --metrics ADDR         Metrics for Prometheus at http://ADDR/metrics
                         (a build with --features metrics).

What:
  --service NAME         echo (RFC 862), discard (863) or chargen (864). [default: echo]
                         Datagrams from ports below 1024 get no answer, and no answer is longer
                         than the question: nobody is flooded in another's name.

How much:
  --loops N              Event loops, a thread each; the kernel spreads the connections over
                         them (SO_REUSEPORT). [default: 1]
  --max-connections N    Serve so many at once, over all listeners and loops; more wait in the
                         kernel's queue until one ends. [default: no limit but open files]
  --max-per-peer N       Serve so many at once of one IP address, or of one IPv6 network of 64 bits;
                         more are closed.
  --max-bytes N          Close a connection after so many bytes: 1000, 64k, 10M, 1G.
  --idle-timeout TIME    Close a connection on which nothing moved for so long
                         (or up to an eighth longer).
                         [default: never]
  --grace TIME           After SIGTERM and its like, give connections so long to get back what
                         they have sent. [default: 5s]

What is said:
  --stats                A line a second on stderr.
  --json                 All reports as lines of JSON on stdout.
  -h, --help             This text.
  -V, --version          The version.

TIME is a number with ms, s, m or h: 500ms, 30s, 1.5s, 2m.

It prints `listening KIND ADDR` on stdout for each listener once all of them accept, and one line
of totals on stderr at its end. SIGINT, SIGTERM or SIGHUP (unless ignored, as by nohup) stops
accepting, echoes what has arrived, and ends when every connection has been quiet for 100 ms, or
cuts what is left after the grace; a second signal ends it now. Who still waits for a place then
(--max-connections) is closed unserved. SIGUSR1 prints the totals and what each task of each loop
waits for. When open files or memory run out it pauses accepting, says so, and goes on.

Exit code: 0 everything was echoed, 1 it could not listen or connections were cut, 2 usage.

Examples:
  wheelhouse-echo                                          try it: nc 127.0.0.1 7777
  wheelhouse-echo --tcp 127.0.0.1:0 --udp 127.0.0.1:0 --unix /tmp/echo.sock
  wheelhouse-echo --tcp 0.0.0.0:7777 --tcp '[::]:7777'     for the network, both families
  wheelhouse-echo --loops 4 --max-connections 10000 --idle-timeout 30s --stats
  wheelhouse-echo --service chargen --max-bytes 1M         try it: nc 127.0.0.1 7777 | head
  wheelhouse-load --target tcp://127.0.0.1:7777            put load on it
";

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Serve(Settings),
    /// Help or version.
    Print(String),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) places: Vec<Place>,
    /// Certificate chain and key.
    pub(crate) tls: Option<(PathBuf, PathBuf)>,
    pub(crate) metrics: Option<SocketAddr>,
    pub(crate) service: Service,
    pub(crate) loops: usize,
    pub(crate) max_connections: Option<usize>,
    pub(crate) max_per_peer: Option<usize>,
    pub(crate) max_bytes: Option<u64>,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) grace: Duration,
    pub(crate) stats: bool,
    pub(crate) json: bool,
}

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Tcp(SocketAddr),
    Tls(SocketAddr),
    Udp(SocketAddr),
    /// A zero byte at the beginning makes it an abstract name.
    Unix(PathBuf),
}

/// Reads the command line, program name first. The error is for the user's eyes.
pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Command, String> {
    let mut settings = Settings { loops: 1, grace: DEFAULT_GRACE, ..Settings::default() };
    let (mut certificate, mut key) = (None, None);
    let mut parser = lexopt::Parser::from_iter(args);
    while let Some(arg) = parser.next().map_err(|error| error.to_string())? {
        match arg {
            Long("tls-cert") => certificate = Some(path(&mut parser, "--tls-cert")?),
            Long("tls-key") => key = Some(path(&mut parser, "--tls-key")?),
            Long("unix") => settings.places.push(unix(path(&mut parser, "--unix")?)?),
            Long("stats") => settings.stats = true,
            Long("json") => settings.json = true,
            Long(name) if TAKES_TEXT.contains(&name) => {
                let option = format!("--{name}");
                let text = value(&mut parser, &option)?;
                take(&mut settings, &option, &text)?;
            }
            Short('h') | Long("help") => return Ok(Command::Print(HELP.into())),
            Short('V') | Long("version") => {
                let version = env!("CARGO_PKG_VERSION");
                return Ok(Command::Print(format!("wheelhouse-echo {version}\n")));
            }
            Long(name) => return Err(format!("there is no option `--{name}`")),
            Short(name) => return Err(format!("there is no option `-{name}`")),
            Value(value) => {
                let value = value.to_string_lossy();
                return Err(format!(
                    "`{value}` is not an option; to listen there say `--tcp {value}`"
                ));
            }
        }
    }
    settings.tls = together(certificate, key)?;
    if settings.places.is_empty() {
        settings.places.push(Place::Tcp(address(DEFAULT_ADDRESS, "--tcp")?));
    }
    let wants_tls = settings.places.iter().any(|place| matches!(place, Place::Tls(_)));
    match (wants_tls, &settings.tls) {
        (true, None) => Err("`--tls` needs `--tls-cert FILE` and `--tls-key FILE`".into()),
        (false, Some(_)) => Err("`--tls-cert` is for `--tls ADDR`, which is not there".into()),
        _ => Ok(Command::Serve(settings)),
    }
}

/// Options with a value that is text.
const TAKES_TEXT: &[&str] = &[
    "tcp",
    "udp",
    "tls",
    "metrics",
    "service",
    "loops",
    "max-connections",
    "max-per-peer",
    "max-bytes",
    "idle-timeout",
    "grace",
];

fn take(settings: &mut Settings, option: &str, text: &str) -> Result<(), String> {
    match option {
        "--tcp" => settings.places.push(Place::Tcp(address(text, option)?)),
        "--udp" => settings.places.push(Place::Udp(address(text, option)?)),
        "--tls" => settings.places.push(Place::Tls(address(text, option)?)),
        "--metrics" => settings.metrics = Some(address(text, option)?),
        "--service" => {
            let problem = || format!("`--service {text}`: there are echo, discard and chargen");
            settings.service = Service::named(text).ok_or_else(problem)?;
        }
        "--loops" => settings.loops = count(text, option, MAX_LOOPS)?,
        "--max-connections" => settings.max_connections = Some(count(text, option, usize::MAX)?),
        "--max-per-peer" => settings.max_per_peer = Some(count(text, option, usize::MAX)?),
        "--max-bytes" => settings.max_bytes = Some(bytes(text, option)?),
        "--grace" => settings.grace = time(text, option)?,
        _ => {
            let time = time(text, option)?;
            if time.is_zero() {
                let advice = "leave it out for no timeout";
                return Err(format!("`{option} 0` would close all at once; {advice}"));
            }
            settings.idle_timeout = Some(time);
        }
    }
    Ok(())
}

fn together(
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
) -> Result<Option<(PathBuf, PathBuf)>, String> {
    match (certificate, key) {
        (Some(certificate), Some(key)) => Ok(Some((certificate, key))),
        (None, None) => Ok(None),
        (Some(_), None) => Err("`--tls-cert` needs `--tls-key FILE` as well".into()),
        (None, Some(_)) => Err("`--tls-key` needs `--tls-cert FILE` as well".into()),
    }
}

fn path(parser: &mut lexopt::Parser, option: &str) -> Result<PathBuf, String> {
    parser.value().map(PathBuf::from).map_err(|_| format!("`{option}` needs a value"))
}

/// `@name` is how abstract names are written everywhere.
fn unix(path: PathBuf) -> Result<Place, String> {
    match path.as_os_str().as_bytes() {
        [] => Err("`--unix` needs a path".into()),
        [b'@'] => Err("`--unix @` needs a name behind the @".into()),
        [b'@', name @ ..] => {
            let marked = [&[0], name].concat();
            Ok(Place::Unix(OsString::from_vec(marked).into()))
        }
        _ => Ok(Place::Unix(path)),
    }
}

fn value(parser: &mut lexopt::Parser, option: &str) -> Result<String, String> {
    let value = parser.value().map_err(|_| format!("`{option}` needs a value"))?;
    value.into_string().map_err(|_| format!("the value of `{option}` is not UTF-8"))
}

fn address(text: &str, option: &str) -> Result<SocketAddr, String> {
    let advice = "say HOST:PORT, such as 127.0.0.1:7777 or [::1]:7777";
    let mut found =
        text.to_socket_addrs().map_err(|error| format!("`{option} {text}`: {error}; {advice}"))?;
    found.next().ok_or_else(|| format!("`{option} {text}` names no address; {advice}"))
}

fn bytes(text: &str, option: &str) -> Result<u64, String> {
    let problem = || format!("`{option} {text}`: a number is needed, such as 1000, 64k, 10M or 1G");
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = match unit {
        "" => 1,
        "k" => 1_000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        _ => return Err(problem()),
    };
    let number: u64 = number.parse().map_err(|_| problem())?;
    match number.checked_mul(unit) {
        Some(0) => Err(format!("`{option} 0`: at least 1 is needed")),
        Some(bytes) => Ok(bytes),
        None => Err(problem()),
    }
}

fn count(text: &str, option: &str, max: usize) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if (1..=max).contains(&count) => Ok(count),
        Ok(0) => Err(format!("`{option} 0`: at least 1 is needed")),
        Ok(_) => Err(format!("`{option} {text}`: at most {max} are possible")),
        Err(_) => Err(format!("`{option} {text}`: a whole number is needed, such as 4")),
    }
}

fn time(text: &str, option: &str) -> Result<Duration, String> {
    let problem = || {
        format!(
            "`{option} {text}`: a number with ms, s, m or h is needed, such as 500ms, 30s or 2m"
        )
    };
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let seconds = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(problem()),
    };
    let number: f64 = number.parse().map_err(|_| problem())?;
    Duration::try_from_secs_f64(number * seconds).map_err(|_| problem())
}

#[cfg(test)]
#[path = "args_tests.rs"]
mod tests;
