//! Sitemaps: the pages a site lists itself, as XML, as an index of further ones, or as plain lines.

use quick_xml::Reader;
use quick_xml::events::Event;

/// What a sitemap may list; the protocol's own limit.
const MOST: usize = 50_000;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sitemap {
    pub(crate) pages: Vec<String>,
    /// Further sitemaps.
    pub(crate) sitemaps: Vec<String>,
    /// It listed more than are kept.
    pub(crate) is_cut: bool,
}

impl Sitemap {
    /// `None` if the text is XML but no sitemap. What comes after an error in the XML is lost, what
    /// came before is kept.
    pub(crate) fn parse(text: &str) -> Option<Sitemap> {
        if !text.trim_start_matches('\u{feff}').trim_start().starts_with('<') {
            return Some(Sitemap::from_lines(text));
        }
        let mut found = Sitemap::default();
        let mut reader = Reader::from_str(text);
        reader.config_mut().check_end_names = false;
        let mut is_sitemap = false;
        // The element we are in (`url` or `sitemap`), and the text of its `loc`.
        let mut is_index = false;
        let mut location: Option<String> = None;
        while let Ok(event) = reader.read_event() {
            match event {
                Event::Start(tag) => match tag.local_name().as_ref() {
                    "urlset" | "sitemapindex" => is_sitemap = true,
                    _ if !is_sitemap => return None,
                    "url" => is_index = false,
                    "sitemap" => is_index = true,
                    // Images and videos have a `loc` in a namespace of their own.
                    "loc" if tag.name().prefix().is_none() => location = Some(String::new()),
                    _ => {}
                },
                Event::End(tag) if tag.local_name().as_ref() == "loc" => {
                    if let Some(location) = location.take() {
                        found.add(location.trim(), is_index);
                    }
                }
                event => {
                    if let Some(location) = &mut location {
                        push_text(location, &event);
                    }
                    if matches!(event, Event::Eof) {
                        break;
                    }
                }
            }
        }
        is_sitemap.then_some(found)
    }

    fn from_lines(text: &str) -> Sitemap {
        let mut found = Sitemap::default();
        let lines = text.lines().map(|line| line.trim_start_matches('\u{feff}').trim());
        for line in lines.filter(|line| line.starts_with("http")) {
            found.add(line, false);
        }
        found
    }

    fn add(&mut self, location: &str, is_index: bool) {
        if location.is_empty() {
            return;
        }
        if self.pages.len() + self.sitemaps.len() == MOST {
            self.is_cut = true;
            return;
        }
        let list = if is_index { &mut self.sitemaps } else { &mut self.pages };
        list.push(location.to_owned());
    }
}

/// Text, `<![CDATA[…]]>` and references such as `&amp;` come one by one.
fn push_text(location: &mut String, event: &Event<'_>) {
    match event {
        Event::Text(text) => location.push_str(text),
        Event::CData(text) => location.push_str(text),
        Event::GeneralRef(name) => {
            let reference = format!("&{};", &**name);
            match quick_xml::escape::unescape(&reference) {
                Ok(text) => location.push_str(&text),
                Err(_) => location.push_str(&reference),
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_listed() {
        let text = r#"<?xml version="1.0"?>
            <urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9" xmlns:image="x">
              <url><loc> http://a.org/?a=1&amp;b=2 </loc><lastmod>2024-01-01</lastmod>
                <image:image><image:loc>http://a.org/x.png</image:loc></image:image></url>
              <url><loc><![CDATA[http://a.org/<b>]]></loc></url>
              <url><loc></loc></url>
              <url><loc>http://a.org/&#x41;</loc></url>
            </urlset>"#;
        let found = Sitemap::parse(text).unwrap();
        assert_eq!(found.pages, ["http://a.org/?a=1&b=2", "http://a.org/<b>", "http://a.org/A"]);
        assert!(found.sitemaps.is_empty());
    }

    #[test]
    fn an_index_lists_sitemaps() {
        let text = "<sitemapindex><sitemap><loc>http://a.org/1.xml</loc></sitemap></sitemapindex>";
        let found = Sitemap::parse(text).unwrap();
        assert_eq!((found.pages.len(), found.sitemaps), (0, vec!["http://a.org/1.xml".to_owned()]));
    }

    #[test]
    fn lines_will_do_and_other_xml_will_not() {
        let found = Sitemap::parse("\u{feff}http://a.org/\r\n# x\nhttps://a.org/2\n").unwrap();
        assert_eq!(found.pages, ["http://a.org/", "https://a.org/2"]);
        assert_eq!(Sitemap::parse("<rss><channel/></rss>"), None);
        assert_eq!(Sitemap::parse("<html><body>Not found</body></html>"), None);
    }

    #[test]
    fn what_came_before_an_error_is_kept() {
        let text = "<urlset><url><loc>http://a.org/1</loc></url><url><loc>http://a.org/2";
        assert_eq!(Sitemap::parse(text).unwrap().pages, ["http://a.org/1"]);
        let many = "http://a.org/x\n".repeat(MOST + 5);
        let found = Sitemap::parse(&many).unwrap();
        assert_eq!((found.pages.len(), found.is_cut), (MOST, true));
        let all = Sitemap::parse(&"http://a.org/x\n".repeat(MOST)).unwrap();
        assert_eq!((all.pages.len(), all.is_cut), (MOST, false));
    }
}
