//! Streams that move a byte at a time, and peers that break off: no byte is lost, doubled or out of
//! place on a connection that was not itself broken.
//!
//! A script makes every receive and send of the loop move one byte at most, and interrupts its
//! waits, invents events and holds real ones back beside; the peers are plain threads with large
//! buffers. `WHEELHOUSE_FAULT_BYTES=1073741824 cargo test --release --test faults_bytes exact` is
//! the long form: a gibibyte there and back over TCP and another through pipes, byte by byte. That
//! is 2^32 system calls and more, so all processors take a share, each with a loop of its own.

mod support;

use std::fs::File;
use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::{self, Shutdown, SocketAddr};

use socket2::SockRef;
use support::run_checked_on;
use wheelhouse::net::unix::pipe;
use wheelhouse::net::{TcpListener, TcpStream};
use wheelhouse::testing::Test;
use wheelhouse::time::Duration;
use wheelhouse::{Builder, EventLoop, Script, SelectorKind, Step, spawn, spawn_blocking};

/// A byte at a time, and nothing that a wait may do is left out.
fn byte_by_byte() -> Builder {
    let script = Script::repeating([
        Step::Pass,
        Step::Interrupted,
        Step::OneAtATime,
        Step::Spurious,
        Step::Hold,
    ]);
    script.limit_transfers(1);
    EventLoop::builder().selector(SelectorKind::Scripted(script))
}

/// Runs `test` with the number of bytes that are to go there and back; the long form on as many
/// loops as there are processors, with a share for each.
fn share_out(test: impl Fn(u64) + Sync) {
    let Ok(wanted) = std::env::var("WHEELHOUSE_FAULT_BYTES") else { return test(256 << 10) };
    let bytes: u64 = wanted.parse().expect("WHEELHOUSE_FAULT_BYTES is a number");
    let loops = std::thread::available_parallelism().map_or(1, |number| number.get() as u64);
    let began = std::time::Instant::now();
    std::thread::scope(|threads| {
        for index in 0..loops {
            let share = bytes / loops + u64::from(index < bytes % loops);
            let test = &test;
            threads.spawn(move || test(share));
        }
    });
    println!("{bytes} bytes there and back, on {loops} loops, in {:.1?}", began.elapsed());
}

/// The bytes from `start` on of a stream in which every place has its own value, nearly.
fn fill(start: u64, buffer: &mut [u8]) {
    for (at, byte) in (start..).zip(buffer) {
        *byte = (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8;
    }
}

/// Asserts that what came is what stands at `start`.
#[track_caller]
fn check(start: u64, came: &[u8], expected: &mut [u8]) {
    let expected = &mut expected[..came.len()];
    fill(start, expected);
    assert!(came == expected, "wrong bytes somewhere from {start} on");
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Sends back what comes, to the end of it.
async fn echo(stream: TcpStream) -> std::io::Result<()> {
    let mut buffer = vec![0; 16 << 10];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return stream.shutdown(Shutdown::Write),
            n => stream.write_all(&buffer[..n]).await?,
        }
    }
}

/// Sends `size` bytes, ends its side, and asserts that the same come back, and then the end.
fn there_and_back(address: SocketAddr, size: u64) {
    let mut stream = net::TcpStream::connect(address).unwrap();
    let mut sending = stream.try_clone().unwrap();
    let sender = std::thread::spawn(move || {
        send_all(&mut sending, size);
        sending.shutdown(Shutdown::Write).unwrap();
    });
    receive_all(&mut stream, size);
    sender.join().unwrap();
}

fn send_all(to: &mut impl Write, size: u64) {
    let (mut buffer, mut sent) = (vec![0; 64 << 10], 0);
    while sent < size {
        let n = (size - sent).min(buffer.len() as u64) as usize;
        fill(sent, &mut buffer[..n]);
        to.write_all(&buffer[..n]).unwrap();
        sent += n as u64;
    }
}

/// Asserts that it is what `send_all` sends, and then the end.
fn receive_all(from: &mut impl Read, size: u64) {
    let (mut buffer, mut expected) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    let mut received = 0;
    loop {
        let n = from.read(&mut buffer).unwrap();
        if n == 0 {
            break;
        }
        check(received, &buffer[..n], &mut expected);
        received += n as u64;
    }
    assert_eq!(received, size);
}

/// Row 56, the hard way.
#[test]
fn an_echo_byte_by_byte_is_exact() {
    share_out(|bytes| {
        // The long form takes its time.
        Test::on(byte_by_byte()).in_order().time_limit(Duration::MAX).run(async {
            let (listener, address) = listener().await;
            let client = spawn_blocking(move || there_and_back(address, bytes));
            let (stream, _) = listener.accept().await.unwrap();
            // A packet for each byte would be all that is measured.
            #[cfg(target_os = "linux")]
            SockRef::from(&stream).set_tcp_cork(true).unwrap();
            echo(stream).await.unwrap();
            client.await.unwrap();
        });
    });
}

#[test]
fn a_relay_between_pipes_byte_by_byte_is_exact() {
    share_out(|bytes| {
        Test::on(byte_by_byte()).in_order().time_limit(Duration::MAX).run(async {
            let (questions, asked) = pipe::pipe().unwrap();
            let (answers, answered) = pipe::pipe().unwrap();
            let mut questions = File::from(questions.into_blocking_fd().unwrap());
            let mut answered = File::from(answered.into_blocking_fd().unwrap());
            let sending = spawn_blocking(move || send_all(&mut questions, bytes));
            let receiving = spawn_blocking(move || receive_all(&mut answered, bytes));
            let mut buffer = vec![0; 16 << 10];
            loop {
                match asked.read(&mut buffer).await.unwrap() {
                    0 => break,
                    n => answers.write_all(&buffer[..n]).await.unwrap(),
                }
            }
            drop(answers);
            sending.await.unwrap();
            receiving.await.unwrap();
        });
    });
}

#[test]
fn many_echoes_byte_by_byte_are_exact() {
    run_checked_on(byte_by_byte(), async {
        let (listener, address) = listener().await;
        let clients: Vec<_> =
            (0..8).map(|_| spawn_blocking(move || there_and_back(address, 10_000))).collect();
        let mut echoes = Vec::new();
        for _ in 0..clients.len() {
            let (stream, _) = listener.accept().await.unwrap();
            echoes.push(spawn(echo(stream)));
        }
        for client in clients {
            client.await.unwrap();
        }
        for echo in echoes {
            echo.await.unwrap().unwrap();
        }
    });
}

/// Both ends on one loop, halves and several buffers included.
#[test]
fn several_buffers_are_filled_and_emptied_byte_by_byte() {
    const SIZE: usize = 20_000;
    run_checked_on(byte_by_byte(), async {
        let (listener, address) = listener().await;
        let client = TcpStream::connect(address).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        let writer = spawn(async move {
            let (_reading, mut writing) = client.into_split();
            let mut data = vec![0; SIZE];
            fill(0, &mut data);
            let mut sent = 0;
            while sent < SIZE {
                let rest = &data[sent..];
                let (first, second) = rest.split_at(rest.len().min(3));
                let parts = [IoSlice::new(&[]), IoSlice::new(first), IoSlice::new(second)];
                let write = futures_lite::AsyncWriteExt::write_vectored(&mut writing, &parts);
                let n = write.await.unwrap();
                assert_eq!(n, 1);
                sent += n;
            }
        });
        let (mut received, mut expected) = (0, vec![0; 64]);
        let mut reading = &server;
        loop {
            let (mut empty, mut few, mut many) = ([0; 0], [0; 2], [0; 8]);
            let mut parts = [&mut empty[..], &mut few, &mut many].map(IoSliceMut::new);
            let read = futures_lite::AsyncReadExt::read_vectored(&mut reading, &mut parts);
            if read.await.unwrap() == 0 {
                break;
            }
            check(received, &few[..1], &mut expected);
            received += 1;
        }
        assert_eq!(received, SIZE as u64);
        writer.await.unwrap();
    });
}

/// What a script leaves of a buffer was filled: there is more, and no event will say so.
#[test]
fn a_read_that_was_cut_leaves_the_stream_ready() {
    let script = Script::default();
    script.limit_transfers(2);
    let builder = EventLoop::builder().selector(SelectorKind::Scripted(script.clone()));
    run_checked_on(builder, async {
        let (listener, address) = listener().await;
        let client = TcpStream::connect(address).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        client.write_all(b"abcde").await.unwrap();
        let mut buffer = [0; 5];
        while server.peek(&mut buffer).await.unwrap() < 5 {}
        let mut read = Vec::new();
        for _ in 0..3 {
            let n = server.read(&mut buffer).await.unwrap();
            read.push(String::from_utf8_lossy(&buffer[..n]).into_owned());
        }
        assert_eq!(read, ["ab", "cd", "e"]);
        assert_eq!(client.try_write(b"xyz").unwrap(), 2);
        server.readable().await.unwrap();
        assert_eq!(server.try_read(&mut buffer).unwrap(), 2);
        let error = server.try_read(&mut buffer).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
    });
}

/// Ends itself by a reset after so many bytes were sent, and so many read.
fn break_off(address: SocketAddr, sends: usize, reads: usize) {
    let mut stream = net::TcpStream::connect(address).unwrap();
    let mut data = vec![0; sends.max(reads)];
    fill(0, &mut data);
    // The other side may be in the middle of anything.
    let _ = stream.write_all(&data[..sends]);
    let _ = stream.read_exact(&mut data[..reads]);
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
}

fn peers_that_break_off_break_only_their_own(builder: Builder) {
    const GOOD: usize = 6;
    const RUDE: usize = 24;
    run_checked_on(builder, async {
        let (listener, address) = listener().await;
        let good = (0..GOOD).map(|_| spawn_blocking(move || there_and_back(address, 10_000)));
        let rude = (0..RUDE).map(|n| {
            let (sends, reads) = (n * 997 % 5_000, n * 313 % 2_000);
            spawn_blocking(move || break_off(address, sends, reads.min(sends)))
        });
        let clients: Vec<_> = good.chain(rude).collect();
        let mut echoes = Vec::new();
        while echoes.len() < clients.len() {
            let (stream, _) = listener.accept().await.unwrap();
            echoes.push(spawn(echo(stream)));
        }
        for client in clients {
            client.await.unwrap();
        }
        let mut whole = 0;
        for echo in echoes {
            match echo.await.unwrap() {
                Ok(()) => whole += 1,
                Err(error) => assert!(
                    matches!(
                        error.kind(),
                        ErrorKind::ConnectionReset
                            | ErrorKind::BrokenPipe
                            | ErrorKind::NotConnected
                    ),
                    "{error}"
                ),
            }
        }
        assert!(whole >= GOOD, "{whole} of at least {GOOD}");
        // And it goes on.
        let late = spawn_blocking(move || there_and_back(address, 1_000));
        echo(listener.accept().await.unwrap().0).await.unwrap();
        late.await.unwrap();
    });
}

#[test]
fn resets_in_the_middle_break_only_their_own_connection() {
    peers_that_break_off_break_only_their_own(EventLoop::builder());
}

#[test]
fn resets_in_the_middle_byte_by_byte_break_only_their_own_connection() {
    peers_that_break_off_break_only_their_own(byte_by_byte());
}
