//! One connection of the load: a hand-written future that sends when a message is due, compares
//! what comes back, and notes when.
//!
//! An answer costs a receive, a read of the clock and a send. One alarm a connection serves the
//! plan and the timeout alike; without a plan it is only moved when it rings, not with every
//! message.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_io::{AsyncRead, AsyncWrite};
use wheelhouse::net::TcpStream;
use wheelhouse::time::{Sleep, sleep_until};

use crate::failure::{Failure, Kind};
use crate::pattern::Pattern;
use crate::plan::Schedule;
use crate::progress::Live;
use crate::record::{Flight, HeldBy, LATE_NS, Record};

/// One of each a run, not a connection.
const BUFFER: usize = 64 * 1024;

/// What the connections of a run share.
pub(crate) struct Job {
    /// Nanoseconds are counted from here.
    pub(crate) origin: Instant,
    pub(crate) size: u64,
    pub(crate) depth: usize,
    pub(crate) timeout: u64,
    /// Sending stops here; an interrupt moves it forward.
    pub(crate) end: Cell<u64>,
    pub(crate) record: RefCell<Record>,
    pub(crate) live: Arc<Live>,
    pub(crate) received: RefCell<Vec<u8>>,
    pub(crate) to_send: RefCell<Vec<u8>>,
}

impl Job {
    pub(crate) fn buffer() -> RefCell<Vec<u8>> {
        RefCell::new(vec![0; BUFFER])
    }

    /// Nanoseconds since the start; zero before it.
    #[inline]
    pub(crate) fn now(&self) -> u64 {
        nanos(Instant::now().saturating_duration_since(self.origin))
    }

    pub(crate) fn instant(&self, at: u64) -> wheelhouse::time::Instant {
        wheelhouse::time::Instant::from_std(self.origin) + Duration::from_nanos(at)
    }

    /// A message that was due just before the end may still be sent just after it, or every run
    /// would end with some that are called unsent for a few microseconds.
    fn send_until(&self) -> u64 {
        self.end.get().saturating_add(LATE_NS)
    }
}

pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

pub(crate) struct Connection {
    job: Rc<Job>,
    stream: TcpStream,
    index: usize,
    pattern: Pattern,
    /// `None`: closed loop.
    schedule: Option<Schedule>,
    /// Messages under way, oldest first. Never more than the depth, which it has room for from the
    /// start.
    flights: VecDeque<Flight>,
    /// Positions in the stream: of the messages begun, of what the kernel took, of what came back.
    begun: u64,
    sent: u64,
    received: u64,
    /// Where the oldest message under way ends.
    answer_ends: u64,
    /// Something other than this program keeps the next message back.
    is_held: bool,
    /// When that ended last.
    freed: u64,
    alarm: Sleep,
    has_failed: bool,
}

impl Connection {
    pub(crate) fn new(
        job: Rc<Job>,
        stream: TcpStream,
        index: usize,
        schedule: Option<Schedule>,
    ) -> Connection {
        let alarm = sleep_until(job.instant(0));
        Connection {
            stream,
            index,
            pattern: Pattern::new(index),
            schedule,
            flights: VecDeque::with_capacity(job.depth),
            begun: 0,
            sent: 0,
            received: 0,
            answer_ends: job.size,
            is_held: false,
            freed: 0,
            alarm,
            has_failed: false,
            job,
        }
    }

    /// Sends and receives until neither can go on. Ready when all is done.
    fn talk(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        // Without a plan nothing is due before an answer comes, but for the first messages.
        let mut now = if self.schedule.is_some() || self.flights.len() < self.job.depth {
            self.job.now()
        } else {
            0
        };
        loop {
            self.send(cx, now)?;
            if self.flights.is_empty() && self.is_over(now) {
                return Poll::Ready(Ok(()));
            }
            match self.receive(cx)? {
                Some(at) => now = at,
                None => break,
            }
        }
        if now == 0 {
            now = self.job.now();
        }
        self.wait(cx, now).map(Err)
    }

    /// Sends what is due, unless the depth or the kernel holds it.
    fn send(&mut self, cx: &mut Context<'_>, now: u64) -> Result<(), Failure> {
        loop {
            if self.sent == self.begun {
                self.begin(now);
            }
            if self.sent == self.begun {
                return Ok(());
            }
            let mut buffer = self.job.to_send.borrow_mut();
            let len = (self.begun - self.sent).min(buffer.len() as u64) as usize;
            let data = &mut buffer[..len];
            self.pattern.fill(self.sent, data);
            match Pin::new(&mut &self.stream).poll_write(cx, data) {
                Poll::Ready(Ok(taken)) => {
                    self.sent += taken as u64;
                    if self.is_held {
                        self.is_held = false;
                        self.freed = now;
                    }
                }
                Poll::Ready(Err(error)) => {
                    return Err(Failure::talking(self.index, "sending", &error));
                }
                Poll::Pending => {
                    self.is_held = true;
                    return Ok(());
                }
            }
        }
    }

    /// Begins as many messages as are due and allowed, and fit in one send.
    fn begin(&mut self, now: u64) {
        let job = &*self.job;
        let first = self.begun;
        while self.begun - first < BUFFER as u64 {
            let planned = match &self.schedule {
                Some(schedule) if schedule.due() > now || schedule.due() >= job.end.get() => return,
                Some(_) if now >= job.send_until() => return,
                None if now >= job.end.get() => return,
                Some(schedule) => schedule.due(),
                None => now,
            };
            if self.flights.len() == job.depth {
                self.is_held = true;
                return;
            }
            let flight = Flight { planned, sent: now };
            if let Some(schedule) = &mut self.schedule {
                schedule.advance();
                let held_by = if planned < self.freed { HeldBy::Target } else { HeldBy::Generator };
                job.record.borrow_mut().sent_by_plan(flight, held_by);
            }
            self.flights.push_back(flight);
            self.begun += job.size;
        }
    }

    /// Receives once. `None`: nothing is there; otherwise the time.
    fn receive(&mut self, cx: &mut Context<'_>) -> Result<Option<u64>, Failure> {
        let job = self.job.clone();
        let mut buffer = job.received.borrow_mut();
        match Pin::new(&mut &self.stream).poll_read(cx, &mut buffer) {
            Poll::Pending => Ok(None),
            Poll::Ready(Ok(0)) => {
                let missing = self.flights.len();
                let text = format!(
                    "connection {}: the peer closed it with {missing} messages unanswered",
                    self.index
                );
                Err(Failure { kind: Kind::ClosedByPeer, text })
            }
            Poll::Ready(Ok(count)) => {
                let now = job.now();
                self.compare(&buffer[..count])?;
                self.take(count as u64, now);
                Ok(Some(now))
            }
            Poll::Ready(Err(error)) => Err(Failure::talking(self.index, "receiving", &error)),
        }
    }

    fn compare(&self, data: &[u8]) -> Result<(), Failure> {
        let text = match self.pattern.first_difference(self.received, data) {
            Some((at, right)) => {
                let position = self.received + at as u64;
                let (message, byte) = (position / self.job.size, position % self.job.size);
                let wrong = data[at];
                format!(
                    "connection {}, message {message}, byte {byte} came back as {wrong:#04x} \
                     instead of {right:#04x} (messages and bytes counted from 0)",
                    self.index
                )
            }
            None if self.received + data.len() as u64 > self.sent => {
                format!("connection {}: more came back than was sent", self.index)
            }
            None => return Ok(()),
        };
        Err(Failure { kind: Kind::Mismatch, text })
    }

    /// Notes the answers that `count` more bytes complete.
    fn take(&mut self, count: u64, now: u64) {
        let job = &*self.job;
        self.received += count;
        let mut answers = 0;
        let mut record = job.record.borrow_mut();
        while self.answer_ends <= self.received {
            let Some(flight) = self.flights.pop_front() else { break };
            record.answered(flight, now, self.schedule.is_some());
            self.answer_ends += job.size;
            answers += 1;
        }
        if now >= record.measure_from && now < job.end.get() {
            record.answered += answers;
        }
        if answers > 0 && self.is_held && self.sent == self.begun {
            self.is_held = false;
            self.freed = now;
        }
        job.live.answered(answers);
    }

    /// Whether nothing is to be sent any more.
    fn is_over(&self, now: u64) -> bool {
        let end = self.job.end.get();
        match &self.schedule {
            Some(schedule) => schedule.due() >= end || now >= self.job.send_until(),
            None => now >= end,
        }
    }

    /// Sets the alarm to what comes first: the next message of the plan, or the end of patience.
    /// Ready when that is here.
    fn wait(&mut self, cx: &mut Context<'_>, now: u64) -> Poll<Failure> {
        let rings = self.alarm.deadline();
        let mut wanted = u64::MAX;
        if let Some(oldest) = self.flights.front() {
            wanted = oldest.sent.saturating_add(self.job.timeout);
            if wanted <= now {
                return Poll::Ready(self.time_out());
            }
        }
        match &self.schedule {
            Some(schedule) if !self.is_held && schedule.due() < self.job.end.get() => {
                wanted = wanted.min(schedule.due());
            }
            // Held, or over: an answer, room or the timeout comes next.
            _ => {}
        }
        let wanted = self.job.instant(wanted);
        // An alarm that rings too early is moved when it does; one that has rung is filed anew.
        if wanted < rings || self.job.instant(now) >= rings {
            Pin::new(&mut self.alarm).reset(wanted);
            if Pin::new(&mut self.alarm).poll(cx).is_ready() {
                // It was due in the meantime.
                cx.waker().wake_by_ref();
            }
        }
        Poll::Pending
    }

    /// The time that was waited is a lower bound of the latency, and counts as such: left out, the
    /// worst answers would make the figures better.
    fn time_out(&mut self) -> Failure {
        let missing = self.flights.len();
        if let Some(oldest) = self.flights.front() {
            let until = oldest.sent.saturating_add(self.job.timeout);
            self.job.record.borrow_mut().answered(*oldest, until, self.schedule.is_some());
        }
        let text = format!(
            "connection {}: no answer within {:?}, {missing} messages unanswered",
            self.index,
            Duration::from_nanos(self.job.timeout)
        );
        Failure { kind: Kind::Timeout, text }
    }
}

impl Future for Connection {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        match this.talk(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(())) => Poll::Ready(()),
            Poll::Ready(Err(failure)) => {
                this.has_failed = true;
                this.job.live.failed();
                this.job.record.borrow_mut().failures.add(failure);
                Poll::Ready(())
            }
        }
    }
}

impl Drop for Connection {
    /// The last account, however it ended.
    fn drop(&mut self) {
        let record = &mut *self.job.record.borrow_mut();
        self.job.live.closed();
        if let Some(schedule) = &self.schedule {
            let unsent = schedule.unsent(record.measure_from, self.job.end.get());
            match () {
                () if self.has_failed => record.unsent_by_failure += unsent,
                () if self.is_held => record.unsent_by_target += unsent,
                () => record.unsent_by_generator += unsent,
            }
        }
        if !self.has_failed {
            let (index, missing) = (self.index, self.flights.len() as u64);
            record.failures.add_many(Kind::Unfinished, missing, || {
                format!("connection {index}: {missing} messages unanswered when the run had ended")
            });
        }
    }
}
