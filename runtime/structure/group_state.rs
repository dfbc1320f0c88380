//! What the handles, the tasks and the owner of one task group share: who is in it, what failed,
//! how it ends.
//!
//! ```text
//!  [ open ] ──── cancel, a failure, the deadline, the owner dropped ───> [ cancelled ]
//!     └───── the owner saw the body's end, and nobody is left ─> [ over ] <─────┘
//! ```
//!
//! It is under a lock, so that the future of a group is `Send` where its body is. Wakers are called
//! and tasks cancelled outside it.

use std::any::Any;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::thread::{self, ThreadId};

use crate::structure::cancel::CancelToken;
use crate::structure::group_error::{CancelReport, Cause, GroupFailure, GroupTask};
use crate::structure::waiting::{Place, Waiting, wake_all};
use crate::table::{Key, Table};
use crate::task::{AbortHandle, Id};
use crate::time::Instant;

#[derive(Default)]
pub(crate) struct GroupState {
    record: Mutex<Record>,
    pub(crate) token: CancelToken,
}

#[derive(Default)]
struct Record {
    stage: Stage,
    /// `None` is one that is being spawned.
    members: Table<Option<Member>>,
    failures: Vec<GroupFailure>,
    body: Body,
    /// When those who were asked to stop are stopped.
    deadline: Option<Instant>,
    /// Tasks that asked for the soft end: they wait for the others and are not stopped.
    exempt: Vec<Id>,
    /// How many tasks have ended by themselves.
    stopped: usize,
    /// Those who had to be stopped, though they were asked.
    left: Vec<GroupTask>,
    body_left: bool,
    owner: Option<Waker>,
    /// Nobody gets the failures any more.
    is_disowned: bool,
    /// Those who wait for a report.
    reports: Waiting,
    /// Dropped when nobody is left: by this a group around this one hears of it.
    kept: Vec<Arc<dyn Any + Send + Sync>>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Open,
    /// What is spawned from here on is cancelled at once.
    Cancelled,
    Over,
}

#[derive(Default)]
struct Body {
    /// On which thread it is being polled: what that one asks for is the body's own wish.
    polled_on: Option<ThreadId>,
    /// It asked for the group's end itself, and goes on.
    is_exempt: bool,
    is_over: bool,
    must_go: bool,
}

impl Body {
    /// Whether whoever calls this is the body.
    fn asks(&self) -> bool {
        self.polled_on.is_some_and(|thread| thread == thread::current().id())
    }
}

pub(crate) struct Member {
    task: GroupTask,
    abort: AbortHandle,
    /// It is dropped, whatever it does.
    is_cut: bool,
}

impl Member {
    pub(crate) fn new(task: GroupTask, abort: AbortHandle) -> Member {
        Member { task, abort, is_cut: false }
    }
}

impl GroupState {
    /// Makes room for a task that is about to be spawned; `None` if the group is over.
    pub(crate) fn enter(&self) -> Option<Key> {
        let mut record = self.lock();
        (record.stage != Stage::Over).then(|| record.members.insert(None))
    }

    /// Whether what is spawned now is polled.
    pub(crate) fn is_open(&self) -> bool {
        self.lock().stage == Stage::Open
    }

    /// The task was spawned. `false`: the group is being cancelled, and so must the task be.
    pub(crate) fn admit(&self, key: Key, member: Member) -> bool {
        let mut record = self.lock();
        if let Some(entered) = record.members.get_mut(key) {
            *entered = Some(member);
        }
        record.stage == Stage::Open
    }

    /// The task has ended, whichever way; `has_returned`, if it came to its own end.
    pub(crate) fn leave(&self, key: Key, has_returned: bool) {
        let mut record = self.lock();
        let member = record.members.remove(key).flatten();
        if let Some(Member { task, is_cut, .. }) = &member {
            if *is_cut && has_returned {
                // In the very poll in which the rest was ended.
                record.left.retain(|left| left.id != task.id);
            }
            let counts = (has_returned || !is_cut) && !record.exempt.contains(&task.id);
            record.stopped += usize::from(counts);
        }
        let is_empty = record.members.len() == 0;
        let kept = if is_empty { std::mem::take(&mut record.kept) } else { Vec::new() };
        if record.members.len() <= record.exempt.len() {
            self.tell(record);
        } else {
            drop(record);
        }
        drop((member, kept));
    }

    /// Keeps something until nobody is left.
    pub(crate) fn keep(&self, what: Arc<dyn Any + Send + Sync>) {
        let mut record = self.lock();
        if record.members.len() > 0 {
            return record.kept.push(what);
        }
        drop(record);
        drop(what);
    }

    /// A task has failed, or the body: the rest is cancelled.
    pub(crate) fn fail(&self, key: Option<Key>, cause: Cause) {
        let mut record = self.lock();
        let member = key.and_then(|key| record.members.get(key)?.as_ref());
        let task = member.map(|member| member.task.clone());
        let id = task.as_ref().map(|task| task.id);
        let failure = GroupFailure { task, cause };
        if record.is_disowned {
            drop(record);
            return failure.report_unread();
        }
        record.failures.push(failure);
        record.body.must_go = true;
        self.cancel_all(record, id);
    }

    /// Cancels the tasks, and the body unless it is the one who asks.
    pub(crate) fn cancel(&self) {
        let mut record = self.lock();
        if record.stage == Stage::Over {
            return;
        }
        record.body.must_go |= !record.body.asks();
        self.cancel_all(record, None);
    }

    /// The soft end: everybody is asked, and whoever is left at the deadline is stopped. How many
    /// tasks have ended by themselves before.
    pub(crate) fn ask_to_stop(&self, deadline: Instant, asks: Option<Id>) -> usize {
        let mut record = self.lock();
        let is_member = |id: &Id| record.others(&[]).any(|member| member.task.id == *id);
        if let Some(id) = asks.filter(is_member) {
            record.exempt.push(id);
        }
        record.body.is_exempt |= record.body.asks();
        if record.stage != Stage::Over {
            let earliest = record.deadline.map_or(deadline, |before| before.min(deadline));
            record.deadline = Some(earliest);
        }
        let stopped = record.stopped;
        self.tell(record);
        self.token.cancel();
        stopped
    }

    /// The deadline has come: stops who is left, and remembers who that was.
    pub(crate) fn stop_the_rest(&self) {
        let mut record = self.lock();
        record.deadline = None;
        let aborts = record.cut(true, None, true);
        let body = &mut record.body;
        let body_goes = !body.is_over && !body.is_exempt;
        body.must_go |= body_goes;
        record.body_left |= body_goes;
        record.stage = Stage::Cancelled;
        drop(record);
        aborts.iter().for_each(AbortHandle::cancel);
    }

    /// The report, once all who were asked have ended, the body among them; else `waker` is kept.
    pub(crate) fn report(
        &self,
        stopped_before: usize,
        place: &mut Place,
        waker: &Waker,
    ) -> Option<CancelReport> {
        // Cloned before the lock, and dropped after it: a waker is foreign code.
        let waker = waker.clone();
        let mut record = self.lock();
        let body = &record.body;
        let awaits_body = !body.is_over && !body.is_exempt && !body.must_go;
        if awaits_body || record.others(&record.exempt).next().is_some() {
            let before = record.reports.keep(place, waker);
            drop(record);
            drop(before);
            return None;
        }
        let stopped = record.stopped - stopped_before;
        let (left, body_left) = (record.left.clone(), record.body_left);
        Some(CancelReport { stopped, left, body_left })
    }

    pub(crate) fn forget_report(&self, place: &Place) {
        let waker = self.lock().reports.remove(place);
        drop(waker);
    }

    /// Says who owns the group, at the beginning of each of its polls.
    pub(crate) fn set_owner(&self, waker: &Waker) {
        if self.lock().owner.as_ref().is_some_and(|kept| kept.will_wake(waker)) {
            return;
        }
        let waker = waker.clone();
        let before = self.lock().owner.replace(waker);
        drop(before);
    }

    /// The owner is being dropped: it ends what it owns, and is not woken for that.
    pub(crate) fn disown(&self) {
        let mut record = self.lock();
        record.is_disowned = true;
        let owner = record.owner.take();
        let failures = std::mem::take(&mut record.failures);
        drop(record);
        drop(owner);
        failures.into_iter().for_each(GroupFailure::report_unread);
        self.cancel();
    }

    pub(crate) fn note_body_is_polled(&self, is_polled: bool) {
        self.lock().body.polled_on = is_polled.then(|| thread::current().id());
    }

    pub(crate) fn note_body_is_over(&self) {
        let mut record = self.lock();
        record.body.is_over = true;
        let reports = record.reports.take();
        drop(record);
        wake_all(reports);
    }

    pub(crate) fn must_body_go(&self) -> bool {
        self.lock().body.must_go
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.lock().deadline
    }

    /// Tasks that have not ended.
    pub(crate) fn len(&self) -> usize {
        self.lock().members.len()
    }

    /// If nobody is left, the group is over: what failed.
    pub(crate) fn end(&self) -> Option<Vec<GroupFailure>> {
        let mut record = self.lock();
        if record.members.len() > 0 {
            return None;
        }
        record.stage = Stage::Over;
        record.deadline = None;
        Some(std::mem::take(&mut record.failures))
    }

    /// Ends in `cancelled`, but for the task that has failed by its own doing; wakes whoever waits
    /// for that. A soft end under way is cut short.
    fn cancel_all(&self, mut record: MutexGuard<'_, Record>, failed: Option<Id>) {
        record.stage = Stage::Cancelled;
        let is_late = record.deadline.take().is_some();
        let body = &record.body;
        record.body_left |= is_late && body.must_go && !body.is_over && !body.is_exempt;
        let aborts = record.cut(false, failed, is_late);
        drop(record);
        // The owner comes last: it looks when the tasks are gone.
        aborts.iter().for_each(AbortHandle::cancel);
        self.token.cancel();
        self.tell(self.lock());
    }

    /// Wakes the owner and those who wait for a report.
    fn tell(&self, mut record: MutexGuard<'_, Record>) {
        let owner = record.owner.take();
        let reports = record.reports.take();
        drop(record);
        wake_all(owner.into_iter().chain(reports));
    }

    fn lock(&self) -> MutexGuard<'_, Record> {
        // Nothing that can panic runs under the lock but an allocation that fails.
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Record {
    /// Ends everybody, or all but the exempt, and gives the means for it, in the order of their
    /// spawns. Who `is_late` has been asked to stop before.
    fn cut(&mut self, spares: bool, failed: Option<Id>, is_late: bool) -> Vec<AbortHandle> {
        let mut members: Vec<&mut Member> = self.members.values_mut().flatten().collect();
        // A table's slots are used again.
        members.sort_unstable_by_key(|member| member.task.id.key);
        let mut aborts = Vec::with_capacity(members.len());
        for member in members {
            let is_exempt = self.exempt.contains(&member.task.id);
            if is_exempt && spares {
                continue;
            }
            aborts.push(member.abort.clone());
            if is_exempt || member.is_cut || failed == Some(member.task.id) {
                continue;
            }
            member.is_cut = true;
            if is_late {
                self.left.push(member.task.clone());
            }
        }
        aborts
    }

    /// Members but these.
    fn others<'a>(&'a self, without: &'a [Id]) -> impl Iterator<Item = &'a Member> {
        let members = self.members.iter().filter_map(|(_, member)| member.as_ref());
        members.filter(move |member| !without.contains(&member.task.id))
    }
}
