//! What `tidy.rs` looks at: the files of the repository, and what in them is code, comment or text.
//!
//! It is no parser of Rust. It tells comments and literals from code, and finds words, braces and
//! `use` trees in what is left, which is all that the rules need.

use std::fs;
use std::path::Path;

/// One file. The three views have the same lines, and the same columns in characters.
pub(crate) struct Source {
    /// From the root of the repository, with `/`.
    pub(crate) path: String,
    /// As it is.
    pub(crate) text: Vec<String>,
    /// Comments and what stands in literals blanked out.
    pub(crate) code: Vec<String>,
    /// Everything but comments blanked out.
    pub(crate) comments: Vec<String>,
}

impl Source {
    pub(crate) fn new(path: String, text: &str) -> Source {
        let (code, comments) = Masks::of(text);
        let lines = |text: &str| text.lines().map(str::to_owned).collect();
        Source { path, text: lines(text), code: lines(&code), comments: lines(&comments) }
    }

    /// Line numbers from 1, with the code.
    pub(crate) fn code_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.code.iter().map(String::as_str))
    }

    /// The lines of the essay, `//!` taken off.
    pub(crate) fn essay(&self) -> Vec<&str> {
        self.text.iter().map_while(|line| line.strip_prefix("//!")).collect()
    }

    /// Where the unit tests at the foot begin: the first line that is not the file's own work.
    pub(crate) fn foot(&self) -> usize {
        let is_foot = |pair: &[String]| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod ");
        let foot = self.code.windows(2).position(|pair| is_foot(pair) && pair[1].ends_with('{'));
        foot.unwrap_or(self.code.len())
    }
}

/// Every file below `root` whose name ends with `ending`, in order, build directories left out.
pub(crate) fn files_below(root: &Path, ending: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let is_ours = !name.starts_with('.') && name != "target";
            if path.is_dir() && is_ours {
                folders.push(path);
            } else if name.ends_with(ending) && is_ours {
                let below = path.strip_prefix(root).unwrap();
                found.push(below.to_string_lossy().replace('\\', "/"));
            }
        }
    }
    found.sort();
    found
}

/// The columns (in characters) at which `word` stands alone in `line`.
pub(crate) fn word_at(line: &str, word: &str) -> Option<usize> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).map(|(at, _)| at).find(|&at| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    })
}

/// The name at the head of `text`, if one is there.
pub(crate) fn name_at(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    &text[..end]
}

/// A path, and the line on which it begins.
pub(crate) struct PathUse {
    pub(crate) line: usize,
    pub(crate) names: Vec<String>,
    /// How many modules of its own file it stands in.
    pub(crate) depth: usize,
    /// It stands in a `pub use`: the file passes the last name on.
    pub(crate) is_passed_on: bool,
}

/// Every path that begins with `crate::`, `super::` or `self::`, braces resolved into several.
pub(crate) fn paths_in(source: &Source) -> Vec<PathUse> {
    let mut found = Vec::new();
    let lines = &source.code[..source.foot()];
    let depths = module_depths(lines);
    for (index, line) in lines.iter().enumerate() {
        for head in ["crate", "super", "self"] {
            let mut from = 0;
            while let Some(at) = word_at(&line[from..], head).map(|at| from + at) {
                from = at + head.len();
                // `$crate` stands in a macro: what it names is imported where the macro is used.
                let is_head = line[from..].starts_with("::") && !line[..at].ends_with([':', '$']);
                if !is_head {
                    continue;
                }
                let statement = format!("{} {}", &line[at..], lines[index + 1..].join(" "));
                let is_passed_on = line.trim_start().starts_with("pub") && line.contains("use ");
                let mut paths = Vec::new();
                read_tree(&statement, &[], &mut paths);
                let depth = depths[index];
                let with_line = |names| PathUse { line: index + 1, names, depth, is_passed_on };
                found.extend(paths.into_iter().map(with_line));
            }
        }
    }
    found
}

/// For each line, how many `mod name {` are open where it begins.
fn module_depths(lines: &[String]) -> Vec<usize> {
    let mut open: Vec<bool> = Vec::new();
    let mut depths = Vec::new();
    for line in lines {
        depths.push(open.iter().filter(|is_module| **is_module).count());
        let is_module = word_at(line, "mod").is_some();
        for c in line.chars() {
            match c {
                '{' => open.push(is_module),
                '}' => drop(open.pop()),
                _ => {}
            }
        }
    }
    depths
}

/// Reads `a::{b, c::d}` from the head of `text` into the paths it stands for; gives what follows.
fn read_tree<'a>(text: &'a str, before: &[String], paths: &mut Vec<Vec<String>>) -> &'a str {
    let mut path = before.to_vec();
    let mut rest = text.trim_start();
    loop {
        if let Some(mut inside) = rest.strip_prefix('{') {
            loop {
                inside = read_tree(inside, &path, paths).trim_start();
                match inside.strip_prefix(',') {
                    Some(next) if !next.trim_start().starts_with('}') => inside = next,
                    Some(next) => return next.trim_start().trim_start_matches('}'),
                    None => return inside.strip_prefix('}').unwrap_or(inside),
                }
            }
        }
        let name = name_at(rest);
        if name.is_empty() {
            // A glob, or the type parameters of an inline path.
            rest = rest.strip_prefix('*').unwrap_or(rest);
            break;
        }
        path.push(name.to_owned());
        rest = &rest[name.len()..];
        match rest.strip_prefix("::") {
            Some(next) => rest = next,
            None => break,
        }
    }
    paths.push(path);
    // A new name is of no interest.
    match rest.trim_start().strip_prefix("as ") {
        Some(next) => &next.trim_start()[name_at(next.trim_start()).len()..],
        None => rest,
    }
}

/// What a function is called, where it begins, and how many lines it has.
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) line: usize,
    pub(crate) lines: usize,
}

pub(crate) fn functions_in(source: &Source) -> Vec<Function> {
    let mut found = Vec::new();
    for (line, code) in source.code_lines() {
        let Some(at) = word_at(code, "fn") else { continue };
        let name = name_at(code[at + 2..].trim_start());
        // A type such as `fn(usize)` has no name, a method of a trait perhaps no body.
        let last = if name.is_empty() { None } else { end_of_body(source, line, at) };
        if let Some(last) = last {
            found.push(Function { name: name.to_owned(), line, lines: last - line + 1 });
        }
    }
    found
}

/// The line of the brace that closes the body of the function declared at `line`, `column`.
fn end_of_body(source: &Source, line: usize, column: usize) -> Option<usize> {
    let (mut brackets, mut braces) = (0, 0);
    for (number, code) in source.code_lines().skip(line - 1) {
        let code = if number == line { &code[column..] } else { code };
        for c in code.chars() {
            match c {
                '(' | '[' => brackets += 1,
                ')' | ']' => brackets -= 1,
                ';' if brackets == 0 && braces == 0 => return None,
                '{' => braces += 1,
                '}' if braces == 1 => return Some(number),
                '}' => braces -= 1,
                _ => {}
            }
        }
    }
    None
}

/// Copies a file character by character into its two masks.
#[derive(Default)]
struct Masks {
    code: String,
    comments: String,
}

impl Masks {
    fn of(text: &str) -> (String, String) {
        let characters: Vec<char> = text.chars().collect();
        let mut masks = Masks::default();
        let mut at = 0;
        while at < characters.len() {
            let rest = &characters[at..];
            at += match rest {
                ['/', '/', ..] => masks.comment(rest, line_length(rest)),
                ['/', '*', ..] => masks.comment(rest, block_length(rest)),
                ['"', ..] => masks.literal(rest, string_length(rest)),
                ['r' | 'b' | 'c', ..] if !masks.is_in_word() => match raw_length(rest) {
                    Some(length) => masks.literal(rest, length),
                    None => masks.plain(rest[0]),
                },
                ['\'', '\\', ..] => masks.literal(rest, quoted_length(rest)),
                ['\'', _, '\'', ..] => masks.literal(rest, 3),
                _ => masks.plain(rest[0]),
            };
        }
        (masks.code, masks.comments)
    }

    fn is_in_word(&self) -> bool {
        self.code.chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_')
    }

    fn plain(&mut self, c: char) -> usize {
        self.code.push(c);
        self.comments.push(blank(c));
        1
    }

    fn comment(&mut self, rest: &[char], length: usize) -> usize {
        self.code.extend(rest[..length].iter().copied().map(blank));
        self.comments.extend(&rest[..length]);
        length
    }

    /// Keeps the quotes, so that a literal is still seen to be there.
    fn literal(&mut self, rest: &[char], length: usize) -> usize {
        self.code.push('"');
        self.code.extend(rest[1..length - 1].iter().copied().map(blank));
        self.code.push('"');
        self.comments.extend(rest[..length].iter().copied().map(blank));
        length
    }
}

fn blank(c: char) -> char {
    if c == '\n' { '\n' } else { ' ' }
}

fn line_length(rest: &[char]) -> usize {
    rest.iter().position(|&c| c == '\n').unwrap_or(rest.len())
}

/// Block comments nest.
fn block_length(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match &rest[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] if depth == 1 => return at + 2,
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    rest.len()
}

fn string_length(rest: &[char]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// `'\n'`, `'\u{7f}'`: from the second quote on it is code again.
fn quoted_length(rest: &[char]) -> usize {
    let end = rest.iter().skip(3).position(|&c| c == '\'');
    end.map_or(rest.len(), |end| end + 4)
}

/// `r"…"`, `br#"…"#`, `b"…"`, `b'…'`, `c"…"`; `None` if it is a word that begins like them.
fn raw_length(rest: &[char]) -> Option<usize> {
    let prefix = rest.iter().take_while(|c| matches!(c, 'r' | 'b' | 'c')).count();
    let is_raw = rest[..prefix].contains(&'r');
    let hashes = rest[prefix..].iter().take_while(|&&c| c == '#').count();
    match rest.get(prefix + hashes)? {
        '\'' if prefix == 1 && rest[0] == 'b' => Some(1 + byte_length(&rest[1..])),
        '"' if !is_raw && hashes == 0 => Some(prefix + string_length(&rest[prefix..])),
        '"' if is_raw => {
            let open = prefix + hashes + 1;
            let closes = |end: &[char]| end[0] == '"' && end[1..].iter().all(|&c| c == '#');
            let end = rest[open..].windows(hashes + 1).position(closes);
            Some(end.map_or(rest.len(), |end| open + end + hashes + 1))
        }
        _ => None,
    }
}

fn byte_length(rest: &[char]) -> usize {
    if rest.get(1) == Some(&'\\') { quoted_length(rest) } else { 3 }
}
