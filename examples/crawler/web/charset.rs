//! Bytes into text: which charset a page is in, in the order browsers ask.
//!
//! A byte order mark is never wrong; then the server's header, then what the page says of itself in
//! its first kilobyte, then what its bytes look like. Labels are the web's own, in which `ascii`
//! and `latin1` are windows-1252.

use std::borrow::Cow;

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, UTF_8};

/// As far as a page may wait before it says what it is in.
const HEAD: usize = 1024;

/// The detector gets to see this much: enough to be sure, little enough to be quick.
const DETECTED: usize = 64 * 1024;

/// The text, and the charset it was read in. Bytes that mean nothing in it are replaced.
pub(crate) fn decode<'a>(
    body: &'a [u8],
    header: Option<&str>,
) -> (Cow<'a, str>, &'static Encoding) {
    let encoding = encoding_of(body, header);
    let (text, encoding, _) = encoding.decode(body);
    (text, encoding)
}

fn encoding_of(body: &[u8], header: Option<&str>) -> &'static Encoding {
    if let Some((encoding, _)) = Encoding::for_bom(body) {
        return encoding;
    }
    let header = header.and_then(|label| Encoding::for_label(label.as_bytes()));
    let head = &body[..body.len().min(HEAD)];
    header.or_else(|| in_meta(head)).unwrap_or_else(|| detected(body))
}

/// The label in `<meta charset=…>`, `<meta http-equiv … content="…; charset=…">` or `<?xml
/// encoding=…?>`: all that is looked for is the attribute.
fn in_meta(head: &[u8]) -> Option<&'static Encoding> {
    let lower = head.to_ascii_lowercase();
    let declarations: [(&[u8], &[u8]); 2] = [(b"<meta", b"charset"), (b"<?xml", b"encoding")];
    for (tag, attribute) in declarations {
        let mut rest = lower.as_slice();
        while let Some(at) = find(rest, tag) {
            rest = &rest[at + tag.len()..];
            let end = rest.iter().position(|&byte| byte == b'>').unwrap_or(rest.len());
            if let Some(label) = label_in(&rest[..end], attribute) {
                // Nobody who can say so in ASCII is in UTF-16.
                return Some(label.output_encoding());
            }
        }
    }
    None
}

fn label_in(tag: &[u8], attribute: &[u8]) -> Option<&'static Encoding> {
    let after = &tag[find(tag, attribute)? + attribute.len()..];
    let value = after.trim_ascii_start().strip_prefix(b"=")?.trim_ascii_start();
    let value = value.trim_ascii_start();
    let value = value.strip_prefix(b"\"").or(value.strip_prefix(b"'")).unwrap_or(value);
    let is_end = |byte: &u8| matches!(byte, b'"' | b'\'' | b';' | b' ' | b'/' | b'>' | b'?');
    let end = value.iter().position(is_end).unwrap_or(value.len());
    Encoding::for_label(&value[..end])
}

fn find(text: &[u8], word: &[u8]) -> Option<usize> {
    text.windows(word.len()).position(|window| window == word)
}

/// UTF-8 wherever it can be: most pages that say nothing are.
fn detected(body: &[u8]) -> &'static Encoding {
    let valid = match std::str::from_utf8(body) {
        Ok(_) => return UTF_8,
        Err(error) => error,
    };
    // Cut off in the middle of a character, not wrong.
    if valid.error_len().is_none() {
        return UTF_8;
    }
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    // From a little before the first byte that is not ASCII on, or the detector sees only markup.
    let first = body.iter().position(|byte| !byte.is_ascii()).unwrap_or(0).saturating_sub(64);
    detector.feed(&body[first..body.len().min(first + DETECTED)], true);
    detector.guess(None, Utf8Detection::Deny)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(body: &[u8], header: Option<&str>) -> &'static str {
        decode(body, header).1.name()
    }

    /// The original's test_encoding; what it called `ascii` the web calls windows-1252.
    #[test]
    fn the_header_decides() {
        assert_eq!(name(b"x", None), "UTF-8");
        assert_eq!(name(b"x", Some("utf-8")), "UTF-8");
        assert_eq!(name(b"x", Some("ascii")), "windows-1252");
        assert_eq!(name(b"<meta charset=koi8-r>", Some("utf-8")), "UTF-8");
        assert_eq!(name(b"<meta charset=koi8-r>", Some("no-such-thing")), "KOI8-R");
        assert_eq!(decode(b"caf\xe9", Some("latin1")).0, "café");
    }

    #[test]
    fn a_byte_order_mark_is_never_wrong() {
        assert_eq!(name(b"\xef\xbb\xbfx", Some("koi8-r")), "UTF-8");
        let (text, encoding) = decode(b"\xff\xfeh\0i\0", Some("utf-8"));
        assert_eq!((&*text, encoding.name()), ("hi", "UTF-16LE"));
        assert_eq!(decode(b"\xef\xbb\xbfx", None).0, "x");
    }

    #[test]
    fn a_page_may_say_it_itself() {
        assert_eq!(name(b"<META Charset = 'Shift_JIS'>", None), "Shift_JIS");
        let old = b"<meta http-equiv=content-type content=\"text/html; charset=big5\">";
        assert_eq!(name(old, None), "Big5");
        assert_eq!(name(b"<?xml version='1.0' encoding='windows-1251'?>", None), "windows-1251");
        assert_eq!(name(b"<meta name=x><meta charset=gbk>", None), "GBK");
        assert_eq!(name(b"<meta charset=utf-16le>", None), "UTF-8");
        let late = [vec![b' '; HEAD], b"<meta charset=gbk>".to_vec()].concat();
        assert_eq!(name(&late, None), "UTF-8");
    }

    #[test]
    fn the_bytes_are_asked_last() {
        let text = "Привет, как дела? Это обычная страница на русском языке.";
        let (bytes, _, _) = encoding_rs::WINDOWS_1251.encode(text);
        assert_eq!(decode(&bytes, None).0, text);
        let (bytes, _, _) =
            encoding_rs::SHIFT_JIS.encode("これは日本語のページです。東京の天気は晴れ。");
        assert_eq!(name(&bytes, None), "Shift_JIS");
        assert_eq!(name("naïve".as_bytes(), None), "UTF-8");
        assert_eq!(name(&"naïve é".as_bytes()[..8], None), "UTF-8");
    }
}
