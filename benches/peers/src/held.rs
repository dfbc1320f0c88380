//! What a task holds while it waits: bytes and allocations of a task that does nothing.

use crate::job::Answer;
use crate::measure;
use crate::runtime::Runtime;
use std::future::pending;

const TASKS: usize = 100_000;

/// Spawns many tasks that wait for ever, and lets each be polled once. Their handles are kept: where a task belongs
/// to its handle and its wakers alone, it is gone otherwise.
pub async fn tasks<R: Runtime>() -> Answer {
    let mut answer = Answer::default();
    let mut kept = Vec::with_capacity(3 * TASKS);
    // What the runtime needs once is there before.
    for _ in 0..100 {
        kept.push(R::spawn(pending::<()>()));
    }
    R::yield_now().await;
    for (bytes, allocations) in [("bytes", Some("allocations")), ("bytes_again", None)] {
        measure::start_counting_allocations();
        for at in 0..TASKS {
            kept.push(R::spawn(pending::<()>()));
            if at % 64 == 63 {
                R::yield_now().await;
            }
        }
        for _ in 0..10 {
            R::yield_now().await;
        }
        let allocated = measure::stop_counting_allocations();
        answer.put(bytes, allocated.live_bytes as f64 / TASKS as f64);
        if let Some(allocations) = allocations {
            answer.put(allocations, allocated.calls as f64 / TASKS as f64);
        }
    }
    // Ending them is no part of it.
    std::mem::forget(kept);
    answer
}
