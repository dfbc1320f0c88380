//! How the screen is drawn, on any size of it: from all there is down to the few lines that matter
//! most. A pure function from the view to the frame.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::Marker;
use ratatui::symbols::line::THICK_HORIZONTAL;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Axis, Block, Chart, Dataset, GraphType, LineGauge, Paragraph};

use crate::coarse::Coarse;
use crate::report::{grouped, time};
use crate::tui::view::View;

/// With less than this there are lines only.
const LEAST_WIDTH: u16 = 60;
const LEAST_HEIGHT: u16 = 16;

/// Of the two blocks beside each other, and of the rates among them.
const BLOCK: u16 = 9;
const RATES: u16 = 24;

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
        .filled_symbol(THICK_HORIZONTAL)
        .unfilled_style(DIM)
}

fn number(name: &str, value: String) -> Line<'static> {
    Line::raw(format!("{name:<9}{value:>13}"))
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
    let style = if view.failures > 0 { BAD } else { Style::new() };
    lines.push(number("errors", grouped(view.failures)).style(style));
    lines.push(number("", rate(view.failed)).style(style));
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
    let columns: Vec<(&str, &str, &Coarse)> = match view.behind {
        Some(_) => vec![
            ("last second:", "response", &view.last.response),
            ("", "service", &view.last.service),
            ("whole run:", "response", &view.all.response),
            ("", "service", &view.all.service),
        ],
        None => vec![
            ("last second:", "service", &view.last.service),
            ("whole run:", "service", &view.all.service),
        ],
    };
    let heading = |of: &dyn Fn(&(&str, &str, &Coarse)) -> String| {
        let all: String = columns.iter().map(of).collect();
        Line::styled(format!("{:<6}{all}", ""), DIM)
    };
    let mut lines = vec![
        heading(&|column| format!("{:>12}", column.0)),
        heading(&|column| format!("{:>12}", column.1)),
    ];
    for (name, percentile) in SHOWN {
        let figures: String =
            columns.iter().map(|(.., times)| format!("{:>12}", at(times, percentile))).collect();
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
    let title = if view.behind.is_some() { "response time: " } else { "service time: " };
    let mut title = vec![Span::raw(title)];
    title.extend(
        lines
            .iter()
            .rev()
            .map(|(name, _, color)| Span::styled(format!("{name} "), Style::new().fg(*color))),
    );
    let lines = lines.map(|(_, points, color)| {
        Dataset::default()
            .marker(Marker::Braille)
            .graph_type(GraphType::Line)
            .style(Style::new().fg(color))
            .data(points)
    });
    let chart = Chart::new(lines.into())
        .block(Block::bordered().title(Line::from(title)).border_style(DIM))
        .x_axis(Axis::default().style(DIM).bounds([0.0, until]).labels([
            "0 s".to_owned(),
            format!("{:.0} s", until / 2.0),
            format!("{until:.0} s"),
        ]))
        .y_axis(Axis::default().style(DIM).bounds([low, high]).labels(decades));
    frame.render_widget(chart, area);
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;
    use crate::tui::view::{Point, Times};

    fn times(ns: &[u64]) -> Coarse {
        let mut times = Coarse::default();
        ns.iter().for_each(|ns| times.add(*ns));
        times
    }

    fn view() -> View {
        let points = (0..20).map(|at| Point {
            at: f64::from(at) + 0.5,
            median: 100_000,
            p99: if at == 12 { 900_000_000 } else { 400_000 },
            max: if at == 12 { 1_000_000_000 } else { 900_000 },
        });
        View {
            target: "http://127.0.0.1:8080/".into(),
            mode: "open loop; 64 connections, depth 1".into(),
            phase: "stage 2 of 3: 20 s at 5,000 /s".into(),
            elapsed: 20.0,
            length: 40.0,
            offered: Some(5000.0),
            sent: 4999.6,
            answered: 4998.0,
            failures: 3,
            open: 64,
            behind: Some(7),
            late: 12,
            last: Times {
                response: times(&[100_000, 400_000, 900_000]),
                service: times(&[90_000, 90_000, 90_000]),
                send_error: times(&[12_000, 15_000, 60_000]),
            },
            all: Times {
                response: times(&[100_000, 1_000_000_000]),
                service: times(&[90_000]),
                ..Times::default()
            },
            busy: 0.234,
            waited: 0.01,
            points: points.collect(),
            ..View::default()
        }
    }

    fn drawn(view: &View, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, view)).unwrap();
        let buffer = terminal.backend().buffer();
        let rows = buffer.content().chunks(usize::from(width.max(1)));
        let row = |cells: &[ratatui::buffer::Cell]| {
            let row: String = cells.iter().map(ratatui::buffer::Cell::symbol).collect();
            row.trim_end().to_owned() + "\n"
        };
        rows.map(row).collect()
    }

    #[test]
    fn an_open_loop_shows_both_times_and_its_plan() {
        assert_eq!(drawn(&view(), 80, 24), OPEN);
    }

    const OPEN: &str = "\
wheelhouse-load http://127.0.0.1:8080/                       q stops and reports
open loop; 64 connections, depth 1
20.0 of 40.0 s stage 2 of 3: 20 s at 5,000 /s ━━━━━━━━━━━━━━━━━─────────────────
┌messages──────────────┐┌latency───────────────────────────────────────────────┐
│offered       5,000 /s││      last second:              whole run:            │
│sent          5,000 /s││          response     service    response     service│
│answered      4,998 /s││p50       409.6 us     90.0 us    102.4 us     90.0 us│
│overdue              7││p90       900.0 us     90.0 us      1.00 s     90.0 us│
│errors               3││p99       900.0 us     90.0 us      1.00 s     90.0 us│
│                  0 /s││p99.9     900.0 us     90.0 us      1.00 s     90.0 us│
│open          64 conns││max       900.0 us     90.0 us      1.00 s     90.0 us│
└──────────────────────┘└──────────────────────────────────────────────────────┘
generator  23 % of a processor, 1 % waiting for one
send error p50 15.4 us, p99 60.0 us, max 60.0 us; 12 late so far
┌response time: p50 p99 max ───────────────────────────────────────────────────┐
│1.00 s  │                                          ⢠⢣                         │
│        │                                         ⢀⡎⠘⡄                        │
│100.0 ms│                                         ⡸  ⢱⡀                       │
│10.0 ms │                                        ⢰⠁   ⡇                       │
│1.00 ms │ ⠠⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⢀⠇    ⠸⡀⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠄ │
│100.0 us│ ⢀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⡀ │
│        └─────────────────────────────────────────────────────────────────────│
│      0 s                                 10 s                            20 s│
└──────────────────────────────────────────────────────────────────────────────┘
";

    #[test]
    fn a_closed_loop_shows_what_there_is_of_it() {
        let closed = View {
            mode: "closed loop; 64 connections, depth 1".into(),
            phase: "measures".into(),
            offered: None,
            behind: None,
            failures: 0,
            ..view()
        };
        assert_eq!(drawn(&closed, 70, 16), CLOSED);
    }

    const CLOSED: &str = "\
wheelhouse-load http://127.0.0.1:8080/             q stops and reports
closed loop; 64 connections, depth 1
20.0 of 40.0 s measures ━━━━━━━━━━━━━━━━━━━━━━━───────────────────────
┌messages──────────────┐┌latency─────────────────────────────────────┐
│offered     as it goes││      last second:  whole run:              │
│sent          5,000 /s││           service     service              │
│answered      4,998 /s││p50        90.0 us     90.0 us              │
│                      ││p90        90.0 us     90.0 us              │
│errors               0││p99        90.0 us     90.0 us              │
│                  0 /s││p99.9      90.0 us     90.0 us              │
│open          64 conns││max        90.0 us     90.0 us              │
└──────────────────────┘└────────────────────────────────────────────┘
generator  23 % of a processor, 1 % waiting for one



";

    #[test]
    fn a_small_terminal_shows_what_matters_most() {
        assert_eq!(
            drawn(&view(), 20, 5),
            "20.0 of 40.0 s\n4,998 of 5,000 /s\np50 409.6 us\np99 900.0 us\nerrors 3\n"
        );
    }

    #[test]
    fn a_search_shows_its_last_steps() {
        let steps = (1..=8).map(|step| format!("step {step}")).collect();
        let text = drawn(&View { steps, ..view() }, 80, 30);
        assert!(!text.contains("step 2") && text.contains("step 3\n"), "{text}");
        assert!(text.contains("step 8\n"), "{text}");
    }

    #[test]
    fn any_size_can_be_drawn_on_with_much_and_with_nothing() {
        let steps = vec!["a step".repeat(50); 9];
        for view in [View { steps, ..view() }, view(), View::default()] {
            for width in [0, 1, 2, 20, 59, 60, 61, 80, 130] {
                for height in [0, 1, 2, 5, 15, 16, 17, 19, 24, 40] {
                    drawn(&view, width, height);
                }
            }
        }
    }
}
