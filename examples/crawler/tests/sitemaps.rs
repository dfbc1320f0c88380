//! Sitemaps from robots.txt, from indices, packed, long, and given on the command line.

mod fixture;

use std::io::Write;

use fixture::{Act, Asked, Fixture, Run, answer, html, missing};

fn host(asked: &Asked) -> String {
    let line = asked.head.lines().find_map(|line| line.strip_prefix("host: "));
    line.unwrap().to_owned()
}

/// A list of the pages, or of further sitemaps.
fn list(asked: &Asked, root: &str, entry: &str, paths: &[&str]) -> Vec<u8> {
    let host = host(asked);
    let line = |path: &&str| format!("<{entry}><loc>http://{host}{path}</loc></{entry}>");
    format!("<{root}>{}</{root}>", paths.iter().map(line).collect::<String>()).into_bytes()
}

fn xml(body: Vec<u8>) -> Act {
    Act::Send(answer("200 OK", "Content-Type: application/xml\r\n", body))
}

fn site() -> Fixture {
    Fixture::start(|asked: &Asked| match &*asked.target {
        "/robots.txt" => {
            let text = format!("Sitemap: http://{}/index.xml", host(asked));
            Act::Send(answer("200 OK", "Content-Type: text/plain\r\n", text))
        }
        // One of them is the index itself.
        "/index.xml" => {
            let parts = ["/one.xml", "/two.xml.gz", "/index.xml", "/gone.xml"];
            xml(list(asked, "sitemapindex", "sitemap", &parts))
        }
        "/one.xml" => xml(list(asked, "urlset", "url", &["/a", "/b"])),
        "/two.xml.gz" => {
            let mut packer = flate2::write::GzEncoder::new(Vec::new(), Default::default());
            packer.write_all(&list(asked, "urlset", "url", &["/c"])).unwrap();
            let body = packer.finish().unwrap();
            Act::Send(answer("200 OK", "Content-Type: application/gzip\r\n", body))
        }
        "/" | "/a" | "/b" | "/c" => html(""),
        _ => missing(),
    })
}

fn assert_all_found(site: &Fixture, run: &Run) {
    for path in ["/index.xml", "/one.xml", "/two.xml.gz", "/a", "/b", "/c"] {
        assert_eq!(site.count(&format!("GET {path}")), 1, "{path}: {:?}", site.asked());
    }
    assert_eq!(run.broken(), [("gone.xml".into(), "404 Not Found".into())]);
}

#[test]
fn what_an_index_lists_is_read_too() {
    let site = site();
    let run = site.crawl("/", &["--sitemaps", "--no-parts"]);
    assert_all_found(&site, &run);
    assert_eq!(run.row("/two.xml.gz")["kind"], "sitemap");
}

#[test]
fn an_index_may_be_the_root() {
    let site = site();
    let run = site.crawl("/index.xml", &[]);
    assert_all_found(&site, &run);
}

/// 50,000 addresses are allowed, and are more than what is read of a page.
#[test]
fn a_long_list_is_read_to_its_end() {
    let site = Fixture::start(|asked: &Asked| match &*asked.target {
        "/list.xml" => {
            let filler = "x".repeat(100);
            let paths: Vec<String> = (0..2000).map(|page| format!("/{page}/{filler}")).collect();
            let paths: Vec<&str> = paths.iter().map(String::as_str).chain(["/last"]).collect();
            xml(list(asked, "urlset", "url", &paths))
        }
        _ => html(""),
    });
    let run = site.crawl("/list.xml", &["--max-parse", "64k"]);
    assert_eq!((site.count("GET /last"), run.code), (1, 0));
}
