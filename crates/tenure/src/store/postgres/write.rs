//! Writes back what a batch changed, and commits, in one round trip: each table once, however many tasks changed.
//!
//! Rows that belong to a task are written first: the guards of the tables refuse them once the task's own row says
//! that it ended.

use tenure_core::compensation::Compensation;
use tenure_core::id::{Document, Owner, Progress, Reason, TaskId, Text, UndoKey};
use tenure_core::task::{CancelTold, Task};
use tenure_core::time::Time;
use tokio_postgres::types::ToSql;

use crate::codec::{Sealed, column};
use crate::store::columns::{TaskColumns, labels_column, length, micros, number};
use crate::store::due::{Due, Wait};
use crate::store::ends::{EndKey, Minutes, NewEnds};
use crate::store::execute::{REQUEST_MEMORY, StoredTask};
use crate::store::postgres::batch::{Batch, Slot, Whole};
use crate::store::postgres::columns::{Fault, Key};
use crate::store::postgres::link::{Link, Parameter, Sent};
use crate::store::postgres::sql;
use crate::wire::Word;

/// How a transaction ended that was to be committed.
pub(crate) enum Ended {
    Committed,
    /// Surely not committed.
    Failed(Fault),
    /// Nobody can say.
    Unknown(Fault),
}

/// A statement, and a column of its arrays for each item that it writes.
struct Write<'a> {
    sql: &'static str,
    parameters: Vec<Box<dyn ToSql + Sync + 'a>>,
}

/// One that is being put together.
struct Items<'a, T> {
    items: &'a [T],
    write: Write<'a>,
}

impl<'a, T> Items<'a, T> {
    fn new(sql: &'static str, items: &'a [T]) -> Items<'a, T> {
        Items { items, write: Write { sql, parameters: Vec::new() } }
    }

    fn column<V: 'a>(mut self, value: impl Fn(&'a T) -> V) -> Self
    where
        Vec<V>: ToSql + Sync,
    {
        self.write.parameters.push(Box::new(self.items.iter().map(value).collect::<Vec<V>>()));
        self
    }

    /// A value for all of them.
    fn value(mut self, value: impl ToSql + Sync + 'a) -> Self {
        self.write.parameters.push(Box::new(value));
        self
    }

    /// Among the others, if it writes anything.
    fn into(self, writes: &mut Vec<Write<'a>>) {
        if !self.items.is_empty() {
            writes.push(self.write);
        }
    }
}

/// A task that changed.
struct Changed<'b> {
    key: &'b Key,
    whole: &'b Whole,
    task: &'b Task,
    head: &'b [u8],
    columns: TaskColumns<'b>,
}

impl Changed<'_> {
    fn namespace(&self) -> &str {
        self.key.0.as_str()
    }

    fn id(&self) -> &str {
        self.key.1.as_str()
    }
}

/// One that was there before, too.
struct Updated<'b> {
    changed: &'b Changed<'b>,
    before: &'b StoredTask,
}

/// What is written about tasks' rows of `due`.
#[derive(Default)]
struct DueChanges<'b> {
    gone: Vec<&'b Key>,
    new: Vec<(&'b Key, &'b Task, &'b Due)>,
    renewed: Vec<(&'b Key, &'b Due)>,
}

/// Writes what changed and commits.
pub(crate) async fn write_back(link: &mut Link, batch: &Batch, made: &[Key], now: i64) -> Ended {
    let mut changed = changed(batch);
    // By their keys, as they are locked; new ones in the order in which they were made, which gives them their ages.
    changed.sort_by_key(|one| one.key);
    let by_key: std::collections::HashMap<&Key, usize> =
        changed.iter().enumerate().map(|(at, one)| (one.key, at)).collect();
    let new: Vec<&Changed<'_>> = batch.made.iter().filter_map(|key| changed.get(*by_key.get(key)?)).collect();
    let updated: Vec<Updated<'_>> = changed
        .iter()
        .filter_map(|changed| Some(Updated { changed, before: changed.whole.stored.as_ref()? }))
        .collect();
    let fields: Vec<&Updated<'_>> = updated.iter().filter(|one| one.has_other_fields()).collect();
    let due = due_changes(batch);
    let compensations = CompensationChanges::of(&changed);
    let checkpoints = checkpoints(batch);
    let mut named: Vec<&Changed<'_>> =
        new.iter().copied().filter(|one| !batch.reserved.contains(one.key)).collect();
    named.sort_by_key(|one| one.key);
    let events = events(batch);
    let requests: Vec<_> =
        batch.remembered.iter().filter_map(|name| Some((name, batch.requests.get(name)?))).collect();

    let ends = ends(&changed, Time::from_micros(now));

    let mut writes = Vec::new();
    take_names(&named, &mut writes);
    compensations.write(&mut writes);
    Items::new(sql::PUT_CHECKPOINTS, &checkpoints)
        .column(|(key, _)| key.0.as_str())
        .column(|(key, _)| key.1.as_str())
        .column(|(_, checkpoint)| checkpoint.as_str())
        .into(&mut writes);
    insert_tasks(&new, &mut writes);
    update_fields(&fields, &mut writes);
    update_tasks(&updated, &mut writes);
    due.write(&mut writes);
    insert_events(&events, &mut writes);
    remember(&requests, now, &mut writes);
    count_ends(&ends, Time::from_micros(now), &mut writes);
    Items::new(sql::MADE, made).column(|key| key.0.as_str()).column(|key| key.1.as_str()).into(&mut writes);
    send_and_commit(link, &writes).await
}

async fn send_and_commit(link: &mut Link, writes: &[Write<'_>]) -> Ended {
    let statements: Vec<&'static str> = writes.iter().map(|write| write.sql).collect();
    if let Err(fault) = link.prepare(&statements).await {
        return Ended::Failed(fault);
    }
    let parameters: Vec<Vec<Parameter<'_>>> = writes
        .iter()
        .map(|write| write.parameters.iter().map(|one| &**one as Parameter<'_>).collect())
        .collect();
    let _ = link.warnings();
    let link = &*link;
    let sent: Vec<Sent<'_, _>> =
        writes.iter().zip(&parameters).map(|(write, parameters)| link.send(write.sql, parameters)).collect();
    if let Some(at) = sent.iter().position(Sent::was_not_sent) {
        // Without it the others must not be committed. Whoever has the connection rolls back.
        let fault = sent.into_iter().nth(at).map(Sent::answer);
        return match fault {
            Some(fault) => {
                Ended::Failed(fault.await.err().unwrap_or(Fault::Again("a statement was not sent")))
            }
            None => Ended::Failed(Fault::Again("a statement was not sent")),
        };
    }
    commit(link, sent).await
}

/// Commits behind statements that were sent, and says what became of it.
async fn commit(link: &Link, sent: Vec<Sent<'_, Vec<tokio_postgres::Row>>>) -> Ended {
    let committed = link.send_plain(sql::COMMIT);
    let mut refused: Option<Fault> = None;
    for one in sent {
        match one.answer().await {
            Ok(_) => {}
            // The first refusal is the reason; those after it only say that the transaction had failed.
            Err(fault) if fault.is_said_by_the_server() => refused = refused.or(Some(fault)),
            // The connection is gone or silent, and the commit is on its way.
            Err(fault) => return Ended::Unknown(fault),
        }
    }
    match (refused, committed.answer().await) {
        // The server refused a statement and lives on, so it made of the commit a roll back. Where the connection ended
        // instead, somebody between may have said so of a commit that was done.
        (Some(fault), Ok(())) => Ended::Failed(fault),
        (Some(fault), Err(_)) | (None, Err(fault)) => Ended::Unknown(fault),
        (None, Ok(())) => match link.warnings().into_iter().next() {
            None => Ended::Committed,
            // Such as that somebody ended the wait for a standby: it is committed here, and maybe nowhere else.
            Some(warning) => {
                Ended::Unknown(Fault::Unfit(format!("the database warned during the commit: {warning}")))
            }
        },
    }
}

/// Commits nothing that anybody reads, so that it waits for whom a commit waits for: what was answered from memory is
/// then as durable as the first answer was to be.
pub(crate) async fn commit_again(link: &mut Link) -> Ended {
    if let Err(fault) = link.prepare(&[sql::SOMETHING_TO_COMMIT]).await {
        return Ended::Failed(fault);
    }
    let _ = link.warnings();
    let link = &*link;
    commit(link, vec![link.send(sql::SOMETHING_TO_COMMIT, &[])]).await
}

/// Commits what was written by statements that have all been answered.
pub(crate) async fn commit_answered(link: &Link) -> Ended {
    let _ = link.warnings();
    commit(link, Vec::new()).await
}

fn changed(batch: &Batch) -> Vec<Changed<'_>> {
    let changed = |(key, slot)| {
        let (key, slot): (&Key, &Slot) = (key, slot);
        let Slot::Whole(whole) = slot else { return None };
        let kept = whole.kept.as_ref()?;
        // Only events change a task's row and its head; heartbeats change neither.
        let same = whole.stored.as_ref().is_some_and(|stored| stored.head == kept.head);
        (!same).then(|| Changed {
            key,
            whole,
            task: &kept.task,
            head: &kept.head.0,
            columns: TaskColumns::of(&kept.task),
        })
    };
    batch.slots.iter().filter_map(changed).collect()
}

/// The ends of this transaction, to be added to what is counted.
fn ends(changed: &[Changed<'_>], now: Time) -> Vec<(EndKey, i64)> {
    let mut ends = NewEnds::default();
    for one in changed {
        ends.count(one.whole.stored.as_ref().map(|stored| &stored.task), one.task, now);
    }
    ends.take()
}

fn count_ends<'b>(ends: &'b [(EndKey, i64)], now: Time, writes: &mut Vec<Write<'b>>) {
    Items::new(sql::COUNT_ENDS, ends)
        .column(|(key, _)| key.namespace.as_str())
        .column(|(key, _)| key.minute)
        .column(|(key, _)| key.queue.as_str())
        .column(|(key, _)| key.state)
        .column(|(key, _)| key.cause)
        .column(|(_, count)| *count)
        .into(writes);
    Items::new(sql::FORGET_ENDS, ends)
        .column(|(key, _)| key.namespace.as_str())
        .value(Minutes::at(now).kept)
        .into(writes);
}

fn due_changes(batch: &Batch) -> DueChanges<'_> {
    let mut changes = DueChanges::default();
    let mut slots: Vec<(&Key, &Slot)> = batch.slots.iter().collect();
    slots.sort_by_key(|(key, _)| *key);
    for (key, slot) in slots {
        match slot {
            Slot::Whole(whole) => {
                let Some(kept) = &whole.kept else { continue };
                match (&whole.stored_due, &whole.due) {
                    (Some(stored), Some(due)) if stored == due => {}
                    (Some(stored), Some(due)) if is_renewal(stored, due) => changes.renewed.push((key, due)),
                    (stored, due) => {
                        changes.gone.extend(stored.as_ref().map(|_| key));
                        changes.new.extend(due.as_ref().map(|due| (key, &kept.task, due)));
                    }
                }
            }
            Slot::Lease(row) if row.stored != row.due => changes.renewed.push((key, &row.due)),
            Slot::Lease(_) | Slot::Seen(_) => {}
        }
    }
    changes
}

/// Whether only heartbeats lie between two rows.
fn is_renewal(stored: &Due, due: &Due) -> bool {
    let Some(lease) = due.lease() else { return false };
    let mut renewed = stored.clone();
    renewed.renew(&lease);
    renewed.check_at = due.check_at;
    renewed == *due
}

impl<'b> DueChanges<'b> {
    fn write(&'b self, writes: &mut Vec<Write<'b>>) {
        Items::new(sql::DELETE_DUE, &self.gone)
            .column(|key| key.0.as_str())
            .column(|key| key.1.as_str())
            .into(writes);
        Items::new(sql::INSERT_DUE, &self.new)
            .column(|(key, _, _)| key.0.as_str())
            .column(|(key, _, _)| key.1.as_str())
            .column(|(_, _, due)| due.wait.word())
            .column(|(_, task, due)| Some(task.queue.as_str()).filter(|_| due.wait == Wait::Reservation))
            .column(|(_, _, due)| due.owner.as_ref().map(Owner::as_str))
            .column(|(_, _, due)| due.lease.as_ref().map(|lease| lease.granted_to.as_str()))
            .column(|(_, _, due)| due.lease.as_ref().map(|lease| number(lease.epoch.0)))
            .column(|(_, _, due)| due.lease.as_ref().map(|lease| length(lease.ttl.span())))
            .column(|(_, _, due)| micros(due.since))
            .column(|(_, _, due)| due.lease.as_ref().map(|lease| lease.heartbeat_at.as_micros()))
            .column(|(_, _, due)| due.lease.as_ref().map(|lease| lease.progressed_at.as_micros()))
            .column(|(_, _, due)| due.expires_at.as_micros())
            .column(|(_, _, due)| due.check_at.as_micros())
            .column(|(_, _, due)| progress(due))
            .column(|(_, _, due)| due.lease.as_ref().is_some_and(|lease| lease.cancel_asked))
            .column(|(_, _, due)| due.lease.as_ref().and_then(|lease| lease.stall_after).map(length))
            .column(|(_, _, due)| due.lease.as_ref().and_then(|lease| lease.time_limit).map(length))
            .column(|(_, _, due)| due.lease.as_ref().and_then(|lease| lease.lock_delay).map(length))
            .column(|(_, _, due)| due.held_back)
            .column(|(_, _, due)| due.lease.as_ref().and_then(|lease| lease.cancel_grace).map(length))
            .column(|(_, _, due)| told(due).map(|told| i64::from(told.times)))
            .column(|(_, _, due)| told(due).map(|told| told.since.as_micros()))
            .into(writes);
        Items::new(sql::RENEW_DUE, &self.renewed)
            .column(|(key, _)| key.0.as_str())
            .column(|(key, _)| key.1.as_str())
            .column(|(_, due)| due.owner.as_ref().map(Owner::as_str))
            .column(|(_, due)| due.lease.as_ref().map(|lease| number(lease.epoch.0)))
            .column(|(_, due)| due.lease.as_ref().map(|lease| lease.heartbeat_at.as_micros()))
            .column(|(_, due)| due.lease.as_ref().map(|lease| lease.progressed_at.as_micros()))
            .column(|(_, due)| due.expires_at.as_micros())
            .column(|(_, due)| due.check_at.as_micros())
            .column(|(_, due)| progress(due))
            .column(|(_, due)| told(due).map(|told| i64::from(told.times)))
            .column(|(_, due)| told(due).map(|told| told.since.as_micros()))
            .into(writes);
    }
}

fn told(due: &Due) -> Option<CancelTold> {
    due.lease.as_ref().and_then(|lease| lease.cancel_told)
}

fn progress(due: &Due) -> Option<&str> {
    due.lease.as_ref().and_then(|lease| lease.progress.as_ref()).map(Progress::as_str)
}

fn checkpoints<'b>(batch: &'b Batch) -> Vec<(&'b Key, &'b Document)> {
    let given = |(key, slot)| {
        let (key, slot): (&'b Key, &'b Slot) = (key, slot);
        let checkpoint = match slot {
            Slot::Whole(whole) => {
                let stored = whole.stored.as_ref().and_then(|kept| kept.task.checkpoint.as_ref());
                let checkpoint = whole.kept.as_ref().and_then(|kept| kept.task.checkpoint.as_ref());
                checkpoint.filter(|new| stored != Some(*new))
            }
            Slot::Lease(row) => row.checkpoint.as_ref(),
            Slot::Seen(_) => None,
        };
        Some((key, checkpoint?))
    };
    let mut given: Vec<_> = batch.slots.iter().filter_map(given).collect();
    given.sort_by_key(|(key, _)| *key);
    given
}

fn take_names<'b>(new: &'b [&Changed<'_>], writes: &mut Vec<Write<'b>>) {
    Items::new(sql::TAKE_NAMES, new)
        .column(|one| one.namespace())
        .column(|one| one.id())
        .column(|one| one.task.saga_id.as_str())
        .into(writes);
}

fn insert_tasks<'b>(new: &'b [&Changed<'_>], writes: &mut Vec<Write<'b>>) {
    Items::new(sql::INSERT_TASKS, new)
        .column(|one| one.namespace())
        .column(|one| one.id())
        .column(|one| one.task.saga_id.as_str())
        .column(|one| one.task.queue.as_str())
        .column(|one| one.task.kind.as_str())
        .column(|one| one.columns.state)
        .column(|one| one.columns.cause)
        .column(|one| i64::from(one.task.priority))
        .column(|one| micros(one.task.not_before))
        .column(|one| labels_column(&one.task.labels))
        .column(|one| one.task.payload.as_str())
        .column(|one| column(&one.task.policy))
        .column(|one| i64::from(one.task.attempts))
        .column(|one| number(one.task.epoch.0))
        .column(|one| number(one.task.revision.0))
        .column(|one| one.columns.owed)
        .column(|one| one.columns.compensations)
        .column(|one| one.columns.unwinding)
        .column(|one| one.columns.unwinding_reason)
        .column(|one| one.columns.cancel_at)
        .column(|one| one.columns.cancel_by)
        .column(|one| one.columns.cancel_reason)
        .column(|one| one.columns.terminal_reason)
        .column(|one| one.columns.result)
        .column(|one| one.columns.retried_as)
        .column(|one| one.task.retry_of.as_ref().map(TaskId::as_str))
        .column(|one| one.task.created_at.as_micros())
        .column(|one| one.task.updated_at.as_micros())
        .column(|one| micros(one.task.started_at))
        .column(|one| one.columns.finished_at)
        .column(|one| one.head)
        .column(|one| one.columns.dismissed_at)
        .column(|one| one.columns.dismissed_by)
        .column(|one| one.columns.dismissed_note)
        .into(writes);
}

fn update_tasks<'b>(updated: &'b [Updated<'b>], writes: &mut Vec<Write<'b>>) {
    Items::new(sql::UPDATE_TASKS, updated)
        .column(|one| one.changed.namespace())
        .column(|one| one.changed.id())
        .column(|one| number(one.before.task.revision.0))
        .column(|one| one.before.task.state().word())
        .column(|one| number(one.before.task.epoch.0))
        .column(|one| one.changed.columns.state)
        .column(|one| one.changed.columns.cause)
        .column(|one| micros(one.changed.task.not_before))
        .column(|one| i64::from(one.changed.task.attempts))
        .column(|one| number(one.changed.task.epoch.0))
        .column(|one| number(one.changed.task.revision.0))
        .column(|one| one.changed.columns.owed)
        .column(|one| one.changed.columns.compensations)
        .column(|one| one.changed.columns.unwinding)
        .column(|one| one.changed.columns.unwinding_reason)
        .column(|one| one.changed.columns.cancel_at)
        .column(|one| one.changed.columns.cancel_by)
        .column(|one| one.changed.columns.cancel_reason)
        .column(|one| one.changed.columns.terminal_reason)
        .column(|one| one.changed.columns.result)
        .column(|one| one.changed.columns.retried_as)
        .column(|one| one.changed.task.updated_at.as_micros())
        .column(|one| micros(one.changed.task.started_at))
        .column(|one| one.changed.columns.finished_at)
        .column(|one| one.changed.head)
        .column(|one| one.changed.columns.dismissed_at)
        .column(|one| one.changed.columns.dismissed_by)
        .column(|one| one.changed.columns.dismissed_note)
        .into(writes);
}

impl Updated<'_> {
    fn has_other_fields(&self) -> bool {
        let (before, after) = (&self.before.task, self.changed.task);
        before.queue != after.queue
            || before.kind != after.kind
            || before.priority != after.priority
            || before.labels != after.labels
            || before.payload != after.payload
            || before.policy != after.policy
    }
}

fn update_fields<'b>(updated: &'b [&Updated<'b>], writes: &mut Vec<Write<'b>>) {
    Items::new(sql::UPDATE_FIELDS, updated)
        .column(|one| one.changed.namespace())
        .column(|one| one.changed.id())
        .column(|one| one.changed.task.queue.as_str())
        .column(|one| one.changed.task.kind.as_str())
        .column(|one| i64::from(one.changed.task.priority))
        .column(|one| labels_column(&one.changed.task.labels))
        .column(|one| one.changed.task.payload.as_str())
        .column(|one| column(&one.changed.task.policy))
        .into(writes);
}

/// What is written about compensations.
struct CompensationChanges<'b> {
    new: Vec<(&'b Key, &'b Compensation)>,
    changed: Vec<(&'b Key, &'b Compensation)>,
}

impl<'b> CompensationChanges<'b> {
    fn of(tasks: &[Changed<'b>]) -> CompensationChanges<'b> {
        let mut changes = CompensationChanges { new: Vec::new(), changed: Vec::new() };
        for one in tasks {
            let before = one.whole.stored.as_ref().map_or(&[][..], |kept| &kept.task.compensations);
            for (at, after) in one.task.compensations.iter().enumerate() {
                match before.get(at) {
                    Some(old) if old == after => {}
                    Some(_) => changes.changed.push((one.key, after)),
                    None => changes.new.push((one.key, after)),
                }
            }
        }
        changes
    }

    fn write(&'b self, writes: &mut Vec<Write<'b>>) {
        Items::new(sql::INSERT_COMPENSATIONS, &self.new)
            .column(|(key, _)| key.0.as_str())
            .column(|(key, _)| key.1.as_str())
            .column(|(_, one)| i64::from(one.seq.0))
            .column(|(_, one)| one.undo.kind.as_str())
            .column(|(_, one)| one.undo.target.as_str())
            .column(|(_, one)| one.undo.reason.as_ref().map(Reason::as_str))
            .column(|(_, one)| one.registered.word())
            .column(|(_, one)| one.status.word())
            .column(|(_, one)| one.epoch.map(|epoch| number(epoch.0)))
            .column(|(_, one)| one.key.as_ref().map(UndoKey::as_str))
            .column(|(_, one)| i64::from(one.tries))
            .column(|(_, one)| one.receipt.as_ref().map(Text::as_str))
            .column(|(_, one)| one.last_error.as_ref().map(Text::as_str))
            .column(|(_, one)| one.waiver.as_ref().map(Reason::as_str))
            .into(writes);
        Items::new(sql::UPDATE_COMPENSATIONS, &self.changed)
            .column(|(key, _)| key.0.as_str())
            .column(|(key, _)| key.1.as_str())
            .column(|(_, one)| i64::from(one.seq.0))
            .column(|(_, one)| one.status.word())
            .column(|(_, one)| one.epoch.map(|epoch| number(epoch.0)))
            .column(|(_, one)| one.key.as_ref().map(UndoKey::as_str))
            .column(|(_, one)| i64::from(one.tries))
            .column(|(_, one)| one.receipt.as_ref().map(Text::as_str))
            .column(|(_, one)| one.last_error.as_ref().map(Text::as_str))
            .column(|(_, one)| one.waiver.as_ref().map(Reason::as_str))
            .into(writes);
    }
}

/// An event to be written.
struct NewEvent<'b> {
    sealed: &'b Sealed,
    /// The feed of its task before this transaction.
    feed: i64,
    /// The head of its task before this transaction, if it is the first one behind that.
    head: Option<&'b [u8]>,
}

fn events(batch: &Batch) -> Vec<NewEvent<'_>> {
    batch.events.iter().map(|sealed| NewEvent::of(batch, sealed)).collect()
}

impl<'b> NewEvent<'b> {
    fn of(batch: &'b Batch, sealed: &'b Sealed) -> NewEvent<'b> {
        let event = &sealed.event;
        let key = (event.namespace.clone(), event.task.clone());
        let Some(Slot::Whole(whole)) = batch.slots.get(&key) else {
            return NewEvent { sealed, feed: 0, head: None };
        };
        let before = whole.stored.as_ref().filter(|stored| stored.task.revision.0 + 1 == event.number.0);
        NewEvent { sealed, feed: whole.feed, head: before.map(|stored| &stored.head.0[..]) }
    }
}

fn insert_events<'b>(events: &'b [NewEvent<'b>], writes: &mut Vec<Write<'b>>) {
    Items::new(sql::INSERT_EVENTS, events)
        .column(|new| new.sealed.event.namespace.as_str())
        .column(|new| new.sealed.event.task.as_str())
        .column(|new| number(new.sealed.event.number.0))
        .column(|new| new.feed)
        .column(|new| new.sealed.event.at.as_micros())
        .column(|new| new.sealed.event.actor.as_str())
        .column(|new| new.sealed.event.what.kind())
        .column(|new| new.sealed.data.as_str())
        .column(|new| &new.sealed.hash.0[..])
        .column(|new| new.head)
        .into(writes);
}

type Remembered<'b> =
    (&'b (tenure_core::id::Namespace, tenure_core::id::RequestId), &'b crate::store::execute::Request);

fn remember<'b>(requests: &'b [Remembered<'b>], now: i64, writes: &mut Vec<Write<'b>>) {
    let forgotten_at = now.saturating_sub(length(REQUEST_MEMORY));
    Items::new(sql::REMEMBER, requests)
        .column(|(name, _)| name.0.as_str())
        .column(|(name, _)| name.1.as_str())
        .column(|(_, request)| &request.digest.0[..])
        .column(|(_, request)| request.actor.as_str())
        .column(|(_, request)| request.at.as_micros())
        .column(|(_, request)| column(&request.answered))
        .value(length(REQUEST_MEMORY))
        .into(writes);
    Items::new(sql::FORGET, requests)
        .column(|(name, _)| name.0.as_str())
        .value(forgotten_at)
        .value(2_i64)
        .into(writes);
}
