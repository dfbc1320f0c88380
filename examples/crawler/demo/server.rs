//! The server of the built-in site: hyper on a loop of its own, on a thread of its own, so that the
//! crawler's figures are the crawler's.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread::JoinHandle;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{HOST, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use wheelhouse::net::compat::hyper::{HyperIo, HyperTimer};
use wheelhouse::net::{TcpListener, TcpStream};
use wheelhouse::time::sleep;
use wheelhouse::{EventLoop, Handle, spawn};

use crate::demo::site::Site;

/// A server on a thread. Dropping it ends the thread.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    handle: Handle,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens at `address`. The error is for the user's eyes.
    pub(crate) fn start(address: SocketAddr) -> Result<Server, String> {
        let (sender, receiver) = mpsc::channel();
        let work = move || match EventLoop::new() {
            Ok(event_loop) => serve(&event_loop, address, &sender),
            Err(error) => drop(sender.send(Err(error))),
        };
        let thread = std::thread::Builder::new().name("demo-server".into()).spawn(work);
        let thread = thread.map_err(|error| format!("cannot start the demo's thread: {error}"))?;
        match receiver.recv() {
            Ok(Ok((address, handle))) => Ok(Server { address, handle, thread: Some(thread) }),
            Ok(Err(error)) => Err(format!("the demo cannot listen at {address}: {error}")),
            Err(_) => Err("the demo's server ended at once".into()),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.handle.stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

type Started = std::io::Result<(SocketAddr, Handle)>;

/// Runs until the loop is stopped.
fn serve(event_loop: &EventLoop, address: SocketAddr, started: &mpsc::Sender<Started>) {
    let begin = async {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        drop(spawn(accept(listener)));
        Ok(address)
    };
    match event_loop.block_on(begin) {
        Ok(address) => {
            let _ = started.send(Ok((address, event_loop.handle())));
            event_loop.run_forever();
        }
        Err(error) => drop(started.send(Err(error))),
    }
}

async fn accept(listener: TcpListener) {
    let site = Rc::new(Site::default());
    // The runtime survives the errors of accept and pauses where it must; one that comes out is
    // for good.
    while let Ok((stream, _)) = listener.accept().await {
        drop(spawn(connection(stream, site.clone())));
    }
}

async fn connection(stream: TcpStream, site: Rc<Site>) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| answer(request, site.clone()));
    let mut builder = http1::Builder::new();
    builder.timer(HyperTimer);
    // It ends with the client's.
    let _ = builder.serve_connection(HyperIo::new(stream), service).await;
}

async fn answer(
    request: Request<Incoming>,
    site: Rc<Site>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let host =
        request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    let reply = site.reply(target, host);
    if !reply.delay.is_zero() {
        sleep(reply.delay).await;
    }
    let mut response = Response::new(Full::new(Bytes::from(reply.body)));
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or_default();
    for (name, value) in reply.headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    Ok(response)
}
