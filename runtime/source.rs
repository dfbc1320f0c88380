//! A source: a descriptor registered with its loop, and the operations that wait on it.
//!
//! It asks the reactor for readiness, makes the system call, and keeps the readiness true. It knows no addresses
//! and no socket options; what reads and writes above it never makes the calls itself, so that another kind of
//! selector could serve them from buffers of its own one day.
//!
//! # How readiness is kept true
//!
//! A bit is set by an event and says: try. `WouldBlock` clears it, and the task waits for the next edge. On
//! a stream, a read or write that did less than asked clears it too, which saves the call that would say so,
//! since the kernel reports a new edge for what comes later; but the bits for the end of the stream and for errors stay, for
//! they may have come in the same edge. Never on datagrams, and never where edges are emulated.

use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::current;
use crate::event_loop::LoopState;
use crate::inbox::Chore;
use crate::reactor::{Direction, Place, Ticket};
use crate::remote::Remote;
use crate::selector::{Interest, Ready};
use crate::syscall;
use crate::table::Key;
use crate::task::table::Wait;

/// A descriptor that its loop watches. Operations that wait must be polled on that loop; the others, and dropping it,
/// work on any thread. Dropping deregisters, then closes.
///
/// This is what the sockets of `wheelhouse-net` are made of; for other descriptors
/// [`AsyncFd`](crate::io::AsyncFd) is the simpler door.
pub struct Source<T: AsFd> {
    // Declared, and so dropped, before the descriptor is closed.
    registration: Registration,
    io: T,
}

/// The entry of a descriptor in a loop's reactor and selector.
struct Registration {
    remote: Arc<Remote>,
    key: Key,
    fd: RawFd,
    /// A short read or write proves that the next edge will come.
    short_means_empty: bool,
}

impl<T: AsFd> Source<T> {
    /// Registers a descriptor, which must be non-blocking, with the loop of this thread.
    ///
    /// # Errors
    ///
    /// What the selector says: too many watches, a descriptor it cannot watch (a regular file), one registered already.
    ///
    /// # Panics
    ///
    /// If no loop is running on this thread.
    #[track_caller]
    pub fn new(io: T, interest: Interest) -> io::Result<Source<T>> {
        Source::try_new(io, interest).map_err(|(_, error)| error)
    }

    /// As [`new`](Self::new), but a failure gives the descriptor back.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    ///
    /// # Panics
    ///
    /// If no loop is running on this thread.
    #[track_caller]
    pub fn try_new(io: T, interest: Interest) -> Result<Source<T>, (T, io::Error)> {
        let state = current::expect("Source::new");
        match Registration::new(&state, io.as_fd(), interest, Ready::EMPTY, false) {
            Ok(registration) => Ok(Source { registration, io }),
            Err(error) => Err((io, error)),
        }
    }

    /// Registers a stream socket. `ready` is what it is known to be ready for: one that is connected can be written.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    ///
    /// # Panics
    ///
    /// If no loop is running on this thread.
    #[track_caller]
    pub fn stream(io: T, ready: Ready) -> io::Result<Source<T>> {
        let state = current::expect("Source::stream");
        syscall::prepare_stream(&io)?;
        let registration = Registration::new(&state, io.as_fd(), Interest::STREAM, ready, true)?;
        Ok(Source { registration, io })
    }

    /// The descriptor.
    pub fn get_ref(&self) -> &T {
        &self.io
    }

    /// The descriptor. It must stay the same one.
    pub fn get_mut(&mut self) -> &mut T {
        &mut self.io
    }

    /// Deregisters the descriptor and gives it back.
    pub fn into_inner(self) -> T {
        self.io
    }

    /// Tries `operation` whenever the direction is ready, until it does not say `WouldBlock`. The last caller of
    /// the `poll_*` methods of a direction is woken.
    ///
    /// # Errors
    ///
    /// What `operation` says; an error if it is polled outside the source's loop.
    pub fn poll_io<R>(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
        mut operation: impl FnMut(&T) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        self.poll_at(cx, direction, Place::Polled, |io| operation(io).map(Outcome::full))
    }

    /// Awaits [`poll_io`](Self::poll_io); any number of tasks may. Cancel safe if `operation` is: it is not called again once the future
    /// is dropped.
    pub fn io<R, F>(&self, direction: Direction, mut operation: F) -> impl Future<Output = io::Result<R>>
    where
        F: FnMut(&T) -> io::Result<R>,
    {
        self.awaiting(direction, move |io: &T| operation(io).map(Outcome::full))
    }

    /// Calls `operation` once, ready or not, on any thread. If it says `WouldBlock`, the source is known not to be ready.
    ///
    /// # Errors
    ///
    /// What `operation` says.
    pub fn try_io<R>(
        &self,
        direction: Direction,
        operation: impl FnOnce(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        let result = operation(&self.io);
        if matches!(&result, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
            let Registration { remote, key, .. } = &self.registration;
            current::with(remote.id, |state| state.reactor.clear(*key, direction));
        }
        result
    }

    /// Waits until a direction is ready, without an operation. It stays ready until one says `WouldBlock`.
    ///
    /// # Errors
    ///
    /// If it is polled outside the source's loop.
    pub fn poll_ready(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
    ) -> Poll<io::Result<Ready>> {
        self.poll_ready_at(cx, direction, Place::Polled)
    }

    /// Awaits that any of the directions of `interest` is ready. Cancel safe.
    pub fn ready(&self, interest: Interest) -> impl Future<Output = io::Result<Ready>> {
        Readiness { source: self, interest, tickets: [Ticket::NONE; 3] }
    }

    /// The stamp of a direction's last event, for [`clear_since`](Self::clear_since).
    pub(crate) fn stamp(&self, direction: Direction) -> u64 {
        let Registration { remote, key, .. } = &self.registration;
        current::with(remote.id, |state| state.reactor.stamp(*key, direction)).unwrap_or(0)
    }

    /// Clears readiness unless an event came since `stamp`.
    pub(crate) fn clear_since(&self, direction: Direction, bits: Ready, stamp: u64) {
        let Registration { remote, key, .. } = &self.registration;
        current::with(remote.id, |state| {
            state.reactor.clear_since(*key, direction, bits, stamp);
        });
    }

    fn awaiting<R, F>(&self, direction: Direction, operation: F) -> Io<'_, T, F>
    where
        F: FnMut(&T) -> io::Result<Outcome<R>>,
    {
        Io { source: self, direction, ticket: Ticket::NONE, operation }
    }

    // Inlined for good: with direction and place known, a third of it is left.
    #[inline(always)]
    fn poll_at<R>(
        &self,
        cx: &Context<'_>,
        direction: Direction,
        mut place: Place<'_>,
        mut operation: impl FnMut(&T) -> io::Result<Outcome<R>>,
    ) -> Poll<io::Result<R>> {
        let Registration { remote, key, .. } = &self.registration;
        let Some(state) = current::of(remote.id) else {
            return Poll::Ready(Err(remote.foreign_error("source")));
        };
        if !state.polled.spend(cx) {
            return Poll::Pending;
        }
        loop {
            if self.registration.ask(&state, cx, direction, &mut place).is_pending() {
                return Poll::Pending;
            }
            state.pace.note_time_passed();
            match operation(&self.io) {
                Ok(outcome) => {
                    if outcome.is_short && self.registration.short_means_empty {
                        state.reactor.clear_passing(*key, direction);
                    }
                    return Poll::Ready(Ok(outcome.result));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    state.reactor.clear(*key, direction);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    fn poll_ready_at(
        &self,
        cx: &Context<'_>,
        direction: Direction,
        mut place: Place<'_>,
    ) -> Poll<io::Result<Ready>> {
        let Registration { remote, key, .. } = &self.registration;
        let Some(state) = current::of(remote.id) else {
            return Poll::Ready(Err(remote.foreign_error("source")));
        };
        if !state.polled.spend(cx) {
            return Poll::Pending;
        }
        let asked = self.registration.ask(&state, cx, direction, &mut place);
        asked.map(|()| Ok(state.reactor.readiness(*key).intersection(direction.mask())))
    }
}

/// The operations of a stream socket.
impl<T: AsFd> Source<T> {
    /// Receives into `buffer`; 0 is the end of the stream.
    ///
    /// # Errors
    ///
    /// The system's; an error if it is polled outside the source's loop.
    #[inline]
    pub fn poll_recv(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.poll_at(cx, Direction::Read, Place::Polled, |io| recv(io, buffer))
    }

    /// Awaits [`poll_recv`](Self::poll_recv). Cancel safe: nothing is received once it is dropped.
    #[inline]
    pub fn recv(&self, buffer: &mut [u8]) -> impl Future<Output = io::Result<usize>> {
        self.awaiting(Direction::Read, move |io: &T| recv(io, buffer))
    }

    /// Receives into `buffer` without waiting, on any thread.
    ///
    /// # Errors
    ///
    /// The system's, `WouldBlock` among them.
    pub fn try_recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.try_io(Direction::Read, |io| syscall::recv(io, buffer))
    }

    /// As [`poll_recv`](Self::poll_recv), into several buffers.
    ///
    /// # Errors
    ///
    /// As [`poll_recv`](Self::poll_recv).
    pub fn poll_recv_vectored(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_at(cx, Direction::Read, Place::Polled, |io| {
            let taken = &buffers[..syscall::takeable(buffers.len())];
            let wanted = taken.iter().map(|buffer| buffer.len()).sum();
            Ok(Outcome::of(syscall::recv_vectored(io, buffers)?, wanted))
        })
    }

    /// As [`try_recv`](Self::try_recv), into several buffers.
    ///
    /// # Errors
    ///
    /// As [`try_recv`](Self::try_recv).
    pub fn try_recv_vectored(&self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.try_io(Direction::Read, |io| syscall::recv_vectored(io, buffers))
    }

    /// Receives what the next receive will give, and leaves it there.
    ///
    /// # Errors
    ///
    /// As [`poll_recv`](Self::poll_recv).
    pub fn poll_peek(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.poll_io(cx, Direction::Read, |io| syscall::peek(io, buffer))
    }

    /// Awaits [`poll_peek`](Self::poll_peek). Cancel safe.
    pub fn peek(&self, buffer: &mut [u8]) -> impl Future<Output = io::Result<usize>> {
        self.io(Direction::Read, move |io| syscall::peek(io, buffer))
    }

    /// Sends some of `data`, at least a byte unless it is empty. Never raises `SIGPIPE`.
    ///
    /// # Errors
    ///
    /// The system's; an error if it is polled outside the source's loop.
    #[inline]
    pub fn poll_send(&self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_at(cx, Direction::Write, Place::Polled, |io| send(io, data))
    }

    /// Awaits [`poll_send`](Self::poll_send). Cancel safe: nothing is sent once it is dropped.
    #[inline]
    pub fn send(&self, data: &[u8]) -> impl Future<Output = io::Result<usize>> {
        self.awaiting(Direction::Write, move |io: &T| send(io, data))
    }

    /// Sends some of `data` without waiting, on any thread.
    ///
    /// # Errors
    ///
    /// The system's, `WouldBlock` among them.
    pub fn try_send(&self, data: &[u8]) -> io::Result<usize> {
        self.try_io(Direction::Write, |io| syscall::send(io, data))
    }

    /// As [`poll_send`](Self::poll_send), from several buffers.
    ///
    /// # Errors
    ///
    /// As [`poll_send`](Self::poll_send).
    pub fn poll_send_vectored(
        &self,
        cx: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_at(cx, Direction::Write, Place::Polled, |io| {
            let taken = &data[..syscall::takeable(data.len())];
            let wanted = taken.iter().map(|data| data.len()).sum();
            Ok(Outcome::of(syscall::send_vectored(io, data)?, wanted))
        })
    }

    /// As [`try_send`](Self::try_send), from several buffers.
    ///
    /// # Errors
    ///
    /// As [`try_send`](Self::try_send).
    pub fn try_send_vectored(&self, data: &[IoSlice<'_>]) -> io::Result<usize> {
        self.try_io(Direction::Write, |io| syscall::send_vectored(io, data))
    }

    /// Waits for a connect that is under way to end.
    ///
    /// # Errors
    ///
    /// What the connect ended with.
    pub fn poll_connect(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_io(cx, Direction::Write, |io| syscall::connect_result(io))
    }

    /// Awaits [`poll_connect`](Self::poll_connect). Cancel safe: the connect goes on.
    pub fn connect(&self) -> impl Future<Output = io::Result<()>> {
        self.io(Direction::Write, |io| syscall::connect_result(io))
    }

    /// Accepts a connection on a listener: close-on-exec and non-blocking, with the peer where that is an internet address.
    ///
    /// # Errors
    ///
    /// The system's, as they come.
    pub fn poll_accept(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(OwnedFd, Option<SocketAddr>)>> {
        self.poll_io(cx, Direction::Read, |io| syscall::accept(io))
    }

    /// Awaits [`poll_accept`](Self::poll_accept). Cancel safe: no connection is lost.
    pub fn accept(&self) -> impl Future<Output = io::Result<(OwnedFd, Option<SocketAddr>)>> {
        self.io(Direction::Read, |io| syscall::accept(io))
    }
}

/// What an operation did.
struct Outcome<R> {
    result: R,
    /// It did less than it was asked to.
    is_short: bool,
}

impl<R> Outcome<R> {
    fn full(result: R) -> Outcome<R> {
        Outcome { result, is_short: false }
    }
}

impl Outcome<usize> {
    /// The end of a stream (0) is not short: it stays readable.
    #[inline]
    fn of(done: usize, wanted: usize) -> Outcome<usize> {
        Outcome { result: done, is_short: done != 0 && done < wanted }
    }
}

#[inline]
fn recv(io: &impl AsFd, buffer: &mut [u8]) -> io::Result<Outcome<usize>> {
    Ok(Outcome::of(syscall::recv(io, buffer)?, buffer.len()))
}

#[inline]
fn send(io: &impl AsFd, data: &[u8]) -> io::Result<Outcome<usize>> {
    Ok(Outcome::of(syscall::send(io, data)?, data.len()))
}

impl Registration {
    fn new(
        state: &LoopState,
        fd: BorrowedFd<'_>,
        interest: Interest,
        ready: Ready,
        is_stream: bool,
    ) -> io::Result<Registration> {
        let remote = state.remote.clone();
        let fd = fd.as_raw_fd();
        let key = state.reactor.insert(ready);
        if let Err(error) = remote.registrar.register(fd, key, interest) {
            state.reactor.remove(key);
            return Err(error);
        }
        let short_means_empty = is_stream && remote.has_true_edges;
        Ok(Registration { remote, key, fd, short_means_empty })
    }

    /// Ready if an operation may be tried; else the task is woken when it may.
    #[inline(always)]
    fn ask(
        &self,
        state: &LoopState,
        cx: &Context<'_>,
        direction: Direction,
        place: &mut Place<'_>,
    ) -> Poll<()> {
        if state.reactor.is_ready(self.key, direction, place) {
            return Poll::Ready(());
        }
        let waiter = state.polled.waiter(cx);
        let replaced = state.reactor.wait(self.key, direction, place, waiter);
        drop(replaced);
        state.polled.set_waits(match direction {
            Direction::Read => Wait::Readable(self.fd),
            Direction::Write => Wait::Writable(self.fd),
            Direction::Priority => Wait::Priority(self.fd),
        });
        Poll::Pending
    }

    #[inline]
    fn forget(&self, direction: Direction, ticket: Ticket) {
        if ticket != Ticket::NONE {
            self.forget_listed(direction, ticket);
        }
    }

    fn forget_listed(&self, direction: Direction, ticket: Ticket) {
        let forgotten = current::with(self.remote.id, |state| {
            state.reactor.forget(self.key, direction, ticket)
        });
        // Off the loop's thread the entry stays: at worst it wakes its task once for nothing.
        drop(forgotten);
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        // It may have been closed behind our back; the slot must be freed all the same.
        let _ = self.remote.registrar.deregister(self.fd);
        match current::of(self.remote.id) {
            Some(state) => state.reactor.remove(self.key).into_iter().for_each(drop),
            None => self.remote.post_chore(Chore::FreeSource(self.key)),
        }
    }
}

/// An operation that is awaited.
#[must_use = "futures do nothing unless awaited"]
struct Io<'a, T: AsFd, F> {
    source: &'a Source<T>,
    direction: Direction,
    ticket: Ticket,
    operation: F,
}

// Nothing in it is pinned.
impl<T: AsFd, F> Unpin for Io<'_, T, F> {}

impl<T: AsFd, R, F> Future for Io<'_, T, F>
where
    F: FnMut(&T) -> io::Result<Outcome<R>>,
{
    type Output = io::Result<R>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let place = Place::Listed(&mut this.ticket);
        this.source.poll_at(cx, this.direction, place, &mut this.operation)
    }
}

impl<T: AsFd, F> Drop for Io<'_, T, F> {
    #[inline]
    fn drop(&mut self) {
        self.source.registration.forget(self.direction, self.ticket);
    }
}

/// Awaits any of several directions.
struct Readiness<'a, T: AsFd> {
    source: &'a Source<T>,
    interest: Interest,
    tickets: [Ticket; 3],
}

const DIRECTIONS: [(Direction, Interest); 3] = [
    (Direction::Read, Interest::READABLE),
    (Direction::Write, Interest::WRITABLE),
    (Direction::Priority, Interest::PRIORITY),
];

impl<T: AsFd> Future for Readiness<'_, T> {
    type Output = io::Result<Ready>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let mut found = Ready::EMPTY;
        for ((direction, interest), ticket) in DIRECTIONS.iter().zip(&mut this.tickets) {
            if this.interest.contains(*interest) {
                let place = Place::Listed(ticket);
                if let Poll::Ready(ready) = this.source.poll_ready_at(cx, *direction, place) {
                    found |= ready?;
                }
            }
        }
        if found.is_empty() { Poll::Pending } else { Poll::Ready(Ok(found)) }
    }
}

impl<T: AsFd> Drop for Readiness<'_, T> {
    fn drop(&mut self) {
        for ((direction, _), ticket) in DIRECTIONS.iter().zip(self.tickets) {
            self.source.registration.forget(*direction, ticket);
        }
    }
}

impl<T: AsFd> AsFd for Source<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.io.as_fd()
    }
}

impl<T: AsFd> AsRawFd for Source<T> {
    fn as_raw_fd(&self) -> RawFd {
        self.io.as_fd().as_raw_fd()
    }
}

impl<T: AsFd + fmt::Debug> fmt::Debug for Source<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Source").field(&self.io).finish()
    }
}
