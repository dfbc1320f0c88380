//! The contenders. Each runtime's file says how that runtime does the same handful of things
//! ([`Runtime`](crate::runtime::Runtime)); the workloads in `child.rs` are written once over it. `raw.rs` is a
//! hand-written epoll loop and answers only where there is something to hand-write.

pub mod compio;
pub mod glommio;
pub mod monoio;
pub mod raw;
pub mod smol;
pub mod tokio;
#[cfg(feature = "wheelhouse")]
pub mod wheelhouse;

use crate::job::{Answer, Job};
use crate::{child, pair};

/// A row of the tables.
pub struct Contender {
    pub name: &'static str,
    /// Runs a scenario's part inside the child and prints its answer.
    pub child: fn(&Job) -> Result<Answer, String>,
    /// Takes part only in scenarios whose name starts with one of these; in all, if empty.
    pub only_in: &'static [&'static str],
    /// Takes no part in scenarios whose name starts with one of these.
    pub not_in: &'static [&'static str],
    /// Said at the end, beside what it ran on.
    pub note: &'static str,
}

/// In the order of the tables. The first one is what ratios are taken to, beside `tokio`.
pub const ALL: &[Contender] = &[
    Contender {
        name: "raw",
        child: raw::run,
        only_in: &[],
        not_in: &["spawn", "yield", "pair", "task-bytes", "timer-create", "http"],
        note: "written by hand for each scenario; no tasks",
    },
    #[cfg(feature = "wheelhouse")]
    Contender { name: "wheelhouse", child: child::run::<wheelhouse::Wheelhouse>, only_in: &[], not_in: &[], note: "" },
    #[cfg(feature = "wheelhouse")]
    Contender {
        name: "wheelhouse-1ms",
        child: child::run::<wheelhouse::Tolerant>,
        only_in: &["timer-storm"],
        not_in: &[],
        note: "every sleep with .tolerance(1 ms)",
    },
    Contender { name: "tokio", child: child::run::<tokio::CurrentThread>, only_in: &[], not_in: &[], note: "" },
    Contender {
        name: "tokio-local",
        child: child::run::<tokio::Local>,
        only_in: &["spawn", "yield", "wake", "task-bytes"],
        not_in: &[],
        note: "",
    },
    Contender {
        name: "tokio-threads",
        child: |job| pair::run_multi_thread(job.quick, job.other_cpu),
        only_in: &["pair"],
        not_in: &[],
        note: "",
    },
    Contender {
        name: "tokio-lean",
        child: child::run::<tokio::Lean>,
        only_in: &["idle"],
        not_in: &[],
        note: "reads into one buffer for all, instead of a buffer a connection",
    },
    Contender { name: "smol", child: child::run::<smol::Smol>, only_in: &[], not_in: &["http"], note: "" },
    Contender {
        name: "monoio",
        child: child::run::<monoio::Monoio>,
        only_in: &[],
        not_in: &["http"],
        note: "a task that wakes itself there runs again before all others, so its yield awaits a new, empty task",
    },
    Contender { name: "compio", child: child::run::<compio::Compio>, only_in: &[], not_in: &["http"], note: "" },
    Contender {
        name: "glommio",
        child: child::run::<glommio::Glommio>,
        only_in: &[],
        not_in: &["http"],
        note: "the maintained fork of glommio",
    },
];

impl Contender {
    pub fn find(name: &str) -> Option<&'static Contender> {
        ALL.iter().find(|contender| contender.name == name)
    }

    pub fn takes_part(&self, scenario: &str) -> bool {
        let starts = |prefix: &&str| scenario.starts_with(*prefix);
        (self.only_in.is_empty() || self.only_in.iter().any(starts)) && !self.not_in.iter().any(starts)
    }
}
