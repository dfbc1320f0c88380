//! Addresses that no page ever ends: calendars, relative links that pile up, queries that grow.
//!
//! Such a site has a page for every address that is made up, so that only the address can tell: by
//! its own look, or by how many there are that look like it. The latter are limits that a large
//! site may reach honestly, so that whoever reaches one is told which.

use indexmap::IndexMap;

use crate::web::address::Parts;

/// Kinds of links that are told apart on one page.
const KINDS_A_PAGE: usize = 100;

/// What an address may look like, and how many may look alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) length: usize,
    pub(crate) segments: usize,
    /// How often one segment may stand in a path.
    pub(crate) repeats: usize,
    /// How many addresses may differ in their query alone: calendars and session ids have no end.
    pub(crate) queries: u32,
    /// How many may differ in the numbers of their paths alone: calendars without queries.
    pub(crate) numbers: u32,
}

impl Default for Limits {
    /// The length is what old browsers took, segments and repeats are what Heritrix has found to
    /// serve. The counts are beyond most archives, and an hour's work for a polite crawl.
    fn default() -> Limits {
        Limits { length: 2083, segments: 20, repeats: 3, queries: 10_000, numbers: 10_000 }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Trap {
    TooLong,
    TooDeep,
    Repeating,
    ManyQueries,
    ManyNumbers,
}

/// Links on a page that were left out for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LeftOut {
    pub(crate) trap: Trap,
    /// What their addresses share.
    pub(crate) pattern: String,
    pub(crate) links: u32,
}

impl LeftOut {
    /// The links of a page, put together by their kinds.
    pub(crate) fn group(trapped: &[(Trap, String)]) -> Box<[LeftOut]> {
        let mut kinds: IndexMap<(Trap, String), u32> = IndexMap::new();
        for (trap, address) in trapped {
            let kind = (*trap, trap.pattern(address));
            let is_told = kinds.len() < KINDS_A_PAGE || kinds.contains_key(&kind);
            let kind = if is_told { kind } else { (*trap, "others".to_owned()) };
            *kinds.entry(kind).or_default() += 1;
        }
        let kinds = kinds.into_iter();
        kinds.map(|((trap, pattern), links)| LeftOut { trap, pattern, links }).collect()
    }
}

impl Trap {
    const ALL: [Trap; 5] =
        [Trap::TooLong, Trap::TooDeep, Trap::Repeating, Trap::ManyQueries, Trap::ManyNumbers];

    pub(crate) fn from_option(option: &str) -> Option<Trap> {
        Trap::ALL.into_iter().find(|trap| trap.option() == option)
    }

    /// What lets more of them pass.
    pub(crate) fn option(self) -> &'static str {
        match self {
            Trap::TooLong => "--max-url-length",
            Trap::TooDeep => "--max-segments",
            Trap::Repeating => "--max-repeats",
            Trap::ManyQueries => "--max-queries",
            Trap::ManyNumbers => "--max-numbers",
        }
    }

    /// What the addresses in a trap have in common, for people.
    pub(crate) fn pattern(self, address: &str) -> String {
        let numbers = || without_numbers(address);
        match self {
            Trap::ManyQueries => format!("{}?...", before_query(address).unwrap_or(address)),
            Trap::ManyNumbers => numbers().unwrap_or_else(|| address.to_owned()),
            Trap::TooLong | Trap::TooDeep | Trap::Repeating => {
                let parts = Parts::of(address);
                let first = parts.path().split('/').find(|segment| !segment.is_empty());
                format!("{}/{:.40}/...", parts.origin, first.unwrap_or_default())
            }
        }
    }
}

impl Limits {
    /// What is suspicious about a canonical address, if anything is.
    pub(crate) fn trap_in(&self, address: &str) -> Option<Trap> {
        if address.len() > self.length {
            return Some(Trap::TooLong);
        }
        let path = Parts::of(address).path();
        let segments = || path.split('/').filter(|segment| !segment.is_empty());
        let count = segments().count();
        if count > self.segments {
            return Some(Trap::TooDeep);
        }
        if count <= self.repeats {
            return None;
        }
        let often = |one: &str| segments().filter(|other| *other == one).count() > self.repeats;
        segments().any(often).then_some(Trap::Repeating)
    }
}

/// What comes before the query of an address, or before the parameters of its path, if it has any.
pub(crate) fn before_query(address: &str) -> Option<&str> {
    address.find(['?', ';']).map(|at| &address[..at])
}

/// An address with `N` in place of each number after its host, if its path has any.
pub(crate) fn without_numbers(address: &str) -> Option<String> {
    let parts = Parts::of(address);
    if !parts.path().contains(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let mut pattern = String::with_capacity(address.len());
    pattern.push_str(parts.origin);
    let mut was_digit = false;
    for c in parts.target.chars() {
        let is_digit = c.is_ascii_digit();
        if !is_digit {
            pattern.push(c);
        } else if !was_digit {
            pattern.push('N');
        }
        was_digit = is_digit;
    }
    Some(pattern)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_guard_has_its_edge() {
        let trap = |address: &str| Limits::default().trap_in(address);
        let with_length = |length: usize| format!("http://a.org/?{}", "x".repeat(length - 14));
        assert_eq!(trap(&with_length(2083)), None);
        assert_eq!(trap(&with_length(2084)), Some(Trap::TooLong));
        let deep = |depth: usize| {
            let segments = (0..depth).map(|at| format!("/{at}"));
            format!("http://a.org{}", segments.collect::<String>())
        };
        assert_eq!(trap(&deep(20)), None);
        assert_eq!(trap(&deep(21)), Some(Trap::TooDeep));
        assert_eq!(trap("http://a.org/x/y/x/y/x/y"), None);
        assert_eq!(trap("http://a.org/x/y/x/y/x/y/x"), Some(Trap::Repeating));
        assert_eq!(trap("http://a.org/2024/01/01/01?a=/x/x/x/x/x"), None);
        assert_eq!(trap("http://a.org//////"), None);
    }

    #[test]
    fn what_differs_in_numbers_alone_has_one_pattern() {
        let pattern = |address: &str| without_numbers(address).unwrap_or_default();
        let calendar = "http://10.0.0.1:8000/cal/N/N/next";
        assert_eq!(pattern("http://10.0.0.1:8000/cal/2024/01/next"), calendar);
        assert_eq!(pattern("http://10.0.0.1:8000/cal/1999/12/next"), calendar);
        // A query with the same date in it makes no other pattern, and a title does.
        assert_eq!(pattern("http://a.org/7?day=2024-01-02"), "http://a.org/N?day=N-N-N");
        assert_eq!(pattern("http://a.org/2024/01/é-title"), "http://a.org/N/N/é-title");
        // Those that differ in their query alone are counted as such.
        assert_eq!(without_numbers("http://127.0.0.1/list?page=2"), None);
    }

    #[test]
    fn links_left_out_are_put_together_and_none_is_forgotten() {
        let trapped = |count: u32| -> Vec<(Trap, String)> {
            let all = (0..count).map(|at| (Trap::ManyQueries, format!("http://a.org/{at}?x")));
            let twice = (0..2).map(|at| (Trap::ManyNumbers, format!("http://a.org/{at}")));
            all.chain(twice).collect()
        };
        let one = |trap, pattern: &str, links| LeftOut { trap, pattern: pattern.into(), links };
        let expected = [
            one(Trap::ManyQueries, "http://a.org/0?...", 1),
            one(Trap::ManyNumbers, "http://a.org/N", 2),
        ];
        assert_eq!(*LeftOut::group(&trapped(1)), expected);
        let many = LeftOut::group(&trapped(500));
        assert_eq!(many.iter().map(|kind| kind.links).sum::<u32>(), 502);
        assert_eq!(many[KINDS_A_PAGE], one(Trap::ManyQueries, "others", 400));
        assert!(Trap::ALL.iter().all(|trap| Trap::from_option(trap.option()) == Some(*trap)));
    }

    #[test]
    fn a_trap_is_told_by_what_its_addresses_share() {
        let long = format!("http://a.org/{}", "x".repeat(3000));
        assert_eq!(Trap::TooLong.pattern(&long), format!("http://a.org/{}/...", "x".repeat(40)));
        assert_eq!(Trap::TooLong.pattern("http://a.org/?q"), "http://a.org//...");
        assert_eq!(Trap::Repeating.pattern("http://a.org/x/y/x/y"), "http://a.org/x/...");
        assert_eq!(Trap::ManyQueries.pattern("http://a.org/c?4"), "http://a.org/c?...");
        assert_eq!(Trap::ManyQueries.pattern("http://a.org/c;s=4"), "http://a.org/c?...");
        assert_eq!(Trap::ManyNumbers.pattern("http://a.org/c/4"), "http://a.org/c/N");
    }
}
