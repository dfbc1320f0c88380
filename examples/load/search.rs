//! The search for the highest rate at which what is expected holds: the knee of the target.
//!
//! The rate is doubled while it holds and halved while it does not; between the highest that held
//! and the lowest that did not, the middle is tried until they are within a twentieth. Each step is
//! a run of its own. A step that misses by latency alone, or that the generator could not hold, is
//! tried once more, since a moment's noise is no knee.

use serde::Serialize;

use crate::args::{Load, SearchFor};
use crate::expect::Expectation;
use crate::figures::{TOLERATED, share};
use crate::plan::Stage;
use crate::report::grouped;
use crate::run::Run;
use crate::summary::{Measured, NOT_MET, PASSED, RATE_NOT_HELD, Summary};

/// The two ends of the search are near enough when this lies between them.
const RESOLUTION: f64 = 0.05;

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Search {
    pub(crate) conditions: Vec<String>,
    /// The highest rate at which all of them held.
    pub(crate) found_rate: Option<u64>,
    pub(crate) limited_by: Limit,
    /// In the order in which they were tried.
    pub(crate) steps: Vec<Step>,
}

/// Why the search ended where it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Limit {
    Target,
    /// The generator could not hold the next rate.
    Generator,
    /// `--max-rate` was reached.
    MaxRate,
    Interrupt,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Step {
    pub(crate) rate: u64,
    pub(crate) messages_per_second: f64,
    pub(crate) p50_ns: u64,
    pub(crate) p99_ns: u64,
    pub(crate) p999_ns: u64,
    pub(crate) held: bool,
    /// Why it did not hold.
    pub(crate) because: Option<String>,
    /// It says something about the generator and nothing about the target.
    pub(crate) by_generator: bool,
}

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Held,
    /// By latency alone: it may be noise.
    Missed,
    Failed,
    ByGenerator,
}

/// Which rate to try next. Knows nothing of runs.
#[derive(Debug)]
struct Bounds {
    most: u64,
    held: Option<u64>,
    /// The lowest that did not hold, and whether it was the generator that could not.
    missed: Option<(u64, bool)>,
}

impl Bounds {
    /// `None` when the search is over.
    fn next(&self, first: u64) -> Option<u64> {
        match (self.held, self.missed) {
            (None, None) => Some(first.min(self.most)),
            (Some(held), None) => (held < self.most).then(|| (held * 2).min(self.most)),
            (None, Some((missed, _))) => (missed > 1).then_some(missed / 2),
            (Some(held), Some((missed, _))) => {
                let is_near = (missed - held) as f64 <= held as f64 * RESOLUTION;
                let middle = ((held as f64 * missed as f64).sqrt().round() as u64)
                    .clamp(held + 1, (missed - 1).max(held + 1));
                (!is_near && middle < missed).then_some(middle)
            }
        }
    }

    fn note(&mut self, rate: u64, outcome: Outcome) {
        match outcome {
            Outcome::Held => self.held = Some(self.held.map_or(rate, |held| held.max(rate))),
            _ if self.missed.is_none_or(|(missed, _)| rate < missed) => {
                self.missed = Some((rate, outcome == Outcome::ByGenerator));
            }
            _ => {}
        }
    }

    fn limit(&self) -> Limit {
        match self.missed {
            None => Limit::MaxRate,
            Some((_, true)) => Limit::Generator,
            Some((_, false)) => Limit::Target,
        }
    }
}

/// Searches; gives the run at the rate that was found, or the last one. Says each step on stderr.
/// The error is for the user's eyes.
pub(crate) fn find(run: &Run, wanted: &SearchFor) -> Result<(Summary, Measured), String> {
    let try_rate = |rate| {
        let load = Load::Open { stages: vec![Stage::steady(wanted.step, rate)] };
        let measured = run.measure(&load)?;
        let mut settings = (*run.settings).clone();
        settings.load = load;
        let summary = Summary::new(&settings, &run.origins[0].target, &measured);
        let mut tried = Tried::new(rate, summary, measured, &wanted.conditions);
        // The step may have been over when it was asked to stop.
        tried.was_interrupted |= run.board.is_stopping();
        Ok(tried)
    };
    seek(wanted, try_rate, |step, more| run.board.say(step.line(more)))
}

/// The search, whatever a try is.
fn seek(
    wanted: &SearchFor,
    mut try_rate: impl FnMut(u64) -> Result<Tried, String>,
    tell: impl Fn(&Step, &str),
) -> Result<(Summary, Measured), String> {
    let mut bounds = Bounds { most: wanted.most, held: None, missed: None };
    let mut steps: Vec<Step> = Vec::new();
    let mut best: Option<(Summary, Measured)> = None;
    let mut last = None;
    let mut was_interrupted = false;
    while let Some(rate) = bounds.next(wanted.first) {
        let mut tried = try_rate(rate)?;
        let may_be_noise = matches!(tried.outcome, Outcome::Missed | Outcome::ByGenerator);
        if may_be_noise && !tried.was_interrupted {
            tell(&tried.step, "; once more");
            steps.push(tried.step);
            tried = try_rate(rate)?;
        }
        was_interrupted = tried.was_interrupted;
        if was_interrupted {
            last.get_or_insert((tried.summary, tried.measured));
            break;
        }
        tell(&tried.step, "");
        steps.push(tried.step);
        bounds.note(rate, tried.outcome);
        let run = (tried.summary, tried.measured);
        if tried.outcome == Outcome::Held {
            best = Some(run);
        } else {
            last = Some(run);
        }
    }
    let found = bounds.held;
    let limited_by = if was_interrupted { Limit::Interrupt } else { bounds.limit() };
    let (mut summary, measured) = best.or(last).ok_or("the search tried nothing")?;
    let conditions = wanted.conditions.iter().map(|one| one.text.clone()).collect();
    let search = Search { conditions, found_rate: found, limited_by, steps };
    conclude(&mut summary, &search);
    summary.search = Some(search);
    Ok((summary, measured))
}

struct Tried {
    step: Step,
    outcome: Outcome,
    was_interrupted: bool,
    summary: Summary,
    measured: Measured,
}

impl Tried {
    fn new(rate: u64, summary: Summary, measured: Measured, conditions: &[Expectation]) -> Tried {
        let (outcome, because) = judge(&summary, &measured, conditions);
        let at = |percentile: f64| {
            let all = &summary.main_time().percentiles;
            all.iter().find(|at| at.percentile == percentile).map_or(0, |at| at.ns)
        };
        let step = Step {
            rate,
            messages_per_second: summary.messages_per_second,
            p50_ns: at(50.0),
            p99_ns: at(99.0),
            p999_ns: at(99.9),
            held: outcome == Outcome::Held,
            because,
            by_generator: outcome == Outcome::ByGenerator,
        };
        let was_interrupted = summary.interrupted;
        Tried { step, outcome, was_interrupted, summary, measured }
    }
}

fn judge(
    summary: &Summary,
    measured: &Measured,
    conditions: &[Expectation],
) -> (Outcome, Option<String>) {
    let judges_errors = conditions.iter().any(Expectation::is_about_errors);
    if let Some(plan) = &summary.plan {
        if !plan.rate_held {
            let late = plan.late_by_generator + plan.unsent_by_generator;
            let text = format!("the generator could not hold it: {} late or unsent", grouped(late));
            return (Outcome::ByGenerator, Some(text));
        }
        if share(plan.unsent_by_target + plan.unsent_by_failure, plan.planned) > TOLERATED {
            let text = format!("the target did not keep up: {} unsent", grouped(plan.unsent));
            return (Outcome::Failed, Some(text));
        }
    }
    if summary.error_count > 0 && !judges_errors {
        let first = summary.errors.first().map_or("", |error| error.kind);
        let text = format!("{} errors, the first of kind {first}", grouped(summary.error_count));
        return (Outcome::Failed, Some(text));
    }
    let checks = conditions.iter().map(|condition| summary.check(&measured.record, condition));
    match { checks }.find(|check| !check.met) {
        Some(check) => (Outcome::Missed, Some(check.sentence())),
        None => (Outcome::Held, None),
    }
}

impl Step {
    /// For who looks on.
    fn line(&self, more: &str) -> String {
        let Step { rate, p50_ns, p99_ns, because, .. } = self;
        let (p50, p99) = (crate::report::time(*p50_ns), crate::report::time(*p99_ns));
        let word = because.as_deref().map_or("holds".into(), |because| format!("no: {because}"));
        let rate = grouped(*rate);
        format!("{rate:>11} /s  p50 {p50:>8}  p99 {p99:>8}  {word}{more}")
    }
}

fn conclude(summary: &mut Summary, search: &Search) {
    let all = search.conditions.join("` and `");
    summary.verdict.clear();
    let (code, text) = match (search.found_rate, search.limited_by) {
        (None, Limit::Generator) => (
            RATE_NOT_HELD,
            format!("the generator could hold no rate at which `{all}` could be tried"),
        ),
        (None, _) => (NOT_MET, format!("no rate was found at which `{all}` holds")),
        (Some(found), Limit::Generator) => (
            RATE_NOT_HELD,
            format!(
                "`{all}` holds at {} /s, and the generator could not hold more: the target's own \
                 limit may be higher. Use more `--loops`, more `--connections` or an idle machine.",
                grouped(found)
            ),
        ),
        (Some(found), Limit::MaxRate) => {
            (PASSED, format!("`{all}` holds at {} /s, the highest that was tried", grouped(found)))
        }
        (Some(found), _) => (PASSED, format!("`{all}` holds up to {} /s", grouped(found))),
    };
    summary.exit_code = code;
    summary.verdict.push(text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expect::expectation;
    use crate::failure::{Failure, Kind};
    use crate::record::Flight;
    use crate::summary::tests::{measured, summary};

    /// Searches on a target that holds up to `knee`.
    fn search(
        first: u64,
        most: u64,
        knee: u64,
        by_generator: bool,
    ) -> (Option<u64>, Vec<u64>, Limit) {
        let mut bounds = Bounds { most, held: None, missed: None };
        let mut tried = Vec::new();
        while let Some(rate) = bounds.next(first) {
            tried.push(rate);
            assert!(tried.len() < 60, "it goes on and on: {tried:?}");
            let missed = if by_generator { Outcome::ByGenerator } else { Outcome::Failed };
            bounds.note(rate, if rate <= knee { Outcome::Held } else { missed });
        }
        (bounds.held, tried, bounds.limit())
    }

    /// What a step is to see.
    #[derive(Clone, Copy)]
    enum Sees {
        Quick,
        /// Of 1,100 answers 100 took 9 ms.
        Slow,
        Errors,
        Unsent,
        GeneratorLate,
        Interrupt,
    }

    fn tried(rate: u64, sees: Sees, conditions: &[Expectation]) -> Tried {
        let mut run = measured(Some(rate));
        let record = &mut run.record;
        match sees {
            Sees::Quick => {}
            Sees::Slow => {
                let ms = 1_000_000;
                let late = Flight::new(0, 0);
                (0..100).for_each(|_| record.answered(late, 9 * ms, 9 * ms, true));
            }
            Sees::Errors => {
                record.failed(Failure { kind: Kind::Reset, text: "reset".into() }, 1, 0);
            }
            Sees::Unsent => record.unsent_by_target = 500,
            Sees::GeneratorLate => record.late_by_generator = 500,
            Sees::Interrupt => run.was_interrupted = true,
        }
        Tried::new(rate, summary(Some(rate), &run), run, conditions)
    }

    /// Searches for `p99<5ms` from 100 to 1,600 where each try sees what `sees` says for its rate and
    /// its number. Gives what was told as well.
    fn seek_where(sees: impl Fn(u64, usize) -> Sees) -> (Summary, String) {
        let conditions = vec![expectation("p99<5ms").unwrap()];
        let step = std::time::Duration::from_secs(1);
        let wanted = SearchFor { conditions, first: 100, most: 1600, step };
        let (mut number, told) = (0, std::cell::RefCell::new(String::new()));
        let try_rate = |rate| {
            number += 1;
            Ok(tried(rate, sees(rate, number), &wanted.conditions))
        };
        let tell = |step: &Step, more: &str| *told.borrow_mut() += &(step.line(more) + "\n");
        let (summary, _) = seek(&wanted, try_rate, tell).unwrap();
        (summary, told.into_inner())
    }

    fn rates(summary: &Summary) -> Vec<(u64, bool)> {
        let search = summary.search.as_ref().unwrap();
        search.steps.iter().map(|step| (step.rate, step.held)).collect()
    }

    #[test]
    fn a_miss_by_latency_is_tried_once_more_and_the_knee_is_passed_on() {
        let (summary, told) =
            seek_where(|rate, _| if rate <= 300 { Sees::Quick } else { Sees::Slow });
        let search = summary.search.as_ref().unwrap();
        assert_eq!((search.found_rate, search.limited_by), (Some(295), Limit::Target));
        let all = rates(&summary);
        assert_eq!(all[..4], [(100, true), (200, true), (400, false), (400, false)]);
        assert!(all.iter().all(|(rate, held)| *held == (*rate <= 300)), "{all:?}");
        assert_eq!((summary.exit_code, summary.rate), (PASSED, Some(295)), "the run that held");
        assert_eq!(summary.verdict, ["`p99<5ms` holds up to 295 /s"]);
        assert!(told.contains("        400 /s  p50"), "{told}");
        assert!(told.contains("`p99<5ms` is not met: it is 9.00 ms; once more"), "{told}");
    }

    #[test]
    fn a_moments_noise_is_no_knee() {
        // The second try is disturbed, and only that.
        let (summary, _) =
            seek_where(|_, number| if number == 2 { Sees::Slow } else { Sees::Quick });
        let all = rates(&summary);
        assert_eq!(all[..3], [(100, true), (200, false), (200, true)]);
        assert_eq!(summary.search.as_ref().unwrap().found_rate, Some(1600));
        assert_eq!(summary.verdict, ["`p99<5ms` holds at 1,600 /s, the highest that was tried"]);
    }

    #[test]
    fn errors_and_messages_never_sent_are_no_noise() {
        for (bad, words) in [(Sees::Errors, "1 errors"), (Sees::Unsent, "did not keep up")] {
            let (summary, told) = seek_where(|rate, _| if rate <= 300 { Sees::Quick } else { bad });
            assert_eq!(rates(&summary)[..3], [(100, true), (200, true), (400, false)]);
            assert_ne!(rates(&summary)[3].0, 400);
            assert!(told.contains(words), "{told}");
        }
        let (summary, _) = seek_where(|_, _| Sees::Errors);
        assert_eq!((rates(&summary).len(), summary.exit_code), (7, NOT_MET));
        assert_eq!(summary.verdict, ["no rate was found at which `p99<5ms` holds"]);
    }

    #[test]
    fn the_generators_limit_is_none_of_the_target() {
        let (summary, _) =
            seek_where(|rate, _| if rate <= 300 { Sees::Quick } else { Sees::GeneratorLate });
        assert_eq!(summary.search.as_ref().unwrap().limited_by, Limit::Generator);
        assert_eq!(summary.exit_code, RATE_NOT_HELD);
        assert!(summary.verdict[0].contains("could not hold more"), "{:?}", summary.verdict);
        let (summary, _) = seek_where(|_, _| Sees::GeneratorLate);
        assert_eq!(summary.exit_code, RATE_NOT_HELD);
        assert!(summary.verdict[0].contains("could hold no rate"), "{:?}", summary.verdict);
    }

    #[test]
    fn an_interrupt_ends_it_with_what_was_found() {
        let (summary, _) =
            seek_where(|rate, _| if rate <= 200 { Sees::Quick } else { Sees::Interrupt });
        let search = summary.search.as_ref().unwrap();
        assert_eq!((search.found_rate, search.limited_by), (Some(200), Limit::Interrupt));
        assert_eq!(rates(&summary), [(100, true), (200, true)]);
    }

    #[test]
    fn the_knee_is_found_within_a_twentieth() {
        for knee in [1, 2, 3, 7, 50, 999, 1000, 1001, 12_345, 3_000_000] {
            for first in [1, 10, 1000, 50_000] {
                let (found, tried, limit) = search(first, 100_000_000, knee, false);
                let found = found.unwrap();
                assert!(
                    found <= knee && knee as f64 <= found as f64 * 1.05 + 1.0,
                    "{knee}: {found}"
                );
                assert!(tried.len() < 40 && limit == Limit::Target);
            }
        }
    }

    #[test]
    fn it_doubles_then_halves_the_gap() {
        let (found, tried, _) = search(1000, 100_000, 3000, false);
        assert_eq!(tried[..4], [1000, 2000, 4000, 2828]);
        assert_eq!(found, Some(2953));
    }

    #[test]
    fn the_ends_are_ends() {
        assert_eq!(search(1000, 5000, 1 << 40, false).0, Some(5000));
        assert_eq!(search(1000, 5000, 1 << 40, false).2, Limit::MaxRate);
        let (found, tried, _) = search(1000, 5000, 0, false);
        assert_eq!((found, tried.last()), (None, Some(&1)));
        assert_eq!(search(1000, 50_000, 3000, true).2, Limit::Generator);
    }
}
