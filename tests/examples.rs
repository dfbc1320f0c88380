//! Runs each example as its users do, and compares what it prints.
//!
//! `cargo test` builds the examples beside this program. Each of them ends by itself and prints the
//! same every time: what could come in either order is put in order by the example, not by luck.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// They take milliseconds. What hangs is ended after this.
const GUARD: Duration = Duration::from_secs(30);

const EXAMPLES: &[(&str, &str)] = &[
    ("hello", "hello from the root\nhello from the task\nthe task gave 42\n"),
    ("echo_tcp", "sent one, got one\nsent two, got two\nsent three, got three\n"),
    (
        "timers",
        "10 ms are over\n20 ms are over\n30 ms are over\n300 us are over\nping\npong\n\
         nothing came for 10 ms\ncalled back\n",
    ),
    (
        "timeout_and_cancel",
        "in time\nthe slow future is dropped\nthe deadline has elapsed\nthe task is dropped\n\
         cancelled: true\nthe detached task has ended\n",
    ),
    ("blocking", "tick 1\ntick 2\ntick 3\nthe job is done\npanicked: true\n"),
    (
        "signals_shutdown",
        "worker one starts\nworker two starts\nSIGTERM: shutting down\nworker one stops\n\
         worker two stops\ncancelled: 2, clean: true\n",
    ),
    ("two_loops", "loop-0 asks\nloop-1 answers\nit is 42\nclean: true\nclean: true\n"),
    (
        "embed_in_host_loop",
        "socket: hello\ntimer: 10 ms later\nthread: called on the loop\n\
         host: my own descriptor says goodbye\n",
    ),
    (
        "virtual_time",
        "attempt 1 failed; the next in 2 s\nattempt 2 failed; the next in 4 s\n\
         attempt 3 failed; the next in 8 s\nattempt 4 failed; the next in 16 s\n\
         Ok(5) after 30 s\nafter 59 s: false\nafter 60 s: true\n",
    ),
];

#[test]
fn each_example_prints_what_it_should() {
    for (name, expected) in EXAMPLES {
        assert_eq!(output_of(name), *expected, "the output of examples/{name}.rs");
    }
}

#[test]
fn every_example_is_run_and_short() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<PathBuf> = entries.filter(|path| path.extension().is_some()).collect();
    let names = files.iter().map(|path| path.file_stem().unwrap().to_str().unwrap());
    let names: BTreeSet<&str> = names.collect();
    assert_eq!(names, EXAMPLES.iter().map(|(name, _)| *name).collect());
    for path in &files {
        let lines = fs::read_to_string(path).unwrap().lines().count();
        assert!(lines <= 60, "{} has {lines} lines, of 60: one idea each", path.display());
    }
}

/// What an example prints; it must end well, in time, and say nothing on stderr.
fn output_of(name: &str) -> String {
    // This program is in `deps`, beside the folder of the examples.
    let this = env::current_exe().unwrap();
    let path = this.parent().unwrap().parent().unwrap().join("examples").join(name);
    let started = Command::new(&path)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .stdin(Stdio::null())
        .spawn();
    let mut child = started.unwrap_or_else(|error| {
        panic!("{}: {error}. `cargo test` builds it, or `cargo build --examples`.", path.display())
    });
    let began = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if began.elapsed() > GUARD {
            child.kill().unwrap();
            panic!("examples/{name}.rs does not end");
        }
        thread::sleep(Duration::from_millis(2));
    }
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && stderr.is_empty(), "{name}: {}: {stderr}", output.status);
    String::from_utf8(output.stdout).unwrap()
}
