//! What became of a page: the answer, a failure, or that nobody was asked.

use std::rc::Rc;
use std::time::Duration;

use crate::crawl::pages::PageId;
use crate::http::decode::Stop;
use crate::http::failure::Failure;
use crate::web::traps::LeftOut;

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) end: End,
    /// Requests made for it.
    pub(crate) tries: u8,
    /// Of the last request.
    pub(crate) took: Duration,
    /// In lower case, without parameters.
    pub(crate) media: Rc<str>,
    pub(crate) charset: &'static str,
    /// Bytes of the body as they came, and decoded.
    pub(crate) wire: u64,
    pub(crate) size: u64,
    pub(crate) cut: Option<Stop>,
    /// Where a redirect leads, or would: what is outside is not a page of the crawl.
    pub(crate) redirect: Option<Redirect>,
    /// The pages it links to, each once, in order; and the parts it is made of.
    pub(crate) links: Box<[PageId]>,
    pub(crate) parts: Box<[PageId]>,
    /// Of the links, those never seen before.
    pub(crate) new_links: u32,
    /// Links that leave the crawl.
    pub(crate) outside: u32,
    /// Links that look as if they had no end.
    pub(crate) left_out: Box<[LeftOut]>,
    /// Links that are no address, as written.
    pub(crate) malformed: Box<[Box<str>]>,
    /// Only its head was asked for.
    pub(crate) is_head: bool,
    /// It is a sitemap, whatever led to it: its parts are further ones.
    pub(crate) is_list: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Redirect {
    To(PageId),
    /// It leaves the crawl, by this address.
    Outside(String),
    /// There was no address, or none that means anything.
    Nowhere,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum End {
    Answered(u16),
    Failed(Failure),
    /// robots.txt forbids it; why.
    Forbidden(Rc<str>),
}

impl Default for End {
    fn default() -> End {
        End::Answered(200)
    }
}

impl Outcome {
    pub(crate) fn status(&self) -> Option<u16> {
        match self.end {
            End::Answered(status) => Some(status),
            End::Failed(_) | End::Forbidden(_) => None,
        }
    }

    pub(crate) fn is_success(&self) -> bool {
        self.status().is_some_and(|status| (200..300).contains(&status))
    }
}

/// 300 offers a choice, and 304 answers a question we never ask.
pub(crate) fn is_redirect(status: u16) -> bool {
    matches!(status, 301 | 302 | 303 | 307 | 308)
}
