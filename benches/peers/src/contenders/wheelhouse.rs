//! wheelhouse, as its API page says to use it.

use crate::place::Place;
use crate::runtime::{Bound, Resettable, Runtime, Spawner};
use std::cell::RefCell;
use std::future::Future;
use std::io::ErrorKind;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use wheelhouse::EventLoop;
use wheelhouse::net::{TcpListener, TcpStream, UdpSocket, UnixListener};
use wheelhouse::task::JoinHandle;
use wheelhouse::time::{Instant, Sleep};

pub struct Wheelhouse(EventLoop);

pub struct Join<T>(JoinHandle<T>);

impl<T: 'static> Future for Join<T> {
    type Output = T;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        match ready!(Pin::new(&mut self.0).poll(context)) {
            Ok(value) => Poll::Ready(value),
            Err(_) => panic!("task"),
        }
    }
}

impl Runtime for Wheelhouse {
    type Join<T: 'static> = Join<T>;

    fn start() -> Result<Self, String> {
        EventLoop::new().map(Wheelhouse).map_err(|e| e.to_string())
    }
    fn detail(&self) -> String {
        "epoll".into()
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
        Join(wheelhouse::spawn(future))
    }
    fn spawn_detached<F: Future<Output = ()> + 'static>(future: F) {
        drop(wheelhouse::spawn(future));
    }
    fn yield_now() -> impl Future<Output = ()> {
        wheelhouse::yield_now()
    }
    fn spawner() -> Option<Spawner> {
        let handle = wheelhouse::Handle::current();
        Some(Box::new(move || {
            let spawned = handle.spawn(|| async {});
            Box::pin(async { spawned.await.expect("task") })
        }))
    }

    fn sleep(duration: Duration) -> impl Future<Output = ()> + 'static {
        wheelhouse::time::sleep(duration)
    }
    fn resettable(duration: Duration) -> Option<Pin<Box<dyn Resettable>>> {
        Some(Box::pin(Reset { created: Instant::now(), sleep: wheelhouse::time::sleep(duration) }))
    }

    async fn echo(bound: Bound, buffer: usize) {
        let listener = listen(&bound).await;
        loop {
            let stream = accept(&bound, &listener).await;
            drop(wheelhouse::spawn(async move {
                let mut buffer = vec![0; buffer];
                while let Ok(n @ 1..) = stream.read(&mut buffer).await {
                    if stream.write_all(&buffer[..n]).await.is_err() {
                        break;
                    }
                }
            }));
        }
    }

    async fn echo_unix(bound: Bound, buffer: usize) {
        let path = bound.path();
        let listener = UnixListener::bind(&path).expect("bind");
        bound.announce_at(Place::Unix(path));
        loop {
            let (stream, _) = listener.accept().await.expect("accept");
            drop(wheelhouse::spawn(async move {
                let mut buffer = vec![0; buffer];
                while let Ok(n @ 1..) = stream.read(&mut buffer).await {
                    if stream.write_all(&buffer[..n]).await.is_err() {
                        break;
                    }
                }
            }));
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

    /// No buffer while idle: `readable`, then one buffer for all connections of the loop.
    async fn echo_idle(bound: Bound) {
        let listener = listen(&bound).await;
        loop {
            let stream = accept(&bound, &listener).await;
            drop(wheelhouse::spawn(async move {
                while stream.readable().await.is_ok() {
                    // Echo from the shared buffer at once; what the socket does not take is copied out and awaited.
                    let rest = BUFFER.with_borrow_mut(|buffer| match stream.try_read(buffer) {
                        Ok(0) => None,
                        Ok(n) => {
                            let sent = stream.try_write(&buffer[..n]).unwrap_or(0);
                            Some(buffer[sent..n].to_vec())
                        }
                        Err(e) if e.kind() == ErrorKind::WouldBlock => Some(Vec::new()),
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
            }));
        }
    }
}

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; 16 * 1024]);
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

// ------------------------------------------------------------------------------------------ with a tolerance

/// The same loop, with every sleep allowed to be up to 1 ms late.
pub struct Tolerant(Wheelhouse);

impl Runtime for Tolerant {
    type Join<T: 'static> = Join<T>;

    fn start() -> Result<Self, String> {
        Wheelhouse::start().map(Tolerant)
    }
    fn detail(&self) -> String {
        "epoll, tolerance 1 ms".into()
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
        Wheelhouse::spawn(future)
    }
    fn spawn_detached<F: Future<Output = ()> + 'static>(future: F) {
        Wheelhouse::spawn_detached(future)
    }
    fn yield_now() -> impl Future<Output = ()> {
        Wheelhouse::yield_now()
    }
    fn sleep(duration: Duration) -> impl Future<Output = ()> + 'static {
        wheelhouse::time::sleep(duration).tolerance(Duration::from_millis(1))
    }
    fn resettable(duration: Duration) -> Option<Pin<Box<dyn Resettable>>> {
        Wheelhouse::resettable(duration)
    }
    fn echo(bound: Bound, buffer: usize) -> impl Future<Output = ()> + 'static {
        Wheelhouse::echo(bound, buffer)
    }
    fn echo_idle(bound: Bound) -> impl Future<Output = ()> + 'static {
        Wheelhouse::echo_idle(bound)
    }
    fn echo_unix(bound: Bound, buffer: usize) -> impl Future<Output = ()> + 'static {
        Wheelhouse::echo_unix(bound, buffer)
    }
    fn echo_udp(bound: Bound, buffer: usize) -> impl Future<Output = ()> + 'static {
        Wheelhouse::echo_udp(bound, buffer)
    }
}
