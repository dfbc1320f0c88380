//! monoio: io_uring where the kernel allows it, else its legacy epoll driver; owned buffers.

use crate::place::Place;
use crate::runtime::{Bound, Resettable, Runtime};
use monoio::io::{AsyncReadRent, AsyncWriteRent, AsyncWriteRentExt};
use monoio::net::udp::UdpSocket;
use monoio::net::{ListenerOpts, TcpListener, UnixListener};
use monoio::time::{Instant, Sleep, TimeDriver};
use monoio::{FusionDriver, FusionRuntime, IoUringDriver, LegacyDriver, RuntimeBuilder};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

pub struct Monoio(FusionRuntime<TimeDriver<IoUringDriver>, TimeDriver<LegacyDriver>>);

impl Runtime for Monoio {
    type Join<T: 'static> = monoio::task::JoinHandle<T>;

    fn start() -> Result<Self, String> {
        RuntimeBuilder::<FusionDriver>::new().enable_timer().build().map(Monoio).map_err(|e| e.to_string())
    }
    fn detail(&self) -> String {
        match self.0 {
            FusionRuntime::Uring(_) => "io_uring".into(),
            FusionRuntime::Legacy(_) => "legacy driver, epoll (no io_uring here)".into(),
        }
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
        monoio::spawn(future)
    }
    fn spawn_detached<F: Future<Output = ()> + 'static>(future: F) {
        drop(monoio::spawn(future));
    }
    /// `wake_by_ref` and `Pending` is no yield here: the task goes to the front of the queue, and with two such tasks
    /// the second never runs. Awaiting a new task lets all that are queued go first.
    fn yield_now() -> impl Future<Output = ()> {
        monoio::spawn(async {})
    }

    fn sleep(duration: Duration) -> impl Future<Output = ()> + 'static {
        monoio::time::sleep(duration)
    }
    fn resettable(duration: Duration) -> Option<Pin<Box<dyn Resettable>>> {
        Some(Box::pin(Reset { created: Instant::now(), sleep: monoio::time::sleep(duration) }))
    }

    async fn echo(bound: Bound, buffer: usize) {
        let listener = TcpListener::bind(bound.address()).expect("bind");
        bound.announce(listener.local_addr().expect("local_addr"));
        loop {
            let (stream, _) = listener.accept().await.expect("accept");
            stream.set_nodelay(true).expect("nodelay");
            bound.count_accepted();
            drop(monoio::spawn(echo_one(stream, buffer)));
        }
    }

    async fn echo_unix(bound: Bound, buffer: usize) {
        let path = bound.path();
        // Its defaults ask for SO_REUSEPORT, which the kernel refuses on Unix sockets.
        let options = ListenerOpts::new().reuse_port(false).reuse_addr(false);
        let listener = UnixListener::bind_with_config(&path, &options).expect("bind");
        bound.announce_at(Place::Unix(path));
        loop {
            let (stream, _) = listener.accept().await.expect("accept");
            drop(monoio::spawn(echo_one(stream, buffer)));
        }
    }

    async fn echo_udp(bound: Bound, buffer: usize) {
        let socket = UdpSocket::bind(bound.address()).expect("bind");
        bound.announce_at(Place::Udp(socket.local_addr().expect("local_addr")));
        let mut buffer: Vec<u8> = Vec::with_capacity(buffer);
        loop {
            let (received, returned) = socket.recv_from(buffer).await;
            let (_, peer) = received.expect("recv_from");
            buffer = socket.send_to(returned, peer).await.1;
            buffer.clear();
        }
    }

    /// examples/echo.rs of monoio: 8 KiB a connection.
    fn echo_idle(bound: Bound) -> impl Future<Output = ()> + 'static {
        Self::echo(bound, 8 * 1024)
    }
}

async fn echo_one(mut stream: impl AsyncReadRent + AsyncWriteRent, buffer: usize) {
    let mut buffer: Vec<u8> = Vec::with_capacity(buffer);
    loop {
        let (read, returned) = stream.read(buffer).await;
        if !matches!(read, Ok(1..)) {
            return;
        }
        let (written, returned) = stream.write_all(returned).await;
        if written.is_err() {
            return;
        }
        buffer = returned;
        buffer.clear();
    }
}

struct Reset {
    created: Instant,
    sleep: Sleep,
}

impl Reset {
    fn sleep(self: Pin<&mut Self>) -> Pin<&mut Sleep> {
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
