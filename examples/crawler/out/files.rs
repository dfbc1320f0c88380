//! The files that are written when a crawl is over: graphs and pictures.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use crate::crawl::books::Books;
use crate::out::rows::problem;
use crate::out::verdict::Judge;
use crate::out::{graph, picture, svg};
use crate::settings::{Files, Settings};

/// Whether the files of the end can be written: to hear it after hours would be late. What is in them
/// stays until then. The error is for the user's eyes.
pub(crate) fn check(files: &Files) -> Result<(), String> {
    let json = files.json.as_ref().filter(|path| path.as_os_str() != "-");
    let at_the_end = [json, files.dot.as_ref(), files.graphml.as_ref(), files.graph.as_ref()];
    for path in at_the_end.into_iter().chain([files.timeline.as_ref()]).flatten() {
        let is_new = !path.exists();
        let opened = File::options().append(true).create(true).open(path);
        opened.map_err(|error| problem(path, &error))?;
        if is_new {
            // A crawl that fails leaves no empty files.
            let _ = std::fs::remove_file(path);
        }
    }
    Ok(())
}

/// Writes those that were asked for. The error is for the user's eyes.
pub(crate) fn write(settings: &Settings, books: &Books) -> Result<(), String> {
    let files = &settings.files;
    let judge = Judge {
        pages: &books.pages,
        accepted: &settings.accepted,
        redirects: settings.limits.redirects,
    };
    if let Some(path) = &files.dot {
        create(path, |out| graph::dot(&judge, out))?;
    }
    if let Some(path) = &files.graphml {
        create(path, |out| graph::graphml(&judge, out))?;
    }
    if let Some(path) = &files.graph {
        let title = format!("Links of {}", settings.roots.join(" "));
        create(path, |out| out.write_all(framed(path, &title, picture::svg(&judge)).as_bytes()))?;
    }
    if let Some((path, timeline)) = files.timeline.as_ref().zip(books.timeline.as_ref()) {
        let text = if has_ending(path, "json") {
            timeline.trace(&books.pages, &books.frontier)
        } else {
            framed(path, "A crawl, request by request", timeline.svg(&books.frontier))
        };
        create(path, |out| out.write_all(text.as_bytes()))?;
    }
    Ok(())
}

fn create(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> Result<(), String> {
    let written = File::create(path).and_then(|file| {
        let mut out = BufWriter::new(file);
        write(&mut out)?;
        out.flush()
    });
    written.map_err(|error| problem(path, &error))
}

/// A picture, in a page if that is what the name asks for.
fn framed(path: &Path, title: &str, picture: String) -> String {
    let is_page = has_ending(path, "html") || has_ending(path, "htm");
    if is_page { svg::page(title, &picture) } else { picture }
}

fn has_ending(path: &Path, ending: &str) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case(ending))
}
