//! Which addresses belong to the crawl: the hosts, domains or folders of the roots, and what the
//! user's patterns say.
//!
//! The registrable domain comes from the public suffix list, so that `a.co.uk` and `b.co.uk` are
//! two sites. A leading `www.` makes no other host, and neither does TLS on the port that is its
//! own.

use std::fmt;

use regex::Regex;

use crate::web::address::Parts;

/// How far from the roots the crawl goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Reach {
    /// The hosts of the roots, `www.` or not
    Host,
    /// All hosts under the registrable domains of the roots
    Domain,
    /// What begins with the folder of a root
    Prefix,
}

#[derive(Clone, Debug)]
pub(crate) struct Scope {
    reach: Reach,
    roots: Vec<Root>,
    /// If there are any, one must match.
    include: Vec<Regex>,
    exclude: Vec<Regex>,
}

#[derive(Clone, Debug)]
struct Root {
    host: String,
    /// `None`: the scheme's own.
    port: Option<u16>,
    domain: Option<String>,
    /// The path up to its last slash.
    folder: String,
}

impl Scope {
    /// `roots` are canonical.
    pub(crate) fn new(
        reach: Reach,
        roots: &[String],
        include: Vec<Regex>,
        exclude: Vec<Regex>,
    ) -> Scope {
        Scope { reach, roots: roots.iter().map(|root| Root::of(root)).collect(), include, exclude }
    }

    /// Whether a canonical address belongs to the crawl.
    pub(crate) fn contains(&self, address: &str) -> bool {
        let parts = Parts::of(address);
        self.roots.iter().any(|root| root.reaches(self.reach, &parts))
            && (self.include.is_empty() || self.include.iter().any(|rule| rule.is_match(address)))
            && !self.exclude.iter().any(|rule| rule.is_match(address))
    }

    /// Whether the user's patterns forbid it, whatever it is asked for.
    pub(crate) fn excludes(&self, address: &str) -> bool {
        self.exclude.iter().any(|rule| rule.is_match(address))
    }
}

/// For comparing: two scopes that read alike reach alike.
impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", format!("{:?}", self.reach).to_lowercase())?;
        for (word, rules) in [("include", &self.include), ("exclude", &self.exclude)] {
            rules.iter().try_for_each(|rule| write!(f, " {word}={rule}"))?;
        }
        Ok(())
    }
}

impl Root {
    fn of(address: &str) -> Root {
        let parts = Parts::of(address);
        let folder = parts.path().rfind('/').map_or("/", |at| &parts.path()[..=at]);
        Root {
            host: without_www(parts.host).to_owned(),
            port: port_of(&parts),
            domain: domain_of(parts.host).map(str::to_owned),
            folder: folder.to_owned(),
        }
    }

    fn reaches(&self, reach: Reach, parts: &Parts<'_>) -> bool {
        let is_host = || without_www(parts.host) == self.host && port_of(parts) == self.port;
        match (reach, &self.domain) {
            (Reach::Host, _) => is_host(),
            (Reach::Domain, Some(domain)) => domain_of(parts.host) == Some(domain),
            // An address, or a name such as `localhost`, has no domain.
            (Reach::Domain, None) => is_host(),
            (Reach::Prefix, _) => is_host() && parts.target.starts_with(&self.folder),
        }
    }
}

fn without_www(host: &str) -> &str {
    host.strip_prefix("www.").filter(|rest| rest.contains('.')).unwrap_or(host)
}

fn port_of(parts: &Parts<'_>) -> Option<u16> {
    let own = if parts.is_tls { 443 } else { 80 };
    (parts.port != own).then_some(parts.port)
}

/// `None` for addresses, and for names that are a suffix themselves.
fn domain_of(host: &str) -> Option<&str> {
    let is_address = host.parse::<std::net::IpAddr>().is_ok();
    if is_address { None } else { psl::domain_str(host) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(reach: Reach, roots: &[&str]) -> Scope {
        let roots: Vec<String> = roots.iter().map(|root| (*root).to_owned()).collect();
        Scope::new(reach, &roots, Vec::new(), Vec::new())
    }

    /// The original's test_strict_host_checking, test_roots and test_deep_root.
    #[test]
    fn by_host() {
        let one = scope(Reach::Host, &["http://example.com/"]);
        assert!(one.contains("http://www.example.com/"));
        assert!(one.contains("https://example.com/x"));
        assert!(!one.contains("http://foo.example.com/"));
        assert!(!one.contains("http://example.com:8080/"));
        let two = scope(Reach::Host, &["http://a/", "http://b/"]);
        assert!(two.contains("http://a/a") && two.contains("http://b/b"));
        assert!(!two.contains("http://c/c") && !two.contains("http://127.0.0.1/"));
        let deep = scope(Reach::Host, &["http://a/a"]);
        assert!(deep.contains("http://a/b"));
        let port = scope(Reach::Host, &["http://127.0.0.1:8000/"]);
        assert!(port.contains("http://127.0.0.1:8000/x") && !port.contains("http://127.0.0.1/x"));
        // `www.com` is a site, not `com` with something before it.
        assert!(!scope(Reach::Host, &["http://www.com/"]).contains("http://com/"));
    }

    /// The original's test_lenient_host_checking.
    #[test]
    fn by_domain() {
        let one = scope(Reach::Domain, &["http://example.com/"]);
        assert!(one.contains("http://www.example.com/") && one.contains("http://foo.example.com/"));
        assert!(!one.contains("http://example.org/") && !one.contains("http://badexample.com/"));
    }

    /// The original joined the last two labels, so that all of `.co.uk` was one site, and
    /// `fo.obar` the same as `foo.bar`.
    #[test]
    fn a_public_suffix_is_no_site() {
        let one = scope(Reach::Domain, &["http://www.a.co.uk/"]);
        assert!(one.contains("http://b.a.co.uk/") && !one.contains("http://b.co.uk/"));
        assert!(!scope(Reach::Domain, &["http://foo.bar/"]).contains("http://fo.obar/"));
        let address = scope(Reach::Domain, &["http://10.0.0.1/"]);
        assert!(address.contains("http://10.0.0.1/x") && !address.contains("http://9.0.0.1/"));
    }

    #[test]
    fn by_prefix() {
        let one = scope(Reach::Prefix, &["http://a.org/docs/index.html"]);
        assert!(one.contains("http://a.org/docs/x/y?z") && one.contains("http://a.org/docs/"));
        assert!(!one.contains("http://a.org/docs2") && !one.contains("http://b.org/docs/"));
    }

    /// The original's test_exclude.
    #[test]
    fn patterns_narrow_it() {
        let roots = ["http://example.com/".to_owned()];
        let rules = |text: &str| vec![Regex::new(text).unwrap()];
        let out = Scope::new(Reach::Host, &roots, Vec::new(), rules(".*pattern"));
        assert!(out.contains("http://example.com/"));
        assert!(!out.contains("http://example.com/pattern"));
        let only = Scope::new(Reach::Host, &roots, rules(r"/blog/|\.com/$"), rules("draft"));
        assert!(only.contains("http://example.com/") && only.contains("http://example.com/blog/1"));
        assert!(!only.contains("http://example.com/shop/"));
        assert!(!only.contains("http://example.com/blog/draft"));
        assert!(!only.contains("http://other.com/blog/1"));
    }
}
