//! The crawl: what is known, what comes next, what became of each page.
//!
//! `run` begins jobs that the `frontier` gives out, `fetch` does one, and `books` keeps everything
//! that must agree: the table of `pages`, the frontier, the `journal`. What links lead to is
//! decided in `discover`, by the rules of `web/`; sockets are the business of `http/`.

pub(crate) mod books;
pub(crate) mod discover;
pub(crate) mod fetch;
pub(crate) mod frontier;
pub(crate) mod journal;
pub(crate) mod outcome;
pub(crate) mod pages;
pub(crate) mod read;
pub(crate) mod retry;
pub(crate) mod robots_cache;
pub(crate) mod run;
