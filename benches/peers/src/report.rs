//! Tables for people and JSON for programs.

use crate::contenders::Contender;
use crate::job::Answer;
use crate::measure::median;
use crate::plan::Compare;
use crate::scenario::Scenario;
use serde_json::{Map, Value, json};

/// What one contender showed in one scenario, over all rounds.
pub struct Row {
    pub contender: &'static Contender,
    pub rounds: Vec<Answer>,
    pub error: Option<String>,
}

impl Row {
    fn values(&self, key: &str) -> Vec<f64> {
        let find = |answer: &Answer| answer.metrics.iter().find(|(name, _)| name == key).map(|(_, v)| *v);
        self.rounds.iter().filter_map(find).collect()
    }
    fn median(&self, key: &str) -> Option<f64> {
        let values = self.values(key);
        (!values.is_empty()).then(|| median(&values))
    }
    /// Half of what lies between the smallest and the largest round, in percent of the median.
    fn spread(&self, key: &str) -> Option<f64> {
        let values = self.values(key);
        let (low, high) = values.iter().fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(*v), h.max(*v)));
        let middle = median(&values).abs();
        (values.len() > 1 && middle > 0.0).then(|| (high - low) / 2.0 / middle * 100.0)
    }
}

/// Figures side by side in one table; more go into a second one.
const COLUMNS: usize = 4;

pub fn print(scenario: &Scenario, rows: &[Row]) {
    println!("\n== {}: {}", scenario.name, scenario.title);
    let base = |name: &str| rows.iter().find(|row| row.contender.name == name);
    let (raw, tokio) = (base("raw"), base("tokio"));
    for metrics in scenario.metrics.chunks(COLUMNS) {
        let mut table = vec![vec!["".to_owned()]];
        for metric in metrics {
            table[0].extend([metric.title.to_owned(), "".to_owned()]);
            for (base, symbol, name) in [(raw, "/", "raw"), (tokio, "/", "tokio")] {
                match (base, metric.compare) {
                    (None, _) | (_, Compare::Nothing) => {}
                    (_, Compare::Ratio) => table[0].push(format!("{symbol}{name}")),
                    (_, Compare::Difference) => table[0].push(format!("-{name}")),
                }
            }
        }
        for row in rows.iter().filter(|row| !row.rounds.is_empty()) {
            let mut cells = vec![row.contender.name.to_owned()];
            for metric in metrics {
                let value = row.median(metric.key);
                cells.push(value.map_or("-".into(), number));
                cells.push(row.spread(metric.key).map_or(String::new(), |s| format!("±{s:.0}%")));
                for base in [raw, tokio].into_iter().flatten() {
                    let cell = value.zip(base.median(metric.key)).map(|(value, base)| match metric.compare {
                        Compare::Ratio => format!("{:.2}", value / base),
                        _ => number(value - base),
                    });
                    if metric.compare != Compare::Nothing {
                        cells.push(cell.unwrap_or("-".into()));
                    }
                }
            }
            table.push(cells);
        }
        print_table(&table);
    }
    for row in rows {
        if let Some(error) = &row.error {
            println!("  {}: no figure: {error}", row.contender.name);
        }
        for note in row.rounds.last().map(|answer| &answer.notes).into_iter().flatten() {
            println!("  {}: {note}", row.contender.name);
        }
    }
}

/// Said once, under everything: what each contender ran on and how it was used.
pub fn print_contenders(all: &[(&Scenario, Vec<Row>)]) {
    println!("\ncontenders:");
    for contender in crate::contenders::ALL {
        let rows = all.iter().flat_map(|(_, rows)| rows).filter(|row| row.contender.name == contender.name);
        let Some(detail) = rows.filter_map(|row| row.rounds.last()).map(|answer| &answer.detail).next() else {
            continue;
        };
        let note = if contender.note.is_empty() { String::new() } else { format!("; {}", contender.note) };
        println!("  {:<14}  {detail}{note}", contender.name);
    }
}

fn number(value: f64) -> String {
    let text = match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    };
    // Thousands are set apart: 1234567 -> 1,234,567.
    let (sign, text) = text.strip_prefix('-').map_or(("", text.as_str()), |rest| ("-", rest));
    let (whole, rest) = text.split_once('.').map_or((text, String::new()), |(w, r)| (w, format!(".{r}")));
    let mut grouped = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("{sign}{grouped}{rest}")
}

fn print_table(table: &[Vec<String>]) {
    let columns = table.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| table.iter().filter_map(|row| row.get(column)).map(|c| c.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    println!();
    for row in table {
        let mut line = String::new();
        for (at, cell) in row.iter().enumerate() {
            let padding = " ".repeat(widths[at] - cell.chars().count());
            match at {
                0 => line.push_str(&format!("  {cell}{padding}")),
                _ if widths[at] == 0 => {}
                _ => line.push_str(&format!("  {padding}{cell}")),
            }
        }
        println!("{}", line.trim_end());
    }
    println!();
}

/// Everything, round by round.
pub fn to_json(scenario: &Scenario, rows: &[Row]) -> Value {
    let mut contenders = Map::new();
    for row in rows {
        let mut metrics = Map::new();
        for metric in scenario.metrics {
            let values = row.values(metric.key);
            if !values.is_empty() {
                metrics.insert(metric.key.into(), json!({ "median": median(&values), "rounds": values }));
            }
        }
        let last = row.rounds.last();
        contenders.insert(
            row.contender.name.into(),
            json!({
                "runs_on": last.map(|answer| &answer.detail),
                "metrics": metrics,
                "notes": last.map(|answer| &answer.notes),
                "error": row.error,
            }),
        );
    }
    json!({ "title": scenario.title, "contenders": contenders })
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_are_short() {
        assert_eq!(super::number(1234567.4), "1,234,567");
        assert_eq!(super::number(12.345), "12.3");
        assert_eq!(super::number(-0.5), "-0.50");
        assert_eq!(super::number(100.0), "100");
    }
}
