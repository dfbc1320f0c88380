//! The graph of links for other programs: DOT for Graphviz, GraphML for Gephi and yEd.
//!
//! Nodes are the pages that were asked for, in the order they were found; a redirect is an edge of
//! its own kind. Written straight into a file: a graph may be larger than one wants in memory.

use std::io::{self, Write};

use crate::crawl::outcome::{End, Redirect};
use crate::crawl::pages::{Page, PageId, Pages};
use crate::out::svg::escape;
use crate::out::verdict::Judge;

/// What an edge is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Edge {
    Link,
    Part,
    Redirect,
}

impl Edge {
    fn name(self) -> &'static str {
        match self {
            Edge::Link => "link",
            Edge::Part => "part",
            Edge::Redirect => "redirect",
        }
    }
}

/// The edges that leave a page.
pub(crate) fn edges(page: &Page) -> impl Iterator<Item = (PageId, Edge)> {
    let outcome = page.outcome.as_deref();
    let links = outcome.map_or(&[][..], |outcome| &outcome.links);
    let parts = outcome.map_or(&[][..], |outcome| &outcome.parts);
    let redirect = match outcome.and_then(|outcome| outcome.redirect.as_ref()) {
        Some(Redirect::To(page)) => Some(*page),
        _ => None,
    };
    let of_kind = |kind| move |page: &PageId| (*page, kind);
    redirect
        .into_iter()
        .map(|page| (page, Edge::Redirect))
        .chain(links.iter().map(of_kind(Edge::Link)))
        .chain(parts.iter().map(of_kind(Edge::Part)))
}

/// What became of a page, in a word or a number.
fn state(page: &Page) -> String {
    match page.outcome.as_deref().map(|outcome| &outcome.end) {
        Some(End::Answered(status)) => status.to_string(),
        Some(End::Failed(failure)) => failure.class.name().into(),
        Some(End::Forbidden(_)) => "robots".into(),
        None => String::new(),
    }
}

fn nodes(pages: &Pages) -> impl Iterator<Item = (PageId, &str, &Page)> {
    pages.iter().filter(|(_, _, page)| page.outcome.is_some())
}

/// The edges between pages that were asked for.
fn all_edges(pages: &Pages) -> impl Iterator<Item = (PageId, PageId, Edge)> {
    let is_node = |page: PageId| pages.get(page).outcome.is_some();
    nodes(pages).flat_map(move |(from, _, page)| {
        let edges = edges(page).filter(move |(to, _)| is_node(*to));
        edges.map(move |(to, kind)| (from, to, kind))
    })
}

pub(crate) fn dot(judge: &Judge<'_>, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "digraph crawl {{\n  node [shape=box, style=rounded];")?;
    for (id, name, page) in nodes(judge.pages) {
        let colour = if judge.fault(id).is_some() { ", color=red" } else { "" };
        let label = name.replace('\\', "\\\\").replace('"', "\\\"");
        writeln!(out, "  n{} [label=\"{label}\\n{}\"{colour}];", id.0, state(page))?;
    }
    for (from, to, kind) in all_edges(judge.pages) {
        let style = match kind {
            Edge::Link => "",
            Edge::Part => " [style=dotted]",
            Edge::Redirect => " [style=dashed]",
        };
        writeln!(out, "  n{} -> n{}{style};", from.0, to.0)?;
    }
    writeln!(out, "}}")
}

pub(crate) fn graphml(judge: &Judge<'_>, out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <graphml xmlns=\"http://graphml.graphdrawing.org/xmlns\">\n\
         <key id=\"url\" for=\"node\" attr.name=\"url\" attr.type=\"string\"/>\n\
         <key id=\"state\" for=\"node\" attr.name=\"state\" attr.type=\"string\"/>\n\
         <key id=\"depth\" for=\"node\" attr.name=\"depth\" attr.type=\"int\"/>\n\
         <key id=\"broken\" for=\"node\" attr.name=\"broken\" attr.type=\"boolean\"/>\n\
         <key id=\"kind\" for=\"edge\" attr.name=\"kind\" attr.type=\"string\"/>\n\
         <graph id=\"crawl\" edgedefault=\"directed\">"
    )?;
    for (id, name, page) in nodes(judge.pages) {
        writeln!(
            out,
            "<node id=\"n{}\"><data key=\"url\">{}</data><data key=\"state\">{}</data>\
             <data key=\"depth\">{}</data><data key=\"broken\">{}</data></node>",
            id.0,
            escape(name),
            state(page),
            page.depth,
            judge.fault(id).is_some()
        )?;
    }
    for (from, to, kind) in all_edges(judge.pages) {
        writeln!(
            out,
            "<edge source=\"n{}\" target=\"n{}\"><data key=\"kind\">{}</data></edge>",
            from.0,
            to.0,
            kind.name()
        )?;
    }
    writeln!(out, "</graph>\n</graphml>")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crawl::outcome::Outcome;
    use crate::crawl::pages::{Limits, Want};

    fn text(write: impl Fn(&Judge<'_>, &mut Vec<u8>) -> io::Result<()>) -> String {
        let mut pages = Pages::new(Limits { depth: 9, redirects: 9 });
        for name in ["http://a/", "http://a/?x=\"1\"&y", "http://a/r", "http://a/never"] {
            pages.add(name, false);
        }
        pages.begin_at(PageId(0), Want::Links);
        let links = [PageId(1), PageId(2), PageId(3)].into();
        pages.settle(PageId(0), Outcome { links, ..Outcome::default() });
        pages.settle(PageId(1), Outcome { end: End::Answered(404), ..Outcome::default() });
        let redirect = Some(Redirect::To(PageId(0)));
        let end = End::Answered(302);
        pages.settle(PageId(2), Outcome { end, redirect, ..Outcome::default() });
        let mut out = Vec::new();
        write(&Judge { pages: &pages, accepted: &[], redirects: 9 }, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn dot_is_what_graphviz_reads() {
        let text = text(dot);
        assert!(
            text.contains("n1 [label=\"http://a/?x=\\\"1\\\"&y\\n404\", color=red];"),
            "{text}"
        );
        assert!(text.contains("n0 -> n1;\n  n0 -> n2;\n  n2 -> n0 [style=dashed];\n}"), "{text}");
    }

    #[test]
    fn graphml_is_xml() {
        let text = text(graphml);
        let mut reader = quick_xml::Reader::from_str(&text);
        let mut nodes = 0;
        loop {
            match reader.read_event().unwrap() {
                quick_xml::events::Event::Start(tag) if tag.name().as_ref() == "node" => nodes += 1,
                quick_xml::events::Event::Eof => break,
                _ => {}
            }
        }
        assert_eq!(nodes, 3);
        assert!(text.contains("?x=&quot;1&quot;&amp;y") && text.contains("redirect"), "{text}");
    }
}
