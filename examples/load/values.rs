//! Numbers as people write them: times, sizes, rates. The errors are for the user's eyes.

use std::time::Duration;

/// A run of ten years is a typing error, and keeps every nanosecond count within 64 bits.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

const MOST_BYTES: usize = 16 << 20;

/// Faster than this no plan in nanoseconds makes sense.
pub(crate) const HIGHEST_RATE: u64 = 100_000_000;

/// `500ms`, `1.5s`, `2m`.
pub(crate) fn time(text: &str) -> Result<Duration, String> {
    let problem =
        || "a number with us, ms, s, m or h is needed, such as 500ms, 30s or 2m".to_string();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let seconds = match unit {
        "ns" => 1e-9,
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(problem()),
    };
    let number: f64 = number.parse().map_err(|_| problem())?;
    match Duration::try_from_secs_f64(number * seconds) {
        Ok(time) if time <= LONGEST => Ok(time),
        _ => Err(problem()),
    }
}

/// `64`, `16k`, `2M`: bytes, in powers of 1024.
pub(crate) fn size(text: &str) -> Result<usize, String> {
    match scaled(text, 1 << 10) {
        Some(size) if (1..=MOST_BYTES as u64).contains(&size) => Ok(size as usize),
        Some(_) => Err("between 1 byte and 16M are possible".into()),
        None => Err("a number of bytes is needed, such as 64 or 16k".into()),
    }
}

/// `500`, `20k`, `1M`: a second, in powers of 1000.
pub(crate) fn rate(text: &str) -> Result<u64, String> {
    match scaled(text, 1000) {
        Some(rate) if (1..=HIGHEST_RATE).contains(&rate) => Ok(rate),
        Some(_) => Err("between 1 and 100M a second are possible".into()),
        None => Err("a number a second is needed, such as 500 or 20k".into()),
    }
}

fn scaled(text: &str, thousand: u64) -> Option<u64> {
    let (digits, unit) = match text.as_bytes().last()? {
        b'k' | b'K' => (&text[..text.len() - 1], thousand),
        b'M' => (&text[..text.len() - 1], thousand * thousand),
        _ => (text, 1),
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_read() {
        assert_eq!(time("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(time("250us"), Ok(Duration::from_micros(250)));
        assert_eq!(time("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(size("16k"), Ok(16 << 10));
        assert_eq!(rate("20k"), Ok(20_000));
        assert_eq!(rate("1M"), Ok(1_000_000));
    }

    #[test]
    fn what_is_no_number_is_answered_with_one() {
        for wrong in ["", "5", "s", "5 s", "1..5s", "99999h", "-1s"] {
            assert!(time(wrong).unwrap_err().contains("such as 500ms"), "`{wrong}`");
        }
        for wrong in ["", "big", "1.5k", "k", "1G"] {
            assert!(size(wrong).unwrap_err().contains("such as 64"), "`{wrong}`");
        }
        assert!(size("17M").unwrap_err().contains("16M"));
        assert!(rate("0").is_err() && rate("101M").is_err() && rate("1/s").is_err());
    }
}
