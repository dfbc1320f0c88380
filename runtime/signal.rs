//! Signals as a source: `ctrl_c` and `signal`.
//!
//! The handler that is installed in the process (by `signal-hook`, which keeps other handlers
//! working) writes a byte to a socket pair; the other end is watched by the loop. Several signals
//! of a kind that come close together count as one, as they do in the system itself.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::task::{Context, Poll};

use signal_hook::SigId;
use signal_hook::consts as numbers;

use crate::reactor::Direction;
use crate::selector::Interest;
use crate::source::Source;

/// Which signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SignalKind(i32);

impl SignalKind {
    /// A signal by its number.
    pub const fn from_raw(number: i32) -> SignalKind {
        SignalKind(number)
    }

    /// The signal's number.
    pub const fn as_raw_value(self) -> i32 {
        self.0
    }

    /// `SIGALRM`.
    pub const fn alarm() -> SignalKind {
        SignalKind(numbers::SIGALRM)
    }

    /// `SIGCHLD`: a child process has stopped, gone on or ended.
    pub const fn child() -> SignalKind {
        SignalKind(numbers::SIGCHLD)
    }

    /// `SIGHUP`: the terminal is gone; for daemons, read the settings again.
    pub const fn hangup() -> SignalKind {
        SignalKind(numbers::SIGHUP)
    }

    /// `SIGINT`: Ctrl-C.
    pub const fn interrupt() -> SignalKind {
        SignalKind(numbers::SIGINT)
    }

    /// `SIGIO`.
    pub const fn io() -> SignalKind {
        SignalKind(numbers::SIGIO)
    }

    /// `SIGPIPE`.
    pub const fn pipe() -> SignalKind {
        SignalKind(numbers::SIGPIPE)
    }

    /// `SIGQUIT`: Ctrl-\.
    pub const fn quit() -> SignalKind {
        SignalKind(numbers::SIGQUIT)
    }

    /// `SIGTERM`: please end.
    pub const fn terminate() -> SignalKind {
        SignalKind(numbers::SIGTERM)
    }

    /// `SIGUSR1`.
    pub const fn user_defined1() -> SignalKind {
        SignalKind(numbers::SIGUSR1)
    }

    /// `SIGUSR2`.
    pub const fn user_defined2() -> SignalKind {
        SignalKind(numbers::SIGUSR2)
    }

    /// `SIGWINCH`: the terminal has another size.
    pub const fn window_change() -> SignalKind {
        SignalKind(numbers::SIGWINCH)
    }
}

/// Listens for a signal. From here on its usual effect (ending the process, say) is off, also after
/// the [`Signal`] is dropped.
///
/// A child made by `fork` inherits that, and has the same descriptors: until it calls `exec`, a
/// signal to the child is received here, in its parent.
///
/// # Errors
///
/// `InvalidInput` for what is no signal and for those that cannot be handled (`SIGKILL`, `SIGSTOP`)
/// or must not be (`SIGSEGV`, `SIGILL`, `SIGFPE`); the system's when descriptors have run out.
///
/// # Panics
///
/// If no loop is running on this thread.
#[track_caller]
pub fn signal(kind: SignalKind) -> io::Result<Signal> {
    if numbers::FORBIDDEN.contains(&kind.0) {
        let text = format!("signal {} cannot be listened for, or must not be", kind.0);
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    let (receiver, sender) = UnixStream::pair()?;
    receiver.set_nonblocking(true)?;
    sender.set_nonblocking(true)?;
    let receiver = Source::new(receiver, Interest::READABLE)?;
    let id = signal_hook::low_level::pipe::register(kind.0, sender)?;
    Ok(Signal { receiver, id })
}

/// Waits for Ctrl-C (`SIGINT`). The listener starts with this call, not with the await.
///
/// # Errors
///
/// As [`signal`].
///
/// # Panics
///
/// If no loop is running on this thread.
///
/// # Examples
///
/// ```no_run
/// use wheelhouse::select;
/// use wheelhouse::signal::ctrl_c;
///
/// # async fn serve() {}
/// wheelhouse::run(async {
///     select! {
///         () = serve() => println!("has ended"),
///         heard = ctrl_c() => heard.expect("no signals here"),
///     }
/// });
/// ```
#[track_caller]
pub fn ctrl_c() -> impl Future<Output = io::Result<()>> {
    let listening = signal(SignalKind::interrupt());
    async move {
        listening?.recv().await;
        Ok(())
    }
}

/// Receives a signal. Any number of them may listen for the same one, on any loops.
pub struct Signal {
    receiver: Source<UnixStream>,
    id: SigId,
}

impl Signal {
    /// Waits for the signal. Those that came since the last call count as one. `None` if this is
    /// not its loop, or its loop is closed. Cancel safe.
    pub async fn recv(&mut self) -> Option<()> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// As [`recv`](Self::recv).
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<()>> {
        let received = self.receiver.poll_io(cx, Direction::Read, |mut receiver| {
            let mut bytes = [0; 64];
            let mut taken = receiver.read(&mut bytes)?;
            // Takes all there are: they count as one.
            while taken == bytes.len() {
                taken = receiver.read(&mut bytes).unwrap_or(0);
            }
            Ok(())
        });
        received.map(Result::ok)
    }
}

impl Drop for Signal {
    fn drop(&mut self) {
        signal_hook::low_level::unregister(self.id);
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signal").finish_non_exhaustive()
    }
}
