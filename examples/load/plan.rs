//! The plan of an open loop: when each message is due, as offsets from the start.
//!
//! A plan is a row of stages, each with a steady rate or one that rises or falls evenly. Message
//! `k` of a steady stage is due `floor(k * 10^9 / rate)` nanoseconds after the stage began,
//! computed anew from `k` each time, so nothing adds up. The plan never moves: who falls behind is
//! late, and the count of late messages says so. With several loops, loop `i` of `l` has the
//! messages `i`, `i + l`, `i + 2l` and so on; within a loop whichever connection has room takes the
//! next.

use std::rc::Rc;
use std::time::Duration;

use crate::values;

const NANOS: u64 = 1_000_000_000;

/// A part of the plan as the user asked for it: messages a second, from its beginning to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stage {
    pub(crate) lasts: Duration,
    pub(crate) from: u64,
    pub(crate) to: u64,
}

impl Stage {
    pub(crate) fn steady(lasts: Duration, rate: u64) -> Stage {
        Stage { lasts, from: rate, to: rate }
    }
}

/// Reads `10s@1000,30s@1000..5k`. The error is for the user's eyes.
pub(crate) fn stages(text: &str) -> Result<Vec<Stage>, String> {
    let advice = "stages are TIME@RATE or TIME@FROM..TO with commas between, such as \
                  10s@1000,30s@1000..5k,1m@5k";
    let stage = |part: &str| {
        let (time, rate) = part.split_once('@').ok_or_else(|| format!("`{part}`: {advice}"))?;
        let problem = |problem: String| format!("`{part}`: {problem}; {advice}");
        let lasts = values::time(time).map_err(problem)?;
        if lasts.is_zero() {
            return Err(format!("`{part}` lasts no time; {advice}"));
        }
        match rate.split_once("..") {
            None => Ok(Stage::steady(lasts, values::rate(rate).map_err(problem)?)),
            Some((from, to)) => {
                let end = |text| if text == "0" { Ok(0) } else { values::rate(text) };
                let (from, to) = (end(from).map_err(problem)?, end(to).map_err(problem)?);
                if from == 0 && to == 0 {
                    return Err(format!("`{part}` sends nothing; {advice}"));
                }
                Ok(Stage { lasts, from, to })
            }
        }
    };
    text.split(',').map(|part| stage(part.trim())).collect()
}

/// A stage with its place in the run.
#[derive(Clone, Copy, Debug)]
struct Segment {
    /// In nanoseconds from the start of the run.
    start: u64,
    length: u64,
    from: u64,
    to: u64,
    /// Messages of the segments before it.
    before: u64,
    count: u64,
}

impl Segment {
    fn new(stage: &Stage, start: u64, before: u64) -> Segment {
        let length = u64::try_from(stage.lasts.as_nanos()).unwrap_or(u64::MAX);
        let mut segment =
            Segment { start, length, from: stage.from, to: stage.to, before, count: 0 };
        segment.count = if stage.from == stage.to {
            // floor(k * N / rate) < length  <=>  k * N < length * rate
            saturate((u128::from(length) * u128::from(stage.from)).div_ceil(u128::from(NANOS)))
        } else {
            let about = (stage.from + stage.to) as f64 / 2.0 * (length as f64 / NANOS as f64);
            let mut count = about as u64;
            while segment.offset(count) < length {
                count += 1;
            }
            while count > 0 && segment.offset(count - 1) >= length {
                count -= 1;
            }
            count
        };
        segment
    }

    /// When message `k` of the segment is due, from its start.
    #[inline]
    fn offset(&self, k: u64) -> u64 {
        if self.from == self.to {
            return match k.checked_mul(NANOS) {
                Some(scaled) => scaled / self.from,
                None => saturate(u128::from(k) * u128::from(NANOS) / u128::from(self.from)),
            };
        }
        self.ramp(k)
    }

    /// The root of `from * t + (to - from) / (2 T) * t^2 = k`, in the form that loses no digits.
    fn ramp(&self, k: u64) -> u64 {
        let (from, to) = (self.from as f64, self.to as f64);
        let seconds = self.length as f64 / NANOS as f64;
        let under_root = from * from + 2.0 * (to - from) / seconds * k as f64;
        // Past the end of a rate that falls to nothing, nothing is due any more.
        if under_root < 0.0 {
            return u64::MAX;
        }
        let divisor = from + under_root.sqrt();
        if divisor > 0.0 { (2.0 * k as f64 / divisor * NANOS as f64) as u64 } else { 0 }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    segments: Vec<Segment>,
}

impl Plan {
    /// At least one stage; a steady rate is at least 1.
    pub(crate) fn new(stages: &[Stage]) -> Plan {
        let (mut start, mut before) = (0u64, 0u64);
        let mut segments = Vec::with_capacity(stages.len());
        for stage in stages.iter().filter(|stage| !stage.lasts.is_zero()) {
            let segment = Segment::new(stage, start, before);
            start = start.saturating_add(segment.length);
            before = before.saturating_add(segment.count);
            segments.push(segment);
        }
        Plan { segments }
    }

    /// When message `number` is due, in nanoseconds; never, for one that is not in the plan.
    pub(crate) fn due(&self, number: u64) -> u64 {
        let after = self.segments.partition_point(|segment| segment.before <= number);
        // Stages too short for a message share their number with the next, which is the one meant.
        self.due_in(after.saturating_sub(1), number)
    }

    #[inline]
    fn due_in(&self, segment: usize, number: u64) -> u64 {
        match self.segments.get(segment) {
            Some(segment) if number - segment.before < segment.count => {
                segment.start.saturating_add(segment.offset(number - segment.before))
            }
            _ => u64::MAX,
        }
    }

    /// How many messages there are.
    pub(crate) fn len(&self) -> u64 {
        self.segments.last().map_or(0, |last| last.before.saturating_add(last.count))
    }

    /// How many messages are due before `moment`.
    pub(crate) fn due_before(&self, moment: u64) -> u64 {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.due(middle) < moment { low = middle + 1 } else { high = middle }
        }
        low
    }

    /// How many messages are due from `from` on and before `until`.
    pub(crate) fn due_between(&self, from: u64, until: u64) -> u64 {
        self.due_before(until).saturating_sub(self.due_before(from))
    }
}

/// What one loop has to send.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    plan: Rc<Plan>,
    /// The next message, by its number in the whole run.
    next: u64,
    stride: u64,
    /// Where `next` is.
    segment: usize,
}

impl Schedule {
    pub(crate) fn new(plan: Rc<Plan>, own: usize, loops: usize) -> Schedule {
        Schedule { plan, next: own as u64, stride: loops as u64, segment: 0 }
    }

    /// Takes the next message if it is due before `end`, and says when that is.
    #[inline]
    pub(crate) fn take(&mut self, end: u64) -> Option<u64> {
        while let Some(segment) = self.plan.segments.get(self.segment) {
            if self.next - segment.before < segment.count {
                break;
            }
            self.segment += 1;
        }
        let due = self.plan.due_in(self.segment, self.next);
        if due >= end {
            return None;
        }
        self.next += self.stride;
        Some(due)
    }

    /// How many messages that are due from `from` on and before `until` were not taken.
    pub(crate) fn untaken(&self, from: u64, until: u64) -> u64 {
        let own_before =
            |moment| self.plan.due_before(moment).saturating_sub(self.next).div_ceil(self.stride);
        own_before(until).saturating_sub(own_before(from))
    }
}

fn saturate(number: u128) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn steady(rate: u64, lasts: Duration) -> Plan {
        Plan::new(&[Stage::steady(lasts, rate)])
    }

    #[test]
    fn a_day_at_an_odd_rate_does_not_drift_by_a_nanosecond() {
        for rate in [1, 3, 7, 999, 12_345, 1_000_003, 100_000_000] {
            let plan = steady(rate, SECOND * 86_401);
            let last = rate * 86_400;
            assert_eq!(plan.due(0), 0);
            assert_eq!(plan.due(last), 86_400 * NANOS, "rate {rate}");
            assert_eq!(plan.due_before(86_400 * NANOS), last, "rate {rate}");
            for number in (0..last).step_by(usize::try_from(last / 97).unwrap()) {
                let exact = u128::from(number) * u128::from(NANOS) / u128::from(rate);
                assert_eq!(u128::from(plan.due(number)), exact);
            }
        }
        // Beyond 64 bits of product.
        let years = steady(100, SECOND * 86_400 * 365 * 60);
        assert_eq!(years.due(100 * 86_400 * 365 * 50), 86_400 * 365 * 50 * NANOS);
        assert_eq!(years.due(u64::MAX), u64::MAX);
    }

    #[test]
    fn the_loops_together_send_each_message_once_and_in_time() {
        let plan = Rc::new(steady(12_345, SECOND));
        let end = NANOS / 10;
        let mut sent = Vec::new();
        for own in 0..7 {
            let mut schedule = Schedule::new(plan.clone(), own, 7);
            let mut left = schedule.untaken(0, end);
            while let Some(due) = schedule.take(end) {
                sent.push(due);
                left -= 1;
                assert_eq!(schedule.untaken(0, end), left);
            }
            assert_eq!(left, 0);
        }
        sent.sort_unstable();
        let planned: Vec<u64> = (0..plan.due_before(end)).map(|number| plan.due(number)).collect();
        assert_eq!(planned.len(), 1235);
        assert_eq!(sent, planned);
    }

    #[test]
    fn counting_agrees_with_the_deadlines() {
        for rate in [1, 3, 1000, 999_999_999] {
            let plan = steady(rate, SECOND * 3);
            for moment in [0, 1, 2, 999, 1_000_000, 333_333_333, 333_333_334, 1_999_999_999] {
                let count = plan.due_before(moment);
                assert!(count == 0 || plan.due(count - 1) < moment, "rate {rate}, {moment}");
                assert!(plan.due(count) >= moment, "rate {rate}, {moment}");
            }
            assert_eq!(plan.due_between(NANOS, 3 * NANOS), 2 * rate);
        }
    }

    #[test]
    fn a_ramp_rises_and_falls_evenly() {
        let up = Plan::new(&[Stage { lasts: SECOND * 10, from: 0, to: 1000 }]);
        assert_eq!(up.len(), 5000);
        // After half the time a quarter is sent.
        assert_eq!(up.due_before(5 * NANOS), 1250);
        let down = Plan::new(&[Stage { lasts: SECOND * 10, from: 1000, to: 0 }]);
        assert_eq!(down.due_before(5 * NANOS), 3750);
        for plan in [up, down] {
            let dues: Vec<u64> = (0..plan.len()).map(|number| plan.due(number)).collect();
            assert!(dues.windows(2).all(|pair| pair[0] < pair[1]));
            assert!(*dues.last().unwrap() < 10 * NANOS);
        }
    }

    #[test]
    fn stages_follow_each_other() {
        let plan = stages("1s@10,2s@10..30, 1s@5").unwrap();
        let plan = Rc::new(Plan::new(&plan));
        assert_eq!(plan.len(), 10 + 40 + 5);
        assert_eq!(plan.due(9), 900_000_000);
        assert_eq!((plan.due(10), plan.due(50)), (NANOS, 3 * NANOS));
        assert_eq!((plan.due(54), plan.due(55)), (3_800_000_000, u64::MAX));
        let mut schedule = Schedule::new(plan.clone(), 0, 1);
        let taken: Vec<u64> = std::iter::from_fn(|| schedule.take(u64::MAX)).collect();
        assert_eq!(taken, (0..55).map(|number| plan.due(number)).collect::<Vec<_>>());
    }

    #[test]
    fn a_stage_too_short_for_a_message_is_passed() {
        let stages = [Stage { lasts: SECOND / 100, from: 0, to: 1 }, Stage::steady(SECOND, 2)];
        let plan = Rc::new(Plan::new(&stages));
        let mut schedule = Schedule::new(plan.clone(), 0, 1);
        let taken: Vec<u64> = std::iter::from_fn(|| schedule.take(u64::MAX)).collect();
        let all: Vec<u64> = (0..plan.len()).map(|number| plan.due(number)).collect();
        assert_eq!(taken, all);
    }

    #[test]
    fn wrong_stages_are_answered_with_right_ones() {
        for wrong in ["", "10s", "10s@", "10@5", "0s@5", "1s@0", "1s@0..0", "1s@5..", "1s@5,,"] {
            assert!(stages(wrong).unwrap_err().contains("10s@1000,30s"), "`{wrong}`");
        }
    }

    #[test]
    fn what_is_untaken_can_be_asked_for_a_part_of_the_run() {
        let mut schedule = Schedule::new(Rc::new(steady(10, SECOND)), 1, 2);
        // Due at 0.1, 0.3, 0.5, ...
        assert_eq!(schedule.untaken(0, NANOS), 5);
        assert_eq!(schedule.untaken(NANOS / 2, NANOS), 3);
        for due in [100_000_000, 300_000_000, 500_000_000] {
            assert_eq!(schedule.take(NANOS), Some(due));
        }
        assert_eq!((schedule.untaken(0, NANOS), schedule.untaken(NANOS / 2, NANOS)), (2, 2));
        assert_eq!(schedule.take(700_000_000), None);
        assert_eq!(schedule.untaken(NANOS, 0), 0);
    }
}
