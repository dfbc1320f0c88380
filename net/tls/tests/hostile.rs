//! TLS against what goes wrong: tasks that are gone, futures that are dropped, certificates and
//! protocols that do not fit, handshakes that nobody finishes.

mod support;

use std::sync::Arc;
use std::time::Duration;

use futures_lite::{AsyncReadExt, AsyncWriteExt, future};
use support::{
    Identity, client_hello, localhost, pair, pair_over, pattern, reason, run, shrink_buffers,
    tcp_pair,
};
use wheelhouse::spawn;
use wheelhouse::time::timeout;
use wheelhouse_tls::rustls::server::WebPkiClientVerifier;
use wheelhouse_tls::rustls::{
    self, AlertDescription, CertificateError, ClientConfig, ServerConfig,
};
use wheelhouse_tls::{TlsAcceptor, TlsConnector};

const GUARD: Duration = Duration::from_secs(30);

/// Who wrote may be gone, with his half, before all of it left: the other task's read sends it.
#[test]
fn the_reading_task_sends_what_a_task_that_is_gone_has_left() {
    run(async {
        let (client, mut server) = pair().await;
        shrink_buffers(client.get_ref());
        let (mut reader, mut writer) = futures_lite::io::split(client);
        // It waits before anything is written.
        let reading = spawn(async move {
            let mut answer = [0; 8];
            reader.read_exact(&mut answer).await.unwrap();
            answer
        });
        wheelhouse::yield_now().await;
        // More than the socket takes while nobody reads, less than TLS keeps beside: no flush.
        let mut length = 0;
        while let Some(written) = future::poll_once(writer.write(&[7; 8192])).await {
            length += written.unwrap();
        }
        drop(writer);
        let answering = spawn(async move {
            let mut received = vec![0; length];
            server.read_exact(&mut received).await.unwrap();
            server.write_all(b"received").await.unwrap();
            server.flush().await.unwrap();
            assert!(received == vec![7; length]);
            server
        });
        let answer = timeout(GUARD, reading).await.expect("an answer").unwrap();
        assert_eq!(&answer, b"received");
        answering.await.unwrap();
    });
}

/// And who waits to write is woken although another task reads.
#[test]
fn a_read_takes_no_wake_up_from_a_flush() {
    run(async {
        let (client, mut server) = pair().await;
        shrink_buffers(client.get_ref());
        let (mut reader, mut writer) = futures_lite::io::split(client);
        let data = pattern(600_000);
        let expected = data.clone();
        let writing = spawn(async move {
            writer.write_all(&data).await.unwrap();
            writer.flush().await.unwrap();
            writer
        });
        wheelhouse::yield_now().await;
        // It begins to wait, and to send, when the writer waits already.
        let reading = spawn(async move { reader.read(&mut [0; 8]).await.unwrap() });
        wheelhouse::yield_now().await;
        let mut received = vec![0; expected.len()];
        timeout(GUARD, server.read_exact(&mut received)).await.expect("all of it").unwrap();
        assert!(received == expected);
        let writer = timeout(GUARD, writing).await.expect("the writer was woken").unwrap();
        server.close().await.unwrap();
        assert_eq!(reading.await.unwrap(), 0);
        drop(writer);
    });
}

#[test]
fn a_certificate_for_another_name_or_out_of_date_is_refused() {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};
    let made = |name: &str, until| {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_after = date_time_ymd(until, 1, 1);
        let signing_key = KeyPair::generate().unwrap();
        let cert = params.self_signed(&signing_key).unwrap();
        Identity { signed: rcgen::CertifiedKey { cert, signing_key } }
    };
    for (identity, expired) in [(made("example.org", 2999), false), (made("localhost", 2000), true)]
    {
        run(async {
            let (near, far) = tcp_pair().await;
            let connector = TlsConnector::new(Arc::new(identity.client()));
            let acceptor = TlsAcceptor::new(Arc::new(identity.server()));
            let (client, server) =
                wheelhouse::join!(connector.connect(localhost(), near), acceptor.accept(far));
            let error = client.unwrap_err();
            let rustls::Error::InvalidCertificate(why) = reason(&error) else { panic!("{error}") };
            use CertificateError::{
                Expired, ExpiredContext, NotValidForName, NotValidForNameContext,
            };
            match expired {
                true => assert!(matches!(why, Expired | ExpiredContext { .. }), "{error}"),
                false => {
                    assert!(
                        matches!(why, NotValidForName | NotValidForNameContext { .. }),
                        "{error}"
                    );
                }
            }
            let told = server.unwrap_err();
            assert!(matches!(reason(&told), rustls::Error::AlertReceived(_)), "{told}");
        });
    }
}

/// By rustls's own builders. In TLS 1.3 a client has shaken hands before the server has looked at its
/// certificate: what the server thinks of it comes with the first read.
#[test]
fn a_server_that_asks_for_certificates_knows_its_clients_and_refuses_strangers() {
    let (shop, customer) = (Identity::new(), Identity::new());
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let trusted = Arc::new(customer.roots());
    let clients = WebPkiClientVerifier::builder_with_provider(trusted, ring.clone()).build();
    let server = ServerConfig::builder_with_provider(ring.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(clients.unwrap())
        .with_single_cert(vec![shop.cert()], shop.key())
        .unwrap();
    let known = ClientConfig::builder_with_provider(ring)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(shop.roots())
        .with_client_auth_cert(vec![customer.cert()], customer.key())
        .unwrap();
    run(async {
        let (_client, accepted) = pair_over(known, server.clone(), |stream| stream).await;
        assert_eq!(accepted.peer_certificates(), Some(&[customer.cert()][..]));

        let (near, far) = tcp_pair().await;
        let connector = TlsConnector::new(Arc::new(shop.client()));
        let acceptor = TlsAcceptor::new(Arc::new(server));
        let (stranger, refused) =
            wheelhouse::join!(connector.connect(localhost(), near), acceptor.accept(far));
        assert_eq!(*reason(&refused.unwrap_err()), rustls::Error::NoCertificatesPresented);
        let told = stranger.unwrap().read(&mut [0; 1]).await.unwrap_err();
        let required = AlertDescription::CertificateRequired;
        assert_eq!(*reason(&told), rustls::Error::AlertReceived(required));
    });
}

#[test]
fn no_protocol_in_common_ends_both_sides() {
    run(async {
        let identity = Identity::new();
        let (mut client, mut server) = (identity.client(), identity.server());
        client.alpn_protocols = vec![b"h2".to_vec()];
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        let (near, far) = tcp_pair().await;
        let connector = TlsConnector::new(Arc::new(client));
        let acceptor = TlsAcceptor::new(Arc::new(server));
        let (client, server) =
            wheelhouse::join!(connector.connect(localhost(), near), acceptor.accept(far));
        let (client, server) = (client.unwrap_err(), server.unwrap_err());
        assert_eq!(*reason(&server), rustls::Error::NoApplicationProtocol);
        let told = rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol);
        assert_eq!(*reason(&client), told);
    });
}

/// Whoever gives up leaves nothing: no task, no descriptor (the runner looks), and the peer is told
/// by the end of the stream.
#[test]
fn a_handshake_that_is_given_up_closes_the_connection() {
    run(async {
        let (near, far) = tcp_pair().await;
        let acceptor = TlsAcceptor::new(Arc::new(Identity::new().server()));
        // A client that says half of its hello.
        let hello = client_hello(Identity::new().client());
        near.write_all(&hello[..hello.len() / 2]).await.unwrap();
        let given_up = timeout(Duration::from_millis(5), acceptor.accept(far)).await;
        assert!(given_up.is_err(), "it was not finished");
        assert_eq!(near.read(&mut [0; 8]).await.unwrap(), 0);
    });
}

/// A write that is dropped while it waits has taken nothing: what the peer gets is what the writes
/// that were ready said they took.
#[test]
fn writes_may_be_dropped_at_any_time() {
    run(async {
        let (mut client, mut server) = pair().await;
        shrink_buffers(client.get_ref());
        let reading = spawn(async move {
            let mut received = Vec::new();
            let mut buffer = [0; 1500];
            loop {
                match server.read(&mut buffer).await.unwrap() {
                    0 => return received,
                    n => received.extend_from_slice(&buffer[..n]),
                }
            }
        });
        let data = pattern(1 << 20);
        let (mut taken, mut dropped) = (0, 0);
        while taken < data.len() {
            match future::poll_once(client.write(&data[taken..])).await {
                Some(written) => taken += written.unwrap(),
                None => {
                    dropped += 1;
                    wheelhouse::yield_now().await;
                }
            }
        }
        client.close().await.unwrap();
        let received = reading.await.unwrap();
        assert!(dropped > 3, "{dropped} were dropped");
        assert!(received == data, "{} of {} bytes", received.len(), data.len());
    });
}
