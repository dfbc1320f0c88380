//! Any descriptor on the loop: [`AsyncFd`], asyncio's `add_reader` and `add_writer`, and the guards
//! with which its readiness is made use of. What a guard knows and may clear is in `known.rs`.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::task::{Context, Poll};

use crate::known::Known;

pub use crate::address::Address;
pub use crate::known::{AsyncFdRegisterError, TryIoError};
pub use crate::reactor::Direction;
pub use crate::selector::{Interest, Ready};
pub use crate::source::Source;

/// A descriptor of yours, watched by the loop. It must be non-blocking; it need not be a socket. It
/// must stay open as long as it is watched, as std asks of every owner of one: were it closed
/// elsewhere, dropping this would end the watch of whoever got its number next.
///
/// Two ways to use it. The short one is [`async_io`](Self::async_io): give it the operation and it
/// is called whenever the descriptor is ready, until it does not say `WouldBlock`. The long one is
/// a guard from [`readable`](Self::readable): it says that the descriptor was ready, and it is on
/// you to say when it no longer is.
///
/// Waiting works on its own loop; [`try_io`](Self::try_io) and dropping on any thread.
///
/// # Examples
///
/// ```
/// use std::io::{Read, Write};
/// use std::net::{TcpListener, TcpStream};
/// use wheelhouse::io::{AsyncFd, Interest};
/// # fn main() -> std::io::Result<()> {
/// # wheelhouse::run(async {
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let mut sender = TcpStream::connect(listener.local_addr()?)?;
/// let receiver = listener.accept()?.0;
/// receiver.set_nonblocking(true)?;
/// let receiver = AsyncFd::new(receiver)?;
/// sender.write_all(b"hello")?;
/// let mut buffer = [0; 16];
/// let n = receiver.async_io(Interest::READABLE, |mut fd| fd.read(&mut buffer)).await?;
/// assert_eq!(&buffer[..n], b"hello");
/// # Ok(())
/// # })
/// # }
/// ```
pub struct AsyncFd<T: AsFd> {
    source: Source<T>,
}

impl<T: AsFd> AsyncFd<T> {
    /// Watches both directions.
    ///
    /// # Errors
    ///
    /// What the selector says, for instance `EPERM` for a regular file.
    ///
    /// # Panics
    ///
    /// If no loop is running on this thread.
    #[track_caller]
    pub fn new(io: T) -> io::Result<AsyncFd<T>> {
        AsyncFd::with_interest(io, Interest::BOTH)
    }

    /// Watches what `interest` says.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    ///
    /// # Panics
    ///
    /// If no loop is running on this thread.
    #[track_caller]
    pub fn with_interest(io: T, interest: Interest) -> io::Result<AsyncFd<T>> {
        Ok(AsyncFd { source: Source::new(io, interest)? })
    }

    /// As [`new`](Self::new), but a failure gives the descriptor back.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new), and the descriptor.
    ///
    /// # Panics
    ///
    /// If no loop is running on this thread.
    #[track_caller]
    pub fn try_new(io: T) -> Result<AsyncFd<T>, AsyncFdRegisterError<T>> {
        AsyncFd::try_with_interest(io, Interest::BOTH)
    }

    /// As [`with_interest`](Self::with_interest), but a failure gives the descriptor back.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new), and the descriptor.
    ///
    /// # Panics
    ///
    /// If no loop is running on this thread.
    #[track_caller]
    pub fn try_with_interest(
        io: T,
        interest: Interest,
    ) -> Result<AsyncFd<T>, AsyncFdRegisterError<T>> {
        match Source::try_new(io, interest) {
            Ok(source) => Ok(AsyncFd { source }),
            Err((io, cause)) => Err(AsyncFdRegisterError::new(io, cause)),
        }
    }

    /// The descriptor.
    pub fn get_ref(&self) -> &T {
        self.source.get_ref()
    }

    /// The descriptor. It must stay the same one.
    pub fn get_mut(&mut self) -> &mut T {
        self.source.get_mut()
    }

    /// Stops watching and gives the descriptor back.
    pub fn into_inner(self) -> T {
        self.source.into_inner()
    }

    /// Waits until it can be read, or its end or an error is there. Cancel safe.
    ///
    /// # Errors
    ///
    /// If it is polled outside its loop.
    pub async fn readable(&self) -> io::Result<AsyncFdReadyGuard<'_, T>> {
        self.ready(Interest::READABLE).await
    }

    /// Waits until it can be written, or an error is there. Cancel safe.
    ///
    /// # Errors
    ///
    /// If it is polled outside its loop.
    pub async fn writable(&self) -> io::Result<AsyncFdReadyGuard<'_, T>> {
        self.ready(Interest::WRITABLE).await
    }

    /// Waits until it is ready for any of `interest`. Cancel safe.
    ///
    /// # Errors
    ///
    /// If it is polled outside its loop.
    pub async fn ready(&self, interest: Interest) -> io::Result<AsyncFdReadyGuard<'_, T>> {
        let ready = self.source.ready(interest).await?;
        Ok(AsyncFdReadyGuard { known: Known::new(&self.source, ready), fd: self })
    }

    /// As [`readable`](Self::readable), with a guard that lends the descriptor mutably.
    ///
    /// # Errors
    ///
    /// If it is polled outside its loop.
    pub async fn readable_mut(&mut self) -> io::Result<AsyncFdReadyMutGuard<'_, T>> {
        self.ready_mut(Interest::READABLE).await
    }

    /// As [`writable`](Self::writable), with a guard that lends the descriptor mutably.
    ///
    /// # Errors
    ///
    /// If it is polled outside its loop.
    pub async fn writable_mut(&mut self) -> io::Result<AsyncFdReadyMutGuard<'_, T>> {
        self.ready_mut(Interest::WRITABLE).await
    }

    /// As [`ready`](Self::ready), with a guard that lends the descriptor mutably. Cancel safe.
    ///
    /// # Errors
    ///
    /// If it is polled outside its loop.
    pub async fn ready_mut(
        &mut self,
        interest: Interest,
    ) -> io::Result<AsyncFdReadyMutGuard<'_, T>> {
        let ready = self.source.ready(interest).await?;
        Ok(AsyncFdReadyMutGuard { known: Known::new(&self.source, ready), fd: self })
    }

    /// As [`readable`](Self::readable). The last caller is woken.
    ///
    /// # Errors
    ///
    /// If it is polled outside its loop.
    pub fn poll_read_ready(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<AsyncFdReadyGuard<'_, T>>> {
        self.poll_direction(cx, Direction::Read)
    }

    /// As [`writable`](Self::writable). The last caller is woken.
    ///
    /// # Errors
    ///
    /// If it is polled outside its loop.
    pub fn poll_write_ready(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<AsyncFdReadyGuard<'_, T>>> {
        self.poll_direction(cx, Direction::Write)
    }

    /// As [`readable_mut`](Self::readable_mut). The last caller is woken.
    ///
    /// # Errors
    ///
    /// If it is polled outside its loop.
    pub fn poll_read_ready_mut(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<AsyncFdReadyMutGuard<'_, T>>> {
        self.poll_direction_mut(cx, Direction::Read)
    }

    /// As [`writable_mut`](Self::writable_mut). The last caller is woken.
    ///
    /// # Errors
    ///
    /// If it is polled outside its loop.
    pub fn poll_write_ready_mut(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<AsyncFdReadyMutGuard<'_, T>>> {
        self.poll_direction_mut(cx, Direction::Write)
    }

    /// Calls `operation` whenever the descriptor is ready for `interest`, until it does not say
    /// `WouldBlock`. Cancel safe: it is not called once the future is dropped.
    ///
    /// # Errors
    ///
    /// What `operation` says.
    pub async fn async_io<R>(
        &self,
        interest: Interest,
        mut operation: impl FnMut(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        loop {
            let mut guard = self.ready(interest).await?;
            if let Ok(result) = guard.try_io(|fd| operation(fd.get_ref())) {
                return result;
            }
        }
    }

    /// As [`async_io`](Self::async_io), for an operation that needs the descriptor mutably.
    ///
    /// # Errors
    ///
    /// What `operation` says.
    pub async fn async_io_mut<R>(
        &mut self,
        interest: Interest,
        mut operation: impl FnMut(&mut T) -> io::Result<R>,
    ) -> io::Result<R> {
        loop {
            let mut guard = self.ready_mut(interest).await?;
            if let Ok(result) = guard.try_io(|fd| operation(fd.get_mut())) {
                return result;
            }
        }
    }

    /// Calls `operation` once, ready or not.
    ///
    /// # Errors
    ///
    /// What `operation` says; `WouldBlock` marks the directions of `interest` as not ready.
    pub fn try_io<R>(
        &self,
        interest: Interest,
        operation: impl FnOnce(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        let known = Known::of_all(&self.source);
        let result = operation(self.get_ref());
        known.clear_if_blocked(&self.source, interest, &result);
        result
    }

    /// As [`try_io`](Self::try_io), for an operation that needs the descriptor mutably.
    ///
    /// # Errors
    ///
    /// As [`try_io`](Self::try_io).
    pub fn try_io_mut<R>(
        &mut self,
        interest: Interest,
        operation: impl FnOnce(&mut T) -> io::Result<R>,
    ) -> io::Result<R> {
        let known = Known::of_all(&self.source);
        let result = operation(self.get_mut());
        known.clear_if_blocked(&self.source, interest, &result);
        result
    }

    fn poll_direction(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
    ) -> Poll<io::Result<AsyncFdReadyGuard<'_, T>>> {
        let ready = self.source.poll_ready(cx, direction);
        ready.map_ok(|ready| AsyncFdReadyGuard { known: Known::new(&self.source, ready), fd: self })
    }

    fn poll_direction_mut(
        &mut self,
        cx: &mut Context<'_>,
        direction: Direction,
    ) -> Poll<io::Result<AsyncFdReadyMutGuard<'_, T>>> {
        let ready = self.source.poll_ready(cx, direction);
        ready.map_ok(|ready| {
            let known = Known::new(&self.source, ready);
            AsyncFdReadyMutGuard { known, fd: self }
        })
    }
}

impl<T: AsFd> AsFd for AsyncFd<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.source.as_fd()
    }
}

impl<T: AsFd> AsRawFd for AsyncFd<T> {
    fn as_raw_fd(&self) -> RawFd {
        self.source.as_raw_fd()
    }
}

impl<T: AsFd + fmt::Debug> fmt::Debug for AsyncFd<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AsyncFd").field(self.get_ref()).finish()
    }
}

/// Says that a descriptor was ready. What it clears is only what was known when it was made: an
/// event that comes while it is held is never lost.
#[must_use = "say what became of the readiness: `try_io`, `clear_ready` or `retain_ready`"]
pub struct AsyncFdReadyGuard<'a, T: AsFd> {
    fd: &'a AsyncFd<T>,
    known: Known,
}

/// As [`AsyncFdReadyGuard`], and lends the descriptor mutably.
#[must_use = "say what became of the readiness: `try_io`, `clear_ready` or `retain_ready`"]
pub struct AsyncFdReadyMutGuard<'a, T: AsFd> {
    fd: &'a mut AsyncFd<T>,
    known: Known,
}

/// What both guards have.
macro_rules! guard {
    ($guard:ident) => {
        impl<T: AsFd> $guard<'_, T> {
            /// What it was ready for.
            pub fn ready(&self) -> Ready {
                self.known.ready()
            }

            /// An operation said `WouldBlock`: the next wait is for a new event.
            pub fn clear_ready(&mut self) {
                self.known.clear(&self.fd.source, self.known.ready());
            }

            /// As [`clear_ready`](Self::clear_ready), for some of the bits.
            pub fn clear_ready_matching(&mut self, ready: Ready) {
                self.known.clear(&self.fd.source, ready);
            }

            /// It is still ready: the next wait ends at once.
            pub fn retain_ready(&mut self) {}
        }

        impl<T: AsFd + fmt::Debug> fmt::Debug for $guard<'_, T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut out = f.debug_struct(stringify!($guard));
                out.field("fd", &self.fd).field("ready", &self.ready()).finish()
            }
        }
    };
}

guard!(AsyncFdReadyGuard);
guard!(AsyncFdReadyMutGuard);

impl<'a, T: AsFd> AsyncFdReadyGuard<'a, T> {
    /// Calls `operation`, and clears the readiness if it says `WouldBlock`.
    ///
    /// # Errors
    ///
    /// [`TryIoError`] if it said `WouldBlock`; other errors are in the result inside.
    pub fn try_io<R>(
        &mut self,
        operation: impl FnOnce(&'a AsyncFd<T>) -> io::Result<R>,
    ) -> Result<io::Result<R>, TryIoError> {
        let result = operation(self.fd);
        self.known.judge(&self.fd.source, result)
    }

    /// The watched descriptor.
    pub fn get_ref(&self) -> &'a AsyncFd<T> {
        self.fd
    }

    /// The descriptor inside.
    pub fn get_inner(&self) -> &'a T {
        self.fd.get_ref()
    }
}

impl<T: AsFd> AsyncFdReadyMutGuard<'_, T> {
    /// Calls `operation`, and clears the readiness if it says `WouldBlock`.
    ///
    /// # Errors
    ///
    /// [`TryIoError`] if it said `WouldBlock`; other errors are in the result inside.
    pub fn try_io<R>(
        &mut self,
        operation: impl FnOnce(&mut AsyncFd<T>) -> io::Result<R>,
    ) -> Result<io::Result<R>, TryIoError> {
        let result = operation(self.fd);
        self.known.judge(&self.fd.source, result)
    }

    /// The watched descriptor.
    pub fn get_ref(&self) -> &AsyncFd<T> {
        self.fd
    }

    /// The watched descriptor.
    pub fn get_mut(&mut self) -> &mut AsyncFd<T> {
        self.fd
    }

    /// The descriptor inside.
    pub fn get_inner(&self) -> &T {
        self.fd.get_ref()
    }

    /// The descriptor inside. It must stay the same one.
    pub fn get_inner_mut(&mut self) -> &mut T {
        self.fd.get_mut()
    }
}
