//! What the tests of the program share: running it, servers to run it against, files that go away.

// Each test file uses a part of it.
#![allow(dead_code)]

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

/// What a run left.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) text: String,
}

impl Ended {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out)
            .unwrap_or_else(|error| panic!("{error}: {}\n{}", self.out, self.text))
    }

    pub(crate) fn count(&self, kind: &str) -> u64 {
        let json = self.json();
        let errors = json["errors"].as_array().unwrap().iter();
        errors
            .filter(|error| error["kind"] == kind)
            .map(|error| error["count"].as_u64().unwrap())
            .sum()
    }
}

pub(crate) fn program(line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wheelhouse-load"));
    command
        .args(line.split_whitespace())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

pub(crate) fn run(line: &str) -> Ended {
    let output = program(line).output().unwrap();
    Ended {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        text: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A server with a thread a connection, which does what `serve` does to each.
pub(crate) fn server(serve: impl Fn(TcpStream) + Send + Sync + Clone + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let serve = serve.clone();
            std::thread::spawn(move || serve(stream));
        }
    });
    address
}

/// Runs words that have spaces in them.
pub(crate) fn run_words(words: &[&str]) -> Ended {
    let output = program("").args(words).output().unwrap();
    Ended {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        text: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A request as an HTTP server in a test sees it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    /// With small letters.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(given, _)| given == name);
        found.map(|(_, value)| value.as_str())
    }

    /// `None` at the end of the connection.
    pub(crate) fn read(from: &mut impl BufRead) -> Option<Asked> {
        let mut line = String::new();
        if from.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let mut words = line.split_whitespace().map(str::to_owned);
        let mut asked = Asked { method: words.next()?, path: words.next()?, ..Asked::default() };
        loop {
            let mut line = String::new();
            from.read_line(&mut line).ok()?;
            let Some((name, value)) = line.split_once(':') else { break };
            asked.headers.push((name.to_lowercase(), value.trim().to_owned()));
        }
        let length = asked.header("content-length").map_or(0, |length| length.parse().unwrap());
        asked.body = vec![0; length];
        from.read_exact(&mut asked.body).ok()?;
        Some(asked)
    }
}

/// What a server does with the connection after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    GoOn,
    Close,
}

/// A server that gives `answer` to each request; its second argument counts them on a connection.
pub(crate) fn http(
    answer: impl Fn(&Asked, usize, &mut TcpStream) -> Then + Send + Sync + Clone + 'static,
) -> SocketAddr {
    server(move |mut stream| {
        let _ = stream.set_nodelay(true);
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut number = 0;
        while let Some(asked) = Asked::read(&mut reader) {
            if answer(&asked, number, &mut stream) == Then::Close {
                break;
            }
            number += 1;
        }
    })
}

/// An answer of status 200.
pub(crate) fn ok(stream: &mut TcpStream, body: &str) -> Then {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    match stream.write_all(head.as_bytes()) {
        Ok(()) => Then::GoOn,
        Err(_) => Then::Close,
    }
}

/// A path in the folder for temporary files; what is there goes away with it.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> Scratch {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("wheelhouse-load-{}-{number}-{name}", std::process::id());
        Scratch(std::env::temp_dir().join(name))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn text(&self) -> String {
        std::fs::read_to_string(&self.0).unwrap()
    }
}

impl std::fmt::Display for Scratch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.display().fmt(f)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
