//! TCP: [`TcpStream`], [`TcpListener`], [`TcpSocket`], and the halves of a stream.
//!
//! A listener or a socket makes streams, a stream makes halves; nothing here knows its maker. The
//! policies have files of their own beside this folder: `connect.rs` and `accept.rs`.

mod listener;
mod options;
mod socket;
mod stream;

pub use self::listener::TcpListener;
pub use self::socket::TcpSocket;
pub use self::stream::TcpStream;
use std::net;

use crate::split;
pub use crate::split::ReuniteError;

/// The half to read with that [`TcpStream::split`] borrowed.
pub type ReadHalf<'a> = split::ReadHalf<'a, net::TcpStream>;
/// The half to write with that [`TcpStream::split`] borrowed.
pub type WriteHalf<'a> = split::WriteHalf<'a, net::TcpStream>;
/// The half to read with that [`TcpStream::into_split`] made.
pub type OwnedReadHalf = split::OwnedReadHalf<net::TcpStream>;
/// The half to write with that [`TcpStream::into_split`] made.
pub type OwnedWriteHalf = split::OwnedWriteHalf<net::TcpStream>;
