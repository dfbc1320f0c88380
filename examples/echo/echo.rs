//! `wheelhouse-echo`: sends back what it receives.
//!
//! It stands on the runtime's `Server`, which accepts, limits connections, survives that open files
//! run out, and ends in steps; what is here is what an echo server adds. The map: `args.rs` reads
//! the command line; `listen.rs` binds paths and datagram sockets; `serving.rs` makes the servers;
//! `server.rs` runs them until `signals.rs` hears of the end; for each client a `connection.rs` serves and an
//! `idle.rs` watches, and `datagram.rs` answers datagrams; `worker.rs` is what those of one loop
//! share, `service.rs` what there is to serve; `limits.rs` raises the limit of open files,
//! `stats.rs` is what is counted, `report.rs` and `warnings.rs` what is said. `tls.rs` and
//! `metrics.rs` are there if their features are.

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
mod serving;
mod signals;
mod stats;
mod tls;
mod warnings;
mod worker;

use std::io::{self, Write};
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
            match io::stdout().write_all(text.as_bytes()) {
                // Whoever reads the help through a pipe may close it early.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
                printed => printed.map_err(|error| format!("cannot write to stdout: {error}")),
            }
        }
        Err(problem) => {
            say(&format!("{problem}\nTry `wheelhouse-echo --help`."));
            return ExitCode::from(USAGE);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            say(&problem);
            ExitCode::from(FAILED)
        }
    }
}

/// On stderr, if anybody listens there: `eprintln!` would panic if not.
fn say(problem: &str) {
    let _ = writeln!(io::stderr(), "wheelhouse-echo: {problem}");
}
