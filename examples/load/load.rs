//! `wheelhouse-load`: puts load on an HTTP or echo server and says how long answers took, from the
//! plan and from the send.
//!
//! The map: `args.rs` reads the command line, with `values.rs`, `target.rs`, `workload.rs` and
//! `expect.rs` for what is written there. `run.rs` conducts a run on its loops, `worker.rs` is what
//! one of them does; `connection.rs` is one connection, sending by `plan.rs` what `exchange.rs`
//! (`echo.rs` with `pattern.rs`, `http/`) makes over a `stream.rs`, with `tls.rs` or without;
//! `http2.rs` is one over HTTP/2, by hyper. `job.rs` is what they share. `record.rs` and
//! `intervals.rs` keep what was measured, `failure.rs` names what went wrong, `health.rs` watches
//! the generator itself. `summary.rs` draws the conclusions with `figures.rs`, `search.rs` looks for
//! the knee, `compare.rs` sets two runs beside each other; `report.rs`, `json.rs`, `files.rs` and
//! `chart.rs` write. `live.rs` is what a loop shows of itself while it runs, in the `coarse.rs`
//! histograms; `progress.rs` paints it on a thread of its own, as a line or as the screen of `tui/`.
//! `embedded.rs` is the server when none is given. `account_tests.rs` follows every message.

#![forbid(unsafe_code)]

#[cfg(test)]
mod account_tests;
mod args;
mod chart;
mod coarse;
mod compare;
mod connection;
mod echo;
mod embedded;
mod exchange;
mod expect;
mod failure;
mod figures;
mod files;
mod health;
mod http;
mod http2;
mod intervals;
mod job;
mod json;
// Some of it is for the screen alone.
#[cfg_attr(not(feature = "tui"), allow(dead_code))]
mod live;
mod origin;
mod pattern;
mod plan;
mod progress;
mod record;
mod report;
mod run;
mod search;
mod stream;
mod summary;
mod target;
mod tls;
#[cfg(feature = "tui")]
mod tui;
mod values;
mod wire;
mod worker;
mod workload;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use clap::error::ErrorKind;

use crate::args::{Args, CompareArgs, Settings};
use crate::embedded::Embedded;
use crate::live::Board;
use crate::origin::Origin;
use crate::progress::Painter;
use crate::run::Run;
use crate::summary::{FAILED, Summary};

fn main() -> ExitCode {
    let line: Vec<OsString> = std::env::args_os().collect();
    // Clap prints its own errors and ends with 2, and with 0 after `--help`.
    let outcome = if line.get(1).is_some_and(|word| word == "compare") {
        comparison(&CompareArgs::parse_from(&line[1..]))
    } else {
        load(settings(line))
    };
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(problem) => {
            eprintln!("wheelhouse-load: {problem}");
            ExitCode::from(FAILED)
        }
    }
}

fn settings(line: Vec<OsString>) -> Settings {
    match Args::parse_from(line).into_settings() {
        Ok(settings) => settings,
        Err(problem) => {
            use clap::CommandFactory;
            Args::command().error(ErrorKind::ValueValidation, problem).exit()
        }
    }
}

fn comparison(args: &CompareArgs) -> Result<u8, String> {
    let (text, code) = compare::compare(args)?;
    stdout(text.as_bytes())?;
    Ok(code)
}

/// Runs, and writes what came out. Gives the exit code.
fn load(settings: Settings) -> Result<u8, String> {
    files::check(&settings.outputs)?;
    run::check_open_files(&settings, settings.origins.is_none())?;
    let embedded = if settings.origins.is_none() { Some(Embedded::start()?) } else { None };
    let origins: Vec<Origin> = match (&settings.origins, &embedded) {
        (Some(origins), _) => origins.clone(),
        (None, Some(embedded)) => {
            let target = embedded.target.clone();
            vec![Origin { target, requests: Vec::new(), tls: None, messages: None }]
        }
        (None, None) => return Err("there is no target".into()),
    };
    let board = Arc::new(Board::new(settings.loops));
    let painter = Painter::start(&board, &settings, &origins[0].target);
    let run = Run { settings: Arc::new(settings), origins: origins.into(), board };
    let settings = &run.settings;
    let outcome = match &settings.search {
        Some(wanted) => search::find(&run, wanted),
        None => run
            .measure(&settings.load)
            .map(|measured| (Summary::new(settings, &run.origins[0].target, &measured), measured)),
    };
    drop(painter);
    let (summary, measured) = outcome?;
    // What cannot be written of it takes nothing else along: the run may have been long.
    let results = [write(settings, &summary)].into_iter();
    let problems: Vec<String> = results
        .chain(files::write(&settings.outputs, &summary, &measured))
        .filter_map(Result::err)
        .collect();
    for line in summary.verdict.iter().chain(&problems) {
        eprintln!("wheelhouse-load: {line}");
    }
    Ok(if problems.is_empty() { summary.exit_code } else { FAILED })
}

/// The table goes to stdout, or to stderr when stdout belongs to the JSON.
fn write(settings: &Settings, summary: &Summary) -> Result<(), String> {
    let table = report::table(summary);
    match &settings.outputs.json {
        None => stdout(table.as_bytes()),
        Some(_) if settings.outputs.is_json_to_stdout() => {
            eprint!("{table}");
            stdout(&json::text(summary)?)
        }
        Some(path) => {
            let text = json::text(summary)?;
            let written = std::fs::write(path, text)
                .map_err(|error| format!("cannot write `{}`: {error}", path.display()));
            stdout(table.as_bytes()).and(written)
        }
    }
}

fn stdout(text: &[u8]) -> Result<(), String> {
    let mut out = std::io::stdout().lock();
    out.write_all(text)
        .and_then(|()| out.flush())
        .map_err(|error| format!("cannot write to stdout: {error}"))
}
