//! A crawl from its first request to its last: jobs are begun as long as there are any that may,
//! and something ends it: nothing left, a limit, a signal, a file that cannot be written.

use std::rc::Rc;
use std::time::Duration;

use wheelhouse::signal::{Signal, SignalKind, signal};
use wheelhouse::task::{JoinError, JoinSet};
use wheelhouse::time::{Instant, sleep_until};
use wheelhouse::{EventLoop, select};

use crate::crawl::fetch::{Crawl, fetch};
use crate::crawl::frontier::Next;

/// Why it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Complete,
    PageLimit,
    TimeLimit,
    Interrupted,
    /// A file could not be written any more.
    Failed,
}

/// How it went, beside what is in the books.
#[derive(Debug)]
pub(crate) struct Course {
    pub(crate) ended: Ended,
    pub(crate) took: Duration,
    /// Requests that were under way at the end, and were given up.
    pub(crate) given_up: usize,
    /// What could not be written, for the user's eyes.
    pub(crate) problem: Option<String>,
}

/// Runs until the end. An interrupt gives up what is under way: those pages are asked for again
/// when the crawl is resumed. The error is for the user's eyes.
pub(crate) async fn run(crawl: &Rc<Crawl>) -> Result<Course, String> {
    let begin = Instant::now();
    let end = crawl.settings.max_time.map(|time| begin + time);
    let mut signals = Signals::listen()?;
    let mut jobs: JoinSet<()> = JoinSet::new();
    let mut limit_reached = false;
    let ended = loop {
        if crawl.books.borrow().problem.is_some() {
            break Ended::Failed;
        }
        let wake = begin_jobs(crawl, &mut jobs, &mut limit_reached);
        if jobs.is_empty() && wake.is_none() {
            break if limit_reached { Ended::PageLimit } else { Ended::Complete };
        }
        let wake = wake.into_iter().chain(end).min();
        let wait = async {
            match wake {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        select! {
            biased;
            () = signals.wait() => break Ended::Interrupted,
            Some(done) = jobs.join_next() => {
                check(done)?;
                // Whatever else has ended by now needs no turn of its own.
                while let Some(done) = jobs.try_join_next() {
                    check(done)?;
                }
            },
            () = wait => {},
        }
        if end.is_some_and(|end| Instant::now() >= end) {
            break Ended::TimeLimit;
        }
    };
    if ended == Ended::Interrupted {
        end_at_next_signal();
    }
    let given_up = jobs.len();
    jobs.shutdown().await;
    // The last job may have met it.
    let problem = crawl.books.borrow_mut().problem.take();
    let ended = if problem.is_some() { Ended::Failed } else { ended };
    Ok(Course { ended, took: begin.elapsed(), given_up, problem })
}

/// A job that panicked is a fault of this program, and its page would be lost.
fn check(done: Result<(), JoinError>) -> Result<(), String> {
    done.map_err(|error| format!("a job ended badly: {error}"))
}

/// Begins what may begin now; when to look again, if waiting is of any use.
fn begin_jobs(
    crawl: &Rc<Crawl>,
    jobs: &mut JoinSet<()>,
    limit_reached: &mut bool,
) -> Option<Instant> {
    let now = Instant::now();
    while jobs.len() < crawl.settings.concurrency {
        let mut books = crawl.books.borrow_mut();
        match books.frontier.next(now) {
            Next::At(at) => return Some(at),
            Next::Nothing => return None,
            Next::Job(job) => {
                let is_new = job.tries == 0;
                if is_new && books.begun >= crawl.settings.max_pages {
                    // It is not asked for; a resumed crawl with another limit will.
                    *limit_reached = true;
                    books.frontier.end(job.host, crate::crawl::frontier::Pace::Unknown);
                    continue;
                }
                books.begun += u64::from(is_new);
                drop(books);
                jobs.spawn(fetch(crawl.clone(), job));
            }
        }
    }
    None
}

/// The report takes its time after a large crawl, and a user may not want to wait for it. On a
/// thread, since this loop does not run meanwhile.
fn end_at_next_signal() {
    let work = || {
        let Ok(event_loop) = EventLoop::new() else { return };
        event_loop.block_on(async {
            if let Ok(mut signals) = Signals::listen() {
                signals.wait().await;
                std::process::exit(130);
            }
        });
    };
    // Without a thread the report is waited for.
    let _ = std::thread::Builder::new().name("signals".into()).spawn(work);
}

/// Ctrl-C, and what service managers send.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> Result<Signals, String> {
        let listen =
            |kind| signal(kind).map_err(|error| format!("cannot wait for signals: {error}"));
        Ok(Signals {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    async fn wait(&mut self) {
        select! {
            _ = self.interrupt.recv() => {},
            _ = self.terminate.recv() => {},
        }
    }
}
