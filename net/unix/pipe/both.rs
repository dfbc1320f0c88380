//! What both ends of a pipe have in common: taking one over and giving it back, its descriptor, and
//! what it is ready for.
//!
//! They are methods of two types, under tokio's names, which is what the macro is for. What only one
//! end has stands with it.

use std::fs::File;
use std::future::Future;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use wheelhouse_runtime::io::{Direction, Interest, Ready, Source};

use super::end::{End, checked, set_blocking};
use super::receiver::Receiver;
use super::sender::Sender;

macro_rules! end_of_a_pipe {
    ($end:ident, $standard:literal, $direction:expr, $interest:expr) => {
        /// Taking one over and giving it back.
        impl $end {
            #[doc = concat!("Takes over this end of a pipe, say standard ", $standard, ", and")]
            /// makes it non-blocking. That holds for all who share the open file, a terminal's other
            /// programs among them.
            ///
            /// # Errors
            ///
            /// `InvalidInput` if it is no pipe, or the other end; when the selector refuses it.
            ///
            /// # Panics
            ///
            /// If no loop is running on this thread.
            #[track_caller]
            pub fn from_file(file: File) -> io::Result<$end> {
                $end::from_owned_fd(file.into())
            }

            /// As [`from_file`](Self::from_file).
            ///
            /// # Errors
            ///
            /// As [`from_file`](Self::from_file).
            ///
            /// # Panics
            ///
            /// If no loop is running on this thread.
            #[track_caller]
            pub fn from_owned_fd(fd: OwnedFd) -> io::Result<$end> {
                $end::watch(checked(fd, End::$end)?)
            }

            /// Takes over a descriptor that is known to be this end of a pipe, and non-blocking.
            ///
            /// # Errors
            ///
            /// When the selector refuses it.
            ///
            /// # Panics
            ///
            /// If no loop is running on this thread.
            #[track_caller]
            pub fn from_file_unchecked(file: File) -> io::Result<$end> {
                $end::watch(file.into())
            }

            /// As [`from_file_unchecked`](Self::from_file_unchecked).
            ///
            /// # Errors
            ///
            /// When the selector refuses it.
            ///
            /// # Panics
            ///
            /// If no loop is running on this thread.
            #[track_caller]
            pub fn from_owned_fd_unchecked(fd: OwnedFd) -> io::Result<$end> {
                $end::watch(fd)
            }

            #[track_caller]
            pub(super) fn watch(fd: OwnedFd) -> io::Result<$end> {
                Ok($end { source: Source::file(fd, $interest)? })
            }

            /// Gives the descriptor back and makes it blocking, as a child process expects of it.
            ///
            /// # Errors
            ///
            /// The system's.
            pub fn into_blocking_fd(self) -> io::Result<OwnedFd> {
                let fd = self.source.into_inner();
                set_blocking(&fd, true)?;
                Ok(fd)
            }

            /// Gives the descriptor back. It stays non-blocking.
            ///
            /// # Errors
            ///
            /// None today; the result is tokio's.
            pub fn into_nonblocking_fd(self) -> io::Result<OwnedFd> {
                Ok(self.source.into_inner())
            }

            pub(crate) fn source(&self) -> &Source<OwnedFd> {
                &self.source
            }
        }

        /// Readiness, whatever for.
        impl $end {
            /// Waits until the pipe is ready for any of `interest`, and says for what. It may have
            /// been so without need: try, and wait again at `WouldBlock`.
            ///
            /// Cancel safe.
            ///
            /// # Errors
            ///
            /// If it is awaited outside the pipe's loop.
            pub fn ready(
                &self,
                interest: Interest,
            ) -> impl Future<Output = io::Result<Ready>> + Send {
                self.source.ready(interest)
            }

            #[doc = concat!("Calls `operation`, which does its own ", $standard, " on the")]
            /// descriptor, once. `WouldBlock` marks the pipe as not ready.
            ///
            /// # Errors
            ///
            /// What `operation` says.
            pub fn try_io<R>(&self, operation: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
                self.source.try_io($direction, |_| operation())
            }
        }

        impl AsFd for $end {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.source.as_fd()
            }
        }

        impl AsRawFd for $end {
            fn as_raw_fd(&self) -> RawFd {
                self.source.as_raw_fd()
            }
        }
    };
}

end_of_a_pipe!(Receiver, "input", Direction::Read, Interest::READABLE);
end_of_a_pipe!(Sender, "output", Direction::Write, Interest::WRITABLE);
