//! Where systems differ in what `net` asks of them: this file decides, and the rest of the package
//! does not know which system it is on.
//!
//! (The one other place is `linux.rs`, for methods that exist on one system only.)
//!
//! * **Errors of accept** that only Linux passes on.
//! * **Tying a socket to an interface**: by its name on Linux, by its number on Apple's systems; the
//!   BSDs have no such thing.
//! * **TCP fast open** for who connects: one option on Linux. Apple's systems want connectx(2), the
//!   BSDs sendto(2), with the data in hand; neither fits a connect that comes before the first
//!   write.
//! * **The source port** of a socket bound to an address alone is chosen by Linux, if it is asked to
//!   wait, when the destination is known; so that there are enough of them.

use std::io;
use std::net::SocketAddr;

use rustix::io::Errno;
use socket2::Socket;

#[cfg(any(target_os = "android", target_os = "linux"))]
pub(crate) use self::linux::*;
#[cfg(not(any(target_os = "android", target_os = "linux")))]
pub(crate) use self::others::*;

#[cfg(any(target_os = "android", target_os = "linux"))]
mod linux {
    use nix::sys::socket::{setsockopt, sockopt};

    use super::*;

    /// Errors of accept that are those of one connection, beside those that every system has.
    pub(crate) const ERRORS_OF_ONE_CONNECTION: &[Errno] = &[Errno::NONET];

    pub(crate) fn tie_to_interface(
        socket: &Socket,
        interface: &str,
        _destination: SocketAddr,
    ) -> io::Result<()> {
        socket.bind_device(Some(interface.as_bytes()))
    }

    pub(crate) fn use_fast_open(socket: &Socket) -> io::Result<()> {
        Ok(setsockopt(socket, sockopt::TcpFastOpenConnect, &true)?)
    }

    /// Before a bind to port 0 that is followed by a connect.
    pub(crate) fn choose_port_late(socket: &Socket) -> io::Result<()> {
        Ok(setsockopt(socket, sockopt::IpBindAddressNoPort, &true)?)
    }
}

#[cfg(not(any(target_os = "android", target_os = "linux")))]
mod others {
    use super::*;

    pub(crate) const ERRORS_OF_ONE_CONNECTION: &[Errno] = &[];

    #[cfg(target_vendor = "apple")]
    pub(crate) fn tie_to_interface(
        socket: &Socket,
        interface: &str,
        destination: SocketAddr,
    ) -> io::Result<()> {
        let index = std::num::NonZeroU32::new(nix::net::if_::if_nametoindex(interface)?);
        match destination {
            SocketAddr::V4(_) => socket.bind_device_by_index_v4(index),
            SocketAddr::V6(_) => socket.bind_device_by_index_v6(index),
        }
    }

    #[cfg(not(target_vendor = "apple"))]
    pub(crate) fn tie_to_interface(
        _socket: &Socket,
        _interface: &str,
        _destination: SocketAddr,
    ) -> io::Result<()> {
        Err(missing("a socket cannot be tied to an interface: bind it to an address of it"))
    }

    pub(crate) fn use_fast_open(_socket: &Socket) -> io::Result<()> {
        Err(missing("there is no TCP fast open for a connect without data"))
    }

    pub(crate) fn choose_port_late(_socket: &Socket) -> io::Result<()> {
        Ok(())
    }

    fn missing(what: &str) -> io::Error {
        io::Error::new(io::ErrorKind::Unsupported, format!("on this system {what}"))
    }
}
