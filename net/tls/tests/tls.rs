//! TLS between our own two ends: what is agreed on, that no byte is lost, how connections end.

mod support;

use std::cell::Cell;
use std::io;
use std::net::Shutdown;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_lite::{AsyncReadExt, AsyncWriteExt, future};
use support::{
    Counted, Drip, Hoard, Identity, client_hello, localhost, pair, pair_over, pattern, reason, run,
    shrink_buffers, tcp_pair,
};
use wheelhouse::net::{StreamReader, StreamWriter, TcpStream};
use wheelhouse::spawn;
use wheelhouse::time::{sleep, timeout};
use wheelhouse_tls::rustls::version::{TLS12, TLS13};
use wheelhouse_tls::rustls::{
    self, AlertDescription, CertificateError, ClientConfig, ProtocolVersion, ServerConfig,
};
use wheelhouse_tls::{TlsAcceptor, TlsConnector, TlsStream, client_config};

const GUARD: Duration = Duration::from_secs(30);

async fn read_to_end(stream: &mut TlsStream<TcpStream>) -> io::Result<Vec<u8>> {
    let mut data = Vec::new();
    stream.read_to_end(&mut data).await.map(|_| data)
}

/// A client and a server that know only one version.
fn configs_of(version: &'static rustls::SupportedProtocolVersion) -> (ClientConfig, ServerConfig) {
    let identity = Identity::new();
    let provider = || Arc::new(rustls::crypto::ring::default_provider());
    let client = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(identity.roots())
        .with_no_client_auth();
    (client, identity.server())
}

#[test]
fn both_sides_know_what_was_agreed() {
    run(async {
        let identity = Identity::new();
        let (mut client, mut server) = (identity.client(), identity.server());
        client.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        let (client, server) = pair_over(client, server, |stream| stream).await;

        for end in [&client, &server] {
            assert_eq!(end.alpn(), Some(&b"http/1.1"[..]));
            assert_eq!(end.protocol_version(), Some(ProtocolVersion::TLSv1_3));
            assert!(end.cipher_suite().is_some());
        }
        assert_eq!(client.peer_certificates(), Some(&[identity.cert()][..]));
        assert_eq!(server.peer_certificates(), None);
        assert_eq!(server.server_name(), Some("localhost"));
        assert_eq!(client.server_name(), None);
        assert!(format!("{client:?}").contains("http/1.1"), "{client:?}");
    });
}

/// A line in the clear, then TLS at once, as a proxy in front does: what was read ahead with the line
/// is part of the handshake.
#[test]
fn a_handshake_begins_with_what_a_reader_has_read_ahead() {
    run(async {
        let identity = Identity::new();
        let acceptor = TlsAcceptor::new(Arc::new(identity.server()));
        let connector = TlsConnector::new(Arc::new(identity.client()));
        let (near, far) = tcp_pair().await;
        near.write_all(b"PROXY UNKNOWN\r\n").await.unwrap();
        let accepting = spawn(async move {
            // It runs when the client waits for an answer: its hello is there.
            let mut reader = StreamReader::new(far);
            assert_eq!(reader.read_line(107).await.unwrap(), Some("PROXY UNKNOWN"));
            assert!(!reader.buffer().is_empty());
            acceptor.accept(reader).await.unwrap()
        });
        let mut client = connector.connect(localhost(), near).await.unwrap();
        let mut server = StreamWriter::new(StreamReader::new(accepting.await.unwrap()));

        client.write_all(b"question\n").await.unwrap();
        client.flush().await.unwrap();
        assert_eq!(server.get_mut().read_line(100).await.unwrap(), Some("question"));
        server.write(b"answer");
        server.shutdown().await.unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, b"answer");
        client.close().await.unwrap();
        assert_eq!(server.read(&mut [0; 8]).await.unwrap(), 0);
    });
}

#[test]
fn tls_1_2_works_as_well() {
    run(async {
        let (client, server) = configs_of(&TLS12);
        let (mut client, mut server) = pair_over(client, server, |stream| stream).await;
        assert_eq!(client.protocol_version(), Some(ProtocolVersion::TLSv1_2));
        assert_eq!(client.alpn(), None);
        client.write_all(b"over 1.2").await.unwrap();
        client.close().await.unwrap();
        assert_eq!(read_to_end(&mut server).await.unwrap(), b"over 1.2");
    });
}

/// Whole duplex between two tasks an end: the readers must not take the writers' wake-ups.
#[test]
fn megabytes_go_both_ways_at_once() {
    run(async {
        let (client, server) = pair().await;
        let data = Rc::new(pattern(4 << 20));
        let tasks = [client, server].map(|end| {
            shrink_buffers(end.get_ref());
            let (mut reader, mut writer) = futures_lite::io::split(end);
            let (sent, expected) = (data.clone(), data.clone());
            let writing = spawn(async move {
                writer.write_all(&sent).await.unwrap();
                writer.close().await.unwrap();
                writer
            });
            let reading = spawn(async move {
                let mut received = Vec::new();
                reader.read_to_end(&mut received).await.unwrap();
                assert!(received == *expected, "{} bytes differ", received.len());
                reader
            });
            (writing, reading)
        });
        for (writing, reading) in tasks {
            timeout(GUARD, writing).await.unwrap().unwrap();
            timeout(GUARD, reading).await.unwrap().unwrap();
        }
    });
}

#[test]
fn a_byte_at_a_time_is_enough() {
    for version in [&TLS12, &TLS13] {
        run(async {
            let (client, server) = configs_of(version);
            let (mut client, mut server) = pair_over(client, server, Drip::new).await;
            let data = pattern(5000);
            let sending = async {
                client.write_all(&data).await.unwrap();
                client.close().await.unwrap();
                let mut answer = Vec::new();
                client.read_to_end(&mut answer).await.unwrap();
                answer
            };
            let receiving = async {
                let mut received = Vec::new();
                server.read_to_end(&mut received).await.unwrap();
                server.write_all(b"it came").await.unwrap();
                server.close().await.unwrap();
                received
            };
            let (answer, received) = future::zip(sending, receiving).await;
            assert!(received == data, "{} of {} bytes", received.len(), data.len());
            assert_eq!(answer, b"it came");
        });
    }
}

/// The last message of a handshake must leave a stream that only sends when flushed.
#[test]
fn handshake_and_data_leave_a_stream_that_hoards() {
    for version in [&TLS12, &TLS13] {
        run(async {
            let (client, server) = configs_of(version);
            let pair = pair_over(client, server, Hoard::new);
            let (mut client, mut server) = timeout(GUARD, pair).await.expect("a handshake");
            client.write_all(b"ping").await.unwrap();
            client.flush().await.unwrap();
            let mut buffer = [0; 4];
            timeout(GUARD, server.read_exact(&mut buffer)).await.unwrap().unwrap();
            assert_eq!(&buffer, b"ping");
            server.close().await.unwrap();
            assert_eq!(timeout(GUARD, client.read(&mut buffer)).await.unwrap().unwrap(), 0);
        });
    }
}

#[test]
fn after_close_notify_the_other_side_may_still_write() {
    for version in [&TLS12, &TLS13] {
        run(async {
            let (client, server) = configs_of(version);
            let (mut client, mut server) = pair_over(client, server, |stream| stream).await;
            client.write_all(b"request").await.unwrap();
            client.close().await.unwrap();
            assert_eq!(read_to_end(&mut server).await.unwrap(), b"request");
            // The end stays the end.
            assert_eq!(server.read(&mut [0; 8]).await.unwrap(), 0);

            server.write_all(b"response").await.unwrap();
            server.close().await.unwrap();
            assert_eq!(read_to_end(&mut client).await.unwrap(), b"response");
            let error = client.write(b"more").await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
            assert!(error.to_string().contains("was closed"), "{error}");
            // Closing twice is closing.
            client.close().await.unwrap();
        });
    }
}

#[test]
fn a_connection_that_was_cut_is_no_end() {
    run(async {
        let (mut client, mut server) = pair().await;
        client.write_all(b"half a ").await.unwrap();
        client.flush().await.unwrap();
        client.into_inner().shutdown(Shutdown::Write).unwrap();

        let mut buffer = [0; 64];
        assert_eq!(server.read(&mut buffer).await.unwrap(), 7);
        for _ in 0..2 {
            let error = server.read(&mut buffer).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{error}");
        }
    });
}

#[test]
fn a_reset_comes_out_as_it_is() {
    run(async {
        let (client, mut server) = pair().await;
        client.get_ref().set_zero_linger().unwrap();
        drop(client);
        let error = server.read(&mut [0; 8]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}");
        let error = server.close().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe, "{error}");
    });
}

#[test]
fn closing_towards_a_peer_that_is_done_and_gone_succeeds() {
    run(async {
        let (mut client, mut server) = pair().await;
        client.close().await.unwrap();
        assert_eq!(read_to_end(&mut server).await.unwrap(), b"");
        client.get_ref().set_zero_linger().unwrap();
        drop(client);
        // Until the reset has arrived.
        while server.get_ref().take_error().unwrap().is_none() {
            sleep(Duration::from_micros(100)).await;
        }
        server.close().await.unwrap();
    });
}

/// RFC 8446, 6: an alert, close_notify, not encrypted.
const CLOSE_NOTIFY: [u8; 7] = [21, 3, 3, 0, 2, 1, 0];

/// Pitfall 57, in all its forms: it must end, and must not spin until then.
#[test]
fn who_closes_in_the_handshake_ends_it() {
    for version in [&TLS12, &TLS13] {
        let (client, server) = configs_of(version);
        let hello = client_hello(client);
        let with_alert = [&hello[..], &CLOSE_NOTIFY].concat();
        for said in [&[][..], &hello[..20], &hello, &with_alert] {
            run(async {
                let (near, far) = tcp_pair().await;
                let asked = Rc::new(Cell::new(0));
                let far = Counted { stream: far, asked: asked.clone() };
                near.write_all(said).await.unwrap();
                let acceptor = TlsAcceptor::new(Arc::new(server.clone()));
                let accepting = spawn(async move { acceptor.accept(far).await });
                sleep(Duration::from_millis(2)).await;
                near.shutdown(Shutdown::Write).unwrap();
                let ended = timeout(GUARD, accepting).await.expect("it ends").unwrap();
                let error = ended.err().expect("there was no handshake");
                let kind = error.kind();
                assert!(
                    kind == io::ErrorKind::UnexpectedEof || kind == io::ErrorKind::InvalidData,
                    "{error}"
                );
                assert!(asked.get() < 20, "it was asked {} times", asked.get());
            });
        }
    }
}

#[test]
fn what_is_not_tls_is_refused_with_an_alert() {
    run(async {
        let (near, far) = tcp_pair().await;
        near.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let acceptor = TlsAcceptor::new(Arc::new(Identity::new().server()));
        let error = acceptor.accept(far).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
        let mut alert = [0; 16];
        let n = near.read(&mut alert).await.unwrap();
        assert_eq!((n, alert[0]), (7, 21), "an alert");
    });
}

#[test]
fn a_certificate_that_is_not_trusted_ends_both_sides() {
    run(async {
        let (near, far) = tcp_pair().await;
        let client = client_config(Identity::new().roots());
        let connector = TlsConnector::new(Arc::new(client));
        let acceptor = TlsAcceptor::new(Arc::new(Identity::new().server()));
        let (client, server) =
            wheelhouse::join!(connector.connect(localhost(), near), acceptor.accept(far));
        let (client, server) = (client.unwrap_err(), server.unwrap_err());
        assert!(
            matches!(
                reason(&client),
                rustls::Error::InvalidCertificate(
                    CertificateError::UnknownIssuer | CertificateError::BadSignature
                )
            ),
            "{client}"
        );
        assert!(
            matches!(
                reason(&server),
                rustls::Error::AlertReceived(
                    AlertDescription::UnknownCA
                        | AlertDescription::DecryptError
                        | AlertDescription::BadCertificate
                )
            ),
            "{server}"
        );
    });
}

#[test]
fn a_forged_record_is_an_error_after_what_came_before() {
    run(async {
        let (mut client, mut server) = pair().await;
        client.write_all(b"genuine").await.unwrap();
        client.flush().await.unwrap();
        // A record of application data that nobody has encrypted.
        let forged = [&[23, 3, 3, 0, 32][..], &[0x55; 32]].concat();
        client.get_ref().write_all(&forged).await.unwrap();
        sleep(Duration::from_millis(1)).await;

        let mut buffer = [0; 64];
        assert_eq!(server.read(&mut buffer).await.unwrap(), 7);
        for _ in 0..2 {
            let error = server.read(&mut buffer).await.unwrap_err();
            assert_eq!(*reason(&error), rustls::Error::DecryptError);
        }
        assert!(server.write(b"still there?").await.is_err());
        // The peer is told.
        let error = client.read(&mut buffer).await.unwrap_err();
        let told = rustls::Error::AlertReceived(AlertDescription::BadRecordMac);
        assert_eq!(*reason(&error), told);
    });
}

/// A read that is dropped has taken nothing.
#[test]
fn reads_may_be_dropped_at_any_time() {
    run(async {
        let identity = Identity::new();
        let (mut client, mut server) =
            pair_over(identity.client(), identity.server(), Drip::new).await;
        let data = pattern(3000);
        let expected = data.clone();
        let sending = spawn(async move {
            for part in data.chunks(100) {
                client.write_all(part).await.unwrap();
                client.flush().await.unwrap();
            }
            client.close().await.unwrap();
            client
        });
        let (mut received, mut dropped) = (Vec::new(), 0);
        loop {
            let mut buffer = [0; 64];
            // One poll: then it is dropped, and the loop is given time by hand.
            match future::poll_once(server.read(&mut buffer)).await {
                Some(Ok(0)) => break,
                Some(read) => received.extend_from_slice(&buffer[..read.unwrap()]),
                None => {
                    dropped += 1;
                    wheelhouse::yield_now().await;
                }
            }
        }
        sending.await.unwrap();
        assert!(dropped > 1000, "{dropped} were dropped");
        assert!(received == expected, "{} of {} bytes", received.len(), expected.len());
    });
}

/// What was written and not flushed goes out while the same task reads.
#[test]
fn reading_sends_what_is_left() {
    run(async {
        let (mut client, mut server) = pair().await;
        shrink_buffers(client.get_ref());
        shrink_buffers(server.get_ref());
        let data = pattern(400_000);
        let length = data.len();
        let answering = spawn(async move {
            let mut received = vec![0; length];
            server.read_exact(&mut received).await.unwrap();
            server.write_all(b"all of it").await.unwrap();
            server.close().await.unwrap();
            received
        });
        // No flush: the rest is in the session when the reading begins.
        client.write_all(&data).await.unwrap();
        let answer = timeout(GUARD, read_to_end(&mut client)).await.expect("an answer").unwrap();
        assert_eq!(answer, b"all of it");
        assert!(answering.await.unwrap() == data);
    });
}

/// Many small buffers are one record, not one each.
#[test]
fn several_buffers_go_out_together() {
    run(async {
        let (mut client, mut server) = pair().await;
        let parts = [&b"head"[..], b"", b"body", b"tail"].map(io::IoSlice::new);
        assert_eq!(client.write_vectored(&parts).await.unwrap(), 12);
        client.flush().await.unwrap();
        let mut buffer = [0; 64];
        assert_eq!(server.read(&mut buffer).await.unwrap(), 12);
        assert_eq!(&buffer[..12], b"headbodytail");
        assert_eq!(client.write(b"").await.unwrap(), 0);
    });
}
