//! [`UCred`]: who is at the other end of a Unix socket, as the system saw it when they were
//! connected. It is not what the peer says of itself.

use std::io;
use std::os::fd::AsFd;

use crate::platform::peer_of;

/// The credentials of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UCred {
    uid: u32,
    gid: u32,
    pid: Option<i32>,
}

impl UCred {
    pub(super) fn of_peer(socket: impl AsFd) -> io::Result<UCred> {
        let (uid, gid, pid) = peer_of(socket)?;
        Ok(UCred { uid, gid, pid })
    }

    /// Whose process it is.
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// Its group.
    pub fn gid(&self) -> u32 {
        self.gid
    }

    /// Which process it is, where the system tells: on Linux and Apple's systems. It may have ended
    /// since. `None` too where it cannot be seen from here, as it is outside of our container.
    pub fn pid(&self) -> Option<i32> {
        self.pid
    }
}
