//! Child processes: those that measure themselves and say what they found, and servers to be put under load.

use crate::contenders::Contender;
use crate::job::Answer;
use crate::load::Shape;
use crate::measure;
use crate::place::Place;
use crate::plan::Plan;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// Runs a command to its end; the last line of its output is the answer.
pub fn last_answer(command: &mut Command, limit: Duration) -> Result<Answer, String> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = measure::tie_to_parent(command).spawn().map_err(|e| e.to_string())?;
    let errors = drain_stderr(&mut child);
    let mut stdout = child.stdout.take().expect("piped");
    let read = measure::read_to_end_within(&mut stdout, limit);
    if read.is_ok() {
        // A tool around the child writes its report after the child's last word.
        wait_for_exit(&mut child, Duration::from_secs(10));
    }
    let _ = child.kill();
    let _ = child.wait();
    let errors = errors.join().unwrap_or_default();
    let text = read.map_err(|e| reason(&format!("no answer within {} s: {e}", limit.as_secs()), &errors))?;
    let text = String::from_utf8_lossy(&text);
    let last = text.lines().last().unwrap_or_default();
    Answer::parse(last).ok_or_else(|| reason("the child ended without an answer", &errors))
}

fn wait_for_exit(child: &mut Child, limit: Duration) {
    let end = Instant::now() + limit;
    while Instant::now() < end && matches!(child.try_wait(), Ok(None)) {
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn drain_stderr(child: &mut Child) -> std::thread::JoinHandle<String> {
    let mut stderr = child.stderr.take().expect("piped");
    std::thread::spawn(move || {
        let mut text = Vec::new();
        let _ = std::io::Read::read_to_end(&mut stderr, &mut text);
        String::from_utf8_lossy(&text).into_owned()
    })
}

/// What happened, with the words of the child that say most.
pub fn reason(what: &str, errors: &str) -> String {
    let panic = errors.lines().skip_while(|line| !line.contains("panicked at")).nth(1);
    let line = panic.or_else(|| errors.lines().rev().find(|line| !line.trim().is_empty()));
    match line {
        Some(line) => format!("{what}: {}", line.trim().chars().take(160).collect::<String>()),
        None => what.to_owned(),
    }
}

/// A server process; killed when dropped.
pub struct Server {
    child: Child,
    pub stdin: ChildStdin,
    pub stdout: ChildStdout,
    errors: Option<std::thread::JoinHandle<String>>,
    pub place: Place,
    pub detail: String,
}

impl Server {
    fn start(mut command: Command) -> Result<Server, String> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = measure::tie_to_parent(&mut command).spawn().map_err(|e| e.to_string())?;
        let errors = drain_stderr(&mut child);
        let mut stdout = child.stdout.take().expect("piped");
        let stdin = child.stdin.take().expect("piped");
        let place = measure::read_line_within(&mut stdout, Duration::from_secs(60))
            .map_err(|e| e.to_string())
            .and_then(|line| line.parse());
        match place {
            Ok(place) => Ok(Server { child, stdin, stdout, errors: Some(errors), place, detail: String::new() }),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(reason(&error, &errors.join().unwrap_or_default()))
            }
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its processor time so far.
    pub fn cpu_ns(&self) -> Result<u64, String> {
        measure::process_cpu_ns(self.pid()).map_err(|e| e.to_string())
    }

    /// Adds what the server said to what the load generator saw.
    fn explain(mut self, error: String) -> String {
        let _ = self.child.kill();
        let errors = self.errors.take().map(|thread| thread.join().unwrap_or_default()).unwrap_or_default();
        reason(&error, &errors)
    }

    /// Ends it through the connection that it was told to end with, so that a tool around it can write its report;
    /// gives the report.
    pub fn end_with_connection(mut self) -> String {
        let _last = self.place.tcp().ok().map(std::net::TcpStream::connect);
        wait_for_exit(&mut self.child, Duration::from_secs(20));
        let _ = self.child.kill();
        self.errors.take().map(|thread| thread.join().unwrap_or_default()).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Place::Unix(path) = &self.place {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// What the contender runs on; asked once a process, since a server's stdout is its address.
pub fn detail(contender: &Contender) -> String {
    let exe = std::env::current_exe().expect("own path");
    let mut command = Command::new(exe);
    command.args(["__child", "sleep-count", contender.name, "--count", "0"]);
    last_answer(&mut command, Duration::from_secs(20)).map(|answer| answer.detail).unwrap_or_default()
}

/// Reading at least a message at once; 4 KiB for small ones.
pub fn buffer_for(shape: Shape) -> String {
    (shape.message * shape.depth).max(4096).to_string()
}

/// Starts a server and lets `body` load it; errors come back with the server's own words.
pub fn with_server<T>(
    contender: &Contender,
    plan: &Plan,
    tool: Option<&[&str]>,
    more: &[&str],
    body: impl FnOnce(&mut Server) -> Result<T, String>,
) -> Result<(T, Server), String> {
    let more: Vec<String> = more.iter().map(|&word| word.to_owned()).collect();
    with_started(contender, plan.child("server", contender, tool, &more), body)
}

/// As [`with_server`], with a server of any kind.
pub fn with_started<T>(
    contender: &Contender,
    command: Command,
    body: impl FnOnce(&mut Server) -> Result<T, String>,
) -> Result<(T, Server), String> {
    let mut server = Server::start(command)?;
    server.detail = detail(contender);
    match body(&mut server) {
        Ok(value) => Ok((value, server)),
        Err(error) => Err(server.explain(error)),
    }
}
