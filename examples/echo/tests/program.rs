//! The program as a user meets it: started, talked to over the loopback, stopped by signals.

mod harness;

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use harness::{
    Echo, PATIENCE, connect, is_closed, pattern, program, round_trip, run, try_round_trip,
};
use rustix::process::{Pid, Signal, kill_process};

#[test]
fn it_serves_every_listener_and_ends_cleanly_on_sigterm() {
    let mut echo = Echo::start("--tcp 127.0.0.1:0 --tcp 127.0.0.1:0");
    let addresses = [echo.address(), echo.address()];
    assert_ne!(addresses[0], addresses[1]);
    let streams = addresses.map(connect);
    for stream in &streams {
        round_trip(stream, b"hello");
        round_trip(stream, &pattern(100_000));
    }
    let (code, text) = echo.stop();
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("200.0 kB, on 2 connections"), "{text}");
    assert!(streams.iter().all(is_closed));
    assert!(TcpStream::connect(addresses[0]).is_err());
}

#[test]
fn sigterm_in_the_middle_loses_no_byte() {
    let (echo, address) = Echo::listening("");
    let stream = connect(address);
    // More than the buffers of both sides can hold.
    let data = pattern(16 << 20);
    let mut writing = stream.try_clone().unwrap();
    let to_write = data.clone();
    let writer = std::thread::spawn(move || writing.write_all(&to_write).unwrap());
    let mut answer = vec![0; data.len()];
    let (early, late) = answer.split_at_mut(data.len() / 2);
    (&stream).read_exact(early).unwrap();
    echo.signal(Signal::TERM);
    // With a pause that is longer than what counts as quiet, then slowly: the server has much to
    // send still, and must not take a client that does not read for one that is done.
    std::thread::sleep(Duration::from_millis(250));
    for part in late.chunks_mut(64 * 1024) {
        std::thread::sleep(Duration::from_millis(5));
        (&stream).read_exact(part).unwrap();
    }
    writer.join().unwrap();
    assert!(answer == data, "the echo differs");
    assert!(is_closed(&stream));
    let (code, text) = echo.end();
    assert_eq!(code, Some(0), "{text}");
}

#[test]
fn a_client_that_ends_its_side_gets_everything_back() {
    let (_echo, address) = Echo::listening("");
    let stream = connect(address);
    let data = pattern(3 << 20);
    let mut writing = stream.try_clone().unwrap();
    let to_write = data.clone();
    let writer = std::thread::spawn(move || {
        writing.write_all(&to_write).unwrap();
        writing.shutdown(Shutdown::Write).unwrap();
    });
    let mut answer = Vec::new();
    (&stream).read_to_end(&mut answer).unwrap();
    writer.join().unwrap();
    assert!(answer == data, "{} of {} bytes came back", answer.len(), data.len());
}

/// Until the echo says itself that it cannot send: its client reads nothing.
fn send_more_than_fits(echo: &mut Echo, mut stream: &TcpStream) {
    stream.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
    let mut said = String::new();
    while !said.contains("waits to write descriptor") {
        while stream.write(&[7; 64 * 1024]).is_ok() {}
        said = echo.dump();
    }
}

#[test]
fn the_grace_bounds_the_drain_of_a_client_that_does_not_read() {
    let (mut echo, address) = Echo::listening("--grace 300ms");
    let stream = connect(address);
    send_more_than_fits(&mut echo, &stream);
    let start = Instant::now();
    let (code, text) = echo.stop();
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("--grace"), "{text}");
    assert!(start.elapsed() < PATIENCE);
}

#[test]
fn a_second_signal_ends_it_now() {
    let (mut echo, address) = Echo::listening("--grace 1h");
    let stream = connect(address);
    send_more_than_fits(&mut echo, &stream);
    echo.signal(Signal::INT);
    // Two at once may be one. The first was heard when nobody accepts any more.
    let began = Instant::now();
    while TcpStream::connect(address).is_ok() {
        assert!(began.elapsed() < PATIENCE, "it does not stop");
    }
    echo.signal(Signal::INT);
    let (code, text) = echo.end();
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("second signal"), "{text}");
}

/// Nobody can tell whether the last message of a client that never pauses would have come back.
#[test]
fn a_client_that_is_busy_to_the_end_of_the_grace_is_cut_and_an_idle_one_is_not() {
    while !is_cut_at_the_end_of_the_grace(true) {}
    is_cut_at_the_end_of_the_grace(false);
}

/// `false` if this process was itself held up for so long that its client was not busy.
fn is_cut_at_the_end_of_the_grace(is_busy: bool) -> bool {
    let (echo, address) = Echo::listening("--grace 300ms");
    let stream = connect(address);
    round_trip(&stream, b"hello");
    let talker = std::thread::spawn(move || {
        let has_paused = is_busy && talk_to_the_end(&stream);
        let _ = (&stream).read(&mut [0]);
        has_paused
    });
    let (code, text) = echo.stop();
    if talker.join().unwrap() {
        return false;
    }
    assert_eq!(code, Some(is_busy.into()), "{text}");
    assert_eq!(text.contains("1 connections were still busy"), is_busy, "{text}");
    true
}

/// Whether it paused for as long as counts as quiet.
fn talk_to_the_end(stream: &TcpStream) -> bool {
    let (mut last_sent, mut has_paused) = (Instant::now(), false);
    loop {
        let sent = Instant::now();
        let answered = try_round_trip(stream, b"and");
        has_paused |= last_sent.elapsed() >= Duration::from_millis(100);
        if answered.is_err() {
            return has_paused;
        }
        last_sent = sent;
    }
}

#[test]
fn the_network_in_both_families_is_two_listeners_on_one_port() {
    // A port that is free in both families, as far as one can know. IPv6 may be there and have no
    // address.
    let free = || {
        TcpListener::bind("[::1]:0").ok()?;
        let probe = TcpListener::bind("[::]:0").ok()?;
        Some(probe.local_addr().unwrap().port())
    };
    let Some(port) = free() else {
        eprintln!("SKIPPED: there is no IPv6 here");
        return;
    };
    let line = format!(
        "--tcp [::]:{port} --tcp 0.0.0.0:{port} --udp 0.0.0.0:{port} --udp [::]:{port} --loops 2"
    );
    let mut echo = Echo::start(&line);
    let _ = (echo.address(), echo.address(), echo.address_of("udp"), echo.address_of("udp"));
    for host in ["127.0.0.1", "[::1]"] {
        let address: std::net::SocketAddr = format!("{host}:{port}").parse().unwrap();
        round_trip(&connect(address), b"hello");
    }
    assert_eq!(echo.stop().0, Some(0));
}

#[test]
fn who_waits_in_the_queue_at_the_stop_is_still_served() {
    let (echo, address) = Echo::listening("");
    let streams: Vec<_> = (0..20).map(|_| connect(address)).collect();
    for mut stream in &streams {
        stream.write_all(b"last words").unwrap();
    }
    echo.signal(Signal::TERM);
    for mut stream in &streams {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "last words");
    }
    assert_eq!(echo.end().0, Some(0));
}

#[test]
fn an_idle_connection_is_closed_and_a_busy_one_is_not() {
    while !idle_is_told_from_busy() {}
}

/// `false` if this process was itself held up for so long that its client was not busy.
fn idle_is_told_from_busy() -> bool {
    const TIMEOUT: Duration = Duration::from_millis(300);
    let (echo, address) = Echo::listening("--idle-timeout 300ms");
    let start = Instant::now();
    let (idle, busy) = (connect(address), connect(address));
    round_trip(&idle, b"once");
    idle.set_nonblocking(true).unwrap();
    let (mut last_sent, mut is_idle_closed) = (start, false);
    while last_sent - start < Duration::from_millis(700) || !is_idle_closed {
        assert!(start.elapsed() < PATIENCE, "an idle connection stays open");
        let sent = Instant::now();
        let answered = try_round_trip(&busy, b"again and again");
        // The server heard of us between the last sending and now.
        if last_sent.elapsed() >= TIMEOUT {
            return false;
        }
        answered.unwrap();
        last_sent = sent;
        is_idle_closed |= is_closed(&idle);
        std::thread::sleep(Duration::from_millis(30));
    }
    assert!(is_closed(&busy), "it is idle now");
    assert!(last_sent.elapsed() >= Duration::from_millis(250), "{:?}", last_sent.elapsed());
    let (code, text) = echo.stop();
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("2 closed as idle"), "{text}");
    true
}

#[test]
fn a_connection_that_never_says_a_word_is_idle_too() {
    let (_echo, address) = Echo::listening("--idle-timeout 100ms");
    assert!(is_closed(&connect(address)));
}

#[test]
fn beyond_the_most_connections_one_waits_for_a_place() {
    let (echo, address) = Echo::listening("--max-connections 2");
    let first = connect(address);
    let second = connect(address);
    round_trip(&first, b"1");
    round_trip(&second, b"2");
    let mut third = connect(address);
    third.write_all(b"3").unwrap();
    third.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let mut byte = [0];
    let kind = third.read(&mut byte).unwrap_err().kind();
    assert_eq!(kind, io::ErrorKind::WouldBlock, "served beyond the limit");
    drop(first);
    third.set_read_timeout(Some(PATIENCE)).unwrap();
    third.read_exact(&mut byte).unwrap();
    assert_eq!(&byte, b"3");
    assert_eq!(echo.stop().0, Some(0));
}

#[test]
fn several_loops_share_a_port_and_the_limit() {
    let (echo, address) = Echo::listening("--loops 3 --max-connections 40 --stats");
    let streams: Vec<_> = (0..40).map(|_| connect(address)).collect();
    for stream in &streams {
        round_trip(stream, &pattern(1000));
    }
    drop(streams);
    round_trip(&connect(address), b"a place is free again");
    let (code, text) = echo.stop();
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("on 41 connections"), "{text}");
}

#[test]
fn statistics_come_every_second_on_stderr() {
    let (mut echo, address) = Echo::listening("--stats");
    let stream = connect(address);
    round_trip(&stream, &[1; 64]);
    let mut lines = BufReader::new(echo.child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.next().unwrap().contains("open files"));
    // The message may come in any second, and a busy machine makes that longer.
    let line = lines.find(|line| !line.contains("total 0 messages")).unwrap();
    assert!(line.starts_with("1 connections  ") && line.contains(" messages/s  "), "{line}");
    assert!(line.ends_with(" B/s  total 1 messages, 1 connections"), "{line}");
}

#[test]
fn an_address_in_use_is_said_so() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    for loops in ["", "--loops 2"] {
        let (code, out, text) = run(&format!("--tcp {address} {loops}"));
        assert_eq!((code, out.as_str()), (Some(1), ""), "{text}");
        assert!(
            text.contains(&format!("cannot listen on {address}")) && text.contains("port 0"),
            "{text}"
        );
    }
    // Nor does a server with several loops let another one in.
    let (_echo, address) = Echo::listening("--loops 2");
    let (code, _, text) = run(&format!("--tcp {address} --loops 2"));
    assert_eq!(code, Some(1), "{text}");
}

#[test]
fn a_wrong_line_ends_with_2_and_help_with_0() {
    let (code, out, text) = run("--tpc 127.0.0.1:0");
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(text.contains("no option `--tpc`") && text.contains("--help"), "{text}");
    let (code, out, _) = run("--help");
    assert!(code == Some(0) && out.contains("Examples:"));
    let (code, out, _) = run("--version");
    assert!(code == Some(0) && out.starts_with("wheelhouse-echo "));
}

/// A full disk, and a reader that has gone: said where it can be, never a panic, and no reason to
/// stop serving.
#[cfg(target_os = "linux")]
#[test]
fn output_that_nobody_takes_is_no_panic() {
    let full = || std::fs::File::options().write(true).open("/dev/full").unwrap();
    for line in ["--help", "--tcp 127.0.0.1:0", "--tcp 127.0.0.1:0 --json"] {
        let output = program(line).stdout(full()).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{line}: {text}");
        assert!(text.contains("cannot write to stdout: No space left"), "{line}: {text}");
    }
    let status = program("--wrong").stderr(full()).status().unwrap();
    assert_eq!(status.code(), Some(2));
    for line in ["--stats", "--stats --json"] {
        let mut command = program(&format!("--tcp 127.0.0.1:0 {line}"));
        let mut child = command.stderr(full()).spawn().unwrap();
        let mut said = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
        let address = said.split(['"', ' ']).find(|word| word.starts_with("127.")).unwrap();
        let stream = connect(address.trim().parse().unwrap());
        round_trip(&stream, b"hello");
        // Past the first line of statistics.
        std::thread::sleep(Duration::from_millis(1200));
        round_trip(&stream, b"still here");
        kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0), "{line}");
    }
}
