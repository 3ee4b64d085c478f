//! The table `tasks`: a task's own row.

use std::collections::HashMap;
use std::sync::Arc;

use tenure_api::wire::Word;
use tenure_core::chain::Hash;
use tenure_core::compensation::Compensation;
use tenure_core::id::{
    Actor, Document, Epoch, Kind, Namespace, Owner, Queue, Reason, Revision, SagaId, TaskId,
};
use tenure_core::policy::Policy;
use tenure_core::task::{
    Cancel, Cause, Dismissal, Ending, Labels, LastLease, Phase, Reservation, State, Task, Undoing, Unwinding,
};

use super::column::ChangedBy::{Command, Note, Nothing, Put};
use super::column::ColumnType::{Bytes, Number, Text};
use super::column::{Column, TableRow, column_count};
use super::row::{Impossible, Row, impossible};
use crate::at;
use crate::due::{Due, Wait};
use crate::numbers::unsigned;
use crate::rows::StoredTask;
use crate::stored::ColumnValue;
use crate::stored_json::{read_json, to_json};

/// What a row of `tasks` is made of.
#[derive(Clone, Copy)]
pub struct TaskRow<'a> {
    pub task: &'a Task,
    pub head: &'a Hash,
}

impl<'a> TableRow<'a> for TaskRow<'a> {
    const TABLE: &'static str = "tasks";
    const COLUMNS: &'a [Column<'a, Self>] = &[
        Column::new("namespace", Text, Nothing, |row| (&row.task.namespace).into()),
        Column::new("id", Text, Nothing, |row| (&row.task.id).into()),
        Column::new("saga_id", Text, Nothing, |row| (&row.task.saga_id).into()),
        Column::new("queue", Text, Put, |row| (&row.task.queue).into()),
        Column::new("kind", Text, Put, |row| (&row.task.kind).into()),
        Column::expected("state", Text, Command, |row| row.task.state().word().into()),
        Column::new("cause", Text, Command, |row| row.ending(|end| Some(end.cause.word()))),
        Column::new("priority", Number, Put, |row| row.task.priority.into()),
        Column::new("not_before", Number, Command, |row| row.task.not_before.into()),
        Column::new("labels", Text, Put, |row| labels_column(&row.task.labels).into()),
        Column::new("payload", Text, Put, |row| (&row.task.payload).into()),
        Column::new("policy", Text, Put, |row| to_json(&row.task.policy).into()),
        Column::new("attempts", Number, Command, |row| row.task.attempts.into()),
        Column::expected("epoch", Number, Command, |row| row.task.epoch.0.into()),
        Column::expected("revision", Number, Note, |row| row.task.revision.0.into()),
        Column::write_only("owed", Number, Command, |row| (row.task.owed().count() as i64).into()),
        Column::new("compensations", Number, Command, |row| (row.task.compensations.len() as i64).into()),
        Column::new("unwinding", Text, Command, |row| row.unwinding(|why, _| why.word())),
        Column::new("unwinding_reason", Text, Command, |row| row.unwinding(|_, reason| reason)),
        Column::new("cancel_at", Number, Command, |row| row.cancel(|cancel| cancel.at)),
        Column::new("cancel_by", Text, Command, |row| row.cancel(|cancel| &cancel.by)),
        Column::new("cancel_reason", Text, Command, |row| row.cancel(|cancel| &cancel.reason)),
        Column::new("terminal_reason", Text, Note, |row| row.ending(|end| end.reason.as_ref())),
        Column::new("result", Text, Command, |row| row.ending(|end| end.result.as_ref())),
        Column::new("retried_as", Text, Note, |row| row.ending(|end| end.retried_as.as_ref())),
        Column::new("retry_of", Text, Nothing, |row| row.task.retry_of.as_ref().into()),
        Column::new("created_at", Number, Nothing, |row| row.task.created_at.into()),
        Column::new("updated_at", Number, Note, |row| row.task.updated_at.into()),
        Column::new("started_at", Number, Command, |row| row.task.started_at.into()),
        Column::new("finished_at", Number, Command, |row| row.ending(|end| Some(end.finished_at))),
        Column::new("head", Bytes, Note, |row| row.head.into()),
        Column::new("dismissed_at", Number, Note, |row| row.dismissal(|dismissed| dismissed.at)),
        Column::new("dismissed_by", Text, Note, |row| row.dismissal(|dismissed| &dismissed.by)),
        Column::new("dismissed_note", Text, Note, |row| row.dismissal(|dismissed| &dismissed.note)),
        Column::new("last_owner", Text, Command, |row| row.last_lease(|last| &last.owner)),
        Column::new("last_epoch", Number, Command, |row| row.last_lease(|last| last.epoch.0)),
        Column::new("last_since", Number, Command, |row| row.last_lease(|last| last.since)),
        Column::new("last_until", Number, Command, |row| row.last_lease(|last| last.until)),
    ];
}

impl<'a> TaskRow<'a> {
    pub fn of(stored: &'a StoredTask) -> TaskRow<'a> {
        TaskRow { task: &stored.task, head: &stored.head }
    }

    /// Whether something is other than before that only a put changes. The columns themselves are not compared: to write
    /// policies and labels as text costs too much for what is the same nearly always.
    pub fn was_put(before: &Task, after: &Task) -> bool {
        before.queue != after.queue
            || before.kind != after.kind
            || before.priority != after.priority
            || before.labels != after.labels
            || before.payload != after.payload
            || before.policy != after.policy
    }

    /// A task that has ended keeps all but the notes on its end: what else would change is an error. The tables' own guards say so to
    /// other programs.
    pub fn must_stay(self, before: &'a StoredTask) -> Result<(), String> {
        let old = &before.task;
        if old.ending().is_none() {
            return Ok(());
        }
        let is_same = old.compensations == self.task.compensations && old.checkpoint == self.task.checkpoint;
        let changed = self.changed_besides_notes(TaskRow::of(before));
        match changed.or((!is_same).then_some("compensations or checkpoint")) {
            None => Ok(()),
            Some(what) => Err(format!("the terminal task {}/{} would change: {what}", old.namespace, old.id)),
        }
    }

    fn changed_besides_notes(self, before: TaskRow<'a>) -> Option<&'static str> {
        let stays = |column: &&Column<'a, Self>| !column.is_changed_by(&[Note]);
        let differs = |column: &&Column<'a, Self>| (column.value)(before) != (column.value)(self);
        Self::COLUMNS.iter().filter(stays).find(differs).map(|column| column.name)
    }

    fn ending<V: Into<ColumnValue<'a>>>(self, value: fn(&'a Ending) -> Option<V>) -> ColumnValue<'a> {
        self.task.ending().and_then(value).into()
    }

    fn dismissal<V: Into<ColumnValue<'a>>>(self, value: fn(&'a Dismissal) -> V) -> ColumnValue<'a> {
        self.task.ending().and_then(|ending| ending.dismissed.as_ref()).map(value).into()
    }

    fn last_lease<V: Into<ColumnValue<'a>>>(self, value: fn(&'a LastLease) -> V) -> ColumnValue<'a> {
        self.task.last_lease.as_ref().map(value).into()
    }

    fn cancel<V: Into<ColumnValue<'a>>>(self, value: fn(&'a Cancel) -> V) -> ColumnValue<'a> {
        self.task.cancel.as_ref().map(value).into()
    }

    fn unwinding<V: Into<ColumnValue<'a>>>(self, value: fn(Unwinding, &'a Reason) -> V) -> ColumnValue<'a> {
        match &self.task.phase {
            Phase::Compensating { why, reason, .. } => value(*why, reason).into(),
            Phase::Planned | Phase::Dispatched(_) | Phase::Running(_) | Phase::Ended(_) => ColumnValue::Null,
        }
    }
}

/// The columns that [`read_task`] reads, in its order: those of the list that are read, and the number of the row.
pub fn task_select_list() -> String {
    format!("{}, tasks.no", TaskRow::select_list())
}

/// Where the number of the row is.
const NO: usize = column_count::<TaskRow<'_>>();

/// How many columns [`task_select_list`] has.
pub const TASK_COLUMN_COUNT: usize = NO + 1;

/// What of a task is not in its own row.
#[derive(Default)]
pub struct TaskParts {
    pub due: Option<Due>,
    pub checkpoint: Option<Document>,
    pub compensations: Vec<Compensation>,
}

/// How many compensations the row says that the task has: where there are none, nobody has to look.
pub fn compensation_count<R: Row>(row: &R) -> Result<i64, R::Fault> {
    row.a_number(at!(TaskRow, "compensations"))
}

/// Whether the task of a row waits to be claimed.
pub fn is_planned<R: Row>(row: &R) -> Result<bool, R::Fault> {
    Ok(row.word::<State>(at!(TaskRow, "state"))? == State::Planned)
}

/// The names by which the task of a row is known.
pub fn read_task_key<R: Row>(row: &R) -> Result<(Namespace, TaskId), R::Fault> {
    let (namespace, id) = (row.a_text(at!(TaskRow, "namespace"))?, row.a_text(at!(TaskRow, "id"))?);
    Ok((Namespace::new(namespace)?, TaskId::new(id)?))
}

/// The task of a row that begins with [`task_select_list`].
pub fn read_task<R: Row>(row: &R, policies: &mut Policies, parts: TaskParts) -> Result<StoredTask, R::Fault> {
    let task = Task {
        namespace: Namespace::new(row.a_text(at!(TaskRow, "namespace"))?)?,
        id: TaskId::new(row.a_text(at!(TaskRow, "id"))?)?,
        saga_id: SagaId::new(row.a_text(at!(TaskRow, "saga_id"))?)?,
        queue: Queue::new(row.a_text(at!(TaskRow, "queue"))?)?,
        kind: Kind::new(row.a_text(at!(TaskRow, "kind"))?)?,
        priority: row.small(at!(TaskRow, "priority"))?,
        not_before: row.time(at!(TaskRow, "not_before"))?,
        labels: read_labels(row.a_text(at!(TaskRow, "labels"))?)?,
        payload: Document::new(row.a_text(at!(TaskRow, "payload"))?)?,
        policy: policies.read(row.a_text(at!(TaskRow, "policy"))?)?,
        attempts: row.small(at!(TaskRow, "attempts"))?,
        epoch: Epoch(unsigned(row.a_number(at!(TaskRow, "epoch"))?)),
        revision: Revision(unsigned(row.a_number(at!(TaskRow, "revision"))?)),
        cancel: read_cancel(row)?,
        retry_of: row.optional(at!(TaskRow, "retry_of"), TaskId::new)?,
        created_at: row.a_time(at!(TaskRow, "created_at"))?,
        updated_at: row.a_time(at!(TaskRow, "updated_at"))?,
        started_at: row.time(at!(TaskRow, "started_at"))?,
        last_lease: read_last_lease(row)?,
        phase: read_phase(row, parts.due)?,
        checkpoint: parts.checkpoint,
        compensations: parts.compensations,
    };
    Ok(StoredTask { row: row.a_number(NO)?, task: Arc::new(task), head: row.hash(at!(TaskRow, "head"))? })
}

fn read_cancel<R: Row>(row: &R) -> Result<Option<Cancel>, R::Fault> {
    let Some(at) = row.time(at!(TaskRow, "cancel_at"))? else { return Ok(None) };
    let by = Actor::new(row.a_text(at!(TaskRow, "cancel_by"))?)?;
    Ok(Some(Cancel { at, by, reason: Reason::new(row.a_text(at!(TaskRow, "cancel_reason"))?)? }))
}

fn read_last_lease<R: Row>(row: &R) -> Result<Option<LastLease>, R::Fault> {
    let Some(owner) = row.optional(at!(TaskRow, "last_owner"), Owner::new)? else { return Ok(None) };
    Ok(Some(LastLease {
        owner,
        epoch: Epoch(unsigned(row.a_number(at!(TaskRow, "last_epoch"))?)),
        since: row.a_time(at!(TaskRow, "last_since"))?,
        until: row.a_time(at!(TaskRow, "last_until"))?,
    }))
}

fn read_phase<R: Row>(row: &R, due: Option<Due>) -> Result<Phase, R::Fault> {
    let state = row.word::<State>(at!(TaskRow, "state"))?;
    if let Some(state) = state.terminal() {
        return Ok(Phase::Ended(Box::new(Ending {
            state,
            cause: row.word::<Cause>(at!(TaskRow, "cause"))?,
            reason: row.optional(at!(TaskRow, "terminal_reason"), Reason::new)?,
            result: row.optional(at!(TaskRow, "result"), Document::new)?,
            retried_as: row.optional(at!(TaskRow, "retried_as"), TaskId::new)?,
            dismissed: read_dismissal(row)?,
            finished_at: row.a_time(at!(TaskRow, "finished_at"))?,
        })));
    }
    if state == State::Planned {
        return Ok(Phase::Planned);
    }
    let without = || impossible("state", format_args!("{} without a row in `due`", state.word()));
    let due = due.ok_or_else(without)?;
    if due.state() != state {
        let both = format_args!("{}, but its row in `due` waits for {}", state.word(), due.wait.word());
        return Err(impossible("state", both).into());
    }
    let incomplete = || impossible("due", format_args!("a {} with missing columns", due.wait.word()));
    Ok(match due.wait {
        Wait::Start => return Err(impossible("state", state.word()).into()),
        Wait::Reservation => Phase::Dispatched(Reservation {
            owner: due.owner.clone().ok_or_else(incomplete)?,
            reserved_at: due.since.ok_or_else(incomplete)?,
            expires_at: due.expires_at,
        }),
        Wait::Lease => Phase::Running(due.lease().ok_or_else(incomplete)?),
        Wait::UndoLease => read_unwinding(row, Undoing::HeldBy(due.lease().ok_or_else(incomplete)?))?,
        Wait::Undo => read_unwinding(row, Undoing::DueAt(due.expires_at))?,
    })
}

fn read_dismissal<R: Row>(row: &R) -> Result<Option<Dismissal>, R::Fault> {
    let Some(at) = row.time(at!(TaskRow, "dismissed_at"))? else { return Ok(None) };
    let by = Actor::new(row.a_text(at!(TaskRow, "dismissed_by"))?)?;
    Ok(Some(Dismissal { at, by, note: Reason::new(row.a_text(at!(TaskRow, "dismissed_note"))?)? }))
}

fn read_unwinding<R: Row>(row: &R, undoing: Undoing) -> Result<Phase, R::Fault> {
    let why = row.word::<Unwinding>(at!(TaskRow, "unwinding"))?;
    Ok(Phase::Compensating {
        why,
        reason: Reason::new(row.a_text(at!(TaskRow, "unwinding_reason"))?)?,
        undoing,
    })
}

/// Policies by their text: most tasks of a store have one of a few, and reading JSON costs more than a look.
#[derive(Default)]
pub struct Policies(HashMap<String, Policy>);

impl Policies {
    const MAX: usize = 256;

    fn read(&mut self, text: &str) -> Result<Policy, Impossible> {
        if let Some(policy) = self.0.get(text) {
            return Ok(*policy);
        }
        let policy: Policy = read_json(text).ok_or_else(|| impossible("policy", text))?;
        if self.0.len() >= Self::MAX {
            self.0.clear();
        }
        self.0.insert(text.to_owned(), policy);
        Ok(policy)
    }
}

fn labels_column(labels: &Labels) -> String {
    if labels.is_empty() { "{}".to_owned() } else { to_json(labels) }
}

fn read_labels(text: &str) -> Result<Labels, Impossible> {
    if text == "{}" { Ok(Labels::new()) } else { read_json(text).ok_or_else(|| impossible("labels", text)) }
}
