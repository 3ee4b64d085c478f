//! What this process knows of open tasks since it wrote or locked them last, so that it need not read and lock them again.
//!
//! Other processes write the same tasks, so what is known may be out of date. Each row is known with its version, and a batch that is
//! decided on a known row writes it only if it still has that version. If it has another one, nothing is committed, what was known of
//! these tasks is forgotten, and the batch is decided again on rows that are read and locked.

use std::sync::Arc;

use tenure_store::due::Due;
use tenure_store::recent::RecentTasks;
use tenure_store::rows::StoredTask;
use tenure_store::size::task_bytes;

use crate::batch::{Batch, FoundLease, Slot, Whole};
use crate::columns::{Key, RowVersion};
use crate::load::Wanted;

/// What a committed transaction wrote, by its numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OwnNumbers {
    /// The version of its rows.
    pub(crate) version: RowVersion,
    /// The feed of its events, unless that of the task's event before is higher.
    pub(crate) feed: i64,
}

/// The open tasks that were written or locked last.
#[derive(Default)]
pub(crate) struct KnownTasks {
    tasks: RecentTasks<KnownTask>,
    /// How many batches are still decided on locked rows, because others write the same tasks.
    pause: u32,
    /// How often in a row what was known was out of date.
    failures: u32,
    /// How often all was forgotten: what a batch of before has done is not learnt.
    generation: u64,
}

/// How a batch begins.
pub(crate) struct Begun {
    /// What it wants, if all of it is known. Else the batch must lock it.
    pub(crate) recalled: Option<Vec<(Key, Slot)>>,
    pub(crate) generation: u64,
}

/// After this many failures in a row the pause grows no further.
const FAILURES_MAX: u32 = 6;

/// In boxes, because entries are moved when their table grows.
#[derive(Default)]
struct KnownTask {
    /// How many batches of this process use it now: what one of them learns, another one is about to change.
    in_use: u32,
    whole: Option<Box<KnownWhole>>,
    due: WaitsFor,
}

/// What is known of a task's row of `due`.
#[derive(Default)]
enum WaitsFor {
    #[default]
    Unknown,
    /// There is none.
    Nothing,
    Row(Box<KnownDue>),
}

struct KnownWhole {
    stored: StoredTask,
    version: RowVersion,
    /// That of the row of `due` which its lease and its checkpoint belong to: heartbeats write that row, and not the task's.
    due_version: Option<RowVersion>,
    feed: i64,
}

struct KnownDue {
    due: Due,
    version: RowVersion,
}

/// More than is known of a lease takes, without its progress.
const LEASE_BYTES: usize = 512;

impl KnownTasks {
    /// Begins with a batch.
    ///
    /// All or nothing: rows that are read are locked before the others, and two batches that each take locks twice could block each
    /// other. While a batch uses a task, until [`Self::learn`] or [`Self::give_up`], no other batch recalls it.
    pub(crate) fn begin(&mut self, wanted: &Wanted, may_recall: bool) -> Begun {
        let recalls = may_recall && wanted.can_be_known() && !self.pauses() && self.knows(wanted);
        let mut slots = Vec::with_capacity(wanted.tasks.len() + wanted.leases.len());
        for key in &wanted.tasks {
            let known = self.use_one(key);
            let (whole, due) = (known.whole.take(), std::mem::take(&mut known.due));
            if recalls && let Some(whole) = whole {
                slots.push((key.clone(), Slot::Whole(Box::new(recalled(*whole, due)))));
            }
        }
        for key in &wanted.leases {
            // What is known of the task besides stays.
            let due = std::mem::take(&mut self.use_one(key).due);
            if recalls && let WaitsFor::Row(row) = due {
                let KnownDue { due, version } = *row;
                let lease = FoundLease { stored: due.clone(), version, due, checkpoint: None };
                slots.push((key.clone(), Slot::Lease(Box::new(lease))));
            }
        }
        let is_whole = slots.len() == wanted.tasks.len() + wanted.leases.len();
        Begun { recalled: Some(slots).filter(|_| recalls && is_whole), generation: self.generation }
    }

    /// Whether this batch is one of those that lock after a failure, and counts it.
    fn pauses(&mut self) -> bool {
        let pauses = self.pause > 0;
        self.pause = self.pause.saturating_sub(1);
        pauses
    }

    fn knows(&mut self, wanted: &Wanted) -> bool {
        let mut is_idle = |(namespace, id): &Key, suits: fn(&KnownTask) -> bool| {
            self.tasks.get(namespace, id).is_some_and(|known| known.in_use == 0 && suits(known))
        };
        wanted.tasks.iter().all(|key| is_idle(key, KnownTask::has_whole))
            && wanted.leases.iter().all(|key| is_idle(key, KnownTask::has_lease))
    }

    /// Notes that a batch uses it.
    fn use_one(&mut self, (namespace, id): &Key) -> &mut KnownTask {
        let known = self.tasks.get_or_put(namespace, id, LEASE_BYTES);
        known.in_use += 1;
        known
    }

    /// Ends a batch of which nothing was committed, or of which nobody knows.
    pub(crate) fn give_up(&mut self, wanted: &Wanted) {
        for (namespace, id) in wanted.tasks.iter().chain(&wanted.leases) {
            self.tasks.get_or_put(namespace, id, LEASE_BYTES).leave();
        }
    }

    /// Ends a batch that was committed: takes over what it read and wrote.
    pub(crate) fn learn(&mut self, wanted: &Wanted, generation: u64, mut batch: Batch, own: OwnNumbers) {
        if generation != self.generation {
            return self.give_up(wanted);
        }
        if batch.is_recalled {
            self.failures = 0;
        }
        for key in wanted.tasks.iter().chain(&wanted.leases) {
            self.tasks.get_or_put(&key.0, &key.1, LEASE_BYTES).leave();
            if let Some(slot) = batch.slots.remove(key) {
                self.learn_slot(key, slot, own);
            }
        }
        // What it made, and what its claims found.
        for (key, slot) in batch.slots.drain() {
            self.learn_slot(&key, slot, own);
        }
    }

    fn learn_slot(&mut self, (namespace, id): &Key, slot: Slot, own: OwnNumbers) {
        let before = self.tasks.take(namespace, id).unwrap_or_default();
        let known = match slot {
            _ if before.in_use > 0 => Some(before),
            Slot::Lease(lease) => Some(KnownTask::of_lease(*lease, before.whole, own)),
            Slot::Whole(whole) => KnownTask::of_whole(*whole, own),
            Slot::Seen(_) => None,
        };
        if let Some(known) = known {
            let bytes = known.bytes();
            self.tasks.put(namespace.clone(), id.clone(), known, bytes);
        }
    }

    /// Decides some batches on locked rows: the more of them, the more often in a row what was known was out of date.
    pub(crate) fn pause(&mut self) {
        self.failures = (self.failures + 1).min(FAILURES_MAX);
        self.pause = 1 << self.failures;
    }

    /// Forgets all, as after a connection was lost: the server may be another one now, to which not all was replicated.
    pub(crate) fn forget_all(&mut self) {
        *self = KnownTasks { generation: self.generation + 1, ..KnownTasks::default() };
    }
}

fn recalled(whole: KnownWhole, due: WaitsFor) -> Whole {
    let KnownWhole { stored, version, feed, .. } = whole;
    let (due, due_version) = match due {
        WaitsFor::Row(row) => (Some(row.due), Some(row.version)),
        WaitsFor::Nothing | WaitsFor::Unknown => (None, None),
    };
    let kept = Some(stored.clone());
    let (stored, version, stored_due) = (Some(stored), Some(version), due.clone());
    Whole { stored, version, stored_due, due_version, feed, kept, due }
}

impl KnownTask {
    /// Compensations are rows of their own, which have no version.
    fn has_whole(&self) -> bool {
        let whole = self.whole.as_ref();
        whole.is_some_and(|whole| whole.stored.task.compensations.is_empty())
            && !matches!(self.due, WaitsFor::Unknown)
    }

    fn has_lease(&self) -> bool {
        matches!(&self.due, WaitsFor::Row(row) if row.due.lease.is_some())
    }

    /// Notes that a batch uses it no more.
    fn leave(&mut self) {
        self.in_use = self.in_use.saturating_sub(1);
    }

    /// Nothing for a task that has ended, or that has no version.
    fn of_whole(whole: Whole, own: OwnNumbers) -> Option<KnownTask> {
        let is_changed = whole.is_changed();
        let version = if is_changed { Some(own.version) } else { whole.version };
        let feed = if is_changed { whole.feed.max(own.feed) } else { whole.feed };
        let due_version = if whole.due == whole.stored_due { whole.due_version } else { Some(own.version) };
        let (stored, version) = whole.kept.filter(|kept| kept.task.ending().is_none()).zip(version)?;
        let due = match whole.due.zip(due_version) {
            Some((due, version)) => WaitsFor::Row(Box::new(KnownDue { due, version })),
            None => WaitsFor::Nothing,
        };
        let whole = KnownWhole { stored, version, due_version, feed };
        Some(KnownTask { in_use: 0, whole: Some(Box::new(whole)), due })
    }

    /// What is known of the task besides its lease stays, if it was known with the row that the heartbeat found. Else another
    /// heartbeat came between, perhaps with a checkpoint. One that came with this batch is not taken over, as it may be large.
    fn of_lease(lease: FoundLease, whole: Option<Box<KnownWhole>>, own: OwnNumbers) -> KnownTask {
        let FoundLease { stored, version: found, due, checkpoint } = lease;
        let version = if due == stored { found } else { own.version };
        let mut whole = whole.filter(|whole| whole.due_version == Some(found) && checkpoint.is_none());
        if let Some(whole) = &mut whole
            && let (Some(lease), Some(renewed)) =
                (Arc::make_mut(&mut whole.stored.task).lease_mut(), due.lease())
        {
            *lease = renewed;
            whole.due_version = Some(version);
        }
        KnownTask { in_use: 0, whole, due: WaitsFor::Row(Box::new(KnownDue { due, version })) }
    }

    fn bytes(&self) -> usize {
        let progress = match &self.due {
            WaitsFor::Row(row) => row.due.lease.as_ref().and_then(|lease| lease.progress.as_ref()),
            WaitsFor::Nothing | WaitsFor::Unknown => None,
        };
        let whole = self.whole.as_ref().map_or(0, |whole| task_bytes(&whole.stored.task));
        LEASE_BYTES + whole + progress.map_or(0, |progress| progress.as_str().len())
    }
}

#[cfg(test)]
mod tests {
    use tenure_core::chain::Hash;
    use tenure_core::command::{Action, Command, LeaseScope, Take};
    use tenure_core::id::{Actor, Namespace, Owner, TaskId};
    use tenure_core::policy::Jitter;
    use tenure_core::task::Task;

    use super::*;

    const OWN: OwnNumbers = OwnNumbers { version: RowVersion::of_transaction(7), feed: 7 };

    fn key() -> Key {
        (Namespace::new("default").expect("a name"), TaskId::new("t").expect("a name"))
    }

    /// An acquire of the one task.
    fn wanted() -> Wanted {
        let (namespace, task) = key();
        let owner = Owner::new("w").expect("a name");
        let command = Command {
            namespace,
            actor: Actor::new("w").expect("a name"),
            request: None,
            jitter: Jitter::NONE,
            lease_scope: LeaseScope::Any,
            action: Action::Take { task, take: Take::Acquire, owner, ttl: None },
        };
        Wanted::of(std::iter::once(&command))
    }

    /// One that has made the task.
    fn batch() -> Batch {
        let (namespace, id) = key();
        let kept = Some(StoredTask { row: 1, task: Arc::new(Task::blank(namespace, id)), head: Hash::START });
        let mut batch = Batch::default();
        batch.slots.insert(key(), Slot::Whole(Box::new(Whole { kept, ..Whole::default() })));
        batch
    }

    /// Whether a batch recalls the task. It ends, and the task is known as before.
    fn recalls(known: &mut KnownTasks) -> bool {
        let begun = known.begin(&wanted(), true);
        let recalls = begun.recalled.is_some();
        known.learn(&wanted(), begun.generation, batch(), OWN);
        recalls
    }

    #[test]
    fn what_was_written_is_recalled_and_what_was_given_up_is_not() {
        let mut known = KnownTasks::default();
        assert!(!recalls(&mut known), "nothing was learnt yet");
        assert!(recalls(&mut known));
        assert!(known.begin(&wanted(), true).recalled.is_some());
        known.give_up(&wanted());
        assert!(!recalls(&mut known));
    }

    #[test]
    fn a_task_that_another_batch_uses_is_neither_recalled_nor_learnt() {
        let mut known = KnownTasks::default();
        recalls(&mut known);
        let first = known.begin(&wanted(), true);
        let second = known.begin(&wanted(), true);
        assert!(first.recalled.is_some() && second.recalled.is_none());
        known.learn(&wanted(), first.generation, batch(), OWN);
        known.give_up(&wanted());
        assert!(!recalls(&mut known), "the second batch may have written it after the first");
        assert!(recalls(&mut known));
    }

    #[test]
    fn after_failures_in_a_row_ever_more_batches_lock_and_after_a_success_few_again() {
        let mut known = KnownTasks::default();
        recalls(&mut known);
        for locked in [2, 4, 8, 16, 32, 64, 64] {
            known.pause();
            for nth in 0..locked {
                assert!(!recalls(&mut known), "{nth} of {locked}");
            }
            assert!(known.begin(&wanted(), true).recalled.is_some(), "after {locked}");
            known.learn(&wanted(), 0, batch(), OWN);
        }
        known.learn(&wanted(), 0, Batch { is_recalled: true, ..batch() }, OWN);
        known.pause();
        assert_eq!([(); 3].map(|()| recalls(&mut known)), [false, false, true]);
    }

    #[test]
    fn what_began_before_a_connection_was_lost_is_not_learnt() {
        let mut known = KnownTasks::default();
        let before = known.begin(&wanted(), true);
        known.forget_all();
        known.learn(&wanted(), before.generation, batch(), OWN);
        assert!(!recalls(&mut known));
        assert!(recalls(&mut known));
    }
}
