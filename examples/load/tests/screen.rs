//! The screen of `--tui` on a terminal: drawn, stopped by its keys, and the terminal given back.

#![cfg(feature = "tui")]

mod support;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags, open};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use serde_json::Value;

use crate::support::{program, run};

/// A program on a terminal of its own, and what that was told.
struct Terminal {
    keys: File,
    screen: OwnedFd,
    seen: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
    child: Child,
}

impl Terminal {
    fn start(line: &str, columns: u16, rows: u16) -> Terminal {
        let master =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        // What the program of another test inherits stays open as long as that runs.
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let screen = open(name, flags, Mode::empty()).unwrap();
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&screen, size).unwrap();
        let child = program(line)
            .env("TERM", "xterm-256color")
            .stdin(Stdio::from(screen.try_clone().unwrap()))
            .stderr(Stdio::from(screen.try_clone().unwrap()))
            .spawn()
            .unwrap();
        let mut from = File::from(master.try_clone().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let all = seen.clone();
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // It ends with an error when nobody has the other end any more.
            while let Ok(count @ 1..) = from.read(&mut buffer) {
                all.lock().unwrap().extend_from_slice(&buffer[..count]);
            }
        });
        Terminal { keys: File::from(master), screen, seen, reader, child }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock().unwrap()).into_owned()
    }

    #[track_caller]
    fn wait_for(&mut self, words: &str) {
        let start = Instant::now();
        while !self.text().contains(words) {
            if start.elapsed() > Duration::from_secs(20) {
                self.child.kill().unwrap();
                panic!("no `{words}` in {:?}", self.text());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// What the terminal was told, the exit code, and stdout.
    fn end(mut self) -> (String, Option<i32>, String) {
        let mut out = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        let status = self.child.wait().unwrap();
        let modes = tcgetattr(&self.screen).unwrap().local_modes;
        assert!(modes.contains(LocalModes::ICANON | LocalModes::ECHO), "raw for ever: {modes:?}");
        drop((self.screen, self.keys));
        self.reader.join().unwrap();
        let text = String::from_utf8_lossy(&self.seen.lock().unwrap()).into_owned();
        (text, status.code(), out)
    }
}

const ENTERED: &str = "\x1b[?1049h";
const LEFT: &str = "\x1b[?1049l";

#[track_caller]
fn is_given_back(text: &str) {
    let (entered, left) = (text.rfind(ENTERED), text.rfind(LEFT));
    assert!(entered.is_some() && left > entered, "{text:?}");
    assert!(text[left.unwrap()..].contains("\x1b[?25h"), "the cursor is shown: {text:?}");
}

#[test]
fn q_stops_and_reports() {
    let mut terminal = Terminal::start("--tui -d 1h --rate 200 --json -", 80, 24);
    terminal.wait_for("q stops and reports");
    terminal.wait_for("warm-up");
    terminal.keys.write_all(b"q").unwrap();
    let (text, code, out) = terminal.end();
    is_given_back(&text);
    let json: Value = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"));
    assert_eq!(json["interrupted"], true, "{out}");
    assert!(code.is_some(), "no signal ended it");
    // The table comes after the screen, where it stays.
    let after = &text[text.rfind(LEFT).unwrap()..];
    assert!(after.contains("wheelhouse-load of tcp://"), "{after:?}");
}

#[test]
fn ctrl_c_stops_a_search_with_what_it_has() {
    let line = "--tui --find-rate p99<1h -d 1h --rate 100 --warm-up 0s --json -";
    let mut terminal = Terminal::start(line, 100, 30);
    terminal.wait_for("measures");
    terminal.keys.write_all(b"\x03").unwrap();
    let (text, _, out) = terminal.end();
    is_given_back(&text);
    let json: Value = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"));
    assert_eq!(json["search"]["limited_by"], "interrupt", "{out}");
    assert!(json["service_time"]["count"].as_u64().unwrap() > 0, "{out}");
}

#[test]
fn a_signal_gives_the_terminal_back() {
    let mut terminal = Terminal::start("--tui -d 1h", 80, 24);
    terminal.wait_for("messages");
    kill_process(Pid::from_child(&terminal.child), Signal::TERM).unwrap();
    let (text, _, out) = terminal.end();
    is_given_back(&text);
    assert!(out.contains("interrupted"), "{out}");
}

#[test]
fn the_smallest_terminals_and_changes_of_size_are_survived() {
    for (columns, rows) in [(20, 5), (1, 1), (0, 0)] {
        let mut terminal = Terminal::start("--tui -d 700ms --warm-up 0s", columns, rows);
        terminal.wait_for(ENTERED);
        let size = Winsize { ws_row: 40, ws_col: 130, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&terminal.screen, size).unwrap();
        // Nobody is the session's leader here, so the kernel tells nobody.
        kill_process(Pid::from_child(&terminal.child), Signal::WINCH).unwrap();
        let (text, code, out) = terminal.end();
        is_given_back(&text);
        assert_eq!(code, Some(0), "{columns} x {rows}: {text:?}");
        assert!(out.contains("closed loop") && !text.contains("panicked"), "{text:?}");
    }
}

#[test]
fn without_a_terminal_the_reason_is_said_and_the_run_goes_on() {
    let ended = run("--tui -d 100ms");
    assert_eq!(ended.code, Some(0), "{}", ended.text);
    assert!(ended.text.contains("no screen for `--tui`: stderr"), "{}", ended.text);
    assert!(ended.out.contains("closed loop"), "{}", ended.out);
}
