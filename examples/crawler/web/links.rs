//! The links of a page: what its tags point at, and whether they may be followed.
//!
//! A WHATWG tokenizer reads the text, so that comments, scripts and text that merely looks like a
//! tag give no links, and `&amp;` in an attribute is read as browsers do. What is found goes into
//! one string with marks in it, not into a string each.

use std::ops::Range;

use html5gum::Span;
use html5gum::emitters::callback::{Callback, CallbackEvent};

use crate::web::tags;

/// A page with more is cut off here.
const MOST: usize = 50_000;

/// What a link is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Somewhere to go: read for further links.
    Page,
    /// A part of the page, such as an image: only asked whether it is there.
    Part,
}

/// What a page says about other pages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Links {
    text: String,
    marks: Vec<Mark>,
    /// From `<base href>`; the first one counts.
    base: Option<Range<usize>>,
    /// `<meta name=robots content=nofollow>`.
    pub(crate) is_nofollow: bool,
    /// There were more than are kept.
    pub(crate) is_cut: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Mark {
    start: u32,
    end: u32,
    purpose: Purpose,
    is_nofollow: bool,
}

/// One link, as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link<'a> {
    pub(crate) href: &'a str,
    pub(crate) purpose: Purpose,
    /// `rel=nofollow`.
    pub(crate) is_nofollow: bool,
}

impl Links {
    /// Reads HTML, or XML of any kind: the tokenizer never fails.
    pub(crate) fn of(text: &str, is_xml: bool) -> Links {
        let mut links = Links::default();
        tags::read(text, is_xml, Reader::new(&mut links));
        links
    }

    pub(crate) fn base(&self) -> Option<&str> {
        self.base.clone().map(|range| &self.text[range])
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Link<'_>> {
        self.marks.iter().map(|mark| Link {
            href: &self.text[mark.start as usize..mark.end as usize],
            purpose: mark.purpose,
            is_nofollow: mark.is_nofollow,
        })
    }

    fn keep(&mut self, href: &str) -> Range<usize> {
        let start = self.text.len();
        self.text.push_str(href.trim_matches([' ', '\t', '\n', '\r', '\x0c']));
        start..self.text.len()
    }

    fn add(&mut self, href: &str, purpose: Purpose, is_nofollow: bool) {
        if self.marks.len() < MOST && u32::try_from(self.text.len() + href.len()).is_ok() {
            let range = self.keep(href);
            let (start, end) = (range.start as u32, range.end as u32);
            self.marks.push(Mark { start, end, purpose, is_nofollow });
        } else {
            self.is_cut = true;
        }
    }
}

/// The tags that lead somewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Tag {
    #[default]
    Other,
    Anchor,
    Frame,
    Link,
    Base,
    Meta,
    /// Images, scripts, media: `src`, and for some `srcset`, `poster` or `data`.
    Part,
}

#[derive(Debug)]
struct Reader<'l> {
    links: &'l mut Links,
    tag: Tag,
    attribute: Attribute,
    // Of the tag that is open:
    target: String,
    has_target: bool,
    srcset: String,
    poster: String,
    rel: String,
    name: String,
    content: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Attribute {
    #[default]
    Other,
    Target,
    Srcset,
    Poster,
    Rel,
    Name,
    Content,
}

impl Callback<(), ()> for Reader<'_> {
    fn handle_event(&mut self, event: CallbackEvent<'_>, _: Span<()>) -> Option<()> {
        match event {
            CallbackEvent::OpenStartTag { name } => self.open(name),
            CallbackEvent::AttributeName { name } if self.tag != Tag::Other => {
                self.attribute = attribute(self.tag, name);
            }
            CallbackEvent::AttributeValue { value } if self.attribute != Attribute::Other => {
                self.value(&String::from_utf8_lossy(value));
            }
            CallbackEvent::CloseStartTag { .. } if self.tag != Tag::Other => self.close(),
            _ => {}
        }
        None
    }
}

impl tags::Listener for Reader<'_> {
    fn wants_attributes(&self) -> bool {
        self.tag != Tag::Other
    }
}

impl<'l> Reader<'l> {
    fn new(links: &'l mut Links) -> Reader<'l> {
        Reader {
            links,
            tag: Tag::Other,
            attribute: Attribute::Other,
            target: String::new(),
            has_target: false,
            srcset: String::new(),
            poster: String::new(),
            rel: String::new(),
            name: String::new(),
            content: String::new(),
        }
    }

    fn open(&mut self, name: &[u8]) {
        self.attribute = Attribute::Other;
        self.tag = match name {
            b"a" | b"area" => Tag::Anchor,
            b"iframe" | b"frame" => Tag::Frame,
            b"link" => Tag::Link,
            b"base" => Tag::Base,
            b"meta" => Tag::Meta,
            b"img" | b"script" | b"source" | b"video" | b"audio" | b"track" | b"embed"
            | b"object" | b"input" => Tag::Part,
            _ => return self.tag = Tag::Other,
        };
        self.has_target = false;
        let others = [&mut self.rel, &mut self.name, &mut self.content];
        for text in [&mut self.srcset, &mut self.poster].into_iter().chain(others) {
            text.clear();
        }
    }

    fn value(&mut self, value: &str) {
        let text = match self.attribute {
            // Of several the first one counts.
            Attribute::Target if self.has_target => return,
            Attribute::Target => {
                self.has_target = true;
                &mut self.target
            }
            Attribute::Srcset => &mut self.srcset,
            Attribute::Poster => &mut self.poster,
            Attribute::Rel => &mut self.rel,
            Attribute::Name => &mut self.name,
            Attribute::Content => &mut self.content,
            Attribute::Other => return,
        };
        text.clear();
        text.push_str(value);
        self.attribute = Attribute::Other;
    }

    fn close(&mut self) {
        let is_nofollow = has_word(&self.rel, "nofollow");
        let target = self.has_target.then_some(self.target.as_str());
        match (self.tag, target) {
            (Tag::Anchor, Some(href)) => self.links.add(href, Purpose::Page, is_nofollow),
            (Tag::Frame, Some(href)) => self.links.add(href, Purpose::Page, false),
            (Tag::Link, Some(href)) => {
                if let Some(purpose) = purpose_of(&self.rel) {
                    self.links.add(href, purpose, is_nofollow);
                }
            }
            (Tag::Base, Some(href)) if self.links.base.is_none() => {
                let range = self.links.keep(href);
                self.links.base = Some(range);
            }
            (Tag::Meta, _) => self.meta(),
            (Tag::Part, target) => {
                let alone = [target.unwrap_or_default(), &self.poster];
                for href in alone.into_iter().filter(|href| !href.trim().is_empty()) {
                    self.links.add(href, Purpose::Part, false);
                }
                for candidate in candidates(&self.srcset) {
                    self.links.add(candidate, Purpose::Part, false);
                }
            }
            _ => {}
        }
        self.tag = Tag::Other;
    }

    fn meta(&mut self) {
        if self.name.eq_ignore_ascii_case("robots") {
            let is_none = has_word(&self.content, "none");
            self.links.is_nofollow |= is_none || has_word(&self.content, "nofollow");
        } else if self.name.eq_ignore_ascii_case("refresh")
            && let Some(href) = refresh_target(&self.content)
        {
            self.links.add(href, Purpose::Page, false);
        }
    }
}

fn attribute(tag: Tag, name: &[u8]) -> Attribute {
    match (tag, name) {
        (Tag::Anchor | Tag::Link | Tag::Base, b"href") => Attribute::Target,
        (Tag::Frame | Tag::Part, b"src") => Attribute::Target,
        (Tag::Part, b"data") => Attribute::Target,
        (Tag::Part, b"poster") => Attribute::Poster,
        (Tag::Part, b"srcset") => Attribute::Srcset,
        (Tag::Anchor | Tag::Link, b"rel") => Attribute::Rel,
        (Tag::Meta, b"name" | b"http-equiv") => Attribute::Name,
        (Tag::Meta, b"content") => Attribute::Content,
        _ => Attribute::Other,
    }
}

/// What a `<link>` is for. Hints to the browser, such as `preconnect`, are no links.
fn purpose_of(rel: &str) -> Option<Purpose> {
    const PAGES: [&str; 6] = ["next", "prev", "alternate", "canonical", "help", "license"];
    const PARTS: [&str; 6] =
        ["stylesheet", "icon", "apple-touch-icon", "manifest", "preload", "modulepreload"];
    let is_any = |words: &[&str]| words.iter().any(|word| has_word(rel, word));
    // An alternate stylesheet is one.
    if is_any(&PARTS) { Some(Purpose::Part) } else { is_any(&PAGES).then_some(Purpose::Page) }
}

fn has_word(text: &str, word: &str) -> bool {
    let mut words = text.split([' ', ',', '\t', '\n', '\r']);
    words.any(|one| one.eq_ignore_ascii_case(word))
}

/// `5; url=/next`, with or without quotes.
fn refresh_target(content: &str) -> Option<&str> {
    let after = content.split_once([';', ','])?.1.trim_start();
    let is_url = after.get(..3).is_some_and(|word| word.eq_ignore_ascii_case("url"));
    let target = if is_url { after[3..].trim_start().strip_prefix('=')? } else { after };
    let target = target.trim().trim_matches(['"', '\'']);
    (!target.is_empty()).then_some(target)
}

/// The addresses of `a.png 1x, b.png 2x`, as HTML cuts them: an address ends at a space, and may have
/// commas in it; a comma at its end, or after its descriptors, begins the next.
fn candidates(srcset: &str) -> impl Iterator<Item = &str> {
    let mut rest = srcset;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == ',');
        let end = rest.find(|c: char| c.is_ascii_whitespace()).unwrap_or(rest.len());
        let (address, after) = rest.split_at(end);
        let candidate = address.trim_end_matches(',');
        let has_ended = candidate.len() < address.len();
        rest = if has_ended { after } else { after.split_once(',').map_or("", |(_, rest)| rest) };
        (!candidate.is_empty()).then_some(candidate)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> String {
        let links = Links::of(text, false);
        let show = |link: Link<'_>| {
            let kind = if link.purpose == Purpose::Page { "" } else { "+" };
            format!("{kind}{}{}", link.href, if link.is_nofollow { "!" } else { "" })
        };
        links.iter().map(show).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn pages_and_parts_of_pages() {
        assert_eq!(found("<a href=/x>1</a><A HREF='/y'>2</A><area href=\"/z\">"), "/x /y /z");
        assert_eq!(found("<iframe src=/f></iframe><frame src=/g>"), "/f /g");
        assert_eq!(found("<img src=a.png srcset='b.png 1x, c.png 2x,'>"), "+a.png +b.png +c.png");
        assert_eq!(found("<script src=x.js></script><video poster=p.png>"), "+x.js +p.png");
        assert_eq!(found("<video src=v.mp4 poster=p.png>"), "+v.mp4 +p.png");
        assert_eq!(
            found(
                "<link rel=stylesheet href=s.css><link rel=next href=/2>\
                 <link rel=dns-prefetch href=//x>"
            ),
            "+s.css /2"
        );
        assert_eq!(found("<meta http-equiv=Refresh content=\"0; URL='/r'\">"), "/r");
        assert_eq!(found("<meta http-equiv=refresh content=5>"), "");
        assert_eq!(found("<a name=x>no link</a><a href>empty</a><img src=''>"), "");
    }

    #[test]
    fn candidates_of_a_picture_are_cut_as_browsers_do() {
        let set = |srcset: &str| candidates(srcset).collect::<Vec<_>>().join(" ");
        assert_eq!(set("a.png 1x, b.png 2x"), "a.png b.png");
        assert_eq!(set("a.png 1x,b.png 2x,c.png"), "a.png b.png c.png");
        assert_eq!(set(" a.png,\n\tb.png 300w , c,d.png 2x, "), "a.png b.png c,d.png");
        assert_eq!(set("data:image/png;base64,AAAA 1x, b.png"), "data:image/png;base64,AAAA b.png");
        assert_eq!(set(" , ,"), "");
    }

    #[test]
    fn attributes_are_read_as_browsers_do() {
        assert_eq!(found("<a href='/?a=1&amp;b=2&copy=3'>"), "/?a=1&b=2&copy=3");
        assert_eq!(found("<a href=' /x\n'>"), "/x");
        assert_eq!(found("<a\nclass=x\nhref=/y\n>"), "/y");
        assert_eq!(found("<a href=/first href=/second>"), "/first");
        assert_eq!(found("<a href=/é>"), "/é");
    }

    /// The original looked for `href=` with a regular expression, and found it anywhere.
    #[test]
    fn what_only_looks_like_a_link_is_none() {
        assert_eq!(found("<!-- <a href=/comment> -->"), "");
        assert_eq!(found("<script>var x = '<a href=\"/script\">';</script>"), "");
        assert_eq!(found("<style>a[href='/style']{}</style>"), "");
        assert_eq!(found("<textarea><a href=/text></textarea><title><a href=/t></title>"), "");
        assert_eq!(found("text href=\"/text\" data-href='/x' <p data-href='/y'>"), "");
        assert_eq!(found("<a href=/open"), "");
    }

    #[test]
    fn what_stands_in_for_scripts_counts() {
        assert_eq!(found("<noscript><a href=/x><img src=i></noscript><a href=/y>"), "/x +i /y");
    }

    /// XHTML is XML: there a script may end where it begins.
    #[test]
    fn tags_that_close_themselves() {
        let text = "<script src='s.js'/><title/><a href='/x'/><textarea><a href='/y'/>";
        let count = |is_xml| Links::of(text, is_xml).iter().count();
        assert_eq!((count(true), count(false)), (2, 1));
    }

    #[test]
    fn nofollow_of_a_link_and_of_a_page() {
        assert_eq!(found("<a rel='ugc NoFollow' href=/x><a href=/y>"), "/x! /y");
        assert!(Links::of("<meta name=ROBOTS content='noindex, NOFOLLOW'>", false).is_nofollow);
        assert!(Links::of("<meta name=robots content=none>", false).is_nofollow);
        assert!(!Links::of("<meta name=robots content='noindex, follow'>", false).is_nofollow);
        assert!(!Links::of("<meta name=description content=nofollow>", false).is_nofollow);
    }

    #[test]
    fn the_first_base_counts() {
        let links = Links::of("<base target=x><base href=/a/><base href=/b/><a href=c>", false);
        assert_eq!(links.base(), Some("/a/"));
        assert_eq!(Links::of("<a href=c>", false).base(), None);
    }

    #[test]
    fn a_page_of_nothing_but_links_is_cut_off() {
        let links = |count| Links::of(&"<a href=x>".repeat(count), false);
        assert_eq!((links(MOST).iter().count(), links(MOST).is_cut), (MOST, false));
        assert_eq!((links(MOST + 1).iter().count(), links(MOST + 1).is_cut), (MOST, true));
    }
}
