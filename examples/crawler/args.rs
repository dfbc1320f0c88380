//! The command line: options, their defaults, the help.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue,
    TRANSFER_ENCODING, USER_AGENT,
};
use regex::Regex;

use crate::crawl::discover::Rules;
use crate::crawl::frontier::Manners;
use crate::crawl::pages::Limits;
use crate::http::client::ClientSettings;
use crate::http::decode::ACCEPTED;
use crate::settings::{Files, Settings, Talk};
use crate::web::address::{self, Parts};
use crate::web::robots;
use crate::web::scope::{Reach, Scope};
use crate::web::traps;

/// Hosts that are not on this machine get at most this many requests a second, unless the user says
/// that they are his.
const MOST_A_SECOND: u32 = 10;

/// A name in robots.txt, and the first word of the user agent.
const NAME: &str = "wheelhouse-crawler";

const EXAMPLES: &str = "\
TIME is a number with ms, s, m or h: 500ms, 30s, 5m. SIZE may end in k or M (1024). RE is a regular
expression that is looked for anywhere in an address.

With no address at all it crawls a site that is built in, on this machine: 1,500 pages, and most of
what can go wrong with links.

It is polite unless told otherwise: robots.txt and its Crawl-delay are obeyed, a host gets two
requests at once, a quarter of a second apart, and fewer when it answers slowly. Hosts on this
machine (localhost, 127.0.0.1, ::1) get sixteen at once and no delay.

A crawl with a journal can be killed at any moment, and --resume asks for nothing twice but what was
under way. It is brought to the disk each second: that is what a power cut may cost.

Links that look as if there were no end are left out: long or deep addresses, and more than 10,000
that differ in their query or their numbers alone. They are told when they are met and in the
report, with the option that lets more pass. What a sitemap lists may look alike as it likes.

Exit code: 0 all links are sound, 1 it could not run or write, 2 there are broken links (or the
command line is wrong), 130 it was interrupted; the report is written all the same.

Examples:
  wheelhouse-crawler                                        the built-in site
  wheelhouse-crawler http://localhost:8000/                 is my site sound before I publish it?
  wheelhouse-crawler https://example.org/ --max-depth 2 --contact me@example.org
  wheelhouse-crawler https://example.org/docs/ --reach prefix --check-outside
  wheelhouse-crawler https://example.org/ --journal big.journal --resume
                                                            go on where it was stopped or killed
  wheelhouse-crawler https://example.org/ --json - -q | jq '.broken[].url'
  wheelhouse-crawler --graph site.svg --timeline crawl.svg  pictures
";

/// Crawls a site politely, and says which of its links are broken, and on which pages they are.
#[derive(Debug, Parser)]
#[command(name = NAME, version, after_help = EXAMPLES, max_term_width = 100)]
pub(crate) struct Args {
    /// Where to begin: http or https addresses
    #[arg(value_name = "URL")]
    roots: Vec<String>,
    /// Crawl the built-in site, which is also what happens without an address
    #[arg(long, help_heading = "What to crawl", conflicts_with = "roots")]
    demo: bool,
    /// Serve the built-in site at this address until Ctrl-C, and crawl nothing
    #[arg(long, value_name = "ADDRESS", help_heading = "What to crawl", conflicts_with = "roots")]
    serve: Option<std::net::SocketAddr>,
    /// How far from the roots to go
    #[arg(long, value_enum, default_value = "host", help_heading = "What to crawl")]
    reach: Reach,
    /// Follow only addresses that match (may be repeated)
    #[arg(long, value_name = "RE", help_heading = "What to crawl")]
    include: Vec<Regex>,
    /// Never follow addresses that match (may be repeated)
    #[arg(long, value_name = "RE", help_heading = "What to crawl")]
    exclude: Vec<Regex>,
    /// Also ask whether links that leave the crawl lead anywhere; they are not followed
    #[arg(long, help_heading = "What to crawl")]
    check_outside: bool,
    /// Do not ask for images, scripts and other parts of pages
    #[arg(long, help_heading = "What to crawl")]
    no_parts: bool,
    /// Also crawl what the sitemaps in robots.txt list
    #[arg(long, help_heading = "What to crawl")]
    sitemaps: bool,
    /// Statuses from 400 on that are no fault, such as 401,403
    #[arg(long, value_name = "STATUS", value_delimiter = ',', help_heading = "What to crawl")]
    #[arg(value_parser = clap::value_parser!(u16).range(400..1000))]
    accept: Vec<u16>,

    /// Links to follow from a root; 0 asks for the roots only
    #[arg(long, value_name = "N", help_heading = "Limits")]
    max_depth: Option<u32>,
    /// Addresses to ask for
    #[arg(long, value_name = "N", help_heading = "Limits")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    max_pages: Option<u64>,
    /// End after this time
    #[arg(long, value_name = "TIME", value_parser = some_time, help_heading = "Limits")]
    max_time: Option<Duration>,
    /// Redirects to follow from a link
    #[arg(long, value_name = "N", default_value_t = 10, help_heading = "Limits")]
    max_redirects: u32,
    /// Of a body, decoded; the rest is not read
    #[arg(long, value_name = "SIZE", default_value = "8M", value_parser = size)]
    #[arg(help_heading = "Limits")]
    max_body: usize,
    /// Of a page, looked at for links
    #[arg(long, value_name = "SIZE", default_value = "2M", value_parser = size)]
    #[arg(help_heading = "Limits")]
    max_parse: usize,
    /// Bytes of an address; a longer one is a trap
    #[arg(long, value_name = "N", default_value_t = 2083, help_heading = "Limits")]
    max_url_length: usize,
    /// Segments of a path; a deeper one is a trap
    #[arg(long, value_name = "N", default_value_t = 20, help_heading = "Limits")]
    max_segments: usize,
    /// How often one segment may stand in a path; more is a trap
    #[arg(long, value_name = "N", default_value_t = 3, help_heading = "Limits")]
    max_repeats: usize,
    /// Addresses that differ in their query alone; more are a trap
    #[arg(long, value_name = "N", default_value_t = 10_000, help_heading = "Limits")]
    max_queries: u32,
    /// Addresses that differ in the numbers of their paths alone, as in a calendar; more are a trap
    #[arg(long, value_name = "N", default_value_t = 10_000, help_heading = "Limits")]
    max_numbers: u32,

    /// Requests at once, to all hosts
    #[arg(long, value_name = "N", default_value_t = 64, help_heading = "Pace")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    concurrency: u16,
    /// Requests at once, to one host [default: 2; on this machine 16]
    #[arg(long, value_name = "N", help_heading = "Pace")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    per_host: Option<u16>,
    /// Between two requests to a host [default: 250ms; on this machine none]
    #[arg(long, value_name = "TIME", value_parser = time, help_heading = "Pace")]
    delay: Option<Duration>,
    /// Keep the delay as it is, however slowly a host answers
    #[arg(long, help_heading = "Pace")]
    fixed_delay: bool,
    /// Tries after the first, for what may pass: time-outs, broken connections, 429, 500, 503 ...
    #[arg(long, value_name = "N", default_value_t = 3, help_heading = "Pace")]
    #[arg(value_parser = clap::value_parser!(u8).range(..=20))]
    retries: u8,
    /// Before the second try; doubled for each further one [default: 500ms; on this machine 20ms]
    #[arg(long, value_name = "TIME", value_parser = time, help_heading = "Pace")]
    backoff: Option<Duration>,
    /// For all of a request, to the last byte of its body
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = some_time)]
    #[arg(help_heading = "Pace")]
    timeout: Duration,
    /// For connecting, TLS included
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = some_time)]
    #[arg(help_heading = "Pace")]
    connect_timeout: Duration,
    /// The hosts are mine: any pace is allowed
    #[arg(long, help_heading = "Pace")]
    i_own_this_host: bool,
    /// Do not ask for robots.txt
    #[arg(long, help_heading = "Pace")]
    ignore_robots: bool,
    /// Follow what is marked `nofollow`
    #[arg(long, help_heading = "Pace")]
    ignore_nofollow: bool,

    /// Sent to the hosts of the roots, such as 'Authorization: Bearer ...' (may be repeated)
    #[arg(long, value_name = "NAME: VALUE", help_heading = "Requests")]
    header: Vec<String>,
    /// Who crawls: the letters that it begins with are also the name looked for in robots.txt
    #[arg(long, value_name = "TEXT", help_heading = "Requests")]
    user_agent: Option<String>,
    /// How to reach whoever crawls, as an address or a mail address; goes into the user agent
    #[arg(long, value_name = "TEXT", help_heading = "Requests")]
    contact: Option<String>,
    /// Trust these certificates too (PEM)
    #[arg(long, value_name = "FILE", help_heading = "Requests")]
    ca_file: Option<PathBuf>,

    /// Write down what is found and done, so that the crawl can be resumed
    #[arg(long, value_name = "FILE", help_heading = "Files")]
    journal: Option<PathBuf>,
    /// Go on with the journal; without one begin it
    #[arg(long, requires = "journal", help_heading = "Files")]
    resume: bool,
    /// The summary with all broken links; - is stdout (the report then goes to stderr)
    #[arg(long, value_name = "FILE", help_heading = "Files")]
    json: Option<PathBuf>,
    /// A line of JSON for each page
    #[arg(long, value_name = "FILE", help_heading = "Files")]
    jsonl: Option<PathBuf>,
    /// A row for each page
    #[arg(long, value_name = "FILE", help_heading = "Files")]
    csv: Option<PathBuf>,
    /// Requests and answers as an archive (WARC/1.1), packed if the name ends in .gz
    #[arg(long, value_name = "FILE", help_heading = "Files")]
    warc: Option<PathBuf>,
    /// The graph of links for Graphviz
    #[arg(long, value_name = "FILE", help_heading = "Files")]
    dot: Option<PathBuf>,
    /// The graph of links for Gephi, yEd and others
    #[arg(long, value_name = "FILE", help_heading = "Files")]
    graphml: Option<PathBuf>,
    /// The graph of links as a picture: .svg or .html
    #[arg(long, value_name = "FILE", help_heading = "Files")]
    graph: Option<PathBuf>,
    /// When each request began and ended: .svg is a picture, .json opens in Perfetto
    #[arg(long, value_name = "FILE", help_heading = "Files")]
    timeline: Option<PathBuf>,

    /// Print broken links and errors only
    #[arg(short, long, conflicts_with = "verbose", help_heading = "Talk")]
    quiet: bool,
    /// Print each answer
    #[arg(short, long, help_heading = "Talk")]
    verbose: bool,
}

/// What the user wants.
pub(crate) enum Task {
    /// The settings lack the root, which is known when the site is served.
    Demo(Box<Args>),
    Serve(std::net::SocketAddr),
    Crawl(Box<Settings>),
}

impl Args {
    /// The error is for the user's eyes.
    pub(crate) fn into_task(self) -> Result<Task, String> {
        if let Some(address) = self.serve {
            return Ok(Task::Serve(address));
        }
        if self.roots.is_empty() {
            return Ok(Task::Demo(Box::new(self)));
        }
        Ok(Task::Crawl(Box::new(self.into_settings()?)))
    }

    /// The settings for the built-in site, served at `root`.
    pub(crate) fn into_demo(mut self, root: &str) -> Result<Settings, String> {
        self.roots = vec![root.to_owned()];
        self.sitemaps = true;
        self.into_settings()
    }

    fn into_settings(self) -> Result<Settings, String> {
        let roots: Vec<String> =
            self.roots.iter().map(|root| address::from_user(root)).collect::<Result<_, _>>()?;
        self.check_pace(&roots)?;
        self.check_files()?;
        let talk = self.talk();
        let user_agent = self.user_agent();
        let manners = |at_once: u16, delay, is_adaptive: bool| Manners {
            at_once: usize::from(self.per_host.unwrap_or(at_once)),
            delay: self.delay.unwrap_or(delay),
            is_adaptive: is_adaptive && !self.fixed_delay,
        };
        let (local_backoff, backoff) = (Duration::from_millis(20), Duration::from_millis(500));
        Ok(Settings {
            limits: Limits {
                depth: self.max_depth.unwrap_or(u32::MAX),
                redirects: self.max_redirects,
            },
            concurrency: usize::from(self.concurrency),
            max_pages: self.max_pages.unwrap_or(u64::MAX),
            max_time: self.max_time,
            local: manners(16, Duration::ZERO, false),
            polite: manners(2, Duration::from_millis(250), true),
            retries: self.retries,
            local_backoff: self.backoff.unwrap_or(local_backoff),
            backoff: self.backoff.unwrap_or(backoff),
            max_parse: self.max_parse,
            ignore_robots: self.ignore_robots,
            use_sitemaps: self.sitemaps,
            token: token_of(&user_agent)?,
            client: ClientSettings {
                headers: headers(&user_agent)?,
                own_headers: own_headers(&self.header)?,
                own_origins: roots.iter().map(|root| Parts::of(root).origin.to_owned()).collect(),
                timeout: self.timeout,
                largest_body: self.max_body,
                keep_payload: self.warc.is_some(),
            },
            connect_timeout: self.connect_timeout,
            ca_file: self.ca_file,
            accepted: self.accept,
            journal: self.journal,
            resume: self.resume,
            files: Files {
                json: self.json,
                jsonl: self.jsonl,
                csv: self.csv,
                warc: self.warc,
                dot: self.dot,
                graphml: self.graphml,
                graph: self.graph,
                timeline: self.timeline,
            },
            talk,
            rules: Rules {
                scope: Scope::new(self.reach, &roots, self.include, self.exclude),
                traps: traps::Limits {
                    length: self.max_url_length,
                    segments: self.max_segments,
                    repeats: self.max_repeats,
                    queries: self.max_queries,
                    numbers: self.max_numbers,
                },
                check_outside: self.check_outside,
                check_parts: !self.no_parts,
                ignore_nofollow: self.ignore_nofollow,
            },
            roots,
        })
    }

    fn talk(&self) -> Talk {
        match (self.quiet, self.verbose) {
            (true, _) => Talk::Quiet,
            (false, true) => Talk::Verbose,
            (false, false) => Talk::Normal,
        }
    }

    fn user_agent(&self) -> String {
        if let Some(user_agent) = &self.user_agent {
            return user_agent.clone();
        }
        let contact = self.contact.as_ref().map(|contact| format!(" (+{contact})"));
        format!("{NAME}/{}{}", env!("CARGO_PKG_VERSION"), contact.unwrap_or_default())
    }

    /// Each file is one thing, and its name says which where there is a choice.
    fn check_files(&self) -> Result<(), String> {
        let files = [
            ("--journal", &self.journal, &[][..]),
            ("--json", &self.json, &[]),
            ("--jsonl", &self.jsonl, &[]),
            ("--csv", &self.csv, &[]),
            ("--warc", &self.warc, &[]),
            ("--dot", &self.dot, &[]),
            ("--graphml", &self.graphml, &[]),
            ("--graph", &self.graph, &["svg", "html"]),
            ("--timeline", &self.timeline, &["svg", "html", "json"]),
        ];
        let mut named: Vec<(&str, PathBuf)> = Vec::new();
        for (option, path, endings) in files {
            let Some(path) = path.as_deref() else { continue };
            let has =
                |ending: &&str| path.extension().is_some_and(|it| it.eq_ignore_ascii_case(ending));
            if !endings.is_empty() && !endings.iter().any(has) {
                return Err(format!(
                    "`{option} {}`: the name must end in .{}",
                    path.display(),
                    endings.join(" or .")
                ));
            }
            let is_shared = !path.starts_with("/dev");
            // `x` and `./x` are one; links are not looked through.
            let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
            if let Some((other, _)) = named.iter().find(|(_, it)| is_shared && *it == whole) {
                return Err(format!(
                    "`{other}` and `{option}` name the same file `{}`",
                    path.display()
                ));
            }
            named.push((option, whole));
        }
        Ok(())
    }

    /// A pace that strangers would not like needs a word.
    fn check_pace(&self, roots: &[String]) -> Result<(), String> {
        let shortest = Duration::from_secs(1) / MOST_A_SECOND;
        let is_fast = self.delay.is_some_and(|delay| delay < shortest);
        let stranger =
            roots.iter().find(|root| !Parts::of(root).is_loopback() || self.check_outside);
        match stranger {
            Some(root) if is_fast && !self.i_own_this_host => Err(format!(
                "`--delay {:?}` would send {} more than {MOST_A_SECOND} requests a second: say \
                 --i-own-this-host if you may, or --delay {}ms",
                self.delay.unwrap_or_default(),
                Parts::of(root).host,
                shortest.as_millis()
            )),
            _ => Ok(()),
        }
    }
}

/// The name by which robots.txt knows whoever crawls.
fn token_of(user_agent: &str) -> Result<String, String> {
    let token = robots::token_in(user_agent);
    if token.is_empty() {
        return Err(format!(
            "`--user-agent {user_agent}`: it must begin with a name of letters, `-` and `_`, by \
             which robots.txt may know it"
        ));
    }
    Ok(token.to_owned())
}

/// What every request carries.
fn headers(user_agent: &str) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    let agent = HeaderValue::from_str(user_agent);
    headers.insert(USER_AGENT, agent.map_err(|error| format!("`{user_agent}`: {error}"))?);
    let accept = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.5";
    headers.insert(ACCEPT, HeaderValue::from_static(accept));
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(ACCEPTED));
    Ok(headers)
}

fn own_headers(texts: &[String]) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for text in texts {
        let problem = || format!("`--header {text}`: say NAME: VALUE, such as 'Accept: text/html'");
        let (name, value) = text.split_once(':').ok_or_else(problem)?;
        let name = HeaderName::try_from(name.trim()).map_err(|_| problem())?;
        let value = HeaderValue::from_str(value.trim()).map_err(|_| problem())?;
        if [HOST, CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING].contains(&name) {
            return Err(format!(
                "`--header {text}`: that one is ours, it follows from the address"
            ));
        }
        headers.insert(name, value);
    }
    Ok(headers)
}

fn size(text: &str) -> Result<usize, String> {
    const MOST: usize = 1 << 30;
    let (digits, unit) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 1 << 10),
        Some(b'M') => (&text[..text.len() - 1], 1 << 20),
        _ => (text, 1),
    };
    let size = digits.parse::<usize>().ok().and_then(|number| number.checked_mul(unit));
    match size {
        Some(size) if (1..=MOST).contains(&size) => Ok(size),
        Some(_) => Err("between 1 byte and 1024M are possible".into()),
        None => Err("a number of bytes is needed, such as 64k or 8M".into()),
    }
}

fn time(text: &str) -> Result<Duration, String> {
    let problem = || "a number with ms, s, m or h is needed, such as 500ms, 30s or 5m".to_string();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let seconds = match unit {
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "" if number == "0" => 1.0,
        _ => return Err(problem()),
    };
    let number: f64 = number.parse().map_err(|_| problem())?;
    // A year is a typing error, and keeps every count of nanoseconds within 64 bits.
    match Duration::try_from_secs_f64(number * seconds) {
        Ok(time) if time <= Duration::from_secs(365 * 24 * 3600) => Ok(time),
        _ => Err(problem()),
    }
}

/// Within which something must happen.
fn some_time(text: &str) -> Result<Duration, String> {
    let time = time(text)?;
    if time.is_zero() { Err("nothing is done in no time: say 30s or so".into()) } else { Ok(time) }
}

#[cfg(test)]
#[path = "args_tests.rs"]
mod tests;
