//! The pages in `docs/` are complete, and say nothing that is not so: what they name exists, all of
//! tokio's names are in "Coming from tokio", all of our async methods in "Cancel safety".
//!
//! Their code is tested by rustdoc, as they are modules of the documentation (`lib.rs`).

#[path = "pages/here.rs"]
mod here;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const TOKIO_PAGE: &str = include_str!("../docs/coming-from-tokio.md");
const ASYNCIO_PAGE: &str = include_str!("../docs/coming-from-asyncio.md");
const CANCEL_PAGE: &str = include_str!("../docs/cancel-safety.md");

/// The public names of tokio 1.54's `time`, `task`, `net`, `signal`, `io::unix` and `runtime`,
/// methods as `Type::method`.
const TOKIO: &str = include_str!("pages/tokio.txt");

/// What the compiler has seen.
const HERE: &str = include_str!("pages/here.rs");

/// Names in our crate that the page says are the same.
const SAME: &str = "same";

/// The page says that there is no such thing.
const NOTHING: &str = "—";

/// The rows of a page's tables, without their heads. A table with another number of columns is of
/// other crates' names, and not checked.
fn rows(page: &'static str, columns: usize) -> Vec<Vec<&'static str>> {
    let lines = page.lines().filter(|line| line.starts_with("| "));
    let cells = lines.map(|line| {
        let line = line.trim_start_matches('|').trim_end_matches('|');
        line.split('|').map(str::trim).collect::<Vec<_>>()
    });
    let is_row = |cells: &Vec<&str>| {
        cells.len() == columns && !matches!(cells[0], "tokio" | "asyncio" | "method")
    };
    cells.filter(is_row).collect()
}

/// The names in code: "`a::{b, c}`, `d`" are `a::b`, `a::c` and `d`.
fn names_in(cell: &str) -> Vec<String> {
    let spans = cell.split('`').skip(1).step_by(2);
    spans.flat_map(expand).collect()
}

fn expand(span: &str) -> Vec<String> {
    let Some((head, tail)) = span.split_once("::{") else { return vec![span.to_owned()] };
    let names = tail.strip_suffix('}').unwrap().split(',');
    names.map(|name| format!("{head}::{}", name.trim())).collect()
}

/// The type of a method.
fn type_of(name: &str) -> Option<&str> {
    let (head, _) = name.rsplit_once("::")?;
    let last = head.rsplit("::").next()?;
    last.starts_with(char::is_uppercase).then_some(head)
}

fn with_types(names: impl IntoIterator<Item = String>) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for name in names {
        all.extend(type_of(&name).map(str::to_owned));
        all.insert(name);
    }
    all
}

/// What is named in the three macros of `here.rs`.
fn compiled() -> BTreeSet<String> {
    let body = |opening: &str| {
        let after = HERE.split(&format!("\n{opening}! {{\n")).nth(1).unwrap();
        after.split("\n}\n").next().unwrap().to_owned()
    };
    let words = |text: &str| -> Vec<String> {
        let text = text.replace(',', " ");
        text.split_whitespace().map(str::to_owned).collect()
    };
    let mut names: Vec<String> = words(&without_generics(&body("items")));
    let methods = without_generics(&body("methods"));
    for block in methods.split('}').filter(|block| block.contains('{')) {
        let (of, methods) = block.split_once('{').unwrap();
        names.extend(words(methods).iter().map(|method| format!("{}::{method}", of.trim())));
    }
    let called = body("called");
    for entry in called.split(';').filter(|entry| !entry.trim().is_empty()) {
        let (name, call) = entry.split_once(" =>").unwrap();
        let (name, method) = (name.trim(), name.rsplit("::").next().unwrap());
        assert!(call.contains(&format!(".{method}(")), "{name} is called as something else");
        names.push(name.to_owned());
    }
    with_types(names)
}

/// Without what stands between `<` and `>`, and the `::` before it. The `>` of an arrow closes
/// nothing.
fn without_generics(text: &str) -> String {
    let mut depth = 0;
    let mut kept = String::new();
    let mut before = ' ';
    for c in text.chars() {
        match c {
            '<' => depth += 1,
            '>' if before != '-' => depth -= 1,
            _ if depth == 0 => kept.push(c),
            _ => {}
        }
        before = c;
    }
    kept.replace("::,", ",").replace("::\n", "\n")
}

#[test]
fn all_of_tokios_names_are_on_the_page_and_no_others() {
    let tokio: BTreeSet<String> = TOKIO.lines().map(str::to_owned).collect();
    let page = with_types(rows(TOKIO_PAGE, 3).iter().flat_map(|row| names_in(row[0])));
    let missing: Vec<_> = tokio.difference(&page).collect();
    assert!(missing.is_empty(), "the page says nothing of {missing:?}");
    let unknown: Vec<_> = page.difference(&tokio).collect();
    assert!(unknown.is_empty(), "tokio has no {unknown:?}");
}

#[test]
fn what_the_pages_point_to_exists() {
    let compiled = compiled();
    let moves = rows(TOKIO_PAGE, 3).into_iter().chain(rows(ASYNCIO_PAGE, 3));
    let moves = moves.map(|row| match row[1] {
        SAME => row[0],
        NOTHING => {
            assert!(row[2].len() > 5, "why is there no {}?", row[0]);
            ""
        }
        names => names,
    });
    let mut count = 0;
    for cell in moves.chain(rows(CANCEL_PAGE, 2).into_iter().map(|row| row[0])) {
        for name in names_in(cell) {
            let name = name.trim_end_matches('!');
            assert!(compiled.contains(name), "{name} is not in pages/here.rs: does it exist?");
            count += 1;
        }
    }
    assert!(count > 500, "only {count} names were found: has the form of the tables changed?");
}

/// Whoever adds an async method says on the page what happens when it is dropped.
#[test]
fn every_async_method_is_on_the_page_of_cancel_safety() {
    let names = rows(CANCEL_PAGE, 2).into_iter().flat_map(|row| names_in(row[0]));
    let named: BTreeSet<(String, String)> = names.map(|name| of_and_name(&name)).collect();
    let files = library();
    let found: Vec<_> = files.iter().flat_map(|(_, text)| async_fns(text)).collect();
    let is_named = |of: &str, name: &str| named.contains(&(on_the_page(of).into(), name.into()));
    let missing: Vec<_> = found.iter().filter(|(of, name)| !is_named(of, name)).collect();
    assert!(missing.is_empty(), "not on docs/cancel-safety.md: {missing:?}");
    assert!(found.len() > 90, "only {} async methods were found", found.len());
}

/// The type, if it is a method, and the name itself.
fn of_and_name(path: &str) -> (String, String) {
    let path = path.trim_end_matches('!');
    let of = type_of(path).and_then(|of| of.rsplit("::").next()).unwrap_or_default();
    (of.to_owned(), path.rsplit("::").next().unwrap().to_owned())
}

/// Under which type's name the page has the methods of a type: what is written once for several is
/// there under one of them.
fn on_the_page(of: &str) -> &str {
    match of {
        "StreamSocket" | "$socket" | "$half" => "TcpStream",
        "DatagramSocket" => "UdpSocket",
        "ListenerSocket" => "TcpListener",
        "$end" => "Receiver",
        other => other,
    }
}

/// The public async functions that a file declares: each with its type, or none.
fn async_fns(text: &str) -> Vec<(String, String)> {
    let code: Vec<&str> = text.lines().filter(|line| !line.trim().starts_with("//")).collect();
    let code = format!("\n{}", code.join("\n"));
    let mut items = code.split("pub ");
    let mut before = items.next().unwrap();
    let mut of = String::new();
    let mut found = Vec::new();
    for item in items {
        if before.ends_with('\n') {
            of.clear();
        } else if let Some(implemented) = before.lines().rev().find_map(implemented) {
            of = implemented;
        }
        before = item;
        let head = item.split(['{', ';']).next().unwrap();
        let Some((qualifiers, after)) = head.split_once("fn ") else { continue };
        if qualifiers == "async " || head.contains(") -> impl Future<") {
            let name = after.split(['(', '<']).next().unwrap();
            found.push((of.clone(), name.to_owned()));
        }
    }
    found
}

/// The type that a line begins to implement.
fn implemented(line: &str) -> Option<String> {
    let head = without_generics(line.trim().strip_prefix("impl")?);
    let of = head.rsplit(" for ").next()?.split_whitespace().next()?;
    Some(of.rsplit("::").next()?.to_owned())
}

/// The library's files, by their paths, with their text.
fn library() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.join("runtime"), root.join("net")];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                // TLS is a package of its own, which this one does not know.
                folders.extend((!path.ends_with("net/tls")).then_some(path));
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push((path.display().to_string(), fs::read_to_string(&path).unwrap()));
            }
        }
    }
    files
}
