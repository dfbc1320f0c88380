//! The thread pool for calls that block: one pool a loop, threads made when needed and ended when
//! idle.
//!
//! It knows jobs, not tasks. A job that has started cannot be stopped; nothing ever joins its
//! thread.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::affinity::Cores;
use crate::debug::report::{self, Witness};
use crate::inbox::Chore;
use crate::remote::Remote;
use crate::table::{Key, Table};

type Work = Box<dyn FnOnce() + Send>;

pub(crate) struct BlockingPool {
    state: Mutex<PoolState>,
    work_came: Condvar,
    settings: PoolSettings,
    remote: Arc<Remote>,
}

pub(crate) struct PoolSettings {
    pub(crate) max_threads: usize,
    pub(crate) keep_alive: Duration,
    pub(crate) thread_name: String,
    /// Where they run, if not where the loop does.
    pub(crate) cores: Option<Cores>,
}

#[derive(Default)]
struct PoolState {
    queue: VecDeque<Job>,
    running: Table<AboutJob>,
    threads: usize,
    idle: usize,
    closed: bool,
    /// The loop has looked whether jobs run, so it is told when one has ended.
    is_watched: bool,
}

pub(crate) struct Job {
    work: Work,
    about: AboutJob,
}

/// What is known of a job.
#[derive(Clone, Copy)]
pub(crate) struct AboutJob {
    /// Where it was spawned.
    pub(crate) location: &'static Location<'static>,
    /// At the end of the loop nobody waits for it, nor hears of it.
    pub(crate) is_expendable: bool,
}

impl BlockingPool {
    pub(crate) fn new(settings: PoolSettings, remote: Arc<Remote>) -> Arc<BlockingPool> {
        Arc::new(BlockingPool {
            state: Mutex::default(),
            work_came: Condvar::new(),
            settings,
            remote,
        })
    }

    /// Has `work` run on a thread of the pool. A panic in it is reported.
    ///
    /// # Errors
    ///
    /// When the job needs a first thread and the system refuses it. On a closed pool the job is
    /// dropped unrun.
    pub(crate) fn submit(self: &Arc<Self>, work: Work, about: AboutJob) -> io::Result<()> {
        let mut state = self.lock();
        if state.closed {
            drop(state);
            drop(work);
            return Ok(());
        }
        state.queue.push_back(Job { work, about });
        if state.idle >= state.queue.len() {
            // A thread that wakes up wants the lock.
            drop(state);
            self.work_came.notify_one();
            return Ok(());
        }
        match self.grow(&mut state) {
            Ok(()) => Ok(()),
            // The threads that are there will come to it.
            Err(error) if state.threads > 0 => {
                tracing::warn!(%error, "the blocking pool could not grow");
                Ok(())
            }
            Err(error) => {
                let job = state.queue.pop_back();
                drop(state);
                drop(job);
                Err(error)
            }
        }
    }

    /// Whether a job waits or runs. Once asked, the loop hears of the end of each.
    pub(crate) fn is_busy(&self) -> bool {
        let mut state = self.lock();
        state.is_watched = true;
        !state.queue.is_empty() || state.running.len() > 0
    }

    /// Whether a job runs that the end of the loop is to wait for. Once asked, the loop hears of the
    /// end of each.
    pub(crate) fn is_worth_waiting_for(&self) -> bool {
        self.lock().is_watched = true;
        !self.locations().is_empty()
    }

    pub(crate) fn jobs(&self) -> usize {
        let state = self.lock();
        state.queue.len() + state.running.len()
    }

    pub(crate) fn threads(&self) -> usize {
        self.lock().threads
    }

    /// Where the jobs that run were spawned, but for the expendable ones.
    pub(crate) fn locations(&self) -> Vec<&'static Location<'static>> {
        let state = self.lock();
        let running = state.running.iter().map(|(_, about)| about);
        running.filter(|about| !about.is_expendable).map(|about| about.location).collect()
    }

    /// Gives back the jobs that have not started, to be dropped, and sends the idle threads home.
    /// Joins nobody.
    pub(crate) fn close(&self) -> VecDeque<Job> {
        let mut state = self.lock();
        state.closed = true;
        let unstarted = std::mem::take(&mut state.queue);
        drop(state);
        self.work_came.notify_all();
        unstarted
    }

    /// Starts a thread if there are jobs for it and the settings allow it.
    fn grow(self: &Arc<Self>, state: &mut PoolState) -> io::Result<()> {
        if state.idle < state.queue.len() && state.threads < self.settings.max_threads {
            self.spawn_thread()?;
            state.threads += 1;
        }
        Ok(())
    }

    fn spawn_thread(self: &Arc<Self>) -> io::Result<()> {
        let (pool, witness) = (self.clone(), Witness::here());
        let thread = std::thread::Builder::new().name(self.settings.thread_name.clone());
        let work = move || {
            let _ = Witness::set_here(witness);
            pool.leave_the_loops_core();
            pool.work();
        };
        thread.spawn(work).map(drop)
    }

    fn leave_the_loops_core(&self) {
        if let Some(Err(error)) = self.settings.cores.map(|cores| cores.let_this_thread_run()) {
            tracing::warn!(%error, "a blocking thread stays on the core of its loop");
        }
    }

    /// A thread of the pool.
    fn work(self: &Arc<Self>) {
        while let Some((work, key)) = self.next_job() {
            // What is left to panic is the drop of an output that nobody waits for any more.
            if let Err(payload) = catch_unwind(AssertUnwindSafe(work)) {
                report::foreign_panic("a blocking job", payload);
            }
            let mut state = self.lock();
            state.running.remove(key);
            let is_watched = state.is_watched;
            drop(state);
            // A loop on virtual time, or one that shuts down, waits for this. A message, for it may
            // be between its look at the pool and its wait.
            if is_watched {
                self.remote.post_chore(Chore::JobEnded);
            }
        }
    }

    /// Waits for a job; `None` sends the thread home.
    fn next_job(self: &Arc<Self>) -> Option<(Work, Key)> {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.queue.pop_front() {
                let key = state.running.insert(job.about);
                // A thread that the system refused when a job came is asked for again: the job may
                // be what this one waits for. Another refusal was told of the first time.
                let _ = self.grow(&mut state);
                return Some((job.work, key));
            }
            if state.closed {
                state.threads -= 1;
                return None;
            }
            state.idle += 1;
            let keep_alive = self.settings.keep_alive;
            let waited = self.work_came.wait_timeout(state, keep_alive);
            let (after, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            state = after;
            state.idle -= 1;
            if timeout.timed_out() && state.queue.is_empty() {
                state.threads -= 1;
                return None;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, PoolState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
