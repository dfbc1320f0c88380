//! What is still to be asked for, and when each host may be asked again.
//!
//! Each host has a queue, a number of requests it may have at once and a time between two of them.
//! Hosts that may be asked stand in a heap by the moment from which they may, so that the next job
//! is found without looking at the others, and hosts take turns. It knows no clock: `now` is an
//! argument.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::time::Duration;

use wheelhouse::time::Instant;

use crate::crawl::pages::PageId;

/// A slow host is not asked more seldom than this, unless it says so itself.
const LONGEST_DELAY: Duration = Duration::from_secs(30);

/// One request to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) page: PageId,
    pub(crate) host: HostId,
    /// Requests made before this one.
    pub(crate) tries: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct HostId(u32);

/// How a host wants to be treated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Manners {
    pub(crate) at_once: usize,
    /// Between the starts of two requests.
    pub(crate) delay: Duration,
    /// The delay follows how long answers take.
    pub(crate) is_adaptive: bool,
}

/// How an answer came, as far as the pace is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    Answered(Duration),
    /// It was too much for the server, or it was too slow.
    Strained,
    /// Nothing was asked.
    Unknown,
}

#[derive(Debug)]
struct Host {
    name: String,
    manners: Manners,
    /// What it is now, never below the one in the manners.
    delay: Duration,
    queue: VecDeque<(PageId, u8)>,
    active: usize,
    not_before: Instant,
    /// It stands in the heap.
    is_listed: bool,
    /// It gets no request any more.
    is_left_alone: bool,
}

/// Moment, turn, and the job.
type Later = (Instant, u64, HostId, PageId, u8);

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Job(Job),
    /// Nothing before then.
    At(Instant),
    /// Nothing, until a request ends or a page is found.
    Nothing,
}

#[derive(Debug, Default)]
pub(crate) struct Frontier {
    hosts: Vec<Host>,
    by_name: HashMap<String, HostId>,
    /// By the moment they may be asked, then by turn.
    listed: BinaryHeap<Reverse<(Instant, u64, HostId)>>,
    /// Jobs that wait for their moment: retries.
    later: BinaryHeap<Reverse<Later>>,
    turn: u64,
    waiting: usize,
}

impl Frontier {
    /// The host by this name; `manners` is asked if it is new.
    pub(crate) fn host(&mut self, name: &str, now: Instant, manners: Manners) -> HostId {
        if let Some(host) = self.by_name.get(name) {
            return *host;
        }
        let host = HostId(self.hosts.len() as u32);
        self.hosts.push(Host {
            name: name.to_owned(),
            manners,
            delay: manners.delay,
            queue: VecDeque::new(),
            active: 0,
            not_before: now,
            is_listed: false,
            is_left_alone: false,
        });
        self.by_name.insert(name.to_owned(), host);
        host
    }

    pub(crate) fn name(&self, host: HostId) -> &str {
        &self.hosts[host.0 as usize].name
    }

    /// Jobs that have not begun.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting
    }

    pub(crate) fn push(&mut self, host: HostId, page: PageId) {
        let entry = &mut self.hosts[host.0 as usize];
        if !entry.is_left_alone {
            entry.queue.push_back((page, 0));
            self.waiting += 1;
            self.list(host);
        }
    }

    /// Once more, not before `at`.
    pub(crate) fn push_later(&mut self, job: Job, at: Instant) {
        self.waiting += 1;
        self.turn += 1;
        self.later.push(Reverse((at, self.turn, job.host, job.page, job.tries)));
    }

    /// Takes the next job that may begin at `now`. Each must be ended by [`Frontier::end`].
    pub(crate) fn next(&mut self, now: Instant) -> Next {
        while self.later.peek().is_some_and(|Reverse(job)| job.0 <= now) {
            if let Some(Reverse((_, _, host, page, tries))) = self.later.pop() {
                let entry = &mut self.hosts[host.0 as usize];
                if entry.is_left_alone {
                    self.waiting -= 1;
                    continue;
                }
                // Before the others: somebody has waited for it.
                entry.queue.push_front((page, tries));
                self.list(host);
            }
        }
        while let Some(Reverse((at, _, id))) = self.listed.peek().copied() {
            let host = &mut self.hosts[id.0 as usize];
            if at > now {
                break;
            }
            self.listed.pop();
            host.is_listed = false;
            if host.not_before > now {
                // It was asked to wait after it had been listed.
                self.list(id);
                continue;
            }
            if host.active >= host.manners.at_once {
                // It was slowed down meanwhile; the end of a request lists it again.
                continue;
            }
            let Some((page, tries)) = host.queue.pop_front() else { continue };
            host.active += 1;
            host.not_before = now + host.delay;
            self.waiting -= 1;
            self.list(id);
            return Next::Job(Job { page, host: id, tries });
        }
        let listed = self.listed.peek().map(|Reverse(host)| host.0);
        let later = self.later.peek().map(|Reverse(job)| job.0);
        match [listed, later].into_iter().flatten().min() {
            Some(at) => Next::At(at),
            None => Next::Nothing,
        }
    }

    /// A request of this host has ended.
    pub(crate) fn end(&mut self, id: HostId, pace: Pace) {
        let host = &mut self.hosts[id.0 as usize];
        host.active -= 1;
        if host.manners.is_adaptive {
            // Half way to what the server shows to need; in trouble only ever slower.
            host.delay = match pace {
                Pace::Answered(time) => (host.delay + time) / 2,
                Pace::Strained => host.delay * 2,
                Pace::Unknown => host.delay,
            };
            let longest = host.manners.delay.max(LONGEST_DELAY);
            host.delay = host.delay.clamp(host.manners.delay, longest);
        }
        self.list(id);
    }

    /// The host wants at least this between two requests, and then one at a time.
    pub(crate) fn slow_down(&mut self, id: HostId, delay: Duration) {
        let host = &mut self.hosts[id.0 as usize];
        if delay > host.manners.delay {
            host.manners.delay = delay;
            host.manners.at_once = 1;
            host.not_before += delay.saturating_sub(host.delay);
            host.delay = host.delay.max(delay);
        }
    }

    /// The host gets no request any more, and what waits for it is forgotten; whether that is new.
    pub(crate) fn leave_alone(&mut self, id: HostId) -> bool {
        let host = &mut self.hosts[id.0 as usize];
        self.waiting -= std::mem::take(&mut host.queue).len();
        !std::mem::replace(&mut host.is_left_alone, true)
    }

    /// The host wants no request before `at`.
    pub(crate) fn hold(&mut self, id: HostId, at: Instant) {
        let host = &mut self.hosts[id.0 as usize];
        host.not_before = host.not_before.max(at);
    }

    fn list(&mut self, id: HostId) {
        let host = &mut self.hosts[id.0 as usize];
        if !host.is_listed && !host.queue.is_empty() && host.active < host.manners.at_once {
            host.is_listed = true;
            self.turn += 1;
            self.listed.push(Reverse((host.not_before, self.turn, id)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLITE: Manners =
        Manners { at_once: 2, delay: Duration::from_millis(250), is_adaptive: false };
    const LOCAL: Manners = Manners { at_once: 3, delay: Duration::ZERO, is_adaptive: false };

    struct Rig {
        frontier: Frontier,
        start: Instant,
        hosts: Vec<HostId>,
    }

    impl Rig {
        fn new(manners: &[Manners]) -> Rig {
            let start = Instant::from_std(std::time::Instant::now());
            let mut frontier = Frontier::default();
            let hosts = manners.iter().enumerate();
            let hosts = hosts.map(|(at, manners)| frontier.host(&at.to_string(), start, *manners));
            let hosts = hosts.collect();
            Rig { frontier, start, hosts }
        }

        fn push(&mut self, host: usize, pages: std::ops::Range<u32>) {
            pages.for_each(|page| self.frontier.push(self.hosts[host], PageId(page)));
        }

        /// The pages that begin at this millisecond, and when to look again.
        fn at(&mut self, millis: u64) -> (Vec<u32>, Option<u64>) {
            let now = self.start + Duration::from_millis(millis);
            let mut pages = Vec::new();
            loop {
                match self.frontier.next(now) {
                    Next::Job(job) => pages.push(job.page.0),
                    Next::At(at) => {
                        let after = at.duration_since(self.start).as_millis() as u64;
                        return (pages, Some(after));
                    }
                    Next::Nothing => return (pages, None),
                }
            }
        }

        fn end(&mut self, host: usize, pace: Pace) {
            self.frontier.end(self.hosts[host], pace);
        }
    }

    #[test]
    fn two_at_once_and_a_quarter_of_a_second_between() {
        let mut rig = Rig::new(&[POLITE]);
        rig.push(0, 0..4);
        assert_eq!(rig.at(0), (vec![0], Some(250)));
        assert_eq!(rig.at(249), (vec![], Some(250)));
        assert_eq!(rig.at(250), (vec![1], None));
        assert_eq!(rig.at(900), (vec![], None), "two are under way");
        rig.end(0, Pace::Unknown);
        assert_eq!(rig.at(901), (vec![2], None));
        rig.end(0, Pace::Unknown);
        assert_eq!(rig.at(902), (vec![], Some(1151)));
        assert_eq!(rig.frontier.waiting(), 1);
    }

    #[test]
    fn a_host_that_is_left_alone_gets_nothing() {
        let mut rig = Rig::new(&[LOCAL, LOCAL]);
        rig.push(0, 0..6);
        rig.push(1, 6..7);
        assert_eq!(rig.at(0), (vec![0, 6, 1, 2], None));
        let (host, later) = (rig.hosts[0], rig.start + Duration::from_millis(5));
        rig.frontier.push_later(Job { page: PageId(0), host, tries: 1 }, later);
        rig.end(0, Pace::Strained);
        assert!(rig.frontier.leave_alone(host));
        assert!(!rig.frontier.leave_alone(host));
        rig.end(0, Pace::Strained);
        rig.push(0, 7..9);
        rig.push(1, 9..10);
        assert_eq!(rig.at(1), (vec![9], Some(5)));
        assert_eq!((rig.at(6), rig.frontier.waiting()), ((vec![], None), 0));
    }

    #[test]
    fn hosts_take_turns_and_do_not_wait_for_each_other() {
        let mut rig = Rig::new(&[LOCAL, LOCAL, POLITE]);
        rig.push(0, 0..3);
        rig.push(1, 10..13);
        rig.push(2, 20..22);
        assert_eq!(rig.at(0), (vec![0, 10, 20, 1, 11, 2, 12], Some(250)));
        assert_eq!(rig.at(250), (vec![21], None));
        assert_eq!(rig.frontier.waiting(), 0);
    }

    #[test]
    fn a_retry_waits_for_its_moment_and_then_goes_first() {
        let mut rig = Rig::new(&[LOCAL]);
        rig.push(0, 0..1);
        let now = rig.start;
        let Next::Job(job) = rig.frontier.next(now) else { unreachable!() };
        rig.end(0, Pace::Strained);
        let again = Job { tries: 1, ..job };
        rig.frontier.push_later(again, now + Duration::from_millis(500));
        assert_eq!(rig.at(499), (vec![], Some(500)));
        rig.push(0, 1..2);
        assert_eq!(rig.frontier.waiting(), 2);
        let at = now + Duration::from_millis(500);
        assert_eq!(rig.frontier.next(at), Next::Job(again));
    }

    #[test]
    fn a_crawl_delay_makes_it_one_at_a_time() {
        let mut rig = Rig::new(&[POLITE]);
        rig.push(0, 0..3);
        assert_eq!(rig.at(0).0, [0]);
        // It is read with the first request, and counts from its start.
        rig.frontier.slow_down(rig.hosts[0], Duration::from_secs(2));
        rig.frontier.slow_down(rig.hosts[0], Duration::from_millis(1));
        assert_eq!(rig.at(300), (vec![], None), "one is under way");
        rig.end(0, Pace::Unknown);
        assert_eq!(rig.at(400), (vec![], Some(2000)));
        assert_eq!(rig.at(2000).0, [1]);
        assert_eq!(rig.at(9000), (vec![], None), "one is under way");
    }

    #[test]
    fn a_host_that_says_later_is_left_alone() {
        let mut rig = Rig::new(&[LOCAL]);
        rig.push(0, 0..2);
        rig.frontier.hold(rig.hosts[0], rig.start + Duration::from_secs(5));
        assert_eq!(rig.at(10), (vec![], Some(5000)));
        assert_eq!(rig.at(5000).0, [0, 1]);
    }

    #[test]
    fn the_delay_follows_the_answers_within_its_bounds() {
        let adaptive = Manners { is_adaptive: true, ..POLITE };
        let mut rig = Rig::new(&[adaptive]);
        rig.push(0, 0..1000);
        let mut at = 0;
        let mut gap = |rig: &mut Rig, pace: Pace| {
            assert_eq!(rig.at(at).0.len(), 1);
            rig.end(0, pace);
            let start = at;
            // What was decided at the end counts from the next start on.
            at = rig.at(at).1.unwrap();
            at - start
        };
        let slow = Pace::Answered(Duration::from_millis(1250));
        assert_eq!(gap(&mut rig, slow), 250);
        assert_eq!(gap(&mut rig, slow), 750);
        assert_eq!(gap(&mut rig, Pace::Strained), 1000);
        assert_eq!(gap(&mut rig, Pace::Answered(Duration::ZERO)), 2000);
        assert_eq!(gap(&mut rig, Pace::Answered(Duration::ZERO)), 1000);
        for _ in 0..20 {
            gap(&mut rig, Pace::Answered(Duration::ZERO));
        }
        assert_eq!(gap(&mut rig, Pace::Unknown), 250);
        for _ in 0..20 {
            gap(&mut rig, Pace::Strained);
        }
        assert_eq!(gap(&mut rig, Pace::Unknown), 30_000);
    }
}
