//! robots.txt, by RFC 9309: which paths a crawler may ask for, and how fast.
//!
//! The group for us is the one whose product token matches ours best, all groups of that token
//! taken together, else those for `*`. Of the rules that match a path the longest decides, and of
//! two equally long ones Allow. Paths are compared by octets after both were brought to one
//! spelling. Crawl-delay and Sitemap are no part of the RFC but are what people write.
//!
//! How the file is fetched, and what a missing one means, is [`Access::from_status`].

use std::time::Duration;

use crate::web::address::{escape_at, is_unreserved};

/// What is read of a file; the RFC asks for at least this much.
pub(crate) const LONGEST: usize = 500 * 1024;

/// A longer Crawl-delay is taken as this: a month would be a way of saying no, for which there are
/// better ones.
const LONGEST_DELAY: Duration = Duration::from_secs(60);

/// What a site says to us.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Access {
    Rules(Rules),
    /// There is no robots.txt.
    All,
    /// It cannot be reached, so nobody knows what it would say.
    Nothing,
}

/// The rules of one file, for one product token.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Rules {
    rules: Vec<Rule>,
    pub(crate) crawl_delay: Option<Duration>,
    /// As written, for all crawlers.
    pub(crate) sitemaps: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
struct Rule {
    is_allow: bool,
    /// In the spelling of [`comparable`]; `*` and a last `$` are special.
    pattern: Vec<u8>,
}

impl Access {
    /// What an answer other than success means (RFC 9309, 2.3.1): 4xx is no file, anything else
    /// is a server that cannot tell. 429 asks us to go away for now, so it is the latter.
    pub(crate) fn from_status(status: u16) -> Access {
        if (400..500).contains(&status) && status != 429 { Access::All } else { Access::Nothing }
    }

    /// `target` is path and query, as sent.
    pub(crate) fn allows(&self, target: &str) -> bool {
        match self {
            Access::Rules(rules) => rules.allow(target),
            Access::All => true,
            Access::Nothing => false,
        }
    }

    pub(crate) fn crawl_delay(&self) -> Option<Duration> {
        match self {
            Access::Rules(rules) => rules.crawl_delay,
            Access::All | Access::Nothing => None,
        }
    }
}

impl Rules {
    /// Never fails: what is not understood is skipped, and what is beyond [`LONGEST`] not read.
    pub(crate) fn parse(text: &[u8], token: &str) -> Rules {
        let text = whole_lines(text);
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        let mut groups: Vec<Group> = Vec::new();
        let mut sitemaps = Vec::new();
        // User-agent lines one after the other head one group.
        let mut is_heading = false;
        for line in text.split(|byte| matches!(byte, b'\r' | b'\n')) {
            let Some((key, value)) = record(line) else { continue };
            match key.to_ascii_lowercase().as_slice() {
                b"user-agent" => {
                    if !is_heading {
                        groups.push(Group::default());
                    }
                    is_heading = true;
                    if let Some(group) = groups.last_mut() {
                        group.tokens.push(value.to_vec());
                    }
                }
                b"sitemap" => sitemaps.push(String::from_utf8_lossy(value).into_owned()),
                key @ (b"allow" | b"disallow" | b"crawl-delay") => {
                    is_heading = false;
                    // Before the first User-agent line a rule is nobody's.
                    if let Some(group) = groups.last_mut() {
                        group.add(key, value);
                    }
                }
                // Whatever else there is must not disturb the groups.
                _ => {}
            }
        }
        let best = groups.iter().filter_map(|group| group.matches(token)).max();
        let mut all = Rules { sitemaps, ..Rules::default() };
        for group in groups.into_iter().filter(|group| group.matches(token) == best) {
            if best.is_some() {
                all.rules.extend(group.rules);
                all.crawl_delay = all.crawl_delay.max(group.crawl_delay);
            }
        }
        all
    }

    fn allow(&self, target: &str) -> bool {
        if target == "/robots.txt" {
            return true;
        }
        let target = comparable(target.as_bytes(), false);
        let matching = self.rules.iter().filter(|rule| matches(&rule.pattern, &target));
        // Of two with the same length `true`, which is Allow, is the greater.
        let decisive = matching.map(|rule| (rule.pattern.len(), rule.is_allow)).max();
        decisive.is_none_or(|(_, is_allow)| is_allow)
    }
}

/// The product token that a user agent begins with, in the alphabet of RFC 9309, 2.2.1: the names in
/// robots.txt are read in the same way.
pub(crate) fn token_in(user_agent: &str) -> &str {
    let end = user_agent.bytes().take_while(|byte| is_part_of_token(*byte)).count();
    &user_agent[..end]
}

fn is_part_of_token(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || matches!(byte, b'-' | b'_')
}

/// As much as is read. Half a rule would be another rule.
fn whole_lines(text: &[u8]) -> &[u8] {
    match text.get(..LONGEST) {
        Some(head) if text.len() > LONGEST => {
            let end = head.iter().rposition(|byte| matches!(byte, b'\r' | b'\n')).unwrap_or(0);
            &head[..end]
        }
        _ => text,
    }
}

#[derive(Debug, Default)]
struct Group {
    tokens: Vec<Vec<u8>>,
    rules: Vec<Rule>,
    crawl_delay: Option<Duration>,
}

impl Group {
    /// How well the group fits `token`: 0 for `*`, else the length of what fits. A group for
    /// `news` is meant for `news-images` too, unless that has a group of its own.
    fn matches(&self, token: &str) -> Option<usize> {
        let fits = |listed: &Vec<u8>| {
            if listed.first() == Some(&b'*') {
                return Some(0);
            }
            let length = listed.iter().take_while(|byte| is_part_of_token(**byte)).count();
            let head = token.as_bytes().get(..length)?;
            let is_whole = token.as_bytes().get(length).is_none_or(|next| *next == b'-');
            let is_same = head.eq_ignore_ascii_case(&listed[..length]);
            (length > 0 && is_whole && is_same).then_some(length)
        };
        self.tokens.iter().filter_map(fits).max()
    }

    fn add(&mut self, key: &[u8], value: &[u8]) {
        if key == b"crawl-delay" {
            let seconds = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
            let delay = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
            self.crawl_delay = self.crawl_delay.max(delay.map(|delay| delay.min(LONGEST_DELAY)));
        } else if !value.is_empty() {
            // An empty Disallow forbids nothing.
            let is_allow = key == b"allow";
            self.rules.push(Rule { is_allow, pattern: comparable(value, true) });
        }
    }
}

/// `key: value # comment`, spaces taken off.
fn record(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let line = line.split(|&byte| byte == b'#').next()?;
    let colon = line.iter().position(|&byte| byte == b':')?;
    Some((line[..colon].trim_ascii(), line[colon + 1..].trim_ascii()))
}

/// RFC 9309, 2.2.2: escapes only where they are needed, and there always. In a query `:` and `/`
/// may be written either way. In a pattern `*` and `$` are left as they are, in a path they are
/// escaped: so `%2A` in a pattern means a real asterisk.
fn comparable(text: &[u8], is_pattern: bool) -> Vec<u8> {
    let mut one_spelling = Vec::with_capacity(text.len());
    let escaped = |byte: u8, out: &mut Vec<u8>| {
        out.extend_from_slice(format!("%{byte:02X}").as_bytes());
    };
    let mut in_query = false;
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        let escape = escape_at(&text[at..]);
        match escape {
            Some(byte) if is_unreserved(byte) => one_spelling.push(byte),
            Some(byte @ (b':' | b'/')) if in_query => one_spelling.push(byte),
            Some(byte) => escaped(byte, &mut one_spelling),
            None if !byte.is_ascii() || byte <= b' ' => escaped(byte, &mut one_spelling),
            None if matches!(byte, b'*' | b'$') && !is_pattern => escaped(byte, &mut one_spelling),
            None => one_spelling.push(byte),
        }
        in_query |= byte == b'?';
        at += if escape.is_some() { 3 } else { 1 };
    }
    one_spelling
}

/// Whether `pattern` matches the head of `target`, or all of it after a `$`.
fn matches(pattern: &[u8], target: &[u8]) -> bool {
    let (pattern, to_the_end) = match pattern.strip_suffix(b"$") {
        Some(pattern) => (pattern, true),
        None => (pattern, false),
    };
    let mut pieces = pattern.split(|&byte| byte == b'*');
    let Some(mut rest) = pieces.next().and_then(|head| target.strip_prefix(head)) else {
        return false;
    };
    // The first place where a piece fits leaves the most for those after it.
    let mut pieces = pieces.peekable();
    let is_exact = pieces.peek().is_none();
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() && to_the_end {
            return rest.ends_with(piece);
        }
        let fits = piece
            .is_empty()
            .then_some(0)
            .or_else(|| rest.windows(piece.len()).position(|window| window == piece));
        let Some(at) = fits else { return false };
        rest = &rest[at + piece.len()..];
    }
    !(to_the_end && is_exact) || rest.is_empty()
}

#[cfg(test)]
#[path = "robots_tests.rs"]
mod tests;
