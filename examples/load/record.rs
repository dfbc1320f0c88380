//! What is measured while the run goes on, a record a loop. Its memory is bounded: histograms,
//! counters and the intervals, however long the run; nothing is allocated per message.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::failure::{Failure, Failures};
use crate::intervals::Intervals;
use crate::live::Counts;

/// Three digits: a latency is shown within a thousandth of itself.
const DIGITS: u8 = 3;

/// An hour in nanoseconds. What takes longer counts as this.
const LONGEST: u64 = 3_600_000_000_000;

/// A send that is later than the plan by more than this is counted as late.
pub(crate) const LATE_NS: u64 = 1_000_000;

/// What became of the messages that were sent: each is one of the three.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Account {
    pub(crate) sent: u64,
    /// Late or early, well or with a status that is an error.
    pub(crate) answered: u64,
    /// Given up, or lost with their connection.
    pub(crate) lost: u64,
    /// Under way when the run had ended, and its last answers had been waited for.
    pub(crate) unfinished: u64,
}

impl Account {
    fn merge(&mut self, other: &Account) {
        self.sent += other.sent;
        self.answered += other.answered;
        self.lost += other.lost;
        self.unfinished += other.unfinished;
    }
}

/// A message under way, in nanoseconds from the start of the run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flight {
    /// When the plan wanted it sent; without a plan, when it was.
    pub(crate) planned: u64,
    /// When it was.
    pub(crate) sent: u64,
    /// Of the time between, what this program is to blame for. The rest is the target's: as many
    /// answers as `--depth` allows were missing on every connection, or the kernel took no more
    /// bytes.
    pub(crate) own_delay: u64,
}

impl Flight {
    /// Sent at once, or as late as it is by this program's own fault.
    pub(crate) fn new(planned: u64, sent: u64) -> Flight {
        Flight { planned, sent, own_delay: sent.saturating_sub(planned) }
    }
}

#[derive(Debug)]
pub(crate) struct Record {
    /// From the real send to the last byte of the answer.
    pub(crate) service: Histogram<u64>,
    /// From the planned send. Only with a plan.
    pub(crate) response: Histogram<u64>,
    /// From the planned send to the real one, where it was this program's to send in time. Only
    /// with a plan.
    pub(crate) send_error: Histogram<u64>,
    /// From the real send to the first byte of the answer.
    pub(crate) first_byte: Histogram<u64>,
    /// From the call to a connection that can be used: TLS and HTTP/2 agreed on.
    pub(crate) connect: Histogram<u64>,
    pub(crate) intervals: Intervals,
    /// Messages planned for, or without a plan sent, before this are not measured.
    pub(crate) measure_from: u64,
    /// Answers that came within the measured time.
    pub(crate) answered: u64,
    /// By the first digit of the status; at 0 what has none.
    pub(crate) statuses: [u64; 10],
    /// Within the measured time; above TLS, if there is any.
    pub(crate) bytes_sent: u64,
    pub(crate) bytes_received: u64,
    /// Of the messages measured: all that were sent, and what became of them.
    pub(crate) account: Account,
    pub(crate) late_by_target: u64,
    pub(crate) late_by_generator: u64,
    pub(crate) unsent_by_target: u64,
    pub(crate) unsent_by_generator: u64,
    /// Planned when there was no connection left.
    pub(crate) unsent_by_failure: u64,
    /// Sent again on a new connection, after the peer had closed the old one without an answer.
    pub(crate) resent: u64,
    pub(crate) failures: Failures,
    /// What went wrong while it was measured, of the messages; counts like an answer.
    pub(crate) failed: u64,
    /// For who looks on, if anybody does.
    pub(crate) seen: Option<Box<Counts>>,
}

impl Record {
    pub(crate) fn new(measure_from: u64, length: Duration) -> Record {
        Record {
            service: histogram(),
            response: histogram(),
            send_error: histogram(),
            first_byte: histogram(),
            connect: histogram(),
            intervals: Intervals::new(measure_from, length),
            measure_from,
            answered: 0,
            statuses: [0; 10],
            bytes_sent: 0,
            bytes_received: 0,
            account: Account::default(),
            late_by_target: 0,
            late_by_generator: 0,
            unsent_by_target: 0,
            unsent_by_generator: 0,
            unsent_by_failure: 0,
            resent: 0,
            failures: Failures::default(),
            failed: 0,
            seen: None,
        }
    }

    /// A message was sent by plan.
    #[inline]
    pub(crate) fn sent_by_plan(&mut self, flight: Flight) {
        let error = flight.sent.saturating_sub(flight.planned);
        let own = flight.own_delay;
        // Most of it.
        let is_own = error > LATE_NS && own > error / 2;
        if let Some(seen) = &mut self.seen {
            seen.sent += 1;
            if own == error {
                seen.send_error.add(error);
            }
            seen.late += u64::from(is_own);
        }
        if flight.planned < self.measure_from {
            return;
        }
        self.account.sent += 1;
        self.intervals.sent(flight.planned);
        if own == error {
            self.send_error.saturating_record(error);
        }
        self.late_by_generator += u64::from(is_own);
        self.late_by_target += u64::from(error > LATE_NS && !is_own);
    }

    /// A message was sent, without a plan.
    #[inline]
    pub(crate) fn sent_at_once(&mut self, now: u64) {
        if let Some(seen) = &mut self.seen {
            seen.sent += 1;
        }
        if now >= self.measure_from {
            self.account.sent += 1;
            self.intervals.sent(now);
        }
    }

    /// An answer is complete, or is given up at `now`.
    #[inline]
    pub(crate) fn answered(&mut self, flight: Flight, first_byte: u64, now: u64, has_plan: bool) {
        let service = now.saturating_sub(flight.sent);
        if let Some(seen) = &mut self.seen {
            seen.service.add(service);
            if has_plan {
                seen.response.add(now.saturating_sub(flight.planned));
            }
        }
        if flight.planned < self.measure_from {
            return;
        }
        self.service.saturating_record(service);
        self.first_byte.saturating_record(first_byte.saturating_sub(flight.sent));
        let mut latency = service;
        if has_plan {
            latency = now.saturating_sub(flight.planned);
            self.response.saturating_record(latency);
        }
        self.intervals.answered(flight.planned, now, latency);
    }

    /// Messages that will have no answer.
    pub(crate) fn gone(&mut self, flights: impl IntoIterator<Item = Flight>, is_over: bool) {
        let measured = |flight: &Flight| flight.planned >= self.measure_from;
        let count = flights.into_iter().filter(measured).count() as u64;
        if is_over {
            self.account.unfinished += count;
        } else {
            self.account.lost += count;
        }
    }

    /// A connection is there that was begun at `since`. Those made before the run have times of
    /// their own.
    pub(crate) fn connected(&mut self, since: u64, now: u64) {
        self.connect.saturating_record(now.saturating_sub(since));
    }

    pub(crate) fn failed(&mut self, failure: Failure, count: u64, now: u64) {
        if now >= self.measure_from {
            self.intervals.failed(now, count);
            self.failed += count;
        }
        self.failures.add_many(failure.kind, count, || failure.text);
    }

    /// Of another loop of the same run.
    pub(crate) fn merge(&mut self, other: &Record) {
        let pairs = [
            (&mut self.service, &other.service),
            (&mut self.response, &other.response),
            (&mut self.send_error, &other.send_error),
            (&mut self.first_byte, &other.first_byte),
            (&mut self.connect, &other.connect),
        ];
        for (all, more) in pairs {
            // The bounds are the same, so nothing can be out of them.
            let _ = all.add(more);
        }
        self.intervals.merge(&other.intervals);
        for (all, more) in self.statuses.iter_mut().zip(other.statuses) {
            *all += more;
        }
        self.answered += other.answered;
        self.bytes_sent += other.bytes_sent;
        self.bytes_received += other.bytes_received;
        self.account.merge(&other.account);
        self.late_by_target += other.late_by_target;
        self.late_by_generator += other.late_by_generator;
        self.unsent_by_target += other.unsent_by_target;
        self.unsent_by_generator += other.unsent_by_generator;
        self.unsent_by_failure += other.unsent_by_failure;
        self.resent += other.resent;
        self.failures.merge(&other.failures);
        self.failed += other.failed;
    }
}

fn histogram() -> Histogram<u64> {
    // The bounds are constants that the crate accepts; from 1 ns to the hour it takes some 260 KiB.
    match Histogram::new_with_bounds(1, LONGEST, DIGITS) {
        Ok(histogram) => histogram,
        Err(error) => unreachable!("the bounds of the histograms are wrong: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Kind;

    #[test]
    fn warm_up_is_left_out_and_lateness_is_told_apart() {
        let mut record = Record::new(1000, Duration::from_secs(1));
        let early = Flight::new(999, 5_000_000);
        record.sent_by_plan(early);
        record.answered(early, 6_000_000, 6_000_000, true);
        assert_eq!((record.service.len(), record.late_by_generator), (0, 0));

        let late = Flight::new(1000, 1001 + LATE_NS);
        record.sent_by_plan(Flight { own_delay: late.own_delay / 2, ..late });
        assert_eq!(record.send_error.len(), 0, "it was not this program's to send it in time");
        record.sent_by_plan(late);
        record.sent_by_plan(Flight::new(1000, 1000 + LATE_NS));
        assert_eq!((record.late_by_target, record.late_by_generator), (1, 1));
        assert_eq!(record.send_error.len(), 2);
        record.answered(late, late.sent + 300, late.sent + 500, true);
        assert_eq!((record.service.max(), record.first_byte.max()), (500, 300));
        assert!(record.response.max() >= LATE_NS);
        assert_eq!(record.intervals.rows()[0].sent, 3);
    }

    #[test]
    fn the_memory_of_the_histograms_is_bounded() {
        let mut record = Record::new(0, Duration::from_secs(1));
        let before = record.service.distinct_values();
        record.answered(Flight::new(0, 0), 0, u64::MAX >> 32, false);
        record.answered(Flight::new(0, 0), 0, 0, false);
        assert_eq!(record.service.distinct_values(), before);
        assert!(before * 8 < 300 << 10, "{before} counters");
        assert_eq!((record.service.len(), record.response.len()), (2, 0));
    }

    #[test]
    fn records_of_several_loops_add_up() {
        let (mut one, mut other) =
            (Record::new(0, Duration::from_secs(1)), Record::new(0, Duration::from_secs(1)));
        for record in [&mut one, &mut other] {
            record.answered(Flight::new(0, 10), 20, 30, true);
            let text = "connection 1".to_owned();
            record.failed(Failure { kind: Kind::Reset, text }, 2, 40);
            record.statuses[2] += 1;
        }
        one.merge(&other);
        assert_eq!((one.service.len(), one.response.len(), one.first_byte.len()), (2, 2, 2));
        assert_eq!((one.failed, one.failures.total(), one.statuses[2]), (4, 4, 2));
        assert_eq!(one.intervals.rows()[0].failed, 4);
    }
}
