//! TLS for the client: whom to trust, and which HTTP to offer.
//!
//! The system's roots, or Mozilla's where the system has none (a bare container), and those the user
//! names. They are read when the first `https` address is met: most local crawls need none.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_io::{AsyncRead, AsyncWrite};
use wheelhouse_tls::rustls::RootCertStore;
use wheelhouse_tls::{
    ServerName, TlsConnector, TlsStream, certs_from_pem, client_config, system_roots,
};

use crate::http::failure::{Class, Failure};

pub(crate) struct Tls {
    ca_file: Option<PathBuf>,
    connector: OnceCell<TlsConnector>,
}

impl Tls {
    /// Looks at the user's certificates at once. The error is for the user's eyes.
    pub(crate) fn new(ca_file: Option<&Path>) -> Result<Tls, String> {
        if let Some(path) = ca_file {
            add_file(&mut RootCertStore::empty(), path)?;
        }
        Ok(Tls { ca_file: ca_file.map(Path::to_owned), connector: OnceCell::new() })
    }

    /// Shakes hands over `stream`. An answer that was cut off may come the next time; a certificate
    /// that is wrong stays so.
    pub(crate) async fn connect<S>(&self, host: &str, stream: S) -> Result<TlsStream<S>, Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let name = ServerName::try_from(host.to_owned());
        let name = name.map_err(|error| Failure::new(Class::Tls, error.to_string()))?;
        let connector = self.connector.get_or_init(|| self.make_connector());
        let connected = connector.connect(name, stream).await;
        connected.map_err(|error| Failure::shaking_hands(&error))
    }

    fn make_connector(&self) -> TlsConnector {
        let mut roots = system_roots()
            .unwrap_or_else(|_| RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() });
        if let Some(path) = &self.ca_file {
            // It was looked at before; if it is gone now, its certificates are not trusted.
            let _ = add_file(&mut roots, path);
        }
        let mut config = client_config(roots);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        TlsConnector::new(Arc::new(config))
    }
}

fn add_file(roots: &mut RootCertStore, path: &Path) -> Result<(), String> {
    let certs = certs_from_pem(path).map_err(|error| format!("--ca-file: {error}"))?;
    for cert in certs {
        let added = roots.add(cert);
        added.map_err(|error| format!("--ca-file: {}: {error}", path.display()))?;
    }
    Ok(())
}
