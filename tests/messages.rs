//! The words for misuse: what was called, what was expected, what to do.

mod support;

use std::future::Future;
use std::net::TcpStream;
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use futures_lite::future::block_on as foreign_block_on;
use support::{panic_of, run_checked, run_checked_on, run_virtual, socket_pair};
use wheelhouse::io::{AsyncFd, Interest, Source};
use wheelhouse::net::TcpListener;
use wheelhouse::signal::SignalKind;
use wheelhouse::structure::{JoinSet, WaitFor, wait};
use wheelhouse::time::{self, Instant, sleep};
use wheelhouse::{
    EventLoop, Handle, LoopGroup, call_at, call_later, call_soon, run, spawn, spawn_blocking,
    yield_now,
};

fn no_loop(what: &str) -> String {
    format!(
        "no event loop is running on this thread: `{what}` needs one. Call it inside \
         `wheelhouse::run` or `EventLoop::block_on`; from another thread, use a `Handle`."
    )
}

#[test]
fn without_a_loop_the_message_says_where_to_call_it() {
    let socket = || socket_pair().0;
    assert_eq!(panic_of(|| spawn(async {})), no_loop("spawn"));
    assert_eq!(panic_of(|| spawn_blocking(|| ())), no_loop("spawn_blocking"));
    assert_eq!(panic_of(|| sleep(Duration::ZERO)), no_loop("sleep"));
    assert_eq!(panic_of(|| time::sleep_until(Instant::now())), no_loop("sleep_until"));
    assert_eq!(panic_of(|| call_soon(|| ())), no_loop("call_soon"));
    assert_eq!(panic_of(|| call_later(Duration::ZERO, || ())), no_loop("call_later"));
    assert_eq!(panic_of(|| call_at(Instant::now(), || ())), no_loop("call_at"));
    assert_eq!(panic_of(Handle::current), no_loop("Handle::current"));
    assert_eq!(panic_of(|| time::timeout(Duration::ZERO, async {})), no_loop("timeout"));
    assert_eq!(panic_of(|| time::timeout_at(Instant::now(), async {})), no_loop("timeout_at"));
    let wait = || drop(wait(&mut JoinSet::<()>::new(), WaitFor::All, Some(Duration::ZERO)));
    assert_eq!(panic_of(wait), no_loop("wait"));
    assert_eq!(panic_of(|| time::pause()), no_loop("time::pause"));
    assert_eq!(panic_of(wheelhouse::loop_local::<u8>), no_loop("loop_local"));
    // Whatever the user called, none of its names is that of a part he does not know.
    let sockets = [
        panic_of(|| Source::new(socket(), Interest::BOTH)),
        panic_of(|| AsyncFd::new(socket())),
        panic_of(|| TcpListener::from_std(std::net::TcpListener::bind("127.0.0.1:0").unwrap())),
        panic_of(|| foreign_block_on(TcpListener::bind("127.0.0.1:0"))),
        panic_of(|| wheelhouse::signal::signal(SignalKind::user_defined1())),
    ];
    for text in sockets {
        assert_eq!(
            text,
            "no event loop is running on this thread: a socket, or whatever else has a descriptor, \
             needs one that watches it. Make it inside `wheelhouse::run` or \
             `EventLoop::block_on`; from another thread, use a `Handle`."
        );
    }
}

#[test]
fn a_panic_of_misuse_points_at_the_caller() {
    let place = std::sync::Arc::new(std::sync::Mutex::new(None));
    let seen = place.clone();
    let before = std::panic::take_hook();
    let this_thread = std::thread::current().id();
    std::panic::set_hook(Box::new(move |info| {
        if std::thread::current().id() == this_thread {
            let location = info.location().unwrap();
            *seen.lock().unwrap() = Some((location.file().to_owned(), location.line()));
        }
    }));
    let mut lines = Vec::new();
    let mut check = |line: u32| {
        lines.push((place.lock().unwrap().take(), Some((file!().to_owned(), line))));
    };
    let _ = std::panic::catch_unwind(|| drop(spawn(async {})));
    check(line!() - 1);
    let _ = std::panic::catch_unwind(|| drop(sleep(Duration::ZERO)));
    check(line!() - 1);
    let _ = std::panic::catch_unwind(|| drop(call_soon(|| ())));
    check(line!() - 1);
    let _ = std::panic::catch_unwind(|| drop(spawn_blocking(|| ())));
    check(line!() - 1);
    let _ = std::panic::catch_unwind(|| drop(Handle::current()));
    check(line!() - 1);
    let _ = std::panic::catch_unwind(|| run(async { run(async {}) }));
    check(line!() - 1);
    std::panic::set_hook(before);
    for (found, expected) in lines {
        assert_eq!(found, expected);
    }
}

const ONE_LOOP: &str = "A thread has one loop: to wait inside a task use `.await`; to run a second \
                        loop use a second thread.";

#[test]
fn a_second_loop_on_a_thread_is_told_where_the_first_began() {
    let outer = EventLoop::builder().name("outer").build().unwrap();
    let inner = EventLoop::new().unwrap();
    let line = line!() + 1;
    let entered = outer.enter();
    for (what, text) in [
        ("EventLoop::block_on", panic_of(|| inner.block_on(async {}))),
        ("EventLoop::run_forever", panic_of(|| inner.run_forever())),
        ("EventLoop::turn", panic_of(|| inner.turn(None).map(drop))),
        ("EventLoop::enter", panic_of(|| drop(inner.enter()))),
        ("EventLoop::shutdown", panic_of(|| EventLoop::new().unwrap().shutdown(Duration::ZERO))),
        ("run", panic_of(|| run(async {}))),
    ] {
        assert!(text.starts_with(&format!("`{what}` was called while loop ")), "{text}");
        let first =
            format!("(\"outer\") is running on this thread (entered at {}:{line}:", file!());
        assert!(text.contains(&first), "{text}");
        assert!(text.ends_with(ONE_LOOP), "{text}");
    }
    drop(entered);
    inner.block_on(async {});
}

#[test]
fn a_loop_that_is_turned_inside_its_own_turn_says_to_await() {
    let event_loop = EventLoop::new().unwrap();
    event_loop.block_on(async {
        for (what, text) in [
            ("EventLoop::block_on", panic_of(|| event_loop.block_on(async {}))),
            ("EventLoop::run_forever", panic_of(|| event_loop.run_forever())),
            ("EventLoop::turn", panic_of(|| event_loop.turn(None).map(drop))),
        ] {
            let start = format!("`{what}` was called from inside a turn of loop ");
            assert!(text.starts_with(&start), "{text}");
            let end = " itself. To wait inside a task use `.await`; to run a second loop use a \
                       second thread.";
            assert!(text.ends_with(end), "{text}");
        }
        // Entering is no turning.
        let _entered = event_loop.enter();
        spawn(yield_now()).await.unwrap();
    });
    support::assert_nothing_left(&event_loop);
}

#[test]
fn waiting_on_the_loops_own_thread_for_its_task_is_refused() {
    run_checked_on(EventLoop::builder().name("own"), async {
        let waits = Handle::current().spawn(|| async {});
        let text = panic_of(|| waits.wait());
        assert!(
            text.starts_with("`RemoteHandle::wait` was called on the thread of loop "),
            "{text}"
        );
        let end = "(\"own\"), which has to run the task: it would wait for ever. Use `.await`.";
        assert!(text.ends_with(end), "{text}");
        let waits = Handle::current().spawn(|| async {});
        let text = panic_of(|| waits.wait_timeout(Duration::ZERO));
        assert!(
            text.starts_with("`RemoteHandle::wait_timeout` was called on the thread of "),
            "{text}"
        );
        for _ in 0..4 {
            yield_now().await;
        }
    });
}

#[test]
fn a_sleep_used_off_its_loop_says_where_it_belongs() {
    let end = " and was used outside it. Await it in a task of that loop; make a new one with \
               `sleep` on the loop that runs here.";
    run_checked_on(EventLoop::builder().name("home"), async {
        let strayed = sleep(Duration::from_secs(1));
        let elsewhere = std::thread::spawn(move || {
            let mut strayed = pin!(strayed);
            let polled = panic_of(|| {
                strayed.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()
            });
            let reset = panic_of(|| strayed.as_mut().reset(Instant::now()));
            (polled, reset)
        });
        let (polled, reset) = elsewhere.join().unwrap();
        for text in [polled, reset] {
            assert!(text.starts_with("this `Sleep` belongs to loop "), "{text}");
            assert!(text.ends_with(&format!("(\"home\"){end}")), "{text}");
        }
    });
}

#[test]
fn a_sleep_whose_loop_is_closed_says_so() {
    let event_loop = EventLoop::new().unwrap();
    let strayed = {
        let _entered = event_loop.enter();
        sleep(Duration::from_secs(1))
    };
    drop(event_loop);
    let text = panic_of(|| foreign_block_on(strayed));
    assert!(
        text.contains(", which is closed: its time never comes. Keep the loop alive "),
        "{text}"
    );
}

#[test]
fn a_source_used_off_its_loop_gives_an_error_that_says_what_to_do() {
    run_checked_on(EventLoop::builder().name("home"), async {
        let ours = AsyncFd::new(socket_pair().0).unwrap();
        let elsewhere = std::thread::spawn(move || {
            let error = foreign_block_on(ours.readable()).map(drop).unwrap_err().to_string();
            // What needs no waiting works anywhere.
            let read = |mut fd: &TcpStream| std::io::Read::read(&mut fd, &mut [0]);
            assert_eq!(ours.try_io(Interest::READABLE, read).unwrap(), 0, "the peer is gone");
            (ours, error)
        });
        let (_ours, error) = elsewhere.join().unwrap();
        assert!(error.starts_with("this source belongs to loop "), "{error}");
        assert!(
            error.contains(
                "(\"home\") and was polled outside it. Poll it in a task of that loop, or "
            )
        );
        assert!(error.ends_with("register it with the loop that runs here."), "{error}");
    });
}

#[test]
fn moving_a_real_clock_says_how_to_get_one_that_can_be_moved() {
    run_checked(async {
        for (what, text) in [
            ("time::pause", panic_of(time::pause)),
            ("time::resume", panic_of(time::resume)),
            ("time::advance", panic_of(|| drop(time::advance(Duration::ZERO)))),
        ] {
            let start = format!(
                "`{what}` was called on a loop with the real clock, which cannot be moved. "
            );
            assert!(text.starts_with(&start), "{text}");
            let end = "`EventLoop::builder().clock(Clock::Virtual { settle: None })`.";
            assert!(text.ends_with(end), "{text}");
        }
    });
    run_virtual(async {
        time::pause();
        time::resume();
        time::advance(Duration::ZERO).await;
    });
}

#[test]
fn asking_a_cancellation_for_its_panic_says_to_look_first() {
    run_checked(async {
        let task = spawn(std::future::pending::<()>());
        task.cancel();
        let error = task.await.unwrap_err().try_into_panic().unwrap_err();
        let text = panic_of(|| error.into_panic());
        assert!(text.starts_with(
            "`JoinError::into_panic` was called on an error that is not a panic (task "
        ));
        assert!(
            text.ends_with("was cancelled). Ask `is_panic` first, or use `try_into_panic`."),
            "{text}"
        );
    });
}

#[test]
fn a_remote_handle_asked_twice_says_so() {
    run_checked(async {
        let mut remote = Handle::current().spawn(|| async { 1 });
        (&mut remote).await.unwrap();
        let text = panic_of(|| foreign_block_on(&mut remote).map(drop));
        assert_eq!(text, "a `RemoteHandle` was asked for its result after it had given it");
    });
}

#[test]
fn a_group_has_at_least_one_loop_and_knows_how_many() {
    let text = panic_of(|| LoopGroup::new(0));
    assert_eq!(
        text,
        "`LoopGroup` was asked for 0 loops: a group has at least one. Leave the number out to have \
         one for each core."
    );
    let group = LoopGroup::new(1).unwrap();
    let text = panic_of(|| group.handle(1));
    assert_eq!(
        text,
        "`LoopGroup::handle` was called with index 1, but the last loop of the group is 0"
    );
}
