//! The services, listeners and limits of the program, as a user meets them: datagrams, Unix
//! sockets, discard and chargen, the limits, what is said when descriptors run out, TLS, metrics.

mod harness;

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use harness::{
    Echo, PATIENCE, connect, is_closed, pattern, program, round_trip, run, try_round_trip,
};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, prlimit};

/// A line of the generator, by its number.
fn line_of_characters(number: usize) -> Vec<u8> {
    let mut line: Vec<u8> = (0..72).map(|n| b' ' + ((number + n) % 95) as u8).collect();
    line.extend_from_slice(b"\r\n");
    line
}

fn datagram_client(server: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.connect(server).unwrap();
    socket
}

/// Short, since a socket's path has some 100 bytes and a user's own folder may be deep.
fn temporary(name: &str) -> PathBuf {
    let folder = std::env::temp_dir();
    let folder = if folder.as_os_str().len() < 60 { folder } else { "/tmp".into() };
    folder.join(format!("wheelhouse-echo-{name}-{}", std::process::id()))
}

#[test]
fn tcp_udp_and_unix_are_served_at_once_on_several_loops() {
    let path = temporary("unix");
    let line = format!("--tcp 127.0.0.1:0 --udp 127.0.0.1:0 --unix {} --loops 2", path.display());
    let mut echo = Echo::start(&line);
    let (tcp, udp) = (echo.address(), echo.address_of("udp"));
    assert_eq!(echo.name_of("unix"), path.display().to_string());
    for _ in 0..10 {
        round_trip(&connect(tcp), &pattern(10_000));
        let mut unix = UnixStream::connect(&path).unwrap();
        unix.write_all(b"over unix").unwrap();
        unix.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        unix.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "over unix");
        let client = datagram_client(udp);
        for size in [0, 1, 1400, 60_000] {
            client.send(&pattern(size)).unwrap();
            let mut buffer = [0; 65_536];
            let n = client.recv(&mut buffer).unwrap();
            assert!(buffer[..n] == pattern(size));
        }
    }
    let (code, text) = echo.stop();
    assert_eq!(code, Some(0), "{text}");
    assert!(!path.exists(), "the path is left behind");
}

#[test]
fn a_path_of_a_dead_server_is_replaced_and_that_of_a_live_one_is_not() {
    let path = temporary("stale");
    let line = format!("--unix {}", path.display());
    let mut killed = Echo::start(&line);
    killed.name_of("unix");
    drop(killed);
    assert!(path.exists());
    let mut alive = Echo::start(&line);
    alive.name_of("unix");
    let (code, _, text) = run(&line);
    assert!(code == Some(1) && text.contains("a server listens there"), "{text}");
    UnixStream::connect(&path).unwrap();
    assert_eq!(alive.stop().0, Some(0));
    let (code, _, text) = run(&format!("--unix /tmp/{}", "long".repeat(40)));
    assert!(code == Some(1) && text.contains("longer than"), "{text}");
    // Nor is it removed by a server that has lost it to another one.
    let mut early = Echo::start(&line);
    early.name_of("unix");
    std::fs::remove_file(&path).unwrap();
    let mut late = Echo::start(&line);
    late.name_of("unix");
    assert_eq!(early.stop().0, Some(0));
    UnixStream::connect(&path).unwrap();
    assert_eq!(late.stop().0, Some(0));
    assert!(!path.exists());
    // A file is nobody's socket.
    std::fs::write(&path, "precious").unwrap();
    let (code, _, text) = run(&line);
    assert!(code == Some(1) && text.contains("no socket"), "{text}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    std::fs::remove_file(&path).unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn a_terminal_that_goes_ends_it_in_order_unless_it_was_told_to_stay() {
    let path = temporary("hangup");
    let mut echo = Echo::start(&format!("--unix {}", path.display()));
    echo.name_of("unix");
    echo.signal(Signal::HUP);
    let (code, text) = echo.end();
    assert!(code == Some(0) && text.contains("0 messages"), "{text}");
    assert!(!path.exists(), "the path is left behind");

    // What `nohup` does.
    let mut shell = Command::new("sh");
    let line = "trap '' HUP; exec \"$0\" --tcp 127.0.0.1:0";
    shell.args(["-c", line, env!("CARGO_BIN_EXE_wheelhouse-echo")]);
    let mut echo = Echo::spawn(&mut shell);
    let address = echo.address();
    echo.signal(Signal::HUP);
    // What is asked for after it is answered, and it still accepts.
    echo.dump();
    round_trip(&connect(address), b"still here");
    assert_eq!(echo.stop().0, Some(0));
}

#[cfg(target_os = "linux")]
#[test]
fn an_abstract_name_needs_no_file() {
    use std::os::linux::net::SocketAddrExt;
    let name = format!("wheelhouse-echo-{}", std::process::id());
    let mut echo = Echo::start(&format!("--unix @{name}"));
    assert_eq!(echo.name_of("unix"), format!("@{name}"));
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
    let mut stream = UnixStream::connect_addr(&address).unwrap();
    stream.write_all(b"hi").unwrap();
    stream.read_exact(&mut [0; 2]).unwrap();
    assert_eq!(echo.stop().0, Some(0));
}

#[test]
fn discard_takes_everything_and_says_nothing() {
    let mut echo = Echo::start("--service discard --tcp 127.0.0.1:0 --udp 127.0.0.1:0");
    let (mut stream, udp) = (connect(echo.address()), echo.address_of("udp"));
    stream.write_all(&pattern(5_000_000)).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert!(is_closed(&stream));
    let client = datagram_client(udp);
    client.send(b"anybody?").unwrap();
    client.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    assert_eq!(client.recv(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
    let (code, text) = echo.stop();
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("5.00 MB, on 1 connections"), "{text}");
}

#[test]
fn chargen_sends_the_lines_of_the_rfc_until_the_client_goes() {
    let mut echo = Echo::start("--service chargen --tcp 127.0.0.1:0 --udp 127.0.0.1:0 --grace 1m");
    let (address, udp) = (echo.address(), echo.address_of("udp"));
    let mut stream = connect(address);
    // That the client says things, and then no more, is no reason to stop.
    stream.write_all(b"ignored").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut text = vec![0; 300 * 74 + 17];
    stream.read_exact(&mut text).unwrap();
    for (number, line) in text.chunks(74).enumerate() {
        assert_eq!(line, &line_of_characters(number)[..line.len()], "line {number}");
    }
    let client = datagram_client(udp);
    for size in [0, 100, 5000] {
        client.send(&vec![0; size]).unwrap();
        let mut buffer = [0; 8192];
        let n = client.recv(&mut buffer).unwrap();
        assert_eq!(n, size.min(512), "no longer than the question, nor than the RFC allows");
        assert!(buffer[..n].iter().zip(line_of_characters(0)).take(72).all(|(a, b)| *a == b));
    }
    // One that reads nothing does not hold the end up.
    let _deaf = connect(address);
    std::thread::sleep(Duration::from_millis(50));
    let began = Instant::now();
    let (code, text) = echo.stop();
    assert_eq!(code, Some(0), "{text}");
    assert!(began.elapsed() < Duration::from_secs(60), "it waits for the grace");
}

#[test]
fn after_so_many_bytes_a_connection_is_closed_and_none_of_them_is_lost() {
    let (echo, address) = Echo::listening("--max-bytes 100k");
    let data = pattern(1_000_000);
    let mut stream = connect(address);
    // More than may be: the rest is not read, and must not reset what was echoed.
    let mut writing = stream.try_clone().unwrap();
    let sent = data.clone();
    let writer = std::thread::spawn(move || {
        let _ = writing.write_all(&sent);
    });
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert!(answer == data[..100_000], "{} bytes came back", answer.len());
    drop(stream);
    writer.join().unwrap();
    // Others are not concerned.
    round_trip(&connect(address), &pattern(50_000));
    let (code, text) = echo.stop();
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("1 closed at the limit of bytes"), "{text}");
    let (echo, address) = Echo::listening("--service chargen --max-bytes 1000");
    let mut text = Vec::new();
    connect(address).read_to_end(&mut text).unwrap();
    assert_eq!(text.len(), 1000);
    assert_eq!(echo.stop().0, Some(0));
}

#[test]
fn a_peer_has_so_many_connections() {
    let (echo, address) = Echo::listening("--max-per-peer 2 --loops 2");
    let first = connect(address);
    let second = connect(address);
    round_trip(&first, b"1");
    round_trip(&second, b"2");
    for _ in 0..3 {
        let third = connect(address);
        let gone = (&third).read(&mut [0]);
        assert!(matches!(gone, Ok(0) | Err(_)), "{gone:?}");
    }
    drop(first);
    // Its end has to arrive there first.
    let began = Instant::now();
    while try_round_trip(&connect(address), b"x").is_err() {
        assert!(began.elapsed() < PATIENCE, "a place is not free again");
    }
    let (code, text) = echo.stop();
    assert!(code == Some(0) && text.contains("turned away"), "{text}");
}

/// Without descriptors it waits, says so, keeps who is there, and goes on when some are free.
#[cfg(target_os = "linux")]
#[test]
fn it_survives_that_open_files_run_out() {
    let (mut echo, address) = Echo::listening("");
    let pid = rustix::process::Pid::from_child(&echo.child);
    let numbers = std::fs::read_dir(format!("/proc/{}/fd", echo.child.id())).unwrap();
    let numbers = numbers.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let taken: Vec<u64> = numbers.map(|number| number.parse().unwrap()).collect();
    // Room for ten, wherever there are gaps.
    let last = (0..).filter(|number| !taken.contains(number)).nth(9).unwrap();
    let maximum = getrlimit(Resource::Nofile).maximum;
    let limit = Rlimit { current: Some(last + 1), maximum };
    prlimit(Some(pid), Resource::Nofile, limit).unwrap();
    let mut streams: Vec<_> = (0..60).map(|_| connect(address)).collect();
    for stream in &streams[..10] {
        round_trip(stream, b"served");
    }
    let mut late = streams.pop().unwrap();
    late.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    late.write_all(b"late").unwrap();
    let mut answer = [0; 4];
    assert_eq!(late.read(&mut answer).unwrap_err().kind(), ErrorKind::WouldBlock);
    let used = processor_time(&echo);
    std::thread::sleep(Duration::from_millis(500));
    assert!(processor_time(&echo) - used < Duration::from_millis(100), "it spins");
    round_trip(&streams[0], b"still served");
    drop(streams);
    late.set_read_timeout(Some(PATIENCE)).unwrap();
    late.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"late");
    drop(late);
    let stderr = echo.child.stderr.take().unwrap();
    echo.signal(Signal::TERM);
    let mut text = String::new();
    BufReader::new(stderr).read_to_string(&mut text).unwrap();
    assert!(text.contains("warning: accepting connections is paused"), "{text}");
    assert_eq!(echo.child.wait().unwrap().code(), Some(0), "{text}");
}

#[cfg(target_os = "linux")]
fn processor_time(echo: &Echo) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", echo.child.id())).unwrap();
    let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

/// An idle connection costs no buffer: many of them weigh little. (Not more than a process may
/// usually have files open.)
#[cfg(target_os = "linux")]
#[test]
fn idle_connections_hold_no_buffer() {
    const COUNT: u64 = 100;
    let (echo, address) = Echo::listening("--idle-timeout 1h");
    let resident = |echo: &Echo| {
        let status = std::fs::read_to_string(format!("/proc/{}/status", echo.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    // What is allocated once is so before.
    round_trip(&connect(address), &pattern(100_000));
    let before = resident(&echo);
    let streams: Vec<_> = (0..COUNT).map(|_| connect(address)).collect();
    for stream in &streams {
        round_trip(stream, &pattern(2000));
    }
    let each = (resident(&echo) - before) * 1024 / COUNT;
    assert!(each < 4096, "{each} bytes a connection");
    drop(streams);
    assert_eq!(echo.stop().0, Some(0));
}

#[test]
fn sigusr1_says_what_is_going_on_and_ends_nothing() {
    let (mut echo, address) = Echo::listening("--loops 2");
    let stream = connect(address);
    round_trip(&stream, b"hello");
    let mut stderr = BufReader::new(echo.child.stderr.take().unwrap());
    echo.signal(Signal::USR1);
    let mut first = String::new();
    stderr.read_line(&mut first).unwrap();
    assert!(first.contains("1 messages, 5 B, on 1 connections"), "{first}");
    round_trip(&stream, b"still here");
    drop(stream);
    echo.signal(Signal::TERM);
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("accept on 127.0.0.1:") && rest.contains("in its tables: "), "{rest}");
    assert!(rest.contains("waits to read descriptor"), "{rest}");
    assert_eq!(echo.child.wait().unwrap().code(), Some(0));
}

#[test]
fn reports_come_as_json_too() {
    let mut echo = program("--tcp 127.0.0.1:0 --json --stats").spawn().unwrap();
    let mut lines = BufReader::new(echo.stdout.take().unwrap()).lines().map(Result::unwrap);
    let listening = lines.next().unwrap();
    let address = listening.strip_prefix(r#"{"event":"listening","kind":"tcp","address":""#);
    let address = address.and_then(|rest| rest.strip_suffix(r#""}"#)).expect(&listening);
    round_trip(&connect(address.parse().unwrap()), b"hello");
    // The message may come in any second.
    let stats = lines.find(|line| !line.contains(r#""messages":0,"#)).unwrap();
    assert!(stats.starts_with(r#"{"event":"stats","#) && stats.ends_with('}'), "{stats}");
    assert!(stats.contains(r#""messages":1,"bytes":5"#), "{stats}");
    let pid = rustix::process::Pid::from_child(&echo);
    rustix::process::kill_process(pid, Signal::TERM).unwrap();
    let end = lines.last().unwrap();
    assert!(end.starts_with(r#"{"event":"end","#) && end.contains(r#""bytes":5"#), "{end}");
    assert_eq!(echo.wait().unwrap().code(), Some(0));
}

#[test]
fn what_this_build_has_not_is_said_so() {
    if cfg!(not(feature = "tls")) {
        let (code, _, text) = run("--tls 127.0.0.1:0 --tls-cert c.pem --tls-key k.pem");
        assert!(code == Some(1) && text.contains("--features tls"), "{text}");
    }
    if cfg!(not(feature = "metrics")) {
        let (code, _, text) = run("--metrics 127.0.0.1:0");
        assert!(code == Some(1) && text.contains("--features metrics"), "{text}");
    }
}

#[cfg(feature = "metrics")]
#[test]
fn metrics_are_served_as_text_that_prometheus_reads() {
    let mut echo = Echo::start("--tcp 127.0.0.1:0 --metrics 127.0.0.1:0");
    let (address, metrics) = (echo.address(), echo.address_of("metrics"));
    let stream = connect(address);
    round_trip(&stream, &pattern(1234));
    let ask = |request: &str| {
        let mut client = connect(metrics);
        client
            .write_all(
                format!("{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes(),
            )
            .unwrap();
        let mut response = String::new();
        client.read_to_string(&mut response).unwrap();
        response
    };
    let response = ask("GET /metrics");
    assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
    assert!(response.contains("content-type: text/plain; version=0.0.4"), "{response}");
    let (_, body) = response.split_once("\r\n\r\n").unwrap();
    let value = |name: &str| {
        let line = body.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap();
        line.split(' ').nth(1).unwrap().parse::<u64>().unwrap()
    };
    assert_eq!(value("wheelhouse_echo_bytes_total"), 1234);
    assert_eq!(value("wheelhouse_echo_connections_open"), 1);
    assert!(ask("GET /").starts_with("HTTP/1.1 404"));
    assert!(ask("POST /metrics").starts_with("HTTP/1.1 405"));
    drop(stream);
    assert_eq!(echo.stop().0, Some(0));
}

/// A certificate of its own, or `None`, loudly, where there is no openssl.
#[cfg(feature = "tls")]
fn certificate() -> Option<(PathBuf, PathBuf)> {
    let (certificate, key) = (temporary("cert.pem"), temporary("key.pem"));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
        ])
        .args(["-addext", "subjectAltName=DNS:localhost", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output();
    match made {
        Ok(made) if made.status.success() => Some((certificate, key)),
        _ => {
            eprintln!("SKIPPED: openssl is not installed");
            None
        }
    }
}

#[cfg(feature = "tls")]
#[test]
fn openssl_shakes_hands_is_echoed_to_and_told_the_end() {
    let Some((certificate, key)) = certificate() else { return };
    let (certificate, key) = (certificate.display(), key.display());
    let line = format!("--tls 127.0.0.1:0 --tls-cert {certificate} --tls-key {key}");
    let mut echo = Echo::start(&line);
    let address = echo.address_of("tls");
    for version in ["-tls1_2", "-tls1_3"] {
        let mut client = Command::new("openssl")
            .args(["s_client", "-quiet", "-verify_return_error", "-servername", "localhost"])
            .args([version, "-CAfile", &certificate.to_string(), "-connect", &address.to_string()])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let data: String = (0..20_000).map(|n| format!("line {n}\n")).collect();
        let mut input = client.stdin.take().unwrap();
        let sent = data.clone();
        let writer = std::thread::spawn(move || {
            input.write_all(sent.as_bytes()).unwrap();
            input
        });
        let mut answer = vec![0; data.len()];
        client.stdout.take().unwrap().read_exact(&mut answer).unwrap();
        assert!(answer == data.as_bytes());
        drop(writer.join().unwrap());
        let _ = client.kill();
        client.wait().unwrap();
    }
    // One that shakes no hands is closed at the stop, and is no reason to cut anything.
    let silent = std::net::TcpStream::connect(address).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    let (code, text) = echo.stop();
    assert_eq!(code, Some(0), "{text}");
    drop(silent);
    let _ = std::fs::remove_file(temporary("cert.pem"));
    let _ = std::fs::remove_file(temporary("key.pem"));
}

/// What it is made of, without its features: little, and nothing that makes code at build time.
#[test]
fn the_tree_is_small() {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "-e", "normal", "--prefix", "none", "--no-default-features"])
        .args(["-p", "wheelhouse-echo"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8(tree.stdout).unwrap();
    let names = tree.lines().filter_map(|line| line.split(" (").next());
    let packages: std::collections::BTreeSet<_> = names.collect();
    assert!(packages.len() <= 25, "{} packages: {packages:#?}", packages.len());
    assert!(!packages.iter().any(|name| name.starts_with("syn ")));
}
