//! Where timers and sources were made: kept in debug mode and in tests, to be told when one is left
//! behind.
//!
//! It holds keys and places and knows neither wheel nor reactor. Nothing is taken out when a timer
//! fires: a slot's next user overwrites what the last one left, and a look-up compares the key.

use std::cell::RefCell;
use std::fmt;
use std::panic::Location;

use crate::table::Key;
use crate::task::table::{About, Kind};

/// Where something was made, and by which task.
#[derive(Clone)]
pub(crate) struct Origin {
    location: &'static Location<'static>,
    task: Option<About>,
}

/// A place in the list of a loop: what a timer that is not filed yet has room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Site(u16);

impl Site {
    /// Not recorded.
    pub(crate) const UNKNOWN: Site = Site(0);
}

/// The records of a loop, if it keeps any.
pub(crate) struct Places {
    records: Option<RefCell<Records>>,
}

#[derive(Default)]
struct Records {
    /// A [`Site`] is a position in it, plus one.
    sites: Vec<&'static Location<'static>>,
    timers: Vec<(Key, Option<Origin>)>,
    /// With their descriptors.
    sources: Vec<(Key, Option<(i32, Origin)>)>,
}

impl Places {
    pub(crate) fn new(records: bool) -> Places {
        Places { records: records.then(RefCell::default) }
    }

    /// Notes a place where a timer is made.
    #[inline]
    #[track_caller]
    pub(crate) fn site(&self) -> Site {
        match &self.records {
            None => Site::UNKNOWN,
            Some(records) => records.borrow_mut().site(Location::caller()),
        }
    }

    /// A timer that was made at `site` is filed by the task `about`.
    #[cold]
    pub(crate) fn timer_was_filed(&self, key: Key, site: Site, about: Option<About>) {
        let Some(records) = &self.records else { return };
        let records = &mut *records.borrow_mut();
        let location = usize::from(site.0).checked_sub(1).map(|at| records.sites[at]);
        let origin = location.map(|location| Origin::new(location, about));
        note(&mut records.timers, key, origin);
    }

    /// A descriptor was registered by the task that `about` tells.
    #[inline]
    #[track_caller]
    pub(crate) fn source_was_made(&self, key: Key, fd: i32, about: impl FnOnce() -> Option<About>) {
        if let Some(records) = &self.records {
            let origin = Origin::new(Location::caller(), about());
            note(&mut records.borrow_mut().sources, key, Some((fd, origin)));
        }
    }

    pub(crate) fn of_timer(&self, key: Key) -> Option<Origin> {
        find(&self.records.as_ref()?.borrow().timers, key)
    }

    pub(crate) fn of_source(&self, key: Key) -> Option<(i32, Origin)> {
        find(&self.records.as_ref()?.borrow().sources, key)
    }
}

impl Records {
    fn site(&mut self, location: &'static Location<'static>) -> Site {
        let known = self.sites.iter().position(|site| std::ptr::eq(*site, location));
        let at = known.unwrap_or_else(|| {
            self.sites.push(location);
            self.sites.len() - 1
        });
        // A program with so many places has the later ones unknown.
        Site(u16::try_from(at + 1).unwrap_or(0))
    }
}

impl Origin {
    fn new(location: &'static Location<'static>, task: Option<About>) -> Origin {
        // What is no task has no spawn site to tell of.
        Origin { location, task: task.filter(|about| about.kind != Kind::Root) }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "made at {}", self.location)?;
        match &self.task {
            None => Ok(()),
            Some(about) => match about.name() {
                Some(name) => write!(f, " by task \"{name}\" ({})", about.location),
                None => write!(f, " by the task spawned at {}", about.location),
            },
        }
    }
}

/// By slot index, as the table has them.
fn note<T: Clone>(list: &mut Vec<(Key, Option<T>)>, key: Key, what: Option<T>) {
    if list.len() <= key.index() {
        list.resize(key.index() + 1, (Key::NONE, None));
    }
    list[key.index()] = (key, what);
}

fn find<T: Clone>(list: &[(Key, Option<T>)], key: Key) -> Option<T> {
    let (held, what) = list.get(key.index())?;
    if *held == key { what.clone() } else { None }
}
