//! From what users write, such as `"localhost:8080"`, to socket addresses.
//!
//! Only a name has to be looked up (`dns.rs`), on a thread. A literal, written as text or given as a
//! value, is answered on the spot, with no thread and no wait. Which it is, is decided before
//! anything is awaited, so that futures do not depend on what they were asked with.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

pub(crate) use self::sealed::Question;
use crate::dns;

/// What can be turned into socket addresses. Implemented here only, as in tokio:
///
/// * [`SocketAddr`], [`SocketAddrV4`], [`SocketAddrV6`], `(`[`IpAddr`]`, u16)` and the like,
///   `&[SocketAddr]`;
/// * text with a port, `"127.0.0.1:80"`, `"[::1]:80"`, `"example.org:80"`; a host and a port,
///   `("example.org", 80)`, `("[::1]", 80)`, `("fe80::1%eth0", 80)`.
///
/// Text that is an address is answered at once. Text that is a name is looked up: see
/// [`lookup_host`].
pub trait ToSocketAddrs: sealed::Ask {}

/// Looks up a name; addresses are only passed on. The order is the system's order of preference.
///
/// The system's resolver blocks, so it runs on the loop's blocking pool. Whoever asks for a name
/// that is being looked up waits for the same answer, and an answer is kept for 60 s (256 names a
/// loop); failures are not kept. When a [connect](crate::TcpStream::connect) fails at every address
/// of a host, its answer is forgotten.
///
/// Cancel safe. A look-up under way cannot be stopped: it goes on for others and for the next to
/// ask. The end of the loop does not wait for it.
///
/// # Errors
///
/// `InvalidInput` if a text has no port or a bad one; what the resolver says, with the name.
///
/// # Panics
///
/// For a name, if no loop is running on this thread.
///
/// # Examples
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// # wheelhouse::run(async {
/// let mut found = wheelhouse::net::lookup_host("127.0.0.1:80").await?;
/// assert_eq!(found.next(), Some(([127, 0, 0, 1], 80).into()));
/// # Ok(())
/// # })
/// # }
/// ```
pub async fn lookup_host<A: ToSocketAddrs>(
    host: A,
) -> io::Result<impl Iterator<Item = SocketAddr> + use<A>> {
    Ok(resolve(host).await?.into_iter())
}

/// The addresses, of which there may be none.
pub(crate) async fn resolve<A: ToSocketAddrs>(host: A) -> io::Result<Vec<SocketAddr>> {
    host.ask().answer().await
}

impl Question {
    /// The addresses, of which there may be none.
    pub(crate) async fn answer(&self) -> io::Result<Vec<SocketAddr>> {
        match self {
            Question::Address(address) => Ok(vec![*address]),
            Question::Answered(addresses) => Ok(addresses.clone()),
            Question::Malformed(why) => Err(io::Error::new(io::ErrorKind::InvalidInput, *why)),
            Question::Name(host, port) => dns::look_up(host, *port).await,
        }
    }

    /// The answer was of no use: asked again, it is to be looked up again.
    pub(crate) fn forget_answer(&self) {
        if let Question::Name(host, _) = self {
            dns::forget(host);
        }
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Question::Name(host, _) => f.write_str(host),
            Question::Address(address) => write!(f, "{address}"),
            Question::Answered(addresses) => write!(f, "{addresses:?}"),
            Question::Malformed(why) => f.write_str(why),
        }
    }
}

/// Calls `operation` with one address after another until it succeeds. The error is that of the
/// last.
pub(crate) fn first_that_works<R>(
    addresses: Vec<SocketAddr>,
    mut operation: impl FnMut(SocketAddr) -> io::Result<R>,
) -> io::Result<R> {
    let mut last_error = None;
    for address in addresses {
        match operation(address) {
            Ok(result) => return Ok(result),
            Err(error) => last_error = Some(error),
        }
    }
    Err(last_error.unwrap_or_else(no_address))
}

/// The error for a name that stands for nothing.
pub(crate) fn no_address() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "the host has no address")
}

fn ask_text(text: &str) -> Question {
    if let Ok(address) = text.parse() {
        return Question::Address(address);
    }
    match text.rsplit_once(':') {
        None => Question::Malformed("an address needs a port: `host:port`"),
        Some((host, port)) => match port.parse() {
            Ok(port) => ask_host(host, port),
            Err(_) => Question::Malformed("the port is not a number from 0 to 65535"),
        },
    }
}

/// In brackets, as in the address of a page, is an IPv6 address, which may be one of a zone by name.
fn ask_host(host: &str, port: u16) -> Question {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host = bare.unwrap_or(host);
    match host.parse::<IpAddr>() {
        Ok(ip) => Question::Address(SocketAddr::new(ip, port)),
        Err(_) => Question::Name(host.to_owned(), port),
    }
}

mod sealed {
    use std::net::SocketAddr;

    /// What is to be found out.
    #[derive(Debug)]
    pub enum Question {
        /// Nothing: here it is.
        Address(SocketAddr),
        /// Nothing: here they are.
        Answered(Vec<SocketAddr>),
        Name(String, u16),
        Malformed(&'static str),
    }

    pub trait Ask {
        fn ask(&self) -> Question;
    }
}

/// Implements the trait for types whose answer is an expression of `self`.
macro_rules! ask {
    ($($kind:ty: $this:ident => $question:expr;)*) => {$(
        impl ToSocketAddrs for $kind {}

        impl sealed::Ask for $kind {
            fn ask(&self) -> Question {
                let $this = self;
                $question
            }
        }
    )*};
}

ask! {
    SocketAddr: this => Question::Address(*this);
    SocketAddrV4: this => Question::Address((*this).into());
    SocketAddrV6: this => Question::Address((*this).into());
    (IpAddr, u16): this => Question::Address((*this).into());
    (Ipv4Addr, u16): this => Question::Address((*this).into());
    (Ipv6Addr, u16): this => Question::Address((*this).into());
    [SocketAddr]: this => Question::Answered(this.to_vec());
    Vec<SocketAddr>: this => Question::Answered(this.clone());
    str: this => ask_text(this);
    String: this => ask_text(this);
    (&str, u16): this => ask_host(this.0, this.1);
    (String, u16): this => ask_host(&this.0, this.1);
}

impl<T: ToSocketAddrs + ?Sized> ToSocketAddrs for &T {}

impl<T: ToSocketAddrs + ?Sized> sealed::Ask for &T {
    fn ask(&self) -> Question {
        (**self).ask()
    }
}

#[cfg(test)]
mod tests {
    use super::sealed::Ask;
    use super::*;

    #[test]
    fn literals_are_answered_without_a_look_up() {
        for text in ["127.0.0.1:80", "[::1]:80", "[fe80::1%3]:80"] {
            assert!(matches!(text.ask(), Question::Address(found) if found.port() == 80));
        }
        assert!(matches!(("::1", 80).ask(), Question::Address(_)));
        // As `http::Uri::host` has it.
        assert!(matches!(("[::1]", 80).ask(), Question::Address(_)));
        // Only the system knows the names of its zones.
        let with_zone = "[fe80::1%lo]:80".ask();
        assert!(matches!(with_zone, Question::Name(host, 80) if host == "fe80::1%lo"));
        assert!(matches!((&&"1.2.3.4:5").ask(), Question::Address(_)));
        assert!(matches!("localhost:80".ask(), Question::Name(host, 80) if host == "localhost"));
    }

    #[test]
    fn what_is_no_address_is_said_so() {
        for text in ["localhost", "", "localhost:", "localhost:http", "localhost:65536"] {
            assert!(matches!(text.ask(), Question::Malformed(_)), "{text}");
        }
    }
}
