//! The loop: the struct that owns one of each part, and `turn`, which calls the stages in order.
//!
//! The stages never call each other; the data goes through here. Everything but stage 7 (`run.rs`)
//! only enqueues: tasks and callbacks, and with them all user code, run in stage 7. Foreign code
//! elsewhere is wakers (stage 6) and hooks (stage 8); no borrow is held then, and a panic in one is
//! caught and reported.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use crate::blocking::BlockingPool;
use crate::debug::hooks::Hooks;
use crate::debug::metrics::Counters;
use crate::debug::places::Places;
use crate::inbox::{Chore, Message};
use crate::locals::Locals;
use crate::pace::Pace;
use crate::reactor::Reactor;
use crate::remote::Remote;
use crate::selector::{Event, Selector};
use crate::spin::Spin;
use crate::table::Key;
use crate::task::polled::{Polled, Wait};
use crate::task::queue::{Lanes, RunQueue};
use crate::task::table::Tasks;
use crate::time::alarm::Alarm;
use crate::time::clock::{LoopClock, NEVER, duration_to_ticks};
use crate::time::wheel::{Tick, Wheel};
use crate::waiter::Waiter;

pub(crate) struct LoopState {
    pub(crate) remote: Arc<Remote>,
    pub(crate) clock: LoopClock,
    pub(crate) tasks: Tasks,
    pub(crate) queue: Rc<RunQueue>,
    pub(crate) reactor: Reactor,
    pub(crate) wheel: RefCell<Wheel<Waiter>>,
    pub(crate) blocking: Arc<BlockingPool>,
    pub(crate) locals: Locals,
    pub(crate) pace: Pace,
    pub(crate) spin: Spin,
    /// The poll under way, and what its leaf futures say.
    pub(crate) polled: Polled,
    /// Numbers the batches.
    pub(crate) batch: Cell<u32>,
    pub(crate) counters: Counters,
    pub(crate) hooks: Hooks,
    pub(crate) places: Places,
    /// What the future of `block_on` waits for: it has no slot to note it in.
    pub(crate) root_waits: Cell<Wait>,
    pub(crate) limits: Limits,
    /// `stop` was asked for.
    pub(crate) stopping: Cell<bool>,
    /// No task is accepted any more.
    pub(crate) closing: Cell<bool>,
    pub(crate) selector: RefCell<Box<dyn Selector>>,
    pub(crate) alarm: RefCell<Alarm>,
    /// Buffers of the stages, kept from turn to turn.
    pub(crate) events: RefCell<Vec<Event>>,
    pub(crate) messages: RefCell<Vec<Message>>,
    pub(crate) woken: RefCell<Vec<Waiter>>,
    /// Virtual time may jump if this wait ends with nothing.
    pub(crate) may_jump: Cell<bool>,
}

pub(crate) struct Limits {
    pub(crate) polls_per_turn: usize,
    /// What the leaf futures of one poll may do before they yield.
    pub(crate) budget: u32,
}

/// Polls the future that is not a task: `block_on`'s.
pub(crate) type Root<'a> = dyn FnMut(&mut Context<'_>) + 'a;

/// How long a turn may wait.
#[derive(Clone, Copy)]
pub(crate) enum Patience {
    /// And another turn follows at once, whatever this one did.
    Forever,
    AtMost(Duration),
}

/// What stage 1 asks of stage 2.
enum Ask {
    /// Tasks are runnable and the selector was asked not long ago.
    Nothing,
    /// Wait, for ever if there is no timeout.
    Wait(Option<Duration>),
}

impl LoopState {
    /// One turn: the stages, in order. The queue must have been told that the loop turns.
    #[inline]
    pub(crate) fn turn(&self, root: &mut Root<'_>, patience: Patience) -> io::Result<()> {
        // While tasks are runnable there is mostly nothing else to do, and no need to look twice.
        if self.has_more_to_do_than_run() {
            let ask = self.deadline(patience); // 1
            self.select(ask)?; //                 2
            self.take_inbox(); //                 3
            self.dispatch(); //                   4
            self.timers(); //                     5
            self.wake(); //                       6
        }
        self.run(root); //                        7
        self.observe(); //                        8
        Ok(())
    }

    /// Whether any stage before the seventh would do something.
    #[inline]
    fn has_more_to_do_than_run(&self) -> bool {
        self.queue.is_empty()
            || self.pace.select_is_due()
            || self.remote.inbox().is_filled()
            || self.pace.may_pend()
    }

    /// Stage 1: how long may the selector wait?
    fn deadline(&self, patience: Patience) -> Ask {
        if self.queue.is_empty() {
            return self.idle_deadline(patience);
        }
        if self.pace.select_is_due() { Ask::Wait(Some(Duration::ZERO)) } else { Ask::Nothing }
    }

    fn idle_deadline(&self, patience: Patience) -> Ask {
        let timeout = if self.clock.is_virtual() {
            self.virtual_timeout(patience)
        } else {
            self.real_timeout(patience)
        };
        if timeout != Some(Duration::ZERO) && !self.remote.inbox().fall_asleep() {
            return Ask::Wait(Some(Duration::ZERO));
        }
        Ask::Wait(timeout)
    }

    fn real_timeout(&self, patience: Patience) -> Option<Duration> {
        let limit = match patience {
            Patience::Forever if self.spin.is_on() => return self.spinning_timeout(),
            Patience::AtMost(Duration::ZERO) => return Some(Duration::ZERO),
            Patience::AtMost(limit) => duration_to_ticks(limit).saturating_add(1),
            Patience::Forever => Tick::MAX,
        };
        // Deadlines that were only pushed out need no look at the clock, nor at the wheel.
        let earliest = self.wheel.borrow().earliest();
        if limit == Tick::MAX && (earliest == Tick::MAX || self.alarm.borrow().covers(earliest)) {
            return None;
        }
        let deadline = self.next_deadline();
        if deadline == Tick::MAX && limit == Tick::MAX {
            return None;
        }
        let now = self.read_clock();
        if deadline <= now {
            return Some(Duration::ZERO);
        }
        self.alarm.borrow_mut().set(deadline.min(now.saturating_add(limit)), now)
    }

    /// The same for a loop that may spin: then it does not wait at all. Where a host turns the loop
    /// it is the host who says how long it waits.
    fn spinning_timeout(&self) -> Option<Duration> {
        let deadline = self.next_deadline();
        let now = self.read_clock();
        // Asked even when it is time: the loop may have lost its processor while it spun.
        match self.spin.sleeps_until(deadline, now, self.pace.polls()) {
            _ if deadline <= now => Some(Duration::ZERO),
            None => Some(Duration::ZERO),
            Some(Tick::MAX) => None,
            Some(tick) => self.alarm.borrow_mut().set(tick, now),
        }
    }

    /// The earliest deadline, or `Tick::MAX`.
    fn next_deadline(&self) -> Tick {
        self.wheel.borrow_mut().next_deadline().unwrap_or(Tick::MAX)
    }

    /// Under virtual time the outside world is asked first; stage 5 jumps if it stayed quiet.
    fn virtual_timeout(&self, patience: Patience) -> Option<Duration> {
        self.may_jump.set(false);
        let deadline = self.next_deadline();
        if deadline <= self.clock.now_tick() {
            return Some(Duration::ZERO);
        }
        let limit = match patience {
            Patience::Forever => Duration::MAX,
            Patience::AtMost(limit) => limit,
        };
        let settle = match self.clock.jumps() {
            Some(_) if deadline >= NEVER || self.blocking.is_busy() => None,
            Some(settle) if self.reactor.has_waiters() => settle,
            Some(_) => Some(Duration::ZERO),
            None => None,
        };
        match settle {
            Some(quiet) if quiet <= limit => {
                self.may_jump.set(true);
                Some(quiet)
            }
            _ => (limit != Duration::MAX).then_some(limit),
        }
    }

    /// Stage 2: wait for events.
    fn select(&self, ask: Ask) -> io::Result<()> {
        match ask {
            Ask::Nothing => Ok(()),
            Ask::Wait(timeout) => self.wait(timeout),
        }
    }

    fn wait(&self, timeout: Option<Duration>) -> io::Result<()> {
        if self.pace.is_measure_due() {
            self.read_clock();
        }
        let began = self.may_jump.get().then(std::time::Instant::now);
        let mut events = self.events.borrow_mut();
        let outcome = self.selector.borrow_mut().select(&mut events, timeout);
        if began.is_some_and(|began| Some(began.elapsed()) < timeout) {
            // Something ended the wait: the world was not quiet.
            self.may_jump.set(false);
        }
        self.remote.inbox().wake_up();
        // What a virtual clock shows has nothing to do with how long this took.
        self.pace.selected(timeout != Some(Duration::ZERO) || self.clock.is_virtual());
        self.counters.selects.add(1);
        self.counters.events.add(events.len());
        outcome
    }

    /// Stage 3: what other threads sent, as entries of the run queue.
    fn take_inbox(&self) {
        if !self.remote.inbox().is_filled() {
            return;
        }
        // The world was not quiet, even if nothing of this becomes runnable.
        self.may_jump.set(false);
        let mut messages = self.messages.take();
        self.remote.inbox().take(&mut messages);
        self.counters.messages.add(messages.len());
        for message in messages.drain(..) {
            match message {
                // One of our own wakers: it queues its key.
                Message::Wake(waker) => waker.wake(),
                Message::Call(call) => self.queue_callback(call),
                Message::Spawn(spawn) => spawn(),
                Message::Chore(chore) => self.do_chore(chore),
            }
        }
        self.messages.replace(messages);
    }

    /// Stage 4: events become waiters to wake.
    fn dispatch(&self) {
        let mut events = self.events.borrow_mut();
        if !events.is_empty() {
            let (mut woken, mut lanes) = (self.woken.borrow_mut(), self.queue.lanes());
            let all_known =
                self.reactor.dispatch(&events, |waiter| collect(waiter, &mut woken, &mut lanes));
            if !all_known {
                self.alarm.borrow_mut().may_have_gone_off();
            }
            events.clear();
        }
    }

    /// Stage 5: timers that are due become waiters to wake.
    #[inline(always)]
    pub(crate) fn timers(&self) {
        let earliest = self.wheel.borrow().earliest();
        if earliest != Tick::MAX {
            self.fire_timers(earliest);
        }
    }

    fn fire_timers(&self, earliest: Tick) {
        let may_jump = self.may_jump.take();
        // A batch that was not to be interrupted has seen that it is due, and read the clock for
        // that.
        let is_due = earliest <= self.pace.last_read();
        if !may_jump && !is_due && !self.pace.is_read_due() {
            return;
        }
        if may_jump && self.queue.is_empty() && self.woken.borrow().is_empty() {
            self.clock.jump_to(earliest);
        }
        let now = self.read_clock();
        self.pace.earliest_is(earliest);
        if earliest <= now {
            let (mut woken, mut lanes) = (self.woken.borrow_mut(), self.queue.lanes());
            let mut fired = 0;
            self.wheel.borrow_mut().advance(now, |waiter| {
                fired += 1;
                collect(waiter, &mut woken, &mut lanes);
            });
            self.counters.timers_fired.add(fired);
            self.pace.earliest_is(self.wheel.borrow().earliest());
        }
    }

    /// Stage 6: wake them, with no borrow held.
    #[inline(always)]
    pub(crate) fn wake(&self) {
        if !self.woken.borrow().is_empty() {
            self.wake_all();
        }
    }

    fn wake_all(&self) {
        let mut woken = self.woken.take();
        for waiter in woken.drain(..) {
            self.wake_one(waiter);
        }
        self.woken.replace(woken);
    }

    /// Stage 8: counters, and hooks if there are any.
    fn observe(&self) {
        self.counters.turns.add(1);
        self.hooks.turn_ended();
    }

    /// Ends a turn that was made for a host, or the run before one: sees to it that the descriptor
    /// is readable when the next one has work. Whether it has some already.
    pub(crate) fn hand_back(&self, has_more: bool) -> bool {
        let mut has_more = has_more || !self.queue.is_empty();
        let earliest = self.wheel.borrow().earliest();
        if earliest != Tick::MAX && self.clock.is_virtual() {
            has_more |= self.virtual_timeout(Patience::Forever) == Some(Duration::ZERO);
            self.may_jump.set(false);
        } else if earliest != Tick::MAX && !self.alarm.borrow().covers(earliest) {
            let deadline = self.next_deadline();
            let now = self.read_clock();
            self.alarm.borrow_mut().set(deadline, now);
        }
        if !self.remote.inbox().fall_asleep() || has_more {
            self.remote.signal();
            return true;
        }
        false
    }

    pub(crate) fn read_clock(&self) -> Tick {
        let now = self.clock.now_tick();
        self.pace.read(now);
        now
    }

    /// A timer was set. Between two turns the host must be told: only a turn sets the alarm.
    #[inline]
    pub(crate) fn timer_was_set(&self) {
        self.pace.timer_was_set();
        if !self.queue.is_in_turn() {
            self.remote.rouse();
        }
    }

    #[inline]
    pub(crate) fn wake_one(&self, waiter: Waiter) {
        match waiter {
            Waiter::Task(Key::NONE) => {}
            Waiter::Task(key) => self.queue.push(key),
            Waiter::Foreign(waker) => self.guard("a waker", || waker.wake()),
        }
    }

    /// What a handle asked for on another thread.
    fn do_chore(&self, chore: Chore) {
        match chore {
            Chore::CancelTask(key) => self.cancel(key),
            // What is dropped is user code, so it waits for stage 7.
            Chore::DetachTask(key) => {
                let mut ending = None;
                self.guard("a waker", || ending = self.tasks.detach(key));
                if let Some(ending) = ending {
                    self.queue_ending(ending);
                }
            }
            Chore::FreeSource(key) => {
                for waiter in self.reactor.remove(key) {
                    self.wake_one(waiter);
                }
            }
            Chore::CancelTimer(key) => {
                let waiter = self.wheel.borrow_mut().remove(key);
                self.guard("a waker", || drop(waiter));
            }
            Chore::JobEnded => {}
            Chore::Stop => self.stopping.set(true),
        }
    }
}

/// Takes what stages 4 and 5 find to stage 6. A task of ours runs no foreign code when it is woken,
/// so it is queued at once, unless others wait before it.
#[inline]
fn collect(waiter: Waiter, woken: &mut Vec<Waiter>, lanes: &mut Lanes) {
    match waiter {
        Waiter::Task(key) if woken.is_empty() => lanes.push(key),
        waiter => woken.push(waiter),
    }
}
