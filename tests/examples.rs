//! Runs each example as its users do, and compares what it prints.
//!
//! `cargo test` builds the examples beside this program. Each of them ends by itself and prints the
//! same every time: what could come in either order is put in order by the example, not by luck.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use support::output_of_example;

const EXAMPLES: &[(&str, &str)] = &[
    ("hello", "hello from the root\nhello from the task\nthe task gave 42\n"),
    ("lines_server", "eno\nowt\nbye: the server ends\nasked to end: 1, cut off: 0\n"),
    ("proxy", "17 bytes there, 28 bytes back\nyou asked: is anybody there?\n"),
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
    (
        "tolerance",
        "late by up to 0 ms: 1000 wake-ups\nlate by up to 1 ms: 1000 wake-ups\n\
         late by up to 10 ms: 120 wake-ups\nlate by up to 100 ms: 30 wake-ups\n",
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
    (
        "echo_udp",
        "(lost)\n\
         (lost)\n\
         sent one, got one\n\
         sent two, got two\n\
         sent three, got three\n",
    ),
    (
        "echo_unix",
        "the server is this process: true\nsent one, got one\nsent two, got two\n\
         sent three, got three\nthe server echoed 14 bytes\nthrough the pair\n",
    ),
    (
        "select",
        "first: one second\n\
         still at work\n\
         still at work\n\
         still at work\n\
         the answer is 42\n\
         both are ready: the first\n\
         stopped after 3 s\n",
    ),
    (
        "futures_traits",
        "THREE!\n\
         SHORT!\n\
         LINES!\n\
         the server read 3 lines\n\
         copied 16 bytes\n",
    ),
    (
        "embed_in_epoll",
        "step 1, one a turn\n\
         step 2, one a turn\n\
         step 3, one a turn\n\
         timer: 5 ms later\n\
         thread: a thread asked for this\n\
         host: the work is done\n",
    ),
    (
        "deterministic_test",
        "24 hours have passed\n\
         in 20 orders the balance is one of [75, 80]\n\
         the test left something behind:\n  \
         task 1.1 (examples/deterministic_test.rs:42:52): sleeps for 60s more\n  \
         a timer that sleeps for 60s more, made at examples/deterministic_test.rs:42:58 \
         by the task spawned at examples/deterministic_test.rs:42:52\n\
         Await or cancel and await tasks, and drop sleeps and sockets, before the test ends.\n",
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
    // Those of the tour are run by tests/tour.rs, against the page that tells of them.
    let names: BTreeSet<&str> = names.filter(|name| !name.starts_with("tour_")).collect();
    assert_eq!(names, EXAMPLES.iter().map(|(name, _)| *name).collect());
    for path in &files {
        let lines = fs::read_to_string(path).unwrap().lines().count();
        assert!(lines <= 60, "{} has {lines} lines, of 60: one idea each", path.display());
    }
}

/// What an example prints; it says nothing on stderr.
fn output_of(name: &str) -> String {
    let (stdout, stderr) = output_of_example(name);
    assert!(stderr.is_empty(), "{name}: {stderr}");
    stdout
}
