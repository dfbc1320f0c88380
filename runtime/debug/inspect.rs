//! Reads the loop's state into [`Metrics`] and [`TaskTree`]. Only looks; polls nothing.

use crate::debug::metrics::Metrics;
use crate::debug::tree::{TaskInfo, TaskTree, WaitsFor};
use crate::event_loop::LoopState;
use crate::table::Key;
use crate::task::Id;
use crate::task::polled::Wait;
use crate::task::table::Kind;

impl LoopState {
    pub(crate) fn metrics(&self) -> Metrics {
        let counters = &self.counters;
        Metrics {
            turns: counters.turns.get(),
            selects: counters.selects.get(),
            events: counters.events.get(),
            polls: self.pace.polls(),
            messages: counters.messages.get(),
            timers_fired: counters.timers_fired.get(),
            spawned: counters.spawned.get(),
            spun: self.spin.spun(),
            tasks: self.tasks.len(),
            runnable: self.queue.len(),
            sources: self.reactor.len(),
            timers: self.wheel.borrow().len(),
            blocking_jobs: self.blocking.jobs(),
            blocking_threads: self.blocking.threads(),
        }
    }

    pub(crate) fn dump(&self) -> TaskTree {
        let mut tasks = Vec::new();
        self.tasks.for_each(|key, about, waits, is_finished| {
            if about.kind == Kind::Root {
                return;
            }
            tasks.push(TaskInfo {
                id: self.id_of(key),
                name: about.name().map(str::to_owned),
                location: about.location,
                parent: (about.parent != Key::NONE).then(|| self.id_of(about.parent)),
                waits_for: if is_finished { WaitsFor::Joined } else { self.waits_for(key, waits) },
            });
        });
        TaskTree { title: self.remote.label(), tasks }
    }

    fn waits_for(&self, key: Key, waits: Wait) -> WaitsFor {
        if self.queue.holds(key) || self.polled.key() == key {
            return WaitsFor::Nothing;
        }
        self.in_words(waits)
    }

    fn in_words(&self, waits: Wait) -> WaitsFor {
        match waits {
            Wait::Unknown => WaitsFor::Unknown,
            Wait::Readable(fd) => WaitsFor::Readable(fd),
            Wait::Writable(fd) => WaitsFor::Writable(fd),
            Wait::Priority(fd) => WaitsFor::Priority(fd),
            Wait::Error(fd) => WaitsFor::Error(fd),
            Wait::Timer(tick) => {
                let due = self.clock.instant_at(tick);
                WaitsFor::Timer(due.saturating_duration_since(self.clock.now()))
            }
            Wait::Task(key) => WaitsFor::Task(self.id_of(key)),
            Wait::Blocking => WaitsFor::Blocking,
        }
    }

    /// What the future of `block_on` waits for.
    pub(crate) fn root_waits_for(&self) -> WaitsFor {
        self.in_words(self.root_waits.get())
    }

    /// Every task, timer and source that is there, in words.
    pub(crate) fn left_behind(&self) -> Vec<String> {
        let mut left: Vec<_> = self.dump().tasks().iter().map(TaskInfo::to_string).collect();
        for (key, tick) in self.wheel.borrow().pending() {
            let due = self.in_words(Wait::Timer(tick));
            let origin = self.places.of_timer(key).map(|origin| format!(", {origin}"));
            left.push(format!("a timer that {due}{}", origin.unwrap_or_default()));
        }
        for key in self.reactor.keys() {
            left.push(match self.places.of_source(key) {
                Some((fd, origin)) => format!("a source, descriptor {fd}, {origin}"),
                None => "a source".to_owned(),
            });
        }
        left
    }

    fn id_of(&self, key: Key) -> Id {
        Id { loop_id: self.remote.id, key }
    }
}
