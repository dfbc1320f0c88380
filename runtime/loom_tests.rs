//! The two protocols between threads, over every interleaving: the inbox with its asleep flag, and
//! the task's waker.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p wheelhouse-runtime --release --lib loom` runs them. The
//! loop here is the least that keeps to the stages: take the inbox, deliver, poll, fall asleep,
//! wait. A wake-up that is lost leaves it waiting for ever, which loom reports as a dead-lock; data
//! that a poll need not see is a stale value in some execution.

use std::io;
use std::os::fd::{BorrowedFd, RawFd};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::sync::{Condvar, Mutex};
use loom::thread;

use crate::inbox::{Chore, Message};
use crate::remote::Remote;
use crate::selector::{Interest, Registrar, Transfers};
use crate::table::Key;
use crate::task::queue::{self, RunQueue};
use crate::task::waker::OwnWaker;

/// The only key there is: the task whose polls are modelled.
const TASK: Key = Key::from_bits(0);

const TRANSFERS: Transfers = Transfers { short_means_empty: true, limit: usize::MAX };

/// A selector that can only be woken.
struct Bell {
    rings: Mutex<bool>,
    rung: Condvar,
    count: AtomicUsize,
}

impl Bell {
    /// Waits for a wake-up, and consumes it.
    fn wait(&self) {
        let mut rings = self.rings.lock().unwrap();
        while !std::mem::replace(&mut *rings, false) {
            rings = self.rung.wait(rings).unwrap();
        }
    }
}

impl Registrar for Bell {
    fn register(&self, _fd: RawFd, _key: Key, _interest: Interest) -> io::Result<()> {
        Ok(())
    }

    fn deregister(&self, _fd: RawFd) -> io::Result<()> {
        Ok(())
    }

    fn wake(&self) -> io::Result<()> {
        self.count.fetch_add(1, Ordering::Relaxed);
        *self.rings.lock().unwrap() = true;
        self.rung.notify_one();
        Ok(())
    }

    fn as_fd(&self) -> BorrowedFd<'_> {
        unreachable!("no host watches a model")
    }
}

/// A loop on the model's main thread.
struct Loop {
    bell: Arc<Bell>,
    remote: Arc<Remote>,
    queue: Rc<RunQueue>,
}

impl Loop {
    fn new() -> Loop {
        let bell = Arc::new(Bell {
            rings: Mutex::new(false),
            rung: Condvar::new(),
            count: AtomicUsize::new(0),
        });
        let remote = Arc::new(Remote::new(String::new(), bell.clone(), TRANSFERS));
        let queue = RunQueue::new(remote.clone());
        queue::set_here(Some(queue.clone()));
        queue.set_in_turn(true);
        Loop { bell, remote, queue }
    }

    fn waker(&self) -> OwnWaker {
        OwnWaker::new(self.remote.clone(), TASK)
    }

    /// Stage 3. How many messages there were.
    fn take_inbox(&self) -> usize {
        let mut messages = Vec::new();
        self.remote.inbox().take(&mut messages);
        let count = messages.len();
        for message in messages {
            match message {
                Message::Wake(waker) => waker.wake(),
                Message::Call(call) | Message::Spawn(call) => call(),
                Message::Chore(_) => {}
            }
        }
        count
    }

    /// Stages 1 and 2.
    fn sleep(&self) {
        if self.remote.inbox().fall_asleep() {
            self.bell.wait();
            self.remote.inbox().wake_up();
        }
    }

    /// Turns until a poll of the task says that it is done.
    fn run(&self, mut poll: impl FnMut() -> bool) {
        loop {
            self.take_inbox();
            while self.queue.pop().is_some() {
                if poll() {
                    return;
                }
            }
            self.sleep();
        }
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        queue::set_here(None);
    }
}

/// All interleavings with up to three preemptions, which is where the bugs of such protocols are.
fn check(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

/// What one thread writes before it wakes.
type Written = Arc<AtomicUsize>;

fn written() -> Written {
    Arc::new(AtomicUsize::new(0))
}

/// Writes with no ordering of its own, then wakes: it is the wake that has to make it visible.
fn write_and_wake(written: &Written, waker: &Waker) {
    written.store(1, Ordering::Relaxed);
    waker.wake_by_ref();
}

fn is_written(written: &Written) -> bool {
    written.load(Ordering::Relaxed) == 1
}

#[test]
fn loom_the_loop_never_sleeps_with_a_message_inside_and_no_wake_up_owed() {
    check(|| {
        let this = Loop::new();
        let remote = this.remote.clone();
        let sender = thread::spawn(move || remote.post_chore(Chore::Stop));
        while this.take_inbox() == 0 {
            this.sleep();
        }
        sender.join().unwrap();
    });
}

#[test]
fn loom_two_messages_of_one_sender_keep_their_order_while_the_loop_falls_asleep() {
    check(|| {
        let this = Loop::new();
        let remote = this.remote.clone();
        let order = written();
        let (first, second) = (order.clone(), order.clone());
        let sender = thread::spawn(move || {
            let first = move || assert_eq!(first.swap(1, Ordering::Relaxed), 0);
            let second = move || assert_eq!(second.swap(2, Ordering::Relaxed), 1);
            assert!(remote.post(Message::Call(Box::new(first))).is_ok());
            assert!(remote.post(Message::Call(Box::new(second))).is_ok());
        });
        let mut taken = 0;
        while taken < 2 {
            match this.take_inbox() {
                0 => this.sleep(),
                count => taken += count,
            }
        }
        sender.join().unwrap();
        assert_eq!(order.load(Ordering::Relaxed), 2);
    });
}

#[test]
fn loom_of_two_senders_that_find_the_loop_asleep_one_wakes_it_and_both_are_heard() {
    check(|| {
        let this = Loop::new();
        assert!(this.remote.inbox().fall_asleep());
        let senders = [0, 1].map(|_| {
            let remote = this.remote.clone();
            thread::spawn(move || remote.post_chore(Chore::Stop))
        });
        this.bell.wait();
        this.remote.inbox().wake_up();
        for sender in senders {
            sender.join().unwrap();
        }
        assert_eq!(this.take_inbox(), 2);
        assert_eq!(this.bell.count.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn loom_a_rousing_thread_and_a_sending_one_owe_one_wake_up_together() {
    check(|| {
        let this = Loop::new();
        assert!(this.remote.inbox().fall_asleep());
        let (rouses, sends) = (this.remote.clone(), this.remote.clone());
        let rouses = thread::spawn(move || rouses.rouse());
        let sends = thread::spawn(move || sends.post_chore(Chore::Stop));
        this.bell.wait();
        this.remote.inbox().wake_up();
        rouses.join().unwrap();
        sends.join().unwrap();
        assert_eq!(this.take_inbox(), 1);
        assert_eq!(this.bell.count.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn loom_a_message_is_delivered_or_comes_back_when_the_inbox_closes_and_only_once() {
    check(|| {
        let this = Loop::new();
        let senders = [0, 1].map(|_| {
            let remote = this.remote.clone();
            thread::spawn(move || usize::from(remote.post(Message::Chore(Chore::Stop)).is_err()))
        });
        let taken = this.take_inbox();
        let closed = this.remote.inbox().close().len();
        let refused: usize = senders.map(|sender| sender.join().unwrap()).iter().sum();
        assert_eq!(taken + closed + refused, 2);
        assert!(this.remote.is_closed());
        assert_eq!(this.take_inbox(), 0);
    });
}

#[test]
fn loom_what_two_threads_write_before_they_wake_a_poll_sees() {
    check(|| {
        let this = Loop::new();
        let own = this.waker();
        let (one, two) = (written(), written());
        let threads = [one.clone(), two.clone()].map(|written| {
            let waker = own.as_waker().clone();
            thread::spawn(move || write_and_wake(&written, &waker))
        });
        this.run(|| is_written(&one) && is_written(&two));
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

#[test]
fn loom_a_thread_that_wakes_twice_is_heard_twice() {
    check(|| {
        let this = Loop::new();
        let own = this.waker();
        let (one, two) = (written(), written());
        let (first, second, waker) = (one.clone(), two.clone(), own.as_waker().clone());
        let thread = thread::spawn(move || {
            write_and_wake(&first, &waker);
            write_and_wake(&second, &waker);
        });
        this.run(|| is_written(&one) && is_written(&two));
        thread.join().unwrap();
    });
}

#[test]
fn loom_a_wake_on_the_loops_own_thread_does_not_swallow_one_from_another() {
    check(|| {
        let this = Loop::new();
        let own = this.waker();
        let (one, two) = (written(), written());
        let threads = [one.clone(), two.clone()].map(|written| {
            let waker = own.as_waker().clone();
            thread::spawn(move || write_and_wake(&written, &waker))
        });
        // Clears `posted` at whatever moment of the other two.
        own.as_waker().wake_by_ref();
        this.run(|| is_written(&one) && is_written(&two));
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

#[test]
fn loom_a_wake_by_value_is_as_good_and_the_waker_is_free_when_it_is_delivered() {
    check(|| {
        let this = Loop::new();
        let own = this.waker();
        let one = written();
        let (first, waker) = (one.clone(), own.as_waker().clone());
        let thread = thread::spawn(move || {
            first.store(1, Ordering::Relaxed);
            waker.wake();
        });
        this.run(|| is_written(&one));
        thread.join().unwrap();
        // No message is under way, or this would be shared.
        this.take_inbox();
        assert!(own.is_unshared());
    });
}

#[test]
fn loom_a_wake_that_meets_the_closing_inbox_goes_nowhere_and_hangs_nobody() {
    check(|| {
        let this = Loop::new();
        let own = this.waker();
        let threads = [0, 1].map(|_| {
            let waker = own.as_waker().clone();
            thread::spawn(move || waker.wake())
        });
        this.take_inbox();
        drop(this.remote.inbox().close());
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(own.is_unshared());
        assert_eq!(this.take_inbox(), 0);
    });
}
