//! A coarse histogram: small enough to be kept for each moment of a run, and copied while it runs.

/// Sixteen buckets an octave: a value is known within 6 %.
const PARTS: u32 = 16;
/// Below 2^10 ns all is one bucket; 2^42 ns is more than an hour.
const FIRST_OCTAVE: u32 = 10;
const OCTAVES: u32 = 32;
pub(crate) const BUCKETS: usize = (PARTS * OCTAVES) as usize;

#[derive(Clone, Debug)]
pub(crate) struct Coarse {
    pub(crate) max: u64,
    pub(crate) counts: Box<[u32]>,
}

impl Default for Coarse {
    fn default() -> Coarse {
        Coarse { max: 0, counts: vec![0; BUCKETS].into() }
    }
}

impl Coarse {
    #[inline]
    pub(crate) fn add(&mut self, ns: u64) {
        self.max = self.max.max(ns);
        let count = &mut self.counts[bucket(ns)];
        *count = count.saturating_add(1);
    }

    pub(crate) fn merge(&mut self, other: &Coarse) {
        self.max = self.max.max(other.max);
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count = count.saturating_add(*more);
        }
    }

    /// What has come since it was as `before`. Of the maximum only its bucket is known then, unless
    /// it is new.
    pub(crate) fn since(&self, before: &Coarse) -> Coarse {
        let counts = self.counts.iter().zip(&before.counts);
        let counts: Box<[u32]> = counts.map(|(now, then)| now.saturating_sub(*then)).collect();
        let highest = counts.iter().rposition(|count| *count > 0);
        let max = highest.map_or(0, |bucket| lower_end(bucket + 1).min(self.max));
        Coarse { max, counts }
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
        let mut times = Coarse::default();
        assert_eq!(times.percentile(50.0), None);
        for us in 1..=1000 {
            times.add(us * 1000);
        }
        for (percentile, right) in [(50.0, 500_000.0), (99.0, 990_000.0), (99.9, 999_000.0)] {
            let found = times.percentile(percentile).unwrap() as f64;
            assert!((right..right * 1.07).contains(&found), "p{percentile} = {found}");
        }
        assert_eq!(times.percentile(100.0), Some(1_000_000));
    }

    #[test]
    fn what_came_since_is_told_apart() {
        let mut times = Coarse::default();
        times.add(5_000_000);
        let before = times.clone();
        assert_eq!(times.since(&before).percentile(50.0), None);
        times.add(1_000_000);
        let since = times.since(&before);
        assert_eq!(since.samples(), 1);
        assert!((1_000_000..1_070_000).contains(&since.max), "{}", since.max);
        let before = times.clone();
        times.add(7_000_000);
        assert_eq!(times.since(&before).max, 7_000_000, "a new maximum is exact");
    }
}
