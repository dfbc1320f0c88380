//! hyper on one loop: both ends in one test, nothing `Send`, its timeouts on the virtual clock.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_lite::future::poll_once;
use futures_lite::{AsyncReadExt, AsyncWriteExt};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn as client;
use hyper::header::{CONNECTION, HOST, UPGRADE};
use hyper::rt::Timer;
use hyper::server::conn as server;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use wheelhouse::net::compat::hyper::{HyperExecutor, HyperIo, HyperTimer};
use wheelhouse::net::{TcpListener, TcpStream, copy};
use wheelhouse::testing::{self, Test};
use wheelhouse::time::{Duration, Instant, sleep};
use wheelhouse::{Clock, EventLoop, spawn};

/// The data in parts, with a sleep before each. Not `Send`.
struct Slowly {
    parts: Rc<[&'static str]>,
    next: usize,
    pause: Option<Pin<Box<dyn Future<Output = ()>>>>,
}

impl Slowly {
    fn new(parts: &[&'static str]) -> Slowly {
        Slowly { parts: parts.into(), next: 0, pause: None }
    }
}

impl Body for Slowly {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(part) = self.parts.get(self.next).copied() else { return Poll::Ready(None) };
        let pause = self.pause.get_or_insert_with(|| Box::pin(sleep(Duration::from_micros(10))));
        if pause.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.pause = None;
        self.next += 1;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(part.as_bytes())))))
    }
}

/// A test whose clock is virtual and jumps although sockets wait, when all is quiet.
fn settling() -> Test {
    let settle = Some(Duration::from_millis(5));
    Test::on(EventLoop::builder().clock(Clock::Virtual { settle })).in_order()
}

#[track_caller]
fn assert_took(start: Instant, due: Duration) {
    let took = start.elapsed();
    assert!(took >= due && took < due + Duration::from_micros(5), "{took:?} of {due:?}");
}

async fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (near, listener.accept().await.unwrap().0)
}

/// Answers with how many came, what the request carried, and a body in parts.
async fn answer(
    count: Rc<Cell<u32>>,
    request: Request<Incoming>,
) -> Result<Response<Slowly>, hyper::Error> {
    let asked = request.into_body().collect().await?.to_bytes();
    assert_eq!(asked, "what is it?");
    count.set(count.get() + 1);
    Ok(Response::new(Slowly::new(&["it ", "is ", "not ", "Send"])))
}

fn request() -> Request<Slowly> {
    let body = Slowly::new(&["what ", "is ", "it?"]);
    Request::post("http://localhost/").header(HOST, "localhost").body(body).unwrap()
}

async fn text_of(response: Response<Incoming>) -> Bytes {
    assert_eq!(response.status(), StatusCode::OK);
    response.into_body().collect().await.unwrap().to_bytes()
}

#[test]
fn http_1_with_bodies_and_services_that_are_not_send() {
    Test::new().real_time().run(async {
        let (near, far) = tcp_pair().await;
        let count = Rc::new(Cell::new(0));
        let counted = count.clone();
        let service = service_fn(move |request| answer(counted.clone(), request));
        let serving = spawn(
            server::http1::Builder::new()
                .timer(HyperTimer)
                .serve_connection(HyperIo::new(far), service),
        );
        let (mut sender, connection) = client::http1::handshake(HyperIo::new(near)).await.unwrap();
        let connection = spawn(connection);
        for _ in 0..3 {
            sender.ready().await.unwrap();
            let response = sender.send_request(request()).await.unwrap();
            assert_eq!(text_of(response).await, "it is not Send");
        }
        drop(sender);
        connection.await.unwrap().unwrap();
        serving.await.unwrap().unwrap();
        assert_eq!(count.get(), 3);
    });
}

#[test]
fn http_2_with_bodies_and_services_that_are_not_send() {
    Test::new().real_time().run(async {
        let (near, far) = tcp_pair().await;
        let count = Rc::new(Cell::new(0));
        let counted = count.clone();
        let service = service_fn(move |request| answer(counted.clone(), request));
        let serving = spawn(
            server::http2::Builder::new(HyperExecutor)
                .timer(HyperTimer)
                .serve_connection(HyperIo::new(far), service),
        );
        let mut builder = client::http2::Builder::new(HyperExecutor);
        let (sender, connection) =
            builder.timer(HyperTimer).handshake(HyperIo::new(near)).await.unwrap();
        let connection = spawn(connection);
        // All at once, over one connection.
        let asking = (0..20).map(|_| {
            let mut sender = sender.clone();
            async move { text_of(sender.send_request(request()).await.unwrap()).await }
        });
        let answers = wheelhouse::gather(asking).await;
        assert_eq!(answers, vec!["it is not Send"; 20]);
        drop(sender);
        connection.await.unwrap().unwrap();
        serving.await.unwrap().unwrap();
        assert_eq!(count.get(), 20);
    });
}

/// hyper's own default of 30 seconds counts since there is a timer.
#[test]
fn who_sends_half_a_request_is_let_go_at_the_exact_moment() {
    settling().run(async {
        let (near, far) = tcp_pair().await;
        let start = Instant::now();
        let service = service_fn(|_: Request<Incoming>| async {
            Ok::<_, Infallible>(Response::new(Slowly::new(&[])))
        });
        let mut builder = server::http1::Builder::new();
        let serving = spawn(builder.timer(HyperTimer).serve_connection(HyperIo::new(far), service));
        near.write_all(b"GET / HTTP/1.1\r\nHost: loc").await.unwrap();
        let error = serving.await.unwrap().unwrap_err();
        assert!(error.is_timeout(), "{error:?}");
        assert_took(start, Duration::from_secs(30));
        assert_eq!(near.read(&mut [0; 8]).await.unwrap(), 0);
    });
}

/// The second request has its own time, counted from the end of the first.
#[test]
fn the_time_for_headers_begins_anew_with_each_request() {
    settling().run(async {
        let (near, far) = tcp_pair().await;
        let service = service_fn(|_: Request<Incoming>| async {
            sleep(Duration::from_secs(100)).await;
            Ok::<_, Infallible>(Response::new(Slowly::new(&["done"])))
        });
        let mut builder = server::http1::Builder::new();
        builder.timer(HyperTimer).header_read_timeout(Duration::from_secs(7));
        let serving = spawn(builder.serve_connection(HyperIo::new(far), service));
        sleep(Duration::from_secs(6)).await;
        let start = Instant::now();
        near.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let mut response = vec![0; 1024];
        let n = near.read(&mut response).await.unwrap();
        assert!(response[..n].starts_with(b"HTTP/1.1 200 OK\r\n"));
        assert_took(start, Duration::from_secs(100));
        // Then nothing more comes.
        let _ = serving.await.unwrap();
        let took = start.elapsed();
        let due = Duration::from_secs(107);
        assert!(took >= due && took < due + Duration::from_micros(50), "{took:?} of {due:?}");
    });
}

/// RFC 9113, 3.4 and 6.5: a client's preface and its empty settings.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";

#[test]
fn an_http_2_client_that_answers_no_ping_is_let_go_at_the_exact_moment() {
    settling().run(async {
        let (near, far) = tcp_pair().await;
        let start = Instant::now();
        let service = service_fn(|_: Request<Incoming>| async {
            Ok::<_, Infallible>(Response::new(Slowly::new(&[])))
        });
        let mut builder = server::http2::Builder::new(HyperExecutor);
        builder.timer(HyperTimer);
        builder.keep_alive_interval(Duration::from_secs(20));
        builder.keep_alive_timeout(Duration::from_secs(4));
        let serving = spawn(builder.serve_connection(HyperIo::new(far), service));
        near.write_all(PREFACE).await.unwrap();
        let error = serving.await.unwrap().unwrap_err();
        assert!(error.is_timeout(), "{error:?}");
        assert_took(start, Duration::from_secs(24));
        drop(near);
    });
}

/// HTTP/1 upgraded to plain bytes, with what came together with the headers.
#[test]
fn an_upgrade_gives_the_stream_back() {
    Test::new().real_time().run(async {
        let (near, far) = tcp_pair().await;
        let service = service_fn(|mut request: Request<Incoming>| async move {
            assert_eq!(request.headers()[UPGRADE], "echo");
            spawn(async move {
                let upgraded = hyper::upgrade::on(&mut request).await.unwrap();
                let parts = upgraded.downcast::<HyperIo<TcpStream>>().unwrap();
                let stream = parts.io.into_inner();
                stream.write_all(&parts.read_buf).await.unwrap();
                let mut buffer = [0; 64];
                while let n @ 1.. = stream.read(&mut buffer).await.unwrap() {
                    stream.write_all(&buffer[..n]).await.unwrap();
                }
            });
            let response = Response::builder()
                .status(StatusCode::SWITCHING_PROTOCOLS)
                .header(CONNECTION, "upgrade")
                .header(UPGRADE, "echo");
            Ok::<_, Infallible>(response.body(Slowly::new(&[])).unwrap())
        });
        let serving = spawn(
            server::http1::Builder::new()
                .serve_connection(HyperIo::new(far), service)
                .with_upgrades(),
        );
        let (mut sender, connection) = client::http1::handshake(HyperIo::new(near)).await.unwrap();
        let connection = spawn(connection.with_upgrades());
        let request = Request::get("/")
            .header(HOST, "localhost")
            .header(CONNECTION, "upgrade")
            .header(UPGRADE, "echo")
            .body(Slowly::new(&[]))
            .unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
        let upgraded = hyper::upgrade::on(response).await.unwrap();
        let parts = upgraded.downcast::<HyperIo<TcpStream>>().unwrap();
        let stream = parts.io.into_inner();
        stream.write_all(b"no longer HTTP").await.unwrap();
        let mut buffer = [0; 64];
        let n = stream.read(&mut buffer).await.unwrap();
        assert_eq!(&buffer[..n], b"no longer HTTP");
        drop(stream);
        serving.await.unwrap().unwrap();
        connection.await.unwrap().unwrap();
    });
}

/// CONNECT over HTTP/2: the tunnel is one stream of many, and no socket. A slow reader holds up who
/// writes, by the windows of HTTP/2.
#[test]
fn a_tunnel_through_http_2_is_a_stream_too() {
    const WINDOW: u32 = 65_535;
    settling().run(async {
        let (near, far) = tcp_pair().await;
        let service = service_fn(|mut request: Request<Incoming>| async move {
            assert_eq!(request.method(), Method::CONNECT);
            spawn(async move {
                let tunnel = HyperIo::new(hyper::upgrade::on(&mut request).await.unwrap());
                let (reader, mut writer) = futures_lite::io::split(tunnel);
                copy(reader, &mut writer).await.unwrap();
                writer.close().await.unwrap();
            });
            Ok::<_, Infallible>(Response::new(Slowly::new(&[])))
        });
        let mut server = server::http2::Builder::new(HyperExecutor);
        server.initial_stream_window_size(WINDOW);
        let serving = spawn(server.serve_connection(HyperIo::new(far), service));
        let mut client = client::http2::Builder::new(HyperExecutor);
        client.initial_stream_window_size(WINDOW);
        let (mut sender, connection) = client.handshake(HyperIo::new(near)).await.unwrap();
        let connection = spawn(connection);
        let request = Request::connect("elsewhere:1").body(Slowly::new(&[])).unwrap();
        let response = sender.send_request(request).await.unwrap();
        let tunnel = HyperIo::new(hyper::upgrade::on(response).await.unwrap());
        let (mut reader, mut writer) = futures_lite::io::split(tunnel);

        let sent: Vec<u8> = (0..4_000_000).map(|n: u32| (n / 7) as u8).collect();
        let written = Cell::new(0);
        let write = async {
            for part in sent.chunks(10_000) {
                writer.write_all(part).await.unwrap();
                written.set(written.get() + part.len());
            }
            writer.close().await.unwrap();
        };
        let read = async {
            // It is over when nothing moves any more.
            sleep(Duration::from_secs(1)).await;
            assert!(written.get() < sent.len(), "nobody reads, and all of it was taken");
            let mut received = Vec::new();
            reader.read_to_end(&mut received).await.unwrap();
            assert!(received == sent);
        };
        futures_lite::future::zip(write, read).await;
        drop((reader, writer, sender));
        connection.await.unwrap().unwrap();
        serving.await.unwrap().unwrap();
    });
}

#[test]
fn the_timer_is_the_loops_clock() {
    testing::run(async {
        let start = Instant::now();
        assert_eq!(HyperTimer.now(), start.into_std());
        HyperTimer.sleep(Duration::from_secs(60)).await;
        assert_took(start, Duration::from_secs(60));
        let deadline = HyperTimer.now() + Duration::from_secs(60);
        HyperTimer.sleep_until(deadline).await;
        assert_took(start, Duration::from_secs(120));
        assert!(HyperTimer.now() >= deadline);
    });
}

#[test]
fn a_sleep_is_reset_in_place() {
    testing::run(async {
        let start = Instant::now();
        let at = |seconds| start.into_std() + Duration::from_secs(seconds);
        let mut sleep = HyperTimer.sleep_until(at(10));
        let place = std::ptr::from_ref(&*sleep).cast::<u8>();
        // Before it is polled, while it waits, and after it is over.
        HyperTimer.reset(&mut sleep, at(20));
        assert!(poll_once(&mut sleep).await.is_none());
        HyperTimer.reset(&mut sleep, at(30));
        (&mut sleep).await;
        assert_took(start, Duration::from_secs(30));
        HyperTimer.reset(&mut sleep, at(31));
        (&mut sleep).await;
        assert_took(start, Duration::from_secs(31));
        assert_eq!(std::ptr::from_ref(&*sleep).cast::<u8>(), place, "it was allocated anew");
    });
}

#[test]
fn a_sleep_of_another_timer_is_replaced() {
    struct Never;
    impl Future for Never {
        type Output = ();
        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
            Poll::Pending
        }
    }
    impl hyper::rt::Sleep for Never {}
    testing::run(async {
        let start = Instant::now();
        let mut sleep: Pin<Box<dyn hyper::rt::Sleep>> = Box::pin(Never);
        HyperTimer.reset(&mut sleep, start.into_std() + Duration::from_secs(5));
        sleep.await;
        assert_took(start, Duration::from_secs(5));
    });
}
