//! What the connections of one loop share in a run: the clock, the plan, the record.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use wheelhouse::time;

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
    pub(crate) room: Room,
    pub(crate) live: Arc<Live>,
    /// Connections that failed and are not there again.
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

    /// Nanoseconds since the start, on the loop's clock; zero before it.
    #[inline]
    pub(crate) fn now(&self) -> u64 {
        let now = time::Instant::now().into_std();
        nanos(now.saturating_duration_since(self.origin))
    }

    pub(crate) fn instant(&self, at: u64) -> time::Instant {
        time::Instant::from_std(self.origin) + Duration::from_nanos(at)
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
        record.account.answered += u64::from(flight.planned >= record.measure_from);
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

    /// A connection could not be made or has failed, or is there again; `mark` is its own.
    pub(crate) fn set_lost(&self, mark: &Cell<bool>, is_lost: bool) {
        match (mark.replace(is_lost), is_lost) {
            (false, true) => self.lost.set(self.lost.get() + 1),
            (true, false) => self.lost.set(self.lost.get() - 1),
            _ => {}
        }
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

/// Whether a message that is due could be sent, by any connection; and since when.
///
/// It tells the target's share of a delay from this program's own. As long as one connection has room,
/// what is due is this program's to send, be another as full as it likes. Where none has, the target
/// keeps it back, but only from when it would have been full without this program's own delays: after
/// a pause of its own many messages are due at once, and fill the connections of the quickest target.
#[derive(Debug, Default)]
pub(crate) struct Room {
    /// Connections that could send another message. Over HTTP/2, streams.
    count: Cell<usize>,
    /// When there was room last after there was none, had no message before been late by this
    /// program's fault.
    freed: Cell<u64>,
    /// By how much the last message was late by it.
    own_delay: Cell<u64>,
}

impl Room {
    /// A connection is full.
    #[inline]
    pub(crate) fn taken(&self) {
        self.count.set(self.count.get() - 1);
    }

    /// A connection has room from `at` on.
    #[inline]
    pub(crate) fn given(&self, at: u64) {
        if self.count.get() == 0 {
            self.freed.set(at);
        }
        self.count.set(self.count.get() + 1);
    }

    /// A message is sent now by a connection that itself could not before `held`.
    #[inline]
    pub(crate) fn send(&self, planned: u64, now: u64, held: u64) -> Flight {
        let possible = planned.max(held).max(self.freed.get());
        let own_delay = now.saturating_sub(possible);
        self.own_delay.set(own_delay);
        Flight { planned, sent: now, own_delay }
    }

    /// The run has ended at `end`: what was due before this and is not sent, the target kept back; the
    /// rest is this program's.
    pub(crate) fn held_until(&self, end: u64) -> u64 {
        match self.count.get() {
            0 => end.saturating_sub(self.own_delay.get()),
            _ => self.freed.get().min(end),
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

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn while_one_connection_has_room_what_is_late_is_this_programs() {
        let room = Room::default();
        room.given(0);
        room.given(0);
        // One is full for 50 ms, the other is not.
        room.taken();
        room.given(50 * MS);
        assert_eq!(room.send(10 * MS, 50 * MS, 0).own_delay, 40 * MS);
        assert_eq!(room.held_until(60 * MS), 0);
    }

    #[test]
    fn while_none_has_room_it_is_the_targets() {
        let room = Room::default();
        room.given(0);
        assert_eq!(room.send(0, 0, 0).own_delay, 0);
        room.taken();
        assert_eq!(room.held_until(45 * MS), 45 * MS);
        room.given(50 * MS);
        assert_eq!(room.send(10 * MS, 51 * MS, 0).own_delay, MS);
        assert_eq!(room.held_until(60 * MS), 50 * MS);
        // A connection's own reason counts for the message that it holds.
        assert_eq!(room.send(52 * MS, 60 * MS, 60 * MS).own_delay, 0);
    }

    #[test]
    fn what_a_pause_of_its_own_makes_full_is_not_the_targets() {
        let room = Room::default();
        room.given(0);
        // Away for 100 ms; then a message every millisecond is due at once, and each takes 1 ms.
        let mut now = 100 * MS;
        for planned in 0..50 {
            let flight = room.send(planned * MS, now, 0);
            assert_eq!(flight.own_delay, now - planned * MS, "message {planned}");
            room.taken();
            assert_eq!(room.held_until(now), planned * MS);
            now += MS;
            room.given(now - flight.own_delay);
        }
    }
}
