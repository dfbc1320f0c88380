//! Where a server listens: a TCP or UDP address, or the path of a Unix socket. A server prints it as one line, which
//! the parent reads.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// What a server listens with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    #[default]
    Tcp,
    Unix,
    Udp,
}

impl Transport {
    pub fn name(self) -> &'static str {
        match self {
            Transport::Tcp => "tcp",
            Transport::Unix => "unix",
            Transport::Udp => "udp",
        }
    }
}

impl FromStr for Transport {
    type Err = String;
    fn from_str(word: &str) -> Result<Transport, String> {
        let all = [Transport::Tcp, Transport::Unix, Transport::Udp];
        all.into_iter().find(|one| one.name() == word).ok_or_else(|| format!("no transport {word}"))
    }
}

/// Where it listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Tcp(SocketAddr),
    Unix(PathBuf),
    Udp(SocketAddr),
}

impl Place {
    /// The address of a TCP server.
    pub fn tcp(&self) -> Result<SocketAddr, String> {
        match self {
            Place::Tcp(address) => Ok(*address),
            other => Err(format!("not a TCP server: {other}")),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Tcp(address) => write!(f, "{address}"),
            Place::Udp(address) => write!(f, "udp:{address}"),
            Place::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl FromStr for Place {
    type Err = String;
    fn from_str(line: &str) -> Result<Place, String> {
        let address = |text: &str| text.parse().map_err(|_| format!("not an address: {line}"));
        match line.split_once(':') {
            Some(("unix", path)) => Ok(Place::Unix(path.into())),
            Some(("udp", text)) => address(text).map(Place::Udp),
            _ => address(line).map(Place::Tcp),
        }
    }
}
