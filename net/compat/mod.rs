//! The traits of others, implemented for our types. Each is in a file of its own and changes
//! nothing elsewhere.
//!
//! futures-io's `AsyncRead` and `AsyncWrite` are always there, and most of what is written against
//! them runs as it is. The rest comes with a feature:
//!
//! * `tokio-io`: tokio's `AsyncRead` and `AsyncWrite`, in [`tokio`];
//! * `hyper`: what hyper asks of a runtime, in [`hyper`].

mod futures_io;
#[cfg(feature = "hyper")]
pub mod hyper;
#[cfg(feature = "tokio-io")]
pub mod tokio;
