//! Journals are written, torn and read back.

use std::fs;

use super::*;
use crate::crawl::pages::{Limits, State};

/// A file of this test's own, gone at its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let name = format!("wheelhouse-journal-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = fs::remove_file(&path);
        Scratch(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn identity() -> Identity {
    Identity { roots: vec!["http://a/".into()], scope: "host".into() }
}

fn pages() -> Pages {
    Pages::new(Limits { depth: 9, redirects: 9 })
}

fn outcomes() -> Vec<Outcome> {
    let failure = Failure::new(Class::Timeout, "no \"answer\"\n");
    let page = |id| PageId(id);
    vec![
        Outcome {
            links: [page(1), page(2)].into(),
            parts: [page(3)].into(),
            media: "text/html".into(),
            charset: "UTF-8",
            took: Duration::from_micros(1234),
            tries: 2,
            wire: 10,
            size: 20,
            new_links: 2,
            outside: 1,
            malformed: ["http://".into()].into(),
            left_out: [LeftOut { trap: Trap::ManyNumbers, pattern: "N".into(), links: 7 }].into(),
            ..Outcome::default()
        },
        Outcome {
            end: End::Answered(301),
            redirect: Some(Redirect::To(page(2))),
            ..Outcome::default()
        },
        Outcome { end: End::Failed(failure), ..Outcome::default() },
        Outcome { cut: Some(Stop::Bomb), is_head: true, ..Outcome::default() },
    ]
}

/// A journal in which the first `done` pages are done.
fn written(path: &Path, done: usize) -> Pages {
    let mut pages = pages();
    let mut journal = Journal::create(path, &identity()).unwrap();
    begin_at(&mut pages, "http://a/");
    for (id, outcome) in (0..).zip(outcomes()).take(done) {
        if id == 0 {
            for name in ["http://a/1", "http://a/2", "http://a/3"] {
                pages.add(name, false);
            }
        }
        journal.write(&pages, PageId(id), &outcome).unwrap();
        pages.settle(PageId(id), outcome);
    }
    pages
}

#[test]
fn what_was_done_is_read_back() {
    let scratch = Scratch::new("back");
    drop(written(&scratch.0, 4));
    let mut again = pages();
    let (_, done) = Journal::resume(&scratch.0, &identity(), &mut again).unwrap();
    assert_eq!(done, 4);
    for (id, outcome) in (0..).zip(outcomes()) {
        assert_eq!(again.get(PageId(id)).outcome.as_deref(), Some(&outcome), "page {id}");
    }
    assert_eq!(again.get(PageId(2)).depth, 1);
}

/// Wherever the file ends, what is whole before is kept, and nothing else is missing.
#[test]
fn a_journal_may_be_torn_anywhere() {
    let scratch = Scratch::new("torn");
    drop(written(&scratch.0, 4));
    let whole = fs::read(&scratch.0).unwrap();
    for end in 0..=whole.len() {
        fs::write(&scratch.0, &whole[..end]).unwrap();
        let mut again = pages();
        let (journal, done) = Journal::resume(&scratch.0, &identity(), &mut again).unwrap();
        let lines = whole[..end].split_inclusive(|&byte| byte == b'\n');
        let lines = lines.filter(|line| line.ends_with(b"\n"));
        let is_done = |line: &&[u8]| line.starts_with(b"{\"is\":\"done\"");
        assert_eq!(done, lines.filter(is_done).count(), "cut at {end}");
        let waiting: Vec<PageId> = again.take_ready();
        let lost = waiting.iter().filter(|page| again.get(**page).state == State::Queued).count();
        // Until it is done the root is all that is wanted, if the file names it at all.
        let expected = if done == 0 { again.len().min(1) } else { 4 - done };
        assert_eq!(lost, expected, "cut at {end}");
        drop(journal);
        // What is written next begins a line.
        let text = fs::read_to_string(&scratch.0).unwrap();
        assert!(text.ends_with('\n') && text.starts_with("{\"is\":\"crawl\""), "cut at {end}");
    }
}

/// What a power cut may leave: a hole of zeros where a page of the file did not reach the disk, before
/// others that did.
#[test]
fn what_stands_after_zeros_does_not_count() {
    let scratch = Scratch::new("zeros");
    drop(written(&scratch.0, 4));
    let whole = fs::read(&scratch.0).unwrap();
    let is_line = |at: &usize| whole[*at..].starts_with(b"{\"is\":\"done\"");
    let lines: Vec<usize> = (0..whole.len()).filter(is_line).collect();
    // In the middle of the second, and over the begin of the third; and nothing but zeros at the end.
    for (hole, done) in [
        (lines[1] + 5..lines[1] + 9, 1),
        (lines[2]..lines[2] + 3, 2),
        (lines[1] + 5..lines[2] + 5, 1),
        (whole.len()..whole.len() + 4096, 4),
    ] {
        let mut holed = whole.clone();
        holed.resize(hole.end.max(whole.len()), 0);
        holed[hole.clone()].fill(0);
        fs::write(&scratch.0, &holed).unwrap();
        let (journal, found) = Journal::resume(&scratch.0, &identity(), &mut pages()).unwrap();
        assert_eq!(found, done, "{hole:?}");
        drop(journal);
        let kept = fs::read(&scratch.0).unwrap();
        assert!(whole.starts_with(&kept) && kept.ends_with(b"\n"), "{hole:?}");
    }
}

#[test]
fn what_was_written_is_to_be_synced_once() {
    let scratch = Scratch::new("sync");
    let mut journal = Journal::create(&scratch.0, &identity()).unwrap();
    journal.syncing().unwrap()().unwrap();
    assert!(journal.syncing().is_none());
    let mut pages = pages();
    begin_at(&mut pages, "http://a/");
    journal.write(&pages, PageId(0), &Outcome::default()).unwrap();
    assert!(journal.syncing().is_some());
}

#[test]
fn a_journal_has_one_writer() {
    let scratch = Scratch::new("lock");
    let first = Journal::create(&scratch.0, &identity()).unwrap();
    let problem = Journal::resume(&scratch.0, &identity(), &mut pages()).err().unwrap();
    assert!(problem.contains("another crawl is writing"), "{problem}");
    drop(first);
    Journal::resume(&scratch.0, &identity(), &mut pages()).unwrap();
}

#[test]
fn what_does_not_belong_together_is_refused() {
    let scratch = Scratch::new("other");
    drop(written(&scratch.0, 1));
    let says = |identity: &Identity, words: &str| {
        let problem = Journal::resume(&scratch.0, identity, &mut pages()).err().unwrap();
        assert!(problem.contains(words), "{problem}");
    };
    let problem = Journal::create(&scratch.0, &identity()).err().unwrap();
    assert!(problem.contains("--resume, or delete it"), "{problem}");
    says(&Identity { roots: vec!["http://b/".into()], ..identity() }, "a crawl of http://a/");
    says(&Identity { scope: "domain".into(), ..identity() }, "then `host`, now `domain`");
    let text = fs::read_to_string(&scratch.0).unwrap();
    fs::write(&scratch.0, text.replace("\"links\":[1,2]", "\"links\":[1,99]")).unwrap();
    says(&identity(), "nothing has the number 99");
    fs::write(&scratch.0, "not a journal\n").unwrap();
    says(&identity(), "line 1 of");
}
