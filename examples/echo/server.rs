//! The server as a whole: binds, starts the loops, waits for signals, reports.
//!
//! The main thread has a loop of its own for signals and statistics, so that a terminal that is
//! slow to take a line never holds up a connection.

use std::future::poll_fn;
use std::io::{self, Write};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll};
use std::time::Duration;

use wheelhouse::signal::{Signal, SignalKind, signal};
use wheelhouse::time::{Instant, sleep_until};
use wheelhouse::{EventLoop, LoopGroup, RemoteHandle};

use crate::args::Settings;
use crate::limits::{self, Peers, Places};
use crate::listen::{self, Bound, Listening};
use crate::metrics;
use crate::report::Reports;
use crate::stats::{Tally, Totals};
use crate::stop::{Stage, Stop};
use crate::tls;
use crate::worker::Worker;

/// Serves until a signal. The error is for the user's eyes.
pub(crate) fn run(settings: Settings) -> Result<(), String> {
    let open_files = limits::raise_open_files();
    let event_loop =
        EventLoop::new().map_err(|error| format!("cannot make an event loop: {error}"))?;
    event_loop.block_on(serve(Arc::new(settings), open_files))
}

async fn serve(settings: Arc<Settings>, open_files: Option<u64>) -> Result<(), String> {
    // Listened for before anyone is told that the server is there: who starts it may stop it at
    // once.
    let mut signals =
        Signals::new().map_err(|error| format!("cannot listen for signals: {error}"))?;
    let reports = Reports { json: settings.json };
    let acceptor = match &settings.tls {
        Some((certificate, key)) => Some(tls::load(certificate, key)?),
        None => None,
    };
    let listening = listen::bind_all(&settings.places, settings.loops, acceptor.as_ref())?;
    let Listening { by_loop, mut announced, paths: _paths } = listening;
    let group = LoopGroup::new(settings.loops)
        .map_err(|error| format!("cannot start {} loops: {error}", settings.loops))?;
    let tallies: Vec<_> = (0..settings.loops).map(|_| Arc::new(Tally::default())).collect();
    let stop = Arc::new(Stop::default());
    let mut workers = start(&settings, &group, by_loop, &tallies, &stop)?;

    let started = Instant::now();
    if let Some(address) = settings.metrics {
        let source = metrics::Source { tallies: tallies.clone(), started };
        announced.push(("metrics", metrics::serve(address, source).await?.to_string()));
    }
    reports.listening(&announced).map_err(|error| format!("cannot write to stdout: {error}"))?;
    if settings.stats && !settings.json {
        let limit = open_files.map_or("no limit of".into(), |limit| limit.to_string());
        eprintln!("{} loops, {limit} open files", settings.loops);
    }
    let mut stats = settings.stats.then(|| Statistics::new(&tallies, reports));
    let mut stage = Stage::Running;
    loop {
        match next(&mut workers, &mut signals, &mut stats).await {
            Next::Over => break,
            Next::Dump => dump(&group, &tallies, started).await,
            Next::Stop => {
                stage = if stage == Stage::Running { Stage::Draining } else { Stage::Now };
                stop.set(stage);
            }
        }
    }
    drop(group);
    let totals = Totals::of(tallies.iter().map(|tally| &**tally));
    reports.summary(&totals, started.elapsed());
    outcome(&settings, &totals, stage)
}

fn outcome(settings: &Settings, totals: &Totals, stage: Stage) -> Result<(), String> {
    match totals.cut {
        0 => Ok(()),
        cut if stage == Stage::Now => {
            Err(format!("{cut} connections were cut by the second signal"))
        }
        cut => Err(format!(
            "{cut} connections still had something to get after the grace of {:?} and were cut; \
             `--grace` gives more",
            settings.grace
        )),
    }
}

/// What has been done, and what every task waits for, on stderr.
async fn dump(group: &LoopGroup, tallies: &[Arc<Tally>], started: Instant) {
    let totals = Totals::of(tallies.iter().map(|tally| &**tally));
    let mut text = format!("wheelhouse-echo: {}\n", totals.summary(started.elapsed()));
    for handle in group.handles() {
        // A loop that has ended has no tasks.
        if let Ok(tree) = handle.dump().await {
            text.push_str(&format!("{tree}\n"));
        }
    }
    let _ = io::stderr().write_all(text.as_bytes());
}

/// Starts a worker on each loop; they accept when this returns.
fn start(
    settings: &Arc<Settings>,
    group: &LoopGroup,
    by_loop: Vec<Vec<Bound>>,
    tallies: &[Arc<Tally>],
    stop: &Arc<Stop>,
) -> Result<Vec<RemoteHandle<()>>, String> {
    let places = Places::new(settings.max_connections);
    let peers = settings.max_per_peer.map(Peers::new);
    let mut workers = Vec::new();
    for (index, bound) in by_loop.into_iter().enumerate() {
        let (listening, wait) = mpsc::channel();
        let (tally, places, stop) = (tallies[index].clone(), places.clone(), stop.clone());
        let (peers, settings) = (peers.clone(), settings.clone());
        workers.push(group.handle(index).spawn(move || async move {
            match listen::open(bound) {
                Ok(doors) => {
                    let _ = listening.send(Ok(()));
                    Worker::new(tally, places, peers, settings).serve(doors, stop).await;
                }
                Err(problem) => {
                    let _ = listening.send(Err(problem));
                }
            }
        }));
        wait.recv().map_err(|_| format!("loop {index} ended before it listened"))??;
    }
    Ok(workers)
}

/// What happens next.
enum Next {
    /// All workers are done.
    Over,
    /// A signal asks for an end.
    Stop,
    /// A signal asks what is going on.
    Dump,
}

/// Waits for it, and prints statistics meanwhile.
async fn next(
    workers: &mut Vec<RemoteHandle<()>>,
    signals: &mut Signals,
    stats: &mut Option<Statistics<'_>>,
) -> Next {
    poll_fn(|cx| {
        workers.retain_mut(|worker| std::pin::Pin::new(worker).poll(cx).is_pending());
        if workers.is_empty() {
            return Poll::Ready(Next::Over);
        }
        if let Some(stats) = stats {
            stats.poll(cx);
        }
        signals.poll(cx)
    })
    .await
}

/// The signals that mean something.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    ask: Signal,
}

impl Signals {
    fn new() -> io::Result<Signals> {
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            ask: signal(SignalKind::user_defined1())?,
        })
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        let is_end =
            self.interrupt.poll_recv(cx).is_ready() | self.terminate.poll_recv(cx).is_ready();
        if is_end {
            return Poll::Ready(Next::Stop);
        }
        self.ask.poll_recv(cx).map(|_| Next::Dump)
    }
}

/// Prints a line a second.
struct Statistics<'a> {
    tallies: &'a [Arc<Tally>],
    reports: Reports,
    before: Totals,
    printed: Instant,
    next: wheelhouse::time::Sleep,
}

impl<'a> Statistics<'a> {
    fn new(tallies: &'a [Arc<Tally>], reports: Reports) -> Statistics<'a> {
        let printed = Instant::now();
        let next = sleep_until(printed + SECOND);
        Statistics { tallies, reports, before: Totals::default(), printed, next }
    }

    fn poll(&mut self, cx: &mut Context<'_>) {
        while std::pin::Pin::new(&mut self.next).poll(cx).is_ready() {
            let now = Instant::now();
            let totals = Totals::of(self.tallies.iter().map(|tally| &**tally));
            self.reports.stats(&totals, &self.before, now.duration_since(self.printed));
            (self.before, self.printed) = (totals, now);
            std::pin::Pin::new(&mut self.next).reset(now + SECOND);
        }
    }
}

const SECOND: Duration = Duration::from_secs(1);
