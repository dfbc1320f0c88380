//! The journal: what a crawl found and did, a line each, written before it counts.
//!
//! A line is in the file before the next request begins, and the file is only ever appended to. So
//! whatever kills the program, what was finished stays finished, and what is lost is at most a torn
//! last line, whose page is asked for again. If the machine itself goes down, what was written since
//! the last [`Journal::syncing`] may be lost too, and zeros may stand in its place. `--resume` reads
//! the lines back into the same tables by the same rules by which they were made. The lines are
//! JSON, to be read by people too.
//!
//! Addresses stand in the file once, with a number; what pages link to is told by numbers.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::crawl::outcome::{End, Outcome, Redirect};
use crate::crawl::pages::{PageId, Pages, Want};
use crate::http::decode::Stop;
use crate::http::failure::{Class, Failure};
use crate::web::traps::{LeftOut, Trap};

const VERSION: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
enum Line {
    /// The first one: what is crawled. Another scope would have found other links.
    Crawl {
        version: u32,
        roots: Vec<String>,
        scope: String,
    },
    /// An address, by the number that it has from now on.
    Url {
        id: u32,
        url: String,
        #[serde(default, skip_serializing_if = "is_false")]
        outside: bool,
        #[serde(default, skip_serializing_if = "is_false")]
        sitemap: bool,
    },
    Done(Box<DoneLine>),
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct DoneLine {
    id: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    /// The class of a failure and its text.
    #[serde(skip_serializing_if = "Option::is_none")]
    failed: Option<(String, String)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    forbidden: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<u32>,
    /// A redirect to outside; an empty one leads nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    to_url: Option<String>,
    tries: u8,
    micros: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    media: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    charset: String,
    wire: u64,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    cut: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    links: Vec<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    parts: Vec<u32>,
    #[serde(skip_serializing_if = "is_zero")]
    new: u32,
    #[serde(skip_serializing_if = "is_zero")]
    outside: u32,
    /// Links left out: the option that lets them pass, what they share, and how many.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    left_out: Vec<(String, String, u32)>,
    /// Links that are no address.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    malformed: Vec<Box<str>>,
    #[serde(skip_serializing_if = "is_false")]
    head: bool,
    /// It is a sitemap.
    #[serde(skip_serializing_if = "is_false")]
    list: bool,
}

fn is_false(value: &bool) -> bool {
    !value
}

fn is_zero(value: &u32) -> bool {
    *value == 0
}

/// What a journal belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) roots: Vec<String>,
    /// The options that decide which links count.
    pub(crate) scope: String,
}

pub(crate) struct Journal {
    path: PathBuf,
    file: Arc<File>,
    /// Pages below this number are in the file.
    written: usize,
    buffer: Vec<u8>,
    /// Up to here the file has whole lines.
    length: u64,
    /// A line could not be written: none may come after the gap.
    is_broken: bool,
    /// Something was written since [`Journal::syncing`] was asked.
    is_dirty: bool,
}

impl Journal {
    /// A new one. A file with something in it is not overwritten. The error is for the user's
    /// eyes.
    pub(crate) fn create(path: &Path, identity: &Identity) -> Result<Journal, String> {
        let mut journal = Journal::open(path)?;
        let length = journal.file.metadata().map_err(|error| problem(path, &error))?.len();
        if length > 0 {
            return Err(format!(
                "the journal `{}` is that of an earlier crawl: go on with it by --resume, or \
                 delete it",
                path.display()
            ));
        }
        journal.begin(identity)?;
        Ok(journal)
    }

    /// Reads a journal into `pages`, and goes on with it. If there is none it begins one. Gives
    /// the number of pages that were done.
    pub(crate) fn resume(
        path: &Path,
        identity: &Identity,
        pages: &mut Pages,
    ) -> Result<(Journal, usize), String> {
        let mut journal = Journal::open(path)?;
        let done = journal.replay(identity, pages)?;
        if let Some(done) = done {
            journal.written = pages.len();
            return Ok((journal, done));
        }
        journal.begin(identity)?;
        Ok((journal, 0))
    }

    fn open(path: &Path) -> Result<Journal, String> {
        let mut options = OpenOptions::new();
        let opened = options.read(true).append(true).create(true).open(path);
        let file = opened.map_err(|error| problem(path, &error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => {
                return Err(format!(
                    "another crawl is writing the journal `{}`: wait for its end, or name another \
                     file",
                    path.display()
                ));
            }
            Err(std::fs::TryLockError::Error(error)) => return Err(problem(path, &error)),
        }
        let path = path.to_owned();
        Ok(Journal {
            path,
            file: Arc::new(file),
            written: 0,
            buffer: Vec::new(),
            length: 0,
            is_broken: false,
            is_dirty: false,
        })
    }

    /// Work for a thread that takes its time, after which what is written by now is on the disk; none
    /// if nothing was written since the last call. The error is for the user's eyes.
    pub(crate) fn syncing(&mut self) -> Option<impl FnOnce() -> Result<(), String> + Send + use<>> {
        let (file, path) = (self.file.clone(), self.path.clone());
        let sync = move || sync_data(&file).map_err(|error| problem(&path, &error));
        std::mem::take(&mut self.is_dirty).then_some(sync)
    }

    fn begin(&mut self, identity: &Identity) -> Result<(), String> {
        let (roots, scope) = (identity.roots.clone(), identity.scope.clone());
        self.add(&Line::Crawl { version: VERSION, roots, scope });
        self.flush()
    }

    /// Writes what became of a page, and the addresses found since the last call.
    pub(crate) fn write(
        &mut self,
        pages: &Pages,
        page: PageId,
        outcome: &Outcome,
    ) -> Result<(), String> {
        self.add_urls(pages);
        self.add(&Line::Done(Box::new(DoneLine::of(page, outcome))));
        self.flush()
    }

    /// Writes a sitemap's address, which no page leads to.
    pub(crate) fn write_urls(&mut self, pages: &Pages) -> Result<(), String> {
        self.add_urls(pages);
        self.flush()
    }

    fn add_urls(&mut self, pages: &Pages) {
        for id in self.written..pages.len() {
            let id = id as u32;
            let page = pages.get(PageId(id));
            let (url, sitemap) = (pages.name(PageId(id)).to_owned(), page.want == Want::Sitemap);
            self.add(&Line::Url { id, url, outside: page.is_outside, sitemap });
        }
        self.written = pages.len();
    }

    fn add(&mut self, line: &Line) {
        // A line is a struct of numbers and strings: it cannot fail, and a vector takes it.
        let _ = serde_json::to_writer(&mut self.buffer, line);
        self.buffer.push(b'\n');
    }

    fn flush(&mut self) -> Result<(), String> {
        let lines = std::mem::take(&mut self.buffer);
        if self.is_broken {
            // What was told first is the reason.
            return Ok(());
        }
        let result = (&*self.file).write_all(&lines);
        if result.is_ok() {
            self.is_dirty = true;
            self.length += lines.len() as u64;
        } else {
            // A disk that is full may have taken the half of a line.
            self.is_broken = true;
            let _ = self.file.set_len(self.length);
        }
        self.buffer = lines;
        self.buffer.clear();
        result.map_err(|error| problem(&self.path, &error))
    }

    /// `None` if the file is empty. A torn last line is cut off, and so is what comes after zeros,
    /// which a machine leaves that went down before all was on its disk.
    fn replay(&mut self, identity: &Identity, pages: &mut Pages) -> Result<Option<usize>, String> {
        let path = self.path.clone();
        let failed = |error| problem(&path, &error);
        (&*self.file).seek(SeekFrom::Start(0)).map_err(failed)?;
        let mut reader = BufReader::new(&*self.file);
        let (mut whole, mut number, mut done) = (0_u64, 0_usize, None);
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = reader.read_until(b'\n', &mut line).map_err(failed)?;
            if read == 0 || line.last() != Some(&b'\n') || line.contains(&0) {
                break;
            }
            whole += read as u64;
            number += 1;
            let parsed = serde_json::from_slice(&line).map_err(|error| error.to_string());
            let parsed = parsed.and_then(|line| match (line, &mut done) {
                (Line::Crawl { version, roots, scope }, None) => {
                    check(version, &Identity { roots, scope }, identity)?;
                    done = Some(0);
                    identity.roots.iter().for_each(|root| begin_at(pages, root));
                    Ok(())
                }
                (_, None) | (Line::Crawl { .. }, Some(_)) => Err("it is out of place".into()),
                (Line::Url { id, url, outside, sitemap }, Some(_)) => {
                    add_url(pages, id, &url, outside, sitemap)
                }
                (Line::Done(line), Some(done)) => {
                    *done += 1;
                    let (page, outcome) = line.into_outcome(pages)?;
                    pages.settle(page, outcome);
                    Ok(())
                }
            });
            parsed.map_err(|error| format!("line {number} of `{}`: {error}", path.display()))?;
        }
        self.file.set_len(whole).map_err(failed)?;
        self.length = whole;
        Ok(done)
    }
}

fn begin_at(pages: &mut Pages, root: &str) {
    let (page, _) = pages.add(root, false);
    pages.begin_at(page, Want::Links);
}

fn check(version: u32, was: &Identity, is: &Identity) -> Result<(), String> {
    if version != VERSION {
        return Err(format!("it is of version {version}, this program writes {VERSION}"));
    }
    if was.roots != is.roots {
        return Err(format!("it belongs to a crawl of {}", was.roots.join(" ")));
    }
    if was.scope != is.scope {
        return Err(format!(
            "it belongs to a crawl with other links: then `{}`, now `{}`",
            was.scope, is.scope
        ));
    }
    Ok(())
}

fn add_url(
    pages: &mut Pages,
    id: u32,
    url: &str,
    outside: bool,
    sitemap: bool,
) -> Result<(), String> {
    let (page, _) = pages.add(url, outside);
    if page.0 != id {
        return Err(format!("number {id} should be {}", page.0));
    }
    if sitemap {
        pages.begin_at(page, Want::Sitemap);
    }
    Ok(())
}

/// Waits until what was written is on the disk. Pipes and the like have none.
pub(crate) fn sync_data(file: &File) -> std::io::Result<()> {
    match file.sync_data() {
        Err(error) if error.kind() == std::io::ErrorKind::InvalidInput => Ok(()),
        result => result,
    }
}

fn problem(path: &Path, error: &std::io::Error) -> String {
    format!("the journal `{}`: {error}", path.display())
}

fn left_out_line(kind: &LeftOut) -> (String, String, u32) {
    (kind.trap.option().to_owned(), kind.pattern.clone(), kind.links)
}

fn left_out((option, pattern, links): (String, String, u32)) -> Result<LeftOut, String> {
    let trap = Trap::from_option(&option).ok_or("a link was left out for something unknown")?;
    Ok(LeftOut { trap, pattern, links })
}

impl DoneLine {
    fn of(page: PageId, outcome: &Outcome) -> DoneLine {
        let numbers = |pages: &[PageId]| pages.iter().map(|page| page.0).collect();
        let mut line = DoneLine {
            id: page.0,
            tries: outcome.tries,
            micros: outcome.took.as_micros() as u64,
            media: outcome.media.to_string(),
            charset: outcome.charset.to_owned(),
            wire: outcome.wire,
            size: outcome.size,
            cut: outcome.cut.map(|stop| stop.name().to_owned()),
            links: numbers(&outcome.links),
            parts: numbers(&outcome.parts),
            new: outcome.new_links,
            outside: outcome.outside,
            malformed: outcome.malformed.to_vec(),
            left_out: outcome.left_out.iter().map(left_out_line).collect(),
            head: outcome.is_head,
            list: outcome.is_list,
            ..DoneLine::default()
        };
        match &outcome.end {
            End::Answered(status) => line.status = Some(*status),
            End::Failed(failure) => {
                line.failed = Some((failure.class.name().to_owned(), failure.text.clone()));
            }
            End::Forbidden(why) => line.forbidden = Some(why.to_string()),
        }
        match &outcome.redirect {
            Some(Redirect::To(page)) => line.to = Some(page.0),
            Some(Redirect::Outside(address)) => line.to_url = Some(address.clone()),
            Some(Redirect::Nowhere) => line.to_url = Some(String::new()),
            None => {}
        }
        line
    }

    fn into_outcome(self, pages: &Pages) -> Result<(PageId, Outcome), String> {
        let known = pages.len();
        let page = |id: u32| {
            let is_known = (id as usize) < known;
            if is_known { Ok(PageId(id)) } else { Err(format!("nothing has the number {id}")) }
        };
        let all = |ids: Vec<u32>| ids.into_iter().map(page).collect::<Result<Box<[PageId]>, _>>();
        let end = match (self.status, self.failed, self.forbidden) {
            (Some(status), _, _) => End::Answered(status),
            (None, Some((class, text)), _) => {
                let class = Class::from_name(&class).ok_or("it failed of something unknown")?;
                End::Failed(Failure::new(class, text))
            }
            (None, None, Some(why)) => End::Forbidden(why.into()),
            (None, None, None) => return Err("it does not say how it ended".into()),
        };
        let redirect = match (self.to, self.to_url) {
            (Some(id), _) => Some(Redirect::To(page(id)?)),
            (None, Some(address)) if address.is_empty() => Some(Redirect::Nowhere),
            (None, Some(address)) => Some(Redirect::Outside(address)),
            (None, None) => None,
        };
        let charset = encoding_rs::Encoding::for_label(self.charset.as_bytes());
        let outcome = Outcome {
            end,
            tries: self.tries,
            took: Duration::from_micros(self.micros),
            media: self.media.into(),
            charset: charset.map_or("", |encoding| encoding.name()),
            wire: self.wire,
            size: self.size,
            cut: self.cut.as_deref().and_then(Stop::from_name),
            redirect,
            links: all(self.links)?,
            parts: all(self.parts)?,
            new_links: self.new,
            outside: self.outside,
            malformed: self.malformed.into(),
            left_out: self.left_out.into_iter().map(left_out).collect::<Result<_, _>>()?,
            is_head: self.head,
            is_list: self.list,
        };
        Ok((page(self.id)?, outcome))
    }
}

#[cfg(test)]
#[path = "journal_tests.rs"]
mod tests;
