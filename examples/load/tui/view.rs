//! What the screen shows at one moment: numbers and words, ready to be drawn. No terminal here.

use crate::args::{Load, Settings};
use crate::coarse::Coarse;
use crate::job::nanos;
use crate::live::{Board, Course, Look};
use crate::plan::Stage;
use crate::report::grouped;
use crate::target::Target;

/// So many points the chart shows at most.
const MOST_POINTS: usize = 240;

pub(crate) const SECOND: u64 = 1_000_000_000;

#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    pub(crate) target: String,
    pub(crate) mode: String,
    /// Where the run is, in words.
    pub(crate) phase: String,
    pub(crate) elapsed: f64,
    /// With the warm-up; 0 while it is not known.
    pub(crate) length: f64,
    /// Messages a second: `None` without a plan.
    pub(crate) offered: Option<f64>,
    pub(crate) sent: f64,
    pub(crate) answered: f64,
    pub(crate) failed: f64,
    pub(crate) failures: u64,
    pub(crate) open: u64,
    /// Due and not sent. `None` without a plan.
    pub(crate) behind: Option<u64>,
    pub(crate) late: u64,
    /// Of the last second.
    pub(crate) last: Times,
    /// Since the run began.
    pub(crate) all: Times,
    pub(crate) busy: f64,
    pub(crate) waited: f64,
    pub(crate) points: Vec<Point>,
    pub(crate) steps: Vec<String>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Times {
    pub(crate) response: Coarse,
    pub(crate) service: Coarse,
    pub(crate) send_error: Coarse,
}

/// A place in the chart: seconds, nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Point {
    pub(crate) at: f64,
    pub(crate) median: u64,
    pub(crate) p99: u64,
    pub(crate) max: u64,
}

/// The latencies of a run from its beginning. When there are too many points, each two become one, so
/// that the whole run is always there.
#[derive(Debug)]
pub(crate) struct History {
    points: Vec<(u64, Coarse)>,
    /// Nanoseconds of a point.
    width: u64,
}

impl History {
    pub(crate) fn new(width: u64) -> History {
        History { points: Vec::new(), width }
    }

    /// What came by `at`.
    pub(crate) fn add(&mut self, at: u64, times: Coarse) {
        let number = at.saturating_sub(1) / self.width;
        match self.points.last_mut() {
            Some((last, all)) if *last == number => all.merge(&times),
            _ => self.points.push((number, times)),
        }
        if self.points.len() > MOST_POINTS {
            self.width *= 2;
            for (number, times) in std::mem::take(&mut self.points) {
                let number = number / 2;
                match self.points.last_mut() {
                    Some((last, all)) if *last == number => all.merge(&times),
                    _ => self.points.push((number, times)),
                }
            }
        }
    }

    pub(crate) fn points(&self) -> Vec<Point> {
        let point = |(number, times): &(u64, Coarse)| {
            Some(Point {
                at: (*number as f64 + 0.5) * self.width as f64 / SECOND as f64,
                median: times.percentile(50.0)?,
                p99: times.percentile(99.0)?,
                max: times.max,
            })
        };
        self.points.iter().filter_map(point).collect()
    }
}

/// What does not change while the program runs.
pub(crate) fn still(settings: &Settings, target: &Target) -> View {
    let Settings { connections, depth, loops, .. } = settings;
    let how = match (&settings.search, &settings.load) {
        (Some(search), _) => {
            let all: Vec<&str> = search.conditions.iter().map(|one| one.text.as_str()).collect();
            format!("searches the highest rate at which {}", all.join(" and "))
        }
        (None, Load::Closed { .. }) => "closed loop".into(),
        (None, Load::Open { .. }) => "open loop".into(),
    };
    let loops = if *loops > 1 { format!(", {loops} loops") } else { String::new() };
    let mode = format!("{how}; {connections} connections, depth {depth}{loops}");
    let embedded = if settings.origins.is_none() { " (embedded)" } else { "" };
    View { target: format!("{}{embedded}", target.name), mode, ..View::default() }
}

impl View {
    /// The moment `now`, beside how it was a second ago.
    pub(crate) fn fill(&mut self, now: &Look, before: &Look, board: &Board, history: &History) {
        let counts = now.counts.since(&before.counts);
        self.answered = now.answers_a_second(before);
        self.failed = now.failures_a_second(before);
        (self.failures, self.open) = (now.failures, now.open);
        (self.busy, self.waited) = now.busiest(before);
        let between = counts.at as f64 / SECOND as f64;
        self.sent = if between > 0.0 { counts.sent as f64 / between } else { 0.0 };
        self.late = now.counts.late;
        self.last = Times {
            response: counts.response,
            service: counts.service,
            send_error: counts.send_error,
        };
        self.all = Times {
            response: now.counts.response.clone(),
            service: now.counts.service.clone(),
            send_error: now.counts.send_error.clone(),
        };
        self.points = history.points();
        self.steps = board.steps();
        (self.offered, self.behind, self.elapsed, self.length) = (None, None, 0.0, 0.0);
        self.phase = "connecting".into();
        if let Some(course) = &now.course {
            self.place(course, now);
        }
        if board.is_stopping() {
            self.phase = "stopping: waits for the last answers; q again does not".into();
        }
    }

    fn place(&mut self, course: &Course, now: &Look) {
        let at = nanos(now.when.saturating_duration_since(course.origin));
        self.elapsed = at as f64 / SECOND as f64;
        self.length = course.end as f64 / SECOND as f64;
        self.offered = course.offered(at);
        let due = |plan: &crate::plan::Plan| plan.due_before(now.counts.at.min(course.end));
        self.behind = course.plan.as_ref().map(|plan| due(plan).saturating_sub(now.counts.sent));
        self.phase = match course.stage(at) {
            _ if at >= course.end => "waits for the last answers".into(),
            _ if at < course.start => "warm-up".into(),
            Some((number, stage)) if course.stage_count() > 1 => {
                format!("stage {number} of {}: {}", course.stage_count(), said(stage))
            }
            _ => "measures".into(),
        };
    }
}

fn said(Stage { lasts, from, to }: Stage) -> String {
    let seconds = lasts.as_secs_f64();
    match from == to {
        true => format!("{seconds} s at {} /s", grouped(from)),
        false => format!("{seconds} s from {} to {} /s", grouped(from), grouped(to)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::args::tests::settings;
    use crate::live::Counts;
    use crate::live::tests::course;

    #[test]
    fn a_history_keeps_the_whole_run_within_its_points() {
        let mut history = History::new(SECOND / 4);
        for tick in 1..=1000 {
            let mut times = Coarse::default();
            times.add(tick * 1_000_000);
            history.add(tick * SECOND / 4, times);
        }
        let points = history.points();
        assert!((MOST_POINTS / 2..=MOST_POINTS).contains(&points.len()), "{}", points.len());
        assert_eq!(points[0].max, 8_000_000, "eight ticks are one point");
        let last = points.last().unwrap();
        assert!(last.max == 1_000_000_000 && (249.0..250.0).contains(&last.at), "{last:?}");
    }

    #[test]
    fn a_run_is_told_stage_by_stage() {
        let settings = settings("--stages 2s@100,4s@100..500 -c 2 --loops 2").unwrap();
        let target = Target::parse("tcp://127.0.0.1:9").unwrap();
        let mut view = still(&settings, &target);
        assert_eq!(view.target, "tcp://127.0.0.1:9 (embedded)");
        assert_eq!(view.mode, "open loop; 2 connections, depth 64, 2 loops");
        let (board, history) = (Board::new(1), History::new(SECOND / 4));
        let before = board.look();
        view.fill(&board.look(), &before, &board, &history);
        assert_eq!((view.phase.as_str(), view.length), ("connecting", 0.0));
        let origin = Instant::now();
        board.begin(course(origin));
        let at = |view: &mut View, at: Duration, sent: u64| {
            let counts = Counts { at: nanos(at), sent, ..Counts::default() };
            board.live(0).show(&counts);
            let mut now = board.look();
            now.when = origin + at;
            view.fill(&now, &before, &board, &history);
        };
        at(&mut view, Duration::from_millis(500), 40);
        assert_eq!((view.phase.as_str(), view.behind), ("warm-up", Some(10)));
        at(&mut view, Duration::from_secs(1), 100);
        assert_eq!(view.phase, "stage 1 of 2: 2 s at 100 /s");
        assert_eq!((view.sent, view.offered, view.behind), (100.0, Some(100.0), Some(0)));
        at(&mut view, Duration::from_secs(5), 700);
        assert_eq!(view.phase, "stage 2 of 2: 4 s from 100 to 500 /s");
        assert_eq!((view.sent, view.offered, view.behind), (140.0, Some(300.0), Some(0)));
        at(&mut view, Duration::from_secs(7), 1500);
        assert_eq!((view.phase.as_str(), view.offered), ("waits for the last answers", None));
        board.stop();
        at(&mut view, Duration::from_secs(7), 1500);
        assert!(view.phase.starts_with("stopping: "));
    }
}
