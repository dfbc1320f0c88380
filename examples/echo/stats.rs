//! What is counted, and the lines that say it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use wheelhouse::net::Counts;

/// The counters of one loop. Only its thread writes them and any may read, so a plain load and
/// store make an addition: no locked instruction a message. Aligned so that no two loops share a
/// cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Tally {
    messages: AtomicU64,
    bytes: AtomicU64,
    opened: AtomicU64,
    closed: AtomicU64,
    failed: AtomicU64,
    idle: AtomicU64,
    cut: AtomicU64,
    limited: AtomicU64,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The client closed it, or everything received was echoed at the stop.
    Done,
    /// The idle timeout.
    Idle,
    /// A reset and its like.
    Failed,
    /// The limit of bytes.
    Limit,
    /// Closed at the stop before everything received was echoed.
    Cut,
}

impl Tally {
    /// A message is what one receive gives.
    #[inline]
    pub(crate) fn message(&self, bytes: usize) {
        add(&self.messages, 1);
        add(&self.bytes, bytes as u64);
    }

    pub(crate) fn opened(&self) {
        add(&self.opened, 1);
    }

    pub(crate) fn closed(&self, end: End) {
        add(&self.closed, 1);
        match end {
            End::Done => {}
            End::Idle => add(&self.idle, 1),
            End::Failed => add(&self.failed, 1),
            End::Limit => add(&self.limited, 1),
            End::Cut => add(&self.cut, 1),
        }
    }
}

/// The counters of all loops; a loop adds its own.
#[derive(Debug, Default)]
pub(crate) struct Tallies(Mutex<Vec<Arc<Tally>>>);

impl Tallies {
    pub(crate) fn add(&self) -> Arc<Tally> {
        let tally = Arc::<Tally>::default();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(tally.clone());
        tally
    }

    /// All that is counted, `servers` being what the runtime's servers count.
    pub(crate) fn totals(&self, servers: &[Counts]) -> Totals {
        let tallies = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut totals = Totals::of(tallies.iter().map(|tally| &**tally));
        for counts in servers {
            totals.turned_away += counts.refused;
            totals.accept_errors += counts.errors;
        }
        totals
    }
}

#[inline]
fn add(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Ordering::Relaxed) + more, Ordering::Relaxed);
}

/// The sum of all loops at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    pub(crate) opened: u64,
    pub(crate) closed: u64,
    pub(crate) failed: u64,
    pub(crate) idle: u64,
    pub(crate) cut: u64,
    pub(crate) limited: u64,
    pub(crate) turned_away: u64,
    pub(crate) accept_errors: u64,
}

impl Totals {
    pub(crate) fn of<'a>(tallies: impl IntoIterator<Item = &'a Tally>) -> Totals {
        let mut totals = Totals::default();
        for tally in tallies {
            // `closed` first: a connection that ends meanwhile is still counted as open, and not
            // the other way round.
            totals.closed += tally.closed.load(Ordering::Relaxed);
            totals.opened += tally.opened.load(Ordering::Relaxed);
            totals.messages += tally.messages.load(Ordering::Relaxed);
            totals.bytes += tally.bytes.load(Ordering::Relaxed);
            totals.failed += tally.failed.load(Ordering::Relaxed);
            totals.idle += tally.idle.load(Ordering::Relaxed);
            totals.cut += tally.cut.load(Ordering::Relaxed);
            totals.limited += tally.limited.load(Ordering::Relaxed);
        }
        totals
    }

    /// The line of `--stats`: what happened since `before`.
    pub(crate) fn line(&self, before: &Totals, over: Duration) -> String {
        let seconds = over.as_secs_f64().max(1e-9);
        let rate = |now: u64, before: u64| (now - before) as f64 / seconds;
        format!(
            "{} connections  {}messages/s  {}B/s  total {} messages, {} connections",
            self.opened.saturating_sub(self.closed),
            scaled(rate(self.messages, before.messages)),
            scaled(rate(self.bytes, before.bytes)),
            self.messages,
            self.opened,
        )
    }

    /// As `line`, for programs.
    pub(crate) fn json_line(&self, before: &Totals, over: Duration) -> String {
        let seconds = over.as_secs_f64().max(1e-9);
        format!(
            "{{\"event\":\"stats\",\"seconds\":{seconds:.3},\"messages_per_second\":{:.1},\
             \"bytes_per_second\":{:.1},{}}}",
            (self.messages - before.messages) as f64 / seconds,
            (self.bytes - before.bytes) as f64 / seconds,
            self.json_fields(),
        )
    }

    /// As `summary`, for programs.
    pub(crate) fn json_summary(&self, over: Duration) -> String {
        let seconds = over.as_secs_f64();
        format!("{{\"event\":\"end\",\"seconds\":{seconds:.3},{}}}", self.json_fields())
    }

    fn json_fields(&self) -> String {
        let fields = self.named().map(|(name, count, _)| format!("\"{name}\":{count}"));
        fields.join(",")
    }

    /// Every count, its name for programs, and what it is.
    pub(crate) fn named(&self) -> [(&'static str, u64, &'static str); 11] {
        [
            ("connections_open", self.opened.saturating_sub(self.closed), "open connections"),
            ("connections", self.opened, "connections accepted"),
            ("messages", self.messages, "receives, sends of the generator, and datagrams"),
            ("bytes", self.bytes, "bytes received, or sent by the generator"),
            ("closed", self.closed, "connections that ended, for whatever reason"),
            ("idle", self.idle, "connections closed as idle"),
            ("failed", self.failed, "connections that failed, by a reset and its like"),
            ("limited", self.limited, "connections closed at the limit of bytes"),
            (
                "turned_away",
                self.turned_away,
                "connections beyond what a peer may have, or without a place at the stop",
            ),
            ("cut", self.cut, "connections cut at the stop"),
            (
                "accept_errors",
                self.accept_errors,
                "failures to accept, for want of open files, say",
            ),
        ]
    }

    /// The line at the end.
    pub(crate) fn summary(&self, over: Duration) -> String {
        let mut line = format!(
            "{} messages, {}B, on {} connections in {:.1} s",
            self.messages,
            scaled(self.bytes as f64),
            self.opened,
            over.as_secs_f64(),
        );
        for (count, what) in [
            (self.idle, "closed as idle"),
            (self.failed, "failed"),
            (self.limited, "closed at the limit of bytes"),
            (self.turned_away, "turned away"),
            (self.cut, "cut"),
            (self.accept_errors, "failures to accept"),
        ] {
            if count > 0 {
                line.push_str(&format!("; {count} {what}"));
            }
        }
        line
    }
}

/// A number with a decimal prefix and a blank behind it: `1.25 M`, `950 `.
fn scaled(number: f64) -> String {
    match number {
        n if n >= 1e9 => format!("{:.2} G", n / 1e9),
        n if n >= 1e6 => format!("{:.2} M", n / 1e6),
        n if n >= 1e4 => format!("{:.1} k", n / 1e3),
        n => format!("{n:.0} "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_sums_and_differences_over_all_loops() {
        let loops = [Tally::default(), Tally::default()];
        loops[0].opened();
        loops[1].opened();
        loops[1].closed(End::Idle);
        let before = Totals::of(&loops);
        loops[0].message(64);
        loops[0].message(64);
        let now = Totals::of(&loops);
        assert_eq!((now.messages, now.bytes, now.opened, now.closed, now.idle), (2, 128, 2, 1, 1));
        let line = now.line(&before, Duration::from_secs(2));
        assert_eq!(line, "1 connections  1 messages/s  64 B/s  total 2 messages, 2 connections");
        let summary = now.summary(Duration::from_millis(1500));
        assert_eq!(summary, "2 messages, 128 B, on 2 connections in 1.5 s; 1 closed as idle");
        assert_eq!(
            now.json_summary(Duration::from_millis(1500)),
            "{\"event\":\"end\",\"seconds\":1.500,\"connections_open\":1,\"connections\":2,\
             \"messages\":2,\"bytes\":128,\"closed\":1,\"idle\":1,\"failed\":0,\"limited\":0,\
             \"turned_away\":0,\"cut\":0,\"accept_errors\":0}"
        );
        let line = now.json_line(&before, Duration::from_secs(2));
        assert!(line.contains("\"messages_per_second\":1.0,\"bytes_per_second\":64.0"), "{line}");
    }

    #[test]
    fn large_numbers_are_scaled() {
        assert_eq!(scaled(950.0), "950 ");
        assert_eq!(scaled(123_456.0), "123.5 k");
        assert_eq!(scaled(1_250_000.0), "1.25 M");
        assert_eq!(scaled(64e9), "64.00 G");
    }
}
