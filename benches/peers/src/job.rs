//! What the parent asks of a child process, and what the child says.

use crate::measure::percentile;
use crate::place::Transport;
use crate::runtime::Bound;
use std::cell::Cell;
use std::str::FromStr;

/// What the parent asks for on the command line.
#[derive(Clone, Debug)]
pub struct Job {
    pub part: String,
    pub quick: bool,
    /// The processor of the measured thread, and that of its counterpart.
    pub cpu: Option<usize>,
    pub other_cpu: Option<usize>,
    pub transport: Transport,
    pub http: Protocol,
    pub port: u16,
    pub buffer: usize,
    /// The server for idle connections instead of the ordinary one.
    pub idle: bool,
    /// The server also runs a task that sleeps, once a line comes in on stdin.
    pub sleeper: bool,
    /// The server ends with this connection.
    pub exit_at: u64,
    pub count: u64,
}

impl Job {
    pub fn bound(&self) -> Bound {
        Bound { port: self.port, exit_at: self.exit_at, accepted: Cell::new(0) }
    }
}

/// What it says: figures by name, and what the contender runs on.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    pub detail: String,
    pub metrics: Vec<(String, f64)>,
    pub notes: Vec<String>,
}

impl Answer {
    pub fn new(detail: impl Into<String>) -> Answer {
        Answer { detail: detail.into(), ..Answer::default() }
    }
    pub fn put(&mut self, name: impl Into<String>, value: f64) {
        self.metrics.push((name.into(), value));
    }
    /// Median and p99 of the values, as `<name>_p50` and `<name>_p99`.
    pub fn put_percentiles(&mut self, name: &str, values: &mut [f64]) {
        self.put(format!("{name}_p50"), percentile(values, 0.5));
        self.put(format!("{name}_p99"), percentile(values, 0.99));
    }
    /// The one line that the parent reads.
    pub fn print(&self) {
        use std::io::Write;
        let metrics: serde_json::Map<_, _> =
            self.metrics.iter().map(|(name, value)| (name.clone(), (*value).into())).collect();
        println!("{}", serde_json::json!({ "detail": self.detail, "metrics": metrics, "notes": self.notes }));
        let _ = std::io::stdout().flush();
    }
    pub fn parse(line: &str) -> Option<Answer> {
        let value: serde_json::Value = serde_json::from_str(line).ok()?;
        let metrics = value["metrics"].as_object()?.iter();
        Some(Answer {
            detail: value["detail"].as_str()?.to_owned(),
            metrics: metrics.filter_map(|(name, v)| Some((name.clone(), v.as_f64()?))).collect(),
            notes: value["notes"].as_array()?.iter().filter_map(|n| n.as_str().map(str::to_owned)).collect(),
        })
    }
}

/// The version of HTTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    #[default]
    One,
    Two,
}

impl Protocol {
    pub fn name(self) -> &'static str {
        match self {
            Protocol::One => "1",
            Protocol::Two => "2",
        }
    }
}

impl FromStr for Protocol {
    type Err = String;
    fn from_str(word: &str) -> Result<Protocol, String> {
        let all = [Protocol::One, Protocol::Two];
        all.into_iter().find(|one| one.name() == word).ok_or_else(|| format!("no HTTP {word}"))
    }
}
