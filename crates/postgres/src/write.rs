//! Writes back what a batch changed, and commits, in one round trip: each table once, however many tasks changed.
//!
//! Rows that belong to a task are written first: the guards of the tables refuse them once the task's own row says
//! that it ended.

use tenure_core::compensation::Compensation;
use tenure_core::event::Subject;
use tenure_core::id::{Document, Namespace};
use tenure_core::time::Time;
use tenure_store::codec::Sealed;
use tenure_store::columns::{
    ChangedBy, Column, CompensationRow, DueRow, EventRow, NamespaceRow, RequestRow, Row as _, TableRow,
    TaskRow, impossible,
};
use tenure_store::due::Due;
use tenure_store::ends::{EndKey, Minutes, NewEnds};
use tenure_store::execute::REQUEST_MEMORY;
use tenure_store::namespace_history::NamespaceHead;
use tenure_store::numbers::length;
use tenure_store::stored::ColumnValue;
use tokio_postgres::types::ToSql;

use crate::batch::{Batch, Slot, Whole};
use crate::columns::{Key, PostgresError, PostgresResult, PostgresRow, PostgresValue, RowVersion};
use crate::database::PostgresDatabase;
use crate::known::OwnNumbers;
use crate::link::{Link, Parameter, Sent};
use crate::sql;

/// How a commit ended.
pub(crate) enum Ended {
    /// With what one of its statements gave.
    Committed(Vec<PostgresRow>),
    /// Surely not committed.
    Failed(PostgresError),
    /// Nobody can say.
    Unknown(PostgresError),
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

    fn key(self, key: impl Fn(&'a T) -> &'a Key) -> Self {
        self.column(|item| key(item).0.as_str()).column(|item| key(item).1.as_str())
    }

    /// These columns of the row that an item is. Of a column without any value the array is empty, which `unnest` fills up: most rows
    /// have no value in most columns, and the server reads an array value by value.
    fn columns<R: TableRow<'a>>(
        mut self,
        columns: impl IntoIterator<Item = &'a Column<'a, R>>,
        row: impl Fn(&'a T) -> R,
    ) -> Self {
        for column in columns {
            let values = self.items.iter().map(|item| PostgresValue((column.value)(row(item))));
            let values: Vec<PostgresValue<'a>> = values.collect();
            let is_empty = values.iter().all(|value| matches!(value, PostgresValue(ColumnValue::Null)));
            self.write.parameters.push(Box::new(if is_empty { Vec::new() } else { values }));
        }
        self
    }

    /// The versions that rows are expected to have.
    fn versions(mut self, version: impl Fn(&'a T) -> Option<RowVersion>) -> Self {
        self.write.parameters.push(Box::new(self.items.iter().map(version).collect::<Vec<_>>()));
        self
    }

    /// What an update of rows takes: the keys, what is expected to be as it was read, and the columns that change.
    fn update<R: TableRow<'a>>(
        self,
        by: &'static [ChangedBy],
        key: impl Fn(&'a T) -> &'a Key,
        before: impl Fn(&'a T) -> R,
        after: impl Fn(&'a T) -> R,
    ) -> Self {
        self.key(key).changes(by, before, after)
    }

    fn changes<R: TableRow<'a>>(
        self,
        by: &'static [ChangedBy],
        before: impl Fn(&'a T) -> R,
        after: impl Fn(&'a T) -> R,
    ) -> Self {
        self.columns(R::expected(), before).columns(R::changed_by(by), after)
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
    row: TaskRow<'b>,
}

impl<'b> Changed<'b> {
    /// None where the task is new.
    fn update(&self) -> Option<Updated<'b>> {
        let before = TaskRow::of(self.whole.stored.as_ref()?);
        let is_put = TaskRow::was_put(before.task, self.row.task);
        // What a put writes first has another version then.
        let version = self.whole.version.filter(|_| !is_put);
        Some(Updated { key: self.key, version, is_put, before, after: self.row })
    }
}

/// One that was there before, too.
#[derive(Clone, Copy)]
struct Updated<'b> {
    key: &'b Key,
    version: Option<RowVersion>,
    is_put: bool,
    before: TaskRow<'b>,
    after: TaskRow<'b>,
}

/// What is written about tasks' rows of `due`.
#[derive(Default)]
struct DueChanges<'b> {
    gone: Vec<(&'b Key, Option<RowVersion>)>,
    new: Vec<(&'b Key, DueRow<'b>)>,
    renewed: Vec<Renewed<'b>>,
}

/// A row of `due` as it was, and as heartbeats have left it.
struct Renewed<'b> {
    key: &'b Key,
    version: Option<RowVersion>,
    before: DueRow<'b>,
    after: DueRow<'b>,
}

/// Writes what changed and commits.
pub(crate) async fn write_back(
    link: &mut Link,
    database: &PostgresDatabase,
    batch: &Batch,
    made: &[Key],
    now: Time,
) -> Ended {
    let mut changed = changed(batch);
    // By their keys, as they are locked; new ones in the order in which they were made, which gives them their ages.
    changed.sort_by_key(|one| one.key);
    let by_key: std::collections::HashMap<&Key, usize> =
        changed.iter().enumerate().map(|(at, one)| (one.key, at)).collect();
    let new: Vec<&Changed<'_>> = batch.made.iter().filter_map(|key| changed.get(*by_key.get(key)?)).collect();
    let updated: Vec<Updated<'_>> = changed.iter().filter_map(Changed::update).collect();
    let put: Vec<Updated<'_>> = updated.iter().filter(|one| one.is_put).copied().collect();
    let due = due_changes(batch);
    let compensations = CompensationChanges::of(&changed);
    let checkpoints = checkpoints(batch);
    let mut named: Vec<&Changed<'_>> =
        new.iter().copied().filter(|one| !batch.reserved.contains(one.key)).collect();
    named.sort_by_key(|one| one.key);
    let (namespaces, events) = (continued_namespaces(batch), events(batch));
    let requests: Vec<_> =
        batch.remembered.iter().filter_map(|name| Some((name, batch.requests.get(name)?))).collect();

    let ends = ends(&changed, now);

    let mut writes = Vec::new();
    take_names(&named, &mut writes);
    compensations.write(&mut writes);
    Items::new(sql::PUT_CHECKPOINTS, &checkpoints)
        .key(|(key, _)| key)
        .column(|(_, checkpoint)| checkpoint.as_str())
        .into(&mut writes);
    Items::new(&sql::INSERT_TASKS, &new).columns(TaskRow::COLUMNS, |one| one.row).into(&mut writes);
    // Before the commands' columns: those include the revision, which both updates expect to be as it was read.
    Items::new(&sql::UPDATE_PUT_FIELDS, &put)
        .update(&[ChangedBy::Put], |one| one.key, |one| one.before, |one| one.after)
        .into(&mut writes);
    Items::new(&sql::UPDATE_TASKS, &updated)
        .key(|one| one.key)
        .versions(|one| one.version)
        .changes(ChangedBy::COMMANDS, |one| one.before, |one| one.after)
        .into(&mut writes);
    due.write(&mut writes);
    Items::new(&sql::PUT_NAMESPACES, &namespaces)
        .column(|(namespace, ..)| namespace.as_str())
        .column(|(_, feed, _)| *feed)
        .columns(NamespaceRow::COLUMNS, |(.., end)| *end)
        .into(&mut writes);
    insert_events(&events, &mut writes);
    if events.is_empty() {
        writes.push(Write { sql: sql::OWN_NUMBERS, parameters: Vec::new() });
    }
    // Either of the two gives the numbers of this transaction.
    let numbers_at = writes.len() - 1;
    if batch.is_recalled && !(requests.is_empty() && ends.is_empty()) {
        writes.push(Write { sql: sql::WAIT_AS_USUAL, parameters: Vec::new() });
    }
    remember(&requests, now.as_micros(), &mut writes);
    count_ends(&ends, &mut writes);
    if !ends.is_empty() && database.sweeps_ends() {
        forget_ends(&ends, now, &mut writes);
    }
    Items::new(sql::MADE, made).key(|key| key).into(&mut writes);
    send_and_commit(link, &writes, numbers_at).await
}

/// The numbers of a transaction that [`write_back`] has committed.
pub(crate) fn own_numbers(rows: &[PostgresRow]) -> PostgresResult<OwnNumbers> {
    let row = rows.first().ok_or_else(|| impossible("the transaction's number", "nothing"))?;
    Ok(OwnNumbers { version: RowVersion::of_transaction(row.a_number(0)?), feed: row.a_number(1)? })
}

async fn send_and_commit(link: &mut Link, writes: &[Write<'_>], numbers_at: usize) -> Ended {
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
        // Without it the others must not be committed. The caller, which has the connection, rolls back.
        let fault = sent.into_iter().nth(at).map(Sent::answer);
        return match fault {
            Some(fault) => {
                Ended::Failed(fault.await.err().unwrap_or(PostgresError::Again("a statement was not sent")))
            }
            None => Ended::Failed(PostgresError::Again("a statement was not sent")),
        };
    }
    commit(link, sent, numbers_at).await
}

/// Commits behind statements that were sent, and says what became of it, with the rows of one of them.
async fn commit(link: &Link, sent: Vec<Sent<'_, Vec<PostgresRow>>>, kept_at: usize) -> Ended {
    let committed = link.send_plain(sql::COMMIT);
    let mut refused: Option<PostgresError> = None;
    let mut kept = Vec::new();
    for (at, one) in sent.into_iter().enumerate() {
        match one.answer().await {
            Ok(rows) if at == kept_at => kept = rows,
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
            None => Ended::Committed(kept),
            // Such as that somebody ended the wait for a standby: it is committed here, and maybe nowhere else.
            Some(warning) => Ended::Unknown(PostgresError::Unfit(format!(
                "the database warned during the commit: {warning}"
            ))),
        },
    }
}

/// Commits nothing that anybody reads, so that it waits for whom a commit waits for: what was answered from memory is
/// then as durable as the first answer would have been.
pub(crate) async fn commit_again(link: &mut Link) -> Ended {
    if let Err(fault) = link.prepare(&[sql::SOMETHING_TO_COMMIT]).await {
        return Ended::Failed(fault);
    }
    let _ = link.warnings();
    let link = &*link;
    commit(link, vec![link.send(sql::SOMETHING_TO_COMMIT, &[])], 0).await
}

/// Commits what was written by statements that have all been answered.
pub(crate) async fn commit_answered(link: &Link) -> Ended {
    let _ = link.warnings();
    commit(link, Vec::new(), 0).await
}

fn changed(batch: &Batch) -> Vec<Changed<'_>> {
    let changed = |(key, slot)| {
        let (key, slot): (&Key, &Slot) = (key, slot);
        let Slot::Whole(whole) = slot else { return None };
        let kept = whole.kept.as_ref()?;
        whole.is_changed().then(|| Changed { key, whole, row: TaskRow::of(kept) })
    };
    batch.slots.iter().filter_map(changed).collect()
}

/// The ends of this transaction, to be added to what is counted.
fn ends(changed: &[Changed<'_>], now: Time) -> Vec<(EndKey, i64)> {
    let mut ends = NewEnds::default();
    for one in changed {
        ends.count(one.whole.stored.as_ref().map(|stored| &*stored.task), one.row.task, now);
    }
    ends.take()
}

fn count_ends<'b>(ends: &'b [(EndKey, i64)], writes: &mut Vec<Write<'b>>) {
    Items::new(sql::COUNT_ENDS, ends)
        .column(|(key, _)| key.namespace.as_str())
        .column(|(key, _)| key.minute)
        .column(|(key, _)| key.queue.as_str())
        .column(|(key, _)| key.state)
        .column(|(key, _)| key.cause)
        .column(|(_, count)| *count)
        .into(writes);
}

fn forget_ends<'b>(ends: &'b [(EndKey, i64)], now: Time, writes: &mut Vec<Write<'b>>) {
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
                    (Some(stored), Some(due)) if is_renewal(stored, due) => {
                        let row = |due| DueRow::of(&kept.task, due);
                        let version = whole.due_version;
                        changes.renewed.push(Renewed { key, version, before: row(stored), after: row(due) });
                    }
                    (stored, due) => {
                        changes.gone.extend(stored.as_ref().map(|_| (key, whole.due_version)));
                        changes.new.extend(due.as_ref().map(|due| (key, DueRow::of(&kept.task, due))));
                    }
                }
            }
            Slot::Lease(row) if row.stored != row.due => {
                // A heartbeat does not write the queue.
                let of = |due| DueRow { namespace: &key.0, queue: None, due };
                let (before, after) = (of(&row.stored), of(&row.due));
                changes.renewed.push(Renewed { key, version: Some(row.version), before, after });
            }
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
            .key(|(key, _)| key)
            .versions(|(_, version)| *version)
            .into(writes);
        Items::new(&sql::INSERT_DUE, &self.new)
            .column(|(key, _)| key.1.as_str())
            .columns(DueRow::COLUMNS, |(_, row)| *row)
            .into(writes);
        Items::new(&sql::RENEW_DUE, &self.renewed)
            .key(|one| one.key)
            .versions(|one| one.version)
            .changes(sql::BY_HEARTBEATS, |one| one.before, |one| one.after)
            .into(writes);
    }
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
        .key(|one| one.key)
        .column(|one| one.row.task.saga_id.as_str())
        .into(writes);
}

/// What is written about compensations.
struct CompensationChanges<'b> {
    new: Vec<(&'b Key, &'b Compensation)>,
    /// Each as it was, and as it is now.
    changed: Vec<(&'b Key, &'b Compensation, &'b Compensation)>,
}

impl<'b> CompensationChanges<'b> {
    fn of(tasks: &[Changed<'b>]) -> CompensationChanges<'b> {
        let mut changes = CompensationChanges { new: Vec::new(), changed: Vec::new() };
        for one in tasks {
            let before = one.whole.stored.as_ref().map_or(&[][..], |kept| &kept.task.compensations);
            for (at, after) in one.row.task.compensations.iter().enumerate() {
                match before.get(at) {
                    Some(old) if old == after => {}
                    Some(old) => changes.changed.push((one.key, old, after)),
                    None => changes.new.push((one.key, after)),
                }
            }
        }
        changes
    }

    fn write(&'b self, writes: &mut Vec<Write<'b>>) {
        Items::new(&sql::INSERT_COMPENSATIONS, &self.new)
            .key(|(key, _)| key)
            .columns(CompensationRow::COLUMNS, |(_, one)| *one)
            .into(writes);
        Items::new(&sql::UPDATE_COMPENSATIONS, &self.changed)
            .update(&[ChangedBy::Command], |(key, ..)| key, |(_, before, _)| *before, |(.., after)| *after)
            .into(writes);
    }
}

/// An event to be written.
struct NewEvent<'b> {
    sealed: &'b Sealed,
    /// The feed of its task or namespace before this transaction.
    feed: i64,
    /// The head of that before this transaction, if it is the first one behind that.
    head: Option<&'b [u8]>,
}

fn events(batch: &Batch) -> Vec<NewEvent<'_>> {
    batch.events.iter().map(|sealed| NewEvent::of(batch, sealed)).collect()
}

impl<'b> NewEvent<'b> {
    fn of(batch: &'b Batch, sealed: &'b Sealed) -> NewEvent<'b> {
        let event = &sealed.event;
        let (feed, newest) = match &event.subject {
            Subject::Task(id) => match batch.slots.get(&(event.namespace.clone(), id.clone())) {
                Some(Slot::Whole(whole)) => {
                    let stored = whole.stored.as_ref();
                    (whole.feed, stored.map(|stored| (stored.task.revision, &stored.head)))
                }
                Some(Slot::Lease(_) | Slot::Seen(_)) | None => (0, None),
            },
            Subject::Namespace => match batch.namespaces.get(&event.namespace) {
                Some(found) => (found.feed, found.stored.as_ref().map(|end| (end.number, &end.head))),
                None => (0, None),
            },
        };
        let before = newest.filter(|(number, _)| number.0 + 1 == event.number.0);
        NewEvent { sealed, feed, head: before.map(|(_, head)| &head.0[..]) }
    }
}

/// The namespaces whose histories go on, each with the feed that it had and with its new end.
fn continued_namespaces(batch: &Batch) -> Vec<(&Namespace, i64, &NamespaceHead)> {
    let found = batch.namespaces.iter().filter(|(_, found)| found.end != found.stored);
    found.filter_map(|(namespace, found)| Some((namespace, found.feed, found.end.as_ref()?))).collect()
}

fn insert_events<'b>(events: &'b [NewEvent<'b>], writes: &mut Vec<Write<'b>>) {
    Items::new(&sql::INSERT_EVENTS, events)
        .column(|new| new.sealed.event.namespace.as_str())
        .column(|new| new.sealed.event.subject.as_str())
        .column(|new| new.feed)
        .column(|new| new.head)
        .columns(EventRow::COLUMNS, |new| new.sealed)
        .into(writes);
}

type Remembered<'b> =
    (&'b (tenure_core::id::Namespace, tenure_core::id::RequestId), &'b tenure_store::remembered::Request);

fn remember<'b>(requests: &'b [Remembered<'b>], now: i64, writes: &mut Vec<Write<'b>>) {
    let forgotten_at = now.saturating_sub(length(REQUEST_MEMORY));
    Items::new(&sql::REMEMBER, requests)
        .column(|(name, _)| name.0.as_str())
        .column(|(name, _)| name.1.as_str())
        .columns(RequestRow::COLUMNS, |(_, request)| *request)
        .value(length(REQUEST_MEMORY))
        .into(writes);
    Items::new(sql::FORGET, requests)
        .column(|(name, _)| name.0.as_str())
        .value(forgotten_at)
        .value(2_i64)
        .into(writes);
}
