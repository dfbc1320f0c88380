//! What the tests of TCP share: loops with an end to waiting, connections of several kinds, and
//! addresses that refuse or are silent.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use socket2::{Domain, Socket, Type};
use wheelhouse::net::{TcpListener, TcpSocket, TcpStream};
use wheelhouse::time::timeout;
use wheelhouse::{EventLoop, Script, SelectorKind};

use super::{GUARD, run_checked_on};

/// Runs on a fresh loop, with an end to waiting, and checks that nothing is left.
#[track_caller]
pub(crate) fn run<F: Future>(future: F) -> F::Output {
    run_scripted(Script::default(), future)
}

#[track_caller]
pub(crate) fn run_scripted<F: Future>(script: Script, future: F) -> F::Output {
    let builder = EventLoop::builder().selector(SelectorKind::Scripted(script));
    run_checked_on(builder, async { timeout(GUARD, future).await.expect("it hangs") })
}

pub(crate) async fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

/// Two ends of a connection; the second was accepted.
pub(crate) async fn pair() -> (TcpStream, TcpStream) {
    let listener = listener().await;
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (client, listener.accept().await.unwrap().0)
}

/// Two ends; the buffers between them hold a few KiB only.
pub(crate) async fn narrow_pair() -> (TcpStream, TcpStream) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let listener = socket.listen(8).unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_send_buffer_size(4096).unwrap();
    let client = socket.connect(listener.local_addr().unwrap()).await.unwrap();
    (client, listener.accept().await.unwrap().0)
}

/// An end of ours and one that blocks, as a program of somebody else would have.
pub(crate) async fn pair_with_std() -> (TcpStream, std::net::TcpStream) {
    let listener = listener().await;
    let theirs = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (listener.accept().await.unwrap().0, theirs)
}

/// An address that refuses connections for as long as the socket lives.
pub(crate) fn refusing() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

/// Polls once, with a waker that wakes nobody.
pub(crate) fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// An address that never answers: the queue of its listener is full, and the kernel drops what asks
/// to connect.
pub(crate) fn silent() -> (Vec<Socket>, SocketAddr) {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut sockets = vec![listener];
    for _ in 0..8 {
        let filler = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        filler.set_nonblocking(true).unwrap();
        // It is under way, or dropped already.
        let _ = filler.connect(&address);
        sockets.push(filler);
    }
    (sockets, address.as_socket().unwrap())
}
