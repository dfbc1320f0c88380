//! The contract of `mod.rs`, clause by clause, over every selector.
//!
//! It may know nothing of how a selector works: whatever it needs goes through the two traits, and
//! the other ends of the descriptors are plain sockets and pipes of the standard library; `rig.rs`
//! holds what all checks share. No test sleeps in order to be second; threads wait for each other,
//! and [`GUARD`] only turns what would hang into a failure. Spurious events are allowed by the
//! contract but asserted to be absent where a descriptor is not ready for anything: a selector that
//! emulates edges has to say why it cannot.
//!
//! Under Miri there are no Unix sockets and no processes; the tests run over TCP there, and those
//! that need more say what.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::rig::{
    GUARD, Rig, key, on_every_selector, on_every_selector_and_stream, on_every_selector_with_room,
    read_until_it_would_block, ready_of, tcp_pair, write_until_it_would_block,
};
use super::{Interest, Ready, countable};

// Clause 1: edges.

#[test]
fn reading_is_reported_each_time_data_comes() {
    on_every_selector_and_stream(|mut rig, mut ours, mut peer| {
        rig.register(&ours, key(1), Interest::BOTH);
        for _ in 0..3 {
            rig.settle();
            peer.write_all(b"data").unwrap();
            rig.wait_for(key(1), Ready::READABLE);
            read_until_it_would_block(&mut ours);
        }
    });
}

#[test]
fn writing_is_reported_each_time_room_comes() {
    on_every_selector_and_stream(|mut rig, mut ours, mut peer| {
        rig.register(&ours, key(1), Interest::BOTH);
        for _ in 0..2 {
            let mut written = write_until_it_would_block(&mut ours);
            rig.settle();
            // Once more, so that the room to come is news that no wait has taken yet.
            written += write_until_it_would_block(&mut ours);
            std::io::copy(&mut (&mut peer).take(written as u64), &mut std::io::sink()).unwrap();
            rig.wait_for(key(1), Ready::WRITABLE);
            ours.write_all(b"x").unwrap();
            peer.read_exact(&mut [0]).unwrap();
        }
    });
}

#[test]
fn a_connection_to_accept_is_reported_each_time() {
    on_every_selector(|mut rig| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        rig.register(&listener, key(1), Interest::READABLE);
        for _ in 0..3 {
            rig.settle();
            let _connected = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            rig.wait_for(key(1), Ready::READABLE);
            listener.accept().unwrap();
            assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        }
    });
}

// Clause 2: nothing is missing.

#[test]
fn what_is_ready_when_it_is_registered_is_reported_by_the_next_wait() {
    on_every_selector_and_stream(|mut rig, ours, mut peer| {
        peer.write_all(b"data").unwrap();
        // The data has arrived: a look at it, without taking it, succeeds.
        ours.set_nonblocking(false).unwrap();
        ours.peek(&mut [0]).unwrap();
        rig.register(&ours, key(1), Interest::BOTH);
        let ready = ready_of(key(1), &rig.wait_in_time());
        assert!(ready.contains(Ready::READABLE | Ready::WRITABLE), "{ready:?}");
    });
}

// Clause 3: events are by descriptor.

#[test]
fn each_descriptor_is_reported_under_its_own_key() {
    on_every_selector(|mut rig| {
        let mut pairs: Vec<_> = (0..8).map(|_| tcp_pair()).collect();
        for (n, (ours, _)) in pairs.iter().enumerate() {
            rig.register(ours, key(n as u64), Interest::READABLE);
        }
        for n in [5, 0, 7] {
            rig.settle();
            pairs[n].1.write_all(b"data").unwrap();
            rig.wait_for(key(n as u64), Ready::READABLE);
            let mut read = [0; 4];
            pairs[n].0.read_exact(&mut read).unwrap();
        }
    });
}

#[test]
fn a_peer_that_ends_its_side_closes_reading_and_not_writing() {
    on_every_selector_and_stream(|mut rig, mut ours, mut peer| {
        rig.register(&ours, key(1), Interest::BOTH);
        rig.settle();
        peer.shutdown(std::net::Shutdown::Write).unwrap();
        let ready = rig.wait_for_end(key(1), Ready::READ_CLOSED, Ready::READABLE);
        assert!(!ready.is_write_closed(), "{ready:?}");
        ours.write_all(b"still open").unwrap();
        peer.read_exact(&mut [0; 10]).unwrap();
    });
}

#[test]
fn a_side_that_we_end_ourselves_does_not_close_reading() {
    on_every_selector_and_stream(|mut rig, ours, mut peer| {
        rig.register(&ours, key(1), Interest::BOTH);
        ours.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(peer.read(&mut [0]).unwrap(), 0);
        peer.write_all(b"still open").unwrap();
        let ready = rig.wait_for(key(1), Ready::READABLE);
        assert!(!ready.is_read_closed(), "{ready:?}");
    });
}

#[test]
fn two_ended_sides_are_two_closed_directions() {
    on_every_selector_and_stream(|mut rig, ours, peer| {
        rig.register(&ours, key(1), Interest::BOTH);
        ours.shutdown(std::net::Shutdown::Write).unwrap();
        drop(peer);
        let closed = Ready::READ_CLOSED | Ready::WRITE_CLOSED;
        rig.wait_for_end(key(1), closed, Ready::READABLE | Ready::WRITABLE);
    });
}

#[test]
fn a_reset_connection_is_an_error_and_closed_both_ways() {
    on_every_selector(|mut rig| {
        let (mut ours, peer) = tcp_pair();
        rig.register(&ours, key(1), Interest::BOTH);
        rig.settle();
        ours.write_all(b"never read").unwrap();
        peer.peek(&mut [0]).unwrap();
        // Closing a socket with unread data in it resets the connection.
        drop(peer);
        let closed = Ready::READ_CLOSED | Ready::WRITE_CLOSED | Ready::ERROR;
        rig.wait_for_end(key(1), closed, Ready::READABLE | Ready::WRITABLE);
    });
}

#[test]
#[cfg_attr(miri, ignore = "Miri has no UDP")]
#[cfg(target_os = "linux")]
fn an_error_of_a_datagram_socket_closes_nothing() {
    on_every_selector(|mut rig| {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        // Nobody is at port 1. A port that was bound and closed a moment ago would not do: a
        // process that another test is starting may have it open still.
        socket.connect("127.0.0.1:1").unwrap();
        rig.register(&socket, key(1), Interest::BOTH);
        rig.settle();
        socket.send(b"anybody?").unwrap();
        let ready = rig.wait_for(key(1), Ready::ERROR);
        assert!(!ready.is_read_closed() && !ready.is_write_closed(), "{ready:?}");
        assert!(ready.is_readable() && ready.is_writable(), "either call collects it: {ready:?}");
    });
}

/// The kernel says HUP without IN here.
#[test]
#[cfg_attr(miri, ignore = "Miri starts no processes, the one way to a pipe on the oldest Rust")]
fn the_end_of_a_drained_pipe_is_reported() {
    on_every_selector(|mut rig| {
        let piped = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut cat = piped.unwrap();
        let (mut input, mut output) = (cat.stdin.take().unwrap(), cat.stdout.take().unwrap());
        rig.register(&output, key(1), Interest::READABLE);
        input.write_all(b"data").unwrap();
        rig.wait_for(key(1), Ready::READABLE);
        output.read_exact(&mut [0; 4]).unwrap();
        rig.settle();
        drop(input);
        let ready = rig.wait_for_end(key(1), Ready::READ_CLOSED, Ready::READABLE);
        assert!(ready.is_readable());
        assert_eq!(output.read(&mut [0]).unwrap(), 0);
        cat.wait().unwrap();
    });
}

#[test]
#[cfg_attr(miri, ignore = "Miri starts no processes, the one way to a pipe on the oldest Rust")]
fn a_pipe_that_lost_its_reader_is_due_for_a_write_that_fails() {
    on_every_selector(|mut rig| {
        let mut cat = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let mut input = cat.stdin.take().unwrap();
        rig.register(&input, key(1), Interest::WRITABLE);
        rig.settle();
        cat.kill().unwrap();
        rig.wait_for_any(key(1), Ready::ERROR | Ready::WRITE_CLOSED | Ready::WRITABLE);
        assert_eq!(input.write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
        cat.wait().unwrap();
    });
}

#[test]
#[cfg_attr(miri, ignore = "Miri's epoll has no EPOLLPRI")]
#[cfg(target_os = "linux")]
fn priority_data_is_reported_as_such() {
    on_every_selector(|mut rig| {
        let (ours, peer) = tcp_pair();
        rig.register(&ours, key(1), Interest::BOTH | Interest::PRIORITY);
        rig.settle();
        rustix::net::send(&peer, b"!", rustix::net::SendFlags::OOB).unwrap();
        rig.wait_for(key(1), Ready::PRIORITY);
    });
}

// Clause 4: deregistering ends it.

#[test]
fn nothing_is_reported_of_what_is_deregistered() {
    on_every_selector_and_stream(|mut rig, ours, mut peer| {
        rig.register(&ours, key(1), Interest::BOTH);
        peer.write_all(b"data").unwrap();
        rig.deregister(&ours);
        assert_eq!(rig.wait(Some(Duration::ZERO)), []);
        peer.write_all(b"more").unwrap();
        assert_eq!(rig.wait(Some(Duration::ZERO)), []);
    });
}

#[test]
fn no_wait_reports_what_another_thread_deregistered_before_it_began() {
    on_every_selector(|mut rig| {
        let (ours, mut peer) = tcp_pair();
        let registrar = rig.registrar.clone();
        for round in 0..if cfg!(miri) { 5 } else { 300 } {
            rig.register(&ours, key(round), Interest::READABLE);
            let gone = AtomicBool::new(false);
            thread::scope(|scope| {
                scope.spawn(|| {
                    peer.write_all(b"data").unwrap();
                    registrar.deregister(ours.as_raw_fd()).unwrap();
                    gone.store(true, Ordering::Release);
                    registrar.wake().unwrap();
                });
                while !gone.load(Ordering::Acquire) {
                    rig.wait_in_time();
                }
                assert_eq!(rig.wait(Some(Duration::ZERO)), []);
            });
            // The wake-up may have ended either wait, or none yet.
            rig.settle();
        }
    });
}

#[test]
fn deregistering_what_is_not_registered_is_an_error_that_changes_nothing() {
    on_every_selector(|mut rig| {
        let ((ours, mut peer), (never, _)) = (tcp_pair(), tcp_pair());
        rig.register(&ours, key(1), Interest::READABLE);
        assert!(rig.registrar.deregister(never.as_raw_fd()).is_err());
        let closed = never.as_raw_fd();
        drop(never);
        assert!(rig.registrar.deregister(closed).is_err());
        peer.write_all(b"data").unwrap();
        rig.wait_for(key(1), Ready::READABLE);
        rig.deregister(&ours);
        assert!(rig.registrar.deregister(ours.as_raw_fd()).is_err());
    });
}

/// `dup2` closes a descriptor and gives its number to another one in a single step, so that no test
/// running beside this one can take it in between.
fn give_the_number_of(old: TcpStream, new: &TcpStream) -> OwnedFd {
    let mut fd = OwnedFd::from(old);
    rustix::io::dup2(new, &mut fd).unwrap();
    fd
}

#[test]
fn a_number_used_again_gets_no_events_of_the_descriptor_that_had_it() {
    on_every_selector_and_stream(|mut rig, ours, mut peer| {
        let (other, mut peer_of_other) = tcp_pair();
        let duplicate = ours.try_clone().unwrap();
        rig.register(&duplicate, key(1), Interest::READABLE);
        rig.deregister(&duplicate);
        let again = give_the_number_of(duplicate, &other);
        rig.register(&again, key(2), Interest::READABLE);
        // What was registered lives on under its first number, and has something to report.
        peer.write_all(b"data").unwrap();
        assert_eq!(rig.wait(Some(Duration::ZERO)), []);
        peer_of_other.write_all(b"data").unwrap();
        rig.wait_for(key(2), Ready::READABLE);
    });
}

#[test]
fn a_number_closed_without_deregistering_can_be_registered_again() {
    on_every_selector_and_stream(|mut rig, ours, _peer| {
        let (other, mut peer_of_other) = tcp_pair();
        rig.register(&ours, key(1), Interest::READABLE);
        let again = give_the_number_of(ours, &other);
        rig.register(&again, key(2), Interest::READABLE);
        rig.settle();
        peer_of_other.write_all(b"data").unwrap();
        let events = rig.wait_in_time();
        assert_eq!(ready_of(key(1), &events), Ready::EMPTY);
        assert!(ready_of(key(2), &events).contains(Ready::READABLE), "{events:?}");
        rig.deregister(&again);
    });
}

// Clause 5: registering is thread-safe.

#[test]
fn what_other_threads_register_is_reported_by_the_wait_under_way() {
    on_every_selector(|mut rig| {
        const THREADS: u64 = 4;
        let registrar = rig.registrar.clone();
        let register = |n| {
            let (ours, peer) = tcp_pair();
            registrar.register(ours.as_raw_fd(), key(n), Interest::BOTH).unwrap();
            (ours, peer)
        };
        thread::scope(|scope| {
            let register = &register;
            // What a thread returns stays open until its handle is dropped.
            let _open: Vec<_> = (0..THREADS).map(|n| scope.spawn(move || register(n))).collect();
            let mut seen = 0;
            while seen != (1 << THREADS) - 1 {
                for event in rig.wait_in_time() {
                    seen |= 1 << event.key.to_bits();
                }
            }
        });
    });
}

// Clause 6: a wake-up is never lost.

#[test]
fn a_wake_up_ends_the_wait_under_way() {
    on_every_selector(|mut rig| {
        let registrar = rig.registrar.clone();
        let waker = thread::spawn(move || registrar.wake().unwrap());
        assert_eq!(rig.wait_in_time(), [], "a wake-up is no event");
        waker.join().unwrap();
    });
}

#[test]
fn a_wake_up_before_the_wait_ends_it() {
    on_every_selector(|mut rig| {
        for _ in 0..3 {
            rig.registrar.wake().unwrap();
            rig.registrar.wake().unwrap();
            assert_eq!(rig.wait_in_time(), []);
        }
    });
}

#[test]
fn a_wake_up_and_an_event_come_together() {
    on_every_selector_and_stream(|mut rig, ours, _peer| {
        rig.register(&ours, key(1), Interest::BOTH);
        rig.registrar.wake().unwrap();
        rig.wait_for(key(1), Ready::WRITABLE);
    });
}

/// Each thread wakes in batches and goes on when the waiting side has noticed the last one of a
/// batch: one lost wake-up, and nobody moves any more.
#[test]
fn none_of_a_hundred_thousand_wake_ups_of_four_threads_is_lost() {
    const THREADS: usize = 4;
    const BATCHES: usize = if cfg!(miri) { 5 } else { 1_000 };
    const WAKES: usize = 25;
    on_every_selector(|mut rig| {
        let (post, posted) = mpsc::channel();
        thread::scope(move |scope| {
            for _ in 0..THREADS {
                let (registrar, post) = (rig.registrar.clone(), post.clone());
                scope.spawn(move || {
                    for _ in 0..BATCHES {
                        let (notice, noticed) = mpsc::channel();
                        (1..WAKES).for_each(|_| registrar.wake().unwrap());
                        post.send(notice).unwrap();
                        registrar.wake().unwrap();
                        noticed.recv().unwrap();
                    }
                });
            }
            let mut seen = 0;
            while seen < THREADS * BATCHES {
                assert_eq!(rig.wait_in_time(), []);
                for notice in posted.try_iter() {
                    notice.send(()).unwrap();
                    seen += 1;
                }
            }
        });
    });
}

// Clause 7: waits end.

#[test]
fn a_wait_without_time_returns_and_one_with_some_takes_at_least_that() {
    on_every_selector(|mut rig| {
        assert_eq!(rig.wait(Some(Duration::ZERO)), []);
        for timeout in
            [Duration::from_nanos(1), Duration::from_micros(300), Duration::from_millis(10)]
        {
            let began = Instant::now();
            assert_eq!(rig.wait(Some(timeout)), []);
            assert!(began.elapsed() >= timeout, "{:?} of {timeout:?}", began.elapsed());
        }
    });
}

#[test]
fn the_longest_timeout_is_no_error_and_ends_with_a_wake_up() {
    on_every_selector(|mut rig| {
        rig.registrar.wake().unwrap();
        assert_eq!(rig.wait(Some(Duration::MAX)), []);
    });
}

/// Apple's kernel refuses what is longer than 100,000,000 s (its `itimerfix`).
#[test]
fn no_system_is_asked_for_a_wait_that_it_refuses() {
    assert!(countable(Some(Duration::MAX)) < Some(Duration::from_secs(100_000_000)));
    assert_eq!(countable(None), None, "for ever is no number");
}

/// Runs in a process of its own: which thread a signal hits is the kernel's choice, and another
/// test could be measuring there.
#[test]
#[cfg_attr(miri, ignore = "Miri starts no processes")]
#[cfg(target_os = "linux")]
fn a_wait_that_a_signal_interrupts_is_no_error() {
    const ALONE: &str = "WHEELHOUSE_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return on_every_selector(interrupt_a_wait);
    }
    let mut alone = Command::new(std::env::current_exe().unwrap());
    alone.env(ALONE, "1").arg("a_wait_that_a_signal_interrupts_is_no_error");
    let output = alone.output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && printed.contains("1 passed"), "{printed}");
}

/// Sends harmless signals to this thread while it waits; then, for a selector that goes on waiting,
/// a wake-up.
#[cfg(target_os = "linux")]
fn interrupt_a_wait(mut rig: Rig) {
    const SIGNALS: usize = 20;
    let noticed = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGURG, noticed.clone()).unwrap();
    let thread = std::fs::read_link("/proc/thread-self").unwrap();
    let thread = thread.file_name().unwrap();
    let registrar = rig.registrar.clone();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            // Not for ever, or a wait that fails would hang the test.
            for _ in 0..SIGNALS {
                if over.load(Ordering::Acquire) {
                    return;
                }
                let mut kill = Command::new("sh");
                kill.args(["-c", "kill -URG $0"]).arg(thread);
                assert!(kill.status().unwrap().success());
            }
            registrar.wake().unwrap();
        });
        let events = rig.wait_in_time();
        over.store(true, Ordering::Release);
        assert_eq!(events, []);
        assert!(noticed.load(Ordering::Acquire), "no signal came");
    });
}

// Clause 8: what does not fit is kept.

#[test]
fn what_does_not_fit_comes_with_the_next_waits() {
    const READY: usize = 16;
    on_every_selector_with_room(4, |mut rig| {
        let mut pairs: Vec<_> = (0..READY).map(|_| tcp_pair()).collect();
        for (n, (ours, peer)) in pairs.iter_mut().enumerate() {
            rig.register(ours, key(n as u64), Interest::READABLE);
            peer.write_all(b"data").unwrap();
        }
        rig.registrar.wake().unwrap();
        let mut seen = 0;
        while seen != (1 << READY) - 1 {
            for event in rig.wait_in_time() {
                seen |= 1 << event.key.to_bits();
            }
        }
    });
}

#[test]
fn a_list_that_left_something_out_was_full() {
    const READY: usize = 7;
    for room in [1, 2, 3, 4] {
        on_every_selector_with_room(room, |mut rig| {
            let pairs: Vec<_> = (0..READY).map(|_| tcp_pair()).collect();
            for (n, (ours, _)) in pairs.iter().enumerate() {
                rig.register(ours, key(n as u64), Interest::WRITABLE);
            }
            rig.registrar.wake().unwrap();
            let mut left = READY;
            while left > 0 {
                left -= rig.wait_in_time().len();
                assert!(rig.selector.was_full() || left == 0, "{left} are left");
            }
            // Twice: the wake-up may fill a list of its own.
            rig.settle();
            rig.settle();
            assert!(!rig.selector.was_full());
        });
    }
}

// Clause 9: the descriptor of the selector.

#[test]
#[cfg_attr(miri, ignore = "Miri has no poll")]
fn the_descriptor_is_readable_until_a_wake_up_was_taken() {
    on_every_selector(|mut rig| {
        assert!(!rig.is_due());
        rig.registrar.wake().unwrap();
        assert!(rig.is_due());
        assert!(rig.is_due(), "a look takes nothing: it is level-triggered");
        rig.wait(Some(Duration::ZERO));
        assert!(!rig.is_due());
        rig.registrar.wake().unwrap();
        assert!(rig.is_due(), "each time anew");
    });
}

#[test]
#[cfg_attr(miri, ignore = "Miri has no poll")]
fn the_descriptor_is_readable_until_the_events_were_taken() {
    on_every_selector_and_stream(|mut rig, ours, mut peer| {
        rig.register(&ours, key(1), Interest::READABLE);
        rig.settle();
        assert!(!rig.is_due());
        peer.write_all(b"data").unwrap();
        let began = Instant::now();
        while !rig.is_due() {
            assert!(began.elapsed() < GUARD, "the data does not show");
        }
        assert!(ready_of(key(1), &rig.wait(None)).contains(Ready::READABLE));
        rig.settle();
        assert!(!rig.is_due(), "what was taken is not due again, though it was not read");
    });
}

#[test]
#[cfg_attr(miri, ignore = "Miri has no poll")]
fn the_descriptor_stays_readable_while_events_are_left_over() {
    on_every_selector_with_room(1, |mut rig| {
        let pairs = [tcp_pair(), tcp_pair(), tcp_pair()];
        for (n, (ours, _)) in pairs.iter().enumerate() {
            rig.register(ours, key(n as u64), Interest::WRITABLE);
        }
        for _ in &pairs {
            assert!(rig.is_due());
            assert_eq!(rig.wait(Some(Duration::ZERO)).len(), 1);
        }
        assert!(!rig.is_due());
    });
}
