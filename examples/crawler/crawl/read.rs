//! A body into links: its charset, its tags, or the list that it is. What is large is read on a
//! thread, so that the loop goes on meanwhile.

use encoding_rs::Encoding;
use wheelhouse::spawn_blocking;

use crate::http::decode::Decoder;
use crate::web::charset;
use crate::web::links::Links;
use crate::web::media::{Kind, Media};
use crate::web::sitemap::Sitemap;

/// Some milliseconds' work.
const LARGE: usize = 256 * 1024;

/// What stands in a body.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    pub(crate) encoding: Option<&'static Encoding>,
    pub(crate) links: Option<Links>,
    pub(crate) sitemap: Option<Sitemap>,
    /// Not all of it was looked at.
    pub(crate) is_cut: bool,
}

/// Reads the first `limit` bytes.
pub(crate) async fn read(body: Vec<u8>, media: Media, is_sitemap: bool, limit: usize) -> Reading {
    if body.len() < LARGE {
        return read_now(&body, &media, is_sitemap, limit);
    }
    let work = spawn_blocking(move || read_now(&body, &media, is_sitemap, limit));
    // It fails only if the loop ends, and then nobody asks for links.
    work.await.unwrap_or_default()
}

fn read_now(body: &[u8], media: &Media, is_sitemap: bool, limit: usize) -> Reading {
    let unpacked = is_sitemap.then(|| gunzip(body, limit)).flatten();
    let (body, mut is_cut) = match &unpacked {
        Some((body, is_whole)) => (body.as_slice(), !is_whole),
        None => (&body[..body.len().min(limit)], body.len() > limit),
    };
    let kind = media.kind(body);
    let (text, encoding) = match kind {
        Kind::Other if !is_sitemap => return Reading::default(),
        _ => charset::decode(body, media.charset.as_deref()),
    };
    let is_list = is_sitemap || kind == Kind::Xml;
    let sitemap = is_list.then(|| Sitemap::parse(&text)).flatten();
    let links = (sitemap.is_none() && kind != Kind::Text).then(|| Links::of(&text, media.is_xml()));
    is_cut |= sitemap.as_ref().is_some_and(|list| list.is_cut);
    is_cut |= links.as_ref().is_some_and(|links| links.is_cut);
    Reading { encoding: Some(encoding), links, sitemap, is_cut }
}

/// Sitemaps may be files that are packed, whatever the headers say. Also tells whether all came out.
fn gunzip(body: &[u8], limit: usize) -> Option<(Vec<u8>, bool)> {
    if !body.starts_with(b"\x1f\x8b") {
        return None;
    }
    let mut decoder = Decoder::new(Some("gzip"), limit).ok()?;
    let unpacked = decoder.push(body).and_then(|()| decoder.finish());
    Some((decoder.into_kept(), unpacked.is_ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(body: &[u8], media: &str, is_sitemap: bool) -> Reading {
        read_now(body, &Media::parse(Some(media)), is_sitemap, 1000)
    }

    /// The original's test_non_html.
    #[test]
    fn links_are_looked_for_in_html_and_xml_only() {
        let body = b"<a href=\"http://a.org/\">";
        let count = |media: &str| reading(body, media, false).links.map(|all| all.iter().count());
        assert_eq!(count("application/xml"), Some(1));
        assert_eq!(count("text/html"), Some(1));
        assert_eq!(count("image"), None);
        assert_eq!(count("text/plain"), None);
    }

    #[test]
    fn sitemaps_packed_or_not() {
        use std::io::Write;
        let text = b"<urlset><url><loc>http://a.org/</loc></url></urlset>";
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(text).unwrap();
        let packed = packed.finish().unwrap();
        for (body, media) in [(&text[..], "text/xml"), (&packed, "application/gzip")] {
            assert_eq!(reading(body, media, true).sitemap.unwrap().pages, ["http://a.org/"]);
        }
        assert!(reading(text, "application/xml", false).sitemap.is_some());
        assert!(reading(b"<rss/>", "application/xml", false).sitemap.is_none());
        assert_eq!(reading(b"http://a.org/x", "text/plain", true).sitemap.unwrap().pages.len(), 1);
    }

    #[test]
    fn only_the_head_of_a_large_page_is_read() {
        let body = [vec![b' '; 990], b"<a href=/x><a href=/y>".to_vec()].concat();
        let cut = reading(&body, "text/html", false);
        assert_eq!(cut.links.unwrap().iter().count(), 0, "the tag was cut off");
        assert!(cut.is_cut && !reading(&body[..1000], "text/html", false).is_cut);
    }

    #[test]
    fn large_bodies_are_read_on_a_thread() {
        let body = "<a href=/x>".repeat(LARGE / 8).into_bytes();
        let media = Media::parse(Some("text/html"));
        let reading = wheelhouse::run(read(body, media, false, LARGE));
        assert!(reading.links.unwrap().iter().count() > 10_000);
    }
}
