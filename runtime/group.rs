//! `LoopGroup`: several loops, a thread each, and what is said to all of them.
//!
//! It makes loops by the builder and talks to them by their handles, as anybody could; what it adds
//! is the threads: their names, their cores, and their end.

use std::fmt;
use std::future::Future;
use std::io;
use std::panic::Location;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::affinity::Cores;
use crate::builder::Builder;
use crate::handle::{Handle, RemoteHandle};
use crate::owner::EventLoop;
use crate::shutdown::{LeftBehind, LeftKind, ShutdownReport};

/// What a loop is given beyond the grace to report that it has ended.
const PATIENCE: Duration = Duration::from_millis(500);

/// Several event loops, each on a thread of its own, which runs until the group is shut down or
/// dropped. It can be used from any thread. Dropping it waits for the threads, however long a task
/// holds one of them; [`shutdown`](LoopGroup::shutdown) has an end.
///
/// # Examples
///
/// ```
/// use wheelhouse::LoopGroup;
/// use std::time::Duration;
/// let group = LoopGroup::new(2)?;
/// let one = group.handle(0).spawn(|| async { 1 });
/// let two = group.handle(1).spawn(|| async { 2 });
/// assert_eq!(one.wait().unwrap() + two.wait().unwrap(), 3);
/// assert!(group.shutdown(Duration::from_secs(1)).iter().all(|report| report.is_clean()));
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct LoopGroup {
    members: Vec<Member>,
    /// Counts the round of `spawn`.
    spawned: AtomicUsize,
    /// Where it was made.
    location: &'static Location<'static>,
}

struct Member {
    handle: Handle,
    /// The grace to shut down with, sent once.
    grace: mpsc::Sender<Duration>,
    /// How it ended. In a lock, so that a group can be shared; nobody ever waits for that.
    report: Mutex<mpsc::Receiver<ShutdownReport>>,
    thread: Option<JoinHandle<()>>,
}

/// Settings for a [`LoopGroup`].
///
/// # Examples
///
/// ```
/// use wheelhouse::LoopGroup;
/// let group = LoopGroup::builder()
///     .loops(2)
///     .name("worker")
///     .configure(|_index, builder| builder.max_blocking_threads(4))
///     .build()?;
/// assert_eq!(group.handle(1).name(), "worker-1");
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "settings do nothing until `build`"]
pub struct GroupBuilder {
    loops: Option<usize>,
    name: String,
    pins: bool,
    configure: Arc<Configure>,
}

type Configure = dyn Fn(usize, Builder) -> Builder + Send + Sync;

impl GroupBuilder {
    /// How many loops. Default: as many as the process may use cores.
    ///
    /// # Panics
    ///
    /// If it is zero.
    #[track_caller]
    pub fn loops(mut self, loops: usize) -> GroupBuilder {
        assert!(
            loops > 0,
            "`LoopGroup` was asked for 0 loops: a group has at least one. Leave the number out to \
             have one for each core."
        );
        self.loops = Some(loops);
        self
    }

    /// The name of the loops and their threads, to which each has its number added. Default: `loop`
    /// (`loop-0`, `loop-1`, ...).
    pub fn name(mut self, name: impl Into<String>) -> GroupBuilder {
        self.name = name.into();
        self
    }

    /// Pins each loop to a core of its own, the first loop to the first core that the process may
    /// use. The threads of its blocking pool are not pinned. Default: off, since the system moves
    /// threads for a reason; a machine that has nothing else to do gains by it.
    ///
    /// It works on Linux, Android and FreeBSD, and does nothing elsewhere.
    pub fn pin_to_cores(mut self, pin: bool) -> GroupBuilder {
        self.pins = pin;
        self
    }

    /// Settings of each loop: called on its thread, with its number and a builder that has the
    /// group's settings.
    pub fn configure(
        mut self,
        configure: impl Fn(usize, Builder) -> Builder + Send + Sync + 'static,
    ) -> GroupBuilder {
        self.configure = Arc::new(configure);
        self
    }

    /// Starts the loops.
    ///
    /// # Errors
    ///
    /// When the system refuses a thread or a descriptor; with
    /// [`pin_to_cores`](Self::pin_to_cores), when there are fewer cores than loops
    /// (`InvalidInput`), or the system refuses them. Loops that were started are shut down.
    ///
    /// # Panics
    ///
    /// If what [`configure`](Self::configure) was given panics.
    #[track_caller]
    pub fn build(self) -> io::Result<LoopGroup> {
        let loops = self.count()?;
        let cores = if self.pins { Some(self.cores(loops)?) } else { None };
        let members = Vec::with_capacity(loops);
        let mut group =
            LoopGroup { members, spawned: AtomicUsize::new(0), location: Location::caller() };
        for index in 0..loops {
            let plan = Plan {
                index,
                name: format!("{}-{index}", self.name),
                core: cores.as_ref().and_then(|cores| cores.get(index).copied()),
                configure: self.configure.clone(),
            };
            group.members.push(Member::start(plan)?);
        }
        Ok(group)
    }

    fn count(&self) -> io::Result<usize> {
        match self.loops {
            Some(loops) => Ok(loops),
            None => Ok(std::thread::available_parallelism()?.get()),
        }
    }

    /// A core for each loop; none where the system cannot pin.
    fn cores(&self, loops: usize) -> io::Result<Vec<usize>> {
        let Some(cores) = Cores::of_this_thread()?.numbers() else { return Ok(Vec::new()) };
        if cores.len() < loops {
            let text = format!(
                "{loops} loops are to be pinned to a core each, but this process may use {} \
                 ({cores:?}). Start fewer loops, or do not pin them.",
                cores.len()
            );
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        Ok(cores)
    }
}

impl fmt::Debug for GroupBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupBuilder")
            .field("loops", &self.loops)
            .field("name", &self.name)
            .field("pin_to_cores", &self.pins)
            .finish_non_exhaustive()
    }
}

impl LoopGroup {
    /// Starts `loops` loops with the defaults of the [`GroupBuilder`].
    ///
    /// # Errors
    ///
    /// When the system refuses a thread or a descriptor; those that were started are shut down.
    ///
    /// # Panics
    ///
    /// If `loops` is zero.
    #[track_caller]
    pub fn new(loops: usize) -> io::Result<LoopGroup> {
        LoopGroup::builder().loops(loops).build()
    }

    /// Settings for a group.
    pub fn builder() -> GroupBuilder {
        GroupBuilder {
            loops: None,
            name: "loop".to_owned(),
            pins: false,
            configure: Arc::new(|_, builder| builder),
        }
    }

    /// The handle of a loop.
    ///
    /// # Panics
    ///
    /// If there are not so many loops.
    #[track_caller]
    pub fn handle(&self, index: usize) -> Handle {
        match self.members.get(index) {
            Some(member) => member.handle.clone(),
            None => panic!(
                "`LoopGroup::handle` was called with index {index}, but the last loop of the group \
                 is {}",
                self.members.len() - 1
            ),
        }
    }

    /// The handles of all loops.
    pub fn handles(&self) -> impl Iterator<Item = Handle> + '_ {
        self.members.iter().map(|member| member.handle.clone())
    }

    /// How many loops there are.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Never: a group has at least one loop.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Has the loop whose turn it is call `make` and run the future it makes, which need not be
    /// `Send`: one loop after the other, round and round. Otherwise as [`Handle::spawn`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use wheelhouse::{Handle, LoopGroup};
    /// let group = LoopGroup::new(2)?;
    /// let names = [(); 3].map(|()| group.spawn(|| async { Handle::current().name().to_owned() }));
    /// assert_eq!(names.map(|name| name.wait().unwrap()), ["loop-0", "loop-1", "loop-0"]);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn spawn<M, F>(&self, make: M) -> RemoteHandle<F::Output>
    where
        M: FnOnce() -> F + Send + 'static,
        F: Future + 'static,
        F::Output: Send + 'static,
    {
        let turn = self.spawned.fetch_add(1, Ordering::Relaxed);
        self.members[turn % self.members.len()].handle.spawn(make)
    }

    /// Has each loop call `make` with its number and run the future it makes: the same work on all
    /// of them. The handles are in the order of the loops.
    ///
    /// # Examples
    ///
    /// ```
    /// # use wheelhouse::LoopGroup;
    /// let group = LoopGroup::new(2)?;
    /// let squares = group.on_each(|index| async move { index * index });
    /// assert_eq!(squares.into_iter().map(|one| one.wait().unwrap()).sum::<usize>(), 1);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn on_each<M, F>(&self, make: M) -> Vec<RemoteHandle<F::Output>>
    where
        M: Fn(usize) -> F + Clone + Send + 'static,
        F: Future + 'static,
        F::Output: Send + 'static,
    {
        let mut spawned = Vec::with_capacity(self.len());
        for (index, member) in self.members.iter().enumerate() {
            let make = make.clone();
            spawned.push(member.handle.spawn(move || make(index)));
        }
        spawned
    }

    /// Shuts all loops down at the same time, each as [`EventLoop::shutdown`], and reports for
    /// each, in their order.
    ///
    /// It has an end: a loop that a task holds, so that it does not even notice, is given up half a
    /// second after the grace, reported as [`LeftKind::Loop`] and left to its thread.
    ///
    /// # Panics
    ///
    /// On the thread of one of its loops, for which it would have to wait; if a loop's thread has
    /// panicked.
    #[track_caller]
    pub fn shutdown(mut self, grace: Duration) -> Vec<ShutdownReport> {
        let here = std::thread::current().id();
        if let Some(own) = self.members.iter().find(|member| member.is_thread(here)) {
            panic!(
                "`LoopGroup::shutdown` was called on the thread of {}, one of its own loops: it \
                 would wait for itself. Call it on another thread.",
                own.handle.label()
            );
        }
        if !self.is_at_home() {
            return self.abandon();
        }
        self.stop(grace);
        let started = Instant::now();
        let until = started.checked_add(grace.saturating_add(PATIENCE));
        let location = self.location;
        let ended = self.members.drain(..).map(|member| member.end(started, until, location));
        ended.collect()
    }

    /// In a fork of the process there are no such threads.
    fn is_at_home(&self) -> bool {
        self.members.iter().all(|member| member.handle.is_at_home())
    }

    /// Joins nobody, nor touches what belongs to threads that are not there.
    fn abandon(&mut self) -> Vec<ShutdownReport> {
        let abandoned = self.members.drain(..).map(std::mem::forget);
        abandoned.map(|()| ShutdownReport::default()).collect()
    }

    fn stop(&self, grace: Duration) {
        for member in &self.members {
            // A thread that is gone needs no telling.
            let _ = member.grace.send(grace);
            member.handle.stop();
        }
    }
}

impl Drop for LoopGroup {
    /// Stops the loops without grace and waits for their threads, but for the one that drops the
    /// group.
    fn drop(&mut self) {
        if !self.is_at_home() {
            self.abandon();
        }
        self.stop(Duration::ZERO);
        let here = std::thread::current().id();
        for thread in self.members.iter_mut().filter_map(|member| member.thread.take()) {
            if thread.thread().id() != here {
                // A panic of a loop was reported when it happened.
                let _ = thread.join();
            }
        }
    }
}

impl fmt::Debug for LoopGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LoopGroup({} loops)", self.members.len())
    }
}

/// What the thread of a loop is told.
struct Plan {
    index: usize,
    name: String,
    core: Option<usize>,
    configure: Arc<Configure>,
}

impl Plan {
    /// On the thread.
    fn make_loop(self) -> io::Result<EventLoop> {
        let mut builder = EventLoop::builder().name(self.name);
        if let Some(core) = self.core {
            // Threads that a thread starts run where it does; those of the pool shall not.
            builder = builder.blocking_cores(Cores::of_this_thread()?);
            Cores::only(core).let_this_thread_run().map_err(|error| {
                io::Error::new(
                    error.kind(),
                    format!("could not pin a loop to core {core}: {error}"),
                )
            })?;
        }
        (self.configure)(self.index, builder).build()
    }
}

impl Member {
    fn start(plan: Plan) -> io::Result<Member> {
        let (grace, asked) = mpsc::channel();
        let (made, wait) = mpsc::channel();
        let (ended, report) = mpsc::channel();
        let thread = std::thread::Builder::new().name(plan.name.clone()).spawn(move || {
            let event_loop = match plan.make_loop() {
                Ok(event_loop) => event_loop,
                Err(error) => {
                    let _ = made.send(Err(error));
                    return;
                }
            };
            let _ = made.send(Ok(event_loop.handle()));
            event_loop.run_forever();
            // Nobody may want it: a group that is dropped waits for the thread alone.
            let _ = ended.send(event_loop.shutdown(asked.try_recv().unwrap_or_default()));
        })?;
        match wait.recv() {
            Ok(handle) => {
                let report = Mutex::new(report);
                Ok(Member { handle: handle?, grace, report, thread: Some(thread) })
            }
            Err(_) => match thread.join() {
                Err(payload) => std::panic::resume_unwind(payload),
                Ok(()) => Err(io::Error::other("the loop's thread is gone")),
            },
        }
    }

    fn is_thread(&self, id: std::thread::ThreadId) -> bool {
        self.thread.as_ref().is_some_and(|thread| thread.thread().id() == id)
    }

    /// Waits for the loop's report until then, and for its thread if there was one.
    fn end(
        self,
        started: Instant,
        until: Option<Instant>,
        location: &'static Location<'static>,
    ) -> ShutdownReport {
        let left =
            until.map_or(Duration::MAX, |until| until.saturating_duration_since(Instant::now()));
        let report = self.report.into_inner().unwrap_or_else(PoisonError::into_inner);
        match report.recv_timeout(left) {
            Err(RecvTimeoutError::Timeout) => ShutdownReport {
                cancelled: 0,
                left: vec![LeftBehind { kind: LeftKind::Loop, location }],
                took: started.elapsed(),
            },
            report => {
                let ended = self.thread.map(JoinHandle::join);
                if let Some(Err(payload)) = ended {
                    std::panic::resume_unwind(payload);
                }
                report.unwrap_or_default()
            }
        }
    }
}
