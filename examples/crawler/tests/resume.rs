//! A crawl that is stopped, by whatever means, and goes on: nothing is asked for twice, nothing is
//! lost.

mod fixture;

use std::collections::HashMap;
use std::path::Path;
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fixture::{
    Act, Asked, Fixture, command, kill, links, missing, redirect, run, scratch, wait_until,
};
use serde_json::Value;

const PAGES: usize = 60;

/// Two at once: so many requests may be under way when it ends.
const PACE: [&str; 2] = ["--per-host", "2"];

/// A root with pages, and a redirect and a missing page among them; and how many requests are
/// answered: those after them are left waiting.
fn site() -> (Fixture, Arc<AtomicUsize>) {
    let answered = Arc::new(AtomicUsize::new(usize::MAX));
    let (most, arrived) = (answered.clone(), AtomicUsize::new(0));
    let site = Fixture::start(move |asked: &Asked| {
        let act = match &*asked.target {
            "/robots.txt" => return missing(),
            "/" => {
                let all: Vec<String> = (0..PAGES).map(|page| format!("/{page}")).collect();
                links(&all.iter().map(String::as_str).collect::<Vec<_>>())
            }
            "/7" => redirect(302, "/8"),
            "/9" => missing(),
            _ => links(&["/"]),
        };
        let Act::Send(answer) = act else { unreachable!() };
        let (number, most) = (arrived.fetch_add(1, Ordering::SeqCst), most.clone());
        Act::When(Box::new(move || number < most.load(Ordering::SeqCst)), answer)
    });
    (site, answered)
}

fn start(site: &Fixture, journal: &Path) -> Child {
    let journal = journal.to_str().unwrap();
    let root = format!("{}/", site.url);
    command(&[&[&root, "--journal", journal, "--resume"], &PACE[..]].concat()).spawn().unwrap()
}

/// What a journal says is done, and how often each was asked for until then: those that were under
/// way at an earlier end more than once.
fn done(site: &Fixture, journal: &Path) -> Vec<(String, usize)> {
    let text = std::fs::read_to_string(journal).unwrap();
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let lines: Vec<Value> = whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of_kind = |kind: &'static str| lines.iter().filter(move |line| line["is"] == kind);
    let names: HashMap<u64, &str> = of_kind("url")
        .map(|line| (line["id"].as_u64().unwrap(), line["url"].as_str().unwrap()))
        .collect();
    let done = of_kind("done").map(|line| names[&line["id"].as_u64().unwrap()]);
    done.map(|address| {
        let line = format!("GET {}", address.strip_prefix(&site.url).unwrap());
        let count = site.count(&line);
        (line, count)
    })
    .collect()
}

/// Goes on to the end, and looks at what it comes to.
fn finish(site: &Fixture, journal: &Path, done_before: &[(String, usize)]) {
    let root = format!("{}/", site.url);
    let options = [&root, "--journal", journal.to_str().unwrap(), "--resume"];
    let run = run(&[&options[..], &PACE].concat());
    assert_eq!(run.rows.len(), PAGES + 1, "every page has its row, those of the first run too");
    for (line, count) in done_before {
        assert_eq!(site.count(line), *count, "{line} was done");
    }
    for page in 0..PAGES {
        assert!(site.count(&format!("GET /{page}")) >= 1, "/{page} was lost");
    }
    let twice = site.asked().len() - (PAGES + 1);
    assert!(twice <= 4, "{twice} were under way at two ends, two at most each time");
    // As an unbroken crawl would have it.
    assert_eq!(run.broken(), [("9".into(), "404 Not Found".into())]);
    assert_eq!(run.code, 2);
    assert_eq!(run.summary["resumed"], done_before.len());
}

#[test]
fn killed_twice_it_goes_on() {
    let ((site, answered), folder) = (site(), scratch());
    let journal = folder.join("journal");
    let mut before: Vec<(String, usize)> = Vec::new();
    for most in [15, 40] {
        answered.store(most, Ordering::SeqCst);
        let mut child = start(&site, &journal);
        wait_until("two more requests", || site.asked().len() == most + 2);
        child.kill().unwrap();
        child.wait().unwrap();
        for (line, count) in &before {
            assert_eq!(site.count(line), *count, "{line} was done");
        }
        before = done(&site, &journal);
    }
    assert!(before.len() >= 25, "{} were done", before.len());
    answered.store(usize::MAX, Ordering::SeqCst);
    finish(&site, &journal, &before);
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn interrupted_it_reports_and_goes_on() {
    for (signal, code) in [("-INT", 130), ("-TERM", 130)] {
        let ((site, answered), folder) = (site(), scratch());
        let journal = folder.join("journal");
        answered.store(20, Ordering::SeqCst);
        let child = start(&site, &journal);
        wait_until("two more requests", || site.asked().len() == 22);
        kill(&child, signal);
        let output = child.wait_with_output().unwrap();
        let report = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(code));
        assert!(report.contains("interrupted") && report.contains("/9"), "{report}");
        answered.store(usize::MAX, Ordering::SeqCst);
        finish(&site, &journal, &done(&site, &journal));
        std::fs::remove_dir_all(folder).unwrap();
    }
}

#[test]
fn a_page_limit_is_an_end_that_can_be_moved() {
    let ((site, _), folder) = (site(), scratch());
    let journal = folder.join("journal");
    let root = format!("{}/", site.url);
    let options = [&root, "--journal", journal.to_str().unwrap()];
    let first = run(&[&options[..], &["--max-pages", "10"]].concat());
    assert_eq!((site.asked().len(), first.rows.len()), (10, 10));
    assert_eq!(first.summary["ended"], "page-limit");
    let second = run(&options);
    assert!(second.code == 1 && second.stderr.contains("--resume"), "{}", second.stderr);
    finish(&site, &journal, &done(&site, &journal));
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_time_limit_is_kept() {
    let (site, answered) = site();
    answered.store(0, Ordering::SeqCst);
    let run = site.crawl("/", &["--max-time", "150ms"]);
    assert_eq!(run.summary["ended"], "time-limit");
    assert!(run.summary["seconds"].as_f64().unwrap() >= 0.15, "{}", run.summary);
}

#[test]
fn two_crawls_do_not_share_a_journal() {
    let ((site, answered), folder) = (site(), scratch());
    answered.store(0, Ordering::SeqCst);
    let journal = folder.join("journal");
    let mut child = start(&site, &journal);
    wait_until("a request", || !site.asked().is_empty());
    let root = format!("{}/", site.url);
    let second = run(&[&root, "--journal", journal.to_str().unwrap(), "--resume"]);
    assert!(second.code == 1 && second.stderr.contains("another crawl"), "{}", second.stderr);
    child.kill().unwrap();
    child.wait().unwrap();
    std::fs::remove_dir_all(folder).unwrap();
}
