//! The command line: what it means, and what is said when it means nothing.

use super::*;

fn settings(line: &str) -> Result<Settings, String> {
    let args = Args::try_parse_from(std::iter::once("crawler").chain(line.split_whitespace()));
    args.map_err(|error| error.to_string())?.into_settings()
}

#[test]
fn the_defaults_are_polite() {
    let defaults = settings("https://example.org").unwrap();
    assert_eq!(defaults.roots, ["https://example.org/"]);
    let polite = Manners { at_once: 2, delay: Duration::from_millis(250), is_adaptive: true };
    assert_eq!(defaults.polite, polite);
    let local = Manners { at_once: 16, delay: Duration::ZERO, is_adaptive: false };
    assert_eq!(defaults.local, local);
    assert_eq!((defaults.retries, defaults.limits.redirects), (3, 10));
    assert_eq!((defaults.client.largest_body, defaults.max_parse), (8 << 20, 2 << 20));
    assert!(!defaults.ignore_robots && !defaults.rules.ignore_nofollow);
    assert_eq!(defaults.rules.traps, traps::Limits::default());
    assert_eq!(defaults.token, "wheelhouse-crawler");
}

#[test]
fn a_fast_pace_needs_a_word() {
    let fast = "https://example.org/ --delay 99ms";
    let problem = settings(fast).err().unwrap();
    assert!(problem.contains("--i-own-this-host"), "{problem}");
    assert!(settings(&format!("{fast} --i-own-this-host")).is_ok());
    assert!(settings("https://example.org/ --delay 100ms").is_ok());
    assert!(settings("http://localhost:8000/ --delay 0").is_ok());
    assert!(settings("http://localhost:8000/ --delay 0 --check-outside").is_err());
}

#[test]
fn who_crawls_is_said() {
    let agent = |line: &str| {
        let settings = settings(&format!("http://a/ {line}")).unwrap();
        (settings.client.headers[USER_AGENT].to_str().unwrap().to_owned(), settings.token)
    };
    let (text, _) = agent("--contact me@example.org");
    assert!(text.starts_with("wheelhouse-crawler/") && text.ends_with(" (+me@example.org)"));
    assert_eq!(agent("--user-agent mybot/2.0"), ("mybot/2.0".into(), "mybot".into()));
    assert_eq!(agent("--user-agent my2bot"), ("my2bot".into(), "my".into()));
    let own = Args::parse_from(["crawler", "http://a/", "--header", "Accept: x/y"]);
    assert_eq!(own.into_settings().unwrap().client.own_headers[ACCEPT], "x/y");
}

#[test]
fn a_wrong_line_is_answered_with_what_to_do() {
    let says = |line: &str, words: &str| {
        let problem = settings(line).err().unwrap_or_default();
        assert!(problem.contains(words), "`{line}` gave `{problem}`");
    };
    says("example.org", "say http:// or https://");
    says("http://a/ --delay 5", "such as 500ms");
    says("http://a/ --max-body big", "such as 64k or 8M");
    says("http://a/ --max-body 0", "between 1 byte");
    says("http://a/ --exclude (", "unclosed group");
    says("http://a/ --resume", "--journal");
    says("http://a/ --reach all", "host, domain, prefix");
    says("http://a/ --header nonsense", "say NAME: VALUE");
    says("http://a/ --header Host:b", "that one is ours");
    says("http://a/ --user-agent 360bot/1.0", "must begin with a name");
    says("http://a/ --max-pages 0", "0 is not in");
    says("http://a/ --max-time 0", "no time");
    says("http://a/ --demo", "cannot be used with");
    says("http://a/ --quiet --verbose", "cannot be used with");
    says("http://a/ --max-dept 3", "--max-depth");
    says("http://a/ --timeout 0", "no time");
    says("http://a/ --accept 200", "400");
    says("http://a/ --graph x.png", "must end in .svg or .html");
    says("http://a/ --timeline x", "must end in .svg or .html or .json");
    says("http://a/ --csv x --journal x", "`--journal` and `--csv` name the same file `x`");
    says("http://a/ --csv ./x --journal x", "`--journal` and `--csv` name the same file `./x`");
}

#[test]
fn the_help_teaches() {
    let help = settings("--help").err().unwrap();
    assert!(help.contains("Examples:") && help.contains("2 there are broken links"), "{help}");
}
