//! Ten thousand connections at once, in one pair of processes: all held, and none loses a byte.
//!
//! The server is this binary run again. It ends by itself when every connection it was to serve has
//! been closed, so a test that fails leaves nothing behind.

mod support;

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::run_checked;
use wheelhouse::net::{TcpListener, TcpStream};
use wheelhouse::{Handle, spawn};

const CONNECTIONS: usize = 10_000;
const ROUNDS: u64 = 3;
/// What a process needs besides.
const SPARE_DESCRIPTORS: u64 = 200;
const ROLE: &str = "WHEELHOUSE_TEST_SERVER";
const NAME: &str = "ten_thousand_connections_are_held_and_lose_nothing";

#[test]
#[cfg_attr(miri, ignore = "it needs a second process")]
fn ten_thousand_connections_are_held_and_lose_nothing() {
    if std::env::var_os(ROLE).is_some() {
        serve();
        return;
    }
    let allowed = raise_descriptor_limit();
    if allowed < CONNECTIONS as u64 + SPARE_DESCRIPTORS {
        eprintln!("skipped: {allowed} descriptors are allowed (`ulimit -Hn`), 10,200 are needed");
        return;
    }
    let (mut server, address) = start_server();
    run_checked(load(address));
    let mut said = String::new();
    server.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(server.wait().unwrap().success(), "the server failed: {said}");
}

/// Connects them all, then has each ask in turn what no other asks.
async fn load(address: SocketAddr) {
    let mut streams = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        streams.push(TcpStream::connect(address).await.unwrap());
    }
    for round in 0..ROUNDS {
        let asking = streams.into_iter().enumerate().map(|(number, stream)| {
            spawn(async move {
                let question = question(number as u64, round);
                stream.write_all(&question).await.unwrap();
                assert_eq!(read_exact(&stream).await, question, "connection {number}");
                stream
            })
        });
        let asking: Vec<_> = asking.collect();
        streams = Vec::with_capacity(CONNECTIONS);
        for asked in asking {
            streams.push(asked.await.unwrap());
        }
    }
    assert_eq!(streams.len(), CONNECTIONS);
}

fn question(number: u64, round: u64) -> [u8; 16] {
    let mut question = [0; 16];
    question[..8].copy_from_slice(&number.to_le_bytes());
    question[8..].copy_from_slice(&round.to_le_bytes());
    question
}

async fn read_exact(stream: &TcpStream) -> [u8; 16] {
    let mut answer = [0; 16];
    let mut filled = 0;
    while filled < answer.len() {
        match stream.read(&mut answer[filled..]).await.unwrap() {
            0 => panic!("the connection ended after {filled} bytes"),
            n => filled += n,
        }
    }
    answer
}

fn start_server() -> (Child, SocketAddr) {
    let mut server = Command::new(std::env::current_exe().unwrap())
        .args([NAME, "--exact", "--nocapture", "--test-threads=1"])
        .env(ROLE, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(server.stdout.take().unwrap());
    let mut line = String::new();
    let address = loop {
        line.clear();
        assert_ne!(out.read_line(&mut line).unwrap(), 0, "the server said no address");
        if let Some(address) = line.trim().rsplit("address ").next().and_then(|a| a.parse().ok()) {
            break address;
        }
    };
    server.stdout = Some(out.into_inner());
    (server, address)
}

/// Serves so many connections to their ends.
fn serve() {
    raise_descriptor_limit();
    run_checked(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("\naddress {}", listener.local_addr().unwrap());
        let mut serving = Vec::with_capacity(CONNECTIONS);
        for _ in 0..CONNECTIONS {
            let (stream, _) = listener.accept().await.unwrap();
            serving.push(spawn(echo(stream)));
        }
        let mut echoed = 0;
        for served in serving {
            echoed += served.await.unwrap();
        }
        assert_eq!(echoed, CONNECTIONS as u64 * ROUNDS * 16, "on {:?}", Handle::current());
    });
}

async fn echo(stream: TcpStream) -> u64 {
    let mut buffer = [0; 64];
    let mut echoed = 0;
    loop {
        match stream.read(&mut buffer).await.unwrap() {
            0 => return echoed,
            n => {
                stream.write_all(&buffer[..n]).await.unwrap();
                echoed += n as u64;
            }
        }
    }
}

/// Allows as many descriptors as may be; how many that is.
fn raise_descriptor_limit() -> u64 {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}
