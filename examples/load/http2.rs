//! One connection of the load over HTTP/2, by hyper's client: as many streams as the depth allows,
//! each sending the next message of the plan when it is due.
//!
//! The streams are futures within one task; what hyper needs to drive the connection are tasks of
//! their own, which end with it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper::{Request, Response};
use wheelhouse::net::compat::hyper::{HyperExecutor, HyperIo};
use wheelhouse::structure::{Completion, completion};
use wheelhouse::time::{sleep_until, timeout_at};
use wheelhouse::{scope, spawn};

use crate::exchange::Answered;
use crate::failure::{Failure, Kind};
use crate::http::request::{self, USER_AGENT};
use crate::job::{Job, Unsent};
use crate::record::Flight;
use crate::stream::{Connector, Stream};
use crate::wire::Counted;

/// Between two attempts to connect, at first and at most.
const FIRST_PAUSE: u64 = 10_000_000;
const LONGEST_PAUSE: u64 = 1_000_000_000;

/// How often a message is sent again that a closed connection did not take.
const MOST_TRIES: u32 = 3;

/// Large bodies should not wait for credit at every round trip.
const STREAM_WINDOW: u32 = 2 << 20;
const CONNECTION_WINDOW: u32 = 8 << 20;

type Sender = SendRequest<Full<Bytes>>;
pub(crate) type Message = Request<Full<Bytes>>;

/// A request as hyper takes it. The error is for the user's eyes.
pub(crate) fn message(request: &request::Request, is_tls: bool) -> Result<Message, String> {
    let scheme = if is_tls { "https" } else { "http" };
    let mut message = Request::builder()
        .method(request.method.as_str())
        .uri(format!("{scheme}://{}{}", request.authority, request.path));
    if !request.has_header("user-agent") {
        message = message.header("user-agent", USER_AGENT);
    }
    if request.says_length() {
        message = message.header("content-length", request.body.len());
    }
    for (name, value) in &request.headers {
        message = message.header(name, value);
    }
    message
        .body(Full::new(Bytes::from(request.body.clone())))
        .map_err(|error| format!("HTTP/2 does not take this request: {error}"))
}

pub(crate) struct Http2 {
    pub(crate) job: Rc<Job>,
    pub(crate) connector: Rc<Connector>,
    pub(crate) index: usize,
    pub(crate) messages: Rc<[Message]>,
    link: RefCell<Link>,
    /// Which message is next.
    next: Cell<usize>,
    pause: Cell<u64>,
    /// Counts the connections that were up.
    ups: Cell<u64>,
    /// It failed, and is not there again.
    is_lost: Cell<bool>,
}

enum Link {
    Down(Option<Stream>),
    /// One stream connects, others wait for it.
    Opening(Completion<()>),
    Up(Up),
}

#[derive(Clone)]
struct Up {
    sender: Sender,
    /// Tells it from the one after it.
    number: u64,
}

/// A message under way. Dropped before it is answered, it is unfinished.
struct UnderWay<'a> {
    connection: &'a Http2,
    flight: Flight,
    is_done: bool,
}

enum Sent {
    Answered(Response<Incoming>),
    /// The connection was gone before it was sent.
    Refused,
    Failed(hyper::Error),
}

/// Whether the server says that it has not touched the request: it may go to another connection. So
/// ends a connection that has served as many as it may.
fn was_refused(error: &hyper::Error) -> bool {
    use std::error::Error;
    let reason = error.source().and_then(|source| source.downcast_ref::<h2::Error>());
    reason.is_some_and(|error| {
        let is_good = error.reason() == Some(h2::Reason::NO_ERROR) && error.is_go_away();
        is_good || error.reason() == Some(h2::Reason::REFUSED_STREAM)
    })
}

impl Http2 {
    pub(crate) fn new(
        job: Rc<Job>,
        connector: Rc<Connector>,
        index: usize,
        messages: Rc<[Message]>,
        first: usize,
        stream: Option<Stream>,
    ) -> Http2 {
        let next = Cell::new(first % messages.len());
        let link = RefCell::new(Link::Down(stream));
        let (pause, ups, is_lost) = (Cell::new(FIRST_PAUSE), Cell::new(0), Cell::new(false));
        Http2 { job, connector, index, messages, link, next, pause, ups, is_lost }
    }

    pub(crate) async fn run(self) {
        let this = &self;
        scope(async |streams| {
            for _ in 0..this.job.depth {
                drop(streams.spawn(this.stream()));
            }
        })
        .await;
    }

    async fn stream(&self) {
        let job = &*self.job;
        job.room.given(0);
        while let Some(due) = self.due().await {
            job.room.taken();
            let number = self.next.get();
            self.next.set((number + 1) % self.messages.len());
            let mut under_way = UnderWay { connection: self, flight: due, is_done: false };
            let deadline = job.instant(due.sent.saturating_add(job.timeout));
            let outcome = timeout_at(deadline, self.ask(number, due)).await;
            let now = job.now();
            match outcome {
                Ok(Ok(())) => self.pause.set(FIRST_PAUSE),
                Ok(Err(failure)) => {
                    job.record.borrow_mut().gone([due], false);
                    job.failed(failure, 1, now);
                }
                Err(_) => {
                    let record = &mut *job.record.borrow_mut();
                    record.answered(due, now, now, job.has_plan());
                    record.gone([due], false);
                    let timeout = std::time::Duration::from_nanos(job.timeout);
                    let text = format!("connection {}: no answer within {timeout:?}", self.index);
                    job.live.failed(1);
                    record.failed(Failure { kind: Kind::Timeout, text }, 1, now);
                }
            }
            under_way.is_done = true;
            // Sent in time, it would have been answered so much earlier.
            job.room.given(now.saturating_sub(due.own_delay));
        }
        job.room.taken();
    }

    /// Waits for the next message of the plan; without one, it is now. `None` when it is over.
    async fn due(&self) -> Option<Flight> {
        let job = &*self.job;
        if !job.has_plan() {
            let now = job.now();
            if now >= job.end.get() {
                return None;
            }
            job.record.borrow_mut().sent_at_once(now);
            return Some(Flight::new(now, now));
        }
        let planned = job.take_slot()?;
        if planned > job.now() {
            sleep_until(job.instant(planned)).await;
        }
        let now = job.now();
        if planned >= job.end.get() || now >= job.send_until() {
            let why = match () {
                () if self.is_lost.get() => Unsent::Failure,
                () if planned < job.room.held_until(now) => Unsent::Target,
                () => Unsent::Generator,
            };
            job.unsent(planned, why);
            return None;
        }
        let flight = job.room.send(planned, now, 0);
        job.record.borrow_mut().sent_by_plan(flight);
        Some(flight)
    }

    /// Sends one message and reads its answer.
    async fn ask(&self, number: usize, flight: Flight) -> Result<(), Failure> {
        let job = &*self.job;
        let mut tries = 0;
        let mut answer = loop {
            let mut up = self.up().await?;
            match self.send(&mut up.sender, number).await {
                Sent::Answered(answer) => break answer,
                Sent::Refused if tries < MOST_TRIES => {
                    tries += 1;
                    job.record.borrow_mut().resent += 1;
                    self.give_up(&up);
                }
                Sent::Refused => {
                    self.give_up(&up);
                    let text = format!("connection {}: closed again and again", self.index);
                    return Err(Failure { kind: Kind::ClosedByPeer, text });
                }
                Sent::Failed(error) => return Err(self.talking(&error)),
            }
        };
        let first_byte = job.now();
        let mut body = 0;
        while let Some(frame) = answer.body_mut().frame().await {
            let frame = frame.map_err(|error| self.talking(&error))?;
            body += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        let now = job.now();
        let answered = Answered { status: answer.status().as_u16(), body, closes: false };
        job.answered(flight, &answered, first_byte, now);
        job.live.answered(1);
        Ok(())
    }

    async fn send(&self, sender: &mut Sender, number: usize) -> Sent {
        match sender.try_send_request(self.messages[number].clone()).await {
            Ok(answer) => Sent::Answered(answer),
            Err(mut error) => match error.take_message() {
                Some(_) => Sent::Refused,
                None if was_refused(error.error()) => Sent::Refused,
                None => Sent::Failed(error.into_error()),
            },
        }
    }

    fn talking(&self, error: &hyper::Error) -> Failure {
        use std::error::Error;
        let io = error.source().and_then(|source| source.downcast_ref::<std::io::Error>());
        let of_h2 = error.source().and_then(|source| source.downcast_ref::<h2::Error>());
        let kind = match io.map(std::io::Error::kind) {
            Some(std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe) => {
                Kind::Reset
            }
            // One stream or all of them, by the peer's word.
            _ if of_h2.is_some_and(|error| error.is_remote() && error.is_reset()) => Kind::Reset,
            _ if of_h2.is_some_and(|error| error.is_remote() && error.is_go_away()) => {
                Kind::ClosedByPeer
            }
            _ if error.is_incomplete_message() || error.is_closed() => Kind::ClosedByPeer,
            _ => Kind::Malformed,
        };
        let source = error.source().map_or(String::new(), |source| format!(": {source}"));
        Failure { kind, text: format!("connection {}: {error}{source}", self.index) }
    }

    /// The connection refuses, unless another stream has put one in its place already.
    fn give_up(&self, refuses: &Up) {
        let is_up = matches!(&*self.link.borrow(), Link::Up(up) if up.number == refuses.number);
        if is_up {
            self.down();
        }
    }

    /// The connection is no good any more.
    fn down(&self) {
        let link = &mut *self.link.borrow_mut();
        if matches!(link, Link::Up(_)) {
            self.job.live.closed();
            *link = Link::Down(None);
        }
    }

    /// The connection, made if there is none.
    async fn up(&self) -> Result<Up, Failure> {
        loop {
            let opening = match &*self.link.borrow() {
                Link::Up(up) if !up.sender.is_closed() => return Ok(up.clone()),
                Link::Opening(opened) => Some(opened.clone()),
                Link::Up(_) | Link::Down(_) => None,
            };
            match opening {
                // Dropped by who was at it, it is tried anew.
                Some(opened) => drop(opened.await),
                None => return self.open().await,
            }
        }
    }

    async fn open(&self) -> Result<Up, Failure> {
        self.down();
        let (done, opened) = completion();
        let before = self.link.replace(Link::Opening(opened));
        let attempt = Attempt { link: &self.link };
        let stream = if let Link::Down(stream) = before { stream } else { None };
        let sender = match self.handshake(stream).await {
            Ok(sender) => sender,
            Err(failure) => {
                self.job.set_lost(&self.is_lost, true);
                // The others are kept waiting as well: they would find nobody either.
                let pause = self.pause.get();
                self.pause.set((pause * 2).min(LONGEST_PAUSE));
                sleep_until(self.job.instant(self.job.now() + pause)).await;
                drop(attempt);
                return Err(failure);
            }
        };
        self.job.set_lost(&self.is_lost, false);
        let up = Up { sender, number: self.ups.replace(self.ups.get() + 1) };
        self.link.replace(Link::Up(up.clone()));
        done.complete(());
        Ok(up)
    }

    async fn handshake(&self, stream: Option<Stream>) -> Result<Sender, Failure> {
        let job = &*self.job;
        let stream = match stream {
            Some(stream) => stream,
            None => {
                let since = job.now();
                let stream = self.connector.connect().await?;
                job.live.opened();
                job.record.borrow_mut().connected(since, job.now());
                stream
            }
        };
        let io = HyperIo::new(Counted { stream, bytes: job.wire.clone() });
        let (sender, connection) = Builder::new(HyperExecutor)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .handshake(io)
            .await
            .map_err(|error| self.talking(&error))?;
        // It ends when the last sender is gone; what fails in it fails at the senders.
        drop(spawn(async move { drop(connection.await) }));
        Ok(sender)
    }
}

/// Connecting, until it has come to something.
struct Attempt<'a> {
    link: &'a RefCell<Link>,
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let link = &mut *self.link.borrow_mut();
        if matches!(link, Link::Opening(_)) {
            *link = Link::Down(None);
        }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if !self.is_done {
            let job = &self.connection.job;
            job.record.borrow_mut().gone([self.flight], true);
            let text = format!(
                "connection {}: a message unanswered when the run had ended",
                self.connection.index
            );
            job.failed(Failure { kind: Kind::Unfinished, text }, 1, job.now());
        }
    }
}

impl Drop for Http2 {
    fn drop(&mut self) {
        self.down();
    }
}
