//! How the generator itself fares: what its thread took of a processor, how long it waited for one,
//! and how long the loop was ever away. A tester that is ill measures itself.

use std::cell::Cell;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
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

/// Sleeps to moments of its own and notes how late the worst was, which is how long the loop was
/// kept from going round. Ends when it is dropped.
pub(crate) async fn pulse(longest: &Cell<Duration>) {
    let mut next = Instant::now() + PULSE;
    loop {
        sleep_until(next).await;
        let late = Instant::now().saturating_duration_since(next);
        longest.set(longest.get().max(late));
        next = Instant::now() + PULSE;
    }
}
