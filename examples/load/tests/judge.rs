//! Searches, expectations, stages, comparisons: the program as a judge.

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::{Scratch, http, ok, run};

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

#[test]
fn the_knee_of_a_server_is_found() {
    let address = slow_server();
    let ended =
        run(&format!("http://{address}/ -c 16 --find-rate p90<30ms --rate 100 -d 700ms --json -"));
    let json = ended.json();
    let found = json["search"]["found_rate"].as_u64().unwrap();
    // On a busy machine 2 ms are longer.
    assert!((100..=520).contains(&found), "{found}\n{}", ended.text);
    let steps = json["search"]["steps"].as_array().unwrap();
    assert!(steps.len() >= 3, "{}", ended.text);
    assert!(steps.iter().any(|step| step["rate"].as_u64() > Some(found) && step["held"] == false));
    assert!(ended.text.contains("holds up to") || ended.code == Some(98), "{}", ended.text);
    assert!(matches!(ended.code, Some(0 | 98)), "{}", ended.text);
}

#[test]
fn a_search_ends_at_the_highest_rate_allowed() {
    let address = http(|_, _, stream| ok(stream, "ok"));
    let ended = run(&format!(
        "http://{address}/ -c 2 --find-rate p50<1s --rate 20 --max-rate 50 -d 200ms --json -"
    ));
    assert!(matches!(ended.code, Some(0 | 98)), "{}", ended.text);
    if ended.code == Some(0) {
        assert_eq!(ended.json()["search"]["found_rate"], 50);
        assert!(ended.text.contains("the highest that was tried"), "{}", ended.text);
    }
}

#[test]
fn a_search_that_finds_nothing_is_99() {
    let address = slow_server();
    let ended =
        run(&format!("http://{address}/ -c 1 --find-rate p50<1us --rate 4 -d 300ms --json -"));
    assert_eq!(ended.code, Some(99), "{}", ended.text);
    assert!(ended.json()["search"]["found_rate"].is_null());
    assert!(ended.text.contains("no rate was found at which `p50<1us` holds"), "{}", ended.text);
}

#[test]
fn expectations_decide_the_exit_code() {
    let address = slow_server();
    let line = format!("http://{address}/ -c 2 --rate 50 -d 400ms");
    let met = run(&format!("{line} --expect p50<1s --expect errors<1 --json -"));
    assert!(matches!(met.code, Some(0 | 98)), "{}", met.text);
    assert!(met.text.contains("p50<1s is met"), "{}", met.text);
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

#[test]
fn two_runs_are_compared() {
    let (before, after) = (Scratch::new("before.json"), Scratch::new("after.json"));
    let address = http(|_, _, stream| ok(stream, "ok"));
    let slow = slow_server();
    for (address, path) in [(address, &before), (slow, &after)] {
        let line = format!("http://{address}/ -c 2 --rate 100 -d 400ms --json {path}");
        assert!(matches!(run(&line).code, Some(0 | 98)));
    }
    let worse = run(&format!("compare {before} {after}"));
    assert_eq!(worse.code, Some(99), "{}\n{}", worse.out, worse.text);
    assert!(worse.out.contains("WORSE") && worse.out.contains("verdict: worse"), "{}", worse.out);
    assert!(worse.out.contains("not of the same load: target"), "{}", worse.out);
    let same = run(&format!("compare {before} {before} --json"));
    assert_eq!(same.code, Some(0), "{}", same.out);
    assert_eq!(same.json()["verdict"], "the same within noise");
    let better = run(&format!("compare {after} {before}"));
    assert_eq!(better.code, Some(0), "{}", better.out);
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
    assert_eq!(run("compare only-one").code, Some(2));
    let help = run("compare --help");
    assert!(help.code == Some(0) && help.out.contains("two standard errors"), "{}", help.out);
}
