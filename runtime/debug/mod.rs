//! Seeing into a running loop: counters, the task tree, slow polls, reports of what nobody handled.

pub(crate) mod hooks;
pub(crate) mod inspect;
pub(crate) mod metrics;
pub(crate) mod places;
pub(crate) mod report;
pub(crate) mod tree;
