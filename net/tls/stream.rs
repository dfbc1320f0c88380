//! [`TlsStream`]: what users hold. Its moves are in `session.rs`; here are futures-io's traits and
//! what can be asked of a connection.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};
use rustls::pki_types::CertificateDer;
use rustls::{Connection, ProtocolVersion, SupportedCipherSuite};

use crate::session::Session;

/// A TLS connection over a stream, after its handshake; from [`TlsConnector`](crate::TlsConnector)
/// or [`TlsAcceptor`](crate::TlsAcceptor).
///
/// It reads and writes by futures-io's `AsyncRead` and `AsyncWrite`. Reading and writing are cancel
/// safe: a read that is dropped has taken nothing. What was written is sent at once as far as the
/// stream takes it; `flush` waits until all of it is. Close it when all is written, or the peer
/// cannot tell that from a connection that was cut.
///
/// When one task reads and another writes (`futures_lite::io::split`), each is woken for its own
/// part.
pub struct TlsStream<S> {
    session: Session<S>,
}

impl<S> TlsStream<S> {
    pub(crate) fn new(session: Session<S>) -> TlsStream<S> {
        TlsStream { session }
    }

    /// The protocol that was agreed on by ALPN, such as `b"h2"`; `None` if none was.
    pub fn alpn(&self) -> Option<&[u8]> {
        self.session.tls.alpn_protocol()
    }

    /// The peer's certificates, its own first; `None` if it showed none.
    pub fn peer_certificates(&self) -> Option<&[CertificateDer<'static>]> {
        self.session.tls.peer_certificates()
    }

    /// The version of TLS.
    pub fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.session.tls.protocol_version()
    }

    /// How it is encrypted.
    pub fn cipher_suite(&self) -> Option<SupportedCipherSuite> {
        self.session.tls.negotiated_cipher_suite()
    }

    /// On a server, the name that the client wanted to reach (SNI), in lower case.
    pub fn server_name(&self) -> Option<&str> {
        match &self.session.tls {
            Connection::Server(server) => server.server_name(),
            Connection::Client(_) => None,
        }
    }

    /// The stream below. What is read or written there is missing in the TLS connection, and breaks
    /// it.
    pub fn get_ref(&self) -> &S {
        &self.session.stream
    }

    /// As [`get_ref`](Self::get_ref).
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.session.stream
    }

    /// Gives the stream below back. What was received and not read, or written and not flushed, is
    /// lost.
    pub fn into_inner(self) -> S {
        self.session.stream
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.session.poll_read(cx, buffer)
    }

    fn poll_read_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        match buffers.iter_mut().find(|buffer| !buffer.is_empty()) {
            Some(buffer) => self.session.poll_read(cx, buffer),
            None => self.session.poll_read(cx, &mut []),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.session.poll_write(cx, &[IoSlice::new(data)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.session.poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.session.poll_send_all(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.session.poll_close(cx)
    }
}

impl<S: fmt::Debug> fmt::Debug for TlsStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStream")
            .field("stream", &self.session.stream)
            .field("version", &self.protocol_version())
            .field("alpn", &self.alpn().map(String::from_utf8_lossy))
            .finish_non_exhaustive()
    }
}
