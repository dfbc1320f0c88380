//! The policy as a pure function of errors and time, and both loops of `Acceptor` with errors put
//! in their way.

use std::cell::Cell;
use std::collections::VecDeque;
use std::future::{pending, poll_fn};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;

use wheelhouse_runtime::io::Interest;
use wheelhouse_runtime::time::sleep;
use wheelhouse_runtime::{Clock, EventLoop, spawn};

use super::*;

type Connection = (OwnedFd, Option<SocketAddr>);

#[test]
fn whose_fault_an_error_is() {
    for errno in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::NOSPC] {
        assert_eq!(fault_of(&errno.into()), Fault::Shortage, "{errno:?}");
    }
    for errno in [Errno::CONNABORTED, Errno::PROTO, Errno::NETDOWN, Errno::PERM, Errno::INTR] {
        assert_eq!(fault_of(&errno.into()), Fault::Connection, "{errno:?}");
    }
    for errno in [Errno::BADF, Errno::INVAL, Errno::NOTSOCK, Errno::FAULT] {
        assert_eq!(fault_of(&errno.into()), Fault::Listener, "{errno:?}");
    }
    assert_eq!(fault_of(&io::Error::other("polled elsewhere")), Fault::Listener);
}

#[test]
fn pauses_double_up_to_a_second_and_begin_anew_after_a_success() {
    let mut trouble = Trouble::default();
    let mut now = Instant::now();
    let mut pauses = Vec::new();
    for _ in 0..10 {
        trouble.failed(Fault::Shortage, now);
        pauses.push(trouble.pause.as_millis());
        now = trouble.resume_at.unwrap();
    }
    assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
    trouble.succeeded();
    assert_eq!(trouble.resume_at, None);
    trouble.failed(Fault::Shortage, now);
    assert_eq!(trouble.pause, PAUSE_MIN);
}

#[test]
fn acceptors_that_meet_one_shortage_pause_once() {
    let mut trouble = Trouble::default();
    let now = Instant::now();
    for _ in 0..5 {
        trouble.failed(Fault::Shortage, now);
    }
    assert_eq!(trouble.pause, PAUSE_MIN);
}

#[test]
fn warnings_come_at_first_and_then_once_a_second() {
    let mut trouble = Trouble::default();
    let start = Instant::now();
    let mut warned = Vec::new();
    for ms in 0..3500 {
        let now = start + Duration::from_millis(ms);
        if trouble.failed(Fault::Shortage, now).is_some() {
            warned.push(ms);
        }
        // Where successes alternate with shortages, too.
        trouble.succeeded();
    }
    assert_eq!(warned, [0, 1000, 2000, 3000]);
}

#[test]
fn an_error_of_single_connections_that_never_ends_is_a_shortage() {
    let mut trouble = Trouble::default();
    let now = Instant::now();
    for _ in 1..SKIPS_MAX {
        assert_eq!(trouble.failed(Fault::Connection, now), None);
        assert_eq!(trouble.resume_at, None);
    }
    assert_eq!(trouble.failed(Fault::Connection, now), Some(PAUSE_MIN));
}

/// A listener with one connection in its queue, accepted with these errors before.
struct Faulty {
    acceptor: Acceptor,
    source: Source<TcpListener>,
    errors: std::cell::RefCell<VecDeque<Errno>>,
    calls: Cell<usize>,
    _client: TcpStream,
}

impl Faulty {
    fn new(errors: impl IntoIterator<Item = Errno>) -> Faulty {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        Faulty {
            acceptor: Acceptor::default(),
            source: Source::new(listener, Interest::READABLE).unwrap(),
            errors: errors.into_iter().collect::<VecDeque<_>>().into(),
            calls: Cell::new(0),
            _client: client,
        }
    }

    fn next_error(&self) -> Option<io::Error> {
        self.calls.set(self.calls.get() + 1);
        self.errors.borrow_mut().pop_front().map(io::Error::from)
    }

    async fn accept(&self) -> io::Result<Connection> {
        let once = || async {
            let accepted = self.source.accept().await;
            match self.next_error() {
                // The connection goes with the error.
                Some(error) => Err(error),
                None => accepted,
            }
        };
        self.acceptor.accept(&self.source, once, || false, async || pending().await).await
    }

    /// As `accept`, but an error leaves the connection in the queue.
    async fn accept_later(&self) -> io::Result<Connection> {
        let once = || async {
            self.source.ready(Interest::READABLE).await?;
            match self.next_error() {
                Some(error) => Err(error),
                None => self.source.accept().await,
            }
        };
        self.acceptor.accept(&self.source, once, || false, async || pending().await).await
    }

    async fn poll_accept(&self) -> io::Result<Connection> {
        let once = |cx: &mut Context<'_>| {
            ready!(self.source.poll_ready(cx, Direction::Read))?;
            match self.next_error() {
                Some(error) => Poll::Ready(Err(error)),
                None => self.source.poll_accept(cx),
            }
        };
        poll_fn(|cx| self.acceptor.poll_accept(cx, &self.source, once)).await
    }
}

/// On a clock that jumps, since a connection in the queue is a descriptor with a waiter.
fn run_on_virtual_time<F: Future>(future: F) -> F::Output {
    let clock = Clock::Virtual { settle: Some(Duration::from_millis(1)) };
    let event_loop = EventLoop::builder().clock(clock).build().unwrap();
    let output = event_loop.block_on(future);
    let metrics = event_loop.metrics();
    assert_eq!((metrics.tasks, metrics.timers, metrics.sources), (0, 0, 0));
    output
}

#[test]
fn errors_of_single_connections_are_skipped_at_once() {
    run_on_virtual_time(async {
        let start = Instant::now();
        let skipped = [OF_ONE_CONNECTION, ERRORS_OF_ONE_CONNECTION].concat();
        let faulty = Faulty::new(skipped.clone());
        faulty.accept_later().await.unwrap();
        assert_eq!(faulty.calls.get(), skipped.len() + 1);

        let faulty = Faulty::new(skipped.clone());
        faulty.poll_accept().await.unwrap();
        assert_eq!(faulty.calls.get(), skipped.len() + 1);
        assert!(start.elapsed() < PAUSE_MIN);
    });
}

#[test]
fn a_connection_that_was_lost_to_an_error_is_followed_by_the_next() {
    run_on_virtual_time(async {
        let faulty = Faulty::new([Errno::CONNABORTED]);
        let address = faulty.source.get_ref().local_addr().unwrap();
        let second = TcpStream::connect(address).unwrap();
        let (_, peer) = faulty.accept().await.unwrap();
        assert_eq!(peer, second.local_addr().ok());
    });
}

#[test]
fn shortages_pause_and_then_the_connection_is_accepted() {
    run_on_virtual_time(async {
        let start = Instant::now();
        let faulty = Faulty::new(SHORTAGES.iter().copied());
        faulty.accept_later().await.unwrap();
        assert_eq!(faulty.calls.get(), SHORTAGES.len() + 1);
        let paused = Duration::from_millis(5 + 10 + 20 + 40 + 80);
        assert!((paused..paused * 2).contains(&start.elapsed()), "{:?}", start.elapsed());

        let start = Instant::now();
        let faulty = Faulty::new(SHORTAGES.iter().copied());
        faulty.poll_accept().await.unwrap();
        assert_eq!(faulty.calls.get(), SHORTAGES.len() + 1);
        assert!((paused..paused * 2).contains(&start.elapsed()), "{:?}", start.elapsed());
    });
}

#[test]
fn an_error_of_the_listener_comes_out() {
    run_on_virtual_time(async {
        for errno in [Errno::BADF, Errno::INVAL, Errno::NOTSOCK] {
            let faulty = Faulty::new([errno]);
            let error = faulty.accept_later().await.unwrap_err();
            assert_eq!(error.raw_os_error(), Some(errno.raw_os_error()));
            let faulty = Faulty::new([errno]);
            let error = faulty.poll_accept().await.unwrap_err();
            assert_eq!(error.raw_os_error(), Some(errno.raw_os_error()));
        }
    });
}

#[test]
fn all_who_wait_for_the_end_of_a_pause_are_woken() {
    run_on_virtual_time(async {
        // All four meet the first shortage at once; after a pause one meets the next.
        let faulty = std::rc::Rc::new(Faulty::new([Errno::MFILE; 11]));
        let address = faulty.source.get_ref().local_addr().unwrap();
        let more: Vec<_> = (0..3).map(|_| TcpStream::connect(address).unwrap()).collect();
        let start = Instant::now();
        let mut tasks = Vec::new();
        for index in 0..4 {
            let faulty = faulty.clone();
            tasks.push(spawn(async move {
                match index {
                    0 => faulty.poll_accept().await,
                    _ => faulty.accept_later().await,
                }
            }));
        }
        for task in tasks {
            task.await.unwrap().unwrap();
        }
        let pauses = 5 + 10 + 20 + 40 + 80 + 160 + 320 + 640;
        let took = start.elapsed().as_millis();
        assert!((pauses..pauses + 100).contains(&took), "{took} ms");
        assert_eq!(faulty.calls.get(), 11 + 4);
        drop(more);
    });
}

#[test]
fn a_dropped_acceptor_leaves_nothing() {
    run_on_virtual_time(async {
        let faulty = Faulty::new([Errno::MFILE; 2]);
        let mut cx = Context::from_waker(std::task::Waker::noop());
        for _ in 0..2 {
            let mut accept = Box::pin(faulty.accept_later());
            assert!(accept.as_mut().poll(&mut cx).is_pending());
            sleep(Duration::from_millis(1)).await;
            assert!(accept.as_mut().poll(&mut cx).is_pending());
        }
        assert_eq!(faulty.acceptor.lock().acceptors, 0);
        faulty.accept_later().await.unwrap();
    });
}
