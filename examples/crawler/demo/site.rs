//! The built-in site: 1,500 pages in the shape of a web comic, and every trouble a crawler meets.
//!
//! The comics under `/c/` and the archive link only to each other: a sound site to measure with. The
//! page `/faults/` leads to all that is wrong: missing pages, redirects in chains and circles, slow
//! answers, odd charsets, a server that is busy, a calendar without end. What is answered depends
//! on the path alone, but for the page that is busy at first.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Pages that are sound: comics, archive, and six others.
pub(crate) const PAGES: u32 = 1500;

const ARCHIVES: u32 = 15;
const COMICS: u32 = PAGES - ARCHIVES - 6;
const IMAGES: u32 = 40;

/// What the server sends.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
    /// Before it is sent.
    pub(crate) delay: Duration,
}

/// The site. It counts only what it must to be busy at first.
#[derive(Debug, Default)]
pub(crate) struct Site {
    asked_when_busy: AtomicU64,
}

impl Site {
    /// `host` is what the request named: links to other origins need it.
    pub(crate) fn reply(&self, target: &str, host: &str) -> Reply {
        let path = target.split('?').next().unwrap_or_default();
        let mut pieces = path.trim_matches('/').split('/');
        let (first, second) = (pieces.next().unwrap_or_default(), pieces.next());
        let number = second.and_then(|text| text.split('.').next()?.parse().ok());
        match (first, number) {
            ("", _) => home(),
            ("c", None) if second.is_none() => comic(COMICS),
            ("c", Some(number)) if (1..=COMICS).contains(&number) => comic(number),
            ("archive", Some(number)) if (1..=ARCHIVES).contains(&number) => archive(number),
            ("img", Some(number)) if number <= IMAGES => picture(),
            ("about", _) => html("About", "<p>A comic that nobody draws. <a href=/>Home</a></p>"),
            ("faults", _) => faults(host),
            ("robots.txt", _) => text(&format!(
                "User-agent: *\nDisallow: /private/\nSitemap: http://{host}/sitemap.xml\n"
            )),
            ("sitemap.xml", _) => sitemap(host),
            ("orphan", Some(number)) if number <= 2 => html("Orphan", "<p>Only in the sitemap."),
            ("busy", _) => self.busy(),
            _ => fault(first, second.unwrap_or_default(), number),
        }
    }

    /// Twice it asks to come back.
    fn busy(&self) -> Reply {
        if self.asked_when_busy.fetch_add(1, Ordering::Relaxed) % 3 < 2 {
            let headers = vec![("retry-after", "0".to_owned())];
            return Reply { status: 503, headers, ..html("Busy", "<p>Come back later.") };
        }
        html("Busy no more", "<p>Thank you for waiting. <a href=/c/7/>A comic</a>")
    }
}

/// What `/faults/` leads to.
fn fault(first: &str, second: &str, number: Option<u32>) -> Reply {
    match (first, number) {
        ("old", Some(number)) => redirect(301, &format!("/c/{number}/")),
        ("random", _) => redirect(302, "../c/4/"),
        ("loop", _) => redirect(302, if second == "a" { "/loop/b" } else { "/loop/a" }),
        ("chain", Some(1)) => html("The end of a chain", "<a href=/c/1/>Back</a>"),
        ("chain", Some(number)) => redirect(307, &format!("/chain/{}", number - 1)),
        ("endless", Some(number)) => redirect(308, &format!("/endless/{}", number + 1)),
        ("elsewhere", _) => redirect(302, "http://elsewhere.example/"),
        ("nowhere", _) => Reply { headers: Vec::new(), ..redirect(302, "") },
        ("to-missing", _) => redirect(301, "/missing/after-a-redirect"),
        ("slow", Some(number)) => {
            let delay = Duration::from_millis(u64::from(number.min(10)) * 100);
            Reply { delay, ..html("Slow", "<p>Good things take time.") }
        }
        ("gone", _) => Reply { status: 410, ..html("Gone", "<p>It was here once.") },
        ("crash", _) => Reply { status: 500, ..html("Error", "<p>Something broke.") },
        ("charset", _) => charset(second),
        ("calendar", _) => html("Calendar", "<a href=next/>The next month</a>"),
        ("nofollow", _) => html(
            "No follow",
            "<meta name=robots content=nofollow><a href=/missing/not-followed>A link</a>",
        ),
        ("packed", _) => packed(),
        ("private", _) => html("Private", "<p>robots.txt says that nobody should read this."),
        _ => Reply { status: 404, ..html("Not found", "<p>There is no such page.") },
    }
}

fn faults(host: &str) -> Reply {
    let port = host.rsplit_once(':').map_or("80", |(_, port)| port);
    let mut body = String::from("<ul>");
    let links = [
        "/missing/1",
        "/missing/2",
        "/missing/3",
        "/gone/",
        "/crash/",
        "/busy/",
        "/random/",
        "/old/17.html",
        "/old/18.html",
        "/loop/a",
        "/loop/b",
        "/chain/5",
        "/endless/1",
        "/elsewhere/",
        "/nowhere/",
        "/to-missing/",
        "/slow/1",
        "/slow/2",
        "/slow/3",
        "/charset/windows-1251",
        "/charset/shift_jis",
        "/charset/meta",
        "/charset/bom",
        "/calendar/",
        "/nofollow/",
        "/packed/",
        "/private/diary",
        "/about/#team",
        "/about/?",
        "/./about/",
        "/%61bout/",
        "http://elsewhere.example/x",
        "mailto:nobody@elsewhere.example",
        "javascript:void(0)",
    ];
    for link in links {
        let _ = write!(body, "<li><a href=\"{link}\">{link}</a>");
    }
    let _ = write!(
        body,
        "</ul><img src=/img/999.png alt=missing><!-- <a href=/missing/in-a-comment> -->\
         <script>document.write('<a href=\"/missing/in-a-script\">')</script>\
         <a href=//127.0.0.1:{port}/about/>The same, by another way</a>\
         <a rel=nofollow href=/missing/nofollow>Not followed</a>"
    );
    html("What can go wrong", &body)
}

fn home() -> Reply {
    html(
        "A comic",
        "<p>A site to try a crawler on. <a href=/c/>The latest comic</a> \
         <a href=/archive/1/>Archive</a> <a href=/about/>About</a> \
         <a href=/faults/>What can go wrong</a></p>",
    )
}

fn comic(number: u32) -> Reply {
    let mut body = String::with_capacity(4096);
    let previous = number.saturating_sub(1).max(1);
    let next = (number + 1).min(COMICS);
    let nav = format!(
        "<ul class=\"comicNav\"><li><a href=\"/c/1/\">|&lt;</a></li>\
         <li><a rel=\"prev\" href=\"/c/{previous}/\" accesskey=\"p\">&lt; Prev</a></li>\
         <li><a href=\"/c/{}/\">Random</a></li>\
         <li><a rel=\"next\" href=\"/c/{next}/\" accesskey=\"n\">Next &gt;</a></li>\
         <li><a href=\"/c/\">&gt;|</a></li></ul>\n",
        scatter(number, 1)
    );
    body.push_str(&nav);
    let image = number % IMAGES + 1;
    let _ = writeln!(
        body,
        "<div id=\"comic\"><img src=\"/img/{image}.png\" title=\"Number {number}\"></div>"
    );
    body.push_str(&nav);
    body.push_str("<div id=\"transcript\">\n");
    for line in 0..24 {
        let _ = writeln!(
            body,
            "<p class=\"line\"><b>{}:</b> {}</p>",
            speaker(line),
            sentence(number, line)
        );
    }
    body.push_str("</div><div class=\"related\">");
    for which in 2..6 {
        let other = scatter(number, which);
        let _ = writeln!(body, "<a href=\"/c/{other}/\" class=\"related\">Comic {other}</a>");
    }
    let _ = write!(body, "<a href=\"/archive/{}/\">Archive</a></div>", number % ARCHIVES + 1);
    html(&format!("Comic {number}"), &body)
}

fn archive(number: u32) -> Reply {
    let mut body = String::with_capacity(8192);
    for comic in (1..=COMICS).filter(|comic| comic % ARCHIVES + 1 == number) {
        let _ = writeln!(body, "<a href=\"/c/{comic}/\" title=\"{comic}\">Comic {comic}</a><br>");
    }
    for other in 1..=ARCHIVES {
        let _ = write!(body, "<a href=\"/archive/{other}/\">{other}</a> ");
    }
    html(&format!("Archive {number}"), &body)
}

/// A number that looks drawn, and is the same each time.
fn scatter(number: u32, which: u32) -> u32 {
    let mixed = number.wrapping_mul(2_654_435_761).wrapping_add(which.wrapping_mul(0x9e37_79b9));
    (mixed ^ mixed >> 15).wrapping_mul(0x85eb_ca6b) % COMICS + 1
}

fn speaker(line: u32) -> &'static str {
    ["Man", "Woman", "Hat", "Off-panel", "Narrator"][line as usize % 5]
}

fn sentence(number: u32, line: u32) -> String {
    const WORDS: [&str; 16] = [
        "wheel", "the", "harbour", "a", "never", "turns", "light", "before", "under", "quiet",
        "engine", "and", "seven", "sails", "again", "slowly",
    ];
    let words = (0..12).map(|at| WORDS[scatter(number ^ line << 8, at) as usize % WORDS.len()]);
    words.collect::<Vec<_>>().join(" ")
}

fn sitemap(host: &str) -> Reply {
    let mut body = String::from("<?xml version=\"1.0\"?>\n<urlset>\n");
    for page in ["", "about/", "orphan/1", "orphan/2"] {
        let _ = writeln!(body, "<url><loc>http://{host}/{page}</loc></url>");
    }
    body.push_str("</urlset>\n");
    Reply { headers: vec![("content-type", "application/xml".into())], ..text(&body) }
}

/// A page in a charset, with a link that is spelled in it.
fn charset(name: &str) -> Reply {
    let (label, words) = match name {
        "windows-1251" => (name, "Привет <a href='/about/?q=мир'>мир</a>"),
        "shift_jis" => (name, "こんにちは <a href='/about/?q=世界'>世界</a>"),
        "meta" => {
            ("windows-1252", "<meta charset=latin1>caf\u{e9} <a href='/about/?q=\u{e9}'>\u{e9}</a>")
        }
        _ => ("utf-8", "\u{feff}na\u{ef}ve <a href=/about/>about</a>"),
    };
    let encoding = encoding_rs::Encoding::for_label(label.as_bytes()).unwrap_or(encoding_rs::UTF_8);
    let is_told = matches!(name, "windows-1251" | "shift_jis");
    let media = if is_told { format!("text/html; charset={label}") } else { "text/html".into() };
    let body = encoding.encode(words).0.into_owned();
    Reply { status: 200, headers: vec![("content-type", media)], body, delay: Duration::ZERO }
}

/// In gzip, asked for or not.
fn packed() -> Reply {
    use std::io::Write;
    let mut reply = html("Packed", "<p>This came in gzip. <a href=/c/9/>A comic</a>");
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    // Into memory: it does not fail.
    if packer.write_all(&reply.body).is_ok() {
        reply.body = packer.finish().unwrap_or_default();
        reply.headers.push(("content-encoding", "gzip".into()));
    }
    reply
}

fn html(title: &str, body: &str) -> Reply {
    let page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
         </head>\n<body>\n<h1>{title}</h1>\n{body}\n</body></html>\n"
    );
    let headers = vec![("content-type", "text/html; charset=utf-8".into())];
    Reply { status: 200, headers, body: page.into_bytes(), delay: Duration::ZERO }
}

fn text(body: &str) -> Reply {
    let headers = vec![("content-type", "text/plain".into())];
    Reply { status: 200, headers, body: body.into(), delay: Duration::ZERO }
}

fn redirect(status: u16, to: &str) -> Reply {
    let headers = vec![("location", to.to_owned())];
    Reply { status, headers, body: b"Moved.\n".to_vec(), delay: Duration::ZERO }
}

/// The smallest picture there is: a GIF of one pixel.
fn picture() -> Reply {
    const PIXEL: &[u8] =
        b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff!\xf9\x04\x01\0\0\0\0,\0\0\0\0\
        \x01\0\x01\0\0\x02\x02D\x01\0;";
    let headers = vec![("content-type", "image/gif".into())];
    Reply { status: 200, headers, body: PIXEL.to_vec(), delay: Duration::ZERO }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::web::links::{Links, Purpose};

    /// Every page of the comic is reached from the first one, and nothing else is.
    #[test]
    fn the_comic_is_whole_and_sound() {
        let site = Site::default();
        let mut seen = BTreeSet::from(["/c/1/".to_owned()]);
        let mut waiting = vec!["/c/1/".to_owned()];
        while let Some(path) = waiting.pop() {
            let reply = site.reply(&path, "a");
            assert_eq!(reply.status, 200, "{path}");
            let links = Links::of(std::str::from_utf8(&reply.body).unwrap(), false);
            for link in links.iter().filter(|link| link.purpose == Purpose::Page) {
                if seen.insert(link.href.to_owned()) {
                    waiting.push(link.href.to_owned());
                }
            }
        }
        // `/c/` is the last comic by another name.
        assert_eq!(seen.len() as u32, COMICS + ARCHIVES + 1);
        let others = ["/", "/about/", "/faults/", "/orphan/1", "/orphan/2"];
        assert!(others.iter().all(|path| site.reply(path, "a").status == 200));
        assert_eq!(seen.len() + others.len(), PAGES as usize);
    }

    #[test]
    fn the_busy_page_answers_the_third_time() {
        let site = Site::default();
        let statuses: Vec<u16> = (0..4).map(|_| site.reply("/busy/", "a").status).collect();
        assert_eq!(statuses, [503, 503, 200, 503]);
    }
}
