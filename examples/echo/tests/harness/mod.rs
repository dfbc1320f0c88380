//! What the tests of the program share: the program, started and stopped, and clients.

// Each test binary takes its own part of this.
#![allow(dead_code)]

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// Longer than anything here takes on a loaded machine: a failure, not a hang.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// The program, killed when the test ends.
pub(crate) struct Echo {
    pub(crate) child: Child,
    pub(crate) stdout: BufReader<ChildStdout>,
}

impl Echo {
    pub(crate) fn start(line: &str) -> Echo {
        Echo::spawn(&mut program(line))
    }

    pub(crate) fn spawn(command: &mut Command) -> Echo {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Echo { child, stdout }
    }

    /// Starts on a free port and waits until it listens.
    pub(crate) fn listening(line: &str) -> (Echo, SocketAddr) {
        let mut echo = Echo::start(&format!("--tcp 127.0.0.1:0 {line}"));
        let address = echo.address();
        (echo, address)
    }

    pub(crate) fn address(&mut self) -> SocketAddr {
        self.address_of("tcp")
    }

    /// The address of the next listener, which must be of this kind.
    pub(crate) fn address_of(&mut self, kind: &str) -> SocketAddr {
        self.name_of(kind).parse().unwrap()
    }

    pub(crate) fn name_of(&mut self, kind: &str) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        match line.trim().strip_prefix(&format!("listening {kind} ")) {
            Some(name) => name.to_owned(),
            None => panic!("no listening line for {kind} but `{line}`: {}", self.last_words()),
        }
    }

    fn last_words(&mut self) -> String {
        let mut text = String::new();
        let _ = self.child.kill();
        let _ = self.child.stderr.take().unwrap().read_to_string(&mut text);
        text
    }

    /// Asks what is going on, and waits for the answer.
    pub(crate) fn dump(&mut self) -> String {
        self.signal(Signal::USR1);
        let mut said = String::new();
        while !said.contains("in its tables") {
            let mut part = [0; 4096];
            let length = self.child.stderr.as_mut().unwrap().read(&mut part).unwrap();
            assert!(length > 0, "it has ended: {said}");
            said.push_str(std::str::from_utf8(&part[..length]).unwrap());
        }
        said
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// The exit code and what it wrote to stderr.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        let mut text = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
        (self.child.wait().unwrap().code(), text)
    }

    pub(crate) fn stop(self) -> (Option<i32>, String) {
        self.signal(Signal::TERM);
        self.end()
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn program(line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wheelhouse-echo"));
    command
        .args(line.split_whitespace())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

pub(crate) fn run(line: &str) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = program(line).output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

#[track_caller]
pub(crate) fn round_trip(stream: &TcpStream, message: &[u8]) {
    try_round_trip(stream, message).unwrap();
}

pub(crate) fn try_round_trip(mut stream: &TcpStream, message: &[u8]) -> io::Result<()> {
    stream.write_all(message)?;
    let mut answer = vec![0; message.len()];
    stream.read_exact(&mut answer)?;
    assert_eq!(answer, message);
    Ok(())
}

pub(crate) fn is_closed(mut stream: &TcpStream) -> bool {
    matches!(stream.read(&mut [0; 1]), Ok(0))
}

/// Bytes that differ everywhere.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}
