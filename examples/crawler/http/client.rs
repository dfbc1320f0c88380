//! One request and its answer: sent on a kept connection if there is one, read with limits, within
//! one total time.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body, Incoming};
use hyper::header::{CONTENT_ENCODING, HOST, HeaderMap, HeaderValue};
use hyper::http::response::Parts as Head;
use hyper::{Method, Request, Response, Uri, Version};
use wheelhouse::time::timeout;

use crate::http::connect::{NoBody, Sender};
use crate::http::decode::{Decoder, Stop};
use crate::http::failure::{Class, Failure};
use crate::http::pool::{Lease, Pool};
use crate::web::address::Parts;

/// A body that nobody wants is read all the same if little of it is left: that is cheaper than a
/// new connection.
const READ_TO_KEEP: u64 = 64 * 1024;

/// ... and if it comes at once: a radio station never ends.
const TIME_TO_KEEP: Duration = Duration::from_millis(500);

pub(crate) struct Client {
    pool: Pool,
    settings: ClientSettings,
}

#[derive(Clone, Debug)]
pub(crate) struct ClientSettings {
    /// Sent with every request.
    pub(crate) headers: HeaderMap,
    /// Sent to these origins only: they may hold secrets.
    pub(crate) own_headers: HeaderMap,
    pub(crate) own_origins: Vec<String>,
    /// For all of a request: connection, head, body.
    pub(crate) timeout: Duration,
    /// Of a body, decoded.
    pub(crate) largest_body: usize,
    /// Keep the bodies as they came, too.
    pub(crate) keep_payload: bool,
}

/// An answer, read to its end or to where it was enough.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    /// Decoded; empty if nobody wanted it.
    pub(crate) body: Vec<u8>,
    /// Why it is not all there.
    pub(crate) cut: Option<Stop>,
    /// Bytes of the body as they came.
    pub(crate) wire: u64,
    /// The body as it came, if it is kept.
    pub(crate) payload: Vec<u8>,
}

impl Client {
    pub(crate) fn new(pool: Pool, settings: ClientSettings) -> Client {
        Client { pool, settings }
    }

    /// Sends a request for a canonical address. `wants` is asked for the head whether the body is
    /// of interest. Dropped before it is ready, it closes the connection.
    pub(crate) async fn request(
        &self,
        method: &Method,
        address: &str,
        wants: impl Fn(&Head) -> bool,
    ) -> Result<Answer, Failure> {
        let all = self.exchange(method, address, wants);
        match timeout(self.settings.timeout, all).await {
            Ok(result) => result,
            Err(_) => {
                let text = format!("no whole answer within {:?}", self.settings.timeout);
                Err(Failure::new(Class::Timeout, text))
            }
        }
    }

    async fn exchange(
        &self,
        method: &Method,
        address: &str,
        wants: impl Fn(&Head) -> bool,
    ) -> Result<Answer, Failure> {
        let parts = Parts::of(address);
        let mut lease = self.pool.get(&parts).await?;
        let mut sent = self.send(method, address, &parts, &mut lease.sender).await;
        if lease.is_reused && sent.as_ref().is_err_and(|error| error.class == Class::CutOff) {
            // The server closed it while it was idle. That is no failure of the request.
            lease = self.pool.fresh(&parts).await?;
            sent = self.send(method, address, &parts, &mut lease.sender).await;
        }
        let (head, body) = sent?.into_parts();
        let is_wanted = wants(&head);
        self.read(head, body, is_wanted, &parts, lease).await
    }

    fn headers(&self, origin: &str) -> HeaderMap {
        let settings = &self.settings;
        let mut headers = settings.headers.clone();
        if settings.own_origins.iter().any(|own| own == origin) {
            for (name, value) in &settings.own_headers {
                headers.insert(name, value.clone());
            }
        }
        headers
    }

    async fn send(
        &self,
        method: &Method,
        address: &str,
        parts: &Parts<'_>,
        sender: &mut Sender,
    ) -> Result<Response<Incoming>, Failure> {
        let is_two = matches!(sender, Sender::Two(_));
        // HTTP/1.1 has the path on its request line and the host in a header.
        let target = if is_two { address } else { parts.target };
        let uri = Uri::from_maybe_shared(Bytes::copy_from_slice(target.as_bytes()));
        let uri = uri.map_err(|error| Failure::new(Class::Protocol, error.to_string()))?;
        let mut request: Request<NoBody> = Request::new(Empty::new());
        *request.method_mut() = method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = self.headers(parts.origin);
        if !is_two {
            let host = HeaderValue::from_str(parts.authority);
            let host = host.map_err(|error| Failure::new(Class::Protocol, error.to_string()))?;
            request.headers_mut().insert(HOST, host);
        }
        let sent = match sender {
            Sender::One(sender) => sender.send_request(request).await,
            Sender::Two(sender) => sender.send_request(request).await,
        };
        sent.map_err(|error| Failure::http(&error))
    }

    async fn read(
        &self,
        head: Head,
        mut body: Incoming,
        is_wanted: bool,
        parts: &Parts<'_>,
        lease: Lease,
    ) -> Result<Answer, Failure> {
        let mut answer = Answer {
            status: head.status.as_u16(),
            version: head.version,
            headers: head.headers,
            body: Vec::new(),
            cut: None,
            wire: 0,
            payload: Vec::new(),
        };
        let coding = answer.headers.get(CONTENT_ENCODING).and_then(|coding| coding.to_str().ok());
        let mut decoder = if is_wanted {
            match Decoder::new(coding, self.settings.largest_body) {
                Ok(decoder) => Some(decoder),
                Err(stop) => {
                    answer.cut = Some(stop);
                    None
                }
            }
        } else {
            None
        };
        let is_whole = match decoder.as_mut() {
            Some(decoder) => self.collect(&mut body, decoder, &mut answer).await?,
            None => {
                let rest = drain(&mut body, &mut answer.wire);
                timeout(TIME_TO_KEEP, rest).await.unwrap_or(false)
            }
        };
        if let Some(mut decoder) = decoder {
            // An empty body (an answer to HEAD, a 304) has no coding to be finished.
            if answer.cut.is_none() && answer.wire > 0 {
                answer.cut = decoder.finish().err();
            }
            // What came out before it went wrong is good, as browsers see it too.
            if matches!(answer.cut, None | Some(Stop::TooLarge | Stop::Corrupt)) {
                answer.body = decoder.into_kept();
            }
        }
        if is_whole {
            self.pool.put(parts.origin, lease.sender);
        }
        Ok(answer)
    }

    /// Reads until the end or a limit; whether it was the end.
    async fn collect(
        &self,
        body: &mut Incoming,
        decoder: &mut Decoder,
        answer: &mut Answer,
    ) -> Result<bool, Failure> {
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| Failure::http(&error))?;
            let Ok(data) = frame.into_data() else { continue };
            answer.wire += data.len() as u64;
            if self.settings.keep_payload {
                answer.payload.extend_from_slice(&data);
            }
            let pushed = decoder.push(&data);
            // What is collected to be decoded later must not grow without end either.
            let is_much = answer.wire > self.settings.largest_body as u64;
            answer.cut = pushed.err().or(is_much.then_some(Stop::TooLarge));
            if answer.cut.is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Reads a short rest away, so that the connection can be kept; whether it could be.
async fn drain(body: &mut Incoming, wire: &mut u64) -> bool {
    if body.size_hint().lower() > READ_TO_KEEP {
        return false;
    }
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return false };
        *wire += frame.data_ref().map_or(0, Bytes::len) as u64;
        if *wire > READ_TO_KEEP {
            return false;
        }
    }
    true
}
