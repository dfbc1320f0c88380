//! Two runs beside each other: what is better, what is worse, and what is only noise.
//!
//! How far a figure moves by itself is read off the run: the standard deviation of its values from
//! second to second, divided by the root of their number. A difference within two such errors of
//! both runs together is none. That sees the noise within a run and not that between runs, which
//! the text says.

use std::fmt::Write;
use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use crate::args::CompareArgs;
use crate::report::{grouped, time};
use crate::summary::{NOT_MET, PASSED, RATE_NOT_HELD, SCHEMA};

/// So few samples above a percentile make it luck.
const FEW: u64 = 10;

#[derive(Debug, Serialize)]
pub(crate) struct Comparison {
    pub(crate) schema: &'static str,
    pub(crate) figures: Vec<Line>,
    /// Why the runs should not be compared, or with care.
    pub(crate) warnings: Vec<String>,
    pub(crate) verdict: &'static str,
    pub(crate) exit_code: u8,
}

#[derive(Debug, Serialize)]
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) before: f64,
    pub(crate) after: f64,
    /// In percent of the first; `null` if that is nothing.
    pub(crate) change_percent: Option<f64>,
    /// Two standard errors, in percent; `null` if the runs are too short to tell.
    pub(crate) noise_percent: Option<f64>,
    pub(crate) verdict: Word,
    #[serde(skip)]
    unit: Unit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Word {
    Better,
    Worse,
    Same,
    /// Too few samples to say.
    Unsure,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Time,
    Rate,
    Share,
}

/// A figure of one run.
struct Found {
    value: f64,
    /// A standard error, as a fraction of the value.
    error: Option<f64>,
    is_sure: bool,
}

/// Compares, writes, and gives the exit code. The error is for the user's eyes.
pub(crate) fn compare(args: &CompareArgs) -> Result<(String, u8), String> {
    let (before, after) = (read(&args.before)?, read(&args.after)?);
    let comparison = Comparison::of(&before, &after, args.tolerance);
    // Of the schema, and of no more of it than its name.
    let has_figure = |name: &str| comparison.figures.iter().any(|line| line.name == name);
    if !has_figure("answers/s") || !has_figure("service p50") {
        let (before, after) = (args.before.display(), args.after.display());
        return Err(format!("`{before}` or `{after}` is no whole summary: figures are missing"));
    }
    let text = if args.json {
        let mut text = serde_json::to_string_pretty(&comparison)
            .map_err(|error| format!("cannot write JSON: {error}"))?;
        text.push('\n');
        text
    } else {
        comparison.table(&args.before, &args.after, args.tolerance)
    };
    Ok((text, comparison.exit_code))
}

fn read(path: &Path) -> Result<Value, String> {
    let name = path.display();
    let text = std::fs::read(path).map_err(|error| format!("cannot read `{name}`: {error}"))?;
    let value: Value = serde_json::from_slice(&text)
        .map_err(|error| format!("`{name}` is no JSON: {error}; `--json FILE` writes one"))?;
    match value["schema"].as_str() {
        Some(SCHEMA) => Ok(value),
        Some(other) => {
            Err(format!("`{name}` is of schema `{other}`; this program reads `{SCHEMA}`"))
        }
        None => Err(format!("`{name}` is no summary of wheelhouse-load; `--json FILE` writes one")),
    }
}

impl Comparison {
    fn of(before: &Value, after: &Value, tolerance: f64) -> Comparison {
        let mut figures = Vec::new();
        let mut add = |name: String, unit: Unit, found: [Option<Found>; 2]| {
            if let [Some(before), Some(after)] = found {
                figures.push(Line::of(name, unit, &before, &after, tolerance));
            }
        };
        let both = [before, after];
        add("answers/s".into(), Unit::Rate, both.map(rate));
        for (field, word) in [("response_time", "response"), ("service_time", "service")] {
            for percentile in ["50", "90", "99", "99.9"] {
                let found = both.map(|run| latency(run, field, percentile));
                add(format!("{word} p{percentile}"), Unit::Time, found);
            }
        }
        let plain = |path: &'static [&'static str]| {
            both.map(|run| {
                let value = path.iter().fold(run, |value, name| &value[*name]).as_f64()?;
                Some(Found { value, error: None, is_sure: true })
            })
        };
        add("errors".into(), Unit::Share, plain(&["error_share"]));
        add("cpu a message".into(), Unit::Time, plain(&["generator", "cpu_ns_per_message"]));
        let is_worse = figures.iter().any(|line| line.counts() && line.verdict == Word::Worse);
        let is_better = figures.iter().any(|line| line.counts() && line.verdict == Word::Better);
        let (verdict, exit_code) = match (is_worse, is_better) {
            (true, true) => ("some figures are worse, others better", NOT_MET),
            (true, false) => ("worse", NOT_MET),
            (false, true) => ("better", PASSED),
            (false, false) => ("the same within noise", PASSED),
        };
        let schema = "wheelhouse-load-compare/1";
        Comparison { schema, figures, warnings: warnings(before, after), verdict, exit_code }
    }

    fn table(&self, before: &Path, after: &Path, tolerance: f64) -> String {
        let mut out = String::new();
        let (first, second) = (before.display(), after.display());
        // Writing to a String cannot fail.
        let _ = writeln!(out, "before  {first}\nafter   {second}\n");
        let _ = writeln!(
            out,
            "{:<16} {:>12} {:>12} {:>10} {:>10}",
            "", "before", "after", "change", "noise"
        );
        for line in &self.figures {
            let _ = writeln!(out, "{}", line.text());
        }
        for warning in &self.warnings {
            let _ = writeln!(out, "\nbeware: {warning}");
        }
        let _ = writeln!(
            out,
            "\nverdict: {}\nThe same is what differs by less than {tolerance} % or by less than \
             the noise: two standard errors, from how\nmuch the figure moved from second to second. What \
             moves from run to run is not in it: repeat both runs to see that.",
            self.verdict
        );
        out
    }
}

impl Line {
    fn of(name: String, unit: Unit, before: &Found, after: &Found, tolerance: f64) -> Line {
        let change = (before.value > 0.0).then(|| (after.value / before.value - 1.0) * 100.0);
        let noise = match (before.error, after.error) {
            (Some(one), Some(other)) => Some(200.0 * one.hypot(other)),
            _ => None,
        };
        let is_lower_better = unit != Unit::Rate;
        let verdict = match (unit, change) {
            // A share of errors is small; what counts is what was added.
            (Unit::Share, _) => word((after.value - before.value) * 100.0, 0.1, is_lower_better),
            (_, None) => Word::Unsure,
            (_, Some(change)) => word(change, tolerance.max(noise.unwrap_or(0.0)), is_lower_better),
        };
        let is_sure = before.is_sure && after.is_sure;
        let verdict = if is_sure || verdict == Word::Same { verdict } else { Word::Unsure };
        Line {
            name,
            before: before.value,
            after: after.value,
            change_percent: change,
            noise_percent: noise,
            verdict,
            unit,
        }
    }

    /// The generator's own processor time is shown, and no figure of the target.
    fn counts(&self) -> bool {
        self.name != "cpu a message"
    }

    fn text(&self) -> String {
        let shown = |value: f64| match self.unit {
            Unit::Time => time(value as u64),
            Unit::Rate => grouped(value.round() as u64),
            Unit::Share => format!("{:.3} %", value * 100.0),
        };
        let change = self.change_percent.map_or("-".into(), |change| format!("{change:+.1} %"));
        let noise = self.noise_percent.map_or("?".into(), |noise| format!("±{noise:.1} %"));
        let word = match self.verdict {
            Word::Better => "better",
            Word::Worse => "WORSE",
            Word::Same => "same",
            Word::Unsure => "too few samples",
        };
        let (name, before, after) = (&self.name, shown(self.before), shown(self.after));
        format!("{name:<16} {before:>12} {after:>12} {change:>10} {noise:>10}  {word}")
    }
}

fn word(change: f64, noise: f64, is_lower_better: bool) -> Word {
    match change {
        change if change.abs() <= noise => Word::Same,
        change if (change < 0.0) == is_lower_better => Word::Better,
        _ => Word::Worse,
    }
}

fn rate(run: &Value) -> Option<Found> {
    let value = run["messages_per_second"].as_f64()?;
    Some(Found { value, error: error_of(run, "completed"), is_sure: true })
}

fn latency(run: &Value, field: &str, percentile: &str) -> Option<Found> {
    let wanted: f64 = percentile.parse().ok()?;
    let all = run[field]["percentiles"].as_array()?;
    let found = all.iter().find(|one| one["percentile"].as_f64() == Some(wanted))?;
    let moves = match percentile {
        "50" => "p50_ns",
        "99.9" => "max_ns",
        _ => "p99_ns",
    };
    Some(Found {
        value: found["ns"].as_f64()?,
        error: error_of(run, moves),
        is_sure: found["beyond"].as_u64()? >= FEW,
    })
}

/// The standard error of a figure of the intervals, as a fraction of its mean.
fn error_of(run: &Value, field: &str) -> Option<f64> {
    let rows = run["intervals"].as_array()?;
    // The last one is cut by the end of the run.
    let rows = &rows[..rows.len().saturating_sub(1)];
    let values: Vec<f64> = rows.iter().filter_map(|row| row[field].as_f64()).collect();
    if values.len() < 3 {
        return None;
    }
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
    (mean > 0.0).then(|| (variance / count).sqrt() / mean)
}

fn warnings(before: &Value, after: &Value) -> Vec<String> {
    let mut warnings = Vec::new();
    let fields = [
        "target",
        "protocol",
        "connections",
        "depth",
        "keep_alive",
        "size",
        "rate",
        "stages",
        "loops",
    ];
    for field in fields {
        let (one, other) = (&before[field], &after[field]);
        if one != other && !(field == "target" && before["embedded"] == true) {
            let (field, what) = (field.replace('_', " "), "the runs are not of the same load");
            warnings.push(format!("{what}: {field} {one} and {other}"));
        }
    }
    for (name, run) in [("first", before), ("second", after)] {
        if run["exit_code"] == RATE_NOT_HELD {
            warnings.push(format!("in the {name} run the generator could not hold the rate"));
        }
        if run["interrupted"] == true {
            warnings.push(format!("the {name} run was interrupted"));
        }
        if run["intervals"].as_array().is_none_or(|rows| rows.len() < 4) {
            warnings.push(format!("the {name} run is too short to tell its noise"));
        }
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary::tests::{measured, summary};
    use serde_json::json;

    /// A run of ten seconds whose p99 is `p99` and moves by `spread` from second to second.
    fn run(p99: u64, spread: u64) -> Value {
        let mut run = serde_json::to_value(summary(Some(500), &measured(Some(500)))).unwrap();
        let rows: Vec<Value> = (0..10)
            .map(|at| {
                let p99 = if at % 2 == 0 { p99 + spread } else { p99 - spread };
                json!({"completed": 500, "p50_ns": 1000, "p99_ns": p99, "max_ns": p99})
            })
            .collect();
        run["intervals"] = rows.into();
        run["response_time"]["percentiles"][4]["ns"] = p99.into();
        run
    }

    fn verdict_of<'a>(comparison: &'a Comparison, name: &str) -> &'a Line {
        comparison.figures.iter().find(|line| line.name == name).unwrap()
    }

    #[test]
    fn better_worse_and_noise_are_told_apart() {
        let quiet = run(1_000_000, 10_000);
        let slow = Comparison::of(&quiet, &run(1_200_000, 10_000), 5.0);
        assert_eq!(verdict_of(&slow, "response p99").verdict, Word::Worse);
        assert_eq!((slow.verdict, slow.exit_code), ("worse", NOT_MET));
        let fast = Comparison::of(&quiet, &run(800_000, 10_000), 5.0);
        assert_eq!((fast.verdict, fast.exit_code), ("better", PASSED));
        let near = Comparison::of(&quiet, &run(1_040_000, 10_000), 5.0);
        assert_eq!((near.verdict, near.exit_code), ("the same within noise", PASSED));
        // The same step, in a run that moves by two thirds of itself from second to second.
        let loud = Comparison::of(&run(1_000_000, 700_000), &run(1_200_000, 700_000), 5.0);
        let line = verdict_of(&loud, "response p99");
        assert_eq!(line.verdict, Word::Same);
        assert!(line.noise_percent.unwrap() > 20.0, "{line:?}");
    }

    #[test]
    fn few_samples_say_nothing() {
        let mut slow = run(1_000_000, 10_000);
        slow["response_time"]["percentiles"][5]["ns"] = 9_000_000.into();
        slow["response_time"]["percentiles"][5]["beyond"] = 1.into();
        let comparison = Comparison::of(&run(1_000_000, 10_000), &slow, 5.0);
        assert_eq!(verdict_of(&comparison, "response p99.9").verdict, Word::Unsure);
        assert_eq!(comparison.exit_code, PASSED);
    }

    #[test]
    fn errors_count_by_what_is_added() {
        let mut failing = run(1_000_000, 10_000);
        failing["error_share"] = 0.02.into();
        let comparison = Comparison::of(&run(1_000_000, 10_000), &failing, 5.0);
        assert_eq!(verdict_of(&comparison, "errors").verdict, Word::Worse);
        assert_eq!(comparison.exit_code, NOT_MET);
    }

    #[test]
    fn what_should_not_be_compared_is_said() {
        let mut other = run(1_000_000, 10_000);
        other["rate"] = 700.into();
        other["exit_code"] = 98.into();
        other["intervals"] = json!([]);
        let warnings = Comparison::of(&run(1_000_000, 10_000), &other, 5.0).warnings.join("\n");
        for words in ["rate 500 and 700", "second run the generator", "too short"] {
            assert!(warnings.contains(words), "{warnings}");
        }
    }

    #[test]
    fn the_table_is_readable() {
        let comparison = Comparison::of(&run(1_000_000, 10_000), &run(1_200_000, 10_000), 5.0);
        let table = comparison.table(Path::new("a.json"), Path::new("b.json"), 5.0);
        let line = table.lines().find(|line| line.starts_with("response p99 ")).unwrap();
        let words: Vec<_> = line.split_whitespace().collect();
        assert_eq!(words[2..10], ["1.00", "ms", "1.20", "ms", "+20.0", "%", "±0.9", "%"]);
        assert!(line.ends_with("WORSE") && table.contains("verdict: worse"), "{table}");
    }
}
