//! [`TlsConnector`] and [`TlsAcceptor`]: from a stream to a TLS connection.
//!
//! They hold a configuration and make a session of it for each stream; the handshake itself is the
//! session's. Neither has a time limit of its own: put a `timeout` around the call.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;

use futures_io::{AsyncRead, AsyncWrite};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection};

use crate::session::Session;
use crate::stream::TlsStream;

/// Makes TLS connections as a client. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct TlsConnector {
    config: Arc<ClientConfig>,
}

impl TlsConnector {
    /// With a configuration, such as from [`client_config`](crate::client_config).
    pub fn new(config: Arc<ClientConfig>) -> TlsConnector {
        TlsConnector { config }
    }

    /// The configuration.
    pub fn config(&self) -> &Arc<ClientConfig> {
        &self.config
    }

    /// Shakes hands over a connected stream with the server of that name, which must be in its
    /// certificate. When it is ready, all of our handshake is sent.
    ///
    /// Cancel safe in that nothing is left behind: the stream is dropped, and with it the
    /// connection.
    ///
    /// # Errors
    ///
    /// `InvalidData` with a [`rustls::Error`] inside when either side refuses (a certificate that
    /// is not trusted, no version or protocol in common); `UnexpectedEof` when the peer closes in
    /// the middle; the stream's errors.
    pub async fn connect<S>(&self, name: ServerName<'static>, stream: S) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let client = ClientConnection::new(self.config.clone(), name);
        let client = client.map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        shake_hands(Session::new(stream, Connection::Client(client))).await
    }
}

/// Makes TLS connections as a server. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct TlsAcceptor {
    config: Arc<ServerConfig>,
}

impl TlsAcceptor {
    /// With a configuration, such as from [`server_config`](crate::server_config).
    pub fn new(config: Arc<ServerConfig>) -> TlsAcceptor {
        TlsAcceptor { config }
    }

    /// The configuration.
    pub fn config(&self) -> &Arc<ServerConfig> {
        &self.config
    }

    /// Shakes hands over a stream that a client has connected. When it is ready, all of our
    /// handshake is sent. Do it in a task for each connection: a client may take its time.
    ///
    /// Cancel safe in that nothing is left behind: the stream is dropped, and with it the
    /// connection.
    ///
    /// # Errors
    ///
    /// As [`TlsConnector::connect`].
    pub async fn accept<S>(&self, stream: S) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let server = ServerConnection::new(self.config.clone());
        let server = server.map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        shake_hands(Session::new(stream, Connection::Server(server))).await
    }
}

async fn shake_hands<S>(mut session: Session<S>) -> io::Result<TlsStream<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    poll_fn(|cx| session.poll_handshake(cx)).await?;
    Ok(TlsStream::new(session))
}
