//! [`TcpStream`]: how it comes about. Reading and writing are in `stream.rs` above, its options in
//! `options.rs`.

use std::io;
use std::net;

use crate::addr::ToSocketAddrs;
use crate::connect::connect;
use crate::connect_options::ConnectOptions;
use crate::stream::StreamSocket;

/// A TCP connection: made by [`connect`](TcpStream::connect), or by [`TcpListener::accept`], read
/// with [`read`](TcpStream::read), written with [`write_all`](TcpStream::write_all), closed by
/// dropping it.
///
/// All of them take `&self`: one task may read while another writes, through an `Rc`, a reference or
/// [halves](TcpStream::into_split). To read by lines or separators there is
/// [`StreamReader`](crate::StreamReader). For options before connecting there is
/// [`connect_with`](TcpStream::connect_with).
///
/// [`TcpListener::accept`]: crate::TcpListener::accept
///
/// # Examples
///
/// ```
/// use wheelhouse::net::TcpStream;
/// # use wheelhouse::net::TcpListener;
/// # fn main() -> std::io::Result<()> {
/// # wheelhouse::run(async {
/// # let listener = TcpListener::bind("127.0.0.1:0").await?;
/// # let address = listener.local_addr()?;
/// # wheelhouse::spawn(async move {
/// #     let (server, _) = listener.accept().await.unwrap();
/// #     server.write_all(&[0; 8]).await.unwrap();
/// # });
/// let stream = TcpStream::connect(address).await?;
/// stream.write_all(b"ping\n").await?;
/// let mut buffer = [0; 4096];
/// let n = stream.read(&mut buffer).await?; // zero at the end
/// assert!(n > 0);
/// # Ok(())
/// # })
/// # }
/// ```
pub type TcpStream = StreamSocket<net::TcpStream>;

/// What only TCP has.
impl TcpStream {
    /// Connects to the first of the addresses that answers.
    ///
    /// They are not tried one after another, nor all at once (RFC 8305): each has a head start of
    /// 250 ms before the next is tried beside it, at once if it fails, and IPv6 and IPv4 take turns,
    /// beginning with what the system prefers. When one is connected the others are closed.
    ///
    /// A stream that comes out is connected. One whose both ends are the same socket is not counted
    /// as such: it comes about when nobody listens on a port of the ephemeral range and the system
    /// picks that port as the source; here it is `ConnectionRefused`.
    ///
    /// Cancel safe: the attempts are closed.
    ///
    /// # Errors
    ///
    /// The address's; if there are several, one of the kind of the last one's that tells of all of
    /// them ([`ConnectError`](crate::ConnectError)); `InvalidInput` if there is none; what
    /// [`lookup_host`](crate::lookup_host) says of a name.
    ///
    /// # Panics
    ///
    /// If no loop is running on this thread.
    pub async fn connect<A: ToSocketAddrs>(address: A) -> io::Result<TcpStream> {
        TcpStream::connect_with(ConnectOptions::new(), address).await
    }

    /// As [`connect`](Self::connect), with settings.
    ///
    /// Cancel safe: the attempts are closed.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect). `TimedOut` when the time is up, which tells what had become of
    /// each attempt by then; what the system says of a setting; `AddrNotAvailable` if the local
    /// address is of a family of which the host has no address.
    ///
    /// # Panics
    ///
    /// If no loop is running on this thread.
    pub async fn connect_with<A: ToSocketAddrs>(
        options: ConnectOptions,
        address: A,
    ) -> io::Result<TcpStream> {
        connect(address.ask(), options).await.map(TcpStream::from_source)
    }
}

impl TryFrom<net::TcpStream> for TcpStream {
    type Error = io::Error;

    /// As [`from_std`](TcpStream::from_std).
    fn try_from(stream: net::TcpStream) -> io::Result<TcpStream> {
        TcpStream::from_std(stream)
    }
}
