//! The rules of RFC 9309, section by section, and the `robotstxt` crate (a port of Google's parser)
//! as a second opinion.

use robotstxt::DefaultMatcher;

use super::*;

const TOKEN: &str = "wheelhouse-crawler";

fn rules(text: &str) -> Access {
    Access::Rules(Rules::parse(text.as_bytes(), TOKEN))
}

#[track_caller]
fn for_all(lines: &str, target: &str, allowed: bool) {
    let text = format!("User-agent: *\n{lines}\n");
    assert_eq!(rules(&text).allows(target), allowed, "{target} under {lines:?}");
}

#[test]
fn groups_are_found_by_product_token_in_any_case() {
    let text = "\
        User-Agent: *\nDisallow: /\n\n\
        USER-AGENT: Wheelhouse-CRAWLER/2.0 (anything)\nallow: /mine\nDISALLOW: /\n\n\
        user-agent: other\nallow: /";
    assert!(rules(text).allows("/mine/x"));
    assert!(!rules(text).allows("/other"));
}

#[test]
fn the_longest_token_wins_and_the_star_is_for_the_rest() {
    let text = "User-agent: wheelhouse\nDisallow: /a\n\nUser-agent: *\nDisallow: /b\n";
    assert!(!rules(text).allows("/a") && rules(text).allows("/b"));
    let with_own = format!("{text}\nUser-agent: wheelhouse-crawler\nDisallow: /c");
    assert!(rules(&with_own).allows("/a") && !rules(&with_own).allows("/c"));
    // A token that merely begins like ours is someone else's.
    let text = "User-agent: wheel\nDisallow: /\nUser-agent: wheelhouse-crawler-news\nDisallow: /";
    assert!(rules(text).allows("/a"));
}

/// Digits are in no product token: whoever has one in his name is known by what comes before it.
#[test]
fn a_name_with_a_digit_is_found() {
    let text = b"User-agent: my2bot\nDisallow: /a\n\nUser-agent: *\nDisallow: /b";
    let rules = Rules::parse(text, token_in("my2bot/1.0 (+x)"));
    assert!(!rules.allow("/a") && rules.allow("/b"));
}

#[test]
fn groups_of_one_token_are_one_group() {
    let text = "\
        User-agent: wheelhouse-crawler\nDisallow: /a\n\n\
        User-agent: *\nDisallow: /\n\n\
        User-agent: other\nUser-agent: wheelhouse-crawler\nDisallow: /b\nAllow: /b/c\n";
    let rules = rules(text);
    assert!(!rules.allows("/a") && !rules.allows("/b") && rules.allows("/b/c"));
    assert!(rules.allows("/else"));
}

#[test]
fn other_lines_do_not_disturb_the_groups() {
    let text = "\
        Disallow: /before-any-group\n\
        User-agent: other\nSitemap: http://a/s.xml\nHost: a\nno colon here\n# comment\n\
        User-agent: *  # everyone\nDisallow: /x # not this\nNoindex: /y\nDisallow:\n";
    let Access::Rules(rules) = rules(text) else { unreachable!() };
    assert!(!rules.allow("/x") && rules.allow("/y") && rules.allow("/before-any-group"));
    assert_eq!(rules.sitemaps, ["http://a/s.xml"]);
}

#[test]
fn without_a_group_everything_is_allowed() {
    for text in ["", "User-agent: other\nDisallow: /", "<html>not found</html>", "Disallow: /"] {
        assert!(rules(text).allows("/x"), "{text:?}");
    }
}

#[test]
fn the_longest_match_decides_and_allow_wins_a_tie() {
    // RFC 9309, 5.2.
    let example = "Allow: /example/page/\nDisallow: /example/page/disallowed.gif";
    for_all(example, "/example/page/ok.gif", true);
    for_all(example, "/example/page/disallowed.gif", false);
    for_all("Disallow: /p\nAllow: /p", "/page", true);
    for_all("Allow: /p\nDisallow: /p", "/page", true);
    for_all("Allow: /$\nDisallow: /", "/", true);
    for_all("Allow: /$\nDisallow: /", "/page.htm", false);
    for_all("Disallow: /*.htm\nAllow: /page", "/page.htm", false);
    for_all("Disallow: /*/page.htm\nAllow: /a", "/a/page.htm", false);
}

#[test]
fn paths_match_from_their_head_with_case() {
    for_all("Disallow: /fish", "/fish.html", false);
    for_all("Disallow: /fish", "/Fish.asp", true);
    for_all("Disallow: /fish", "/catfish", true);
    for_all("Disallow: /fish/", "/fish", true);
    for_all("Disallow: /fish/", "/fish/?id=1", false);
    for_all("Disallow:", "/", true);
    for_all("Disallow: /", "/robots.txt", true);
}

#[test]
fn stars_and_dollars() {
    // RFC 9309, 2.2.3.
    for_all("Disallow: /path/file-with-a-%2A.html", "/path/file-with-a-*.html", false);
    for_all("Disallow: /path/file-with-a-%2A.html", "/path/file-with-a-b.html", true);
    for_all("Disallow: /path/foo-%24", "/path/foo-$", false);
    for_all("Disallow: /*.php$", "/folder/file.php", false);
    for_all("Disallow: /*.php$", "/file.php?x", true);
    for_all("Disallow: /*.php$", "/file.php.php", false);
    for_all("Disallow: /fish*.php", "/fishheads/catfish.php?x", false);
    for_all("Disallow: /a**b$", "/a-b", false);
    for_all("Disallow: /*$", "/anything", false);
    for_all("Disallow: *", "/anything", false);
    for_all("Disallow: /a*b*c$", "/a-b-b-c-c", false);
    for_all("Disallow: /a*b*c$", "/a-c-b", true);
    for_all("Disallow: /a$b", "/a$b", true);
    // Neither of the two may be used twice: the head `/ab` and the tail `bc`.
    for_all("Disallow: /ab*bc$", "/abc", true);
}

#[test]
fn spellings_are_compared_after_one_rule() {
    // The table of RFC 9309, 2.2.2.
    for (written, asked) in [
        ("/foo/bar?baz=quz", "/foo/bar?baz=quz"),
        ("/foo/bar?baz=https://foo.bar", "/foo/bar?baz=https%3A%2F%2Ffoo.bar"),
        ("/foo/bar?baz=https%3A%2F%2Ffoo.bar", "/foo/bar?baz=https://foo.bar"),
        ("/foo/bar/ツ", "/foo/bar/%E3%83%84"),
        ("/foo/bar/%E3%83%84", "/foo/bar/%e3%83%84"),
        ("/foo/bar/%62%61%7A", "/foo/bar/baz"),
        ("/foo/bar/baz", "/foo/bar/%62%61%7a"),
        ("/~joe/index.html", "/%7Ejoe/index.html"),
    ] {
        for_all(&format!("Disallow: {written}"), asked, false);
    }
    // A slash that was escaped is no slash.
    for_all("Disallow: /a/b", "/a%2Fb", true);
    for_all("Disallow: /a%2fb", "/a%2Fb", false);
}

#[test]
fn any_line_ending_and_a_byte_order_mark() {
    let text = "\u{feff}User-agent: *\rDisallow: /a\r\nDisallow: /b\n\rDisallow: /c";
    for target in ["/a", "/b", "/c"] {
        assert!(!rules(text).allows(target), "{target}");
    }
}

#[test]
fn half_a_megabyte_is_read_and_no_more() {
    let filler = "#".repeat(LONGEST - 100);
    let text =
        format!("User-agent: *\n{filler}\nDisallow: /read\n{}\nDisallow: /x", "#".repeat(99));
    assert!(!rules(&text).allows("/read"));
    assert!(rules(&text).allows("/x"));
}

#[test]
fn crawl_delays_are_read_and_have_a_limit() {
    let delay = |value: &str| {
        rules(&format!("User-agent: *\nCrawl-delay: {value}\nDisallow: /x")).crawl_delay()
    };
    assert_eq!(delay("2"), Some(Duration::from_secs(2)));
    assert_eq!(delay("0.5"), Some(Duration::from_millis(500)));
    assert_eq!(delay("86400"), Some(LONGEST_DELAY));
    for nonsense in ["", "-1", "soon", "NaN", "inf", "1e300"] {
        assert_eq!(delay(nonsense), None, "{nonsense}");
    }
    let others = "User-agent: other\nCrawl-delay: 9\n\nUser-agent: *\nDisallow: /x";
    assert_eq!(rules(others).crawl_delay(), None);
}

#[test]
fn what_an_answer_without_a_file_means() {
    for status in [400, 401, 403, 404, 410, 451] {
        assert_eq!(Access::from_status(status), Access::All, "{status}");
    }
    for status in [429, 500, 502, 503, 599, 304, 101] {
        assert_eq!(Access::from_status(status), Access::Nothing, "{status}");
    }
    assert!(!Access::Nothing.allows("/"));
    assert!(Access::All.allows("/"));
}

/// Random files from a small alphabet of pieces, judged by both. Left out are the few cases where
/// the RFC and Google's parser part: escapes of unreserved characters, and tokens that are longer.
#[test]
fn the_oracle_agrees() {
    let agents = ["*", "wheelhouse-crawler", "other"];
    let paths = [
        "/", "/a", "/a/", "/a*", "/a$", "/*b", "/a/*/c$", "*", "/a/b", "/*.gif$", "", "/é",
        "/%C3%A9", "/a?q=", "/**", "/a*$",
    ];
    let targets =
        ["/", "/a", "/a/", "/a/b", "/a/x/c", "/a/b.gif", "/%C3%A9", "/a?q=1", "/b", "/ab"];
    let mut state = 7_u64;
    let mut pick = |of: usize| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize % of
    };
    for _ in 0..3000 {
        let mut text = String::new();
        for _ in 0..1 + pick(8) {
            text += &match pick(3) {
                0 => format!("user-agent: {}\n", agents[pick(agents.len())]),
                1 => format!("allow: {}\n", paths[pick(paths.len())]),
                _ => format!("disallow: {}\n", paths[pick(paths.len())]),
            };
        }
        for target in targets {
            let url = format!("http://a.org{target}");
            let theirs = DefaultMatcher::default().one_agent_allowed_by_robots(&text, TOKEN, &url);
            assert_eq!(rules(&text).allows(target), theirs, "{target} under\n{text}");
        }
    }
}

/// What is cut off in the middle of a rule would be another rule.
#[test]
fn of_a_file_that_is_too_long_whole_lines_are_read() {
    let head = b"User-agent: *\nDisallow: /a\n";
    let filler = b"# filler\n".repeat(LONGEST / 9 + 1);
    let room = LONGEST - head.len() - "Disallow: /".len();
    let filler = [&filler[..room - 1], b"\n"].concat();
    let rules = Rules::parse(&[head, &*filler, b"Disallow: /private"].concat(), "x");
    assert!(rules.allow("/b") && !rules.allow("/a"));
}
