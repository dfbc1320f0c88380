//! What a timer costs among 0, 10^4 and 10^6 others: this wheel, a `BTreeMap`, and a lazy binary
//! heap.
//!
//! `cargo bench --bench wheel`. It prints the median of several rounds, in which the three take
//! turns, so that a busy machine troubles all of them alike. What is measured is the pattern of
//! servers: timers that are set and cancelled, or pushed out, and hardly ever fire.
//!
//! * insert+remove: a timeout that its operation beats at once.
//! * replace any: the same with any one of the others in between, wherever in memory it is.
//! * reset later: an idle timeout that a message pushes out.
//! * insert+fire: a short sleep. Here the heap pays for the dead that the rest left in it.

#![allow(dead_code, unused_imports, reason = "only the wheel's main path is measured")]

#[path = "../runtime/table.rs"]
mod table;
#[path = "../runtime/time/wheel.rs"]
mod wheel;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::hint::black_box;
use std::time::Instant;

use table::Key;
use wheel::Wheel;

/// As large as a waker.
type Value = [u64; 2];

const SECOND: u64 = 976_563; // of ticks of 1.024 us
const TIMEOUT: u64 = 30 * SECOND;
/// From here on the crowd's deadlines are; none comes due.
const FAR: u64 = 20 * TIMEOUT;
const ROUNDS: usize = 9;
const OPERATIONS: u64 = 400_000;

trait Timers {
    type Key: Copy;
    const NAME: &str;

    fn new() -> Self;
    fn insert(&mut self, deadline: u64, value: Value) -> Self::Key;
    fn remove(&mut self, key: Self::Key) -> Option<Value>;
    fn reset(&mut self, key: Self::Key, deadline: u64) -> Self::Key;
    fn earliest(&mut self) -> u64;
    fn advance(&mut self, now: u64) -> u64;
}

impl Timers for Wheel<Value> {
    type Key = Key;
    const NAME: &str = "wheel";

    fn new() -> Self {
        Wheel::new(0)
    }

    fn insert(&mut self, deadline: u64, value: Value) -> Key {
        self.insert(deadline, value)
    }

    fn remove(&mut self, key: Key) -> Option<Value> {
        self.remove(key)
    }

    fn reset(&mut self, key: Key, deadline: u64) -> Key {
        assert!(self.reset(key, deadline));
        key
    }

    fn earliest(&mut self) -> u64 {
        Wheel::earliest(self)
    }

    fn advance(&mut self, now: u64) -> u64 {
        let mut fired = 0;
        self.advance(now, |value| fired += value[0]);
        fired
    }
}

/// Sorted by deadline, then creation.
struct Sorted {
    map: BTreeMap<(u64, u64), Value>,
    created: u64,
}

impl Timers for Sorted {
    type Key = (u64, u64);
    const NAME: &str = "btree";

    fn new() -> Self {
        Sorted { map: BTreeMap::new(), created: 0 }
    }

    fn insert(&mut self, deadline: u64, value: Value) -> (u64, u64) {
        self.created += 1;
        self.map.insert((deadline, self.created), value);
        (deadline, self.created)
    }

    fn remove(&mut self, key: (u64, u64)) -> Option<Value> {
        self.map.remove(&key)
    }

    fn reset(&mut self, key: (u64, u64), deadline: u64) -> (u64, u64) {
        let value = self.map.remove(&key).expect("pending");
        self.map.insert((deadline, key.1), value);
        (deadline, key.1)
    }

    fn earliest(&mut self) -> u64 {
        self.map.first_key_value().map_or(u64::MAX, |(key, _)| key.0)
    }

    fn advance(&mut self, now: u64) -> u64 {
        let mut fired = 0;
        while let Some(first) = self.map.first_entry().filter(|first| first.key().0 <= now) {
            fired += first.remove()[0];
        }
        fired
    }
}

/// A heap of keys. One whose value is gone, or has another deadline, is dead: it is dropped when it
/// comes up, and all dead ones are when they are more than half.
struct Lazy {
    heap: BinaryHeap<Reverse<(u64, Key)>>,
    values: table::Table<(u64, Value)>,
}

impl Lazy {
    fn lives(values: &table::Table<(u64, Value)>, entry: &Reverse<(u64, Key)>) -> bool {
        values.get(entry.0.1).is_some_and(|value| value.0 == entry.0.0)
    }

    fn compact(&mut self) {
        if self.heap.len() > 2 * self.values.len() + 64 {
            self.heap.retain(|entry| Lazy::lives(&self.values, entry));
        }
    }
}

impl Timers for Lazy {
    type Key = Key;
    const NAME: &str = "heap";

    fn new() -> Self {
        Lazy { heap: BinaryHeap::new(), values: table::Table::new() }
    }

    fn insert(&mut self, deadline: u64, value: Value) -> Key {
        let key = self.values.insert((deadline, value));
        self.heap.push(Reverse((deadline, key)));
        key
    }

    fn remove(&mut self, key: Key) -> Option<Value> {
        let value = self.values.remove(key)?;
        self.compact();
        Some(value.1)
    }

    fn reset(&mut self, key: Key, deadline: u64) -> Key {
        self.values.get_mut(key).expect("pending").0 = deadline;
        self.heap.push(Reverse((deadline, key)));
        self.compact();
        key
    }

    fn earliest(&mut self) -> u64 {
        while let Some(entry) = self.heap.peek() {
            if Lazy::lives(&self.values, entry) {
                return entry.0.0;
            }
            self.heap.pop();
        }
        u64::MAX
    }

    fn advance(&mut self, now: u64) -> u64 {
        let mut fired = 0;
        while self.earliest() <= now {
            let Some(Reverse((_, key))) = self.heap.pop() else { break };
            fired += self.values.remove(key).map_or(0, |value| value.1[0]);
        }
        fired
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// One kind of timers with a crowd of pending ones, and what each operation took, round by round.
struct Bench<T: Timers> {
    timers: T,
    crowd: Vec<T::Key>,
    random: Random,
    now: u64,
    /// A row for each operation.
    ns: [Vec<f64>; 4],
}

impl<T: Timers> Bench<T> {
    fn new(pending: usize) -> Self {
        let (mut timers, mut random) = (T::new(), Random(7));
        let crowd = (0..pending).map(|_| timers.insert(FAR + random.below(TIMEOUT), [1; 2]));
        let crowd = crowd.collect();
        Bench { crowd, timers, random, now: 0, ns: Default::default() }
    }

    fn measure(&mut self, row: usize, operations: u64, mut step: impl FnMut(&mut Self, u64)) {
        let began = Instant::now();
        for i in 0..operations {
            step(self, i);
        }
        self.ns[row].push(began.elapsed().as_nanos() as f64 / operations as f64);
    }

    fn round(&mut self) {
        self.measure(0, OPERATIONS, |bench, i| {
            let deadline = bench.now + (i & 63) + TIMEOUT;
            let key = bench.timers.insert(black_box(deadline), [i, i]);
            black_box(bench.timers.remove(black_box(key)));
        });
        self.replace_any();
        self.reset_later();
        self.measure(3, OPERATIONS / 4, |bench, i| {
            let deadline = bench.now + 1 + bench.random.below(50);
            bench.timers.insert(deadline, [i, i]);
            bench.now = bench.timers.earliest();
            black_box(bench.timers.advance(bench.now));
        });
    }

    fn replace_any(&mut self) {
        let lonely = self.crowd.is_empty();
        if lonely {
            self.crowd.push(self.timers.insert(FAR, [1; 2]));
        }
        self.measure(1, OPERATIONS, |bench, i| {
            let victim = bench.random.below(bench.crowd.len() as u64) as usize;
            let deadline = FAR + bench.random.below(TIMEOUT);
            let key = bench.timers.insert(deadline, [i, i]);
            let old = std::mem::replace(&mut bench.crowd[victim], key);
            black_box(bench.timers.remove(old));
        });
        if lonely {
            self.crowd.pop().map(|key| self.timers.remove(key));
        }
    }

    /// One connection after the other, a thousand of them, or a single one.
    fn reset_later(&mut self) {
        let mut keys: Vec<T::Key> = (0..self.crowd.len().clamp(1, 1000))
            .map(|i| self.timers.insert(self.now + TIMEOUT + i as u64, [0; 2]))
            .collect();
        let n = keys.len();
        self.measure(2, OPERATIONS, |bench, i| {
            let key = &mut keys[i as usize % n];
            *key = bench.timers.reset(black_box(*key), bench.now + TIMEOUT + n as u64 + i);
        });
        for key in keys {
            self.timers.remove(key);
        }
    }

    fn report(self, pending: usize) {
        let [pair, replace, reset, fire] = self.ns.map(|mut rounds| {
            rounds.sort_by(f64::total_cmp);
            rounds[rounds.len() / 2]
        });
        let name = T::NAME;
        println!("{name:>6} {pending:>9} {pair:>15.1} {replace:>13.1} {reset:>13.1} {fire:>13.1}");
    }
}

fn main() {
    println!("ns       pending   insert+remove   replace any   reset later   insert+fire");
    for pending in [0, 10_000, 1_000_000] {
        let mut wheel = Bench::<Wheel<Value>>::new(pending);
        let mut sorted = Bench::<Sorted>::new(pending);
        let mut lazy = Bench::<Lazy>::new(pending);
        for _ in 0..ROUNDS {
            wheel.round();
            sorted.round();
            lazy.round();
        }
        wheel.report(pending);
        sorted.report(pending);
        lazy.report(pending);
    }
}
