//! A connection's place in its server, held by the handler's task: given back when the task ends,
//! however that is.

use std::any::Any;
use std::fmt::Display;
use std::sync::Arc;
use std::thread;

use crate::server::control::{Control, End};

pub(crate) struct Seat<A: Any + Clone> {
    pub(crate) control: Arc<Control<A>>,
    pub(crate) number: u64,
    /// Dropped without a word, it was cut off or has panicked.
    pub(crate) end: Option<End>,
}

impl<A: Any + Clone> Drop for Seat<A> {
    fn drop(&mut self) {
        let unsaid = if thread::panicking() { End::Panicked } else { End::Aborted };
        self.control.ended(self.number, self.end.unwrap_or(unsaid));
    }
}

/// A listener's place in its server, held by its accept loop.
pub(crate) struct ListenerSeat<A: Any + Clone> {
    pub(crate) control: Arc<Control<A>>,
    pub(crate) number: usize,
}

impl<A: Any + Clone> Drop for ListenerSeat<A> {
    fn drop(&mut self) {
        self.control.listener_ended();
    }
}

/// What a handler may give: nothing, or a `Result` with nothing in it, whose error is counted and
/// told to `tracing`. Implemented here only.
pub trait Handled: sealed::Output {
    #[doc(hidden)]
    fn failure(self) -> Option<String>;
}

mod sealed {
    pub trait Output: 'static {}
}

impl sealed::Output for () {}
impl<E: 'static> sealed::Output for Result<(), E> {}

impl Handled for () {
    fn failure(self) -> Option<String> {
        None
    }
}

impl<E: Display + 'static> Handled for Result<(), E> {
    fn failure(self) -> Option<String> {
        self.err().map(|error| error.to_string())
    }
}
