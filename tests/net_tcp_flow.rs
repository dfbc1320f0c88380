//! What TCP streams bring and lose: ends, short reads, half-closed peers, full buffers, and selectors
//! that misbehave.
//!
//! Where a test names a row, it is one of the list of pitfalls: something that went wrong in
//! another runtime.

mod support;

use std::cell::RefCell;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::rc::Rc;
use std::time::Duration;

use socket2::SockRef;
use support::tcp::{listener, narrow_pair, pair, pair_with_std, run, run_scripted};
use support::{GUARD, assert_nothing_left, turn_until_idle};
use wheelhouse::io::Interest;
use wheelhouse::net::TcpStream;
use wheelhouse::time::timeout;
use wheelhouse::{EventLoop, Script, Step, spawn, yield_now};

/// An edge that brings data and the end together must give both.
#[test]
fn the_end_that_comes_with_the_data_is_seen() {
    for emulated in [false, true] {
        let script = Script::default();
        if emulated {
            script.emulate_edges();
        }
        run_scripted(script, async {
            let (ours, mut theirs) = pair_with_std().await;
            theirs.write_all(&[1; 64]).unwrap();
            drop(theirs);
            let mut buffer = [0; 1024];
            assert_eq!(ours.read(&mut buffer).await.unwrap(), 64);
            assert_eq!(ours.read(&mut buffer).await.unwrap(), 0);
        });
    }
}

/// A relay, say, ends the side whose peer is gone: there is nothing left to end.
#[test]
fn closing_a_connection_that_was_reset_is_no_error_and_shutting_it_down_is() {
    run(async {
        let (client, mut server) = pair().await;
        client.set_zero_linger().unwrap();
        drop(client);
        let read = server.read(&mut [0; 1]).await;
        assert_eq!(read.unwrap_err().kind(), ErrorKind::ConnectionReset);
        let down = server.shutdown(Shutdown::Write);
        assert_eq!(down.unwrap_err().kind(), ErrorKind::NotConnected);
        for _ in 0..2 {
            futures_lite::AsyncWriteExt::close(&mut server).await.unwrap();
        }
    });
}

/// Row 14.
#[test]
fn a_short_read_proves_nothing_where_edges_are_emulated() {
    for emulated in [false, true] {
        let script = Script::default();
        if emulated {
            script.emulate_edges();
        }
        run_scripted(script.clone(), async {
            let (ours, mut theirs) = pair_with_std().await;
            let mut buffer = [0; 4097];
            let mut received = 0;
            theirs.write_all(&[1; 4096]).unwrap();
            ours.readable().await.unwrap();
            received += ours.read(&mut buffer).await.unwrap();
            // The second piece comes before the event of the first is used up.
            theirs.write_all(&[2; 4096]).unwrap();
            while received < 8192 {
                received += ours.read(&mut buffer).await.unwrap();
            }
            // And both at once.
            theirs.write_all(&[1; 4096]).unwrap();
            theirs.write_all(&[2; 4096]).unwrap();
            while received < 16384 {
                received += ours.read(&mut buffer).await.unwrap();
            }
            // Where an emulated edge does not come again, only trying tells.
            if emulated {
                theirs.write_all(&[3; 10]).unwrap();
                assert_eq!(ours.read(&mut buffer).await.unwrap(), 10);
            }
        });
    }
}

/// A read stops before urgent data though more follows: it is short, and no edge comes for the
/// rest.
#[test]
fn a_read_that_urgent_data_cut_short_is_not_the_last() {
    run(async {
        let (ours, mut theirs) = pair_with_std().await;
        theirs.write_all(b"before").unwrap();
        SockRef::from(&theirs).send_out_of_band(b"!").unwrap();
        theirs.write_all(b"after").unwrap();
        let mut received = Vec::new();
        let mut buffer = [0; 64];
        while received.len() < 11 {
            let read = timeout(Duration::from_secs(2), ours.read(&mut buffer)).await;
            let n = read.expect("the rest is not seen").unwrap();
            received.extend_from_slice(&buffer[..n]);
        }
        assert_eq!(received, b"beforeafter");
    });
}

/// Row 13: what says that there is no urgent data must not take the end of the stream away.
#[test]
fn looking_for_urgent_data_does_not_hide_the_end() {
    run(async {
        let (ours, mut theirs) = pair_with_std().await;
        theirs.write_all(&[1; 64]).unwrap();
        drop(theirs);
        assert_eq!(ours.read(&mut [0; 1024]).await.unwrap(), 64);
        let nothing = || Err::<(), _>(ErrorKind::WouldBlock.into());
        ours.try_io(Interest::PRIORITY, nothing).unwrap_err();
        assert_eq!(ours.read(&mut [0; 1024]).await.unwrap(), 0);
    });
}

/// Row 22.
#[test]
fn a_peer_that_ended_its_side_does_not_make_a_blocked_writer_spin() {
    let event_loop = EventLoop::new().unwrap();
    let (ours, theirs) = event_loop.block_on(narrow_pair());
    let ours = Rc::new(ours);
    theirs.shutdown(Shutdown::Write).unwrap();
    let writer = {
        let ours = ours.clone();
        let _entered = event_loop.enter();
        spawn(async move {
            ours.write_all(&vec![5; 1 << 20]).await.unwrap();
            ours.shutdown(Shutdown::Write).unwrap();
        })
    };
    turn_until_idle(&event_loop);
    let before = event_loop.metrics().polls;
    for _ in 0..1000 {
        let _ = event_loop.turn(Some(Duration::ZERO)).unwrap();
    }
    assert!(event_loop.metrics().polls - before <= 2, "the writer spins");
    assert!(!writer.is_finished());
    event_loop.block_on(async {
        let mut received = Vec::new();
        theirs.read_to_end(&mut received).await.unwrap();
        assert_eq!(received.len(), 1 << 20);
        drop(theirs);
        writer.await.unwrap();
        drop(ours);
    });
    assert_nothing_left(&event_loop);
}

/// Row 24.
#[test]
fn nothing_is_lost_when_writing_ends_before_a_slow_and_chatty_reader_is_done() {
    const SIZE: usize = 8 << 20;
    run(async {
        let (client, server) = pair().await;
        let writer = spawn(async move {
            server.write_all(&vec![9; SIZE]).await.unwrap();
            server.shutdown(Shutdown::Write).unwrap();
            // What the reader says is heard to its end: closing with it unread would reset.
            let mut chat = 0;
            let mut buffer = [0; 4096];
            loop {
                match server.read(&mut buffer).await.unwrap() {
                    0 => return chat,
                    n => chat += n,
                }
            }
        });
        let mut buffer = vec![0; 10_000];
        let (mut received, mut said) = (0, 0);
        loop {
            let n = client.read(&mut buffer).await.unwrap();
            if n == 0 {
                break;
            }
            received += n;
            client.write_all(b"got some").await.unwrap();
            said += 8;
            yield_now().await;
        }
        assert_eq!(received, SIZE);
        drop(client);
        assert_eq!(writer.await.unwrap(), said);
    });
}

/// A stream of bytes that shows what is lost, doubled or out of order.
struct Pattern(u32);

impl Pattern {
    fn fill(&mut self, buffer: &mut [u8]) {
        for byte in buffer {
            self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *byte = (self.0 >> 24) as u8;
        }
    }

    fn check(&mut self, received: &[u8]) {
        let mut expected = vec![0; received.len()];
        self.fill(&mut expected);
        assert!(expected == received, "the bytes are not those that were sent");
    }
}

/// Row 56.
#[test]
fn partial_writes_through_tiny_buffers_keep_every_byte() {
    let size = if cfg!(debug_assertions) { 16 << 20 } else { 100 << 20 };
    run(async move {
        let (client, server) = narrow_pair().await;
        let writer = spawn(async move {
            let mut pattern = Pattern(1);
            let mut data = vec![0; 65_537];
            let mut left = size;
            while left > 0 {
                let n = left.min(data.len());
                pattern.fill(&mut data[..n]);
                client.write_all(&data[..n]).await.unwrap();
                left -= n;
            }
        });
        let mut pattern = Pattern(1);
        let mut buffer = vec![0; 30_011];
        let mut received = 0;
        loop {
            let n = server.read(&mut buffer).await.unwrap();
            if n == 0 {
                break;
            }
            pattern.check(&buffer[..n]);
            received += n;
        }
        assert_eq!(received, size);
        writer.await.unwrap();
    });
}

/// Row 25.
#[test]
fn a_client_that_vanishes_ends_the_task_that_writes_to_it() {
    let event_loop = EventLoop::new().unwrap();
    let (ours, mut theirs) = event_loop.block_on(pair_with_std());
    let ended = Rc::new(RefCell::new(None));
    let note = ended.clone();
    let writer = {
        let _entered = event_loop.enter();
        spawn(async move {
            let body = vec![1; 100_000];
            let error = loop {
                if let Err(error) = ours.write_all(&body).await {
                    break error;
                }
            };
            *note.borrow_mut() = Some(error.kind());
        })
    };
    turn_until_idle(&event_loop);
    assert!(ended.borrow().is_none());
    // Reads a little, then goes with the rest unread.
    theirs.read_exact(&mut [0; 1000]).unwrap();
    drop(theirs);
    event_loop.block_on(async { timeout(GUARD, writer).await.unwrap().unwrap() });
    let kind = ended.borrow_mut().take().unwrap();
    assert!(matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{kind}");
    turn_until_idle(&event_loop);
    let before = event_loop.metrics().polls;
    for _ in 0..100 {
        let _ = event_loop.turn(Some(Duration::ZERO)).unwrap();
    }
    assert_eq!(event_loop.metrics().polls, before);
    assert_nothing_left(&event_loop);
}

/// Waits that are interrupted, late, doubled or split up change nothing.
#[test]
fn a_selector_that_misbehaves_loses_nothing() {
    for steps in [
        vec![Step::Interrupted, Step::Pass],
        vec![Step::Interrupted, Step::Interrupted, Step::Interrupted, Step::Pass],
        vec![Step::OneAtATime],
        vec![Step::Hold, Step::Pass],
        vec![Step::Spurious, Step::Pass, Step::Interrupted],
        vec![Step::Stale, Step::Pass],
        vec![Step::StaleUnfiltered, Step::Pass],
    ] {
        run_scripted(Script::repeating(steps), async {
            let listener = listener().await;
            let address = listener.local_addr().unwrap();
            let server = spawn(async move {
                for _ in 0..20 {
                    let (stream, _) = listener.accept().await.unwrap();
                    spawn(async move {
                        let mut all = Vec::new();
                        stream.read_to_end(&mut all).await.unwrap();
                        stream.write_all(&all).await.unwrap();
                    });
                }
            });
            let clients: Vec<_> = (0..20_u8)
                .map(|n| {
                    spawn(async move {
                        let stream = TcpStream::connect(address).await.unwrap();
                        let sent = vec![n; 50_000];
                        stream.write_all(&sent).await.unwrap();
                        stream.shutdown(Shutdown::Write).unwrap();
                        let mut all = Vec::new();
                        stream.read_to_end(&mut all).await.unwrap();
                        assert_eq!(all, sent);
                    })
                })
                .collect();
            for client in clients {
                client.await.unwrap();
            }
            server.await.unwrap();
        });
    }
}
