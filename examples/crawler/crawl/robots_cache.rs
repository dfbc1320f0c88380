//! robots.txt of each origin: fetched once, by the rules of RFC 9309, 2.3.
//!
//! Up to five redirects are followed, to other hosts too; a server that cannot tell forbids
//! everything, and what was told is forgotten after a day. The pages of an origin wait for one
//! request together.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use hyper::Method;
use hyper::header::LOCATION;
use url::Url;
use wheelhouse::structure::{Completion, completion};
use wheelhouse::time::{Instant, sleep};

use crate::crawl::outcome::is_redirect;
use crate::crawl::retry;
use crate::http::client::{Answer, Client};
use crate::http::decode::Stop;
use crate::http::failure::Failure;
use crate::web::address::{self, Parts};
use crate::web::robots::{Access, Rules};

/// RFC 9309, 2.3.1.2 and 2.4.
const REDIRECTS: usize = 5;
const LIVES: Duration = Duration::from_secs(24 * 3600);

/// What is known of an origin.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) access: Access,
    /// Why everything is forbidden.
    pub(crate) why: Rc<str>,
    /// There was no answer at all: then the pages need not be asked either.
    pub(crate) failure: Option<Failure>,
    asked: Instant,
}

#[derive(Clone, Debug)]
pub(crate) struct RobotsSettings {
    pub(crate) is_ignored: bool,
    pub(crate) token: String,
    pub(crate) retries: u8,
    pub(crate) backoff: Duration,
    pub(crate) local_backoff: Duration,
}

pub(crate) struct RobotsCache {
    settings: RobotsSettings,
    origins: RefCell<HashMap<String, Entry>>,
    /// How many were asked, so that each asking has a number.
    asked: Cell<u64>,
}

enum Entry {
    Known(Rc<Verdict>),
    Asking(u64, Completion<Rc<Verdict>>),
}

impl RobotsCache {
    pub(crate) fn new(settings: RobotsSettings) -> RobotsCache {
        RobotsCache { settings, origins: RefCell::default(), asked: Cell::new(0) }
    }

    /// What the origin of an address says, and whether it was asked only now. If the one who asks
    /// is dropped, one of those who wait asks again.
    pub(crate) async fn verdict(&self, client: &Client, parts: &Parts<'_>) -> (Rc<Verdict>, bool) {
        if self.settings.is_ignored {
            return (Rc::new(Verdict::of(Access::All, "")), false);
        }
        loop {
            let waiting = match self.origins.borrow().get(parts.origin) {
                Some(Entry::Known(verdict)) if verdict.asked.elapsed() < LIVES => {
                    return (verdict.clone(), false);
                }
                Some(Entry::Asking(number, waiting)) => Some((*number, waiting.clone())),
                Some(Entry::Known(_)) | None => None,
            };
            match waiting {
                Some((number, waiting)) => match waiting.await {
                    Ok(verdict) => return (verdict, false),
                    Err(_) => self.forget(parts.origin, number),
                },
                None => {
                    let (completer, waiting) = completion();
                    let origin = parts.origin.to_owned();
                    self.asked.set(self.asked.get() + 1);
                    let entry = Entry::Asking(self.asked.get(), waiting);
                    self.origins.borrow_mut().insert(origin.clone(), entry);
                    let verdict = Rc::new(self.ask(client, parts).await);
                    let entry = Entry::Known(verdict.clone());
                    self.origins.borrow_mut().insert(origin, entry);
                    completer.complete(verdict.clone());
                    return (verdict, true);
                }
            }
        }
    }

    /// An asking was dropped. Somebody else may have begun another by now: that one stays.
    fn forget(&self, origin: &str, number: u64) {
        let mut origins = self.origins.borrow_mut();
        if matches!(origins.get(origin), Some(Entry::Asking(asking, _)) if *asking == number) {
            origins.remove(origin);
        }
    }

    async fn ask(&self, client: &Client, parts: &Parts<'_>) -> Verdict {
        let settings = &self.settings;
        let base = if parts.is_loopback() { settings.local_backoff } else { settings.backoff };
        let mut tries = 0;
        loop {
            tries += 1;
            let verdict = self.ask_once(client, &format!("{}/robots.txt", parts.origin)).await;
            let may_pass = verdict.failure.as_ref().is_none_or(Failure::may_pass);
            if verdict.access != Access::Nothing || tries > settings.retries || !may_pass {
                return verdict;
            }
            sleep(retry::wait(base, tries, 1.0)).await;
        }
    }

    async fn ask_once(&self, client: &Client, first: &str) -> Verdict {
        let mut address = first.to_owned();
        for _ in 0..=REDIRECTS {
            let wants = |head: &hyper::http::response::Parts| head.status.is_success();
            let answer = match client.request(&Method::GET, &address, wants).await {
                Ok(answer) => answer,
                Err(failure) => return Verdict::unreachable(failure),
            };
            if is_redirect(answer.status) {
                match target(&address, &answer) {
                    Some(next) => address = next,
                    None => return Verdict::of(Access::All, ""),
                }
            } else if matches!(answer.cut, Some(Stop::Bomb | Stop::Corrupt | Stop::UnknownCoding)) {
                // Nobody knows what it would say.
                return Verdict::of(Access::Nothing, "robots.txt cannot be read");
            } else if (200..300).contains(&answer.status) {
                let rules = Rules::parse(&answer.body, &self.settings.token);
                return Verdict::of(Access::Rules(rules), "robots.txt forbids it");
            } else {
                let why = format!("robots.txt answered {}", answer.status);
                return Verdict::of(Access::from_status(answer.status), &why);
            }
        }
        // Longer chains may be taken for a file that is not there.
        Verdict::of(Access::All, "")
    }
}

fn target(address: &str, answer: &Answer) -> Option<String> {
    let location = answer.headers.get(LOCATION)?.to_str().ok()?;
    let base = Url::parse(address).ok()?;
    address::resolve(&base, location, encoding_rs::UTF_8).ok()
}

impl Verdict {
    fn of(access: Access, why: &str) -> Verdict {
        Verdict { access, why: why.into(), failure: None, asked: Instant::now() }
    }

    fn unreachable(failure: Failure) -> Verdict {
        let verdict = Verdict::of(Access::Nothing, "robots.txt cannot be reached");
        Verdict { failure: Some(failure), ..verdict }
    }
}

#[cfg(test)]
mod tests {
    use wheelhouse::net::TcpListener;
    use wheelhouse::time::{advance, pause};
    use wheelhouse::{Clock, EventLoop, spawn};

    use super::*;
    use crate::http::client::ClientSettings;
    use crate::http::connect::Connector;
    use crate::http::pool::Pool;
    use crate::http::tls::Tls;

    fn client() -> Client {
        let timeout = Duration::from_secs(30);
        let settings = ClientSettings {
            headers: Default::default(),
            own_headers: Default::default(),
            own_origins: Vec::new(),
            timeout,
            largest_body: 1 << 20,
            keep_payload: false,
        };
        Client::new(Pool::new(Connector::new(timeout, Tls::new(None).unwrap())), settings)
    }

    fn cache() -> RobotsCache {
        let backoff = Duration::from_secs(1);
        let (token, local_backoff) = ("x".into(), backoff);
        let settings =
            RobotsSettings { is_ignored: false, token, retries: 0, backoff, local_backoff };
        RobotsCache::new(settings)
    }

    /// Says something else each time: `/1` is forbidden, then `/2`, and so on.
    async fn serve(listener: TcpListener) {
        for time in 1.. {
            let (stream, _) = listener.accept().await.unwrap();
            let mut chunk = [0; 1024];
            stream.read(&mut chunk).await.unwrap();
            let text = format!(
                "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nUser-agent: *\nDisallow: /{time}\n"
            );
            stream.write_all(text.as_bytes()).await.unwrap();
        }
    }

    /// RFC 9309, 2.4.
    #[test]
    fn what_robots_txt_says_is_forgotten_after_a_day() {
        let event_loop = EventLoop::builder().clock(Clock::Virtual { settle: None });
        event_loop.build().unwrap().block_on(async {
            pause();
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let origin = format!("http://{}/", listener.local_addr().unwrap());
            let server = spawn(serve(listener));
            let (client, cache, parts) = (client(), cache(), Parts::of(&origin));
            let said = async || {
                let (verdict, is_new) = cache.verdict(&client, &parts).await;
                (1..9).find(|time| !verdict.access.allows(&format!("/{time}"))).zip(Some(is_new))
            };
            assert_eq!(said().await, Some((1, true)));
            assert_eq!(said().await, Some((1, false)));
            advance(LIVES - Duration::from_secs(1)).await;
            assert_eq!(said().await, Some((1, false)));
            advance(Duration::from_secs(2)).await;
            assert_eq!(said().await, Some((2, true)));
            assert_eq!(said().await, Some((2, false)));
            server.abort();
        });
    }
}
