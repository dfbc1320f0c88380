//! quinn on one loop: bytes that come back, nothing left behind, and its timers on our clock.

#[path = "../quinn_runtime.rs"]
mod quinn_runtime;

use std::cell::Cell;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::rc::Rc;
use std::sync::Arc;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, Connection, ConnectionError, Endpoint, EndpointConfig, ServerConfig};
use quinn_runtime::LoopRuntime;
use rcgen::{CertifiedKey, KeyPair};
use wheelhouse::testing::Test;
use wheelhouse::time::{Duration, Instant, sleep};
use wheelhouse::{Clock, EventLoop, JoinHandle, spawn};
use wheelhouse_tls::rustls::RootCertStore;
use wheelhouse_tls::{PrivateKeyDer, client_config, server_config};

fn endpoint(server: Option<ServerConfig>) -> Endpoint {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    Endpoint::new(EndpointConfig::default(), server, socket, Arc::new(LoopRuntime)).unwrap()
}

/// The server's side of a certificate, and that of a client who trusts it.
fn crypto(signed: &CertifiedKey<KeyPair>) -> (Arc<QuicServerConfig>, Arc<QuicClientConfig>) {
    let key = PrivateKeyDer::try_from(signed.signing_key.serialize_der()).unwrap();
    let cert = signed.cert.der().clone();
    let server = server_config(vec![cert.clone()], key).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(cert).unwrap();
    let client = QuicClientConfig::try_from(client_config(roots)).unwrap();
    (Arc::new(QuicServerConfig::try_from(server).unwrap()), Arc::new(client))
}

/// Two endpoints, and the two ends of a connection between them.
async fn connected() -> (Endpoint, Connection, Endpoint, Connection) {
    connected_by(async |server| server).await
}

/// The client does not ask for the server's address, but for that which leads there.
async fn connected_by(
    way: impl AsyncFnOnce(SocketAddr) -> SocketAddr,
) -> (Endpoint, Connection, Endpoint, Connection) {
    let signed = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (server, client) = crypto(&signed);
    let server = endpoint(Some(ServerConfig::with_crypto(server)));
    let mut near = endpoint(None);
    near.set_default_client_config(ClientConfig::new(client));
    let address = way(server.local_addr().unwrap()).await;
    let (client, accepted) = wheelhouse::join!(
        async { near.connect(address, "localhost").unwrap().await.unwrap() },
        async { server.accept().await.unwrap().await.unwrap() }
    );
    (near, client, server, accepted)
}

/// The endpoints' own tasks end when their last handle is gone.
async fn leave(near: Endpoint, server: Endpoint) {
    near.wait_idle().await;
    server.close(0u32.into(), b"");
    server.wait_idle().await;
}

#[test]
fn megabytes_come_back_and_nothing_is_left() {
    Test::new().real_time().run(async {
        let (near, client, server, accepted) = connected().await;
        let echoing = spawn(async move {
            let (mut writer, mut reader) = accepted.accept_bi().await.unwrap();
            while let Some(chunk) = reader.read_chunk(64 * 1024, true).await.unwrap() {
                writer.write_chunk(chunk.bytes).await.unwrap();
            }
            writer.finish().unwrap();
            accepted.closed().await
        });
        let data: Vec<u8> = (0..2 << 20).map(|n: u32| (n ^ (n >> 8) ^ (n >> 16)) as u8).collect();
        let expected = data.clone();
        let (mut writer, mut reader) = client.open_bi().await.unwrap();
        let writing = spawn(async move {
            writer.write_all(&data).await.unwrap();
            writer.finish().unwrap();
        });
        let received = reader.read_to_end(4 << 20).await.unwrap();
        assert!(received == expected, "{} of {} bytes", received.len(), expected.len());
        writing.await.unwrap();
        client.close(7u32.into(), b"done");
        let end = echoing.await.unwrap();
        assert!(
            matches!(&end, ConnectionError::ApplicationClosed(close)
            if close.error_code == 7u32.into() && close.reason == "done"),
            "{end}"
        );
        drop((client, reader));
        leave(near, server).await;
    });
}

/// The server's loop is on another thread.
#[test]
fn two_loops_talk_to_each_other() {
    let signed = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (server, client) = crypto(&signed);
    let (tell, told) = std::sync::mpsc::channel();
    let serving = std::thread::spawn(move || {
        wheelhouse::run(async {
            let server = endpoint(Some(ServerConfig::with_crypto(server)));
            tell.send(server.local_addr().unwrap()).unwrap();
            let connection = server.accept().await.unwrap().await.unwrap();
            let mut reader = connection.accept_uni().await.unwrap();
            let said = reader.read_to_end(64).await.unwrap();
            server.close(0u32.into(), b"");
            server.wait_idle().await;
            said
        })
    });
    let address = told.recv().unwrap();
    wheelhouse::run(async {
        let mut near = endpoint(None);
        near.set_default_client_config(ClientConfig::new(client));
        let connection = near.connect(address, "localhost").unwrap().await.unwrap();
        let mut writer = connection.open_uni().await.unwrap();
        writer.write_all(b"from loop to loop").await.unwrap();
        writer.finish().unwrap();
        let end = connection.closed().await;
        assert!(matches!(end, ConnectionError::ApplicationClosed(_)), "{end}");
    });
    assert_eq!(serving.join().unwrap(), b"from loop to loop");
}

/// quinn's own default: 30 seconds of silence end a connection, in no time here.
#[test]
fn silence_ends_a_connection_on_the_loops_clock() {
    let settle = Some(Duration::from_millis(5));
    let test = Test::on(EventLoop::builder().clock(Clock::Virtual { settle })).in_order();
    test.run(async {
        let (near, client, server, accepted) = connected().await;
        sleep(Duration::from_secs(10)).await;
        let start = Instant::now();
        let end = client.closed().await;
        assert!(matches!(end, ConnectionError::TimedOut), "{end}");
        // Counted from the last datagram, which came 10 seconds ago.
        let took = start.elapsed();
        let due = Duration::from_secs(20);
        assert!(took.abs_diff(due) < Duration::from_secs(1), "{took:?} of {due:?}");
        drop((client, accepted));
        leave(near, server).await;
    });
}

/// A way to `server` on which every fourth datagram gets lost, and every fifth on the way back, until
/// its tasks are aborted.
async fn lossy(server: SocketAddr, tasks: &mut Vec<JoinHandle<()>>) -> SocketAddr {
    let front = Rc::new(wheelhouse::net::UdpSocket::bind("127.0.0.1:0").await.unwrap());
    let back = Rc::new(wheelhouse::net::UdpSocket::bind("127.0.0.1:0").await.unwrap());
    back.connect(server).await.unwrap();
    let address = front.local_addr().unwrap();
    let client = Rc::new(Cell::new(None));
    tasks.push(spawn({
        let (front, back, client) = (front.clone(), back.clone(), client.clone());
        async move {
            let mut buffer = [0; 2048];
            for number in 1.. {
                let (n, from) = front.recv_from(&mut buffer).await.unwrap();
                client.set(Some(from));
                if number % 4 != 0 {
                    back.send(&buffer[..n]).await.unwrap();
                }
            }
        }
    }));
    tasks.push(spawn(async move {
        let mut buffer = [0; 2048];
        for number in 1.. {
            let n = back.recv(&mut buffer).await.unwrap();
            if number % 5 != 0 {
                front.send_to(&buffer[..n], client.get().unwrap()).await.unwrap();
            }
        }
    }));
    address
}

/// What is lost is sent again when quinn's timers say so, which are the loop's.
#[test]
fn all_of_it_arrives_though_every_fourth_datagram_is_lost() {
    let settle = Some(Duration::from_millis(2));
    let test = Test::on(EventLoop::builder().clock(Clock::Virtual { settle })).in_order();
    test.run(async {
        let mut tasks = Vec::new();
        let way = async |server| lossy(server, &mut tasks).await;
        let (near, client, server, accepted) = connected_by(way).await;
        let data: Vec<u8> = (0..200_000).map(|n: u32| (n ^ (n >> 8)) as u8).collect();
        let expected = data.clone();
        let sending = spawn(async move {
            let mut writer = client.open_uni().await.unwrap();
            writer.write_all(&data).await.unwrap();
            writer.finish().unwrap();
            // Until all of it is acknowledged.
            writer.stopped().await.unwrap();
            client
        });
        let received = accepted.accept_uni().await.unwrap().read_to_end(1 << 20).await.unwrap();
        assert!(received == expected, "{} of {} bytes", received.len(), expected.len());
        let client = sending.await.unwrap();
        assert!(client.stats().path.lost_packets > 10, "nothing was lost");
        client.close(0u32.into(), b"");
        drop((client, accepted));
        leave(near, server).await;
        for task in tasks {
            task.abort();
            assert!(task.await.unwrap_err().is_cancelled());
        }
    });
}
