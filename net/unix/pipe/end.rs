//! Whether a descriptor is the end of a pipe that it is taken for. To write to what is only read, or
//! to wait for a file that is always ready, are errors that are better found when it is taken over.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;

/// Which end of a pipe.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Receiver,
    Sender,
}

/// The descriptor, made non-blocking, if it is this end of a pipe.
pub(super) fn checked(fd: OwnedFd, end: End) -> io::Result<OwnedFd> {
    let invalid = |why| io::Error::new(io::ErrorKind::InvalidInput, why);
    if FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode) != FileType::Fifo {
        return Err(invalid("the descriptor is no pipe: use `AsyncFd`, or the `_unchecked` call"));
    }
    let access = rustix::fs::fcntl_getfl(&fd)? & OFlags::ACCMODE;
    let (wanted, why) = match end {
        End::Receiver => (OFlags::RDONLY, "the descriptor is the writing end of a pipe"),
        End::Sender => (OFlags::WRONLY, "the descriptor is the reading end of a pipe"),
    };
    if access != wanted && access != OFlags::RDWR {
        return Err(invalid(why));
    }
    set_blocking(&fd, false)?;
    Ok(fd)
}

pub(super) fn set_blocking(fd: impl AsFd, blocking: bool) -> Result<(), Errno> {
    rustix::io::ioctl_fionbio(fd, !blocking)
}
