//! Attempts at an operation that is not the source's own: once, or whenever the source is ready.
//! What `try_io`, `async_io` and the like of every type do.

use std::io;
use std::os::fd::AsFd;

use wheelhouse_runtime::io::{Direction, Interest, Source};

/// Calls `operation` once. `WouldBlock` marks the source as not ready for `interest`.
pub(crate) fn try_io<T: AsFd, R>(
    source: &Source<T>,
    interest: Interest,
    operation: impl FnOnce() -> io::Result<R>,
) -> io::Result<R> {
    let result = operation();
    if is_would_block(&result) {
        is_not_ready(source, interest);
    }
    result
}

/// Calls `operation` whenever the source is ready for `interest`, until it does not say
/// `WouldBlock`.
pub(crate) async fn async_io<T: AsFd, R>(
    source: &Source<T>,
    interest: Interest,
    mut operation: impl FnMut() -> io::Result<R>,
) -> io::Result<R> {
    loop {
        source.ready(interest).await?;
        let result = try_io(source, interest, &mut operation);
        if !is_would_block(&result) {
            return result;
        }
    }
}

/// As `async_io`, for an operation of the source, which keeps the readiness true itself.
pub(crate) async fn when_ready<T: AsFd, R>(
    source: &Source<T>,
    interest: Interest,
    mut operation: impl FnMut(&Source<T>) -> io::Result<R>,
) -> io::Result<R> {
    loop {
        source.ready(interest).await?;
        let result = operation(source);
        if !is_would_block(&result) {
            return result;
        }
    }
}

pub(crate) fn is_would_block<R>(result: &io::Result<R>) -> bool {
    matches!(result, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

fn is_not_ready<T: AsFd>(source: &Source<T>, interest: Interest) {
    for (is_wanted, direction) in [
        (interest.is_readable(), Direction::Read),
        (interest.is_writable(), Direction::Write),
        (interest.is_priority(), Direction::Priority),
        (interest.is_error(), Direction::Error),
    ] {
        if is_wanted {
            let blocked = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
            let _ = source.try_io(direction, |_| blocked());
        }
    }
}
