//! The graph of links as a picture: pages in rings by their distance from the root.
//!
//! The size of a dot says how many links lead there, red is broken, dashed lines are redirects. Each
//! page gets a sector of the ring within that of the page that led to it first, as wide as what
//! hangs on it: one pass over the pages, and the same picture each time. A large site would be
//! soup; there pages of one folder at one distance are one dot.

use std::collections::HashMap;
use std::f64::consts::TAU;
use std::fmt::Write as _;

use crate::crawl::pages::{PageId, Pages};
use crate::out::graph::{Edge, edges};
use crate::out::svg::{STYLE, escape, shortened};
use crate::out::verdict::Judge;

/// Dots in a picture; more are collapsed.
const MOST_DOTS: usize = 500;

/// Lines in a picture: the heaviest.
const MOST_LINES: usize = 2500;

const SIZE: f64 = 900.0;

/// A page, or several that are told as one.
#[derive(Clone, Debug)]
struct Dot {
    name: String,
    pages: usize,
    depth: u32,
    is_broken: bool,
    in_links: u64,
    /// The dot that led here first.
    parent: Option<usize>,
    /// Between 0 and 1, around the ring.
    angle: f64,
}

/// Lines between dots, and what they stand for.
type Lines = HashMap<(usize, usize, bool), u64>;

pub(crate) fn svg(judge: &Judge<'_>) -> String {
    let pages = judge.pages;
    let shown: Vec<PageId> =
        pages.iter().filter(|(_, _, page)| page.outcome.is_some()).map(|(id, _, _)| id).collect();
    let (mut dots, lines) = dots(judge, &shown);
    place(&mut dots);
    draw(&dots, &lines, shown.len())
}

/// Pages into dots: each its own, or by as much of their path as makes few enough.
fn dots(judge: &Judge<'_>, shown: &[PageId]) -> (Vec<Dot>, Lines) {
    let pages = judge.pages;
    let broken: Vec<bool> = shown.iter().map(|page| judge.fault(*page).is_some()).collect();
    let depths = 0..=shown.iter().map(|page| pages.get(*page).depth).max().unwrap_or(0);
    let mut segments = if shown.len() <= MOST_DOTS { usize::MAX } else { 8 };
    let of: Vec<usize> = loop {
        let mut numbers: HashMap<(&str, u32, bool), usize> = HashMap::new();
        let of = shown.iter().zip(&broken).map(|(page, is_broken)| {
            let key = (folder(pages.name(*page), segments), pages.get(*page).depth, *is_broken);
            let next = numbers.len();
            *numbers.entry(key).or_insert(next)
        });
        let of: Vec<usize> = of.collect();
        if numbers.len() <= MOST_DOTS.max(depths.clone().count()) || segments == 0 {
            break of;
        }
        segments = segments.min(8) - 1;
    };
    let mut dots: Vec<Option<Dot>> = vec![None; of.iter().max().map_or(0, |most| most + 1)];
    for ((page, dot), is_broken) in shown.iter().zip(&of).zip(&broken) {
        let name = folder(pages.name(*page), segments);
        let dot = dots[*dot].get_or_insert_with(|| Dot {
            name: name.to_owned(),
            pages: 0,
            depth: pages.get(*page).depth,
            is_broken: *is_broken,
            in_links: 0,
            parent: None,
            angle: 0.0,
        });
        dot.pages += 1;
    }
    let mut dots: Vec<Dot> = dots.into_iter().flatten().collect();
    let lines = lines(pages, shown, &of, &mut dots);
    (dots, lines)
}

fn lines(pages: &Pages, shown: &[PageId], of: &[usize], dots: &mut [Dot]) -> Lines {
    let dot_of: HashMap<PageId, usize> = shown.iter().copied().zip(of.iter().copied()).collect();
    let mut lines = Lines::new();
    for (page, from) in shown.iter().zip(of) {
        for (target, kind) in edges(pages.get(*page)) {
            let Some(to) = dot_of.get(&target) else { continue };
            dots[*to].in_links += 1;
            *lines.entry((*from, *to, kind == Edge::Redirect)).or_default() += 1;
            let is_nearer = dots[*from].depth < dots[*to].depth
                || kind == Edge::Redirect && dots[*from].depth == dots[*to].depth && from < to;
            if is_nearer && dots[*to].parent.is_none() {
                dots[*to].parent = Some(*from);
            }
        }
    }
    lines
}

/// Origin and the first segments of the path.
fn folder(address: &str, segments: usize) -> &str {
    if segments == usize::MAX {
        return address;
    }
    let path = address.find("://").and_then(|at| {
        let after = at + 3;
        address[after..].find('/').map(|slash| after + slash)
    });
    let Some(path) = path else { return address };
    let query = address.find('?').unwrap_or(address.len());
    let mut slashes = address[path..query].match_indices('/').map(|(at, _)| path + at);
    slashes.nth(segments).map_or(&address[..query], |slash| &address[..=slash])
}

/// A sector for each dot within its parent's, by the number of dots that hang on it.
fn place(dots: &mut [Dot]) {
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); dots.len()];
    let mut tops = Vec::new();
    for (at, dot) in dots.iter().enumerate() {
        match dot.parent {
            Some(parent) => children[parent].push(at),
            None => tops.push(at),
        }
    }
    // Parents before children, whatever the order they were found in.
    let mut order = tops.clone();
    let mut next = 0;
    while next < order.len() {
        order.extend(children[order[next]].iter().copied());
        next += 1;
    }
    let mut weight = vec![1.0_f64; dots.len()];
    for at in order.iter().rev() {
        let own = (dots[*at].pages as f64).sqrt();
        weight[*at] = children[*at].iter().map(|child| weight[*child]).sum::<f64>().max(own);
    }
    let mut sectors = vec![(0.0, 0.0); dots.len()];
    let total: f64 = tops.iter().map(|top| weight[*top]).sum::<f64>().max(1.0);
    let mut from = 0.0;
    for top in tops {
        let width = weight[top] / total;
        sectors[top] = (from, width);
        from += width;
    }
    for at in order {
        let (mut from, width) = sectors[at];
        dots[at].angle = from + width / 2.0;
        for child in &children[at] {
            let share = width * weight[*child] / weight[at];
            sectors[*child] = (from, share);
            from += share;
        }
    }
}

fn draw(dots: &[Dot], lines: &Lines, pages: usize) -> String {
    let deepest = dots.iter().map(|dot| dot.depth).max().unwrap_or(0);
    let ring = (SIZE / 2.0 - 40.0) / f64::from(deepest.max(1));
    let roots = dots.iter().filter(|dot| dot.depth == 0).count();
    let position = |dot: &Dot| {
        // Several roots stand around the centre.
        let depth = if dot.depth == 0 && roots > 1 { 0.3 } else { f64::from(dot.depth) };
        let (radius, angle) = (ring * depth, dot.angle * TAU);
        (SIZE / 2.0 + radius * angle.sin(), SIZE / 2.0 - radius * angle.cos())
    };
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {SIZE} {0}\" \
         width=\"{SIZE}\">{STYLE}\n\
         <rect class=\"paper\" width=\"100%\" height=\"100%\"/>\n",
        SIZE + 30.0
    );
    for depth in 1..=deepest {
        let radius = ring * f64::from(depth);
        let _ = writeln!(
            text,
            "<circle cx=\"{0}\" cy=\"{0}\" r=\"{radius:.0}\" fill=\"none\" \
             stroke=\"var(--line)\"/>",
            SIZE / 2.0
        );
    }
    draw_lines(&mut text, dots, lines, &position);
    let mut labels = Labels::default();
    for dot in dots {
        draw_dot(&mut text, dot, position(dot), &mut labels);
    }
    let broken: usize = dots.iter().filter(|dot| dot.is_broken).map(|dot| dot.pages).sum();
    let _ = writeln!(
        text,
        "<text x=\"12\" y=\"{:.0}\">{pages} addresses in rings by distance; size: links to it; \
         dashed: redirects; blue: several as one; <tspan fill=\"var(--broken)\">red: {broken} \
         broken or leading there</tspan></text>\n</svg>",
        SIZE + 18.0
    );
    text
}

fn draw_lines(
    text: &mut String,
    dots: &[Dot],
    lines: &Lines,
    position: &impl Fn(&Dot) -> (f64, f64),
) {
    let mut heaviest: Vec<_> = lines.iter().filter(|((from, to, _), _)| from != to).collect();
    heaviest.sort_by_key(|(line, count)| (std::cmp::Reverse(**count), **line));
    for is_redirect in [false, true] {
        let dashed = if is_redirect { " stroke-dasharray=\"4 3\"" } else { "" };
        let (colour, opacity) = if is_redirect { ("--redirect", 0.9) } else { ("--faint", 0.25) };
        let mut path = String::new();
        for ((from, to, kind), _) in heaviest.iter().take(MOST_LINES) {
            if *kind == is_redirect {
                let ((x1, y1), (x2, y2)) = (position(&dots[*from]), position(&dots[*to]));
                // Bent towards the centre, or lines along a ring would hide in it.
                let bend = |a: f64, b: f64| (a + b) * 0.35 + SIZE / 2.0 * 0.3;
                let (x, y) = (bend(x1, x2), bend(y1, y2));
                let _ = write!(path, "M{x1:.0} {y1:.0}Q{x:.0} {y:.0} {x2:.0} {y2:.0}");
            }
        }
        let _ = writeln!(
            text,
            "<path d=\"{path}\" fill=\"none\" stroke=\"var({colour})\" \
             opacity=\"{opacity}\"{dashed}/>"
        );
    }
}

/// Where there is a label: another one on top of it could not be read.
#[derive(Default)]
struct Labels(Vec<(f64, f64, f64)>);

impl Labels {
    /// Whether there is room for `letters` at a place; then it is taken.
    fn take(&mut self, x: f64, y: f64, letters: usize) -> bool {
        let end = x + letters as f64 * 6.0;
        let is_on = |(other, level, its_end): &(f64, f64, f64)| {
            (level - y).abs() < 11.0 && *other < end && x < *its_end
        };
        let is_free = !self.0.iter().any(is_on);
        if is_free {
            self.0.push((x, y, end));
        }
        is_free
    }
}

fn draw_dot(text: &mut String, dot: &Dot, (x, y): (f64, f64), labels: &mut Labels) {
    let size = 2.5 + (dot.in_links as f64 + 1.0).log2() * 0.9;
    let colour = match (dot.is_broken, dot.pages) {
        (true, _) => "--broken",
        (false, 1) => "--ok",
        (false, _) => "--other",
    };
    let name = escape(&dot.name);
    let many = if dot.pages > 1 { format!(" ({} pages)", dot.pages) } else { String::new() };
    let _ = writeln!(
        text,
        "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{size:.1}\" fill=\"var({colour})\" \
         opacity=\"0.85\"><title>{name}{many}, {} links lead here</title></circle>",
        dot.in_links
    );
    if dot.pages > 20 || dot.depth == 0 {
        let after = dot.name.find("://").map_or(0, |at| at + 3);
        // The host is told once, at the root.
        let path = dot.name[after..].find('/').filter(|_| dot.depth > 0).unwrap_or(0);
        let short = shortened(&dot.name[after + path..], 40);
        let (x, y) = (x + size + 2.0, y + 3.0);
        if labels.take(x, y, short.chars().count() + many.len()) {
            let _ = writeln!(
                text,
                "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"10\">{}{many}</text>",
                escape(&short)
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_do_not_lie_on_each_other() {
        let mut labels = Labels::default();
        assert!(labels.take(10.0, 10.0, 5) && !labels.take(39.0, 20.0, 5));
        assert!(labels.take(40.0, 10.0, 5) && labels.take(10.0, 21.0, 5));
    }
    use crate::crawl::outcome::Outcome;
    use crate::crawl::pages::{Limits, Want};

    /// A root that links to `count` pages in two folders.
    fn star(count: u32) -> Pages {
        let mut pages = Pages::new(Limits { depth: 9, redirects: 9 });
        let (root, _) = pages.add("http://a/", false);
        pages.begin_at(root, Want::Links);
        let names = (0..count).map(|at| format!("http://a/{}/{at}", ["x", "y"][at as usize % 2]));
        let links: Vec<PageId> = names.map(|name| pages.add(&name, false).0).collect();
        pages.settle(root, Outcome { links: links.clone().into(), ..Outcome::default() });
        for link in links {
            pages.settle(link, Outcome::default());
        }
        pages
    }

    fn dots_of(pages: &Pages) -> Vec<Dot> {
        let judge = Judge { pages, accepted: &[], redirects: 9 };
        let shown: Vec<PageId> = pages.iter().map(|(id, _, _)| id).collect();
        let (mut dots, _) = dots(&judge, &shown);
        place(&mut dots);
        dots
    }

    #[test]
    fn a_small_site_shows_each_page_in_a_sector_of_its_own() {
        let dots = dots_of(&star(8));
        assert_eq!(dots.len(), 9);
        let angles: Vec<f64> = dots[1..].iter().map(|dot| dot.angle * 16.0).collect();
        assert_eq!(angles, [1.0, 3.0, 5.0, 7.0, 9.0, 11.0, 13.0, 15.0]);
        assert!(dots[1..].iter().all(|dot| dot.parent == Some(0) && dot.in_links == 1));
    }

    #[test]
    fn a_large_site_is_told_by_folders() {
        let dots = dots_of(&star(2000));
        let told: Vec<(&str, usize)> = dots.iter().map(|dot| (&*dot.name, dot.pages)).collect();
        assert_eq!(told, [("http://a/", 1), ("http://a/x/", 1000), ("http://a/y/", 1000)]);
    }

    #[test]
    fn the_picture_is_xml() {
        for count in [0, 3, 900] {
            let pages = star(count);
            let text = svg(&Judge { pages: &pages, accepted: &[], redirects: 9 });
            let mut reader = quick_xml::Reader::from_str(&text);
            while !matches!(reader.read_event().unwrap(), quick_xml::events::Event::Eof) {}
            assert!(text.contains("<circle"));
        }
    }

    #[test]
    fn folders_are_cut_where_they_are_asked_to() {
        assert_eq!(folder("http://a/x/y/z?q=/", 2), "http://a/x/y/");
        assert_eq!(folder("http://a/x/y/z?q=/", 1), "http://a/x/");
        assert_eq!(folder("http://a/x?q=/1/2/3", 1), "http://a/x");
        assert_eq!(folder("http://a/x", 0), "http://a/");
    }
}
