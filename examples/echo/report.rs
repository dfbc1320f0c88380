//! What the program says: for people on stderr, but for the listeners, or for programs as lines of
//! JSON on stdout. Whoever reads it may stop reading; the server goes on.

use std::io::{self, Write};
use std::time::Duration;

use crate::stats::Totals;

#[derive(Clone, Copy)]
pub(crate) struct Reports {
    pub(crate) json: bool,
}

impl Reports {
    /// Programs that start this one wait for these lines, so they are flushed.
    pub(crate) fn listening(self, announced: &[(&'static str, String)]) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        for (kind, address) in announced {
            if self.json {
                let address = quoted(address);
                let line =
                    format!(r#"{{"event":"listening","kind":"{kind}","address":{address}}}"#);
                writeln!(stdout, "{line}")?;
            } else {
                writeln!(stdout, "listening {kind} {address}")?;
            }
        }
        stdout.flush()
    }

    pub(crate) fn stats(self, now: &Totals, before: &Totals, over: Duration) {
        self.say(|| now.line(before, over), || now.json_line(before, over));
    }

    pub(crate) fn summary(self, totals: &Totals, over: Duration) {
        let text = || format!("wheelhouse-echo: {}", totals.summary(over));
        self.say(text, || totals.json_summary(over));
    }

    fn say(self, text: impl FnOnce() -> String, json: impl FnOnce() -> String) {
        if self.json {
            let mut stdout = io::stdout().lock();
            let _ = writeln!(stdout, "{}", json()).and_then(|()| stdout.flush());
        } else {
            let _ = writeln!(io::stderr(), "{}", text());
        }
    }
}

/// A string of JSON.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if u32::from(c) < 32 => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_json_cannot_hold_is_escaped() {
        assert_eq!(quoted("a\"b\\c\nd\u{e9}"), "\"a\\\"b\\\\c\\u000ad\u{e9}\"");
    }
}
