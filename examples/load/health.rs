//! How the generator itself fares: what its thread took of a processor, how long it waited for one,
//! how long the loop was ever away, and how full its tables were. A tester that is ill measures
//! itself.

use std::cell::Cell;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;
use wheelhouse::time::{Instant, sleep_until};

/// How often the pulse looks. Rare enough to cost nothing.
const PULSE: Duration = Duration::from_millis(5);

/// Times of a thread since it began.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ThreadTimes {
    pub(crate) ran: Duration,
    /// Of that, what its loop spun while it had nothing to do.
    pub(crate) spun: Duration,
    /// Ready to run, while another thread had the processor.
    pub(crate) waited: Duration,
}

impl ThreadTimes {
    /// Of this thread, and its loop.
    pub(crate) fn now() -> ThreadTimes {
        // Where the system does not tell it, nothing is known to have been waited.
        let waited = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
        let waited = waited.and_then(|text| text.split_whitespace().nth(1)?.parse().ok());
        let ran = clock_gettime(ClockId::ThreadCPUTime);
        ThreadTimes {
            ran: Duration::new(
                ran.tv_sec.try_into().unwrap_or(0),
                ran.tv_nsec.try_into().unwrap_or(0),
            ),
            spun: wheelhouse::metrics().spun,
            waited: Duration::from_nanos(waited.unwrap_or(0)),
        }
    }

    /// Of another thread, by its number, whose loop has `spun` so much; nothing is known of one that
    /// is not there.
    pub(crate) fn of(thread: i32, spun: Duration) -> ThreadTimes {
        let path = format!("/proc/self/task/{thread}/schedstat");
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let mut words = text.split_whitespace().map(|word| word.parse().unwrap_or(0));
        let mut next = || Duration::from_nanos(words.next().unwrap_or(0));
        ThreadTimes { ran: next(), waited: next(), spun }
    }

    pub(crate) fn since(self, before: ThreadTimes) -> ThreadTimes {
        ThreadTimes {
            ran: self.ran.saturating_sub(before.ran),
            spun: self.spun.saturating_sub(before.spun),
            waited: self.waited.saturating_sub(before.waited),
        }
    }

    /// What it took of a processor to do something with it.
    pub(crate) fn worked(self) -> Duration {
        self.ran.saturating_sub(self.spun)
    }
}

/// What is in the tables of a loop, or of several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Tables {
    pub(crate) tasks: usize,
    pub(crate) timers: usize,
    /// Sockets and whatever else is waited for.
    pub(crate) sources: usize,
}

impl Tables {
    fn now() -> Tables {
        let metrics = wheelhouse::metrics();
        Tables { tasks: metrics.tasks, timers: metrics.timers, sources: metrics.sources }
    }

    fn most(self, other: Tables) -> Tables {
        self.with(other, usize::max)
    }

    fn sum(self, other: Tables) -> Tables {
        self.with(other, |one, other| one + other)
    }

    fn with(self, other: Tables, both: impl Fn(usize, usize) -> usize) -> Tables {
        Tables {
            tasks: both(self.tasks, other.tasks),
            timers: both(self.timers, other.timers),
            sources: both(self.sources, other.sources),
        }
    }
}

/// What the pulse of a loop told.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pulse {
    /// The longest that the loop was away.
    pub(crate) longest: Duration,
    /// The most that its tables held in the first half of the run and in the second. What grows in a
    /// run of any length is more in the second.
    pub(crate) tables: [Tables; 2],
}

impl Pulse {
    /// Of two loops of a run.
    pub(crate) fn beside(self, other: Pulse) -> Pulse {
        let ([first, second], [more, yet_more]) = (self.tables, other.tables);
        Pulse {
            longest: self.longest.max(other.longest),
            tables: [first.sum(more), second.sum(yet_more)],
        }
    }
}

/// Sleeps to moments of its own and notes how late the worst was, which is how long the loop was
/// kept from going round. Ends when it is dropped.
pub(crate) async fn pulse(seen: &Cell<Pulse>, half: Instant) {
    loop {
        let next = Instant::now() + PULSE;
        sleep_until(next).await;
        let now = Instant::now();
        let mut told = seen.get();
        told.longest = told.longest.max(now.saturating_duration_since(next));
        let tables = &mut told.tables[usize::from(now >= half)];
        *tables = tables.most(Tables::now());
        seen.set(told);
    }
}
