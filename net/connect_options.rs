//! [`ConnectOptions`]: how a connection is to be opened, and what its socket is set to by then.
//!
//! They hold for a host, which may have several addresses: what depends on the family of one is
//! decided when its turn comes. What cannot be set is an error of that attempt, never ignored.

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6};

use socket2::{Socket, TcpKeepalive};
use wheelhouse_runtime::time::Duration;

use crate::platform;

/// Settings for [`TcpStream::connect_with`](crate::TcpStream::connect_with).
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use wheelhouse::net::{ConnectOptions, TcpListener, TcpStream};
/// # fn main() -> std::io::Result<()> {
/// # wheelhouse::run(async {
/// # let listener = TcpListener::bind("127.0.0.1:0").await?;
/// # let address = listener.local_addr()?;
/// let options = ConnectOptions::new()
///     .timeout(Duration::from_secs(10))
///     .nodelay(true)
///     .keepalive(Duration::from_secs(60));
/// let stream = TcpStream::connect_with(options, address).await?;
/// assert!(stream.nodelay()?);
/// # Ok(())
/// # })
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "settings do nothing until `TcpStream::connect_with`"]
pub struct ConnectOptions {
    pub(crate) timeout: Option<Duration>,
    pub(crate) head_start: Duration,
    local_v4: Option<SocketAddrV4>,
    local_v6: Option<SocketAddrV6>,
    interface: Option<String>,
    nodelay: bool,
    keepalive: Option<Duration>,
    fast_open: bool,
    send_buffer_size: Option<usize>,
    recv_buffer_size: Option<usize>,
}

impl Default for ConnectOptions {
    fn default() -> ConnectOptions {
        ConnectOptions::new()
    }
}

impl ConnectOptions {
    /// What [`TcpStream::connect`](crate::TcpStream::connect) does.
    pub fn new() -> ConnectOptions {
        ConnectOptions {
            timeout: None,
            head_start: Duration::from_millis(250),
            local_v4: None,
            local_v6: None,
            interface: None,
            nodelay: false,
            keepalive: None,
            fast_open: false,
            send_buffer_size: None,
            recv_buffer_size: None,
        }
    }

    /// How long all of it may take: the look-up of the name and every address. Default: as long as
    /// the system tries, some two minutes an address.
    pub fn timeout(mut self, timeout: Duration) -> ConnectOptions {
        self.timeout = Some(timeout);
        self
    }

    /// How long an address is tried alone before the next is tried beside it. Default: 250 ms, as
    /// RFC 8305 recommends.
    pub fn head_start(mut self, head_start: Duration) -> ConnectOptions {
        self.head_start = head_start;
        self
    }

    /// The address to connect from. Addresses of the other family are then not tried, unless this
    /// is called once more with one of that. Default: the system chooses.
    pub fn local_address(self, local: IpAddr) -> ConnectOptions {
        self.local_socket_address(SocketAddr::new(local, 0))
    }

    /// As [`local_address`](Self::local_address), with a port. A port that is given can be connected
    /// from once for each destination.
    pub fn local_socket_address(mut self, local: SocketAddr) -> ConnectOptions {
        match local {
            SocketAddr::V4(local) => self.local_v4 = Some(local),
            SocketAddr::V6(local) => self.local_v6 = Some(local),
        }
        self
    }

    /// The network interface to connect through, `eth0`. Linux and Apple's systems have this; on
    /// others connecting fails with `Unsupported`. Default: as the system routes.
    pub fn interface(mut self, name: impl Into<String>) -> ConnectOptions {
        self.interface = Some(name.into());
        self
    }

    /// `TCP_NODELAY`: whether small writes are sent at once. Default: no, as the system has it.
    pub fn nodelay(mut self, nodelay: bool) -> ConnectOptions {
        self.nodelay = nodelay;
        self
    }

    /// After what time of silence the peer is probed (`SO_KEEPALIVE`), in whole seconds,
    /// rounded up. Default: never.
    pub fn keepalive(mut self, silence: Duration) -> ConnectOptions {
        self.keepalive = Some(silence);
        self
    }

    /// TCP fast open: to a server that has given this machine a cookie, what is written first
    /// travels with the request to connect, which saves a round trip. Linux has this; on others
    /// connecting fails with `Unsupported`. Default: no.
    ///
    /// With a cookie the connection is called open before the server has heard of it. Whether it
    /// answers shows at the first read or write, so that no second address is tried; and a server
    /// that is to speak first hears of it only then. Use it where sending the first bytes twice
    /// does no harm, as the network may do that.
    pub fn fast_open(mut self, fast_open: bool) -> ConnectOptions {
        self.fast_open = fast_open;
        self
    }

    /// `SO_SNDBUF` in bytes. Default: sized by the system as it goes.
    pub fn send_buffer_size(mut self, bytes: usize) -> ConnectOptions {
        self.send_buffer_size = Some(bytes);
        self
    }

    /// `SO_RCVBUF` in bytes. Default: sized by the system as it goes.
    pub fn recv_buffer_size(mut self, bytes: usize) -> ConnectOptions {
        self.recv_buffer_size = Some(bytes);
        self
    }

    /// Those of the addresses that can be connected to.
    ///
    /// # Errors
    ///
    /// `AddrNotAvailable` if the local address leaves none.
    pub(crate) fn reachable(&self, addresses: Vec<SocketAddr>) -> io::Result<Vec<SocketAddr>> {
        if self.local_v4.is_none() && self.local_v6.is_none() {
            return Ok(addresses);
        }
        let had_some = !addresses.is_empty();
        let is_reachable = |address: &SocketAddr| self.local_for(*address).is_some();
        let reachable: Vec<_> = addresses.into_iter().filter(is_reachable).collect();
        if had_some && reachable.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::AddrNotAvailable,
                "the host has no address of the family of the local address",
            ));
        }
        Ok(reachable)
    }

    /// Sets up a socket that is about to connect.
    pub(crate) fn apply(&self, socket: &Socket, destination: SocketAddr) -> io::Result<()> {
        if let Some(interface) = &self.interface {
            platform::tie_to_interface(socket, interface, destination)?;
        }
        if let Some(local) = self.local_for(destination) {
            match local.port() {
                0 => platform::choose_port_late(socket)?,
                // Or the attempts at several addresses would be in each other's way.
                _ => socket.set_reuse_address(true)?,
            }
            socket.bind(&local.into())?;
        }
        // Before the connect, for the window's sake.
        if let Some(size) = self.recv_buffer_size {
            socket.set_recv_buffer_size(size)?;
        }
        if let Some(size) = self.send_buffer_size {
            socket.set_send_buffer_size(size)?;
        }
        if self.nodelay {
            socket.set_tcp_nodelay(true)?;
        }
        if let Some(silence) = self.keepalive {
            socket.set_tcp_keepalive(&probes_after(silence))?;
        }
        if self.fast_open {
            platform::use_fast_open(socket)?;
        }
        Ok(())
    }

    fn local_for(&self, destination: SocketAddr) -> Option<SocketAddr> {
        match destination {
            SocketAddr::V4(_) => self.local_v4.map(SocketAddr::V4),
            SocketAddr::V6(_) => self.local_v6.map(SocketAddr::V6),
        }
    }
}

/// Probes after so long a silence: in whole seconds, so that it is rounded up. The system cuts off
/// what is less than one, and would refuse the 0 that is left.
pub(crate) fn probes_after(silence: Duration) -> TcpKeepalive {
    let started = u64::from(silence.subsec_nanos() > 0);
    TcpKeepalive::new().with_time(Duration::from_secs(silence.as_secs().saturating_add(started)))
}
