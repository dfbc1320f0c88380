//! What the pictures have in common: text that is safe in XML, colours for light and for dark, and a
//! page around a picture.

/// Colours by name, so that a picture looks right on white and on black, as an image too.
pub(crate) const STYLE: &str = "<style>\
svg{--ink:#24292f;--faint:#8c959f;--line:#d0d7de;--ok:#2da44e;--redirect:#bf8700;--broken:#cf222e;\
--other:#0969da;--paper:#ffffff;font-family:system-ui,sans-serif;font-size:12px}\
@media(prefers-color-scheme:dark){svg{--ink:#e6edf3;--faint:#7d8590;--line:#30363d;--ok:#3fb950;\
--redirect:#d29922;--broken:#f85149;--other:#58a6ff;--paper:#0d1117}}\
text{fill:var(--ink)}.faint{fill:var(--faint)}.paper{fill:var(--paper)}\
</style>";

pub(crate) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            // XML has no way to write these.
            c if c.is_control() && !matches!(c, '\n' | '\t') => safe.push(' '),
            c => safe.push(c),
        }
    }
    safe
}

/// The beginning of `text`, if it is long.
pub(crate) fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// A picture as a page of its own.
pub(crate) fn page(title: &str, picture: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>{}</title>\n\
         <style>body{{margin:0;background:Canvas}}svg{{display:block;margin:auto;max-width:100%;\
         height:auto}}</style>\n{picture}</html>\n",
        escape(title)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_safe_in_xml() {
        assert_eq!(escape("a&b<c>\"d\"\u{1}"), "a&amp;b&lt;c&gt;&quot;d&quot; ");
        assert_eq!(shortened("abcdef", 4), "abc…");
        assert_eq!(shortened("äbcd", 4), "äbcd");
    }
}
