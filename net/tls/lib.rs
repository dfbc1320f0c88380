//! TLS for streams that have futures-io's traits: [rustls](https://docs.rs/rustls) as a
//! [`TlsStream`], which has these traits itself.
//!
//! It knows no sockets and no runtime, so it serves `wheelhouse_net::TcpStream` and anything else
//! that reads and writes. Nothing is spawned, nothing blocks, and neither streams nor futures need
//! to be `Send`; they are if the stream below is.
//!
//! ```text
//! lib.rs        this map
//! config.rs     configurations: certificates, keys and roots from files
//! system.rs     the roots that the system trusts (feature `system-roots`)
//! session.rs    the moves of a connection: the one file that knows how rustls is driven
//! stream.rs     TlsStream: what users hold, and futures-io's traits
//! handshake.rs  TlsConnector and TlsAcceptor
//! ```
//!
//! # How a connection ends
//!
//! Closing (futures-io's `close`) sends close_notify, which tells the peer that all has been sent,
//! and then closes the stream below, which for a socket ends writing. Reading goes on until the
//! peer has closed its side as well.
//!
//! * The peer closed: reading gives 0, the end of the stream. Writing is still possible.
//! * The connection was cut, by the peer, its crash or an attacker: reading gives `UnexpectedEof`
//!   after all that came before. Whoever knows from the data that it was complete may ignore it.
//! * A [`TlsStream`] that is dropped without being closed is cut, as seen by the peer.
//!
//! # Examples
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use futures_lite::AsyncWriteExt;
//! use wheelhouse::net::{StreamReader, TcpStream};
//! use wheelhouse_tls::{TlsConnector, client_config, roots_from_pem};
//!
//! # fn main() -> std::io::Result<()> {
//! wheelhouse::run(async {
//!     let config = client_config(roots_from_pem("ca.pem")?);
//!     let connector = TlsConnector::new(Arc::new(config));
//!     let stream = TcpStream::connect(("example.org", 443)).await?;
//!     let name = "example.org".try_into().expect("a host name");
//!
//!     let mut stream = connector.connect(name, stream).await?;
//!     stream.write_all(b"GET / HTTP/1.0\r\nHost: example.org\r\n\r\n").await?;
//!     stream.flush().await?;
//!     let response = StreamReader::new(&mut stream).read_to_end(1 << 20).await?;
//!     println!("{} bytes", response.len());
//!     stream.close().await
//! })
//! # }
//! ```

#![forbid(unsafe_code)]

mod config;
mod handshake;
mod session;
mod stream;
#[cfg(feature = "system-roots")]
mod system;

pub use rustls;
pub use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};

pub use crate::config::{
    certs_from_pem, client_config, key_from_pem, roots_from_pem, server_config,
};
pub use crate::handshake::{TlsAcceptor, TlsConnector};
pub use crate::stream::TlsStream;
#[cfg(feature = "system-roots")]
pub use crate::system::system_roots;
