//! Seeing into a loop: the task tree with names, places, parents and wait reasons, the counters,
//! and observers.

mod support;

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::os::fd::AsRawFd;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::mpsc;
use std::time::Duration;

use support::{
    assert_nothing_left, rounds, run_checked_on, run_with_panics, socket_pair, stderr_of_child,
    turn_until_idle,
};
use wheelhouse::io::{AsyncFd, Interest};
use wheelhouse::task::{self, JoinHandle};
use wheelhouse::time::sleep;
use wheelhouse::{
    EventLoop, LoopGroup, Observer, TaskInfo, TaskTree, WaitsFor, call_later, spawn,
    spawn_blocking, yield_now,
};

fn named<'a>(tree: &'a TaskTree, name: &str) -> &'a TaskInfo {
    let found = tree.tasks().iter().find(|task| task.name.as_deref() == Some(name));
    found.unwrap_or_else(|| panic!("no task {name} in {tree}"))
}

fn builder(name: &str) -> task::Builder {
    task::Builder::new().name(name)
}

#[test]
fn the_tree_says_who_waits_for_what_and_where_it_was_spawned() {
    let event_loop = EventLoop::builder().name("inspected").build().unwrap();
    let (open, gate) = mpsc::channel::<()>();
    let (ours, peer) = socket_pair();
    let fd = ours.as_raw_fd();
    let (tasks, line) = {
        let _entered = event_loop.enter();
        let ours = Rc::new(AsyncFd::new(ours).unwrap());
        let writer = ours.clone();
        let sleeper = builder("sleeper").spawn(sleep(Duration::from_secs(50)));
        let line = line!() - 1;
        let (sleeper_id, kept) = (sleeper.id(), sleeper.abort_handle());
        let tasks: Vec<JoinHandle<()>> = vec![
            builder("reader").spawn(async move { ours.readable().await.map(drop).unwrap() }),
            builder("writer").spawn(async move { fill(&writer).await }),
            builder("joiner").spawn(async move { sleeper.await.unwrap() }),
            builder("blocked").spawn_blocking(move || gate.recv().unwrap()),
            builder("unknown").spawn(pending()),
            builder("done").spawn(async {}),
        ];
        assert_eq!(kept.id(), sleeper_id);
        (tasks, line)
    };
    turn_until_idle(&event_loop);
    let tree = event_loop.dump();
    let sleeper = named(&tree, "sleeper");
    assert_eq!((sleeper.location.file(), sleeper.location.line()), (file!(), line));
    let WaitsFor::Timer(left) = sleeper.waits_for else { panic!("{sleeper}") };
    assert!(left > Duration::from_secs(10) && left <= Duration::from_secs(50), "{left:?}");
    assert_eq!(named(&tree, "joiner").waits_for, WaitsFor::Task(sleeper.id));
    assert_eq!(named(&tree, "reader").waits_for, WaitsFor::Readable(fd));
    assert_eq!(named(&tree, "writer").waits_for, WaitsFor::Writable(fd));
    assert_eq!(named(&tree, "blocked").waits_for, WaitsFor::Blocking);
    assert_eq!(named(&tree, "unknown").waits_for, WaitsFor::Unknown);
    assert_eq!(named(&tree, "done").waits_for, WaitsFor::Joined);

    let text = tree.to_string();
    assert!(text.lines().next().unwrap().ends_with("(\"inspected\"): 7 tasks"), "{text}");
    for line in [
        format!("\"reader\" ({}:", file!()),
        format!("): waits to read descriptor {fd}"),
        format!("): waits to write descriptor {fd}"),
        format!("): awaits task {}", sleeper.id),
        "): waits for a blocking job".to_owned(),
        "): waits for something of its own".to_owned(),
        "): finished, waits to be awaited".to_owned(),
        "): sleeps for 4".to_owned(),
    ] {
        assert!(text.contains(&line), "{line:?} is not in\n{text}");
    }
    open.send(()).unwrap();
    tasks.iter().for_each(JoinHandle::cancel);
    drop((tasks, peer));
    assert!(event_loop.shutdown(support::GUARD).is_clean());
}

/// Writes until the socket takes no more, and then waits.
async fn fill(socket: &AsyncFd<std::net::TcpStream>) {
    let write = |mut fd: &std::net::TcpStream| std::io::Write::write(&mut fd, &[0; 65536]);
    while socket.async_io(Interest::WRITABLE, write).await.is_ok() {}
}

#[test]
fn children_stand_under_the_task_that_spawned_them() {
    let event_loop = EventLoop::new().unwrap();
    let parent = {
        let _entered = event_loop.enter();
        builder("parent").spawn(async {
            let child = builder("child").spawn(async {
                drop(builder("grandchild").spawn(pending::<()>()));
                pending::<()>().await;
            });
            child.await.unwrap();
        })
    };
    turn_until_idle(&event_loop);
    let tree = event_loop.dump();
    assert_eq!(named(&tree, "parent").parent, None);
    assert_eq!(named(&tree, "child").parent, Some(parent.id()));
    assert_eq!(named(&tree, "grandchild").parent, Some(named(&tree, "child").id));
    let text = tree.to_string();
    let indents: Vec<usize> =
        text.lines().skip(1).map(|line| line.len() - line.trim_start().len()).collect();
    assert_eq!(indents, [2, 4, 6], "{text}");
}

/// A program is asked what it does when it has a great many tasks, and has something else to do as
/// well.
#[test]
fn a_tree_of_thousands_of_tasks_is_printed_in_no_time_however_deep() {
    fn line_of(left: usize) -> Pin<Box<dyn Future<Output = ()>>> {
        Box::pin(async move {
            if left > 1 {
                drop(spawn(line_of(left - 1)));
            }
            pending().await
        })
    }

    let (deep, wide) = (rounds(5_000, 50), rounds(20_000, 50));
    let event_loop = EventLoop::new().unwrap();
    {
        let _entered = event_loop.enter();
        drop(spawn(line_of(deep)));
        drop(builder("wide").spawn(async move {
            (0..wide).for_each(|_| drop(spawn(pending::<()>())));
            pending::<()>().await
        }));
    }
    turn_until_idle(&event_loop);
    let tree = event_loop.dump();
    let (printed, text) = mpsc::channel();
    std::thread::spawn(move || printed.send(tree.to_string()));
    let text = text.recv_timeout(support::GUARD).expect("it is printed for ever");
    assert_eq!(text.lines().count(), 1 + deep + 1 + wide);
    let deepest = text.lines().map(|line| line.len() - line.trim_start().len()).max();
    assert_eq!(deepest, Some(40), "what is deeper is no further to the right");
    // Children still follow their parent.
    let last = text.lines().position(|line| line.contains("\"wide\"")).unwrap();
    assert!(last == 1 || last == 1 + deep, "{last}");
}

#[test]
fn a_task_that_is_queued_or_running_waits_for_nothing() {
    let event_loop = EventLoop::new().unwrap();
    event_loop.block_on(async {
        let queued = builder("queued").spawn(async {});
        assert_eq!(named(&event_loop.dump(), "queued").waits_for, WaitsFor::Nothing);
        queued.await.unwrap();
        let yields = builder("yields").spawn(async { yield_now().await });
        yield_now().await;
        assert_eq!(named(&event_loop.dump(), "yields").waits_for, WaitsFor::Nothing);
        yields.await.unwrap();
    });
    assert!(event_loop.dump().tasks().is_empty());
    assert_nothing_left(&event_loop);
}

#[test]
fn the_counters_count() {
    let event_loop = EventLoop::new().unwrap();
    let before = event_loop.metrics();
    assert_eq!((before.turns, before.polls, before.spawned), (0, 0, 0));
    event_loop.block_on(async {
        for _ in 0..10 {
            spawn(async {}).await.unwrap();
        }
        sleep(Duration::from_micros(10)).await;
        drop(call_later(Duration::from_micros(10), || ()));
        sleep(Duration::from_micros(50)).await;
        spawn_blocking(|| ()).await.unwrap();
        let (ours, _peer) = socket_pair();
        let ours = AsyncFd::new(ours).unwrap();
        assert_eq!(event_loop.metrics().sources, 1);
        drop(ours.writable().await.unwrap());
        let timers = (spawn(sleep(Duration::from_secs(9))), yield_now().await).0;
        assert_eq!((event_loop.metrics().timers, event_loop.metrics().tasks), (1, 1));
        timers.cancel();
        assert!(timers.await.is_err());
    });
    let after = event_loop.metrics();
    assert_eq!(after.spawned, 12);
    assert_eq!(after.timers_fired, 3);
    assert!(after.polls >= 20 && after.turns >= 10 && after.selects >= 3 && after.events >= 1);
    assert!(after.messages >= 1, "the blocking job's end");
    assert_nothing_left(&event_loop);
}

/// A task's name, the line that spawned it, how long it was polled.
type Seen = (Option<String>, u32, Duration);

#[derive(Clone, Default)]
struct Watch {
    polls: Rc<RefCell<Vec<Seen>>>,
    turns: Rc<Cell<u64>>,
    is_in_task: Rc<Cell<bool>>,
    panics: bool,
}

impl Observer for Watch {
    fn turn_ended(&self) {
        self.turns.set(self.turns.get() + 1);
        assert!(!self.panics, "an observer");
    }

    fn task_polled(
        &self,
        name: Option<&str>,
        location: &'static Location<'static>,
        took: Duration,
    ) {
        self.polls.borrow_mut().push((name.map(str::to_owned), location.line(), took));
        self.is_in_task.set(self.is_in_task.get() || wheelhouse::task::current().is_some());
        assert!(!self.panics, "an observer");
    }
}

#[test]
fn an_observer_sees_turns_and_polls_and_its_panics_do_no_harm() {
    for panics in [false, true] {
        let watch = Watch { panics, ..Watch::default() };
        let line = line!() + 2;
        run_with_panics(EventLoop::builder().observer(watch.clone()), async {
            let slow = builder("slow").spawn(async {
                let start = std::time::Instant::now();
                while start.elapsed() < Duration::from_millis(1) {}
            });
            slow.await.unwrap();
        });
        let polls = watch.polls.borrow();
        let (name, at, took) = polls.iter().find(|poll| poll.0.is_some()).unwrap();
        assert_eq!((name.as_deref(), *at), (Some("slow"), line));
        assert!(*took >= Duration::from_millis(1));
        assert!(!watch.is_in_task.get(), "it is called outside any task");
        assert!(watch.turns.get() >= 2);
    }
}

#[test]
fn debug_mode_and_a_threshold_change_nothing_but_what_is_reported() {
    let builder = EventLoop::builder().debug(true).slow_task_threshold(Duration::from_nanos(1));
    run_checked_on(builder, async {
        for n in 0..rounds(100, 10) {
            assert_eq!(spawn(async move { n }).await.unwrap(), n);
        }
    });
}

/// The future of `block_on` is no task: for an observer, a place where a loop was made is no place
/// where something was spawned.
#[test]
fn an_observer_does_not_take_the_root_for_a_task() {
    let watch = Watch::default();
    run_checked_on(EventLoop::builder().observer(watch.clone()), yield_now());
    assert!(watch.polls.borrow().is_empty());
    assert!(watch.turns.get() >= 2);
}

/// Without a subscriber of `tracing`, whom debug mode names is on stderr.
#[test]
fn debug_mode_names_a_root_that_holds_the_loop() {
    let name = "debug_mode_names_a_root_that_holds_the_loop";
    let line = line!() + 3;
    let said = stderr_of_child(name, || {
        let debug = EventLoop::builder().debug(true).slow_task_threshold(Duration::from_millis(1));
        debug.run(async { std::thread::sleep(Duration::from_millis(2)) });
    });
    let Some(said) = said else { return };
    let place = format!("the future of `block_on` (loop made at tests/inspect.rs:{line}:");
    assert!(said.contains(&place), "{said}");
    assert!(said.contains(" ms; long work belongs in `spawn_blocking`"), "{said}");
}

#[test]
fn a_handle_brings_the_counters_from_another_thread() {
    let group = LoopGroup::new(1).unwrap();
    let handle = group.handle(0);
    let spawned = handle.spawn(|| async {
        drop(spawn(pending::<()>()));
        drop(spawn(sleep(Duration::from_secs(3600))));
    });
    spawned.wait().unwrap();
    let seen = handle.metrics().wait().unwrap();
    // The two, and the one that answers.
    assert_eq!((seen.tasks, seen.timers), (3, 1), "{seen:?}");
}
