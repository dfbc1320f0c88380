//! One look-up a name, answers kept for a while, and an end that waits for nobody, over a resolver
//! that is at the test's command.

use std::cell::Cell;
use std::net::Ipv4Addr;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use wheelhouse_runtime::time::sleep;
use wheelhouse_runtime::{Clock, EventLoop, spawn, yield_now};

use super::*;

const GUARD: Duration = Duration::from_secs(30);

/// Names whose resolver counts its calls and waits at a gate; a host that begins with `no` has no
/// address, and `7.` has one that ends in 7.
struct Rig {
    names: Rc<Names>,
    calls: Arc<AtomicUsize>,
    gate: mpsc::Sender<()>,
}

impl Rig {
    fn new() -> Rig {
        let calls = Arc::new(AtomicUsize::new(0));
        let (gate, opens) = mpsc::channel();
        let (count, opens) = (calls.clone(), Mutex::new(opens));
        let names = Names::new(move |host| {
            count.fetch_add(1, Ordering::SeqCst);
            let _ = opens.lock().unwrap().recv();
            match host.split('.').next().unwrap() {
                "no" => Err(io::Error::new(io::ErrorKind::NotFound, "no such name")),
                "panics" => panic!("on purpose"),
                number => Ok(vec![ip(number.parse().unwrap_or(1))]),
            }
        });
        Rig { names: Rc::new(names), calls, gate }
    }

    fn open(&self, times: usize) {
        (0..times).for_each(|_| self.gate.send(()).unwrap());
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// Asks, with the gate open.
    async fn ask(&self, host: &str) -> io::Result<Vec<SocketAddr>> {
        let before = self.calls();
        let answer = self.names.ask(host);
        if matches!(answer, Answer::Awaited { .. }) {
            self.open(1);
        }
        let found = answer.await;
        assert!(self.calls() - before <= 1);
        found
    }
}

fn ip(last: u16) -> SocketAddr {
    (Ipv4Addr::from(0x0a00_0000 + u32::from(last)), 0).into()
}

fn run<F: Future>(test: F) -> F::Output {
    let event_loop = EventLoop::new().unwrap();
    event_loop.block_on(test)
}

fn run_virtual<F: Future>(test: F) -> F::Output {
    let builder = EventLoop::builder().clock(Clock::Virtual { settle: None });
    let event_loop = builder.build().unwrap();
    event_loop.block_on(test)
}

#[test]
fn all_who_ask_while_a_name_is_looked_up_get_the_one_answer() {
    run(async {
        let rig = Rig::new();
        let asking: Vec<_> = ["7.example", "7.EXAMPLE", "7.example", "8.example"]
            .map(|host| spawn(rig.names.ask(host)))
            .into();
        yield_now().await;
        rig.open(2);
        let mut found = Vec::new();
        for answer in asking {
            found.push(answer.await.unwrap().unwrap());
        }
        assert_eq!(found, [[ip(7)], [ip(7)], [ip(7)], [ip(8)]]);
        assert_eq!(rig.calls(), 2);
    });
}

#[test]
fn an_answer_is_kept_for_a_minute_and_no_longer() {
    run_virtual(async {
        let rig = Rig::new();
        rig.ask("7.example").await.unwrap();
        sleep(KEPT_FOR - Duration::from_millis(1)).await;
        assert_eq!(rig.ask("7.example").await.unwrap(), [ip(7)]);
        assert_eq!(rig.calls(), 1);
        sleep(Duration::from_millis(1)).await;
        assert_eq!(rig.ask("7.example").await.unwrap(), [ip(7)]);
        assert_eq!(rig.calls(), 2);
    });
}

#[test]
fn an_answer_that_is_forgotten_is_looked_up_anew_but_not_one_under_way() {
    run(async {
        let rig = Rig::new();
        rig.ask("7.example").await.unwrap();
        rig.names.forget("7.Example");
        let asking = spawn(rig.names.ask("7.example"));
        yield_now().await;
        rig.names.forget("7.example");
        let beside = spawn(rig.names.ask("7.example"));
        yield_now().await;
        rig.open(1);
        assert_eq!(asking.await.unwrap().unwrap(), [ip(7)]);
        assert_eq!(beside.await.unwrap().unwrap(), [ip(7)]);
        assert_eq!(rig.calls(), 2);
    });
}

#[test]
fn a_failure_is_shared_by_those_who_wait_and_not_kept() {
    run(async {
        let rig = Rig::new();
        let asking = ["no.example"; 2].map(|host| spawn(rig.names.ask(host)));
        yield_now().await;
        rig.open(1);
        for answer in asking {
            let error = answer.await.unwrap().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::NotFound);
            assert_eq!(error.to_string(), "`no.example`: no such name");
        }
        assert_eq!(rig.calls(), 1);
        rig.ask("no.example").await.unwrap_err();
        assert_eq!(rig.calls(), 2);
    });
}

#[test]
fn a_resolver_that_panics_is_an_error_and_the_next_to_ask_tries_again() {
    run(async {
        let rig = Rig::new();
        let error = rig.ask("panics.example").await.unwrap_err();
        assert!(error.to_string().starts_with("`panics.example`: "), "{error}");
        rig.ask("panics.example").await.unwrap_err();
        assert_eq!(rig.calls(), 2);
    });
}

#[test]
fn who_stops_waiting_takes_the_answer_from_nobody() {
    run(async {
        let rig = Rig::new();
        let (first, second) =
            (spawn(rig.names.ask("7.example")), spawn(rig.names.ask("7.example")));
        yield_now().await;
        first.cancel();
        assert!(first.await.unwrap_err().is_cancelled());
        rig.open(1);
        assert_eq!(second.await.unwrap().unwrap(), [ip(7)]);
        // And what nobody waited for is known to the next.
        drop(rig.names.ask("8.example"));
        rig.open(1);
        while rig.calls() < 2 || matches!(rig.names.ask("8.example"), Answer::Awaited { .. }) {
            yield_now().await;
        }
        assert_eq!(rig.names.ask("8.example").await.unwrap(), [ip(8)]);
        assert_eq!(rig.calls(), 2);
    });
}

/// Each polls with its own waker, and all are woken.
#[test]
fn a_waiter_that_is_polled_again_is_woken_by_its_latest_waker() {
    run(async {
        let rig = Rig::new();
        let mut answer = rig.names.ask("7.example");
        let poll_with = |answer: &mut Answer, waker: &Waker| {
            Pin::new(answer).poll(&mut Context::from_waker(waker))
        };
        assert!(poll_with(&mut answer, Waker::noop()).is_pending());
        rig.open(1);
        assert_eq!(answer.await.unwrap(), [ip(7)]);
    });
}

#[test]
fn the_oldest_answers_give_way() {
    run_virtual(async {
        let rig = Rig::new();
        for n in 0..KEPT_MAX + 2 {
            rig.ask(&format!("{n}.example")).await.unwrap();
            sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(rig.names.entries.borrow().len(), KEPT_MAX);
        let is_known =
            |n: usize| rig.names.entries.borrow().contains_key(format!("{n}.example").as_str());
        let forgotten: Vec<_> = (0..KEPT_MAX + 2).filter(|&n| !is_known(n)).collect();
        assert_eq!(forgotten, [0, 1]);
        sleep(KEPT_FOR).await;
        rig.ask("1.again").await.unwrap();
        assert_eq!(rig.names.entries.borrow().len(), 1, "those past their time go first");
    });
}

#[test]
fn a_look_up_that_hangs_holds_up_no_end() {
    let event_loop = EventLoop::new().unwrap();
    let rig = Rig::new();
    let held = event_loop.block_on(async {
        let mut held = pin!(rig.names.ask("7.example"));
        while rig.calls() == 0 {
            assert!(
                Pin::new(&mut *held).poll(&mut Context::from_waker(Waker::noop())).is_pending()
            );
            yield_now().await;
        }
        Some(rig.names.ask("7.example"))
    });
    let report = event_loop.shutdown(GUARD);
    assert!(report.is_clean() && report.took < GUARD / 2, "{report}");
    // Who waits for it elsewhere is told.
    let error = run(held.unwrap()).unwrap_err();
    assert!(error.to_string().contains("the loop ended before"), "{error}");
    drop(rig.gate);
}

#[test]
fn a_loop_that_is_closing_looks_nothing_up() {
    let event_loop = EventLoop::new().unwrap();
    let rig = Rig::new();
    let names = rig.names.clone();
    let asked = Rc::new(Cell::new(None));
    let answer = asked.clone();
    struct AskLate(Rc<Names>, Rc<Cell<Option<Answer>>>);
    impl Drop for AskLate {
        fn drop(&mut self) {
            self.1.set(Some(self.0.ask("7.example")));
        }
    }
    event_loop.block_on(async {
        drop(spawn(async move {
            let _late = AskLate(names, answer);
            std::future::pending::<()>().await;
        }));
        yield_now().await;
    });
    assert!(event_loop.shutdown(GUARD).is_clean());
    assert!(run(asked.take().unwrap()).is_err());
    assert_eq!(rig.calls(), 0);
}

/// The real resolver, with a name that every machine has.
#[test]
fn the_systems_resolver_is_asked_without_a_port_and_the_port_put_in() {
    run(async {
        let found = look_up("localhost", 77).await.unwrap();
        assert!(!found.is_empty() && found.iter().all(|address| address.ip().is_loopback()));
        assert!(found.iter().all(|address| address.port() == 77));
        assert_eq!(look_up("LOCALHOST", 78).await.unwrap()[0].port(), 78);
        let known = loop_local::<Names>().ask("localhost");
        assert!(matches!(known, Answer::Known(_)));
        assert!(found.len() == known.await.unwrap().len());
    });
}
