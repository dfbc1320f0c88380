//! Servers: from a builder, listeners on one loop or several, handlers as tasks, and an end in
//! steps. What handlers learn of it is in `connection.rs`.

pub(crate) mod accepting;
pub(crate) mod builder;
pub(crate) mod connection;
pub(crate) mod control;
pub(crate) mod reports;
pub(crate) mod reserve;
pub(crate) mod room;
pub(crate) mod seat;
pub(crate) mod serving;
