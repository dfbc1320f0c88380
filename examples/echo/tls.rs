//! TLS (feature `tls`): the handshake, and the certificate that the command line names.
//!
//! Without the feature nothing is left of it but an acceptor of which there is none, so that the
//! rest of the program does not know the difference.

use std::path::Path;
use std::rc::Rc;

use wheelhouse::net;

use crate::worker::Worker;

pub(crate) use self::chosen::Acceptor;

/// Shakes hands, then serves. A client that has not done so at the stop has sent nothing to echo.
pub(crate) async fn serve(client: Client, acceptor: Acceptor, worker: Rc<Worker>) {
    acceptor.serve(client, worker).await;
}

/// As the server gives it.
pub(crate) type Client = net::Connection<std::net::TcpStream>;

/// The acceptor for a certificate chain and its key. The error is for the user's eyes.
pub(crate) fn load(certificate: &Path, key: &Path) -> Result<Acceptor, String> {
    Acceptor::load(certificate, key)
}

#[cfg(feature = "tls")]
mod chosen {
    use std::path::Path;
    use std::rc::Rc;
    use std::sync::Arc;
    use std::time::Duration;

    use wheelhouse::net::TcpStream;
    use wheelhouse::time::timeout;
    use wheelhouse_tls::{TlsAcceptor, TlsStream, certs_from_pem, key_from_pem, server_config};

    use super::Client;
    use crate::connection::{Connection, Wire};
    use crate::stats::End;
    use crate::worker::{Member, Worker};

    /// A handshake takes a moment, or the client is not one.
    const LONGEST_HANDSHAKE: Duration = Duration::from_secs(10);

    impl Wire for TlsStream<TcpStream> {
        const SAYS_END: bool = true;
    }

    #[derive(Clone)]
    pub(crate) struct Acceptor(TlsAcceptor);

    impl Acceptor {
        pub(super) fn load(certificate: &Path, key: &Path) -> Result<Acceptor, String> {
            let chain =
                certs_from_pem(certificate).map_err(|error| format!("`--tls-cert`: {error}"))?;
            let key = key_from_pem(key).map_err(|error| format!("`--tls-key`: {error}"))?;
            let config = server_config(chain, key)
                .map_err(|error| format!("the certificate and the key cannot be used: {error}"))?;
            Ok(Acceptor(TlsAcceptor::new(Arc::new(config))))
        }

        pub(super) async fn serve(self, client: Client, worker: Rc<Worker>) {
            let mut member = Member::new(worker);
            // Dropped in the middle, it had nothing to lose.
            member.end = Some(End::Done);
            let closing = client.closing().clone();
            let handshake = timeout(LONGEST_HANDSHAKE, self.0.accept(client.into_inner()));
            match closing.run_until_cancelled(handshake).await {
                None => {}
                Some(Ok(Ok(stream))) => {
                    member.end = None;
                    Connection::new(stream, closing, member).await;
                }
                Some(_) => member.end = Some(End::Failed),
            }
        }
    }
}

#[cfg(not(feature = "tls"))]
mod chosen {
    use std::path::Path;
    use std::rc::Rc;

    use super::Client;
    use crate::worker::Worker;

    /// There is none.
    #[derive(Clone)]
    pub(crate) enum Acceptor {}

    impl Acceptor {
        pub(super) fn load(_: &Path, _: &Path) -> Result<Acceptor, String> {
            Err("this build has no TLS: build it with `--features tls`".into())
        }

        pub(super) async fn serve(self, _: Client, _: Rc<Worker>) {
            match self {}
        }
    }
}
