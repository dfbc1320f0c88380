//! `wheelhouse-echo`: sends back what it receives.
//!
//! The map: `args.rs` reads the command line; `server.rs` binds, starts the loops and waits for
//! signals; on each loop a `worker.rs` accepts, and for each client a `connection.rs` echoes and an
//! `idle.rs` watches; `stop.rs` tells the workers to end; `limits.rs` holds what bounds the server,
//! `stats.rs` what is counted.

#![forbid(unsafe_code)]

mod args;
mod connection;
mod idle;
mod limits;
mod server;
mod stats;
mod stop;
mod worker;

use std::io::Write;
use std::process::ExitCode;

use crate::args::Command;

/// What scripts can tell apart; `--help` lists them.
const FAILED: u8 = 1;
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let outcome = match args::parse(std::env::args_os()) {
        Ok(Command::Serve(settings)) => server::run(&settings),
        Ok(Command::Print(text)) => {
            // Whoever reads the help through a pipe may close it early.
            let _ = std::io::stdout().write_all(text.as_bytes());
            return ExitCode::SUCCESS;
        }
        Err(problem) => {
            eprintln!("wheelhouse-echo: {problem}\nTry `wheelhouse-echo --help`.");
            return ExitCode::from(USAGE);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("wheelhouse-echo: {problem}");
            ExitCode::from(FAILED)
        }
    }
}
