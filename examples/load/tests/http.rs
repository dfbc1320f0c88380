//! The program against HTTP/1.1 servers, honest and otherwise.

mod support;

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::support::{Asked, Scratch, Then, http, ok, run, run_words, server};

#[test]
fn requests_are_answered_counted_and_measured() {
    let address = http(|_, _, stream| ok(stream, "hello"));
    let ended = run(&format!("http://{address}/x -c 3 -d 300ms --json -"));
    assert_eq!(ended.code, Some(0), "{}", ended.text);
    let json = ended.json();
    assert_eq!(json["protocol"], "http/1.1");
    let messages = json["messages"].as_u64().unwrap();
    assert!(messages > 50, "{messages}");
    assert_eq!(json["statuses"][0]["class"], "2xx");
    assert_eq!(json["statuses"][0]["count"], messages);
    assert_eq!(json["connect_time"]["count"], 3);
    // What is counted is what is on the wire.
    let each = json["bytes_received_per_second"].as_f64().unwrap() * 0.3 / messages as f64;
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello".len() as f64;
    assert!((each / answer - 1.0).abs() < 0.05, "{each} bytes an answer of {answer}");
}

#[test]
fn the_request_is_as_asked_for() {
    let seen = Arc::new(Mutex::new(Asked::default()));
    let keep = seen.clone();
    let address = http(move |asked, _, stream| {
        *keep.lock().unwrap() = asked.clone();
        ok(stream, "")
    });
    let target = format!("http://{address}/a?b=c");
    let words = [&target, "-c", "1", "-d", "50ms", "-X", "PUT", "-H", "X-One: 1 2", "--body", "hi"];
    assert_eq!(run_words(&words).code, Some(0));
    let asked = seen.lock().unwrap().clone();
    assert_eq!((asked.method.as_str(), asked.path.as_str()), ("PUT", "/a?b=c"));
    assert_eq!(asked.header("host"), Some(address.to_string().as_str()));
    assert_eq!(asked.header("x-one"), Some("1 2"));
    assert_eq!(asked.body, b"hi");
}

#[test]
fn answers_that_come_a_byte_at_a_time_are_answers() {
    let text = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
        5;x=y\r\nhello\r\n0\r\nT: z\r\n\r\n";
    let address = http(|_, _, stream| {
        let sent = text.iter().all(|byte| stream.write_all(&[*byte]).is_ok());
        if sent { Then::GoOn } else { Then::Close }
    });
    let line = format!("http://{address}/ -c 2 -d 300ms --expect-length 5 --json -");
    let ended = run(&line);
    assert_eq!(ended.code, Some(0), "{}", ended.text);
    assert!(ended.json()["messages"].as_u64().unwrap() > 10);
    // The first byte is not the last.
    let json = ended.json();
    let median = |time: &str| json[time]["percentiles"][0]["ns"].as_u64().unwrap();
    assert!(median("first_byte_time") < median("service_time"), "{}", ended.text);
}

#[test]
fn malformed_answers_are_errors_of_their_own() {
    let answers: [&'static [u8]; 5] = [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nhe",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhello",
    ];
    for text in answers {
        let address = http(move |_, _, stream| {
            let _ = stream.write_all(text);
            Then::GoOn
        });
        let ended = run(&format!("http://{address}/ -c 1 -d 200ms --json -"));
        assert_eq!(ended.code, Some(1), "{}", text.escape_ascii());
        assert!(ended.count("malformed") > 0, "{}: {}", text.escape_ascii(), ended.text);
    }
}

#[test]
fn an_answer_that_is_cut_is_no_answer() {
    let address = http(|_, _, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello");
        let _ = stream.shutdown(Shutdown::Both);
        Then::Close
    });
    let ended = run(&format!("http://{address}/ -c 1 -d 200ms --warm-up 0s --json -"));
    assert_eq!((ended.code, ended.json()["messages"].as_u64()), (Some(1), Some(0)));
    assert!(ended.count("closed_by_peer") + ended.count("reset") > 0, "{}", ended.text);
    assert!(ended.text.contains("within an answer"), "{}", ended.text);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    // Each connection must ask for /0, /1, /2 and /0 again, whatever comes together.
    let wrong = Arc::new(AtomicUsize::new(0));
    let seen = wrong.clone();
    let address = http(move |asked, number, stream| {
        let first: usize = asked.path[1..].parse().unwrap();
        if number > 0 && first != (number % 3) {
            seen.fetch_add(1, Ordering::Relaxed);
        }
        // Answers of three lengths, and one with no body at all.
        match first {
            2 => {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n");
                Then::GoOn
            }
            _ => ok(stream, &"x".repeat(first)),
        }
    });
    let file = Scratch::new("targets");
    let lines = format!("http://{address}/0\nhttp://{address}/1\nHEAD http://{address}/2\n");
    std::fs::write(file.path(), lines).unwrap();
    let ended = run(&format!("--targets {file} -c 1 --depth 7 -d 300ms --json -"));
    assert_eq!(ended.code, Some(0), "{}", ended.text);
    assert!(ended.json()["messages"].as_u64().unwrap() > 100);
    assert_eq!(wrong.load(Ordering::Relaxed), 0);
}

#[test]
fn without_keep_alive_each_request_has_a_connection() {
    let (connections, requests) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counts, asked) = (connections.clone(), requests.clone());
    let address = http(move |request, number, stream| {
        assert_eq!(request.header("connection"), Some("close"));
        counts.fetch_add(usize::from(number == 0), Ordering::SeqCst);
        asked.fetch_add(1, Ordering::SeqCst);
        ok(stream, "bye");
        // A server that does not close itself must not hold it up.
        Then::GoOn
    });
    for mode in ["", "--rate 200"] {
        let line = format!("http://{address}/ -c 4 -d 300ms --no-keep-alive {mode} --json -");
        let ended = run(&line);
        assert!(matches!(ended.code, Some(0 | 98)), "{}", ended.text);
        assert!(ended.json()["messages"].as_u64().unwrap() >= 30, "{}", ended.text);
        assert_eq!(ended.json()["error_count"], 0, "{}", ended.text);
    }
    assert_eq!(connections.load(Ordering::SeqCst), requests.load(Ordering::SeqCst));
}

#[test]
fn a_server_may_close_after_an_answer() {
    // As nginx does after `keepalive_requests`: said in the head, and with requests behind it.
    for depth in [1, 5] {
        let address = http(|_, number, stream| {
            if number < 9 {
                return ok(stream, "again");
            }
            let last = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbye";
            let _ = stream.write_all(last);
            let _ = stream.shutdown(Shutdown::Write);
            Then::Close
        });
        let line = format!("http://{address}/ -c 2 --depth {depth} -d 300ms --json -");
        let ended = run(&line);
        assert_eq!(ended.code, Some(0), "{}", ended.text);
        assert!(ended.json()["connect_time"]["count"].as_u64().unwrap() > 4);
    }
}

#[test]
fn an_idle_connection_that_the_server_closed_is_made_anew() {
    // Closes after two answers without a word, as servers do with idle connections.
    let address = http(|_, number, stream| {
        ok(stream, "x");
        if number < 1 { Then::GoOn } else { Then::Close }
    });
    let ended = run(&format!("http://{address}/ -c 2 --rate 100 -d 500ms --json -"));
    assert!(matches!(ended.code, Some(0 | 98)), "{}", ended.text);
    let json = ended.json();
    assert_eq!(json["error_count"], 0, "{}", ended.text);
    let unsent = json["plan"]["unsent"].as_u64().unwrap();
    assert_eq!(json["response_time"]["count"].as_u64().unwrap() + unsent, 50, "{}", ended.text);
}

#[test]
fn bad_statuses_and_lengths_are_errors_unless_they_are_judged() {
    let address = http(|asked, number, stream| {
        if asked.path == "/bad" && number % 2 == 1 {
            let _ = stream.write_all(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n");
            return Then::GoOn;
        }
        ok(stream, "four")
    });
    let ended = run(&format!("http://{address}/bad -c 1 -d 200ms --json -"));
    assert_eq!(ended.code, Some(1));
    assert!(ended.text.contains("status: an answer with status 503"), "{}", ended.text);
    assert_eq!(ended.json()["statuses"].as_array().unwrap().len(), 2);
    let share = ended.json()["error_share"].as_f64().unwrap();
    assert!((0.4..0.6).contains(&share), "{share}");

    let judged = run(&format!("http://{address}/bad -c 1 -d 200ms --expect errors<60%"));
    assert_eq!(judged.code, Some(0), "{}", judged.text);
    let judged = run(&format!("http://{address}/bad -c 1 -d 200ms --expect errors<10%"));
    assert_eq!(judged.code, Some(99), "{}", judged.text);
    assert!(judged.text.contains("`errors<10%` is not met"), "{}", judged.text);

    let length = run(&format!("http://{address}/ -c 1 -d 200ms --expect-length 5 --json -"));
    assert_eq!(length.code, Some(1));
    assert!(length.count("length") > 0 && length.text.contains("a body of 4 bytes"));
}

#[test]
fn a_frozen_server_shows_in_the_response_time_and_not_in_the_service_time() {
    let start = Instant::now();
    let freeze = Arc::new(Mutex::new(false));
    let address = http(move |_, _, stream| {
        // One request at a time; the first after 700 ms freezes the server for a second.
        let mut frozen = freeze.lock().unwrap();
        if !*frozen && start.elapsed() > Duration::from_millis(700) {
            *frozen = true;
            std::thread::sleep(Duration::from_secs(1));
        }
        ok(stream, "ok")
    });
    let line = format!("http://{address}/ -c 4 --rate 200 -d 3s --warm-up 0s --json -");
    let ended = run(&line);
    let json = ended.json();
    let at = |time: &str, percentile: usize| {
        json[time]["percentiles"][percentile]["ns"].as_u64().unwrap() / 1_000_000
    };
    // A third of the messages were due in the freeze: from the plan their times are spread over
    // the second. From the send four were slow, one a connection.
    assert!(at("response_time", 2) > 500, "p90 from the plan\n{}", ended.text);
    assert!(at("service_time", 3) < 100, "p95 from the send\n{}", ended.text);
    assert!(json["plan"]["late_by_target"].as_u64().unwrap() > 100, "{}", ended.text);
    assert!(json["service_time"]["max_ns"].as_u64().unwrap() > 900_000_000);
}

#[test]
fn every_message_is_accounted_for_whatever_the_server_does() {
    type Serve = fn(&Asked, usize, &mut TcpStream) -> Then;
    let servers: [(&str, Serve); 5] = [
        ("good", |_, _, stream| ok(stream, "ok")),
        ("cut", |_, number, stream| match number {
            0..3 => ok(stream, "ok"),
            _ => {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nxx");
                Then::Close
            }
        }),
        ("garbage", |_, number, stream| {
            let _ = ok(stream, "ok");
            let _ = stream.write_all(if number == 2 { b"\0\xff\r\n\r\n" } else { b"" });
            Then::GoOn
        }),
        ("closes", |_, _, stream| {
            let _ = ok(stream, "ok");
            Then::Close
        }),
        ("silent", |_, number, stream| if number < 2 { ok(stream, "ok") } else { Then::GoOn }),
    ];
    for (name, serve) in servers {
        let address = http(serve);
        for more in ["", "--rate 300", "--depth 3", "--no-keep-alive", "--loops 2"] {
            let line = format!(
                "http://{address}/ -c 3 -d 250ms --warm-up 0s --timeout 80ms --drain 50ms \
                 --json - {more}"
            );
            let ended = run(&line);
            let account = &ended.json()["account"];
            let count = |name: &str| account[name].as_u64().unwrap();
            let (sent, answered) = (count("sent"), count("answered"));
            assert!(sent > 0, "{name} {more}: {account}");
            let rest = count("lost") + count("unfinished");
            assert_eq!(sent, answered + rest, "{name} {more}: {account}\n{}", ended.text);
        }
    }
}

#[test]
fn a_body_without_end_is_given_up_and_keeps_nobody_waiting() {
    let address = http(|asked, _, stream| {
        if asked.path == "/" {
            return ok(stream, "ok");
        }
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while stream.write_all(&[b'x'; 64 * 1024]).is_ok() {}
        Then::Close
    });
    let file = Scratch::new("targets");
    let text = format!("http://{address}/endless\nhttp://{address}/\n");
    std::fs::write(file.path(), text).unwrap();
    // One connection asks for what has no end first, the other for what has.
    let line = format!("--targets {file} -c 2 -d 1s --warm-up 0s --timeout 300ms --json -");
    let ended = run(&line);
    assert!(ended.count("timeout") >= 2, "{}", ended.text);
    assert!(ended.json()["account"]["answered"].as_u64().unwrap() >= 2, "{}", ended.text);
}

#[test]
fn timeouts_count_in_the_latencies() {
    let number = Arc::new(AtomicUsize::new(0));
    let address = http(move |_, _, stream| {
        if number.fetch_add(1, Ordering::SeqCst) % 10 == 9 {
            std::thread::sleep(Duration::from_millis(400));
        }
        ok(stream, "ok")
    });
    let line = format!("http://{address}/ -c 2 -d 1s --warm-up 0s --timeout 100ms --json -");
    let ended = run(&line);
    assert_eq!(ended.code, Some(1), "{}", ended.text);
    let json = ended.json();
    assert!(ended.count("timeout") > 1, "{}", ended.text);
    // They are in the histogram, at the time that was waited, and the load went on.
    let max = json["service_time"]["max_ns"].as_u64().unwrap();
    assert!((100_000_000..300_000_000).contains(&max), "{max}");
    assert!(json["messages"].as_u64().unwrap() > 5);
}

#[test]
fn a_connection_that_cannot_be_made_again_is_tried_with_pauses() {
    let count = Arc::new(AtomicUsize::new(0));
    let tries = count.clone();
    let address = server(move |stream| {
        tries.fetch_add(1, Ordering::SeqCst);
        drop(stream);
    });
    let ended = run(&format!("http://{address}/ -c 1 -d 500ms --warm-up 0s --json -"));
    assert_eq!(ended.code, Some(1), "{}", ended.text);
    let tries = count.load(Ordering::SeqCst);
    assert!((2..20).contains(&tries), "{tries} connections in half a second");
}
