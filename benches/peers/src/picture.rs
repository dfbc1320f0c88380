//! The picture of the README: how late a sleep of 1 ms ends, from the JSON of a run.
//!
//! An SVG by hand, with colours for light and dark pages. The axis is logarithmic, or tokio's bar would be all there is
//! to see.

use serde_json::Value;
use std::fmt::Write as _;

const METRIC: &str = "1ms_p50";
const LEFT: f64 = 150.0;
const WIDTH: f64 = 520.0;
const ROW: f64 = 30.0;
const TOP: f64 = 74.0;
const DECADES: f64 = 3.5;
/// The axis begins here, in microseconds.
const FIRST: f64 = 1.0;

const STYLE: &str = "\
text { font: 14px system-ui, sans-serif; fill: #24292f }
.small { font-size: 12px; fill: #57606a }
.title { font-size: 16px; font-weight: 600 }
.idle { fill: #8c959f } .busy { fill: #d0d7de } .ours.idle { fill: #0969da } .ours.busy { fill: #80b8f0 }
.axis { stroke: #d0d7de }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .small { fill: #9198a1 } .axis { stroke: #3d444d }
  .idle { fill: #656c76 } .busy { fill: #3d444d } .ours.idle { fill: #4493f8 } .ours.busy { fill: #1f4f8f }
}";

/// The SVG of a run that had `sleep` and `sleep-busy` in it.
pub fn draw(run: &Value) -> Result<String, String> {
    let contenders = run["scenarios"]["sleep"]["contenders"].as_object();
    let contenders = contenders.ok_or("the file has no scenario `sleep`: run it with --json first")?;
    let mut rows: Vec<(&str, f64, Option<f64>)> = Vec::new();
    for (name, of) in contenders {
        let Some(idle) = of["metrics"][METRIC]["median"].as_f64() else { continue };
        let busy = &run["scenarios"]["sleep-busy"]["contenders"][name]["metrics"][METRIC]["median"];
        rows.push((name, idle, busy.as_f64()));
    }
    rows.sort_by(|a, b| a.1.total_cmp(&b.1));
    let height = TOP + rows.len() as f64 * ROW + 40.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 760 {height}\" role=\"img\" \
         aria-label=\"How late a sleep of 1 ms ends\">\n<style>\n{STYLE}\n</style>\n\
         <text class=\"title\" x=\"12\" y=\"26\">How late a sleep of 1 ms ends</text>\n\
         <text class=\"small\" x=\"12\" y=\"46\">median, microseconds, logarithmic; dark: on an idle loop, \
         light: beside 100 busy connections</text>\n"
    );
    axis(&mut svg, height);
    for (at, (name, idle, busy)) in rows.iter().enumerate() {
        row(&mut svg, TOP + at as f64 * ROW, name, *idle, *busy);
    }
    svg.push_str("</svg>\n");
    Ok(svg)
}

fn axis(svg: &mut String, height: f64) {
    for (mark, label) in [(1.0, "1"), (10.0, "10"), (100.0, "100"), (1000.0, "1,000")] {
        let x = LEFT + length(mark);
        let (from, to) = (TOP - 10.0, height - 30.0);
        let _ = write!(
            svg,
            "<line class=\"axis\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{from}\" y2=\"{to}\"/>\n\
             <text class=\"small\" text-anchor=\"middle\" x=\"{x:.1}\" y=\"{}\">{label} µs</text>\n",
            height - 14.0
        );
    }
}

fn row(svg: &mut String, y: f64, name: &str, idle: f64, busy: Option<f64>) {
    let ours = if name == "wheelhouse" { " ours" } else { "" };
    let shown = if name == "raw" { "timerfd by hand" } else { name };
    let _ = writeln!(svg, "<text text-anchor=\"end\" x=\"{}\" y=\"{}\">{shown}</text>", LEFT - 12.0, y + 15.0);
    let bars = [(Some(idle), "idle", y, 12.0), (busy, "busy", y + 12.0, 8.0)];
    for (late, class, y, thick) in bars {
        let Some(late) = late else { continue };
        let _ = writeln!(
            svg,
            "<rect class=\"{class}{ours}\" x=\"{LEFT}\" y=\"{y}\" width=\"{:.1}\" height=\"{thick}\"/>",
            length(late)
        );
    }
    let figures = busy.map_or(format!("{idle:.0}"), |busy| format!("{idle:.0} / {busy:.0}"));
    let x = LEFT + length(idle.max(busy.unwrap_or(0.0))) + 8.0;
    let _ = writeln!(svg, "<text class=\"small\" x=\"{x:.1}\" y=\"{}\">{figures}</text>", y + 14.0);
}

fn length(microseconds: f64) -> f64 {
    (microseconds.max(FIRST) / FIRST).log10() / DECADES * WIDTH
}
