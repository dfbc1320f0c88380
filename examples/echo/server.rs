//! The server as a whole: binds, starts the loops, waits for signals, reports.
//!
//! The main thread has a loop of its own for signals and statistics, so that a terminal that is
//! slow to take a line never holds up a connection.

use std::future::poll_fn;
use std::io::{self, Write};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::io::Errno;
use wheelhouse::time::{Instant, sleep_until};
use wheelhouse::{CancelToken, EventLoop, LoopGroup, Metrics, spawn};

use crate::args::Settings;
use crate::limits;
use crate::listen;
use crate::metrics;
use crate::report::Reports;
use crate::serving::{Datagrams, Servers};
use crate::signals::{Asked, Signals};
use crate::stats::{Tallies, Totals};
use crate::tls;
use crate::worker::Site;

/// Serves until a signal. The error is for the user's eyes.
pub(crate) fn run(settings: Settings) -> Result<(), String> {
    let open_files = limits::raise_open_files();
    let event_loop =
        EventLoop::new().map_err(|error| shortage("cannot make an event loop", &error))?;
    event_loop.block_on(serve(settings, open_files))
}

/// What could not be had at the start, and what to do about it.
fn shortage(what: &str, error: &io::Error) -> String {
    let is_of_files = error.raw_os_error() == Some(Errno::MFILE.raw_os_error());
    let advice =
        if is_of_files { "; `ulimit -n` shows and sets how many there may be" } else { "" };
    format!("{what}: {error}{advice}")
}

async fn serve(settings: Settings, open_files: Option<u64>) -> Result<(), String> {
    // Listened for before anyone is told that the server is there: who starts it may stop it at
    // once.
    let signals = Signals::new().map_err(|error| shortage("cannot listen for signals", &error))?;
    let reports = Reports { json: settings.json };
    let acceptor = match &settings.tls {
        Some((certificate, key)) => Some(tls::load(certificate, key)?),
        None => None,
    };
    let mut listening = listen::bind_all(&settings.places, settings.loops)?;
    let _paths = std::mem::take(&mut listening.paths);
    let group = LoopGroup::new(settings.loops)
        .map_err(|error| shortage(&format!("cannot start {} loops", settings.loops), &error))?;
    let site = Arc::new(Site { settings, tallies: Tallies::default(), stop: CancelToken::new() });
    let (servers, datagrams, mut announced) =
        Servers::start(&site, &group, listening, acceptor).await?;
    let counters = Rc::new(Counters { site, servers, started: Instant::now() });
    let settings = &counters.site.settings;
    if let Some(address) = settings.metrics {
        let address = metrics::serve(address, counters.clone()).await?;
        announced.push(("metrics", address.to_string()));
    }
    reports.listening(&announced).map_err(|error| format!("cannot write to stdout: {error}"))?;
    if settings.stats && !settings.json {
        let limit = open_files.map_or("no limit of".into(), |limit| limit.to_string());
        let loops = if settings.loops == 1 { "loop" } else { "loops" };
        let _ = writeln!(io::stderr(), "{} {loops}, {limit} open files", settings.loops);
    }
    let stats = settings.stats.then(|| Statistics::new(&counters, reports));
    let stage = until_the_end(&counters, &group, datagrams, signals, stats).await?;
    drop(group);
    reports.summary(&counters.totals(), counters.started.elapsed());
    outcome(settings, &counters.totals(), stage)
}

/// What is served, and what is counted.
pub(crate) struct Counters {
    site: Arc<Site>,
    servers: Servers,
    pub(crate) started: Instant,
}

impl Counters {
    pub(crate) fn totals(&self) -> Totals {
        self.site.tallies.totals(&self.servers.counts())
    }
}

/// How far the stop has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// No stop.
    Running,
    /// Nobody is accepted; what has arrived is echoed.
    Draining,
    /// Whoever is left is cut off.
    Now,
}

async fn until_the_end(
    counters: &Rc<Counters>,
    group: &LoopGroup,
    datagrams: Datagrams,
    mut signals: Signals,
    mut stats: Option<Statistics<'_>>,
) -> Result<Stage, String> {
    let servers = &counters.servers;
    let mut all_ended = pin!(async {
        servers.wait_closed().await;
        for answering in datagrams {
            let answered = answering.await.map_err(|error| error.to_string())?;
            answered.map_err(|error| format!("cannot answer datagrams: {error}"))?;
        }
        Ok::<_, String>(())
    });
    let mut stage = Stage::Running;
    loop {
        match next(all_ended.as_mut(), &mut signals, &mut stats).await {
            Next::Over(ended) if stage != Stage::Running => return ended.map(|()| stage),
            Next::Over(ended) => {
                return ended.and(Err("no listener is left that could accept".into()));
            }
            Next::Asked(Asked::Dump) => dump(counters, group).await,
            Next::Asked(Asked::Stop) if stage == Stage::Running => {
                stage = Stage::Draining;
                servers.close();
                counters.site.stop.cancel();
                let counters = counters.clone();
                // A task of its own, so that signals are heard meanwhile.
                drop(spawn(async move {
                    counters.servers.drain(counters.site.settings.grace).await;
                }));
            }
            Next::Asked(Asked::Stop) => {
                stage = Stage::Now;
                servers.abort();
            }
        }
    }
}

fn outcome(settings: &Settings, totals: &Totals, stage: Stage) -> Result<(), String> {
    match totals.cut {
        0 => Ok(()),
        cut if stage == Stage::Now => {
            Err(format!("{cut} connections were cut by the second signal"))
        }
        cut => Err(format!(
            "{cut} connections were still busy, or still had something to get, after the grace of \
             {:?} and were cut; `--grace` gives more",
            settings.grace
        )),
    }
}

/// What has been done, and what every task waits for, on stderr.
async fn dump(counters: &Counters, group: &LoopGroup) {
    let totals = counters.totals();
    let mut text = format!("wheelhouse-echo: {}\n", totals.summary(counters.started.elapsed()));
    for handle in group.handles() {
        // A loop that has ended has no tasks.
        if let (Ok(tree), Ok(metrics)) = (handle.dump().await, handle.metrics().await) {
            let Metrics { tasks, timers, sources, .. } = metrics;
            text.push_str(&format!(
                "{tree}in its tables: {tasks} tasks, {timers} timers, {sources} descriptors\n"
            ));
        }
    }
    let _ = io::stderr().write_all(text.as_bytes());
}

/// What happens next.
enum Next {
    /// Nobody serves any more.
    Over(Result<(), String>),
    Asked(Asked),
}

/// Waits for it, and prints statistics meanwhile.
async fn next(
    mut all_ended: Pin<&mut impl Future<Output = Result<(), String>>>,
    signals: &mut Signals,
    stats: &mut Option<Statistics<'_>>,
) -> Next {
    poll_fn(|cx| {
        if let Poll::Ready(ended) = all_ended.as_mut().poll(cx) {
            return Poll::Ready(Next::Over(ended));
        }
        if let Some(stats) = stats {
            stats.poll(cx);
        }
        signals.poll(cx).map(Next::Asked)
    })
    .await
}

/// Prints a line a second.
struct Statistics<'a> {
    counters: &'a Counters,
    reports: Reports,
    before: Totals,
    printed: Instant,
    next: wheelhouse::time::Sleep,
}

impl<'a> Statistics<'a> {
    fn new(counters: &'a Counters, reports: Reports) -> Statistics<'a> {
        let printed = Instant::now();
        let next = sleep_until(printed + SECOND);
        Statistics { counters, reports, before: Totals::default(), printed, next }
    }

    fn poll(&mut self, cx: &mut Context<'_>) {
        while Pin::new(&mut self.next).poll(cx).is_ready() {
            let now = Instant::now();
            let totals = self.counters.totals();
            self.reports.stats(&totals, &self.before, now.duration_since(self.printed));
            (self.before, self.printed) = (totals, now);
            Pin::new(&mut self.next).reset(now + SECOND);
        }
    }
}

const SECOND: Duration = Duration::from_secs(1);
