//! Streams over anything with futures-io's traits: reading with limits and separators, writing with
//! back-pressure, copying. They know no sockets.

pub(crate) mod copy;
pub(crate) mod errors;
pub(crate) mod pieces;
pub(crate) mod pipe;
pub(crate) mod reader;
pub(crate) mod relay;
pub(crate) mod writer;
