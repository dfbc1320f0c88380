//! One connection of the load: a hand-written future that sends when a message is due, reads what
//! comes back, and notes when.
//!
//! An answer costs a receive, a read of the clock and a send. One alarm a connection serves the
//! plan and the timeout alike; without a plan it is only moved when it rings, not with every
//! message. A connection with room for a message takes the next one of the plan and waits for its
//! moment, so what is due is never behind a connection that is busy while another is free.

use std::cell::Cell;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};
use wheelhouse::time::{Sleep, sleep_until};

use crate::exchange::Exchange;
use crate::failure::{Failure, Kind, unanswered};
use crate::job::{BUFFER, Job, Unsent};
use crate::record::Flight;
use crate::stream::{Connector, Stream};

/// Between two attempts to connect, at first and at most.
const FIRST_PAUSE: u64 = 10_000_000;
const LONGEST_PAUSE: u64 = 1_000_000_000;

/// So often a connection receives before the others have their turn.
const MOST_AT_ONCE: usize = 16;

type Opening = Pin<Box<dyn Future<Output = Result<Stream, Failure>>>>;

enum Link {
    Up(Stream),
    Opening {
        stream: Opening,
        since: u64,
    },
    /// Not to be tried before `until`.
    Down {
        until: u64,
    },
}

enum Step {
    Again,
    Wait,
    Over,
}

/// How a connection ended before its time.
enum Lost {
    /// By the peer, and perhaps only because its patience with an idle connection was over.
    Closed(Failure),
    Failed(Failure),
}

pub(crate) struct Connection {
    job: Rc<Job>,
    connector: Rc<Connector>,
    index: usize,
    exchange: Exchange,
    link: Link,
    /// The next message of the plan, taken but not yet due.
    slot: Option<u64>,
    /// Messages under way, oldest first. Never more than the depth, which it has room for from the
    /// start.
    flights: VecDeque<Flight>,
    /// When the first byte of the answer to the oldest came.
    first_byte: Option<u64>,
    /// It has no room for another message.
    is_full: bool,
    /// When that ended for the message in the slot, if it was kept back by this connection alone.
    freed: u64,
    /// The link has brought an answer.
    has_answered: bool,
    /// Before the next attempt to connect.
    pause: u64,
    alarm: Sleep,
    /// It failed, and is not there again.
    is_lost: Cell<bool>,
}

impl Connection {
    /// Begins with a stream that is connected, or else connects when it needs one.
    pub(crate) fn new(
        job: Rc<Job>,
        connector: Rc<Connector>,
        index: usize,
        exchange: Exchange,
        stream: Option<Stream>,
    ) -> Connection {
        job.room.given(0);
        Connection {
            connector,
            index,
            exchange,
            link: stream.map_or(Link::Down { until: 0 }, Link::Up),
            slot: None,
            flights: VecDeque::with_capacity(job.depth),
            first_byte: None,
            is_full: false,
            freed: 0,
            has_answered: false,
            pause: FIRST_PAUSE,
            alarm: sleep_until(job.instant(0)),
            is_lost: Cell::new(false),
            job,
        }
    }

    /// Sends and receives until neither can go on.
    fn talk(&mut self, cx: &mut Context<'_>) -> Result<Step, Lost> {
        // Without a plan nothing is due before an answer comes, but for the first messages.
        let mut now = if self.job.has_plan() || self.flights.len() < self.job.depth {
            self.job.now()
        } else {
            0
        };
        for _ in 0..MOST_AT_ONCE {
            self.send(cx, now)?;
            if self.flights.is_empty() && self.is_over(now) {
                return Ok(Step::Over);
            }
            match self.receive(cx)? {
                Some(at) => now = at,
                None => {
                    if now == 0 {
                        now = self.job.now();
                    }
                    return self.wait(cx, now);
                }
            }
            if !matches!(self.link, Link::Up(_)) {
                return Ok(Step::Again);
            }
        }
        // A peer that never pauses must not keep the other connections waiting; nor its own timeout.
        cx.waker().wake_by_ref();
        self.wait(cx, now)
    }

    /// Sends what is due, unless the depth or the kernel holds it.
    #[inline]
    fn send(&mut self, cx: &mut Context<'_>, now: u64) -> Result<(), Lost> {
        loop {
            if self.exchange.unsent() == 0 {
                self.begin(now);
            }
            if self.exchange.unsent() == 0 {
                return self.flush(cx);
            }
            let Link::Up(stream) = &mut self.link else { return Ok(()) };
            let taken = {
                let mut buffer = self.job.to_send.borrow_mut();
                Pin::new(stream).poll_write(cx, self.exchange.to_send(&mut buffer))
            };
            match taken {
                Poll::Ready(Ok(taken)) => self.sent(taken, now),
                Poll::Ready(Err(error)) => {
                    return Err(Lost::by(Failure::talking(self.index, "sending", &error)));
                }
                Poll::Pending => {
                    self.fill();
                    return Ok(());
                }
            }
        }
    }

    /// What TLS keeps back is sent as soon as there is room.
    #[inline]
    fn flush(&mut self, cx: &mut Context<'_>) -> Result<(), Lost> {
        let Link::Up(stream) = &mut self.link else { return Ok(()) };
        match Pin::new(stream).poll_flush(cx) {
            Poll::Ready(Err(error)) => {
                Err(Lost::by(Failure::talking(self.index, "sending", &error)))
            }
            Poll::Ready(Ok(())) | Poll::Pending => Ok(()),
        }
    }

    #[inline]
    fn sent(&mut self, count: usize, now: u64) {
        self.exchange.sent(count);
        if self.is_full {
            self.make_room(now);
            self.freed = if self.slot.is_some() { now } else { 0 };
        }
        let record = &mut *self.job.record.borrow_mut();
        if now >= record.measure_from && now < self.job.end.get() {
            record.bytes_sent += count as u64;
        }
    }

    /// Begins as many messages as are due and allowed, and fit in one send.
    #[inline]
    fn begin(&mut self, now: u64) {
        while self.exchange.unsent() < BUFFER as u64 {
            if self.flights.len() >= self.job.depth {
                self.fill();
                return;
            }
            if !self.begin_one(now) {
                return;
            }
        }
    }

    /// Whether one was due.
    #[inline]
    fn begin_one(&mut self, now: u64) -> bool {
        let job = &*self.job;
        let end = job.end.get();
        let flight = if job.has_plan() {
            if self.slot.is_none() {
                self.slot = job.take_slot();
            }
            let Some(planned) = self.slot else { return false };
            if planned > now || planned >= end || now >= job.send_until() {
                return false;
            }
            self.slot = None;
            let flight = job.room.send(planned, now, self.freed);
            self.freed = 0;
            job.record.borrow_mut().sent_by_plan(flight);
            flight
        } else {
            if now >= end {
                return false;
            }
            job.record.borrow_mut().sent_at_once(now);
            Flight::new(now, now)
        };
        self.flights.push_back(flight);
        self.exchange.begin();
        true
    }

    /// Receives once. `None`: nothing is there; otherwise the time.
    #[inline]
    fn receive(&mut self, cx: &mut Context<'_>) -> Result<Option<u64>, Lost> {
        let Link::Up(stream) = &mut self.link else { return Ok(None) };
        let job = self.job.clone();
        let mut buffer = job.received.borrow_mut();
        match Pin::new(stream).poll_read(cx, &mut buffer) {
            Poll::Pending => Ok(None),
            Poll::Ready(Ok(0)) => {
                let now = job.now();
                self.ended(now).map(|()| Some(now))
            }
            Poll::Ready(Ok(count)) => {
                let now = job.now();
                self.take(&job, &buffer[..count], now)?;
                Ok(Some(now))
            }
            Poll::Ready(Err(error)) => {
                Err(Lost::by(Failure::talking(self.index, "receiving", &error)))
            }
        }
    }

    /// Notes the answers that more bytes complete.
    #[inline]
    fn take(&mut self, job: &Job, data: &[u8], now: u64) -> Result<(), Lost> {
        let (mut answers, mut closes, mut own_delay) = (0, false, None);
        let (flights, first_byte) = (&mut self.flights, &mut self.first_byte);
        let taken = self.exchange.receive(data, |answer| {
            let Some(flight) = flights.pop_front() else { return };
            job.answered(flight, &answer, first_byte.take().unwrap_or(now), now);
            answers += 1;
            own_delay.get_or_insert(flight.own_delay);
            closes |= answer.closes;
        });
        {
            let record = &mut *job.record.borrow_mut();
            if now >= record.measure_from && now < job.end.get() {
                record.bytes_received += data.len() as u64;
            }
        }
        if let Err(wrong) = taken {
            let text = format!("connection {}: {}", self.index, wrong.text);
            return Err(Lost::Failed(Failure { kind: wrong.kind, text }));
        }
        if answers > 0 {
            self.answered(answers, now, own_delay.unwrap_or(0));
        }
        if closes || (!job.keeps_alive && answers > 0 && self.flights.is_empty()) {
            self.hang_up(now);
        } else if self.exchange.is_within() {
            self.first_byte.get_or_insert(now);
        }
        Ok(())
    }

    #[inline]
    fn answered(&mut self, answers: u64, now: u64, own_delay: u64) {
        self.has_answered = true;
        self.pause = FIRST_PAUSE;
        if self.exchange.unsent() == 0 {
            // Sent in time, it would have been answered so much earlier.
            self.make_room(now.saturating_sub(own_delay));
        }
        self.job.live.answered(answers);
    }

    #[inline]
    fn fill(&mut self) {
        if !self.is_full {
            self.is_full = true;
            self.job.room.taken();
        }
    }

    #[inline]
    fn make_room(&mut self, at: u64) {
        if self.is_full {
            self.is_full = false;
            self.job.room.given(at);
        }
    }

    /// The peer has closed: which is how some answers end, and its right with an idle connection.
    fn ended(&mut self, now: u64) -> Result<(), Lost> {
        if let Some(answer) = self.exchange.end() {
            if let Some(flight) = self.flights.pop_front() {
                let first_byte = self.first_byte.take().unwrap_or(now);
                self.job.answered(flight, &answer, first_byte, now);
                self.answered(1, now, flight.own_delay);
            }
            self.hang_up(now);
            return Ok(());
        }
        let missing = self.flights.len();
        if missing == 0 && self.may_be_closed() {
            let wait = if self.has_answered { 0 } else { self.longer_pause() };
            self.hang_up(now + wait);
            return Ok(());
        }
        let within = if self.exchange.is_within() { " within an answer" } else { "" };
        let text = format!(
            "connection {}: the peer closed it{within} with {}",
            self.index,
            unanswered(missing)
        );
        Err(Lost::Closed(Failure { kind: Kind::ClosedByPeer, text }))
    }

    /// An idle connection of HTTP is the peer's to close, and who asked may ask again. An echo is one
    /// stream for as long as it is kept alive: its end is an error.
    fn may_be_closed(&self) -> bool {
        matches!(self.exchange, Exchange::Http(_)) || !self.job.keeps_alive
    }

    fn hang_up(&mut self, until: u64) {
        self.link = Link::Down { until };
        self.first_byte = None;
        self.job.live.closed();
        if self.job.keeps_alive {
            self.fill();
        } else {
            // A connection for one message is as good as there.
            self.make_room(until);
        }
    }

    fn longer_pause(&mut self) -> u64 {
        let pause = self.pause;
        self.pause = (pause * 2).min(LONGEST_PAUSE);
        pause
    }

    /// What is under way on a lost connection has failed; or it is sent again, once, where the
    /// peer may have closed before it saw it.
    fn lose(&mut self, lost: Lost) -> Step {
        let now = self.job.now();
        let (failure, may_resend) = match lost {
            Lost::Closed(failure) => (failure, self.job.keeps_alive && self.may_be_closed()),
            Lost::Failed(failure) => (failure, false),
        };
        self.hang_up(now);
        if may_resend && self.has_answered && !self.exchange.is_within() {
            self.job.record.borrow_mut().resent += self.flights.len() as u64;
            return Step::Again;
        }
        self.fail(failure, now);
        self.after_failure(now)
    }

    fn fail(&mut self, failure: Failure, now: u64) {
        let is_timeout = matches!(failure.kind, Kind::Timeout | Kind::ConnectTimeout);
        let missing = self.flights.len();
        if is_timeout {
            // The time that was waited is a lower bound of the latency, and counts as such: left
            // out, the worst answers would make the figures better.
            let record = &mut *self.job.record.borrow_mut();
            for flight in &self.flights {
                record.answered(*flight, now, now, self.job.has_plan());
            }
        }
        self.job.record.borrow_mut().gone(self.flights.drain(..), false);
        self.exchange.give_up();
        self.job.failed(failure, missing, now);
    }

    fn after_failure(&mut self, now: u64) -> Step {
        self.job.set_lost(&self.is_lost, true);
        let wait = if self.has_answered { 0 } else { self.longer_pause() };
        self.link = Link::Down { until: now + wait };
        if !self.job.keeps_alive {
            self.make_room(now + wait);
            self.freed = now + wait;
        }
        Step::Again
    }

    /// Not connected: connects as soon as there is reason to.
    fn rest(&mut self, cx: &mut Context<'_>, until: u64) -> Step {
        let now = self.job.now();
        if self.flights.is_empty() && self.job.has_plan() && self.slot.is_none() {
            self.slot = self.job.take_slot();
        }
        if self.flights.is_empty() && self.is_over(now) {
            return Step::Over;
        }
        // A connection for one message is made when that is due.
        let due = match self.slot {
            Some(due) if !self.job.keeps_alive && self.flights.is_empty() => due,
            _ => 0,
        };
        let wanted = due.max(until);
        if wanted > now {
            return self.sleep_until(cx, wanted.min(self.job.send_until()), now);
        }
        if !self.job.keeps_alive && self.flights.is_empty() && self.begin_one(now) {
            self.fill();
        }
        let connector = self.connector.clone();
        let stream = Box::pin(async move { connector.connect().await });
        self.link = Link::Opening { stream, since: now };
        Step::Again
    }

    fn open(&mut self, cx: &mut Context<'_>) -> Step {
        let Link::Opening { stream, since } = &mut self.link else { return Step::Again };
        let (opened, since) = (stream.as_mut().poll(cx), *since);
        let now = self.job.now();
        match opened {
            Poll::Pending if self.flights.is_empty() && self.is_over(now) => Step::Over,
            Poll::Pending => self.sleep_until(cx, self.job.send_until(), now),
            Poll::Ready(Ok(stream)) => {
                self.job.live.opened();
                self.job.record.borrow_mut().connected(since, now);
                self.link = Link::Up(stream);
                self.has_answered = false;
                self.job.set_lost(&self.is_lost, false);
                if self.flights.len() < self.job.depth {
                    self.make_room(now);
                    self.freed = if self.slot.is_some() { now } else { 0 };
                }
                self.exchange.restart();
                (0..self.flights.len()).for_each(|_| self.exchange.begin());
                Step::Again
            }
            Poll::Ready(Err(failure)) => {
                self.fail(failure, now);
                self.has_answered = false;
                self.after_failure(now)
            }
        }
    }

    /// Whether nothing is to be sent any more. Asked when nothing is under way, so there was room
    /// to take what the plan still has.
    fn is_over(&self, now: u64) -> bool {
        let end = self.job.end.get();
        if self.job.has_plan() {
            self.slot.is_none_or(|due| due >= end) || now >= self.job.send_until()
        } else {
            now >= end
        }
    }

    /// Sets the alarm to what comes first: the next message of the plan, or the end of patience.
    #[inline]
    fn wait(&mut self, cx: &mut Context<'_>, now: u64) -> Result<Step, Lost> {
        let mut wanted = u64::MAX;
        if let Some(oldest) = self.flights.front() {
            wanted = oldest.sent.saturating_add(self.job.timeout);
            if wanted <= now {
                return Err(Lost::Failed(self.time_out()));
            }
        }
        match self.slot {
            // Otherwise it is over, and an answer or the timeout comes next.
            Some(due) if due < self.job.end.get() => wanted = wanted.min(due),
            _ => {}
        }
        Ok(self.sleep_until(cx, wanted, now))
    }

    /// An alarm that rings too early is moved when it does; one that has rung is filed anew.
    #[inline]
    fn sleep_until(&mut self, cx: &mut Context<'_>, wanted: u64, now: u64) -> Step {
        let rings = self.alarm.deadline();
        let wanted = self.job.instant(wanted);
        if wanted < rings || self.job.instant(now) >= rings {
            Pin::new(&mut self.alarm).reset(wanted);
            if Pin::new(&mut self.alarm).poll(cx).is_ready() {
                // It was due in the meantime.
                return Step::Again;
            }
        }
        Step::Wait
    }

    /// Nobody was there to send a message to when it was due.
    fn is_away(&self, due: u64) -> bool {
        match self.link {
            Link::Up(_) => false,
            Link::Opening { .. } => true,
            Link::Down { until } => until > due,
        }
    }

    fn time_out(&self) -> Failure {
        let text = format!(
            "connection {}: no answer within {:?}, {}",
            self.index,
            Duration::from_nanos(self.job.timeout),
            unanswered(self.flights.len())
        );
        Failure { kind: Kind::Timeout, text }
    }
}

impl Lost {
    fn by(failure: Failure) -> Lost {
        if failure.kind == Kind::Reset { Lost::Closed(failure) } else { Lost::Failed(failure) }
    }
}

impl Future for Connection {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        loop {
            let step = match this.link {
                Link::Up(_) => match this.talk(cx) {
                    Ok(step) => step,
                    Err(lost) => this.lose(lost),
                },
                Link::Opening { .. } => this.open(cx),
                Link::Down { until } => this.rest(cx, until),
            };
            match step {
                Step::Again => {}
                Step::Wait => return Poll::Pending,
                Step::Over => return Poll::Ready(()),
            }
        }
    }
}

impl Drop for Connection {
    /// The last account, however it ended.
    fn drop(&mut self) {
        if matches!(self.link, Link::Up(_)) {
            self.job.live.closed();
        }
        if let Some(due) = self.slot {
            let why = match () {
                () if self.is_lost.get() => Unsent::Failure,
                () if self.is_full || self.is_away(due) => Unsent::Target,
                () => Unsent::Generator,
            };
            self.job.unsent(due, why);
        }
        let (index, missing) = (self.index, self.flights.len());
        if missing > 0 {
            self.job.record.borrow_mut().gone(self.flights.drain(..), true);
            let text =
                format!("connection {index}: {} when the run had ended", unanswered(missing));
            self.job.failed(Failure { kind: Kind::Unfinished, text }, missing, self.job.now());
        }
    }
}
