//! tokio: the current_thread runtime with `tokio::spawn`, and `LocalSet` with `spawn_local`.

use crate::place::Place;
use crate::runtime::{Bound, Resettable, Runtime, Spawner};
use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket, UnixListener};
use tokio::task::{JoinHandle, LocalSet};

/// `tokio::spawn` wants `Send`; the workloads are written for one thread.
struct AssertSend<T>(T);

// SAFETY: only ever handed to a current_thread runtime, which polls and drops its tasks on the thread that is in
// `block_on`, and nothing here enters the runtime from a second thread.
unsafe impl<T> Send for AssertSend<T> {}

impl<F: Future> Future for AssertSend<F> {
    type Output = AssertSend<F::Output>;
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // SAFETY: structural pinning of the only field.
        unsafe { self.map_unchecked_mut(|this| &mut this.0) }.poll(context).map(AssertSend)
    }
}

fn build() -> Result<tokio::runtime::Runtime, String> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())
}

// ------------------------------------------------------------------------------------------- current_thread

pub struct CurrentThread(tokio::runtime::Runtime);

pub struct SendJoin<T>(JoinHandle<AssertSend<T>>);

impl<T> Future for SendJoin<T> {
    type Output = T;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        Poll::Ready(ready!(Pin::new(&mut self.0).poll(context)).expect("task").0)
    }
}

impl Runtime for CurrentThread {
    type Join<T: 'static> = SendJoin<T>;

    fn start() -> Result<Self, String> {
        build().map(CurrentThread)
    }
    fn detail(&self) -> String {
        "current_thread, epoll".into()
    }
    fn block_on<F: Future + 'static>(&mut self, future: F) -> F::Output
    where
        F::Output: 'static,
    {
        self.0.block_on(future)
    }

    fn spawn<F: Future + 'static>(future: F) -> Self::Join<F::Output>
    where
        F::Output: 'static,
    {
        SendJoin(tokio::spawn(AssertSend(future)))
    }
    fn spawn_detached<F: Future<Output = ()> + 'static>(future: F) {
        drop(tokio::spawn(AssertSend(future)));
    }
    fn yield_now() -> impl Future<Output = ()> {
        tokio::task::yield_now()
    }
    fn spawner() -> Option<Spawner> {
        let handle = tokio::runtime::Handle::current();
        Some(Box::new(move || {
            let spawned = handle.spawn(async {});
            Box::pin(async { spawned.await.expect("task") })
        }))
    }

    fn sleep(duration: Duration) -> impl Future<Output = ()> + 'static {
        tokio::time::sleep(duration)
    }
    fn resettable(duration: Duration) -> Option<Pin<Box<dyn Resettable>>> {
        let created = tokio::time::Instant::now();
        Some(Box::pin(Reset { created, sleep: tokio::time::sleep(duration) }))
    }

    async fn echo(bound: Bound, buffer: usize) {
        let listener = listen(&bound).await;
        loop {
            let stream = accept(&bound, &listener).await;
            tokio::spawn(echo_one(stream, buffer));
        }
    }

    async fn echo_unix(bound: Bound, buffer: usize) {
        let path = bound.path();
        let listener = UnixListener::bind(&path).expect("bind");
        bound.announce_at(Place::Unix(path));
        loop {
            let (stream, _) = listener.accept().await.expect("accept");
            tokio::spawn(echo_one(stream, buffer));
        }
    }

    async fn echo_udp(bound: Bound, buffer: usize) {
        let socket = UdpSocket::bind(bound.address()).await.expect("bind");
        bound.announce_at(Place::Udp(socket.local_addr().expect("local_addr")));
        let mut buffer = vec![0; buffer];
        loop {
            let (n, peer) = socket.recv_from(&mut buffer).await.expect("recv_from");
            let _ = socket.send_to(&buffer[..n], peer).await;
        }
    }

    /// examples/echo-tcp.rs of tokio: 1 KiB a connection.
    fn echo_idle(bound: Bound) -> impl Future<Output = ()> + 'static {
        Self::echo(bound, 1024)
    }
}

async fn echo_one(mut stream: impl AsyncRead + AsyncWrite + Unpin, buffer: usize) {
    let mut buffer = vec![0; buffer];
    while let Ok(n @ 1..) = stream.read(&mut buffer).await {
        if stream.write_all(&buffer[..n]).await.is_err() {
            break;
        }
    }
}

async fn listen(bound: &Bound) -> TcpListener {
    let listener = TcpListener::bind(bound.address()).await.expect("bind");
    bound.announce(listener.local_addr().expect("local_addr"));
    listener
}

async fn accept(bound: &Bound, listener: &TcpListener) -> TcpStream {
    let (stream, _) = listener.accept().await.expect("accept");
    stream.set_nodelay(true).expect("nodelay");
    bound.count_accepted();
    stream
}

struct Reset {
    created: tokio::time::Instant,
    sleep: tokio::time::Sleep,
}

impl Reset {
    fn sleep(self: Pin<&mut Self>) -> Pin<&mut tokio::time::Sleep> {
        // SAFETY: `sleep` is pinned structurally and never moved out.
        unsafe { self.map_unchecked_mut(|this| &mut this.sleep) }
    }
}

impl Resettable for Reset {
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.sleep().poll(context)
    }
    fn reset(self: Pin<&mut Self>, after: Duration) {
        let deadline = self.created + after;
        self.sleep().reset(deadline);
    }
}

// ----------------------------------------------------------------------------------------------- LocalSet

pub struct Local {
    runtime: tokio::runtime::Runtime,
    set: LocalSet,
}

pub struct LocalJoin<T>(JoinHandle<T>);

impl<T> Future for LocalJoin<T> {
    type Output = T;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        Poll::Ready(ready!(Pin::new(&mut self.0).poll(context)).expect("task"))
    }
}

impl Runtime for Local {
    type Join<T: 'static> = LocalJoin<T>;

    fn start() -> Result<Self, String> {
        Ok(Local { runtime: build()?, set: LocalSet::new() })
    }
    fn detail(&self) -> String {
        "LocalSet on current_thread, epoll".into()
    }
    fn block_on<F: Future + 'static>(&mut self, future: F) -> F::Output
    where
        F::Output: 'static,
    {
        self.set.block_on(&self.runtime, future)
    }

    fn spawn<F: Future + 'static>(future: F) -> Self::Join<F::Output>
    where
        F::Output: 'static,
    {
        LocalJoin(tokio::task::spawn_local(future))
    }
    fn spawn_detached<F: Future<Output = ()> + 'static>(future: F) {
        drop(tokio::task::spawn_local(future));
    }
    fn yield_now() -> impl Future<Output = ()> {
        tokio::task::yield_now()
    }

    fn sleep(duration: Duration) -> impl Future<Output = ()> + 'static {
        CurrentThread::sleep(duration)
    }
    fn resettable(duration: Duration) -> Option<Pin<Box<dyn Resettable>>> {
        CurrentThread::resettable(duration)
    }
    fn echo(bound: Bound, buffer: usize) -> impl Future<Output = ()> + 'static {
        CurrentThread::echo(bound, buffer)
    }
    fn echo_idle(bound: Bound) -> impl Future<Output = ()> + 'static {
        CurrentThread::echo_idle(bound)
    }
    fn echo_unix(bound: Bound, buffer: usize) -> impl Future<Output = ()> + 'static {
        CurrentThread::echo_unix(bound, buffer)
    }
    fn echo_udp(bound: Bound, buffer: usize) -> impl Future<Output = ()> + 'static {
        CurrentThread::echo_udp(bound, buffer)
    }
}

// ------------------------------------------------------------------------ current_thread, no buffer while idle

/// As `CurrentThread`, but idle connections hold no buffer: what a careful user of tokio writes.
pub struct Lean(CurrentThread);

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; 16 * 1024]);
}

impl Runtime for Lean {
    type Join<T: 'static> = SendJoin<T>;

    fn start() -> Result<Self, String> {
        CurrentThread::start().map(Lean)
    }
    fn detail(&self) -> String {
        "current_thread, epoll, readable() + try_read".into()
    }
    fn block_on<F: Future + 'static>(&mut self, future: F) -> F::Output
    where
        F::Output: 'static,
    {
        self.0.block_on(future)
    }
    fn spawn<F: Future + 'static>(future: F) -> Self::Join<F::Output>
    where
        F::Output: 'static,
    {
        CurrentThread::spawn(future)
    }
    fn spawn_detached<F: Future<Output = ()> + 'static>(future: F) {
        CurrentThread::spawn_detached(future)
    }
    fn yield_now() -> impl Future<Output = ()> {
        CurrentThread::yield_now()
    }
    fn sleep(duration: Duration) -> impl Future<Output = ()> + 'static {
        CurrentThread::sleep(duration)
    }
    fn resettable(duration: Duration) -> Option<Pin<Box<dyn Resettable>>> {
        CurrentThread::resettable(duration)
    }
    fn echo(bound: Bound, _buffer: usize) -> impl Future<Output = ()> + 'static {
        Self::echo_idle(bound)
    }
    fn echo_unix(bound: Bound, buffer: usize) -> impl Future<Output = ()> + 'static {
        CurrentThread::echo_unix(bound, buffer)
    }
    fn echo_udp(bound: Bound, buffer: usize) -> impl Future<Output = ()> + 'static {
        CurrentThread::echo_udp(bound, buffer)
    }

    async fn echo_idle(bound: Bound) {
        let listener = listen(&bound).await;
        loop {
            let mut stream = accept(&bound, &listener).await;
            tokio::spawn(async move {
                while stream.readable().await.is_ok() {
                    // Echo from the shared buffer at once; what the socket does not take is copied out and awaited.
                    let rest = BUFFER.with_borrow_mut(|buffer| match stream.try_read(buffer) {
                        Ok(0) => None,
                        Ok(n) => {
                            let sent = stream.try_write(&buffer[..n]).unwrap_or(0);
                            Some(buffer[sent..n].to_vec())
                        }
                        Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => Some(Vec::new()),
                        Err(_) => None,
                    });
                    match rest {
                        None => break,
                        Some(rest) if rest.is_empty() => {}
                        Some(rest) => {
                            if stream.write_all(&rest).await.is_err() {
                                break;
                            }
                        }
                    }
                }
            });
        }
    }
}
