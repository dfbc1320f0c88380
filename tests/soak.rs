//! Timers of all distances through the whole loop, for a while. `cargo bench --bench soak` does the
//! same for long.

#[path = "support/soak.rs"]
mod soak;

#[test]
fn no_timer_is_early_and_none_is_lost() {
    let operations = if cfg!(miri) { 2_000 } else { 300_000 };
    let outcome = soak::soak(operations, 34);
    assert_eq!((outcome.early, outcome.lost), (0, 0), "{outcome}");
    if cfg!(miri) {
        return;
    }
    assert!(outcome.fired > operations / 10 && outcome.ends > 0, "{outcome}");
    assert!(outcome.by_level.iter().all(|count| *count > 0), "every level: {outcome}");
    assert!(outcome.made > 0 && outcome.moved > 0 && outcome.dropped > 0, "{outcome}");
}
