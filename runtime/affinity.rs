//! Which cores a thread may run on, where the system lets one say so: Linux, Android and FreeBSD.
//! Elsewhere every question is answered with "any", and pinning does nothing.
//!
//! It knows numbers of cores and the thread that calls it, and no loop.

use std::io;

/// A set of cores that a thread may run on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cores(imp::Set);

impl Cores {
    /// Those of this thread: what the process was given, unless the thread was pinned.
    pub(crate) fn of_this_thread() -> io::Result<Cores> {
        imp::current().map(Cores)
    }

    /// Their numbers; `None` where the system does not tell.
    pub(crate) fn numbers(&self) -> Option<Vec<usize>> {
        imp::numbers(&self.0)
    }

    /// Lets this thread run on these.
    pub(crate) fn let_this_thread_run(&self) -> io::Result<()> {
        imp::set(&self.0)
    }

    /// One core, which must be one of those that the process may use.
    pub(crate) fn only(number: usize) -> Cores {
        Cores(imp::only(number))
    }
}

#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
mod imp {
    use std::io;

    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

    pub(super) type Set = CpuSet;

    pub(super) fn current() -> io::Result<Set> {
        Ok(sched_getaffinity(None)?)
    }

    pub(super) fn set(cores: &Set) -> io::Result<()> {
        Ok(sched_setaffinity(None, cores)?)
    }

    pub(super) fn numbers(cores: &Set) -> Option<Vec<usize>> {
        Some((0..CpuSet::MAX_CPU).filter(|core| cores.is_set(*core)).collect())
    }

    pub(super) fn only(number: usize) -> Set {
        let mut cores = CpuSet::new();
        cores.set(number);
        cores
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
mod imp {
    use std::io;

    #[derive(Clone, Copy, Debug)]
    pub(super) struct Set;

    pub(super) fn current() -> io::Result<Set> {
        Ok(Set)
    }

    pub(super) fn set(_: &Set) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn numbers(_: &Set) -> Option<Vec<usize>> {
        None
    }

    pub(super) fn only(_: usize) -> Set {
        Set
    }
}
