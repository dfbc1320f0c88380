//! The command line: options, their defaults, the help.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

/// In open loop an answer that is late must not hold back the next send; this many are sent before
/// it does.
const DEFAULT_DEPTH_OPEN: usize = 64;

/// Warm-up when none is asked for: a tenth of the run, at most this.
const LONGEST_DEFAULT_WARM_UP: Duration = Duration::from_secs(1);

/// The histograms end here.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(3600);

const EXAMPLES: &str = "\
TIME is a number with us, ms, s, m or h: 500ms, 30s, 1.5s, 2m. SIZE may end in k or M (1024).

Without --rate a connection sends when an answer has come (closed loop): that finds how much the
target takes, but a target that stalls also stalls the questions, and its bad moments are hardly
seen. With --rate each message has its moment in a plan (open loop), which is kept whatever the
target does: the response time counts from the plan, the service time from the real send.

Exit code: 0 ok, 1 it could not run or something went wrong (a byte that differs among them),
2 usage, 98 the generator itself could not hold the rate.

Examples:
  wheelhouse-load                                         an embedded server, 10 seconds
  wheelhouse-load --target tcp://127.0.0.1:7777           a server of yours
  wheelhouse-load --rate 20000 --duration 30s             open loop: the honest latencies
  wheelhouse-load --connections 1000 --size 16k --depth 4
  wheelhouse-load --json - | jq .messages_per_s           for programs
";

/// Puts load on a TCP echo server, compares every byte that comes back, and reports latencies.
#[derive(Debug, Parser)]
#[command(name = "wheelhouse-load", version, after_help = EXAMPLES, max_term_width = 100)]
pub(crate) struct Args {
    /// The server, as tcp://HOST:PORT; without it one is started inside this program, on a thread
    /// of its own
    #[arg(long, value_name = "TARGET")]
    target: Option<String>,
    /// Connections
    #[arg(long, value_name = "N", default_value_t = 64)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    connections: u32,
    /// Bytes a message
    #[arg(long, value_name = "SIZE", default_value = "64", value_parser = size)]
    size: usize,
    /// Messages a connection may have under way [default: 1; with --rate 64]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    depth: Option<u32>,
    /// How long to measure, after the warm-up
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = time)]
    duration: Duration,
    /// Messages a second in total, sent by plan (open loop)
    #[arg(long, value_name = "R", value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    rate: Option<u64>,
    /// Load before measuring [default: a tenth of the duration, at most 1s]
    #[arg(long, value_name = "TIME", value_parser = time)]
    warm_up: Option<Duration>,
    /// Write a JSON summary to a file, or with - to stdout (the table then goes to stderr)
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Give up connecting, or waiting for an answer, after this; the connection ends then
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = time)]
    timeout: Duration,
}

/// What to do, checked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settings {
    /// `None`: the embedded server.
    pub(crate) target: Option<Target>,
    pub(crate) connections: usize,
    pub(crate) size: usize,
    pub(crate) depth: usize,
    pub(crate) duration: Duration,
    pub(crate) rate: Option<u64>,
    pub(crate) warm_up: Duration,
    pub(crate) json: JsonTo,
    pub(crate) timeout: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum JsonTo {
    Nowhere,
    Stdout,
    File(PathBuf),
}

/// A server, by the name the user gave and the address found for it once, before the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
}

impl Args {
    /// Checks what clap cannot. The error is for the user's eyes.
    pub(crate) fn into_settings(self) -> Result<Settings, String> {
        if self.duration.is_zero() {
            return Err("`--duration` must be more than nothing, such as 10s".into());
        }
        if self.timeout.is_zero() || self.timeout > LONGEST_TIMEOUT {
            return Err("`--timeout` must be more than nothing and at most 1h, such as 10s".into());
        }
        let default_depth = if self.rate.is_some() { DEFAULT_DEPTH_OPEN } else { 1 };
        Ok(Settings {
            target: self.target.as_deref().map(target).transpose()?,
            connections: self.connections as usize,
            size: self.size,
            depth: self.depth.map_or(default_depth, |depth| depth as usize),
            duration: self.duration,
            rate: self.rate,
            warm_up: self.warm_up.unwrap_or((self.duration / 10).min(LONGEST_DEFAULT_WARM_UP)),
            json: match self.json {
                None => JsonTo::Nowhere,
                Some(path) if path.as_os_str() == "-" => JsonTo::Stdout,
                Some(path) => JsonTo::File(path),
            },
            timeout: self.timeout,
        })
    }
}

fn target(text: &str) -> Result<Target, String> {
    use std::net::ToSocketAddrs;
    let advice = "say tcp://HOST:PORT, such as tcp://127.0.0.1:7777";
    let place = match text.split_once("://") {
        Some(("tcp", place)) => place.strip_suffix('/').unwrap_or(place),
        Some((scheme, _)) => {
            return Err(format!("`--target {text}`: `{scheme}` is not spoken here; {advice}"));
        }
        None => text,
    };
    let mut found =
        place.to_socket_addrs().map_err(|error| format!("`--target {text}`: {error}; {advice}"))?;
    let address =
        found.next().ok_or_else(|| format!("`--target {text}` names no address; {advice}"))?;
    Ok(Target { name: format!("tcp://{place}"), address })
}

fn size(text: &str) -> Result<usize, String> {
    const MOST: usize = 16 << 20;
    let (digits, unit) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 1 << 10),
        Some(b'M') => (&text[..text.len() - 1], 1 << 20),
        _ => (text, 1),
    };
    let size = digits.parse::<usize>().ok().and_then(|number| number.checked_mul(unit));
    match size {
        Some(size) if (1..=MOST).contains(&size) => Ok(size),
        Some(_) => Err("between 1 byte and 16M are possible".into()),
        None => Err("a number of bytes is needed, such as 64 or 16k".into()),
    }
}

fn time(text: &str) -> Result<Duration, String> {
    let problem =
        || "a number with us, ms, s, m or h is needed, such as 500ms, 30s or 2m".to_string();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let seconds = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(problem()),
    };
    let number: f64 = number.parse().map_err(|_| problem())?;
    // A run of ten years is a typing error, and keeps every nanosecond count within 64 bits.
    match Duration::try_from_secs_f64(number * seconds) {
        Ok(time) if time <= Duration::from_secs(10 * 365 * 24 * 3600) => Ok(time),
        _ => Err(problem()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(line: &str) -> Result<Settings, String> {
        let args = Args::try_parse_from(std::iter::once("load").chain(line.split_whitespace()));
        args.map_err(|error| error.to_string())?.into_settings()
    }

    #[test]
    fn the_defaults_load_an_embedded_server_for_ten_seconds() {
        let defaults = settings("").unwrap();
        assert_eq!(defaults.target, None);
        assert_eq!((defaults.connections, defaults.size, defaults.depth), (64, 64, 1));
        assert_eq!(
            (defaults.duration, defaults.warm_up),
            (Duration::from_secs(10), Duration::from_secs(1))
        );
        assert_eq!((defaults.rate, defaults.json), (None, JsonTo::Nowhere));
        assert_eq!(settings("--rate 5").unwrap().depth, DEFAULT_DEPTH_OPEN);
        assert_eq!(settings("--duration 1s").unwrap().warm_up, Duration::from_millis(100));
    }

    #[test]
    fn every_option_is_read() {
        let all = settings(
            "--target tcp://127.0.0.1:9 --connections 3 --size 16k --depth 5 --duration 2m \
             --rate 1000 --warm-up 0s --json out.json --timeout 500ms",
        );
        let all = all.unwrap();
        let target = all.target.unwrap();
        assert_eq!((target.name.as_str(), target.address.port()), ("tcp://127.0.0.1:9", 9));
        assert_eq!((all.connections, all.size, all.depth, all.rate), (3, 16 << 10, 5, Some(1000)));
        assert_eq!((all.duration, all.warm_up), (Duration::from_secs(120), Duration::ZERO));
        assert_eq!(all.json, JsonTo::File("out.json".into()));
        assert_eq!(all.timeout, Duration::from_millis(500));
        assert_eq!(settings("--json -").unwrap().json, JsonTo::Stdout);
        assert_eq!(
            settings("--target 127.0.0.1:9").unwrap().target.unwrap().name,
            "tcp://127.0.0.1:9"
        );
    }

    #[test]
    fn a_wrong_line_is_answered_with_what_to_do() {
        let says = |line: &str, words: &str| {
            let problem = settings(line).unwrap_err();
            assert!(problem.contains(words), "`{line}` gave `{problem}`");
        };
        says("--target http://127.0.0.1:80", "tcp://127.0.0.1:7777");
        says("--target tcp://127.0.0.1", "tcp://HOST:PORT");
        says("--size 0", "between 1 byte and 16M");
        says("--size 17M", "between 1 byte and 16M");
        says("--size big", "such as 64 or 16k");
        says("--duration 5", "such as 500ms");
        says("--duration 0s", "more than nothing");
        says("--timeout 2h", "at most 1h");
        says("--rate 0", "1..");
        says("--conections 5", "--connections");
        says("tcp://127.0.0.1:7", "unexpected argument");
    }

    #[test]
    fn the_help_teaches() {
        let help = settings("--help").unwrap_err();
        assert!(help.contains("Examples:") && help.contains("98 the generator"), "{help}");
    }
}
