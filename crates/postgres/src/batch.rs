//! The rows of a batch of commands, in memory: fetched before the first command is decided, changed by each command,
//! and written back after the last. So a thousand commands need as many database requests as one.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use tenure_core::case::Names;
use tenure_core::chain::Hash;
use tenure_core::command::Command;
use tenure_core::event::{Event, Subject};
use tenure_core::id::{Document, Epoch, Namespace, Queue, RequestId, Revision, SagaId, TaskId};
use tenure_core::task::{Phase, Task};
use tenure_core::time::Time;
use tenure_store::codec::Sealed;
use tenure_store::columns::TaskRow;
use tenure_store::due::{Due, LeaseColumns};
use tenure_store::execute::{ReadKey, next_in_queue, read_set};
use tenure_store::namespace_history::NamespaceHead;
use tenure_store::remembered::Request;
use tenure_store::retention::PrunedTask;
use tenure_store::rows::{Change, LeaseRow, Rows, StoredTask};
use tenure_store::transfer::CarriedAnchor;

use crate::columns::{Key, PostgresError, PostgresResult, RowVersion};

/// A whole task, locked or recalled; or the fact that it does not exist.
#[derive(Default)]
pub(crate) struct Whole {
    /// As it is stored.
    pub(crate) stored: Option<StoredTask>,
    /// None where a claim found it.
    pub(crate) version: Option<RowVersion>,
    pub(crate) stored_due: Option<Due>,
    pub(crate) due_version: Option<RowVersion>,
    /// The feed of its newest event.
    pub(crate) feed: i64,
    /// Its new state.
    pub(crate) kept: Option<StoredTask>,
    pub(crate) due: Option<Due>,
}

impl Whole {
    /// Whether the task's own row must be written. Only events change it and the head; heartbeats change neither.
    pub(crate) fn is_changed(&self) -> bool {
        let head = |kept: &Option<StoredTask>| kept.as_ref().map(|kept| kept.head);
        head(&self.stored) != head(&self.kept)
    }
}

/// The history of a namespace, locked; or the fact that it does not exist.
#[derive(Default)]
pub(crate) struct FoundNamespace {
    /// Where it ends, as it is stored.
    pub(crate) stored: Option<NamespaceHead>,
    /// The feed of its newest event.
    pub(crate) feed: i64,
    /// Where it ends now.
    pub(crate) end: Option<NamespaceHead>,
}

/// The row of a lease, locked or recalled, without its task.
pub(crate) struct FoundLease {
    pub(crate) stored: Due,
    pub(crate) version: RowVersion,
    pub(crate) due: Due,
    /// Given by a heartbeat.
    pub(crate) checkpoint: Option<Document>,
}

/// What is known of a task.
pub(crate) enum Slot {
    Whole(Box<Whole>),
    Lease(Box<FoundLease>),
    /// As it was at one moment, not locked: enough to say why not, and for nothing else.
    Seen(Option<Box<StoredTask>>),
}

/// The rows of a batch.
#[derive(Default)]
pub(crate) struct Batch {
    /// Whether the slots were recalled at first, and nothing was locked.
    pub(crate) is_recalled: bool,
    pub(crate) slots: HashMap<Key, Slot>,
    pub(crate) taken_ids: HashSet<Key>,
    pub(crate) taken_sagas: HashSet<(Namespace, SagaId)>,
    pub(crate) requests: HashMap<(Namespace, RequestId), Request>,
    pub(crate) histories: HashMap<Key, Vec<Event>>,
    /// Hashes of stored events that a replay compares.
    pub(crate) event_hashes: HashMap<((Namespace, Subject), Revision), Hash>,
    /// The histories of namespaces that may be continued.
    pub(crate) namespaces: BTreeMap<Namespace, FoundNamespace>,
    /// What a replay asks about of pruned tasks, and of recorded anchors.
    pub(crate) pruned: HashMap<Key, PrunedTask>,
    pub(crate) anchors: Vec<CarriedAnchor>,
    /// Anchors to record, with what was pruned behind them.
    pub(crate) new_anchors: Vec<CarriedAnchor>,
    pub(crate) floor: Epoch,
    /// The names that are already reserved for tasks created in callers' transactions.
    pub(crate) reserved: HashSet<Key>,
    /// What happened, in the order in which it did.
    pub(crate) events: Vec<Sealed>,
    /// The tasks that were made, in that order: it is that of their ages.
    pub(crate) made: Vec<Key>,
    pub(crate) remembered: Vec<(Namespace, RequestId)>,
}

/// Tasks that are not stored yet are younger than all others.
const AGE_OF_NEW: i64 = i64::MAX / 2;

impl Batch {
    fn slot(&self, namespace: &Namespace, id: &TaskId) -> PostgresResult<&Slot> {
        let slot = self.slots.get(&(namespace.clone(), id.clone()));
        slot.ok_or_else(|| PostgresError::Broken(format!("the task {namespace}/{id} was not fetched")))
    }

    /// Whether nothing has to be written: all was refused, or answered from memory.
    pub(crate) fn is_unchanged(&self) -> bool {
        let renewed = |slot: &Slot| match slot {
            Slot::Whole(whole) => {
                let checkpoint =
                    |kept: &Option<StoredTask>| kept.as_ref().and_then(|kept| kept.task.checkpoint.clone());
                whole.stored_due != whole.due || checkpoint(&whole.stored) != checkpoint(&whole.kept)
            }
            Slot::Lease(row) => row.stored != row.due || row.checkpoint.is_some(),
            Slot::Seen(_) => false,
        };
        let is_empty = self.events.is_empty() && self.remembered.is_empty() && self.new_anchors.is_empty();
        is_empty && !self.slots.values().any(renewed)
    }

    /// Whether the writes will show that what was recalled is still so. What is not written could have changed unseen.
    pub(crate) fn is_proven(&self) -> bool {
        let is_proven = |slot: &Slot| match slot {
            Slot::Whole(whole) => {
                whole.is_changed() && (whole.stored_due.is_none() || whole.stored_due != whole.due)
            }
            Slot::Lease(lease) => lease.stored != lease.due,
            Slot::Seen(_) => false,
        };
        !self.is_recalled || self.slots.values().all(is_proven)
    }

    /// Nothing that happens to what a command looks at may be earlier than what happened to it before. Two nodes share the
    /// database's clock, but a batch gives its commands instants that are a little ahead of it.
    pub(crate) fn latest(&self, command: &Command) -> Time {
        let namespace = &command.namespace;
        let of_look = |look: ReadKey<'_>| match look {
            ReadKey::Task(id) | ReadKey::Lease(id) | ReadKey::Names(id, _) => {
                self.slots.get(&(namespace.clone(), id.clone())).map_or(Time::MIN, Slot::latest)
            }
            ReadKey::Queue(queue, _) => {
                let waiting = self.tasks().filter(|kept| waits_in(&kept.task, namespace, queue));
                waiting.map(|kept| kept.task.updated_at).max().unwrap_or(Time::MIN)
            }
        };
        read_set(command).into_iter().map(of_look).max().unwrap_or(Time::MIN)
    }

    /// The tasks that are written, as they are afterwards.
    pub(crate) fn changed_tasks(&self) -> impl Iterator<Item = &Task> {
        self.slots.values().filter_map(|slot| match slot {
            Slot::Whole(whole) if whole.is_changed() => whole.kept.as_ref().map(|kept| &*kept.task),
            Slot::Whole(_) | Slot::Lease(_) | Slot::Seen(_) => None,
        })
    }

    fn tasks(&self) -> impl Iterator<Item = &StoredTask> {
        self.slots.values().filter_map(|slot| match slot {
            Slot::Whole(whole) => whole.kept.as_ref(),
            Slot::Lease(_) | Slot::Seen(_) => None,
        })
    }
}

impl Slot {
    fn latest(&self) -> Time {
        let of_task = |kept: &StoredTask| {
            let beat =
                kept.task.lease().map_or(Time::MIN, |lease| lease.heartbeat_at.max(lease.progressed_at));
            kept.task.updated_at.max(beat)
        };
        match self {
            Slot::Whole(whole) => whole.kept.as_ref().map_or(Time::MIN, of_task),
            Slot::Seen(seen) => seen.as_deref().map_or(Time::MIN, of_task),
            Slot::Lease(row) => {
                let beat = |lease: &LeaseColumns| lease.heartbeat_at.max(lease.progressed_at);
                row.due.lease.as_ref().map_or(Time::MIN, beat)
            }
        }
    }
}

fn waits_in(task: &Task, namespace: &Namespace, queue: &Queue) -> bool {
    task.namespace == *namespace
        && task.queue == *queue
        && matches!(task.phase, Phase::Planned | Phase::Dispatched(_))
}

impl Rows for Batch {
    type Fault = PostgresError;

    fn task(&mut self, namespace: &Namespace, id: &TaskId) -> PostgresResult<Option<StoredTask>> {
        // For a task whose names are free nothing was fetched, because nothing exists.
        if !self.slots.contains_key(&(namespace.clone(), id.clone())) && !self.is_taken(namespace, id) {
            return Ok(None);
        }
        match self.slot(namespace, id)? {
            Slot::Whole(whole) => Ok(whole.kept.clone()),
            Slot::Seen(seen) => Ok(seen.as_deref().cloned()),
            Slot::Lease(_) => Err(PostgresError::Broken(format!(
                "only the lease of {namespace}/{id} was fetched, not the task"
            ))),
        }
    }

    fn leased(&mut self, namespace: &Namespace, id: &TaskId) -> PostgresResult<Option<LeaseRow>> {
        let due = match self.slot(namespace, id)? {
            Slot::Whole(whole) => whole.due.as_ref(),
            Slot::Lease(row) => Some(&row.due),
            Slot::Seen(Some(kept)) if kept.task.lease().is_some() => {
                return Err(PostgresError::Again("a lease was granted between two reads"));
            }
            Slot::Seen(_) => None,
        };
        let Some(due) = due else { return Ok(None) };
        let task = due.seen_by_heartbeat(namespace, id);
        Ok(task.map(|task| LeaseRow { row: 0, check_at: due.check_at, task: Arc::new(task) }))
    }

    fn names(&mut self, namespace: &Namespace, id: &TaskId, saga_id: &SagaId) -> PostgresResult<Names> {
        let key = (namespace.clone(), id.clone());
        if self.reserved.contains(&key) && !self.made.contains(&key) {
            return Ok(Names::Free);
        }
        let saga = (namespace.clone(), saga_id.clone());
        let taken = self.is_taken(namespace, id) || self.taken_sagas.contains(&saga);
        Ok(if taken { Names::Taken } else { Names::Free })
    }

    fn claimable(
        &mut self,
        namespace: &Namespace,
        queue: &Queue,
        limit: u32,
        now: Time,
    ) -> PostgresResult<Vec<TaskId>> {
        Ok(next_in_queue(self.tasks(), (namespace, queue), limit, now))
    }

    fn history(&mut self, namespace: &Namespace, id: &TaskId, up_to: Revision) -> PostgresResult<Vec<Event>> {
        let stored = self.histories.get(&(namespace.clone(), id.clone())).into_iter().flatten();
        let of_task = |sealed: &&Sealed| sealed.event.namespace == *namespace && sealed.event.subject == *id;
        let new = self.events.iter().filter(of_task).map(|sealed| &sealed.event);
        let events: Vec<Event> = stored.chain(new).filter(|event| event.number <= up_to).cloned().collect();
        let whole = (1..=up_to.0).eq(events.iter().map(|event| event.number.0));
        if whole {
            Ok(events)
        } else {
            Err(PostgresError::Broken(format!("the history of {namespace}/{id} has gaps")))
        }
    }

    fn request(&mut self, namespace: &Namespace, id: &RequestId) -> PostgresResult<Option<Request>> {
        Ok(self.requests.get(&(namespace.clone(), id.clone())).cloned())
    }

    fn remember(&mut self, namespace: &Namespace, id: &RequestId, request: &Request) -> PostgresResult<()> {
        let name = (namespace.clone(), id.clone());
        self.requests.insert(name.clone(), request.clone());
        self.remembered.push(name);
        Ok(())
    }

    fn write(&mut self, change: Change<'_>) -> PostgresResult<()> {
        let Change { before, after, head, events } = change;
        let key = (after.namespace.clone(), after.id.clone());
        let row = match &before {
            Some(kept) => kept.row,
            None => {
                self.taken_ids.insert(key.clone());
                self.taken_sagas.insert((after.namespace.clone(), after.saga_id.clone()));
                self.made.push(key.clone());
                AGE_OF_NEW + self.made.len() as i64
            }
        };
        let slot = self.slots.entry(key).or_insert_with(|| Slot::Whole(Box::default()));
        let Slot::Whole(whole) = slot else {
            return Err(PostgresError::Broken(format!("{} was written without a lock", after.id)));
        };
        let (old, new) = (before.as_ref().and_then(|kept| Due::of(&kept.task)), Due::of(after));
        if old != new {
            whole.due = new;
        }
        let kept = StoredTask { row, task: Arc::new(after.clone()), head };
        if let Some(before) = &before {
            TaskRow::of(&kept).must_stay(before).map_err(PostgresError::Broken)?;
        }
        whole.kept = Some(kept);
        self.events.extend(events);
        Ok(())
    }

    fn renew(&mut self, before: LeaseRow, after: &Task, now: Time) -> PostgresResult<()> {
        let Some(lease) = after.lease() else {
            return Err(PostgresError::Broken("a heartbeat without a lease".into()));
        };
        let slot = self.slots.get_mut(&(after.namespace.clone(), after.id.clone()));
        let due = match slot {
            Some(Slot::Whole(whole)) => {
                if let Some(kept) = &mut whole.kept {
                    let task = Arc::make_mut(&mut kept.task);
                    if let Some(stored) = task.lease_mut() {
                        stored.clone_from(lease);
                    }
                    if let Some(checkpoint) = &after.checkpoint {
                        task.checkpoint = Some(checkpoint.clone());
                    }
                }
                whole.due.as_mut()
            }
            Some(Slot::Lease(row)) => {
                if let Some(checkpoint) = &after.checkpoint {
                    row.checkpoint = Some(checkpoint.clone());
                }
                Some(&mut row.due)
            }
            Some(Slot::Seen(_)) | None => None,
        };
        let Some(due) = due else { return Err(PostgresError::Broken("a heartbeat without its row".into())) };
        due.renew(lease);
        if before.check_at <= now {
            // The check moves only when its time has come: one index write a ttl, not one a heartbeat.
            due.check_at = due.expires_at;
        }
        Ok(())
    }

    fn floor(&mut self) -> PostgresResult<Epoch> {
        Ok(self.floor)
    }

    fn broken(&mut self, what: String) -> PostgresError {
        PostgresError::Broken(what)
    }
}

impl Batch {
    fn is_taken(&self, namespace: &Namespace, id: &TaskId) -> bool {
        self.taken_ids.contains(&(namespace.clone(), id.clone()))
    }
}
