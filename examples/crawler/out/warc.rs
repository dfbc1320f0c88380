//! WARC/1.1 (ISO 28500): what was asked and answered, as archives keep it.
//!
//! An answer is a `response` record and a `request` record that belong together, each a gzip member
//! of its own if the file's name ends in `.gz`. Bodies are kept as they came, content coding
//! included; the framing of HTTP is gone, and with it its header. A thread packs and writes, and
//! the one who fetched waits for it: so memory stays bounded by the number of requests.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::Version;
use hyper::header::HeaderMap;
use wheelhouse::spawn_blocking;

use crate::crawl::journal::sync_data;
use crate::crawl::retry::Chance;
use crate::http::client::Answer;
use crate::out::date::rfc3339;
use crate::out::rows::problem;
use crate::out::warc_end;
use crate::web::address::Parts;

pub(crate) struct Warc {
    path: PathBuf,
    is_packed: bool,
    file: Arc<Mutex<File>>,
    chance: std::cell::RefCell<Chance>,
    /// As sent with every request.
    headers: HeaderMap,
}

impl Warc {
    /// Makes the file; a resumed crawl goes on with it. The error is for the user's eyes.
    pub(crate) fn open(path: &Path, headers: &HeaderMap, resume: bool) -> Result<Warc, String> {
        let mut options = File::options();
        options.create(true).read(true).write(true).append(resume).truncate(!resume);
        let failed = |error: io::Error| problem(path, &error);
        let file = options.open(path).map_err(failed)?;
        let is_packed = path.extension().is_some_and(|extension| extension == "gz");
        if resume && file.metadata().map_err(failed)?.is_file() {
            let whole = warc_end::of(&file, is_packed).map_err(failed)?;
            file.set_len(whole).map_err(failed)?;
        }
        let warc = Warc {
            path: path.to_owned(),
            is_packed,
            file: Arc::new(Mutex::new(file)),
            chance: std::cell::RefCell::new(Chance::new()),
            headers: headers.clone(),
        };
        let body = format!(
            "software: wheelhouse-crawler/{}\r\nformat: WARC File Format 1.1\r\n",
            env!("CARGO_PKG_VERSION")
        );
        let info = warc.record(
            "warcinfo",
            &[("Content-Type", "application/warc-fields")],
            body.as_bytes(),
        );
        write(&warc.file, info, is_packed).map_err(|error| problem(path, &error))?;
        Ok(warc)
    }

    /// Writes an answer and what was asked for it.
    pub(crate) async fn write(&self, address: &str, answer: &Answer) -> Result<(), String> {
        let response_id = self.id();
        let mut fields = vec![
            ("WARC-Record-ID", response_id.as_str()),
            ("WARC-Target-URI", address),
            ("Content-Type", "application/http; msgtype=response"),
        ];
        if answer.cut.is_some() {
            fields.push(("WARC-Truncated", "length"));
        }
        let response = self.record("response", &fields, &message(answer));
        let request = self.record(
            "request",
            &[
                ("WARC-Target-URI", address),
                ("WARC-Concurrent-To", &response_id),
                ("Content-Type", "application/http; msgtype=request"),
            ],
            &self.question(address),
        );
        let (file, is_packed) = (self.file.clone(), self.is_packed);
        let work = spawn_blocking(move || {
            write(&file, response, is_packed)?;
            write(&file, request, is_packed)
        });
        match work.await {
            Ok(written) => written.map_err(|error| problem(&self.path, &error)),
            // The loop is ending.
            Err(_) => Ok(()),
        }
    }

    /// Work for a thread that takes its time, after which what is written by now is on the disk. The
    /// error is for the user's eyes.
    pub(crate) fn syncing(&self) -> impl FnOnce() -> Result<(), String> + Send + use<> {
        let (file, path) = (self.file.clone(), self.path.clone());
        move || {
            // A file of its own, so that nobody waits for the disk to write.
            let shared = file.lock().unwrap_or_else(PoisonError::into_inner).try_clone();
            let synced = shared.and_then(|file| sync_data(&file));
            synced.map_err(|error| problem(&path, &error))
        }
    }

    fn question(&self, address: &str) -> Vec<u8> {
        let parts = Parts::of(address);
        let head = format!("GET {} HTTP/1.1\r\nHost: {}\r\n", parts.target, parts.authority);
        let mut text = head.into_bytes();
        push_headers(&mut text, &self.headers, &[]);
        text
    }

    fn record(&self, kind: &str, fields: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
        let date = rfc3339(SystemTime::now());
        let mut head = format!("WARC/1.1\r\nWARC-Type: {kind}\r\nWARC-Date: {date}\r\n");
        if !fields.iter().any(|(name, _)| *name == "WARC-Record-ID") {
            head += &format!("WARC-Record-ID: {}\r\n", self.id());
        }
        for (name, value) in fields {
            head += &format!("{name}: {value}\r\n");
        }
        head += &format!("Content-Length: {}\r\n\r\n", body.len());
        [head.as_bytes(), body, b"\r\n\r\n"].concat()
    }

    /// A UUID of version 4.
    fn id(&self) -> String {
        let mut chance = self.chance.borrow_mut();
        let (high, low) = (chance.next_u64(), chance.next_u64());
        let high = high & 0xffff_ffff_ffff_0fff | 0x4000;
        let low = low & 0x3fff_ffff_ffff_ffff | 0x8000_0000_0000_0000;
        format!(
            "<urn:uuid:{:08x}-{:04x}-{:04x}-{:04x}-{:012x}>",
            high >> 32,
            high >> 16 & 0xffff,
            high & 0xffff,
            low >> 48,
            low & 0xffff_ffff_ffff
        )
    }
}

fn write(file: &Mutex<File>, record: Vec<u8>, is_packed: bool) -> io::Result<()> {
    let record = if is_packed {
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(&record)?;
        packed.finish()?
    } else {
        record
    };
    // In one piece: what a kill tears off is the last record.
    file.lock().unwrap_or_else(PoisonError::into_inner).write_all(&record)
}

/// The answer as HTTP/1.1 would have it.
fn message(answer: &Answer) -> Vec<u8> {
    let version = if answer.version == Version::HTTP_2 { "HTTP/2" } else { "HTTP/1.1" };
    let status = hyper::StatusCode::from_u16(answer.status).ok();
    let reason = status.and_then(|status| status.canonical_reason()).unwrap_or("");
    let mut text = format!("{version} {} {reason}\r\n", answer.status).into_bytes();
    // The framing is undone: the body's length is its length.
    push_headers(&mut text, &answer.headers, &["transfer-encoding", "content-length"]);
    let end = text.len() - 2;
    text.truncate(end);
    text.extend_from_slice(format!("content-length: {}\r\n\r\n", answer.payload.len()).as_bytes());
    text.extend_from_slice(&answer.payload);
    text
}

/// Header lines and the empty one after them.
fn push_headers(text: &mut Vec<u8>, headers: &HeaderMap, without: &[&str]) {
    for (name, value) in headers.iter().filter(|(name, _)| !without.contains(&name.as_str())) {
        text.extend_from_slice(name.as_str().as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value.as_bytes());
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(b"\r\n");
}
