//! What a run amounts to: the figures that are reported, the conclusion, the exit code.
//!
//! This is also the schema of the JSON (`SCHEMA`): fields are added freely; one that is renamed,
//! removed or changes its meaning makes a new version.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::args::{Settings, Target};
use crate::record::{LATE_NS, Record};

pub(crate) const SCHEMA: &str = "wheelhouse-load/1";

pub(crate) const PERCENTILES: [f64; 6] = [50.0, 75.0, 90.0, 99.0, 99.9, 99.99];

/// A rate is held if of the planned messages at most this share was late by the generator's fault,
/// or not sent.
const TOLERATED: f64 = 0.01;

/// A thread that takes this share of a processor has no time left to be punctual with.
const SATURATED: f64 = 0.95;

const PASSED: u8 = 0;
const FAILED: u8 = 1;
const RATE_NOT_HELD: u8 = 98;

/// The raw results.
pub(crate) struct Measured {
    pub(crate) record: Record,
    pub(crate) connected: usize,
    /// Messages that the plan has within the measured time.
    pub(crate) planned: Option<u64>,
    pub(crate) measured: Duration,
    /// Processor time of the loop's thread while measuring.
    pub(crate) cpu: Duration,
    pub(crate) was_interrupted: bool,
}

#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    pub(crate) schema: &'static str,
    pub(crate) program_version: &'static str,
    pub(crate) target: String,
    pub(crate) embedded: bool,
    pub(crate) connections: usize,
    pub(crate) connected: usize,
    pub(crate) size: usize,
    pub(crate) depth: usize,
    /// `null`: closed loop.
    pub(crate) rate: Option<u64>,
    pub(crate) warm_up_seconds: f64,
    pub(crate) measured_seconds: f64,
    pub(crate) interrupted: bool,
    /// Answers within the measured time.
    pub(crate) messages: u64,
    pub(crate) messages_per_second: f64,
    /// Each way.
    pub(crate) bytes_per_second: f64,
    /// From the real send to the answer.
    pub(crate) service_time: Latency,
    /// From the planned send to the answer; `null` in closed loop, which has no plan.
    pub(crate) response_time: Option<Latency>,
    pub(crate) plan: Option<PlanKept>,
    pub(crate) error_count: u64,
    pub(crate) errors: Vec<Error>,
    pub(crate) generator: Generator,
    /// In words: what is wrong with the target, the run or its figures.
    pub(crate) verdict: Vec<String>,
    pub(crate) exit_code: u8,
}

#[derive(Debug, Serialize)]
pub(crate) struct Latency {
    pub(crate) count: u64,
    pub(crate) mean_ns: f64,
    pub(crate) percentiles: Vec<Percentile>,
    pub(crate) max_ns: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct Percentile {
    pub(crate) percentile: f64,
    pub(crate) ns: u64,
    /// How many samples lie above: with few of them the figure is luck.
    pub(crate) beyond: u64,
}

/// How well the plan of an open loop was kept.
#[derive(Debug, Serialize)]
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
    pub(crate) send_error_median_ns: u64,
    pub(crate) send_error_p99_ns: u64,
    pub(crate) send_error_max_ns: u64,
    pub(crate) rate_held: bool,
}

#[derive(Debug, Serialize)]
pub(crate) struct Error {
    pub(crate) kind: &'static str,
    pub(crate) count: u64,
    pub(crate) first: String,
}

/// The health of this program itself.
#[derive(Debug, Serialize)]
pub(crate) struct Generator {
    /// Share of one processor that the loop's thread took while measuring.
    pub(crate) cpu_share: f64,
    /// Its processor is used up: the messages a second may be its limit and not the target's.
    pub(crate) saturated: bool,
    /// Share of planned messages that were late through this program; `null` in closed loop.
    pub(crate) late_share: Option<f64>,
}

impl Summary {
    pub(crate) fn new(settings: &Settings, target: &Target, measured: Measured) -> Summary {
        let record = &measured.record;
        let seconds = measured.measured.as_secs_f64();
        let per_second = if seconds > 0.0 { record.answered as f64 / seconds } else { 0.0 };
        let cpu_share = if seconds > 0.0 { measured.cpu.as_secs_f64() / seconds } else { 0.0 };
        let plan = measured.planned.map(|planned| PlanKept::new(planned, record, cpu_share));
        let errors = record.failures.iter();
        let errors = errors
            .map(|(kind, count, first)| Error { kind, count, first: first.to_owned() })
            .collect();
        let mut summary = Summary {
            schema: SCHEMA,
            program_version: env!("CARGO_PKG_VERSION"),
            target: target.name.clone(),
            embedded: settings.target.is_none(),
            connections: settings.connections,
            connected: measured.connected,
            size: settings.size,
            depth: settings.depth,
            rate: settings.rate,
            warm_up_seconds: settings.warm_up.as_secs_f64(),
            measured_seconds: seconds,
            interrupted: measured.was_interrupted,
            messages: record.answered,
            messages_per_second: per_second,
            bytes_per_second: per_second * settings.size as f64,
            service_time: Latency::of(&record.service),
            response_time: plan.is_some().then(|| Latency::of(&record.response)),
            error_count: record.failures.total(),
            errors,
            generator: Generator {
                cpu_share,
                saturated: cpu_share >= SATURATED,
                late_share: plan.as_ref().map(|plan| share(plan.late_by_generator, plan.planned)),
            },
            plan,
            verdict: Vec::new(),
            exit_code: PASSED,
        };
        summary.conclude();
        summary
    }

    fn conclude(&mut self) {
        if let Some(plan) = &self.plan {
            if !plan.rate_held {
                self.exit_code = RATE_NOT_HELD;
                self.verdict.push(format!(
                    "the generator could not hold the rate: of {} planned messages {} \
                     were late and {} never sent, at {:.0} % of a processor. The figures show \
                     this program, not the target: use a lower `--rate` or an idle machine.",
                    plan.planned,
                    plan.late,
                    plan.unsent,
                    self.generator.cpu_share * 100.0
                ));
            } else if share(plan.unsent_by_target, plan.planned) > TOLERATED {
                self.verdict.push(format!(
                    "the target did not keep up with the rate: {} messages waited for \
                     answers to earlier ones until the end and were never sent",
                    plan.unsent_by_target
                ));
            }
        }
        if self.service_time.count == 0 {
            self.exit_code = FAILED;
            self.verdict.push("no message was measured".into());
        }
        if self.error_count > 0 {
            self.exit_code = FAILED;
            self.verdict
                .extend(self.errors.iter().map(|error| format!("{}: {}", error.kind, error.first)));
        }
    }
}

impl Latency {
    fn of(histogram: &Histogram<u64>) -> Latency {
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

impl PlanKept {
    fn new(planned: u64, record: &Record, cpu_share: f64) -> PlanKept {
        let Record {
            late_by_target, late_by_generator, unsent_by_target, unsent_by_generator, ..
        } = *record;
        // With its processor used up, the program answers late as well, and what seems held by the
        // target is not.
        let is_saturated = cpu_share >= SATURATED;
        let (late, unsent) =
            (late_by_target + late_by_generator, unsent_by_target + unsent_by_generator);
        let blamed =
            if is_saturated { late + unsent } else { late_by_generator + unsent_by_generator };
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
            rate_held: share(blamed, planned) <= TOLERATED,
        }
    }
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::args::JsonTo;
    use crate::failure::{Failure, Kind};
    use crate::record::{Flight, HeldBy};

    pub(crate) fn settings(rate: Option<u64>) -> Settings {
        Settings {
            target: None,
            connections: 2,
            size: 64,
            depth: 1,
            duration: Duration::from_secs(2),
            rate,
            warm_up: Duration::ZERO,
            json: JsonTo::Nowhere,
            timeout: Duration::from_secs(1),
        }
    }

    /// A run of 1,000 messages, answered after 1 us to 1 ms.
    pub(crate) fn measured(rate: Option<u64>) -> Measured {
        let mut record = Record::new(0);
        for us in 1..=1000 {
            let flight = Flight { planned: 0, sent: 5_000 };
            if rate.is_some() {
                record.sent_by_plan(flight, HeldBy::Generator);
            }
            record.answered(flight, 5_000 + us * 1_000, rate.is_some());
        }
        record.answered = 1000;
        Measured {
            record,
            connected: 2,
            planned: rate.map(|_| 1000),
            measured: Duration::from_secs(2),
            cpu: Duration::from_secs(1),
            was_interrupted: false,
        }
    }

    pub(crate) fn summary(rate: Option<u64>, measured: Measured) -> Summary {
        let target =
            Target { name: "tcp://127.0.0.1:9".into(), address: "127.0.0.1:9".parse().unwrap() };
        Summary::new(&settings(rate), &target, measured)
    }

    #[test]
    fn percentiles_come_with_the_samples_beyond_them() {
        let summary = summary(None, measured(None));
        assert_eq!((summary.exit_code, summary.verdict.len()), (0, 0));
        assert!(summary.response_time.is_none() && summary.plan.is_none());
        let p99 = &summary.service_time.percentiles[3];
        assert_eq!((p99.percentile, p99.beyond), (99.0, 10));
        assert!((990_000..992_000).contains(&p99.ns), "{}", p99.ns);
        assert!((summary.messages_per_second - 500.0).abs() < 1e-9);
        assert!((summary.generator.cpu_share - 0.5).abs() < 1e-9);
    }

    #[test]
    fn both_times_are_reported_with_a_plan() {
        let summary = summary(Some(500), measured(Some(500)));
        let response = summary.response_time.unwrap();
        assert!(response.percentiles[0].ns > summary.service_time.percentiles[0].ns + 4_000);
        assert!(summary.plan.unwrap().rate_held);
        assert_eq!(summary.exit_code, 0);
    }

    #[test]
    fn the_generators_own_lateness_is_98_and_the_targets_is_not() {
        let mut by_target = measured(Some(500));
        by_target.record.late_by_target = 500;
        by_target.record.unsent_by_target = 100;
        let summary_by_target = summary(Some(500), by_target);
        assert_eq!(summary_by_target.exit_code, 0);
        assert!(summary_by_target.verdict[0].contains("the target did not keep up"));

        let mut own = measured(Some(500));
        own.record.unsent_by_generator = 11;
        let own = summary(Some(500), own);
        assert_eq!(own.exit_code, 98);
        assert!(own.verdict[0].contains("could not hold the rate"));

        let mut saturated = measured(Some(500));
        saturated.record.unsent_by_target = 100;
        saturated.cpu = saturated.measured;
        assert_eq!(summary(Some(500), saturated).exit_code, 98);
    }

    #[test]
    fn errors_and_an_empty_run_are_1() {
        let mut failed = measured(None);
        failed
            .record
            .failures
            .add(Failure { kind: Kind::Mismatch, text: "connection 1, message 2".into() });
        let failed = summary(None, failed);
        assert_eq!((failed.exit_code, failed.error_count), (1, 1));
        assert_eq!(failed.verdict, ["mismatch: connection 1, message 2"]);
        let empty = Measured { record: Record::new(0), ..measured(None) };
        let empty = summary(None, empty);
        assert_eq!((empty.exit_code, empty.service_time.max_ns), (1, 0));
    }
}
