//! What becomes of each message, exactly: a worker against peers that follow a script, on virtual
//! time and in an order that is drawn, so that no machine is too slow for it.
//!
//! A message is answered, lost or unfinished; one that was never sent is the target's or this
//! program's fault, or there was nobody to send it to.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use futures_lite::{AsyncReadExt, AsyncWriteExt};
use wheelhouse::net::{UnixListener, UnixStream};
use wheelhouse::testing::Test;
use wheelhouse::time::{Instant, sleep};
use wheelhouse::{Clock, completion, spawn};

use crate::args::tests::settings;
use crate::args::{Load, Settings};
use crate::job::nanos;
use crate::live::Board;
use crate::record::{Account, Record};
use crate::worker::{Go, Share, work};

const MS: u64 = 1_000_000;

/// A connection to a peer.
struct Came {
    stream: UnixStream,
    /// From 0.
    number: usize,
    /// Where the peer listens, until this is removed.
    socket: Rc<Path>,
}

/// Puts the load of `line` on a socket where `serve` is called for each connection. The drawn order
/// has a seed, which a failure tells.
fn run<F>(scheme: &str, line: &str, serve: impl Fn(Came) -> F + 'static) -> Record
where
    F: Future<Output = io::Result<()>> + 'static,
{
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("wh-account-{}-{number}", std::process::id()));
    let line = format!("{scheme}:{} --warm-up 0s -c 1 {line}", path.display());
    let settings = settings(&line).unwrap();
    // Both ends are on this loop: when it is quiet, nothing is under way between them.
    let record = Test::new().clock(Clock::Virtual { settle: Some(Duration::ZERO) }).run(async {
        let listener = UnixListener::bind(&path).unwrap();
        let served = Rc::new(RefCell::new(Vec::new()));
        let (all, socket) = (served.clone(), Rc::<Path>::from(path.as_path()));
        let accepting = spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let number = all.borrow().len();
                let serving = serve(Came { stream, number, socket: socket.clone() });
                // A peer that does not like what it is sent goes away, as the client does.
                all.borrow_mut().push(spawn(async move { drop(serving.await) }));
            }
        });
        let record = load(settings).await;
        accepting.cancel();
        served.borrow().iter().for_each(|serving| serving.cancel());
        record
    });
    let _ = std::fs::remove_file(path);
    record
}

/// A worker from beginning to end, as `run.rs` conducts it.
async fn load(settings: Settings) -> Record {
    let share = Share {
        origins: settings.origins.clone().unwrap().into(),
        settings: Arc::new(settings.clone()),
        live: Board::new(1).live(0),
        is_watched: false,
        own: 0,
        loops: 1,
    };
    let (ready_to, ready) = mpsc::channel();
    let (told, is_told) = completion();
    let working = spawn(work(share, ready_to, told.remote()));
    is_told.await.unwrap();
    let ready = ready.recv().unwrap();
    let stages = match &settings.load {
        Load::Closed { .. } => None,
        Load::Open { stages } => Some(stages.clone()),
    };
    let (origin, end) = (Instant::now().into_std(), nanos(settings.load.lasts()));
    ready.go.complete(Go { origin, stages, start: 0, end });
    let record = working.await.unwrap().unwrap().record;
    // While they are there, nobody has said it.
    drop((ready.stop, ready.stop_now));
    record
}

/// What went wrong, by kind.
fn errors(record: &Record) -> Vec<(&'static str, u64)> {
    record.failures.iter().map(|(kind, count, _)| (kind, count)).collect()
}

/// Never sent: by the target, by this program, for want of a connection.
fn unsent(record: &Record) -> (u64, u64, u64) {
    (record.unsent_by_target, record.unsent_by_generator, record.unsent_by_failure)
}

fn account(sent: u64, answered: u64, lost: u64, unfinished: u64) -> Account {
    Account { sent, answered, lost, unfinished }
}

/// What a peer does when a request has come.
#[derive(Clone, Copy, Debug)]
enum Act {
    Answer,
    /// With status 500.
    Fail,
    /// No answer, ever.
    Silence,
    /// No answer yet; the next `Answer` answers it as well.
    Hold,
    /// The stream is reset, for this reason.
    Reset(u32),
    /// The last stream that will be served, and the reason; what is held and allowed is answered.
    GoAway(u32, u32),
    /// The beginning of an answer, and the end of the connection.
    Cut,
    /// An answer, and the end of the connection.
    AnswerAndClose,
}

const INTERNAL_ERROR: u32 = 2;
const REFUSED_STREAM: u32 = 7;
const ENHANCE_YOUR_CALM: u32 = 11;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const GO_AWAY: u8 = 7;

const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// Of HPACK's table, whole header fields.
const STATUS_200: u8 = 0x88;
const STATUS_500: u8 = 0x8e;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

fn answer(stream: u32, status: u8) -> Vec<u8> {
    let mut both = frame(HEADERS, END_HEADERS, stream, &[status]);
    both.extend(frame(DATA, END_STREAM, stream, b"hello"));
    both
}

/// An HTTP/2 peer of frames written by hand, which asks `script` what to do with each request.
async fn http2(mut stream: UnixStream, mut script: impl FnMut() -> Act) -> io::Result<()> {
    stream.read_exact(&mut [0; 24]).await?;
    AsyncWriteExt::write_all(&mut stream, &frame(SETTINGS, 0, 0, &[])).await?;
    let mut held = Vec::new();
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let number = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        stream.read_exact(&mut vec![0; length as usize]).await?;
        let (reply, is_last) = match head[3] {
            SETTINGS if head[4] & ACK == 0 => (frame(SETTINGS, ACK, 0, &[]), false),
            HEADERS => act(script(), number, &mut held),
            _ => continue,
        };
        AsyncWriteExt::write_all(&mut stream, &reply).await?;
        if is_last {
            return Ok(());
        }
    }
}

/// What to send to a request, and whether the connection ends with it.
fn act(act: Act, number: u32, held: &mut Vec<u32>) -> (Vec<u8>, bool) {
    match act {
        Act::Answer => {
            held.push(number);
            (held.drain(..).flat_map(|held| answer(held, STATUS_200)).collect(), false)
        }
        Act::Fail => (answer(number, STATUS_500), false),
        Act::Silence => (Vec::new(), false),
        Act::Hold => {
            held.push(number);
            (Vec::new(), false)
        }
        Act::Reset(reason) => (frame(RESET, 0, number, &reason.to_be_bytes()), false),
        Act::GoAway(last, reason) => {
            let mut reply =
                frame(GO_AWAY, 0, 0, &[last.to_be_bytes(), reason.to_be_bytes()].concat());
            let served = held.drain(..).filter(|held| *held <= last);
            reply.extend(served.flat_map(|held| answer(held, STATUS_200)));
            (reply, false)
        }
        Act::Cut => (frame(HEADERS, END_HEADERS, number, &[STATUS_200]), true),
        Act::AnswerAndClose => (answer(number, STATUS_200), true),
    }
}

/// The load of `line` on a peer that does by `script` what the connection and the request, both
/// counted from 0 over the whole run, are there for. Gives also how many requests came.
fn run_http2(line: &str, script: impl Fn(usize, usize) -> Act + 'static) -> (Record, usize) {
    let (script, requests) = (Rc::new(script), Rc::new(RefCell::new(0)));
    let came = requests.clone();
    let record = run(
        "http+unix",
        &format!("--http2 {line}"),
        move |Came { stream, number: connection, .. }| {
            let (script, requests) = (script.clone(), requests.clone());
            http2(stream, move || {
                let request = requests.replace_with(|count| *count + 1);
                script(connection, request)
            })
        },
    );
    (record, Rc::into_inner(came).unwrap().into_inner())
}

#[test]
fn http2_answers_errors_and_resets_are_told_apart() {
    let (record, came) = run_http2("--depth 1 --rate 10 -d 1s", |_, request| match request {
        3 => Act::Reset(INTERNAL_ERROR),
        5 => Act::Fail,
        _ => Act::Answer,
    });
    assert_eq!((record.account, came), (account(10, 9, 1, 0), 10));
    assert_eq!(errors(&record), [("reset", 1), ("status", 1)]);
    assert_eq!((record.statuses[2], record.statuses[5]), (8, 1));
    assert_eq!((unsent(&record), record.resent), ((0, 0, 0), 0));
    assert_eq!(record.connect.len(), 1, "a reset stream leaves the others alone");
    assert_eq!(record.bytes_received, 9 * 24 + 13 + 9 + 9, "answers, the reset, two settings");
}

#[test]
fn http2_what_was_refused_is_sent_again() {
    let (record, came) = run_http2("--depth 1 --rate 10 -d 1s", |_, request| match request {
        4 => Act::Reset(REFUSED_STREAM),
        _ => Act::Answer,
    });
    assert_eq!((record.account, came), (account(10, 10, 0, 0), 11));
    assert_eq!((record.resent, errors(&record)), (1, vec![]));
}

#[test]
fn http2_what_is_always_refused_is_lost_and_not_tried_for_ever() {
    let (record, came) =
        run_http2("--depth 1 --rate 10 -d 300ms", |_, _| Act::Reset(REFUSED_STREAM));
    assert_eq!((record.account, came), (account(3, 0, 3, 0), 12));
    assert_eq!((record.resent, errors(&record)), (9, vec![("closed_by_peer", 3)]));
}

#[test]
fn http2_a_goaway_sends_the_rest_elsewhere() {
    // Four at once; the server takes the first two and answers them after its GOAWAY.
    let (record, came) = run_http2("--depth 4 --rate 4000 -d 1ms", |connection, request| {
        match (connection, request) {
            (0, 3) => Act::GoAway(3, 0),
            (0, _) => Act::Hold,
            _ => Act::Answer,
        }
    });
    assert_eq!((record.account, came), (account(4, 4, 0, 0), 6));
    assert_eq!((record.resent, errors(&record)), (2, vec![]));
    assert_eq!(record.connect.len(), 2, "one for both");
}

#[test]
fn http2_a_goaway_with_an_error_loses_what_was_under_way() {
    let (record, _) = run_http2("--depth 4 --rate 4000 -d 2ms", |connection, request| {
        match (connection, request) {
            (0, 3) => Act::GoAway(0, ENHANCE_YOUR_CALM),
            (0, _) => Act::Hold,
            _ => Act::Answer,
        }
    });
    assert_eq!(record.account, account(8, 4, 4, 0));
    assert_eq!((record.resent, errors(&record)), (0, vec![("closed_by_peer", 4)]));
}

#[test]
fn http2_a_server_that_never_answers_leaves_unfinished_and_unsent() {
    let (record, _) = run_http2("--depth 3 --rate 10 -d 1s --timeout 10s", |_, _| Act::Silence);
    assert_eq!(record.account, account(3, 0, 0, 3));
    assert_eq!(unsent(&record), (7, 0, 0));
    assert_eq!(errors(&record), [("unfinished", 3)]);
    assert_eq!(record.service.len(), 0, "nobody knows how long they would have taken");
}

#[test]
fn http2_a_timeout_counts_as_long_as_was_waited() {
    let (record, _) = run_http2("--depth 1 --rate 10 -d 1s --timeout 300ms", |_, _| Act::Silence);
    // Sent at 0, 300, 600 and 900 ms, when 0, 100, 200 and 300 ms were due.
    assert_eq!(record.account, account(4, 0, 4, 0));
    assert_eq!(unsent(&record), (6, 0, 0));
    assert_eq!(errors(&record), [("timeout", 4)]);
    let near = |ns: u64, ms: u64| ns.abs_diff(ms * MS) <= ms * MS / 500;
    assert!(near(record.service.min(), 300) && near(record.service.max(), 300));
    assert!(near(record.response.min(), 300) && near(record.response.max(), 900));
    assert_eq!(record.late_by_target, 3);
    assert_eq!(record.late_by_generator, 0);
}

#[test]
fn http2_an_answer_that_is_cut_is_lost_and_the_next_has_a_connection() {
    let (record, _) = run_http2("--depth 1 --rate 10 -d 1s", |_, request| match request {
        2 | 7 => Act::Cut,
        _ => Act::Answer,
    });
    assert_eq!(record.account, account(10, 8, 2, 0));
    assert_eq!((record.connect.len(), record.failures.total()), (3, 2));
}

#[test]
fn http2_an_idle_connection_may_be_closed() {
    let (record, came) = run_http2("--depth 1 --rate 10 -d 1s", |_, request| match request {
        4 => Act::AnswerAndClose,
        _ => Act::Answer,
    });
    assert_eq!((record.account, came), (account(10, 10, 0, 0), 10));
    assert_eq!((record.connect.len(), errors(&record)), (2, vec![]));
}

#[test]
fn http2_in_closed_loop_the_account_is_the_same() {
    // Nine answers and a reset, and then silence.
    let (record, came) = run_http2("--depth 2 -d 1s --timeout 100ms", |_, request| match request {
        4 => Act::Reset(INTERNAL_ERROR),
        0..10 => Act::Answer,
        _ => Act::Silence,
    });
    let Account { sent, answered, lost, unfinished } = record.account;
    assert_eq!((answered, sent), (9, came as u64));
    assert_eq!(sent, answered + lost + unfinished);
    assert_eq!(errors(&record)[0], ("reset", 1));
    // From then on two time out every 100 ms.
    assert_eq!((lost, unfinished), (1 + 2 * 10, 0));
}

#[test]
fn an_echo_server_that_closes_is_connected_to_again() {
    // Each connection echoes two messages, and is closed at the third.
    let record =
        run("unix", "--depth 1 --rate 10 -d 1s --size 64", |Came { mut stream, .. }| async move {
            let mut message = [0; 64];
            for _ in 0..2 {
                stream.read_exact(&mut message).await?;
                AsyncWriteExt::write_all(&mut stream, &message).await?;
            }
            stream.read_exact(&mut message).await
        });
    assert_eq!(record.account, account(10, 7, 3, 0));
    assert_eq!((unsent(&record), record.resent), ((0, 0, 0), 0));
    assert_eq!((errors(&record), record.connect.len()), (vec![("closed_by_peer", 3)], 4));
}

#[test]
fn an_echo_server_that_ends_an_idle_connection_has_failed() {
    // One message for each connection, and its end; but the last one stays.
    let line = "--depth 1 --rate 10 -d 1s --size 64";
    let record = run("unix", line, |Came { mut stream, number, .. }| async move {
        let mut message = [0; 64];
        stream.read_exact(&mut message).await?;
        AsyncWriteExt::write_all(&mut stream, &message).await?;
        if number == 9 { stream.read_exact(&mut message).await } else { Ok(()) }
    });
    assert_eq!((record.account, unsent(&record)), (account(10, 10, 0, 0), (0, 0, 0)));
    assert_eq!((errors(&record), record.connect.len()), (vec![("closed_by_peer", 9)], 10));
}

#[test]
fn what_an_echo_server_has_under_way_is_lost_with_it() {
    // Ten messages come at once, and four go back: then it stops, for good or with a reset.
    for (name, patience) in [("closed_by_peer", 0), ("timeout", 500)] {
        let line = "--depth 10 --rate 10000 -d 1ms --size 10 --timeout 200ms";
        let record = run("unix", line, move |Came { mut stream, number, .. }| async move {
            let mut data = [0; 100];
            let count = if number == 0 { 100 } else { 0 };
            stream.read_exact(&mut data[..count]).await?;
            AsyncWriteExt::write_all(&mut stream, &data[..count * 2 / 5]).await?;
            sleep(Duration::from_millis(patience)).await;
            Ok(())
        });
        assert_eq!(record.account, account(10, 4, 6, 0), "{name}");
        assert_eq!(errors(&record), [(name, 6)]);
    }
}

#[test]
fn what_nobody_is_there_for_is_unsent_by_failure() {
    // After 250 ms it goes away for good.
    for (scheme, more) in [("unix", ""), ("http+unix", "--http2")] {
        let line = format!("--depth 1 --rate 10 -d 5s {more}");
        let record = run(scheme, &line, |Came { stream, socket, .. }| async move {
            sleep(Duration::from_millis(250)).await;
            drop(stream);
            std::fs::remove_file(&socket)
        });
        let (by_target, by_generator, by_failure) = unsent(&record);
        assert!(by_failure > 25, "{scheme}: {by_target} {by_generator} {by_failure}");
        assert_eq!((by_target, by_generator), (0, 0), "{scheme}");
        assert_eq!(record.account.sent + by_failure, 50, "{scheme}");
        assert_eq!(record.account.answered, 0);
    }
}
