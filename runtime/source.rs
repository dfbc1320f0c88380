//! A source: a descriptor registered with its loop, and how an operation on it waits.
//!
//! It asks the reactor for readiness, calls the operation, and keeps the readiness true. The
//! operations of stream sockets are in `stream.rs`.
//!
//! # How readiness is kept true
//!
//! A bit is set by an event and says: try. `WouldBlock` clears it, and the task waits for the next
//! edge. On a stream, a read or write that did less than asked clears it too, which saves the call
//! that would say so, since the kernel reports a new edge for what comes later; but the bits for
//! the end of the stream and for errors stay, for they may have come in the same edge. Never on
//! datagrams, never where edges are emulated, and never where a read ended at descriptors that a
//! Unix socket passes: more may be there behind them.

use std::fmt;
use std::future::Future;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::current;
use crate::event_loop::LoopState;
use crate::inbox::Chore;
use crate::reactor::{Direction, Place, Slot, Ticket};
use crate::remote::Remote;
use crate::selector::{Interest, Ready};
use crate::table::Key;
use crate::task::polled::Wait;

/// A descriptor that its loop watches. Operations that wait must be polled on that loop; the
/// others, and dropping it, work on any thread. Dropping deregisters, then closes.
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
    kind: Kind,
}

/// What is known of a descriptor when it is registered.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A stream socket.
    Stream,
    /// A stream socket of Unix, which may pass descriptors: a read ends behind what they came with.
    Local,
    /// Any other socket.
    Socket,
    /// No socket.
    File,
}

impl<T: AsFd> Source<T> {
    /// Registers a descriptor, which must be non-blocking, with the loop of this thread.
    ///
    /// # Errors
    ///
    /// What the selector says: too many watches, a descriptor it cannot watch (a regular file), one
    /// registered already.
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
        let state = current::expect_to_watch();
        match Registration::new(&state, io.as_fd(), interest, Ready::EMPTY, Kind::Socket) {
            Ok(registration) => Ok(Source { registration, io }),
            Err(error) => Err((io, error)),
        }
    }

    /// Registers what is no socket, and so read and written by `read` and `write`: a pipe, a
    /// terminal, a device.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    ///
    /// # Panics
    ///
    /// If no loop is running on this thread.
    #[track_caller]
    pub fn file(io: T, interest: Interest) -> io::Result<Source<T>> {
        Source::of_kind(io, interest, Ready::EMPTY, Kind::File)
    }

    #[track_caller]
    pub(crate) fn of_kind(
        io: T,
        interest: Interest,
        ready: Ready,
        kind: Kind,
    ) -> io::Result<Source<T>> {
        let state = current::expect_to_watch();
        let registration = Registration::new(&state, io.as_fd(), interest, ready, kind)?;
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

    /// Tries `operation` whenever the direction is ready, until it does not say `WouldBlock`. The
    /// last caller of the `poll_*` methods of a direction is woken.
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
        self.poll_at(cx, direction, &mut Place::Polled, |io| operation(io).map(Outcome::full))
    }

    /// Awaits [`poll_io`](Self::poll_io); any number of tasks may. Cancel safe if `operation` is:
    /// it is not called again once the future is dropped.
    pub fn io<R, F>(
        &self,
        direction: Direction,
        mut operation: F,
    ) -> impl Future<Output = io::Result<R>>
    where
        F: FnMut(&T) -> io::Result<R>,
    {
        self.awaiting(move |source, cx, place| {
            source.poll_at(cx, direction, place, |io| operation(io).map(Outcome::full))
        })
    }

    /// Calls `operation` once, ready or not, on any thread. If it says `WouldBlock`, the source is
    /// known not to be ready.
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
            self.registration.with_slot(|slot| slot.clear(direction));
        }
        result
    }

    /// Waits until a direction is ready, without an operation. It stays ready until one says
    /// `WouldBlock`.
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
        Readiness { source: self, interest, tickets: [Ticket::NONE; 4] }
    }

    /// Whether it is read and written, not received from and sent to.
    #[inline(always)]
    pub(crate) fn is_file(&self) -> bool {
        self.registration.kind == Kind::File
    }

    /// Whether it is a stream that may pass descriptors.
    #[inline(always)]
    pub(crate) fn is_local(&self) -> bool {
        self.registration.kind == Kind::Local
    }

    /// The stamp of a direction's last event, for [`clear_since`](Self::clear_since).
    pub(crate) fn stamp(&self, direction: Direction) -> u64 {
        self.registration.with_slot(|slot| slot.stamp(direction)).unwrap_or(0)
    }

    /// Clears readiness unless an event came since `stamp`.
    pub(crate) fn clear_since(&self, direction: Direction, bits: Ready, stamp: u64) {
        self.registration.with_slot(|slot| slot.clear_since(direction, bits, stamp));
    }

    /// How many of so many bytes one receive or send is to move. A datagram is never cut.
    #[inline(always)]
    pub(crate) fn limited(&self, bytes: usize) -> usize {
        match self.registration.kind {
            Kind::Socket => bytes,
            Kind::Stream | Kind::Local | Kind::File => {
                bytes.min(self.registration.remote.transfers.limit)
            }
        }
    }

    /// Awaits a `poll_*` call.
    pub(crate) fn awaiting<R, F>(&self, poll: F) -> Io<'_, T, F>
    where
        F: FnMut(&Source<T>, &Context<'_>, &mut Place<'_>) -> Poll<io::Result<R>>,
    {
        Io { source: self, ticket: Ticket::NONE, poll }
    }

    /// Makes a system call of ours once, ready or not, on any thread, and keeps the readiness true.
    pub(crate) fn try_call<R>(
        &self,
        direction: Direction,
        call: impl FnOnce(BorrowedFd<'_>) -> io::Result<Outcome<R>>,
    ) -> io::Result<R> {
        let outcome = self.try_io(direction, |io| call(io.as_fd()))?;
        if outcome.is_short && self.registration.short_means_empty {
            self.registration.with_slot(|slot| slot.clear_passing(direction));
        }
        Ok(outcome.result)
    }

    /// As `poll_at`, for a system call of ours.
    // Inlined for good: with direction and place known, a third of it is left.
    #[inline(always)]
    pub(crate) fn poll_call<R>(
        &self,
        cx: &Context<'_>,
        direction: Direction,
        place: &mut Place<'_>,
        mut call: impl FnMut(BorrowedFd<'_>) -> io::Result<Outcome<R>>,
    ) -> Poll<io::Result<R>> {
        match self.poll_quickly(cx, direction, place, &mut call) {
            Some(polled) => polled,
            None => self.poll_slowly(cx, direction, place, call),
        }
    }

    /// A call on a source that is ready, or the wait of a lone task under its own waker. Neither
    /// runs foreign code, so one borrow and one look-up do for all of it. `None`: `poll_at` is to
    /// do it.
    #[inline(always)]
    fn poll_quickly<R>(
        &self,
        cx: &Context<'_>,
        direction: Direction,
        place: &mut Place<'_>,
        mut call: impl FnMut(BorrowedFd<'_>) -> io::Result<Outcome<R>>,
    ) -> Option<Poll<io::Result<R>>> {
        // It may be the user's code, so it stands outside the borrow.
        let fd = self.io.as_fd();
        let registration = &self.registration;
        let polled = current::with(registration.remote.id, |state| {
            let mut slot = state.reactor.slot(registration.key)?;
            if slot.is_ready(direction, place) {
                if !state.polled.spend_quickly() {
                    return None;
                }
                state.pace.note_call();
                match call(fd) {
                    Ok(outcome) => {
                        if outcome.is_short && registration.short_means_empty {
                            slot.clear_passing(direction);
                        }
                        return Some(Poll::Ready(Ok(outcome.result)));
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        slot.clear(direction);
                    }
                    Err(error) => return Some(Poll::Ready(Err(error))),
                }
            }
            let task = state.polled.own_task(cx)?;
            let is_noted = slot.wait_alone(direction, place, task, state.reactor.next_ticket());
            state.polled.set_waits(registration.wait_for(direction));
            is_noted.then_some(Poll::Pending)
        });
        polled.flatten()
    }

    #[cold]
    fn poll_slowly<R>(
        &self,
        cx: &Context<'_>,
        direction: Direction,
        place: &mut Place<'_>,
        mut call: impl FnMut(BorrowedFd<'_>) -> io::Result<Outcome<R>>,
    ) -> Poll<io::Result<R>> {
        self.poll_at(cx, direction, place, |io| call(io.as_fd()))
    }

    /// Tries an operation, which may be the user's code, whenever the direction is ready.
    #[inline]
    fn poll_at<R>(
        &self,
        cx: &Context<'_>,
        direction: Direction,
        place: &mut Place<'_>,
        mut operation: impl FnMut(&T) -> io::Result<Outcome<R>>,
    ) -> Poll<io::Result<R>> {
        let remote = &self.registration.remote;
        let Some(state) = current::of(remote.id) else {
            return Poll::Ready(Err(remote.foreign_error("source")));
        };
        loop {
            if self.registration.ask(&state, cx, direction, place).is_pending() {
                return Poll::Pending;
            }
            if !state.polled.spend(cx) {
                return Poll::Pending;
            }
            state.pace.note_call();
            match operation(&self.io) {
                Ok(outcome) => {
                    if outcome.is_short && self.registration.short_means_empty {
                        self.registration.with_slot(|slot| slot.clear_passing(direction));
                    }
                    return Poll::Ready(Ok(outcome.result));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.registration.with_slot(|slot| slot.clear(direction));
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
        if self.registration.ask(&state, cx, direction, &mut place).is_pending() {
            return Poll::Pending;
        }
        if !state.polled.spend(cx) {
            return Poll::Pending;
        }
        // The call that follows is not ours to see.
        state.pace.note_call();
        let readiness = state.reactor.slot(*key).map(|slot| slot.readiness(direction));
        Poll::Ready(Ok(readiness.unwrap_or_default()))
    }
}

/// What an operation did.
pub(crate) struct Outcome<R> {
    result: R,
    /// It did less than it was asked to.
    is_short: bool,
}

impl<R> Outcome<R> {
    pub(crate) fn full(result: R) -> Outcome<R> {
        Outcome { result, is_short: false }
    }
}

impl Outcome<usize> {
    /// The end of a stream (0) is not short: it stays readable.
    #[inline]
    pub(crate) fn of(done: usize, wanted: usize) -> Outcome<usize> {
        Outcome { result: done, is_short: done != 0 && done < wanted }
    }
}

impl Registration {
    #[track_caller]
    fn new(
        state: &LoopState,
        fd: BorrowedFd<'_>,
        interest: Interest,
        ready: Ready,
        kind: Kind,
    ) -> io::Result<Registration> {
        let remote = state.remote.clone();
        let fd = fd.as_raw_fd();
        let key = state.reactor.insert(ready);
        if let Err(error) = remote.registrar.register(fd, key, interest.to_register()) {
            state.reactor.remove(key);
            return Err(error);
        }
        state.places.source_was_made(key, fd, || state.tasks.about(state.polled.key()));
        let is_stream = matches!(kind, Kind::Stream | Kind::Local);
        let short_means_empty = is_stream && remote.transfers.short_means_empty;
        Ok(Registration { remote, key, fd, short_means_empty, kind })
    }

    /// Ready if an operation may be tried; else the task is woken when it may.
    #[inline]
    fn ask(
        &self,
        state: &LoopState,
        cx: &Context<'_>,
        direction: Direction,
        place: &mut Place<'_>,
    ) -> Poll<()> {
        let slot = state.reactor.slot(self.key);
        if slot.is_some_and(|mut slot| slot.is_ready(direction, place)) {
            return Poll::Ready(());
        }
        // Cloning this waker and dropping the one it replaces is foreign code: with no borrow held.
        let waiter = state.polled.waiter(cx);
        let next = state.reactor.next_ticket();
        let slot = state.reactor.slot(self.key);
        let replaced = slot.map(|mut slot| slot.wait(direction, place, waiter, next));
        drop(replaced);
        state.polled.set_waits(self.wait_for(direction));
        Poll::Pending
    }

    #[inline]
    fn wait_for(&self, direction: Direction) -> Wait {
        match direction {
            Direction::Read => Wait::Readable(self.fd),
            Direction::Write => Wait::Writable(self.fd),
            Direction::Priority => Wait::Priority(self.fd),
            Direction::Error => Wait::Error(self.fd),
        }
    }

    /// Calls `with` with the slot on the loop's thread.
    fn with_slot<R>(&self, with: impl FnOnce(&mut Slot) -> R) -> Option<R> {
        let found = current::with(self.remote.id, |state| {
            state.reactor.slot(self.key).map(|mut slot| with(&mut slot))
        });
        found.flatten()
    }

    #[inline]
    fn forget(&self, ticket: Ticket) {
        if ticket != Ticket::NONE {
            self.forget_listed(ticket);
        }
    }

    #[cold]
    fn forget_listed(&self, ticket: Ticket) {
        // Off the loop's thread the entry stays: at worst it wakes its task once for nothing.
        let forgotten = self.with_slot(|slot| slot.forget(ticket));
        drop(forgotten);
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        if self.remote.is_at_home() {
            // It may have been closed behind our back; the slot must be freed all the same.
            let _ = self.remote.registrar.deregister(self.fd);
        }
        match current::of(self.remote.id) {
            Some(state) => state.reactor.remove(self.key).into_iter().for_each(drop),
            None => self.remote.post_chore(Chore::FreeSource(self.key)),
        }
    }
}

/// An operation that is awaited.
#[must_use = "futures do nothing unless awaited"]
pub(crate) struct Io<'a, T: AsFd, F> {
    source: &'a Source<T>,
    ticket: Ticket,
    /// One of the `poll_*` calls, its direction in it: known when compiled, it costs nothing.
    poll: F,
}

// Nothing in it is pinned.
impl<T: AsFd, F> Unpin for Io<'_, T, F> {}

impl<T: AsFd, R, F> Future for Io<'_, T, F>
where
    F: FnMut(&Source<T>, &Context<'_>, &mut Place<'_>) -> Poll<io::Result<R>>,
{
    type Output = io::Result<R>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        (this.poll)(this.source, cx, &mut Place::Listed(&mut this.ticket))
    }
}

impl<T: AsFd, F> Drop for Io<'_, T, F> {
    #[inline]
    fn drop(&mut self) {
        self.source.registration.forget(self.ticket);
    }
}

/// Awaits any of several directions.
struct Readiness<'a, T: AsFd> {
    source: &'a Source<T>,
    interest: Interest,
    tickets: [Ticket; 4],
}

const DIRECTIONS: [(Direction, Interest); 4] = [
    (Direction::Read, Interest::READABLE),
    (Direction::Write, Interest::WRITABLE),
    (Direction::Priority, Interest::PRIORITY),
    (Direction::Error, Interest::ERROR),
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
        for ticket in self.tickets {
            self.source.registration.forget(ticket);
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
