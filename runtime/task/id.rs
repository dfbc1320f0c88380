//! [`Id`]: which task, in which loop. A plain value that outlives both, so that errors, reports and
//! the task tree can carry it without holding anything.

use std::fmt;

use crate::remote::LoopId;
use crate::table::Key;

/// Which task. Never used twice in a process.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Id {
    pub(crate) loop_id: LoopId,
    pub(crate) key: Key,
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.key)
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Id({} of {})", self, self.loop_id)
    }
}
