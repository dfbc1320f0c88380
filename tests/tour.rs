//! Runs the tour's programs and compares what they print with the page that tells of them.
//!
//! `docs/tour.md` is the only place where the outputs stand, so that the page cannot say anything
//! else. What it shows of their code must be in them, line for line.

mod support;

use std::fs;
use std::path::Path;

use support::output_of_example;

const PAGE: &str = include_str!("../docs/tour.md");

/// What the page says of one idea.
struct Stop {
    number: usize,
    /// Of the program.
    name: String,
    excerpts: Vec<String>,
    /// First what it prints, then what it says on stderr, if anything.
    outputs: Vec<String>,
}

fn stops() -> Vec<Stop> {
    let sections = PAGE.split("\n## ").skip(1);
    sections.map(stop).collect()
}

fn stop(section: &str) -> Stop {
    let number = section.split('.').next().unwrap().parse().unwrap();
    let after = section.split("`cargo run --example ").nth(1);
    let name = after.unwrap_or_else(|| panic!("stop {number} says not how to run it"));
    let name = name.split('`').next().unwrap().to_owned();
    let blocks = |kind: &str| {
        let opening = format!("\n```{kind}\n");
        let blocks = section.split(&opening).skip(1);
        blocks.map(|rest| rest.split("```").next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    Stop { number, name, excerpts: blocks("rs"), outputs: blocks("text") }
}

fn source_of(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name);
    fs::read_to_string(path.with_extension("rs")).unwrap()
}

/// Without what differs from run to run: how many milliseconds something took.
fn without_times(text: &str) -> String {
    let mut words: Vec<&str> = text.split(' ').collect();
    for at in 1..words.len() {
        if words[at].starts_with("ms") && words[at - 1].parse::<u64>().is_ok() {
            words[at - 1] = "some";
        }
    }
    words.join(" ")
}

#[test]
fn each_program_prints_what_the_page_says() {
    for stop in stops() {
        let (stdout, stderr) = output_of_example(&stop.name);
        assert_eq!(stdout, stop.outputs[0], "the output of {}", stop.name);
        match stop.outputs.get(1) {
            None => assert_eq!(stderr, "", "{} on stderr", stop.name),
            // A busy machine may make another poll slow. Whom the page names must be named first.
            Some(expected) => {
                let (said, expected) = (without_times(&stderr), without_times(expected));
                assert!(said.starts_with(&expected), "{}: {said}, not {expected}", stop.name);
            }
        }
    }
}

#[test]
fn the_page_tells_of_all_programs_in_order_and_shows_their_code() {
    let stops = stops();
    assert_eq!(stops.len(), 14);
    for (index, stop) in stops.iter().enumerate() {
        assert_eq!(stop.number, index + 1);
        assert!(stop.name.starts_with(&format!("tour_{:02}_", index + 1)), "{}", stop.name);
        let source = source_of(&stop.name);
        let head = format!("//! Tour {}: ", index + 1);
        assert!(source.starts_with(&head), "{} opens with its number", stop.name);
        let code: Vec<&str> = source.lines().map(str::trim).collect();
        for excerpt in &stop.excerpts {
            let shown: Vec<&str> = excerpt.lines().map(str::trim).collect();
            let is_there = code.windows(shown.len()).any(|lines| lines == shown);
            assert!(is_there, "{} does not have these lines:\n{excerpt}", stop.name);
        }
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let names = names.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()));
    assert_eq!(names.filter(|name| name.starts_with("tour_")).count(), stops.len());
}

#[test]
fn each_program_is_short() {
    for stop in stops() {
        let lines = source_of(&stop.name).lines().count();
        assert!(lines <= 60, "{} has {lines} lines, of 60: one idea each", stop.name);
    }
}
