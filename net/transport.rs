//! The kinds of sockets there are, as std has them. What a kind decides is the type of its
//! addresses; all else that streams, datagram sockets and listeners do is written once, in
//! `stream.rs`, `datagram.rs` and `listener.rs`, for all kinds.

use std::fmt::Debug;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{SocketAddr as UnixAddr, UnixDatagram, UnixListener, UnixStream};

use wheelhouse_runtime::io::Address;

/// A kind of socket with two ends: std's [`TcpStream`], [`UnixStream`], [`UdpSocket`] and
/// [`UnixDatagram`]. Implemented here only.
pub trait Transport: sealed::Socket {
    /// What its ends are called: [`std::net::SocketAddr`] or [`std::os::unix::net::SocketAddr`].
    type Address: Address + Clone;

    /// Whether its streams may pass descriptors.
    #[doc(hidden)]
    const IS_LOCAL: bool;

    #[doc(hidden)]
    fn local(&self) -> io::Result<Self::Address>;

    #[doc(hidden)]
    fn peer(&self) -> io::Result<Self::Address>;
}

/// A kind of socket that accepts connections: std's [`TcpListener`] and [`UnixListener`].
/// Implemented here only.
pub trait Accepting: sealed::Socket {
    /// The connections that it accepts.
    type Stream: Transport + From<OwnedFd>;

    #[doc(hidden)]
    fn local(&self) -> io::Result<<Self::Stream as Transport>::Address>;
}

mod sealed {
    use super::*;

    pub trait Socket: AsFd + Debug + Send + Sync + 'static {}
}

macro_rules! transport {
    ($($kind:ty: $address:ty, is local: $is_local:literal;)*) => {$(
        impl sealed::Socket for $kind {}

        impl Transport for $kind {
            type Address = $address;

            const IS_LOCAL: bool = $is_local;

            fn local(&self) -> io::Result<$address> {
                self.local_addr()
            }

            fn peer(&self) -> io::Result<$address> {
                self.peer_addr()
            }
        }
    )*};
}

macro_rules! accepting {
    ($($kind:ty: $stream:ty;)*) => {$(
        impl sealed::Socket for $kind {}

        impl Accepting for $kind {
            type Stream = $stream;

            fn local(&self) -> io::Result<<$stream as Transport>::Address> {
                self.local_addr()
            }
        }
    )*};
}

transport! {
    TcpStream: SocketAddr, is local: false;
    UdpSocket: SocketAddr, is local: false;
    UnixStream: UnixAddr, is local: true;
    UnixDatagram: UnixAddr, is local: true;
}

accepting! {
    TcpListener: TcpStream;
    UnixListener: UnixStream;
}
