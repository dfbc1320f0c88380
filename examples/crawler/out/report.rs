//! What a crawl comes to, for people and for programs: totals, broken links with the pages they
//! stand on, and what was left out.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use crate::crawl::books::Books;
use crate::crawl::outcome::End;
use crate::crawl::pages::{PageId, Pages, State, Want};
use crate::crawl::run::{Course, Ended};
use crate::out::verdict::Judge;
use crate::settings::Settings;

/// Links, and pages for each of them, that the report names; the files have all.
const LINKS_SHOWN: usize = 50;
const PAGES_SHOWN: usize = 5;
const KINDS_SHOWN: usize = 5;
const KINDS_KEPT: usize = 100;

/// The summary. As JSON it carries a version, which changes when a field changes its meaning.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    version: u32,
    roots: Vec<String>,
    ended: &'static str,
    seconds: f64,
    /// Of this process, user and system.
    cpu_seconds: f64,
    peak_memory_bytes: u64,
    /// Addresses asked for, and those that earlier runs had done.
    done: u64,
    resumed: u64,
    requests: u64,
    pages_per_second: f64,
    body_bytes_wire: u64,
    known: usize,
    left: u64,
    /// Requests under way at the end; those pages are among the ones left.
    given_up: usize,
    pages: u64,
    parts: u64,
    outside: u64,
    forbidden_by_robots: u64,
    truncated: u64,
    /// Hosts that asked for it; some of their pages are among the ones left.
    left_alone: Vec<LeftAlone>,
    traps: u64,
    /// The first hundred that this run met.
    trap_examples: Vec<String>,
    /// What they have in common: those with most links first, a hundred of them.
    trap_kinds: Vec<TrapKind>,
    statuses: BTreeMap<u16, u64>,
    failures: BTreeMap<&'static str, u64>,
    content_types: BTreeMap<String, u64>,
    broken: Vec<BrokenLink>,
    pub(crate) exit_code: u8,
}

#[derive(Debug, Serialize)]
struct LeftAlone {
    host: String,
    seconds: u64,
}

/// Links that were left out because so many look alike, or for how they look.
#[derive(Debug, Serialize)]
struct TrapKind {
    pattern: String,
    links: u64,
    /// What lets them pass.
    option: &'static str,
}

#[derive(Debug, Serialize)]
struct BrokenLink {
    url: String,
    fault: String,
    /// Where redirects led from there.
    via: Vec<String>,
    /// The pages it stands on; none for a root.
    on: Vec<String>,
}

/// What the process used, to be told with the rest.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Used {
    pub(crate) cpu: Duration,
    pub(crate) peak_memory: u64,
}

impl Summary {
    pub(crate) fn new(settings: &Settings, books: &Books, course: &Course, used: Used) -> Summary {
        let pages = &books.pages;
        let (accepted, redirects) = (&settings.accepted, settings.limits.redirects);
        let judge = Judge { pages, accepted, redirects };
        let roots: Vec<PageId> =
            settings.roots.iter().filter_map(|root| pages.find(root)).collect();
        let broken = broken_links(&judge, &roots);
        let mut summary = Summary {
            version: 1,
            roots: settings.roots.clone(),
            ended: match course.ended {
                Ended::Complete => "complete",
                Ended::PageLimit => "page-limit",
                Ended::TimeLimit => "time-limit",
                Ended::Interrupted => "interrupted",
                Ended::Failed => "failed",
            },
            seconds: round(course.took.as_secs_f64()),
            cpu_seconds: round(used.cpu.as_secs_f64()),
            peak_memory_bytes: used.peak_memory,
            done: 0,
            resumed: books.resumed,
            requests: books.requests,
            pages_per_second: 0.0,
            body_bytes_wire: books.wire,
            known: pages.len(),
            left: 0,
            given_up: course.given_up,
            pages: 0,
            parts: 0,
            outside: 0,
            forbidden_by_robots: 0,
            truncated: 0,
            left_alone: left_alone(books),
            traps: 0,
            trap_examples: books.traps.clone(),
            trap_kinds: trap_kinds(pages),
            statuses: BTreeMap::new(),
            failures: BTreeMap::new(),
            content_types: BTreeMap::new(),
            exit_code: exit_code(course.ended, &broken),
            broken,
        };
        summary.count(pages);
        let now_done = summary.done.saturating_sub(books.resumed) as f64;
        summary.pages_per_second = (now_done / course.took.as_secs_f64().max(1e-9)).round();
        summary
    }

    fn count(&mut self, pages: &Pages) {
        for (_, _, page) in pages.iter() {
            self.left += u64::from(page.state == State::Queued);
            let Some(outcome) = &page.outcome else { continue };
            self.done += 1;
            match &outcome.end {
                End::Answered(status) => *self.statuses.entry(*status).or_default() += 1,
                End::Failed(failure) => {
                    *self.failures.entry(failure.class.name()).or_default() += 1;
                }
                End::Forbidden(_) => self.forbidden_by_robots += 1,
            }
            self.truncated += u64::from(outcome.cut.is_some());
            self.traps += outcome.left_out.iter().map(|kind| u64::from(kind.links)).sum::<u64>();
            let kind = match (page.is_outside, page.want) {
                (true, _) => &mut self.outside,
                (false, Want::Head) => &mut self.parts,
                (false, Want::Links | Want::Sitemap) => &mut self.pages,
            };
            *kind += 1;
            if outcome.is_success() {
                *self.content_types.entry(outcome.media.to_string()).or_default() += 1;
            }
        }
    }

    pub(crate) fn json(&self) -> Vec<u8> {
        // Numbers and strings: it cannot fail.
        let mut text = serde_json::to_vec_pretty(self).unwrap_or_default();
        text.push(b'\n');
        text
    }

    /// The broken links alone, if there are any.
    pub(crate) fn broken_text(&self) -> String {
        let mut text = String::new();
        if !self.broken.is_empty() {
            self.push_broken(&mut text);
        }
        text
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        self.push_broken(&mut text);
        self.push_totals(&mut text);
        text
    }

    fn push_broken(&self, text: &mut String) {
        if self.broken.is_empty() {
            text.push_str("No broken links.\n");
            return;
        }
        let links = if self.broken.len() == 1 { "link" } else { "links" };
        let _ = writeln!(text, "{} broken {links}:", self.broken.len());
        for link in self.broken.iter().take(LINKS_SHOWN) {
            let _ = writeln!(text, "\n  {}\n      {}", link.url, link.fault);
            if let Some(last) = link.via.last() {
                let _ = writeln!(text, "      redirected to {last}");
            }
            if link.on.is_empty() {
                text.push_str("      given on the command line\n");
            }
            for page in link.on.iter().take(PAGES_SHOWN) {
                let _ = writeln!(text, "      on {page}");
            }
            if link.on.len() > PAGES_SHOWN {
                let _ = writeln!(text, "      and on {} more", link.on.len() - PAGES_SHOWN);
            }
        }
        if self.broken.len() > LINKS_SHOWN {
            let more = self.broken.len() - LINKS_SHOWN;
            let _ = writeln!(text, "\n  and {more} more: --json FILE has them all");
        }
    }

    fn push_totals(&self, text: &mut String) {
        text.push('\n');
        let mut row = |name: &str, value: String| {
            let _ = writeln!(text, "  {name:<12} {value}");
        };
        let resumed = if self.resumed == 0 {
            String::new()
        } else {
            format!(", {} of them by earlier runs", self.resumed)
        };
        row("asked for", format!("{}{resumed}", self.done));
        let pages = if self.pages == 1 { "page" } else { "pages" };
        let mut kinds = format!("{} {pages}, {} parts of pages", self.pages, self.parts);
        if self.outside > 0 {
            let _ = write!(kinds, ", {} outside", self.outside);
        }
        row("of these", kinds);
        row("answers", counts(&self.statuses));
        if !self.failures.is_empty() {
            row("no answer", counts(&self.failures));
        }
        if self.forbidden_by_robots > 0 {
            row("robots.txt", format!("forbids {}", self.forbidden_by_robots));
        }
        if self.traps > 0 {
            let say = if self.traps == 1 { "link looks" } else { "links look" };
            row("traps", format!("{} {say} as if there were no end", self.traps));
            for kind in self.trap_kinds.iter().take(KINDS_SHOWN) {
                row("", format!("{} x {} ({})", kind.pattern, kind.links, kind.option));
            }
            if self.trap_kinds.len() > KINDS_SHOWN {
                row("", "and more: --json FILE has them".into());
            }
        }
        if self.truncated > 0 {
            let bodies = if self.truncated == 1 { "body was" } else { "bodies were" };
            let why = "too large or broken, and read in part (--max-body, --max-parse)";
            row("cut", format!("{} {bodies} {why}", self.truncated));
        }
        for LeftAlone { host, seconds } in &self.left_alone {
            row("left alone", format!("{host}, which wants no request for {seconds} s"));
        }
        if self.left > 0 {
            row("left", format!("{} were found and not asked for", self.left));
        }
        let pace = format!(
            "{:.2} s, {:.0} a second, {} requests, {} of bodies",
            self.seconds,
            self.pages_per_second,
            self.requests,
            bytes(self.body_bytes_wire)
        );
        row("time", pace);
        let cpu = format!(
            "{:.2} s of processor time, {} of memory at most",
            self.cpu_seconds,
            bytes(self.peak_memory_bytes)
        );
        row("cost", cpu);
        let ended = match self.ended {
            "complete" if self.left > 0 => "complete, but for hosts that want to be left alone",
            "complete" if self.traps > 0 => "complete, but for what looks as if it had no end",
            "complete" => "complete: nothing is left to ask for",
            "failed" => "before its time: a file could not be written",
            other => other,
        };
        row("ended", ended.to_owned());
    }
}

/// 130 is what shells say of a program that Ctrl-C ended.
fn exit_code(ended: Ended, broken: &[BrokenLink]) -> u8 {
    match ended {
        Ended::Interrupted => 130,
        Ended::Failed => 1,
        Ended::Complete | Ended::PageLimit | Ended::TimeLimit => {
            if broken.is_empty() {
                0
            } else {
                2
            }
        }
    }
}

/// What is broken, and what is no address at all: those with most pages behind them first.
fn broken_links(judge: &Judge<'_>, roots: &[PageId]) -> Vec<BrokenLink> {
    let name = |page: &PageId| judge.pages.name(*page).to_owned();
    let names = |all: &[PageId]| all.iter().map(name).collect();
    let broken = judge.broken(roots);
    let broken = broken.iter().map(|link| BrokenLink {
        url: name(&link.page),
        fault: link.fault.text(),
        via: names(&link.via),
        on: names(&link.on),
    });
    let malformed = judge.malformed().into_iter().map(|(href, on)| BrokenLink {
        url: href.to_owned(),
        fault: "it cannot be read as an address".to_owned(),
        via: Vec::new(),
        on: names(&on),
    });
    let mut links: Vec<BrokenLink> = broken.chain(malformed).collect();
    links.sort_by_key(|link| std::cmp::Reverse(link.on.len()));
    links
}

fn left_alone(books: &Books) -> Vec<LeftAlone> {
    let hosts = books.left_alone.iter();
    hosts.map(|(host, wish)| LeftAlone { host: host.clone(), seconds: wish.as_secs() }).collect()
}

fn trap_kinds(pages: &Pages) -> Vec<TrapKind> {
    let mut kinds: BTreeMap<(&str, &'static str), u64> = BTreeMap::new();
    let outcomes = pages.iter().filter_map(|(_, _, page)| page.outcome.as_ref());
    for kind in outcomes.flat_map(|outcome| &outcome.left_out) {
        let key = (kind.pattern.as_str(), kind.trap.option());
        *kinds.entry(key).or_default() += u64::from(kind.links);
    }
    let kinds = kinds.into_iter();
    let mut kinds: Vec<TrapKind> = kinds
        .map(|((pattern, option), links)| TrapKind { pattern: pattern.into(), links, option })
        .collect();
    kinds.sort_by_key(|kind| std::cmp::Reverse(kind.links));
    kinds.truncate(KINDS_KEPT);
    kinds
}

fn counts<K: std::fmt::Display>(all: &BTreeMap<K, u64>) -> String {
    let parts: Vec<String> = all.iter().map(|(key, count)| format!("{key} x {count}")).collect();
    if parts.is_empty() { "none".into() } else { parts.join(", ") }
}

fn round(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}

fn bytes(count: u64) -> String {
    match count {
        0..10_000 => format!("{count} bytes"),
        10_000..10_000_000 => format!("{:.1} kB", count as f64 / 1e3),
        _ => format!("{:.1} MB", count as f64 / 1e6),
    }
}
