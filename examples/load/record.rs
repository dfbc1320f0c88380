//! What is measured while the run goes on. Its memory is bounded: three histograms and some
//! counters, however long the run; nothing is allocated per message.

use hdrhistogram::Histogram;

use crate::failure::Failures;

/// Three digits: a latency is shown within a thousandth of itself.
const DIGITS: u8 = 3;

/// An hour in nanoseconds. What takes longer counts as this.
const LONGEST: u64 = 3_600_000_000_000;

/// A send that is later than the plan by more than this is counted as late.
pub(crate) const LATE_NS: u64 = 1_000_000;

/// A message under way, in nanoseconds from the start of the run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flight {
    /// When the plan wanted it sent; without a plan, when it was.
    pub(crate) planned: u64,
    /// When it was.
    pub(crate) sent: u64,
}

/// Who kept a late message from being sent in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeldBy {
    /// As many answers as `--depth` allows were missing, or the kernel took no more bytes.
    Target,
    /// This program was busy.
    Generator,
}

#[derive(Debug)]
pub(crate) struct Record {
    /// From the real send to the last byte of the answer.
    pub(crate) service: Histogram<u64>,
    /// From the planned send. Only with a plan.
    pub(crate) response: Histogram<u64>,
    /// From the planned send to the real one. Only with a plan.
    pub(crate) send_error: Histogram<u64>,
    /// Messages planned for, or without a plan sent, before this are not measured.
    pub(crate) measure_from: u64,
    /// Answers that came within the measured time.
    pub(crate) answered: u64,
    pub(crate) late_by_target: u64,
    pub(crate) late_by_generator: u64,
    pub(crate) unsent_by_target: u64,
    pub(crate) unsent_by_generator: u64,
    /// Planned for connections that had ended.
    pub(crate) unsent_by_failure: u64,
    pub(crate) failures: Failures,
}

impl Record {
    pub(crate) fn new(measure_from: u64) -> Record {
        Record {
            service: histogram(),
            response: histogram(),
            send_error: histogram(),
            measure_from,
            answered: 0,
            late_by_target: 0,
            late_by_generator: 0,
            unsent_by_target: 0,
            unsent_by_generator: 0,
            unsent_by_failure: 0,
            failures: Failures::default(),
        }
    }

    /// A message was sent by plan.
    pub(crate) fn sent_by_plan(&mut self, flight: Flight, held_by: HeldBy) {
        if flight.planned < self.measure_from {
            return;
        }
        let error = flight.sent.saturating_sub(flight.planned);
        self.send_error.saturating_record(error);
        if error > LATE_NS {
            match held_by {
                HeldBy::Target => self.late_by_target += 1,
                HeldBy::Generator => self.late_by_generator += 1,
            }
        }
    }

    /// An answer is complete, or is given up at `now`.
    #[inline]
    pub(crate) fn answered(&mut self, flight: Flight, now: u64, has_plan: bool) {
        if flight.planned < self.measure_from {
            return;
        }
        self.service.saturating_record(now.saturating_sub(flight.sent));
        if has_plan {
            self.response.saturating_record(now.saturating_sub(flight.planned));
        }
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

    #[test]
    fn warm_up_is_left_out_and_lateness_is_told_apart() {
        let mut record = Record::new(1000);
        let early = Flight { planned: 999, sent: 5_000_000 };
        record.sent_by_plan(early, HeldBy::Generator);
        record.answered(early, 6_000_000, true);
        assert_eq!((record.service.len(), record.late_by_generator), (0, 0));

        let late = Flight { planned: 1000, sent: 1001 + LATE_NS };
        record.sent_by_plan(late, HeldBy::Target);
        record.sent_by_plan(late, HeldBy::Generator);
        record.sent_by_plan(Flight { planned: 1000, sent: 1000 + LATE_NS }, HeldBy::Generator);
        assert_eq!((record.late_by_target, record.late_by_generator), (1, 1));
        record.answered(late, late.sent + 500, true);
        assert_eq!(record.service.max(), 500);
        assert!(record.response.max() >= LATE_NS);
    }

    #[test]
    fn the_memory_of_the_histograms_is_bounded() {
        let mut record = Record::new(0);
        let before = record.service.distinct_values();
        record.answered(Flight { planned: 0, sent: 0 }, u64::MAX, false);
        record.answered(Flight { planned: 0, sent: 0 }, 0, false);
        assert_eq!(record.service.distinct_values(), before);
        assert!(before * 8 < 300 << 10, "{before} counters");
        assert_eq!((record.service.len(), record.response.len()), (2, 0));
    }
}
