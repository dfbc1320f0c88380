//! The command line: options, their defaults, the help.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use crate::expect::{Expectation, expectation};
use crate::http::request;
use crate::http2;
use crate::origin::Origin;
use crate::plan::{Stage, stages};
use crate::target::Place;
use crate::tls::TlsArgs;
use crate::values::{HIGHEST_RATE, rate, size, time};
use crate::workload::{self, Asking};

/// In open loop an answer that is late must not hold back the next send; this many are sent before
/// it does. Not over HTTP/1.1, where few servers like it.
const DEFAULT_DEPTH_OPEN: usize = 64;

/// Warm-up when none is asked for: a tenth of the run, at most this.
const LONGEST_DEFAULT_WARM_UP: Duration = Duration::from_secs(1);

/// A step of a search when no duration is asked for.
const DEFAULT_STEP: Duration = Duration::from_secs(3);
const DEFAULT_DURATION: Duration = Duration::from_secs(10);

/// Where a search begins.
const FIRST_RATE: u64 = 1000;

/// More than this would spin for the most part of a second between two messages.
const LONGEST_SPIN: Duration = Duration::from_millis(10);

/// The histograms end here.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(3600);

const EXAMPLES: &str = "\
TARGET is http://HOST[:PORT]/PATH, https://…, tcp://HOST:PORT or tls://HOST:PORT (echo servers),
unix:/SOCKET (echo) or http+unix:/SOCKET:/PATH. TIME is a number with us, ms, s, m or h: 500ms, 1.5s.
SIZE may end in k or M (1024), RATE in k or M (1000).

Two ways to put on load:
  Without --rate a connection sends when an answer has come (closed loop). That finds how much the
  target takes; but a target that stalls also stalls the questions, and its bad moments are hardly
  seen.
  With --rate (or --stages) each message has its moment in a plan (open loop), which is kept
  whatever the target does: the response time counts from the plan, the service time from the real
  send. What is overdue is sent as soon as there is room, late, and counted as late; what is never
  sent is counted as unsent.

A connection that fails is made anew, with pauses while nobody is there; the failure and the
messages under way on it are counted as errors. Only requests that a closing HTTP server has not
touched are sent again, and counted as resent. An echo server has no right to close, idle or not.
Redirects are not followed: a 3xx is an answer; from 400 on a status is an error.

If you know another tool:
  wrk -t2 -c64 -d30s URL             wheelhouse-load URL --loops 2 -c 64 -d 30s
  oha -c 64 -z 30s -q 1000 URL       wheelhouse-load URL -c 64 -d 30s --rate 1000
  vegeta attack -rate=1000           wheelhouse-load URL --rate 1000
  k6 stages, thresholds              --stages 10s@0..500,30s@500  --expect 'p95<200ms'

Exit code:
  0   all went well
  1   it could not run, or something went wrong (an error, unless --expect judges errors)
  2   usage
  98  the generator itself could not hold the rate: the figures show it, not the target
  99  an expectation was not met; of compare: the second run is worse

Examples:
  wheelhouse-load                                            an echo server of its own, 10 seconds
  wheelhouse-load http://127.0.0.1:8080/                     closed loop, as fast as it goes
  wheelhouse-load http://127.0.0.1:8080/ --rate 5k -d 30s    open loop: the honest latencies
  wheelhouse-load https://localhost/ --http2 --depth 20 --insecure
  wheelhouse-load http://127.0.0.1:8080/ --rate 2k --expect 'p99<5ms' --expect 'errors<0.1%'
  wheelhouse-load http://127.0.0.1:8080/ --find-rate 'p99<5ms' --report knee.html
  wheelhouse-load http://127.0.0.1:8080/ --stages 10s@0..5k,30s@5k --report run.html
  wheelhouse-load http://127.0.0.1:8080/ --json before.json
  wheelhouse-load compare before.json after.json
  wheelhouse-load --json - | jq .messages_per_second         for programs
";

const COMPARE_HELP: &str = "\
Noise is told from how much the figures of a run move from second to second: what differs by less
than two standard errors of that, or by less than --tolerance, is called the same. Longer runs, and
several of each, tell more.

Exit code: 0 if nothing is worse, 99 if something is, 1 if it could not compare, 2 usage.

Example:
  wheelhouse-load http://127.0.0.1:8080/ --rate 2k --json before.json
  wheelhouse-load http://127.0.0.1:8080/ --rate 2k --json after.json
  wheelhouse-load compare before.json after.json
";

/// Puts load on an HTTP or echo server, checks what comes back, and says how long answers took:
/// from the plan and from the send.
#[derive(Debug, Parser)]
#[command(name = "wheelhouse-load", version, after_help = EXAMPLES, max_term_width = 100)]
#[command(override_usage = "wheelhouse-load [OPTIONS] [TARGET]\n       \
                            wheelhouse-load compare [OPTIONS] BEFORE AFTER")]
pub(crate) struct Args {
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    tls: TlsArgs,
    #[command(flatten)]
    load: LoadArgs,
    #[command(flatten)]
    judge: JudgeArgs,
    #[command(flatten)]
    output: Outputs,
}

/// Compares two runs by their JSON summaries, and says what is better, worse or only noise.
#[derive(Clone, Debug, Parser)]
#[command(name = "wheelhouse-load compare", bin_name = "wheelhouse-load compare")]
#[command(version, after_help = COMPARE_HELP)]
pub(crate) struct CompareArgs {
    /// The summary of the first run, as --json wrote it
    pub(crate) before: PathBuf,
    /// The summary of the second
    pub(crate) after: PathBuf,
    /// What differs by less, in percent, is the same
    #[arg(long, value_name = "PERCENT", default_value_t = 5.0, value_parser = percent)]
    pub(crate) tolerance: f64,
    /// Write the comparison as JSON to stdout
    #[arg(long)]
    pub(crate) json: bool,
}

fn percent(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0);
    number.ok_or_else(|| "a number of percent is needed, such as 5 or 0.5".into())
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Target")]
struct TargetArgs {
    /// What to load; without one an echo server is started inside this program, on a thread of its
    /// own
    #[arg(value_name = "TARGET")]
    address: Option<String>,
    /// The same as an option
    #[arg(long, value_name = "TARGET", conflicts_with = "address")]
    target: Option<String>,
    /// Targets from a file, one a line as TARGET or METHOD TARGET, asked for in turn; connections are dealt
    /// out over their hosts
    #[arg(long, value_name = "FILE", conflicts_with_all = ["address", "target"])]
    targets: Option<PathBuf>,
    /// HTTP method [default: GET; with a body POST]
    #[arg(long, short = 'X', value_name = "METHOD", value_parser = request::method)]
    method: Option<String>,
    /// A header, as 'Name: value'; may be repeated
    #[arg(long = "header", short = 'H', value_name = "HEADER", value_parser = request::header)]
    headers: Vec<(String, String)>,
    /// The body of each request
    #[arg(long, value_name = "TEXT", conflicts_with = "body_file")]
    body: Option<String>,
    /// The body of each request, from a file
    #[arg(long, value_name = "FILE")]
    body_file: Option<PathBuf>,
    /// Speak HTTP/2: agreed on in TLS for https://, taken for granted for http://
    #[arg(long, conflicts_with = "no_keep_alive")]
    http2: bool,
    /// Close each connection after its answer; the next message makes a new one, and its time
    /// counts
    #[arg(long)]
    no_keep_alive: bool,
    /// Bytes a message, for echo servers
    #[arg(long, value_name = "SIZE", default_value = "64", value_parser = size)]
    size: usize,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Load")]
struct LoadArgs {
    /// Connections
    #[arg(long, short, value_name = "N", default_value_t = 64)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    connections: u32,
    /// Messages a connection may have under way: echo messages, pipelined HTTP/1.1 requests,
    /// HTTP/2 streams [default: 1; with --rate 64, but over HTTP/1.1 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    depth: Option<u32>,
    /// How long to measure, after the warm-up; with --find-rate each step [default: 10s; 3s]
    #[arg(long, short, value_name = "TIME", value_parser = time)]
    duration: Option<Duration>,
    /// Messages a second in total, sent by plan (open loop)
    #[arg(long, short, value_name = "RATE", value_parser = rate)]
    rate: Option<u64>,
    /// A plan in parts: TIME@RATE steady, TIME@FROM..TO rising or falling, as 10s@0..5k,30s@5k
    #[arg(long, value_name = "STAGES", value_parser = stages_of)]
    #[arg(conflicts_with_all = ["rate", "duration", "find_rate"])]
    stages: Option<Stages>,
    /// Load before measuring [default: a tenth of the duration, at most 1s]
    #[arg(long, value_name = "TIME", value_parser = time)]
    warm_up: Option<Duration>,
    /// Loops that make the load, each a thread
    #[arg(long, value_name = "N", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1024))]
    loops: u32,
    /// Wake up so long before a message is due, and stay awake for so long after an answer, so that
    /// the time it takes to wake a thread is not in the figures; it costs processor time, which is
    /// reported, and gives way to others. 0s only sleeps
    #[arg(long, value_name = "TIME", default_value = "100us", value_parser = time)]
    spin: Duration,
    /// Give up connecting, or waiting for an answer, after this; what was given up counts in the
    /// latencies with the time it was waited for
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = time)]
    timeout: Duration,
    /// How long the last answers may take when the run is over; then they count as unfinished
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = time)]
    drain: Duration,
}

/// In an `Option` of its own, so that clap does not take it for a list of options.
#[derive(Clone, Debug)]
struct Stages(Vec<Stage>);

fn stages_of(text: &str) -> Result<Stages, String> {
    stages(text).map(Stages)
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Judgement")]
struct JudgeArgs {
    /// Something that must be so, or the exit code is 99: 'p99<5ms', 'service.p99.9<20ms',
    /// 'first_byte.p50<1ms', 'errors<0.1%', 'rate>=1000'; may be repeated
    #[arg(long, value_name = "EXPECTATION", value_parser = expectation)]
    expect: Vec<Expectation>,
    /// Search for the highest rate at which this holds, beginning at --rate or 1000; may be
    /// repeated, and then all must hold
    #[arg(long, value_name = "EXPECTATION", value_parser = expectation)]
    find_rate: Vec<Expectation>,
    /// The highest rate that the search tries
    #[arg(long, value_name = "RATE", value_parser = rate, requires = "find_rate")]
    max_rate: Option<u64>,
    /// Bytes that the body of each good answer must have
    #[arg(long, value_name = "BYTES")]
    expect_length: Option<u64>,
}

#[derive(Clone, Debug, Default, PartialEq, clap::Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct Outputs {
    /// Write a JSON summary to a file, or with - to stdout (the table then goes to stderr)
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Write a line of JSON for each second of the run
    #[arg(long, value_name = "FILE")]
    pub(crate) jsonl: Option<PathBuf>,
    /// Write the histograms: as text of percentiles if the name ends in .hgrm, otherwise as a log
    /// of HdrHistogram (.hlog)
    #[arg(long, value_name = "FILE")]
    pub(crate) hdr: Option<PathBuf>,
    /// Write a report with pictures: one HTML file that needs nothing else
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    /// Write the picture of latencies by percentile as SVG; of a search, the knee
    #[arg(long, value_name = "FILE")]
    pub(crate) picture: Option<PathBuf>,
    /// A screen that shows how the run goes: rates, latencies, this program's own lateness, a chart;
    /// q stops the run and reports
    #[arg(long, conflicts_with = "quiet")]
    pub(crate) tui: bool,
    /// No line that shows how the run goes
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

impl Outputs {
    pub(crate) fn is_json_to_stdout(&self) -> bool {
        self.json.as_ref().is_some_and(|path| path.as_os_str() == "-")
    }
}

/// What to do, checked.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// `None`: the embedded server.
    pub(crate) origins: Option<Vec<Origin>>,
    pub(crate) is_http2: bool,
    pub(crate) connections: usize,
    pub(crate) loops: usize,
    pub(crate) size: usize,
    pub(crate) depth: usize,
    pub(crate) keeps_alive: bool,
    pub(crate) load: Load,
    pub(crate) warm_up: Duration,
    pub(crate) spin: Duration,
    pub(crate) timeout: Duration,
    pub(crate) drain: Duration,
    pub(crate) expected_length: Option<u64>,
    pub(crate) expect: Vec<Expectation>,
    pub(crate) search: Option<SearchFor>,
    pub(crate) outputs: Outputs,
}

/// How messages are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    Closed { lasts: Duration },
    Open { stages: Vec<Stage> },
}

/// The highest rate at which all of this holds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SearchFor {
    pub(crate) conditions: Vec<Expectation>,
    pub(crate) first: u64,
    pub(crate) most: u64,
    pub(crate) step: Duration,
}

impl Args {
    /// Checks what clap cannot. The error is for the user's eyes.
    pub(crate) fn into_settings(self) -> Result<Settings, String> {
        let Args { target, tls, load, judge, output } = self;
        if load.duration.is_some_and(|duration| duration.is_zero()) {
            return Err("`--duration` must be more than nothing, such as 10s".into());
        }
        if load.timeout.is_zero() || load.timeout > LONGEST_TIMEOUT {
            return Err("`--timeout` must be more than nothing and at most 1h, such as 10s".into());
        }
        if load.spin > LONGEST_SPIN {
            return Err("`--spin` must be at most 10ms, such as 100us; 0s does not spin".into());
        }
        let keeps_alive = !target.no_keep_alive;
        let size = target.size;
        let is_http2 = target.http2;
        let mut origins = target.origins()?;
        for origin in origins.iter_mut().flatten() {
            prepare(origin, &tls, is_http2)?;
        }
        uses_tls(&tls, origins.iter().flatten())?;
        if is_http2 && origins.is_none() {
            return Err("`--http2` needs a target; the embedded server only echoes".into());
        }
        let is_http = origins.as_ref().is_some_and(|all| all[0].target.is_http());
        let search = (!judge.find_rate.is_empty()).then(|| SearchFor {
            conditions: judge.find_rate,
            first: load.rate.unwrap_or(FIRST_RATE),
            most: judge.max_rate.unwrap_or(HIGHEST_RATE),
            step: load.duration.unwrap_or(DEFAULT_STEP),
        });
        let is_open = load.rate.is_some() || load.stages.is_some() || search.is_some();
        let depth = match load.depth {
            Some(depth) => depth as usize,
            None if is_open && (!is_http || is_http2) && keeps_alive => DEFAULT_DEPTH_OPEN,
            None => 1,
        };
        if !keeps_alive && depth > 1 {
            return Err("`--no-keep-alive` makes a connection for each message, which leaves no \
                        room for a `--depth` of more than 1"
                .into());
        }
        if judge.expect_length.is_some() && !is_http {
            return Err("`--expect-length` is for http:// and https://; echoes are compared byte \
                        by byte"
                .into());
        }
        let connections = load.connections as usize;
        let mode = load.mode(search.as_ref());
        let lasts = mode.lasts();
        Ok(Settings {
            origins,
            is_http2,
            connections,
            loops: (load.loops as usize).min(connections),
            size,
            depth,
            keeps_alive,
            warm_up: load.warm_up.unwrap_or((lasts / 10).min(LONGEST_DEFAULT_WARM_UP)),
            load: mode,
            spin: load.spin,
            timeout: load.timeout,
            drain: load.drain,
            expected_length: judge.expect_length,
            expect: judge.expect,
            search,
            outputs: output,
        })
    }
}

/// Options of TLS are of no use where nothing speaks it.
fn uses_tls<'a>(
    tls: &TlsArgs,
    mut origins: impl Iterator<Item = &'a Origin>,
) -> Result<(), String> {
    match tls.given() {
        Some(option) if !origins.any(|origin| origin.target.is_tls) => {
            Err(format!("`{option}` is for https:// and tls://"))
        }
        _ => Ok(()),
    }
}

/// Makes ready what TLS and HTTP/2 need, so that what is wrong with it is said before the run.
fn prepare(origin: &mut Origin, tls: &TlsArgs, is_http2: bool) -> Result<(), String> {
    let is_tls = origin.target.is_tls;
    if is_http2 && !origin.target.is_http() {
        return Err(format!("`--http2` is for http:// and https://, not `{}`", origin.target.name));
    }
    if is_http2 {
        let all = origin.requests.iter().map(|request| http2::message(request, is_tls));
        origin.messages = Some(all.collect::<Result<_, _>>()?);
    }
    if is_tls {
        let protocols: &[&[u8]] = match (is_http2, origin.target.is_http()) {
            (true, _) => &[b"h2"],
            (false, true) => &[b"http/1.1"],
            (false, false) => &[],
        };
        let host = match &origin.target.place {
            Place::Tcp { host, .. } => host.as_str(),
            Place::Unix(_) => "localhost",
        };
        origin.tls = Some(tls.tls(host, protocols)?);
    }
    Ok(())
}

impl LoadArgs {
    fn mode(&self, search: Option<&SearchFor>) -> Load {
        let lasts = self.duration.unwrap_or(DEFAULT_DURATION);
        match (search, &self.stages, self.rate) {
            (Some(search), _, _) => {
                Load::Open { stages: vec![Stage::steady(search.step, search.first)] }
            }
            (None, Some(stages), _) => Load::Open { stages: stages.0.clone() },
            (None, None, Some(rate)) => Load::Open { stages: vec![Stage::steady(lasts, rate)] },
            (None, None, None) => Load::Closed { lasts },
        }
    }
}

impl Load {
    pub(crate) fn lasts(&self) -> Duration {
        match self {
            Load::Closed { lasts } => *lasts,
            Load::Open { stages } => stages.iter().map(|stage| stage.lasts).sum(),
        }
    }
}

impl TargetArgs {
    fn origins(self) -> Result<Option<Vec<Origin>>, String> {
        let body = match (self.body, &self.body_file) {
            (Some(body), _) => body.into_bytes(),
            (None, Some(path)) => std::fs::read(path)
                .map_err(|error| format!("cannot read `{}`: {error}", path.display()))?,
            (None, None) => Vec::new(),
        };
        let asking = Asking { method: self.method, headers: self.headers, body };
        match (self.address.or(self.target), &self.targets) {
            (Some(address), _) => workload::one(&address, &asking).map(Some),
            (None, Some(path)) => workload::file(path, &asking).map(Some),
            (None, None) => Ok(None),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn settings(line: &str) -> Result<Settings, String> {
        let args = Args::try_parse_from(std::iter::once("load").chain(line.split_whitespace()));
        args.map_err(|error| error.to_string())?.into_settings()
    }

    #[test]
    fn the_defaults_load_an_embedded_server_for_ten_seconds() {
        let defaults = settings("").unwrap();
        assert!(defaults.origins.is_none());
        assert_eq!((defaults.connections, defaults.size, defaults.depth), (64, 64, 1));
        assert_eq!(defaults.load, Load::Closed { lasts: Duration::from_secs(10) });
        assert_eq!(defaults.warm_up, Duration::from_secs(1));
        assert_eq!((defaults.loops, defaults.keeps_alive), (1, true));
        assert_eq!(settings("--rate 5").unwrap().depth, DEFAULT_DEPTH_OPEN);
        assert_eq!(settings("http://127.0.0.1/ --rate 5").unwrap().depth, 1);
        assert_eq!(settings("-d 1s").unwrap().warm_up, Duration::from_millis(100));
    }

    #[test]
    fn every_option_is_read() {
        let all = settings(
            "--target tcp://127.0.0.1:9 --connections 3 --size 16k --depth 5 --duration 2m \
             --rate 1000 --warm-up 0s --json out.json --timeout 500ms --drain 1s --loops 2 \
             --jsonl a --hdr b --report c --picture d --quiet",
        );
        let all = all.unwrap();
        assert_eq!(all.origins.unwrap()[0].target.name, "tcp://127.0.0.1:9");
        assert_eq!((all.connections, all.size, all.depth, all.loops), (3, 16 << 10, 5, 2));
        let stage = Stage::steady(Duration::from_secs(120), 1000);
        assert_eq!(all.load, Load::Open { stages: vec![stage] });
        assert_eq!(all.warm_up, Duration::ZERO);
        assert_eq!((all.timeout, all.drain), (Duration::from_millis(500), Duration::from_secs(1)));
        assert_eq!(all.outputs.json, Some("out.json".into()));
        assert!(settings("--json -").unwrap().outputs.is_json_to_stdout());
        let by_place = settings("http://127.0.0.1:9/x -X PUT --body b -H A:b --no-keep-alive");
        let by_place = by_place.unwrap();
        let request = &by_place.origins.unwrap()[0].requests[0];
        assert_eq!((request.method.as_str(), request.path.as_str()), ("PUT", "/x"));
        assert!(!by_place.keeps_alive);
        assert_eq!(settings("-c 2 --loops 9").unwrap().loops, 2);
        let spins = |line| settings(line).unwrap().spin;
        assert_eq!(spins("--spin 30us"), Duration::from_micros(30));
        assert_eq!(spins("--spin 0s"), Duration::ZERO);
        assert_eq!(spins(""), Duration::from_micros(100), "longer than it takes to wake a thread");
    }

    #[test]
    fn a_search_has_steps_and_bounds() {
        let search = settings("--find-rate p99<5ms --rate 50 --max-rate 2k -d 1s").unwrap();
        let search = search.search.unwrap();
        assert_eq!((search.first, search.most, search.step), (50, 2000, Duration::from_secs(1)));
        let search = settings("--find-rate p99<5ms").unwrap().search.unwrap();
        assert_eq!((search.first, search.step), (FIRST_RATE, DEFAULT_STEP));
        let stages = settings("--stages 1s@0..10,2s@10").unwrap();
        assert_eq!(stages.load.lasts(), Duration::from_secs(3));
    }

    #[test]
    fn a_wrong_line_is_answered_with_what_to_do() {
        let says = |line: &str, words: &str| {
            let problem = settings(line).unwrap_err();
            assert!(problem.contains(words), "`{line}` gave `{problem}`");
        };
        says("--target ftp://127.0.0.1:80", "tcp://HOST:PORT");
        says("--target tcp://127.0.0.1", "tcp://HOST:PORT");
        says("--size 0", "between 1 byte and 16M");
        says("--size 17M", "between 1 byte and 16M");
        says("--size big", "such as 64 or 16k");
        says("--duration 5", "such as 500ms");
        says("--duration 0s", "more than nothing");
        says("--timeout 2h", "at most 1h");
        says("--spin 11ms", "at most 10ms");
        says("--rate 0", "between 1 and");
        says("--stages 5s", "10s@1000");
        says("--stages 5s@5 --rate 5", "cannot be used with");
        says("--conections 5", "--connections");
        says("--expect p99", "'p99<5ms'");
        says("tcp://127.0.0.1:7 --header A:b", "is an echo server");
        says("tcp://127.0.0.1:7 tcp://127.0.0.1:8", "unexpected argument");
        says("--no-keep-alive --depth 2", "--depth");
        says("--expect-length 5", "http://");
        says("--max-rate 5", "--find-rate");
        says("http://127.0.0.1/ --insecure", "`--insecure` is for https://");
        says("--sni x", "`--sni` is for https://");
        says("--tui --quiet", "cannot be used with");
    }

    #[test]
    fn the_help_teaches() {
        let help = settings("--help").unwrap_err();
        for words in
            ["Examples:", "98  the generator", "compare", "Target:", "Judgement:", "wrk -t2"]
        {
            assert!(help.contains(words), "{help}");
        }
    }
}
