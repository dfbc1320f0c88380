//! The wheel against a model that is plainly right, a sorted map, and the cases that broke other
//! wheels.
//!
//! Every run of these is the same run: the only randomness is a generator seeded by number.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;

const SECOND: Tick = 976_563; // of ticks of 1.024 us
const DAY: Tick = 86_400 * SECOND;
const YEAR: Tick = 365 * DAY;

/// Operations for tests at random: few under Miri, more where they are fast.
const OPERATIONS: u64 = if cfg!(miri) {
    2_000
} else if cfg!(debug_assertions) {
    400_000
} else {
    4_000_000
};

/// SplitMix64.
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

impl<T> Wheel<T> {
    /// Checks all that the module's description says holds between calls.
    fn check(&self) {
        let mut seen = 0;
        for level in 0..LEVELS {
            assert_eq!(self.levels >> level & 1 == 1, self.occupied[level] != 0);
            assert_eq!(self.stale[level] & !self.occupied[level], 0, "only lists have minima");
            for digit in 0..SLOTS {
                seen += self.check_slot(Place::new(level, digit));
            }
        }
        assert_eq!(seen, self.len());
        assert!(self.elapsed <= self.now);
    }

    fn check_slot(&self, place: Place) -> usize {
        let slot = self.slots[place.index()];
        let occupied = self.occupied[place.level()] & place.bit() != 0;
        assert_eq!(occupied, slot.head != NIL);
        if !occupied {
            assert_eq!(slot.tail, NIL);
            return 0;
        }
        let current = Place::of(self.elapsed, self.elapsed);
        assert!(place >= current);
        if place != current {
            assert!(place.start(self.elapsed) > self.elapsed);
            assert!(Place::of(slot.min, self.elapsed) == place, "the minimum is in the range");
        }
        let (mut index, mut prev, mut min, mut seen) = (slot.head, NIL, Tick::MAX, 0);
        while index != NIL {
            let entry = self.entries.at(index as usize);
            assert!(entry.links.place == place && entry.links.prev == prev);
            assert!(place <= Place::of(entry.deadline, self.elapsed), "filed late");
            min = min.min(entry.deadline);
            (prev, index, seen) = (index, entry.links.next, seen + 1);
        }
        assert_eq!(slot.tail, prev);
        let stale = self.stale[place.level()] & place.bit() != 0;
        assert!(if stale { slot.min <= min } else { slot.min == min });
        seen
    }

    fn fired_by(&mut self, now: Tick) -> Vec<T> {
        let mut fired = Vec::new();
        self.advance(now, |value| fired.push(value));
        fired
    }
}

struct Timer {
    key: Key,
    deadline: Tick,
    was_reset: bool,
    /// Where it is in the list of live ones.
    place: usize,
}

/// A wheel and its model, under one clock. A timer's value is its number.
struct Pair {
    wheel: Wheel<usize>,
    model: BTreeMap<(Tick, usize), ()>,
    timers: Vec<Timer>,
    live: Vec<usize>,
    now: Tick,
    random: Random,
    fired: u64,
}

impl Pair {
    fn new(start: Tick, seed: u64) -> Pair {
        Pair {
            wheel: Wheel::new(start),
            model: BTreeMap::new(),
            timers: Vec::new(),
            live: Vec::new(),
            now: start,
            random: Random(seed),
            fired: 0,
        }
    }

    /// Mostly the future, at every distance; at times the past, the present or the end of time.
    fn deadline(&mut self) -> Tick {
        match self.random.below(16) {
            0 => self.random.next(),
            1 => Tick::MAX - self.random.of_bits(64),
            2 => self.now.saturating_sub(self.random.of_bits(12)),
            3 => self.now,
            4..10 => self.now.saturating_add(self.random.of_bits(24)),
            _ => self.now.saturating_add(self.random.of_bits(64)),
        }
    }

    fn insert(&mut self, deadline: Tick) {
        let id = self.timers.len();
        let key = self.wheel.insert(deadline, id);
        self.model.insert((deadline, id), ());
        self.timers.push(Timer { key, deadline, was_reset: false, place: self.live.len() });
        self.live.push(id);
    }

    fn any(&mut self) -> Option<usize> {
        let n = self.live.len() as u64;
        (n > 0).then(|| self.live[self.random.below(n) as usize])
    }

    fn forget(&mut self, id: usize) {
        let place = self.timers[id].place;
        self.live.swap_remove(place);
        if let Some(&moved) = self.live.get(place) {
            self.timers[moved].place = place;
        }
        assert!(self.model.remove(&(self.timers[id].deadline, id)).is_some());
    }

    fn remove(&mut self) {
        let Some(id) = self.any() else { return };
        let key = self.timers[id].key;
        assert_eq!(self.wheel.remove(key), Some(id));
        assert_eq!(self.wheel.remove(key), None, "a stale key finds nothing");
        assert!(!self.wheel.reset(key, self.now));
        self.forget(id);
    }

    fn reset(&mut self, deadline: Tick) {
        let Some(id) = self.any() else { return };
        let timer = &mut self.timers[id];
        self.model.remove(&(timer.deadline, id));
        self.model.insert((deadline, id), ());
        (timer.deadline, timer.was_reset) = (deadline, true);
        assert!(self.wheel.reset(timer.key, deadline));
        assert_eq!(self.wheel.entries.get(timer.key).map(|entry| entry.deadline), Some(deadline));
    }

    fn advance(&mut self, now: Tick) {
        self.now = now;
        let fired = self.wheel.fired_by(now);
        let mut expected = Vec::new();
        for (&(_, id), ()) in self.model.range(..=(now, usize::MAX)) {
            expected.push(id);
        }
        self.compare(&fired, &expected);
        for &id in &fired {
            assert_eq!(self.wheel.entries.get(self.timers[id].key).map(|entry| &entry.value), None);
            self.forget(id);
        }
        self.fired += fired.len() as u64;
    }

    /// The same timers, in order of deadline; the order within a tick is that of the never-reset
    /// ones.
    fn compare(&self, fired: &[usize], expected: &[usize]) {
        let by_tick = |ids: &[usize]| {
            let mut pairs: Vec<_> = ids.iter().map(|&id| (self.timers[id].deadline, id)).collect();
            assert!(pairs.is_sorted_by_key(|pair| pair.0), "out of order");
            pairs.sort_unstable();
            pairs
        };
        assert_eq!(by_tick(fired), by_tick(expected));
        let never_reset = |ids: &[usize]| {
            ids.iter().copied().filter(|&id| !self.timers[id].was_reset).collect::<Vec<_>>()
        };
        assert_eq!(never_reset(fired), never_reset(expected));
    }

    fn check_next(&mut self, exactly: bool) {
        let next = self.model.first_key_value().map(|(&(deadline, _), ())| deadline);
        let exact = next.unwrap_or(Tick::MAX);
        assert!(self.wheel.earliest() <= exact, "late");
        if exactly {
            assert_eq!(self.wheel.next_deadline(), next);
            assert_eq!(self.wheel.earliest(), exact);
        }
        assert_eq!(self.wheel.len(), self.model.len());
        assert_eq!((self.wheel.levels == 0), self.model.is_empty());
    }

    /// Between a tick and 500 years, and at times to the next deadline or backwards.
    fn some_time_passes(&mut self) {
        let longest = self.now.saturating_add(500 * YEAR);
        let now = match self.random.below(16) {
            0 => self.now.saturating_sub(self.random.of_bits(34)),
            1 => self.wheel.next_deadline().unwrap_or(self.now).clamp(self.now, longest),
            2 => self.now.saturating_add(self.random.of_bits(54)),
            3 => self.now.saturating_add(1),
            _ => self.now.saturating_add(self.random.of_bits(24)),
        };
        self.advance(now);
    }

    /// One operation. `crowd` is how many timers there are about.
    fn step(&mut self, crowd: usize) {
        let grow = if self.live.len() < crowd { 9 } else { 4 };
        match self.random.below(20) {
            kind if kind < grow => {
                let deadline = self.deadline();
                // Often several in the same tick.
                for _ in 0..=self.random.of_bits(2) {
                    self.insert(deadline);
                }
            }
            9..12 => self.remove(),
            12..14 => {
                let deadline = self.deadline();
                self.reset(deadline);
            }
            14..16 => {
                let Some(id) = self.any() else { return };
                let later = self.random.of_bits(40);
                self.reset(self.timers[id].deadline.saturating_add(later));
            }
            16..19 => self.some_time_passes(),
            _ => self.check_next(true),
        }
        self.check_next(false);
    }
}

/// Runs of operations, from a start at every magnitude to the end of time. Gives how many timers
/// fired.
fn against_the_model(operations: u64, seed: u64) -> u64 {
    let mut random = Random(seed);
    let run = if cfg!(miri) { 200 } else { 5_000 };
    let mut fired = 0;
    for n in 0..operations / run {
        let start = match n % 4 {
            0 => random.of_bits(64),
            1 => Tick::MAX - random.of_bits(64),
            // Just below where all digits of a level turn over.
            2 => (1_u64 << random.below(64)).saturating_sub(1 + random.below(2)),
            _ => 0,
        };
        let mut pair = Pair::new(start, random.next());
        let crowd = 1 << random.below(9);
        for i in 0..run {
            pair.step(crowd);
            if i % 64 == 0 {
                pair.wheel.check();
            }
        }
        pair.advance(Tick::MAX);
        pair.wheel.check();
        assert!(pair.wheel.levels == 0 && pair.model.is_empty(), "lost");
        fired += pair.fired;
    }
    fired
}

#[test]
fn it_does_what_a_sorted_map_does() {
    assert!(against_the_model(OPERATIONS, 1) > OPERATIONS / 10);
}

#[test]
#[ignore = "a soak: 20 s in a release build, minutes in others"]
fn soak() {
    let fired = against_the_model(100_000_000, 2);
    println!("100,000,000 operations on the wheel alone: {fired} fired, 0 early, 0 lost");
}

#[test]
fn an_entry_with_a_waker_takes_48_bytes() {
    const _: () = assert!(size_of::<Entry<[u64; 2]>>() == 40);
    // What the slab adds is the key, and nothing to tell free slots from taken ones.
    const _: () = assert!(size_of::<Option<(Key, Entry<[u64; 2]>)>>() == 48);
    const _: () = assert!(LEVELS == 11);
}

#[test]
fn a_place_is_the_highest_digit_that_differs() {
    let place = |deadline, elapsed| {
        let place = Place::of(deadline, elapsed);
        (place.level(), place.index() % SLOTS, place.start(elapsed))
    };
    assert_eq!(place(5, 0), (0, 5, 5));
    assert_eq!(place(5, 7), (0, 7, 7), "a passed deadline is in the slot of elapsed");
    assert_eq!(place(64, 63), (1, 1, 64));
    assert_eq!(place(130, 128), (0, 2, 130));
    assert_eq!(place(Tick::MAX, 0), (10, 15, 15 << 60));
    assert_eq!(place(Tick::MAX, Tick::MAX - 1), (0, 63, Tick::MAX));
    assert_eq!(place(Tick::MAX, Tick::MAX), (0, 63, Tick::MAX));
}

/// twitter/rpc-perf#180: early where the wheel was shorter than the deadline.
#[test]
fn no_distance_is_too_long() {
    let mut random = Random(33);
    for _ in 0..OPERATIONS / 100 {
        let start = random.of_bits(40);
        let deadline = start + 1 + random.of_bits(40);
        let mut wheel = Wheel::new(start);
        wheel.insert(deadline, ());
        assert_eq!(wheel.fired_by(deadline - 1), []);
        assert_eq!(wheel.fired_by(deadline), [()]);
    }
}

/// tokio#8334: after the top level had wrapped, new timers hung.
#[test]
fn after_any_time_a_new_timer_fires() {
    for idle in [12 * DAY, 139 * DAY, 2 * YEAR, 500 * YEAR, 600 * YEAR, Tick::MAX - SECOND] {
        for far in [None, Some(idle + 1), Some(idle + SECOND / 2), Some(Tick::MAX)] {
            let mut wheel = Wheel::new(0);
            far.inspect(|&deadline| _ = wheel.insert(deadline, "far"));
            assert!(wheel.fired_by(idle).is_empty());
            for n in 1..=3 {
                let deadline = idle + n * SECOND / 1000;
                wheel.insert(deadline, "new");
                assert!(!wheel.fired_by(deadline - 1).contains(&"new"));
                assert_eq!(wheel.fired_by(deadline), ["new"]);
            }
            wheel.check();
        }
    }
}

/// tokio#684, tokio#515, scylladb#638: asserts that time goes forward.
#[test]
fn a_clock_that_goes_backwards_fires_nothing_early_and_nothing_late() {
    for back in [1, 1000 * SECOND] {
        let mut wheel = Wheel::new(0);
        let now = 2000 * SECOND;
        wheel.insert(now + 1, "before the step");
        assert!(wheel.fired_by(now).is_empty());
        let stepped = now - back;
        assert!(wheel.fired_by(stepped).is_empty());
        wheel.insert(stepped + 1, "after the step");
        wheel.insert(stepped, "at the step");
        assert_eq!(wheel.next_deadline(), Some(stepped));
        assert_eq!(wheel.fired_by(stepped - 1), [""; 0]);
        assert_eq!(wheel.fired_by(stepped), ["at the step"]);
        assert_eq!(wheel.next_deadline(), Some(stepped + 1));
        assert_eq!(wheel.fired_by(stepped + 1), ["after the step"]);
        assert_eq!(wheel.fired_by(now), [""; 0]);
        assert_eq!(wheel.fired_by(now + 1), ["before the step"]);
        wheel.check();
    }
}

/// async-io#86, tokio#3551, calloop#121 and others: overflows of the far future.
#[test]
fn the_end_of_time_is_a_deadline_like_any() {
    for start in [0, 1, DAY, Tick::MAX - 65, Tick::MAX - 1] {
        let mut wheel = Wheel::new(start);
        let key = wheel.insert(Tick::MAX, 1);
        wheel.insert(start.saturating_add(Tick::MAX), 2);
        assert_eq!(wheel.next_deadline(), Some(Tick::MAX));
        assert_eq!(wheel.earliest(), Tick::MAX);
        assert!(wheel.fired_by(Tick::MAX - 1).is_empty());
        assert!(wheel.reset(key, Tick::MAX));
        wheel.check();
        assert_eq!(wheel.fired_by(Tick::MAX), [1, 2]);
        wheel.insert(Tick::MAX, 3);
        wheel.insert(7, 4);
        assert_eq!(wheel.fired_by(Tick::MAX), [4, 3]);
        assert_eq!((wheel.next_deadline(), wheel.earliest()), (None, Tick::MAX));
    }
}

#[test]
fn a_far_timer_costs_one_wake_up() {
    for distance in (0..64).map(|bit| (1 << bit) + 1).chain([Tick::MAX - 7]) {
        let mut wheel = Wheel::new(5);
        wheel.insert(distance.saturating_add(5), ());
        let (mut wake_ups, mut fired) = (0, 0);
        while let Some(next) = wheel.next_deadline() {
            wheel.advance(next, |()| fired += 1);
            wake_ups += 1;
        }
        assert_eq!((wake_ups, fired), (1, 1), "{distance} ticks away");
    }
}

#[test]
fn a_tick_fires_in_order_of_creation_wherever_its_timers_were_filed() {
    // Filed ever closer to the tick, so at every level, with elapsed forced forward in between.
    let deadline = (1 << 62) | 12_345;
    let mut wheel = Wheel::new(0);
    let mut created = Vec::new();
    for bit in (0..63).rev() {
        wheel.insert(deadline, bit);
        created.push(bit);
        let now = deadline - (1 << bit);
        let near = wheel.insert(now, 99);
        assert_eq!(wheel.fired_by(now), [99], "{near:?}");
    }
    assert_eq!(wheel.fired_by(deadline), created);
}

#[test]
fn passed_deadlines_fire_in_order_too() {
    let mut wheel = Wheel::new(1000);
    for (i, deadline) in [7, 1000, 3, 7, 1001, 0, 3].into_iter().enumerate() {
        wheel.insert(deadline, (deadline, i));
    }
    assert_eq!(wheel.earliest(), 0);
    let fired = wheel.fired_by(1001);
    assert_eq!(fired, [(0, 5), (3, 2), (3, 6), (7, 0), (7, 3), (1000, 1), (1001, 4)]);
}

#[test]
fn a_push_out_is_only_stored() {
    let timeout = 30 * SECOND;
    let mut wheel = Wheel::new(0);
    let idle = wheel.insert(timeout, ());
    let (mut filings, mut place) = (0, wheel.entries.get(idle).unwrap().links.place);
    let mut now = 0;
    for _ in 0..1000 {
        now += SECOND / 10;
        assert_eq!(wheel.fired_by(now), []);
        assert!(wheel.reset(idle, now + timeout));
        let moved = wheel.entries.get(idle).unwrap().links.place;
        filings += u32::from(moved != place);
        place = moved;
    }
    assert!((1..=4).contains(&filings), "{filings} times in 100 seconds of a 30-second timeout");
    assert_eq!(wheel.next_deadline(), Some(now + timeout));
    assert_eq!(wheel.fired_by(now + timeout - 1), []);
    assert_eq!(wheel.fired_by(now + timeout), [()]);
}

#[test]
fn the_next_deadline_is_refined_past_slots_that_were_pushed_out() {
    let mut wheel = Wheel::new(0);
    let first = wheel.insert(1000, 1);
    wheel.insert(5000, 2);
    let second = wheel.insert(1001, 3);
    wheel.reset(first, YEAR);
    assert_eq!(wheel.earliest(), 1000, "stale, and not late");
    assert_eq!(wheel.next_deadline(), Some(1001));
    assert_eq!(wheel.remove(second), Some(3));
    assert_eq!(wheel.next_deadline(), Some(5000));
    assert_eq!(wheel.earliest(), 5000);
    wheel.reset(first, 10);
    assert_eq!(wheel.earliest(), 10, "earlier is at once");
    assert_eq!(wheel.fired_by(YEAR), [1, 2]);
}

#[test]
fn short_timers_beside_a_crowd_move_nothing_after_the_first() {
    let mut wheel = Wheel::new(0);
    let crowd: Vec<_> = (0..100).map(|i| wheel.insert(DAY + i * SECOND, 0)).collect();
    let places = |wheel: &Wheel<u32>| -> Vec<Place> {
        crowd.iter().map(|&key| wheel.entries.get(key).unwrap().links.place).collect()
    };
    let mut moved = 0;
    let mut before = places(&wheel);
    let times = if cfg!(miri) { 20 } else { 1000 };
    for n in 1..=times {
        let now = n * (80_000 / times) * SECOND;
        assert_eq!(wheel.fired_by(now), []);
        // Cancelled as often as not, which makes the minimum stale.
        let cancelled = wheel.insert(now + 500, 1);
        assert_eq!(wheel.remove(cancelled), Some(1));
        wheel.insert(now + 1000, 1);
        assert_eq!(wheel.next_deadline(), Some(now + 1000));
        assert_eq!(wheel.fired_by(now + 1000), [1]);
        let after = places(&wheel);
        moved += before.iter().zip(&after).filter(|(a, b)| a != b).count();
        before = after;
    }
    assert!(moved <= crowd.len() * (LEVELS - 1), "{moved} filings");
    wheel.check();
}

/// None of these is needed to be right.
#[test]
fn what_keeps_it_cheap() {
    let mut wheel = Wheel::new(0);
    wheel.advance(DAY, |()| ());
    assert_eq!(wheel.elapsed, DAY, "with nothing filed elapsed is never behind");

    // A slot that begins at `start`, with nothing due in it for long.
    let start = 1 << 42;
    let keys: Vec<_> = (1..4).map(|i| wheel.insert(start + i * DAY, ())).collect();
    let place = |wheel: &Wheel<()>, i: usize| wheel.entries.get(keys[i]).unwrap().links.place;
    let begun = place(&wheel, 0);
    assert_eq!(begun.start(wheel.elapsed), start);
    wheel.advance(start - 10, |()| ());
    assert_eq!(wheel.elapsed, start - 10);
    wheel.advance(start + 10, |()| ());
    assert_eq!(wheel.elapsed, start - 1);
    assert!(place(&wheel, 0) == begun, "nothing moves because time passed");

    // A minimum is known again as soon as a deadline is filed before it.
    let first = wheel.insert(start + SECOND, ());
    wheel.remove(first);
    assert_ne!(wheel.stale[begun.level()], 0);
    let again = wheel.insert(start + SECOND, ());
    assert_eq!(wheel.stale[begun.level()], 0);

    // A begun slot is looked through once, since that moves its entries down.
    wheel.remove(again);
    assert_eq!(wheel.next_deadline(), Some(start + DAY));
    assert_eq!(wheel.elapsed, start + 10);
    assert!((0..3).all(|i| place(&wheel, i) < begun));
    wheel.check();
}

#[test]
fn a_panic_in_fire_loses_only_its_own_timer() {
    let mut wheel = Wheel::new(0);
    for i in 0..20 {
        wheel.insert(1000 + i / 4, i);
    }
    let pushed_out = wheel.insert(1001, 20);
    wheel.reset(pushed_out, 2000);
    let mut fired = Vec::new();
    for _ in 0..20 {
        let result = catch_unwind(AssertUnwindSafe(|| {
            wheel.advance(1500, |i| {
                fired.push(i);
                std::panic::resume_unwind(Box::new(()));
            });
        }));
        assert!(result.is_err());
        wheel.check();
    }
    assert!(fired.iter().copied().eq(0..20));
    assert_eq!(wheel.fired_by(1999), []);
    assert_eq!(wheel.fired_by(2000), [20]);
}

#[test]
fn slots_are_used_again() {
    let mut wheel = Wheel::new(0);
    let mut random = Random(8);
    let mut now = 0;
    for _ in 0..OPERATIONS / 50 {
        let keys = [(); 4].map(|()| wheel.insert(now + random.of_bits(30), [0; 2]));
        assert!(keys.iter().all(|key| key.index() < 4), "the table grew");
        wheel.remove(keys[0]);
        wheel.reset(keys[1], now + random.of_bits(30));
        *wheel.get_mut(keys[2]).unwrap() = [1; 2];
        now += 1 << 31;
        assert_eq!(wheel.fired_by(now).len(), 3);
    }
}
