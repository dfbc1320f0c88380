//! `LoopGroup`: several loops, a thread each.

use std::fmt;
use std::io;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::handle::Handle;
use crate::owner::EventLoop;
use crate::shutdown::ShutdownReport;

/// Several event loops, each on a thread of its own, which runs until the group is shut down or
/// dropped.
///
/// # Examples
///
/// ```
/// use wheelhouse_runtime::LoopGroup;
/// use std::time::Duration;
/// let group = LoopGroup::new(2)?;
/// let one = group.handle(0).spawn(|| async { 1 });
/// let two = group.handle(1).spawn(|| async { 2 });
/// assert_eq!(one.wait().unwrap() + two.wait().unwrap(), 3);
/// assert!(group.shutdown(Duration::from_secs(1)).iter().all(|report| report.is_clean()));
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct LoopGroup {
    members: Vec<Member>,
}

struct Member {
    handle: Handle,
    /// The grace to shut down with, sent once.
    grace: mpsc::Sender<Duration>,
    thread: Option<JoinHandle<ShutdownReport>>,
}

impl LoopGroup {
    /// Starts `loops` loops.
    ///
    /// # Errors
    ///
    /// When the system refuses a thread or a descriptor; those that were started are shut down.
    ///
    /// # Panics
    ///
    /// If `loops` is zero.
    #[track_caller]
    pub fn new(loops: usize) -> io::Result<LoopGroup> {
        assert!(loops > 0, "`LoopGroup::new` was called with 0 loops: a group has at least one");
        let mut group = LoopGroup { members: Vec::with_capacity(loops) };
        for index in 0..loops {
            group.members.push(Member::start(index)?);
        }
        Ok(group)
    }

    /// The handle of a loop.
    ///
    /// # Panics
    ///
    /// If there are not so many loops.
    #[track_caller]
    pub fn handle(&self, index: usize) -> Handle {
        match self.members.get(index) {
            Some(member) => member.handle.clone(),
            None => panic!(
                "`LoopGroup::handle` was called with index {index}, but the group has {} loops",
                self.members.len()
            ),
        }
    }

    /// The handles of all loops.
    pub fn handles(&self) -> impl Iterator<Item = Handle> + '_ {
        self.members.iter().map(|member| member.handle.clone())
    }

    /// How many loops there are.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Never: a group has at least one loop.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Shuts all loops down at the same time, each as [`EventLoop::shutdown`], and reports for
    /// each.
    ///
    /// # Panics
    ///
    /// If a loop's thread panicked.
    pub fn shutdown(mut self, grace: Duration) -> Vec<ShutdownReport> {
        self.stop(grace);
        let threads: Vec<_> =
            self.members.iter_mut().filter_map(|member| member.thread.take()).collect();
        let joined = threads.into_iter().map(JoinHandle::join);
        joined
            .map(|report| report.unwrap_or_else(|payload| std::panic::resume_unwind(payload)))
            .collect()
    }

    fn stop(&self, grace: Duration) {
        for member in &self.members {
            // A thread that is gone needs no telling.
            let _ = member.grace.send(grace);
            member.handle.stop();
        }
    }
}

impl Drop for LoopGroup {
    /// Stops the loops without grace and waits for their threads, but for the one that drops the
    /// group.
    fn drop(&mut self) {
        self.stop(Duration::ZERO);
        let here = std::thread::current().id();
        for thread in self.members.iter_mut().filter_map(|member| member.thread.take()) {
            if thread.thread().id() != here {
                // A panic of a loop was reported when it happened.
                let _ = thread.join();
            }
        }
    }
}

impl fmt::Debug for LoopGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LoopGroup({} loops)", self.members.len())
    }
}

impl Member {
    fn start(index: usize) -> io::Result<Member> {
        let (grace, asked) = mpsc::channel();
        let (made, wait) = mpsc::channel();
        let name = format!("loop-{index}");
        let thread = std::thread::Builder::new().name(name.clone()).spawn(move || {
            let event_loop = match EventLoop::builder().name(name).build() {
                Ok(event_loop) => event_loop,
                Err(error) => {
                    let _ = made.send(Err(error));
                    return ShutdownReport::default();
                }
            };
            let _ = made.send(Ok(event_loop.handle()));
            event_loop.run_forever();
            event_loop.shutdown(asked.try_recv().unwrap_or_default())
        })?;
        let handle = wait.recv().map_err(|_| io::Error::other("the loop's thread is gone"))??;
        Ok(Member { handle, grace, thread: Some(thread) })
    }
}
