//! Opening a connection: the name, TCP, TLS, and which HTTP is spoken on it.
//!
//! The runtime looks names up, once at a time, and races their addresses. The protocol is what TLS
//! negotiates, and HTTP/1.1 without TLS.

use std::time::Duration;

use bytes::Bytes;
use futures_io::{AsyncRead, AsyncWrite};
use http_body_util::Empty;
use hyper::client::conn::{http1, http2};
use wheelhouse::net::{TcpStream, lookup_host};
use wheelhouse::spawn;
use wheelhouse::time::timeout;

use crate::http::failure::{Class, Failure};
use crate::http::tls::Tls;
use crate::web::address::Parts;
use wheelhouse::net::compat::hyper::{HyperExecutor, HyperIo, HyperTimer};

/// The head of an answer may have this much, and so many fields.
const LARGEST_HEAD: usize = 64 * 1024;
const MOST_FIELDS: usize = 256;

/// Requests carry no body.
pub(crate) type NoBody = Empty<Bytes>;

/// Where requests for one connection are given.
pub(crate) enum Sender {
    /// One request at a time.
    One(http1::SendRequest<NoBody>),
    /// Any number at a time: clones share the connection.
    Two(http2::SendRequest<NoBody>),
}

pub(crate) struct Connector {
    timeout: Duration,
    tls: Tls,
}

impl Connector {
    pub(crate) fn new(timeout: Duration, tls: Tls) -> Connector {
        Connector { timeout, tls }
    }

    /// Connects to the origin of an address.
    pub(crate) async fn connect(&self, parts: &Parts<'_>) -> Result<Sender, Failure> {
        match timeout(self.timeout, self.open(parts)).await {
            Ok(result) => result,
            Err(_) => {
                let text = format!("no connection within {:?}", self.timeout);
                Err(Failure::new(Class::Timeout, text))
            }
        }
    }

    async fn open(&self, parts: &Parts<'_>) -> Result<Sender, Failure> {
        // The answer is kept by the runtime: this only tells a missing name from a missing server.
        let found = lookup_host((parts.host, parts.port)).await;
        drop(found.map_err(|error| Failure::new(Class::Name, error.to_string()))?);
        let stream = TcpStream::connect((parts.host, parts.port)).await;
        let stream = stream.map_err(|error| Failure::connecting(&error))?;
        // Requests are written whole: waiting for more would only make them late.
        let _ = stream.set_nodelay(true);
        if !parts.is_tls {
            return speak_http1(stream).await;
        }
        let stream = self.tls.connect(parts.host, stream).await?;
        match stream.alpn() {
            Some(b"h2") => speak_http2(stream).await,
            _ => speak_http1(stream).await,
        }
    }
}

async fn speak_http1<S>(stream: S) -> Result<Sender, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let mut builder = http1::Builder::new();
    builder.max_buf_size(LARGEST_HEAD).max_headers(MOST_FIELDS);
    let handshake = builder.handshake(HyperIo::new(stream)).await;
    let (sender, connection) = handshake.map_err(|error| Failure::http(&error))?;
    // It ends when the sender is dropped or the peer closes; what went wrong the sender hears too.
    drop(spawn(async move { drop(connection.await) }));
    Ok(Sender::One(sender))
}

async fn speak_http2<S>(stream: S) -> Result<Sender, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let mut builder = http2::Builder::new(HyperExecutor);
    builder.timer(HyperTimer).max_header_list_size(LARGEST_HEAD as u32);
    let handshake = builder.handshake(HyperIo::new(stream)).await;
    let (sender, connection) = handshake.map_err(|error| Failure::http(&error))?;
    drop(spawn(async move { drop(connection.await) }));
    Ok(Sender::Two(sender))
}
