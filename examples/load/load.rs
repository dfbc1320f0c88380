//! `wheelhouse-load`: puts load on a TCP echo server and says how long answers took, from the plan
//! and from the send.
//!
//! The map: `args.rs` reads the command line; `run.rs` connects, starts and ends a run;
//! `connection.rs` is one connection, sending by `plan.rs` what `pattern.rs` makes and comparing
//! what comes back; `record.rs` keeps what was measured, `failure.rs` names what went wrong;
//! `summary.rs` draws the conclusions, `report.rs` and `json.rs` write them; `progress.rs` paints
//! on a thread of its own; `embedded.rs` is the server when none is given.

#![forbid(unsafe_code)]

mod args;
mod connection;
mod embedded;
mod failure;
mod json;
mod pattern;
mod plan;
mod progress;
mod record;
mod report;
mod run;
mod summary;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use crate::args::{Args, JsonTo, Settings};
use crate::summary::Summary;

/// It could not run, or something went wrong in it.
const FAILED: u8 = 1;

fn main() -> ExitCode {
    // Clap prints its own errors and ends with 2, and with 0 after `--help`.
    let settings = match Args::parse().into_settings() {
        Ok(settings) => settings,
        Err(problem) => {
            use clap::CommandFactory;
            Args::command().error(ErrorKind::ValueValidation, problem).exit()
        }
    };
    let outcome = run::run(&settings).and_then(|summary| {
        write(&settings, &summary)?;
        Ok(summary)
    });
    match outcome {
        Ok(summary) => {
            for line in &summary.verdict {
                eprintln!("wheelhouse-load: {line}");
            }
            ExitCode::from(summary.exit_code)
        }
        Err(problem) => {
            eprintln!("wheelhouse-load: {problem}");
            ExitCode::from(FAILED)
        }
    }
}

/// The table goes to stdout, or to stderr when stdout belongs to the JSON.
fn write(settings: &Settings, summary: &Summary) -> Result<(), String> {
    let table = report::table(summary);
    let stdout = |text: &[u8]| {
        let mut out = std::io::stdout().lock();
        out.write_all(text)
            .and_then(|()| out.flush())
            .map_err(|error| format!("cannot write to stdout: {error}"))
    };
    match &settings.json {
        JsonTo::Nowhere => stdout(table.as_bytes()),
        JsonTo::Stdout => {
            eprint!("{table}");
            stdout(&json::text(summary)?)
        }
        JsonTo::File(path) => {
            stdout(table.as_bytes())?;
            let text = json::text(summary)?;
            std::fs::write(path, text)
                .map_err(|error| format!("cannot write `{}`: {error}", path.display()))
        }
    }
}
