//! The command line: options, their defaults, the help.

use std::ffi::OsString;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use lexopt::prelude::*;

/// Loopback only, so that trying it out opens nothing to the network. RFC 862's own port, 7, needs
/// privileges.
const DEFAULT_ADDRESS: &str = "127.0.0.1:7777";

/// Long enough for a slow client to read what is on its way, short enough for a service manager not
/// to kill us first.
const DEFAULT_GRACE: Duration = Duration::from_secs(5);

/// A loop is a thread; more than this is a typing error.
const MAX_LOOPS: usize = 1024;

const HELP: &str = "\
wheelhouse-echo: sends back what it receives, on any number of connections

Usage: wheelhouse-echo [OPTIONS]

Options:
  --tcp ADDR             Listen here; may be given several times. Port 0 takes a free one and
                         prints it. [default: 127.0.0.1:7777, reachable from this machine only]
  --loops N              Event loops, a thread each; the kernel spreads the connections over
                         them (SO_REUSEPORT). [default: 1]
  --max-connections N    Serve so many at once, over all listeners and loops; more wait in the
                         kernel's queue until one ends. [default: no limit but open files]
  --idle-timeout TIME    Close a connection on which nothing moved for so long
                         (or up to an eighth longer).
                         [default: never]
  --grace TIME           After SIGINT or SIGTERM, give connections so long to get back what
                         they have sent. [default: 5s]
  --stats                A line a second on stderr.
  -h, --help             This text.
  -V, --version          The version.

TIME is a number with ms, s, m or h: 500ms, 30s, 1.5s, 2m.

It prints `listening tcp ADDR` on stdout for each listener once all of them accept, and one line
of totals on stderr at its end. SIGINT or SIGTERM stops accepting, echoes what has arrived, and
ends when every connection has been quiet for 100 ms, or cuts what is left after the grace; a
second signal ends it now.

Exit code: 0 everything was echoed, 1 it could not listen or connections were cut, 2 usage.

Examples:
  wheelhouse-echo                                          try it: nc 127.0.0.1 7777
  wheelhouse-echo --tcp 127.0.0.1:0                        a free port, printed
  wheelhouse-echo --tcp 0.0.0.0:7777 --tcp '[::]:7777'     for the network, both families
  wheelhouse-echo --loops 4 --max-connections 10000 --idle-timeout 30s --stats
  wheelhouse-load --target tcp://127.0.0.1:7777            put load on it
";

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Serve(Settings),
    /// Help or version.
    Print(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) loops: usize,
    pub(crate) max_connections: Option<usize>,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) grace: Duration,
    pub(crate) stats: bool,
}

/// Reads the command line, program name first. The error is for the user's eyes.
pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Command, String> {
    let mut settings = Settings {
        addresses: Vec::new(),
        loops: 1,
        max_connections: None,
        idle_timeout: None,
        grace: DEFAULT_GRACE,
        stats: false,
    };
    let mut parser = lexopt::Parser::from_iter(args);
    while let Some(arg) = parser.next().map_err(|error| error.to_string())? {
        match arg {
            Long("tcp") => settings.addresses.push(address(&value(&mut parser, "--tcp")?)?),
            Long("loops") => {
                settings.loops = count(&value(&mut parser, "--loops")?, "--loops", MAX_LOOPS)?;
            }
            Long("max-connections") => {
                let text = value(&mut parser, "--max-connections")?;
                settings.max_connections = Some(count(&text, "--max-connections", usize::MAX)?);
            }
            Long("idle-timeout") => {
                let time = time(&value(&mut parser, "--idle-timeout")?, "--idle-timeout")?;
                if time.is_zero() {
                    let advice = "leave it out for no timeout";
                    return Err(format!("`--idle-timeout 0` would close all at once; {advice}"));
                }
                settings.idle_timeout = Some(time);
            }
            Long("grace") => settings.grace = time(&value(&mut parser, "--grace")?, "--grace")?,
            Long("stats") => settings.stats = true,
            Short('h') | Long("help") => return Ok(Command::Print(HELP.into())),
            Short('V') | Long("version") => {
                return Ok(Command::Print(format!(
                    "wheelhouse-echo {}\n",
                    env!("CARGO_PKG_VERSION")
                )));
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
    if settings.addresses.is_empty() {
        settings.addresses.push(address(DEFAULT_ADDRESS)?);
    }
    Ok(Command::Serve(settings))
}

fn value(parser: &mut lexopt::Parser, option: &str) -> Result<String, String> {
    let value = parser.value().map_err(|_| format!("`{option}` needs a value"))?;
    value.into_string().map_err(|_| format!("the value of `{option}` is not UTF-8"))
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let advice = "say HOST:PORT, such as 127.0.0.1:7777 or [::1]:7777";
    let mut found =
        text.to_socket_addrs().map_err(|error| format!("`--tcp {text}`: {error}; {advice}"))?;
    found.next().ok_or_else(|| format!("`--tcp {text}` names no address; {advice}"))
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
mod tests {
    use super::*;

    fn parse_line(line: &str) -> Result<Command, String> {
        parse(std::iter::once("echo").chain(line.split_whitespace()).map(OsString::from))
    }

    fn settings(line: &str) -> Settings {
        match parse_line(line) {
            Ok(Command::Serve(settings)) => settings,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn the_defaults_are_loopback_one_loop_and_no_limits() {
        let defaults = settings("");
        assert_eq!(defaults.addresses, vec!["127.0.0.1:7777".parse().unwrap()]);
        assert!(defaults.addresses[0].ip().is_loopback());
        assert_eq!((defaults.loops, defaults.max_connections), (1, None));
        assert_eq!((defaults.idle_timeout, defaults.stats), (None, false));
        assert_eq!(defaults.grace, Duration::from_secs(5));
    }

    #[test]
    fn every_option_is_read() {
        let all = settings(
            "--tcp 127.0.0.1:0 --tcp [::1]:9 --loops 3 --max-connections=7 \
             --idle-timeout 500ms --grace 2m --stats",
        );
        assert_eq!(all.addresses, vec!["127.0.0.1:0".parse().unwrap(), "[::1]:9".parse().unwrap()]);
        assert_eq!((all.loops, all.max_connections, all.stats), (3, Some(7), true));
        assert_eq!(all.idle_timeout, Some(Duration::from_millis(500)));
        assert_eq!(all.grace, Duration::from_secs(120));
    }

    #[test]
    fn times_have_units_and_fractions() {
        assert_eq!(time("1.5s", "x"), Ok(Duration::from_millis(1500)));
        assert_eq!(time("0s", "x"), Ok(Duration::ZERO));
        assert_eq!(time("1h", "x"), Ok(Duration::from_secs(3600)));
        for wrong in ["", "5", "s", "1.2.3s", "-1s", "5 s", "1e400s", "999999999999999999999h"] {
            assert!(time(wrong, "--grace").unwrap_err().contains("30s"), "{wrong}");
        }
    }

    #[test]
    fn a_wrong_line_is_answered_with_what_to_do() {
        let says = |line: &str, words: &str| {
            let problem = parse_line(line).unwrap_err();
            assert!(problem.contains(words), "`{line}` gave `{problem}`");
        };
        says("--tpc 1.2.3.4:5", "there is no option `--tpc`");
        says("-x", "there is no option `-x`");
        says("127.0.0.1:7777", "say `--tcp 127.0.0.1:7777`");
        says("--tcp", "`--tcp` needs a value");
        says("--tcp 127.0.0.1", "HOST:PORT");
        says("--loops 0", "at least 1");
        says("--loops 5000", "at most 1024");
        says("--loops many", "whole number");
        says("--max-connections -1", "whole number");
        says("--idle-timeout 30", "30s");
        says("--idle-timeout 0s", "leave it out");
    }

    #[test]
    fn help_wins_and_teaches() {
        let Ok(Command::Print(text)) = parse_line("--loops 2 --help") else { panic!() };
        assert!(text.contains("Examples:") && text.contains(DEFAULT_ADDRESS));
        let Ok(Command::Print(text)) = parse_line("-V") else { panic!() };
        assert!(text.starts_with("wheelhouse-echo "));
    }
}
