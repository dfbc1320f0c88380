//! The options of a [`TcpStream`]. They are single system calls, work on any thread and wait for
//! nothing.
//!
//! Those that exist on Linux only are in `linux.rs`. For one that is missing, wrap the stream with
//! `socket2::SockRef::from(&stream)`.

use std::io;
use std::time::Duration;

use socket2::SockRef;

use crate::connect_options::probes_after;
use crate::tcp::TcpStream;

impl TcpStream {
    /// `TCP_NODELAY`: whether small writes are sent at once.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn nodelay(&self) -> io::Result<bool> {
        self.source().get_ref().nodelay()
    }

    /// Sets `TCP_NODELAY`. Off, as it is at first, small writes are gathered while an
    /// acknowledgement is awaited.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.source().get_ref().set_nodelay(nodelay)
    }

    /// `SO_LINGER`: how long closing waits for what is not sent yet.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        self.sock_ref().linger()
    }

    /// Sets `SO_LINGER`. Closing, which is to say dropping, then blocks the thread, and with it the
    /// loop, for up to that time. To be sure that all has arrived, shut down writing and read to
    /// the end of the stream; to break the connection off, see
    /// [`set_zero_linger`](Self::set_zero_linger).
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        self.sock_ref().set_linger(linger)
    }

    /// Has dropping reset the connection and throw away what is not sent yet. It never blocks.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn set_zero_linger(&self) -> io::Result<()> {
        self.set_linger(Some(Duration::ZERO))
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

    /// After what time of silence the peer is probed; `None` if never.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn keepalive(&self) -> io::Result<Option<Duration>> {
        let socket = self.sock_ref();
        if socket.keepalive()? { socket.tcp_keepalive_time().map(Some) } else { Ok(None) }
    }

    /// Sets after what time of silence the peer is probed (`SO_KEEPALIVE` and `TCP_KEEPIDLE`, in
    /// whole seconds, rounded up); `None` for never, as it is at first. A peer that answers no probe is gone:
    /// reading says `TimedOut`.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn set_keepalive(&self, silence: Option<Duration>) -> io::Result<()> {
        match silence {
            Some(silence) => self.sock_ref().set_tcp_keepalive(&probes_after(silence)),
            None => self.sock_ref().set_keepalive(false),
        }
    }

    fn sock_ref(&self) -> SockRef<'_> {
        SockRef::from(self.source().get_ref())
    }
}
