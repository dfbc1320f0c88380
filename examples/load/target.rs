//! What is put under load: an address as the user writes it, taken apart.
//!
//! The scheme says what is spoken and over what. A name is looked up once, before the run, so that
//! no look-up is measured.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

const ADVICE: &str = "say http://HOST/PATH, https://HOST/PATH, tcp://HOST:PORT, tls://HOST:PORT, \
                      unix:/SOCKET or http+unix:/SOCKET:/PATH";

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// For people, and for what is printed.
    pub(crate) name: String,
    pub(crate) place: Place,
    pub(crate) is_tls: bool,
    pub(crate) speaks: Speaks,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the order in which they are tried.
    Tcp {
        host: String,
        addresses: Vec<SocketAddr>,
    },
    Unix(PathBuf),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Speaks {
    /// Whatever is sent comes back.
    Echo,
    /// `authority` is what the Host header says.
    Http { authority: String, path: String },
}

impl Target {
    /// Takes an address apart and looks its name up. The error is for the user's eyes.
    pub(crate) fn parse(text: &str) -> Result<Target, String> {
        Target::read(text).map_err(|problem| format!("`{text}`: {problem}"))
    }

    fn read(text: &str) -> Result<Target, String> {
        if text.chars().any(|c| c.is_control() || c == ' ') {
            return Err("spaces and control characters must be percent-encoded, as %20".into());
        }
        let unix = |rest: &str| PathBuf::from(rest.strip_prefix("//").unwrap_or(rest));
        if let Some(rest) = text.strip_prefix("http+unix:") {
            // As nginx writes it: the socket, a colon, the path.
            let (socket, path) = rest.split_once(":/").map_or((rest, ""), |(socket, path)| {
                (socket, path.split('#').next().unwrap_or_default())
            });
            let place = Place::Unix(unix(socket));
            let speaks = Speaks::Http { authority: "localhost".into(), path: format!("/{path}") };
            return Target { name: text.into(), place, is_tls: false, speaks }.checked();
        }
        if let Some(rest) = text.strip_prefix("unix:") {
            let place = Place::Unix(unix(rest));
            let speaks = Speaks::Echo;
            return Target { name: text.into(), place, is_tls: false, speaks }.checked();
        }
        match text.split_once("://") {
            Some(("tcp", place)) => Target::echo(place, false),
            Some(("tls", place)) => Target::echo(place, true),
            Some(("http", rest)) => Target::http(rest, false),
            Some(("https", rest)) => Target::http(rest, true),
            Some((scheme, _)) => Err(format!("`{scheme}` is not spoken here; {ADVICE}")),
            None => Target::echo(text, false),
        }
    }

    fn checked(self) -> Result<Target, String> {
        match &self.place {
            Place::Unix(path) if path.as_os_str().is_empty() => {
                Err(format!("names no socket; {ADVICE}"))
            }
            _ => Ok(self),
        }
    }

    fn echo(place: &str, is_tls: bool) -> Result<Target, String> {
        let place = place.strip_suffix('/').unwrap_or(place);
        let (host, port) = host_and_port(place)?;
        let port = port.ok_or_else(|| format!("the port is missing; {ADVICE}"))?;
        let scheme = if is_tls { "tls" } else { "tcp" };
        Ok(Target {
            name: format!("{scheme}://{place}"),
            place: look_up(host, port)?,
            is_tls,
            speaks: Speaks::Echo,
        })
    }

    fn http(rest: &str, is_tls: bool) -> Result<Target, String> {
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err("a user name in an address is not sent; use `-H 'Authorization: …'`".into());
        }
        if !path.is_ascii() {
            return Err("the path must be percent-encoded".into());
        }
        let (host, port) = host_and_port(authority)?;
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let scheme = if is_tls { "https" } else { "http" };
        Ok(Target {
            name: format!("{scheme}://{authority}{path}"),
            place: look_up(host, port.unwrap_or(if is_tls { 443 } else { 80 }))?,
            is_tls,
            speaks: Speaks::Http { authority: authority.to_owned(), path },
        })
    }

    pub(crate) fn is_http(&self) -> bool {
        matches!(self.speaks, Speaks::Http { .. })
    }

    /// Whether connections to either serve for both.
    pub(crate) fn is_beside(&self, other: &Target) -> bool {
        let authority = |target: &Target| match &target.speaks {
            Speaks::Http { authority, .. } => Some(authority.clone()),
            Speaks::Echo => None,
        };
        self.place == other.place
            && self.is_tls == other.is_tls
            && authority(self) == authority(other)
    }
}

/// An IPv6 address stands in brackets.
fn host_and_port(place: &str) -> Result<(&str, Option<u16>), String> {
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or("a `]` is missing")?;
            match rest.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if rest.is_empty() => (host, None),
                None => return Err(format!("`{rest}` follows the `]`; {ADVICE}")),
            }
        }
        None => match place.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        },
    };
    if host.is_empty() {
        return Err(format!("the host is missing; {ADVICE}"));
    }
    let number = |port: &str| {
        let number = port.parse::<u16>().ok().filter(|number| *number > 0);
        number.ok_or_else(|| format!("`{port}` is no port; {ADVICE}"))
    };
    Ok((host, port.map(number).transpose()?))
}

fn look_up(host: &str, port: u16) -> Result<Place, String> {
    let found = (host, port).to_socket_addrs();
    let addresses: Vec<SocketAddr> =
        found.map_err(|error| format!("cannot look up `{host}`: {error}"))?.collect();
    if addresses.is_empty() {
        return Err(format!("`{host}` has no address"));
    }
    Ok(Place::Tcp { host: host.to_owned(), addresses })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http(text: &str) -> (String, String, String, u16, bool) {
        let target = Target::parse(text).unwrap();
        let Speaks::Http { authority, path } = target.speaks else { panic!("{text}") };
        let Place::Tcp { host, addresses } = target.place else { panic!("{text}") };
        (authority, path, host, addresses[0].port(), target.is_tls)
    }

    #[test]
    fn addresses_are_taken_apart() {
        let (authority, path, host, port, is_tls) = http("http://127.0.0.1:8080/a/b?c=d#e");
        assert_eq!((authority.as_str(), path.as_str()), ("127.0.0.1:8080", "/a/b?c=d"));
        assert_eq!((host.as_str(), port, is_tls), ("127.0.0.1", 8080, false));
        let (authority, path, host, port, is_tls) = http("https://[::1]?q");
        assert_eq!((authority.as_str(), path.as_str()), ("[::1]", "/?q"));
        assert_eq!((host.as_str(), port, is_tls), ("::1", 443, true));
        assert_eq!(http("http://127.0.0.1").3, 80);
        let echo = Target::parse("127.0.0.1:7").unwrap();
        assert_eq!((echo.name.as_str(), echo.speaks), ("tcp://127.0.0.1:7", Speaks::Echo));
        assert!(Target::parse("tls://127.0.0.1:7").unwrap().is_tls);
    }

    #[test]
    fn unix_sockets_are_paths() {
        let echo = Target::parse("unix:/run/echo.sock").unwrap();
        assert_eq!(echo.place, Place::Unix("/run/echo.sock".into()));
        assert_eq!(Target::parse("unix:///run/echo.sock").unwrap().place, echo.place);
        let http = Target::parse("http+unix:/run/web.sock:/index.html?x").unwrap();
        assert_eq!(http.place, Place::Unix("/run/web.sock".into()));
        let speaks = Speaks::Http { authority: "localhost".into(), path: "/index.html?x".into() };
        assert_eq!(http.speaks, speaks);
        let root = Target::parse("http+unix:web.sock").unwrap();
        assert_eq!(root.place, Place::Unix("web.sock".into()));
        assert!(matches!(root.speaks, Speaks::Http { path, .. } if path == "/"));
    }

    #[test]
    fn wrong_ones_are_answered_with_what_to_say() {
        for (text, words) in [
            ("ftp://127.0.0.1/", "`ftp` is not spoken here; say http://"),
            ("tcp://127.0.0.1", "port is missing"),
            ("http://", "host is missing"),
            ("http://:80/", "host is missing"),
            ("http://127.0.0.1:99999/", "`99999` is no port"),
            ("http://127.0.0.1:0/", "`0` is no port"),
            ("http://[::1/", "`]` is missing"),
            ("http://[::1]80/", "follows the `]`"),
            ("http://me@127.0.0.1/", "Authorization"),
            ("http://127.0.0.1/a b", "%20"),
            ("http://127.0.0.1/ä", "percent-encoded"),
            ("unix:", "names no socket"),
            ("http+unix:", "names no socket"),
        ] {
            let problem = Target::parse(text).unwrap_err();
            assert!(problem.contains(words), "`{text}` gave `{problem}`");
        }
    }

    #[test]
    fn what_shares_connections() {
        let parse = |text| Target::parse(text).unwrap();
        let one = parse("http://127.0.0.1:80/a");
        assert!(!one.is_beside(&parse("http://127.0.0.1/a?b")), "another authority");
        assert!(one.is_beside(&parse("http://127.0.0.1:80/b")));
        assert!(!one.is_beside(&parse("https://127.0.0.1:80/b")));
    }
}
