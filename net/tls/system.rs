//! The roots that the system trusts, as rustls-native-certs finds them. Only with the feature
//! `system-roots`: who brings roots of its own needs none of this.

use std::io;

use rustls::RootCertStore;

/// The roots that the system trusts, and those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name. It
/// reads files, a few milliseconds' worth: once, at the start, or by `spawn_blocking`.
///
/// Certificates that are unfit are left out.
///
/// # Errors
///
/// `NotFound`, with what was tried, if there is none: install `ca-certificates`, or take roots from
/// elsewhere.
pub fn system_roots() -> io::Result<RootCertStore> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let tried: Vec<_> = found.errors.iter().map(ToString::to_string).collect();
        let what = format!("the system has no trusted certificates: {}", tried.join("; "));
        return Err(io::Error::new(io::ErrorKind::NotFound, what));
    }
    Ok(roots)
}
