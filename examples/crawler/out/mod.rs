//! What comes out of a crawl: rows as pages are done, and at its end the verdict on links, the
//! report and the pictures. Nothing here asks for anything.

pub(crate) mod date;
pub(crate) mod files;
pub(crate) mod graph;
pub(crate) mod picture;
pub(crate) mod report;
pub(crate) mod rows;
pub(crate) mod svg;
pub(crate) mod timeline;
pub(crate) mod verdict;
pub(crate) mod warc;
mod warc_end;
