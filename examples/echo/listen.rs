//! Binding what the runtime's server does not bind for us: Unix paths that a dead server has left
//! behind, and sockets for datagrams, one for each loop; and what to say when a place is not to be
//! had. All of it before any loop serves, so that what is wrong is said at once.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};

use crate::args::Place;

/// Connections that may wait in the kernel's queue for being accepted; the system cuts it to its
/// own limit.
pub(crate) const BACKLOG: u32 = 4096;

/// What the system's `path must be shorter than SUN_LEN` means.
const LONGEST_PATH: &str = "it is longer than the name of a socket may be, some 100 bytes";

/// What is bound.
pub(crate) struct Listening {
    pub(crate) unix: Vec<UnixListener>,
    /// Removed with this.
    pub(crate) paths: Vec<BoundPath>,
    /// For datagrams, by loop.
    pub(crate) udp: Vec<Vec<Socket>>,
    pub(crate) udp_addresses: Vec<SocketAddr>,
}

/// Binds those places for so many loops. The error is for the user's eyes.
pub(crate) fn bind_all(places: &[Place], loops: usize) -> Result<Listening, String> {
    let mut listening = Listening {
        unix: Vec::new(),
        paths: Vec::new(),
        udp: (0..loops).map(|_| Vec::new()).collect(),
        udp_addresses: Vec::new(),
    };
    for place in places {
        match place {
            Place::Tcp(_) | Place::Tls(_) => {}
            Place::Udp(address) => {
                let bound = listening.bind_udp(*address, leaves_ipv4(places, *address));
                bound.map_err(|error| explain(&named(*address, error)))?;
            }
            Place::Unix(path) => listening.bind_unix(path)?,
        }
    }
    Ok(listening)
}

impl Listening {
    fn bind_udp(&mut self, wanted: SocketAddr, leaves_ipv4: bool) -> io::Result<()> {
        let is_shared = self.udp.len() > 1;
        let mut address = wanted;
        if is_shared && wanted.port() != 0 {
            // Sockets with SO_REUSEPORT would join those of a server that is there already, and
            // share its clients with it. One without says that the address is taken.
            bind_udp(wanted, false, leaves_ipv4)?;
        }
        for sockets in &mut self.udp {
            let socket = bind_udp(address, is_shared, leaves_ipv4)?;
            // The first one decides what port 0 is.
            address = socket.local_addr()?.as_socket().unwrap_or(address);
            sockets.push(socket);
        }
        self.udp_addresses.push(address);
        Ok(())
    }

    fn bind_unix(&mut self, path: &Path) -> Result<(), String> {
        let name = display(path);
        let explain = |error: io::Error| match error.kind() {
            io::ErrorKind::InvalidInput => {
                format!("cannot listen on unix {name}: {LONGEST_PATH}; `--unix` takes another path")
            }
            _ => format!("cannot listen on unix {name}: {error}"),
        };
        let listener = match bind_path(path) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                if !is_left_behind(path) {
                    return Err(format!(
                        "cannot listen on unix {name}: a server listens there, or it is no \
                         socket; `--unix` takes another path"
                    ));
                }
                fs::remove_file(path).and_then(|()| bind_path(path)).map_err(explain)?
            }
            bound => bound.map_err(explain)?,
        };
        self.paths.extend(BoundPath::of(path));
        listener.listen(i32::try_from(BACKLOG).unwrap_or(i32::MAX)).map_err(explain)?;
        self.unix.push(OwnedFd::from(listener).into());
        Ok(())
    }
}

/// Whether the IPv4 clients of this port have a socket of their own. Without one, an IPv6 socket for
/// all addresses serves them too, where the system does so. For streams the server sees to it.
fn leaves_ipv4(places: &[Place], address: SocketAddr) -> bool {
    let is_theirs = |place: &Place| match place {
        Place::Udp(other) => other.is_ipv4() && other.port() == address.port(),
        _ => false,
    };
    address.is_ipv6() && address.port() != 0 && places.iter().any(is_theirs)
}

fn bind_udp(address: SocketAddr, is_shared: bool, leaves_ipv4: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None)?;
    if leaves_ipv4 {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_port(is_shared)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn bind_path(path: &Path) -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    Ok(socket)
}

/// Whether the path is that of a socket on which nobody listens any more.
fn is_left_behind(path: &Path) -> bool {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    let is_refused = || -> io::Result<bool> {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        let connected = socket.connect(&SockAddr::unix(path)?);
        Ok(connected.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused))
    };
    is_socket && is_refused().unwrap_or(false)
}

/// A path that is removed when the server ends. An abstract name goes by itself.
pub(crate) struct BoundPath {
    path: PathBuf,
    /// Device and number of what we put there. Another server may have taken the path since then.
    file: (u64, u64),
}

impl BoundPath {
    fn of(path: &Path) -> Option<BoundPath> {
        Some(BoundPath { path: path.to_owned(), file: file_at(path)? })
    }
}

impl Drop for BoundPath {
    fn drop(&mut self) {
        if file_at(&self.path) == Some(self.file) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// `None` for an abstract name, too.
fn file_at(path: &Path) -> Option<(u64, u64)> {
    let found = fs::symlink_metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}

/// As the command line has it.
pub(crate) fn display(path: &Path) -> String {
    match path.as_os_str().as_bytes() {
        [0, name @ ..] => format!("@{}", OsStr::from_bytes(name).to_string_lossy()),
        _ => path.to_string_lossy().into_owned(),
    }
}

/// An error that says where.
fn named(address: SocketAddr, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
}

/// The error names the address already; this adds what to do.
pub(crate) fn explain(error: &io::Error) -> String {
    let advice = match error.kind() {
        io::ErrorKind::AddrInUse => "another program listens there",
        io::ErrorKind::PermissionDenied => "ports below 1024 need privileges",
        io::ErrorKind::AddrNotAvailable => {
            "no interface of this machine has that address; 0.0.0.0 is all of them"
        }
        _ => "the system refuses it",
    };
    format!("{error}; {advice}; another address or port may be free, and port 0 always is")
}
