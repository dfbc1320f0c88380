//! What people see while the crawl runs: a line that is painted over, and lines that stay.
//!
//! Both are written by a thread of their own: a terminal that is slow to take them must not hold up
//! a request. If it is very slow, lines are dropped rather than piled up.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Lines that may wait for the terminal.
const LINES: usize = 4096;

const PAINT_EVERY: Duration = Duration::from_millis(250);

/// What the painter sees of the crawl. Only the loop's thread writes, so a plain load and store
/// make an addition.
#[derive(Debug, Default)]
pub(crate) struct Live {
    done: AtomicU64,
    bad: AtomicU64,
    known: AtomicU64,
    waiting: AtomicU64,
    dropped: AtomicU64,
    lines: std::sync::OnceLock<SyncSender<String>>,
}

impl Live {
    pub(crate) fn done(&self, is_bad: bool, waiting: u64) {
        add(&self.done, 1);
        add(&self.bad, u64::from(is_bad));
        self.waiting.store(waiting, Ordering::Relaxed);
    }

    pub(crate) fn found(&self, known: u64, waiting: u64) {
        self.known.store(known, Ordering::Relaxed);
        self.waiting.store(waiting, Ordering::Relaxed);
    }

    /// A line that stays.
    pub(crate) fn say(&self, line: String) {
        if let Some(lines) = self.lines.get()
            && lines.try_send(line).is_err()
        {
            add(&self.dropped, 1);
        }
    }
}

fn add(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Ordering::Relaxed) + more, Ordering::Relaxed);
}

/// Writes until it is dropped.
pub(crate) struct Painter {
    thread: Option<(SyncSender<()>, JoinHandle<()>)>,
}

impl Painter {
    /// Writes on stderr: lines if `has_lines`, and if it is a terminal the line that moves.
    pub(crate) fn start(live: &Arc<Live>, has_lines: bool, is_quiet: bool) -> Painter {
        let paints = std::io::stderr().is_terminal() && !is_quiet;
        if !paints && !has_lines {
            return Painter { thread: None };
        }
        let (stop, stopped) = sync_channel(0);
        let (sender, lines) = sync_channel(LINES);
        if has_lines {
            let _ = live.lines.set(sender);
        }
        let live = live.clone();
        let work = move || paint(&live, &lines, &stopped, paints);
        let thread = std::thread::Builder::new().name("progress".into()).spawn(work);
        // Without a thread there is no line, which is no reason not to crawl.
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

fn paint(live: &Live, lines: &Receiver<String>, stopped: &Receiver<()>, paints: bool) {
    let begin = Instant::now();
    let (mut before, mut before_at) = (0, begin);
    loop {
        let is_over = stopped.recv_timeout(PAINT_EVERY) != Err(RecvTimeoutError::Timeout);
        let mut text = String::new();
        if paints {
            text.push_str("\r\x1b[K");
        }
        while let Ok(line) = lines.try_recv() {
            text.push_str(&line);
            text.push('\n');
        }
        if paints && !is_over {
            let (done, now) = (live.done.load(Ordering::Relaxed), Instant::now());
            let rate = (done - before) as f64 / now.duration_since(before_at).as_secs_f64();
            text.push_str(&line(live, begin.elapsed(), rate));
            (before, before_at) = (done, now);
        }
        let dropped = live.dropped.load(Ordering::Relaxed);
        if is_over && dropped > 0 {
            text.push_str(&format!("({dropped} lines were left out: the terminal was too slow)\n"));
        }
        let mut stderr = std::io::stderr().lock();
        let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
        if is_over {
            return;
        }
    }
}

fn line(live: &Live, elapsed: Duration, rate: f64) -> String {
    let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    format!(
        "{:4} s  {} of {} pages  {rate:.0} a second  {} waiting  {} bad",
        elapsed.as_secs(),
        load(&live.done),
        load(&live.known),
        load(&live.waiting),
        load(&live.bad)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_how_it_goes() {
        let live = Live::default();
        live.found(12, 9);
        live.done(false, 8);
        live.done(true, 7);
        let text = line(&live, Duration::from_millis(3400), 41.7);
        assert_eq!(text, "   3 s  2 of 12 pages  42 a second  7 waiting  1 bad");
    }

    #[test]
    fn lines_that_nobody_takes_are_counted() {
        let live = Live::default();
        live.say("before there is a painter".into());
        let (sender, receiver) = sync_channel(1);
        live.lines.set(sender).unwrap();
        live.say("taken".into());
        live.say("too many".into());
        assert_eq!(receiver.try_recv().as_deref(), Ok("taken"));
        assert_eq!(live.dropped.load(Ordering::Relaxed), 1);
    }
}
