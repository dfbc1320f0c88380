//! What the user expects of a run, such as `p99<5ms`: read, and held against the figures.

use crate::values;

/// One condition.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Expectation {
    /// As it was written.
    pub(crate) text: String,
    pub(crate) figure: Figure,
    comparison: Comparison,
    /// In nanoseconds, messages a second, or a count; a share stands as a fraction.
    bound: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Figure {
    Latency {
        of: Time,
        at: At,
    },
    /// Answers a second.
    Rate,
    /// What went wrong.
    Errors,
    /// The share of it in all messages.
    ErrorShare,
}

/// Which of the times of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Time {
    /// Response time where there is a plan, service time where there is none.
    Main,
    Response,
    Service,
    FirstByte,
    Connect,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum At {
    Percentile(f64),
    Mean,
    Max,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Less,
    AtMost,
    More,
    AtLeast,
}

const ADVICE: &str = "an expectation is FIGURE, a comparison (<, <=, >, >=) and a bound, such as \
                      'p99<5ms', 'service.p99.9<=20ms', 'mean<1ms', 'errors<0.1%' or 'rate>=1000'";

/// Reads one. The error is for the user's eyes.
pub(crate) fn expectation(text: &str) -> Result<Expectation, String> {
    let problem = |what: String| format!("{what}; {ADVICE}");
    let at = text.find(['<', '>']).ok_or_else(|| problem("there is no comparison".into()))?;
    let (name, rest) = text.split_at(at);
    let is_less = rest.starts_with('<');
    let (comparison, bound) = match rest[1..].strip_prefix('=') {
        Some(bound) if is_less => (Comparison::AtMost, bound),
        Some(bound) => (Comparison::AtLeast, bound),
        None if is_less => (Comparison::Less, &rest[1..]),
        None => (Comparison::More, &rest[1..]),
    };
    let (name, bound) = (name.trim(), bound.trim());
    let figure = figure(name).ok_or_else(|| problem(format!("`{name}` is not measured")))?;
    let (figure, bound) = bounded(figure, bound).map_err(problem)?;
    Ok(Expectation { text: text.trim().into(), figure, comparison, bound })
}

fn figure(name: &str) -> Option<Figure> {
    match name {
        "errors" => return Some(Figure::Errors),
        "rate" => return Some(Figure::Rate),
        _ => {}
    }
    let (of, at) = [
        ("response.", Time::Response),
        ("service.", Time::Service),
        ("first_byte.", Time::FirstByte),
        ("connect.", Time::Connect),
    ]
    .into_iter()
    .find_map(|(prefix, of)| Some((of, name.strip_prefix(prefix)?)))
    .unwrap_or((Time::Main, name));
    let at = match at {
        "mean" => At::Mean,
        "max" => At::Max,
        "median" => At::Percentile(50.0),
        _ => {
            let number: f64 = at.strip_prefix('p')?.parse().ok()?;
            At::Percentile(Some(number).filter(|number| (0.0..=100.0).contains(number))?)
        }
    };
    Some(Figure::Latency { of, at })
}

fn bounded(figure: Figure, bound: &str) -> Result<(Figure, f64), String> {
    let number = |text: &str| text.parse::<f64>().ok().filter(|number| *number >= 0.0);
    let wrong = || format!("`{bound}` is no bound for it");
    match figure {
        Figure::Latency { .. } => {
            let time = values::time(bound).map_err(|problem| format!("`{bound}`: {problem}"))?;
            Ok((figure, time.as_nanos() as f64))
        }
        Figure::Rate => Ok((figure, values::rate(bound).map_err(|_| wrong())? as f64)),
        Figure::Errors | Figure::ErrorShare => match bound.strip_suffix('%') {
            Some(share) => Ok((Figure::ErrorShare, number(share).ok_or_else(wrong)? / 100.0)),
            None => Ok((Figure::Errors, number(bound).ok_or_else(wrong)?)),
        },
    }
}

impl Expectation {
    pub(crate) fn is_met_by(&self, found: f64) -> bool {
        match self.comparison {
            Comparison::Less => found < self.bound,
            Comparison::AtMost => found <= self.bound,
            Comparison::More => found > self.bound,
            Comparison::AtLeast => found >= self.bound,
        }
    }

    pub(crate) fn is_about_errors(&self) -> bool {
        matches!(self.figure, Figure::Errors | Figure::ErrorShare)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expectations_are_read_and_held() {
        let p99 = expectation(" p99 < 5ms ").unwrap();
        let at = At::Percentile(99.0);
        assert_eq!(p99.figure, Figure::Latency { of: Time::Main, at });
        assert!(p99.is_met_by(4_999_999.0) && !p99.is_met_by(5_000_000.0));
        assert!(expectation("p99<=5ms").unwrap().is_met_by(5_000_000.0));
        let service = expectation("service.p99.9<20ms").unwrap();
        let at = At::Percentile(99.9);
        assert_eq!(service.figure, Figure::Latency { of: Time::Service, at });
        assert!(service.is_met_by(19_999_999.0) && !service.is_met_by(20_000_000.0));
        let share = expectation("errors<=0.1%").unwrap();
        assert!(share.is_about_errors() && share.is_met_by(0.001) && !share.is_met_by(0.0011));
        assert_eq!(expectation("errors<10").unwrap().figure, Figure::Errors);
        let rate = expectation("rate>=1k").unwrap();
        assert!(rate.is_met_by(1000.0) && !rate.is_met_by(999.0));
        assert!(expectation("rate>5").unwrap().is_met_by(5.1));
        for text in ["mean<1ms", "max<1s", "median<1ms", "first_byte.p50<1ms", "connect.max<1s"] {
            assert!(expectation(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn wrong_ones_are_answered_with_right_ones() {
        for (text, words) in [
            ("p99", "no comparison"),
            ("p99=5ms", "no comparison"),
            ("p101<5ms", "`p101` is not measured"),
            ("latency<5ms", "`latency` is not measured"),
            ("p99<5", "such as 500ms"),
            ("errors<many", "no bound"),
            ("rate>0", "no bound"),
            ("<5ms", "`` is not measured"),
        ] {
            let problem = expectation(text).unwrap_err();
            assert!(problem.contains(words) && problem.contains("'p99<5ms'"), "{text}: {problem}");
        }
    }
}
