//! The program as a user meets it, against an honest server and against several that misbehave.

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::{Ended, program, run, server};

/// Echoes what `change` makes of each piece, until that is `None`.
fn echo(mut stream: TcpStream, mut change: impl FnMut(&mut [u8]) -> Option<()>) -> TcpStream {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        if change(&mut buffer[..count]).is_none() || stream.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    stream
}

/// A server that is told the number of each connection, from 0.
fn numbered(serve: impl Fn(TcpStream, usize) + Send + Sync + Clone + 'static) -> SocketAddr {
    let count = Arc::new(AtomicUsize::new(0));
    server(move |stream| serve(stream, count.fetch_add(1, Ordering::SeqCst)))
}

/// A run that is interrupted when `wanted` has happened, however long that takes here; or when it
/// plainly never will.
fn run_until(line: &str, happened: &AtomicUsize, wanted: usize) -> Ended {
    let child = program(&format!("{line} --duration 1h --warm-up 0s --json -")).spawn().unwrap();
    let start = Instant::now();
    while happened.load(Ordering::SeqCst) < wanted {
        if start.elapsed() > Duration::from_secs(60) {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    Ended {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        text: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn with_no_target_it_loads_a_server_of_its_own() {
    let ended = run("--duration 500ms");
    assert_eq!(ended.code, Some(0), "{}", ended.text);
    for words in
        ["(embedded)", "closed loop; 64 connections, 64 B", "messages/s", "p99.99", "max", "none"]
    {
        let words = words.replace("messages/s", "/s");
        assert!(ended.out.contains(&words), "no `{words}` in\n{}", ended.out);
    }
    assert_eq!(ended.text, "", "nothing but the table");
}

#[test]
fn closed_loop_measures_every_answer() {
    let address = server(|stream| drop(echo(stream, |_| Some(()))));
    let ended = run(&format!(
        "--target tcp://{address} --connections 3 --size 1000 --depth 4 --duration 300ms \
         --warm-up 50ms --json -"
    ));
    assert_eq!(ended.code, Some(0), "{}", ended.text);
    let json = ended.json();
    assert_eq!(
        (json["schema"].as_str(), json["connected"].as_u64()),
        (Some("wheelhouse-load/1"), Some(3))
    );
    let messages = json["messages"].as_u64().unwrap();
    let samples = json["service_time"]["count"].as_u64().unwrap();
    // The last answers come after the end, and the first belong to questions of the warm-up.
    assert!(messages > 100 && samples.abs_diff(messages) <= 3 * 4, "{messages} and {samples}");
    let rate = json["messages_per_second"].as_f64().unwrap();
    assert!((rate * 0.3 / messages as f64 - 1.0).abs() < 0.05, "{rate}/s and {messages}");
    assert!(json["rate"].is_null() && json["response_time"].is_null());
}

#[test]
fn open_loop_keeps_to_the_plan() {
    let ended = run("--rate 2000 --connections 7 --duration 1s --warm-up 0s --json -");
    let json = ended.json();
    let plan = &json["plan"];
    assert_eq!(plan["planned"], 2000);
    let sent = 2000 - plan["unsent"].as_u64().unwrap();
    assert_eq!(json["response_time"]["count"].as_u64().unwrap(), sent, "{}", ended.text);
    assert_eq!(json["service_time"]["count"].as_u64().unwrap(), sent);
    // A machine that is busy with other tests may be late; it must say so, and nothing else may
    // fail.
    let held = plan["rate_held"].as_bool().unwrap();
    assert_eq!(ended.code, Some(if held { 0 } else { 98 }), "{}", ended.text);
    assert_eq!(json["error_count"], 0);
}

#[test]
fn what_it_spins_is_reported_and_is_not_work() {
    let line = "--rate 100 --connections 2 --duration 500ms --warm-up 0s --json -";
    let spun = |json: &Value| json["generator"]["spun_share"].as_f64().unwrap();
    assert_eq!(spun(&run(&format!("{line} --spin 0s")).json()), 0.0);
    // As long as from one message to the next: it never sleeps.
    let json = run(&format!("{line} --spin 10ms")).json();
    assert!(spun(&json) > 0.0, "{json}");
    assert!(json["generator"]["cpu_share"].as_f64().unwrap() < 0.5, "{json}");
}

#[test]
fn a_stall_of_the_target_shows_in_the_response_time() {
    let address = server(|stream| {
        let mut stalled = false;
        let start = Instant::now();
        drop(echo(stream, |_| {
            if !stalled && start.elapsed() > Duration::from_millis(200) {
                stalled = true;
                std::thread::sleep(Duration::from_millis(300));
            }
            Some(())
        }));
    });
    let ended = run(&format!(
        "--target tcp://{address} --connections 1 --rate 200 --depth 1 --duration 1s \
         --warm-up 0s --json -"
    ));
    let json = ended.json();
    let percentile = |time: &str, at: usize| json[time]["percentiles"][at]["ns"].as_u64().unwrap();
    // 60 of 200 messages were due in the stall. One was answered late, 59 were sent late: only the
    // plan sees them.
    let (response, service) = (percentile("response_time", 2), percentile("service_time", 2));
    assert!(response > 100_000_000, "p90 from the plan {response} ns\n{}", ended.text);
    assert!(service < 50_000_000, "p90 from the send {service} ns\n{}", ended.text);
    assert!(json["plan"]["late_by_target"].as_u64().unwrap() >= 40, "{}", ended.out);
    assert!(
        json["plan"]["send_error_p99_ns"].as_u64().unwrap() < 100_000_000,
        "what the target held up is no error of the generator's\n{}",
        ended.out
    );
}

#[test]
fn a_pause_of_the_generators_own_is_not_blamed_on_the_target() {
    let address = server(|stream| drop(echo(stream, |_| Some(()))));
    let line = format!(
        "--target tcp://{address} --connections 4 --rate 100 --depth 1 --duration 2s --warm-up 0s \
         --json -"
    );
    let child = program(&line).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(700));
    kill_process(Pid::from_child(&child), Signal::STOP).unwrap();
    std::thread::sleep(Duration::from_millis(600));
    kill_process(Pid::from_child(&child), Signal::CONT).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    let plan = &json["plan"];
    let count = |name: &str| plan[name].as_u64().unwrap();
    // 60 messages were due in the pause. Four of them filled the connections, and the others waited
    // for answers; but only because all came at once.
    let (own, target) = (count("late_by_generator"), count("late_by_target"));
    assert!(own >= 45 && target <= own / 2, "{own} and {target}\n{plan}");
    assert_eq!(output.status.code(), Some(98), "{text}");
}

#[test]
fn a_rate_beyond_the_generator_is_98() {
    // With so many under way it never waits for an answer: its own processor is the limit, not the
    // target.
    let ended = run(
        "--rate 100000000 --size 1 --connections 64 --depth 1024 --duration 300ms --warm-up 0s",
    );
    assert_eq!(ended.code, Some(98), "{}\n{}", ended.out, ended.text);
    assert!(ended.text.contains("could not hold the rate"), "{}", ended.text);
    assert!(ended.out.contains("unsent"), "{}", ended.out);
}

#[test]
fn nobody_there_is_said_with_advice() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let ended = run(&format!("--target tcp://{address} --duration 1s"));
    assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""));
    assert!(
        ended.text.contains("refused") && ended.text.contains("wheelhouse-echo --tcp"),
        "{}",
        ended.text
    );
}

#[test]
fn a_socket_that_is_not_there_is_said_with_its_own_advice() {
    let path = crate::support::Scratch::new("no.sock");
    let ended = run(&format!("unix:{path} --duration 1s"));
    assert_eq!(ended.code, Some(1));
    let advice = format!("there? `wheelhouse-echo --unix {path}` starts one. Without");
    assert!(ended.text.contains(&advice), "{}", ended.text);
}

#[test]
fn a_connect_that_nobody_answers_times_out() {
    use socket2::{Domain, Socket, Type};
    // A queue of one that nobody empties: what comes after it is not answered at all.
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let ended = run(&format!(
        "--target tcp://{address} --connections 5 --timeout 200ms --duration 3s --json -"
    ));
    assert_eq!(ended.code, Some(1), "{}", ended.text);
    let connected = ended.json()["connected"].as_u64().unwrap();
    assert!(ended.count("connect_timeout") >= 5 - connected && connected < 5, "{}", ended.out);
    // Nobody answers those in the queue either.
    assert!(ended.count("timeout") >= connected, "{}", ended.out);
}

#[test]
fn a_peer_that_closes_is_counted_and_connected_to_again() {
    // The first four connections are closed after ten pieces, the others echo.
    let (alive, count) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (seen, numbers) = (alive.clone(), count);
    let address = server(move |stream| {
        let number = numbers.fetch_add(1, Ordering::SeqCst);
        let mut pieces = 0;
        drop(echo(stream, |_| {
            pieces += 1;
            seen.fetch_add(usize::from(number >= 4 && pieces == 2), Ordering::SeqCst);
            (number >= 4 || pieces < 10).then_some(())
        }));
    });
    let ended = run_until(&format!("tcp://{address} -c 4"), &alive, 4);
    // What a server leaves unread makes the system send a reset instead of an end, now and then.
    let closed = ended.count("closed_by_peer") + ended.count("reset");
    assert_eq!((ended.code, closed), (Some(1), 4), "{}", ended.out);
    let json = ended.json();
    let account = &json["account"];
    let count = |name: &str| account[name].as_u64().unwrap();
    // Each closed connection had one message under way.
    assert_eq!(count("lost"), 4, "{}", ended.out);
    assert_eq!(count("sent"), count("answered") + count("lost") + count("unfinished"));
    assert_eq!(json["connect_time"]["count"], 8);
}

#[test]
fn a_reset_is_counted_as_one() {
    let address = server(|stream| {
        // Left unread when it is closed, these bytes make the system answer with a reset.
        let mut first = [0];
        let _ = (&stream).read_exact(&mut first);
        std::thread::sleep(Duration::from_millis(50));
    });
    let ended = run(&format!("--target tcp://{address} --connections 3 --duration 300ms --json -"));
    assert_eq!(ended.code, Some(1), "{}", ended.text);
    assert!(ended.count("reset") >= 3, "{}", ended.out);
    assert_eq!(ended.json()["messages"], 0);
}

#[test]
fn a_silent_peer_times_out_and_counts_in_the_histogram() {
    let address = server(|mut stream| {
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    });
    let start = Instant::now();
    let ended = run(&format!(
        "--target tcp://{address} --connections 2 --timeout 200ms --duration 300ms \
         --warm-up 0s --json -"
    ));
    assert!(start.elapsed() < Duration::from_secs(10));
    // One each, and another after they have connected anew, if the end leaves time for it.
    let timeouts = ended.count("timeout");
    assert!(ended.code == Some(1) && (2..=4).contains(&timeouts), "{}", ended.text);
    let json = ended.json();
    assert_eq!(json["service_time"]["count"], timeouts);
    assert!(json["service_time"]["max_ns"].as_u64().unwrap() >= 199_000_000);
    assert!(ended.text.contains("no answer within 200ms"), "{}", ended.text);
}

#[test]
fn a_silent_peer_is_not_waited_for_long_after_the_end() {
    let address = server(|mut stream| {
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    });
    let ended = run(&format!(
        "--target tcp://{address} --connections 2 --depth 3 --duration 100ms \
         --timeout 500ms --json -"
    ));
    assert_eq!(ended.code, Some(1), "{}", ended.text);
    assert_eq!(ended.count("unfinished") + ended.count("timeout"), 6, "{}", ended.out);
}

#[test]
fn a_changed_byte_is_found_and_its_place_said() {
    let again = Arc::new(AtomicUsize::new(0));
    let came = again.clone();
    let address = numbered(move |stream, number| {
        let mut seen = 0;
        drop(echo(stream, |data| {
            came.fetch_add(number, Ordering::SeqCst);
            let at = 20 * 64 + 7;
            if number == 0 && (seen..seen + data.len()).contains(&at) {
                data[at - seen] ^= 1;
            }
            seen += data.len();
            Some(())
        }));
    });
    let ended = run_until(&format!("tcp://{address} -c 1"), &again, 1);
    assert_eq!((ended.code, ended.count("mismatch")), (Some(1), 1), "{}", ended.text);
    assert!(ended.text.contains("connection 0: message 20, byte 7 came back as"), "{}", ended.text);
}

#[test]
fn messages_that_change_places_are_found() {
    let again = Arc::new(AtomicUsize::new(0));
    let came = again.clone();
    let address = numbered(move |stream, number| {
        drop(echo(stream, |data| {
            came.fetch_add(number, Ordering::SeqCst);
            if number == 0 && data.len() >= 128 {
                let (first, second) = data.split_at_mut(64);
                first.swap_with_slice(&mut second[..64]);
            }
            Some(())
        }));
    });
    let ended = run_until(&format!("tcp://{address} -c 1 --depth 8"), &again, 1);
    // All that were under way on the connection are lost.
    assert_eq!(ended.code, Some(1));
    assert!((1..=8).contains(&ended.count("mismatch")), "{}", ended.text);
}

#[test]
fn more_than_was_sent_is_a_mismatch() {
    let again = Arc::new(AtomicUsize::new(0));
    let came = again.clone();
    let address = numbered(move |mut stream, number| {
        let mut message = [0; 64];
        let times = if number == 0 { 2 } else { 1 };
        while stream.read_exact(&mut message).is_ok()
            && stream.write_all(&message.repeat(times)).is_ok()
        {
            came.fetch_add(number, Ordering::SeqCst);
        }
    });
    let ended = run_until(&format!("tcp://{address} -c 1"), &again, 1);
    assert_eq!((ended.code, ended.count("mismatch")), (Some(1), 1), "{}", ended.text);
}

#[test]
fn what_fails_on_one_connection_leaves_the_others_alone() {
    let address = numbered(|stream, number| {
        if number > 0 {
            drop(echo(stream, |_| Some(())));
        }
    });
    let ended = run(&format!("--target tcp://{address} --connections 4 --duration 300ms --json -"));
    assert_eq!(ended.code, Some(1), "{}", ended.text);
    assert_eq!(ended.json()["error_count"], 1, "{}", ended.out);
    assert!(ended.json()["messages"].as_u64().unwrap() > 100);
}

#[test]
fn ctrl_c_reports_what_was_measured() {
    let child = program("--duration 1h --warm-up 0s --json -").spawn().unwrap();
    std::thread::sleep(Duration::from_millis(500));
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{json}");
    assert_eq!(json["interrupted"], true);
    assert!(json["messages"].as_u64().unwrap() > 100);
    assert!(json["measured_seconds"].as_f64().unwrap() < 10.0);
}

#[test]
fn the_json_can_go_to_a_file() {
    let path =
        std::env::temp_dir().join(format!("wheelhouse-load-test-{}.json", std::process::id()));
    let ended = run(&format!("--duration 100ms --json {}", path.display()));
    let json: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(json["exit_code"].as_i64(), ended.code.map(i64::from), "{}", ended.text);
    assert!(ended.out.contains("p99.99"), "the table is printed as well");
    let ended = run("--duration 100ms --json /nowhere/at/all.json");
    assert_eq!(ended.code, Some(1));
    assert!(ended.text.contains("cannot write `/nowhere/at/all.json`"), "{}", ended.text);
    assert_eq!(ended.out, "", "said before the run, not after it");
}

#[test]
fn what_cannot_be_written_takes_nothing_else_along() {
    // A device that is always full, as Linux has it.
    if !std::path::Path::new("/dev/full").exists() {
        eprintln!("SKIPPED: there is no /dev/full");
        return;
    }
    let report = crate::support::Scratch::new("report.html");
    let line = format!("--duration 200ms --json /dev/full --hdr /dev/full --report {report}");
    let ended = run(&line);
    assert_eq!(ended.code, Some(1));
    assert!(ended.out.contains("p99.99"), "{}", ended.out);
    assert_eq!(ended.text.matches("cannot write `/dev/full`").count(), 2, "{}", ended.text);
    assert!(report.text().ends_with("</html>\n"));
    // Nobody reads the table any more; the report is written all the same.
    let mut child = program(&format!("--duration 500ms --report {report}")).spawn().unwrap();
    std::fs::remove_file(report.path()).unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("cannot write to stdout"), "{text}");
    assert!(report.text().ends_with("</html>\n"));
}

#[test]
fn a_wrong_line_ends_with_2_and_help_with_0() {
    let ended = run("--target gopher://127.0.0.1:80");
    assert_eq!((ended.code, ended.out.as_str()), (Some(2), ""));
    assert!(ended.text.contains("tcp://HOST:PORT"), "{}", ended.text);
    let ended = run("--conections 5");
    assert_eq!(ended.code, Some(2));
    assert!(ended.text.contains("--connections"), "{}", ended.text);
    let ended = run("--help");
    assert!(
        ended.code == Some(0) && ended.out.contains("Examples:") && ended.out.contains("--rate")
    );
    let ended = run("--version");
    assert!(ended.code == Some(0) && ended.out.starts_with("wheelhouse-load "));
}
