//! The soft end of a `TaskGroup`: who is asked to stop, who does, and what the report says of those
//! who do not. Exact orders and virtual times.

mod support;

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use support::{Trace, assert_took, nap, noted, run_virtual};
use wheelhouse::structure::CancelReport;
use wheelhouse::task::Builder;
use wheelhouse::time::Instant;
use wheelhouse::{TaskGroup, spawn, yield_now};

const SECOND: Duration = Duration::from_secs(1);

async fn nap_unit(seconds: u64) {
    nap(seconds).await;
}

#[test]
fn a_soft_end_lets_those_stop_who_can_and_names_those_who_do_not() {
    let trace = Trace::default();
    run_virtual(async {
        let start = Instant::now();
        let mut lines = Vec::new();
        let report: CancelReport = TaskGroup::run(async |group| {
            for n in 1..=3 {
                let stop = group.cancelled();
                group.spawn(noted(&trace, n, async move {
                    stop.await;
                    nap(n).await;
                }));
            }
            group.spawn_with(Builder::new().name("deaf"), pending::<()>());
            lines.push(line!() - 1);
            group.spawn(noted(&trace, "deaf", pending::<()>()));
            lines.push(line!() - 1);
            nap(1).await;
            let report = group.cancel_with(2 * SECOND + SECOND / 2).await;
            // The body that asked goes on.
            nap(1).await;
            Ok::<_, Infallible>(report)
        })
        .await
        .unwrap();
        assert_eq!(start.elapsed().as_millis(), 1000 + 2500 + 1000);
        assert_eq!(trace.take(), "1 2 3 deaf");
        assert_eq!((report.stopped, report.body_left, report.is_clean()), (2, false, false));
        let left: Vec<_> = report.left.iter().map(|task| task.location.line()).collect();
        let third = left[0];
        assert_eq!(left, [third, lines[0], lines[1]], "in the order of their spawns");
        assert_eq!(report.left[1].name.as_deref(), Some("deaf"));
        let said = report.to_string();
        let site = format!("\"deaf\" (spawned at {}:{}:", file!(), lines[0]);
        assert!(said.starts_with("2 tasks stopped; task ") && said.contains(&site), "{said}");
    });
}

#[test]
fn a_soft_end_counts_who_stopped_also_when_more_are_spawned_meanwhile() {
    run_virtual(async {
        let report = TaskGroup::run(async |group| {
            for _ in 0..2 {
                let inner = group.clone();
                group.spawn(async move {
                    inner.cancelled().await;
                    inner.spawn(pending::<()>());
                    inner.spawn(nap_unit(1));
                });
            }
            group.spawn(async {}).await.unwrap();
            Ok::<_, Infallible>(group.cancel_with(2 * SECOND).await)
        });
        let report = report.await.unwrap();
        assert_eq!((report.stopped, report.left.len()), (4, 2), "{report}");
    });
}

#[test]
fn the_report_of_a_soft_end_waits_for_the_body() {
    for stops in [false, true] {
        run_virtual(async {
            let start = Instant::now();
            let run = TaskGroup::run(async |group| {
                let outside = group.clone();
                drop(spawn(async move {
                    let report = outside.cancel_with(2 * SECOND).await;
                    assert_eq!((report.is_clean(), report.body_left), (stops, !stops));
                    assert_took(start, if stops { 1 } else { 2 });
                }));
                group.cancelled().await;
                nap(if stops { 1 } else { 9 }).await;
            });
            assert_eq!(run.await.is_ok(), stops);
            yield_now().await;
        });
    }
}

#[test]
fn a_soft_end_that_is_cut_short_names_who_was_dropped() {
    for fails in [false, true] {
        run_virtual(async {
            let report = Rc::new(RefCell::new(None));
            let (seen, start) = (report.clone(), Instant::now());
            let run = TaskGroup::run(async |group| {
                group.spawn(group.cancelled());
                group.spawn(pending::<()>());
                let inner = group.clone();
                group.spawn(async move {
                    inner.cancelled().await;
                    nap(1).await;
                    if fails {
                        return Err(io::Error::other("cut"));
                    }
                    inner.cancel();
                    Ok(())
                });
                let asked = group.cancel_with(9 * SECOND);
                drop(spawn(async move { *seen.borrow_mut() = Some(asked.await) }));
                pending::<()>().await;
            });
            assert_eq!(run.await.unwrap_err().is_cancelled(), !fails);
            assert_took(start, 1);
            yield_now().await;
            let report: CancelReport = report.take().unwrap();
            // The one that failed, or asked for the end and then returned, is no such task.
            assert_eq!((report.stopped, report.left.len()), (2, 1), "{report}");
            assert!(!report.is_clean());
        });
    }
}

#[test]
fn a_soft_end_is_over_early_when_all_stop() {
    run_virtual(async {
        let start = Instant::now();
        let error = TaskGroup::run(async |group| {
            let stop = group.cancelled();
            group.spawn(async move {
                stop.await;
                nap(1).await;
            });
            let outside = group.clone();
            drop(spawn(async move {
                let report = outside.cancel_with(9 * SECOND).await;
                assert_eq!((report.stopped, report.is_clean()), (1, true));
            }));
            group.cancelled().await;
        });
        error.await.unwrap();
        assert_took(start, 1);
        yield_now().await;
    });
}

#[test]
fn the_deadline_of_a_soft_end_also_holds_for_the_body_and_for_a_report_nobody_awaits() {
    let trace = Trace::default();
    run_virtual(async {
        let start = Instant::now();
        let seen = Rc::new(RefCell::new(None));
        let group_of = seen.clone();
        let run = TaskGroup::run(async |group| {
            group_of.replace(Some(group.clone()));
            let inner = group.clone();
            group.spawn(async move {
                nap(1).await;
                // Not awaited; and of several the earliest deadline counts.
                drop(inner.cancel_with(7 * SECOND));
                drop(inner.cancel_with(2 * SECOND));
                drop(inner.cancel_with(8 * SECOND));
                // Who asks is not dropped, and not waited for.
                nap(5).await;
                let report = inner.cancel_with(SECOND).await;
                assert_eq!((report.left.len(), report.body_left), (1, true));
            });
            group.spawn(noted(&trace, "deaf", pending::<()>()));
            noted(&trace, "body", pending::<()>()).await;
        });
        assert!(run.await.unwrap_err().is_cancelled());
        assert_took(start, 6);
        assert_eq!(trace.take_sorted(), "body deaf");
        drop(seen.take());
    });
}
