//! `send_file`, both ways: whole files and ranges, files that shrink, peers that are gone.

mod support;

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, Write};
use std::path::PathBuf;
use std::time::Duration;

use support::{GUARD, in_child, run_checked_on};
use wheelhouse::net::{CopyOperation, StreamReader, TcpListener, TcpSocket, TcpStream, send_file};
use wheelhouse::signal::{SignalKind, signal};
use wheelhouse::time::{sleep, timeout};
use wheelhouse::{EventLoop, spawn};

#[track_caller]
fn run<F: Future>(future: F) -> F::Output {
    run_checked_on(EventLoop::builder(), async { timeout(GUARD, future).await.expect("it hangs") })
}

/// Two ends of a connection. The buffers between them hold a few KiB only.
async fn narrow_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_send_buffer_size(4096).unwrap();
    let client = socket.connect(listener.local_addr().unwrap()).await.unwrap();
    (client, listener.accept().await.unwrap().0)
}

/// A file of a test's own, removed when dropped.
struct Temporary(PathBuf);

impl Temporary {
    fn new(name: &str, content: &[u8]) -> (Temporary, File) {
        let name = format!("wheelhouse-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(true).clone();
        let mut file = options.open(&path).unwrap();
        file.write_all(content).unwrap();
        (Temporary(path), file)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn content(bytes: usize) -> Vec<u8> {
    (0..bytes as u64).map(|n| (n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8).collect()
}

/// What arrives of a range, by the system or by the pool, and how much it is said to be.
async fn sent(file: &File, from: u64, to: u64, by_system: bool) -> (Vec<u8>, u64) {
    let (sender, receiver) = narrow_pair().await;
    let receiver =
        spawn(async move { StreamReader::new(receiver).read_to_end(usize::MAX).await.unwrap() });
    let count = match by_system {
        true => sender.send_file(file, from..to).await,
        false => send_file(&sender, file, from..to).await,
    };
    drop(sender);
    (receiver.await.unwrap(), count.unwrap())
}

#[test]
fn files_and_ranges_arrive_whole() {
    let data = content(3_000_000);
    let (_kept, mut file) = Temporary::new("whole", &data);
    file.seek(std::io::SeekFrom::Start(7)).unwrap();
    run(async {
        for by_system in [true, false] {
            for (from, to) in [
                (0, u64::MAX),
                (0, 3_000_000),
                (1, 2),
                (5, 5),
                (9, 3),
                (262_143, 262_145),
                (2_999_999, 9_999_999),
                (3_000_000, 3_000_001),
                (4_000_000, 5_000_000),
            ] {
                let end = to.min(3_000_000) as usize;
                let expected = data.get(from as usize..end).unwrap_or_default();
                let (received, count) = sent(&file, from, to, by_system).await;
                assert!(received == expected, "{from}..{to}: {} bytes", received.len());
                assert_eq!(count, expected.len() as u64);
            }
        }
    });
    assert_eq!(file.stream_position().unwrap(), 7, "the position is the caller's");
}

#[test]
fn a_file_that_shrinks_ends_early() {
    for by_system in [true, false] {
        let (_kept, file) = Temporary::new(&format!("shrinks-{by_system}"), &content(2_000_000));
        run(async {
            let (sender, receiver) = narrow_pair().await;
            let sending = file.try_clone().unwrap();
            let sending = spawn(async move {
                match by_system {
                    true => sender.send_file(&sending, ..2_000_000).await,
                    false => send_file(&sender, &sending, ..2_000_000).await,
                }
            });
            sleep(Duration::from_millis(10)).await;
            file.set_len(1_900_000).unwrap();
            let all = StreamReader::new(receiver).read_to_end(usize::MAX).await.unwrap();
            assert_eq!(sending.await.unwrap().unwrap(), 1_900_000);
            assert!(all == content(2_000_000)[..1_900_000]);
        });
    }
}

/// The system cannot send what has no pages; it is read instead.
#[test]
fn files_that_the_system_cannot_send_are_read() {
    let Ok(mut file) = File::open("/proc/self/status") else { return };
    let mut expected = String::new();
    file.read_to_string(&mut expected).unwrap();
    run(async {
        let (received, count) = sent(&file, 0, u64::MAX, true).await;
        assert_eq!(count, received.len() as u64);
        let name = |text: &str| text.lines().next().map(str::to_owned);
        assert_eq!(name(&String::from_utf8(received).unwrap()), name(&expected));
    });
}

#[test]
fn a_file_that_cannot_be_read_is_to_blame_itself() {
    let (kept, _file) = Temporary::new("unreadable", b"secret");
    let write_only = OpenOptions::new().write(true).open(&kept.0).unwrap();
    let (pipe, _writer) = std::io::pipe().unwrap();
    let pipe = File::from(std::os::fd::OwnedFd::from(pipe));
    let directory = File::open("/").unwrap();
    run(async {
        let (sender, _receiver) = narrow_pair().await;
        for file in [write_only, pipe, directory] {
            for by_system in [true, false] {
                let error = match by_system {
                    true => sender.send_file(&file, ..).await,
                    false => send_file(&sender, &file, ..).await,
                };
                let error = error.unwrap_err();
                assert_eq!((error.operation, error.copied), (CopyOperation::Read, 0), "{error}");
            }
        }
    });
}

/// Offsets beyond 2 and 4 GiB, in a file that takes up no room.
#[test]
fn a_file_may_be_larger_than_memory_and_offsets_than_32_bits() {
    let (_kept, file) = Temporary::new("sparse", b"");
    let end = 5 << 30;
    std::os::unix::fs::FileExt::write_at(&file, b"the end", end - 7).unwrap();
    run(async {
        for by_system in [true, false] {
            let (received, count) = sent(&file, end - 300_000, u64::MAX, by_system).await;
            assert_eq!((count, received.len()), (300_000, 300_000));
            assert!(received.ends_with(b"\0the end"));
            assert_eq!(sent(&file, end + 1, u64::MAX, by_system).await.1, 0);
        }
    });
}

/// A host may have left `SIGPIPE` as it is, which would end it.
#[test]
fn a_peer_that_is_gone_is_an_error_and_no_signal() {
    in_child("a_peer_that_is_gone_is_an_error_and_no_signal", || {
        let (_kept, file) = Temporary::new("gone", &content(100_000));
        run(async {
            let mut pipes = signal(SignalKind::pipe()).unwrap();
            for by_system in [true, false, true, true, true] {
                let (sender, receiver) = narrow_pair().await;
                drop(receiver);
                sender.readable().await.unwrap();
                let error = loop {
                    let result = match by_system {
                        true => sender.send_file(&file, ..).await,
                        false => send_file(&sender, &file, ..).await,
                    };
                    if let Err(error) = result {
                        break error;
                    }
                };
                assert_eq!(error.operation, CopyOperation::Write);
                // The first failure may be the reset itself.
                let _ = sender.send_file(&file, ..).await.unwrap_err();
                let again = sender.send_file(&file, ..).await.unwrap_err();
                assert_eq!(again.error.kind(), ErrorKind::BrokenPipe);
            }
            timeout(Duration::from_millis(20), pipes.recv()).await.expect_err("a signal came");
        });
    });
}

/// A large file holds nobody up.
#[test]
fn others_run_while_a_file_is_sent() {
    let (_kept, file) = Temporary::new("large", &content(16 << 20));
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let sender = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (receiver, _) = listener.accept().await.unwrap();
        let receiver = std::thread::spawn(move || {
            let mut receiver = receiver.into_std().unwrap();
            receiver.set_nonblocking(false).unwrap();
            std::io::copy(&mut receiver, &mut std::io::sink()).unwrap()
        });
        let turns = std::rc::Rc::new(std::cell::Cell::new(0));
        let count = turns.clone();
        let other = spawn(async move {
            loop {
                count.set(count.get() + 1);
                wheelhouse::yield_now().await;
            }
        });
        assert_eq!(sender.send_file(&file, ..).await.unwrap(), 16 << 20);
        assert!(turns.get() >= 16, "{} turns of the other task", turns.get());
        other.cancel();
        drop(sender);
        assert_eq!(receiver.join().unwrap(), 16 << 20);
    });
}
