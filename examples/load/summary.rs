//! What a run amounts to: the figures that are reported, the conclusion, the exit code.
//!
//! This is also the schema of the JSON (`SCHEMA`): fields are added freely; one that is renamed,
//! removed or changes its meaning makes a new version.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::args::{Load, Settings};
use crate::expect::{At, Expectation, Figure, Time};
use crate::health::ThreadTimes;
use crate::intervals::Interval;
use crate::record::{LATE_NS, Record};
use crate::search::Search;
use crate::target::Target;

pub(crate) const SCHEMA: &str = "wheelhouse-load/1";

pub(crate) const PERCENTILES: [f64; 7] = [50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 99.99];

/// A rate is held if of the planned messages at most this share was late by the generator's fault,
/// or not sent.
pub(crate) const TOLERATED: f64 = 0.01;

/// In a short run so many are no share: any machine has its moments.
const FEW: u64 = 5;

/// A thread that takes this share of a processor has no time left to be punctual with.
const SATURATED: f64 = 0.9;

pub(crate) const PASSED: u8 = 0;
pub(crate) const FAILED: u8 = 1;
pub(crate) const RATE_NOT_HELD: u8 = 98;
pub(crate) const NOT_MET: u8 = 99;

/// The raw results.
pub(crate) struct Measured {
    pub(crate) record: Record,
    pub(crate) connected: usize,
    /// Messages that the plan has within the measured time.
    pub(crate) planned: Option<u64>,
    pub(crate) measured: Duration,
    pub(crate) warmed_up: Duration,
    /// Of each loop's thread while measuring.
    pub(crate) times: Vec<ThreadTimes>,
    pub(crate) longest_turn: Duration,
    pub(crate) was_interrupted: bool,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Summary {
    pub(crate) schema: &'static str,
    pub(crate) program_version: &'static str,
    pub(crate) target: String,
    pub(crate) embedded: bool,
    /// `echo`, `http/1.1` or `http/2`.
    pub(crate) protocol: &'static str,
    pub(crate) connections: usize,
    pub(crate) connected: usize,
    pub(crate) loops: usize,
    /// Of an echo message.
    pub(crate) size: Option<usize>,
    pub(crate) depth: usize,
    pub(crate) keep_alive: bool,
    /// `null`: closed loop, or several stages.
    pub(crate) rate: Option<u64>,
    pub(crate) stages: Vec<StageOf>,
    pub(crate) warm_up_seconds: f64,
    pub(crate) measured_seconds: f64,
    pub(crate) interrupted: bool,
    /// Answers within the measured time.
    pub(crate) messages: u64,
    pub(crate) messages_per_second: f64,
    pub(crate) bytes_sent_per_second: f64,
    pub(crate) bytes_received_per_second: f64,
    /// Of HTTP: by the first digit.
    pub(crate) statuses: Vec<StatusClass>,
    /// From the real send to the answer.
    pub(crate) service_time: Latency,
    /// From the planned send to the answer; `null` in closed loop, which has no plan.
    pub(crate) response_time: Option<Latency>,
    /// From the real send to the first byte of the answer.
    pub(crate) first_byte_time: Latency,
    /// Until a connection could be used.
    pub(crate) connect_time: Latency,
    pub(crate) plan: Option<PlanKept>,
    pub(crate) error_count: u64,
    /// Of the messages sent.
    pub(crate) error_share: f64,
    pub(crate) errors: Vec<Error>,
    /// Sent again after the peer had closed an idle connection.
    pub(crate) resent: u64,
    pub(crate) generator: Generator,
    pub(crate) expectations: Vec<Check>,
    pub(crate) interval_seconds: f64,
    pub(crate) intervals: Vec<Row>,
    /// Of `--find-rate`: the rest is the run at the rate that was found.
    pub(crate) search: Option<Search>,
    /// In words: what is wrong with the target, the run or its figures.
    pub(crate) verdict: Vec<String>,
    pub(crate) exit_code: u8,
}

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
    /// Share of one processor that the busiest loop's thread took while measuring.
    pub(crate) cpu_share: f64,
    /// Share of the time for which it waited for one.
    pub(crate) waited_share: f64,
    /// Its processor is used up: the messages a second may be its limit and not the target's.
    pub(crate) saturated: bool,
    /// Processor time for each message, of all loops.
    pub(crate) cpu_ns_per_message: f64,
    /// The longest that a loop did not come round.
    pub(crate) longest_turn_ns: u64,
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

impl Summary {
    pub(crate) fn new(settings: &Settings, target: &Target, measured: &Measured) -> Summary {
        let record = &measured.record;
        let per_second = |count: u64| ratio(count as f64, measured.measured.as_secs_f64());
        let generator = Generator::new(measured);
        let plan = measured.planned.map(|planned| PlanKept::new(planned, record, &generator));
        let stages = settings.load.stages();
        let (width, rows) = record.intervals.a_second();
        let mut summary = Summary {
            schema: SCHEMA,
            program_version: env!("CARGO_PKG_VERSION"),
            target: target.name.clone(),
            embedded: settings.origins.is_none(),
            protocol: if target.is_http() { "http/1.1" } else { "echo" },
            connections: settings.connections,
            connected: measured.connected,
            loops: settings.loops,
            size: (!target.is_http()).then_some(settings.size),
            depth: settings.depth,
            keep_alive: settings.keeps_alive,
            rate: match stages.as_slice() {
                [only] if only.from == only.to => Some(only.from),
                _ => None,
            },
            stages,
            warm_up_seconds: measured.warmed_up.as_secs_f64(),
            measured_seconds: measured.measured.as_secs_f64(),
            interrupted: measured.was_interrupted,
            messages: record.answered,
            messages_per_second: per_second(record.answered),
            bytes_sent_per_second: per_second(record.bytes_sent),
            bytes_received_per_second: per_second(record.bytes_received),
            statuses: statuses(record),
            service_time: Latency::of(&record.service),
            response_time: plan.is_some().then(|| Latency::of(&record.response)),
            first_byte_time: Latency::of(&record.first_byte),
            connect_time: Latency::of(&record.connect),
            plan,
            error_count: record.failures.total(),
            error_share: error_share(record),
            errors: errors(record),
            resent: record.resent,
            generator,
            expectations: Vec::new(),
            interval_seconds: width.as_secs_f64(),
            intervals: (0..).zip(&rows).map(|(at, row)| Row::new(width * at, row)).collect(),
            search: None,
            verdict: Vec::new(),
            exit_code: PASSED,
        };
        summary.generator.late_share =
            summary.plan.as_ref().map(|plan| share(plan.late_by_generator, plan.planned));
        let check = |expectation| summary.check(record, expectation);
        summary.expectations = settings.expect.iter().map(check).collect();
        summary.conclude(settings.expect.iter().any(Expectation::is_about_errors));
        summary
    }

    /// The time that users feel: from the plan where there is one.
    pub(crate) fn main_time(&self) -> &Latency {
        self.response_time.as_ref().unwrap_or(&self.service_time)
    }

    /// What one exchange with the target is called.
    pub(crate) fn unit(&self) -> &'static str {
        if self.protocol == "echo" { "messages" } else { "requests" }
    }

    /// Holds an expectation against this run. Where nothing was measured, no latency is met.
    pub(crate) fn check(&self, record: &Record, expectation: &Expectation) -> Check {
        let found = match expectation.figure {
            Figure::Rate => self.messages_per_second,
            Figure::Errors => self.error_count as f64,
            Figure::ErrorShare => self.error_share,
            Figure::Latency { of, at } => {
                let histogram = match of {
                    Time::Main if self.response_time.is_some() => &record.response,
                    Time::Response => &record.response,
                    Time::Main | Time::Service => &record.service,
                    Time::FirstByte => &record.first_byte,
                    Time::Connect => &record.connect,
                };
                match at {
                    _ if histogram.is_empty() => f64::NAN,
                    At::Percentile(percentile) => histogram.value_at_percentile(percentile) as f64,
                    At::Mean => histogram.mean(),
                    At::Max => histogram.max() as f64,
                }
            }
        };
        Check {
            expectation: expectation.text.clone(),
            found,
            met: expectation.is_met_by(found),
            is_latency: matches!(expectation.figure, Figure::Latency { .. }),
        }
    }

    /// What makes the figures worthless comes before what they say.
    fn conclude(&mut self, judges_errors: bool) {
        let mut code = PASSED;
        let missed = self.expectations.iter().filter(|check| !check.met);
        let missed: Vec<String> = missed.map(Check::sentence).collect();
        if !missed.is_empty() {
            code = NOT_MET;
            self.verdict.extend(missed);
        }
        if let Some(plan) = &self.plan {
            if !plan.rate_held {
                code = RATE_NOT_HELD;
                self.verdict.push(not_held(plan, &self.generator));
            } else if share(plan.unsent_by_target, plan.planned) > TOLERATED {
                self.verdict.push(format!(
                    "the target did not keep up with the rate: {} {} waited for \
                     answers to earlier ones until the end and were never sent",
                    plan.unsent_by_target,
                    self.unit()
                ));
            }
        }
        if self.service_time.count == 0 {
            code = FAILED;
            self.verdict.push("no message was measured".into());
        }
        if self.error_count > 0 && !judges_errors {
            code = FAILED;
        }
        let first = |error: &Error| format!("{}: {}", error.kind, error.first);
        self.verdict.extend(self.errors.iter().map(first));
        self.exit_code = code;
    }
}

fn not_held(plan: &PlanKept, generator: &Generator) -> String {
    format!(
        "the generator could not hold the rate: of {} planned messages {} were late and {} never \
         sent, at {:.0} % of a processor and {:.0} % of the time waiting for one. The figures show \
         this program, not the target: use a lower `--rate`, more `--loops` or an idle machine.",
        plan.planned,
        plan.late,
        plan.unsent,
        generator.cpu_share * 100.0,
        generator.waited_share * 100.0
    )
}

fn statuses(record: &Record) -> Vec<StatusClass> {
    let classes = record.statuses.iter().enumerate().skip(1);
    classes
        .filter(|(_, count)| **count > 0)
        .map(|(digit, count)| StatusClass { class: format!("{digit}xx"), count: *count })
        .collect()
}

fn errors(record: &Record) -> Vec<Error> {
    let all = record.failures.iter();
    all.map(|(kind, count, first)| Error { kind, count, first: first.to_owned() }).collect()
}

fn error_share(record: &Record) -> f64 {
    let sent: u64 = record.intervals.rows().iter().map(|row| row.sent).sum();
    let failed = record.failures.total();
    share(failed, sent.max(failed))
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

impl Load {
    fn stages(&self) -> Vec<StageOf> {
        let Load::Open { stages } = self else { return Vec::new() };
        let stage = |stage: &crate::plan::Stage| StageOf {
            seconds: stage.lasts.as_secs_f64(),
            from: stage.from,
            to: stage.to,
        };
        stages.iter().map(stage).collect()
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
    fn new(measured: &Measured) -> Generator {
        let seconds = measured.measured.as_secs_f64();
        let share = |time: Duration| ratio(time.as_secs_f64(), seconds);
        let busiest = measured.times.iter().max_by_key(|times| times.ran + times.waited);
        let busiest = busiest.copied().unwrap_or_default();
        let ran: Duration = measured.times.iter().map(|times| times.ran).sum();
        Generator {
            cpu_share: share(busiest.ran),
            waited_share: share(busiest.waited),
            saturated: share(busiest.ran + busiest.waited) >= SATURATED,
            cpu_ns_per_message: ratio(ran.as_nanos() as f64, measured.record.answered as f64),
            longest_turn_ns: measured.longest_turn.as_nanos() as u64,
            late_share: None,
        }
    }
}

impl PlanKept {
    fn new(planned: u64, record: &Record, generator: &Generator) -> PlanKept {
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

fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

pub(crate) fn share(part: u64, whole: u64) -> f64 {
    ratio(part as f64, whole as f64)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::args::tests::settings;
    use crate::expect::expectation;
    use crate::failure::{Failure, Kind};
    use crate::record::{Flight, HeldBy};

    /// A run of 1,000 messages, answered after 1 us to 1 ms.
    pub(crate) fn measured(rate: Option<u64>) -> Measured {
        let mut record = Record::new(0, Duration::from_secs(2));
        for us in 1..=1000 {
            let flight = Flight { planned: 0, sent: 5_000 };
            match rate {
                Some(_) => record.sent_by_plan(flight, HeldBy::Generator),
                None => record.sent_at_once(5_000),
            }
            let now = 5_000 + us * 1_000;
            record.answered(flight, now, now, rate.is_some());
        }
        record.answered = 1000;
        let times = ThreadTimes { ran: Duration::from_secs(1), waited: Duration::ZERO };
        Measured {
            record,
            connected: 2,
            planned: rate.map(|_| 1000),
            measured: Duration::from_secs(2),
            warmed_up: Duration::ZERO,
            times: vec![times],
            longest_turn: Duration::from_micros(70),
            was_interrupted: false,
        }
    }

    pub(crate) fn summary(rate: Option<u64>, measured: &Measured) -> Summary {
        judged(rate, measured, &[])
    }

    fn judged(rate: Option<u64>, measured: &Measured, expect: &[&str]) -> Summary {
        let rate = rate.map_or(String::new(), |rate| format!("--rate {rate} --depth 1"));
        let mut settings = settings(&format!("-c 2 -d 2s {rate}")).unwrap();
        settings.expect = expect.iter().map(|text| expectation(text).unwrap()).collect();
        let target = Target::parse("tcp://127.0.0.1:9").unwrap();
        Summary::new(&settings, &target, measured)
    }

    #[test]
    fn percentiles_come_with_the_samples_beyond_them() {
        let summary = summary(None, &measured(None));
        assert_eq!((summary.exit_code, summary.verdict.len()), (0, 0));
        assert!(summary.response_time.is_none() && summary.plan.is_none());
        let p99 = &summary.service_time.percentiles[4];
        assert_eq!((p99.percentile, p99.beyond), (99.0, 10));
        assert!((990_000..992_000).contains(&p99.ns), "{}", p99.ns);
        assert!((summary.messages_per_second - 500.0).abs() < 1e-9);
        assert!((summary.generator.cpu_share - 0.5).abs() < 1e-9);
        assert!((summary.generator.cpu_ns_per_message - 1e6).abs() < 1e-3);
        assert_eq!(summary.generator.longest_turn_ns, 70_000);
        assert_eq!((summary.intervals.len(), summary.intervals[0].sent), (1, 1000));
    }

    #[test]
    fn both_times_are_reported_with_a_plan() {
        let summary = summary(Some(500), &measured(Some(500)));
        let response = summary.response_time.unwrap();
        assert!(response.percentiles[0].ns > summary.service_time.percentiles[0].ns + 4_000);
        assert!(summary.plan.unwrap().rate_held);
        assert_eq!((summary.exit_code, summary.rate), (0, Some(500)));
    }

    #[test]
    fn the_generators_own_lateness_is_98_and_the_targets_is_not() {
        let mut by_target = measured(Some(500));
        by_target.record.late_by_target = 500;
        by_target.record.unsent_by_target = 100;
        let summary_by_target = summary(Some(500), &by_target);
        assert_eq!(summary_by_target.exit_code, 0);
        assert!(summary_by_target.verdict[0].contains("the target did not keep up"));

        let mut own = measured(Some(500));
        own.record.unsent_by_generator = 11;
        let own = judged(Some(500), &own, &["p99<1us"]);
        assert_eq!(own.exit_code, 98, "worthless figures cannot miss an expectation");
        assert!(own.verdict[1].contains("could not hold the rate"));

        // Waiting for a processor is as bad as using one up.
        for times in [(2, 0), (1, 1)] {
            let mut saturated = measured(Some(500));
            saturated.record.unsent_by_target = 100;
            let (ran, waited) = (Duration::from_secs(times.0), Duration::from_secs(times.1));
            saturated.times = vec![ThreadTimes::default(), ThreadTimes { ran, waited }];
            let summary = summary(Some(500), &saturated);
            assert!(summary.generator.saturated);
            assert_eq!(summary.exit_code, 98);
        }
    }

    #[test]
    fn expectations_that_are_not_met_are_99() {
        let met = ["p99<1ms", "max<=1006us", "rate>=500", "errors<1", "service.mean<600us"];
        let run = measured(Some(500));
        let summary = judged(Some(500), &run, &met);
        assert_eq!((summary.exit_code, summary.expectations.len()), (0, 5), "{summary:?}");
        assert!(summary.expectations.iter().all(|check| check.met));
        for (missed, words) in [
            ("p99<900us", "`p99<900us` is not met: it is 99"),
            ("rate>500", "it is 500"),
            ("connect.p50<1s", "it is not measured"),
        ] {
            let summary = judged(Some(500), &run, &["p50<1ms", missed]);
            assert_eq!(summary.exit_code, 99);
            assert!(summary.verdict[0].contains(words), "{:?}", summary.verdict);
        }
    }

    #[test]
    fn errors_and_an_empty_run_are_1() {
        let mut failed = measured(None);
        let failure = Failure { kind: Kind::Mismatch, text: "connection 1, message 2".into() };
        failed.record.failed(failure, 1, 0);
        let run = summary(None, &failed);
        assert_eq!((run.exit_code, run.error_count), (1, 1));
        assert_eq!(run.verdict, ["mismatch: connection 1, message 2"]);
        // Unless the user has said how many are good.
        assert_eq!(judged(None, &failed, &["errors<=0.1%"]).exit_code, 0);
        let few = judged(None, &failed, &["errors<0.1%"]);
        assert_eq!(few.exit_code, 99);
        assert!(few.verdict[0].contains("it is 0.100 %"), "{:?}", few.verdict);
        let record = Record::new(0, Duration::from_secs(1));
        let empty = Measured { record, ..measured(None) };
        let empty = judged(None, &empty, &["errors<1"]);
        assert_eq!((empty.exit_code, empty.service_time.max_ns), (1, 0));
    }
}
