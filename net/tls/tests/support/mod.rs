//! What the tests of TLS share: certificates made on the spot, connected pairs, and streams below
//! that make life hard.

#![allow(dead_code)]

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_lite::{AsyncRead, AsyncWrite};
use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use rustix::net::sockopt::set_socket_send_buffer_size;
use wheelhouse::net::{TcpListener, TcpStream};
use wheelhouse::testing::Test;
use wheelhouse_tls::rustls::{self, ClientConfig, ClientConnection, RootCertStore, ServerConfig};
use wheelhouse_tls::{
    CertificateDer, PrivateKeyDer, ServerName, TlsAcceptor, TlsConnector, TlsStream, client_config,
    server_config,
};

/// A certificate for `localhost` that signs itself, with its key.
pub(crate) struct Identity {
    pub(crate) signed: CertifiedKey<KeyPair>,
}

impl Identity {
    pub(crate) fn new() -> Identity {
        let names = vec!["localhost".to_owned()];
        Identity { signed: generate_simple_self_signed(names).unwrap() }
    }

    pub(crate) fn cert(&self) -> CertificateDer<'static> {
        self.signed.cert.der().clone()
    }

    pub(crate) fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::try_from(self.signed.signing_key.serialize_der()).unwrap()
    }

    pub(crate) fn server(&self) -> ServerConfig {
        server_config(vec![self.cert()], self.key()).unwrap()
    }

    /// What trusts it.
    pub(crate) fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.cert()).unwrap();
        roots
    }

    /// A client that trusts it.
    pub(crate) fn client(&self) -> ClientConfig {
        client_config(self.roots())
    }
}

pub(crate) fn localhost() -> ServerName<'static> {
    ServerName::try_from("localhost").unwrap()
}

/// Runs a test on the system's clock, with the leak check.
#[track_caller]
pub(crate) fn run<F: Future>(future: F) -> F::Output {
    Test::new().real_time().run(future)
}

pub(crate) async fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (client, listener.accept().await.unwrap().0)
}

/// Both ends of a TLS connection over streams that `wrap` makes: client and server.
pub(crate) async fn pair_over<S: AsyncRead + AsyncWrite + Unpin>(
    client: ClientConfig,
    server: ServerConfig,
    wrap: impl Fn(TcpStream) -> S,
) -> (TlsStream<S>, TlsStream<S>) {
    let (near, far) = tcp_pair().await;
    let connector = TlsConnector::new(Arc::new(client));
    let acceptor = TlsAcceptor::new(Arc::new(server));
    let (client, server) =
        wheelhouse::join!(connector.connect(localhost(), wrap(near)), acceptor.accept(wrap(far)));
    (client.unwrap(), server.unwrap())
}

pub(crate) async fn pair() -> (TlsStream<TcpStream>, TlsStream<TcpStream>) {
    let identity = Identity::new();
    pair_over(identity.client(), identity.server(), |stream| stream).await
}

/// So many bytes that differ from place to place.
pub(crate) fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n ^ (n >> 8) ^ (n >> 16)) as u8).collect()
}

/// What rustls said.
#[track_caller]
pub(crate) fn reason(error: &io::Error) -> &rustls::Error {
    assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
    error.get_ref().unwrap().downcast_ref().unwrap()
}

/// Small buffers, so that writers wait.
pub(crate) fn shrink_buffers(stream: &TcpStream) {
    set_socket_send_buffer_size(stream, 4096).unwrap();
}

/// What a client says first.
pub(crate) fn client_hello(config: ClientConfig) -> Vec<u8> {
    let mut hello = Vec::new();
    let mut client = ClientConnection::new(Arc::new(config), localhost()).unwrap();
    client.write_tls(&mut hello).unwrap();
    hello
}

/// A byte at a time, and not ready every other time.
pub(crate) struct Drip<S> {
    stream: S,
    is_tired: [bool; 2],
}

impl<S> Drip<S> {
    pub(crate) fn new(stream: S) -> Drip<S> {
        Drip { stream, is_tired: [false; 2] }
    }

    fn rest(&mut self, direction: usize, cx: &Context<'_>) -> Poll<()> {
        self.is_tired[direction] = !self.is_tired[direction];
        if self.is_tired[direction] {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Drip<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.rest(0, cx));
        let end = buffer.len().min(1);
        Pin::new(&mut self.stream).poll_read(cx, &mut buffer[..end])
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Drip<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.rest(1, cx));
        Pin::new(&mut self.stream).poll_write(cx, &data[..data.len().min(1)])
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }
}

/// Keeps all that is written until it is flushed.
pub(crate) struct Hoard<S> {
    stream: S,
    kept: Vec<u8>,
}

impl<S> Hoard<S> {
    pub(crate) fn new(stream: S) -> Hoard<S> {
        Hoard { stream, kept: Vec::new() }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Hoard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Hoard<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.kept.extend_from_slice(data);
        Poll::Ready(Ok(data.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Hoard { stream, kept } = &mut *self;
        while !kept.is_empty() {
            let written = ready!(Pin::new(&mut *stream).poll_write(cx, kept))?;
            kept.drain(..written);
        }
        Pin::new(stream).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(cx))?;
        Pin::new(&mut self.stream).poll_close(cx)
    }
}

/// Counts how often it is asked, to find what spins.
pub(crate) struct Counted<S> {
    pub(crate) stream: S,
    pub(crate) asked: std::rc::Rc<std::cell::Cell<usize>>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.asked.set(self.asked.get() + 1);
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.asked.set(self.asked.get() + 1);
        Pin::new(&mut self.stream).poll_write(cx, data)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.asked.set(self.asked.get() + 1);
        Pin::new(&mut self.stream).poll_write_vectored(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }
}
