//! Which requests are worth another try, and how long to wait before it.

use std::time::Duration;

/// A server that wants to be left alone for longer is left alone for good.
pub(crate) const LONGEST_WISH: Duration = Duration::from_secs(120);

const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Statuses that may pass: overload, time-outs, and gateways whose server is away. 500 is often a
/// bug that stays, but as often a moment's trouble.
pub(crate) fn may_pass(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500 | 502 | 503 | 504 | 522 | 524)
}

/// A status by which a server says that we ask too much.
pub(crate) fn is_strain(status: u16) -> bool {
    matches!(status, 429 | 503)
}

/// How long to wait after `tries` requests: `base`, doubled each time, of which the last half is
/// left to chance, or all who failed together come back together.
pub(crate) fn wait(base: Duration, tries: u8, chance: f64) -> Duration {
    let doubled = base.saturating_mul(1 << u32::from(tries.saturating_sub(1)).min(16));
    let longest = doubled.min(LONGEST_WAIT.max(base));
    longest / 2 + longest.mul_f64(chance.clamp(0.0, 1.0) / 2.0)
}

/// Numbers between 0 and 1 that differ from run to run. Nothing here needs better ones.
#[derive(Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new() -> Chance {
        use std::hash::{BuildHasher, Hasher, RandomState};
        Chance(RandomState::new().build_hasher().finish() | 1)
    }

    pub(crate) fn next_u64(&mut self) -> u64 {
        // xorshift64.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn next(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_and_leave_half_to_chance() {
        let base = Duration::from_millis(500);
        let millis = |tries, chance| wait(base, tries, chance).as_millis();
        assert_eq!([millis(1, 0.0), millis(1, 1.0)], [250, 500]);
        assert_eq!([millis(2, 0.0), millis(2, 0.5), millis(2, 1.0)], [500, 750, 1000]);
        assert_eq!([millis(3, 1.0), millis(4, 1.0)], [2000, 4000]);
        assert_eq!(wait(base, 200, 1.0), LONGEST_WAIT);
        assert_eq!(wait(Duration::from_secs(60), 1, 1.0), Duration::from_secs(60));
    }

    #[test]
    fn chance_is_between_nothing_and_one() {
        let mut chance = Chance::new();
        let all: Vec<f64> = (0..1000).map(|_| chance.next()).collect();
        assert!(all.iter().all(|one| (0.0..1.0).contains(one)));
        let mean = all.iter().sum::<f64>() / 1000.0;
        assert!((0.4..0.6).contains(&mean), "{mean}");
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        assert!([408, 429, 500, 502, 503, 504, 522, 524].into_iter().all(may_pass));
        assert!(![200, 301, 400, 401, 403, 404, 410, 501, 505].into_iter().any(may_pass));
    }
}
