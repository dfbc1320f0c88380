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
//! * **Unix sockets**: abstract names are Linux's; who the peer is, all tell, but which process, only
//!   Linux and Apple's systems.
//! * **One port for several listeners**: Linux deals out the connections to them, FreeBSD if it is
//!   asked for that by another option, Apple's systems do not.
//! * **SIGPIPE**: Apple's systems have no flag for it but an option, which each socket needs. That of
//!   streams the runtime sets.
//! * **Sockets and pipes**: close-on-exec and non-blocking from the start, or on Apple's systems by
//!   further calls.
//! * **The source port** of a socket bound to an address alone is chosen by Linux, if it is asked to
//!   wait, when the destination is known; so that there are enough of them.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::SocketAddr as UnixAddr;

use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};

/// A socket, close-on-exec and non-blocking.
#[cfg(not(target_vendor = "apple"))]
pub(crate) fn new_socket(
    domain: Domain,
    kind: Type,
    protocol: Option<Protocol>,
) -> io::Result<Socket> {
    Socket::new(domain, kind.nonblocking(), protocol)
}

/// A socket, close-on-exec and non-blocking.
#[cfg(target_vendor = "apple")]
pub(crate) fn new_socket(
    domain: Domain,
    kind: Type,
    protocol: Option<Protocol>,
) -> io::Result<Socket> {
    let socket = Socket::new(domain, kind, protocol)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// A pipe, close-on-exec and non-blocking: the end to read from, the end to write to.
#[cfg(not(target_vendor = "apple"))]
pub(crate) fn new_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    use rustix::pipe::{PipeFlags, pipe_with};
    Ok(pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?)
}

/// A pipe, close-on-exec and non-blocking: the end to read from, the end to write to.
#[cfg(target_vendor = "apple")]
pub(crate) fn new_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = rustix::pipe::pipe()?;
    for end in [&reader, &writer] {
        rustix::io::fcntl_setfd(end, rustix::io::FdFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(end, true)?;
    }
    Ok((reader, writer))
}

/// Before the bind of a listener that shares its port with others of the same server.
pub(crate) fn share_port(socket: &Socket) -> io::Result<()> {
    #[cfg(target_os = "freebsd")]
    return socket.set_reuse_port_lb(true);
    #[cfg(not(target_os = "freebsd"))]
    socket.set_reuse_port(true)
}

/// What a datagram socket needs once, before it sends.
pub(crate) fn prepare_datagrams(socket: &Socket) -> io::Result<()> {
    #[cfg(target_vendor = "apple")]
    socket.set_nosigpipe(true)?;
    let _ = socket;
    Ok(())
}

#[cfg(any(target_os = "android", target_os = "linux"))]
pub(crate) use self::linux::*;
#[cfg(not(any(target_os = "android", target_os = "linux")))]
pub(crate) use self::others::*;

#[cfg(any(target_os = "android", target_os = "linux"))]
mod linux {
    use nix::sys::socket::{getsockopt, setsockopt, sockopt};

    use super::*;

    pub(crate) fn abstract_name(address: &UnixAddr) -> Option<&[u8]> {
        std::os::linux::net::SocketAddrExt::as_abstract_name(address)
    }

    /// The address of an abstract name, written as a path with a zero byte before it.
    pub(crate) fn of_abstract_path(path: &[u8]) -> Option<io::Result<UnixAddr>> {
        let name = path.strip_prefix(&[0])?;
        Some(<UnixAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(name))
    }

    /// User, group and process of the peer of a Unix socket.
    pub(crate) fn peer_of(socket: impl AsFd) -> io::Result<(u32, u32, Option<i32>)> {
        let peer = getsockopt(&socket, sockopt::PeerCredentials)?;
        // 0 is who cannot be seen from here: a process outside of our namespace.
        let process = Some(peer.pid()).filter(|pid| *pid != 0);
        Ok((peer.uid(), peer.gid(), process))
    }

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

    pub(crate) fn abstract_name(_: &UnixAddr) -> Option<&[u8]> {
        None
    }

    pub(crate) fn of_abstract_path(path: &[u8]) -> Option<io::Result<UnixAddr>> {
        let is_abstract = path.starts_with(&[0]);
        is_abstract.then(|| Err(missing("there are no abstract names of Unix sockets")))
    }

    pub(crate) fn peer_of(socket: impl AsFd) -> io::Result<(u32, u32, Option<i32>)> {
        let (user, group) = nix::unistd::getpeereid(&socket)?;
        Ok((user.as_raw(), group.as_raw(), process_of_peer(&socket)?))
    }

    #[cfg(target_vendor = "apple")]
    fn process_of_peer(socket: impl AsFd) -> io::Result<Option<i32>> {
        use nix::sys::socket::{getsockopt, sockopt};
        Ok(Some(getsockopt(&socket, sockopt::LocalPeerPid)?))
    }

    #[cfg(not(target_vendor = "apple"))]
    fn process_of_peer(_: impl AsFd) -> io::Result<Option<i32>> {
        Ok(None)
    }

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
