//! The plan of an open loop: when each message is due, as offsets from the start.
//!
//! Message `n` of the whole run is due at `floor(n * 10^9 / rate)` nanoseconds, computed anew from
//! `n` each time, so nothing adds up. The plan never moves: who falls behind is late, and the count
//! of late messages says so. Messages go round the connections in turn; connection `i` of `c` has
//! the messages `i`, `i + c`, `i + 2c` and so on.

const NANOS: u64 = 1_000_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    rate: u64,
    connections: u64,
}

/// What one connection has to send.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    plan: Plan,
    /// The next message, by its number in the whole run.
    next: u64,
    due: u64,
}

impl Plan {
    /// Both are at least 1.
    pub(crate) fn new(rate: u64, connections: usize) -> Plan {
        Plan { rate, connections: connections as u64 }
    }

    /// When message `number` is due, in nanoseconds.
    pub(crate) fn due(&self, number: u64) -> u64 {
        match number.checked_mul(NANOS) {
            Some(scaled) => scaled / self.rate,
            None => saturate(u128::from(number) * u128::from(NANOS) / u128::from(self.rate)),
        }
    }

    /// How many messages are due before `moment`.
    pub(crate) fn due_before(&self, moment: u64) -> u64 {
        // floor(n * N / rate) < moment  <=>  n * N < moment * rate
        saturate((u128::from(moment) * u128::from(self.rate)).div_ceil(u128::from(NANOS)))
    }

    /// How many messages are due from `from` on and before `until`.
    pub(crate) fn due_between(&self, from: u64, until: u64) -> u64 {
        self.due_before(until).saturating_sub(self.due_before(from))
    }

    pub(crate) fn schedule(&self, connection: usize) -> Schedule {
        let next = connection as u64;
        Schedule { plan: *self, next, due: self.due(next) }
    }
}

impl Schedule {
    /// When the next message is due.
    #[inline]
    pub(crate) fn due(&self) -> u64 {
        self.due
    }

    /// The next message is sent.
    #[inline]
    pub(crate) fn advance(&mut self) {
        self.next += self.plan.connections;
        self.due = self.plan.due(self.next);
    }

    /// How many messages that are due from `from` on and before `until` were not sent.
    pub(crate) fn unsent(&self, from: u64, until: u64) -> u64 {
        let first = self.next;
        let own_before = |moment| {
            let all = self.plan.due_before(moment);
            all.saturating_sub(first).div_ceil(self.plan.connections)
        };
        own_before(until).saturating_sub(own_before(from))
    }
}

fn saturate(number: u128) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_at_an_odd_rate_does_not_drift_by_a_nanosecond() {
        for rate in [1, 3, 7, 999, 12_345, 1_000_003, 100_000_000] {
            let plan = Plan::new(rate, 64);
            let last = rate * 86_400;
            assert_eq!(plan.due(0), 0);
            assert_eq!(plan.due(last), 86_400 * NANOS, "rate {rate}");
            assert_eq!(plan.due_before(86_400 * NANOS), last, "rate {rate}");
            for number in (0..last).step_by(usize::try_from(last / 97).unwrap()) {
                let exact = u128::from(number) * u128::from(NANOS) / u128::from(rate);
                assert_eq!(u128::from(plan.due(number)), exact);
            }
        }
        // Beyond 64 bits of product, and beyond all bounds.
        assert_eq!(Plan::new(100, 1).due(100 * 86_400 * 365 * 50), 86_400 * 365 * 50 * NANOS);
        assert_eq!(Plan::new(1, 1).due(u64::MAX), u64::MAX);
    }

    #[test]
    fn the_connections_together_send_each_message_once_and_in_time() {
        let plan = Plan::new(12_345, 7);
        let end = NANOS / 10;
        let mut sent = Vec::new();
        for connection in 0..7 {
            let mut schedule = plan.schedule(connection);
            let mut own = schedule.unsent(0, end);
            while schedule.due() < end {
                sent.push(schedule.due());
                schedule.advance();
                own -= 1;
                assert_eq!(schedule.unsent(0, end), own);
            }
            assert_eq!(own, 0);
        }
        sent.sort_unstable();
        let planned: Vec<u64> = (0..plan.due_before(end)).map(|number| plan.due(number)).collect();
        assert_eq!(planned.len(), 1235);
        assert_eq!(sent, planned);
    }

    #[test]
    fn counting_agrees_with_the_deadlines() {
        for rate in [1, 3, 1000, 999_999_999] {
            let plan = Plan::new(rate, 3);
            for moment in [0, 1, 2, 999, 1_000_000, 333_333_333, 333_333_334, 1_999_999_999] {
                let count = plan.due_before(moment);
                assert!(count == 0 || plan.due(count - 1) < moment, "rate {rate}, {moment}");
                assert!(plan.due(count) >= moment, "rate {rate}, {moment}");
            }
            assert_eq!(plan.due_between(NANOS, 3 * NANOS), 2 * rate);
        }
    }

    #[test]
    fn what_is_unsent_can_be_asked_for_a_part_of_the_run() {
        let mut schedule = Plan::new(10, 2).schedule(1);
        // Due at 0.1, 0.3, 0.5, ...
        assert_eq!(schedule.unsent(0, NANOS), 5);
        assert_eq!(schedule.unsent(NANOS / 2, NANOS), 3);
        for _ in 0..3 {
            schedule.advance();
        }
        assert_eq!(schedule.due(), 700_000_000);
        assert_eq!((schedule.unsent(0, NANOS), schedule.unsent(NANOS / 2, NANOS)), (2, 2));
        assert_eq!(schedule.unsent(NANOS, 0), 0);
    }
}
