//! One connection: a hand-written future, so that a message costs a receive and a send and nothing
//! around them.
//!
//! While it waits it holds no buffer. It receives straight into the worker's one buffer, which it
//! borrows only inside a poll, and sends from there; only what the kernel does not take at once
//! moves to `unsent`, and nothing is received until that is gone. A short receive tells the runtime
//! that the socket is empty, so there is no second one that would only say so.
//!
//! Of the stop it learns by its server's token: asking that is one load, and the task is registered
//! with it once. If it is dropped then, the counters say whether it had anything to lose.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};
use wheelhouse::CancelToken;
use wheelhouse::net::{TcpStream, UnixStream};
use wheelhouse::structure::Cancelled;
use wheelhouse::time::{Sleep, sleep};

use crate::idle::IdleWatch;
use crate::service::Service;
use crate::stats::End;
use crate::worker::{Member, Worker};

/// At the stop a connection on which nothing moved for so long has got back all it sent: far more
/// than a local or near client needs between two writes.
const QUIET: Duration = Duration::from_millis(100);

/// A connection that reached its limit of bytes is given so long to take the last of them. Closed
/// at once, with more of the client's bytes unread, it would be reset, and they would be lost.
const FAREWELL: Duration = Duration::from_secs(1);

/// What a connection runs over.
pub(crate) trait Wire: AsyncRead + AsyncWrite + Unpin {
    /// Its end has to be said, or the client takes it for a cut.
    const SAYS_END: bool = false;
}

impl Wire for TcpStream {}
impl Wire for UnixStream {}

pub(crate) struct Connection<S> {
    stream: S,
    unsent: Unsent,
    /// Bytes were given to the stream that it may still hold.
    is_unflushed: bool,
    /// What the generator has sent.
    generated: u64,
    /// How many bytes it may still have, if there is a limit.
    left: Option<u64>,
    phase: Phase,
    /// Closes the connection when nothing moved for `timeout`; made in the first poll that waits.
    watch: Option<IdleWatch>,
    timeout: Option<Duration>,
    /// Cancelled at the stop.
    closing: CancelToken,
    /// Wakes the task then; made in the first poll that waits.
    asked: Option<Cancelled>,
    is_draining: bool,
    /// Something moved since the stop began.
    is_busy: bool,
    worker: Rc<Worker>,
    member: Member,
}

enum Phase {
    Serving,
    /// The client has ended its side; only a generator goes on.
    Heard,
    /// All is done; the end is being said.
    Ending(End),
    /// The end was said at the limit: what still comes is thrown away, until this is over.
    Leaving(Sleep),
}

/// What was received but not taken by the kernel yet. Without memory while it is empty.
#[derive(Default)]
struct Unsent {
    data: Vec<u8>,
    done: usize,
}

impl<S: Wire> Connection<S> {
    /// `closing` is cancelled at the stop.
    pub(crate) fn new(stream: S, closing: CancelToken, member: Member) -> Connection<S> {
        let worker = member.worker.clone();
        Connection {
            stream,
            unsent: Unsent::default(),
            is_unflushed: false,
            generated: 0,
            left: worker.settings().max_bytes,
            phase: Phase::Serving,
            watch: None,
            timeout: worker.settings().idle_timeout,
            closing,
            asked: None,
            is_draining: false,
            is_busy: false,
            worker,
            member,
        }
    }

    /// Serves until there is nothing to receive or no room to send. `moved` says whether anything
    /// was.
    fn serve(&mut self, cx: &mut Context<'_>, moved: &mut bool) -> Poll<io::Result<End>> {
        loop {
            let end = match &mut self.phase {
                Phase::Serving | Phase::Heard => match self.worker.settings().service {
                    Service::Echo => ready!(self.echo(cx, moved))?,
                    Service::Discard => ready!(self.discard(cx, moved))?,
                    Service::Chargen => ready!(self.generate(cx, moved))?,
                },
                Phase::Ending(end) => {
                    let end = *end;
                    ready!(Pin::new(&mut self.stream).poll_close(cx))?;
                    if end != End::Limit {
                        return Poll::Ready(Ok(end));
                    }
                    self.phase = Phase::Leaving(sleep(FAREWELL));
                    continue;
                }
                Phase::Leaving(farewell) => {
                    if Pin::new(farewell).poll(cx).is_pending() {
                        // Whatever comes of it, the limit is what ended it.
                        let _ = ready!(self.take_nothing(cx));
                    }
                    return Poll::Ready(Ok(End::Limit));
                }
            };
            if !S::SAYS_END && end != End::Limit {
                return Poll::Ready(Ok(end));
            }
            self.phase = Phase::Ending(end);
        }
    }

    fn echo(&mut self, cx: &mut Context<'_>, moved: &mut bool) -> Poll<io::Result<End>> {
        if !self.unsent.data.is_empty() {
            ready!(self.unsent.send(&mut self.stream, cx, moved))?;
        }
        let worker = self.worker.clone();
        let mut buffer = worker.buffer.borrow_mut();
        loop {
            if self.is_unflushed {
                ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
                self.is_unflushed = false;
            }
            let room = room(self.left, buffer.len());
            if room == 0 {
                return Poll::Ready(Ok(End::Limit));
            }
            let received = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer[..room]))?;
            if received == 0 {
                return Poll::Ready(Ok(End::Done));
            }
            *moved = true;
            self.count(received);
            self.is_unflushed = true;
            let data = &buffer[..received];
            let sent = match Pin::new(&mut self.stream).poll_write(cx, data) {
                Poll::Ready(sent) => sent?,
                Poll::Pending => 0,
            };
            if sent < received {
                self.unsent.data.extend_from_slice(&data[sent..]);
                // If `poll_write` waits already, this only says so again.
                ready!(self.unsent.send(&mut self.stream, cx, moved))?;
            }
        }
    }

    fn discard(&mut self, cx: &mut Context<'_>, moved: &mut bool) -> Poll<io::Result<End>> {
        let worker = self.worker.clone();
        let mut buffer = worker.buffer.borrow_mut();
        loop {
            let room = room(self.left, buffer.len());
            if room == 0 {
                return Poll::Ready(Ok(End::Limit));
            }
            let received = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer[..room]))?;
            if received == 0 {
                return Poll::Ready(Ok(End::Done));
            }
            *moved = true;
            self.count(received);
        }
    }

    /// Sends until the client goes; that it has ended its side is no reason to stop.
    fn generate(&mut self, cx: &mut Context<'_>, moved: &mut bool) -> Poll<io::Result<End>> {
        if matches!(self.phase, Phase::Serving) {
            if let Poll::Ready(heard) = self.take_nothing(cx) {
                heard?;
                self.phase = Phase::Heard;
            }
        }
        // What is endless has all it needs when the stop begins.
        if self.closing.is_cancelled() {
            return Poll::Ready(Ok(End::Done));
        }
        let worker = self.worker.clone();
        loop {
            let text = worker.characters.after(self.generated);
            let room = room(self.left, text.len());
            if room == 0 {
                if self.is_unflushed {
                    ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
                }
                return Poll::Ready(Ok(End::Limit));
            }
            let sent = ready!(Pin::new(&mut self.stream).poll_write(cx, &text[..room]))?;
            *moved = true;
            self.is_unflushed = true;
            self.generated += sent as u64;
            self.count(sent);
        }
    }

    /// Throws away what comes, to the end of the stream.
    fn take_nothing(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut buffer = self.worker.buffer.borrow_mut();
        loop {
            if ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))? == 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }

    #[inline]
    fn count(&mut self, bytes: usize) {
        self.worker.tally.message(bytes);
        if let Some(left) = &mut self.left {
            *left -= bytes as u64;
        }
    }

    /// The stop begins: from now on being quiet for a moment is the end.
    fn begin_to_drain(&mut self) {
        self.is_draining = true;
        self.watch = None;
        self.timeout = Some(self.timeout.map_or(QUIET, |timeout| timeout.min(QUIET)));
    }

    fn begin_to_watch(&mut self, cx: &Context<'_>) {
        let watch = |timeout| IdleWatch::new(timeout, &self.worker.rung, cx);
        self.watch = self.timeout.map(watch);
    }

    /// How the connection ends that has nothing to receive, or no room to send what it received.
    fn end_of_wait(&self) -> End {
        match &self.phase {
            Phase::Leaving(_) => End::Limit,
            _ if !self.is_draining => End::Idle,
            _ if self.has_all() => End::Done,
            _ => End::Cut,
        }
    }

    /// Has the stop wake the task.
    fn listen_for_the_stop(&mut self, cx: &mut Context<'_>) {
        let mut asked = self.closing.cancelled();
        // If it is cancelled already, that is looked at next.
        let _ = Pin::new(&mut asked).poll(cx);
        self.asked = Some(asked);
    }
}

impl<S> Connection<S> {
    /// Whether all that is due to the client is on its way.
    fn has_all(&self) -> bool {
        self.unsent.data.is_empty() || self.is_endless()
    }

    fn is_endless(&self) -> bool {
        self.worker.settings().service == Service::Chargen
    }
}

/// How many bytes may be moved at once.
#[inline]
fn room(left: Option<u64>, most: usize) -> usize {
    left.map_or(most, |left| usize::try_from(left).unwrap_or(most).min(most))
}

impl<S: Wire> Future for Connection<S> {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let mut moved = false;
        if let Poll::Ready(result) = this.serve(cx, &mut moved) {
            this.member.end = Some(result.unwrap_or(End::Failed));
            return Poll::Ready(());
        }
        if this.is_draining {
            this.is_busy |= moved;
        } else if this.asked.is_none() {
            this.listen_for_the_stop(cx);
        }
        if !this.is_draining && this.closing.is_cancelled() {
            this.begin_to_drain();
        }
        if let Some(watch) = &mut this.watch {
            if watch.poll(moved, &this.worker.rung).is_ready() {
                let end = this.end_of_wait();
                if end != End::Cut {
                    this.member.end = Some(end);
                    return Poll::Ready(());
                }
                // A client that is slow to read is not quiet; only the end of the grace cuts it.
                this.begin_to_watch(cx);
            }
        } else if this.timeout.is_some() {
            this.begin_to_watch(cx);
        }
        Poll::Pending
    }
}

impl<S> Drop for Connection<S> {
    /// Not by its own end: the grace is over, or a second signal has come. Whoever was silent since
    /// the stop began and waits for nothing loses nothing by it. The others may.
    fn drop(&mut self) {
        let is_cut = self.is_busy && !self.is_endless() || !self.has_all();
        if self.member.end.is_none() && !std::thread::panicking() && !is_cut {
            self.member.end = Some(End::Done);
        }
    }
}

impl Unsent {
    fn send<S: Wire>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
        moved: &mut bool,
    ) -> Poll<io::Result<()>> {
        while self.done < self.data.len() {
            let sent = ready!(Pin::new(&mut *stream).poll_write(cx, &self.data[self.done..]))?;
            *moved = true;
            self.done += sent;
        }
        *self = Unsent::default();
        Poll::Ready(Ok(()))
    }
}
