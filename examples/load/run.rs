//! A run from beginning to end: limits, server, connections, warm-up, measurement, last answers,
//! conclusions.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};
use wheelhouse::net::TcpStream;
use wheelhouse::signal::{Signal, SignalKind, signal};
use wheelhouse::task::JoinHandle;
use wheelhouse::time::{sleep_until, timeout};
use wheelhouse::{EventLoop, spawn};

use crate::args::{Settings, Target};
use crate::connection::{Connection, Job, nanos};
use crate::embedded::Embedded;
use crate::failure::{Failure, Failures, Kind};
use crate::plan::Plan;
use crate::progress::{Live, Painter};
use crate::record::Record;
use crate::summary::{Measured, Summary};

/// The last answers get so long after the end, or the timeout if that is shorter.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// Connects under way at once: few enough for the queue of any listener.
const CONNECTS_AT_ONCE: usize = 64;

/// Descriptors beside the connections: loops, standard streams, signals.
const OTHER_FILES: u64 = 32;

/// From the last connection to the first message, so that starting the tasks is over by then.
const HEAD_START: Duration = Duration::from_millis(2);

/// The error is for the user's eyes.
pub(crate) fn run(settings: &Settings) -> Result<Summary, String> {
    check_open_files(settings)?;
    let embedded = if settings.target.is_none() { Some(Embedded::start()?) } else { None };
    let target = match (&settings.target, &embedded) {
        (Some(target), _) => target.clone(),
        (None, Some(embedded)) => embedded.target.clone(),
        (None, None) => return Err("there is no target".into()),
    };
    let event_loop =
        EventLoop::new().map_err(|error| format!("cannot make an event loop: {error}"))?;
    let live = Arc::new(Live::default());
    let painter = Painter::start(live.clone(), settings.size);
    let measured = event_loop.block_on(load(settings, &target, live));
    drop(painter);
    Ok(Summary::new(settings, &target, measured?))
}

/// A connection is a file, and with the embedded server two. The soft limit can be raised, the hard
/// one not.
fn check_open_files(settings: &Settings) -> Result<(), String> {
    let ends = if settings.target.is_none() { 2 } else { 1 };
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

async fn load(settings: &Settings, target: &Target, live: Arc<Live>) -> Result<Measured, String> {
    let mut interrupts =
        Interrupts::new().map_err(|error| format!("cannot listen for signals: {error}"))?;
    let connecting = connect_all(settings, target, &live);
    let Some((streams, failures)) = unless_interrupted(&mut interrupts, connecting).await else {
        return Err("interrupted while connecting".into());
    };
    if streams.is_empty() {
        let first = failures.iter().next().map_or("no reason known", |(_, _, text)| text);
        return Err(format!(
            "cannot connect to {}: {first}; is a server listening there? \
             `wheelhouse-echo --tcp {}` starts one, and without `--target` one is embedded",
            target.name, target.address
        ));
    }
    let (start, end) = (nanos(settings.warm_up), nanos(settings.warm_up + settings.duration));
    let job = Rc::new(Job {
        origin: std::time::Instant::now() + HEAD_START,
        size: settings.size as u64,
        depth: settings.depth,
        timeout: nanos(settings.timeout),
        end: Cell::new(end),
        record: RefCell::new(Record { failures, ..Record::new(start) }),
        live,
        received: Job::buffer(),
        to_send: Job::buffer(),
    });
    // Connections that failed have no share in the plan: the rate is that of those that are there.
    let connected = streams.len();
    let plan = settings.rate.map(|rate| Plan::new(rate, connected));
    let tasks = streams.into_iter().enumerate().map(|(index, stream)| {
        let schedule = plan.map(|plan| plan.schedule(index));
        spawn(Connection::new(job.clone(), stream, index, schedule))
    });
    let mut tasks: Tasks = tasks.collect::<Vec<_>>().into();
    let (cpu, was_interrupted) = conduct(&job, start, &mut tasks, &mut interrupts, settings).await;
    drop(tasks);
    let job = Rc::into_inner(job).ok_or("a connection is still there after the run")?;
    let end = job.end.get();
    Ok(Measured {
        record: job.record.into_inner(),
        connected,
        planned: plan.map(|plan| plan.due_between(start, end)),
        measured: Duration::from_nanos(end.saturating_sub(start)),
        cpu,
        was_interrupted,
    })
}

/// Waits for the end. Gives the processor time that this thread took while measuring, and whether
/// Ctrl-C came.
async fn conduct(
    job: &Job,
    start: u64,
    tasks: &mut Tasks,
    interrupts: &mut Interrupts,
    settings: &Settings,
) -> (Duration, bool) {
    let warm_up = async {
        sleep_until(job.instant(0)).await;
        either(sleep_until(job.instant(start)), &mut *tasks).await;
    };
    let mut went_on = unless_interrupted(interrupts, warm_up).await.is_some();
    let before = thread_time();
    if went_on {
        let measuring = either(sleep_until(job.instant(job.end.get())), &mut *tasks);
        went_on = unless_interrupted(interrupts, measuring).await.is_some();
    }
    // Over before its time: interrupted, or every connection has failed.
    job.end.set(job.end.get().min(job.now()));
    let cpu = thread_time().saturating_sub(before);
    let last = timeout(settings.timeout.min(LAST_ANSWERS), &mut *tasks);
    // A second Ctrl-C does not wait for the last answers.
    let _ = unless_interrupted(interrupts, last).await;
    tasks.cancel();
    tasks.await;
    (cpu, !went_on)
}

/// Connects, some at a time. Order does not matter: connections get their numbers afterwards.
async fn connect_all(
    settings: &Settings,
    target: &Target,
    live: &Arc<Live>,
) -> (Vec<TcpStream>, Failures) {
    let left = Rc::new(Cell::new(settings.connections));
    let done =
        Rc::new(RefCell::new((Vec::with_capacity(settings.connections), Failures::default())));
    let (address, patience) = (target.address, settings.timeout);
    let connectors = (0..settings.connections.min(CONNECTS_AT_ONCE)).map(|_| {
        let (left, done, live) = (left.clone(), done.clone(), live.clone());
        spawn(async move {
            while let Some(rest) = left.get().checked_sub(1) {
                left.set(rest);
                match timeout(patience, TcpStream::connect(address)).await {
                    Ok(Ok(stream)) => {
                        // A small message must not wait for the answer to the one before it.
                        let _ = stream.set_nodelay(true);
                        live.opened();
                        done.borrow_mut().0.push(stream);
                    }
                    Ok(Err(error)) => done.borrow_mut().1.add(Failure::connecting(&error)),
                    Err(_) => {
                        let text = format!("no connection within {patience:?}");
                        done.borrow_mut().1.add(Failure { kind: Kind::ConnectTimeout, text });
                    }
                }
            }
        })
    });
    Tasks::from(connectors.collect::<Vec<_>>()).await;
    done.take()
}

/// Tasks that are waited for together; they end when they are dropped.
struct Tasks {
    running: Vec<JoinHandle<()>>,
}

impl From<Vec<JoinHandle<()>>> for Tasks {
    fn from(running: Vec<JoinHandle<()>>) -> Tasks {
        Tasks { running }
    }
}

impl Tasks {
    fn cancel(&self) {
        self.running.iter().for_each(JoinHandle::cancel);
    }
}

impl Future for Tasks {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // The last one only, so that the end of each of a thousand tasks does not poll a thousand
        // handles.
        while let Some(task) = self.running.last_mut() {
            if Pin::new(task).poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.running.pop();
        }
        Poll::Ready(())
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.cancel();
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

/// Waits for either.
async fn either(
    mut one: impl Future<Output = ()> + Unpin,
    mut other: impl Future<Output = ()> + Unpin,
) {
    poll_fn(|cx| {
        let is_over =
            Pin::new(&mut one).poll(cx).is_ready() || Pin::new(&mut other).poll(cx).is_ready();
        if is_over { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// The processor time of this thread.
fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0))
}
