//! A descriptor in reserve, for when there are no others.
//!
//! At the limit of descriptors a connection cannot be accepted, not even to be closed: it stays in
//! the queue, and who made it waits for an answer that does not come. With one descriptor given up
//! there is room to accept it and close it at once; then the reserve is taken back.

use std::io;
use std::os::unix::net::UnixDatagram;

use crate::listener::ListenerSocket;
use crate::transport::Accepting;

/// What giving it up has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relief {
    None,
    /// A connection was accepted and closed.
    Shed,
    /// The queue is empty: at the limit, accept fails before it looks.
    NobodyThere,
}

pub(crate) struct Reserve {
    /// Anything that is one descriptor: a socket needs no path.
    spare: Option<UnixDatagram>,
}

impl Reserve {
    pub(crate) fn new() -> Reserve {
        Reserve { spare: UnixDatagram::unbound().ok() }
    }

    /// Takes a connection out of the listener's queue and closes it.
    pub(crate) fn shed<L: Accepting>(&mut self, listener: &ListenerSocket<L>) -> Relief {
        if self.spare.take().is_none() {
            self.spare = UnixDatagram::unbound().ok();
            return Relief::None;
        }
        let relief = match listener.try_accept() {
            Ok(_) => Relief::Shed,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Relief::NobodyThere,
            // Another thread may have been faster: then this fails as the accept before did.
            Err(_) => Relief::None,
        };
        self.spare = UnixDatagram::unbound().ok();
        relief
    }
}
