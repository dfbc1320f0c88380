//! A soak of timers through the whole loop: sleeps that are made, moved, dropped and fire at random,
//! under virtual time, beside a sorted map that says what must happen when.
//!
//! `cargo bench --bench soak` runs a hundred million operations of it, a test a few. The wheel alone
//! has a soak of its own, over all 64 bits, in `runtime/time/wheel_tests.rs`.

use std::collections::BTreeSet;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use wheelhouse::time::{self, Instant, Sleep, sleep_until};
use wheelhouse::{Clock, EventLoop};

/// Sleeps that are there at once, at most.
const SLOTS: usize = 2048;
/// A tick of the clock, in nanoseconds.
const TICK_NS: u64 = 1024;
/// Where the clock ends, 584 years after the loop was made.
const END_NS: u64 = u64::MAX - 2 * TICK_NS;
/// The levels of the wheel that such distances reach, 64 times as far each.
const LEVELS: usize = 9;

/// What happened.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) operations: u64,
    pub(crate) made: u64,
    pub(crate) moved: u64,
    pub(crate) dropped: u64,
    pub(crate) fired: u64,
    /// Times that the clock was moved.
    pub(crate) moves: u64,
    /// Loops that were taken to the end of their clock.
    pub(crate) ends: u64,
    /// Woken before their deadline, or after they were dropped.
    pub(crate) early: u64,
    /// Not woken at the first move of the clock that reached them.
    pub(crate) lost: u64,
    /// How many were set so far ahead, by level.
    pub(crate) by_level: [u64; LEVELS],
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} operations: {} sleeps made, {} moved, {} dropped, {} fired; {} moves of the clock",
            self.operations, self.made, self.moved, self.dropped, self.fired, self.moves
        )?;
        writeln!(f, "the end of the clock, 584 years on, was reached {} times", self.ends)?;
        writeln!(f, "deadlines by the level of the wheel they reach: {:?}", self.by_level)?;
        write!(f, "{} early, {} lost", self.early, self.lost)
    }
}

/// Runs so many operations, all the same for the same seed.
pub(crate) fn soak(operations: u64, seed: u64) -> Outcome {
    let mut outcome = Outcome::default();
    let mut random = Random(seed);
    while outcome.operations < operations {
        let clock = Clock::Virtual { settle: None };
        let event_loop = EventLoop::builder().clock(clock).build().unwrap();
        event_loop.block_on(async {
            // Moved by hand only.
            time::pause();
            let mut life = Life::new(&mut outcome, &mut random);
            while life.now < END_NS && life.outcome.operations < operations {
                life.step().await;
            }
            life.outcome.ends += u64::from(life.now >= END_NS);
        });
        assert_eq!(event_loop.metrics().timers, 0);
    }
    outcome
}

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// A number of at most so many bits, of which each count is equally likely.
    fn of_bits(&mut self, most: u64) -> u64 {
        self.next().checked_shr(64 - self.below(most + 1) as u32).unwrap_or(0)
    }
}

/// Notes its number when it is woken.
struct Note {
    slot: usize,
    woken: Arc<Mutex<Vec<usize>>>,
}

impl Wake for Note {
    fn wake(self: Arc<Self>) {
        self.woken.lock().unwrap().push(self.slot);
    }
}

/// One loop, from its start to the end of its clock.
struct Life<'a> {
    outcome: &'a mut Outcome,
    random: &'a mut Random,
    start: Instant,
    /// Nanoseconds since the start, as the clock shows them.
    now: u64,
    sleeps: Vec<Option<(Sleep, u64)>>,
    /// Slots without a sleep, and those with one.
    free: Vec<usize>,
    live: Vec<usize>,
    wakers: Vec<Waker>,
    woken: Arc<Mutex<Vec<usize>>>,
    /// What is to fire: deadline and slot.
    model: BTreeSet<(u64, usize)>,
}

impl<'a> Life<'a> {
    fn new(outcome: &'a mut Outcome, random: &'a mut Random) -> Life<'a> {
        let woken = Arc::new(Mutex::new(Vec::new()));
        let note = |slot| Waker::from(Arc::new(Note { slot, woken: woken.clone() }));
        Life {
            outcome,
            random,
            start: Instant::now(),
            now: 0,
            sleeps: (0..SLOTS).map(|_| None).collect(),
            free: (0..SLOTS).collect(),
            live: Vec::new(),
            wakers: (0..SLOTS).map(note).collect(),
            woken,
            model: BTreeSet::new(),
        }
    }

    async fn step(&mut self) {
        self.outcome.operations += 1;
        match self.random.below(16) {
            0..6 => self.make(),
            6..10 => self.move_later(),
            10 => self.move_anywhere(),
            11..13 => self.drop_one(),
            _ => self.let_time_pass().await,
        }
    }

    /// Ahead of now, at every distance.
    fn deadline(&mut self) -> u64 {
        let ahead = 1 + self.random.of_bits(63);
        let level = (ahead / TICK_NS).max(1).ilog2() as usize / 6;
        self.outcome.by_level[level] += 1;
        self.now.saturating_add(ahead)
    }

    fn make(&mut self) {
        let Some(slot) = self.free.pop() else { return };
        let deadline = self.deadline();
        let mut sleep = sleep_until(self.start + Duration::from_nanos(deadline));
        assert!(poll(&mut sleep, &self.wakers[slot]).is_pending());
        self.sleeps[slot] = Some((sleep, deadline));
        self.live.push(slot);
        self.model.insert((deadline, slot));
        self.outcome.made += 1;
    }

    /// As an idle timeout with each message.
    fn move_later(&mut self) {
        let later = self.random.of_bits(50);
        self.reset(|now, old| old.max(now).saturating_add(later));
    }

    fn move_anywhere(&mut self) {
        let deadline = self.deadline();
        self.reset(|_, _| deadline);
    }

    /// The place in the list of any sleep that is there.
    fn any(&mut self) -> Option<usize> {
        let count = self.live.len() as u64;
        (count > 0).then(|| self.random.below(count) as usize)
    }

    fn reset(&mut self, to: impl FnOnce(u64, u64) -> u64) {
        let Some(place) = self.any() else { return };
        let slot = self.live[place];
        let Some((sleep, old)) = &mut self.sleeps[slot] else { unreachable!("it is live") };
        let deadline = to(self.now, *old);
        Pin::new(sleep).reset(self.start + Duration::from_nanos(deadline));
        assert!(self.model.remove(&(*old, slot)));
        self.model.insert((deadline, slot));
        *old = deadline;
        self.outcome.moved += 1;
    }

    fn drop_one(&mut self) {
        let Some(place) = self.any() else { return };
        let slot = self.live.swap_remove(place);
        let Some((sleep, deadline)) = self.sleeps[slot].take() else { unreachable!("it is live") };
        drop(sleep);
        assert!(self.model.remove(&(deadline, slot)));
        self.free.push(slot);
        self.outcome.dropped += 1;
    }

    /// Mostly little, at times years, and at times to the tick before or after a deadline.
    async fn let_time_pass(&mut self) {
        let first = self.model.first().map_or(self.now, |(deadline, _)| *deadline);
        let by = match self.random.below(64) {
            0 => self.random.of_bits(60),
            1..8 => first.saturating_sub(self.now),
            8..16 => first.saturating_sub(self.now).saturating_sub(2 * TICK_NS),
            _ => self.random.of_bits(32),
        };
        time::advance(Duration::from_nanos(by)).await;
        self.now = u64::try_from((Instant::now() - self.start).as_nanos()).unwrap_or(u64::MAX);
        self.outcome.moves += 1;
        self.compare();
    }

    /// What was woken against what was due: the same, in order.
    fn compare(&mut self) {
        let woken = std::mem::take(&mut *self.woken.lock().unwrap());
        let mut last_tick = 0;
        for slot in woken {
            let deadline = self.sleeps[slot].as_ref().map_or(u64::MAX, |(_, deadline)| *deadline);
            let tick = deadline.div_ceil(TICK_NS);
            let is_due = deadline <= self.now && self.model.remove(&(deadline, slot));
            if !is_due || tick < last_tick {
                self.outcome.early += 1;
                continue;
            }
            last_tick = tick;
            let (mut sleep, _) = self.sleeps[slot].take().unwrap();
            assert!(poll(&mut sleep, &self.wakers[slot]).is_ready());
            self.free.push(slot);
            self.outcome.fired += 1;
        }
        self.live.retain(|slot| self.sleeps[*slot].is_some());
        while let Some((_, slot)) = self.model.first().copied().filter(|due| due.0 <= self.now) {
            self.model.pop_first();
            self.sleeps[slot] = None;
            self.live.retain(|live| *live != slot);
            self.free.push(slot);
            self.outcome.lost += 1;
        }
    }
}

fn poll(sleep: &mut Sleep, waker: &Waker) -> Poll<()> {
    std::future::Future::poll(Pin::new(sleep), &mut Context::from_waker(waker))
}
