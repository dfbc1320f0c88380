//! Metrics in Prometheus's text format, and the small HTTP server that gives them (feature
//! `metrics`).

use std::fmt::Write;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use crate::server::Counters;
use crate::stats::Totals;

/// The text, version 0.0.4 of the format.
#[cfg_attr(not(feature = "metrics"), allow(dead_code))]
pub(crate) fn text(totals: &Totals, uptime: Duration) -> String {
    let mut text = String::new();
    for (name, count, help) in totals.named() {
        let (name, kind) = match name {
            "connections_open" => (name.to_owned(), "gauge"),
            name => (format!("{name}_total"), "counter"),
        };
        // Writing into a `String` cannot fail.
        let _ = write!(
            text,
            "# HELP wheelhouse_echo_{name} Number of {help}.\n\
             # TYPE wheelhouse_echo_{name} {kind}\nwheelhouse_echo_{name} {count}\n"
        );
    }
    let _ = write!(
        text,
        "# HELP wheelhouse_echo_uptime_seconds Time since the start.\n\
         # TYPE wheelhouse_echo_uptime_seconds gauge\n\
         wheelhouse_echo_uptime_seconds {:.3}\n",
        uptime.as_secs_f64()
    );
    text
}

#[cfg(not(feature = "metrics"))]
pub(crate) async fn serve(_: SocketAddr, _: Rc<Counters>) -> Result<SocketAddr, String> {
    Err("this build has no metrics: build it with `--features metrics`".into())
}

/// Serves them on the loop of this thread for as long as it runs; gives the address.
#[cfg(feature = "metrics")]
pub(crate) async fn serve(
    address: SocketAddr,
    counters: Rc<Counters>,
) -> Result<SocketAddr, String> {
    over_http::serve(address, counters)
        .await
        .map_err(|error| format!("`--metrics`: {}", crate::listen::explain(&error)))
}

#[cfg(feature = "metrics")]
mod over_http {
    use std::convert::Infallible;
    use std::io;
    use std::net::SocketAddr;
    use std::pin::Pin;
    use std::rc::Rc;
    use std::task::{Context, Poll};
    use std::time::Duration;

    use hyper::body::{Body, Bytes, Frame, SizeHint};
    use hyper::header::CONTENT_TYPE;
    use hyper::server::conn::http1;
    use hyper::service::service_fn;
    use hyper::{Method, Request, Response, StatusCode};
    use wheelhouse::net::compat::hyper::{HyperIo, HyperTimer};
    use wheelhouse::net::{Connection, Overload, Server};
    use wheelhouse::spawn;
    use wheelhouse::time::timeout;

    use super::text;
    use crate::server::Counters;

    /// Who asks for metrics does so at once.
    const LONGEST_REQUEST: Duration = Duration::from_secs(10);

    /// However it is kept alive, and however slowly the answer is taken.
    const LONGEST_CONNECTION: Duration = Duration::from_secs(300);

    /// Metrics are for few. The limit keeps open files for those who are to be served.
    const MOST_CONNECTIONS: usize = 64;

    pub(super) async fn serve(
        address: SocketAddr,
        counters: Rc<Counters>,
    ) -> io::Result<SocketAddr> {
        let builder = Server::builder().bind(address).max_connections(MOST_CONNECTIONS);
        let builder = builder.overload(Overload::Shed);
        let handler = move |connection, _| serve_connection(connection, counters.clone());
        let server = builder.serve(handler).await?;
        let address = server.local_addrs()[0];
        // It serves for as long as the loop runs.
        drop(spawn(async move { server.wait_closed().await }));
        Ok(address)
    }

    async fn serve_connection(connection: Connection<std::net::TcpStream>, counters: Rc<Counters>) {
        let service = service_fn(|request| {
            let response = answer(&request, &counters);
            async move { Ok::<_, Infallible>(response) }
        });
        let mut server = http1::Builder::new();
        server.timer(HyperTimer).header_read_timeout(LONGEST_REQUEST);
        let io = HyperIo::new(connection.into_inner());
        // A client that goes in the middle is its own business.
        let _ = timeout(LONGEST_CONNECTION, server.serve_connection(io, service)).await;
    }

    fn answer<B>(request: &Request<B>, counters: &Counters) -> Response<Text> {
        let (status, body) = match (request.method(), request.uri().path()) {
            (&Method::GET | &Method::HEAD, "/metrics") => {
                (StatusCode::OK, text(&counters.totals(), counters.started.elapsed()))
            }
            (_, "/metrics") => (StatusCode::METHOD_NOT_ALLOWED, "say GET\n".to_owned()),
            _ => (StatusCode::NOT_FOUND, "the metrics are at /metrics\n".to_owned()),
        };
        let mut response = Response::new(Text(Some(body.into())));
        *response.status_mut() = status;
        let kind = hyper::header::HeaderValue::from_static("text/plain; version=0.0.4");
        response.headers_mut().insert(CONTENT_TYPE, kind);
        response
    }

    /// A body in one piece.
    struct Text(Option<Bytes>);

    impl Body for Text {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Ready(self.0.take().map(|text| Ok(Frame::data(text))))
        }

        fn is_end_stream(&self) -> bool {
            self.0.is_none()
        }

        fn size_hint(&self) -> SizeHint {
            SizeHint::with_exact(self.0.as_ref().map_or(0, |text| text.len() as u64))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Tally;

    #[test]
    fn every_line_is_one_of_the_format() {
        let tally = Tally::default();
        tally.opened();
        tally.message(64);
        let text = text(&Totals::of([&tally]), Duration::from_millis(1500));
        for line in text.lines() {
            let words: Vec<_> = line.split(' ').collect();
            match words[..] {
                ["#", "HELP", name, ..] => assert!(name.starts_with("wheelhouse_echo_")),
                ["#", "TYPE", _, kind] => assert!(["gauge", "counter"].contains(&kind)),
                [name, value] => {
                    assert!(text.contains(&format!("# TYPE {name} ")), "{name} has no type");
                    value.parse::<f64>().unwrap();
                }
                _ => panic!("{line}"),
            }
        }
        assert!(text.contains("wheelhouse_echo_bytes_total 64\n"));
        assert!(text.contains("wheelhouse_echo_connections_open 1\n"));
        assert!(text.ends_with("wheelhouse_echo_uptime_seconds 1.500\n"));
    }
}
