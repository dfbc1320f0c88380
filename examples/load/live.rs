//! What can be seen of a run while it goes on: counters and coarse histograms of each loop, where the
//! run is in its plan, and what a search has tried.
//!
//! A loop counts for itself and shows a copy now and then, some kilobytes. Who looks takes the copies
//! and forms differences, on a thread of its own: what is slow about looking holds up no message.

use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::coarse::Coarse;
use crate::health::ThreadTimes;
use crate::plan::{Plan, Stage};

/// How often a loop shows its counts, if anybody looks.
pub(crate) const TICK: Duration = Duration::from_millis(250);

/// What a loop has counted since the run began, the warm-up included.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    /// Nanoseconds from the start of the run.
    pub(crate) at: u64,
    pub(crate) sent: u64,
    /// Later than the plan by more than the threshold, through this program.
    pub(crate) late: u64,
    /// What the loop spun while it had nothing to do, of all its life.
    pub(crate) spun: Duration,
    /// From the plan; empty without one.
    pub(crate) response: Coarse,
    /// From the send.
    pub(crate) service: Coarse,
    /// Of the sends that were this program's to make in time.
    pub(crate) send_error: Coarse,
}

impl Counts {
    fn merge(&mut self, other: &Counts) {
        self.at = self.at.max(other.at);
        self.sent += other.sent;
        self.late += other.late;
        self.spun += other.spun;
        self.response.merge(&other.response);
        self.service.merge(&other.service);
        self.send_error.merge(&other.send_error);
    }

    pub(crate) fn since(&self, before: &Counts) -> Counts {
        Counts {
            at: self.at.saturating_sub(before.at),
            sent: self.sent.saturating_sub(before.sent),
            late: self.late.saturating_sub(before.late),
            spun: self.spun.saturating_sub(before.spun),
            response: self.response.since(&before.response),
            service: self.service.since(&before.service),
            send_error: self.send_error.since(&before.send_error),
        }
    }

    /// The times that users feel: from the plan where there is one.
    pub(crate) fn main(&self) -> &Coarse {
        if self.response.max > 0 { &self.response } else { &self.service }
    }
}

/// One loop. Only its own thread writes the counters, so a plain load and store make an addition.
#[derive(Debug, Default)]
pub(crate) struct Live {
    answers: AtomicU64,
    failures: AtomicU64,
    open: AtomicU64,
    /// Its thread, for the system; 0 before it is known.
    thread: AtomicI32,
    /// Held for a copy only.
    counts: Mutex<Counts>,
}

impl Live {
    #[inline]
    pub(crate) fn answered(&self, count: u64) {
        add(&self.answers, count);
    }

    pub(crate) fn failed(&self, count: u64) {
        add(&self.failures, count);
    }

    pub(crate) fn opened(&self) {
        add(&self.open, 1);
    }

    pub(crate) fn closed(&self) {
        self.open.store(self.open.load(Ordering::Relaxed).saturating_sub(1), Ordering::Relaxed);
    }

    /// Says on which thread the loop is: the one that calls.
    pub(crate) fn is_here(&self) {
        let thread = rustix::thread::gettid().as_raw_nonzero().get();
        self.thread.store(thread, Ordering::Relaxed);
    }

    /// The loop does not wait for who looks just now: then the next one is seen.
    pub(crate) fn show(&self, counts: &Counts) {
        if let Ok(mut shown) = self.counts.try_lock() {
            shown.clone_from(counts);
        }
    }
}

#[inline]
fn add(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Ordering::Relaxed) + more, Ordering::Relaxed);
}

/// Where a run is on its way.
#[derive(Clone, Debug)]
pub(crate) struct Course {
    pub(crate) origin: Instant,
    /// Nanoseconds from the origin: where the measurement begins and ends.
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// The warm-up is the first of them, if it has one. Empty: closed loop.
    pub(crate) stages: Vec<Stage>,
    pub(crate) plan: Option<Plan>,
}

impl Course {
    pub(crate) fn new(origin: Instant, start: u64, end: u64, stages: Option<&[Stage]>) -> Course {
        let plan = stages.map(Plan::new);
        // A warm-up may last no time.
        let stages = stages.unwrap_or_default().iter().filter(|stage| !stage.lasts.is_zero());
        Course { origin, start, end, stages: stages.copied().collect(), plan }
    }

    /// The number of the stage that `at` lies in, and where it begins.
    fn stage_at(&self, at: u64) -> Option<(usize, u64)> {
        let mut begins = 0u64;
        for (number, stage) in self.stages.iter().enumerate() {
            let ends = begins.saturating_add(crate::job::nanos(stage.lasts));
            if at < ends {
                return Some((number, begins));
            }
            begins = ends;
        }
        None
    }

    /// The stage that `at` lies in and its number, as the user wrote them: without the warm-up.
    pub(crate) fn stage(&self, at: u64) -> Option<(usize, Stage)> {
        let (number, _) = self.stage_at(at)?;
        let warm_up = usize::from(self.start > 0);
        Some((number.checked_sub(warm_up)? + 1, self.stages[number]))
    }

    /// How many the user wrote.
    pub(crate) fn stage_count(&self) -> usize {
        self.stages.len() - usize::from(self.start > 0 && !self.stages.is_empty())
    }

    /// Messages a second that the plan has at `at`.
    pub(crate) fn offered(&self, at: u64) -> Option<f64> {
        let (number, begins) = self.stage_at(at)?;
        let Stage { lasts, from, to } = self.stages[number];
        let share = (at - begins) as f64 / lasts.as_nanos() as f64;
        Some(from as f64 + (to as f64 - from as f64) * share)
    }
}

/// What all loops show, with what only the conductor knows.
#[derive(Debug)]
pub(crate) struct Board {
    loops: Vec<Arc<Live>>,
    course: Mutex<Option<Course>>,
    /// Of a search, a line a step.
    steps: Mutex<Vec<String>>,
    /// A screen shows the steps; nobody else may write on it.
    has_screen: AtomicBool,
    /// Somebody looks at the counts.
    is_watched: AtomicBool,
    /// An interrupt has somebody who takes it.
    is_guarded: AtomicBool,
    is_stopping: AtomicBool,
}

impl Board {
    pub(crate) fn new(loops: usize) -> Board {
        Board {
            loops: (0..loops).map(|_| Arc::default()).collect(),
            course: Mutex::new(None),
            steps: Mutex::default(),
            has_screen: AtomicBool::new(false),
            is_watched: AtomicBool::new(false),
            is_guarded: AtomicBool::new(false),
            is_stopping: AtomicBool::new(false),
        }
    }

    pub(crate) fn live(&self, own: usize) -> Arc<Live> {
        self.loops[own].clone()
    }

    pub(crate) fn watch(&self) {
        self.is_watched.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_watched(&self) -> bool {
        self.is_watched.load(Ordering::Relaxed)
    }

    /// From now on an interrupt ends the run and not the process.
    pub(crate) fn guard(&self) {
        self.is_guarded.store(true, Ordering::Release);
    }

    pub(crate) fn is_guarded(&self) -> bool {
        self.is_guarded.load(Ordering::Acquire)
    }

    /// Asked to stop. It stays so: a search does not go on with its next step.
    pub(crate) fn stop(&self) {
        self.is_stopping.store(true, Ordering::Release);
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Acquire)
    }

    /// A run begins.
    pub(crate) fn begin(&self, course: Course) {
        *self.course.lock().unwrap_or_else(PoisonError::into_inner) = Some(course);
    }

    /// A run is over, and with it its connections.
    pub(crate) fn end(&self) {
        *self.course.lock().unwrap_or_else(PoisonError::into_inner) = None;
        for live in &self.loops {
            live.open.store(0, Ordering::Relaxed);
            live.show(&Counts::default());
        }
    }

    pub(crate) fn screen(&self, is_on: bool) {
        self.has_screen.store(is_on, Ordering::Release);
    }

    /// A step of a search has ended: on the screen, or else on stderr.
    pub(crate) fn say(&self, line: String) {
        if !self.has_screen.load(Ordering::Acquire) {
            eprintln!("wheelhouse-load: {line}");
        }
        self.steps.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    pub(crate) fn steps(&self) -> Vec<String> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn look(&self) -> Look {
        let mut look = Look {
            when: Instant::now(),
            course: self.course.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            answers: 0,
            failures: 0,
            open: 0,
            counts: Counts::default(),
            threads: Vec::with_capacity(self.loops.len()),
        };
        for live in &self.loops {
            look.answers += live.answers.load(Ordering::Relaxed);
            look.failures += live.failures.load(Ordering::Relaxed);
            look.open += live.open.load(Ordering::Relaxed);
            let counts = live.counts.lock().unwrap_or_else(PoisonError::into_inner);
            look.counts.merge(&counts);
            let spun = counts.spun;
            drop(counts);
            look.threads.push(ThreadTimes::of(live.thread.load(Ordering::Relaxed), spun));
        }
        look
    }
}

/// All loops together, at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    pub(crate) when: Instant,
    pub(crate) course: Option<Course>,
    pub(crate) answers: u64,
    pub(crate) failures: u64,
    pub(crate) open: u64,
    pub(crate) counts: Counts,
    /// One a loop.
    pub(crate) threads: Vec<ThreadTimes>,
}

impl Look {
    /// Of two looks of the same run: how long lies between them, in seconds.
    fn seconds_since(&self, before: &Look) -> f64 {
        self.when.saturating_duration_since(before.when).as_secs_f64().max(1e-9)
    }

    pub(crate) fn answers_a_second(&self, before: &Look) -> f64 {
        self.answers.saturating_sub(before.answers) as f64 / self.seconds_since(before)
    }

    pub(crate) fn failures_a_second(&self, before: &Look) -> f64 {
        self.failures.saturating_sub(before.failures) as f64 / self.seconds_since(before)
    }

    /// What the busiest loop's thread took of a processor, but for what it spun, and what it waited
    /// for one, as shares.
    pub(crate) fn busiest(&self, before: &Look) -> (f64, f64) {
        let pairs = self.threads.iter().zip(&before.threads);
        let times = pairs.map(|(now, then)| now.since(*then));
        let busiest = times.max_by_key(|times| times.worked() + times.waited).unwrap_or_default();
        let share = |time: Duration| time.as_secs_f64() / self.seconds_since(before);
        (share(busiest.worked()), share(busiest.waited))
    }

    /// Of the same run.
    pub(crate) fn is_after(&self, before: &Look) -> bool {
        let origin = |look: &Look| look.course.as_ref().map(|course| course.origin);
        origin(self) == origin(before) && self.counts.at >= before.counts.at
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    pub(crate) fn course(origin: Instant) -> Course {
        let stages = [
            Stage::steady(Duration::from_secs(1), 100),
            Stage::steady(Duration::from_secs(2), 100),
            Stage { lasts: Duration::from_secs(4), from: 100, to: 500 },
        ];
        Course::new(origin, SECOND, 7 * SECOND, Some(&stages))
    }

    #[test]
    fn a_course_knows_its_stage_and_the_rate_that_is_offered() {
        let course = course(Instant::now());
        assert_eq!(course.stage_count(), 2);
        assert_eq!(course.stage(SECOND / 2), None, "the warm-up is no stage of the user's");
        assert_eq!(course.offered(SECOND / 2), Some(100.0));
        assert_eq!(course.stage(SECOND).map(|stage| stage.0), Some(1));
        assert_eq!(course.stage(5 * SECOND).map(|stage| stage.0), Some(2));
        assert_eq!(course.offered(5 * SECOND), Some(300.0));
        assert_eq!((course.stage(7 * SECOND), course.offered(7 * SECOND)), (None, None));
        let stages = [Stage::steady(Duration::ZERO, 5), Stage::steady(Duration::from_secs(1), 5)];
        let cold = Course::new(Instant::now(), 0, SECOND, Some(&stages));
        assert_eq!((cold.stage_count(), cold.stage(0).map(|stage| stage.0)), (1, Some(1)));
        let closed = Course::new(Instant::now(), SECOND, 2 * SECOND, None);
        assert_eq!((closed.stage(0), closed.offered(0), closed.stage_count()), (None, None, 0));
    }

    #[test]
    fn loops_are_seen_together_and_a_run_that_is_over_is_gone() {
        let board = Board::new(2);
        let mut counts = Counts { at: SECOND, sent: 5, ..Counts::default() };
        counts.service.add(2_000_000);
        for own in 0..2 {
            let live = board.live(own);
            live.opened();
            live.opened();
            live.closed();
            live.answered(4);
            live.failed(1);
            live.show(&counts);
            live.is_here();
        }
        let look = board.look();
        assert_eq!((look.answers, look.failures, look.open), (8, 2, 2));
        assert_eq!((look.counts.at, look.counts.sent), (SECOND, 10));
        assert_eq!(look.counts.main().percentile(50.0), Some(2_000_000));
        // The system counts a thread's time in turns; this one's first is not over yet.
        let start = Instant::now();
        while board.look().threads[1].ran.is_zero() {
            assert!(start.elapsed() < Duration::from_secs(10), "a thread that takes no time");
        }
        board.begin(course(Instant::now()));
        let later = board.look();
        assert!(later.course.is_some() && !later.is_after(&look), "another run");
        board.end();
        let look = board.look();
        assert_eq!((look.open, look.counts.sent), (0, 0));
        assert!(!look.is_after(&later));
    }
}
