//! The terminal: taken over while the run goes on, drawn on from a thread of its own, and given back
//! whole however the program ends.
//!
//! It is drawn on stderr, as the line is, so stdout stays free for the report. A key to stop raises the
//! very interrupt that Ctrl-C would, had the screen not taken the keyboard.

use std::io::{self, BufWriter, IsTerminal, Stderr, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use rustix::process::{Signal, getpid, kill_process};

use crate::args::Settings;
use crate::live::{Board, Look, TICK};
use crate::target::Target;
use crate::tui::draw;
use crate::tui::view::{History, View, still};

/// How long a key, or the end of the run, may wait to be seen.
const GLANCE: Duration = Duration::from_millis(50);

/// The terminal is taken over. There is one, so is this.
static IS_TAKEN: AtomicBool = AtomicBool::new(false);

pub(crate) struct Screen {
    board: Arc<Board>,
    view: View,
    history: History,
    /// Of the last second, oldest first.
    looks: Vec<Look>,
}

/// The terminal, until it is dropped.
struct Taken {
    terminal: Terminal<CrosstermBackend<BufWriter<Stderr>>>,
}

impl Screen {
    /// Says why if there can be none.
    pub(crate) fn new(
        board: Arc<Board>,
        settings: &Settings,
        target: &Target,
    ) -> Result<Screen, String> {
        if !io::stderr().is_terminal() {
            return Err("stderr, on which it is drawn, is no terminal".into());
        }
        if std::env::var_os("TERM").is_some_and(|term| term == "dumb") {
            return Err("the terminal is dumb (`TERM`)".into());
        }
        // Whether there is a keyboard, before anything is drawn.
        enable_raw_mode()
            .and_then(|()| disable_raw_mode())
            .map_err(|error| format!("there is no keyboard to stop it by: {error}"))?;
        let history = History::new(TICK.as_nanos() as u64);
        let looks = vec![board.look()];
        Ok(Screen { board, view: still(settings, target), history, looks })
    }

    /// Until the sender is gone. What fails with the terminal ends the screen, and not the run.
    pub(crate) fn paint(mut self, stopped: &Receiver<()>) {
        let is_over = || stopped.try_recv() == Err(TryRecvError::Disconnected);
        // Before somebody listens for interrupts, a key could not stop the run.
        while !self.board.is_guarded() {
            if is_over() {
                return;
            }
            std::thread::sleep(GLANCE);
        }
        let Ok(mut taken) = Taken::take() else { return };
        self.board.screen(true);
        let mut next = Instant::now();
        while !is_over() && IS_TAKEN.load(Ordering::Acquire) {
            let is_due = Instant::now() >= next;
            if is_due {
                next = Instant::now() + TICK;
                self.look();
            }
            let Ok(has_event) = self.listen() else { break };
            if (is_due || has_event) && taken.draw(&self.view).is_err() {
                break;
            }
        }
        self.board.screen(false);
    }

    /// Whether something came that asks for a new picture.
    fn listen(&mut self) -> io::Result<bool> {
        if !event::poll(GLANCE)? {
            return Ok(false);
        }
        if let Event::Key(key) = event::read()? {
            if !is_to_stop(key) {
                return Ok(false);
            }
            self.board.stop();
            // The signal is taken where a Ctrl-C of the plain line is.
            let _ = kill_process(getpid(), Signal::INT);
            self.look();
        }
        Ok(true)
    }

    fn look(&mut self) {
        let now = self.board.look();
        let last = self.looks.last().filter(|last| now.is_after(last));
        match last {
            Some(last) if now.counts.at > last.counts.at => {
                let counts = now.counts.since(&last.counts);
                self.history.add(now.counts.at, counts.main().clone());
            }
            Some(_) => {}
            // Another run, or none.
            None => {
                self.looks.clear();
                if now.course.is_some() {
                    self.history = History::new(TICK.as_nanos() as u64);
                }
            }
        }
        let second = Duration::from_millis(1010);
        let is_old = |look: &Look| now.when.saturating_duration_since(look.when) > second;
        self.looks.retain(|look| !is_old(look));
        let before = self.looks.first().unwrap_or(&now);
        self.view.fill(&now, before, &self.board, &self.history);
        self.looks.push(now);
    }
}

fn is_to_stop(key: KeyEvent) -> bool {
    let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
    key.kind == KeyEventKind::Press
        && match key.code {
            KeyCode::Char('q' | 'Q') => true,
            KeyCode::Char('c' | 'C') => is_control,
            _ => false,
        }
}

impl Taken {
    fn take() -> io::Result<Taken> {
        give_back_on_panic();
        IS_TAKEN.store(true, Ordering::Release);
        let taken = enable_raw_mode()
            .and_then(|()| execute!(io::stderr(), EnterAlternateScreen, Hide))
            .and_then(|()| Terminal::new(CrosstermBackend::new(BufWriter::new(io::stderr()))));
        match taken {
            Ok(terminal) => Ok(Taken { terminal }),
            Err(error) => {
                give_back();
                Err(error)
            }
        }
    }

    fn draw(&mut self, view: &View) -> io::Result<()> {
        self.terminal.draw(|frame| draw::draw(frame, view)).map(|_| ())
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        give_back();
    }
}

/// Once: whoever is first. What cannot be given back cannot be told to anybody either.
fn give_back() {
    if IS_TAKEN.swap(false, Ordering::AcqRel) {
        let _ = execute!(io::stderr(), LeaveAlternateScreen, Show);
        let _ = disable_raw_mode();
        let _ = io::stderr().flush();
    }
}

/// A panic anywhere prints its words where they stay to be read.
fn give_back_on_panic() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        give_back();
        usual(panic);
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_q_and_ctrl_c_stop() {
        let key = |code, modifiers| is_to_stop(KeyEvent::new(code, modifiers));
        assert!(key(KeyCode::Char('q'), KeyModifiers::NONE));
        assert!(key(KeyCode::Char('Q'), KeyModifiers::SHIFT));
        assert!(key(KeyCode::Char('c'), KeyModifiers::CONTROL));
        assert!(!key(KeyCode::Char('c'), KeyModifiers::NONE));
        assert!(!key(KeyCode::Esc, KeyModifiers::NONE));
        let mut released = KeyEvent::new(KeyCode::Char('q'), KeyModifiers::NONE);
        released.kind = KeyEventKind::Release;
        assert!(!is_to_stop(released));
    }
}
