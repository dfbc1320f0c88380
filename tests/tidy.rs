//! The house rules, as a test: `cargo test --test tidy`.
//!
//! Each rule is one test, and says at its place why it is there. A failure names the file, the
//! line, the rule and the remedy. Where today's code breaks a rule, the exception stands in a list
//! with its reason; an entry that is no longer needed fails, so the lists only get shorter. The
//! tables of who may import whom are in `tidy/layers.rs`.

#[path = "tidy/layers.rs"]
mod layers;
#[path = "tidy/source.rs"]
mod source;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use layers::{DOORS, PACKAGES, Package, TESTS, UPWARD, package_of};
use source::{Source, files_below, functions_in, name_at, word_at};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

const COLUMNS_OF_CODE: usize = 100;
const COLUMNS_OF_COMMENTS: usize = 120;
const LINES_OF_A_FUNCTION: usize = 70;
const LINES_OF_A_FILE: usize = 600;

/// Files that are longer, and how long they may be.
const LONG_FILES: &[(&str, usize)] = &[];

/// Functions that are longer, and how long they may be.
const LONG_FUNCTIONS: &[(&str, &str, usize)] = &[
    ("benches/peers/src/child.rs", "timer_create", 72),
    ("benches/peers/src/main.rs", "orchestrate", 71),
];

/// Files whose essay does not say enough yet.
const SHORT_ESSAYS: &[&str] = &[
    "net/tcp/listener.rs",
    "runtime/builder.rs",
    "runtime/current.rs",
    "runtime/debug/inspect.rs",
    "runtime/debug/metrics.rs",
    "runtime/debug/mod.rs",
    "runtime/handle.rs",
    "runtime/owner.rs",
    "runtime/shutdown.rs",
    "runtime/task/error.rs",
    "runtime/task/polled.rs",
    "runtime/task/spawn.rs",
    "runtime/time/instant.rs",
    "runtime/time/sleep.rs",
    "runtime/time/timeout.rs",
    "runtime/time/virtual_time.rs",
];

/// The one file with `unsafe`: `Poller::add` is an unsafe fn. Its essay says why it is sound.
const UNSAFE: &str = "runtime/selector/polling.rs";

/// Where systems and builds may differ, and in what.
const CONDITIONAL: &[(&str, &str)] = &[
    ("lib.rs", "the README, for its examples to be run"),
    ("runtime/lib.rs", "which modules there are"),
    ("runtime/selector/", "epoll or kqueue, and through which crate"),
    ("runtime/time/alarm.rs", "a timerfd or none"),
    ("runtime/atomics.rs", "std's or loom's"),
    ("runtime/affinity.rs", "systems that pin threads, and those that do not"),
    ("runtime/syscall.rs", "what Apple's systems lack"),
    ("runtime/address.rs", "abstract names of Unix sockets, which only Linux has"),
    ("runtime/inbox.rs", "loom's lock cannot be poisoned"),
    ("net/lib.rs", "which modules there are"),
    ("net/tls/lib.rs", "which modules there are"),
    ("net/compat/mod.rs", "which traits are wanted"),
    ("net/platform.rs", "what only some systems have"),
];

/// Conditions that stand where the rule would not have them.
const STRAY_CONDITIONS: &[(&str, &str)] = &[];

/// What may touch atomics: the protocols between threads.
const ATOMIC: &[&str] = &[
    "runtime/atomics.rs",
    "runtime/inbox.rs",
    "runtime/remote.rs",
    // For its `thread_local!`, which loom replaces too.
    "runtime/task/queue.rs",
    "runtime/task/waker.rs",
    "runtime/task/call.rs",
    // A count of spawns, for the round.
    "runtime/group.rs",
    // A flag that is only ever set, and under the token's lock, so that asking takes none.
    "runtime/structure/cancel.rs",
];

/// Words that say nothing as a part of a type's name.
const EMPTY_WORDS: [&str; 8] =
    ["Inner", "Shared", "Core", "Manager", "Util", "Common", "Helper", "Driver"];

/// What was found, to be told all at once.
#[derive(Default)]
struct Findings(Vec<String>);

impl Findings {
    fn add(&mut self, path: &str, line: usize, what: impl std::fmt::Display) {
        self.0.push(format!("{path}:{line}: {what}"));
    }

    /// An exception that nobody needs.
    fn stale(&mut self, list: &str, entry: impl std::fmt::Display) {
        self.0.push(format!("tests/tidy: {entry} is in {list} and need not be. Take it out."));
    }

    #[track_caller]
    fn report(self) {
        assert!(self.0.is_empty(), "\n\n{}\n", self.0.join("\n"));
    }
}

/// Every Rust file of the repository.
fn sources() -> Vec<Source> {
    let root = Path::new(ROOT);
    let read = |path: String| {
        let text = fs::read_to_string(root.join(&path)).unwrap();
        Source::new(path, &text)
    };
    files_below(root, ".rs").into_iter().map(read).collect()
}

/// Those of the library.
fn library(sources: &[Source]) -> impl Iterator<Item = &Source> {
    sources.iter().filter(|source| package_of(&source.path).is_some() || source.path == "lib.rs")
}

fn is_peers(path: &str) -> bool {
    path.starts_with("benches/peers/")
}

/// Whether a file is listed in the layer that says this.
fn stands_in(path: &str, says: &str) -> bool {
    let Some((package, file)) = package_of(path) else { return false };
    let tables = PACKAGES.iter().filter(|(name, _)| *name == package);
    let layers = tables.flat_map(|(_, table)| *table).filter(|layer| layer.says == says);
    layers.flat_map(|layer| layer.files).any(|listed| *listed == file)
}

/// Files that are tests from the first line to the last.
fn is_test(path: &str) -> bool {
    stands_in(path, TESTS)
}

/// Cycles make a file unreadable on its own: DESIGN section 2 has none.
#[test]
fn a_file_imports_only_from_below() {
    let sources = sources();
    let mut findings = Findings::default();
    let mut needed = BTreeSet::new();
    for &(name, table) in PACKAGES {
        let package = Package::new(name, table, &sources);
        for file in table.iter().flat_map(|layer| layer.files) {
            if !package.files.contains_key(file) {
                findings.stale("the table of layers", format!("{name}/{file}"));
            }
        }
        for (file, source) in &package.files {
            let Some((layer, place)) = package.place(file) else {
                let what = "stands in no layer. Give it a place in tests/tidy/layers.rs.";
                findings.add(&source.path, 1, what);
                continue;
            };
            for import in package.imports(file, source) {
                let target = import.target.as_str();
                let Some((its_layer, its_place)) = package.place(target) else { continue };
                let is_child = file.strip_suffix("mod.rs").is_some_and(|at| target.starts_with(at));
                if its_place < place || is_child || table[layer].says == TESTS {
                    continue;
                }
                let debt = UPWARD.iter().find(|debt| debt.0 == source.path && debt.1 == target);
                if let Some(debt) = debt {
                    needed.insert((debt.0, debt.1));
                    continue;
                }
                let what = format!(
                    "imports {target}, which is listed after it. This file's layer: \"{}\" The \
                     other's: \"{}\" Move what is needed down, or turn the import round.",
                    table[layer].says, table[its_layer].says
                );
                findings.add(&source.path, import.line, what);
            }
        }
    }
    for debt in UPWARD.iter().filter(|debt| !needed.contains(&(debt.0, debt.1))) {
        findings.stale("UPWARD", format!("{} -> {}", debt.0, debt.1));
    }
    findings.report();
}

/// A door that does something is a room.
#[test]
fn doors_hold_no_logic() {
    let mut findings = Findings::default();
    for source in &sources() {
        let is_door = stands_in(&source.path, DOORS);
        if !is_door && source.path != "lib.rs" {
            continue;
        }
        for (line, code) in source.code_lines() {
            if let Some(word) =
                ["fn", "impl", "struct", "enum"].iter().find(|w| word_at(code, w).is_some())
            {
                let what =
                    format!("`{word}` in a file of re-exports. Put it in a file of its own.");
                findings.add(&source.path, line, what);
            }
        }
    }
    findings.report();
}

/// Nobody should have to read a file to learn what it is for.
#[test]
fn every_file_opens_with_what_it_is() {
    let sources = sources();
    let mut findings = Findings::default();
    for source in &sources {
        if source.essay().is_empty() {
            let what =
                "opens with no `//!`. Say what it is, what it may not know, and why it is so.";
            findings.add(&source.path, 1, what);
        }
    }
    for source in library(&sources).filter(|source| source.path != "lib.rs") {
        let essay = source.essay();
        let lines = essay.iter().filter(|line| !line.trim().is_empty()).count();
        let characters: usize = essay.iter().map(|line| line.trim().chars().count()).sum();
        let is_short = lines < 2 && characters < 100;
        match (is_short, SHORT_ESSAYS.contains(&source.path.as_str())) {
            (true, false) => {
                let what = "its essay is a title. Add what it knows and does not, or why it is so.";
                findings.add(&source.path, 1, what);
            }
            (false, true) => findings.stale("SHORT_ESSAYS", &source.path),
            _ => {}
        }
    }
    findings.report();
}

/// What does not fit on a page is not read as one.
#[test]
fn functions_and_files_are_short() {
    let mut findings = Findings::default();
    for source in &sources() {
        let long_file = LONG_FILES.iter().find(|(path, _)| *path == source.path);
        let limit = long_file.map_or(LINES_OF_A_FILE, |(_, limit)| *limit);
        let lines = source.text.len();
        if lines > limit {
            let what = format!("has {lines} lines, of {limit}. Split it where it changes subject.");
            findings.add(&source.path, lines, what);
        }
        if long_file.is_some() && lines <= LINES_OF_A_FILE {
            findings.stale("LONG_FILES", &source.path);
        }
        for function in functions_in(source) {
            let is_listed = |(path, name, _): &&(&str, &str, usize)| {
                *path == source.path && *name == function.name
            };
            let listed = LONG_FUNCTIONS.iter().find(is_listed);
            let limit = listed.map_or(LINES_OF_A_FUNCTION, |(_, _, limit)| *limit);
            let (name, lines) = (&function.name, function.lines);
            if lines > limit {
                let what =
                    format!("`{name}` has {lines} lines, of {limit}. Take a step out of it.");
                findings.add(&source.path, function.line, what);
            }
            if listed.is_some() && lines <= LINES_OF_A_FUNCTION {
                findings.stale("LONG_FUNCTIONS", name);
            }
        }
    }
    findings.report();
}

/// Two files fit beside each other on a screen. `rustfmt` leaves literals and comments alone.
#[test]
fn lines_are_short() {
    let mut findings = Findings::default();
    for source in &sources() {
        for (line, text) in (1..).zip(&source.text) {
            let is_comment = source.code[line - 1].trim().is_empty();
            // The peers have a rustfmt.toml of their own.
            let is_wide = is_comment || is_peers(&source.path);
            let limit = if is_wide { COLUMNS_OF_COMMENTS } else { COLUMNS_OF_CODE };
            let columns = text.chars().count();
            if columns > limit {
                let what =
                    format!("{columns} columns, of {limit}. Run `cargo fmt`, or break the line.");
                findings.add(&source.path, line, what);
            }
        }
    }
    findings.report();
}

/// What is not finished belongs in an issue.
#[test]
fn nothing_is_left_lying_about() {
    let mut findings = Findings::default();
    for source in &sources() {
        for (line, code) in source.code_lines() {
            for word in ["todo", "unimplemented", "dbg"] {
                let is_macro = |at: usize| code[at + word.len()..].starts_with('!');
                if word_at(code, word).is_some_and(is_macro) {
                    findings.add(
                        &source.path,
                        line,
                        format!("`{word}!`. Finish it, or take it out."),
                    );
                }
            }
        }
        for (line, comment) in (1..).zip(&source.comments) {
            if let Some(word) =
                ["FIXME", "XXX", "TODO"].iter().find(|w| word_at(comment, w).is_some())
            {
                findings.add(&source.path, line, format!("{word}. Do it, or open an issue."));
            }
        }
    }
    findings.report();
}

/// DESIGN section 5: no `unsafe` in our code, but for the one file. The peers need it to be measured
/// by hand.
#[test]
fn nothing_is_unsafe() {
    let mut findings = Findings::default();
    let mut has_exception = false;
    for source in sources().iter().filter(|source| !is_peers(&source.path)) {
        let is_exception = source.path == UNSAFE;
        for (line, code) in source.code_lines() {
            if word_at(code, "unsafe").is_none() {
                continue;
            }
            has_exception |= is_exception;
            if !is_exception {
                let what = "`unsafe`. There is a safe way, in std or in rustix.";
                findings.add(&source.path, line, what);
            }
        }
    }
    if !has_exception {
        findings.stale("UNSAFE", UNSAFE);
    }
    findings.report();
}

/// Code that is not compiled here is not tested here. So it is kept in few places.
#[test]
fn conditions_stand_where_systems_differ() {
    let sources = sources();
    let mut findings = Findings::default();
    let mut needed = BTreeSet::new();
    let mut stray = BTreeSet::new();
    for source in library(&sources).filter(|source| !is_test(&source.path)) {
        for (line, code) in source.code_lines().take(source.foot()) {
            let is_word = |word: &str| {
                word_at(code, word)
                    .is_some_and(|at| code[at + word.len()..].starts_with(['(', '!']))
            };
            if !["cfg", "cfg_attr"].iter().any(|word| is_word(word)) || code.contains("cfg(test)") {
                continue;
            }
            let is_at = |place: &&(&str, &str)| source.path.starts_with(place.0);
            if let Some(place) = CONDITIONAL.iter().find(is_at) {
                needed.insert(place.0);
            } else if let Some(place) = STRAY_CONDITIONS.iter().find(is_at) {
                stray.insert(place.0);
            } else {
                let what = "a condition. Put it where systems may differ: see CONDITIONAL.";
                findings.add(&source.path, line, what);
            }
        }
    }
    for (path, _) in STRAY_CONDITIONS.iter().filter(|(path, _)| !stray.contains(path)) {
        findings.stale("STRAY_CONDITIONS", path);
    }
    findings.report();
}

/// What crosses threads is checked by models; what else uses atomics is not.
#[test]
fn atomics_stay_in_the_protocols() {
    let sources = sources();
    let mut findings = Findings::default();
    for source in library(&sources) {
        if is_test(&source.path) || ATOMIC.contains(&source.path.as_str()) {
            continue;
        }
        for (line, code) in source.code_lines().take(source.foot()) {
            let is_path = |word: &str| {
                let follows = |at: usize| code[at + word.len()..].starts_with("::");
                word_at(code, word).is_some_and(|at| follows(at) || code[..at].ends_with("::"))
            };
            if ["atomic", "atomics"].iter().any(|word| is_path(word)) {
                let what =
                    "an atomic. Threads meet in the inbox; see ATOMIC for what may use them.";
                findings.add(&source.path, line, what);
            }
        }
    }
    findings.report();
}

/// One word for one thing, and a word that says which.
#[test]
fn names_say_something() {
    let sources = sources();
    let mut findings = Findings::default();
    let mut handles = Vec::new();
    for source in &sources {
        for (line, code) in source.code_lines() {
            for kind in ["struct", "enum", "trait", "union"] {
                let Some(at) = word_at(code, kind) else { continue };
                let name = name_at(code[at + kind.len()..].trim_start());
                if let Some(word) =
                    EMPTY_WORDS.iter().find(|word| camel_words(name).contains(*word))
                {
                    let what =
                        format!("`{name}`: \"{word}\" says nothing. DESIGN section 6 has words.");
                    findings.add(&source.path, line, what);
                }
                let is_ours = library(std::slice::from_ref(source)).next().is_some();
                if name == "Handle" && is_ours {
                    handles.push((&source.path, line));
                }
            }
        }
    }
    for (path, line) in handles.iter().skip(1) {
        findings.add(path, *line, "a second `Handle`. The only one is the door for other threads.");
    }
    findings.report();
}

/// `LoopState` is `Loop` and `State`.
fn camel_words(name: &str) -> Vec<&str> {
    let is_start = |(at, c): (usize, char)| (at > 0 && c.is_uppercase()).then_some(at);
    let mut starts: Vec<usize> = name.char_indices().filter_map(is_start).collect();
    starts.insert(0, 0);
    starts.push(name.len());
    starts.windows(2).map(|pair| &name[pair[0]..pair[1]]).collect()
}

/// A file that no `mod` names is not compiled, and rots.
#[test]
fn every_file_is_reached() {
    let sources = sources();
    let mut findings = Findings::default();
    let mut reached = BTreeSet::new();
    let mut waiting = crate_roots();
    while let Some(path) = waiting.pop() {
        let Some(source) = sources.iter().find(|source| source.path == path) else { continue };
        if reached.insert(path) {
            waiting.extend(modules_of(source));
        }
    }
    for source in sources.iter().filter(|source| !reached.contains(&source.path)) {
        findings.add(&source.path, 1, "no `mod` line leads here. Add one, or delete the file.");
    }
    findings.report();
}

/// What cargo begins with: the paths in manifests, and what it finds by itself.
fn crate_roots() -> Vec<String> {
    let root = Path::new(ROOT);
    let mut roots = Vec::new();
    let all = files_below(root, ".rs");
    for manifest in files_below(root, "Cargo.toml") {
        let folder = manifest.strip_suffix("Cargo.toml").unwrap();
        for line in fs::read_to_string(root.join(&manifest)).unwrap().lines() {
            let value = line.strip_prefix("path = \"").and_then(|rest| rest.split('"').next());
            roots.extend(value.map(|value| format!("{folder}{value}")));
        }
        for place in ["src/main.rs", "src/lib.rs", "build.rs"] {
            roots.push(format!("{folder}{place}"));
        }
        for place in ["examples/", "tests/", "benches/"] {
            let place = format!("{folder}{place}");
            let below = |path: &&String| {
                let rest = path.strip_prefix(&place);
                rest.is_some_and(|rest| !rest.contains('/') || rest.ends_with("/main.rs"))
            };
            roots.extend(all.iter().filter(below).cloned());
        }
    }
    roots
}

/// The files that the `mod` lines of a file may mean.
fn modules_of(source: &Source) -> Vec<String> {
    let (folder, name) = source.path.rsplit_once('/').unwrap_or(("", &source.path));
    let folder = if folder.is_empty() { String::new() } else { format!("{folder}/") };
    let stem = name.trim_end_matches(".rs");
    let mut found = Vec::new();
    for (line, code) in source.code_lines() {
        let Some(at) = word_at(code, "mod") else { continue };
        let module = name_at(code[at + 3..].trim_start());
        if module.is_empty() || !code.trim_end().ends_with(';') {
            continue;
        }
        let before = source.text.get(line.wrapping_sub(2)).map_or("", String::as_str);
        if let Some(path) = before.trim().strip_prefix("#[path = \"") {
            found.push(format!("{folder}{}", path.trim_end_matches("\"]")));
            continue;
        }
        // The root of a crate and a `mod.rs` have their modules beside them, others in a folder.
        for beside in [folder.clone(), format!("{folder}{stem}/")] {
            found.push(format!("{beside}{module}.rs"));
            found.push(format!("{beside}{module}/mod.rs"));
        }
    }
    found
}

/// A map that is wrong is worse than none.
#[test]
fn the_maps_are_the_tree() {
    let sources = sources();
    let mut findings = Findings::default();
    for &(package, _) in PACKAGES {
        let lib = format!("{package}/lib.rs");
        let source = sources.iter().find(|source| source.path == lib).unwrap();
        let mapped = map_in(source, &mut findings);
        let in_package = |source: &&Source| {
            package_of(&source.path).is_some_and(|(its_package, _)| its_package == package)
        };
        // A folder's line speaks for its `mod.rs`; tests stand beside what they test.
        let is_named = |path: &&str| !path.ends_with("/mod.rs") && !path.ends_with("_tests.rs");
        let on_disk = sources.iter().filter(in_package).map(|source| source.path.as_str());
        let on_disk: BTreeSet<&str> = on_disk.filter(is_named).collect();
        for path in on_disk.iter().filter(|path| !mapped.contains(**path)) {
            findings.add(path, 1, format!("is not in the map. Give it a line in {lib}."));
        }
        for path in mapped.iter().filter(|path| !on_disk.contains(path.as_str())) {
            findings.add(&lib, 1, format!("the map has {path}, the disk has not. Take it out."));
        }
    }
    findings.report();
}

/// The files in the first `text` block of an essay: folders end with `/` and indent their files.
fn map_in(source: &Source, findings: &mut Findings) -> BTreeSet<String> {
    let package = source.path.strip_suffix("lib.rs").unwrap();
    let mut folders: Vec<(usize, &str)> = Vec::new();
    let mut found = BTreeSet::new();
    let essay = source.essay();
    let lines = (1..).zip(&essay).skip_while(|(_, line)| line.trim() != "```text").skip(1);
    for (number, line) in lines.take_while(|(_, line)| line.trim() != "```") {
        let indent = line.len() - line.trim_start().len();
        let (name, says) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
        folders.retain(|(deeper, _)| *deeper < indent);
        let is_file = name.ends_with(".rs");
        if is_file {
            let folder: String = folders.iter().map(|(_, folder)| *folder).collect();
            found.insert(format!("{package}{folder}{name}"));
        } else if name.ends_with('/') {
            folders.push((indent, name));
        }
        // Other lines go on with what the one before says.
        if (is_file || name.ends_with('/')) && says.trim().is_empty() {
            findings.add(&source.path, number, format!("the map says nothing of {name}."));
        }
    }
    found
}

/// Who upgrades looks here first.
#[test]
fn the_changelog_has_a_place_for_what_is_new() {
    let text = fs::read_to_string(Path::new(ROOT).join("CHANGELOG.md")).unwrap();
    let has_place = text.lines().any(|line| line.trim() == "## [Unreleased]");
    assert!(has_place, "CHANGELOG.md lacks `## [Unreleased]`. Add it above the last release.");
}

/// A table with holes in it must not go out.
#[test]
fn the_readme_has_its_figures() {
    let text = fs::read_to_string(Path::new(ROOT).join("README.md")).unwrap();
    let mut findings = Findings::default();
    for (line, text) in (1..).zip(text.lines()) {
        if word_at(text, "FIGURE").is_some() {
            let what = "a figure is missing. Measure it in benches/peers, and write it here.";
            findings.add("README.md", line, what);
        }
    }
    findings.report();
}
