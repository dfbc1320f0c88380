//! The rules of the web: addresses, robots.txt, scope, traps, links, charsets, sitemaps.
//!
//! Everything here is a function of what it is given. It knows no socket, no loop and no clock, so
//! that each rule can be read, and tested, beside the standard it comes from.

pub(crate) mod address;
pub(crate) mod charset;
pub(crate) mod links;
pub(crate) mod media;
pub(crate) mod retry_after;
pub(crate) mod robots;
pub(crate) mod scope;
pub(crate) mod sitemap;
pub(crate) mod tags;
pub(crate) mod traps;
