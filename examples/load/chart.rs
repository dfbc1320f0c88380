//! The pictures, as SVG: latency by percentile, over time, as a heat map, and the knee. Text only,
//! no scripts; light and dark follow who looks.

use std::fmt::Write;

use hdrhistogram::Histogram;

use crate::coarse::{BUCKETS, lower_end};
use crate::intervals::{Interval, Intervals};
use crate::report::{grouped, time};
use crate::search::Search;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 730.0;
const TOP: f64 = 56.0;
const BOTTOM: f64 = 276.0;

/// For the pictures, inside each; a page may have it once more without harm.
const STYLE: &str = "\
text{font:12px system-ui,sans-serif;fill:#57606a}.title{font-size:16px;font-weight:600;fill:#24292f}
.axis{stroke:#d0d7de;fill:none}.line{fill:none;stroke-width:2}.a{stroke:#0969da}.b{stroke:#bc4c00}
.c{stroke:#8250df}.dot.a{fill:#0969da}.dot.b{fill:#bc4c00}.dot.c{fill:#8250df}.heat{fill:#0969da}
.line.c{stroke-width:1.3}.key{stroke-width:3}.mark{stroke:#1a7f37;stroke-dasharray:5 4}
@media(prefers-color-scheme:dark){text{fill:#9198a1}.title{fill:#e6edf3}.axis{stroke:#3d444d}
.a{stroke:#4493f8}.b{stroke:#f0883e}.c{stroke:#ab7df8}.dot.a{fill:#4493f8}.dot.b{fill:#f0883e}
.dot.c{fill:#ab7df8}.heat{fill:#4493f8}.mark{stroke:#3fb950}}";

const CLASSES: [&str; 3] = ["a", "b", "c"];

/// A picture in the making: a frame with a logarithmic axis upwards.
struct Picture {
    out: String,
    low: f64,
    high: f64,
    /// Not logarithmic.
    is_even: bool,
}

/// Points in units of the axes.
struct Line<'a> {
    name: &'a str,
    points: Vec<(f64, f64)>,
}

impl Picture {
    /// `low` and `high` are what the axis upwards must hold.
    fn new(title: &str, low: f64, high: f64) -> Picture {
        let low = 10f64.powf(low.max(1.0).log10().floor());
        let high = 10f64.powf(high.max(low * 2.0).log10().ceil());
        let mut picture = Picture { out: String::new(), low, high, is_even: false };
        picture.add(format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             role=\"img\" aria-label=\"{title}\">\n<style>{STYLE}</style>\n\
             <text class=\"title\" x=\"12\" y=\"24\">{title}</text>\n"
        ));
        picture
    }

    /// With an axis that begins at nothing and is even, for what may be nothing.
    fn from_zero(title: &str, high: f64) -> Picture {
        let mut picture = Picture::new(title, 1.0, 10.0);
        let unit = 10f64.powf((high / 4.0).log10().floor());
        let step = [1.0, 2.0, 2.5, 5.0, 10.0].map(|times| times * unit);
        let step = step.into_iter().find(|step| step * 4.0 >= high).unwrap_or(high / 4.0);
        (picture.low, picture.high, picture.is_even) = (0.0, step * 4.0, true);
        for number in 0..=4 {
            let value = step * f64::from(number);
            let text = if step < 1.0 { value.to_string() } else { grouped(value as u64) };
            picture.across(value, &text);
        }
        picture
    }

    fn add(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = self.out.write_fmt(text);
    }

    fn y(&self, value: f64) -> f64 {
        if self.is_even {
            return BOTTOM - value.min(self.high) / self.high * (BOTTOM - TOP);
        }
        let span = (self.high / self.low).log10();
        BOTTOM - (value.clamp(self.low, self.high) / self.low).log10() / span * (BOTTOM - TOP)
    }

    /// A line across for each power of ten.
    fn decades(&mut self, label: impl Fn(f64) -> String) {
        let mut value = self.low;
        while value <= self.high * 1.001 {
            self.across(value, &label(value));
            value *= 10.0;
        }
    }

    fn across(&mut self, value: f64, text: &str) {
        let y = self.y(value);
        self.add(format_args!(
            "<path class=\"axis\" d=\"M{LEFT} {y:.1}H{RIGHT}\"/>\
             <text text-anchor=\"end\" x=\"{:.1}\" y=\"{:.1}\">{text}</text>\n",
            LEFT - 6.0,
            y + 4.0
        ));
    }

    fn tick(&mut self, x: f64, label: &str) {
        self.add(format_args!(
            "<path class=\"axis\" d=\"M{x:.1} {TOP}V{BOTTOM}\"/>\
             <text text-anchor=\"middle\" x=\"{x:.1}\" y=\"{:.1}\">{label}</text>\n",
            BOTTOM + 16.0
        ));
    }

    fn caption(&mut self, text: &str) {
        self.add(format_args!(
            "<text text-anchor=\"end\" x=\"{RIGHT}\" y=\"{:.1}\">{text}</text>\n",
            BOTTOM + 34.0
        ));
    }

    fn lines(&mut self, lines: &[Line<'_>], x: impl Fn(f64) -> f64, has_dots: bool) {
        let mut key = LEFT;
        for (line, class) in lines.iter().zip(CLASSES) {
            let mut path = String::new();
            for (at, (across, up)) in line.points.iter().enumerate() {
                let letter = if at == 0 { 'M' } else { 'L' };
                let _ = write!(path, "{letter}{:.1} {:.1}", x(*across), self.y(*up));
                if has_dots {
                    let (cx, cy) = (x(*across), self.y(*up));
                    self.add(format_args!(
                        "<circle class=\"dot {class}\" r=\"3\" cx=\"{cx:.1}\" cy=\"{cy:.1}\"/>\n"
                    ));
                }
            }
            let name = line.name;
            self.add(format_args!(
                "<path class=\"line {class}\" d=\"{path}\"/><path class=\"key {class}\" \
                 d=\"M{key:.0} 42h18\"/><text x=\"{:.0}\" y=\"46\">{name}</text>\n",
                key + 24.0
            ));
            key += 44.0 + 7.0 * name.len() as f64;
        }
    }

    fn end(mut self) -> String {
        self.out.push_str("</svg>\n");
        self.out
    }
}

/// Latency by percentile: one unit to the right is a tenth of the messages left.
pub(crate) fn percentiles(times: &[(&str, &Histogram<u64>)]) -> String {
    let times: Vec<_> = times.iter().filter(|(_, histogram)| !histogram.is_empty()).collect();
    let most = times.iter().map(|(_, histogram)| histogram.len()).max().unwrap_or(1);
    let nines = (most as f64).log10().max(2.0);
    let low = times.iter().map(|(_, histogram)| histogram.value_at_quantile(0.01)).min();
    let high = times.iter().map(|(_, histogram)| histogram.max()).max();
    let (low, high) = (low.unwrap_or(1000) as f64, high.unwrap_or(1_000_000) as f64);
    let mut picture = Picture::new("Latency by percentile", low, high);
    picture.decades(|ns| time(ns as u64));
    let x = |across: f64| LEFT + across / nines * (RIGHT - LEFT);
    for (across, label) in [
        (0.0, "0"),
        (std::f64::consts::LOG10_2, "p50"),
        (1.0, "p90"),
        (2.0, "p99"),
        (3.0, "p99.9"),
        (4.0, "p99.99"),
        (5.0, "p99.999"),
        (6.0, "p99.9999"),
    ] {
        if across <= nines {
            picture.tick(x(across), label);
        }
    }
    let lines: Vec<Line<'_>> = times
        .iter()
        .map(|(name, histogram)| {
            let steps = (0..=(nines * 40.0) as u32).map(|step| f64::from(step) / 40.0);
            let point = |across: f64| {
                let quantile = 1.0 - 10f64.powf(-across);
                (across, histogram.value_at_quantile(quantile) as f64)
            };
            Line { name, points: steps.map(point).collect() }
        })
        .collect();
    picture.lines(&lines, x, false);
    picture.caption("share of the messages that were faster");
    picture.end()
}

/// Seconds across.
fn seconds(picture: &mut Picture, length: f64) -> impl Fn(f64) -> f64 + use<> {
    let length = length.max(1e-3);
    let x = move |at: f64| LEFT + at / length * (RIGHT - LEFT);
    let steps = [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0, 3600.0, 36_000.0];
    let step = steps.into_iter().find(|step| length / step <= 8.0).unwrap_or(length / 4.0);
    for number in 0..=(length / step + 1e-9) as u32 {
        let at = f64::from(number) * step;
        picture.tick(x(at), &format!("{} s", (at * 10.0).round() / 10.0));
    }
    x
}

/// Median, p99 and maximum, at the moments when the messages were due.
pub(crate) fn over_time(intervals: &Intervals) -> String {
    let (width, rows) = (intervals.width().as_secs_f64(), intervals.rows());
    let curve = |name, of: &dyn Fn(&Interval) -> Option<u64>| Line {
        name,
        points: (0..)
            .zip(rows)
            .filter_map(|(at, row)| Some(((f64::from(at) + 0.5) * width, of(row)? as f64)))
            .collect(),
    };
    let lines = [
        curve("median", &|row| row.percentile(50.0)),
        curve("p99", &|row| row.percentile(99.0)),
        curve("max", &|row| row.percentile(100.0)),
    ];
    let values = || lines.iter().flat_map(|line| line.points.iter().map(|point| point.1));
    let (low, high) = (values().fold(f64::MAX, f64::min), values().fold(1.0, f64::max));
    let mut picture = Picture::new("Latency over time", low.min(high), high);
    picture.decades(|ns| time(ns as u64));
    let x = seconds(&mut picture, rows.len() as f64 * width);
    picture.lines(&lines, x, false);
    picture.caption("when the message was due");
    picture.end()
}

/// Messages a second: sent by when they were due, answered, failed.
pub(crate) fn rates(intervals: &Intervals) -> String {
    let (width, rows) = (intervals.width().as_secs_f64(), intervals.rows());
    let curve = |name, of: &dyn Fn(&Interval) -> u64| Line {
        name,
        points: (0..)
            .zip(rows)
            .map(|(at, row)| ((f64::from(at) + 0.5) * width, of(row) as f64 / width))
            .collect(),
    };
    let lines = [
        curve("answered", &|row| row.completed),
        curve("sent, by when it was due", &|row| row.sent),
        curve("errors", &|row| row.failed),
    ];
    // What never happened has no line.
    let has_some = |line: &Line<'_>| line.points.iter().any(|point| point.1 > 0.0);
    let lines: Vec<Line<'_>> = lines.into_iter().filter(has_some).collect();
    let values = lines.iter().flat_map(|line| line.points.iter().map(|point| point.1));
    let mut picture = Picture::from_zero("Messages a second", values.fold(1.0, f64::max));
    let x = seconds(&mut picture, rows.len() as f64 * width);
    picture.lines(&lines, x, false);
    picture.end()
}

/// Columns of time, rows of latency, the darker the more.
pub(crate) fn heat(intervals: &Intervals) -> String {
    const MOST_COLUMNS: usize = 120;
    const TOGETHER: usize = 4;
    let (width, rows) = (intervals.width().as_secs_f64(), intervals.rows());
    let step = rows.len().div_ceil(MOST_COLUMNS).max(1);
    let columns: Vec<Vec<u64>> = rows
        .chunks(step)
        .map(|rows| {
            let mut counts = vec![0; BUCKETS / TOGETHER];
            for (at, count) in rows.iter().flat_map(|row| row.times.counts.iter().enumerate()) {
                counts[at / TOGETHER] += u64::from(*count);
            }
            counts
        })
        .collect();
    let used = |bucket: &usize| columns.iter().any(|column| column[*bucket] > 0);
    let first = (0..BUCKETS / TOGETHER).find(used).unwrap_or(0);
    let last = (0..BUCKETS / TOGETHER).rfind(used).unwrap_or(0);
    let edge = |bucket: usize| lower_end(bucket * TOGETHER) as f64;
    let mut picture = Picture::new("Heat map of the latencies", edge(first), edge(last + 1));
    let length = rows.len() as f64 * width;
    let x = seconds(&mut picture, length);
    let most = columns.iter().flatten().copied().max().unwrap_or(1).max(2) as f64;
    for (at, column) in columns.iter().enumerate() {
        let left = x(at as f64 * step as f64 * width);
        let right = x(((at + 1) as f64 * step as f64 * width).min(length));
        for (bucket, count) in column.iter().enumerate().filter(|(_, count)| **count > 0) {
            let (top, bottom) = (picture.y(edge(bucket + 1)), picture.y(edge(bucket)));
            let shade = 0.12 + 0.88 * (*count as f64).ln() / most.ln();
            let (across, up) = (right - left, bottom - top);
            picture.add(format_args!(
                "<rect class=\"heat\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{across:.1}\" \
                 height=\"{up:.1}\" opacity=\"{shade:.2}\"/>"
            ));
        }
    }
    picture.add(format_args!("\n"));
    picture.decades(|ns| time(ns as u64));
    picture.caption("when the message was due; the darker, the more messages");
    picture.end()
}

/// Rate against latency, with the rate that was found.
pub(crate) fn knee(search: &Search) -> String {
    let mut steps: Vec<_> = search.steps.iter().filter(|step| step.p50_ns > 0).collect();
    steps.sort_by_key(|step| step.rate);
    let curve = |name, of: &dyn Fn(&crate::search::Step) -> u64| Line {
        name,
        points: steps.iter().map(|step| (step.rate as f64, of(step) as f64)).collect(),
    };
    let lines = [
        curve("median", &|step| step.p50_ns),
        curve("p99", &|step| step.p99_ns),
        curve("p99.9", &|step| step.p999_ns),
    ];
    let values = || lines.iter().flat_map(|line| line.points.iter().map(|point| point.1));
    let (low, high) = (values().fold(f64::MAX, f64::min), values().fold(1.0, f64::max));
    let mut picture = Picture::new("Rate against latency", low.min(high), high);
    picture.decades(|ns| time(ns as u64));
    let least = steps.first().map_or(1.0, |step| step.rate as f64);
    let most = steps.last().map_or(1.0, |step| step.rate as f64).max(least * 1.01);
    let x = move |rate: f64| {
        LEFT + 20.0 + (rate / least).ln() / (most / least).ln() * (RIGHT - LEFT - 40.0)
    };
    let mut last = f64::MIN;
    for step in &steps {
        let at = x(step.rate as f64);
        if at - last > 60.0 {
            picture.tick(at, &grouped(step.rate));
            last = at;
        }
    }
    picture.lines(&lines, x, true);
    if let Some(found) = search.found_rate {
        let (at, text) = (x(found as f64), grouped(found));
        // On the side where there is room for it.
        let (anchor, beside) = if at < WIDTH / 2.0 { ("start", 5.0) } else { ("end", -5.0) };
        picture.add(format_args!(
            "<path class=\"mark\" d=\"M{at:.1} {TOP}V{BOTTOM}\"/>\
             <text text-anchor=\"{anchor}\" x=\"{:.1}\" y=\"{:.1}\">found: {text} /s</text>\n",
            at + beside,
            TOP + 12.0
        ));
    }
    picture.caption("messages a second");
    picture.end()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary::tests::measured;

    /// Every tag that is opened is closed, and no number is none.
    fn is_whole(svg: &str) {
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        assert_eq!(svg.matches("<text").count(), svg.matches("</text>").count());
        assert!(!svg.contains("<script"));
    }

    #[test]
    fn pictures_are_whole_with_much_little_and_nothing() {
        let full = measured(Some(500)).record;
        let empty = crate::record::Record::new(0, std::time::Duration::from_secs(1));
        for record in [&full, &empty] {
            is_whole(&percentiles(&[("response", &record.response), ("x", &record.service)]));
            is_whole(&over_time(&record.intervals));
            is_whole(&rates(&record.intervals));
            is_whole(&heat(&record.intervals));
        }
        let both = percentiles(&[("response", &full.response), ("service", &full.service)]);
        assert_eq!(both.matches("class=\"line").count(), 2);
        assert!(both.contains(">p99.9<") && !both.contains(">p99.99<"), "of 1,000 samples");
        assert!(heat(&full.intervals).matches("class=\"heat\"").count() > 10);
    }

    #[test]
    fn rates_stand_on_nothing() {
        let mut intervals = Intervals::new(0, std::time::Duration::from_secs(1));
        for at in [0, 1, 2, 45_000_000] {
            intervals.sent(at);
        }
        // 150, none and 50 a second, in intervals of 20 ms.
        let svg = rates(&intervals);
        is_whole(&svg);
        assert!(svg.contains(">0</text>") && svg.contains(">200</text>"), "{svg}");
        assert!(svg.contains("L400.0 276.0"), "none is at the foot: {svg}");
    }

    #[test]
    fn the_knee_is_marked() {
        let step = |rate, p99_ns| crate::search::Step {
            rate,
            messages_per_second: rate as f64,
            p50_ns: 1000,
            p99_ns,
            p999_ns: p99_ns * 2,
            held: rate < 2000,
            because: None,
            by_generator: false,
        };
        let search = Search {
            conditions: vec!["p99<5ms".into()],
            found_rate: Some(1500),
            limited_by: crate::search::Limit::Target,
            steps: vec![step(1000, 5000), step(2000, 9_000_000), step(1500, 6000)],
        };
        let svg = knee(&search);
        is_whole(&svg);
        assert!(svg.contains("found: 1,500 /s") && svg.matches("<circle").count() == 9);
    }
}
