//! A whole loop whose clock goes back, as monotonic clocks did on some systems: it must not panic,
//! and nothing may end early. Row 36 of the pitfalls; for the wheel alone see `wheel_tests.rs`.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use crate::owner::EventLoop;
use crate::task::{spawn, yield_now};
use crate::time::clock::{Clock, ticks_to_duration};
use crate::time::{self, Instant, interval, sleep, timeout};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
/// Where the clock stands when it is put back.
const LATE: Duration = Duration::from_secs(2000);

/// Runs `test` when the clock shows 2,000 s; it is given the way to set it.
fn late(test: impl AsyncFnOnce(&dyn Fn(Duration))) {
    let event_loop = EventLoop::builder().clock(Clock::Virtual { settle: None }).build().unwrap();
    event_loop.block_on(async {
        time::advance(LATE).await;
        test(&|to| event_loop.state().clock.set_to(to)).await;
    });
    assert_eq!((event_loop.metrics().timers, event_loop.metrics().tasks), (0, 0));
}

#[test]
fn nothing_ends_early_when_the_clock_goes_back() {
    for back in [ticks_to_duration(1), MS, SECOND, 1000 * SECOND, LATE] {
        late(async |set_to| {
            let start = Instant::now();
            let ends = Rc::new(RefCell::new(Vec::new()));
            let note = |name: &'static str, deadline: Instant| {
                let ends = ends.clone();
                move || ends.borrow_mut().push((name, Instant::now() >= deadline))
            };
            let old = start + 10 * MS;
            let before = spawn(async move { sleep(10 * MS).await });
            let mut ticks = interval(MS);
            ticks.tick().await;
            yield_now().await;
            set_to(LATE - back);
            // What is new counts from what the clock shows now, and it is not late either.
            let new_start = Instant::now();
            assert!(new_start < start);
            let noted = note("new", new_start + 5 * MS);
            let new = spawn(async move {
                sleep(5 * MS).await;
                noted();
            });
            let noted = note("old", old);
            let both = spawn(async move {
                before.await.unwrap();
                noted();
            });
            assert!(timeout(2 * MS, std::future::pending::<()>()).await.is_err());
            assert!(Instant::now() >= new_start + 2 * MS);
            assert!(Instant::now() < new_start + 3 * MS, "late by {:?}", new_start.elapsed());
            new.await.unwrap();
            both.await.unwrap();
            assert_eq!(*ends.borrow(), [("new", true), ("old", true)]);
            let due = ticks.tick().await;
            assert!(due >= start + MS && Instant::now() >= due);
            assert_eq!(start.elapsed().as_millis(), 10);
        });
    }
}

#[test]
fn a_clock_that_shakes_loses_no_timer() {
    // Miri takes its time.
    let count = if cfg!(miri) { 40 } else { 200 };
    late(async |set_to| {
        let start = Instant::now();
        // A timer that has fired stays so, though the clock goes back before its task is polled.
        let latest = Rc::new(Cell::new(start));
        let tasks: Vec<_> = (0..count)
            .map(|n| {
                let latest = latest.clone();
                spawn(async move {
                    let deadline = Instant::now() + n * MS / 4;
                    sleep(n * MS / 4).await;
                    assert!(latest.get().max(Instant::now()) >= deadline);
                })
            })
            .collect();
        for step in 0..2 * count {
            // Three steps forward, two back.
            let to = LATE + step * MS / 5;
            set_to(if step % 5 < 3 { to } else { to - 2 * MS });
            latest.set(latest.get().max(Instant::now()));
            yield_now().await;
        }
        for task in tasks {
            task.await.unwrap();
        }
    });
}
