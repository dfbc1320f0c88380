//! What the integration tests share: loops that must end with nothing left, traces, children,
//! sockets and wakers that count.
//!
//! Every test runs on a loop of its own and ends with the leak check, [`assert_nothing_left`].

// Each test binary takes its own part of this.
#![allow(dead_code)]

pub(crate) mod tcp;

use std::any::Any;
use std::cell::RefCell;
use std::fmt::Display;
use std::future::Future;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::pin::Pin;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use wheelhouse::testing::Test;
use wheelhouse::{Builder, Clock, EventLoop};

/// What should end does so before this, on the slowest machine.
pub(crate) const GUARD: Duration = Duration::from_secs(30);

/// Runs `future` on a fresh loop, first in first out, and asserts that it leaves nothing behind and
/// no panic unread.
#[track_caller]
pub(crate) fn run_checked<F: Future>(future: F) -> F::Output {
    run_checked_on(EventLoop::builder(), future)
}

/// As [`run_checked`], on virtual time.
#[track_caller]
pub(crate) fn run_virtual<F: Future>(future: F) -> F::Output {
    run_checked_on(virtual_time(), future)
}

/// As [`run_checked`], on a loop with these settings.
#[track_caller]
pub(crate) fn run_checked_on<F: Future>(builder: Builder, future: F) -> F::Output {
    test_on(builder).run(future)
}

/// As [`run_checked_on`], where panics go unread on purpose.
#[track_caller]
pub(crate) fn run_with_panics<F: Future>(builder: Builder, future: F) -> F::Output {
    test_on(builder).allow_unread_panics().run(future)
}

fn test_on(builder: Builder) -> Test {
    let test = Test::on(builder).in_order();
    // Miri takes its time.
    if cfg!(miri) { test.time_limit(Duration::MAX) } else { test }
}

/// Settings for a loop on virtual time that jumps as by default.
pub(crate) fn virtual_time() -> Builder {
    EventLoop::builder().clock(Clock::Virtual { settle: None })
}

/// The leak check: no task, timer or descriptor is registered any more.
#[track_caller]
pub(crate) fn assert_nothing_left(event_loop: &EventLoop) {
    let left = event_loop.metrics();
    let left = (left.tasks, left.timers, left.sources);
    assert_eq!(left, (0, 0, 0), "tasks, timers, sources left in {}", event_loop.dump());
}

/// Turns the loop, as a host would, until it has nothing more to do at once.
#[track_caller]
pub(crate) fn turn_until_idle(event_loop: &EventLoop) {
    for _ in 0..10_000 {
        if !event_loop.turn(Some(Duration::ZERO)).unwrap().more() {
            return;
        }
    }
    panic!("the loop never comes to rest");
}

/// What happened, in order. Clones write to the same trace.
#[derive(Clone, Default)]
pub(crate) struct Trace(Rc<RefCell<Vec<String>>>);

impl Trace {
    pub(crate) fn note(&self, what: impl Display) {
        self.0.borrow_mut().push(what.to_string());
    }

    /// All notes so far, with a space between two; the trace is empty then.
    pub(crate) fn take(&self) -> String {
        self.0.take().join(" ")
    }

    /// As [`take`](Self::take), for notes whose order is open: sorted.
    pub(crate) fn take_sorted(&self) -> String {
        let mut notes = self.0.take();
        notes.sort();
        notes.join(" ")
    }
}

/// Runs `test` in a process of its own: for what concerns a whole process. `name` is the name of
/// the calling test.
///
/// The test binary runs itself again with only that test, which then gets here and runs `test`.
#[track_caller]
pub(crate) fn in_child(name: &str, test: impl FnOnce()) {
    let _said = stderr_of_child(name, test);
}

/// As [`in_child`], and what it said on stderr; `None` in the child itself.
#[track_caller]
pub(crate) fn stderr_of_child(name: &str, test: impl FnOnce()) -> Option<String> {
    const MARK: &str = "WHEELHOUSE_TEST_CHILD";
    if std::env::var_os(MARK).is_some_and(|child| child == name) {
        test();
        return None;
    }
    let child = Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
        .env(MARK, name)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (out, err) =
        (String::from_utf8_lossy(&child.stdout), String::from_utf8_lossy(&child.stderr));
    assert!(child.status.success(), "the child ended with {}:\n{out}\n{err}", child.status);
    assert!(out.contains("1 passed"), "the child ran no test named {name}:\n{out}");
    Some(err.into_owned())
}

/// What an example prints, on stdout and on stderr. `cargo test` builds it; it must end well, and in
/// time.
#[track_caller]
pub(crate) fn output_of_example(name: &str) -> (String, String) {
    // The test binary is in `deps`, beside the folder of the examples.
    let this = std::env::current_exe().unwrap();
    let path = this.parent().unwrap().parent().unwrap().join("examples").join(name);
    let started = Command::new(&path)
        .env("TMPDIR", folder_of_sockets())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .stdin(Stdio::null())
        .spawn();
    let mut child = started.unwrap_or_else(|error| {
        panic!("{}: {error}. `cargo test` builds it, or `cargo build --examples`.", path.display())
    });
    let began = std::time::Instant::now();
    while child.try_wait().unwrap().is_none() {
        if began.elapsed() > GUARD {
            child.kill().unwrap();
            panic!("examples/{name}.rs does not end");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let output = child.wait_with_output().unwrap();
    let [stdout, stderr] =
        [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    assert!(output.status.success(), "{name}: {}: {stderr}", output.status);
    (stdout, stderr)
}

/// The text of the panic that `run` must end in.
#[track_caller]
pub(crate) fn panic_of<R>(run: impl FnOnce() -> R) -> String {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(_) => panic!("it was expected to panic"),
        Err(payload) => text_of(&*payload),
    }
}

/// The text that a panic carries.
pub(crate) fn text_of(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_default()
}

/// Calls what it holds when it is dropped.
pub(crate) struct OnDrop<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> OnDrop<F> {
    pub(crate) fn new(call: F) -> OnDrop<F> {
        OnDrop(Some(call))
    }
}

impl<F: FnOnce()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        if let Some(call) = self.0.take() {
            call();
        }
    }
}

/// Counts how often it was woken.
#[derive(Default)]
pub(crate) struct WakeCount(AtomicUsize);

impl WakeCount {
    pub(crate) fn new() -> (Arc<WakeCount>, Waker) {
        let count = Arc::new(WakeCount::default());
        (count.clone(), Waker::from(count))
    }

    pub(crate) fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for WakeCount {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Polls once with the given waker.
pub(crate) fn poll_with<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(waker))
}

/// Polls once, with a waker that wakes nobody, then drops.
pub(crate) fn poll_once<F: Future>(future: F) -> Poll<F::Output> {
    std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// The kind of the error that a result must be.
#[track_caller]
pub(crate) fn kind_of<R: std::fmt::Debug>(result: std::io::Result<R>) -> std::io::ErrorKind {
    result.unwrap_err().kind()
}

/// Asserts that a descriptor is not passed on to child processes.
#[track_caller]
pub(crate) fn assert_close_on_exec(fd: impl AsFd) {
    use rustix::io::{FdFlags, fcntl_getfd};
    assert!(fcntl_getfd(fd).unwrap().contains(FdFlags::CLOEXEC));
}

/// Where sockets are put. Their paths have some 100 bytes, and a user's own folder may be deep.
pub(crate) fn folder_of_sockets() -> PathBuf {
    let folder = std::env::temp_dir();
    if folder.as_os_str().len() < 60 { folder } else { "/tmp".into() }
}

/// A path for a socket or a pipe that is removed with it.
pub(crate) struct TempPath(PathBuf);

impl TempPath {
    pub(crate) fn new(name: &str) -> TempPath {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let file = format!("wheelhouse-{name}-{}-{count}", std::process::id());
        TempPath(folder_of_sockets().join(file))
    }
}

impl AsRef<std::path::Path> for TempPath {
    fn as_ref(&self) -> &std::path::Path {
        &self.0
    }
}

impl Drop for TempPath {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Awaits `future` with a waker of its own between it and the task, as combinators do.
pub(crate) async fn under_foreign_waker<F: Future>(future: F) -> F::Output {
    struct Relay(Waker);
    impl Wake for Relay {
        fn wake(self: Arc<Self>) {
            self.0.wake_by_ref();
        }
    }
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|cx| {
        let relay = Waker::from(Arc::new(Relay(cx.waker().clone())));
        future.as_mut().poll(&mut Context::from_waker(&relay))
    })
    .await
}

/// Two connected TCP sockets that do not block. TCP, since Miri has no Unix sockets.
pub(crate) fn socket_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let other = listener.accept().unwrap().0;
    for socket in [&one, &other] {
        socket.set_nonblocking(true).unwrap();
        socket.set_nodelay(true).unwrap();
    }
    (one, other)
}

/// Whether the descriptor is readable, or becomes so within `timeout`: what a host loop sees.
pub(crate) fn is_readable(fd: impl AsFd, timeout: Duration) -> bool {
    let mut polled = [PollFd::new(&fd, PollFlags::IN)];
    let timeout = Timespec::try_from(timeout).unwrap();
    rustix::event::poll(&mut polled, Some(&timeout)).unwrap() == 1
}

/// How often to repeat what only shows in many rounds.
pub(crate) const fn rounds(usual: usize, under_miri: usize) -> usize {
    if cfg!(miri) { under_miri } else { usual }
}

/// A gate that tasks wait at until somebody opens it: the smallest thing that wakes by a plain
/// waker.
#[derive(Clone, Default)]
pub(crate) struct Gate(Rc<RefCell<(bool, Vec<Waker>)>>);

impl Gate {
    pub(crate) fn open(&self) {
        self.0.borrow_mut().0 = true;
        let waiting = std::mem::take(&mut self.0.borrow_mut().1);
        waiting.into_iter().for_each(Waker::wake);
    }

    pub(crate) async fn wait(&self) {
        std::future::poll_fn(|cx| {
            let (is_open, waiting) = &mut *self.0.borrow_mut();
            if *is_open {
                return Poll::Ready(());
            }
            waiting.push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

/// Sleeps for so many seconds, and gives their number.
pub(crate) async fn nap(seconds: u64) -> u64 {
    wheelhouse::time::sleep(Duration::from_secs(seconds)).await;
    seconds
}

/// Asserts that so many seconds have passed on the virtual clock: exactly, but for the ticks by
/// which deadlines are rounded up.
#[track_caller]
pub(crate) fn assert_took(start: wheelhouse::time::Instant, seconds: u64) {
    let took = start.elapsed();
    let due = Duration::from_secs(seconds);
    assert!(took >= due && took < due + Duration::from_micros(5), "{took:?} of {due:?}");
}

/// A future that notes when it is dropped, once it was polled.
pub(crate) fn noted<F: Future, D: Display + 'static>(
    trace: &Trace,
    what: D,
    future: F,
) -> impl Future<Output = F::Output> + use<F, D> {
    let trace = trace.clone();
    async move {
        let _guard = OnDrop::new(move || trace.note(what));
        future.await
    }
}

/// Awaits a future and catches its panic: the text of it.
pub(crate) async fn catching<F: Future>(future: F) -> Result<F::Output, String> {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(polled) => polled.map(Ok),
        Err(payload) => Poll::Ready(Err(text_of(&*payload))),
    })
    .await
}
