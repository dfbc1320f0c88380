//! One job from beginning to end: may we, the request, what its answer means, what it leads to.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

use hyper::Method;
use hyper::header::{HeaderMap, LOCATION, RETRY_AFTER};
use hyper::http::response::Parts as Head;
use url::Url;
use wheelhouse::time::Instant;

use crate::crawl::books::Books;
use crate::crawl::discover::{Discovered, Source, Target};
use crate::crawl::frontier::{Job, Pace};
use crate::crawl::outcome::{End, Outcome, Redirect, is_redirect};
use crate::crawl::pages::{PageId, Want};
use crate::crawl::read::{self, Reading};
use crate::crawl::retry;
use crate::crawl::robots_cache::{RobotsCache, Verdict};
use crate::http::client::{Answer, Client};
use crate::http::decode::Stop;
use crate::http::failure::{Class, Failure};
use crate::out::warc::Warc;
use crate::progress::Live;
use crate::settings::{Settings, Talk};
use crate::web::address::{self, Parts};
use crate::web::media::{Kind, Media};

/// Everything a job needs.
pub(crate) struct Crawl {
    pub(crate) settings: Settings,
    pub(crate) client: Client,
    pub(crate) robots: RobotsCache,
    pub(crate) books: RefCell<Books>,
    pub(crate) warc: Option<Warc>,
    pub(crate) live: Arc<Live>,
}

/// What a job is about, taken out of the tables.
struct Subject {
    address: String,
    want: Want,
    is_outside: bool,
}

pub(crate) async fn fetch(crawl: Rc<Crawl>, job: Job) {
    let subject = {
        let books = crawl.books.borrow();
        let page = books.pages.get(job.page);
        let address = books.pages.name(job.page).to_owned();
        Subject { address, want: page.want, is_outside: page.is_outside }
    };
    let parts = Parts::of(&subject.address);
    let (verdict, is_new) = crawl.robots.verdict(&crawl.client, &parts).await;
    if is_new {
        crawl.learn(job, &verdict);
    }
    if let Some(failure) = &verdict.failure {
        let end = End::Failed(failure.clone());
        let outcome = Outcome { end, ..Outcome::default() };
        return crawl.books.borrow_mut().complete(job, outcome, Pace::Strained);
    }
    if !verdict.access.allows(parts.target) {
        crawl.say(Talk::Verbose, || format!("forbidden by robots.txt: {}", subject.address));
        let end = End::Forbidden(verdict.why.clone());
        let outcome = Outcome { end, ..Outcome::default() };
        return crawl.books.borrow_mut().complete(job, outcome, Pace::Unknown);
    }
    crawl.ask(job, &subject).await;
}

impl Crawl {
    pub(crate) fn say(&self, level: Talk, text: impl FnOnce() -> String) {
        if level == self.settings.talk || self.settings.talk == Talk::Verbose {
            self.live.say(text());
        }
    }

    /// What robots.txt says beside what it forbids.
    fn learn(&self, job: Job, verdict: &Verdict) {
        let mut books = self.books.borrow_mut();
        if let Some(delay) = verdict.access.crawl_delay() {
            books.frontier.slow_down(job.host, delay);
        }
        let crate::web::robots::Access::Rules(rules) = &verdict.access else { return };
        if self.settings.use_sitemaps {
            let books = &mut *books;
            let mut traps = Vec::new();
            let named = rules.sitemaps.iter().filter_map(|text| address::from_user(text).ok());
            let pages = named.filter_map(|address| {
                let rules = &self.settings.rules;
                match rules.target(&mut books.pages, &address, Source::List, &mut traps) {
                    Target::Page(page) if !books.pages.get(page).is_outside => Some(page),
                    _ => None,
                }
            });
            let pages: Vec<PageId> = pages.collect();
            books.add_sitemaps(pages);
        }
    }

    async fn ask(&self, job: Job, subject: &Subject) {
        let is_head = subject.want == Want::Head && self.warc.is_none();
        let mut method = if is_head { Method::HEAD } else { Method::GET };
        let begin = Instant::now();
        let mut result = self.request(&method, subject).await;
        let is_refused = |answer: &Answer| {
            answer.status >= 400
                && !matches!(answer.status, 404 | 410)
                && !retry::may_pass(answer.status)
        };
        if is_head && result.as_ref().is_ok_and(is_refused) {
            // Some servers do not like the question; the answer to the usual one counts.
            method = Method::GET;
            result = self.request(&method, subject).await;
        }
        let took = begin.elapsed();
        let status = result.as_ref().map(|answer| answer.status).unwrap_or_default();
        {
            let mut books = self.books.borrow_mut();
            books.requests += 1;
            books.wire += result.as_ref().map(|answer| answer.wire).unwrap_or_default();
            if let Some(timeline) = &mut books.timeline {
                timeline.add(job.host, job.page, begin, took, status);
            }
        }
        let mut job = job;
        job.tries += 1;
        let pace = match &result {
            Ok(answer) if retry::is_strain(answer.status) => Pace::Strained,
            Ok(_) => Pace::Answered(took),
            Err(_) => Pace::Strained,
        };
        if let Some(at) = self.next_try(job, &result) {
            self.say(Talk::Verbose, || {
                let why = describe(&result);
                let wait = at.saturating_duration_since(Instant::now()).as_millis();
                format!("try {} of {}: {why}; again in {wait} ms", job.tries, subject.address)
            });
            return self.books.borrow_mut().again(job, at, pace);
        }
        let mut outcome = Outcome {
            tries: job.tries,
            took,
            is_head: method == Method::HEAD,
            ..Outcome::default()
        };
        self.say(Talk::Verbose, || format!("{} {}", describe(&result), subject.address));
        match result {
            Err(failure) => outcome.end = End::Failed(failure),
            Ok(answer) => self.take(job, subject, answer, &mut outcome).await,
        }
        self.books.borrow_mut().complete(job, outcome, pace);
    }

    async fn request(&self, method: &Method, subject: &Subject) -> Result<Answer, Failure> {
        let wants = |head: &Head| {
            let media = Media::parse(header(&head.headers, "content-type"));
            // A body without a type has to be looked at.
            let kind = if media.essence.is_empty() { Kind::Html } else { media.kind(b"") };
            let is_read = match subject.want {
                Want::Head => false,
                Want::Links => kind != Kind::Other && kind != Kind::Text && !subject.is_outside,
                Want::Sitemap => true,
            };
            self.warc.is_some() || is_read && head.status.is_success()
        };
        self.client.request(method, &subject.address, wants).await
    }

    /// When to try again, if that is of any use.
    fn next_try(&self, job: Job, result: &Result<Answer, Failure>) -> Option<Instant> {
        let (may_pass, wish, is_strain) = match result {
            Ok(answer) => {
                let wish = header(&answer.headers, RETRY_AFTER.as_str());
                let wish =
                    wish.and_then(|wish| crate::web::retry_after::parse(wish, SystemTime::now()));
                (retry::may_pass(answer.status), wish, retry::is_strain(answer.status))
            }
            Err(failure) => (failure.may_pass(), None, false),
        };
        let wish = wish.unwrap_or_default();
        if is_strain && wish > retry::LONGEST_WISH {
            self.books.borrow_mut().leave_alone(job, wish);
            return None;
        }
        if !may_pass || job.tries > self.settings.retries || wish > retry::LONGEST_WISH {
            return None;
        }
        let mut books = self.books.borrow_mut();
        let is_local = Parts::of(books.pages.name(job.page)).is_loopback();
        let settings = &self.settings;
        let base = if is_local { settings.local_backoff } else { settings.backoff };
        let wait = retry::wait(base, job.tries, books.chance.next()).max(wish);
        let at = Instant::now() + wait;
        if is_strain && !wish.is_zero() {
            // It speaks for the host, not for the page.
            books.frontier.hold(job.host, at);
        }
        Some(at)
    }

    /// An answer that counts: where it leads to.
    async fn take(&self, job: Job, subject: &Subject, answer: Answer, outcome: &mut Outcome) {
        outcome.end = End::Answered(answer.status);
        outcome.wire = answer.wire;
        outcome.size = answer.body.len() as u64;
        outcome.cut = answer.cut;
        let (essence, media) = self.books.borrow_mut().media(&answer.headers);
        outcome.media = essence;
        if let Some(warc) = &self.warc
            && let Err(problem) = warc.write(&subject.address, &answer).await
        {
            self.books.borrow_mut().problem.get_or_insert(problem);
        }
        if is_redirect(answer.status) {
            outcome.redirect = Some(self.redirect(&answer.headers, subject, outcome));
            return;
        }
        let is_read = outcome.is_success() && !answer.body.is_empty() && subject.want != Want::Head;
        if !is_read || subject.is_outside {
            return;
        }
        let is_nofollow = self.forbids_following(&answer.headers);
        let is_sitemap = subject.want == Want::Sitemap;
        // A list of pages may be long, and what is cut off it is lost; of a page the links at the
        // end are the least.
        let is_list = is_sitemap || media.kind(b"") == Kind::Xml;
        let settings = &self.settings;
        let limit = if is_list { settings.client.largest_body } else { settings.max_parse };
        let reading = read::read(answer.body, media, is_sitemap, limit).await;
        if reading.is_cut {
            outcome.cut.get_or_insert(Stop::TooLarge);
        }
        outcome.charset = reading.encoding.map_or("", |encoding| encoding.name());
        if !is_nofollow || self.settings.rules.ignore_nofollow {
            self.follow(job.page, reading, outcome);
        }
    }

    fn follow(&self, page: PageId, reading: Reading, outcome: &mut Outcome) {
        let mut books = self.books.borrow_mut();
        let (rules, encoding) = (&self.settings.rules, reading.encoding);
        outcome.is_list = reading.sitemap.is_some();
        let found = match (reading.sitemap, reading.links) {
            (Some(sitemap), _) => rules.list(&mut books.pages, page, &sitemap),
            (None, Some(links)) => {
                let encoding = encoding.unwrap_or(encoding_rs::UTF_8);
                rules.discover(&mut books.pages, page, &links, encoding)
            }
            (None, None) => Discovered::default(),
        };
        outcome.links = found.links.into();
        outcome.parts = found.parts.into();
        outcome.new_links = found.new_links;
        outcome.outside = found.outside;
        outcome.malformed = found.malformed.into();
        outcome.left_out = books.leave_out(&found.traps);
    }

    fn redirect(&self, headers: &HeaderMap, subject: &Subject, outcome: &mut Outcome) -> Redirect {
        let location = headers.get(LOCATION).map(|value| String::from_utf8_lossy(value.as_bytes()));
        let base = Url::parse(&subject.address).ok();
        let target = base.zip(location).and_then(|(base, location)| {
            address::resolve(&base, &location, encoding_rs::UTF_8).ok()
        });
        let Some(target) = target else { return Redirect::Nowhere };
        let mut books = self.books.borrow_mut();
        let books = &mut *books;
        let mut traps = Vec::new();
        let rules = &self.settings.rules;
        let found = rules.target(&mut books.pages, &target, Source::Link, &mut traps);
        outcome.left_out = books.leave_out(&traps);
        match found {
            Target::Page(page) => Redirect::To(page),
            Target::Outside | Target::Trap | Target::None => Redirect::Outside(target),
        }
    }

    /// `X-Robots-Tag: nofollow`, for all or for us.
    fn forbids_following(&self, headers: &HeaderMap) -> bool {
        let tags = headers.get_all("x-robots-tag").iter().filter_map(|tag| tag.to_str().ok());
        tags.flat_map(|tag| {
            let (name, rest) = match tag.split_once(':') {
                Some((name, rest)) if !name.contains(',') => (Some(name.trim()), rest),
                _ => (None, tag),
            };
            let is_ours = name.is_none_or(|name| name.eq_ignore_ascii_case(&self.settings.token));
            rest.split(',').map(str::trim).filter(move |_| is_ours)
        })
        .any(|word| word.eq_ignore_ascii_case("nofollow") || word.eq_ignore_ascii_case("none"))
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn describe(result: &Result<Answer, Failure>) -> String {
    match result {
        Ok(answer) => answer.status.to_string(),
        Err(failure) if failure.class == Class::Timeout => failure.text.clone(),
        Err(failure) => format!("{} ({})", failure.class.name(), failure.text),
    }
}
