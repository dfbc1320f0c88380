//! What a `Content-Type` says: the type, and the charset.

/// How a body is read for links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// HTML, and whatever is close enough that links in it look alike.
    Html,
    /// XML: a sitemap, a feed, or XHTML under another name.
    Xml,
    Text,
    /// Nothing to follow in it.
    Other,
}

/// A header, read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Media {
    /// In lower case, without parameters; empty if there was no header.
    pub(crate) essence: String,
    pub(crate) charset: Option<String>,
}

impl Media {
    pub(crate) fn parse(header: Option<&str>) -> Media {
        let mut pieces = header.unwrap_or_default().split(';');
        let essence = pieces.next().unwrap_or_default().trim().to_ascii_lowercase();
        let charset = pieces.find_map(|piece| {
            let (name, value) = piece.split_once('=')?;
            let value = value.trim().trim_matches(['"', '\'']);
            let is_charset = name.trim().eq_ignore_ascii_case("charset") && !value.is_empty();
            is_charset.then(|| value.to_owned())
        });
        Media { essence, charset }
    }

    /// Whether it is XML by its name: XHTML is read as HTML, but its tags end as in XML.
    pub(crate) fn is_xml(&self) -> bool {
        self.essence.ends_with("/xml") || self.essence.ends_with("+xml")
    }

    /// A body without a type is looked at: servers forget the header, browsers sniff.
    pub(crate) fn kind(&self, head: &[u8]) -> Kind {
        match self.essence.as_str() {
            "text/html" | "application/xhtml+xml" => Kind::Html,
            "application/xml" | "text/xml" => Kind::Xml,
            "text/plain" => Kind::Text,
            "" if head.trim_ascii_start().starts_with(b"<") => Kind::Html,
            essence if essence.ends_with("+xml") && essence != "image/svg+xml" => Kind::Xml,
            _ => Kind::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn type_and_charset_are_read_however_they_are_written() {
        let media = Media::parse(Some("Text/HTML ; Charset=\"ISO-8859-1\"; x=y"));
        assert_eq!(media.essence, "text/html");
        assert_eq!(media.charset.as_deref(), Some("ISO-8859-1"));
        assert_eq!(Media::parse(Some("foo")).essence, "foo");
        assert_eq!(Media::parse(Some("text/html; charset=")).charset, None);
        assert_eq!(Media::parse(None), Media::default());
    }

    #[test]
    fn only_what_may_have_links_is_read() {
        let kind = |header: &str, body: &[u8]| Media::parse(Some(header)).kind(body);
        assert_eq!(kind("text/html; charset=x", b""), Kind::Html);
        assert_eq!(kind("application/xhtml+xml", b""), Kind::Html);
        assert_eq!(kind("application/atom+xml", b""), Kind::Xml);
        assert_eq!(kind("image/svg+xml", b"<svg>"), Kind::Other);
        assert_eq!(kind("image", b"<a href>"), Kind::Other);
        assert_eq!(kind("", b" \n<!doctype html>"), Kind::Html);
        assert_eq!(kind("", b"GIF89a"), Kind::Other);
    }
}
