//! `wheelhouse-echo`: sends back what it receives.
//!
//! The map: `args.rs` reads the command line; `listen.rs` binds; `server.rs` starts the loops and
//! waits for signals; on each loop a `worker.rs` accepts, for each client a `connection.rs` serves
//! and an `idle.rs` watches, and `datagram.rs` answers datagrams; `service.rs` is what there is to
//! serve; `stop.rs` tells the workers to end; `limits.rs` holds what bounds the server, `stats.rs`
//! what is counted, `report.rs` and `warnings.rs` what is said. `tls.rs` and `metrics.rs` are there
//! if their features are.

#![forbid(unsafe_code)]

mod args;
mod connection;
mod datagram;
mod idle;
mod limits;
mod listen;
mod metrics;
mod report;
mod server;
mod service;
mod stats;
mod stop;
mod tls;
mod warnings;
mod worker;

use std::io::Write;
use std::process::ExitCode;

use crate::args::Command;

/// What scripts can tell apart; `--help` lists them.
const FAILED: u8 = 1;
const USAGE: u8 = 2;

fn main() -> ExitCode {
    warnings::say();
    let outcome = match args::parse(std::env::args_os()) {
        Ok(Command::Serve(settings)) => server::run(settings),
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
