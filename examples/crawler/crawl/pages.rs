//! All addresses the crawl knows, each by a number, with how far it is from a root and what became
//! of it.
//!
//! Pages arrive in any order, so the first way found to a page need not be the shortest. When a
//! shorter one turns up, the distances behind it are mended, and what was too far before may be
//! within the limits now: the same pages are crawled whatever the order of the answers. What a page
//! links to is kept for that, and for the reports.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use indexmap::IndexSet;

use crate::crawl::outcome::{Outcome, Redirect};
use crate::web::traps;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PageId(pub(crate) u32);

/// What a page is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Want {
    /// Is it there? Only its head is asked for.
    Head,
    /// Its links are followed.
    Links,
    /// A list of pages: not a page itself.
    Sitemap,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Nothing that may be followed leads here, or only over the limits.
    Known,
    /// Handed out to be asked for.
    Queued,
    Done,
}

#[derive(Debug)]
pub(crate) struct Page {
    /// Links from a root.
    pub(crate) depth: u32,
    /// Redirects on the way from the last link.
    pub(crate) hops: u32,
    pub(crate) want: Want,
    pub(crate) state: State,
    /// It leaves the crawl: asked for, not followed.
    pub(crate) is_outside: bool,
    pub(crate) outcome: Option<Box<Outcome>>,
    /// It was taken from the ready ones, and did not end since.
    is_handed_out: bool,
    /// The page on which it was seen last: so that a page's links are each counted once.
    seen_on: Option<PageId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) depth: u32,
    pub(crate) redirects: u32,
}

#[derive(Debug)]
pub(crate) struct Pages {
    names: IndexSet<Box<str>>,
    all: Vec<Page>,
    limits: Limits,
    /// Pages that became wanted, for the frontier to take.
    ready: Vec<PageId>,
    /// How many addresses there are that differ in their query alone.
    queries: HashMap<Box<str>, u32>,
    /// How many there are that differ in the numbers of their paths alone, by the hash of what they
    /// share: most of it is the address of one page, and need not be stored once more.
    numbers: HashMap<u64, u32>,
    hasher: RandomState,
}

impl Pages {
    pub(crate) fn new(limits: Limits) -> Pages {
        let (names, all, ready, queries, numbers, hasher) = Default::default();
        Pages { names, all, limits, ready, queries, numbers, hasher }
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn find(&self, address: &str) -> Option<PageId> {
        self.names.get_index_of(address).map(|at| PageId(at as u32))
    }

    /// How many addresses are known that differ from this one in their query alone.
    pub(crate) fn queries(&self, address: &str) -> u32 {
        let path = traps::before_query(address);
        path.and_then(|path| self.queries.get(path)).copied().unwrap_or_default()
    }

    /// How many are known that differ from this one in the numbers of their paths alone.
    pub(crate) fn numbers(&self, address: &str) -> u32 {
        let pattern = self.pattern(address);
        pattern.and_then(|pattern| self.numbers.get(&pattern)).copied().unwrap_or_default()
    }

    fn pattern(&self, address: &str) -> Option<u64> {
        traps::without_numbers(address).map(|pattern| self.hasher.hash_one(pattern))
    }

    pub(crate) fn name(&self, page: PageId) -> &str {
        &self.names[page.0 as usize]
    }

    pub(crate) fn get(&self, page: PageId) -> &Page {
        &self.all[page.0 as usize]
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (PageId, &str, &Page)> {
        let ids = (0..).map(PageId);
        ids.zip(&self.names).zip(&self.all).map(|((id, name), page)| (id, &**name, page))
    }

    /// The number of an address, and whether it is new.
    pub(crate) fn add(&mut self, address: &str, is_outside: bool) -> (PageId, bool) {
        if let Some(page) = self.find(address) {
            return (page, false);
        }
        if let Some(path) = traps::before_query(address) {
            match self.queries.get_mut(path) {
                Some(count) => *count += 1,
                None => drop(self.queries.insert(path.into(), 1)),
            }
        }
        if let Some(pattern) = self.pattern(address) {
            *self.numbers.entry(pattern).or_default() += 1;
        }
        let (at, _) = self.names.insert_full(address.into());
        self.all.push(Page {
            depth: u32::MAX,
            hops: u32::MAX,
            want: Want::Head,
            state: State::Known,
            is_outside,
            outcome: None,
            is_handed_out: false,
            seen_on: None,
        });
        (PageId(at as u32), true)
    }

    /// Whether `page` is seen on `on` for the first time since another page was looked at.
    pub(crate) fn is_first_on(&mut self, page: PageId, on: PageId) -> bool {
        self.all[page.0 as usize].seen_on.replace(on) != Some(on)
    }

    /// A root of the crawl, or a page that a sitemap lists.
    pub(crate) fn begin_at(&mut self, page: PageId, want: Want) {
        self.reach(page, 0, 0, want);
    }

    /// What became of a page, and what follows from it.
    pub(crate) fn settle(&mut self, page: PageId, outcome: Outcome) {
        let entry = &mut self.all[page.0 as usize];
        entry.state = State::Done;
        entry.is_handed_out = false;
        entry.outcome = Some(Box::new(outcome));
        self.follow(page);
    }

    /// Those that became wanted since the last call, and still are: when a journal is read back,
    /// most have ended meanwhile.
    pub(crate) fn take_ready(&mut self) -> Vec<PageId> {
        let mut ready = std::mem::take(&mut self.ready);
        ready.retain(|page| {
            let entry = &mut self.all[page.0 as usize];
            entry.state == State::Queued && !std::mem::replace(&mut entry.is_handed_out, true)
        });
        ready
    }

    /// What its links and redirects lead to is reached. In a loop, since a shorter way to one page
    /// may shorten a long chain of others.
    fn follow(&mut self, page: PageId) {
        let mut waiting = vec![page];
        while let Some(page) = waiting.pop() {
            let entry = &self.all[page.0 as usize];
            let (depth, hops, want) = (entry.depth, entry.hops, entry.want);
            let Some(outcome) = &entry.outcome else { continue };
            // A page that a sitemap lists is as good as a root.
            let deeper = if want == Want::Sitemap { 0 } else { depth.saturating_add(1) };
            let mut reached = Vec::with_capacity(outcome.links.len() + outcome.parts.len() + 1);
            if let Some(Redirect::To(target)) = outcome.redirect {
                reached.push((target, depth, hops.saturating_add(1), want));
            }
            reached.extend(outcome.links.iter().map(|link| (*link, deeper, 0, Want::Links)));
            let part_want = if outcome.is_list { Want::Sitemap } else { Want::Head };
            reached.extend(outcome.parts.iter().map(|part| (*part, deeper, 0, part_want)));
            for (target, depth, hops, want) in reached {
                if self.reach(target, depth, hops, want) {
                    waiting.push(target);
                }
            }
        }
    }

    /// A way to a page; whether what follows from the page changes by it.
    fn reach(&mut self, page: PageId, depth: u32, hops: u32, want: Want) -> bool {
        let limits = self.limits;
        let entry = &mut self.all[page.0 as usize];
        let is_shorter = depth < entry.depth || hops < entry.hops;
        entry.depth = entry.depth.min(depth);
        entry.hops = entry.hops.min(hops);
        let is_more = want > entry.want;
        // What leaves the crawl is never followed.
        if !entry.is_outside || want != Want::Links {
            entry.want = entry.want.max(want);
        }
        // A part of a page is no level deeper.
        let limit = limits.depth.saturating_add(u32::from(entry.want == Want::Head));
        let is_within = entry.depth <= limit && entry.hops <= limits.redirects;
        let is_only_head = entry.outcome.as_ref().is_some_and(|outcome| {
            outcome.is_head && outcome.is_success() && outcome.media.contains("html")
        });
        let is_wanted = match entry.state {
            State::Known => is_within,
            State::Queued => false,
            // It was there; now its links are wanted too.
            State::Done => is_more && is_only_head && !entry.is_outside,
        };
        if is_wanted {
            entry.state = State::Queued;
            self.ready.push(page);
        }
        is_shorter && entry.state == State::Done
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crawl::outcome::End;

    fn table(depth: u32, redirects: u32) -> Pages {
        let mut pages = Pages::new(Limits { depth, redirects });
        for name in 0..10 {
            pages.add(&format!("http://a/{name}"), false);
        }
        pages
    }

    fn links(to: &[u32]) -> Outcome {
        Outcome { links: to.iter().copied().map(PageId).collect(), ..Outcome::default() }
    }

    fn redirect(to: u32) -> Outcome {
        let redirect = Some(Redirect::To(PageId(to)));
        Outcome { end: End::Answered(302), redirect, ..Outcome::default() }
    }

    fn ready(pages: &mut Pages) -> Vec<u32> {
        pages.take_ready().into_iter().map(|page| page.0).collect()
    }

    #[test]
    fn a_page_has_one_number() {
        let mut pages = table(9, 9);
        assert_eq!(pages.add("http://a/3", false), (PageId(3), false));
        assert_eq!(pages.add("http://a/new", true), (PageId(10), true));
        assert_eq!((pages.find("http://a/new"), pages.len()), (Some(PageId(10)), 11));
        assert!(pages.is_first_on(PageId(1), PageId(0)));
        assert!(!pages.is_first_on(PageId(1), PageId(0)));
        assert!(pages.is_first_on(PageId(1), PageId(2)));
    }

    #[test]
    fn each_page_is_wanted_once() {
        let mut pages = table(9, 9);
        pages.begin_at(PageId(0), Want::Links);
        assert_eq!(ready(&mut pages), [0]);
        pages.settle(PageId(0), links(&[1, 2, 0]));
        assert_eq!(ready(&mut pages), [1, 2]);
        pages.settle(PageId(1), links(&[2, 0, 3]));
        assert_eq!(ready(&mut pages), [3]);
        assert_eq!(pages.get(PageId(3)).depth, 2);
    }

    #[test]
    fn the_limit_of_depth_does_not_depend_on_the_order_of_answers() {
        // 0 -> 1 -> 2 -> 3 -> 4, and later 0 -> 5 -> 3: at a limit of 3 page 4 is wanted after all.
        let mut pages = table(3, 9);
        pages.begin_at(PageId(0), Want::Links);
        pages.settle(PageId(0), links(&[1, 5]));
        pages.settle(PageId(1), links(&[2]));
        pages.settle(PageId(2), links(&[3]));
        assert_eq!(ready(&mut pages), [5, 3], "the others have ended");
        pages.settle(PageId(3), links(&[4]));
        assert_eq!(ready(&mut pages), [] as [u32; 0]);
        pages.settle(PageId(5), links(&[3]));
        assert_eq!(ready(&mut pages), [4]);
        assert_eq!((pages.get(PageId(3)).depth, pages.get(PageId(4)).depth), (2, 3));
    }

    #[test]
    fn redirects_have_a_limit_that_a_direct_link_lifts() {
        let mut pages = table(9, 1);
        pages.begin_at(PageId(0), Want::Links);
        pages.settle(PageId(0), redirect(1));
        assert_eq!(ready(&mut pages), [1]);
        pages.settle(PageId(1), redirect(2));
        assert_eq!(ready(&mut pages), [] as [u32; 0]);
        assert_eq!((pages.get(PageId(2)).state, pages.get(PageId(2)).hops), (State::Known, 2));
        pages.begin_at(PageId(3), Want::Links);
        pages.settle(PageId(3), links(&[2]));
        assert_eq!(ready(&mut pages), [2]);
    }

    #[test]
    fn a_cycle_of_redirects_ends() {
        let mut pages = table(9, 9);
        pages.begin_at(PageId(0), Want::Links);
        pages.settle(PageId(0), redirect(1));
        assert_eq!(ready(&mut pages), [1]);
        pages.settle(PageId(1), redirect(0));
        assert_eq!(ready(&mut pages), [] as [u32; 0]);
    }

    #[test]
    fn parts_are_asked_for_and_asked_again_only_as_pages() {
        let mut pages = table(0, 9);
        pages.begin_at(PageId(0), Want::Links);
        let parts = [PageId(1), PageId(2)].into();
        pages.settle(PageId(0), Outcome { parts, ..Outcome::default() });
        assert_eq!(ready(&mut pages), [1, 2], "parts are no level deeper");
        let head = |media: &str| Outcome { is_head: true, media: media.into(), ..links(&[]) };
        pages.settle(PageId(1), head("text/html"));
        pages.settle(PageId(2), head("image/png"));
        pages.begin_at(PageId(1), Want::Links);
        pages.begin_at(PageId(2), Want::Links);
        assert_eq!(ready(&mut pages), [1]);
    }

    #[test]
    fn what_ended_before_it_was_taken_is_not_handed_out() {
        let mut pages = table(9, 9);
        pages.begin_at(PageId(0), Want::Head);
        pages.settle(PageId(0), Outcome { is_head: true, media: "text/html".into(), ..links(&[]) });
        assert_eq!(ready(&mut pages), [] as [u32; 0]);
        pages.begin_at(PageId(1), Want::Head);
        pages.settle(PageId(1), Outcome { is_head: true, media: "text/html".into(), ..links(&[]) });
        pages.begin_at(PageId(1), Want::Links);
        assert_eq!(ready(&mut pages), [1], "wanted again, and once");
    }

    #[test]
    fn what_is_listed_in_a_sitemap_is_a_root() {
        let mut pages = table(0, 9);
        pages.begin_at(PageId(7), Want::Sitemap);
        pages.settle(PageId(7), links(&[8]));
        assert_eq!(ready(&mut pages), [8]);
        assert_eq!(pages.get(PageId(8)).depth, 0);
    }
}
