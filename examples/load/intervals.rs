//! The run cut into short intervals, each with its counts and a coarse histogram: what the report
//! draws over time. Rows are as many as the run needs, and in a long one they grow wider instead.
//!
//! Latencies stand at the moment when their message was due (without a plan: sent), so a stall is
//! seen where its victims were; completions stand where they came.

use std::time::Duration;

/// Sixteen buckets an octave: a value is known within 6 %.
const PARTS: u32 = 16;
/// Below 2^10 ns all is one bucket; 2^42 ns is more than an hour.
const FIRST_OCTAVE: u32 = 10;
const OCTAVES: u32 = 32;
pub(crate) const BUCKETS: usize = (PARTS * OCTAVES) as usize;

/// So many intervals a picture shows well.
const FINE: u128 = 240;
/// And so many are kept at the most, of a second or longer.
const MOST: u128 = 7200;

#[derive(Clone, Debug)]
pub(crate) struct Interval {
    /// Messages sent, by when they were due.
    pub(crate) sent: u64,
    /// Answers that came within it.
    pub(crate) completed: u64,
    /// What went wrong within it.
    pub(crate) failed: u64,
    /// Of the latencies below.
    pub(crate) max: u64,
    pub(crate) counts: Box<[u32]>,
}

#[derive(Clone, Debug)]
pub(crate) struct Intervals {
    width: u64,
    /// Where the first begins.
    from: u64,
    rows: Vec<Interval>,
}

impl Default for Interval {
    fn default() -> Interval {
        Interval { sent: 0, completed: 0, failed: 0, max: 0, counts: vec![0; BUCKETS].into() }
    }
}

impl Interval {
    pub(crate) fn merge(&mut self, other: &Interval) {
        self.sent += other.sent;
        self.completed += other.completed;
        self.failed += other.failed;
        self.max = self.max.max(other.max);
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count = count.saturating_add(*more);
        }
    }

    pub(crate) fn samples(&self) -> u64 {
        self.counts.iter().map(|count| u64::from(*count)).sum()
    }

    /// The upper end of the bucket in which the percentile is; `None` without samples.
    pub(crate) fn percentile(&self, percentile: f64) -> Option<u64> {
        let samples = self.samples();
        let wanted = ((samples as f64 * percentile / 100.0).ceil() as u64).clamp(1, samples.max(1));
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += u64::from(*count);
            if seen >= wanted && samples > 0 {
                return Some(lower_end(bucket + 1).min(self.max));
            }
        }
        None
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
        let row = self.at(due);
        row.max = row.max.max(latency);
        let count = &mut row.counts[bucket(latency)];
        *count = count.saturating_add(1);
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

    /// The rows of the time before `moment`, as long as `length`, put together.
    pub(crate) fn last_before(&self, moment: u64, length: u64) -> Interval {
        let end = (moment.saturating_sub(self.from) / self.width) as usize;
        let first = end.saturating_sub((length / self.width).max(1) as usize);
        let mut all = Interval::default();
        let rows = self.rows.get(first..end.min(self.rows.len())).unwrap_or_default();
        rows.iter().for_each(|row| all.merge(row));
        all
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

#[inline]
fn bucket(ns: u64) -> usize {
    let octave = 63 - (ns | 1).leading_zeros();
    if octave < FIRST_OCTAVE {
        return 0;
    }
    let part = (ns >> (octave - 4)) & u64::from(PARTS - 1);
    ((((octave - FIRST_OCTAVE) * PARTS) as usize) + part as usize).min(BUCKETS - 1)
}

/// Where a bucket begins, in nanoseconds.
pub(crate) fn lower_end(bucket: usize) -> u64 {
    let (octave, part) = (bucket as u32 / PARTS + FIRST_OCTAVE, bucket as u64 % u64::from(PARTS));
    (u64::from(PARTS) + part) << (octave - 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_lies_in_its_bucket() {
        for ns in [1024, 1025, 1_087, 1_088, 5_000, 123_456_789, 3_600_000_000_000] {
            let bucket = bucket(ns);
            assert!(lower_end(bucket) <= ns && ns < lower_end(bucket + 1), "{ns}");
            assert!((lower_end(bucket + 1) as f64) < lower_end(bucket) as f64 * 1.07);
        }
        assert_eq!((bucket(0), bucket(1023), bucket(u64::MAX)), (0, 0, BUCKETS - 1));
    }

    #[test]
    fn percentiles_are_within_a_bucket() {
        let mut intervals = Intervals::new(0, Duration::from_secs(1));
        assert_eq!(Interval::default().percentile(50.0), None);
        for us in 1..=1000 {
            intervals.answered(0, 0, us * 1000);
        }
        let row = &intervals.rows()[0];
        for (percentile, right) in [(50.0, 500_000.0), (99.0, 990_000.0), (99.9, 999_000.0)] {
            let found = row.percentile(percentile).unwrap() as f64;
            assert!((right..right * 1.07).contains(&found), "p{percentile} = {found}");
        }
        assert_eq!(row.percentile(100.0), Some(1_000_000));
    }

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
        assert_eq!((rows[0].sent, rows[0].samples(), rows[0].completed), (1, 1, 0));
        assert_eq!((rows[1].failed, rows[2].completed, rows[2].samples()), (3, 1, 0));
        let (width, seconds) = intervals.a_second();
        assert_eq!((width, seconds.len()), (Duration::from_secs(1), 1));
        assert_eq!((seconds[0].completed, seconds[0].failed, seconds[0].max), (1, 3, 120_000_000));
        let last = intervals.last_before(1_100_000_000, 50_000_000);
        assert_eq!((last.failed, last.completed, last.sent), (3, 0, 0));
        assert_eq!(intervals.last_before(1_200_000_000, 1_000_000_000).completed, 1);
    }

    #[test]
    fn what_comes_after_the_end_is_put_to_the_last() {
        let mut intervals = Intervals::new(0, Duration::from_secs(10));
        intervals.answered(80_000_000, 2_000_000_000, 1_920_000_000);
        intervals.close(100_000_000);
        assert_eq!(intervals.rows().len(), 2);
        assert_eq!((intervals.rows()[1].samples(), intervals.rows()[1].completed), (1, 0));
        let mut other = Intervals::new(0, Duration::from_secs(10));
        other.sent(150_000_000);
        intervals.merge(&other);
        assert_eq!((intervals.rows().len(), intervals.rows()[3].sent), (4, 1));
    }
}
