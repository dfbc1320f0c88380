//! TLS (feature `tls`): the handshake, and the certificate that the command line names.
//!
//! Without the feature nothing is left of it but an acceptor of which there is none, so that the
//! rest of the program does not know the difference.

use std::path::Path;
use std::rc::Rc;

use wheelhouse::net::TcpStream;

use crate::limits::Place;
use crate::worker::Worker;

pub(crate) use self::chosen::Acceptor;

/// Shakes hands, then serves. A client that has not done so at the stop has sent nothing to echo.
pub(crate) async fn serve(stream: TcpStream, acceptor: Acceptor, worker: Rc<Worker>, place: Place) {
    acceptor.serve(stream, worker, place).await;
}

/// The acceptor for a certificate chain and its key. The error is for the user's eyes.
pub(crate) fn load(certificate: &Path, key: &Path) -> Result<Acceptor, String> {
    Acceptor::load(certificate, key)
}

#[cfg(feature = "tls")]
mod chosen {
    use std::future::{Future, poll_fn};
    use std::path::Path;
    use std::pin::pin;
    use std::rc::Rc;
    use std::sync::Arc;
    use std::task::Poll;
    use std::time::Duration;

    use wheelhouse::net::TcpStream;
    use wheelhouse::time::timeout;
    use wheelhouse_tls::{TlsAcceptor, TlsStream, certs_from_pem, key_from_pem, server_config};

    use crate::connection::{Connection, Wire};
    use crate::limits::Place;
    use crate::stats::End;
    use crate::stop::Stage;
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
            let chain = certs_from_pem(certificate)
                .map_err(|error| format!("`--tls-cert {}`: {error}", certificate.display()))?;
            let key = key_from_pem(key)
                .map_err(|error| format!("`--tls-key {}`: {error}", key.display()))?;
            let config = server_config(chain, key)
                .map_err(|error| format!("the certificate and the key cannot be used: {error}"))?;
            Ok(Acceptor(TlsAcceptor::new(Arc::new(config))))
        }

        pub(super) async fn serve(self, stream: TcpStream, worker: Rc<Worker>, place: Place) {
            let mut member = Member::new(&worker);
            let mut handshake = pin!(timeout(LONGEST_HANDSHAKE, self.0.accept(stream)));
            let accepted = poll_fn(|cx| {
                member.register(cx);
                if worker.stage.get() != Stage::Running {
                    return Poll::Ready(None);
                }
                handshake.as_mut().poll(cx).map(Some)
            });
            match accepted.await {
                None => member.ended(End::Done),
                Some(Ok(Ok(stream))) => Connection::new(stream, worker, member, place).await,
                Some(_) => member.ended(End::Failed),
            }
        }
    }
}

#[cfg(not(feature = "tls"))]
mod chosen {
    use std::path::Path;
    use std::rc::Rc;

    use wheelhouse::net::TcpStream;

    use crate::limits::Place;
    use crate::worker::Worker;

    /// There is none.
    #[derive(Clone)]
    pub(crate) enum Acceptor {}

    impl Acceptor {
        pub(super) fn load(_: &Path, _: &Path) -> Result<Acceptor, String> {
            Err("this build has no TLS: build it with `--features tls`".into())
        }

        pub(super) async fn serve(self, _: TcpStream, _: Rc<Worker>, _: Place) {
            match self {}
        }
    }
}
