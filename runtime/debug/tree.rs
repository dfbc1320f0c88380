//! The task tree: every task with its name, where it was spawned, its parent and what it waits for.
//!
//! It is read off the slots; nothing is polled to find out.

use std::fmt;
use std::panic::Location;
use std::time::Duration;

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
    pub id: crate::task::Id,
    /// Its name, if it was given one.
    pub name: Option<String>,
    /// Where it was spawned.
    pub location: &'static Location<'static>,
    /// The task that spawned it.
    pub parent: Option<crate::task::Id>,
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
    Task(crate::task::Id),
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

    fn print(
        &self,
        f: &mut fmt::Formatter<'_>,
        parent: Option<crate::task::Id>,
        depth: usize,
    ) -> fmt::Result {
        // A task cannot be its own ancestor: ids are never used twice.
        for task in self.tasks.iter().filter(|task| self.parent_of(task) == parent) {
            writeln!(f, "{:indent$}{task}", "", indent = 2 * depth)?;
            self.print(f, Some(task.id), depth + 1)?;
        }
        Ok(())
    }

    /// The parent as far as it is still there; the others stand at the root.
    fn parent_of(&self, task: &TaskInfo) -> Option<crate::task::Id> {
        task.parent.filter(|parent| self.tasks.iter().any(|task| task.id == *parent))
    }
}

impl fmt::Display for TaskTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {} tasks", self.title, self.tasks.len())?;
        self.print(f, None, 1)
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
