//! A soak of timers: a hundred million operations on sleeps, through the whole loop, under virtual
//! time, over every level of the wheel and to the end of the clock again and again.
//!
//! `cargo bench --bench soak`, or with another number of operations and another seed:
//! `cargo bench --bench soak -- 1000000 7`. It fails if a timer was early or lost. The wheel alone
//! is soaked over all 64 bits of its ticks, and their wrap, by
//! `cargo test --release -p wheelhouse-runtime --lib soak -- --ignored --nocapture`.

#[path = "../tests/support/soak.rs"]
mod soak;

use std::time::Instant;

fn main() {
    // Cargo itself passes `--bench`.
    let mut numbers = std::env::args().skip(1).filter_map(|argument| argument.parse().ok());
    let operations: u64 = numbers.next().unwrap_or(100_000_000);
    let seed = numbers.next().unwrap_or(34);
    let start = Instant::now();
    let outcome = soak::soak(operations, seed);
    let took = start.elapsed();
    println!("{outcome}");
    let each = took.as_nanos() as f64 / operations as f64;
    println!(
        "seed {seed}, {:.1} s, {each:.0} ns an operation, the model's included",
        took.as_secs_f64()
    );
    assert!(outcome.early == 0 && outcome.lost == 0, "timers were early or lost");
}
