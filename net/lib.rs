//! Sockets, and what is built on them: streams that lose nothing, copying, servers.
//!
//! | for | use |
//! |---|---|
//! | TCP | [`TcpStream`], [`TcpListener`]; options before connecting: [`TcpSocket`], [`ConnectOptions`] |
//! | UDP | [`UdpSocket`] |
//! | Unix | [`UnixStream`], [`UnixListener`], [`UnixDatagram`], [`UnixSocket`]; pipes: [`unix::pipe`] |
//! | names | [`lookup_host`], [`ToSocketAddrs`] |
//! | reading by bytes, separators, lines | [`StreamReader`] |
//! | writing without waiting | [`StreamWriter`] |
//! | passing bytes on | [`copy`](copy()), [`copy_bidirectional`], [`send_file`](send_file()) |
//! | serving | [`Server`]: limits, and an end in steps |
//! | the traits of others | [`compat`]: futures-io's always, tokio's and hyper's by features |
//!
//! The names and their meanings are those of `tokio::net`; where ours do better, their documentation
//! says so. `TcpStream` and `UnixStream` are one type over two kinds of sockets, [`StreamSocket`],
//! and so are the listeners and the datagram sockets: code for any of them is generic over the
//! [`Transport`].
//!
//! # What holds for every socket
//!
//! * It belongs to the loop on which it was made. What waits must be awaited there; elsewhere it is
//!   an error. What does not wait (`try_*`, options, addresses, dropping) works on any thread. All
//!   types are `Send` and `Sync`.
//! * Dropping closes, at once and on any thread.
//! * The async methods take `&self`, and any number of tasks may be in them; all are woken. The
//!   `poll_*` methods, and with them the futures-io traits, wake the task that polled last, one for
//!   each direction.
//! * Unless its documentation says otherwise a method is cancel safe: dropped before it is ready,
//!   its future has read, written and accepted nothing.
//! * Errors are the system's `io::Error`, unwrapped. `EINTR` comes out of nothing, and no write
//!   raises `SIGPIPE`.
//!
//! # The files
//!
//! This package knows addresses, names and socket options; the runtime below knows descriptors and
//! the system calls on them. It uses nothing but the runtime's public API, never calls `read` or
//! `write` itself, and has no `unsafe`.
//!
//! ```text
//! lib.rs          this map
//! platform.rs     where systems differ
//! dns.rs          looking up names: on a thread, one look-up a name, answers kept for a minute
//! addr.rs         from what users write to socket addresses: literals at once, names through dns.rs
//! race.rs         which of a host's addresses is tried when
//! connect_error.rs    what went wrong at each of them
//! connect_options.rs  how a connection is to be opened
//! connect.rs      opening a connection, and telling a real one from what only looks like one
//! accept.rs       what the errors of accept mean: whose fault, and when to try again
//! attempt.rs      attempts at an operation of the caller's: once, or whenever the socket is ready
//! spare.rs        reading into the spare capacity of a Vec
//! transport.rs    the kinds of sockets, which decide the type of an address and nothing else
//! stream.rs       streams of every kind: reading, writing, readiness
//! split.rs        a stream in two halves, borrowed or owned
//! listener.rs     listeners of every kind
//! datagram.rs     datagram sockets of every kind
//! readiness.rs    what streams and datagram sockets say of themselves
//! tcp/            what only TCP has
//!   listener.rs   TcpListener: binding
//!   socket.rs     TcpSocket: a socket before it connects or listens
//!   stream.rs     TcpStream: connecting
//!   options.rs    the options of a TcpStream
//! udp.rs          UdpSocket: binding, sending, its options
//! unix/           Unix sockets and pipes
//!   address.rs    from paths and abstract names to addresses
//!   stream.rs     UnixStream: connecting
//!   listener.rs   UnixListener: binding
//!   datagram.rs   UnixDatagram: binding, sending
//!   socket.rs     UnixSocket: a socket that is nothing in particular yet
//!   ucred.rs      UCred: who is at the other end
//!   pipe/         pipes, anonymous and named
//!     end.rs      whether a descriptor is such an end
//!     pair.rs     a pipe that has no name
//!     open.rs     how a named pipe is opened
//!     receiver.rs Receiver: the end to read from
//!     sender.rs   Sender: the end to write to
//!     both.rs     what both have: taken over, given back, ready
//! linux.rs        the methods that only Linux has
//! scratch.rs      the buffer to read into while a stream has none of its own
//! streams/        streams over anything with futures-io's traits
//!   errors.rs     what can go wrong in a reader, with the data that was there
//!   reader.rs     StreamReader: what is read and not taken stays in it
//!   pieces.rs     lines and pieces, one after the other
//!   writer.rs     StreamWriter: writes without waiting, drains with back-pressure
//!   pipe.rs       one direction of a copy
//!   copy.rs       copy
//!   relay.rs      copy_bidirectional
//! send_file.rs    sending a file: by the system, or read on the pool
//! server/         a server: listeners, a task for each connection, an end in steps
//!   connection.rs what a handler gets: the stream, and whether the server wants to end
//!   reports.rs    counters, and who did not end when asked
//!   control.rs    the state that all its loops share: who is connected, how far the end has come
//!   reserve.rs    a descriptor for when there are no others
//!   room.rs       how many connections there may be, for one server or several
//!   seat.rs       a place in the server, given back when dropped
//!   accepting.rs  the accept loop of a listener
//!   serving.rs    Server: what one holds of it
//!   builder.rs    ServerBuilder: binds, and starts the accept loops
//! compat/         the traits of others
//!   futures_io.rs AsyncRead and AsyncWrite of futures-io
//!   tokio.rs      AsyncRead and AsyncWrite of tokio (feature `tokio-io`)
//!   hyper.rs      hyper's Read, Write, Timer, Executor (feature `hyper`)
//! ```

#![forbid(unsafe_code)]

mod accept;
mod addr;
mod attempt;
pub mod compat;
mod connect;
mod connect_error;
mod connect_options;
mod datagram;
mod dns;
#[cfg(any(target_os = "android", target_os = "linux"))]
mod linux;
mod listener;
mod platform;
mod race;
mod readiness;
mod scratch;
mod send_file;
mod server;
mod spare;
pub mod split;
mod stream;
mod streams;
pub mod tcp;
mod transport;
mod udp;
pub mod unix;

pub use crate::addr::{ToSocketAddrs, lookup_host};
pub use crate::connect_error::ConnectError;
pub use crate::connect_options::ConnectOptions;
pub use crate::datagram::DatagramSocket;
pub use crate::listener::ListenerSocket;
pub use crate::send_file::send_file;
pub use crate::server::builder::ServerBuilder;
pub use crate::server::connection::Connection;
pub use crate::server::control::Overload;
pub use crate::server::reports::{CloseReport, Counts, ListenerStats, ServerStats, Straggler};
pub use crate::server::room::ConnectionLimit;
pub use crate::server::seat::Handled;
pub use crate::server::serving::Server;
pub use crate::stream::StreamSocket;
pub use crate::streams::copy::{CopyError, copy};
pub use crate::streams::errors::{IncompleteRead, LimitOverrun, NotUtf8, ReadError};
pub use crate::streams::pieces::{Lines, Pieces};
pub use crate::streams::pipe::CopyOperation;
pub use crate::streams::reader::StreamReader;
pub use crate::streams::relay::{RelayError, RelaySide, copy_bidirectional};
pub use crate::streams::writer::StreamWriter;
pub use crate::tcp::{TcpListener, TcpSocket, TcpStream};
pub use crate::transport::{Accepting, Transport};
pub use crate::udp::UdpSocket;
pub use crate::unix::{UnixDatagram, UnixListener, UnixSocket, UnixStream};
