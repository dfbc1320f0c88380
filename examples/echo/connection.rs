//! One connection: a hand-written future, so that a message costs a receive and a send and nothing
//! around them.
//!
//! While it waits it holds no buffer. It receives straight into the worker's one buffer, which it
//! borrows only inside a poll, and sends from there; only what the kernel does not take at once
//! moves to `unsent`, and nothing is received until that is gone. A short receive tells the runtime
//! that the socket is empty, so there is no second one that would only say so.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};
use wheelhouse::net::TcpStream;

use crate::idle::IdleWatch;
use crate::limits::Place;
use crate::stats::End;
use crate::stop::Stage;
use crate::worker::{Member, Worker};

/// At the stop a connection on which nothing moved for so long has got back all it sent: far more
/// than a local or near client needs between two writes.
const QUIET: Duration = Duration::from_millis(100);

pub(crate) struct Connection {
    stream: TcpStream,
    unsent: Unsent,
    /// Closes the connection when nothing moved for `timeout`; made in the first poll that waits.
    watch: Option<IdleWatch>,
    timeout: Option<Duration>,
    is_draining: bool,
    worker: Rc<Worker>,
    member: Member,
    _place: Place,
}

/// What was received but not taken by the kernel yet. Without memory while it is empty.
#[derive(Default)]
struct Unsent {
    data: Vec<u8>,
    done: usize,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream, worker: Rc<Worker>, place: Place) -> Connection {
        Connection {
            stream,
            unsent: Unsent::default(),
            watch: None,
            timeout: worker.idle_timeout,
            is_draining: false,
            member: Member::new(&worker),
            worker,
            _place: place,
        }
    }

    /// Echoes until there is nothing to receive or no room to send. `moved` says whether anything
    /// was.
    fn echo(&mut self, cx: &mut Context<'_>, moved: &mut bool) -> Poll<io::Result<()>> {
        if !self.unsent.data.is_empty() {
            ready!(self.unsent.send(&self.stream, cx, moved))?;
        }
        let mut stream = &self.stream;
        let mut buffer = self.worker.buffer.borrow_mut();
        loop {
            let received = ready!(Pin::new(&mut stream).poll_read(cx, &mut buffer))?;
            if received == 0 {
                return Poll::Ready(Ok(()));
            }
            *moved = true;
            self.worker.tally.message(received);
            let data = &buffer[..received];
            let sent = match Pin::new(&mut stream).poll_write(cx, data) {
                Poll::Ready(sent) => sent?,
                Poll::Pending => 0,
            };
            if sent < received {
                self.unsent.data.extend_from_slice(&data[sent..]);
                // If `poll_write` waits already, this only says so again.
                ready!(self.unsent.send(&self.stream, cx, moved))?;
            }
        }
    }

    /// The stop begins: from now on being quiet for a moment is the end.
    fn begin_to_drain(&mut self) {
        self.is_draining = true;
        self.watch = None;
        self.timeout = Some(self.timeout.map_or(QUIET, |timeout| timeout.min(QUIET)));
    }

    /// How the connection ends that has nothing to receive, or no room to send what it received.
    fn end_of_wait(&self) -> End {
        match self.worker.stage.get() {
            Stage::Running => End::Idle,
            Stage::Draining | Stage::Now if self.unsent.data.is_empty() => End::Done,
            Stage::Draining | Stage::Now => End::Cut,
        }
    }
}

impl Future for Connection {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let mut moved = false;
        if let Poll::Ready(result) = this.echo(cx, &mut moved) {
            this.member.ended(if result.is_ok() { End::Done } else { End::Failed });
            return Poll::Ready(());
        }
        let stage = this.worker.stage.get();
        if stage != Stage::Running {
            if stage == Stage::Now {
                this.member.ended(this.end_of_wait());
                return Poll::Ready(());
            }
            if !this.is_draining {
                this.begin_to_drain();
            }
        }
        if let Some(timeout) = this.timeout {
            let watch = this.watch.get_or_insert_with(|| IdleWatch::new(timeout, cx));
            if watch.poll(moved).is_ready() {
                if this.end_of_wait() != End::Cut {
                    this.member.ended(this.end_of_wait());
                    return Poll::Ready(());
                }
                // A client that is slow to read is not quiet; only the end of the grace cuts it.
                this.watch = Some(IdleWatch::new(timeout, cx));
            }
        }
        this.member.register(cx);
        Poll::Pending
    }
}

impl Unsent {
    fn send(
        &mut self,
        mut stream: &TcpStream,
        cx: &mut Context<'_>,
        moved: &mut bool,
    ) -> Poll<io::Result<()>> {
        while self.done < self.data.len() {
            let sent = ready!(Pin::new(&mut stream).poll_write(cx, &self.data[self.done..]))?;
            *moved = true;
            self.done += sent;
        }
        *self = Unsent::default();
        Poll::Ready(Ok(()))
    }
}
