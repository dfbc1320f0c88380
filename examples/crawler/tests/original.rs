//! What the crawler of *500 Lines or Less* promised in its tests, promised here: its 17 cases in
//! their order, against a server on our runtime. Three of them ask the rules of scope alone; those
//! are in `web/scope.rs` too, where they are tested by themselves.
//!
//! Below stand its mistakes, each with a test that it is not made again.

mod fixture;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fixture::{Act, Asked, Fixture, answer, html, links, missing, redirect, run};

/// A site by its paths; what is not there is missing.
fn site(pages: fn(&str) -> Option<Act>) -> Fixture {
    Fixture::start(move |asked: &Asked| pages(&asked.target).unwrap_or_else(missing))
}

#[test]
fn link() {
    let site = site(|path| (path == "/").then(|| links(&["/foo"])));
    let run = site.crawl("/", &[]);
    assert_eq!(run.rows.len(), 2);
    assert_eq!(
        (run.rows[0]["links"].as_u64(), run.rows[0]["new_links"].as_u64()),
        (Some(1), Some(1))
    );
    assert!(run.rows[1]["url"].as_str().unwrap().ends_with("/foo"));
    assert_eq!(run.rows[1]["status"], 404);
    assert_eq!(run.broken(), [("foo".into(), "404 Not Found".into())]);
    assert_eq!(run.summary["broken"][0]["on"][0], format!("{}/", site.url));
    assert_eq!(run.code, 2);
}

#[test]
fn link_cycle() {
    let site = site(|path| match path {
        "/foo" => Some(links(&["/bar"])),
        "/bar" => Some(links(&["/foo"])),
        _ => None,
    });
    let run = site.crawl("/foo", &[]);
    assert_eq!(site.asked(), ["GET /foo", "GET /bar"]);
    let counts = |at: usize| (run.rows[at]["links"].as_u64(), run.rows[at]["new_links"].as_u64());
    assert_eq!((counts(0), counts(1)), ((Some(1), Some(1)), (Some(1), Some(0))));
    assert_eq!(run.code, 0);
}

#[test]
fn prohibited_host() {
    let site = site(|path| (path == "/").then(|| links(&["http://example.com"])));
    let run = site.crawl("/", &[]);
    assert_eq!((run.rows.len(), run.rows[0]["links"].as_u64()), (1, Some(0)));
    assert_eq!(run.rows[0]["outside_links"], 1);
}

/// Strict and lenient: another name for this machine is another host, `www.` aside.
#[test]
fn strict_and_lenient_host_checking() {
    let site = Fixture::start(|asked: &Asked| match &*asked.target {
        "/" => html("<a href=//localhost:1/other>"),
        _ => missing(),
    });
    for (reach, why) in [("host", "it is another host"), ("domain", "an address has no domain")] {
        let run = site.crawl("/", &["--reach", reach]);
        let outside = run.rows[0]["outside_links"].as_u64();
        assert_eq!((run.rows.len(), outside), (1, Some(1)), "{why}");
    }
}

#[test]
fn exclude() {
    let site = site(|path| (path == "/").then(|| links(&["/pattern", "/other"])));
    site.crawl("/", &["--exclude", ".*pattern"]);
    assert_eq!(site.asked(), ["GET /", "GET /other"]);
}

#[test]
fn roots() {
    let (a, b) = (site(|_| Some(html(""))), site(|_| Some(html(""))));
    let run_of = |roots: &[&str]| run(roots);
    let (root_a, root_b) = (format!("{}/a", a.url), format!("{}/b", b.url));
    assert_eq!(run_of(&[&root_a, &root_b]).rows.len(), 2);
    assert_eq!((a.asked(), b.asked()), (vec!["GET /a".to_owned()], vec!["GET /b".to_owned()]));
    let wrong = run_of(&[&root_a, "not-a-host"]);
    assert!(
        wrong.code == 2 && wrong.stderr.contains("`not-a-host` is no address"),
        "{}",
        wrong.stderr
    );
}

#[test]
fn deep_root() {
    let site = site(|path| match path {
        "/a" => Some(links(&["/b"])),
        "/b" => Some(html("")),
        _ => None,
    });
    site.crawl("/a#fragment", &[]);
    assert_eq!(site.asked(), ["GET /a", "GET /b"]);
}

#[test]
fn redirects() {
    let pages = |path: &str| match path {
        "/" => Some(redirect(302, "/foo")),
        "/foo" => Some(redirect(302, "/bar")),
        _ => None,
    };
    let site = site(pages);
    let run = site.crawl("/", &[]);
    let shown: Vec<_> =
        run.rows.iter().map(|row| (row["status"].as_u64(), row["redirect"].as_str())).collect();
    let (foo, bar) = (format!("{}/foo", site.url), format!("{}/bar", site.url));
    assert_eq!(shown, [(Some(302), Some(&*foo)), (Some(302), Some(&*bar)), (Some(404), None)]);
    let run = site.crawl("/", &["--max-redirects", "1"]);
    assert_eq!(run.rows.len(), 2);
    assert_eq!(run.broken(), [("".into(), "too many redirects".into())]);
}

#[test]
fn redirect_cycle() {
    let site = site(|path| match path {
        "/bar" => Some(redirect(302, "/foo")),
        "/foo" => Some(redirect(302, "/bar")),
        _ => None,
    });
    let run = site.crawl("/bar", &[]);
    assert_eq!(site.asked(), ["GET /bar", "GET /foo"]);
    assert_eq!(run.broken(), [("bar".into(), "redirects in a circle".into())]);
}

#[test]
fn redirect_join() {
    let site = site(|path| match path {
        "/foo" | "/bar" => Some(redirect(302, "/baz")),
        "/baz" => Some(redirect(302, "/quux")),
        _ => None,
    });
    let bar = format!("{}/bar", site.url);
    let run = site.crawl("/foo", &[&bar]);
    let mut asked = site.asked();
    asked.sort();
    assert_eq!(asked, ["GET /bar", "GET /baz", "GET /foo", "GET /quux"], "each once");
    assert_eq!(run.rows.len(), 4);
    assert_eq!(run.row("/quux")["status"], 404);
}

#[test]
fn max_tasks() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (is, was) = (now.clone(), most.clone());
    let site = Fixture::start(move |asked: &Asked| match &*asked.target {
        "/" => links(&["/0", "/1", "/2", "/3", "/4"]),
        "/robots.txt" => missing(),
        _ => {
            was.fetch_max(is.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            let (is, was, arrived) = (is.clone(), was.clone(), Instant::now());
            // None is answered before there were two, and each leaves a third the time to come.
            let is_over = move || {
                let is_over = was.load(Ordering::SeqCst) > 1 && arrived.elapsed() >= PAUSE;
                is.fetch_sub(is_over.into(), Ordering::SeqCst);
                is_over
            };
            Act::When(Box::new(is_over), answer("200 OK", "", ""))
        }
    });
    let run = site.crawl("/", &["--concurrency", "2"]);
    assert_eq!((most.load(Ordering::SeqCst), run.rows.len()), (2, 6));
    assert_eq!(now.load(Ordering::SeqCst), 0);
}

const PAUSE: Duration = Duration::from_millis(20);

#[test]
fn max_tries() {
    let flaky = || {
        Fixture::start(|asked: &Asked| match &*asked.target {
            // The first one is cut off on the connection that robots.txt left: that costs no try.
            "/" if asked.times <= 3 => Act::Cut(Vec::new()),
            "/" => html(""),
            _ => missing(),
        })
    };
    let site = flaky();
    let run = site.crawl("/", &["--verbose"]);
    assert_eq!(
        (run.row("/")["status"].as_u64(), run.row("/")["tries"].as_u64()),
        (Some(200), Some(3))
    );
    assert!(run.stderr.contains("try 1 of") && run.stderr.contains("try 2 of"), "{}", run.stderr);
    let site = flaky();
    let run = site.crawl("/", &["--retries", "0"]);
    assert_eq!((run.rows.len(), run.row("/")["status"].as_u64()), (1, None));
    assert_eq!(run.row("/")["error"], "cut-off");
    assert_eq!((site.count("GET /"), run.code), (2, 2));
}

#[test]
fn encoding() {
    let site = site(|path| {
        let (charset, body) = path.strip_prefix("/")?.split_once('-')?;
        let charset = if charset.is_empty() { "" } else { &format!("; charset={charset}") };
        Some(Act::Send(answer("200 OK", &format!("Content-Type: text/html{charset}\r\n"), body)))
    });
    for (charset, name) in [("", "UTF-8"), ("utf8", "UTF-8"), ("ascii", "windows-1252")] {
        let run = site.crawl(&format!("/{charset}-text"), &[]);
        assert_eq!(run.rows[0]["charset"], name, "{charset}");
    }
}

#[test]
fn content_type() {
    let site = site(|path| {
        (path == "/").then(|| Act::Send(answer("200 OK", "Content-Type: foo\r\n", "x")))
    });
    assert_eq!(site.crawl("/", &[]).rows[0]["content_type"], "foo");
}

#[test]
fn non_html() {
    let site = site(|path| {
        let send = |media: &str| {
            let body = "<a href=\"/\">";
            Some(Act::Send(answer("200 OK", &format!("Content-Type: {media}\r\n"), body)))
        };
        match path {
            "/xml" => send("application/xml"),
            "/image" => send("image"),
            "/" => Some(html("")),
            _ => None,
        }
    });
    let run = site.crawl("/xml", &[]);
    assert_eq!(
        (&run.rows[0]["content_type"], &run.rows[0]["links"]),
        (&"application/xml".into(), &1.into())
    );
    assert_eq!(run.rows[1]["url"], format!("{}/", site.url));
    let run = site.crawl("/image", &[]);
    assert_eq!((&run.rows[0]["content_type"], run.rows.len()), (&"image".into(), 1));
}

#[test]
fn non_http() {
    let site = site(|path| (path == "/").then(|| links(&["ftp://example.com"])));
    let run = site.crawl("/", &[]);
    assert_eq!((run.rows.len(), run.rows[0]["links"].as_u64()), (1, Some(0)));
}

/// It queued the target of a redirect without asking whether it was in scope.
#[test]
fn a_redirect_does_not_leave_the_site() {
    let other = site(|_| Some(html("")));
    let to = format!("{}/x", other.url);
    let site = Fixture::start(move |asked: &Asked| match &*asked.target {
        "/" => redirect(301, &to),
        _ => missing(),
    });
    let run = site.crawl("/", &[]);
    assert_eq!(other.asked(), [] as [&str; 0]);
    assert_eq!(
        (run.code, run.rows[0]["redirect"].as_str()),
        (0, Some(&*format!("{}/x", other.url)))
    );
}

/// It took 300 for a redirect and 308 for none.
#[test]
fn which_statuses_redirect() {
    let site = site(|path| match path {
        "/" => Some(links(&["/300", "/303", "/304", "/307", "/308"])),
        "/to" => Some(html("")),
        _ => path[1..].parse().ok().map(|status| redirect(status, "/to")),
    });
    let run = site.crawl("/", &[]);
    for (status, is_redirect) in [(300, false), (303, true), (304, false), (307, true), (308, true)]
    {
        let row = run.row(&format!("/{status}"));
        assert_eq!(row["redirect"].is_string(), is_redirect, "{status}");
    }
    assert_eq!(site.count("GET /to"), 1);
}

/// It compared the target of a redirect with its fragment, and so asked twice.
#[test]
fn a_redirect_to_a_fragment_is_to_the_page() {
    let site = site(|path| match path {
        "/" => Some(links(&["/page", "/jump"])),
        "/jump" => Some(redirect(302, "/page#here")),
        "/page" => Some(html("")),
        _ => None,
    });
    site.crawl("/", &[]);
    assert_eq!(site.count("GET /page"), 1);
}

/// It read no robots.txt, and redirects were no exception.
#[test]
fn robots_txt_is_obeyed_at_every_hop() {
    let site = site(|path| match path {
        "/robots.txt" => Some(Act::Send(answer("200 OK", "", "User-agent: *\nDisallow: /private"))),
        "/" => Some(links(&["/private/1", "/jump"])),
        "/jump" => Some(redirect(302, "/private/2")),
        _ => Some(html("")),
    });
    let run = site.crawl("/", &[]);
    assert_eq!(site.asked(), ["GET /", "GET /jump"]);
    assert_eq!(site.asked_for_robots(), 1);
    assert_eq!(run.row("/private/2")["error"], "robots");
    assert_eq!((run.code, run.summary["forbidden_by_robots"].as_u64()), (0, Some(2)));
    site.crawl("/", &["--ignore-robots"]);
    assert_eq!(site.asked_for_robots(), 1);
    assert_eq!(site.count("GET /private/2"), 1);
}
