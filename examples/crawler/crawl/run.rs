//! A crawl from its first request to its last: jobs are begun as long as there are any that may,
//! and something ends it: nothing left, a limit, a signal, a file that cannot be written.

use std::rc::Rc;
use std::time::Duration;

use wheelhouse::signal::{Signal, SignalKind, signal};
use wheelhouse::task::{JoinError, JoinSet};
use wheelhouse::time::{Instant, sleep, sleep_until};
use wheelhouse::{EventLoop, select, spawn_blocking};

use crate::crawl::fetch::{Crawl, fetch};
use crate::crawl::frontier::Next;
use crate::crawl::journal::Journal;
use crate::out::warc::Warc;

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

/// What was finished is on the disk after this time, and what the disk takes.
const SYNC_EVERY: Duration = Duration::from_secs(1);

/// Runs until the end. An interrupt gives up what is under way: those pages are asked for again
/// when the crawl is resumed. The error is for the user's eyes.
pub(crate) async fn run(crawl: &Rc<Crawl>) -> Result<Course, String> {
    let begin = Instant::now();
    let end = crawl.settings.max_time.map(|time| begin + time);
    let mut signals = Signals::listen()?;
    let mut jobs: JoinSet<()> = JoinSet::new();
    let mut limit_reached = false;
    let mut syncing = std::pin::pin!(keep_on_disk(crawl));
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
            () = &mut syncing => {},
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
    sync(crawl).await;
    // The last job may have met it.
    let problem = crawl.books.borrow_mut().problem.take();
    let ended = if problem.is_some() { Ended::Failed } else { ended };
    Ok(Course { ended, took: begin.elapsed(), given_up, problem })
}

/// A job that panicked is a fault of this program, and its page would be lost.
fn check(done: Result<(), JoinError>) -> Result<(), String> {
    done.map_err(|error| format!("a job ended badly: {error}"))
}

/// Brings what the journal says to the disk, now and then, until that fails.
async fn keep_on_disk(crawl: &Crawl) {
    if crawl.settings.journal.is_none() {
        return std::future::pending().await;
    }
    while crawl.books.borrow().problem.is_none() {
        sleep(SYNC_EVERY).await;
        sync(crawl).await;
    }
}

/// On a thread, since a disk takes its time. The archive comes first: what the journal calls done
/// should be in it.
async fn sync(crawl: &Crawl) {
    let journal = crawl.books.borrow_mut().journal.as_mut().and_then(Journal::syncing);
    let Some(journal) = journal else { return };
    let archive = crawl.warc.as_ref().map(Warc::syncing);
    let work = spawn_blocking(move || {
        archive.map_or(Ok(()), |archive| archive())?;
        journal()
    });
    // The work is given up only if the loop ends.
    if let Err(problem) = work.await.unwrap_or(Ok(())) {
        crawl.books.borrow_mut().problem.get_or_insert(problem);
    }
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
