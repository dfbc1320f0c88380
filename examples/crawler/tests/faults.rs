//! Servers that misbehave: slow ones, endless ones, those that lie about lengths or cut off, and
//! those that are only busy.

mod fixture;

use std::io::Write;
use std::time::{Duration, Instant};

use fixture::{Act, Asked, Fixture, answer, html, links, missing, redirect, run};
use wheelhouse::net::TcpSocket;

const HTML: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n";

/// A page at `/`, which is answered by `act`, without another try.
fn one(act: impl Fn() -> Act + Send + Sync + 'static, options: &[&str]) -> fixture::Run {
    let site =
        Fixture::start(move |asked: &Asked| if asked.target == "/" { act() } else { missing() });
    site.crawl("/", &[&["--retries", "0"], options].concat())
}

#[test]
fn a_slow_drip_ends_at_the_total_time() {
    let begin = Instant::now();
    let drip = || {
        let bytes = answer("200 OK", "Content-Type: text/html\r\n", "x".repeat(1000));
        Act::Drip(bytes, Duration::from_millis(20))
    };
    // robots.txt would have the same time, which a busy machine may need.
    let run = one(drip, &["--timeout", "300ms", "--ignore-robots"]);
    assert_eq!(run.row("/")["error"], "timeout");
    assert!(run.row("/")["error_text"].as_str().unwrap().contains("300ms"));
    assert!(begin.elapsed() < Duration::from_secs(10), "a byte now and then keeps nobody waiting");
}

#[test]
fn an_endless_body_is_cut_at_the_limit() {
    let endless = || Act::Endless(format!("{HTML}\r\n<a href=/found>").into_bytes());
    let run = one(endless, &["--max-body", "100k"]);
    let row = run.row("/");
    assert_eq!((row["cut"].as_str(), row["size"].as_u64()), (Some("too-large"), Some(100 << 10)));
    assert_eq!(row["links"], 1, "its beginning is read");
    // Of a kind that nobody reads the end is not waited for either.
    let endless = || Act::Endless(b"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\n\r\n".to_vec());
    let run = one(endless, &[]);
    assert!(run.row("/")["wire_size"].as_u64().unwrap() < 1 << 20);
    assert_eq!(run.code, 0);
}

#[test]
fn a_bomb_does_not_go_off() {
    // In 64 members or frames, since packing takes its time.
    let spaces = vec![b' '; 1_000_000];
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packer.write_all(&spaces).unwrap();
    let level = ruzstd::encoding::CompressionLevel::Fastest;
    let zstd = ruzstd::encoding::compress_to_vec(spaces.as_slice(), level);
    for (coding, bomb) in [("gzip", packer.finish().unwrap()), ("zstd", zstd)] {
        let bomb = bomb.repeat(64);
        let bomb = move || {
            let headers = format!("Content-Type: text/html\r\nContent-Encoding: {coding}\r\n");
            Act::Send(answer("200 OK", &headers, &bomb))
        };
        let run = one(bomb, &[]);
        let row = run.row("/");
        assert_eq!(
            (row["cut"].as_str(), row["size"].as_u64()),
            (Some("bomb"), Some(0)),
            "{coding}"
        );
        let peak = run.summary["peak_memory_bytes"].as_u64().unwrap();
        assert!(peak < 64 << 20, "{peak} bytes of memory for 64 MB of spaces in {coding}");
    }
}

/// What is beyond a limit is not passed over in silence.
#[test]
fn of_a_huge_page_it_is_told_that_there_was_more() {
    let page = || {
        let filler = "<p>nothing</p>".repeat(10_000);
        html(&format!("<a href=/first>{filler}<a href=/last>"))
    };
    let run = one(page, &["--max-parse", "100k"]);
    let row = run.row("/");
    assert_eq!((row["links"].as_u64(), row["cut"].as_str()), (Some(1), Some("too-large")));
    assert!(row["size"].as_u64().unwrap() > 140_000, "it was fetched whole");
    assert!(run.stdout.contains("1 body was too large or broken"), "{}", run.stdout);
    let run = one(page, &[]);
    assert_eq!((run.row("/")["links"].as_u64(), run.row("/")["cut"].as_str()), (Some(2), None));
}

#[test]
fn a_circle_of_redirects_with_growing_addresses_ends() {
    let site = Fixture::start(|asked: &Asked| match &*asked.target {
        "/robots.txt" => missing(),
        target => redirect(302, &format!("{target}x")),
    });
    let run = site.crawl("/", &[]);
    assert_eq!((site.asked().len(), run.code), (11, 2), "ten redirects");
    assert_eq!(run.broken(), [("".into(), "too many redirects".into())]);
}

#[test]
fn lengths_that_are_not_true() {
    let short = || Act::Cut(format!("{HTML}Content-Length: 100\r\n\r\nshort").into_bytes());
    assert_eq!(one(short, &[]).row("/")["error"], "cut-off");
    let chunked =
        || Act::Cut(format!("{HTML}Transfer-Encoding: chunked\r\n\r\n5\r\nab").into_bytes());
    assert_eq!(one(chunked, &[]).row("/")["error"], "cut-off");
    // More than was said: the answer is what was said, and the connection is of no more use.
    let long = Fixture::start(|asked: &Asked| match &*asked.target {
        "/" => {
            let text = "<a href=/2>";
            Act::Send(format!("{HTML}Content-Length: {}\r\n\r\n{text}trailing", text.len()).into())
        }
        "/2" => html(""),
        _ => missing(),
    });
    let run = long.crawl("/", &[]);
    assert_eq!((run.row("/2")["status"].as_u64(), run.code), (Some(200), 0));
}

#[test]
fn a_reset_in_the_middle_is_tried_again() {
    let site = Fixture::start(|asked: &Asked| match (&*asked.target, asked.times) {
        ("/", 1) => Act::Reset(format!("{HTML}Content-Length: 100\r\n\r\n<a href").into_bytes()),
        ("/", _) => html("whole"),
        _ => missing(),
    });
    let run = site.crawl("/", &[]);
    assert_eq!(
        (run.row("/")["status"].as_u64(), run.row("/")["tries"].as_u64()),
        (Some(200), Some(2))
    );
}

#[test]
fn what_is_no_http_is_told() {
    let run = one(|| Act::Cut(b"SSH-2.0-OpenSSH_9.2\r\n\r\n".to_vec()), &[]);
    assert_eq!(run.row("/")["error"], "protocol");
    let huge = || Act::Send(answer("200 OK", &format!("X: {}\r\n", "y".repeat(1_000_000)), ""));
    assert_eq!(one(huge, &[]).row("/")["error"], "protocol");
    let many = || Act::Send(answer("200 OK", &"X: y\r\n".repeat(1000), ""));
    assert_eq!(one(many, &[]).row("/")["error"], "protocol");
}

/// A server may close a connection that it kept, at any moment; that is no failed try.
#[test]
fn a_kept_connection_that_was_closed_costs_no_try() {
    let site = Fixture::start(|asked: &Asked| match &*asked.target {
        "/" => links(&["/1", "/2"]),
        "/1" | "/2" => Act::Cut(answer("200 OK", "Content-Type: text/html\r\n", "bye")),
        _ => missing(),
    });
    let run = site.crawl("/", &["--retries", "0", "--per-host", "1"]);
    assert_eq!((run.code, run.rows.len()), (0, 3));
}

#[test]
fn nobody_there_is_a_broken_root() {
    // Bound, so that no other test gets it, and not listening.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let port = socket.local_addr().unwrap().port();
    let run = run(&[&format!("http://127.0.0.1:{port}/"), "--backoff", "1ms"]);
    assert_eq!((run.rows[0]["error"].as_str(), run.code), (Some("connect"), 2));
    assert!(run.stdout.contains("given on the command line"), "{}", run.stdout);
}

#[test]
fn a_busy_server_is_left_alone_as_long_as_it_asks() {
    let site = Fixture::start(|asked: &Asked| match (&*asked.target, asked.times) {
        ("/", _) => links(&["/busy", "/other"]),
        ("/busy", 1) => Act::Send(answer("503 Busy", "Retry-After: 1\r\n", "")),
        ("/busy" | "/other", _) => html(""),
        _ => missing(),
    });
    let begin = Instant::now();
    let run = site.crawl("/", &["--per-host", "1"]);
    assert!(begin.elapsed() >= Duration::from_secs(1));
    assert_eq!(site.asked(), ["GET /", "GET /busy", "GET /busy", "GET /other"]);
    assert_eq!(run.code, 0);
}

#[test]
fn a_server_that_asks_for_an_hour_is_left_alone_for_good() {
    let site = Fixture::start(|asked: &Asked| match &*asked.target {
        "/" => links(&["/0", "/1", "/2", "/3", "/4", "/5"]),
        "/1" => Act::Send(answer("429 Too Many Requests", "Retry-After: 3600\r\n", "")),
        _ => html(""),
    });
    let run = site.crawl("/", &["--per-host", "1"]);
    assert_eq!(site.asked(), ["GET /", "GET /0", "GET /1"]);
    assert_eq!(run.broken(), [("1".into(), "429 Too Many Requests".into())]);
    assert_eq!((run.summary["left"].as_u64(), run.code), (Some(4), 2));
    assert_eq!(run.summary["left_alone"][0]["seconds"], 3600);
    let host = site.url.strip_prefix("http://").unwrap();
    let text = format!("{host}, which wants no request for 3600 s");
    assert!(run.stdout.contains(&text), "{}", run.stdout);
}

/// A radio station, say: that it is there is all we want to know.
#[test]
fn a_body_that_nobody_reads_is_not_waited_for() {
    let drip = || {
        let bytes = answer("200 OK", "Content-Type: audio/mpeg\r\n", "x".repeat(10_000));
        Act::Drip(bytes, Duration::from_millis(2))
    };
    let run = one(drip, &["--timeout", "10s"]);
    assert_eq!((run.row("/")["status"].as_u64(), run.code), (Some(200), 0));
}

#[test]
fn a_robots_txt_that_cannot_be_had_forbids_everything() {
    let site = Fixture::start(|asked: &Asked| match &*asked.target {
        "/robots.txt" => Act::Send(answer("500 Oops", "", "")),
        _ => html(""),
    });
    let run = site.crawl("/", &["--retries", "1"]);
    assert_eq!((site.asked().len(), site.asked_for_robots()), (0, 2));
    assert_eq!(run.rows[0]["error_text"], "robots.txt answered 500");
    // A crawl of nothing must not look like a sound one.
    assert_eq!(run.broken(), [("".into(), "not asked for: robots.txt answered 500".into())]);
    assert_eq!(run.code, 2);
}

#[test]
fn a_robots_txt_that_cannot_be_read_forbids_everything() {
    let site = Fixture::start(|asked: &Asked| match &*asked.target {
        "/robots.txt" => Act::Send(answer("200 OK", "Content-Encoding: gzip\r\n", "no gzip")),
        _ => html(""),
    });
    let run = site.crawl("/", &["--retries", "0"]);
    assert_eq!(run.rows[0]["error_text"], "robots.txt cannot be read");
    assert!(site.asked().is_empty());
}

#[test]
fn robots_txt_is_looked_for_where_it_redirects_to() {
    let hops = |most: usize| {
        let site = Fixture::start(move |asked: &Asked| match &*asked.target {
            "/robots.txt" => redirect(301, "/robots/1"),
            "/" => links(&["/private"]),
            target => {
                match target.strip_prefix("/robots/").and_then(|hop| hop.parse::<usize>().ok()) {
                    Some(hop) if hop < most => redirect(302, &format!("/robots/{}", hop + 1)),
                    Some(_) => Act::Send(answer("200 OK", "", "User-agent: *\nDisallow: /private")),
                    None => html(""),
                }
            }
        });
        site.crawl("/", &[]);
        site.count("GET /private")
    };
    assert_eq!((hops(5), hops(6)), (0, 1), "five redirects are followed, more may be given up");
}

/// RFC 9309, 2.3.1.2: also where they lead to another authority, whose rules then hold for the first.
#[test]
fn robots_txt_may_redirect_to_another_host() {
    let other = Fixture::start(|asked: &Asked| match &*asked.target {
        "/common.txt" => Act::Send(answer("200 OK", "", "User-agent: *\nDisallow: /private")),
        _ => missing(),
    });
    let to = format!("{}/common.txt", other.url);
    let site = Fixture::start(move |asked: &Asked| match &*asked.target {
        "/robots.txt" => redirect(307, &to),
        "/" => links(&["/private", "/open"]),
        _ => html(""),
    });
    site.crawl("/", &["--per-host", "1"]);
    assert_eq!(site.asked(), ["GET /", "GET /open"]);
    assert_eq!(other.asked(), ["GET /common.txt"]);
}
