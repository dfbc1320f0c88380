//! The pictures of the README, from the JSON of a run: how late a sleep ends, and what an idle connection holds.
//!
//! Both are bars, a row a contender, as SVG by hand, with colours for light and dark pages. The axis is logarithmic, or
//! the longest bar would be all there is to see.

use serde_json::Value;
use std::fmt::Write as _;

const LEFT: f64 = 150.0;
const WIDTH: f64 = 520.0;
const ROW: f64 = 30.0;
const TOP: f64 = 74.0;

/// All of it is below the picture's own class, since the documentation has the picture among its own elements, and
/// follows the theme that was chosen there.
const STYLE: &str = "\
.bars { font: 14px system-ui, sans-serif; max-width: 100%; height: auto }
.bars, :root[data-theme=light] .bars {
  --ink: #24292f; --soft: #57606a; --line: #d0d7de; --main: #8c959f; --side: #d0d7de; --ours: #0969da; --beside: #80b8f0
}
@media (prefers-color-scheme: dark) {
  .bars {
    --ink: #e6edf3; --soft: #9198a1; --line: #3d444d; --main: #656c76; --side: #3d444d; --ours: #4493f8;
    --beside: #1f4f8f
  }
}
:root[data-theme=dark] .bars, :root[data-theme=ayu] .bars {
  --ink: #e6edf3; --soft: #9198a1; --line: #3d444d; --main: #656c76; --side: #3d444d; --ours: #4493f8; --beside: #1f4f8f
}
.bars text { fill: var(--ink) }
.bars .small { font-size: 12px; fill: var(--soft) }
.bars .title { font-size: 16px; font-weight: 600 }
.bars .main { fill: var(--main) } .bars .main.ours { fill: var(--ours) }
.bars .side { fill: var(--side) } .bars .side.ours { fill: var(--beside) }
.bars .axis { stroke: var(--line) }";

/// What a picture shows, and where it is found in the JSON.
pub struct Picture {
    pub name: &'static str,
    title: &'static str,
    legend: &'static str,
    /// Scenario and metric of the thick bar.
    main: (&'static str, &'static str),
    /// Of the thin one below it.
    side: Option<(&'static str, &'static str)>,
    unit: &'static str,
    /// What the hand-written contender is called here.
    raw: &'static str,
    /// The axis: where it begins, and for how many powers of ten it goes on.
    first: f64,
    decades: f64,
}

pub const ALL: [Picture; 2] = [
    Picture {
        name: "timers",
        title: "How late a sleep of 1 ms ends",
        legend: "median, microseconds, logarithmic; thick: on an idle loop, thin: beside 100 busy connections",
        main: ("sleep", "1ms_p50"),
        side: Some(("sleep-busy", "1ms_p50")),
        unit: "µs",
        raw: "timerfd by hand",
        first: 1.0,
        decades: 3.5,
    },
    Picture {
        name: "memory",
        title: "What an idle connection holds",
        legend: "bytes of memory a connection, 5,000 echo clients that say nothing; logarithmic",
        main: ("idle", "private_dirty"),
        side: None,
        unit: "B",
        raw: "epoll by hand",
        first: 10.0,
        decades: 3.5,
    },
];

impl Picture {
    /// The SVG of a run that had the scenarios in it.
    pub fn draw(&self, run: &Value) -> Result<String, String> {
        let rows = self.rows(run)?;
        let Picture { title, legend, .. } = self;
        let height = TOP + rows.len() as f64 * ROW + 40.0;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"bars\" viewBox=\"0 0 760 {height}\" width=\"760\" \
             height=\"{height}\" role=\"img\" aria-label=\"{title}\">\n<style>\n{STYLE}\n</style>\n\
             <text class=\"title\" x=\"12\" y=\"26\">{title}</text>\n\
             <text class=\"small\" x=\"12\" y=\"46\">{legend}</text>\n"
        );
        self.axis(&mut svg, height);
        for (at, row) in rows.iter().enumerate() {
            self.row(&mut svg, TOP + at as f64 * ROW, row);
        }
        svg.push_str("</svg>\n");
        Ok(svg)
    }

    /// Name, thick bar and thin bar, the shortest first.
    fn rows<'a>(&self, run: &'a Value) -> Result<Vec<(&'a str, f64, Option<f64>)>, String> {
        let median = |(scenario, metric): (&str, &str), name: &str| {
            run["scenarios"][scenario]["contenders"][name]["metrics"][metric]["median"].as_f64()
        };
        let scenario = self.main.0;
        let contenders = run["scenarios"][scenario]["contenders"].as_object();
        let contenders =
            contenders.ok_or_else(|| format!("the file has no scenario `{scenario}`: run it with --json first"))?;
        let mut rows: Vec<_> = contenders
            .keys()
            .filter_map(|name| {
                let side = self.side.and_then(|side| median(side, name));
                Some((name.as_str(), median(self.main, name)?, side))
            })
            .collect();
        rows.sort_by(|a, b| a.1.total_cmp(&b.1));
        Ok(rows)
    }

    fn axis(&self, svg: &mut String, height: f64) {
        let mut mark = self.first;
        while self.length(mark) <= WIDTH {
            let x = LEFT + self.length(mark);
            let (from, to) = (TOP - 10.0, height - 30.0);
            let _ = write!(
                svg,
                "<line class=\"axis\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{from}\" y2=\"{to}\"/>\n\
                 <text class=\"small\" text-anchor=\"middle\" x=\"{x:.1}\" y=\"{}\">{} {}</text>\n",
                height - 14.0,
                grouped(mark),
                self.unit
            );
            mark *= 10.0;
        }
    }

    fn row(&self, svg: &mut String, y: f64, &(name, main, side): &(&str, f64, Option<f64>)) {
        let ours = if name == "wheelhouse" { " ours" } else { "" };
        let shown = if name == "raw" { self.raw } else { name };
        let _ = writeln!(svg, "<text text-anchor=\"end\" x=\"{}\" y=\"{}\">{shown}</text>", LEFT - 12.0, y + 15.0);
        let thick = if self.side.is_some() { 12.0 } else { 20.0 };
        for (value, class, y, thick) in [(Some(main), "main", y, thick), (side, "side", y + 12.0, 8.0)] {
            let Some(value) = value else { continue };
            let _ = writeln!(
                svg,
                "<rect class=\"{class}{ours}\" x=\"{LEFT}\" y=\"{y}\" width=\"{:.1}\" height=\"{thick}\"/>",
                self.length(value)
            );
        }
        let figures = side.map_or(grouped(main), |side| format!("{} / {}", grouped(main), grouped(side)));
        let x = LEFT + self.length(main.max(side.unwrap_or(0.0))) + 8.0;
        let _ = writeln!(svg, "<text class=\"small\" x=\"{x:.1}\" y=\"{}\">{figures}</text>", y + 14.0);
    }

    fn length(&self, value: f64) -> f64 {
        (value.max(self.first) / self.first).log10() / self.decades * WIDTH
    }
}

/// 1234.4 as "1,234".
fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
