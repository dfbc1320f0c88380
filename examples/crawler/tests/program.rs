//! The program as its users meet it: the built-in site, limits, files, pace, words.

mod fixture;

use std::io::Read;
use std::time::{Duration, Instant};

use fixture::{Act, Asked, Fixture, answer, command, html, links, missing, redirect, run, scratch};

#[test]
fn without_arguments_it_crawls_the_built_in_site() {
    let run = run(&[]);
    assert_eq!(run.code, 2, "{}", run.stderr);
    assert!(run.stderr.contains("on purpose"), "{}", run.stderr);
    let sound = |row: &&serde_json::Value| row["kind"] == "page" && row["status"] == 200;
    assert!(run.rows.iter().filter(sound).count() >= 1500);
    let faults: Vec<String> =
        run.broken().into_iter().map(|(path, fault)| format!("/{path} {fault}")).collect();
    let expected = [
        "/crash/ 500 Internal Server Error",
        "/endless/1 too many redirects",
        "/gone/ 410 Gone",
        "/img/999.png 404 Not Found",
        "/loop/a redirects in a circle",
        "/loop/b redirects in a circle",
        "/missing/1 404 Not Found",
        "/missing/2 404 Not Found",
        "/missing/3 404 Not Found",
        "/nowhere/ 302 with no address to go to",
        "/to-missing/ 404 Not Found",
    ];
    assert_eq!(faults, expected);
    for (path, charset) in [
        ("/charset/windows-1251", "windows-1251"),
        ("/charset/shift_jis", "Shift_JIS"),
        ("/charset/meta", "windows-1252"),
        ("/charset/bom", "UTF-8"),
    ] {
        assert_eq!(run.row(path)["charset"], charset, "{path}");
    }
    // A query is sent in the charset of its page: `мир`, `é`.
    assert_eq!(run.row("/about/?q=%EC%E8%F0")["status"], 200);
    assert_eq!(run.row("/about/?q=%E9")["status"], 200);
    assert_eq!(run.row("/orphan/2")["status"], 200, "it stands in the sitemap alone");
    assert_eq!(
        (run.row("/busy/")["tries"].as_u64(), run.row("/packed/")["links"].as_u64()),
        (Some(3), Some(1))
    );
    assert_eq!(run.row("/private/diary")["error"], "robots");
    assert_eq!(run.summary["traps"], 1, "the calendar has no end");
    let twice = run.rows.iter().filter(|row| row["url"].as_str().unwrap().ends_with("/about/"));
    assert_eq!(twice.count(), 1, "one page by five names");
}

/// A link that nobody can follow is broken, though there is nothing to ask for.
#[test]
fn a_link_that_is_no_address_is_broken() {
    let site = Fixture::start(|asked: &Asked| match &*asked.target {
        "/" => links(&["http://", "/2", "mailto:me@example.org"]),
        "/2" => links(&["http://", "https://exa mple.org/"]),
        _ => missing(),
    });
    let run = site.crawl("/", &[]);
    assert_eq!((run.code, run.rows.len()), (2, 2));
    let broken = run.summary["broken"].as_array().unwrap();
    let told: Vec<_> = broken.iter().map(|link| link["url"].as_str().unwrap()).collect();
    assert_eq!(told, ["http://", "https://exa mple.org/"]);
    assert_eq!(broken[0]["on"].as_array().unwrap().len(), 2);
    let text =
        format!("\n  http://\n      it cannot be read as an address\n      on {}/", site.url);
    assert!(run.stdout.contains(&text), "{}", run.stdout);
}

fn chain() -> Fixture {
    Fixture::start(|asked: &Asked| match asked.target[1..].parse::<u32>() {
        Ok(page) if page < 20 => html(&format!("<a href=/{}><img src=/i{page}>", page + 1)),
        _ => match &*asked.target {
            "/robots.txt" => Act::Send(answer("200 OK", "", "Sitemap: /sitemap.xml\n")),
            "/sitemap.xml" => {
                Act::Send(answer("200 OK", "Content-Type: text/xml\r\n", "<urlset/>"))
            }
            target if target.starts_with("/i") => {
                Act::Send(answer("200 OK", "Content-Type: image/png\r\n", "png"))
            }
            _ => missing(),
        },
    })
}

#[test]
fn depth_and_parts() {
    let site = chain();
    site.crawl("/1", &["--max-depth", "2", "--per-host", "1"]);
    // The parts of the last page belong to it.
    assert_eq!(site.asked(), ["GET /1", "GET /2", "HEAD /i1", "GET /3", "HEAD /i2", "HEAD /i3"]);
    let site = chain();
    site.crawl("/1", &["--max-depth", "0", "--no-parts"]);
    assert_eq!(site.asked(), ["GET /1"]);
}

#[test]
fn a_head_that_is_refused_is_asked_as_get() {
    let site = Fixture::start(|asked: &Asked| match (&*asked.method, &*asked.target) {
        ("HEAD", "/i") => Act::Send(answer("405 No", "", "")),
        ("GET", "/i") => Act::Send(answer("200 OK", "Content-Type: image/png\r\n", "png")),
        ("GET", "/") => html("<img src=/i>"),
        _ => missing(),
    });
    let run = site.crawl("/", &[]);
    assert_eq!((run.code, run.row("/i")["status"].as_u64()), (0, Some(200)));
}

#[test]
fn what_is_outside_is_asked_for_if_the_user_wants() {
    let other = Fixture::start(|asked: &Asked| match &*asked.target {
        "/there" => links(&["/further"]),
        "/robots.txt" | "/gone" => missing(),
        _ => html(""),
    });
    let port = other.port;
    let site = Fixture::start(move |asked: &Asked| match &*asked.target {
        "/" => links(&[
            &format!("http://127.0.0.1:{port}/there"),
            &format!("http://127.0.0.1:{port}/gone"),
        ]),
        _ => missing(),
    });
    assert_eq!(site.crawl("/", &[]).code, 0);
    assert!(other.asked().is_empty());
    let run = site.crawl("/", &["--check-outside", "--header", "Authorization: secret"]);
    let mut asked = other.asked();
    asked.sort();
    assert_eq!(asked, ["HEAD /gone", "HEAD /there"], "asked for, not followed");
    assert_eq!(run.broken(), [("gone".into(), "404 Not Found".into())]);
    assert_eq!(run.row("/there")["kind"], "outside");
}

#[test]
fn headers_of_the_user_go_to_his_hosts_alone() {
    let saw = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let log = saw.clone();
    let other = Fixture::start(move |asked: &Asked| {
        log.lock().unwrap().push(asked.head.to_lowercase());
        html("")
    });
    let to = format!("{}/x", other.url);
    let site = Fixture::start(move |asked: &Asked| match &*asked.target {
        "/" if asked.head.to_lowercase().contains("authorization: secret") => links(&[&to]),
        _ => missing(),
    });
    let run = site.crawl("/", &["--check-outside", "--header", "Authorization: secret"]);
    assert_eq!((run.code, run.rows.len()), (0, 2));
    let saw = saw.lock().unwrap();
    assert!(!saw.is_empty() && saw.iter().all(|head| !head.contains("secret")), "{saw:?}");
}

#[test]
fn a_crawl_delay_is_kept() {
    let site = Fixture::start(|asked: &Asked| match &*asked.target {
        "/robots.txt" => Act::Send(answer("200 OK", "", "User-agent: *\nCrawl-delay: 0.3\n")),
        "/" => links(&["/1", "/2", "/3"]),
        _ => html(""),
    });
    let begin = Instant::now();
    site.crawl("/", &[]);
    assert!(begin.elapsed() >= Duration::from_millis(900), "three gaps: {:?}", begin.elapsed());
}

#[test]
fn files_have_what_they_should() {
    let (site, folder) = (
        Fixture::start(|asked: &Asked| match &*asked.target {
            "/" => links(&["/a,&quot;b&quot;", "/gone", "/jump"]),
            "/a,%22b%22" => html("odd"),
            "/jump" => redirect(301, "/"),
            _ => missing(),
        }),
        scratch(),
    );
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let names = ["csv", "dot", "graphml", "graph.html", "timeline.svg", "timeline.json", "warc.gz"];
    let root = format!("{}/", site.url);
    let options: Vec<String> = names
        .iter()
        .filter(|name| **name != "timeline.json")
        .flat_map(|name| [format!("--{}", name.split('.').next().unwrap()), path(name)])
        .collect();
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    assert_eq!(run(&[&[root.as_str()], &options[..]].concat()).code, 2);
    run(&[&root, "--timeline", &path("timeline.json")]);

    let table = read("csv");
    assert!(table.starts_with("url,depth,status,") && table.contains("/a,%22b%22\","), "{table}");
    assert_eq!(table.lines().count(), 5);
    assert!(read("dot").contains("[style=dashed]") && read("graphml").contains("</graphml>"));
    let page = read("graph.html");
    assert!(page.starts_with("<!doctype html>") && page.contains("<svg") && !page.contains("src="));
    assert!(read("timeline.svg").starts_with("<svg"));
    let events: serde_json::Value = serde_json::from_str(&read("timeline.json")).unwrap();
    assert_eq!(events.as_array().unwrap().len(), 5, "a host and four requests");
    assert_warc(&std::fs::read(folder.join("warc.gz")).unwrap());
    std::fs::remove_dir_all(folder).unwrap();
}

/// Each record is a gzip member, with a length that is true.
fn assert_warc(packed: &[u8]) {
    let mut text = Vec::new();
    flate2::read::MultiGzDecoder::new(packed).read_to_end(&mut text).unwrap();
    let mut rest = &text[..];
    let mut kinds = Vec::new();
    while !rest.is_empty() {
        let end = rest.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
        let head = std::str::from_utf8(&rest[..end]).unwrap();
        let field = |name: &str| {
            let line = head.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_else(|| panic!("no {name} in {head}")).trim().to_owned()
        };
        assert!(head.starts_with("WARC/1.1\r\n"), "{head}");
        assert!(field("WARC-Record-ID:").starts_with("<urn:uuid:"));
        kinds.push(field("WARC-Type:"));
        let length: usize = field("Content-Length:").parse().unwrap();
        assert_eq!(&rest[end + length..end + length + 4], b"\r\n\r\n");
        rest = &rest[end + length + 4..];
    }
    assert_eq!(kinds[0], "warcinfo");
    let count = |kind: &str| kinds.iter().filter(|one| *one == kind).count();
    assert_eq!((count("response"), count("request")), (4, 4), "{kinds:?}");
}

#[test]
fn json_on_stdout_is_json_alone() {
    let site = chain();
    let root = format!("{}/1", site.url);
    let output = command(&[&root, "--json", "-", "--max-depth", "0"]).output().unwrap();
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((summary["version"].as_u64(), summary["pages"].as_u64()), (Some(1), Some(1)));
    assert!(String::from_utf8_lossy(&output.stderr).contains("No broken links."));
    let output = command(&[&root, "--quiet", "--max-depth", "0"]).output().unwrap();
    assert!(output.stdout.is_empty() && output.stderr.is_empty() && output.status.success());
    // A missing page is what one wants to hear of all the same.
    let broken = format!("{}/missing", site.url);
    let output = command(&[&broken, "--quiet"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("1 broken link:\n") && !text.contains("asked for"), "{text}");
}

/// A terminal that is gone, a disk that is full: no reason to fall over.
#[test]
fn nobody_listens() {
    if !std::path::Path::new("/dev/full").exists() {
        return;
    }
    let full = || std::fs::File::options().write(true).open("/dev/full").unwrap();
    let site = chain();
    let root = format!("{}/1", site.url);
    let status =
        command(&[&root, "--json", "-", "--max-depth", "0"]).stderr(full()).status().unwrap();
    assert_eq!(status.code(), Some(0));
    let output = command(&[&root]).stdout(full()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && text.contains("cannot write to stdout"), "{text}");
}

#[test]
fn a_file_that_cannot_be_written_is_told_before_anything_is_asked() {
    let site = chain();
    let run = site.crawl("/1", &["--csv", "/no/such/folder/x.csv"]);
    assert_eq!((run.code, site.asked().len()), (1, 0));
    assert!(run.stderr.contains("cannot write `/no/such/folder/x.csv`"), "{}", run.stderr);
    // Also those that are written when all is over.
    for option in ["--dot", "--graphml", "--graph", "--timeline"] {
        let run = site.crawl("/1", &[option, "/no/such/folder/x.svg"]);
        assert_eq!((run.code, site.asked().len()), (1, 0), "{option}");
    }
    // A disk that is full ends the crawl; what could not be written is not passed over.
    if std::path::Path::new("/dev/full").exists() {
        let root = format!("{}/1", site.url);
        let output = command(&[&root, "--journal", "/dev/full"]).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&output.stderr).contains("/dev/full"));
    }
}

#[test]
fn the_built_in_site_is_served_until_an_interrupt() {
    use std::io::{BufRead, BufReader};
    let mut child = command(&["--serve", "127.0.0.1:0"]).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let root = format!("{}about/", line.split(' ').next().unwrap());
    let run = run(&[&root, "--max-depth", "0"]);
    fixture::kill(&child, "-INT");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(run.rows[0]["status"], 200);
}

#[test]
fn help_and_version() {
    let output = command(&["--help"]).output().unwrap();
    let help = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && help.contains("Examples:") && help.contains("130"),
        "{help}"
    );
    let output = command(&["--version"]).output().unwrap();
    let version = format!("wheelhouse-crawler {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(String::from_utf8_lossy(&output.stdout), version);
}
