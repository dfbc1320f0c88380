//! The real program under a kernel that fails: every class of its system calls returns errors, over
//! and over, by `strace -e inject`. It stays up, and no byte is lost on a connection that was not
//! itself broken.
//!
//! There are errors after which a connection goes on as if nothing had been, and there all of them
//! must be exact; and errors that end a connection, where what came back until then must be exact
//! and the others be served. That the faults did happen is read off strace's log. Where strace is
//! missing, or may not trace, the tests say so and pass. (`LD_PRELOAD` would not do: most calls go
//! to the kernel without the C library in between.)
//!
//! `EAGAIN` is a fault for datagrams and wake-ups only. A stream's means that there is nothing, and
//! that an event will come when there is; a kernel that says so with bytes at hand has lost them.

#![cfg(target_os = "linux")]

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Longer than anything here takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(30);

const ACCEPT: &str = "accept,accept4";
const RECEIVE: &str = "recvfrom,recvmsg";
const SEND: &str = "sendto,sendmsg";
const WAIT: &str = "epoll_wait,epoll_pwait,epoll_pwait2";
const WATCH: &str = "epoll_ctl";

/// Whether processes can be traced here; says so if not.
fn can_trace() -> bool {
    let log = path_of_a_log();
    let probe = Command::new("strace")
        .args(["-f", "-D", "-qq", "-o", &log, "-e", "trace=execve"])
        .args(["-e", "inject=close:error=EINTR:when=999+", "true"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status();
    // With -D the status is that of `true`, which runs untraced where tracing is forbidden.
    let trace = fs::read_to_string(&log).unwrap_or_default();
    let _ = fs::remove_file(&log);
    let why = match probe {
        Ok(_) if trace.contains("execve") => return true,
        Ok(_) => "strace may not trace here, or cannot inject faults",
        Err(_) => "strace is not installed",
    };
    // Past the test harness, which keeps what a test prints if it passes.
    let _ = writeln!(io::stderr(), "SKIPPED: {why}");
    false
}

/// One for each program.
fn path_of_a_log() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{}/faults-{}-{number}", env!("CARGO_TARGET_TMPDIR"), std::process::id())
}

/// The program, traced; killed when the test ends.
struct Echo {
    child: Child,
    tcp: SocketAddr,
    udp: SocketAddr,
    unix: std::os::unix::net::SocketAddr,
    log: PathBuf,
}

impl Echo {
    /// Each fault is what follows `-e inject=`.
    fn with_faults(faults: &[String], only_on: Option<&str>) -> Echo {
        let log = path_of_a_log();
        let mut command = Command::new("strace");
        // With -D it is the program that is our child, and the tracer its companion.
        command.args(["-f", "-D", "-qq", "-o", &log]);
        command.args(only_on.iter().flat_map(|path| ["-P", path]));
        for fault in faults {
            let (calls, _) = fault.split_once(':').unwrap();
            command.args(["-e", &format!("trace={calls}"), "-e", &format!("inject={fault}")]);
        }
        let name = format!("wheelhouse-{}", log.rsplit('/').next().unwrap());
        let mut child = command
            .args([env!("CARGO_BIN_EXE_wheelhouse-echo"), "--loops", "2", "--tcp", "127.0.0.1:0"])
            .args(["--udp", "127.0.0.1:0", "--unix", &format!("@{name}")])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let mut address = |kind| {
            let mut line = String::new();
            said.read_line(&mut line).unwrap();
            let address = line.trim().strip_prefix(&format!("listening {kind} "));
            address.unwrap_or_else(|| panic!("it does not listen: `{line}`")).to_owned()
        };
        let (tcp, udp) = (address("tcp").parse().unwrap(), address("udp").parse().unwrap());
        assert_eq!(address("unix"), format!("@{name}"));
        let unix = std::os::unix::net::SocketAddr::from_abstract_name(name).unwrap();
        Echo { child, tcp, udp, unix, log: log.into() }
    }

    /// Stops it as a user would, and says what it wrote to stderr. Asked again if need be: the
    /// faults also hit what a signal handler tells its loop by.
    fn stop(mut self) -> String {
        assert!(self.child.try_wait().unwrap().is_none(), "it did not stay up");
        let began = Instant::now();
        let status = loop {
            kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
            let asked = Instant::now();
            while asked.elapsed() < Duration::from_secs(1) && !self.has_ended() {
                thread::sleep(Duration::from_millis(5));
            }
            if self.has_ended() {
                break self.child.wait().unwrap();
            }
            assert!(began.elapsed() < PATIENCE, "it does not end");
        };
        let mut text = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
        assert!(matches!(status.code(), Some(0 | 1)) && !text.contains("panicked"), "{text}");
        text
    }

    fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    fn faults_so_far(&self) -> usize {
        fs::read_to_string(&self.log).unwrap().matches("(INJECTED)").count()
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.log);
    }
}

/// Bytes that differ everywhere, and from client to client.
fn pattern(client: usize, len: usize) -> Vec<u8> {
    (0..len).map(|i| ((i + client * 7919).wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

/// A stream of either kind.
trait Conversing: Read + Write {
    fn end(&self) -> io::Result<()>;
}

impl Conversing for TcpStream {
    fn end(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

impl Conversing for UnixStream {
    fn end(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

impl Echo {
    fn connect(&self, over_unix: bool) -> io::Result<Box<dyn Conversing>> {
        if over_unix {
            let stream = UnixStream::connect_addr(&self.unix)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            return Ok(Box::new(stream));
        }
        let stream = TcpStream::connect(self.tcp)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Box::new(stream))
    }

    /// Sends and receives `data` in pieces. An error is that of a broken connection; wrong bytes
    /// are a panic.
    fn converse(&self, over_unix: bool, data: &[u8], piece: usize) -> io::Result<()> {
        let mut stream = self.connect(over_unix)?;
        for piece in data.chunks(piece) {
            stream.write_all(piece)?;
            let mut answer = vec![0; piece.len()];
            let mut received = 0;
            while received < piece.len() {
                let n = stream.read(&mut answer[received..])?;
                if n == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                let is_right = answer[received..received + n] == piece[received..received + n];
                assert!(is_right, "wrong bytes");
                received += n;
            }
        }
        stream.end()?;
        match stream.read(&mut [0])? {
            0 => Ok(()),
            _ => panic!("more bytes than were sent"),
        }
    }

    /// How many of so many clients had all of their bytes back, and how many were cut off. Every
    /// other one comes over a Unix socket.
    fn serve(&self, clients: usize, size: usize, piece: usize) -> (usize, usize) {
        let began = Instant::now();
        let outcomes: Vec<_> = thread::scope(|scope| {
            let one = |client| {
                scope.spawn(move || self.converse(client % 2 == 1, &pattern(client, size), piece))
            };
            let threads: Vec<_> = (0..clients).map(one).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(began.elapsed() < PATIENCE, "somebody hung");
        let whole = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        (whole, outcomes.len() - whole)
    }
}

/// Errors that are nobody's end.
fn check_harmless(faults: &[String], only_on: Option<&str>) {
    let echo = Echo::with_faults(faults, only_on);
    assert_eq!(echo.serve(12, 40_000, 7_000), (12, 0), "{faults:?}");
    assert!(echo.faults_so_far() > 0, "{faults:?} did not happen");
    echo.stop();
}

/// Errors that end one connection or the other.
fn check_harmful(fault: &str) {
    let echo = Echo::with_faults(&[fault.to_owned()], None);
    let (mut whole, mut broken) = (0, 0);
    // Two at a time, so that where the faults fall is no matter of luck.
    for _ in 0..15 {
        let (more_whole, more_broken) = echo.serve(2, 3_000, 1_000);
        (whole, broken) = (whole + more_whole, broken + more_broken);
    }
    assert!(whole > 0 && broken > 0, "{fault}: {whole} whole, {broken} broken");
    assert!(echo.faults_so_far() > 0);
    echo.stop();
}

/// Datagrams may get lost on the way, and a client asks again; but none is changed, and the server
/// does not fall silent.
fn check_datagrams(fault: &str) {
    let echo = Echo::with_faults(&[fault.to_owned()], None);
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.connect(echo.udp).unwrap();
    client.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let began = Instant::now();
    for n in 0..20 {
        let (question, mut answer) = (pattern(n, 100 + n), [0; 200]);
        loop {
            client.send(&question).unwrap();
            match client.recv(&mut answer) {
                Ok(len) if answer[..len] == question => break,
                // One that was asked twice is answered twice.
                Ok(len) => assert!((0..n).any(|old| answer[..len] == pattern(old, 100 + old))),
                Err(_) => assert!(began.elapsed() < PATIENCE, "{fault}: no answer to {n}"),
            }
        }
    }
    assert!(echo.faults_so_far() > 0, "{fault} did not happen");
    echo.stop();
}

#[test]
fn interrupted_calls_of_every_kind_disturb_nobody() {
    if can_trace() {
        let every = |calls: &str, when: &str| format!("{calls}:error=EINTR:when={when}");
        check_harmless(&[every(WAIT, "1+3")], None);
        let all =
            [every(ACCEPT, "1+2"), every(RECEIVE, "1+2"), every(SEND, "1+2"), every(WAIT, "2+2")];
        check_harmless(&all, None);
    }
}

/// Rows 18 and 19.
#[test]
fn an_accept_that_fails_loses_no_connection() {
    if can_trace() {
        for error in
            ["ECONNABORTED", "EPROTO", "ENETDOWN", "EPERM", "EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"]
        {
            check_harmless(&[format!("{ACCEPT}:error={error}:when=1+2")], None);
        }
    }
}

#[test]
fn a_receive_that_fails_ends_its_connection_alone() {
    if can_trace() {
        for error in ["ECONNRESET", "ETIMEDOUT", "ENOMEM"] {
            check_harmful(&format!("{RECEIVE}:error={error}:when=4+9"));
        }
    }
}

#[test]
fn a_send_that_fails_ends_its_connection_alone() {
    if can_trace() {
        for error in ["EPIPE", "ECONNRESET", "ENOBUFS", "ENOMEM", "EHOSTUNREACH"] {
            check_harmful(&format!("{SEND}:error={error}:when=3+7"));
        }
    }
}

#[test]
fn a_datagram_that_fails_is_no_end_of_the_others() {
    if can_trace() {
        for error in ["EINTR", "EAGAIN", "ECONNREFUSED", "ENOMEM", "ENOBUFS"] {
            check_datagrams(&format!("{RECEIVE}:error={error}:when=1+3"));
        }
        for error in ["EINTR", "EAGAIN", "ECONNREFUSED", "ENOMEM", "ENOBUFS", "EPERM"] {
            check_datagrams(&format!("{SEND}:error={error}:when=1+3"));
        }
    }
}

/// The first calls of a thread are those that make a loop and its listener. Not for the other
/// selector, which makes this call in every wait.
#[test]
#[cfg_attr(wheelhouse_polling, ignore = "`polling` arms its own descriptors by this call")]
fn a_descriptor_that_cannot_be_watched_ends_its_connection_alone() {
    if can_trace() {
        for error in ["ENOSPC", "ENOMEM"] {
            check_harmful(&format!("{WATCH}:error={error}:when=8+3"));
        }
    }
}

/// Row 16. Not for the other selector: `polling` takes a wake-up as given whether its write went
/// well or not. (Without injection the write of an eventfd does not fail.)
#[test]
#[cfg_attr(wheelhouse_polling, ignore = "`polling` does not look at the write's result")]
fn a_wake_up_that_is_refused_comes_all_the_same() {
    if can_trace() {
        check_harmless(&["write:error=EAGAIN:when=1+2".into()], Some("anon_inode:[eventfd]"));
    }
}
