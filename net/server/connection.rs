//! [`Connection`]: what a server's handler gets. It is the stream, and knows when the server wants
//! to end; nothing else comes between the handler and its stream.

use std::io;
use std::ops::{Deref, DerefMut};

use wheelhouse_runtime::CancelToken;
use wheelhouse_runtime::io::Source;

use crate::stream::StreamSocket;
use crate::transport::Transport;

/// A connection that a [`Server`](crate::Server) has accepted. It is used as the stream that it is:
/// it derefs to it, and reads and writes by futures-io's traits; [`into_inner`](Self::into_inner)
/// gives the bare stream.
///
/// When the server is told to end its clients, the token in [`closing`](Self::closing) is
/// cancelled. A handler looks at it where ending does no harm: between two requests, not within
/// one. One that never looks is ended when the grace is over.
///
/// # Examples
///
/// ```
/// use std::net::TcpStream;
/// use wheelhouse::net::{Connection, StreamReader};
///
/// /// Answers line by line; between two lines it may be asked to end.
/// async fn handle(connection: Connection<TcpStream>) -> std::io::Result<()> {
///     let mut reader = StreamReader::new(&connection);
///     let closing = connection.closing();
///     while let Some(line) = closing.run_until_cancelled(reader.read_line(1024)).await {
///         let Some(line) = line? else { return Ok(()) };
///         connection.write_all(line.as_bytes()).await?;
///     }
///     connection.write_all(b"bye\n").await
/// }
/// ```
#[derive(Debug)]
pub struct Connection<S: Transport> {
    stream: StreamSocket<S>,
    closing: CancelToken,
    listener_index: usize,
}

impl<S: Transport> Connection<S> {
    pub(crate) fn new(
        stream: StreamSocket<S>,
        closing: CancelToken,
        listener_index: usize,
    ) -> Connection<S> {
        Connection { stream, closing, listener_index }
    }

    /// Cancelled when the server asks its clients to end.
    pub fn closing(&self) -> &CancelToken {
        &self.closing
    }

    /// By which of the server's listeners it came: its place in
    /// [`Server::local_addrs`](crate::Server::local_addrs), in the order of `bind` and `listener`.
    /// For a server that speaks TLS on one address and not on the other.
    pub fn listener_index(&self) -> usize {
        self.listener_index
    }

    /// The bare stream, to be split or wrapped. Take a clone of [`closing`](Self::closing) before.
    pub fn into_inner(self) -> StreamSocket<S> {
        self.stream
    }

    pub(crate) fn source(&self) -> &Source<S> {
        self.stream.source()
    }

    pub(crate) fn close_writing(&self) -> io::Result<()> {
        self.stream.close_writing()
    }
}

impl<S: Transport> Deref for Connection<S> {
    type Target = StreamSocket<S>;

    fn deref(&self) -> &StreamSocket<S> {
        &self.stream
    }
}

impl<S: Transport> DerefMut for Connection<S> {
    fn deref_mut(&mut self) -> &mut StreamSocket<S> {
        &mut self.stream
    }
}
