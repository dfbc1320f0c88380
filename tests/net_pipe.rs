//! Pipes, anonymous and named, through the public API and a real kernel.
//!
//! Where a test names a row, it is one of the list of pitfalls: something that went wrong in
//! another runtime.

mod support;

use std::fs::File;
use std::future::{Future, poll_fn};
use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use futures_lite::io::{AsyncReadExt, AsyncWriteExt};
use support::{GUARD, TempPath, assert_close_on_exec, kind_of, poll_once, run_checked};
use wheelhouse::io::Interest;
use wheelhouse::net::unix::pipe::{self, OpenOptions, Receiver, Sender, pipe};
use wheelhouse::time::timeout;
use wheelhouse::{spawn, yield_now};

/// Runs on a fresh loop, with an end to waiting, and checks that nothing is left.
#[track_caller]
fn run<F: Future>(future: F) -> F::Output {
    run_checked(async { timeout(GUARD, future).await.expect("it hangs") })
}

/// A named pipe, and the path that is removed with it.
fn named() -> TempPath {
    let path = TempPath::new("fifo");
    let status = Command::new("mkfifo").arg(path.as_ref()).status().unwrap();
    assert!(status.success());
    path
}

#[test]
fn what_is_sent_is_received_and_then_the_end() {
    run(async {
        let (sender, receiver) = pipe().unwrap();
        let sent: Vec<u8> = (0..1_000_000).map(|n| n as u8).collect();
        let data = sent.clone();
        let task = spawn(async move { sender.write_all(&data).await });
        let mut received = Vec::new();
        receiver.read_to_end(&mut received).await.unwrap();
        assert!(received == sent);
        task.await.unwrap().unwrap();
    });
}

#[test]
fn the_traits_of_futures_io_are_there_by_value_and_by_reference() {
    run(async {
        let (sender, receiver) = pipe().unwrap();
        let (mut by_reference, mut from) = (&sender, &receiver);
        AsyncWriteExt::write_all(&mut by_reference, b"by reference").await.unwrap();
        // Closing ends nothing; dropping does.
        by_reference.close().await.unwrap();
        let mut buffer = [0; 12];
        from.read_exact(&mut buffer).await.unwrap();
        let mut sender = sender;
        AsyncWriteExt::write_all(&mut sender, b"and by value").await.unwrap();
        from.read_exact(&mut buffer).await.unwrap();
        assert_eq!(&buffer, b"and by value");
        drop(sender);
        assert_eq!(from.read(&mut buffer).await.unwrap(), 0);
    });
}

#[test]
fn try_methods_do_not_wait_and_readiness_says_when_to_try() {
    run(async {
        let (sender, receiver) = pipe().unwrap();
        let mut buffer = [0; 8];
        assert_eq!(kind_of(receiver.try_read(&mut buffer)), ErrorKind::WouldBlock);
        assert!(poll_once(receiver.readable()).is_pending());
        sender.writable().await.unwrap();
        poll_fn(|cx| sender.poll_write_ready(cx)).await.unwrap();
        assert!(sender.ready(Interest::WRITABLE).await.unwrap().is_writable());
        assert_eq!(sender.try_write(b"abcd").unwrap(), 4);
        let parts = [IoSlice::new(b"ef"), IoSlice::new(b"gh")];
        assert_eq!(sender.try_write_vectored(&parts).unwrap(), 4);
        receiver.readable().await.unwrap();
        poll_fn(|cx| receiver.poll_read_ready(cx)).await.unwrap();
        assert!(receiver.ready(Interest::READABLE).await.unwrap().is_readable());
        let (mut a, mut b) = ([0; 1], [0; 2]);
        let mut rooms = [IoSliceMut::new(&mut a), IoSliceMut::new(&mut b)];
        assert_eq!(receiver.try_read_vectored(&mut rooms).unwrap(), 3);
        let mut room = Vec::with_capacity(2);
        assert_eq!(receiver.try_read_buf(&mut room).unwrap(), 2);
        let read = receiver.try_io(|| Ok(rustix::io::read(&receiver, &mut buffer)?));
        assert_eq!(read.unwrap(), 3);
        assert_eq!((&a, &b, &room[..], &buffer[..3]), (b"a", b"bc", &b"de"[..], &b"fgh"[..]));
        let blocked = sender.try_io(|| Err::<(), _>(ErrorKind::WouldBlock.into()));
        assert_eq!(kind_of(blocked), ErrorKind::WouldBlock);
        assert!(poll_once(sender.writable()).is_pending(), "it was said not to be ready");
    });
}

#[test]
fn a_full_pipe_makes_the_sender_wait() {
    run(async {
        let (sender, receiver) = pipe().unwrap();
        let mut sent = 0;
        while let Ok(n) = sender.try_write(&[1; 4096]) {
            sent += n;
        }
        let task = spawn(async move { sender.write_all(&[2; 10_000]).await });
        for _ in 0..10 {
            yield_now().await;
        }
        assert!(!task.is_finished());
        let mut received = Vec::new();
        while received.len() < sent + 10_000 {
            receiver.readable().await.unwrap();
            match receiver.try_read_buf(&mut received) {
                Ok(0) => break,
                Ok(_) => received.reserve(4096),
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        }
        task.await.unwrap().unwrap();
        assert!(received.iter().take(sent).all(|byte| *byte == 1));
        assert_eq!(received[sent..], [2; 10_000]);
    });
}

/// Row 23.
#[test]
fn the_end_of_a_drained_pipe_wakes_its_receiver() {
    run(async {
        let (sender, receiver) = pipe().unwrap();
        let read = spawn(async move { receiver.read(&mut [0; 8]).await.unwrap() });
        yield_now().await;
        assert!(!read.is_finished());
        drop(sender);
        assert_eq!(read.await.unwrap(), 0);
    });
}

/// All that a sender sees of it is an error bit.
#[test]
fn the_end_of_a_receiver_wakes_a_sender_that_waits() {
    run(async {
        let (sender, receiver) = pipe().unwrap();
        while sender.try_write(&[1; 4096]).is_ok() {}
        let write = spawn(async move { sender.write(b"x").await });
        yield_now().await;
        assert!(!write.is_finished());
        drop(receiver);
        assert_eq!(kind_of(write.await.unwrap()), ErrorKind::BrokenPipe);
    });
}

/// Row 55: a read that is dropped has read nothing.
#[test]
fn dropped_reads_lose_nothing() {
    run(async {
        let (sender, receiver) = pipe().unwrap();
        let mut buffer = [0; 8];
        for round in 0..2000_u32 {
            let mut dropped = Box::pin(receiver.read(&mut buffer));
            assert!(poll_once(dropped.as_mut()).is_pending());
            sender.write_all(&round.to_be_bytes()).await.unwrap();
            if round % 2 == 0 {
                receiver.readable().await.unwrap();
            }
            drop(dropped);
            assert_eq!(receiver.read(&mut buffer).await.unwrap(), 4);
            assert_eq!(buffer[..4], round.to_be_bytes());
        }
    });
}

#[test]
fn a_named_pipe_is_opened_from_both_ends() {
    run(async {
        let path = named();
        // ENXIO: nobody would read.
        let alone = OpenOptions::new().open_sender(&path).unwrap_err();
        assert_eq!(alone.raw_os_error(), Some(rustix::io::Errno::NXIO.raw_os_error()));
        let receiver = OpenOptions::new().open_receiver(&path).unwrap();
        let sender = OpenOptions::new().open_sender(&path).unwrap();
        sender.write_all(b"hello").await.unwrap();
        let mut buffer = [0; 8];
        assert_eq!(receiver.read(&mut buffer).await.unwrap(), 5);
        drop(sender);
        assert_eq!(receiver.read(&mut buffer).await.unwrap(), 0);
        // The next sender can be waited for.
        let waits = spawn(async move {
            let mut buffer = [0; 8];
            loop {
                receiver.readable().await.unwrap();
                match receiver.try_read(&mut buffer) {
                    Ok(0) => yield_now().await,
                    Ok(n) => return n,
                    Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
                }
            }
        });
        let sender = OpenOptions::new().open_sender(&path).unwrap();
        sender.write_all(b"again!").await.unwrap();
        assert_eq!(waits.await.unwrap(), 6);
    });
}

/// It is at its end all the time, but nothing says so before the first sender has gone.
#[cfg(target_os = "linux")]
#[test]
fn a_receiver_that_comes_first_waits_for_what_is_sent() {
    run(async {
        let path = named();
        let receiver = OpenOptions::new().open_receiver(&path).unwrap();
        let mut buffer = [0; 8];
        assert_eq!(receiver.try_read(&mut buffer).unwrap(), 0);
        assert!(poll_once(receiver.read(&mut buffer)).is_pending());
        let sender = OpenOptions::new().open_sender(&path).unwrap();
        let reading = spawn(async move {
            let n = receiver.read(&mut buffer).await.unwrap();
            (receiver, n)
        });
        yield_now().await;
        sender.write_all(b"first").await.unwrap();
        let (receiver, n) = reading.await.unwrap();
        assert_eq!(n, 5);
        drop(sender);
        assert_eq!(receiver.read(&mut buffer).await.unwrap(), 0);
    });
}

#[cfg(target_os = "linux")]
#[test]
fn a_receiver_that_may_write_meets_no_end_and_a_sender_that_may_read_comes_first() {
    run(async {
        let path = named();
        let sender = OpenOptions::new().read_write(true).open_sender(&path).unwrap();
        sender.write_all(b"early").await.unwrap();
        let receiver = OpenOptions::new().read_write(true).open_receiver(&path).unwrap();
        drop(sender);
        let mut buffer = [0; 8];
        assert_eq!(receiver.read(&mut buffer).await.unwrap(), 5);
        assert_eq!(kind_of(receiver.try_read(&mut buffer)), ErrorKind::WouldBlock);
    });
}

#[test]
fn what_is_no_pipe_or_the_other_end_is_refused() {
    run(async {
        let file = || File::open("/dev/null").unwrap();
        let error = Receiver::from_file(file()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("no pipe"), "{error}");
        assert_eq!(kind_of(Sender::from_file(file())), ErrorKind::InvalidInput);
        assert_eq!(kind_of(OpenOptions::new().open_receiver("/dev/null")), ErrorKind::InvalidInput);
        assert_eq!(kind_of(OpenOptions::new().open_receiver("/no/such")), ErrorKind::NotFound);
        let (sender, receiver) = pipe().unwrap();
        let (writer, reader) =
            (sender.into_nonblocking_fd().unwrap(), receiver.into_nonblocking_fd().unwrap());
        let error = Receiver::from_owned_fd(writer).unwrap_err();
        assert_eq!(error.to_string(), "the descriptor is the writing end of a pipe");
        let error = Sender::from_owned_fd(reader).unwrap_err();
        assert_eq!(error.to_string(), "the descriptor is the reading end of a pipe");
        // What is said to be right is believed: a terminal, a device, a socket.
        let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let receiver = Receiver::from_owned_fd_unchecked(ours.into()).unwrap();
        theirs.write_all(b"hi").unwrap();
        assert_eq!(receiver.read(&mut [0; 8]).await.unwrap(), 2);
    });
}

#[test]
fn a_child_process_is_talked_to_over_its_standard_streams() {
    run(async {
        let mut child =
            Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let input = OwnedFd::from(child.stdin.take().unwrap());
        let output = OwnedFd::from(child.stdout.take().unwrap());
        let sender = Sender::from_owned_fd(input).unwrap();
        let mut receiver = Receiver::from_owned_fd(output).unwrap();
        sender.write_all(b"to the child and back").await.unwrap();
        drop(sender);
        let mut received = String::new();
        receiver.read_to_string(&mut received).await.unwrap();
        assert_eq!(received, "to the child and back");
        assert!(child.wait().unwrap().success());
    });
}

#[test]
fn ends_go_back_blocking_or_not() {
    run(async {
        let (sender, receiver) = pipe::pipe().unwrap();
        assert_close_on_exec(&sender);
        assert_close_on_exec(&receiver);
        let mut reader = File::from(receiver.into_nonblocking_fd().unwrap());
        assert_eq!(kind_of(reader.read(&mut [0; 8])), ErrorKind::WouldBlock);
        let mut writer = File::from(sender.into_blocking_fd().unwrap());
        let flags = rustix::fs::fcntl_getfl(&writer).unwrap();
        assert!(!flags.contains(rustix::fs::OFlags::NONBLOCK));
        writer.write_all(b"hi").unwrap();
        let receiver = Receiver::from_file_unchecked(reader).unwrap();
        assert_eq!(receiver.read(&mut [0; 8]).await.unwrap(), 2);
        let sender = Sender::from_file(writer).unwrap();
        assert_eq!(sender.try_write(b"back").unwrap(), 4);
        let sender = Sender::from_file_unchecked(sender.into_nonblocking_fd().unwrap().into());
        let sender = sender.unwrap().into_nonblocking_fd().unwrap();
        Sender::from_owned_fd_unchecked(sender).unwrap().write_all(b"!").await.unwrap();
        assert_eq!(receiver.read(&mut [0; 8]).await.unwrap(), 5);
    });
}
