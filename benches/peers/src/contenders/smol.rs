//! smol: `LocalExecutor` driven by `async_io::block_on`, sockets and timers of `async-io`.

use crate::place::Place;
use crate::runtime::{Bound, Discard, Resettable, Runtime, plain_yield};
use async_executor::{LocalExecutor, Task};
use async_io::{Async, Timer};
use futures_lite::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use std::future::Future;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixListener;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

pub struct Smol;

thread_local! {
    static EXECUTOR: &'static LocalExecutor<'static> = Box::leak(Box::new(LocalExecutor::new()));
}

fn executor() -> &'static LocalExecutor<'static> {
    EXECUTOR.with(|executor| *executor)
}

impl Runtime for Smol {
    type Join<T: 'static> = Task<T>;

    fn start() -> Result<Self, String> {
        Ok(Smol)
    }
    fn detail(&self) -> String {
        "LocalExecutor + async-io, epoll".into()
    }
    fn block_on<F: Future + 'static>(&mut self, future: F) -> F::Output
    where
        F::Output: 'static,
    {
        async_io::block_on(executor().run(future))
    }

    fn spawn<F: Future + 'static>(future: F) -> Self::Join<F::Output>
    where
        F::Output: 'static,
    {
        executor().spawn(future)
    }
    fn spawn_detached<F: Future<Output = ()> + 'static>(future: F) {
        executor().spawn(future).detach();
    }
    fn yield_now() -> impl Future<Output = ()> {
        plain_yield()
    }

    fn sleep(duration: Duration) -> impl Future<Output = ()> + 'static {
        Discard(Timer::after(duration))
    }
    fn resettable(duration: Duration) -> Option<Pin<Box<dyn Resettable>>> {
        Some(Box::pin(Reset { created: Instant::now(), timer: Timer::after(duration) }))
    }

    async fn echo(bound: Bound, buffer: usize) {
        let listener = listen(&bound);
        loop {
            let stream = accept(&bound, &listener).await;
            executor().spawn(echo_one(stream, buffer)).detach();
        }
    }

    async fn echo_unix(bound: Bound, buffer: usize) {
        let path = bound.path();
        let listener = Async::<UnixListener>::bind(&path).expect("bind");
        bound.announce_at(Place::Unix(path));
        loop {
            let (stream, _) = listener.accept().await.expect("accept");
            executor().spawn(echo_one(stream, buffer)).detach();
        }
    }

    async fn echo_udp(bound: Bound, buffer: usize) {
        let socket = Async::<UdpSocket>::bind(bound.address()).expect("bind");
        bound.announce_at(Place::Udp(socket.get_ref().local_addr().expect("local_addr")));
        let mut buffer = vec![0; buffer];
        loop {
            let (n, peer) = socket.recv_from(&mut buffer).await.expect("recv_from");
            let _ = socket.send_to(&buffer[..n], peer).await;
        }
    }

    /// examples/tcp-server.rs of smol: `io::copy` from the stream to itself.
    async fn echo_idle(bound: Bound) {
        let listener = listen(&bound);
        loop {
            let stream = accept(&bound, &listener).await;
            executor()
                .spawn(async move {
                    let _ = futures_lite::io::copy(&stream, &mut &stream).await;
                })
                .detach();
        }
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

fn listen(bound: &Bound) -> Async<TcpListener> {
    let listener = Async::<TcpListener>::bind(bound.address()).expect("bind");
    bound.announce(listener.get_ref().local_addr().expect("local_addr"));
    listener
}

async fn accept(bound: &Bound, listener: &Async<TcpListener>) -> Async<TcpStream> {
    let (stream, _) = listener.accept().await.expect("accept");
    stream.get_ref().set_nodelay(true).expect("nodelay");
    bound.count_accepted();
    stream
}

struct Reset {
    created: Instant,
    timer: Timer,
}

impl Resettable for Reset {
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.timer).poll(context).map(drop)
    }
    fn reset(mut self: Pin<&mut Self>, after: Duration) {
        let deadline = self.created + after;
        self.timer.set_at(deadline);
    }
}
