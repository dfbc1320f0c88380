//! The scripted selector: a real one, made to misbehave on request.
//!
//! Operating systems interrupt waits, deliver late, report what is not there and refuse when they
//! are out of memory, but seldom while somebody tests. A [`Script`] says, wait by wait, which of
//! this happens. Apart from it everything is real: descriptors, events and wake-ups come from the
//! selector inside, so that a program runs its usual course with a fault at a chosen place.
//!
//! Whatever the script, the contract in `mod.rs` holds, or else a failing test would prove nothing
//! about the loop; [`Step::StaleUnfiltered`] is the exception and says so. Two rules follow. What
//! the real selector reported is only ever postponed, never lost; and while something is postponed
//! the real selector is kept awake, so that its descriptor stays readable and no wait blocks.
//!
//! It may not know the reactor nor the loop.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::{BorrowedFd, RawFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::script::{Script, Step};
use super::{Event, Interest, Ready, Registrar, Selector, Transfers};
use crate::table::Key;

/// A selector that does what a [`Script`] says with what the one inside it reports.
pub(crate) struct ScriptedSelector {
    real: Box<dyn Selector>,
    registrar: Arc<ScriptedRegistrar>,
    events_per_turn: usize,
    /// What the real selector reported in this wait.
    arrived: Vec<Event>,
    /// What the last wait that had events delivered.
    previous: Vec<Event>,
}

impl ScriptedSelector {
    /// Both selectors report at most `events_per_turn` events a wait.
    pub(crate) fn new(real: Box<dyn Selector>, script: Script, events_per_turn: usize) -> Self {
        let registrar =
            ScriptedRegistrar { real: real.registrar(), script, book: Mutex::default() };
        ScriptedSelector {
            real,
            registrar: Arc::new(registrar),
            events_per_turn: events_per_turn.max(1),
            arrived: Vec::new(),
            previous: Vec::new(),
        }
    }

    /// The events that `step` invents.
    fn invent(&self, step: Step) -> Vec<Event> {
        let book = self.registrar.book();
        match step {
            Step::Spurious => book.everything_ready(),
            Step::Stale => {
                self.previous.iter().filter(|event| book.knows(event.key)).copied().collect()
            }
            Step::StaleUnfiltered => self.previous.clone(),
            _ => Vec::new(),
        }
    }

    /// Appends what `step` lets through to `events` and keeps the rest.
    fn deliver(
        &mut self,
        step: Step,
        invented: Vec<Event>,
        events: &mut Vec<Event>,
    ) -> io::Result<()> {
        let room = match step {
            Step::Hold => 0,
            Step::OneAtATime => 1,
            _ => self.events_per_turn,
        };
        let start = events.len();
        let keeps = self.registrar.book().pass_on(&mut self.arrived, room, events);
        // Inventions that find no room are dropped: none of them is owed to anybody.
        let room_left = room.saturating_sub(events.len() - start);
        events.extend(invented.into_iter().take(room_left));
        if events.len() > start {
            self.previous.clear();
            self.previous.extend_from_slice(&events[start..]);
        }
        if keeps { self.registrar.real.wake() } else { Ok(()) }
    }
}

impl Selector for ScriptedSelector {
    fn select(&mut self, events: &mut Vec<Event>, timeout: Option<Duration>) -> io::Result<()> {
        let step = self.registrar.script.next_step(timeout);
        match step {
            Step::Fail(kind) => return Err(kind.into()),
            Step::FailOs(errno) => return Err(io::Error::from_raw_os_error(errno)),
            Step::Interrupted => return Ok(()),
            _ => {}
        }
        let invented = self.invent(step);
        // What is kept needs no such care: the real selector was woken when it was put aside.
        let timeout = if invented.is_empty() { timeout } else { Some(Duration::ZERO) };
        self.real.select(&mut self.arrived, timeout)?;
        self.deliver(step, invented, events)
    }

    fn was_full(&self) -> bool {
        // What is kept here keeps the descriptor readable.
        self.real.was_full()
    }

    fn registrar(&self) -> Arc<dyn Registrar> {
        self.registrar.clone()
    }

    fn transfers(&self) -> Transfers {
        self.registrar.script.limited(self.real.transfers())
    }
}

impl std::fmt::Debug for ScriptedSelector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ScriptedSelector")
            .field("script", &self.registrar.script)
            .field("events_per_turn", &self.events_per_turn)
            .finish_non_exhaustive()
    }
}

struct ScriptedRegistrar {
    real: Arc<dyn Registrar>,
    script: Script,
    /// Locked around each call of the real registrar, so that an event never precedes the
    /// registration here that it belongs to, nor outlives it.
    book: Mutex<Book>,
}

impl ScriptedRegistrar {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registrar for ScriptedRegistrar {
    fn register(&self, fd: RawFd, key: Key, interest: Interest) -> io::Result<()> {
        self.script.refuse_registration()?;
        let mut book = self.book();
        self.real.register(fd, key, interest)?;
        // Where the number was in the book, its descriptor was closed without a word and the kernel
        // forgot it; here it is forgotten now.
        book.remove(fd);
        book.insert(fd, key, interest);
        self.script.count_registration();
        Ok(())
    }

    fn deregister(&self, fd: RawFd) -> io::Result<()> {
        let mut book = self.book();
        // Removed even if the real one fails: then the descriptor was closed before.
        book.remove(fd);
        self.real.deregister(fd)
    }

    fn wake(&self) -> io::Result<()> {
        self.script.count_wake()?;
        self.real.wake()
    }

    fn as_fd(&self) -> BorrowedFd<'_> {
        self.real.as_fd()
    }
}

/// What is registered, and which of its events are put aside.
#[derive(Debug, Default)]
struct Book {
    keys: BTreeMap<RawFd, Key>,
    /// Ordered, so that inventions come in the same order in each run.
    interests: BTreeMap<Key, Interest>,
    /// Real events for the next waits. Each key in it is registered.
    kept: VecDeque<Event>,
}

impl Book {
    fn insert(&mut self, fd: RawFd, key: Key, interest: Interest) {
        self.keys.insert(fd, key);
        self.interests.insert(key, interest);
    }

    fn remove(&mut self, fd: RawFd) {
        let Some(key) = self.keys.remove(&fd) else { return };
        self.interests.remove(&key);
        self.kept.retain(|event| event.key != key);
    }

    fn knows(&self, key: Key) -> bool {
        self.interests.contains_key(&key)
    }

    fn everything_ready(&self) -> Vec<Event> {
        let as_ready = |(&key, interest): (&Key, &Interest)| {
            let mut ready = Ready::EMPTY;
            if interest.is_readable() {
                ready |= Ready::READABLE;
            }
            if interest.is_writable() {
                ready |= Ready::WRITABLE;
            }
            Event { key, ready }
        };
        self.interests.iter().map(as_ready).collect()
    }

    /// Moves up to `room` events, the oldest first, to `events`, keeps the rest and says whether
    /// there is any.
    fn pass_on(&mut self, arrived: &mut Vec<Event>, room: usize, events: &mut Vec<Event>) -> bool {
        self.kept.extend(arrived.drain(..));
        events.extend(self.kept.drain(..room.min(self.kept.len())));
        // An event of a descriptor that was deregistered since it arrived: in this wait it may
        // still be reported, in a later one not.
        self.kept.retain(|event| self.interests.contains_key(&event.key));
        !self.kept.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::super::kind::SelectorKind;
    use super::super::rig::{Rig, key, ready_of, scripted, tcp_pair};
    use super::super::script::TIMEOUTS_KEPT;
    use super::*;
    use std::net::TcpStream;
    use std::os::fd::AsRawFd;

    const ROOM: usize = 8;
    const AT_ONCE: Option<Duration> = Some(Duration::ZERO);

    fn rig(script: &Script) -> Rig {
        Rig::new(Box::new(scripted(script.clone(), ROOM)), ROOM)
    }

    /// `count` descriptors that are ready for writing, under the keys from 0.
    fn ready_sources(rig: &Rig, count: u64) -> Vec<(TcpStream, TcpStream)> {
        let pairs: Vec<_> = (0..count).map(|_| tcp_pair()).collect();
        for (n, (ours, _)) in pairs.iter().enumerate() {
            rig.register(ours, key(n as u64), Interest::WRITABLE);
        }
        pairs
    }

    fn keys(events: &[Event]) -> Vec<u64> {
        events.iter().map(|event| event.key.to_bits()).collect()
    }

    #[test]
    fn each_wait_takes_a_step_and_then_the_real_selector_takes_over() {
        let steps = [Step::Fail(io::ErrorKind::OutOfMemory), Step::FailOs(9), Step::Interrupted];
        let script = Script::new(steps);
        script.push(Step::Interrupted);
        let mut rig = rig(&script);
        let _sources = ready_sources(&rig, 1);
        let mut failed = || rig.selector.select(&mut Vec::new(), None).unwrap_err();
        assert_eq!(failed().kind(), io::ErrorKind::OutOfMemory);
        assert_eq!(failed().raw_os_error(), Some(9));
        assert_eq!(rig.wait(AT_ONCE), []);
        assert_eq!(rig.wait(None), []);
        assert_eq!(keys(&rig.wait_in_time()), [0], "nothing was lost on the way");
        assert_eq!((script.waits(), script.registrations()), (5, 1));
        assert_eq!(script.timeouts()[..4], [None, None, AT_ONCE, None]);
    }

    #[test]
    fn a_repeating_script_starts_anew() {
        let script = Script::repeating([Step::Pass, Step::Interrupted]);
        let mut rig = rig(&script);
        let sources = ready_sources(&rig, 1);
        for _ in 0..3 {
            // Registered anew, it reports anew.
            rig.registrar.deregister(sources[0].0.as_raw_fd()).unwrap();
            rig.register(&sources[0].0, key(0), Interest::BOTH);
            assert_eq!(keys(&rig.wait_in_time()), [0]);
            rig.registrar.wake().unwrap();
            assert_eq!(rig.wait_in_time(), []);
            rig.wait(AT_ONCE);
            rig.wait(AT_ONCE);
        }
    }

    #[test]
    fn a_wake_up_outlives_the_waits_that_fail_or_are_interrupted() {
        let script = Script::new([Step::FailOs(9), Step::Interrupted]);
        let mut rig = rig(&script);
        rig.registrar.wake().unwrap();
        rig.selector.select(&mut Vec::new(), None).unwrap_err();
        rig.wait_in_time();
        assert_eq!(rig.wait_in_time(), []);
        assert_eq!(script.wakes(), 1);
    }

    #[test]
    fn one_event_at_a_time_leaves_the_others_for_later() {
        let script = Script::new([Step::OneAtATime, Step::OneAtATime]);
        let mut rig = rig(&script);
        let _sources = ready_sources(&rig, 4);
        let mut all = keys(&rig.wait_in_time());
        assert_eq!(all.len(), 1);
        all.extend(keys(&rig.wait_in_time()));
        assert_eq!(all.len(), 2);
        all.extend(keys(&rig.wait_in_time()));
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 3]);
        assert_eq!(rig.wait(AT_ONCE), [], "none is reported twice");
    }

    #[test]
    fn what_is_held_comes_with_the_next_wait_which_does_not_block() {
        let script = Script::new([Step::Hold, Step::Hold]);
        let mut rig = rig(&script);
        let _sources = ready_sources(&rig, 2);
        assert_eq!(rig.wait_in_time(), []);
        assert_eq!(rig.wait_in_time(), []);
        assert_eq!(keys(&rig.wait_in_time()), [0, 1]);
        assert_eq!(rig.wait(AT_ONCE), []);
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no poll")]
    fn while_something_is_held_the_descriptor_is_readable() {
        let script = Script::new([Step::Hold, Step::OneAtATime, Step::Pass]);
        let mut rig = rig(&script);
        let _sources = ready_sources(&rig, 2);
        for _ in 0..3 {
            assert!(rig.is_due());
            rig.wait_in_time();
        }
        assert!(!rig.is_due());
        assert_eq!(script.wakes(), 0, "the wake-ups that this takes are not the program's");
    }

    #[test]
    fn what_is_deregistered_while_it_is_held_is_never_reported() {
        let script = Script::new([Step::Hold]);
        let mut rig = rig(&script);
        let sources = ready_sources(&rig, 2);
        rig.wait_in_time();
        rig.deregister(&sources[0].0);
        assert_eq!(keys(&rig.wait_in_time()), [1]);
    }

    #[test]
    fn what_is_deregistered_between_its_arrival_and_its_delivery_is_not_held() {
        let mut book = Book::default();
        book.insert(3, key(0), Interest::BOTH);
        let event = |n| Event { key: key(n), ready: Ready::WRITABLE };
        let mut delivered = Vec::new();
        // Key 1 was in the book when the real selector reported it, and no longer is.
        assert!(book.pass_on(&mut vec![event(0), event(1)], 0, &mut delivered));
        assert!(!book.pass_on(&mut Vec::new(), ROOM, &mut delivered));
        assert_eq!(delivered, [event(0)]);
    }

    #[test]
    fn spurious_events_are_for_the_registered_directions_and_need_no_wait() {
        let script = Script::new([Step::Pass, Step::Spurious]);
        let mut rig = rig(&script);
        let sources = ready_sources(&rig, 1);
        let (reader, _peer) = tcp_pair();
        rig.register(&reader, key(1), Interest::READABLE);
        assert_eq!(keys(&rig.wait_in_time()), [0]);
        let events = rig.wait_in_time();
        assert_eq!(ready_of(key(0), &events), Ready::WRITABLE);
        assert_eq!(ready_of(key(1), &events), Ready::READABLE);
        rig.deregister(&sources[0].0);
        script.push(Step::Spurious);
        assert_eq!(keys(&rig.wait_in_time()), [1]);
    }

    #[test]
    fn inventions_never_crowd_out_what_is_real() {
        let script = Script::new([Step::Spurious, Step::Hold, Step::Spurious]);
        let mut rig = rig(&script);
        let sources = ready_sources(&rig, ROOM as u64 + 2);
        // The two that do not fit at first come next; `wait` checks that the room is kept to.
        let mut real = keys(&rig.wait_in_time());
        assert_eq!(real.len(), ROOM);
        assert_eq!(rig.wait_in_time(), []);
        real.extend(&keys(&rig.wait_in_time())[..2]);
        real.sort_unstable();
        assert_eq!(real, (0..sources.len() as u64).collect::<Vec<_>>());
    }

    #[test]
    fn stale_events_are_those_of_the_last_wait_but_of_what_was_deregistered() {
        let script = Script::new([Step::Pass, Step::Pass, Step::Stale, Step::StaleUnfiltered]);
        let mut rig = rig(&script);
        let sources = ready_sources(&rig, 2);
        let first = rig.wait_in_time();
        assert_eq!(rig.wait(AT_ONCE), []);
        assert_eq!(rig.wait_in_time(), first);
        rig.deregister(&sources[0].0);
        assert_eq!(rig.wait_in_time(), first, "contract or not");
        script.push(Step::Stale);
        assert_eq!(keys(&rig.wait_in_time()), [1]);
    }

    #[test]
    fn registering_fails_as_often_as_it_shall() {
        let script = Script::default();
        let mut rig = rig(&script);
        let (ours, _peer) = tcp_pair();
        let fd = ours.as_raw_fd();
        script.fail_register(12, 2);
        for _ in 0..2 {
            let error = rig.registrar.register(fd, key(0), Interest::BOTH).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(12));
        }
        assert_eq!(script.registrations(), 0);
        assert!(rig.registrar.deregister(fd).is_err(), "it was not registered");
        rig.register(&ours, key(0), Interest::BOTH);
        assert_eq!(script.registrations(), 1);
        assert_eq!(keys(&rig.wait_in_time()), [0]);
        script.fail_register(12, 1);
        script.fail_register(12, 0);
        rig.deregister(&ours);
        rig.register(&ours, key(0), Interest::BOTH);
    }

    #[test]
    fn edges_are_emulated_on_request_only() {
        let script = Script::default();
        let real = SelectorKind::default().make(ROOM).unwrap();
        let is_real = |script| scripted(script, ROOM).transfers().short_means_empty;
        assert_eq!(is_real(script.clone()), real.transfers().short_means_empty);
        script.emulate_edges();
        assert!(!is_real(script));
    }

    #[test]
    fn only_the_latest_timeouts_are_remembered() {
        let script = Script::default();
        for n in 0..TIMEOUTS_KEPT as u64 + 1 {
            script.next_step(Some(Duration::from_secs(n)));
        }
        let timeouts = script.timeouts();
        assert_eq!(timeouts.len(), TIMEOUTS_KEPT);
        assert_eq!(timeouts[0], Some(Duration::from_secs(1)));
    }
}
