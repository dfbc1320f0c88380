//! Any descriptor on the loop: [`AsyncFd`], asyncio's `add_reader` and `add_writer`.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::task::{Context, Poll};

pub use crate::address::Address;
pub use crate::reactor::Direction;
pub use crate::selector::{Interest, Ready};
pub use crate::source::Source;

/// A descriptor of yours, watched by the loop. It must be non-blocking; it need not be a socket.
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
/// use wheelhouse_runtime::io::{AsyncFd, Interest};
/// # fn main() -> std::io::Result<()> {
/// # wheelhouse_runtime::run(async {
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

    /// As [`with_interest`](Self::with_interest), but a failure gives the descriptor back.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    ///
    /// # Panics
    ///
    /// If no loop is running on this thread.
    #[track_caller]
    pub fn try_with_interest(io: T, interest: Interest) -> Result<AsyncFd<T>, (T, io::Error)> {
        Ok(AsyncFd { source: Source::try_new(io, interest)? })
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
        Ok(AsyncFdReadyGuard::new(self, ready))
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
        let stamps = Stamps::take(&self.source);
        let result = operation(self.get_ref());
        if is_would_block(&result) {
            stamps.clear(&self.source, ready_bits(interest));
        }
        result
    }

    fn poll_direction(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
    ) -> Poll<io::Result<AsyncFdReadyGuard<'_, T>>> {
        let ready = self.source.poll_ready(cx, direction);
        ready.map_ok(|ready| AsyncFdReadyGuard::new(self, ready))
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
    ready: Ready,
    stamps: Stamps,
}

impl<'a, T: AsFd> AsyncFdReadyGuard<'a, T> {
    fn new(fd: &'a AsyncFd<T>, ready: Ready) -> AsyncFdReadyGuard<'a, T> {
        AsyncFdReadyGuard { fd, ready, stamps: Stamps::take(&fd.source) }
    }

    /// What it was ready for.
    pub fn ready(&self) -> Ready {
        self.ready
    }

    /// An operation said `WouldBlock`: the next wait is for a new event.
    pub fn clear_ready(&mut self) {
        self.clear_ready_matching(self.ready);
    }

    /// As [`clear_ready`](Self::clear_ready), for some of the bits.
    pub fn clear_ready_matching(&mut self, ready: Ready) {
        self.stamps.clear(&self.fd.source, ready);
        self.ready = self.ready.without(ready);
    }

    /// It is still ready: the next wait ends at once.
    pub fn retain_ready(&mut self) {}

    /// Calls `operation`, and clears the readiness if it says `WouldBlock`.
    ///
    /// # Errors
    ///
    /// [`TryIoError`] if it said `WouldBlock`; other errors are in the result inside.
    pub fn try_io<R>(
        &mut self,
        operation: impl FnOnce(&AsyncFd<T>) -> io::Result<R>,
    ) -> Result<io::Result<R>, TryIoError> {
        let result = operation(self.fd);
        if is_would_block(&result) {
            self.clear_ready();
            return Err(TryIoError(()));
        }
        Ok(result)
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

impl<T: AsFd + fmt::Debug> fmt::Debug for AsyncFdReadyGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("AsyncFdReadyGuard");
        out.field("fd", self.fd).field("ready", &self.ready).finish()
    }
}

/// The operation would have blocked; the readiness was cleared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TryIoError(());

impl fmt::Display for TryIoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the operation would have blocked")
    }
}

impl std::error::Error for TryIoError {}

/// The stamps of all directions.
struct Stamps([u64; 3]);

const DIRECTIONS: [Direction; 3] = [Direction::Read, Direction::Write, Direction::Priority];

impl Stamps {
    fn take<T: AsFd>(source: &Source<T>) -> Stamps {
        Stamps(DIRECTIONS.map(|direction| source.stamp(direction)))
    }

    fn clear<T: AsFd>(&self, source: &Source<T>, ready: Ready) {
        for (direction, stamp) in DIRECTIONS.into_iter().zip(self.0) {
            source.clear_since(direction, ready, stamp);
        }
    }
}

fn ready_bits(interest: Interest) -> Ready {
    let mut ready = Ready::EMPTY;
    for (is_wanted, direction) in [
        (interest.is_readable(), Direction::Read),
        (interest.is_writable(), Direction::Write),
        (interest.is_priority(), Direction::Priority),
    ] {
        if is_wanted {
            ready |= direction.mask();
        }
    }
    ready
}

fn is_would_block<R>(result: &io::Result<R>) -> bool {
    matches!(result, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}
