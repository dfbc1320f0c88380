//! Opening a named pipe, one that `mkfifo` made. It never waits for the other end, as opening would
//! that blocks; so a receiver may come before any sender, and a sender may not.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use super::end::{End, checked};
use super::{Receiver, Sender};

/// How a named pipe is to be opened.
///
/// # Examples
///
/// ```no_run
/// use wheelhouse::net::unix::pipe;
/// # fn main() -> std::io::Result<()> {
/// # wheelhouse::run(async {
/// let requests = pipe::OpenOptions::new().open_receiver("/run/program/requests")?;
/// let mut buffer = [0; 512];
/// let n = requests.read(&mut buffer).await?;
/// # Ok(())
/// # })
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct OpenOptions {
    is_read_write: bool,
    is_unchecked: bool,
}

impl OpenOptions {
    /// One direction, and the file is checked to be a pipe.
    pub fn new() -> OpenOptions {
        OpenOptions::default()
    }

    /// Whether it is opened in both directions, whichever end is asked for. A receiver then meets
    /// no end of the stream when the last sender closes, and a sender can be opened when there is
    /// no receiver yet. Linux has it; POSIX leaves it undefined.
    pub fn read_write(&mut self, read_write: bool) -> &mut OpenOptions {
        self.is_read_write = read_write;
        self
    }

    /// Whether what is opened is taken for a pipe unseen.
    pub fn unchecked(&mut self, unchecked: bool) -> &mut OpenOptions {
        self.is_unchecked = unchecked;
        self
    }

    /// Opens the end to read from. Nobody need have opened the other: `read` waits for what the
    /// first sender sends, while `try_read` meets the end of the stream at once. When the last
    /// sender has closed, reading meets that end too, until the next one opens.
    ///
    /// # Errors
    ///
    /// The system's; `InvalidInput` if it is no pipe.
    ///
    /// # Panics
    ///
    /// If no loop is running on this thread.
    #[track_caller]
    pub fn open_receiver<P: AsRef<Path>>(&self, path: P) -> io::Result<Receiver> {
        Receiver::watch(self.open(path.as_ref(), End::Receiver)?)
    }

    /// Opens the end to write to.
    ///
    /// # Errors
    ///
    /// The system's: `ENXIO` while nobody has opened the end to read from; `InvalidInput` if it is
    /// no pipe.
    ///
    /// # Panics
    ///
    /// If no loop is running on this thread.
    #[track_caller]
    pub fn open_sender<P: AsRef<Path>>(&self, path: P) -> io::Result<Sender> {
        Sender::watch(self.open(path.as_ref(), End::Sender)?)
    }

    fn open(&self, path: &Path, end: End) -> io::Result<OwnedFd> {
        let access = match end {
            _ if self.is_read_write => OFlags::RDWR,
            End::Receiver => OFlags::RDONLY,
            End::Sender => OFlags::WRONLY,
        };
        let flags = access | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty())?;
        if self.is_unchecked { Ok(fd) } else { checked(fd, end) }
    }
}
