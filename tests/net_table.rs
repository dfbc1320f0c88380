//! tokio's net and io::unix, name by name: what is the same here, what is better, what was left out
//! and why. `docs/from-tokio-net.md` is this table as a page.
//!
//! It cannot go stale. A row that says *same* or *better* makes a use of our method, and does not
//! compile when there is none; every name of tokio's must have its row, and the page must be what
//! the table gives (run this with `BLESS=1` to write it anew).

// Some names are Linux's alone.
#![cfg(target_os = "linux")]

use std::collections::BTreeSet;
use std::fmt::Write;

#[path = "net_table/rows.rs"]
mod rows;
#[path = "net_table/theirs.rs"]
mod theirs;

/// What became of one name.
pub(crate) struct Row {
    /// tokio's type or module.
    pub(crate) of: &'static str,
    pub(crate) name: &'static str,
    pub(crate) verdict: Verdict,
    pub(crate) note: &'static str,
    /// The use that was made of ours, if it was not just the path.
    pub(crate) used: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Same,
    Better,
    LeftOut,
}

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/from-tokio-net.md");

/// The table as a page.
fn page() -> String {
    let mut page = String::from(
        "# tokio::net and tokio::io::unix, name by name\n\n\
         Made from `tests/net_table`, which does not compile when a method that is said to be \
         here is not.\nWhere nothing is said, name and meaning are tokio's. \
         `tokio::io::{Interest, Ready}` are `wheelhouse::io`'s.\n",
    );
    let rows = rows::all();
    let mut of = "";
    for row in &rows {
        if row.of != of {
            of = row.of;
            let same: Vec<_> = plain(&rows, of).map(|row| format!("`{}`", row.name)).collect();
            write!(page, "\n## `{of}`\n\n").unwrap();
            if !same.is_empty() {
                write!(page, "The same: {}.\n\n", same.join(", ")).unwrap();
            }
            if rows.iter().any(|row| row.of == of && !is_plain(row)) {
                page.push_str("| | | |\n|---|---|---|\n");
            }
        }
        if !is_plain(row) {
            let verdict = match row.verdict {
                Verdict::Same => "same",
                Verdict::Better => "**better**",
                Verdict::LeftOut => "left out",
            };
            writeln!(page, "| `{}` | {verdict} | {} |", row.name, row.note).unwrap();
        }
    }
    page
}

fn plain<'a>(rows: &'a [Row], of: &'a str) -> impl Iterator<Item = &'a Row> {
    rows.iter().filter(move |row| row.of == of && is_plain(row))
}

fn is_plain(row: &Row) -> bool {
    row.verdict == Verdict::Same && row.note.is_empty()
}

#[test]
fn every_name_of_tokios_has_its_row_and_no_other_has() {
    let rows = rows::all();
    let ours: Vec<_> = rows.iter().map(|row| format!("{}::{}", row.of, row.name)).collect();
    let unique: BTreeSet<_> = ours.iter().cloned().collect();
    assert_eq!(unique.len(), ours.len(), "a name has two rows");
    let theirs: BTreeSet<_> = theirs::NAMES
        .iter()
        .flat_map(|(of, names)| names.split_whitespace().map(move |name| format!("{of}::{name}")))
        .collect();
    let missing: Vec<_> = theirs.difference(&unique).collect();
    let invented: Vec<_> = unique.difference(&theirs).collect();
    assert!(
        missing.is_empty() && invented.is_empty(),
        "no row: {missing:?}; not tokio's: {invented:?}"
    );
}

#[test]
fn a_use_is_of_the_method_that_the_row_names() {
    for row in rows::all() {
        let is_named = row.used.is_empty() || row.used.contains(row.name);
        assert!(is_named, "{}::{}: {}", row.of, row.name, row.used);
        let needs_words = row.verdict != Verdict::Same;
        assert!(!needs_words || !row.note.is_empty(), "{}::{}: say why", row.of, row.name);
    }
}

#[test]
fn the_page_is_the_table() {
    let page = page();
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(PAGE, &page).unwrap();
    }
    let written = std::fs::read_to_string(PAGE).unwrap_or_default();
    assert!(written == page, "docs/from-tokio-net.md is not the table: BLESS=1 writes it anew");
}
