//! A row for each page, as JSON lines and as CSV, written while the crawl goes on.
//!
//! Both have the same columns. Rows wait in a buffer: whoever needs them to survive a crash wants
//! the journal, from which a resumed crawl writes them anew.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::crawl::outcome::{End, Outcome, Redirect};
use crate::crawl::pages::{PageId, Pages, Want};
use crate::settings::Files;

const BUFFER: usize = 64 * 1024;

/// The columns.
#[derive(Debug, Serialize)]
pub(crate) struct Row<'a> {
    pub(crate) url: &'a str,
    /// Links from a root.
    pub(crate) depth: u32,
    /// Empty if there was no answer.
    pub(crate) status: Option<u16>,
    /// The class of what went wrong, or `robots`.
    pub(crate) error: Option<&'a str>,
    pub(crate) error_text: Option<&'a str>,
    pub(crate) redirect: Option<&'a str>,
    pub(crate) content_type: &'a str,
    pub(crate) charset: &'a str,
    /// Bytes of the body, decoded and as they came.
    pub(crate) size: u64,
    pub(crate) wire_size: u64,
    /// Why the body is not whole.
    pub(crate) cut: Option<&'a str>,
    /// Distinct links to pages of the crawl; those not seen before; to parts; to outside.
    pub(crate) links: usize,
    pub(crate) new_links: u32,
    pub(crate) parts: usize,
    pub(crate) outside_links: u32,
    /// Requests made for it, and how long the last one took.
    pub(crate) tries: u8,
    pub(crate) ms: f64,
    pub(crate) method: &'a str,
    /// `page`, `part`, `sitemap` or `outside`.
    pub(crate) kind: &'a str,
}

impl<'a> Row<'a> {
    pub(crate) fn new(pages: &'a Pages, page: PageId, outcome: &'a Outcome) -> Row<'a> {
        let entry = pages.get(page);
        let (error, error_text) = match &outcome.end {
            End::Answered(_) => (None, None),
            End::Failed(failure) => (Some(failure.class.name()), Some(failure.text.as_str())),
            End::Forbidden(why) => (Some("robots"), Some(&**why)),
        };
        Row {
            url: pages.name(page),
            depth: entry.depth,
            status: outcome.status(),
            error,
            error_text,
            redirect: outcome.redirect.as_ref().map(|redirect| match redirect {
                Redirect::To(target) => pages.name(*target),
                Redirect::Outside(address) => address,
                Redirect::Nowhere => "",
            }),
            content_type: &outcome.media,
            charset: outcome.charset,
            size: outcome.size,
            wire_size: outcome.wire,
            cut: outcome.cut.map(|stop| stop.name()),
            links: outcome.links.len(),
            new_links: outcome.new_links,
            parts: outcome.parts.len(),
            outside_links: outcome.outside,
            tries: outcome.tries,
            ms: (outcome.took.as_micros() as f64) / 1e3,
            method: if outcome.is_head { "HEAD" } else { "GET" },
            kind: match (entry.is_outside, entry.want) {
                (true, _) => "outside",
                (false, Want::Head) => "part",
                (false, Want::Links) => "page",
                (false, Want::Sitemap) => "sitemap",
            },
        }
    }
}

/// The files that rows go to.
#[derive(Default)]
pub(crate) struct Rows {
    lines: Option<(PathBuf, BufWriter<File>)>,
    table: Option<(PathBuf, csv::Writer<File>)>,
}

impl Rows {
    /// Makes the files. The error is for the user's eyes.
    pub(crate) fn open(files: &Files) -> Result<Rows, String> {
        let create = |path: &Path| File::create(path).map_err(|error| problem(path, &error));
        let mut rows = Rows::default();
        if let Some(path) = &files.jsonl {
            let file = BufWriter::with_capacity(BUFFER, create(path)?);
            rows.lines = Some((path.clone(), file));
        }
        if let Some(path) = &files.csv {
            let file = create(path)?;
            let writer = csv::WriterBuilder::new().buffer_capacity(BUFFER).from_writer(file);
            rows.table = Some((path.clone(), writer));
        }
        Ok(rows)
    }

    pub(crate) fn write(
        &mut self,
        pages: &Pages,
        page: PageId,
        outcome: &Outcome,
    ) -> Result<(), String> {
        if self.lines.is_none() && self.table.is_none() {
            return Ok(());
        }
        let row = Row::new(pages, page, outcome);
        if let Some((path, file)) = &mut self.lines {
            let written = serde_json::to_writer(&mut *file, &row).map_err(std::io::Error::from);
            let written = written.and_then(|()| file.write_all(b"\n"));
            written.map_err(|error| problem(path, &error))?;
        }
        if let Some((path, table)) = &mut self.table {
            let written = table.serialize(&row).map_err(std::io::Error::from);
            written.map_err(|error| problem(path, &error))?;
        }
        Ok(())
    }

    /// Writes what still waits.
    pub(crate) fn flush(&mut self) -> Result<(), String> {
        if let Some((path, file)) = &mut self.lines {
            file.flush().map_err(|error| problem(path, &error))?;
        }
        if let Some((path, table)) = &mut self.table {
            table.flush().map_err(|error| problem(path, &error))?;
        }
        Ok(())
    }
}

pub(crate) fn problem(path: &Path, error: &std::io::Error) -> String {
    format!("cannot write `{}`: {error}", path.display())
}
