//! Socket addresses on their way between users and system calls. The runtime only passes them on;
//! what they mean is the business of `wheelhouse-net`.
//!
//! Two kinds there are, both std's: internet addresses and those of Unix sockets. An operation that
//! takes or gives an address is generic over the kind, which the socket decides.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::net::SocketAddr;
#[cfg(any(target_os = "android", target_os = "linux"))]
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::SocketAddr as UnixAddr;

use rustix::io::Errno;
use rustix::net::{SendFlags, SocketAddrAny, SocketAddrUnix, sendto};

/// The kind of address that a socket has: [`std::net::SocketAddr`] or
/// [`std::os::unix::net::SocketAddr`]. Implemented here only.
pub trait Address: sealed::Passed {}

impl Address for SocketAddr {}
impl Address for UnixAddr {}

pub(crate) mod sealed {
    use std::os::fd::BorrowedFd;

    use super::*;

    pub trait Passed: Sized + fmt::Debug + Send + Sync + 'static {
        /// What the system said, which may be nothing.
        fn taken(from: Option<SocketAddrAny>) -> Option<Self>;

        fn send(&self, fd: BorrowedFd<'_>, data: &[u8], flags: SendFlags) -> Result<usize, Errno>;
    }
}

impl sealed::Passed for SocketAddr {
    #[inline]
    fn taken(from: Option<SocketAddrAny>) -> Option<SocketAddr> {
        from.and_then(|address| address.try_into().ok())
    }

    #[inline]
    fn send(
        &self,
        fd: std::os::fd::BorrowedFd<'_>,
        data: &[u8],
        flags: SendFlags,
    ) -> Result<usize, Errno> {
        sendto(fd, data, flags, self)
    }
}

impl sealed::Passed for UnixAddr {
    /// No address at all is that of a socket without a name.
    fn taken(from: Option<SocketAddrAny>) -> Option<UnixAddr> {
        let Some(from) = from else { return unnamed().ok() };
        let from = SocketAddrUnix::try_from(from).ok()?;
        #[cfg(any(target_os = "android", target_os = "linux"))]
        if let Some(name) = from.abstract_name() {
            return UnixAddr::from_abstract_name(name).ok();
        }
        match from.path_bytes() {
            Some(path) => UnixAddr::from_pathname(OsStr::from_bytes(path)).ok(),
            None => unnamed().ok(),
        }
    }

    fn send(
        &self,
        fd: std::os::fd::BorrowedFd<'_>,
        data: &[u8],
        flags: SendFlags,
    ) -> Result<usize, Errno> {
        #[cfg(any(target_os = "android", target_os = "linux"))]
        if let Some(name) = self.as_abstract_name() {
            return sendto(fd, data, flags, &SocketAddrUnix::new_abstract_name(name)?);
        }
        // Nobody is found under no name.
        let path = self.as_pathname().ok_or(Errno::INVAL)?;
        sendto(fd, data, flags, &SocketAddrUnix::new(path)?)
    }
}

fn unnamed() -> io::Result<UnixAddr> {
    UnixAddr::from_pathname("")
}

#[cfg(test)]
mod tests {
    use super::sealed::Passed;
    use super::*;

    #[test]
    fn unix_addresses_come_through_whole() {
        let path = SocketAddrUnix::new("/tmp/some socket").unwrap();
        let taken = UnixAddr::taken(Some(path.into())).unwrap();
        assert_eq!(taken.as_pathname().unwrap().to_str(), Some("/tmp/some socket"));
        let nothing = SocketAddrUnix::new_unnamed();
        assert!(UnixAddr::taken(Some(nothing.into())).unwrap().is_unnamed());
        assert!(UnixAddr::taken(None).unwrap().is_unnamed());
        #[cfg(any(target_os = "android", target_os = "linux"))]
        for name in [&b"a name"[..], b"with\0zero", b""] {
            let address = SocketAddrUnix::new_abstract_name(name).unwrap();
            let taken = UnixAddr::taken(Some(address.into())).unwrap();
            assert_eq!(taken.as_abstract_name(), Some(name));
        }
    }

    #[test]
    fn an_address_of_the_wrong_kind_is_none() {
        let internet = SocketAddrAny::from(SocketAddr::from(([127, 0, 0, 1], 9)));
        assert!(UnixAddr::taken(Some(internet.clone())).is_none());
        assert!(SocketAddr::taken(Some(internet)).is_some());
        assert!(SocketAddr::taken(None).is_none());
    }
}
