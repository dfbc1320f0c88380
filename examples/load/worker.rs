//! What each loop of the generator does in a run: connect, wait for the start, send and receive,
//! wait for the last answers, hand over its record.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use wheelhouse::structure::{Completion, RemoteCompleter};
use wheelhouse::task::JoinHandle;
use wheelhouse::time::{sleep_until, timeout};
use wheelhouse::{completion, spawn};

use crate::args::Settings;
use crate::connection::Connection;
use crate::failure::Failures;
use crate::health::{Pulse, ThreadTimes, pulse};
use crate::http2::Http2;
use crate::job::{Job, Room, nanos};
use crate::live::{Counts, Live, TICK};
use crate::origin::{Local, Origin};
use crate::plan::{Plan, Schedule, Stage};
use crate::record::Record;
use crate::stream::Stream;

/// Connects under way at once, over all loops: few enough for the queue of any listener.
const CONNECTS_AT_ONCE: usize = 64;

/// The part of a run that one loop has.
pub(crate) struct Share {
    pub(crate) settings: Arc<Settings>,
    pub(crate) origins: Arc<[Origin]>,
    pub(crate) live: Arc<Live>,
    /// Somebody looks on.
    pub(crate) is_watched: bool,
    pub(crate) own: usize,
    pub(crate) loops: usize,
}

/// Connected, and waiting for the word.
pub(crate) struct Ready {
    pub(crate) connected: usize,
    pub(crate) failures: Failures,
    pub(crate) go: RemoteCompleter<Go>,
    pub(crate) stop: RemoteCompleter<()>,
    pub(crate) stop_now: RemoteCompleter<()>,
}

/// The word: offsets are nanoseconds from `origin`.
#[derive(Clone, Debug)]
pub(crate) struct Go {
    pub(crate) origin: Instant,
    /// `None`: closed loop.
    pub(crate) stages: Option<Vec<Stage>>,
    pub(crate) start: u64,
    pub(crate) end: u64,
}

pub(crate) struct Done {
    pub(crate) record: Record,
    pub(crate) times: ThreadTimes,
    /// What the loop's pulse told while it was measured.
    pub(crate) pulse: Pulse,
    /// Where the measured time ended.
    pub(crate) end: u64,
}

impl Share {
    /// The numbers of its connections.
    fn connections(&self) -> impl Iterator<Item = usize> + use<> {
        (self.own..self.settings.connections).step_by(self.loops)
    }
}

/// Runs on the loop. `None` when the word never came.
pub(crate) async fn work(
    share: Share,
    ready: mpsc::Sender<Ready>,
    told: RemoteCompleter<()>,
) -> Option<Done> {
    let settings = share.settings.clone();
    share.live.is_here();
    let locals: Rc<[Local]> = share
        .origins
        .iter()
        .map(|origin| origin.local(settings.timeout, settings.keeps_alive))
        .collect();
    let opened = connect_all(&share, &locals).await;
    let ((go_to, go), (stop_to, stop), (now_to, stop_now)) =
        (completion(), completion(), completion());
    let connected = Ready {
        connected: opened.streams.len(),
        failures: opened.failures,
        go: go_to.remote(),
        stop: stop_to.remote(),
        stop_now: now_to.remote(),
    };
    ready.send(connected).ok()?;
    told.complete(());
    let go = go.await.ok()?;
    let job = Rc::new(job(&share, &go, opened.times));
    let mut tasks = start(&share, &job, &locals, opened.streams);
    let connections = tasks.running.len();
    let (times, pulse, held_until) =
        conduct(&job, &go, &mut tasks, Told(stop), Told(stop_now), &settings).await;
    drop(tasks);
    let job = Rc::into_inner(job)?;
    let (end, mut record) = (job.end.get(), job.record.into_inner());
    if let Some(schedule) = job.schedule {
        // Nobody had room for these, or nobody came to them in time; or nobody was connected.
        let schedule = schedule.into_inner();
        let untaken = schedule.untaken(go.start, end);
        if job.lost.get() == connections {
            record.unsent_by_failure += untaken;
        } else {
            let held = schedule.untaken(go.start, held_until);
            record.unsent_by_target += held;
            record.unsent_by_generator += untaken - held;
        }
    }
    record.intervals.close(end);
    Some(Done { record, times, pulse, end })
}

fn job(share: &Share, go: &Go, connect_times: Vec<Duration>) -> Job {
    let settings = &share.settings;
    let length = Duration::from_nanos(go.end - go.start);
    let mut record = Record::new(go.start, length);
    record.seen = share.is_watched.then(Box::<Counts>::default);
    connect_times.into_iter().for_each(|time| record.connected(0, nanos(time)));
    let schedule = go.stages.as_ref().map(|stages| {
        let plan = Rc::new(Plan::new(stages));
        RefCell::new(Schedule::new(plan, share.own, share.loops))
    });
    Job {
        origin: go.origin,
        depth: settings.depth,
        timeout: nanos(settings.timeout),
        keeps_alive: settings.keeps_alive,
        expected_length: settings.expected_length,
        end: Cell::new(go.end),
        record: RefCell::new(record),
        schedule,
        room: Room::default(),
        live: share.live.clone(),
        lost: Cell::new(0),
        wire: Rc::default(),
        received: Job::buffer(),
        to_send: Job::buffer(),
    }
}

/// A task a connection. One that keeps nothing alive has no stream to begin with.
fn start(
    share: &Share,
    job: &Rc<Job>,
    locals: &Rc<[Local]>,
    streams: Vec<(usize, Stream)>,
) -> Tasks {
    let size = share.settings.size;
    let make = |index: usize, stream: Option<Stream>| {
        let local = &locals[index % locals.len()];
        let (job, connector, round) = (job.clone(), local.connector.clone(), index / locals.len());
        if let Some(messages) = &local.messages {
            let http2 = Http2::new(job, connector, index, messages.clone(), round, stream);
            return spawn(http2.run());
        }
        let exchange = local.exchange(index, round, size);
        spawn(Connection::new(job, connector, index, exchange, stream))
    };
    let tasks: Vec<_> = if share.settings.keeps_alive {
        streams.into_iter().map(|(index, stream)| make(index, Some(stream))).collect()
    } else {
        drop(streams);
        share.connections().map(|index| make(index, None)).collect()
    };
    tasks.into()
}

/// Waits for the end. Gives also until when the target kept messages back, as [`Room`] tells it.
async fn conduct(
    job: &Rc<Job>,
    go: &Go,
    tasks: &mut Tasks,
    mut stop: Told,
    mut stop_now: Told,
    settings: &Settings,
) -> (ThreadTimes, Pulse, u64) {
    let ticks = spawn(tick(job.clone()));
    either(sleep_until(job.instant(go.start)), &mut stop).await;
    let before = ThreadTimes::now();
    let (sent, received) = (job.wire.sent.get(), job.wire.received.get());
    let seen = Rc::new(Cell::new(Pulse::default()));
    let (beat, half) = (seen.clone(), job.instant(go.start + (go.end - go.start) / 2));
    let pulse = spawn(async move { pulse(&beat, half).await });
    if job.now() < go.end {
        either(sleep_until(job.instant(go.end)), &mut stop).await;
    }
    // If it was interrupted, over before its time.
    job.end.set(go.end.min(job.now()));
    let times = ThreadTimes::now().since(before);
    let held_until = job.room.held_until(job.end.get());
    {
        let record = &mut *job.record.borrow_mut();
        record.bytes_sent += job.wire.sent.get() - sent;
        record.bytes_received += job.wire.received.get() - received;
    }
    pulse.cancel();
    let last = timeout(settings.drain.min(settings.timeout), &mut *tasks);
    let mut last = std::pin::pin!(last);
    let last = poll_fn(|cx| last.as_mut().poll(cx).map(|_| ()));
    either(last, &mut stop_now).await;
    tasks.cancel();
    tasks.await;
    ticks.cancel();
    let _ = ticks.await;
    (times, seen.get(), held_until)
}

/// Ready when something was said; also when nobody is left to say it.
struct Told(Completion<()>);

impl Future for Told {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx).map(drop)
    }
}

/// Shows the counts to who looks on; ends at once where nobody does.
async fn tick(job: Rc<Job>) {
    let mut next = 0;
    while job.record.borrow().seen.is_some() {
        next += nanos(TICK);
        sleep_until(job.instant(next)).await;
        if let Some(seen) = &mut job.record.borrow_mut().seen {
            seen.at = next;
            seen.spun = wheelhouse::metrics().spun;
            job.live.show(seen);
        }
    }
}

/// What connecting came to.
#[derive(Default)]
struct Opened {
    streams: Vec<(usize, Stream)>,
    times: Vec<Duration>,
    failures: Failures,
}

/// Connects, some at a time. Where nothing is kept alive, once, to see that somebody is there.
async fn connect_all(share: &Share, locals: &Rc<[Local]>) -> Opened {
    let numbers: Vec<usize> = share.connections().collect();
    let wanted = if share.settings.keeps_alive { numbers.len() } else { numbers.len().min(1) };
    let left = Rc::new(RefCell::new(numbers.into_iter().take(wanted)));
    let opened = Rc::new(RefCell::new(Opened::default()));
    let at_once = (CONNECTS_AT_ONCE / share.loops).clamp(1, wanted.max(1));
    let connectors = (0..at_once).map(|_| {
        let (left, opened) = (left.clone(), opened.clone());
        let (locals, live) = (locals.clone(), share.live.clone());
        spawn(async move {
            loop {
                let Some(index) = left.borrow_mut().next() else { break };
                let began = Instant::now();
                let connector = locals[index % locals.len()].connector.clone();
                let stream = connector.connect().await;
                let opened = &mut *opened.borrow_mut();
                match stream {
                    Ok(stream) => {
                        live.opened();
                        opened.times.push(began.elapsed());
                        opened.streams.push((index, stream));
                    }
                    Err(failure) => opened.failures.add(failure),
                }
            }
        })
    });
    Tasks::from(connectors.collect::<Vec<_>>()).await;
    opened.take()
}

/// Tasks that are waited for together; they end when they are dropped.
pub(crate) struct Tasks {
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
