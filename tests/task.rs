//! Tasks and their handles: output, names and ids, detaching, cancelling at every moment, handles
//! in the wrong place, and what a task may do to others (nothing).

mod support;

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::thread::ThreadId;

use futures_lite::future::block_on as foreign_block_on;
use support::{
    Gate, OnDrop, WakeCount, assert_nothing_left, panic_of, poll_with, rounds, run_checked,
    run_checked_on, turn_until_idle,
};
use wheelhouse::task::{self, AbortHandle, consume_budget};
use wheelhouse::{EventLoop, call_soon, spawn, yield_now};

#[test]
fn a_handle_gives_the_output_whether_it_is_awaited_before_or_after_the_end() {
    run_checked(async {
        assert_eq!(spawn(async { 1 }).await.unwrap(), 1);
        let task = spawn(async { String::from("late") });
        assert!(!task.is_finished());
        yield_now().await;
        assert!(task.is_finished());
        assert_eq!(task.await.unwrap(), "late");
    });
}

#[test]
fn a_task_may_borrow_nothing_but_need_not_be_send() {
    let shared = Rc::new(RefCell::new(Vec::new()));
    run_checked(async {
        let tasks: Vec<_> = (0..3)
            .map(|n| {
                let shared = shared.clone();
                spawn(async move { shared.borrow_mut().push(n) })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    assert_eq!(Rc::try_unwrap(shared).unwrap().into_inner(), [0, 1, 2]);
}

#[test]
fn dropping_a_handle_detaches_the_task_which_runs_to_its_end() {
    let done = Rc::new(Cell::new(false));
    run_checked(async {
        let inner = done.clone();
        drop(spawn(async move {
            yield_now().await;
            inner.set(true);
        }));
        for _ in 0..3 {
            yield_now().await;
        }
    });
    assert!(done.get());
}

#[test]
fn the_output_of_a_detached_task_is_dropped_when_it_ends() {
    let drops = Rc::new(Cell::new(0));
    run_checked(async {
        let count = || {
            let drops = drops.clone();
            OnDrop::new(move || drops.set(drops.get() + 1))
        };
        let before_the_end = spawn(std::future::ready(count()));
        let after_the_end = spawn(std::future::ready(count()));
        drop(before_the_end);
        yield_now().await;
        assert_eq!(drops.get(), 1);
        drop(after_the_end);
        assert_eq!(drops.get(), 2);
    });
}

#[test]
fn ids_are_unique_and_a_task_knows_its_own() {
    run_checked(async {
        let root = task::current().unwrap();
        let own = spawn(async { task::current().unwrap() });
        let id = own.id();
        assert_eq!(own.abort_handle().id(), id);
        assert_eq!(own.await.unwrap(), id);
        assert_ne!(id, root);
        let mut seen = std::collections::HashSet::from([root, id]);
        for _ in 0..rounds(1000, 50) {
            // Slots are used again, ids are not.
            let task = spawn(async {});
            assert!(seen.insert(task.id()));
            task.await.unwrap();
        }
    });
    assert_eq!(task::current(), None);
}

#[test]
fn a_name_is_kept_until_the_task_is_gone() {
    run_checked(async {
        let named = task::Builder::new().name("answer").spawn(async { 42 });
        assert_eq!(named.name().as_deref(), Some("answer"));
        yield_now().await;
        assert_eq!(named.name().as_deref(), Some("answer"));
        named.await.unwrap();
        let unnamed = spawn(async {});
        assert_eq!(unnamed.name(), None);
        unnamed.await.unwrap();
    });
}

#[test]
fn cancelling_a_waiting_task_drops_its_future_and_says_so() {
    let dropped = Rc::new(Cell::new(false));
    run_checked(async {
        let inner = dropped.clone();
        let task = spawn(async move {
            let _guard = OnDrop::new(move || inner.set(true));
            pending::<()>().await;
        });
        yield_now().await;
        let id = task.id();
        task.cancel();
        task.cancel();
        assert!(!task.is_finished(), "not before the next batch");
        yield_now().await;
        assert!(task.is_finished());
        let error = task.await.unwrap_err();
        assert!(error.is_cancelled() && !error.is_panic() && !error.is_closed());
        assert_eq!(error.id(), Some(id));
        assert_eq!(error.to_string(), format!("task {id} was cancelled"));
    });
    assert!(dropped.get());
}

#[test]
fn a_task_cancelled_while_it_is_queued_is_never_polled() {
    run_checked(async {
        let task = spawn(async { unreachable!("it was cancelled") });
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
    });
}

#[test]
fn a_task_that_cancels_itself_is_dropped_after_its_poll_unless_that_finishes_it() {
    run_checked(async {
        let place: Rc<RefCell<Option<AbortHandle>>> = Rc::default();
        let (one, two) = (place.clone(), place.clone());
        let unfinished = spawn(async move {
            one.borrow().as_ref().unwrap().cancel();
            yield_now().await;
            unreachable!("it cancelled itself");
        });
        place.replace(Some(unfinished.abort_handle()));
        assert!(unfinished.await.unwrap_err().is_cancelled());

        let finished = spawn(async move {
            two.borrow().as_ref().unwrap().cancel();
            7
        });
        place.replace(Some(finished.abort_handle()));
        assert_eq!(finished.await.unwrap(), 7);
    });
}

#[test]
fn cancelling_a_finished_task_changes_nothing() {
    run_checked(async {
        let task = spawn(async { 3 });
        yield_now().await;
        task.cancel();
        yield_now().await;
        assert_eq!(task.await.unwrap(), 3);
    });
}

#[test]
fn a_stale_abort_handle_does_not_touch_the_next_task_in_the_slot() {
    run_checked(async {
        let gone = spawn(async {});
        let abort = gone.abort_handle();
        gone.await.unwrap();
        assert!(abort.is_finished());
        let next = spawn(async {
            yield_now().await;
            5
        });
        abort.cancel();
        abort.clone().abort();
        assert_eq!(next.await.unwrap(), 5);
    });
}

#[test]
fn a_task_can_be_cancelled_by_the_drop_of_another() {
    run_checked(async {
        let victim = spawn(pending::<()>());
        let abort = victim.abort_handle();
        let killer = spawn(async move {
            let _guard = OnDrop::new(move || abort.cancel());
            pending::<()>().await;
        });
        yield_now().await;
        killer.cancel();
        assert!(killer.await.unwrap_err().is_cancelled());
        assert!(victim.await.unwrap_err().is_cancelled());
    });
}

/// Row 15 of the pitfalls.
#[test]
fn a_handle_polled_with_two_wakers_wakes_the_second_only() {
    run_checked(async {
        let gate = Gate::default();
        let inner = gate.clone();
        let mut task = spawn(async move { inner.wait().await });
        let (first, first_waker) = WakeCount::new();
        let (second, second_waker) = WakeCount::new();
        assert!(poll_with(&mut task, &first_waker).is_pending());
        assert!(poll_with(&mut task, &second_waker).is_pending());
        yield_now().await;
        gate.open();
        yield_now().await;
        assert_eq!((first.get(), second.get()), (0, 1));
        assert!(poll_with(&mut task, &second_waker).is_ready());
    });
}

#[test]
fn a_handle_can_move_to_another_task_while_it_is_awaited() {
    run_checked(async {
        let gate = Gate::default();
        let inner = gate.clone();
        let mut task = spawn(async move {
            inner.wait().await;
            9
        });
        poll_fn(|cx| {
            assert!(Pin::new(&mut task).poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        let other = spawn(async move { task.await.unwrap() });
        yield_now().await;
        gate.open();
        assert_eq!(other.await.unwrap(), 9);
    });
}

#[test]
fn a_handle_polled_again_after_its_output_panics_with_a_reason() {
    run_checked(async {
        let mut task = spawn(async {});
        (&mut task).await.unwrap();
        let (_, waker) = WakeCount::new();
        let text = panic_of(|| poll_with(&mut task, &waker));
        assert_eq!(text, "a `JoinHandle` was polled after it had given its output");
    });
}

#[test]
fn a_handle_polled_off_its_loop_is_foreign_and_still_works_at_home() {
    run_checked(async {
        let task = spawn(async { 11 });
        let id = task.id();
        let mut task = std::thread::spawn(move || {
            let mut task = task;
            let bare = foreign_block_on(&mut task).unwrap_err();
            assert!(bare.is_foreign() && !bare.is_cancelled());
            assert_eq!(bare.id(), Some(id));
            assert!(bare.to_string().contains("use a RemoteHandle"), "{bare}");
            let other_loop = run_checked(&mut task).unwrap_err();
            assert!(other_loop.is_foreign());
            task
        })
        .join()
        .unwrap();
        assert_eq!((&mut task).await.unwrap(), 11);
    });
}

#[test]
fn the_handle_of_a_loop_that_is_gone_is_closed() {
    let event_loop = EventLoop::new().unwrap();
    let (unfinished, finished) = {
        let _entered = event_loop.enter();
        (spawn(pending::<()>()), spawn(async { 1 }))
    };
    turn_until_idle(&event_loop);
    assert!(!unfinished.is_finished() && !unfinished.abort_handle().is_finished());
    drop(event_loop);
    assert!(unfinished.is_finished() && finished.is_finished());
    unfinished.cancel();
    assert!(foreign_block_on(unfinished).unwrap_err().is_closed());
    let error = foreign_block_on(finished).unwrap_err();
    assert!(error.is_closed());
    assert!(error.to_string().ends_with("was dropped: its loop is closed"), "{error}");
}

#[test]
fn a_handle_may_be_cancelled_and_dropped_on_another_thread() {
    run_checked(async {
        let cancelled = spawn(pending::<()>());
        let abort = cancelled.abort_handle();
        std::thread::spawn(move || abort.cancel()).join().unwrap();
        assert!(cancelled.await.unwrap_err().is_cancelled());

        let finished = spawn(async { Rc::new(1) });
        let unfinished = spawn(yield_now());
        yield_now().await;
        std::thread::spawn(move || drop((finished, unfinished))).join().unwrap();
        // The inbox is taken, and what was left is dropped in the batch after.
        for _ in 0..3 {
            yield_now().await;
        }
    });
}

/// Notes on which thread it is dropped; nothing about it is `Send`.
struct DropProbe {
    at: Arc<Mutex<Vec<ThreadId>>>,
    _not_send: Rc<()>,
}

impl Drop for DropProbe {
    fn drop(&mut self) {
        self.at.lock().unwrap().push(std::thread::current().id());
    }
}

/// Row 50.
#[test]
fn futures_and_outputs_that_are_not_send_are_dropped_on_their_loops_thread_only() {
    let at = Arc::new(Mutex::new(Vec::new()));
    let probe = || DropProbe { at: at.clone(), _not_send: Rc::new(()) };
    run_checked(async {
        let waker = Rc::new(RefCell::new(None));
        let (held, kept) = (probe(), waker.clone());
        let waits_once = spawn(async move {
            let _held = held;
            let mut polled = false;
            poll_fn(|cx| {
                kept.replace(Some(cx.waker().clone()));
                if std::mem::replace(&mut polled, true) { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        });
        let (output, cancelled) = (probe(), probe());
        let output = spawn(async move { output });
        let cancelled = spawn(async move {
            let _cancelled = cancelled;
            pending::<()>().await;
        });
        yield_now().await;
        // The last waker is called and dropped there, and so are the handles.
        let waker = waker.take();
        std::thread::spawn(move || {
            waker.unwrap().wake();
            cancelled.cancel();
            drop((waits_once, output, cancelled));
        })
        .join()
        .unwrap();
        for _ in 0..4 {
            yield_now().await;
        }
    });
    assert_eq!(*at.lock().unwrap(), vec![std::thread::current().id(); 3]);
}

/// Row 3.
#[test]
fn another_executor_inside_a_task_runs_our_futures_that_need_no_turn() {
    run_checked(async {
        let nested = spawn(async {
            foreign_block_on(async {
                yield_now().await;
                wheelhouse::time::sleep(std::time::Duration::ZERO).await;
                yield_now().await;
                1
            })
        });
        assert_eq!(nested.await.unwrap(), 1);
    });
    foreign_block_on(yield_now());
}

/// Rows 3 and 43: a poll that has used up what it may do, and asks for more without an end.
#[test]
fn another_executor_inside_a_task_is_not_refused_for_ever() {
    run_checked_on(EventLoop::builder().operations_per_poll(1), async {
        let ended = [1, 2, 3].map(|n| spawn(async move { n }));
        yield_now().await;
        let nested = spawn(async {
            foreign_block_on(async {
                for _ in 0..10 {
                    consume_budget().await;
                }
                let mut sum = 0;
                for one in ended {
                    sum += one.await.unwrap();
                }
                sum
            })
        });
        assert_eq!(nested.await.unwrap(), 6);
    });
}

/// Row 43.
#[test]
fn ten_thousand_ready_futures_in_one_task_leave_the_others_their_turns() {
    run_checked(async {
        let count = rounds(10_000, 100);
        let finished = Rc::new(Cell::new(false));
        let flag = finished.clone();
        let crowd = spawn(async move {
            let mut crowd: Vec<_> = (0..count).map(|_| Box::pin(yield_now())).collect();
            poll_fn(move |cx| {
                crowd.retain_mut(|one| one.as_mut().poll(cx).is_pending());
                if crowd.is_empty() { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
            flag.set(true);
        });
        yield_now().await;
        assert!(!finished.get(), "the crowd was polled once and so was this one");
        yield_now().await;
        assert!(finished.get());
        crowd.await.unwrap();
    });
}

/// Row 46.
#[test]
fn a_panic_in_one_task_leaves_the_others_and_the_loop_alone() {
    let event_loop = EventLoop::new().unwrap();
    event_loop.block_on(async {
        let bad = spawn(async { panic!("task one") });
        let good = spawn(async {
            yield_now().await;
            2
        });
        call_soon(|| panic!("a callback"));
        drop(spawn(async { panic!("unread") }));
        let error: wheelhouse::task::JoinError = bad.await.unwrap_err();
        assert!(error.is_panic() && !error.is_cancelled());
        assert!(error.to_string().ends_with("panicked: task one"), "{error}");
        assert_eq!(support::text_of(&*error.into_panic()), "task one");
        assert_eq!(good.await.unwrap(), 2);
    });
    event_loop.block_on(async { spawn(async {}).await.unwrap() });
    assert_nothing_left(&event_loop);
}

#[test]
fn a_panic_of_the_future_of_block_on_reaches_its_caller_and_the_loop_can_go_on() {
    let event_loop = EventLoop::new().unwrap();
    assert_eq!(panic_of(|| event_loop.block_on(async { panic!("root") })), "root");
    assert_eq!(event_loop.block_on(async { spawn(async { 4 }).await.unwrap() }), 4);
    assert_nothing_left(&event_loop);
}

#[test]
fn tasks_that_outlast_block_on_go_on_in_the_next() {
    let event_loop = EventLoop::new().unwrap();
    let gate = Gate::default();
    let inner = gate.clone();
    let mut task = None;
    event_loop.block_on(async {
        task = Some(spawn(async move {
            inner.wait().await;
            6
        }));
        yield_now().await;
    });
    gate.open();
    assert_eq!(event_loop.block_on(task.unwrap()).unwrap(), 6);
    assert_nothing_left(&event_loop);
}

#[test]
fn a_waker_of_a_finished_task_wakes_nothing_that_came_after_it() {
    run_checked(async {
        let waker = Rc::new(RefCell::new(None));
        let kept = waker.clone();
        spawn(poll_fn(move |cx| {
            kept.replace(Some(cx.waker().clone()));
            Poll::Ready(())
        }))
        .await
        .unwrap();
        let polls = Rc::new(Cell::new(0));
        let counted = polls.clone();
        let next = spawn(poll_fn(move |_| {
            counted.set(counted.get() + 1);
            Poll::<()>::Pending
        }));
        yield_now().await;
        waker.borrow().as_ref().unwrap().wake_by_ref();
        yield_now().await;
        assert_eq!(polls.get(), 1);
        next.cancel();
        assert!(next.await.unwrap_err().is_cancelled());
    });
}

#[test]
fn join_handles_print_what_they_are() {
    run_checked(async {
        let task = spawn(async {});
        let text = format!("{task:?}");
        assert!(text.starts_with(&format!("JoinHandle(task {}", task.id())), "{text}");
        assert!(format!("{:?}", task.abort_handle()).starts_with("AbortHandle(task "));
        task.await.unwrap();
    });
}

#[test]
fn a_task_never_runs_on_another_thread_than_its_loops() {
    let strayed = Arc::new(AtomicBool::new(false));
    run_checked(async {
        let home = std::thread::current().id();
        let (sender, receiver) = std::sync::mpsc::channel::<std::task::Waker>();
        let wakers =
            std::thread::spawn(move || receiver.into_iter().for_each(std::task::Waker::wake));
        let strayed = strayed.clone();
        let task = spawn(async move {
            for _ in 0..rounds(1000, 30) {
                let mut sent = false;
                poll_fn(|cx| {
                    if std::mem::replace(&mut sent, true) {
                        return Poll::Ready(());
                    }
                    sender.send(cx.waker().clone()).unwrap();
                    Poll::Pending
                })
                .await;
                strayed.fetch_or(std::thread::current().id() != home, Ordering::Relaxed);
            }
        });
        task.await.unwrap();
        wakers.join().unwrap();
    });
    assert!(!strayed.load(Ordering::Relaxed));
}
