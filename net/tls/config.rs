//! Configurations for clients and servers, and what goes into them: certificates, keys and trusted
//! roots from PEM files.
//!
//! The cryptography is ring's and is named here in full, so that no process-wide default has to be
//! installed and none that somebody else installs is taken by accident. Anything beyond this is
//! rustls's own builders; a configuration made by them works as well.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

/// A client that trusts these roots and shows no certificate of its own; TLS 1.2 and 1.3. For
/// protocols (ALPN) set its `alpn_protocols`.
///
/// # Examples
///
/// ```no_run
/// # fn main() -> std::io::Result<()> {
/// let mut config = wheelhouse_tls::client_config(wheelhouse_tls::roots_from_pem("ca.pem")?);
/// config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
/// # Ok(())
/// # }
/// ```
pub fn client_config(roots: impl Into<Arc<RootCertStore>>) -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring serves the default versions")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// A server that shows this chain of certificates, its own first, and asks for none; TLS 1.2 and
/// 1.3. For protocols (ALPN) set its `alpn_protocols`.
///
/// # Errors
///
/// `InvalidInput` if the key does not fit the certificate, or is of a kind that is not known.
///
/// # Examples
///
/// One that asks clients for certificates is made by rustls's own builder, as is a client that has
/// one (`with_client_auth_cert`).
///
/// ```no_run
/// use std::sync::Arc;
/// use wheelhouse_tls::rustls::server::WebPkiClientVerifier;
/// use wheelhouse_tls::{certs_from_pem, key_from_pem, roots_from_pem, rustls};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let ring = Arc::new(rustls::crypto::ring::default_provider());
/// let trusted = Arc::new(roots_from_pem("clients.pem")?);
/// let clients = WebPkiClientVerifier::builder_with_provider(trusted, ring.clone()).build()?;
/// let config = rustls::ServerConfig::builder_with_provider(ring)
///     .with_safe_default_protocol_versions()?
///     .with_client_cert_verifier(clients)
///     .with_single_cert(certs_from_pem("cert.pem")?, key_from_pem("key.pem")?)?;
/// # drop(config);
/// # Ok(())
/// # }
/// ```
pub fn server_config(
    cert_chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> io::Result<ServerConfig> {
    ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring serves the default versions")
        .with_no_client_auth()
        .with_single_cert(cert_chain, key)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
}

/// The certificates of a PEM file, in its order.
///
/// # Errors
///
/// The file's, with its path; `InvalidData` if it is not PEM or holds no certificate.
pub fn certs_from_pem(path: impl AsRef<Path>) -> io::Result<Vec<CertificateDer<'static>>> {
    let path = path.as_ref();
    let certs = CertificateDer::pem_reader_iter(open(path)?).collect::<Result<Vec<_>, _>>();
    match certs {
        Ok(certs) if certs.is_empty() => Err(invalid(path, "it holds no certificate")),
        Ok(certs) => Ok(certs),
        Err(error) => Err(invalid(path, error)),
    }
}

/// The first private key of a PEM file: PKCS #8, PKCS #1 (RSA) or SEC 1 (elliptic curves), not
/// encrypted.
///
/// # Errors
///
/// The file's, with its path; `InvalidData` if it is not PEM or holds no such key.
pub fn key_from_pem(path: impl AsRef<Path>) -> io::Result<PrivateKeyDer<'static>> {
    let path = path.as_ref();
    PrivateKeyDer::from_pem_reader(open(path)?).map_err(|error| match error {
        pem::Error::NoItemsFound => invalid(path, "it holds no private key that is not encrypted"),
        error => invalid(path, error),
    })
}

/// Trusted roots: the certificates of a PEM file.
///
/// # Errors
///
/// As [`certs_from_pem`]; `InvalidData` if one cannot be a root.
pub fn roots_from_pem(path: impl AsRef<Path>) -> io::Result<RootCertStore> {
    let path = path.as_ref();
    let mut roots = RootCertStore::empty();
    for cert in certs_from_pem(path)? {
        roots.add(cert).map_err(|error| invalid(path, error))?;
    }
    Ok(roots)
}

fn open(path: &Path) -> io::Result<File> {
    let named = |error: io::Error| io::Error::new(error.kind(), of(path, error));
    File::open(path).map_err(named)
}

fn invalid(path: &Path, what: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, of(path, what))
}

fn of(path: &Path, what: impl std::fmt::Display) -> String {
    format!("{}: {what}", path.display())
}
