//! Which types may cross threads, type by type, and that handlers which use ours meet the bounds of
//! axum and tower. It compiles, so it holds; what runs only shows that the bounds are met by
//! futures that work.

mod support;

use std::future::Future;
use std::net::{SocketAddr, TcpStream};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use support::{run_checked, socket_pair};
use wheelhouse::io::{AsyncFd, AsyncFdReadyGuard, Direction, Interest, Ready, Source, TryIoError};
use wheelhouse::signal::{Signal, SignalKind};
use wheelhouse::task::{self, AbortHandle, Id, JoinError, JoinHandle};
use wheelhouse::time::{self, Elapsed, Instant, Interval, Sleep, Timeout, sleep, timeout};
use wheelhouse::{
    CallHandle, Clock, Handle, LeftBehind, LoopClosed, LoopGroup, Metrics, RemoteHandle, Script,
    SelectorKind, ShutdownReport, Step, TaskInfo, TaskTree, Turn, WaitsFor, spawn, yield_now,
};

const fn send<T: Send>() {}
const fn send_and_sync<T: Send + Sync>() {}
const fn unpin<T: Unpin>() {}
const fn clone_send_and_sync<T: Clone + Send + Sync + 'static>() {}

/// Not even what it carries is `Send`.
type Local = Rc<()>;

const _: () = {
    // What users hold of a task is plain data, whatever the output.
    send_and_sync::<JoinHandle<Local>>();
    send_and_sync::<JoinHandle<u32>>();
    clone_send_and_sync::<AbortHandle>();
    clone_send_and_sync::<Id>();
    // `?` turns it into a `Box<dyn Error + Send + Sync>`.
    send_and_sync::<JoinError>();
    send_and_sync::<Result<u32, JoinError>>();
    send_and_sync::<CallHandle>();
    unpin::<JoinHandle<Local>>();

    // The door for other threads.
    clone_send_and_sync::<Handle>();
    send::<RemoteHandle<u32>>();
    send_and_sync::<RemoteHandle<u32>>();
    unpin::<RemoteHandle<u32>>();
    send_and_sync::<LoopClosed>();
    send::<LoopGroup>();

    // Time: hyper demands it of timers.
    send_and_sync::<Sleep>();
    unpin::<Sleep>();
    send_and_sync::<LoopGroup>();
    send_and_sync::<Interval>();
    unpin::<Interval>();
    send_and_sync::<Timeout<Sleep>>();
    clone_send_and_sync::<Instant>();
    clone_send_and_sync::<Elapsed>();

    // Descriptors.
    send_and_sync::<AsyncFd<TcpStream>>();
    send_and_sync::<Source<TcpStream>>();
    send_and_sync::<AsyncFdReadyGuard<'static, TcpStream>>();
    send::<Signal>();
    clone_send_and_sync::<SignalKind>();
    clone_send_and_sync::<Interest>();
    clone_send_and_sync::<Ready>();
    clone_send_and_sync::<Direction>();
    clone_send_and_sync::<TryIoError>();

    // Settings and reports.
    clone_send_and_sync::<Clock>();
    clone_send_and_sync::<SelectorKind>();
    clone_send_and_sync::<Script>();
    clone_send_and_sync::<Step>();
    clone_send_and_sync::<Metrics>();
    clone_send_and_sync::<TaskTree>();
    clone_send_and_sync::<TaskInfo>();
    clone_send_and_sync::<WaitsFor>();
    clone_send_and_sync::<ShutdownReport>();
    clone_send_and_sync::<LeftBehind>();
    clone_send_and_sync::<Turn>();
};

/// Implemented for exactly one type parameter when `T` is not `Send`: with two, the choice is
/// ambiguous and the assertion does not compile.
trait AmbiguousIfSend<A> {
    fn holds() {}
}
impl<T: ?Sized> AmbiguousIfSend<()> for T {}
impl<T: ?Sized + Send> AmbiguousIfSend<u8> for T {}

#[test]
fn the_loop_and_its_guard_stay_on_their_thread() {
    <wheelhouse::EventLoop as AmbiguousIfSend<_>>::holds();
    <wheelhouse::EnterGuard<'static> as AmbiguousIfSend<_>>::holds();
}

/// The bound that axum puts on a handler.
trait Handler: Clone + Send + Sync + Sized + 'static {
    type Future: Future<Output = u64> + Send + 'static;
    fn call(self, request: u64) -> Self::Future;
}

impl<F, Fut> Handler for F
where
    F: FnOnce(u64) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = u64> + Send + 'static,
{
    type Future = Pin<Box<dyn Future<Output = u64> + Send>>;

    fn call(self, request: u64) -> Self::Future {
        Box::pin(self(request))
    }
}

#[derive(Clone)]
struct Service {
    database: Arc<AsyncFd<TcpStream>>,
    other_loop: Handle,
}

/// Holds each of ours across an await.
async fn answer(service: Service, request: u64) -> u64 {
    let pause = sleep(Duration::from_micros(10));
    pause.await;
    yield_now().await;
    let task = spawn(async move {
        let local = Rc::new(request);
        yield_now().await;
        *local
    });
    let abort = task.abort_handle();
    let request = task.await.unwrap();
    assert!(abort.is_finished());
    let remote = service.other_loop.spawn(move || async move { request + 1 });
    let request = remote.await.unwrap();
    let mut guard = service.database.readable().await.unwrap();
    let read = guard.try_io(|database| {
        let mut byte = [0];
        std::io::Read::read(&mut database.get_ref(), &mut byte).map(|_| u64::from(byte[0]))
    });
    let byte = read.unwrap().unwrap();
    yield_now().await;
    drop(guard);
    let writable = service.database.writable().await.unwrap().ready().is_writable();
    assert!(writable);
    let limited = timeout(Duration::from_secs(10), task::Builder::new().spawn(async { 1 })).await;
    let in_time = time::timeout_at(Instant::now() + Duration::from_secs(10), yield_now()).await;
    in_time.unwrap();
    let blocking = wheelhouse::spawn_blocking(move || request).await.unwrap();
    blocking + byte + limited.unwrap().unwrap()
}

#[test]
fn a_handler_that_uses_all_of_ours_is_a_handler_for_axum_and_works() {
    let group = LoopGroup::new(1).unwrap();
    let other_loop = group.handle(0);
    let answer = run_checked(async move {
        let (ours, mut peer) = socket_pair();
        std::io::Write::write_all(&mut peer, &[40]).unwrap();
        let service = Service { database: Arc::new(AsyncFd::new(ours).unwrap()), other_loop };
        let inner = service.clone();
        let handler = move |request| answer(inner.clone(), request);
        let output = handler.clone().call(0).await;
        drop((handler, service));
        output
    });
    assert_eq!(answer, 42);
}

#[test]
fn futures_of_sources_are_send_whatever_they_wait_for() {
    fn check<F: Future + Send>(_future: F) {}
    run_checked(async {
        let (ours, _peer) = socket_pair();
        let source = Source::stream(ours, Ready::WRITABLE).unwrap();
        let mut buffer = [0; 8];
        check(source.recv(&mut buffer));
        check(source.peek(&mut buffer));
        check(source.send(b"x"));
        check(source.ready(Interest::BOTH));
        check(source.accept::<SocketAddr>());
        check(source.connect());
        check(source.io(Direction::Read, |_| Ok(())));
    });
}
