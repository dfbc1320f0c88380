//! Addresses in one canonical spelling, so that a page has one name.
//!
//! The WHATWG parser of the `url` crate does most of it: case of scheme and host, default ports,
//! dot segments, IDNA, backslashes. What it leaves to the application follows RFC 3986, 6.2.2:
//! escapes in upper case, none for what needs none. A fragment names a place in a page, a user name
//! belongs to whoever wrote the link, and an empty query says nothing: all three are dropped.
//!
//! A canonical address is kept as text. [`Parts`] cuts it up without parsing it again.

use std::borrow::Cow;

use encoding_rs::Encoding;
use url::Url;

/// Why a link leads to no page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotAPage {
    /// `mailto:`, `javascript:`, `ftp:` and the like.
    OtherScheme,
    /// Nothing that the parser takes for an address.
    Malformed,
}

/// A canonical address, cut into what others ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parts<'a> {
    pub(crate) is_tls: bool,
    /// `scheme://host:port`, the port only if it is not the scheme's own.
    pub(crate) origin: &'a str,
    /// `host:port`, as the `Host` header has it.
    pub(crate) authority: &'a str,
    /// Without the brackets of an IPv6 address.
    pub(crate) host: &'a str,
    pub(crate) port: u16,
    /// With the query, as the request line has it.
    pub(crate) target: &'a str,
}

impl<'a> Parts<'a> {
    /// Cuts up what [`canonical`] made.
    pub(crate) fn of(address: &'a str) -> Parts<'a> {
        let is_tls = address.starts_with("https:");
        let start = if is_tls { 8 } else { 7 };
        let slash = address[start..].find('/').map_or(address.len(), |at| start + at);
        let authority = &address[start..slash];
        let default = if is_tls { 443 } else { 80 };
        let after_host = authority.rfind(']').map_or(0, |at| at + 1);
        let (host, port) = match authority[after_host..].rfind(':') {
            Some(at) => {
                let at = after_host + at;
                (&authority[..at], authority[at + 1..].parse().unwrap_or(default))
            }
            None => (authority, default),
        };
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let (origin, target) = (&address[..slash], &address[slash..]);
        Parts { is_tls, origin, authority, host, port, target }
    }

    /// Without the query.
    pub(crate) fn path(&self) -> &'a str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// Whether the host is this machine. Only names and literals that always mean it count: what
    /// a name server says may change under our feet.
    pub(crate) fn is_loopback(&self) -> bool {
        match self.host.parse::<std::net::IpAddr>() {
            Ok(address) => address.to_canonical().is_loopback(),
            Err(_) => self.host == "localhost" || self.host.ends_with(".localhost"),
        }
    }
}

/// Reads an address that a user typed. The error is for the user's eyes.
pub(crate) fn from_user(text: &str) -> Result<String, String> {
    let advice = "say http:// or https:// and a host, such as https://example.org/";
    let url = Url::parse(text.trim()).map_err(|error| match error {
        url::ParseError::RelativeUrlWithoutBase => format!("`{text}` is no address: {advice}"),
        error => format!("`{text}` is no address ({error}): {advice}"),
    })?;
    if has_userinfo(&url) {
        // The password stays out of the terminal.
        return Err(format!(
            "the address of {} has a name or password in it, which is not sent: say \
             --header 'Authorization: Basic ...'",
            url.host_str().unwrap_or_default()
        ));
    }
    canonical(url).map_err(|_| format!("`{text}`: `http` and `https` are crawled; {advice}"))
}

/// What `href` means on a page at `base`. Characters beyond ASCII in a query are sent in the
/// encoding of the page, as browsers do.
pub(crate) fn resolve(
    base: &Url,
    href: &str,
    encoding: &'static Encoding,
) -> Result<String, NotAPage> {
    let encode = for_any_text(|text| encoding.encode(text).0);
    let is_plain = encoding == encoding_rs::UTF_8 || href.is_ascii();
    let url = if is_plain {
        base.join(href)
    } else {
        Url::options().base_url(Some(base)).encoding_override(Some(&encode)).parse(href)
    };
    canonical(url.map_err(|_| NotAPage::Malformed)?)
}

/// Tells the compiler that a closure takes text of any lifetime.
fn for_any_text<F: Fn(&str) -> Cow<'_, [u8]>>(encode: F) -> F {
    encode
}

/// The one spelling of an address.
pub(crate) fn canonical(mut url: Url) -> Result<String, NotAPage> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err(NotAPage::OtherScheme);
    }
    url.set_fragment(None);
    if has_userinfo(&url) {
        let _ = url.set_username("");
        let _ = url.set_password(None);
    }
    if url.query() == Some("") {
        url.set_query(None);
    }
    let text = String::from(url);
    Ok(if text.contains('%') { with_plain_escapes(&text) } else { text })
}

fn has_userinfo(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

/// Escapes in upper case, and none for letters, digits, `-`, `.`, `_` and `~`.
pub(crate) fn with_plain_escapes(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        plain.push_str(&rest[..at]);
        rest = &rest[at..];
        match escape_at(rest.as_bytes()) {
            Some(byte) if is_unreserved(byte) => plain.push(char::from(byte)),
            Some(byte) => plain.push_str(&format!("%{byte:02X}")),
            None => {
                plain.push('%');
                rest = &rest[1..];
                continue;
            }
        }
        rest = &rest[3..];
    }
    plain.push_str(rest);
    plain
}

/// The byte that an escape at the head of `bytes` stands for.
pub(crate) fn escape_at(bytes: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = bytes else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    Some((digit(*high)? * 16 + digit(*low)?) as u8)
}

pub(crate) fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(base: &str, href: &str) -> Result<String, NotAPage> {
        resolve(&Url::parse(base).unwrap(), href, encoding_rs::UTF_8)
    }

    #[test]
    fn one_page_has_one_name() {
        let same = |spellings: &[&str], name: &str| {
            for spelling in spellings {
                assert_eq!(from_user(spelling).as_deref(), Ok(name), "from `{spelling}`");
            }
        };
        same(
            &[
                "HTTP://Example.ORG",
                "http://example.org:80/",
                "http://example.org/#top",
                "http://example.org/?",
                "http://example.org/a/../",
                "http://example.org/./%2e/",
                "http:\\\\example.org\\",
            ],
            "http://example.org/",
        );
        same(
            &["https://a.org/%7euser/%c3%a9?x=%2f", "https://a.org/~user/é?x=%2F"],
            "https://a.org/~user/%C3%A9?x=%2F",
        );
        same(&["http://Bücher.example/"], "http://xn--bcher-kva.example/");
        same(&["http://a.org/100%"], "http://a.org/100%");
        same(&["http://a.org/%zz%4"], "http://a.org/%zz%4");
        // What differs stays apart.
        assert_ne!(from_user("http://a.org/x"), from_user("http://a.org/x/"));
        assert_ne!(from_user("http://a.org/a%2Fb"), from_user("http://a.org/a/b"));
        assert_ne!(from_user("http://a.org/?a&b"), from_user("http://a.org/?b&a"));
    }

    #[test]
    fn canonical_addresses_stay_as_they_are() {
        for text in ["http://a.org/x%20y?q=%26", "https://[::1]:8443/a;b=c", "http://a.org/%25zz"] {
            assert_eq!(from_user(text).as_deref(), Ok(text));
        }
    }

    #[test]
    fn links_are_read_against_their_page() {
        let base = "http://a.org/dir/page.html?q#f";
        let leads = |href: &str, to: &str| assert_eq!(on(base, href).as_deref(), Ok(to), "{href}");
        leads("next.html", "http://a.org/dir/next.html");
        leads("../x", "http://a.org/x");
        leads("/y#z", "http://a.org/y");
        leads("?page=2", "http://a.org/dir/page.html?page=2");
        leads("#here", "http://a.org/dir/page.html?q");
        leads("//b.org/z", "http://b.org/z");
        leads(" \n/trim\t med ", "http://a.org/trim%20med");
        leads("", "http://a.org/dir/page.html?q");
        leads("http://user:secret@b.org/", "http://b.org/");
        assert_eq!(on(base, "mailto:a@b.org"), Err(NotAPage::OtherScheme));
        assert_eq!(on(base, "javascript:void(0)"), Err(NotAPage::OtherScheme));
        assert_eq!(on(base, "ftp://example.com"), Err(NotAPage::OtherScheme));
        assert_eq!(on(base, "http://a:b:c/"), Err(NotAPage::Malformed));
        assert_eq!(on(base, "http://"), Err(NotAPage::Malformed));
    }

    #[test]
    fn a_query_is_sent_in_the_encoding_of_its_page() {
        let base = Url::parse("http://a.org/").unwrap();
        let latin = resolve(&base, "/é?q=é", encoding_rs::WINDOWS_1252);
        assert_eq!(latin.as_deref(), Ok("http://a.org/%C3%A9?q=%E9"));
        let utf8 = resolve(&base, "/é?q=é", encoding_rs::UTF_8);
        assert_eq!(utf8.as_deref(), Ok("http://a.org/%C3%A9?q=%C3%A9"));
    }

    #[test]
    fn an_address_is_cut_up_without_parsing() {
        let parts = Parts::of("https://[::1]:8443/a?b");
        assert_eq!((parts.host, parts.port, parts.is_tls), ("::1", 8443, true));
        assert_eq!((parts.authority, parts.target), ("[::1]:8443", "/a?b"));
        assert!(parts.is_loopback());
        let parts = Parts::of("http://[::1]/");
        assert_eq!((parts.host, parts.port, parts.origin), ("::1", 80, "http://[::1]"));
        let parts = Parts::of("https://example.org/x/y?z=/");
        assert_eq!((parts.host, parts.port, parts.path()), ("example.org", 443, "/x/y"));
        assert_eq!((parts.origin, parts.is_loopback()), ("https://example.org", false));
        for host in ["127.9.9.9", "localhost", "www.localhost", "[::ffff:127.0.0.1]"] {
            assert!(Parts::of(&format!("http://{host}/")).is_loopback(), "{host}");
        }
        assert!(!Parts::of("http://localhost.example.org/").is_loopback());
    }

    #[test]
    fn a_wrong_address_is_answered_with_what_to_do() {
        for wrong in ["not-a-host", "example.org/x", "ftp://example.org/", "http://", ""] {
            let problem = from_user(wrong).unwrap_err();
            assert!(problem.contains("say http:// or https://"), "`{wrong}` gave `{problem}`");
        }
        let problem = from_user("https://user:secret@example.org/").unwrap_err();
        assert!(problem.contains("--header") && !problem.contains("secret"), "{problem}");
    }
}
