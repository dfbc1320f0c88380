//! The command line, line by line.

use super::*;

fn parse_line(line: &str) -> Result<Command, String> {
    parse(std::iter::once("echo").chain(line.split_whitespace()).map(OsString::from))
}

fn settings(line: &str) -> Settings {
    match parse_line(line) {
        Ok(Command::Serve(settings)) => settings,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn the_defaults_are_loopback_one_loop_and_no_limits() {
    let defaults = settings("");
    let address: SocketAddr = "127.0.0.1:7777".parse().unwrap();
    assert!(address.ip().is_loopback());
    assert_eq!(defaults.places, [Place::Tcp(address)]);
    assert_eq!((defaults.service, defaults.json), (Service::Echo, false));
    assert_eq!((defaults.max_bytes, defaults.max_per_peer), (None, None));
    assert_eq!((defaults.loops, defaults.max_connections), (1, None));
    assert_eq!((defaults.idle_timeout, defaults.stats), (None, false));
    assert_eq!(defaults.grace, Duration::from_secs(5));
}

#[test]
fn every_option_is_read() {
    let all = settings(
        "--tcp 127.0.0.1:0 --tcp [::1]:9 --udp 127.0.0.1:7 --unix /tmp/x --unix @name --loops 3 \
         --max-connections=7 --max-per-peer 2 --max-bytes 64k --idle-timeout 500ms --grace 2m \
         --stats --json --service discard --metrics 127.0.0.1:9000 --tls 127.0.0.1:443 \
         --tls-cert c.pem --tls-key k.pem",
    );
    let address = |text: &str| text.parse().unwrap();
    let places = [
        Place::Tcp(address("127.0.0.1:0")),
        Place::Tcp(address("[::1]:9")),
        Place::Udp(address("127.0.0.1:7")),
        Place::Unix("/tmp/x".into()),
        Place::Unix("\0name".into()),
        Place::Tls(address("127.0.0.1:443")),
    ];
    assert_eq!(all.places, places);
    assert_eq!(all.tls, Some(("c.pem".into(), "k.pem".into())));
    assert_eq!((all.loops, all.max_connections, all.max_per_peer), (3, Some(7), Some(2)));
    assert_eq!((all.max_bytes, all.service), (Some(64_000), Service::Discard));
    assert_eq!((all.stats, all.json, all.metrics), (true, true, Some(address("127.0.0.1:9000"))));
    assert_eq!(all.idle_timeout, Some(Duration::from_millis(500)));
    assert_eq!(all.grace, Duration::from_secs(120));
}

#[test]
fn amounts_have_prefixes() {
    for (text, amount) in [("1", 1), ("12k", 12_000), ("3M", 3_000_000), ("2G", 2_000_000_000)] {
        assert_eq!(bytes(text, "x"), Ok(amount));
    }
    for wrong in ["", "k", "1K", "1.5M", "-1", "99999999999999999999", "99999999999999G"] {
        assert!(bytes(wrong, "--max-bytes").unwrap_err().contains("64k"), "{wrong}");
    }
    assert!(bytes("0", "--max-bytes").unwrap_err().contains("at least 1"));
}

#[test]
fn times_have_units_and_fractions() {
    assert_eq!(time("1.5s", "x"), Ok(Duration::from_millis(1500)));
    assert_eq!(time("0s", "x"), Ok(Duration::ZERO));
    assert_eq!(time("1h", "x"), Ok(Duration::from_secs(3600)));
    for wrong in ["", "5", "s", "1.2.3s", "-1s", "5 s", "1e400s", "999999999999999999999h"] {
        assert!(time(wrong, "--grace").unwrap_err().contains("30s"), "{wrong}");
    }
}

#[test]
fn a_wrong_line_is_answered_with_what_to_do() {
    let says = |line: &str, words: &str| {
        let problem = parse_line(line).unwrap_err();
        assert!(problem.contains(words), "`{line}` gave `{problem}`");
    };
    says("--tpc 1.2.3.4:5", "there is no option `--tpc`");
    says("-x", "there is no option `-x`");
    says("127.0.0.1:7777", "say `--tcp 127.0.0.1:7777`");
    says("--tcp", "`--tcp` needs a value");
    says("--tcp 127.0.0.1", "HOST:PORT");
    says("--loops 0", "at least 1");
    says("--loops 5000", "at most 1024");
    says("--loops many", "whole number");
    says("--max-connections -1", "whole number");
    says("--idle-timeout 30", "30s");
    says("--idle-timeout 0s", "leave it out");
    says("--service ecco", "echo, discard and chargen");
    says("--udp 1.2.3.4", "`--udp 1.2.3.4`");
    says("--max-bytes 1K", "64k");
    says("--tls 127.0.0.1:1", "needs `--tls-cert FILE` and `--tls-key FILE`");
    says("--tls-cert c", "needs `--tls-key FILE`");
    says("--tls-key k", "needs `--tls-cert FILE`");
    says("--tls-cert c --tls-key k", "is for `--tls ADDR`");
    says("--unix", "`--unix` needs a value");
    says("--unix @", "needs a name behind the @");
}

#[test]
fn help_wins_and_teaches() {
    let Ok(Command::Print(text)) = parse_line("--loops 2 --help") else { panic!() };
    assert!(text.contains("Examples:") && text.contains(DEFAULT_ADDRESS));
    let Ok(Command::Print(text)) = parse_line("-V") else { panic!() };
    assert!(text.starts_with("wheelhouse-echo "));
}
