//! The system calls on descriptors, and the one place where systems differ in them.
//!
//! * **SIGPIPE**: a write to a closed connection must be an error and nothing else, whatever the
//!   host does with the signal. Linux and the BSDs take `MSG_NOSIGNAL` with each call; Apple's
//!   systems a socket option, set once by [`prepare_stream`]. For pipes there is no such thing:
//!   std ignores the signal in every Rust program, a host in another language has to.
//! * **accept**: Linux and the BSDs make the new descriptor close-on-exec and non-blocking in the
//!   one call; Apple's systems need further calls.
//!
//! `EINTR` comes out of none of them: they are called again.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags};

use crate::address::Address;

#[cfg(target_vendor = "apple")]
const SEND_FLAGS: SendFlags = SendFlags::empty();
#[cfg(not(target_vendor = "apple"))]
const SEND_FLAGS: SendFlags = SendFlags::NOSIGNAL;

#[inline]
pub(crate) fn recv(fd: impl AsFd, buffer: &mut [u8]) -> io::Result<usize> {
    retry(|| rustix::net::recv(&fd, &mut *buffer, RecvFlags::empty()).map(|(n, _)| n))
}

pub(crate) fn peek(fd: impl AsFd, buffer: &mut [u8]) -> io::Result<usize> {
    retry(|| rustix::net::recv(&fd, &mut *buffer, RecvFlags::PEEK).map(|(n, _)| n))
}

/// Into `takeable` buffers.
pub(crate) fn recv_vectored(fd: impl AsFd, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
    let count = takeable(buffers.len());
    retry(|| rustix::io::readv(&fd, &mut buffers[..count]))
}

/// As `recv_vectored`, from a Unix socket, and whether it may have ended early. It ends behind what
/// descriptors came with, whatever more is there. Linux says so: they are dropped for lack of room
/// (`MSG_CTRUNC`). With `SO_PASSCRED` it does each time, for the credentials.
#[cfg(any(target_os = "android", target_os = "linux"))]
pub(crate) fn recv_local(
    fd: impl AsFd,
    buffers: &mut [IoSliceMut<'_>],
) -> io::Result<(usize, bool)> {
    use rustix::net::{RecvAncillaryBuffer, ReturnFlags};
    let count = takeable(buffers.len());
    let mut no_room = RecvAncillaryBuffer::default();
    let buffers = &mut buffers[..count];
    let flags = RecvFlags::empty();
    let received = retry(|| rustix::net::recvmsg(&fd, buffers, &mut no_room, flags))?;
    Ok((received.bytes, received.flags.contains(ReturnFlags::CTRUNC)))
}

/// The others do not say.
#[cfg(not(any(target_os = "android", target_os = "linux")))]
pub(crate) fn recv_local(
    fd: impl AsFd,
    buffers: &mut [IoSliceMut<'_>],
) -> io::Result<(usize, bool)> {
    recv_vectored(fd, buffers).map(|read| (read, true))
}

#[inline]
pub(crate) fn send(fd: impl AsFd, data: &[u8]) -> io::Result<usize> {
    retry(|| rustix::net::send(&fd, data, SEND_FLAGS))
}

/// From `takeable` buffers.
pub(crate) fn send_vectored(fd: impl AsFd, data: &[IoSlice<'_>]) -> io::Result<usize> {
    let mut no_ancillary = SendAncillaryBuffer::default();
    let data = &data[..takeable(data.len())];
    retry(|| rustix::net::sendmsg(&fd, data, &mut no_ancillary, SEND_FLAGS))
}

/// Of a datagram what fits into `buffer`, and its sender.
pub(crate) fn recv_from<A: Address>(fd: impl AsFd, buffer: &mut [u8]) -> io::Result<(usize, A)> {
    datagram(fd, buffer, RecvFlags::empty())
}

/// As `recv_from`, and leaves the datagram there.
pub(crate) fn peek_from<A: Address>(fd: impl AsFd, buffer: &mut [u8]) -> io::Result<(usize, A)> {
    datagram(fd, buffer, RecvFlags::PEEK)
}

fn datagram<A: Address>(
    fd: impl AsFd,
    buffer: &mut [u8],
    flags: RecvFlags,
) -> io::Result<(usize, A)> {
    let (n, sender) = retry(|| {
        rustix::net::recvfrom(&fd, &mut *buffer, flags).map(|(n, _, sender)| (n, sender))
    })?;
    // So it is with one that was shut down: there was no datagram.
    let sender = A::taken(sender).ok_or(io::ErrorKind::NotConnected)?;
    Ok((n, sender))
}

pub(crate) fn send_to<A: Address>(fd: impl AsFd, data: &[u8], to: &A) -> io::Result<usize> {
    retry(|| to.send(fd.as_fd(), data, SEND_FLAGS))
}

/// For what is no socket.
pub(crate) fn read(fd: impl AsFd, buffer: &mut [u8]) -> io::Result<usize> {
    retry(|| rustix::io::read(&fd, &mut *buffer))
}

/// For what is no socket.
pub(crate) fn write(fd: impl AsFd, data: &[u8]) -> io::Result<usize> {
    retry(|| rustix::io::write(&fd, data))
}

/// From `takeable` buffers, for what is no socket.
pub(crate) fn write_vectored(fd: impl AsFd, data: &[IoSlice<'_>]) -> io::Result<usize> {
    let data = &data[..takeable(data.len())];
    retry(|| rustix::io::writev(&fd, data))
}

/// Sends some of a file, from `offset` on, without going through memory of ours; 0 is its end. As
/// for `SIGPIPE`, sendfile(2) has no flag: the signal is blocked for the length of the call, and
/// taken back if it came.
#[cfg(any(target_os = "android", target_os = "linux"))]
pub(crate) fn send_file(
    fd: impl AsFd,
    file: impl AsFd,
    offset: u64,
    count: usize,
) -> io::Result<usize> {
    use nix::sys::signal::{SigSet, SigmaskHow, Signal};
    use nix::sys::signalfd::{SfdFlags, SignalFd};

    let mut pipe = SigSet::empty();
    pipe.add(Signal::SIGPIPE);
    let before = pipe.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    let mut at = offset;
    let sent = retry(|| rustix::fs::sendfile(&fd, &file, Some(&mut at), count));
    // It comes with a short count too, if the connection broke in the middle of the call.
    let may_have_come = match &sent {
        Ok(sent) => *sent < count,
        Err(error) => error.kind() == io::ErrorKind::BrokenPipe,
    };
    if may_have_come {
        let pending = SignalFd::with_flags(&pipe, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC);
        match pending {
            Ok(pending) => drop(pending.read_signal()),
            // Better blocked on this thread for good than a process that is ended by it.
            Err(_) => return sent,
        }
    }
    before.thread_set_mask()?;
    sent
}

/// There is no such call that all of the others have.
#[cfg(not(any(target_os = "android", target_os = "linux")))]
pub(crate) fn send_file(
    _fd: impl AsFd,
    _file: impl AsFd,
    _offset: u64,
    _count: usize,
) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}

/// How many of so many buffers one call takes (`IOV_MAX`). To send more is an error, `EMSGSIZE`.
pub(crate) fn takeable(buffers: usize) -> usize {
    buffers.min(1024)
}

/// The new connection, close-on-exec and non-blocking, and its peer if the system knows it.
pub(crate) fn accept<A: Address>(fd: impl AsFd) -> io::Result<(OwnedFd, Option<A>)> {
    let (accepted, peer) = retry(|| accept_once(&fd))?;
    Ok((accepted, A::taken(peer)))
}

#[cfg(not(target_vendor = "apple"))]
fn accept_once(fd: impl AsFd) -> Result<(OwnedFd, Option<rustix::net::SocketAddrAny>), Errno> {
    use rustix::net::SocketFlags;
    rustix::net::acceptfrom_with(fd, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)
}

#[cfg(target_vendor = "apple")]
fn accept_once(fd: impl AsFd) -> Result<(OwnedFd, Option<rustix::net::SocketAddrAny>), Errno> {
    let (accepted, peer) = rustix::net::acceptfrom(fd)?;
    rustix::io::fcntl_setfd(&accepted, rustix::io::FdFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&accepted, true)?;
    Ok((accepted, peer))
}

/// How a connect that was under way ended. `WouldBlock`: it has not.
pub(crate) fn connect_result(fd: impl AsFd) -> io::Result<()> {
    rustix::net::sockopt::socket_error(&fd)??;
    // Writable without an error and yet not connected: the event came from before the connect.
    match rustix::net::getpeername(&fd) {
        Ok(_) => Ok(()),
        Err(Errno::NOTCONN) => Err(io::ErrorKind::WouldBlock.into()),
        Err(error) => Err(error.into()),
    }
}

/// What a stream socket needs once, before the first write.
pub(crate) fn prepare_stream(fd: impl AsFd) -> io::Result<()> {
    #[cfg(target_vendor = "apple")]
    if let Err(error) = socket2::SockRef::from(&fd).set_nosigpipe(true) {
        // What they say of a connection that is reset already.
        let is_gone = Errno::from_io_error(&error) == Some(Errno::INVAL);
        return Err(if is_gone { Errno::CONNRESET.into() } else { error });
    }
    let _ = fd;
    Ok(())
}

#[inline]
fn retry<R>(mut call: impl FnMut() -> Result<R, Errno>) -> io::Result<R> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            result => return result.map_err(io::Error::from),
        }
    }
}
