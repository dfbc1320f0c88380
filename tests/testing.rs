//! `wheelhouse::testing`: what it lets pass, and each way in which it fails a test and what it says
//! then.

mod support;

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::io;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::sync::mpsc;
use std::time::Duration;

use support::{OnDrop, panic_of, socket_pair, under_foreign_waker};
use wheelhouse::io::AsyncFd;
use wheelhouse::task::{Builder, JoinHandle};
use wheelhouse::testing::{self, Test, seeds};
use wheelhouse::time::{self, Instant, interval, sleep, timeout};
use wheelhouse::{
    Clock, EventLoop, Handle, LoopGroup, call_later, call_soon, loop_local, select, spawn,
    spawn_blocking, yield_now,
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The names of so many tasks in the order in which they ran.
async fn order_of(count: u32) -> Vec<u32> {
    let order = Rc::new(RefCell::new(Vec::new()));
    let tasks: Vec<_> = (0..count)
        .map(|n| {
            let order = order.clone();
            spawn(async move { order.borrow_mut().push(n) })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    order.take()
}

/// Where the line that calls this stands, as messages print it.
#[track_caller]
fn here(lines_below: u32) -> String {
    let at = std::panic::Location::caller();
    format!("{}:{}:", at.file(), at.line() + lines_below)
}

#[test]
fn a_good_test_passes_at_once_and_gives_its_output() -> io::Result<()> {
    let real = std::time::Instant::now();
    let answer = testing::run(async {
        let start = Instant::now();
        let task = spawn(async {
            sleep(DAY).await;
            42
        });
        let answer = task.await.unwrap();
        assert!(start.elapsed() >= DAY);
        answer
    });
    assert_eq!(answer, 42);
    assert!(real.elapsed() < Duration::from_secs(30));
    testing::run(async { Ok(()) })
}

#[test]
fn what_is_about_to_end_is_not_left_behind() {
    for seed in seeds(20) {
        Test::new().seed(seed).run(async {
            spawn(yield_now());
            call_soon(|| drop(spawn(yield_now())));
            let (one, _) = socket_pair();
            let kept = AsyncFd::new(one).unwrap();
            let cancelled = spawn(async move { kept.readable().await.map(drop) });
            let mut late = Box::pin(timeout(DAY, pending::<()>()));
            assert!(support::poll_with(&mut late, std::task::Waker::noop()).is_pending());
            cancelled.cancel();
        });
    }
    // Nor is what belongs to the loop, nor a future that is no async block.
    #[derive(Default)]
    struct Kept(RefCell<Option<JoinHandle<()>>>);
    testing::run(async {
        let endless = spawn(pending::<()>());
        *loop_local::<Kept>().0.borrow_mut() = Some(spawn(yield_now()));
        let mut wait = Box::pin(sleep(DAY));
        let handed_over = std::future::poll_fn(move |cx| {
            assert!(std::future::Future::poll(wait.as_mut(), cx).is_pending());
            std::task::Poll::Ready(())
        });
        handed_over.await;
        endless.cancel();
    });
    // Nor is what comes from another thread late.
    testing::run(async {
        let mut far = Box::pin(sleep(DAY));
        assert!(support::poll_with(&mut far, std::task::Waker::noop()).is_pending());
        std::thread::spawn(move || drop(far)).join().unwrap();
    });
    testing::run(async {
        assert_eq!(spawn_blocking(|| 1).await.unwrap(), 1);
    });
}

#[test]
fn a_task_that_is_left_fails_the_test_with_its_place() {
    let mut place = String::new();
    let text = panic_of(|| {
        testing::run(async {
            place = here(1);
            Builder::new().name("forgotten").spawn(sleep(DAY));
        })
    });
    assert!(text.starts_with("the test left something behind:\n  task "), "{text}");
    assert!(text.contains(&format!("\"forgotten\" ({place}")), "{text}");
    assert!(text.contains("sleeps for 86400"), "{text}");
    assert!(text.contains("a timer that sleeps for"), "{text}");
    assert!(text.contains("\nAwait or cancel and await tasks"), "{text}");
    // Also one whose result is there, and one that never rests.
    let mut kept = None;
    let text = panic_of(|| testing::run(async { kept = Some(spawn(async {})) }));
    assert!(text.contains("finished, waits to be awaited"), "{text}");
    let text = panic_of(|| {
        testing::run(async {
            spawn(async {
                loop {
                    yield_now().await;
                }
            });
        })
    });
    assert!(text.contains("): runnable\n"), "{text}");
    let text = panic_of(|| testing::run(async { call_later(DAY, || ()) }));
    assert!(text.contains("task ") && text.contains("a timer that sleeps for"), "{text}");
}

#[test]
fn a_timer_that_is_left_fails_the_test_with_its_place_and_task() {
    let (mut place, mut task_place) = (String::new(), String::new());
    let text = panic_of(|| {
        testing::run(async {
            place = here(1);
            let mut kept = Box::pin(sleep(DAY));
            assert!(support::poll_with(&mut kept, std::task::Waker::noop()).is_pending());
            std::mem::forget(kept);
        })
    });
    assert!(text.contains("a timer that sleeps for 86400"), "{text}");
    assert!(text.contains(&format!(" more, made at {place}")), "{text}");
    assert!(!text.contains(" by "), "{text}");
    let text = panic_of(|| {
        testing::run(async {
            task_place = here(1);
            let task = Builder::new().name("ticker").spawn(async {
                let mut ticks = interval(DAY);
                ticks.tick().await;
                assert!(timeout(DAY / 2, ticks.tick()).await.is_err());
                std::mem::forget(ticks);
            });
            task.await.unwrap();
        })
    });
    assert!(text.contains(&format!("by task \"ticker\" ({task_place}")), "{text}");
}

#[test]
fn a_source_that_is_left_fails_the_test_with_its_descriptor_and_place() {
    let mut place = String::new();
    let mut fd = 0;
    let text = panic_of(|| {
        testing::run(async {
            let (one, _) = socket_pair();
            fd = std::os::fd::AsRawFd::as_raw_fd(&one);
            place = here(1);
            let kept = AsyncFd::new(one).unwrap();
            std::mem::forget(kept);
        })
    });
    assert!(text.contains(&format!("a source, descriptor {fd}, made at {place}")), "{text}");
}

#[test]
fn a_blocking_job_that_does_not_end_fails_the_test() {
    let (open, gate) = mpsc::channel::<()>();
    let mut place = String::new();
    let text = panic_of(|| {
        Test::new().grace(Duration::from_millis(20)).run(async {
            let (started, wait) = mpsc::channel();
            place = here(1);
            let job = spawn_blocking(move || {
                started.send(()).unwrap();
                let _ = gate.recv();
            });
            while wait.try_recv().is_err() {
                yield_now().await;
            }
            job.cancel();
            assert!(job.await.unwrap_err().is_cancelled());
        })
    });
    drop(open);
    let expected = format!("a blocking job that does not end, spawned at {place}");
    assert!(text.contains(&expected), "{text}");
}

#[test]
fn a_panic_that_nobody_reads_fails_the_test() {
    let mut place = String::new();
    let text = panic_of(|| {
        testing::run(async {
            place = here(1);
            drop(spawn(async { panic!("unheard") }));
            yield_now().await;
        })
    });
    assert!(text.starts_with("panics went unread:\n  a task panicked"), "{text}");
    assert!(text.contains(&format!("(spawned at {place}")) && text.contains(": unheard"), "{text}");
    // One that was read is no matter.
    testing::run(async {
        assert!(spawn(async { panic!("heard") }).await.unwrap_err().is_panic());
    });
    // Nor is it with those who do not want to know.
    Test::new().allow_unread_panics().run(async {
        drop(spawn(async { panic!("unheard") }));
    });
}

#[test]
fn panics_on_other_threads_and_in_callbacks_are_heard_as_well() {
    let text = panic_of(|| {
        testing::run(async {
            call_soon(|| panic!("in a callback"));
        })
    });
    assert!(text.contains("in a callback"), "{text}");
    let text = panic_of(|| {
        testing::run(async {
            let (go, wait) = mpsc::channel::<()>();
            let (started, has_started) = mpsc::channel();
            let job = spawn_blocking(move || {
                started.send(()).unwrap();
                let _ = wait.recv();
                panic!("in a job");
            });
            while has_started.try_recv().is_err() {
                yield_now().await;
            }
            job.cancel();
            assert!(job.await.unwrap_err().is_cancelled());
            drop(go);
        })
    });
    assert!(text.contains("in a job"), "{text}");
    let text = panic_of(|| {
        testing::run(async {
            let handle = Handle::current();
            let (done, wait) = mpsc::channel();
            let thread = std::thread::spawn(move || {
                let task = handle.spawn(|| async { panic!("far away") });
                while !task.is_finished() {
                    std::thread::yield_now();
                }
                drop::<wheelhouse::RemoteHandle<()>>(task);
                done.send(()).unwrap();
            });
            while wait.try_recv().is_err() {
                yield_now().await;
            }
            thread.join().unwrap();
        })
    });
    assert!(text.contains("far away"), "{text}");
    let text = panic_of(|| {
        testing::run(async {
            let task = spawn(async {
                let _guard = OnDrop::new(|| panic!("in a drop"));
                pending::<()>().await;
            });
            // In any order, it is polled before it is cancelled.
            yield_now().await;
            yield_now().await;
            task.cancel();
        })
    });
    assert!(text.contains("in a drop"), "{text}");
}

#[test]
fn another_loop_keeps_its_panics() {
    testing::run(async {
        let group = LoopGroup::new(1).unwrap();
        let task = group.handle(0).spawn(|| async { drop(spawn(async { panic!("elsewhere") })) });
        task.await.unwrap();
        group.shutdown(Duration::ZERO);
    });
}

#[test]
fn a_test_that_hangs_fails_and_says_who_waits() {
    let limit = Duration::from_millis(50);
    let text = panic_of(|| {
        Test::new().time_limit(limit).run(async {
            Builder::new().name("stuck").spawn(pending::<()>());
            pending::<()>().await;
        })
    });
    assert!(text.starts_with("the test did not end within 50ms. It waits for something"), "{text}");
    assert!(text.contains("\"stuck\""), "{text}");
    // Also if it is busy all the time.
    let text = panic_of(|| {
        Test::new().time_limit(limit).run(async {
            loop {
                yield_now().await;
            }
        })
    });
    assert!(text.starts_with("the test did not end within 50ms"), "{text}");
    // Virtual time and the outside world do not go together without a word.
    let text = panic_of(|| {
        Test::new().time_limit(limit).run(async {
            let (one, _other) = socket_pair();
            let one = AsyncFd::new(one).unwrap();
            let _ = timeout(DAY, under_foreign_waker(one.readable())).await;
        })
    });
    assert!(text.contains("Virtual time does not jump while a descriptor is waited for"), "{text}");
    let settle = Clock::Virtual { settle: Some(Duration::from_millis(1)) };
    Test::new().clock(settle).run(async {
        let (one, _other) = socket_pair();
        let one = AsyncFd::new(one).unwrap();
        assert!(timeout(DAY, one.readable()).await.is_err());
    });
}

#[test]
fn the_panic_of_a_test_is_its_own_and_points_at_it() {
    let text = panic_of(|| testing::run(async { panic!("mine") }));
    assert_eq!(text, "mine");
    let nested = panic_of(|| testing::run(async { testing::run(async {}) }));
    assert!(nested.starts_with("`testing::run` was called while loop "), "{nested}");
    assert_eq!(panic_of(|| Test::new().time_limit(DAY).run(async { panic!("on") })), "on");
}

#[test]
fn the_order_is_the_seeds_or_the_queues() {
    let order = |test: Test| test.run(order_of(20));
    let queued: Vec<u32> = (0..20).collect();
    assert_eq!(order(Test::new().in_order()), queued);
    assert_eq!(order(Test::new().seed(1)), order(Test::new().seed(1)));
    assert_eq!(order(Test::on(EventLoop::builder().seed(1))), order(Test::new().seed(1)));
    assert_ne!(order(Test::new().seed(1)), order(Test::new().seed(2)));
    let mut drawn = order(Test::new().seed(3));
    assert_ne!(drawn, queued);
    drawn.sort_unstable();
    assert_eq!(drawn, queued);
    // So are the arms of `select!`.
    let arms = |seed| {
        Test::new().seed(seed).run(async {
            let mut first = Vec::new();
            for _ in 0..20 {
                first.push(select! { () = async {} => 1, () = async {} => 2 });
            }
            first
        })
    };
    assert_eq!(arms(1), arms(1));
    assert_ne!(arms(1), arms(2));
}

#[test]
fn real_time_is_real_and_settings_are_kept() {
    Test::new().real_time().run(async {
        let start = std::time::Instant::now();
        sleep(Duration::from_micros(300)).await;
        assert!(start.elapsed() >= Duration::from_micros(300));
        let refused = panic_of(time::pause);
        assert!(refused.contains("a loop with the real clock"), "{refused}");
    });
    Test::on(EventLoop::builder().name("mine")).run(async {
        assert_eq!(Handle::current().name(), "mine");
    });
}

/// What the two tests below run in processes of their own.
#[test]
fn prints_its_order() {
    testing::run(async { println!("order {:?}", order_of(20).await) });
    if std::env::var_os("WHEELHOUSE_TEST_FAILS").is_some() {
        testing::run(async { panic!("as it should") });
    }
}

/// Runs the test above with these variables: its output, and whether it passed.
fn in_a_process(variables: &[(&str, &str)]) -> (String, bool) {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["prints_its_order", "--exact", "--nocapture", "--test-threads=1"])
        .env_remove("WHEELHOUSE_SEED")
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&child.stdout) + String::from_utf8_lossy(&child.stderr);
    (text.into_owned(), child.status.success())
}

fn order_in(text: &str) -> &str {
    let at = text.find("order [").unwrap_or_else(|| panic!("it printed no order: {text}"));
    text[at..].lines().next().unwrap()
}

#[test]
#[cfg_attr(miri, ignore = "child processes are not for Miri")]
fn a_failure_prints_the_seed_that_replays_it() {
    let (first, passed) = in_a_process(&[("WHEELHOUSE_TEST_FAILS", "1")]);
    assert!(!passed && first.contains("as it should"), "{first}");
    let at = first.find("WHEELHOUSE_SEED=").unwrap_or_else(|| panic!("no seed in {first}"));
    let seed = first[at..].split([' ', '=']).nth(1).unwrap();
    let (again, passed) =
        in_a_process(&[("WHEELHOUSE_TEST_FAILS", "1"), ("WHEELHOUSE_SEED", seed)]);
    assert!(!passed);
    assert!(again.contains(&format!("note: ready tasks ran in the order of seed {seed};")));
    let (passing, passed) = in_a_process(&[("WHEELHOUSE_SEED", seed)]);
    assert!(passed && !passing.contains("note:"), "{passing}");
    assert_eq!(order_in(&passing), order_in(&again));
}

#[test]
#[cfg_attr(miri, ignore = "child processes are not for Miri")]
fn without_a_seed_each_run_has_another_order_and_nonsense_is_refused() {
    let orders: Vec<String> = (0..3).map(|_| in_a_process(&[]).0).collect();
    assert_ne!(order_in(&orders[0]), order_in(&orders[1]));
    assert_ne!(order_in(&orders[1]), order_in(&orders[2]));
    for nonsense in ["abc", "-1", "", "18446744073709551616"] {
        let (text, passed) = in_a_process(&[("WHEELHOUSE_SEED", nonsense)]);
        assert!(!passed);
        let expected = format!("`WHEELHOUSE_SEED` is {nonsense:?}. It takes a seed");
        assert!(text.contains(&expected), "{text}");
    }
}

/// As at the end of any loop: first the tasks, then what they kept on it.
#[test]
fn what_a_loop_keeps_is_there_as_long_as_tasks_still_run() {
    #[derive(Default)]
    struct Kept(Cell<u32>);

    testing::run(async {
        loop_local::<Kept>().0.set(1);
        drop(spawn(async {
            yield_now().await;
            assert_eq!(loop_local::<Kept>().0.replace(2), 1);
            yield_now().await;
            assert_eq!(loop_local::<Kept>().0.get(), 2);
        }));
    });
}

#[test]
fn several_loop_locals_whose_drop_panics_fail_the_test_and_not_the_process() {
    #[derive(Default)]
    struct One;
    #[derive(Default)]
    struct Two;
    impl Drop for One {
        fn drop(&mut self) {
            panic!("the first");
        }
    }
    impl Drop for Two {
        fn drop(&mut self) {
            panic!("the second");
        }
    }

    let test = async { drop((loop_local::<One>(), loop_local::<Two>())) };
    let text = panic_of(|| testing::run(test));
    assert!(text.contains("panicked outside a task: the first"), "{text}");
    assert!(text.contains("panicked outside a task: the second"), "{text}");
}
