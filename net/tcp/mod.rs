//! TCP: [`TcpStream`], [`TcpListener`], [`TcpSocket`], and the halves of a stream.
//!
//! A listener or a socket makes streams, a stream makes halves; nothing here knows its maker. The
//! policies have files of their own beside this folder: `connect.rs` and `accept.rs`.

#[cfg(any(target_os = "android", target_os = "linux"))]
mod linux;
mod listener;
mod options;
mod socket;
mod stream;

pub use self::listener::TcpListener;
pub use self::socket::TcpSocket;
pub use self::stream::TcpStream;
pub use crate::split::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, ReuniteError, WriteHalf};
