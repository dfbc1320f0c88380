//! [`pipe`]: a pipe that has no name, between two tasks, or between this process and one to which
//! it gives an end.

use std::io;

use super::{Receiver, Sender};
use crate::platform::new_pipe;

/// A new pipe: what the sender writes the receiver reads.
///
/// # Errors
///
/// The system's: no descriptors left.
///
/// # Panics
///
/// If no loop is running on this thread.
///
/// # Examples
///
/// ```
/// use wheelhouse::net::unix::pipe;
/// # fn main() -> std::io::Result<()> {
/// # wheelhouse::run(async {
/// let (sender, receiver) = pipe::pipe()?;
/// sender.write_all(b"hello").await?;
/// drop(sender);
/// let mut buffer = [0; 16];
/// assert_eq!(receiver.read(&mut buffer).await?, 5);
/// assert_eq!(receiver.read(&mut buffer).await?, 0);
/// # Ok(())
/// # })
/// # }
/// ```
#[track_caller]
pub fn pipe() -> io::Result<(Sender, Receiver)> {
    let (reader, writer) = new_pipe()?;
    Ok((Sender::watch(writer)?, Receiver::watch(reader)?))
}
