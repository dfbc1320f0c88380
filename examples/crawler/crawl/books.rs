//! The books of a crawl: what is known, what comes next, what is written down. Everything in here
//! happens at once, between two awaits; so it is one borrow, and the journal cannot part from the
//! tables.

use std::collections::HashSet;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::header::HeaderMap;
use wheelhouse::time::Instant;

use crate::crawl::frontier::{Frontier, HostId, Job, Manners, Pace};
use crate::crawl::journal::Journal;
use crate::crawl::outcome::{End, Outcome};
use crate::crawl::pages::{PageId, Pages, Want};
use crate::crawl::retry::Chance;
use crate::out::rows::Rows;
use crate::out::timeline::Timeline;
use crate::progress::Live;
use crate::settings::Settings;
use crate::web::address::Parts;
use crate::web::media::Media;
use crate::web::traps::{LeftOut, Trap};

/// Addresses in traps, and kinds of them, that are told; the others are counted.
const TRAPS_KEPT: usize = 100;

pub(crate) struct Books {
    pub(crate) pages: Pages,
    pub(crate) frontier: Frontier,
    pub(crate) journal: Option<Journal>,
    pub(crate) rows: Rows,
    pub(crate) timeline: Option<Timeline>,
    pub(crate) chance: Chance,
    /// Addresses that were met in this run and left out.
    pub(crate) traps: Vec<String>,
    /// Of which traps the user was told.
    told_traps: HashSet<(Trap, String)>,
    /// Hosts that want no further request, and for how long.
    pub(crate) left_alone: Vec<(String, Duration)>,
    /// Pages whose first request began.
    pub(crate) begun: u64,
    /// Pages that earlier runs had done.
    pub(crate) resumed: u64,
    pub(crate) requests: u64,
    pub(crate) wire: u64,
    /// What cannot be written any more: the crawl must end.
    pub(crate) problem: Option<String>,
    /// Media types, each once.
    media: HashSet<Rc<str>>,
    local: Manners,
    polite: Manners,
    live: Arc<Live>,
}

impl Books {
    /// Opens the files. The error is for the user's eyes.
    pub(crate) fn open(settings: &Settings, live: Arc<Live>) -> Result<Books, String> {
        let mut pages = Pages::new(settings.limits);
        let mut resumed = 0;
        let identity = settings.identity();
        let journal = match &settings.journal {
            Some(path) if settings.resume => {
                let (journal, done) = Journal::resume(path, &identity, &mut pages)?;
                resumed = done as u64;
                Some(journal)
            }
            Some(path) => Some(Journal::create(path, &identity)?),
            None => None,
        };
        for root in &settings.roots {
            let (page, _) = pages.add(root, false);
            pages.begin_at(page, Want::Links);
        }
        let mut books = Books {
            pages,
            frontier: Frontier::default(),
            journal,
            rows: Rows::open(&settings.files)?,
            timeline: settings.files.timeline.is_some().then(Timeline::new),
            chance: Chance::new(),
            traps: Vec::new(),
            told_traps: HashSet::new(),
            left_alone: Vec::new(),
            begun: resumed,
            resumed,
            requests: 0,
            wire: 0,
            problem: None,
            media: HashSet::new(),
            local: settings.local,
            polite: settings.polite,
            live,
        };
        books.rewrite_rows()?;
        books.hand_out();
        Ok(books)
    }

    /// Rows of what earlier runs had done, so that the files are whole after a resume.
    fn rewrite_rows(&mut self) -> Result<(), String> {
        for (page, _, entry) in self.pages.iter() {
            if let Some(outcome) = &entry.outcome {
                self.rows.write(&self.pages, page, outcome)?;
            }
        }
        Ok(())
    }

    /// What became of a job: written down, and what follows from it handed out.
    pub(crate) fn complete(&mut self, job: Job, outcome: Outcome, pace: Pace) {
        let is_bad = match &outcome.end {
            End::Answered(status) => *status >= 400,
            End::Failed(_) => true,
            End::Forbidden(_) => false,
        };
        if let Err(problem) = self.write_down(job.page, &outcome) {
            self.problem.get_or_insert(problem);
        }
        self.pages.settle(job.page, outcome);
        self.frontier.end(job.host, pace);
        self.hand_out();
        self.live.done(is_bad, self.frontier.waiting() as u64);
    }

    fn write_down(&mut self, page: PageId, outcome: &Outcome) -> Result<(), String> {
        if let Some(journal) = &mut self.journal {
            journal.write(&self.pages, page, outcome)?;
        }
        self.rows.write(&self.pages, page, outcome)
    }

    /// The job did not end yet: it comes again.
    pub(crate) fn again(&mut self, job: Job, at: Instant, pace: Pace) {
        self.frontier.end(job.host, pace);
        self.frontier.push_later(job, at);
    }

    /// The host of a job wants no request for longer than we can wait: it gets none in this run.
    /// What is left of it a resumed crawl asks for.
    pub(crate) fn leave_alone(&mut self, job: Job, wish: Duration) {
        if self.frontier.leave_alone(job.host) {
            self.left_alone.push((self.frontier.name(job.host).to_owned(), wish));
        }
    }

    /// Sitemaps that robots.txt named.
    pub(crate) fn add_sitemaps(&mut self, pages: Vec<PageId>) {
        for page in pages {
            self.pages.begin_at(page, Want::Sitemap);
        }
        if let Some(journal) = &mut self.journal
            && let Err(problem) = journal.write_urls(&self.pages)
        {
            self.problem.get_or_insert(problem);
        }
        self.hand_out();
    }

    /// Links that are left out, by their kinds. A kind that is new is told at once: it may be no trap,
    /// and then there is no use in crawling on.
    pub(crate) fn leave_out(&mut self, trapped: &[(Trap, String)]) -> Box<[LeftOut]> {
        let kinds = LeftOut::group(trapped);
        for LeftOut { trap, pattern, .. } in &kinds {
            let has_room = self.told_traps.len() < TRAPS_KEPT;
            if has_room && self.told_traps.insert((*trap, pattern.clone())) {
                self.live.say(format!(
                    "trap: links such as {pattern} look as if there were no end, and are left out; \
                     {} lets more of them pass",
                    trap.option()
                ));
            }
        }
        let room = TRAPS_KEPT.saturating_sub(self.traps.len());
        // It may be a trap for being as long as a page.
        self.traps.extend(trapped.iter().take(room).map(|(_, address)| format!("{address:.2100}")));
        kinds
    }

    pub(crate) fn media(&mut self, headers: &HeaderMap) -> (Rc<str>, Media) {
        let header = headers.get(hyper::header::CONTENT_TYPE);
        let media = Media::parse(header.and_then(|header| header.to_str().ok()));
        let essence = match self.media.get(media.essence.as_str()) {
            Some(known) => known.clone(),
            None => {
                let new: Rc<str> = media.essence.as_str().into();
                self.media.insert(new.clone());
                new
            }
        };
        (essence, media)
    }

    fn hand_out(&mut self) {
        let ready = self.pages.take_ready();
        if ready.is_empty() {
            return;
        }
        let now = Instant::now();
        for page in ready {
            let host = self.host_of(page, now);
            self.frontier.push(host, page);
        }
        self.live.found(self.pages.len() as u64, self.frontier.waiting() as u64);
    }

    /// Ports that are not the scheme's own are servers of their own.
    fn host_of(&mut self, page: PageId, now: Instant) -> HostId {
        let parts = Parts::of(self.pages.name(page));
        let is_plain = parts.port == 80 || parts.port == 443;
        let name = if is_plain { parts.host } else { parts.authority };
        let manners = if parts.is_loopback() { self.local } else { self.polite };
        self.frontier.host(name, now, manners)
    }
}
