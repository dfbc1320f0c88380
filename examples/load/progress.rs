//! The line that shows how the run goes, painted on a thread of its own: a terminal that is slow to
//! take it must not hold up a message.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::intervals::Interval;
use crate::report::time;

/// What the painter sees of one loop. Only the loop's thread writes the counters, so a plain load
/// and store make an addition.
#[derive(Debug, Default)]
pub(crate) struct Live {
    answers: AtomicU64,
    failures: AtomicU64,
    open: AtomicU64,
    /// The last second. Held for a copy only.
    last: Mutex<Interval>,
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

    /// The loop does not wait for a painter that looks: then it shows the next one.
    pub(crate) fn show(&self, last: Interval) {
        if let Ok(mut shown) = self.last.try_lock() {
            *shown = last;
        }
    }

    /// A run is over, and with it its connections.
    pub(crate) fn reset(&self) {
        self.open.store(0, Ordering::Relaxed);
        self.show(Interval::default());
    }
}

#[inline]
fn add(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Ordering::Relaxed) + more, Ordering::Relaxed);
}

/// All loops together, at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshot {
    pub(crate) answers: u64,
    pub(crate) failures: u64,
    pub(crate) open: u64,
    pub(crate) last: Interval,
}

impl Snapshot {
    pub(crate) fn of(all: &[Arc<Live>]) -> Snapshot {
        let mut sum = Snapshot::default();
        for live in all {
            sum.answers += live.answers.load(Ordering::Relaxed);
            sum.failures += live.failures.load(Ordering::Relaxed);
            sum.open += live.open.load(Ordering::Relaxed);
            if let Ok(last) = live.last.lock() {
                sum.last.merge(&last);
            }
        }
        sum
    }
}

/// Paints until it is dropped.
pub(crate) struct Painter {
    thread: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Painter {
    /// Paints on stderr if that is a terminal; otherwise does nothing.
    pub(crate) fn start(live: Vec<Arc<Live>>, is_quiet: bool) -> Painter {
        if is_quiet || !std::io::stderr().is_terminal() {
            return Painter { thread: None };
        }
        let (stop, stopped) = channel();
        let paint = move || {
            let start = Instant::now();
            let (mut before, mut before_at) = (0, start);
            // Ends when the sender is gone.
            while stopped.recv_timeout(Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout) {
                let (now, snapshot) = (Instant::now(), Snapshot::of(&live));
                let answers = snapshot.answers;
                let rate = (answers - before) as f64 / now.duration_since(before_at).as_secs_f64();
                write(&format!("\r\x1b[K{}", line(&snapshot, start.elapsed(), rate)));
                (before, before_at) = (answers, now);
            }
            write("\r\x1b[K");
        };
        let thread = std::thread::Builder::new().name("progress".into()).spawn(paint);
        // Without a thread there is no line, which is no reason not to measure.
        Painter { thread: thread.ok().map(|thread| (stop, thread)) }
    }
}

impl Drop for Painter {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.thread.take() {
            drop(stop);
            let _ = thread.join();
        }
    }
}

fn write(text: &str) {
    let mut stderr = std::io::stderr().lock();
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}

fn line(snapshot: &Snapshot, elapsed: Duration, rate: f64) -> String {
    let Snapshot { open, failures, last, .. } = snapshot;
    let mut line = format!("{:4} s  {rate:9.0} /s", elapsed.as_secs());
    if let (Some(p50), Some(p99)) = (last.percentile(50.0), last.percentile(99.0)) {
        line.push_str(&format!("  p50 {}  p99 {}  max {}", time(p50), time(p99), time(last.max)));
    }
    line.push_str(&format!("  {open} connections"));
    if *failures > 0 {
        line.push_str(&format!("  {failures} errors"));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intervals::Intervals;

    #[test]
    fn the_line_says_how_it_goes() {
        let all = [Arc::new(Live::default()), Arc::new(Live::default())];
        let live = &all[0];
        live.opened();
        live.opened();
        live.closed();
        live.answered(5);
        all[1].opened();
        let text = line(&Snapshot::of(&all), Duration::from_millis(3400), 123_456.0);
        assert_eq!(text, "   3 s     123456 /s  2 connections");
        let mut intervals = Intervals::new(0, Duration::from_secs(1));
        intervals.answered(0, 0, 2_000_000);
        live.show(intervals.rows()[0].clone());
        live.failed(1);
        let text = line(&Snapshot::of(&all), Duration::ZERO, 0.0);
        assert!(text.contains("p50 2.00 ms  p99 2.00 ms  max 2.00 ms"), "{text}");
        assert!(text.ends_with("1 errors"));
        live.reset();
        assert_eq!(Snapshot::of(&all).open, 1);
    }
}
