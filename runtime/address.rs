//! Socket addresses on their way between users and system calls. The runtime only passes them on;
//! what they mean is the business of `wheelhouse-net`.
//!
//! Two kinds there are, both std's: internet addresses and those of Unix sockets. An operation that
//! takes or gives an address is generic over the kind, which the socket decides.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::SocketAddr as UnixAddr;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SendFlags, SocketAddrAny, SocketAddrUnix, sendto};

/// The kind of address that a socket has: [`std::net::SocketAddr`] or
/// [`std::os::unix::net::SocketAddr`]. Implemented here only.
pub trait Address: sealed::Passed {}

impl Address for SocketAddr {}
impl Address for UnixAddr {}

pub(crate) mod sealed {
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
    fn send(&self, fd: BorrowedFd<'_>, data: &[u8], flags: SendFlags) -> Result<usize, Errno> {
        sendto(fd, data, flags, self)
    }
}

impl sealed::Passed for UnixAddr {
    /// No address at all is that of a socket without a name.
    fn taken(from: Option<SocketAddrAny>) -> Option<UnixAddr> {
        match from {
            Some(from) if !is_nameless(&from) => named(from.try_into().ok()?),
            _ => unnamed().ok(),
        }
    }

    fn send(&self, fd: BorrowedFd<'_>, data: &[u8], flags: SendFlags) -> Result<usize, Errno> {
        if let Some(address) = abstract_names::given(self) {
            return sendto(fd, data, flags, &address?);
        }
        // Nobody is found under no name.
        let path = self.as_pathname().ok_or(Errno::INVAL)?;
        sendto(fd, data, flags, &SocketAddrUnix::new(path)?)
    }
}

fn named(from: SocketAddrUnix) -> Option<UnixAddr> {
    if let Some(address) = abstract_names::taken(&from) {
        return Some(address);
    }
    UnixAddr::from_pathname(OsStr::from_bytes(from.path_bytes()?)).ok()
}

fn unnamed() -> io::Result<UnixAddr> {
    UnixAddr::from_pathname("")
}

/// Whether an address holds nothing but its family, or a path that fills it to the last byte: that
/// has no zero at its end, and neither rustix nor std knows it.
fn is_nameless(from: &SocketAddrAny) -> bool {
    let is_unix = from.address_family() == AddressFamily::UNIX;
    is_unix && !(HEADER + 1..=HEADER + LONGEST_PATH).contains(&from.addr_len())
}

#[cfg(not(any(target_os = "android", target_os = "linux")))]
use self::elsewhere as abstract_names;
#[cfg(any(target_os = "android", target_os = "linux"))]
use self::on_linux as abstract_names;

use self::abstract_names::LONGEST_PATH;

/// What comes before `sun_path`: the family, and on the BSDs the length.
const HEADER: u32 = 2;

#[cfg(any(target_os = "android", target_os = "linux"))]
mod on_linux {
    use std::os::linux::net::SocketAddrExt;

    use super::*;

    /// The size of `sun_path`.
    pub(super) const LONGEST_PATH: u32 = 108;

    pub(super) fn taken(from: &SocketAddrUnix) -> Option<UnixAddr> {
        UnixAddr::from_abstract_name(from.abstract_name()?).ok()
    }

    pub(super) fn given(address: &UnixAddr) -> Option<Result<SocketAddrUnix, Errno>> {
        address.as_abstract_name().map(SocketAddrUnix::new_abstract_name)
    }
}

#[cfg(not(any(target_os = "android", target_os = "linux")))]
mod elsewhere {
    use super::*;

    /// The size of `sun_path`.
    pub(super) const LONGEST_PATH: u32 = 104;

    pub(super) fn taken(_: &SocketAddrUnix) -> Option<UnixAddr> {
        None
    }

    pub(super) fn given(_: &UnixAddr) -> Option<Result<SocketAddrUnix, Errno>> {
        None
    }
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
        assert!(UnixAddr::taken(None).unwrap().is_unnamed());
    }

    #[cfg(any(target_os = "android", target_os = "linux"))]
    #[test]
    fn abstract_names_come_through_whole() {
        use std::os::linux::net::SocketAddrExt;
        let nothing = SocketAddrUnix::new_unnamed();
        assert!(UnixAddr::taken(Some(nothing.into())).unwrap().is_unnamed());
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
