//! glommio, in its maintained fork glommio-ng: io_uring only.

use crate::place::Place;
use crate::runtime::{Bound, Discard, Resettable, Runtime};
use futures_lite::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use glommio_ng::net::{TcpListener, UdpSocket, UnixListener};
use glommio_ng::timer::Timer;
use glommio_ng::{LocalExecutor, LocalExecutorBuilder, Placement, Task};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

pub struct Glommio(LocalExecutor);

impl Runtime for Glommio {
    type Join<T: 'static> = Task<T>;

    fn start() -> Result<Self, String> {
        LocalExecutorBuilder::new(Placement::Unbound).make().map(Glommio).map_err(|e| e.to_string())
    }
    fn detail(&self) -> String {
        "glommio-ng, io_uring".into()
    }
    fn block_on<F: Future + 'static>(&mut self, future: F) -> F::Output
    where
        F::Output: 'static,
    {
        self.0.run(future)
    }

    fn spawn<F: Future + 'static>(future: F) -> Self::Join<F::Output>
    where
        F::Output: 'static,
    {
        glommio_ng::spawn_local(future)
    }
    fn spawn_detached<F: Future<Output = ()> + 'static>(future: F) {
        glommio_ng::spawn_local(future).detach();
    }
    async fn yield_now() {
        glommio_ng::executor().yield_now().await;
    }

    fn sleep(duration: Duration) -> impl Future<Output = ()> + 'static {
        Discard(Timer::new(duration))
    }
    fn resettable(duration: Duration) -> Option<Pin<Box<dyn Resettable>>> {
        Some(Box::pin(Reset { created: Instant::now(), timer: Timer::new(duration) }))
    }

    async fn echo(bound: Bound, buffer: usize) {
        let listener = TcpListener::bind(bound.address()).expect("bind");
        bound.announce(listener.local_addr().expect("local_addr"));
        loop {
            let stream = listener.accept().await.expect("accept");
            stream.set_nodelay(true).expect("nodelay");
            bound.count_accepted();
            glommio_ng::spawn_local(echo_one(stream, buffer)).detach();
        }
    }

    async fn echo_unix(bound: Bound, buffer: usize) {
        let path = bound.path();
        let listener = UnixListener::bind(&path).expect("bind");
        bound.announce_at(Place::Unix(path));
        loop {
            let stream = listener.accept().await.expect("accept");
            glommio_ng::spawn_local(echo_one(stream, buffer)).detach();
        }
    }

    async fn echo_udp(bound: Bound, buffer: usize) {
        let socket = UdpSocket::bind(bound.address()).expect("bind");
        bound.announce_at(Place::Udp(socket.local_addr().expect("local_addr")));
        let mut buffer = vec![0; buffer];
        loop {
            let (n, peer) = socket.recv_from(&mut buffer).await.expect("recv_from");
            let _ = socket.send_to(&buffer[..n], peer).await;
        }
    }

    /// 8 KiB a connection, as monoio's.
    fn echo_idle(bound: Bound) -> impl Future<Output = ()> + 'static {
        Self::echo(bound, 8 * 1024)
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

struct Reset {
    created: Instant,
    timer: Timer,
}

impl Resettable for Reset {
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.timer).poll(context).map(drop)
    }
    fn reset(mut self: Pin<&mut Self>, after: Duration) {
        let left = (self.created + after).saturating_duration_since(Instant::now());
        self.timer.reset(left);
    }
}
