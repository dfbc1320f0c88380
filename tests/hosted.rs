//! A loop inside a host: the host polls one descriptor and calls `turn(Some(ZERO))` when it is
//! readable. Everything must get done that way, whoever caused it and when, and the descriptor must
//! be quiet when there is nothing to do.
#![cfg_attr(miri, allow(unused))]

mod support;

use std::cell::Cell;
use std::future::{Future, pending};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::pin::pin;
use std::rc::Rc;
use std::sync::mpsc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use support::{GUARD, Gate, WakeCount, assert_nothing_left, is_readable, poll_with, socket_pair};
use wheelhouse::io::{AsyncFd, Interest};
use wheelhouse::time::{self, sleep};
use wheelhouse::{EventLoop, call_later, spawn, spawn_blocking, yield_now};

const MS: Duration = Duration::from_millis(1);
const FAR: Duration = Duration::from_secs(1000);

/// The host loop: polls the descriptor, turns when it is readable, until `is_done`. How many turns
/// it took.
#[track_caller]
fn host(event_loop: &EventLoop, mut is_done: impl FnMut() -> bool) -> u32 {
    let mut turns = 0;
    while !is_done() {
        assert!(is_readable(event_loop, GUARD), "the host was not told that a turn has work");
        let _ = event_loop.turn(Some(Duration::ZERO)).unwrap();
        turns += 1;
        assert!(turns < 100_000, "the host spins");
    }
    turns
}

/// Turns while the descriptor says so, which must end soon. How many turns it took.
#[track_caller]
fn host_until_quiet(event_loop: &EventLoop) -> u32 {
    let mut turns = 0;
    while is_readable(event_loop, Duration::ZERO) {
        let _ = event_loop.turn(Some(Duration::ZERO)).unwrap();
        turns += 1;
        assert!(turns < 100, "the descriptor is readable for ever");
    }
    turns
}

/// A loop that a host has turned until it was quiet.
fn quiet_loop() -> EventLoop {
    let event_loop = EventLoop::new().unwrap();
    host_until_quiet(&event_loop);
    event_loop
}

/// Makes something on the loop between two turns, and turns until it is quiet again.
fn between_turns<T>(event_loop: &EventLoop, make: impl FnOnce() -> T) -> T {
    let made = {
        let _entered = event_loop.enter();
        make()
    };
    host_until_quiet(event_loop);
    made
}

fn read_one(mut fd: &TcpStream) -> std::io::Result<u8> {
    let mut byte = [0];
    fd.read_exact(&mut byte)?;
    Ok(byte[0])
}

#[test]
#[cfg_attr(miri, ignore = "polls a descriptor")]
fn the_descriptor_is_quiet_when_there_is_nothing_to_do() {
    let event_loop = EventLoop::new().unwrap();
    assert!(!is_readable(&event_loop, Duration::ZERO));
    assert!(!event_loop.turn(Some(Duration::ZERO)).unwrap().more());
    assert!(!is_readable(&event_loop, Duration::ZERO));
    let (ours, _peer) = socket_pair();
    let turns = {
        let _entered = event_loop.enter();
        let ours = AsyncFd::new(ours).unwrap();
        drop(spawn(async move { ours.readable().await.map(drop) }));
        drop(spawn(sleep(FAR)));
        drop(call_later(FAR, || ()));
        drop(spawn(pending::<()>()));
        host_until_quiet(&event_loop)
    };
    assert!(turns <= 4, "{turns} turns to get there");
    assert!(!is_readable(&event_loop, 5 * MS), "tasks, timers and sockets that wait are quiet");
}

#[test]
#[cfg_attr(miri, ignore = "polls a descriptor")]
fn sockets_are_served() {
    let event_loop = quiet_loop();
    let (ours, mut peer) = socket_pair();
    let served = Rc::new(Cell::new(0));
    let count = served.clone();
    between_turns(&event_loop, || {
        let ours = AsyncFd::new(ours).unwrap();
        drop(spawn(async move {
            for n in 0..100 {
                assert_eq!(ours.async_io(Interest::READABLE, read_one).await.unwrap(), n);
                ours.get_ref().write_all(&[n + 1]).unwrap();
                count.set(n + 1);
            }
        }));
    });
    let mut turns = 0;
    for n in 0..100 {
        peer.write_all(&[n]).unwrap();
        turns += host(&event_loop, || served.get() == n + 1);
        while read_one(&peer).is_err() {}
    }
    assert!(turns <= 300, "{turns} turns for 100 messages");
    host_until_quiet(&event_loop);
    assert_nothing_left(&event_loop);
}

#[test]
#[cfg(target_os = "linux")]
#[cfg_attr(miri, ignore = "there are no timer descriptors under Miri")]
fn timers_make_the_descriptor_readable_in_time() {
    let event_loop = quiet_loop();
    let task = between_turns(&event_loop, || {
        spawn(async {
            for _ in 0..5 {
                sleep(2 * MS).await;
            }
            Instant::now()
        })
    });
    let started = Instant::now();
    let _entered = event_loop.enter();
    let turns = host(&event_loop, || task.is_finished());
    assert!(started.elapsed() >= 9 * MS);
    assert!(turns <= 30, "{turns} turns for 5 timers");
    drop(task);
    host_until_quiet(&event_loop);
    assert_nothing_left(&event_loop);
}

#[test]
#[cfg_attr(miri, ignore = "polls a descriptor")]
fn work_from_other_threads_is_done() {
    let event_loop = quiet_loop();
    for n in 0..50 {
        let handle = event_loop.handle();
        let (sender, receiver) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let spawned = handle.spawn(move || async move {
                yield_now().await;
                n
            });
            handle.call_soon(move || sender.send(n).unwrap()).unwrap();
            spawned
        });
        host(&event_loop, || receiver.try_recv().is_ok());
        let spawned = thread.join().unwrap();
        host(&event_loop, || spawned.is_finished());
        host_until_quiet(&event_loop);
    }
    assert_nothing_left(&event_loop);
}

#[test]
#[cfg_attr(miri, ignore = "polls a descriptor")]
fn the_end_of_a_blocking_job_reaches_its_task() {
    let event_loop = quiet_loop();
    let (open, gate) = mpsc::channel();
    let job = between_turns(&event_loop, || spawn_blocking(move || gate.recv().unwrap()));
    assert!(!is_readable(&event_loop, Duration::ZERO));
    open.send(3).unwrap();
    let _entered = event_loop.enter();
    host(&event_loop, || job.is_finished());
    drop(job);
    host_until_quiet(&event_loop);
}

#[test]
#[cfg_attr(miri, ignore = "polls a descriptor")]
fn what_host_code_spawns_between_turns_runs() {
    let event_loop = quiet_loop();
    let _entered = event_loop.enter();
    for _ in 0..3 {
        let task = spawn(async { yield_now().await });
        let turns = host(&event_loop, || task.is_finished());
        assert!(turns <= 4, "{turns}");
        drop(task);
        host_until_quiet(&event_loop);
    }
    assert_nothing_left(&event_loop);
}

#[test]
#[cfg_attr(miri, ignore = "polls a descriptor")]
fn what_host_code_wakes_between_turns_runs_whether_it_entered_the_loop_or_not() {
    for enters in [true, false] {
        let event_loop = quiet_loop();
        let gate = Gate::default();
        let (wait, done) = (gate.clone(), Rc::new(Cell::new(false)));
        let flag = done.clone();
        between_turns(&event_loop, || {
            drop(spawn(async move {
                wait.wait().await;
                flag.set(true);
            }));
        });
        let entered = enters.then(|| event_loop.enter());
        gate.open();
        drop(entered);
        host(&event_loop, || done.get());
        host_until_quiet(&event_loop);
        assert_nothing_left(&event_loop);
    }
}

#[test]
#[cfg(target_os = "linux")]
#[cfg_attr(miri, ignore = "there are no timer descriptors under Miri")]
fn a_sleep_that_host_code_starts_between_turns_ends() {
    let event_loop = quiet_loop();
    // A far timer has set the alarm already: the nearer one must move it.
    between_turns(&event_loop, || drop(spawn(sleep(FAR))));
    let _entered = event_loop.enter();
    let (count, waker) = WakeCount::new();
    let mut short = sleep(3 * MS);
    assert!(poll_with(&mut short, &waker).is_pending());
    let turns = host(&event_loop, || count.get() > 0);
    assert!(turns <= 5, "{turns}");
    assert!(poll_with(&mut short, &waker).is_ready());
}

#[test]
#[cfg(target_os = "linux")]
#[cfg_attr(miri, ignore = "there are no timer descriptors under Miri")]
fn a_timer_that_host_code_moves_nearer_between_turns_fires() {
    let event_loop = quiet_loop();
    let _entered = event_loop.enter();
    let (count, waker) = WakeCount::new();
    let mut moved = pin!(sleep(FAR));
    assert!(moved.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    let called = Rc::new(Cell::new(false));
    let flag = called.clone();
    let mut call = call_later(FAR, move || flag.set(true));
    host_until_quiet(&event_loop);

    moved.as_mut().reset(time::Instant::now() + 2 * MS);
    host(&event_loop, || count.get() > 0);
    host_until_quiet(&event_loop);
    assert!(call.reschedule(time::Instant::now() + 2 * MS));
    host(&event_loop, || called.get());
    host_until_quiet(&event_loop);
    assert_nothing_left(&event_loop);
}

#[test]
#[cfg_attr(miri, ignore = "polls a descriptor")]
fn a_callback_that_host_code_adds_or_cancels_between_turns_is_called_or_dropped() {
    let event_loop = quiet_loop();
    let _entered = event_loop.enter();
    let called = Rc::new(Cell::new(false));
    let flag = called.clone();
    wheelhouse::call_soon(move || flag.set(true));
    host(&event_loop, || called.get());
    let held = Rc::new(());
    let inside = held.clone();
    let cancelled = call_later(FAR, move || drop(inside));
    host_until_quiet(&event_loop);
    cancelled.cancel();
    host(&event_loop, || Rc::strong_count(&held) == 1);
    host_until_quiet(&event_loop);
    assert_nothing_left(&event_loop);
}

/// Host code between turns that does `what`, having entered the loop or not; then nothing may be
/// left.
#[track_caller]
fn dropped_between_turns<T>(make: impl Fn() -> T, what: impl Fn(T)) {
    for enters in [true, false] {
        let event_loop = quiet_loop();
        let made = between_turns(&event_loop, &make);
        let entered = enters.then(|| event_loop.enter());
        what(made);
        drop(entered);
        host_until_quiet(&event_loop);
        assert_nothing_left(&event_loop);
    }
}

#[test]
#[cfg_attr(miri, ignore = "polls a descriptor")]
fn a_sleep_that_host_code_drops_between_turns_is_gone() {
    let filed = || {
        let mut filed = Box::pin(sleep(FAR));
        assert!(filed.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        filed
    };
    dropped_between_turns(filed, drop);
}

#[test]
#[cfg_attr(miri, ignore = "polls a descriptor")]
fn a_descriptor_that_host_code_drops_between_turns_is_gone() {
    dropped_between_turns(|| AsyncFd::new(socket_pair().0).unwrap(), drop);
    let with_a_waiter = || {
        let ours = AsyncFd::new(socket_pair().0).unwrap();
        let _ = ours.poll_read_ready(&mut Context::from_waker(Waker::noop())).map(drop);
        ours
    };
    dropped_between_turns(with_a_waiter, drop);
}

#[test]
#[cfg_attr(miri, ignore = "polls a descriptor")]
fn a_handle_that_host_code_drops_or_cancels_between_turns_takes_effect() {
    // Finished, with an output that is left; and unfinished, then cancelled.
    dropped_between_turns(|| spawn(async { Rc::new(1) }), drop);
    dropped_between_turns(|| spawn(pending::<()>()), |task| task.cancel_and_forget());
}

trait CancelAndForget {
    fn cancel_and_forget(self);
}

impl<T> CancelAndForget for wheelhouse::JoinHandle<T> {
    fn cancel_and_forget(self) {
        self.cancel();
        drop(self);
    }
}

#[test]
#[cfg_attr(miri, ignore = "polls a descriptor")]
fn what_block_on_leaves_undone_a_host_is_told_of() {
    let event_loop = EventLoop::new().unwrap();
    let (sender, receiver) = mpsc::channel();
    let (tasks, timers) = (sender.clone(), sender.clone());
    event_loop.block_on(async move {
        drop(spawn(async move {
            yield_now().await;
            tasks.send("task").unwrap();
        }));
        drop(spawn(async move {
            sleep(2 * MS).await;
            timers.send("timer").unwrap();
        }));
    });
    let mut seen = 0;
    let count = |seen: &mut usize| {
        *seen += receiver.try_iter().count();
        *seen
    };
    host(&event_loop, || count(&mut seen) == if cfg!(target_os = "linux") { 2 } else { 1 });
    host_until_quiet(&event_loop);

    event_loop.block_on(async {});
    let handle = event_loop.handle();
    std::thread::spawn(move || handle.call_soon(move || sender.send("remote").unwrap()).unwrap());
    host(&event_loop, || count(&mut seen) == 3);
    event_loop.block_on(async {});
    host_until_quiet(&event_loop);
    assert_nothing_left(&event_loop);
}

#[test]
#[cfg_attr(miri, ignore = "polls a descriptor")]
fn a_turn_that_does_not_finish_its_work_says_so_and_stays_readable() {
    let event_loop = EventLoop::builder().polls_per_turn(4).events_per_turn(2).build().unwrap();
    let done = Rc::new(Cell::new(0));
    let sockets: Vec<_> = (0..9).map(|_| socket_pair()).collect();
    {
        let _entered = event_loop.enter();
        for (ours, mut peer) in sockets {
            let done = done.clone();
            let ours = AsyncFd::new(ours).unwrap();
            peer.write_all(&[5]).unwrap();
            drop(spawn(async move {
                assert_eq!(ours.async_io(Interest::READABLE, read_one).await.unwrap(), 5);
                done.set(done.get() + 1);
                drop(peer);
            }));
        }
    }
    let first = event_loop.turn(Some(Duration::ZERO)).unwrap();
    assert!(first.more() && first.polls() <= 4 && first.events() <= 2, "{first:?}");
    host(&event_loop, || done.get() == 9);
    host_until_quiet(&event_loop);
    assert_nothing_left(&event_loop);
}

#[test]
fn a_turn_waits_as_long_as_it_may_and_no_longer_than_there_is_something_to_do() {
    let event_loop = EventLoop::new().unwrap();
    let started = Instant::now();
    let turn = event_loop.turn(Some(3 * MS)).unwrap();
    assert!(started.elapsed() >= 3 * MS && !turn.more());
    // The alarm that ends the wait counts as an event.
    assert!(turn.events() <= 1 && (turn.polls(), turn.timers()) == (0, 0), "{turn:?}");
    let handle = event_loop.handle();
    let thread = std::thread::spawn(move || handle.call_soon(|| ()).unwrap());
    let _ = event_loop.turn(None).unwrap();
    thread.join().unwrap();
    support::turn_until_idle(&event_loop);
    let timer = {
        let _entered = event_loop.enter();
        spawn(sleep(2 * MS))
    };
    let started = Instant::now();
    let mut timers = 0;
    while timers == 0 {
        timers += event_loop.turn(Some(GUARD)).unwrap().timers();
    }
    assert!(started.elapsed() >= MS && started.elapsed() < GUARD);
    event_loop.block_on(timer).unwrap();
    assert_nothing_left(&event_loop);
}

#[test]
#[cfg(target_os = "linux")]
#[cfg_attr(miri, ignore = "watches an epoll with an epoll")]
fn an_edge_triggered_host_turns_until_there_is_no_more_and_misses_nothing() {
    use rustix::event::{Timespec, epoll};

    let event_loop = EventLoop::builder().polls_per_turn(3).build().unwrap();
    let watch = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
    let edges = epoll::EventFlags::IN | epoll::EventFlags::ET;
    epoll::add(&watch, &event_loop, epoll::EventData::new_u64(1), edges).unwrap();
    let done = Rc::new(Cell::new(0));
    let (ours, mut peer) = socket_pair();
    let handle = event_loop.handle();
    let (remote, remote_done) = mpsc::channel();
    {
        let _entered = event_loop.enter();
        let ours = AsyncFd::new(ours).unwrap();
        let count = |done: &Rc<Cell<u32>>| done.set(done.get() + 1);
        let reader = done.clone();
        drop(spawn(async move {
            for _ in 0..100 {
                ours.async_io(Interest::READABLE, read_one).await.unwrap();
                count(&reader);
            }
        }));
        for _ in 0..10 {
            let done = done.clone();
            drop(spawn(async move {
                for _ in 0..10 {
                    yield_now().await;
                    sleep(Duration::from_micros(200)).await;
                    count(&done);
                }
            }));
        }
    }
    let outside = std::thread::spawn(move || {
        for _ in 0..100 {
            peer.write_all(&[1]).unwrap();
            let remote = remote.clone();
            handle.call_soon(move || remote.send(()).unwrap()).unwrap();
            std::thread::yield_now();
        }
        peer
    });
    let mut calls = 0;
    let mut edges = Vec::with_capacity(4);
    while done.get() < 200 || calls < 100 {
        let guard = Timespec::try_from(GUARD).unwrap();
        epoll::wait(&watch, rustix::buffer::spare_capacity(&mut edges), Some(&guard)).unwrap();
        assert!(!edges.is_empty(), "an edge is missing: {} done, {calls} calls", done.get());
        edges.clear();
        while event_loop.turn(Some(Duration::ZERO)).unwrap().more() {}
        calls += remote_done.try_iter().count();
    }
    drop(outside.join().unwrap());
    host_until_quiet(&event_loop);
    assert_nothing_left(&event_loop);
}

/// A wake-up takes up room in the batch of events: a batch that is full because of it says so.
#[test]
fn a_batch_that_a_wake_up_fills_leaves_more_to_do() {
    let event_loop = EventLoop::builder().events_per_turn(2).build().unwrap();
    let read = Rc::new(Cell::new(0));
    let mut peers = Vec::new();
    for _ in 0..3 {
        let _entered = event_loop.enter();
        let (ours, peer) = socket_pair();
        let ours = AsyncFd::new(ours).unwrap();
        let read = read.clone();
        drop(spawn(async move {
            ours.async_io(Interest::READABLE, read_one).await.unwrap();
            read.set(read.get() + 1);
        }));
        peers.push(peer);
    }
    host_until_quiet(&event_loop);
    for peer in &mut peers {
        peer.write_all(&[1]).unwrap();
    }
    let handle = event_loop.handle();
    std::thread::spawn(move || handle.call_soon(|| {}).unwrap()).join().unwrap();
    while event_loop.turn(Some(Duration::ZERO)).unwrap().more() {}
    assert_eq!(read.get(), 3, "as an edge-triggered host sees it: no edge comes for the rest");
    assert_nothing_left(&event_loop);
}
