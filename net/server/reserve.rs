//! A descriptor in reserve, for when there are no others.
//!
//! At the limit of descriptors a connection cannot be accepted, not even to be closed: it stays in
//! the queue, and who made it waits for an answer that does not come. With one descriptor given up
//! there is room to accept it and close it at once; then the reserve is taken back.

use std::os::unix::net::UnixDatagram;

use crate::listener::ListenerSocket;
use crate::transport::Accepting;

pub(crate) struct Reserve {
    /// Anything that is one descriptor: a socket needs no path.
    spare: Option<UnixDatagram>,
}

impl Reserve {
    pub(crate) fn new() -> Reserve {
        Reserve { spare: UnixDatagram::unbound().ok() }
    }

    /// Takes a connection out of the listener's queue and closes it. `false`: it could not, or
    /// there was none.
    pub(crate) fn shed<L: Accepting>(&mut self, listener: &ListenerSocket<L>) -> bool {
        let had_one = self.spare.take().is_some();
        // Another thread may have been faster: then this fails as the accept before did.
        let is_shed = had_one && listener.try_accept().is_ok();
        self.spare = UnixDatagram::unbound().ok();
        is_shed
    }
}
