//! hyper under our server, which ends it without cutting an answer short, and WebSockets: through
//! hyper's upgrade, in large messages, and with peers that vanish.

use std::convert::Infallible;
use std::pin::pin;

use async_tungstenite::tungstenite::handshake::derive_accept_key;
use async_tungstenite::tungstenite::protocol::Role;
use async_tungstenite::tungstenite::{Error, Message, Result};
use async_tungstenite::{WebSocketStream, accept_async, client_async};
use bytes::Bytes;
use futures_lite::StreamExt;
use http_body_util::{Empty, Full};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use wheelhouse::net::compat::hyper::{HyperIo, HyperTimer};
use wheelhouse::net::{Connection, Server, TcpListener, TcpStream};
use wheelhouse::spawn;
use wheelhouse::testing::Test;
use wheelhouse::time::{Duration, sleep, timeout};

const GUARD: Duration = Duration::from_secs(30);

#[track_caller]
fn run<F: Future>(future: F) -> F::Output {
    Test::new().real_time().run(future)
}

async fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (near, listener.accept().await.unwrap().0)
}

/// What a handler of ours does with hyper: told to end, it ends the connection after the answer.
async fn serve(connection: Connection<std::net::TcpStream>) -> hyper::Result<()> {
    let closing = connection.closing().clone();
    let service = service_fn(|_: Request<Incoming>| async {
        sleep(Duration::from_millis(20)).await;
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"the whole answer"))))
    });
    let mut server = http1::Builder::new();
    let serving = server.timer(HyperTimer).serve_connection(HyperIo::new(connection), service);
    let mut serving = pin!(serving);
    match closing.run_until_cancelled(serving.as_mut()).await {
        Some(ended) => ended,
        None => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    }
}

#[test]
fn a_server_that_ends_lets_hyper_finish_its_answers() {
    run(async {
        let server = Server::builder().bind("127.0.0.1:0").serve(|c, _| serve(c)).await.unwrap();
        let address = server.local_addrs()[0];
        let idle = TcpStream::connect(address).await.unwrap();
        let busy = TcpStream::connect(address).await.unwrap();
        busy.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        while server.stats().total().active < 2 {
            wheelhouse::yield_now().await;
        }
        // The request is being answered.
        sleep(Duration::from_millis(5)).await;
        server.close();
        let report = server.close_clients(GUARD).await;
        assert_eq!((report.asked, report.aborted.len()), (2, 0));
        server.wait_closed().await;

        let mut answer = Vec::new();
        busy.read_to_end(&mut answer).await.unwrap();
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.ends_with("the whole answer"), "{answer}");
        assert_eq!(idle.read(&mut [0; 8]).await.unwrap(), 0);
        assert_eq!(server.stats().total().failed, 0);
    });
}

async fn echo(mut socket: WebSocketStream<TcpStream>) -> Result<()> {
    while let Some(message) = socket.next().await {
        let message = message?;
        if message.is_text() || message.is_binary() {
            socket.send(message).await?;
        }
    }
    Ok(())
}

/// The request becomes a WebSocket: hyper gives the stream back, with what it read ahead.
async fn upgrade(mut request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, Infallible> {
    let key = derive_accept_key(request.headers()[SEC_WEBSOCKET_KEY].as_bytes());
    spawn(async move {
        let upgraded = hyper::upgrade::on(&mut request).await.unwrap();
        let parts = upgraded.downcast::<HyperIo<TcpStream>>().unwrap();
        let (stream, ahead) = (parts.io.into_inner(), parts.read_buf.to_vec());
        let socket = WebSocketStream::from_partially_read(stream, ahead, Role::Server, None);
        echo(socket.await).await.unwrap();
    });
    let response = Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(CONNECTION, "upgrade")
        .header(UPGRADE, "websocket")
        .header(SEC_WEBSOCKET_ACCEPT, key);
    Ok(response.body(Empty::new()).unwrap())
}

#[test]
fn a_websocket_through_hypers_upgrade() {
    run(async {
        let (near, far) = tcp_pair().await;
        let serving = spawn(
            http1::Builder::new()
                .serve_connection(HyperIo::new(far), service_fn(upgrade))
                .with_upgrades(),
        );
        let (mut socket, response) = client_async("ws://localhost/", near).await.unwrap();
        assert_eq!(response.status(), 101);
        for text in ["first", "", "and another"] {
            socket.send(Message::text(text)).await.unwrap();
            assert_eq!(socket.next().await.unwrap().unwrap(), Message::text(text));
        }
        socket.close(None).await.unwrap();
        while let Some(last) = socket.next().await {
            assert!(last.unwrap().is_close());
        }
        serving.await.unwrap().unwrap();
    });
}

/// Both ends of a WebSocket; the far one echoes in a task.
async fn echoing() -> (WebSocketStream<TcpStream>, wheelhouse::JoinHandle<Result<()>>) {
    let (near, far) = tcp_pair().await;
    let serving = spawn(async move { echo(accept_async(far).await?).await });
    (client_async("ws://localhost/", near).await.unwrap().0, serving)
}

#[test]
fn messages_of_ten_megabytes_come_back() {
    run(async {
        let (mut socket, serving) = echoing().await;
        let data: Vec<u8> = (0..10_000_000_u32).map(|n| (n ^ (n >> 8) ^ (n >> 16)) as u8).collect();
        for _ in 0..2 {
            socket.send(Message::binary(data.clone())).await.unwrap();
            let back = timeout(GUARD, socket.next()).await.expect("it comes").unwrap().unwrap();
            assert!(back.into_data() == data);
        }
        socket.close(None).await.unwrap();
        while socket.next().await.is_some() {}
        serving.await.unwrap().unwrap();
    });
}

/// Without a word, while the server waits and while it sends: its task ends.
#[test]
fn a_websocket_whose_peer_has_vanished_ends() {
    run(async {
        let (socket, serving) = echoing().await;
        drop(socket);
        let ended = timeout(GUARD, serving).await.expect("it ends").unwrap();
        assert!(matches!(ended, Err(Error::Protocol(_) | Error::Io(_))), "{ended:?}");

        let (mut socket, serving) = echoing().await;
        socket.send(Message::binary(vec![7; 10_000_000])).await.unwrap();
        // Much of it is on its way back, and nobody reads it.
        drop(socket);
        let ended = timeout(GUARD, serving).await.expect("it ends").unwrap();
        assert!(matches!(ended, Err(Error::Protocol(_) | Error::Io(_))), "{ended:?}");
    });
}
