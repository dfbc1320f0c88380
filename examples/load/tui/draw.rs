//! How the screen is drawn, on any size of it: from all there is down to the few lines that matter
//! most. A pure function from the view to the frame.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Axis, Block, Chart, Dataset, GraphType, LineGauge, Paragraph};

use crate::coarse::Coarse;
use crate::report::{grouped, time};
use crate::tui::view::View;

/// With less than this there are lines only.
const LEAST_WIDTH: u16 = 60;
const LEAST_HEIGHT: u16 = 15;

/// Of the two blocks beside each other, and of the rates among them.
const BLOCK: u16 = 8;
const RATES: u16 = 27;

/// Steps of a search that are shown: the last ones.
const STEPS: usize = 6;

const STRONG: Style = Style::new().add_modifier(Modifier::BOLD);
const DIM: Style = Style::new().fg(Color::DarkGray);
const BAD: Style = Style::new().fg(Color::Red);

pub(crate) fn draw(frame: &mut Frame<'_>, view: &View) {
    let area = frame.area();
    if area.width < LEAST_WIDTH || area.height < LEAST_HEIGHT {
        frame.render_widget(Paragraph::new(short(view)), area);
        return;
    }
    let steps = view.steps.len().min(STEPS) as u16;
    let [title, mode, progress, blocks, own, searched, chart] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(BLOCK),
        Constraint::Length(2),
        Constraint::Length(steps),
        Constraint::Fill(1),
    ])
    .areas(area);
    let [rates, latencies] =
        Layout::horizontal([Constraint::Length(RATES), Constraint::Fill(1)]).areas(blocks);
    heading(frame, view, title);
    frame.render_widget(Line::styled(view.mode.as_str(), DIM), mode);
    frame.render_widget(gauge(view), progress);
    frame.render_widget(rates_of(view).block(titled("messages")), rates);
    frame.render_widget(latencies_of(view).block(titled("latency")), latencies);
    frame.render_widget(Paragraph::new(generator(view)), own);
    let first = view.steps.len() - usize::from(steps);
    let steps: Vec<Line<'_>> =
        view.steps[first..].iter().map(|step| Line::raw(step.as_str())).collect();
    frame.render_widget(Paragraph::new(steps), searched);
    // Without room for a few lines of it a chart says nothing.
    if chart.height >= 5 {
        over_time(frame, view, chart);
    }
}

fn titled(title: &str) -> Block<'_> {
    Block::bordered().title(title).border_style(DIM)
}

fn heading(frame: &mut Frame<'_>, view: &View, area: Rect) {
    let keys = "q stops and reports";
    let [left, right] =
        Layout::horizontal([Constraint::Fill(1), Constraint::Length(keys.len() as u16 + 1)])
            .areas(area);
    let title =
        Line::from(vec![Span::styled("wheelhouse-load ", STRONG), Span::raw(view.target.as_str())]);
    frame.render_widget(title, left);
    frame.render_widget(Line::styled(keys, DIM).right_aligned(), right);
}

/// `12.3 of 30.0 s`.
fn clock(view: &View) -> String {
    match view.length > 0.0 {
        true => format!("{:.1} of {:.1} s", view.elapsed.min(view.length), view.length),
        false => String::new(),
    }
}

fn gauge(view: &View) -> LineGauge<'_> {
    let ratio = if view.length > 0.0 { view.elapsed / view.length } else { 0.0 };
    LineGauge::default()
        .ratio(ratio.clamp(0.0, 1.0))
        .label(format!("{} {}", clock(view), view.phase))
        .filled_style(Style::new().fg(Color::Green))
        .unfilled_style(DIM)
}

fn number(name: &str, value: String) -> Line<'static> {
    Line::raw(format!("{name:<10}{value:>15}"))
}

fn rates_of(view: &View) -> Paragraph<'static> {
    let rate = |rate: f64| format!("{} /s", grouped(rate.round() as u64));
    let offered = view.offered.map_or("as it goes".into(), rate);
    let mut lines = vec![
        number("offered", offered),
        number("sent", rate(view.sent)),
        number("answered", rate(view.answered)),
    ];
    lines.push(match view.behind {
        Some(behind) => number("overdue", grouped(behind)),
        None => number("", String::new()),
    });
    let errors = number("errors", grouped(view.failures));
    lines.push(if view.failures > 0 { errors.style(BAD) } else { errors });
    lines.push(number("open", format!("{} conns", grouped(view.open))));
    Paragraph::new(lines)
}

const SHOWN: [(&str, f64); 5] =
    [("p50", 50.0), ("p90", 90.0), ("p99", 99.0), ("p99.9", 99.9), ("max", 100.0)];

fn at(times: &Coarse, percentile: f64) -> String {
    times.percentile(percentile).map_or("-".into(), time)
}

/// The last second and the whole run; of each the response time, if there is a plan, and the service
/// time.
fn latencies_of(view: &View) -> Paragraph<'static> {
    let columns: Vec<(&str, &Coarse)> = match view.behind {
        Some(_) => vec![
            ("response", &view.last.response),
            ("service", &view.last.service),
            ("response", &view.all.response),
            ("service", &view.all.service),
        ],
        None => vec![("last second", &view.last.service), ("whole run", &view.all.service)],
    };
    let heading = columns.iter().map(|(name, _)| format!("{name:>11}"));
    let mut heading: String = heading.collect();
    if view.behind.is_some() {
        heading.push_str(" (1 s, run)");
    }
    let mut lines = vec![Line::styled(format!("{:<6}{heading}", ""), DIM)];
    for (name, percentile) in SHOWN {
        let figures: String =
            columns.iter().map(|(_, times)| format!("{:>11}", at(times, percentile))).collect();
        lines.push(Line::raw(format!("{name:<6}{figures}")));
    }
    Paragraph::new(lines)
}

/// How this program itself fares.
fn generator(view: &View) -> Vec<Line<'static>> {
    let (busy, waited) = (view.busy * 100.0, view.waited * 100.0);
    let style = if busy + waited >= 90.0 { BAD } else { Style::new() };
    let mut lines = vec![Line::styled(
        format!("generator  {busy:.0} % of a processor, {waited:.0} % waiting for one"),
        style,
    )];
    if view.behind.is_some() {
        let times = &view.last.send_error;
        let late = grouped(view.late);
        lines.push(Line::raw(format!(
            "send error p50 {}, p99 {}, max {}; {late} late so far",
            at(times, 50.0),
            at(times, 99.0),
            at(times, 100.0)
        )));
    }
    lines
}

/// Where there is little room: what matters most first.
fn short(view: &View) -> Vec<Line<'static>> {
    let times = if view.behind.is_some() { &view.last.response } else { &view.last.service };
    let rate = |rate: f64| grouped(rate.round() as u64);
    let of = view.offered.map_or(String::new(), |offered| format!(" of {}", rate(offered)));
    let mut lines = vec![
        Line::styled(clock(view), STRONG),
        Line::raw(format!("{}{of} /s", rate(view.answered))),
        Line::raw(format!("p50 {}", at(times, 50.0))),
        Line::raw(format!("p99 {}", at(times, 99.0))),
    ];
    let errors = format!("errors {}", grouped(view.failures));
    lines.push(Line::styled(errors, if view.failures > 0 { BAD } else { Style::new() }));
    lines.push(Line::raw(view.phase.clone()));
    lines.extend(generator(view));
    lines.push(Line::styled("q stops and reports", DIM));
    lines
}

/// Median, 99th percentile and maximum since the run began, on a logarithmic axis.
fn over_time(frame: &mut Frame<'_>, view: &View, area: Rect) {
    let log = |ns: u64| (ns.max(1) as f64).log10();
    let curve = |of: &dyn Fn(&crate::tui::view::Point) -> u64| -> Vec<(f64, f64)> {
        view.points.iter().map(|point| (point.at, log(of(point)))).collect()
    };
    let (max, p99, median) =
        (curve(&|point| point.max), curve(&|point| point.p99), curve(&|point| point.median));
    let low = median.iter().map(|point| point.1).fold(f64::MAX, f64::min);
    let high = max.iter().map(|point| point.1).fold(f64::MIN, f64::max);
    let (low, high) = if low <= high { (low.floor(), high.ceil()) } else { (3.0, 6.0) };
    let high = high.max(low + 1.0);
    let decades: Vec<String> =
        (low as u32..=high as u32).map(|power| time(10u64.pow(power))).collect();
    let until = view.elapsed.max(1.0);
    let lines = [
        ("max", &max, Color::DarkGray),
        ("p99", &p99, Color::Yellow),
        ("p50", &median, Color::Cyan),
    ];
    let lines = lines.map(|(name, points, color)| {
        Dataset::default()
            .name(name)
            .marker(Marker::Braille)
            .graph_type(GraphType::Line)
            .style(Style::new().fg(color))
            .data(points)
    });
    let title = if view.behind.is_some() { "response time" } else { "service time" };
    let chart = Chart::new(lines.into())
        .block(titled(title))
        .x_axis(Axis::default().style(DIM).bounds([0.0, until]).labels([
            "0 s".to_owned(),
            format!("{:.0} s", until / 2.0),
            format!("{until:.0} s"),
        ]))
        .y_axis(Axis::default().style(DIM).bounds([low, high]).labels(decades));
    frame.render_widget(chart, area);
}
