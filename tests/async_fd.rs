//! `AsyncFd` whole: guards of both kinds, what they clear, priority data, errors, and descriptors
//! that cannot be watched.

mod support;

use std::future::{Future, poll_fn};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use socket2::SockRef;
use support::{GUARD, kind_of, poll_once, run_checked_on, socket_pair};
use wheelhouse::io::{AsyncFd, Interest, Ready};
use wheelhouse::time::timeout;
use wheelhouse::{Builder, EventLoop, SelectorKind, spawn, yield_now};

/// Runs on a fresh loop, with an end to waiting, and checks that nothing is left.
#[track_caller]
fn run<F: Future>(future: F) -> F::Output {
    run_on(EventLoop::builder(), future)
}

#[track_caller]
fn run_on<F: Future>(builder: Builder, future: F) -> F::Output {
    run_checked_on(builder, async { timeout(GUARD, future).await.expect("it hangs") })
}

fn pair() -> (AsyncFd<TcpStream>, TcpStream) {
    let (ours, theirs) = socket_pair();
    (AsyncFd::new(ours).unwrap(), theirs)
}

fn pipe() -> (OwnedFd, OwnedFd) {
    rustix::pipe::pipe_with(rustix::pipe::PipeFlags::NONBLOCK).unwrap()
}

/// A reader with state, which has to be lent mutably.
struct Counting(TcpStream, u32);

impl AsFd for Counting {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Read for Counting {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.1 += 1;
        self.0.read(buffer)
    }
}

#[test]
fn a_descriptor_lent_mutably_is_read_by_whom_it_is_lent_to() {
    run(async {
        let (ours, mut theirs) = socket_pair();
        let mut fd = AsyncFd::new(Counting(ours, 0)).unwrap();
        let mut buffer = [0; 8];
        theirs.write_all(b"abc").unwrap();
        {
            let mut guard = fd.readable_mut().await.unwrap();
            assert!(guard.ready().is_readable());
            let read = guard.try_io(|fd| fd.get_mut().read(&mut buffer));
            assert_eq!(read.unwrap().unwrap(), 3);
            guard.try_io(|fd| fd.get_mut().read(&mut buffer)).unwrap_err();
            assert_eq!((guard.get_inner().1, guard.get_ref().get_ref().1), (2, 2));
            guard.get_inner_mut().1 = 10;
            guard.get_mut().get_mut().1 += 1;
            assert_eq!(guard.get_inner().1, 11);
        }
        // The guard has cleared it: the next wait is for something new.
        let waits = timeout(Duration::from_micros(200), fd.readable_mut()).await;
        assert!(waits.is_err());
        theirs.write_all(b"de").unwrap();
        let read = fd.async_io_mut(Interest::READABLE, |fd| fd.read(&mut buffer)).await;
        assert_eq!(read.unwrap(), 2);
        let nothing = fd.try_io_mut(Interest::READABLE, |fd| fd.read(&mut buffer));
        assert_eq!(kind_of(nothing), ErrorKind::WouldBlock);
        fd.writable_mut().await.unwrap().retain_ready();
        let mut ready = fd.ready_mut(Interest::BOTH).await.unwrap();
        assert!(ready.ready().is_writable());
        ready.clear_ready();
        drop(ready);
        theirs.write_all(b"f").unwrap();
        poll_fn(|cx| fd.poll_read_ready_mut(cx).map_ok(|mut guard| guard.retain_ready()))
            .await
            .unwrap();
        poll_fn(|cx| fd.poll_write_ready_mut(cx).map_ok(|mut guard| guard.clear_ready()))
            .await
            .unwrap();
    });
}

#[test]
fn only_the_bits_that_are_named_are_cleared() {
    run(async {
        let (fd, mut theirs) = pair();
        theirs.write_all(b"x").unwrap();
        fd.readable().await.unwrap().retain_ready();
        let mut guard = fd.ready(Interest::BOTH).await.unwrap();
        assert!(guard.ready().is_readable() && guard.ready().is_writable());
        guard.clear_ready_matching(Ready::READABLE);
        assert!(!guard.ready().is_readable() && guard.ready().is_writable());
        drop(guard);
        assert!(poll_once(fd.writable()).is_ready());
        assert!(poll_once(fd.readable()).is_pending());
        assert!(format!("{:?}", fd.writable().await.unwrap()).contains("WRITABLE"));
    });
}

/// The end of a stream comes with its last bytes, and clearing those leaves it. `polling` does not
/// tell the two apart.
#[test]
fn the_end_of_a_stream_stays_when_its_bytes_are_cleared() {
    let mio = EventLoop::builder().selector(SelectorKind::Mio);
    run_on(mio, async {
        let (fd, mut theirs) = pair();
        theirs.write_all(b"y").unwrap();
        drop(theirs);
        loop {
            let mut guard = fd.readable().await.unwrap();
            let is_closed = guard.ready().is_read_closed();
            guard.clear_ready_matching(Ready::READABLE);
            if is_closed {
                break;
            }
        }
        assert!(fd.readable().await.unwrap().ready().is_read_closed());
    });
}

#[cfg(target_os = "linux")]
#[test]
fn priority_data_is_waited_for_by_itself() {
    run(async {
        let (ours, mut theirs) = socket_pair();
        let fd = AsyncFd::with_interest(ours, Interest::READABLE | Interest::PRIORITY).unwrap();
        theirs.write_all(b"usual").unwrap();
        fd.readable().await.unwrap().retain_ready();
        assert!(poll_once(fd.ready(Interest::PRIORITY)).is_pending());
        SockRef::from(&theirs).send_out_of_band(b"!").unwrap();
        let mut guard = fd.ready(Interest::PRIORITY).await.unwrap();
        assert!(guard.ready().is_priority());
        let urgent = guard.try_io(|fd| {
            let mut byte = [std::mem::MaybeUninit::uninit(); 1];
            SockRef::from(fd).recv_out_of_band(&mut byte)
        });
        assert_eq!(urgent.unwrap().unwrap(), 1);
        guard.clear_ready_matching(Ready::PRIORITY);
        drop(guard);
        assert!(poll_once(fd.ready(Interest::PRIORITY)).is_pending());
        assert!(poll_once(fd.readable()).is_ready(), "the usual data is there");
    });
}

/// The write end of a pipe shows nothing else when its reader goes.
#[test]
fn an_error_is_waited_for_by_itself() {
    run(async {
        let (reader, writer) = pipe();
        let writer = AsyncFd::with_interest(writer, Interest::ERROR).unwrap();
        let task = spawn(async move {
            let guard = writer.ready(Interest::ERROR).await.unwrap();
            assert!(guard.ready().is_error() && !guard.ready().is_priority());
        });
        for _ in 0..10 {
            yield_now().await;
        }
        assert!(!task.is_finished());
        drop(reader);
        task.await.unwrap();
    });
}

#[cfg(target_os = "linux")]
#[test]
fn what_is_readable_is_no_error_and_an_error_wakes_readers_too() {
    run(async {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let closed = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(closed.local_addr().unwrap()).unwrap();
        closed.connect(socket.local_addr().unwrap()).unwrap();
        let fd = AsyncFd::with_interest(socket, Interest::BOTH | Interest::ERROR).unwrap();
        closed.send(b"x").unwrap();
        fd.readable().await.unwrap().retain_ready();
        assert!(poll_once(fd.ready(Interest::ERROR)).is_pending());
        fd.async_io(Interest::READABLE, |fd| fd.recv(&mut [0; 8])).await.unwrap();
        assert_eq!(
            kind_of(fd.try_io(Interest::READABLE, |fd| fd.recv(&mut [0; 8]))),
            ErrorKind::WouldBlock
        );
        drop(closed);
        fd.get_ref().send(b"anybody?").unwrap();
        let mut guard = fd.ready(Interest::ERROR).await.unwrap();
        assert!(guard.ready().is_error());
        assert!(poll_once(fd.readable()).is_ready());
        // Whoever takes the error leaves none for the others, who are to try.
        let error = guard.get_inner().take_error().unwrap().unwrap();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        guard.clear_ready();
        drop(guard);
        assert!(poll_once(fd.ready(Interest::ERROR)).is_pending());
        assert_eq!(
            kind_of(fd.try_io(Interest::READABLE, |fd| fd.recv(&mut [0; 8]))),
            ErrorKind::WouldBlock
        );
        assert!(poll_once(fd.readable()).is_pending());
    });
}

#[test]
fn a_descriptor_that_cannot_be_watched_comes_back() {
    run(async {
        let file = std::fs::File::open(std::env::current_exe().unwrap()).unwrap();
        let error = AsyncFd::try_new(file).unwrap_err();
        assert!(error.to_string().starts_with("the descriptor cannot be watched: "), "{error}");
        assert!(std::error::Error::source(&error).is_some());
        let (mut file, cause) = error.into_parts();
        assert_eq!(cause.kind(), ErrorKind::PermissionDenied);
        let mut magic = [0; 4];
        file.read_exact(&mut magic).unwrap();
        assert_eq!(kind_of(AsyncFd::new(file)), ErrorKind::PermissionDenied);
        let (ours, _theirs) = socket_pair();
        let fd = AsyncFd::try_with_interest(ours, Interest::WRITABLE).unwrap();
        fd.writable().await.unwrap().retain_ready();
        // It goes back, and can be watched again.
        let fd = AsyncFd::try_new(fd.into_inner()).unwrap();
        fd.writable().await.unwrap().retain_ready();
    });
}

#[test]
fn interests_are_added_and_removed() {
    let both = Interest::READABLE.add(Interest::WRITABLE);
    assert_eq!(both, Interest::BOTH);
    assert_eq!(both.remove(Interest::WRITABLE), Some(Interest::READABLE));
    assert_eq!(both.remove(Interest::BOTH), None);
    assert!(Interest::ERROR.is_error() && !both.is_error());
    assert_eq!(format!("{:?}", both | Interest::ERROR), "READABLE | WRITABLE | ERROR");
}
