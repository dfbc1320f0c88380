//! A connection's bytes, whatever they travel over, and how a connection is made.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};
use wheelhouse::net::TcpStream;
use wheelhouse::time::timeout;

use crate::failure::{Failure, Kind};
use crate::target::{Place, Target};

#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
}

/// Makes connections to one place.
#[derive(Debug)]
pub(crate) struct Connector {
    pub(crate) target: Target,
    /// For all of it, TLS included.
    pub(crate) patience: Duration,
}

impl Connector {
    pub(crate) async fn connect(&self) -> Result<Stream, Failure> {
        match timeout(self.patience, self.open()).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(Failure::connecting(&error)),
            Err(_) => {
                let text = format!("no connection within {:?}", self.patience);
                Err(Failure { kind: Kind::ConnectTimeout, text })
            }
        }
    }

    async fn open(&self) -> io::Result<Stream> {
        match &self.target.place {
            Place::Tcp { addresses, .. } => {
                let stream = TcpStream::connect(addresses.as_slice()).await?;
                // A small message must not wait for the answer to the one before it.
                let _ = stream.set_nodelay(true);
                Ok(Stream::Tcp(stream))
            }
            Place::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

impl Stream {
    #[inline]
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        match self {
            Stream::Tcp(stream) => Pin::new(&mut &*stream).poll_read(cx, buffer),
        }
    }

    #[inline]
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self {
            Stream::Tcp(stream) => Pin::new(&mut &*stream).poll_write(cx, data),
        }
    }
}
