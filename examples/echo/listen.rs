//! Binding what the command line names: a socket for each loop, before any loop runs, so that what
//! is wrong is said at once and port 0 is one port for all.
//!
//! Over TCP and UDP the kernel spreads clients over the loops' sockets (SO_REUSEPORT). Unix sockets
//! have no such thing; there the loops share one listener.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};
use wheelhouse::net::{TcpListener, TcpSocket, UdpSocket, UnixListener};

use crate::args::Place;
use crate::tls::Acceptor;
use crate::worker::Door;

/// Connections that may wait in the kernel's queue for being accepted; the system cuts it to its
/// own limit.
const BACKLOG: i32 = 4096;

/// What is bound for one loop and one place, not yet the loop's.
pub(crate) enum Bound {
    Tcp(TcpSocket),
    Tls(TcpSocket, Acceptor),
    Udp(Socket),
    Unix(Socket),
}

/// All that is bound.
pub(crate) struct Listening {
    /// Places by loop.
    pub(crate) by_loop: Vec<Vec<Bound>>,
    /// What it is, and its address, for who starts this program.
    pub(crate) announced: Vec<(&'static str, String)>,
    /// Removed with this.
    pub(crate) paths: Vec<BoundPath>,
}

/// Binds every place for so many loops. The error is for the user's eyes.
pub(crate) fn bind_all(
    places: &[Place],
    loops: usize,
    acceptor: Option<&Acceptor>,
) -> Result<Listening, String> {
    let mut listening = Listening {
        by_loop: (0..loops).map(|_| Vec::new()).collect(),
        announced: Vec::new(),
        paths: Vec::new(),
    };
    for place in places {
        match place {
            Place::Tcp(address) => {
                listening.bind("tcp", *address, bind_tcp, TcpSocket::local_addr, Bound::Tcp)?;
            }
            Place::Tls(address) => {
                let acceptor = acceptor.ok_or("`--tls` needs a certificate")?;
                let tls = |socket| Bound::Tls(socket, acceptor.clone());
                listening.bind("tls", *address, bind_tcp, TcpSocket::local_addr, tls)?;
            }
            Place::Udp(address) => {
                listening.bind("udp", *address, bind_udp, address_of, Bound::Udp)?;
            }
            Place::Unix(path) => listening.bind_unix(path)?,
        }
    }
    Ok(listening)
}

impl Listening {
    fn bind<S>(
        &mut self,
        kind: &'static str,
        wanted: SocketAddr,
        bind: impl Fn(SocketAddr, bool) -> io::Result<S>,
        address_of: impl Fn(&S) -> io::Result<SocketAddr>,
        bound: impl Fn(S) -> Bound,
    ) -> Result<(), String> {
        let explain = |error: io::Error| explain(kind, wanted, &error);
        let is_shared = self.by_loop.len() > 1;
        let mut address = wanted;
        if is_shared && wanted.port() != 0 {
            // Sockets with SO_REUSEPORT would join those of a server that is there already, and
            // share its clients with it. One without says that the address is taken.
            bind(wanted, false).map_err(explain)?;
        }
        for places in &mut self.by_loop {
            let socket = bind(address, is_shared).map_err(explain)?;
            // The first one decides what port 0 is.
            address = address_of(&socket).map_err(explain)?;
            places.push(bound(socket));
        }
        self.announced.push((kind, address.to_string()));
        Ok(())
    }

    fn bind_unix(&mut self, path: &Path) -> Result<(), String> {
        let name = display(path);
        let explain = |error: io::Error| format!("cannot listen on unix {name}: {error}");
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
        self.paths.push(BoundPath(path.to_owned()));
        listener.listen(BACKLOG).map_err(explain)?;
        for places in &mut self.by_loop {
            places.push(Bound::Unix(listener.try_clone().map_err(explain)?));
        }
        self.announced.push(("unix", name));
        Ok(())
    }
}

fn bind_tcp(address: SocketAddr, is_shared: bool) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Connections of a server that ended a minute ago may linger; they do not keep the address.
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(is_shared)?;
    socket.bind(address)?;
    Ok(socket)
}

fn bind_udp(address: SocketAddr, is_shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None)?;
    socket.set_reuse_port(is_shared)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn address_of(socket: &Socket) -> io::Result<SocketAddr> {
    let address = socket.local_addr()?.as_socket();
    address.ok_or_else(|| io::ErrorKind::InvalidInput.into())
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

/// A path that is removed when the server ends; an abstract name goes by itself.
pub(crate) struct BoundPath(PathBuf);

impl Drop for BoundPath {
    fn drop(&mut self) {
        if !is_abstract(&self.0) {
            let _ = fs::remove_file(&self.0);
        }
    }
}

fn is_abstract(path: &Path) -> bool {
    path.as_os_str().as_bytes().first() == Some(&0)
}

fn display(path: &Path) -> String {
    match path.as_os_str().as_bytes() {
        [0, name @ ..] => format!("@{}", OsStr::from_bytes(name).to_string_lossy()),
        _ => path.to_string_lossy().into_owned(),
    }
}

fn explain(kind: &str, address: SocketAddr, error: &io::Error) -> String {
    let advice = match error.kind() {
        io::ErrorKind::AddrInUse => "another program listens there",
        io::ErrorKind::PermissionDenied => "ports below 1024 need privileges",
        io::ErrorKind::AddrNotAvailable => {
            "no interface of this machine has that address; 0.0.0.0 is all of them"
        }
        _ => "the system refuses it",
    };
    format!(
        "cannot listen on {kind} {address}: {error}; {advice}; `--{kind}` takes another address, \
         port 0 a free port"
    )
}

/// Hands what is bound to the loop of this thread. The error is for the user's eyes.
pub(crate) fn open(bound: Vec<Bound>) -> Result<Vec<Door>, String> {
    bound.into_iter().map(|bound| bound.open()).collect()
}

impl Bound {
    fn open(self) -> Result<Door, String> {
        let opened = match self {
            Bound::Tcp(socket) => listen(socket).map(Door::Tcp),
            Bound::Tls(socket, acceptor) => {
                listen(socket).map(|listener| Door::Tls(listener, acceptor))
            }
            Bound::Udp(socket) => UdpSocket::from_std(OwnedFd::from(socket).into()).map(Door::Udp),
            Bound::Unix(socket) => {
                UnixListener::from_std(OwnedFd::from(socket).into()).map(Door::Unix)
            }
        };
        opened.map_err(|error| format!("cannot listen: {error}"))
    }
}

fn listen(socket: TcpSocket) -> io::Result<TcpListener> {
    socket.listen(BACKLOG.unsigned_abs())
}
