//! [`ConnectError`]: what went wrong at each address of a host that could not be connected to.
//!
//! It rides in an `io::Error`, as everything that sockets say does; whoever only asks for the kind
//! never meets it. With a single address there is nothing to add, and the system's error comes out
//! as it is.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;

use crate::race::Failure;

/// Why no address of a host could be connected to: inside the `io::Error` of
/// [`TcpStream::connect`](crate::TcpStream::connect) if several were tried, or if the time was up.
///
/// # Examples
///
/// ```
/// use wheelhouse::net::{ConnectError, TcpStream};
/// # use std::net::TcpListener;
/// # wheelhouse::run(async {
/// # let bound = || {
/// #     let socket = TcpListener::bind("127.0.0.1:0").unwrap();
/// #     socket.local_addr().unwrap()
/// # };
/// # let addresses = [bound(), bound()];
/// let error = TcpStream::connect(&addresses[..]).await.unwrap_err();
/// let tried = error.get_ref().unwrap().downcast_ref::<ConnectError>().unwrap().attempts();
/// assert_eq!(tried.map(|(address, _)| address).collect::<Vec<_>>(), addresses);
/// # });
/// ```
#[derive(Debug)]
pub struct ConnectError {
    attempts: Vec<Failure>,
    what: &'static str,
}

impl ConnectError {
    /// The addresses that were tried, in the order in which they failed, and why.
    pub fn attempts(&self) -> impl Iterator<Item = (SocketAddr, &io::Error)> {
        self.attempts.iter().map(|(address, error)| (*address, error))
    }

    /// The error for `failures`, of which there is at least one. If it is one, it is that, as the
    /// system has it; else its kind is the last one's.
    pub(crate) fn of(mut failures: Vec<Failure>) -> Option<io::Error> {
        let (_, last) = failures.last()?;
        let kind = last.kind();
        if failures.len() == 1 {
            return failures.pop().map(|(_, error)| error);
        }
        let what = "no address could be connected to";
        Some(io::Error::new(kind, ConnectError { attempts: failures, what }))
    }

    /// The error for when the time was up, with what had become of the attempts by then.
    pub(crate) fn timed_out(attempts: Vec<Failure>) -> io::Error {
        let what = "no connection in time";
        io::Error::new(io::ErrorKind::TimedOut, ConnectError { attempts, what })
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)?;
        for (n, (address, error)) in self.attempts.iter().enumerate() {
            write!(f, "{}{address}: {error}", if n == 0 { ": " } else { "; " })?;
        }
        Ok(())
    }
}

impl Error for ConnectError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.attempts.last().map(|(_, error)| error as _)
    }
}
