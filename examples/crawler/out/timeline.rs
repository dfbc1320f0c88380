//! When each request began and ended, host by host: the pace of a crawl, to be looked at.
//!
//! As Trace Event JSON (a file that ends in `.json`) it opens in Perfetto or `chrome://tracing`: a
//! row for each host and each of its connections. As SVG it is a picture of its own, in which the
//! gaps of politeness are as visible as the answers.

use std::fmt::Write as _;
use std::time::Duration;

use wheelhouse::time::Instant;

use crate::crawl::frontier::{Frontier, HostId};
use crate::crawl::pages::{PageId, Pages};
use crate::out::svg::{STYLE, escape, shortened};

/// Requests that are kept; a longer crawl shows its beginning.
const MOST: usize = 1_000_000;

#[derive(Debug)]
pub(crate) struct Timeline {
    begin: Instant,
    requests: Vec<Request>,
}

/// One request: 24 bytes.
#[derive(Clone, Copy, Debug)]
struct Request {
    host: HostId,
    page: PageId,
    start_us: u64,
    took_us: u32,
    /// 0 if there was no answer.
    status: u16,
}

impl Timeline {
    pub(crate) fn new() -> Timeline {
        Timeline { begin: Instant::now(), requests: Vec::new() }
    }

    pub(crate) fn add(
        &mut self,
        host: HostId,
        page: PageId,
        start: Instant,
        took: Duration,
        status: u16,
    ) {
        if self.requests.len() < MOST {
            let start_us = start.saturating_duration_since(self.begin).as_micros() as u64;
            let took_us = u32::try_from(took.as_micros()).unwrap_or(u32::MAX);
            self.requests.push(Request { host, page, start_us, took_us, status });
        }
    }

    /// In lanes: requests that overlap stand in different ones. `(host, lane)` for each request,
    /// in order of their starts.
    fn lanes(&self) -> Vec<(Request, usize)> {
        let mut requests = self.requests.clone();
        requests.sort_by_key(|request| (request.start_us, request.page));
        let mut ends: Vec<(HostId, Vec<u64>)> = Vec::new();
        let mut placed = Vec::with_capacity(requests.len());
        for request in requests {
            let at = ends.iter().position(|(host, _)| *host == request.host).unwrap_or_else(|| {
                ends.push((request.host, Vec::new()));
                ends.len() - 1
            });
            let lanes = &mut ends[at].1;
            let lane = lanes.iter().position(|end| *end <= request.start_us);
            let lane = lane.unwrap_or_else(|| {
                lanes.push(0);
                lanes.len() - 1
            });
            lanes[lane] = request.start_us + u64::from(request.took_us);
            placed.push((request, lane));
        }
        placed
    }

    /// An array of events, one a line.
    pub(crate) fn trace(&self, pages: &Pages, frontier: &Frontier) -> String {
        let mut text = String::from("[\n");
        let placed = self.lanes();
        let mut named: Vec<HostId> = Vec::new();
        for (request, _) in &placed {
            if !named.contains(&request.host) {
                named.push(request.host);
                let name = json(frontier.name(request.host));
                let pid = named.len();
                let _ = writeln!(
                    text,
                    r#"{{"ph":"M","name":"process_name","pid":{pid},"args":{{"name":{name}}}}},"#
                );
            }
        }
        for (at, (request, lane)) in placed.iter().enumerate() {
            let pid = named.iter().position(|host| *host == request.host).unwrap_or(0) + 1;
            let name = json(pages.name(request.page));
            let comma = if at + 1 == placed.len() { "" } else { "," };
            let _ = writeln!(
                text,
                "{{\"ph\":\"X\",\"name\":{name},\"cat\":\"{}\",\"pid\":{pid},\"tid\":{lane},\
                 \"ts\":{},\"dur\":{},\"args\":{{\"status\":{}}}}}{comma}",
                class(request.status),
                request.start_us,
                request.took_us,
                request.status,
            );
        }
        text.push_str("]\n");
        text
    }
}

const WIDTH: f64 = 900.0;
const MARGIN: f64 = 170.0;
const LANE: f64 = 9.0;

/// Lanes of all hosts that are drawn.
const MOST_LANES: usize = 120;

impl Timeline {
    /// A row for each host, a bar for each request.
    pub(crate) fn svg(&self, frontier: &Frontier) -> String {
        let placed = self.lanes();
        let end = placed.iter().map(|(request, _)| request.start_us + u64::from(request.took_us));
        let end = end.max().unwrap_or(1).max(1) as f64;
        let mut hosts: Vec<(HostId, usize)> = Vec::new();
        for (request, lane) in &placed {
            match hosts.iter_mut().find(|(host, _)| *host == request.host) {
                Some((_, lanes)) => *lanes = (*lanes).max(lane + 1),
                None => hosts.push((request.host, lane + 1)),
            }
        }
        let mut rows = String::new();
        let mut tops: Vec<(HostId, f64)> = Vec::new();
        let mut top = 24.0;
        let mut lanes_drawn = 0;
        for (host, lanes) in hosts {
            lanes_drawn += lanes;
            if lanes_drawn > MOST_LANES {
                break;
            }
            let name = escape(&shortened(frontier.name(host), 26));
            let _ = writeln!(rows, "<text x=\"8\" y=\"{:.0}\">{name}</text>", top + 10.0);
            tops.push((host, top));
            top += lanes as f64 * LANE + 8.0;
        }
        for kind in ["ok", "redirect", "broken", "failed"] {
            let mut path = String::new();
            for (request, lane) in
                placed.iter().filter(|(request, _)| class(request.status) == kind)
            {
                let Some((_, top)) = tops.iter().find(|(host, _)| *host == request.host) else {
                    continue;
                };
                let x = MARGIN + request.start_us as f64 / end * (WIDTH - MARGIN - 10.0);
                let width = f64::from(request.took_us) / end * (WIDTH - MARGIN - 10.0);
                let y = top + *lane as f64 * LANE + LANE / 2.0;
                let _ = write!(path, "M{x:.1} {y:.1}h{:.1}", width.max(0.4));
            }
            let colour = if kind == "failed" { "broken" } else { kind };
            let _ = writeln!(
                rows,
                "<path d=\"{path}\" stroke=\"var(--{colour})\" stroke-width=\"{:.0}\"/>",
                LANE - 2.0
            );
        }
        axis(&mut rows, end, top);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {0:.0}\" \
             width=\"{WIDTH}\">{STYLE}\n<rect class=\"paper\" width=\"100%\" height=\"100%\"/>\n\
             <text x=\"8\" y=\"14\">{1} requests: a bar each, green answered, yellow redirected, red \
             broken</text>\n{rows}</svg>\n",
            top + 24.0,
            self.requests.len()
        )
    }
}

/// Five marks of time under the rows.
fn axis(rows: &mut String, end_us: f64, top: f64) {
    for mark in 0..=4 {
        let part = f64::from(mark) / 4.0;
        let x = MARGIN + part * (WIDTH - MARGIN - 10.0);
        let seconds = end_us * part / 1e6;
        let anchor = if mark == 4 { "end" } else { "middle" };
        let _ = writeln!(
            rows,
            "<path d=\"M{x:.0} 20V{top:.0}\" stroke=\"var(--line)\"/>\
             <text class=\"faint\" x=\"{x:.0}\" y=\"{:.0}\" text-anchor=\"{anchor}\">{seconds:.2} \
             s</text>",
            top + 16.0
        );
    }
}

fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Answers that look alike.
fn class(status: u16) -> &'static str {
    match status {
        0 => "failed",
        200..=299 => "ok",
        300..=399 => "redirect",
        _ => "broken",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crawl::frontier::Manners;
    use crate::crawl::pages::Limits;

    fn timeline() -> (Timeline, Pages, Frontier) {
        let begin = Instant::from_std(std::time::Instant::now());
        let mut pages = Pages::new(Limits { depth: 9, redirects: 9 });
        pages.add("http://a/?x=\"<1>\"", false);
        let mut frontier = Frontier::default();
        let manners = Manners { at_once: 1, delay: Duration::ZERO, is_adaptive: false };
        let hosts = ["a", "b<"].map(|name| frontier.host(name, begin, manners));
        let mut timeline = Timeline { begin, requests: Vec::new() };
        let mut add = |host: usize, start: u64, took: u64, status| {
            let (start, took) = (Duration::from_micros(start), Duration::from_micros(took));
            timeline.add(hosts[host], PageId(0), begin + start, took, status);
        };
        // As they end, not as they begin.
        add(0, 10, 5, 200);
        add(0, 0, 20, 404);
        add(1, 5, 5, 0);
        add(0, 20, 5, 302);
        (timeline, pages, frontier)
    }

    #[test]
    fn what_overlaps_stands_in_different_lanes() {
        let (timeline, _, _) = timeline();
        let lanes: Vec<(u64, usize)> =
            timeline.lanes().iter().map(|(request, lane)| (request.start_us, *lane)).collect();
        assert_eq!(lanes, [(0, 0), (5, 0), (10, 1), (20, 0)]);
    }

    #[test]
    fn the_trace_is_what_perfetto_reads() {
        let (timeline, pages, frontier) = timeline();
        let text = timeline.trace(&pages, &frontier);
        let events: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
        assert_eq!(events.len(), 6);
        let last = &events[5];
        assert_eq!((last["ph"].as_str(), last["ts"].as_u64()), (Some("X"), Some(20)));
        assert_eq!((last["pid"].as_u64(), last["cat"].as_str()), (Some(1), Some("redirect")));
        assert_eq!(last["name"], "http://a/?x=\"<1>\"");
    }

    #[test]
    fn the_picture_is_xml() {
        let (timeline, _, frontier) = timeline();
        for timeline in [timeline, Timeline { requests: Vec::new(), ..self::timeline().0 }] {
            let text = timeline.svg(&frontier);
            let mut reader = quick_xml::Reader::from_str(&text);
            while !matches!(reader.read_event().unwrap(), quick_xml::events::Event::Eof) {}
        }
    }
}
