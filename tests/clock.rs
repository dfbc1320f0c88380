//! Which clock the loop waits on, as the system sees it. Row 38 of the pitfalls: it is the one that
//! stands still while the machine is suspended.
#![cfg(all(target_os = "linux", not(miri)))]

mod support;

use std::fs;
use std::process::Command;
use std::time::Duration;

use support::{GUARD, in_child, run_checked};
use wheelhouse::time::{Instant, sleep};
use wheelhouse::{EventLoop, SelectorKind};

/// What the system says of this process's timer descriptors.
fn timers() -> Vec<String> {
    let entries = fs::read_dir("/proc/self/fdinfo").unwrap();
    let infos = entries.filter_map(|entry| fs::read_to_string(entry.unwrap().path()).ok());
    infos.filter(|info| info.contains("clockid:")).collect()
}

/// In a process of its own: other tests have loops too.
#[test]
fn the_alarm_is_on_the_monotonic_clock() {
    in_child("the_alarm_is_on_the_monotonic_clock", || {
        // `polling` has a timer of its own beside the alarm.
        let event_loop = EventLoop::builder().selector(SelectorKind::Mio).build().unwrap();
        let timers = timers();
        assert_eq!(timers.len(), 1);
        let clock = timers[0].lines().find(|line| line.starts_with("clockid:")).unwrap();
        assert_eq!(clock.split_whitespace().nth(1), Some("1"), "CLOCK_MONOTONIC: {clock}");
        drop(event_loop);
    });
}

/// As in a container that was moved from a machine with another uptime.
#[test]
fn a_loop_runs_where_the_monotonic_clock_has_an_offset() {
    const MARK: &str = "WHEELHOUSE_TEST_OFFSET";
    const NAME: &str = "a_loop_runs_where_the_monotonic_clock_has_an_offset";
    if std::env::var_os(MARK).is_some() {
        run_checked(async {
            let (start, outside) = (Instant::now(), std::time::Instant::now());
            sleep(Duration::from_millis(2)).await;
            assert!(start.elapsed() >= Duration::from_millis(2) && outside.elapsed() < GUARD);
        });
        return;
    }
    let namespace = ["--user", "--map-root-user", "--time", "--fork", "--monotonic"];
    for offset in ["864000", "1000000000"] {
        let unshare = |program: &mut Command| program.args(namespace).arg(offset).status();
        let is_allowed = unshare(Command::new("unshare").stderr(std::process::Stdio::null()))
            .is_ok_and(|status| status.success());
        if !is_allowed {
            eprintln!("SKIPPED: `unshare --time` is not installed, or not allowed here");
            return;
        }
        let child = Command::new("unshare")
            .args(namespace)
            .arg(offset)
            .arg(std::env::current_exe().unwrap())
            .args([NAME, "--exact"])
            .env(MARK, "1")
            .output()
            .unwrap();
        assert!(child.status.success(), "offset {offset}: {child:?}");
    }
}
