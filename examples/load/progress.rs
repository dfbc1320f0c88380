//! The line that shows how the run goes, painted on a thread of its own: a terminal that is slow to
//! take it must not hold up a message.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What the painter sees of the run. Only the loop's thread writes, so a plain load and store make
/// an addition.
#[derive(Debug, Default)]
pub(crate) struct Live {
    answers: AtomicU64,
    failures: AtomicU64,
    open: AtomicU64,
}

impl Live {
    #[inline]
    pub(crate) fn answered(&self, count: u64) {
        add(&self.answers, count);
    }

    pub(crate) fn failed(&self) {
        add(&self.failures, 1);
    }

    pub(crate) fn opened(&self) {
        add(&self.open, 1);
    }

    pub(crate) fn closed(&self) {
        self.open.store(self.open.load(Ordering::Relaxed).saturating_sub(1), Ordering::Relaxed);
    }
}

#[inline]
fn add(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Ordering::Relaxed) + more, Ordering::Relaxed);
}

/// Paints until it is dropped.
pub(crate) struct Painter {
    thread: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Painter {
    /// Paints on stderr if that is a terminal; otherwise does nothing.
    pub(crate) fn start(live: Arc<Live>, size: usize) -> Painter {
        if !std::io::stderr().is_terminal() {
            return Painter { thread: None };
        }
        let (stop, stopped) = channel();
        let paint = move || {
            let start = Instant::now();
            let (mut before, mut before_at) = (0, start);
            // Ends when the sender is gone.
            while stopped.recv_timeout(Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout) {
                let (answers, now) = (live.answers.load(Ordering::Relaxed), Instant::now());
                let rate = (answers - before) as f64 / now.duration_since(before_at).as_secs_f64();
                write(&format!("\r\x1b[K{}", line(&live, start.elapsed(), rate, size)));
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

fn line(live: &Live, elapsed: Duration, rate: f64, size: usize) -> String {
    let open = live.open.load(Ordering::Relaxed);
    let failures = live.failures.load(Ordering::Relaxed);
    let mut line = format!(
        "{:4} s  {rate:9.0} messages/s  {:8.2} MB/s  {open} connections",
        elapsed.as_secs(),
        rate * size as f64 / 1e6
    );
    if failures > 0 {
        line.push_str(&format!("  {failures} errors"));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_how_it_goes() {
        let live = Live::default();
        live.opened();
        live.opened();
        live.closed();
        live.answered(5);
        let text = line(&live, Duration::from_millis(3400), 123_456.0, 64);
        assert_eq!(text, "   3 s     123456 messages/s      7.90 MB/s  1 connections");
        live.failed();
        assert!(line(&live, Duration::ZERO, 0.0, 64).ends_with("1 errors"));
    }
}
