//! A million tasks sent from other threads: none lost, and one wake-up a burst.
//!
//! `cargo bench --bench remote`. A wake-up is one write to the loop's eventfd; they are counted where
//! they are asked for, and `strace -f -c -e trace=write` around the program counts them in the
//! kernel. What is measured beside it is wall-clock time, spawn to end.
//!
//! * held: 1,000 tasks sent to a loop that sleeps and is only turned when all are sent, a thousand
//!   times: one wake-up each.
//! * bursts: the same to a loop that runs meanwhile. Where it is quicker than the sender it falls
//!   asleep within a burst, and has to be woken again: no more wake-ups than sleeps.
//! * stream: four threads send 250,000 each without waiting.
//! * pair: two loops of a `LoopGroup`: a task there and back, one after the other.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use wheelhouse::{EventLoop, Handle, LoopGroup, Script, SelectorKind};

const BURSTS: usize = 1_000;
const BURST: usize = 1_000;
const SENDERS: usize = 4;
const SENT: usize = 250_000;
const ROUND_TRIPS: usize = 20_000;

fn main() {
    held();
    bursts();
    stream();
    pair();
}

/// A loop on this thread until `host`, on another, has ended; gives the wake-ups it took.
fn beside_a_loop(host: impl FnOnce(Handle, &Script, &dyn Fn()) + Send + 'static) {
    let script = Script::default();
    let builder = EventLoop::builder().selector(SelectorKind::Scripted(script.clone()));
    let event_loop = builder.build().expect("a loop");
    let handle = event_loop.handle();
    let thread = thread::spawn(move || {
        let rest = || {
            // It sleeps when it waits for the second time without anything to do in between.
            let waits = script.waits();
            while script.waits() == waits {
                handle.call_soon(|| ()).expect("the loop runs");
                thread::sleep(Duration::from_micros(50));
            }
            thread::sleep(Duration::from_micros(50));
        };
        host(handle.clone(), &script, &rest);
        handle.stop();
    });
    event_loop.run_forever();
    thread.join().expect("the host");
    assert_eq!(event_loop.metrics().tasks, 0, "nothing is left");
}

fn held() {
    let script = Script::default();
    let builder = EventLoop::builder().selector(SelectorKind::Scripted(script.clone()));
    let event_loop = builder.build().expect("a loop");
    let (mut wakes, mut done) = (0, 0);
    for _ in 0..BURSTS {
        while event_loop.turn(Some(Duration::ZERO)).expect("a turn").more() {}
        let (before, handle) = (script.wakes(), event_loop.handle());
        let sender = thread::spawn(move || {
            (0..BURST).map(|n| handle.spawn(move || async move { n })).collect::<Vec<_>>()
        });
        let tasks = sender.join().expect("the sender");
        assert_eq!(script.wakes() - before, 1, "wake-ups for a burst");
        wakes += script.wakes() - before;
        done += event_loop.block_on(async {
            let mut done = 0;
            for (n, task) in tasks.into_iter().enumerate() {
                done += usize::from(task.await.expect("a task") == n);
            }
            done
        });
    }
    let lost = BURSTS * BURST - done;
    println!("held: {BURSTS} of {BURST} tasks, {lost} lost, {wakes} wake-ups");
    assert_eq!(lost, 0);
}

fn bursts() {
    beside_a_loop(|handle, script, rest| {
        let (mut wakes, mut sleeps, mut done, mut took) = (0, 0, 0, Duration::ZERO);
        for _ in 0..BURSTS {
            rest();
            let (before, start) = ((script.wakes(), script.waits()), Instant::now());
            let tasks: Vec<_> =
                (0..BURST).map(|n| handle.spawn(move || async move { n })).collect();
            let sum: usize = tasks.into_iter().map(|task| task.wait().expect("a task")).sum();
            took += start.elapsed();
            done += BURST * usize::from(sum == BURST * (BURST - 1) / 2);
            wakes += script.wakes() - before.0;
            sleeps += script.waits() - before.1;
        }
        let lost = BURSTS * BURST - done;
        let each = took.as_nanos() as f64 / done as f64;
        println!(
            "bursts: {BURSTS} of {BURST} tasks, {lost} lost, {wakes} wake-ups in {sleeps} waits, \
             {each:.0} ns a task"
        );
        assert_eq!(lost, 0);
    });
}

fn stream() {
    beside_a_loop(|handle, script, rest| {
        rest();
        let (before, done) = (script.wakes(), Arc::new(AtomicUsize::new(0)));
        let together = Arc::new(Barrier::new(SENDERS + 1));
        let threads: Vec<_> = (0..SENDERS)
            .map(|_| {
                let (handle, done, together) = (handle.clone(), done.clone(), together.clone());
                thread::spawn(move || {
                    together.wait();
                    for _ in 0..SENT {
                        let done = done.clone();
                        drop(handle.spawn(move || async move {
                            done.fetch_add(1, Ordering::Relaxed);
                        }));
                    }
                })
            })
            .collect();
        together.wait();
        let start = Instant::now();
        for thread in threads {
            thread.join().expect("a sender");
        }
        handle.spawn(|| async {}).wait().expect("the last, behind all others");
        let (took, done) = (start.elapsed(), done.load(Ordering::Relaxed));
        let lost = SENDERS * SENT - done;
        let each = took.as_nanos() as f64 / done as f64;
        let wakes = script.wakes() - before;
        println!(
            "stream: {SENDERS} threads, {done} tasks, {lost} lost, {wakes} wake-ups, \
             {each:.0} ns a task"
        );
        assert_eq!(lost, 0);
    });
}

fn pair() {
    let build = |pin: bool| LoopGroup::builder().loops(2).pin_to_cores(pin).build();
    let (group, where_) = match build(true) {
        Ok(group) => (group, "pinned to a core each"),
        Err(error) => {
            println!("pair: not pinned: {error}");
            (build(false).expect("two loops"), "not pinned")
        }
    };
    let there = group.handle(1);
    let trips = group.handle(0).spawn(move || async move {
        let mut trips = Vec::with_capacity(ROUND_TRIPS);
        for _ in 0..ROUND_TRIPS {
            let start = Instant::now();
            there.spawn(|| async {}).await.expect("a task");
            trips.push(start.elapsed());
        }
        trips.sort_unstable();
        trips
    });
    let trips = trips.wait().expect("the trips");
    let at = |share: usize| trips[(ROUND_TRIPS - 1) * share / 100];
    println!("pair: two loops, {where_}: a task there and back {:.1?}, p99 {:.1?}", at(50), at(99));
}
