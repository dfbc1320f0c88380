//! `wheelhouse-crawler`: crawls a site politely, and says which of its links are broken, and on
//! which pages they are.
//!
//! The map: `args.rs` reads the command line into `settings.rs`; `web/` has the rules of the web,
//! which know no socket; `http/` asks for one address; `crawl/` decides what comes next and keeps
//! the books; `out/` writes what came of it; `progress.rs` paints on a thread of its own; `demo/`
//! is the built-in site. A file imports from what stands before it here.

#![forbid(unsafe_code)]

mod args;
mod crawl;
mod demo;
mod http;
mod out;
mod progress;
mod settings;
mod web;

use std::cell::RefCell;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use wheelhouse::EventLoop;

use crate::args::{Args, Task};
use crate::crawl::books::Books;
use crate::crawl::fetch::Crawl;
use crate::crawl::robots_cache::{RobotsCache, RobotsSettings};
use crate::crawl::run;
use crate::demo::server::Server;
use crate::http::client::Client;
use crate::http::connect::Connector;
use crate::http::pool::Pool;
use crate::http::tls::Tls;
use crate::out::report::{Summary, Used};
use crate::out::warc::Warc;
use crate::progress::{Live, Painter};
use crate::settings::{Settings, Talk};

/// It could not run.
const FAILED: u8 = 1;

fn main() -> ExitCode {
    // Clap prints its own errors and ends with 2, and with 0 after `--help`.
    let task = match Args::parse().into_task() {
        Ok(task) => task,
        Err(problem) => Args::command().error(ErrorKind::ValueValidation, problem).exit(),
    };
    let done = match task {
        Task::Serve(address) => serve(address),
        Task::Demo(args) => demo(*args),
        Task::Crawl(settings) => crawl(*settings),
    };
    match done {
        Ok(exit_code) => ExitCode::from(exit_code),
        Err(problem) => {
            tell(&format!("wheelhouse-crawler: {problem}"));
            ExitCode::from(FAILED)
        }
    }
}

/// A line on stderr. If nobody can be told, that is no reason to fall over.
fn tell(text: &str) {
    if !text.is_empty() {
        let _ = writeln!(std::io::stderr(), "{text}");
    }
}

/// The built-in site, and a crawl of it.
fn demo(args: Args) -> Result<u8, String> {
    let server = Server::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    let settings = args.into_demo(&format!("http://{}/", server.address))?;
    if settings.talk != Talk::Quiet {
        tell(&format!(
            "Crawling the built-in site at {}; its broken links are there on purpose.",
            settings.roots[0]
        ));
    }
    crawl(settings)
}

fn serve(address: SocketAddr) -> Result<u8, String> {
    let server = Server::start(address)?;
    let address = server.address;
    let mut stdout = std::io::stdout().lock();
    writeln!(
        stdout,
        "http://{address}/ is the built-in site; http://{address}/c/ is its sound part."
    )
    .map_err(|error| format!("cannot write to stdout: {error}"))?;
    drop(stdout);
    let event_loop = EventLoop::new().map_err(|error| error.to_string())?;
    // The listener needs the loop, so it is made on it.
    let stopped = event_loop.block_on(async { wheelhouse::signal::ctrl_c().await });
    stopped.map_err(|error| error.to_string())?;
    Ok(0)
}

fn crawl(settings: Settings) -> Result<u8, String> {
    let event_loop =
        EventLoop::new().map_err(|error| format!("cannot make an event loop: {error}"))?;
    let live = Arc::new(Live::default());
    let talk = settings.talk;
    let painter = Painter::start(&live, talk != Talk::Quiet, talk == Talk::Quiet);
    let crawl = Rc::new(prepare(settings, live)?);
    let course = event_loop.block_on(run::run(&crawl));
    drop(painter);
    let books = &mut *crawl.books.borrow_mut();
    // What was found is written whatever happened.
    let flushed = books.rows.flush();
    let mut course = course?;
    let pictures = out::files::write(&crawl.settings, books);
    let summary = Summary::new(&crawl.settings, books, &course, used());
    let reported = write(&crawl.settings, &summary);
    // What went wrong first is told.
    course.problem.take().map_or(Ok(()), Err).and(flushed).and(pictures).and(reported)?;
    Ok(summary.exit_code)
}

fn prepare(settings: Settings, live: Arc<Live>) -> Result<Crawl, String> {
    raise_open_files(settings.concurrency)?;
    out::files::check(&settings.files)?;
    let connector =
        Connector::new(settings.connect_timeout, Tls::new(settings.ca_file.as_deref())?);
    let client = Client::new(Pool::new(connector), settings.client.clone());
    let robots = RobotsCache::new(RobotsSettings {
        is_ignored: settings.ignore_robots,
        token: settings.token.clone(),
        retries: settings.retries,
        backoff: settings.backoff,
        local_backoff: settings.local_backoff,
    });
    let headers = &settings.client.headers;
    let warc = settings.files.warc.as_ref();
    let warc = warc.map(|path| Warc::open(path, headers, settings.resume)).transpose()?;
    let books = RefCell::new(Books::open(&settings, live.clone())?);
    Ok(Crawl { settings, client, robots, books, warc, live })
}

/// The report goes to stdout, or to stderr when stdout belongs to the JSON.
fn write(settings: &Settings, summary: &Summary) -> Result<(), String> {
    let stdout = |text: &[u8]| {
        let mut out = std::io::stdout().lock();
        let written = out.write_all(text).and_then(|()| out.flush());
        written.map_err(|error| format!("cannot write to stdout: {error}"))
    };
    let is_json_alone = settings.files.json.as_ref().is_some_and(|path| path.as_os_str() == "-");
    let text = match settings.talk {
        // The JSON has them.
        Talk::Quiet if is_json_alone => String::new(),
        Talk::Quiet => summary.broken_text(),
        Talk::Normal | Talk::Verbose => summary.text(),
    };
    match &settings.files.json {
        Some(_) if is_json_alone => {
            tell(text.trim_end());
            stdout(&summary.json())
        }
        Some(path) => {
            stdout(text.as_bytes())?;
            let written = std::fs::write(path, summary.json());
            written.map_err(|error| out::rows::problem(path, &error))
        }
        None => stdout(text.as_bytes()),
    }
}

/// A request is an open file. The soft limit can be raised, the hard one not.
fn raise_open_files(concurrency: usize) -> Result<(), String> {
    // Connections that idle, journals, pictures, the demo's side of each connection.
    let needed = 2 * concurrency as u64 + 64;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|soft| soft >= needed) {
        return Ok(());
    }
    if limit.maximum.is_some_and(|hard| hard < needed) {
        return Err(format!(
            "`--concurrency {concurrency}` wants {needed} open files, and {} are allowed: ask for \
             fewer, or raise the hard limit (ulimit -Hn)",
            limit.maximum.unwrap_or_default()
        ));
    }
    let raised = Rlimit { current: Some(needed), maximum: limit.maximum };
    setrlimit(Resource::Nofile, raised)
        .map_err(|error| format!("cannot raise the limit of open files to {needed}: {error}"))
}

/// What this process has used so far.
fn used() -> Used {
    let cpu = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let cpu = Duration::new(cpu.tv_sec.max(0) as u64, cpu.tv_nsec.max(0) as u32);
    // `VmHWM: 12345 kB`; where there is no such file nothing is known.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|text| text.trim().trim_end_matches(" kB").parse::<u64>().ok());
    Used { cpu, peak_memory: peak.unwrap_or(0) * 1024 }
}
