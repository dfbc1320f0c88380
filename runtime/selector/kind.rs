//! Which selectors there are to choose from, and how each is made.
//!
//! The default is `mio`'s. For testing the loop itself, `--cfg wheelhouse_polling` makes it
//! `polling`'s, and with it everything that does not choose: the whole test suite runs on the
//! second selector then. It is a flag of the build, not of the program, and no feature, so that no
//! package can turn it on for another.

use std::io;

#[cfg(feature = "polling")]
use super::polling::PollingSelector;
use super::script::Script;
use super::scripted::ScriptedSelector;
use super::{Selector, mio::MioSelector};

/// Which selector a loop waits with.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum SelectorKind {
    /// `mio`: epoll on Linux, kqueue on macOS and the BSDs.
    #[cfg_attr(not(wheelhouse_polling), default)]
    Mio,
    /// `polling`: the same system calls through another crate, a little slower. It does not tell
    /// the end of a stream from its being readable: [`Ready`](crate::io::Ready) has no
    /// `READ_CLOSED` for a peer that ended its side, until a read finds it.
    #[cfg(feature = "polling")]
    #[cfg_attr(wheelhouse_polling, default)]
    Polling,
    /// The default one behind a script that delays, repeats and fails: for tests.
    Scripted(Script),
}

impl SelectorKind {
    /// A selector with room for so many events a wait.
    pub(crate) fn make(&self, events_per_turn: usize) -> io::Result<Box<dyn Selector>> {
        Ok(match self {
            SelectorKind::Mio => Box::new(MioSelector::new(events_per_turn)?),
            #[cfg(feature = "polling")]
            SelectorKind::Polling => Box::new(PollingSelector::new(events_per_turn)?),
            SelectorKind::Scripted(script) => {
                let real = SelectorKind::default().make(events_per_turn)?;
                Box::new(ScriptedSelector::new(real, script.clone(), events_per_turn))
            }
        })
    }
}
