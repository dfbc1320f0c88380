//! From what users write to addresses of Unix sockets, and from those to what the system takes. A
//! name is a path, or on Linux an abstract name, which is written as a path with a zero byte before
//! it. Only named sockets can be bound or sent to: no name at all is refused here, where the system
//! would choose one.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::SocketAddr;
use std::path::Path;

use socket2::SockAddr;

use crate::platform::{abstract_name, of_abstract_path};

/// The address of a path, or an abstract name if it begins with a zero byte.
pub(crate) fn of_path(path: &Path) -> io::Result<SocketAddr> {
    match of_abstract_path(path.as_os_str().as_bytes()) {
        Some(address) => address,
        None => SocketAddr::from_pathname(path),
    }
}

/// As `of_path`, which refuses a zero byte within a path: the system would take what is before it.
pub(crate) fn sock_addr_of_path(path: &Path) -> io::Result<SockAddr> {
    sock_addr(&of_path(path)?)
}

pub(crate) fn sock_addr(address: &SocketAddr) -> io::Result<SockAddr> {
    if let Some(path) = address.as_pathname() {
        return SockAddr::unix(path);
    }
    match abstract_name(address) {
        Some(name) => {
            let marked = [&[0], name].concat();
            SockAddr::unix(OsStr::from_bytes(&marked))
        }
        None => Err(io::Error::new(io::ErrorKind::InvalidInput, "the address has no name")),
    }
}
