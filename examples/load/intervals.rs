//! The run cut into short intervals, each with its counts and a coarse histogram: what the report
//! draws over time. Rows are as many as the run needs, and in a long one they grow wider instead.
//!
//! Latencies stand at the moment when their message was due (without a plan: sent), so a stall is
//! seen where its victims were; completions stand where they came.

use std::time::Duration;

use crate::coarse::Coarse;

/// So many intervals a picture shows well.
const FINE: u128 = 240;
/// And so many are kept at the most, of a second or longer.
const MOST: u128 = 7200;

#[derive(Clone, Debug, Default)]
pub(crate) struct Interval {
    /// Messages sent, by when they were due.
    pub(crate) sent: u64,
    /// Answers that came within it.
    pub(crate) completed: u64,
    /// What went wrong within it.
    pub(crate) failed: u64,
    pub(crate) times: Coarse,
}

#[derive(Clone, Debug)]
pub(crate) struct Intervals {
    width: u64,
    /// Where the first begins.
    from: u64,
    rows: Vec<Interval>,
}

impl Interval {
    pub(crate) fn merge(&mut self, other: &Interval) {
        self.sent += other.sent;
        self.completed += other.completed;
        self.failed += other.failed;
        self.times.merge(&other.times);
    }

    /// See [`Coarse::percentile`].
    pub(crate) fn percentile(&self, percentile: f64) -> Option<u64> {
        self.times.percentile(percentile)
    }
}

impl Intervals {
    /// For a run that is measured from `from` on, for `length`.
    pub(crate) fn new(from: u64, length: Duration) -> Intervals {
        let width = width(length);
        Intervals { width: u64::try_from(width.as_nanos()).unwrap_or(u64::MAX), from, rows: vec![] }
    }

    pub(crate) fn width(&self) -> Duration {
        Duration::from_nanos(self.width)
    }

    pub(crate) fn rows(&self) -> &[Interval] {
        &self.rows
    }

    #[inline]
    fn at(&mut self, moment: u64) -> &mut Interval {
        let row = (moment.saturating_sub(self.from) / self.width).min(2 * MOST as u64) as usize;
        if row >= self.rows.len() {
            self.grow(row);
        }
        &mut self.rows[row]
    }

    #[cold]
    fn grow(&mut self, row: usize) {
        self.rows.resize_with(row + 1, Interval::default);
    }

    #[inline]
    pub(crate) fn sent(&mut self, due: u64) {
        self.at(due).sent += 1;
    }

    #[inline]
    pub(crate) fn answered(&mut self, due: u64, now: u64, latency: u64) {
        self.at(due).times.add(latency);
        self.at(now).completed += 1;
    }

    pub(crate) fn failed(&mut self, now: u64, count: u64) {
        self.at(now).failed += count;
    }

    /// Of another loop of the same run.
    pub(crate) fn merge(&mut self, other: &Intervals) {
        if other.rows.len() > self.rows.len() {
            self.rows.resize_with(other.rows.len(), Interval::default);
        }
        for (row, more) in self.rows.iter_mut().zip(&other.rows) {
            row.merge(more);
        }
    }

    /// What comes after the measured time belongs to its last interval: answers that were late.
    pub(crate) fn close(&mut self, until: u64) {
        let whole = until.saturating_sub(self.from).div_ceil(self.width).max(1) as usize;
        for late in self.rows.split_off(whole.min(self.rows.len())) {
            if let Some(last) = self.rows.last_mut() {
                // They were completed when nothing is counted any more.
                last.merge(&Interval { completed: 0, ..late });
            }
        }
    }

    /// The rows put together until there is one a second; or as they are, if they are wider.
    pub(crate) fn a_second(&self) -> (Duration, Vec<Interval>) {
        let together = (1_000_000_000 / self.width).max(1) as usize;
        let merged = |rows: &[Interval]| {
            let mut all = Interval::default();
            rows.iter().for_each(|row| all.merge(row));
            all
        };
        let seconds = self.rows.chunks(together).map(merged).collect();
        (self.width() * together as u32, seconds)
    }
}

/// A width that divides a second, or whole seconds.
fn width(length: Duration) -> Duration {
    let fine = [20, 50, 100, 200, 500, 1000].map(Duration::from_millis);
    let fits = |width: &Duration| length.as_nanos() <= width.as_nanos() * FINE;
    match fine.into_iter().find(fits) {
        Some(width) => width,
        None => Duration::from_secs(length.as_nanos().div_ceil(MOST * 1_000_000_000) as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_are_fine_in_short_runs_and_few_in_long_ones() {
        assert_eq!(width(Duration::from_secs(1)), Duration::from_millis(20));
        assert_eq!(width(Duration::from_secs(10)), Duration::from_millis(50));
        assert_eq!(width(Duration::from_secs(60)), Duration::from_millis(500));
        assert_eq!(width(Duration::from_secs(3600)), Duration::from_secs(1));
        assert_eq!(width(Duration::from_secs(24 * 3600)), Duration::from_secs(12));
    }

    #[test]
    fn latencies_stand_where_they_were_due() {
        let mut intervals = Intervals::new(1_000_000_000, Duration::from_secs(10));
        intervals.sent(1_000_000_000);
        intervals.answered(1_000_000_000, 1_120_000_000, 120_000_000);
        intervals.failed(1_070_000_000, 3);
        let rows = intervals.rows();
        assert_eq!(rows.len(), 3);
        assert_eq!((rows[0].sent, rows[0].times.samples(), rows[0].completed), (1, 1, 0));
        assert_eq!((rows[1].failed, rows[2].completed, rows[2].times.samples()), (3, 1, 0));
        let (width, seconds) = intervals.a_second();
        assert_eq!((width, seconds.len()), (Duration::from_secs(1), 1));
        assert_eq!(
            (seconds[0].completed, seconds[0].failed, seconds[0].times.max),
            (1, 3, 120_000_000)
        );
    }

    #[test]
    fn what_comes_after_the_end_is_put_to_the_last() {
        let mut intervals = Intervals::new(0, Duration::from_secs(10));
        intervals.answered(80_000_000, 2_000_000_000, 1_920_000_000);
        intervals.close(100_000_000);
        assert_eq!(intervals.rows().len(), 2);
        assert_eq!((intervals.rows()[1].times.samples(), intervals.rows()[1].completed), (1, 0));
        let mut other = Intervals::new(0, Duration::from_secs(10));
        other.sent(150_000_000);
        intervals.merge(&other);
        assert_eq!((intervals.rows().len(), intervals.rows()[3].sent), (4, 1));
    }
}
