//! `Retry-After`: how long a server asks us to stay away, as seconds or as a date.

use std::time::{Duration, SystemTime};

/// How long from `now`. A date that is past means at once; what is neither form is no wish.
pub(crate) fn parse(header: &str, now: SystemTime) -> Option<Duration> {
    let header = header.trim();
    if !header.is_empty() && header.bytes().all(|byte| byte.is_ascii_digit()) {
        return header.parse().ok().map(Duration::from_secs);
    }
    let date = httpdate::parse_http_date(header).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_all_three_forms_of_a_date() {
        // RFC 9110, 5.6.7: 784111777 is the Sunday of its examples.
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_770);
        let wait = |header: &str| parse(header, now).map(|wait| wait.as_secs());
        assert_eq!(wait(" 120 "), Some(120));
        assert_eq!(wait("Sun, 06 Nov 1994 08:49:37 GMT"), Some(7));
        assert_eq!(wait("Sunday, 06-Nov-94 08:49:37 GMT"), Some(7));
        assert_eq!(wait("Sun Nov  6 08:49:37 1994"), Some(7));
        assert_eq!(wait("Sun, 06 Nov 1993 08:49:37 GMT"), None);
        assert_eq!(wait("Sat, 06 Nov 1993 08:49:37 GMT"), Some(0));
        for nonsense in ["", "soon", "-5", "1.5", "99999999999999999999999"] {
            assert_eq!(wait(nonsense), None, "{nonsense}");
        }
    }
}
