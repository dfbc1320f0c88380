//! The parts of a summary, and how they come from what was measured. They are the JSON's as well.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::health::Tables;
use crate::intervals::Interval;
use crate::record::{LATE_NS, Record};
use crate::summary::Measured;

pub(crate) const PERCENTILES: [f64; 7] = [50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 99.99];

/// A rate is held if of the planned messages at most this share was late by the generator's fault,
/// or not sent.
pub(crate) const TOLERATED: f64 = 0.01;

/// In a short run so many are no share: any machine has its moments.
const FEW: u64 = 5;

/// A thread that takes this share of a processor has no time left to be punctual with.
const SATURATED: f64 = 0.9;

/// Nor has one that waits for a processor for this share of the time.
const STARVED: f64 = 0.5;

#[derive(Clone, Debug, Serialize)]
pub(crate) struct StageOf {
    pub(crate) seconds: f64,
    pub(crate) from: u64,
    pub(crate) to: u64,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct StatusClass {
    pub(crate) class: String,
    pub(crate) count: u64,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Latency {
    pub(crate) count: u64,
    pub(crate) mean_ns: f64,
    pub(crate) percentiles: Vec<Percentile>,
    pub(crate) max_ns: u64,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Percentile {
    pub(crate) percentile: f64,
    pub(crate) ns: u64,
    /// How many samples lie above: with few of them the figure is luck.
    pub(crate) beyond: u64,
}

/// How well the plan of an open loop was kept.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct PlanKept {
    pub(crate) planned: u64,
    /// Sent later than `late_threshold_ns` after the plan.
    pub(crate) late: u64,
    pub(crate) late_by_target: u64,
    pub(crate) late_by_generator: u64,
    pub(crate) late_threshold_ns: u64,
    pub(crate) unsent: u64,
    pub(crate) unsent_by_target: u64,
    pub(crate) unsent_by_generator: u64,
    pub(crate) unsent_by_failure: u64,
    /// Of the messages that the target did not hold up.
    pub(crate) send_error_median_ns: u64,
    pub(crate) send_error_p99_ns: u64,
    pub(crate) send_error_max_ns: u64,
    pub(crate) rate_held: bool,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Error {
    pub(crate) kind: &'static str,
    pub(crate) count: u64,
    pub(crate) first: String,
}

/// The health of this program itself.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Generator {
    /// Share of one processor that the busiest loop's thread took for its work while measuring.
    pub(crate) cpu_share: f64,
    /// What it spun beside that, to be punctual when it had nothing to do (`--spin`).
    pub(crate) spun_share: f64,
    /// Share of the time for which it waited for one.
    pub(crate) waited_share: f64,
    /// Its processor is used up, and not by spinning, or others have it: the messages a second may
    /// be its limit and not the target's.
    pub(crate) saturated: bool,
    /// Processor time for each message, of all loops, but for what they spun.
    pub(crate) cpu_ns_per_message: f64,
    /// The longest that a loop did not come round.
    pub(crate) longest_turn_ns: u64,
    /// The most that was in the tables of all loops, looked at now and then: in the first half of the
    /// measured time, and in the second, to see that nothing grows.
    pub(crate) tables: [Tables; 2],
    /// Share of planned messages that were late through this program; `null` in closed loop.
    pub(crate) late_share: Option<f64>,
}

/// An expectation, and what came.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Check {
    pub(crate) expectation: String,
    /// In nanoseconds, messages a second, or a count; of `errors<…%` the share.
    pub(crate) found: f64,
    pub(crate) met: bool,
    #[serde(skip)]
    pub(crate) is_latency: bool,
}

/// An interval of the measured time.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    /// From the start of the measurement.
    pub(crate) at_seconds: f64,
    pub(crate) sent: u64,
    pub(crate) completed: u64,
    pub(crate) failed: u64,
    /// Of the messages due in it; within 6 %.
    pub(crate) p50_ns: Option<u64>,
    pub(crate) p99_ns: Option<u64>,
    pub(crate) max_ns: Option<u64>,
}

impl Check {
    pub(crate) fn sentence(&self) -> String {
        let met = if self.met { "met" } else { "not met" };
        format!("`{}` is {met}: it is {}", self.expectation, self.shown())
    }

    pub(crate) fn shown(&self) -> String {
        match (self.is_latency, self.expectation.ends_with('%')) {
            _ if self.found.is_nan() => "not measured".into(),
            (true, _) => crate::report::time(self.found as u64),
            (false, true) => format!("{:.3} %", self.found * 100.0),
            (false, false) => crate::report::grouped(self.found.round() as u64),
        }
    }
}

impl Row {
    pub(crate) fn new(at: Duration, row: &Interval) -> Row {
        Row {
            at_seconds: at.as_secs_f64(),
            sent: row.sent,
            completed: row.completed,
            failed: row.failed,
            p50_ns: row.percentile(50.0),
            p99_ns: row.percentile(99.0),
            max_ns: row.percentile(100.0),
        }
    }
}

impl Latency {
    pub(crate) fn of(histogram: &Histogram<u64>) -> Latency {
        let count = histogram.len();
        let percentile = |percentile: f64| {
            let ns = histogram.value_at_percentile(percentile);
            let up_to = if count == 0 { 0 } else { histogram.count_between(0, ns) };
            Percentile { percentile, ns, beyond: count - up_to }
        };
        Latency {
            count,
            mean_ns: histogram.mean(),
            percentiles: PERCENTILES.map(percentile).into(),
            max_ns: histogram.max(),
        }
    }
}

impl Generator {
    pub(crate) fn new(measured: &Measured) -> Generator {
        let seconds = measured.measured.as_secs_f64();
        let share = |time: Duration| ratio(time.as_secs_f64(), seconds);
        let busiest = measured.times.iter().max_by_key(|times| times.worked() + times.waited);
        let busiest = busiest.copied().unwrap_or_default();
        let worked: Duration = measured.times.iter().map(|times| times.worked()).sum();
        let (cpu_share, waited_share) = (share(busiest.worked()), share(busiest.waited));
        Generator {
            cpu_share,
            spun_share: share(busiest.ran - busiest.worked()),
            waited_share,
            saturated: cpu_share + waited_share >= SATURATED || waited_share >= STARVED,
            cpu_ns_per_message: ratio(worked.as_nanos() as f64, measured.record.answered as f64),
            longest_turn_ns: measured.pulse.longest.as_nanos() as u64,
            tables: measured.pulse.tables,
            late_share: None,
        }
    }
}

impl PlanKept {
    pub(crate) fn new(planned: u64, record: &Record, generator: &Generator) -> PlanKept {
        let Record {
            late_by_target, late_by_generator, unsent_by_target, unsent_by_generator, ..
        } = *record;
        // With its processor used up, the program answers late as well, and what seems held by the
        // target is not.
        let (late, unsent) =
            (late_by_target + late_by_generator, unsent_by_target + unsent_by_generator);
        let blamed = if generator.saturated {
            late + unsent
        } else {
            late_by_generator + unsent_by_generator
        };
        PlanKept {
            planned,
            late,
            late_by_target,
            late_by_generator,
            late_threshold_ns: LATE_NS,
            unsent: unsent + record.unsent_by_failure,
            unsent_by_target,
            unsent_by_generator,
            unsent_by_failure: record.unsent_by_failure,
            send_error_median_ns: record.send_error.value_at_percentile(50.0),
            send_error_p99_ns: record.send_error.value_at_percentile(99.0),
            send_error_max_ns: record.send_error.max(),
            rate_held: blamed <= FEW || share(blamed, planned) <= TOLERATED,
        }
    }
}

pub(crate) fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

pub(crate) fn share(part: u64, whole: u64) -> f64 {
    ratio(part as f64, whole as f64)
}
