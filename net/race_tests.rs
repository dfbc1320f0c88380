//! The order and the times of attempts, exactly, on virtual time and without a network.
//!
//! An attempt is a sleep that then answers or refuses, by a plan; what happens is noted, with the
//! millisecond, and compared with what should.

use std::cell::RefCell;
use std::fmt::Write;
use std::io::ErrorKind;
use std::rc::Rc;

use wheelhouse_runtime::time::{Instant, timeout};
use wheelhouse_runtime::{Clock, EventLoop, spawn};

use super::*;

const HEAD_START: Duration = Duration::from_millis(250);
const NEVER: Duration = Duration::MAX;

/// Notes when each attempt is begun (`+`), fails or succeeds (`!`, `=`) and is dropped before it has
/// ended (`-`), in milliseconds.
#[derive(Clone)]
struct Course {
    start: Instant,
    notes: Rc<RefCell<String>>,
}

impl Course {
    fn note(&self, sign: char, address: SocketAddr) {
        let notes = &mut *self.notes.borrow_mut();
        let space = if notes.is_empty() { "" } else { " " };
        let at = self.start.elapsed().as_millis();
        write!(notes, "{space}{sign}{}@{at}", name(address)).unwrap();
    }

    fn take(&self) -> String {
        self.notes.take()
    }
}

/// Dropped before the end.
struct Open<'a>(&'a Course, SocketAddr, bool);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        if !self.2 {
            self.0.note('-', self.1);
        }
    }
}

/// `6a` is the first IPv6 address, `4b` the second IPv4 address.
fn address(name: &str) -> SocketAddr {
    let (family, number) = name.split_at(1);
    let port = u16::from(number.as_bytes()[0] - b'a' + 1);
    match family {
        "6" => ([0u16, 0, 0, 0, 0, 0, 0, 1], port).into(),
        _ => ([127, 0, 0, 1], port).into(),
    }
}

fn name(address: SocketAddr) -> String {
    let family = if address.is_ipv6() { '6' } else { '4' };
    format!("{family}{}", char::from(b'a' + u8::try_from(address.port()).unwrap() - 1))
}

/// What an address does: nothing for so many milliseconds, then it answers or refuses.
type Plan = &'static [(&'static str, u64, bool)];

const ANSWERS: bool = true;
const REFUSES: bool = false;

fn after(plan: Plan, wanted: SocketAddr) -> (Duration, bool) {
    let found = plan.iter().find(|(name, ..)| address(name) == wanted);
    found.map_or((NEVER, REFUSES), |&(_, ms, answers)| (Duration::from_millis(ms), answers))
}

/// Runs a race on virtual time: its course, and the winner or the losers.
fn run(addresses: &str, plan: Plan, limit: Duration) -> (String, String) {
    let event_loop = EventLoop::builder().clock(Clock::Virtual { settle: None }).build().unwrap();
    event_loop.block_on(async {
        let course = Course { start: Instant::now(), notes: Rc::default() };
        let attempt = |to: SocketAddr| {
            let course = &course;
            async move {
                course.note('+', to);
                let mut open = Open(course, to, false);
                let (delay, answers) = after(plan, to);
                sleep(delay).await;
                open.2 = true;
                course.note(if answers { '=' } else { '!' }, to);
                if answers { Ok(to) } else { Err(ErrorKind::ConnectionRefused.into()) }
            }
        };
        let addresses = addresses.split(' ').filter(|name| !name.is_empty()).map(address).collect();
        let mut race = Race::new(addresses, HEAD_START, attempt);
        let names = |failures: Vec<Failure>| {
            let names: Vec<_> = failures.into_iter().map(|(address, _)| name(address)).collect();
            format!("none: {}", names.join(" "))
        };
        let outcome = match timeout(limit, &mut race).await {
            Ok(Ok(winner)) => name(winner),
            Ok(Err(failures)) => names(failures),
            Err(_) => names(race.give_up(|| ErrorKind::TimedOut.into())),
        };
        (course.take(), outcome)
    })
}

#[track_caller]
fn check(addresses: &str, plan: Plan, course: &str, outcome: &str) {
    let limit = Duration::from_secs(3600);
    assert_eq!(run(addresses, plan, limit), (course.to_owned(), outcome.to_owned()));
}

#[test]
fn the_families_take_turns_each_with_a_head_start() {
    let plan = &[("4d", 1, ANSWERS)];
    let course = "+6a@0 +4a@250 +6b@500 +4b@750 +6c@1000 +4c@1250 +4d@1500 =4d@1501 \
                  -6a@1501 -4a@1501 -6b@1501 -4b@1501 -6c@1501 -4c@1501";
    check("6a 6b 6c 4a 4b 4c 4d", plan, course, "4d");
    // It begins with what comes first.
    check("4a 4b 6a", &[("4b", 0, ANSWERS)], "+4a@0 +6a@250 +4b@500 =4b@500 -4a@500 -6a@500", "4b");
}

#[test]
fn an_answer_in_time_leaves_the_others_alone() {
    check("6a 4a", &[("6a", 249, ANSWERS)], "+6a@0 =6a@249", "6a");
    check("4a", &[("4a", 9_000, ANSWERS)], "+4a@0 =4a@9000", "4a");
}

#[test]
fn a_failure_makes_room_for_the_next_at_once_and_it_has_a_head_start_of_its_own() {
    let plan = &[("6a", 30, REFUSES), ("6b", 100, ANSWERS)];
    check("6a 6b 4a", plan, "+6a@0 !6a@30 +4a@30 +6b@280 =6b@380 -4a@380", "6b");
}

/// The failure of an early one while a later one has its head start.
#[test]
fn any_failure_makes_room() {
    let plan = &[("6a", 300, REFUSES), ("6b", 0, ANSWERS)];
    check("6a 6b 4a", plan, "+6a@0 +4a@250 !6a@300 +6b@300 =6b@300 -4a@300", "6b");
}

#[test]
fn what_fails_at_once_takes_no_time() {
    let plan = &[("6a", 0, REFUSES), ("4a", 0, REFUSES), ("6b", 0, ANSWERS)];
    check("6a 6b 4a 4b", plan, "+6a@0 !6a@0 +4a@0 !4a@0 +6b@0 =6b@0", "6b");
}

#[test]
fn a_slow_one_may_still_win() {
    let plan = &[("6a", 400, ANSWERS), ("4a", 400, ANSWERS)];
    check("6a 4a", plan, "+6a@0 +4a@250 =6a@400 -4a@400", "6a");
}

#[test]
fn of_two_that_answer_at_once_the_first_wins() {
    let plan = &[("6a", 500, ANSWERS), ("4a", 250, ANSWERS)];
    check("6a 4a", plan, "+6a@0 +4a@250 =6a@500 -4a@500", "6a");
}

#[test]
fn when_all_fail_each_failure_is_told_in_order() {
    let plan = &[("6a", 600, REFUSES), ("4a", 100, REFUSES), ("6b", 1_000, REFUSES)];
    let course = "+6a@0 +4a@250 !4a@350 +6b@350 !6a@600 !6b@1350";
    check("6a 6b 4a", plan, course, "none: 4a 6a 6b");
}

#[test]
fn nothing_to_try_is_a_failure_without_failures() {
    check("", &[], "", "none: ");
}

#[test]
fn given_up_it_tells_what_failed_and_what_had_not_ended() {
    let (course, outcome) = run("6a 6b 4a 4b", &[("4a", 1, REFUSES)], Duration::from_millis(400));
    assert_eq!(course, "+6a@0 +4a@250 !4a@251 +6b@251 -6a@400 -6b@400");
    assert_eq!(outcome, "none: 4a 6a 6b");
}

#[test]
fn dropped_it_begins_no_more() {
    let event_loop = EventLoop::builder().clock(Clock::Virtual { settle: None }).build().unwrap();
    event_loop.block_on(async {
        let begun = Rc::new(RefCell::new(0));
        let count = begun.clone();
        let racing = spawn(async move {
            let attempt = |_| {
                *count.borrow_mut() += 1;
                std::future::pending::<io::Result<()>>()
            };
            let _ = Race::new(["6a", "4a", "6b"].map(address).into(), HEAD_START, attempt).await;
        });
        sleep(HEAD_START + HEAD_START / 2).await;
        racing.cancel();
        sleep(HEAD_START * 4).await;
        assert_eq!(*begun.borrow(), 2);
    });
}
