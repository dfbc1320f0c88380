//! A run from beginning to end: limits, loops, connections, warm-up, measurement, last answers. The
//! main thread only conducts; the loops of the generator have threads of their own.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, mpsc};
use std::task::Poll;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use wheelhouse::signal::{Signal, SignalKind, signal};
use wheelhouse::structure::RemoteCompleter;
use wheelhouse::{EventLoop, LoopGroup, RemoteHandle, completion, gather};

use crate::args::{Load, Settings};
use crate::failure::Failures;
use crate::health::Pulse;
use crate::job::nanos;
use crate::live::{Board, Course};
use crate::origin::Origin;
use crate::plan::{Plan, Stage};
use crate::record::Record;
use crate::summary::Measured;
use crate::target::Place;
use crate::worker::{Done, Go, Ready, Share, work};

/// Descriptors beside the connections: loops, standard streams, signals.
const OTHER_FILES: u64 = 64;

/// From the last connection to the first message, so that starting the tasks is over by then.
const HEAD_START: Duration = Duration::from_millis(2);
const HEAD_START_EACH: Duration = Duration::from_micros(2);

/// A connection is a file, and with the embedded server two. The soft limit can be raised, the hard
/// one not. The error is for the user's eyes.
pub(crate) fn check_open_files(settings: &Settings, is_embedded: bool) -> Result<(), String> {
    let ends = if is_embedded { 2 } else { 1 };
    let needed = settings.connections as u64 * ends + OTHER_FILES;
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // If it fails, the connects that find no descriptor say so.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    match maximum {
        Some(most) if most < needed => Err(format!(
            "{} connections need {needed} open files and the system allows {most} (`ulimit -Hn`): \
             use fewer `--connections`",
            settings.connections
        )),
        _ => Ok(()),
    }
}

/// What a load is put on, and who watches.
pub(crate) struct Run {
    pub(crate) settings: Arc<Settings>,
    pub(crate) origins: Arc<[Origin]>,
    pub(crate) board: Arc<Board>,
}

impl Run {
    /// Puts `load` on the target once. The error is for the user's eyes.
    pub(crate) fn measure(&self, load: &Load) -> Result<Measured, String> {
        let problem = |error: std::io::Error| format!("cannot make an event loop: {error}");
        let spin = self.settings.spin;
        let group = LoopGroup::builder()
            .loops(self.settings.loops)
            .configure(move |_, builder| builder.spin(spin))
            .build()
            .map_err(problem)?;
        let event_loop = EventLoop::new().map_err(problem)?;
        let measured = event_loop.block_on(self.conduct(&group, load));
        self.board.end();
        drop(group);
        measured
    }

    async fn conduct(&self, group: &LoopGroup, load: &Load) -> Result<Measured, String> {
        let mut interrupts =
            Interrupts::new().map_err(|error| format!("cannot listen for signals: {error}"))?;
        self.board.guard();
        let connecting = self.connect(group);
        let Some(connected) = unless_interrupted(&mut interrupts, connecting).await else {
            return Err("interrupted while connecting".into());
        };
        let Connected { count, failures, mut waiting, working } = connected?;
        if count == 0 {
            return Err(self.nobody(&failures));
        }
        let go = self.word(load, count);
        let Go { origin, start, end, ref stages } = go;
        self.board.begin(Course::new(origin, start, end, stages.as_deref()));
        for ready in &mut waiting {
            if let Some(to) = ready.go.take() {
                to.complete(go.clone());
            }
        }
        let mut working = pin!(gather(working));
        let mut was_interrupted = false;
        let done = loop {
            if let Some(done) = unless_interrupted(&mut interrupts, working.as_mut()).await {
                break done;
            }
            // The first asks for the last answers, the second does not wait for them.
            let order = |ready: &mut Waiting| {
                if was_interrupted { ready.stop_now.take() } else { ready.stop.take() }
            };
            waiting.iter_mut().filter_map(order).for_each(|to| to.complete(()));
            was_interrupted = true;
        };
        let mut all = Vec::with_capacity(done.len());
        for done in done {
            let done = done.map_err(|error| format!("a loop of the generator ended: {error}"))?;
            all.push(done.ok_or("a connection is still there after the run")?);
        }
        Ok(sum(&go, all, failures, count, was_interrupted))
    }

    /// Starts a worker on every loop and waits until they have connected.
    async fn connect(&self, group: &LoopGroup) -> Result<Connected, String> {
        let mut connected = Connected::default();
        let (sender, receiver) = mpsc::channel();
        let mut told = Vec::new();
        for (own, handle) in group.handles().enumerate() {
            let share = Share {
                settings: self.settings.clone(),
                origins: self.origins.clone(),
                live: self.board.live(own),
                is_watched: self.board.is_watched(),
                own,
                loops: self.settings.loops,
            };
            let (tell, is_told) = completion();
            let (sender, tell) = (sender.clone(), tell.remote());
            connected.working.push(handle.spawn(move || work(share, sender, tell)));
            told.push(is_told);
        }
        for told in told {
            told.await.map_err(|_| "a loop of the generator ended while connecting")?;
        }
        for ready in receiver.try_iter() {
            let Ready { connected: count, failures, go, stop, stop_now } = ready;
            connected.count += count;
            connected.failures.merge(&failures);
            connected.waiting.push(Waiting {
                go: Some(go),
                stop: Some(stop),
                stop_now: Some(stop_now),
            });
        }
        Ok(connected)
    }

    fn nobody(&self, failures: &Failures) -> String {
        let (kind, _, first) = failures.iter().next().unwrap_or(("", 0, "no reason known"));
        let target = &self.origins[0].target;
        let there = "Is a server listening there?";
        // Somebody is there who does not speak TLS as wanted, and what to do about that is said.
        if kind == "tls" {
            return format!("cannot connect to {}: {first}", target.name);
        }
        let hint = match &target.place {
            Place::Tcp { .. } if target.is_http() || target.is_tls => there.into(),
            Place::Unix(_) if target.is_http() => there.into(),
            Place::Tcp { .. } => {
                let address = target.name.split_once("://").map_or(&*target.name, |(_, rest)| rest);
                format!("{there} `wheelhouse-echo --tcp {address}` starts one.")
            }
            Place::Unix(path) => {
                format!("{there} `wheelhouse-echo --unix {}` starts one.", path.display())
            }
        };
        format!(
            "cannot connect to {}: {first}. {hint} Without a target one is embedded.",
            target.name
        )
    }

    fn word(&self, load: &Load, connected: usize) -> Go {
        let warm_up = self.settings.warm_up;
        let (stages, length) = match load {
            Load::Closed { lasts } => (None, *lasts),
            Load::Open { stages } => {
                let first = stages.first().map_or(0, |stage| stage.from);
                // The warm-up goes at the rate at which the run begins.
                let before = (first > 0).then(|| Stage::steady(warm_up, first));
                let all = before.into_iter().chain(stages.iter().copied()).collect();
                (Some(all), stages.iter().map(|stage| stage.lasts).sum())
            }
        };
        let has_warm_up = stages.as_ref().is_none_or(|all: &Vec<Stage>| all[0].from > 0);
        let start = if has_warm_up { nanos(warm_up) } else { 0 };
        Go {
            origin: Instant::now() + HEAD_START + HEAD_START_EACH * connected as u32,
            stages,
            start,
            end: start.saturating_add(nanos(length)),
        }
    }
}

/// The loops, connected.
#[derive(Default)]
struct Connected {
    count: usize,
    failures: Failures,
    waiting: Vec<Waiting>,
    working: Vec<RemoteHandle<Option<Done>>>,
}

/// What can be said to a loop, each once.
struct Waiting {
    go: Option<RemoteCompleter<Go>>,
    stop: Option<RemoteCompleter<()>>,
    stop_now: Option<RemoteCompleter<()>>,
}

/// The loops together.
fn sum(
    go: &Go,
    all: Vec<Done>,
    failures: Failures,
    connected: usize,
    was_interrupted: bool,
) -> Measured {
    let end = all.iter().map(|done| done.end).max().unwrap_or(go.start);
    let mut record = Record::new(go.start, Duration::from_nanos(go.end - go.start));
    record.failures = failures;
    let (mut times, mut pulse) = (Vec::new(), Pulse::default());
    for done in &all {
        record.merge(&done.record);
        times.push(done.times);
        pulse = pulse.beside(done.pulse);
    }
    Measured {
        record,
        connected,
        planned: go.stages.as_ref().map(|all| Plan::new(all).due_between(go.start, end)),
        measured: Duration::from_nanos(end.saturating_sub(go.start)),
        warmed_up: Duration::from_nanos(go.start),
        times,
        pulse,
        was_interrupted,
    }
}

/// Ctrl-C, or the word of a service manager.
struct Interrupts {
    signals: [Signal; 2],
}

impl Interrupts {
    fn new() -> std::io::Result<Interrupts> {
        Ok(Interrupts {
            signals: [signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?],
        })
    }
}

/// What the future gives, or `None` if an interrupt comes first.
async fn unless_interrupted<F: Future>(
    interrupts: &mut Interrupts,
    future: F,
) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Some(output));
        }
        let came = interrupts
            .signals
            .iter_mut()
            .fold(false, |came, signal| signal.poll_recv(cx).is_ready() | came);
        if came { Poll::Ready(None) } else { Poll::Pending }
    })
    .await
}
