//! [`UdpSocket`]: binding, connecting, sending to addresses, and its options. Receiving and
//! readiness are in `datagram.rs`.
//!
//! The options are single system calls, work on any thread and wait for nothing; those that exist
//! on Linux only are in `linux.rs`. For one that is missing, wrap the socket with
//! `socket2::SockRef::from(&socket)`.

use std::io;
use std::net::{self, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::task::{Context, Poll};

use socket2::SockRef;

use crate::addr::{Question, ToSocketAddrs, first_that_works, no_address, resolve};
use crate::datagram::DatagramSocket;

/// A UDP socket.
///
/// # Examples
///
/// ```
/// use wheelhouse::net::UdpSocket;
/// # fn main() -> std::io::Result<()> {
/// # wheelhouse::run(async {
/// let server = UdpSocket::bind("127.0.0.1:0").await?;
/// let client = UdpSocket::bind("127.0.0.1:0").await?;
///
/// client.send_to(b"ping", server.local_addr()?).await?;
/// let mut buffer = [0; 1500];
/// let (n, sender) = server.recv_from(&mut buffer).await?;
/// assert_eq!(&buffer[..n], b"ping");
/// assert_eq!(sender, client.local_addr()?);
/// # Ok(())
/// # })
/// # }
/// ```
pub type UdpSocket = DatagramSocket<net::UdpSocket>;

/// What only UDP has.
impl UdpSocket {
    /// Binds to the first of the addresses that can be; port 0 lets the system choose. For options
    /// that must be set before, make a socket with `socket2` and take it over with
    /// [`from_std`](Self::from_std).
    ///
    /// Cancel safe.
    ///
    /// # Errors
    ///
    /// The last address's: `AddrInUse`, `PermissionDenied`, ...; `InvalidInput` if there is no
    /// address.
    ///
    /// # Panics
    ///
    /// If no loop is running on this thread.
    pub async fn bind<A: ToSocketAddrs>(address: A) -> io::Result<UdpSocket> {
        let addresses = resolve(address).await?;
        first_that_works(addresses, |address| UdpSocket::from_std(net::UdpSocket::bind(address)?))
    }

    /// Makes the first of the addresses that can be the peer: [`send`](Self::send) sends to it, and
    /// only what comes from it is received. Nothing goes over the network, and nobody need be
    /// there.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    ///
    /// The last address's; `InvalidInput` if there is none.
    pub async fn connect<A: ToSocketAddrs>(&self, address: A) -> io::Result<()> {
        let addresses = resolve(address).await?;
        first_that_works(addresses, |address| self.source().get_ref().connect(address))
    }

    /// Sends a datagram to an address: the first of its own family, if a name has several. It is
    /// sent whole or not at all.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    ///
    /// The system's, such as `EMSGSIZE`; `InvalidInput` if there is no address; an error if it is
    /// awaited outside the socket's loop.
    pub async fn send_to<A: ToSocketAddrs>(&self, data: &[u8], target: A) -> io::Result<usize> {
        let target = match target.ask() {
            // Nearly always: with no list of one.
            Question::Address(target) => target,
            question => self.nearest(question.answer().await?)?,
        };
        self.source().send_to(data, &target).await
    }

    /// As [`send_to`](Self::send_to). The last task that polled is woken.
    ///
    /// # Errors
    ///
    /// As [`send_to`](Self::send_to).
    pub fn poll_send_to(
        &self,
        cx: &mut Context<'_>,
        data: &[u8],
        target: SocketAddr,
    ) -> Poll<io::Result<usize>> {
        self.source().poll_send_to(cx, data, &target)
    }

    /// Sends without waiting, on any thread.
    ///
    /// # Errors
    ///
    /// As [`send_to`](Self::send_to); `WouldBlock` when there is no room.
    pub fn try_send_to(&self, data: &[u8], target: SocketAddr) -> io::Result<usize> {
        self.source().try_send_to(data, &target)
    }

    fn nearest(&self, targets: Vec<SocketAddr>) -> io::Result<SocketAddr> {
        let &first = targets.first().ok_or_else(no_address)?;
        if targets.len() == 1 {
            return Ok(first);
        }
        let is_ipv4 = self.local_addr()?.is_ipv4();
        let own = targets.into_iter().find(|target| target.is_ipv4() == is_ipv4);
        Ok(own.unwrap_or(first))
    }
}

/// Options.
impl UdpSocket {
    /// `SO_BROADCAST`: whether it may send to a whole network.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn broadcast(&self) -> io::Result<bool> {
        self.source().get_ref().broadcast()
    }

    /// Sets `SO_BROADCAST`.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn set_broadcast(&self, broadcast: bool) -> io::Result<()> {
        self.source().get_ref().set_broadcast(broadcast)
    }

    /// `IP_TTL`: through how many routers its packets may go.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn ttl(&self) -> io::Result<u32> {
        self.source().get_ref().ttl()
    }

    /// Sets `IP_TTL`.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.source().get_ref().set_ttl(ttl)
    }

    /// `IP_TOS`: the type of service of its packets.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn tos_v4(&self) -> io::Result<u32> {
        SockRef::from(self).tos_v4()
    }

    /// Sets `IP_TOS`.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn set_tos_v4(&self, tos: u32) -> io::Result<()> {
        SockRef::from(self).set_tos_v4(tos)
    }

    /// `IPV6_TCLASS`: the traffic class of its packets.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn tclass_v6(&self) -> io::Result<u32> {
        SockRef::from(self).tclass_v6()
    }

    /// Sets `IPV6_TCLASS`.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn set_tclass_v6(&self, tclass: u32) -> io::Result<()> {
        SockRef::from(self).set_tclass_v6(tclass)
    }
}

/// Multicast.
impl UdpSocket {
    /// `IP_MULTICAST_LOOP`: whether this machine gets what is sent to a group it is in.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn multicast_loop_v4(&self) -> io::Result<bool> {
        self.source().get_ref().multicast_loop_v4()
    }

    /// Sets `IP_MULTICAST_LOOP`.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn set_multicast_loop_v4(&self, is_looped: bool) -> io::Result<()> {
        self.source().get_ref().set_multicast_loop_v4(is_looped)
    }

    /// `IP_MULTICAST_TTL`: through how many routers what is sent to a group may go. At first 1, which is
    /// the local network.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn multicast_ttl_v4(&self) -> io::Result<u32> {
        self.source().get_ref().multicast_ttl_v4()
    }

    /// Sets `IP_MULTICAST_TTL`.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn set_multicast_ttl_v4(&self, ttl: u32) -> io::Result<()> {
        self.source().get_ref().set_multicast_ttl_v4(ttl)
    }

    /// `IPV6_MULTICAST_LOOP`: whether this machine gets what is sent to a group it is in.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn multicast_loop_v6(&self) -> io::Result<bool> {
        self.source().get_ref().multicast_loop_v6()
    }

    /// Sets `IPV6_MULTICAST_LOOP`.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn set_multicast_loop_v6(&self, is_looped: bool) -> io::Result<()> {
        self.source().get_ref().set_multicast_loop_v6(is_looped)
    }

    /// Joins the group `group` on the interface with that address; the system chooses one if it is
    /// unspecified.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn join_multicast_v4(&self, group: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        self.source().get_ref().join_multicast_v4(&group, &interface)
    }

    /// Leaves a group.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn leave_multicast_v4(&self, group: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        self.source().get_ref().leave_multicast_v4(&group, &interface)
    }

    /// Joins the group `group` on the interface with that number; the system chooses one if it is 0.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn join_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.source().get_ref().join_multicast_v6(group, interface)
    }

    /// Leaves a group.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn leave_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.source().get_ref().leave_multicast_v6(group, interface)
    }
}

impl TryFrom<net::UdpSocket> for UdpSocket {
    type Error = io::Error;

    /// As [`from_std`](UdpSocket::from_std).
    fn try_from(socket: net::UdpSocket) -> io::Result<UdpSocket> {
        UdpSocket::from_std(socket)
    }
}
