//! Unix sockets and pipes: between processes on one machine.
//!
//! The sockets are the same types as those of TCP and UDP (`stream.rs`, `datagram.rs`,
//! `listener.rs` above), over other kinds; here is what is different about them. Where a path is
//! asked for, one that begins with a zero byte is an abstract name on Linux: it is in no file
//! system, and goes with its socket. A path stays when its socket is closed, and must be removed
//! before it can be bound again.

mod address;
mod datagram;
mod listener;
pub mod pipe;
mod socket;
mod stream;
mod ucred;

use std::os::unix::net;
pub use std::os::unix::net::SocketAddr;

pub use self::datagram::UnixDatagram;
pub use self::listener::UnixListener;
pub(crate) use self::listener::bind_socket;
pub use self::socket::UnixSocket;
pub use self::stream::UnixStream;
pub use self::ucred::UCred;
use crate::split;

/// The half to read with that [`UnixStream::split`] borrowed.
pub type ReadHalf<'a> = split::ReadHalf<'a, net::UnixStream>;
/// The half to write with that [`UnixStream::split`] borrowed.
pub type WriteHalf<'a> = split::WriteHalf<'a, net::UnixStream>;
/// The half to read with that [`UnixStream::into_split`] made.
pub type OwnedReadHalf = split::OwnedReadHalf<net::UnixStream>;
/// The half to write with that [`UnixStream::into_split`] made.
pub type OwnedWriteHalf = split::OwnedWriteHalf<net::UnixStream>;
/// The halves are not of one stream. Here they are.
pub type ReuniteError = split::ReuniteError<net::UnixStream>;
