//! The task tree: every task with its name, where it was spawned, its parent and what it waits for.
//!
//! It is read off the slots; nothing is polled to find out.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::panic::Location;
use std::time::Duration;

use crate::task::Id;

/// Deeper ones are printed at this depth: where each task is the parent of the next one, a line has
/// an end.
const DEEPEST: usize = 20;

/// The tasks of a loop at one moment. `Display` prints them as a tree.
#[derive(Clone, Debug, Default)]
pub struct TaskTree {
    /// The loop, in words.
    pub(crate) title: String,
    pub(crate) tasks: Vec<TaskInfo>,
}

/// One task as it stood when the tree was made.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TaskInfo {
    /// The task.
    pub id: Id,
    /// Its name, if it was given one.
    pub name: Option<String>,
    /// Where it was spawned.
    pub location: &'static Location<'static>,
    /// The task that spawned it.
    pub parent: Option<Id>,
    /// What it waits for.
    pub waits_for: WaitsFor,
}

/// What a task waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitsFor {
    /// Nothing: it is queued, or is being polled.
    Nothing,
    /// It has finished; its handle was neither awaited nor dropped.
    Joined,
    /// Data on this descriptor.
    Readable(i32),
    /// Room on this descriptor.
    Writable(i32),
    /// Priority data on this descriptor.
    Priority(i32),
    /// An error of this descriptor.
    Error(i32),
    /// A timer that is due in this time.
    Timer(Duration),
    /// Another task.
    Task(Id),
    /// A job on the blocking pool.
    Blocking,
    /// Something this runtime does not know: a channel, a lock, a foreign future.
    Unknown,
}

impl TaskTree {
    /// All tasks, in no particular order.
    pub fn tasks(&self) -> &[TaskInfo] {
        &self.tasks
    }

    /// Tasks by their parent, as far as that is still there, the last first; the others stand at the
    /// root.
    fn by_parent(&self) -> HashMap<Option<Id>, Vec<&TaskInfo>> {
        let here: HashSet<Id> = self.tasks.iter().map(|task| task.id).collect();
        let mut children: HashMap<_, Vec<_>> = HashMap::new();
        for task in self.tasks.iter().rev() {
            let parent = task.parent.filter(|parent| here.contains(parent));
            children.entry(parent).or_default().push(task);
        }
        children
    }
}

impl fmt::Display for TaskTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {} tasks", self.title, self.tasks.len())?;
        let mut children = self.by_parent();
        // Those at the end are printed first. A task cannot be its own ancestor: ids are never used
        // twice.
        let roots = children.remove(&None).unwrap_or_default().into_iter();
        let mut to_print: Vec<_> = roots.map(|task| (1, task)).collect();
        while let Some((depth, task)) = to_print.pop() {
            writeln!(f, "{:indent$}{task}", "", indent = 2 * depth.min(DEEPEST))?;
            let below = children.remove(&Some(task.id)).unwrap_or_default().into_iter();
            to_print.extend(below.map(|child| (depth + 1, child)));
        }
        Ok(())
    }
}

impl fmt::Display for TaskInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task {}", self.id)?;
        if let Some(name) = &self.name {
            write!(f, " \"{name}\"")?;
        }
        write!(f, " ({}): {}", self.location, self.waits_for)
    }
}

impl fmt::Display for WaitsFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WaitsFor::Nothing => f.write_str("runnable"),
            WaitsFor::Joined => f.write_str("finished, waits to be awaited"),
            WaitsFor::Readable(fd) => write!(f, "waits to read descriptor {fd}"),
            WaitsFor::Writable(fd) => write!(f, "waits to write descriptor {fd}"),
            WaitsFor::Error(fd) => write!(f, "waits for an error of descriptor {fd}"),
            WaitsFor::Priority(fd) => write!(f, "waits for priority data on descriptor {fd}"),
            WaitsFor::Timer(left) => write!(f, "sleeps for {left:?} more"),
            WaitsFor::Task(id) => write!(f, "awaits task {id}"),
            WaitsFor::Blocking => f.write_str("waits for a blocking job"),
            WaitsFor::Unknown => f.write_str("waits for something of its own"),
        }
    }
}
