//! Which links are broken, and on which pages they stand.
//!
//! A link is as good as where it ends: redirects are followed through the table, so a link to a
//! page that redirects to one that is missing is broken, and so is one into a circle.

use std::collections::{BTreeMap, HashMap};

use crate::crawl::outcome::{End, Redirect, is_redirect};
use crate::crawl::pages::{PageId, Pages, State};

/// How a link ends.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// From 400 on.
    Status(u16),
    /// The class of a failure, and its text.
    Failure(&'static str, String),
    Circle,
    TooManyRedirects,
    /// A redirect without an address, or with one that means nothing.
    Nowhere(u16),
    /// A root that may not be asked for; why.
    Forbidden(String),
}

impl Fault {
    pub(crate) fn text(&self) -> String {
        match self {
            Fault::Status(status) => {
                let reason = hyper::StatusCode::from_u16(*status).ok();
                let reason = reason.and_then(|status| status.canonical_reason());
                format!("{status} {}", reason.unwrap_or_default()).trim_end().to_owned()
            }
            Fault::Failure(class, text) => format!("{class}: {text}"),
            Fault::Circle => "redirects in a circle".into(),
            Fault::TooManyRedirects => "too many redirects".into(),
            Fault::Nowhere(status) => format!("{status} with no address to go to"),
            Fault::Forbidden(why) => format!("not asked for: {why}"),
        }
    }
}

/// A link that is broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    pub(crate) page: PageId,
    pub(crate) fault: Fault,
    /// Where redirects led from there.
    pub(crate) via: Vec<PageId>,
    /// The pages it stands on, in order; none for a root.
    pub(crate) on: Vec<PageId>,
}

/// How a crawl judges statuses.
pub(crate) struct Judge<'a> {
    pub(crate) pages: &'a Pages,
    /// Statuses from 400 on that are no fault.
    pub(crate) accepted: &'a [u16],
    pub(crate) redirects: u32,
}

impl Judge<'_> {
    /// What is wrong with a link to `page`, and the redirects on the way.
    pub(crate) fn fault(&self, page: PageId) -> Option<(Fault, Vec<PageId>)> {
        let mut via = Vec::new();
        let mut at = page;
        loop {
            let entry = self.pages.get(at);
            let Some(outcome) = &entry.outcome else {
                // Not asked for: over a limit, or the crawl ended before. Only the limit of
                // redirects says anything about the link.
                let is_over = entry.state == State::Known && entry.hops > self.redirects;
                let is_over = is_over && entry.hops != u32::MAX;
                return is_over.then_some((Fault::TooManyRedirects, via));
            };
            let fault = match &outcome.end {
                End::Answered(status) if is_redirect(*status) => match &outcome.redirect {
                    Some(Redirect::To(next)) if *next == page || via.contains(next) => {
                        Fault::Circle
                    }
                    Some(Redirect::To(next)) => {
                        via.push(*next);
                        at = *next;
                        continue;
                    }
                    Some(Redirect::Outside(_)) => return None,
                    Some(Redirect::Nowhere) | None => Fault::Nowhere(*status),
                },
                End::Answered(status) if *status >= 400 && !self.accepted.contains(status) => {
                    Fault::Status(*status)
                }
                End::Answered(_) | End::Forbidden(_) => return None,
                End::Failed(failure) => Fault::Failure(failure.class.name(), failure.text.clone()),
            };
            return Some((fault, via));
        }
    }

    /// Links that are no address, with the pages they stand on.
    pub(crate) fn malformed(&self) -> BTreeMap<&str, Vec<PageId>> {
        let mut malformed: BTreeMap<&str, Vec<PageId>> = BTreeMap::new();
        for (page, _, entry) in self.pages.iter() {
            for href in entry.outcome.iter().flat_map(|outcome| &outcome.malformed) {
                malformed.entry(href).or_default().push(page);
            }
        }
        malformed
    }

    /// All broken links, those with most pages behind them first.
    pub(crate) fn broken(&self, roots: &[PageId]) -> Vec<Broken> {
        let mut faults: HashMap<PageId, Option<(Fault, Vec<PageId>)>> = HashMap::new();
        let mut broken: BTreeMap<PageId, Broken> = BTreeMap::new();
        let mut note = |target: PageId, on: Option<PageId>| {
            let fault = faults.entry(target).or_insert_with(|| self.fault(target));
            if let Some((fault, via)) = fault {
                let entry = broken.entry(target).or_insert_with(|| Broken {
                    page: target,
                    fault: fault.clone(),
                    via: via.clone(),
                    on: Vec::new(),
                });
                entry.on.extend(on);
            }
        };
        for (page, _, entry) in self.pages.iter() {
            let Some(outcome) = &entry.outcome else { continue };
            for target in outcome.links.iter().chain(&outcome.parts) {
                note(*target, Some(page));
            }
        }
        roots.iter().for_each(|root| note(*root, None));
        // A link that robots.txt forbids to follow is no fault of its page. But whoever names an
        // address wants to know of it, and a crawl of nothing must not look like a sound one.
        for root in roots {
            let outcome = self.pages.get(*root).outcome.as_ref();
            if let Some(End::Forbidden(why)) = outcome.map(|outcome| &outcome.end) {
                let (fault, via) = (Fault::Forbidden(why.to_string()), Vec::new());
                broken.insert(*root, Broken { page: *root, fault, via, on: Vec::new() });
            }
        }
        let mut broken: Vec<Broken> = broken.into_values().collect();
        broken.sort_by_key(|link| (std::cmp::Reverse(link.on.len()), link.page));
        broken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crawl::outcome::Outcome;
    use crate::crawl::pages::{Limits, Want};
    use crate::http::failure::{Class, Failure};

    fn ids(all: &[u32]) -> Box<[PageId]> {
        all.iter().copied().map(PageId).collect()
    }

    fn redirect(status: u16, to: Option<Redirect>) -> Outcome {
        Outcome { end: End::Answered(status), redirect: to, ..Outcome::default() }
    }

    /// 0 links to everything, 1 to 2 and 3.
    fn site() -> Pages {
        let mut pages = Pages::new(Limits { depth: 9, redirects: 2 });
        for name in 0..14 {
            pages.add(&format!("http://a/{name}"), false);
        }
        pages.begin_at(PageId(0), Want::Links);
        let to = |page| Some(Redirect::To(PageId(page)));
        let failure = Failure::new(Class::Connect, "refused");
        let outcomes = [
            Outcome {
                links: ids(&[1, 2, 3, 4, 5, 6, 8, 9, 13]),
                parts: ids(&[7]),
                ..Outcome::default()
            },
            Outcome { links: ids(&[2, 3]), ..Outcome::default() },
            Outcome { end: End::Answered(404), ..Outcome::default() },
            redirect(301, to(2)),
            redirect(302, to(5)),
            redirect(302, to(4)),
            redirect(302, Some(Redirect::Nowhere)),
            Outcome { end: End::Failed(failure), ..Outcome::default() },
            redirect(307, Some(Redirect::Outside("http://b/".into()))),
            redirect(308, to(10)),
            redirect(308, to(11)),
            redirect(308, to(12)),
        ];
        for (page, outcome) in (0..).map(PageId).zip(outcomes) {
            pages.settle(page, outcome);
        }
        pages.settle(
            PageId(13),
            Outcome { end: End::Forbidden("robots.txt".into()), ..Outcome::default() },
        );
        pages
    }

    #[test]
    fn a_link_is_as_good_as_where_it_ends() {
        let pages = site();
        let judge = Judge { pages: &pages, accepted: &[], redirects: 2 };
        let fault = |page| judge.fault(PageId(page)).map(|(fault, _)| fault);
        assert_eq!(fault(1), None);
        assert_eq!(judge.fault(PageId(2)), Some((Fault::Status(404), vec![])));
        assert_eq!(judge.fault(PageId(3)), Some((Fault::Status(404), vec![PageId(2)])));
        assert_eq!(fault(4), Some(Fault::Circle));
        assert_eq!(fault(6), Some(Fault::Nowhere(302)));
        assert_eq!(fault(7), Some(Fault::Failure("connect", "refused".into())));
        assert_eq!(fault(8), None, "what is outside was not asked for");
        assert_eq!(fault(9), Some(Fault::TooManyRedirects));
        assert_eq!(fault(13), None, "forbidden is not broken");
        let kind = Judge { accepted: &[404], ..judge };
        assert_eq!(kind.fault(PageId(3)), None);
    }

    #[test]
    fn broken_links_come_with_the_pages_they_stand_on() {
        let pages = site();
        let judge = Judge { pages: &pages, accepted: &[], redirects: 2 };
        let broken = judge.broken(&[PageId(0), PageId(2)]);
        let on: Vec<(u32, Vec<u32>)> = broken
            .iter()
            .map(|link| (link.page.0, link.on.iter().map(|page| page.0).collect()))
            .collect();
        let one = |page: u32| (page, vec![0]);
        let both = |page: u32| (page, vec![0, 1]);
        assert_eq!(on, [both(2), both(3), one(4), one(5), one(6), one(7), one(9)]);
    }
}
