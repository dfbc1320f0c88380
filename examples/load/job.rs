//! What the connections of one loop share in a run: the clock, the plan, the record.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::exchange::Answered;
use crate::failure::{Failure, Kind};
use crate::live::Live;
use crate::plan::Schedule;
use crate::record::{Flight, LATE_NS, Record};
use crate::wire::WireBytes;

/// Enough for what a socket gives at once.
pub(crate) const BUFFER: usize = 64 * 1024;

pub(crate) struct Job {
    /// Nanoseconds are counted from here.
    pub(crate) origin: Instant,
    /// Messages a connection may have under way.
    pub(crate) depth: usize,
    pub(crate) timeout: u64,
    pub(crate) keeps_alive: bool,
    /// Of the body of a good answer, where the user said it.
    pub(crate) expected_length: Option<u64>,
    /// Sending stops here; an interrupt moves it forward.
    pub(crate) end: Cell<u64>,
    pub(crate) record: RefCell<Record>,
    /// `None`: closed loop.
    pub(crate) schedule: Option<RefCell<Schedule>>,
    pub(crate) live: Arc<Live>,
    /// Connections that ended by failing.
    pub(crate) lost: Cell<usize>,
    /// Bytes that the job does not see itself.
    pub(crate) wire: Rc<WireBytes>,
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
    #[inline]
    pub(crate) fn send_until(&self) -> u64 {
        self.end.get().saturating_add(LATE_NS)
    }

    #[inline]
    pub(crate) fn has_plan(&self) -> bool {
        self.schedule.is_some()
    }

    /// Takes the next message of the plan: when it is due.
    #[inline]
    pub(crate) fn take_slot(&self) -> Option<u64> {
        self.schedule.as_ref()?.borrow_mut().take(self.end.get())
    }

    /// Notes an answer, and what is wrong with it. `first_byte` and `now` are when it began to
    /// come and when it was there.
    #[inline]
    pub(crate) fn answered(&self, flight: Flight, answer: &Answered, first_byte: u64, now: u64) {
        let record = &mut *self.record.borrow_mut();
        record.answered(flight, first_byte, now, self.has_plan());
        if now >= record.measure_from && now < self.end.get() {
            record.answered += 1;
            record.statuses[usize::from(answer.status / 100) % 10] += 1;
        }
        if answer.status >= 400 {
            let text = format!("an answer with status {}", answer.status);
            self.note(record, Failure { kind: Kind::Status, text }, now);
        } else if self.expected_length.is_some_and(|expected| expected != answer.body) {
            let text = format!("an answer with a body of {} bytes", answer.body);
            self.note(record, Failure { kind: Kind::Length, text }, now);
        }
    }

    #[cold]
    fn note(&self, record: &mut Record, failure: Failure, now: u64) {
        self.live.failed(1);
        record.failed(failure, 1, now);
    }

    /// `count` messages failed; or, if it is none, a connection did.
    pub(crate) fn failed(&self, failure: Failure, count: usize, now: u64) {
        let count = count.max(1) as u64;
        self.live.failed(count);
        self.record.borrow_mut().failed(failure, count, now);
    }

    /// A message that was taken from the plan was not sent.
    pub(crate) fn unsent(&self, due: u64, why: Unsent) {
        let record = &mut *self.record.borrow_mut();
        if due >= record.measure_from && due < self.end.get() {
            match why {
                Unsent::Target => record.unsent_by_target += 1,
                Unsent::Generator => record.unsent_by_generator += 1,
                Unsent::Failure => record.unsent_by_failure += 1,
            }
        }
    }
}

/// Through whom a message was never sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unsent {
    Target,
    Generator,
    Failure,
}

pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
