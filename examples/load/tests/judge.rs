//! Searches, expectations, stages, comparisons: the program as a judge.

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Ended, Scratch, http, ok, run};

/// A server that does one thing at a time, and each takes 2 ms: it carries 500 a second and no
/// more.
fn slow_server() -> std::net::SocketAddr {
    let turn = Arc::new(Mutex::new(()));
    http(move |_, _, stream| {
        let _turn = turn.lock().unwrap();
        std::thread::sleep(Duration::from_millis(2));
        ok(stream, "ok")
    })
}

/// Which rates hold is the machine's to say, and `search.rs` tests what follows from it: here it must
/// be what the program says, whatever came. Gives the rate that was found.
fn concludes(ended: &Ended) -> Option<u64> {
    let json = ended.json();
    let steps = json["search"]["steps"].as_array().unwrap();
    let rates = |held: bool| {
        let with = steps.iter().filter(move |step| step["held"] == held);
        with.map(|step| step["rate"].as_u64().unwrap())
    };
    let found = json["search"]["found_rate"].as_u64();
    assert_eq!(found, rates(true).max(), "{}", ended.text);
    // Below it a step may have been disturbed, and then was tried once more.
    assert!(rates(false).all(|rate| Some(rate) > found || rates(true).any(|held| held == rate)));
    let limit = json["search"]["limited_by"].as_str().unwrap();
    let (code, words) = match (found, limit) {
        (Some(_), "target") => (0, "holds up to"),
        (Some(_), "max_rate") => (0, "the highest that was tried"),
        (Some(_), "generator") => (98, "could not hold more"),
        (None, "target") => (99, "no rate was found at which"),
        (None, "generator") => (98, "could hold no rate"),
        _ => panic!("{limit}: {}", ended.text),
    };
    assert_eq!(ended.code, Some(code), "{}", ended.text);
    assert!(ended.text.contains(words), "{}", ended.text);
    // Each step was told when it ended.
    assert_eq!(ended.text.matches(" /s  p50 ").count(), steps.len(), "{}", ended.text);
    found
}

#[test]
fn the_knee_of_a_server_is_not_beyond_it() {
    let address = slow_server();
    let ended =
        run(&format!("http://{address}/ -c 16 --find-rate p90<30ms --rate 100 -d 700ms --json -"));
    let found = concludes(&ended);
    assert!(found <= Some(520), "2 ms are never shorter: {found:?}\n{}", ended.text);
}

#[test]
fn a_search_ends_at_the_highest_rate_allowed() {
    let address = http(|_, _, stream| ok(stream, "ok"));
    let ended = run(&format!(
        "http://{address}/ -c 2 --find-rate p50<1s --rate 20 --max-rate 50 -d 200ms --json -"
    ));
    let found = concludes(&ended);
    let is_end = ended.json()["search"]["limited_by"] == "max_rate";
    assert!(found <= Some(50) && (!is_end || found == Some(50)), "{found:?}\n{}", ended.text);
}

#[test]
fn a_search_that_finds_nothing_says_so() {
    let address = slow_server();
    let ended =
        run(&format!("http://{address}/ -c 1 --find-rate p50<1us --rate 4 -d 300ms --json -"));
    assert_eq!(concludes(&ended), None, "{}", ended.text);
}

#[test]
fn expectations_decide_the_exit_code() {
    let address = slow_server();
    let line = format!("http://{address}/ -c 2 --rate 50 -d 400ms");
    let met = run(&format!("{line} --expect p50<1h --expect errors<1 --json -"));
    assert!(matches!(met.code, Some(0 | 98)), "{}", met.text);
    assert!(met.text.contains("p50<1h is met"), "{}", met.text);
    let missed = run(&format!("{line} --expect p50<1ms --json -"));
    assert!(matches!(missed.code, Some(99 | 98)), "{}", missed.text);
    assert_eq!(missed.json()["expectations"][0]["met"], false);
    assert!(missed.text.contains("`p50<1ms` is not met: it is"), "{}", missed.text);
}

#[test]
fn stages_follow_their_plan() {
    let address = http(|_, _, stream| ok(stream, "ok"));
    let ended = run(&format!(
        "http://{address}/ -c 8 --stages 500ms@100,1s@100..300,500ms@300 --warm-up 100ms --json -"
    ));
    let json = ended.json();
    assert!(matches!(ended.code, Some(0 | 98)), "{}", ended.text);
    assert_eq!(json["plan"]["planned"], 50 + 200 + 150);
    assert!((json["measured_seconds"].as_f64().unwrap() - 2.0).abs() < 0.01);
    let sent: Vec<u64> = json["intervals"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["sent"].as_u64().unwrap())
        .collect();
    let unsent = json["plan"]["unsent"].as_u64().unwrap();
    assert_eq!(sent.iter().sum::<u64>() + unsent, 400);
    // The first half of the ramp has 75 of its 200.
    assert!(sent[0] <= 50 + 75 && sent[0] + unsent >= 50 + 74, "{sent:?}");
}

#[test]
fn several_loops_share_the_plan_and_the_connections() {
    let address = http(|_, _, stream| ok(stream, "ok"));
    let ended =
        run(&format!("http://{address}/ -c 5 --loops 2 --rate 300 -d 500ms --warm-up 0s --json -"));
    assert!(matches!(ended.code, Some(0 | 98)), "{}", ended.text);
    let json = ended.json();
    assert_eq!((json["loops"].as_u64(), json["connected"].as_u64()), (Some(2), Some(5)));
    let unsent = json["plan"]["unsent"].as_u64().unwrap();
    assert_eq!(json["response_time"]["count"].as_u64().unwrap() + unsent, 150, "{}", ended.text);
}

/// What a run of `line` left, with latencies that are known and move by as much as `noise` says from
/// second to second.
fn summary_with(path: &Scratch, line: &str, p50_ns: u64, noise: u64) {
    let ended = run(&format!("{line} --json {path}"));
    let mut run: Value =
        serde_json::from_str(&path.text()).unwrap_or_else(|_| panic!("{}", ended.text));
    for time in ["response_time", "service_time"] {
        for percentile in run[time]["percentiles"].as_array_mut().unwrap() {
            percentile["ns"] = p50_ns.into();
            percentile["beyond"] = 100.into();
        }
    }
    let row = |at: u64| {
        let ns = p50_ns + noise * (at % 2);
        json!({"completed": 100, "p50_ns": ns, "p99_ns": ns, "max_ns": ns})
    };
    run["messages_per_second"] = 100.0.into();
    run["error_share"] = 0.0.into();
    run["generator"]["cpu_ns_per_message"] = 1000.0.into();
    run["exit_code"] = 0.into();
    run["intervals"] = (0..10).map(row).collect();
    std::fs::write(path.path(), run.to_string()).unwrap();
}

/// Real summaries, so that the fields are those that are written; the figures in them are made up, as
/// those of a machine are its own.
#[test]
fn two_runs_are_compared() {
    let (before, after) = (Scratch::new("before.json"), Scratch::new("after.json"));
    let address = http(|_, _, stream| ok(stream, "ok"));
    let line = format!("http://{address}/ -c 2 --rate 100 -d 100ms");
    summary_with(&before, &line, 1_000_000, 10_000);
    summary_with(&after, &format!("{line} --depth 2"), 1_300_000, 10_000);
    let worse = run(&format!("compare {before} {after}"));
    assert_eq!(worse.code, Some(99), "{}\n{}", worse.out, worse.text);
    assert_eq!(worse.out.matches("WORSE").count(), 8, "{}", worse.out);
    assert!(worse.out.contains("verdict: worse"), "{}", worse.out);
    assert!(worse.out.contains("not of the same load: depth 1 and 2"), "{}", worse.out);
    let same = run(&format!("compare {before} {before} --json"));
    assert_eq!(same.code, Some(0), "{}", same.out);
    assert_eq!(same.json()["verdict"], "the same within noise");
    let better = run(&format!("compare {after} {before}"));
    assert_eq!(better.code, Some(0), "{}", better.out);
    assert!(better.out.contains("verdict: better"), "{}", better.out);
    let tolerated = run(&format!("compare {before} {after} --tolerance 31"));
    assert_eq!(tolerated.code, Some(0), "{}", tolerated.out);
    // The same step among answers that move by more than it.
    summary_with(&before, &line, 1_000_000, 3_000_000);
    summary_with(&after, &line, 1_300_000, 3_000_000);
    let noise = run(&format!("compare {before} {after}"));
    assert_eq!(noise.code, Some(0), "{}", noise.out);
    assert!(noise.out.contains("verdict: the same within noise"), "{}", noise.out);
}

#[test]
fn what_cannot_be_compared_is_said() {
    let wrong = Scratch::new("wrong.json");
    std::fs::write(wrong.path(), "{}").unwrap();
    let ended = run(&format!("compare {wrong} {wrong}"));
    assert_eq!(ended.code, Some(1));
    assert!(ended.text.contains("is no summary of wheelhouse-load"), "{}", ended.text);
    std::fs::write(wrong.path(), "{\"schema\": \"wheelhouse-load/99\"}").unwrap();
    let ended = run(&format!("compare {wrong} {wrong}"));
    assert!(ended.text.contains("this program reads `wheelhouse-load/1`"), "{}", ended.text);
    std::fs::write(wrong.path(), "{\"schema\": \"wheelhouse-load/1\"}").unwrap();
    let ended = run(&format!("compare {wrong} {wrong}"));
    assert_eq!(ended.code, Some(1), "nothing is not the same as nothing: {}", ended.out);
    assert!(ended.text.contains("is no whole summary"), "{}", ended.text);
    for tolerance in ["nan", "-5", "inf"] {
        let ended = run(&format!("compare {wrong} {wrong} --tolerance={tolerance}"));
        assert_eq!(ended.code, Some(2), "{tolerance}: {}", ended.text);
        assert!(ended.text.contains("percent"), "{}", ended.text);
    }
    assert_eq!(run("compare /nowhere /nowhere").code, Some(1));
    let one = run("compare only-one");
    assert_eq!(one.code, Some(2));
    assert!(one.text.contains("Usage: wheelhouse-load compare"), "{}", one.text);
    let help = run("compare --help");
    assert!(help.code == Some(0) && help.out.contains("two standard errors"), "{}", help.out);
}
