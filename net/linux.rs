//! The methods that only Linux has, and Android with it.
//!
//! They are methods, so that they cannot be a branch in `platform.rs`: where they are missing the
//! compiler is to say so, not the program.

use std::io;

use socket2::SockRef;

use crate::tcp::{TcpSocket, TcpStream};
use crate::udp::UdpSocket;

impl TcpStream {
    /// `TCP_QUICKACK`: whether what comes is acknowledged at once. Linux only.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn quickack(&self) -> io::Result<bool> {
        SockRef::from(self).tcp_quickack()
    }

    /// Sets `TCP_QUICKACK`. It does not last: the system goes back and forth by itself. Linux only.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn set_quickack(&self, quickack: bool) -> io::Result<()> {
        SockRef::from(self).set_tcp_quickack(quickack)
    }
}

impl TcpSocket {
    /// `SO_BINDTODEVICE`: the network interface it is tied to. Linux only.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn device(&self) -> io::Result<Option<Vec<u8>>> {
        SockRef::from(self).device()
    }

    /// Sets `SO_BINDTODEVICE`: ties it to a network interface, `b"eth0"`; `None` unties it. Linux
    /// only.
    ///
    /// # Errors
    ///
    /// The system's: `PermissionDenied`, no such interface.
    pub fn bind_device(&self, interface: Option<&[u8]>) -> io::Result<()> {
        SockRef::from(self).bind_device(interface)
    }
}

impl UdpSocket {
    /// `SO_BINDTODEVICE`: the network interface it is tied to. Linux only.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn device(&self) -> io::Result<Option<Vec<u8>>> {
        SockRef::from(self).device()
    }

    /// Sets `SO_BINDTODEVICE`: ties it to a network interface, `b"eth0"`; `None` unties it. Linux
    /// only.
    ///
    /// # Errors
    ///
    /// The system's: `PermissionDenied`, no such interface.
    pub fn bind_device(&self, interface: Option<&[u8]>) -> io::Result<()> {
        SockRef::from(self).bind_device(interface)
    }
}
