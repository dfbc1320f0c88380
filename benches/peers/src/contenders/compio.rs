//! compio: io_uring on Linux; owned buffers.

use crate::place::Place;
use crate::runtime::{Bound, Resettable, Runtime, plain_yield};
use compio::BufResult;
use compio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use compio::net::{TcpListener, UdpSocket, UnixListener};
use compio::runtime::JoinHandle;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

pub struct Compio(compio::runtime::Runtime);

pub struct Join<T>(JoinHandle<T>);

impl<T> Future for Join<T> {
    type Output = T;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        match ready!(Pin::new(&mut self.0).poll(context)) {
            Ok(value) => Poll::Ready(value),
            Err(_) => panic!("task"),
        }
    }
}

impl Runtime for Compio {
    type Join<T: 'static> = Join<T>;

    fn start() -> Result<Self, String> {
        compio::runtime::Runtime::new().map(Compio).map_err(|e| e.to_string())
    }
    fn detail(&self) -> String {
        format!("{:?}", self.0.driver_type())
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
        Join(compio::runtime::spawn(future))
    }
    fn spawn_detached<F: Future<Output = ()> + 'static>(future: F) {
        compio::runtime::spawn(future).detach();
    }
    fn yield_now() -> impl Future<Output = ()> {
        plain_yield()
    }

    fn sleep(duration: Duration) -> impl Future<Output = ()> + 'static {
        compio::time::sleep(duration)
    }
    fn resettable(_duration: Duration) -> Option<Pin<Box<dyn Resettable>>> {
        None
    }

    async fn echo(bound: Bound, buffer: usize) {
        let listener = TcpListener::bind(bound.address()).await.expect("bind");
        bound.announce(listener.local_addr().expect("local_addr"));
        loop {
            let (stream, _) = listener.accept().await.expect("accept");
            stream.set_nodelay(true).expect("nodelay");
            bound.count_accepted();
            compio::runtime::spawn(echo_one(stream, buffer)).detach();
        }
    }

    async fn echo_unix(bound: Bound, buffer: usize) {
        let path = bound.path();
        let listener = UnixListener::bind(&path).await.expect("bind");
        bound.announce_at(Place::Unix(path));
        loop {
            let (stream, _) = listener.accept().await.expect("accept");
            compio::runtime::spawn(echo_one(stream, buffer)).detach();
        }
    }

    async fn echo_udp(bound: Bound, buffer: usize) {
        let socket = UdpSocket::bind(bound.address()).await.expect("bind");
        bound.announce_at(Place::Udp(socket.local_addr().expect("local_addr")));
        let mut buffer: Vec<u8> = Vec::with_capacity(buffer);
        loop {
            let BufResult(received, returned) = socket.recv_from(buffer).await;
            let (_, peer) = received.expect("recv_from");
            let BufResult(_, returned) = socket.send_to(returned, peer).await;
            buffer = returned;
            buffer.clear();
        }
    }

    /// compio has no echo example; 8 KiB a connection, as monoio's.
    fn echo_idle(bound: Bound) -> impl Future<Output = ()> + 'static {
        Self::echo(bound, 8 * 1024)
    }
}

async fn echo_one(mut stream: impl AsyncRead + AsyncWrite, buffer: usize) {
    let mut buffer: Vec<u8> = Vec::with_capacity(buffer);
    loop {
        let BufResult(read, returned) = stream.read(buffer).await;
        if !matches!(read, Ok(1..)) {
            return;
        }
        let BufResult(written, returned) = stream.write_all(returned).await;
        if written.is_err() {
            return;
        }
        buffer = returned;
        buffer.clear();
    }
}
