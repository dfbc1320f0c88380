//! [`TcpListener`]: how it comes about, and its options. Accepting is in `listener.rs` above.

use std::io;
use std::net;

use socket2::{Domain, SockRef};

use crate::addr::{ToSocketAddrs, first_that_works, resolve};
use crate::connect::new_socket;
use crate::listener::{BACKLOG, ListenerSocket};

/// Accepts TCP connections. It goes on when descriptors or memory run out, and when a connection
/// died before it was accepted. For limits and an orderly end there is [`Server`](crate::Server).
///
/// # Examples
///
/// ```
/// use wheelhouse::net::{TcpListener, TcpStream};
/// # fn main() -> std::io::Result<()> {
/// # wheelhouse::run(async {
/// let listener = TcpListener::bind("127.0.0.1:0").await?;
/// let address = listener.local_addr()?; // with the port that the system chose
/// let client = TcpStream::connect(address).await?;
/// let (server, peer) = listener.accept().await?;
/// assert_eq!(peer, client.local_addr()?);
/// # drop(server);
/// # Ok(())
/// # })
/// # }
/// ```
pub type TcpListener = ListenerSocket<net::TcpListener>;

/// What only TCP has.
impl TcpListener {
    /// Listens on the first of the addresses that can be bound; port 0 lets the system choose. The
    /// address may be one that closed connections still linger on (`SO_REUSEADDR`), and 1,024
    /// connections may wait to be accepted; for other settings there is
    /// [`TcpSocket`](crate::TcpSocket).
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
    pub async fn bind<A: ToSocketAddrs>(address: A) -> io::Result<TcpListener> {
        let addresses = resolve(address).await?;
        first_that_works(addresses, |address| {
            let socket = new_socket(Domain::for_address(address))?;
            socket.set_reuse_address(true)?;
            socket.bind(&address.into())?;
            TcpListener::listen(socket, BACKLOG)
        })
    }

    /// `IP_TTL`: through how many routers the packets of accepted connections may go.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn ttl(&self) -> io::Result<u32> {
        SockRef::from(self).ttl_v4()
    }

    /// Sets `IP_TTL`.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        SockRef::from(self).set_ttl_v4(ttl)
    }
}

impl TryFrom<net::TcpListener> for TcpListener {
    type Error = io::Error;

    /// As [`from_std`](TcpListener::from_std).
    fn try_from(listener: net::TcpListener) -> io::Result<TcpListener> {
        TcpListener::from_std(listener)
    }
}
