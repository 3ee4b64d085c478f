//! The rows that a store has for a task, column by column, without any trust in them.
//!
//! `rows_of` makes the rows that a task must have. SQLite inserts rows from it. An audit compares the stored rows
//! with the rows that `rows_of` makes of the task that the history tells. So no column can be written and left out of
//! the comparison.

use std::borrow::Cow;

use tenure_core::chain::Hash;
use tenure_core::compensation::Compensation;
use tenure_core::id::{Document, Namespace, Owner, Progress, Reason, TaskId, Text, UndoKey};
use tenure_core::task::Task;
use tenure_core::time::Time;

use crate::codec::column;
use crate::store::columns::{TaskColumns, labels_column, length, micros, number};
use crate::store::due::{Due, Wait};
use crate::wire::Word;

/// A task's chain as it is stored, to be verified. Nothing of it is trusted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredChain {
    /// The number of the task's row, for people who look for it.
    pub row: i64,
    /// Its name; none if nothing tells it, or the stored value is not a name.
    pub name: Option<(Namespace, TaskId)>,
    /// The name in its row; none if the task has no row.
    pub stored_name: Option<String>,
    /// Its rows in all tables but that of events.
    pub rows: Vec<StoredRow<'static>>,
    /// Inconsistent columns that only this store has.
    pub apart: Vec<String>,
    /// Its events by their place.
    pub events: Vec<StoredEvent>,
}

impl StoredChain {
    /// A chain without a task row: a removed task leaves its events behind, or rows were added that belong to
    /// no task.
    pub fn without_task(row: i64, name: Option<(Namespace, TaskId)>) -> StoredChain {
        StoredChain { row, name, stored_name: None, rows: Vec::new(), apart: Vec::new(), events: Vec::new() }
    }

    fn task_column(&self, name: &str) -> Option<&ColumnValue<'static>> {
        self.rows.iter().find(|row| row.table == "tasks")?.value(name)
    }

    /// The number of its newest event, as the task's row has it.
    pub fn revision(&self) -> Option<u64> {
        match self.task_column("revision")? {
            ColumnValue::Number(number) => u64::try_from(*number).ok(),
            ColumnValue::Null | ColumnValue::Text(_) | ColumnValue::Bytes(_) => None,
        }
    }

    /// The hash of its newest event, as the task's row has it.
    pub fn head(&self) -> Option<Hash> {
        match self.task_column("head")? {
            ColumnValue::Bytes(bytes) => <[u8; 32]>::try_from(bytes.as_ref()).ok().map(Hash),
            ColumnValue::Null | ColumnValue::Text(_) | ColumnValue::Number(_) => None,
        }
    }
}

/// A row of a table, without the columns by which it was looked up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredRow<'a> {
    /// The table.
    pub table: Cow<'a, str>,
    /// Its columns by name.
    pub columns: Vec<(Cow<'a, str>, ColumnValue<'a>)>,
}

impl<'a> StoredRow<'a> {
    /// The value of a column; none if there is no such column.
    pub fn value(&self, column: &str) -> Option<&ColumnValue<'a>> {
        self.columns.iter().find(|(name, _)| name == column).map(|(_, value)| value)
    }

    /// The same without borrowing from the task.
    fn into_owned(self) -> StoredRow<'static> {
        let columns = self.columns.into_iter();
        StoredRow {
            table: self.table.into_owned().into(),
            columns: columns.map(|(name, value)| (name.into_owned().into(), value.into_owned())).collect(),
        }
    }
}

/// The value of a column. A boolean is 0 or 1, as in SQLite.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ColumnValue<'a> {
    /// Nothing.
    Null,
    /// A number, a time or a boolean.
    Number(i64),
    /// A text.
    Text(Cow<'a, str>),
    /// Bytes, and a text that is not UTF-8.
    Bytes(Cow<'a, [u8]>),
}

impl ColumnValue<'_> {
    fn into_owned(self) -> ColumnValue<'static> {
        match self {
            ColumnValue::Null => ColumnValue::Null,
            ColumnValue::Number(number) => ColumnValue::Number(number),
            ColumnValue::Text(text) => ColumnValue::Text(text.into_owned().into()),
            ColumnValue::Bytes(bytes) => ColumnValue::Bytes(bytes.into_owned().into()),
        }
    }
}

impl From<i64> for ColumnValue<'_> {
    fn from(number: i64) -> Self {
        ColumnValue::Number(number)
    }
}

impl From<bool> for ColumnValue<'_> {
    fn from(truth: bool) -> Self {
        ColumnValue::Number(truth.into())
    }
}

impl<'a> From<&'a str> for ColumnValue<'a> {
    fn from(text: &'a str) -> Self {
        ColumnValue::Text(text.into())
    }
}

impl From<String> for ColumnValue<'_> {
    fn from(text: String) -> Self {
        ColumnValue::Text(text.into())
    }
}

impl From<Time> for ColumnValue<'_> {
    fn from(time: Time) -> Self {
        ColumnValue::Number(time.as_micros())
    }
}

impl<'a, T: Into<ColumnValue<'a>>> From<Option<T>> for ColumnValue<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(ColumnValue::Null, T::into)
    }
}

/// An event as it is stored, not verified yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredEvent {
    /// Its place among all events.
    pub order: i64,
    /// Its number within the task.
    pub number: i64,
    /// When it says that it happened, in microseconds.
    pub at: i64,
    /// Who made it happen.
    pub actor: String,
    /// Its type.
    pub kind: String,
    /// What happened.
    pub data: String,
    /// Its hash.
    pub hash: Vec<u8>,
}

/// The rows that a task has, in every table but that of events.
pub(crate) fn rows_of(task: &Task, head: Hash) -> Vec<StoredRow<'_>> {
    let mut rows = vec![task_row(task, head)];
    rows.extend(Due::of(task).map(|due| due_row(task, &due).into_owned()));
    rows.extend(task.checkpoint.as_ref().map(checkpoint_row));
    rows.extend(task.compensations.iter().map(compensation_row));
    rows
}

/// The rows of a task that can be kept beside it.
pub(crate) fn owned_rows_of(task: &Task, head: Hash) -> Vec<StoredRow<'static>> {
    rows_of(task, head).into_iter().map(StoredRow::into_owned).collect()
}

fn row<'a, const N: usize>(table: &'a str, columns: [(&'a str, ColumnValue<'a>); N]) -> StoredRow<'a> {
    let columns = columns.into_iter().map(|(name, value)| (name.into(), value)).collect();
    StoredRow { table: table.into(), columns }
}

pub(crate) fn task_row(task: &Task, head: Hash) -> StoredRow<'_> {
    let columns = TaskColumns::of(task);
    row(
        "tasks",
        [
            ("namespace", task.namespace.as_str().into()),
            ("id", task.id.as_str().into()),
            ("saga_id", task.saga_id.as_str().into()),
            ("queue", task.queue.as_str().into()),
            ("kind", task.kind.as_str().into()),
            ("state", columns.state.into()),
            ("cause", columns.cause.into()),
            ("priority", i64::from(task.priority).into()),
            ("not_before", task.not_before.into()),
            ("labels", labels_column(&task.labels).into()),
            ("payload", task.payload.as_str().into()),
            ("policy", column(&task.policy).into()),
            ("attempts", i64::from(task.attempts).into()),
            ("epoch", number(task.epoch.0).into()),
            ("revision", number(task.revision.0).into()),
            ("owed", columns.owed.into()),
            ("compensations", columns.compensations.into()),
            ("unwinding", columns.unwinding.into()),
            ("unwinding_reason", columns.unwinding_reason.into()),
            ("cancel_at", columns.cancel_at.into()),
            ("cancel_by", columns.cancel_by.into()),
            ("cancel_reason", columns.cancel_reason.into()),
            ("terminal_reason", columns.terminal_reason.into()),
            ("result", columns.result.into()),
            ("retried_as", columns.retried_as.into()),
            ("retry_of", task.retry_of.as_ref().map(TaskId::as_str).into()),
            ("created_at", task.created_at.into()),
            ("updated_at", task.updated_at.into()),
            ("started_at", micros(task.started_at).into()),
            ("finished_at", columns.finished_at.into()),
            ("head", ColumnValue::Bytes(head.0.to_vec().into())),
            ("dismissed_at", columns.dismissed_at.into()),
            ("dismissed_by", columns.dismissed_by.into()),
            ("dismissed_note", columns.dismissed_note.into()),
        ],
    )
}

pub(crate) fn due_row<'a>(task: &'a Task, due: &'a Due) -> StoredRow<'a> {
    let lease = due.lease.as_ref();
    let told = lease.and_then(|lease| lease.cancel_told);
    // Only reservations are searched by queue.
    let queue = Some(task.queue.as_str()).filter(|_| due.wait == Wait::Reservation);
    row(
        "due",
        [
            ("wait", due.wait.word().into()),
            ("namespace", task.namespace.as_str().into()),
            ("queue", queue.into()),
            ("owner", due.owner.as_ref().map(Owner::as_str).into()),
            ("granted_to", lease.map(|lease| lease.granted_to.as_str()).into()),
            ("epoch", lease.map(|lease| number(lease.epoch.0)).into()),
            ("ttl", lease.map(|lease| length(lease.ttl.span())).into()),
            ("since", due.since.into()),
            ("heartbeat_at", lease.map(|lease| lease.heartbeat_at).into()),
            ("progressed_at", lease.map(|lease| lease.progressed_at).into()),
            ("expires_at", due.expires_at.into()),
            ("check_at", due.check_at.into()),
            ("progress", lease.and_then(|lease| lease.progress.as_ref()).map(Progress::as_str).into()),
            ("cancel_asked", lease.is_some_and(|lease| lease.cancel_asked).into()),
            ("stall_after", lease.and_then(|lease| lease.stall_after).map(length).into()),
            ("time_limit", lease.and_then(|lease| lease.time_limit).map(length).into()),
            ("lock_delay", lease.and_then(|lease| lease.lock_delay).map(length).into()),
            ("held_back", due.held_back.into()),
            ("cancel_grace", lease.and_then(|lease| lease.cancel_grace).map(length).into()),
            ("cancel_told", told.map(|told| i64::from(told.times)).into()),
            ("cancel_told_at", told.map(|told| told.since).into()),
        ],
    )
}

fn checkpoint_row(checkpoint: &Document) -> StoredRow<'_> {
    row("checkpoints", [("checkpoint", checkpoint.as_str().into())])
}

pub(crate) fn compensation_row(one: &Compensation) -> StoredRow<'_> {
    row(
        "compensations",
        [
            ("seq", i64::from(one.seq.0).into()),
            ("kind", one.undo.kind.as_str().into()),
            ("target", one.undo.target.as_str().into()),
            ("reason", one.undo.reason.as_ref().map(Reason::as_str).into()),
            ("registered", one.registered.word().into()),
            ("status", one.status.word().into()),
            ("epoch", one.epoch.map(|epoch| number(epoch.0)).into()),
            ("key", one.key.as_ref().map(UndoKey::as_str).into()),
            ("tries", i64::from(one.tries).into()),
            ("receipt", one.receipt.as_ref().map(Text::as_str).into()),
            ("last_error", one.last_error.as_ref().map(Text::as_str).into()),
            ("waiver", one.waiver.as_ref().map(Reason::as_str).into()),
        ],
    )
}
