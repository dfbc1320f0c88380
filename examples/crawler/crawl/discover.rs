//! From what a page says to pages of the crawl: which of its links count, and their numbers.
//!
//! Most links of a site lead to what is known already. Those are found by their spelling: an
//! address that is put together from the page's own and is in the table letter for letter is
//! canonical, since only canonical ones are there. Only the others are parsed.

use std::cell::OnceCell;
use std::rc::Rc;

use encoding_rs::Encoding;
use url::Url;

use crate::crawl::pages::{PageId, Pages};
use crate::web::address::{self, NotAPage, Parts};
use crate::web::links::{Links, Purpose};
use crate::web::scope::Scope;
use crate::web::sitemap::Sitemap;
use crate::web::traps::{self, Trap};

/// Links of a page that are no address: a template that was not filled in has as many as one likes.
const MALFORMED_A_PAGE: usize = 100;

/// What decides whether a link counts.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) scope: Scope,
    pub(crate) traps: traps::Limits,
    /// What leaves the crawl is asked for all the same.
    pub(crate) check_outside: bool,
    /// Parts of pages, such as images, are asked for.
    pub(crate) check_parts: bool,
    pub(crate) ignore_nofollow: bool,
}

/// The links of one page.
#[derive(Debug, Default)]
pub(crate) struct Discovered {
    pub(crate) links: Vec<PageId>,
    pub(crate) parts: Vec<PageId>,
    pub(crate) new_links: u32,
    pub(crate) outside: u32,
    /// Addresses that look as if they had no end, and why.
    pub(crate) traps: Vec<(Trap, String)>,
    /// Links that mean to lead somewhere on the web, and are no address; as written, each once.
    pub(crate) malformed: Vec<Box<str>>,
}

/// Where an address comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A page links or redirects to it, or it is a sitemap that another one names.
    Link,
    /// A sitemap lists it, or robots.txt names it. Lists are written on purpose and have an end, so any number
    /// in them may look alike.
    List,
}

/// Where an address leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Page(PageId),
    Outside,
    Trap,
    None,
}

impl Rules {
    /// The pages that `links`, found on `page`, lead to.
    pub(crate) fn discover(
        &self,
        pages: &mut Pages,
        page: PageId,
        links: &Links,
        encoding: &'static Encoding,
    ) -> Discovered {
        let mut found = Discovered::default();
        if links.is_nofollow && !self.ignore_nofollow {
            return found;
        }
        let mut base = Base::new(pages.name(page), links.base(), encoding);
        let before = pages.len();
        for link in links.iter() {
            let is_left_out = link.is_nofollow && !self.ignore_nofollow
                || link.purpose == Purpose::Part && !self.check_parts;
            if is_left_out {
                continue;
            }
            let target = match base.known(pages, page, link.href) {
                Some(target) => Target::Page(target),
                None => match base.resolve(link.href) {
                    Ok(address) => self.target(pages, &address, Source::Link, &mut found.traps),
                    Err(NotAPage::OtherScheme) => Target::None,
                    Err(NotAPage::Malformed) => {
                        found.add_malformed(link.href);
                        Target::None
                    }
                },
            };
            found.add(pages, page, &target, link.purpose);
        }
        found.new_links =
            found.links.iter().filter(|link| link.0 as usize >= before).count() as u32;
        found
    }

    /// The pages that a sitemap lists; further sitemaps come as the parts.
    pub(crate) fn list(&self, pages: &mut Pages, page: PageId, sitemap: &Sitemap) -> Discovered {
        let mut found = Discovered::default();
        let base = Base::new(pages.name(page), None, encoding_rs::UTF_8);
        // A list has an end, a chain of them need not have one.
        let lists = [
            (&sitemap.pages, Purpose::Page, Source::List),
            (&sitemap.sitemaps, Purpose::Part, Source::Link),
        ];
        for (list, purpose, source) in lists {
            for text in list {
                let target = match base.resolve(text) {
                    Ok(address) => self.target(pages, &address, source, &mut found.traps),
                    Err(_) => Target::None,
                };
                found.add(pages, page, &target, purpose);
            }
        }
        found
    }

    /// The page of a canonical address, which is added if the crawl may go there.
    pub(crate) fn target(
        &self,
        pages: &mut Pages,
        address: &str,
        source: Source,
        trapped: &mut Vec<(Trap, String)>,
    ) -> Target {
        if let Some(page) = pages.find(address) {
            let is_counted = self.check_outside || !pages.get(page).is_outside;
            return if is_counted { Target::Page(page) } else { Target::Outside };
        }
        let is_inside = self.scope.contains(address);
        if !is_inside && (!self.check_outside || self.scope.excludes(address)) {
            return Target::Outside;
        }
        if let Some(trap) = self.trap(pages, address, source) {
            trapped.push((trap, address.to_owned()));
            return Target::Trap;
        }
        Target::Page(pages.add(address, !is_inside).0)
    }

    fn trap(&self, pages: &Pages, address: &str, source: Source) -> Option<Trap> {
        let alike = || {
            if pages.queries(address) >= self.traps.queries {
                return Some(Trap::ManyQueries);
            }
            (pages.numbers(address) >= self.traps.numbers).then_some(Trap::ManyNumbers)
        };
        self.traps.trap_in(address).or_else(|| if source == Source::List { None } else { alike() })
    }
}

impl Discovered {
    fn add_malformed(&mut self, href: &str) {
        let href = format!("{href:.200}").into_boxed_str();
        if self.malformed.len() < MALFORMED_A_PAGE && !self.malformed.contains(&href) {
            self.malformed.push(href);
        }
    }

    fn add(&mut self, pages: &mut Pages, on: PageId, target: &Target, purpose: Purpose) {
        match target {
            Target::Page(page) if pages.is_first_on(*page, on) => match purpose {
                Purpose::Page => self.links.push(*page),
                Purpose::Part => self.parts.push(*page),
            },
            Target::Outside => self.outside += 1,
            Target::Page(_) | Target::Trap | Target::None => {}
        }
    }
}

/// What links on a page are read against.
struct Base {
    /// `scheme://host:port`, and the same up to the last slash of the path.
    origin: Rc<str>,
    folder: usize,
    text: String,
    has_own: bool,
    /// Parsed when a link is met that its spelling does not tell.
    url: OnceCell<Option<Url>>,
    encoding: &'static Encoding,
    spelling: String,
}

impl Base {
    /// `own` is what the page itself says is its base.
    fn new(page: &str, own: Option<&str>, encoding: &'static Encoding) -> Base {
        let own = own.and_then(|own| {
            let page = Url::parse(page).ok()?;
            address::resolve(&page, own, encoding).ok()
        });
        let has_own = own.is_some();
        let text = own.unwrap_or_else(|| page.to_owned());
        let parts = Parts::of(&text);
        let path = parts.path();
        let folder = parts.origin.len() + path.rfind('/').map_or(0, |at| at + 1);
        let origin = parts.origin.into();
        let spelling = String::new();
        Base { origin, folder, text, has_own, url: OnceCell::new(), encoding, spelling }
    }

    fn resolve(&self, href: &str) -> Result<String, NotAPage> {
        let base = self.url.get_or_init(|| Url::parse(&self.text).ok());
        let base = base.as_ref().ok_or(NotAPage::Malformed)?;
        address::resolve(base, href, self.encoding)
    }

    /// The page that `href` leads to, if its spelling alone tells.
    fn known(&mut self, pages: &Pages, page: PageId, href: &str) -> Option<PageId> {
        let href = href.split('#').next().unwrap_or_default();
        let head = match href.as_bytes() {
            [] if self.has_own => return None,
            [] => return Some(page),
            // Another host, in disguise.
            [b'/', b'/' | b'\\', ..] => return None,
            [b'/', ..] => &self.origin,
            [b'?' | b'.', ..] => return None,
            _ if href.starts_with("http://") || href.starts_with("https://") => "",
            // A scheme, perhaps.
            _ if href.split('/').next().is_some_and(|first| first.contains(':')) => return None,
            _ => &self.text[..self.folder],
        };
        self.spelling.clear();
        self.spelling.push_str(head);
        self.spelling.push_str(href);
        let page = pages.find(&self.spelling)?;
        (!pages.get(page).is_outside).then_some(page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crawl::pages::Limits;
    use crate::web::scope::Reach;

    fn rules() -> Rules {
        let roots = ["http://a.org/dir/page".to_owned()];
        Rules {
            scope: Scope::new(Reach::Host, &roots, Vec::new(), Vec::new()),
            traps: traps::Limits::default(),
            check_outside: false,
            check_parts: true,
            ignore_nofollow: false,
        }
    }

    fn page() -> (Pages, PageId) {
        let mut pages = Pages::new(Limits { depth: 9, redirects: 9 });
        let (page, _) = pages.add("http://a.org/dir/page", false);
        (pages, page)
    }

    fn discover(rules: &Rules, text: &str) -> (Pages, Discovered) {
        let (mut pages, page) = page();
        let found = rules.discover(&mut pages, page, &Links::of(text, false), encoding_rs::UTF_8);
        (pages, found)
    }

    fn names(pages: &Pages, list: &[PageId]) -> Vec<String> {
        list.iter().map(|page| pages.name(*page).to_owned()).collect()
    }

    #[test]
    fn links_become_pages_each_once() {
        let text = "<a href=next><a href=/dir/next#x><a href=./next><a href=#top><a href=mailto:x>\
                    <a href=http://b.org/><a href=https://a.org/><img src=i.png><a href=ftp://x>";
        let (pages, found) = discover(&rules(), text);
        let links = names(&pages, &found.links);
        assert_eq!(links, ["http://a.org/dir/next", "http://a.org/dir/page", "https://a.org/"]);
        assert_eq!(names(&pages, &found.parts), ["http://a.org/dir/i.png"]);
        assert_eq!((found.new_links, found.outside), (2, 1));
    }

    /// Whatever is told by its spelling must be what the parser says.
    #[test]
    fn the_short_way_leads_where_the_long_one_does() {
        let (mut pages, page) = page();
        for name in ["/", "/x", "/dir/x", "/dir/x:y", "/dir/x?q", "/dir/", "//b.org/x", "/a/b:c"] {
            pages.add(&format!("http://a.org{name}"), false);
        }
        let hrefs = [
            "x",
            "/x",
            "//b.org/x",
            "?q",
            "x?q",
            "x:y",
            "./x",
            "../x",
            "#f",
            "",
            "x#f",
            ".",
            "/",
            "http://a.org/x",
            "HTTP://a.org/x",
            "http:x",
            "dir/x",
            "/dir/x",
            "\\x",
            "/\\x",
            "x/../x",
            "https://a.org/x",
            "/%78",
            "a/b:c",
            "/a/b:c",
        ];
        let mut short = 0;
        for own in [None, Some("/dir/"), Some("/a/")] {
            let mut base = Base::new("http://a.org/dir/page", own, encoding_rs::UTF_8);
            for href in hrefs {
                if let Some(target) = base.known(&pages, page, href) {
                    short += 1;
                    let long = base.resolve(href).unwrap();
                    assert_eq!(pages.name(target), long, "`{href}` with {own:?}");
                }
            }
        }
        assert!(short > 20, "{short}");
    }

    #[test]
    fn nofollow_traps_and_what_is_outside() {
        let text = "<a rel=nofollow href=/no><a href=/x/x/x/x/x><a href=http://b.org/><img src=i>";
        let (pages, found) = discover(&rules(), text);
        assert_eq!((found.links.len(), found.traps.len(), found.outside), (0, 1, 1));
        assert_eq!(names(&pages, &found.parts), ["http://a.org/dir/i"]);
        let bold =
            Rules { check_outside: true, check_parts: false, ignore_nofollow: true, ..rules() };
        let (pages, found) = discover(&bold, text);
        assert_eq!(names(&pages, &found.links), ["http://a.org/no", "http://b.org/"]);
        assert!(found.parts.is_empty() && pages.get(found.links[1]).is_outside);
        let (_, found) = discover(&rules(), "<meta name=robots content=nofollow><a href=/x>");
        assert!(found.links.is_empty());
    }

    #[test]
    fn links_that_are_no_address_are_kept_as_written() {
        let text = "<a href='http://'><a href='https://a b.org/'><img src='//[::1'>\
                    <a href='http://'><a href=mailto:x><a href='http://a.org:port/'>\
                    <a href='javascript:x('><a href=a:b>";
        let (_, found) = discover(&rules(), text);
        let malformed: Vec<&str> = found.malformed.iter().map(|href| &**href).collect();
        assert_eq!(malformed, ["http://", "https://a b.org/", "//[::1", "http://a.org:port/"]);
        let many: String = (0..500).map(|at| format!("<a href='http://a.org:x{at}/'>")).collect();
        assert_eq!(discover(&rules(), &many).1.malformed.len(), MALFORMED_A_PAGE);
    }

    /// A calendar, say, or a session id in each link.
    #[test]
    fn addresses_that_differ_in_their_query_alone_come_to_an_end() {
        let mut rules = rules();
        rules.traps.queries = 3;
        let text = "<a href='/c?1'><a href='/c?2'><a href='/c;s=3'><a href='/c?1'><a href='/c?4'>\
                    <a href='/c'><a href='/d?1'>";
        let (pages, found) = discover(&rules, text);
        assert_eq!(found.traps, [(Trap::ManyQueries, "http://a.org/c?4".to_owned())]);
        let links = names(&pages, &found.links);
        assert_eq!(links[3..], ["http://a.org/c", "http://a.org/d?1"]);
    }

    /// A calendar with its dates in the path.
    #[test]
    fn addresses_that_differ_in_their_numbers_alone_come_to_an_end() {
        let mut rules = rules();
        rules.traps.numbers = 3;
        let text = "<a href=/2024/01/30><a href=/2024/01/31><a href=/2024/02/01>\
                    <a href=/2024/02/02><a href=/2024/01/31><a href=/2024/02/02/title>\
                    <a href=/2024/02>";
        let (mut pages, found) = discover(&rules, text);
        let trapped = [(Trap::ManyNumbers, "http://a.org/2024/02/02".to_owned())];
        assert_eq!(found.traps, trapped);
        let links = names(&pages, &found.links);
        assert_eq!(links[3..], ["http://a.org/2024/02/02/title", "http://a.org/2024/02"]);
        // What a sitemap lists has an end; how many sitemaps there are need not.
        let all = |name: &str| (3..9).map(|at| format!("http://a.org/{name}{at}")).collect();
        let (listed, further) = (all("2024/02/0"), all("sitemap-"));
        let sitemap = Sitemap { pages: listed, sitemaps: further, is_cut: false };
        let found = rules.list(&mut pages, PageId(0), &sitemap);
        assert_eq!((found.links.len(), found.parts.len(), found.traps.len()), (6, 3, 3));
    }

    /// Five thousand dated articles, as blogs name them, are no calendar; neither are as many that
    /// have nothing but a number.
    #[test]
    fn a_large_archive_is_no_trap() {
        let mut text = String::new();
        for post in 0..5000 {
            let (month, day) = (1 + post % 12, 1 + post % 28);
            text += &format!("<a href=/2024/{month:02}/{day:02}/post-{post}>");
            text += &format!("<a href=/archive/2024/{post}.html><a href=/p?id={post}>");
        }
        let (_, found) = discover(&rules(), &text);
        assert_eq!((found.links.len(), found.traps.len()), (15_000, 0));
    }

    #[test]
    fn the_base_of_a_page_is_what_it_says() {
        let (pages, found) = discover(&rules(), "<base href=/other/><a href=x><a href='#f'>");
        let links = names(&pages, &found.links);
        assert_eq!(links, ["http://a.org/other/x", "http://a.org/other/"]);
    }
}
