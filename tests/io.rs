//! Descriptors: every waiter gets its turn, readiness is neither lost nor invented, one direction
//! leaves the other alone, and a socket that is always ready leaves the loop to the others.

mod support;

use std::cell::Cell;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use support::{
    OnDrop, WakeCount, assert_nothing_left, rounds, run_checked, run_checked_on, run_virtual,
    socket_pair, turn_until_idle,
};
use wheelhouse::io::{AsyncFd, Direction, Interest, Ready, Source};
use wheelhouse::time::{sleep, timeout};
use wheelhouse::{EventLoop, Script, SelectorKind, spawn, yield_now};

const HOUR: Duration = Duration::from_secs(3600);

fn read_one(mut fd: &TcpStream) -> std::io::Result<u8> {
    let mut byte = [0];
    match fd.read(&mut byte)? {
        0 => Err(ErrorKind::UnexpectedEof.into()),
        _ => Ok(byte[0]),
    }
}

/// Writes until the socket takes no more. How much it was.
fn fill(mut socket: &TcpStream) -> usize {
    let mut written = 0;
    while let Ok(n) = socket.write(&[7; 65536]) {
        written += n;
    }
    written
}

/// Reads all there is now.
fn drain(mut socket: &TcpStream) -> usize {
    let mut read = 0;
    let mut buffer = [0; 65536];
    while let Ok(n) = socket.read(&mut buffer) {
        if n == 0 {
            break;
        }
        read += n;
    }
    read
}

/// The two ends of a pipe, which do not block.
fn pipe() -> (OwnedFd, OwnedFd) {
    let flags = rustix::pipe::PipeFlags::NONBLOCK | rustix::pipe::PipeFlags::CLOEXEC;
    rustix::pipe::pipe_with(flags).unwrap()
}

/// Lets events come in and be handled.
async fn some_turns() {
    for _ in 0..4 {
        sleep(Duration::from_micros(50)).await;
    }
}

#[test]
fn two_tasks_that_wait_for_one_descriptor_both_get_their_turn() {
    run_checked(async {
        let (ours, mut peer) = socket_pair();
        let ours = Rc::new(AsyncFd::new(ours).unwrap());
        let readers = [0, 1].map(|_| {
            let ours = ours.clone();
            spawn(async move {
                loop {
                    let mut guard = ours.readable().await.unwrap();
                    if let Ok(read) = guard.try_io(|fd| read_one(fd.get_ref())) {
                        return read.unwrap();
                    }
                }
            })
        });
        some_turns().await;
        peer.write_all(&[1]).unwrap();
        some_turns().await;
        assert_eq!(readers.iter().filter(|task| task.is_finished()).count(), 1);
        peer.write_all(&[2]).unwrap();
        let mut bytes = Vec::new();
        for reader in readers {
            bytes.push(reader.await.unwrap());
        }
        bytes.sort_unstable();
        assert_eq!(bytes, [1, 2]);
    });
}

/// Row 15 of the pitfalls.
#[test]
fn of_two_wakers_that_polled_a_direction_the_last_is_woken() {
    run_checked(async {
        let (ours, mut peer) = socket_pair();
        let ours = AsyncFd::new(ours).unwrap();
        let (first, first_waker) = WakeCount::new();
        let (second, second_waker) = WakeCount::new();
        for waker in [&first_waker, &second_waker] {
            assert!(ours.poll_read_ready(&mut std::task::Context::from_waker(waker)).is_pending());
        }
        peer.write_all(&[1]).unwrap();
        some_turns().await;
        assert_eq!((first.get(), second.get()), (0, 1));
    });
}

/// Row 9: the description lives on in a copy, the number goes to somebody else.
#[test]
fn a_number_used_again_while_a_copy_of_the_old_descriptor_lives_gets_no_foreign_event() {
    run_checked(async {
        for _ in 0..rounds(30, 3) {
            let (ours, mut old_peer) = socket_pair();
            let number = ours.as_raw_fd();
            let copy = ours.try_clone().unwrap();
            let old = AsyncFd::with_interest(ours, Interest::READABLE).unwrap();
            old_peer.write_all(&[1]).unwrap();
            drop(old);
            let (new, new_peer) = socket_pair();
            let new = if new_peer.as_raw_fd() == number { new_peer } else { new };
            let new = AsyncFd::with_interest(new, Interest::READABLE).unwrap();
            old_peer.write_all(&[2]).unwrap();
            let event = timeout(Duration::from_micros(300), new.readable()).await;
            assert!(event.is_err(), "an event of the old descriptor");
            drop(copy);
        }
    });
}

/// A descriptor that can be closed behind the runtime's back.
struct Closable(Option<OwnedFd>);

impl AsFd for Closable {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_ref().unwrap().as_fd()
    }
}

/// Row 10.
#[test]
fn a_descriptor_closed_before_its_source_leaves_no_entry_behind() {
    let event_loop = EventLoop::new().unwrap();
    let _entered = event_loop.enter();
    for _ in 0..rounds(10_000, 10) {
        let (reader, _writer) = pipe();
        let closable = Closable(Some(reader));
        let mut source = AsyncFd::with_interest(closable, Interest::READABLE).unwrap();
        drop(source.get_mut().0.take());
        drop(source);
        assert_eq!(event_loop.metrics().sources, 0);
    }
    turn_until_idle(&event_loop);
    assert_nothing_left(&event_loop);
}

/// Rows 9 and 10: closed behind our back while a copy keeps the description registered.
#[test]
fn an_orphaned_registration_wakes_nobody_and_does_not_make_the_loop_spin() {
    let event_loop = EventLoop::new().unwrap();
    let (ours, mut peer) = socket_pair();
    let _copy = ours.try_clone().unwrap();
    {
        let _entered = event_loop.enter();
        let mut source = AsyncFd::new(Closable(Some(ours.into()))).unwrap();
        drop(source.get_mut().0.take());
        drop(source);
    }
    peer.write_all(&[1]).unwrap();
    turn_until_idle(&event_loop);
    let before = event_loop.metrics().turns;
    event_loop.block_on(async { sleep(Duration::from_millis(5)).await });
    assert!(event_loop.metrics().turns - before < 10);
    assert_nothing_left(&event_loop);
}

/// Row 11.
#[test]
fn an_old_guard_clears_nothing_that_came_after_it_however_many_events_that_were() {
    let event_loop = EventLoop::new().unwrap();
    let (ours, mut peer) = socket_pair();
    let ours = {
        let _entered = event_loop.enter();
        AsyncFd::new(ours).unwrap()
    };
    peer.write_all(&[1]).unwrap();
    let mut guard = event_loop.block_on(ours.readable()).unwrap();
    let mut came = 0;
    for wanted in [1, 255, 256, 32_768, 65_536] {
        if wanted > rounds(65_536, 256) {
            break;
        }
        while came < wanted {
            peer.write_all(&[1]).unwrap();
            while event_loop.turn(Some(Duration::from_secs(1))).unwrap().events() == 0 {}
            drain(ours.get_ref());
            came += 1;
        }
        let _entered = event_loop.enter();
        guard.clear_ready_matching(Ready::READABLE);
        drop(_entered);
        let still = event_loop
            .block_on(async { timeout(Duration::from_millis(50), ours.readable()).await });
        assert!(still.is_ok(), "cleared by a guard that was {came} events old");
    }
    drop(guard);
    drop(ours);
    turn_until_idle(&event_loop);
    assert_nothing_left(&event_loop);
}

#[test]
fn a_guard_decides_about_the_next_wait() {
    run_checked(async {
        let (ours, mut peer) = socket_pair();
        let ours = AsyncFd::new(ours).unwrap();
        peer.write_all(&[1]).unwrap();
        let mut guard = ours.readable().await.unwrap();
        assert!(guard.ready().is_readable() && guard.get_inner().as_raw_fd() == ours.as_raw_fd());
        guard.retain_ready();
        drop(guard);
        let mut guard = timeout(HOUR, ours.readable()).await.unwrap().unwrap();
        assert_eq!(guard.try_io(|fd| read_one(fd.get_ref())).unwrap().unwrap(), 1);
        let would_block = guard.try_io(|fd| read_one(fd.get_ref())).unwrap_err();
        assert_eq!(would_block.to_string(), "the operation would have blocked");
        let waits = timeout(Duration::from_micros(200), ours.readable()).await;
        assert!(waits.is_err(), "the readiness was cleared");
        let mut guard = ours.writable().await.unwrap();
        guard.clear_ready();
        peer.write_all(&[2]).unwrap();
        assert_eq!(ours.async_io(Interest::READABLE, read_one).await.unwrap(), 2);
    });
}

/// Row 12.
#[test]
fn room_to_write_does_not_wake_a_reader() {
    run_checked(async {
        let (ours, peer) = socket_pair();
        let ours = Rc::new(AsyncFd::new(ours).unwrap());
        let polls = Rc::new(Cell::new(0));
        let (count, socket) = (polls.clone(), ours.clone());
        let reader = spawn(async move {
            let mut reading = std::pin::pin!(socket.readable());
            let ready = std::future::poll_fn(|cx| {
                count.set(count.get() + 1);
                reading.as_mut().poll(cx)
            });
            drop(ready.await.unwrap());
        });
        for _ in 0..rounds(20, 1) {
            fill(ours.get_ref());
            // The system may have made room meanwhile.
            while ours.try_io(Interest::WRITABLE, |mut fd| fd.write(&[1])).is_ok() {}
            while drain(&peer) > 0 {
                yield_now().await;
            }
            drop(ours.writable().await.unwrap());
        }
        assert!(polls.get() <= 2, "the reader was polled {} times", polls.get());
        (&peer).write_all(&[1]).unwrap();
        reader.await.unwrap();
    });
}

/// Row 13.
#[test]
fn a_read_that_would_block_leaves_a_waiting_writer_alone() {
    run_checked(async {
        let (ours, peer) = socket_pair();
        let ours = Rc::new(Source::stream(ours, Ready::WRITABLE).unwrap());
        fill(ours.get_ref());
        let socket = ours.clone();
        let writer = spawn(async move { socket.send(&[1]).await.unwrap() });
        some_turns().await;
        for _ in 0..3 {
            assert_eq!(ours.try_recv(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
        }
        assert!(!writer.is_finished());
        while !writer.is_finished() {
            drain(&peer);
            yield_now().await;
        }
        assert_eq!(writer.await.unwrap(), 1);
    });
}

/// Row 14, and the end of a stream that came in the same edge as its last bytes.
#[test]
fn short_reads_lose_neither_data_nor_the_end_of_the_stream_with_true_edges_or_emulated_ones() {
    for emulate in [false, true] {
        let script = Script::default();
        if emulate {
            script.emulate_edges();
        }
        run_checked_on(EventLoop::builder().selector(SelectorKind::Scripted(script)), async {
            let (ours, mut peer) = socket_pair();
            let ours = Source::stream(ours, Ready::WRITABLE).unwrap();
            peer.write_all(&[1; 4096]).unwrap();
            peer.write_all(&[2; 4096]).unwrap();
            let mut seen = 0;
            let mut buffer = vec![0; 4097];
            while seen < 8192 {
                seen += ours.recv(&mut buffer).await.unwrap();
            }
            peer.write_all(b"last words").unwrap();
            peer.shutdown(Shutdown::Write).unwrap();
            some_turns().await;
            assert_eq!(ours.recv(&mut buffer).await.unwrap(), 10);
            let end = timeout(HOUR, ours.recv(&mut buffer)).await;
            assert_eq!(end.unwrap().unwrap(), 0);
            assert_eq!(ours.recv(&mut buffer).await.unwrap(), 0, "and it stays at the end");
            assert_eq!(ours.send(b"still open this way").await.unwrap(), 19);
        });
    }
}

#[test]
fn a_datagram_shorter_than_the_buffer_does_not_hide_the_next() {
    run_checked(async {
        let ours = UdpSocket::bind("127.0.0.1:0").unwrap();
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        ours.set_nonblocking(true).unwrap();
        peer.connect(ours.local_addr().unwrap()).unwrap();
        let ours = Source::new(ours, Interest::BOTH).unwrap();
        for n in 1..=5 {
            peer.send(&vec![0; n]).unwrap();
        }
        for n in 1..=5 {
            let mut buffer = [0; 64];
            let receive = ours.io(Direction::Read, |socket| socket.recv(&mut buffer));
            assert_eq!(timeout(HOUR, receive).await.unwrap().unwrap(), n);
        }
    });
}

/// Row 23.
#[test]
fn the_end_of_a_drained_pipe_wakes_its_reader() {
    run_checked(async {
        let (reader, writer) = pipe();
        let reader = AsyncFd::with_interest(File::from(reader), Interest::READABLE).unwrap();
        let read = spawn(async move {
            let end = reader.async_io(Interest::READABLE, |mut file| file.read(&mut [0; 8])).await;
            end.unwrap()
        });
        some_turns().await;
        assert!(!read.is_finished());
        drop(writer);
        assert_eq!(read.await.unwrap(), 0);
    });
}

/// Row 22.
#[test]
fn a_peer_that_half_closes_while_our_buffer_is_full_does_not_make_the_writer_spin() {
    let event_loop = EventLoop::new().unwrap();
    event_loop.block_on(async {
        let (ours, peer) = socket_pair();
        let ours = Rc::new(Source::stream(ours, Ready::WRITABLE).unwrap());
        fill(ours.get_ref());
        let socket = ours.clone();
        let writer = spawn(async move { socket.send(&[1]).await.unwrap() });
        some_turns().await;
        peer.shutdown(Shutdown::Write).unwrap();
        some_turns().await;
        let before = event_loop.metrics();
        sleep(Duration::from_millis(5)).await;
        let after = event_loop.metrics();
        assert!(after.turns - before.turns < 10 && !writer.is_finished());
        while !writer.is_finished() {
            drain(&peer);
            yield_now().await;
        }
        assert_eq!(writer.await.unwrap(), 1);
    });
    assert_nothing_left(&event_loop);
}

/// Row 42: each operation is ready at once, so only the budget ever makes this one yield.
#[test]
fn a_reader_whose_socket_is_always_ready_starves_nobody() {
    run_checked_on(EventLoop::builder().operations_per_poll(16), async {
        let stop = Rc::new(Cell::new(false));
        let (ours, mut peer) = socket_pair();
        let ours = Source::stream(ours, Ready::WRITABLE).unwrap();
        peer.write_all(&[0; 64]).unwrap();
        let (reads, flag) = (Rc::new(Cell::new(0_u64)), stop.clone());
        let count = reads.clone();
        let greedy = spawn(async move {
            while !flag.get() {
                assert_eq!(ours.recv(&mut [0]).await.unwrap(), 1);
                peer.write_all(&[0]).unwrap();
                count.set(count.get() + 1);
            }
        });
        while reads.get() == 0 {
            yield_now().await;
        }
        let before = reads.get();
        for _ in 0..100 {
            yield_now().await;
        }
        let each = (reads.get() - before) / 100;
        assert!((1..=16).contains(&each), "{each} reads a poll");
        stop.set(true);
        greedy.await.unwrap();
    });
}

/// Row 43: a budget that is gone must not keep a combinator from ever getting on.
#[test]
fn a_spent_budget_never_livelocks_a_combinator() {
    run_checked_on(EventLoop::builder().operations_per_poll(1), async {
        let (ours, mut peer) = socket_pair();
        let ours = Source::stream(ours, Ready::WRITABLE).unwrap();
        for n in 0..rounds(200, 5) {
            peer.write_all(&[n as u8]).unwrap();
            let (mut one, mut two) = ([0], [0]);
            let either =
                futures_lite::future::or(async { ours.recv(&mut one).await.unwrap() }, async {
                    ours.recv(&mut two).await.unwrap()
                });
            assert_eq!(either.await, 1);
        }
    });
}

#[test]
fn a_wait_that_is_dropped_is_forgotten() {
    run_virtual(async {
        let (ours, _peer) = socket_pair();
        let ours = AsyncFd::new(ours).unwrap();
        for _ in 0..10 {
            let mut waits = Box::pin(ours.readable());
            std::future::poll_fn(|cx| {
                assert!(waits.as_mut().poll(cx).is_pending());
                Poll::Ready(())
            })
            .await;
        }
        // Virtual time jumps only if nobody waits for the outside world.
        sleep(HOUR).await;
    });
}

#[test]
fn what_cannot_be_watched_comes_back_with_the_reason() {
    run_checked(async {
        let file = File::open(std::env::current_exe().unwrap()).unwrap();
        let number = file.as_raw_fd();
        let error = AsyncFd::try_with_interest(file, Interest::READABLE).unwrap_err();
        let (file, error) = error.into_parts();
        assert_eq!(file.as_raw_fd(), number);
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        let (ours, _peer) = socket_pair();
        let copy = AsyncFd::new(ours.as_fd()).unwrap();
        assert!(AsyncFd::new(ours.as_fd()).is_err(), "one registration a descriptor");
        drop(copy);
        assert!(AsyncFd::new(ours.as_fd()).is_ok());
    });
}

/// Row 20.
#[test]
fn a_connect_is_successful_or_an_error_and_an_accept_never_lost() {
    use socket2::{Domain, Socket, Type};
    let connect = |to: std::net::SocketAddr| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_nonblocking(true).unwrap();
        let _ = socket.connect(&to.into());
        Source::stream(socket, Ready::EMPTY).unwrap()
    };
    run_checked(async {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let listener = Source::new(listener, Interest::READABLE).unwrap();
        for _ in 0..10 {
            let ours = connect(address);
            ours.connect().await.unwrap();
            let (accepted, peer) = listener.accept::<std::net::SocketAddr>().await.unwrap();
            assert_eq!(peer.unwrap(), ours.get_ref().local_addr().unwrap().as_socket().unwrap());
            ours.send(b"x").await.unwrap();
            let accepted = Source::stream(accepted, Ready::WRITABLE).unwrap();
            assert_eq!(accepted.recv(&mut [0; 8]).await.unwrap(), 1);
        }
        drop(listener);
        let refused = connect(address).connect().await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
#[cfg(target_os = "linux")]
fn priority_data_is_waited_for_by_itself() {
    run_checked(async {
        let (ours, peer) = socket_pair();
        let ours = AsyncFd::with_interest(ours, Interest::READABLE | Interest::PRIORITY).unwrap();
        (&peer).write_all(b"plain").unwrap();
        let early = timeout(Duration::from_micros(300), ours.ready(Interest::PRIORITY)).await;
        assert!(early.is_err());
        socket2::SockRef::from(&peer).send_out_of_band(b"!").unwrap();
        let guard = timeout(HOUR, ours.ready(Interest::PRIORITY)).await.unwrap().unwrap();
        assert!(guard.ready().is_priority());
    });
}

#[test]
fn a_source_and_its_future_may_go_while_it_is_ready() {
    run_checked(async {
        let (ours, mut peer) = socket_pair();
        let ours = Rc::new(AsyncFd::new(ours).unwrap());
        let socket = ours.clone();
        let dropped = Rc::new(Cell::new(false));
        let flag = dropped.clone();
        let reader = spawn(async move {
            let _guard = OnDrop::new(move || flag.set(true));
            drop(socket.readable().await);
        });
        some_turns().await;
        peer.write_all(&[1]).unwrap();
        reader.cancel();
        drop(ours);
        assert!(reader.await.is_err() && dropped.get());
    });
}
