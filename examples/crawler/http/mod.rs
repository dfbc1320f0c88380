//! Asking for one address: connections kept alive, TLS, HTTP/1.1 and HTTP/2, bodies with limits.
//!
//! It knows requests, not the crawl: nothing here follows a redirect, tries again or waits for a
//! host. That is decided in `crawl/`.

pub(crate) mod client;
pub(crate) mod connect;
pub(crate) mod decode;
pub(crate) mod failure;
pub(crate) mod pool;
pub(crate) mod tls;
