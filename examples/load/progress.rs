//! The line that shows how the run goes, painted on a thread of its own: a terminal that is slow to
//! take it must not hold up a message. Or the screen instead, where one is asked for and can be had.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::args::Settings;
use crate::live::{Board, Look};
use crate::report::time;
use crate::target::Target;

/// Paints until it is dropped.
pub(crate) struct Painter {
    thread: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Painter {
    /// Paints on stderr if that is a terminal; otherwise does nothing.
    pub(crate) fn start(board: &Arc<Board>, settings: &Settings, target: &Target) -> Painter {
        let is_terminal = std::io::stderr().is_terminal();
        if settings.outputs.quiet || !(is_terminal || settings.outputs.tui) {
            return Painter { thread: None };
        }
        if settings.outputs.tui {
            match screen(board, settings, target) {
                Ok(painter) => return painter,
                Err(why) => eprintln!("wheelhouse-load: no screen for `--tui`: {why}"),
            }
        }
        if !is_terminal {
            return Painter { thread: None };
        }
        let lines = board.clone();
        Painter::on_thread(move |stopped| paint_lines(&lines, &stopped), board)
    }

    fn on_thread(paint: impl FnOnce(Receiver<()>) + Send + 'static, board: &Board) -> Painter {
        let (stop, stopped) = channel();
        board.watch();
        let thread = std::thread::Builder::new().name("progress".into());
        // Without a thread nothing is painted, which is no reason not to measure.
        let thread = thread.spawn(move || paint(stopped)).ok();
        Painter { thread: thread.map(|thread| (stop, thread)) }
    }
}

#[cfg(feature = "tui")]
fn screen(board: &Arc<Board>, settings: &Settings, target: &Target) -> Result<Painter, String> {
    let screen = crate::tui::Screen::new(board.clone(), settings, target)?;
    Ok(Painter::on_thread(move |stopped| screen.paint(&stopped), board))
}

#[cfg(not(feature = "tui"))]
fn screen(_: &Arc<Board>, _: &Settings, _: &Target) -> Result<Painter, String> {
    Err("this program was built without it; `cargo install wheelhouse-load --features tui` builds \
         it with"
        .into())
}

impl Drop for Painter {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.thread.take() {
            drop(stop);
            let _ = thread.join();
        }
    }
}

/// Ends when the sender is gone.
fn paint_lines(board: &Board, stopped: &Receiver<()>) {
    let mut before = board.look();
    while stopped.recv_timeout(Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout) {
        let now = board.look();
        write(&format!("\r\x1b[K{}", line(&now, &before)));
        before = now;
    }
    write("\r\x1b[K");
}

fn write(text: &str) {
    let mut stderr = std::io::stderr().lock();
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}

fn line(now: &Look, before: &Look) -> String {
    let Look { course, open, failures, .. } = now;
    let mut line = match course {
        None => "connecting".into(),
        Some(course) => {
            let elapsed = now.when.saturating_duration_since(course.origin).as_secs();
            let length = Duration::from_nanos(course.end).as_secs();
            format!("{elapsed:4} s of {length}")
        }
    };
    line.push_str(&format!("  {:9.0} /s", now.answers_a_second(before)));
    if now.is_after(before) {
        let counts = now.counts.since(&before.counts);
        let times = counts.main();
        if let (Some(p50), Some(p99)) = (times.percentile(50.0), times.percentile(99.0)) {
            let (p50, p99, max) = (time(p50), time(p99), time(times.max));
            line.push_str(&format!("  p50 {p50}  p99 {p99}  max {max}"));
        }
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
    use crate::live::Counts;
    use crate::live::tests::course;

    #[test]
    fn the_line_says_how_it_goes() {
        let board = Board::new(2);
        let mut before = board.look();
        board.live(0).opened();
        board.live(1).opened();
        board.live(0).answered(5000);
        let mut now = board.look();
        now.when = before.when + Duration::from_secs(2);
        assert_eq!(line(&now, &before), "connecting       2500 /s  2 connections");
        board.begin(course(before.when));
        before = board.look();
        let mut counts = Counts { at: 1, ..Counts::default() };
        counts.service.add(2_000_000);
        board.live(0).show(&counts);
        board.live(0).failed(1);
        now = board.look();
        now.when = before.when + Duration::from_millis(3400);
        let text = line(&now, &before);
        assert!(text.starts_with("   3 s of 7          0 /s"), "{text}");
        assert!(text.contains("p50 2.00 ms  p99 2.00 ms  max 2.00 ms"), "{text}");
        assert!(text.ends_with("1 errors"));
    }
}
