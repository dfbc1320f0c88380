//! A connection's bytes, whatever they travel over, and how a connection is made.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};
use wheelhouse::net::{TcpStream, UnixStream};
use wheelhouse::time::timeout;
use wheelhouse_tls::{TlsConnector, TlsStream};

use crate::failure::{Failure, Kind};
use crate::target::{Place, Target};
use crate::tls::Tls;

#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

#[derive(Debug)]
pub(crate) enum Stream {
    Plain(Socket),
    Tls(Box<TlsStream<Socket>>),
}

/// Makes connections to one place.
#[derive(Debug)]
pub(crate) struct Connector {
    pub(crate) target: Target,
    pub(crate) tls: Option<Tls>,
    /// What TLS must have agreed on.
    pub(crate) is_http2: bool,
    /// For all of it, TLS included.
    pub(crate) patience: Duration,
}

impl Connector {
    pub(crate) async fn connect(&self) -> Result<Stream, Failure> {
        match timeout(self.patience, self.open()).await {
            Ok(opened) => opened,
            Err(_) => {
                let text = format!("no connection within {:?}", self.patience);
                Err(Failure { kind: Kind::ConnectTimeout, text })
            }
        }
    }

    async fn open(&self) -> Result<Stream, Failure> {
        let socket = self.socket().await.map_err(|error| Failure::connecting(&error))?;
        let Some(tls) = &self.tls else { return Ok(Stream::Plain(socket)) };
        let connector = TlsConnector::new(tls.config.clone());
        let stream = connector.connect(tls.name.clone(), socket).await;
        let stream = stream.map_err(|error| {
            let text = format!("TLS with {}: {error}", self.target.name);
            let advice = advice(&text);
            Failure { kind: Kind::Tls, text: text + advice }
        })?;
        if self.is_http2 && stream.alpn() != Some(b"h2") {
            let text = "the server did not agree on HTTP/2 (ALPN); leave out `--http2`".into();
            return Err(Failure { kind: Kind::Tls, text });
        }
        Ok(Stream::Tls(Box::new(stream)))
    }

    async fn socket(&self) -> io::Result<Socket> {
        match &self.target.place {
            Place::Tcp { addresses, .. } => {
                let stream = TcpStream::connect(addresses.as_slice()).await?;
                // A small message must not wait for the answer to the one before it.
                let _ = stream.set_nodelay(true);
                Ok(Socket::Tcp(stream))
            }
            Place::Unix(path) => UnixStream::connect(path).await.map(Socket::Unix),
        }
    }
}

/// What to do about a failed handshake.
fn advice(text: &str) -> &'static str {
    match text {
        text if text.contains("certificate") => {
            "; `--ca-file FILE` says whom to trust, `--insecure` takes any certificate"
        }
        text if text.contains("corrupt message") => "; does the server speak TLS on this port?",
        _ => "",
    }
}

impl AsyncRead for Socket {
    #[inline]
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Socket::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Socket::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    #[inline]
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Socket::Tcp(stream) => Pin::new(stream).poll_write(cx, data),
            Socket::Unix(stream) => Pin::new(stream).poll_write(cx, data),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Socket::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Tcp(stream) => Pin::new(stream).poll_close(cx),
            Socket::Unix(stream) => Pin::new(stream).poll_close(cx),
        }
    }
}

impl AsyncRead for Stream {
    #[inline]
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(socket) => Pin::new(socket).poll_read(cx, buffer),
            // A server that ends without close_notify has ended all the same.
            Stream::Tls(stream) => match ready!(Pin::new(stream).poll_read(cx, buffer)) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Poll::Ready(Ok(0)),
                read => Poll::Ready(read),
            },
        }
    }
}

impl AsyncWrite for Stream {
    #[inline]
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(socket) => Pin::new(socket).poll_write(cx, data),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, data),
        }
    }

    /// Sockets keep nothing back; TLS may.
    #[inline]
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(_) => Poll::Ready(Ok(())),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(socket) => Pin::new(socket).poll_close(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_close(cx),
        }
    }
}
