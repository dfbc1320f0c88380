//! What to crawl and how, checked: what the command line comes to.

use std::path::PathBuf;
use std::time::Duration;

use crate::crawl::discover::Rules;
use crate::crawl::frontier::Manners;
use crate::crawl::journal::Identity;
use crate::crawl::pages::Limits;
use crate::http::client::ClientSettings;

pub(crate) struct Settings {
    /// Canonical.
    pub(crate) roots: Vec<String>,
    pub(crate) rules: Rules,
    pub(crate) limits: Limits,
    /// Requests at once, to all hosts.
    pub(crate) concurrency: usize,
    /// Pages asked for before the crawl ends.
    pub(crate) max_pages: u64,
    pub(crate) max_time: Option<Duration>,
    /// How hosts on this machine are treated, and how all others.
    pub(crate) local: Manners,
    pub(crate) polite: Manners,
    /// Tries after the first.
    pub(crate) retries: u8,
    /// Before the first of them, on this machine and elsewhere.
    pub(crate) local_backoff: Duration,
    pub(crate) backoff: Duration,
    /// Of a body, looked at for links.
    pub(crate) max_parse: usize,
    pub(crate) ignore_robots: bool,
    pub(crate) use_sitemaps: bool,
    /// The name by which robots.txt knows us.
    pub(crate) token: String,
    pub(crate) client: ClientSettings,
    pub(crate) connect_timeout: Duration,
    /// More roots of trust, in PEM.
    pub(crate) ca_file: Option<PathBuf>,
    /// Statuses from 400 on that are no fault.
    pub(crate) accepted: Vec<u16>,
    pub(crate) journal: Option<PathBuf>,
    pub(crate) resume: bool,
    pub(crate) files: Files,
    pub(crate) talk: Talk,
}

/// What is written besides the report.
#[derive(Clone, Debug, Default)]
pub(crate) struct Files {
    /// The summary; `-` is stdout.
    pub(crate) json: Option<PathBuf>,
    pub(crate) jsonl: Option<PathBuf>,
    pub(crate) csv: Option<PathBuf>,
    pub(crate) warc: Option<PathBuf>,
    pub(crate) dot: Option<PathBuf>,
    pub(crate) graphml: Option<PathBuf>,
    pub(crate) graph: Option<PathBuf>,
    pub(crate) timeline: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Talk {
    /// Only what went wrong.
    Quiet,
    Normal,
    /// A line for each request.
    Verbose,
}

impl Settings {
    /// What a journal of this crawl belongs to.
    pub(crate) fn identity(&self) -> Identity {
        let rules = &self.rules;
        let scope = format!(
            "{} outside={} parts={} nofollow={}",
            rules.scope, rules.check_outside, rules.check_parts, rules.ignore_nofollow
        );
        Identity { roots: self.roots.clone(), scope }
    }
}
