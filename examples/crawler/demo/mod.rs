//! The built-in site, and the server for it: something to crawl where there is no network.

pub(crate) mod server;
pub(crate) mod site;
