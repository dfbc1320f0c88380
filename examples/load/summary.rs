//! What a run amounts to: the figures that are reported, the conclusion, the exit code.
//!
//! This is also the schema of the JSON (`SCHEMA`), with the parts in `figures.rs`: fields are added
//! freely; one that is renamed, removed or changes its meaning makes a new version.

use std::time::Duration;

use serde::Serialize;

use crate::args::{Load, Settings};
use crate::expect::{At, Expectation, Figure, Time};
use crate::figures::{
    Check, Error, Generator, Latency, PlanKept, Row, StageOf, StatusClass, TOLERATED, ratio, share,
};
use crate::health::{Pulse, ThreadTimes};
use crate::record::{Account, Record};
use crate::search::Search;
use crate::target::Target;

pub(crate) const SCHEMA: &str = "wheelhouse-load/1";

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
    pub(crate) pulse: Pulse,
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
    /// Of the messages that were measured: sent = answered + lost + unfinished.
    pub(crate) account: Account,
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
            protocol: match (target.is_http(), settings.is_http2) {
                (true, true) => "http/2",
                (true, false) => "http/1.1",
                (false, _) => "echo",
            },
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
            account: record.account,
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
                let under_way = self.connected * self.depth;
                self.verdict.push(format!(
                    "the target did not keep up with the rate: {} {} waited for answers to earlier \
                     ones until the end and were never sent; more `--connections` or `--depth` tell \
                     whether it would with more than {under_way} under way",
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
    // Those before the measurement were not counted as sent either.
    share(record.failed, sent.max(record.failed))
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

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::args::tests::settings;
    use crate::expect::expectation;
    use crate::failure::{Failure, Kind};
    use crate::record::Flight;

    /// A run of 1,000 messages, answered after 1 us to 1 ms.
    pub(crate) fn measured(rate: Option<u64>) -> Measured {
        let mut record = Record::new(0, Duration::from_secs(2));
        for us in 1..=1000 {
            let flight = Flight::new(0, 5_000);
            match rate {
                Some(_) => record.sent_by_plan(flight),
                None => record.sent_at_once(5_000),
            }
            let now = 5_000 + us * 1_000;
            record.answered(flight, now, now, rate.is_some());
        }
        record.answered = 1000;
        let times = ThreadTimes { ran: Duration::from_secs(1), ..ThreadTimes::default() };
        Measured {
            record,
            connected: 2,
            planned: rate.map(|_| 1000),
            measured: Duration::from_secs(2),
            warmed_up: Duration::ZERO,
            times: vec![times],
            pulse: Pulse { longest: Duration::from_micros(70), ..Pulse::default() },
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
            let times = ThreadTimes { ran, waited, spun: Duration::ZERO };
            saturated.times = vec![ThreadTimes::default(), times];
            let summary = summary(Some(500), &saturated);
            assert!(summary.generator.saturated);
            assert_eq!(summary.exit_code, 98);
        }
    }

    #[test]
    fn spinning_is_told_apart_and_uses_nothing_up() {
        let mut run = measured(Some(500));
        run.record.unsent_by_target = 100;
        let seconds = Duration::from_secs;
        run.times = vec![ThreadTimes { ran: seconds(2), spun: seconds(1), waited: seconds(0) }];
        let spinning = summary(Some(500), &run);
        let Generator { cpu_share, spun_share, cpu_ns_per_message, .. } = spinning.generator;
        assert!((cpu_share - 0.5).abs() < 1e-9 && (spun_share - 0.5).abs() < 1e-9);
        assert!((cpu_ns_per_message - 1e6).abs() < 1e-3);
        assert!(!spinning.generator.saturated);
        assert_eq!(spinning.exit_code, 0);

        run.times[0].spun = Duration::from_millis(100);
        assert_eq!(summary(Some(500), &run).exit_code, 98, "the rest of the time it worked");
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
