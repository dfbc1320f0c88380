//! Addresses that no page ever ends: calendars, relative links that pile up, queries that grow.
//!
//! Such a site has a page for every address that is made up, so that only the address can tell.

use crate::web::address::Parts;

/// What an address may look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) length: usize,
    pub(crate) segments: usize,
    /// How often one segment may stand in a path.
    pub(crate) repeats: usize,
    /// How many addresses may differ in their query alone: calendars and session ids have no end.
    pub(crate) queries: u32,
}

impl Default for Limits {
    /// The length is what old browsers took, the others are what Heritrix has found to serve.
    fn default() -> Limits {
        Limits { length: 2083, segments: 20, repeats: 3, queries: 10_000 }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trap {
    TooLong,
    TooDeep,
    Repeating,
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
}
