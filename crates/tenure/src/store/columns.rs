//! Converts columns to types and back, for both database stores, which have the same columns. Stored values are
//! checked like input, because another program may have written them.

use std::collections::HashMap;

use tenure_core::chain::Hash;
use tenure_core::compensation::{Compensation, Undo};
use tenure_core::event::Event;
use tenure_core::id::{
    Actor, Document, Epoch, Kind, Namespace, Owner, Progress, Queue, Reason, Revision, SagaId, Seq, TaskId,
    Text, UndoKey,
};
use tenure_core::policy::{Policy, Ttl};
use tenure_core::refusal::Refusal;
use tenure_core::task::{
    Cancel, CancelTold, Cause, Dismissal, Ending, Labels, Phase, Reservation, State, Task, Undoing, Unwinding,
};
use tenure_core::time::{Span, Time};

use crate::codec::{column, read_column, read_data};
use crate::store::due::{Due, LeaseColumns, Wait};
use crate::store::execute::{Request, StoredTask};
use crate::wire::Word;

/// The columns that [`read_task`] reads, in its order.
macro_rules! task_columns {
    () => {
        "tasks.no, tasks.namespace, tasks.id, tasks.saga_id, tasks.queue, tasks.kind, tasks.state, tasks.cause, \
         tasks.priority, tasks.not_before, tasks.labels, tasks.payload, tasks.policy, tasks.attempts, tasks.epoch, \
         tasks.revision, tasks.compensations, tasks.unwinding, tasks.unwinding_reason, tasks.cancel_at, \
         tasks.cancel_by, tasks.cancel_reason, tasks.terminal_reason, tasks.result, tasks.retried_as, \
         tasks.retry_of, tasks.created_at, tasks.updated_at, tasks.started_at, tasks.finished_at, tasks.head, \
         tasks.dismissed_at, tasks.dismissed_by, tasks.dismissed_note"
    };
}
pub(crate) use task_columns;

/// How many they are.
pub(crate) const TASK_COLUMNS: usize = 34;

/// The columns that [`read_due`] reads, in its order.
macro_rules! due_columns {
    () => {
        "due.wait, due.owner, due.granted_to, due.epoch, due.ttl, due.since, due.heartbeat_at, due.progressed_at, \
         due.expires_at, due.check_at, due.progress, due.cancel_asked, due.stall_after, due.time_limit, \
         due.lock_delay, due.held_back, due.cancel_grace, due.cancel_told, due.cancel_told_at"
    };
}
pub(crate) use due_columns;

/// How many they are.
pub(crate) const DUE_COLUMNS: usize = 19;

/// The columns that [`read_compensation`] reads, in its order.
macro_rules! compensation_columns {
    () => {
        "seq, kind, target, reason, registered, status, epoch, key, tries, receipt, last_error, waiver"
    };
}
pub(crate) use compensation_columns;

/// A row that some database gave.
pub(crate) trait Row {
    /// What is wrong with the store.
    type Fault: From<Refusal> + From<Impossible>;

    /// What the column is called.
    fn name(&self, at: usize) -> &str;
    fn text(&self, at: usize) -> Result<Option<&str>, Self::Fault>;
    fn number(&self, at: usize) -> Result<Option<i64>, Self::Fault>;
    fn truth(&self, at: usize) -> Result<bool, Self::Fault>;
    fn bytes(&self, at: usize) -> Result<Option<&[u8]>, Self::Fault>;

    /// A number that is always there.
    fn a_number(&self, at: usize) -> Result<i64, Self::Fault> {
        Ok(self.number(at)?.ok_or_else(|| missing(self.name(at), "a number"))?)
    }

    /// A text that is always there.
    fn a_text(&self, at: usize) -> Result<&str, Self::Fault> {
        Ok(self.text(at)?.ok_or_else(|| missing(self.name(at), "a text"))?)
    }

    fn a_time(&self, at: usize) -> Result<Time, Self::Fault> {
        self.a_number(at).map(Time::from_micros)
    }

    fn time(&self, at: usize) -> Result<Option<Time>, Self::Fault> {
        Ok(self.number(at)?.map(Time::from_micros))
    }

    fn span(&self, at: usize) -> Result<Option<Span>, Self::Fault> {
        Ok(self.number(at)?.map(|micros| Span::from_micros(unsigned(micros))))
    }

    fn hash(&self, at: usize) -> Result<Hash, Self::Fault> {
        let bytes = self.bytes(at)?.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        Ok(bytes.map(Hash).ok_or_else(|| impossible(self.name(at), "not 32 bytes"))?)
    }

    fn optional<'a, T>(
        &'a self,
        at: usize,
        new: impl FnOnce(&'a str) -> Result<T, Refusal>,
    ) -> Result<Option<T>, Self::Fault> {
        Ok(self.text(at)?.map(new).transpose()?)
    }

    fn word<T: Word>(&self, column: &str, at: usize) -> Result<T, Self::Fault> {
        let text = self.a_text(at)?;
        Ok(T::of_word(text).ok_or_else(|| impossible(column, text))?)
    }
}

/// A stored value that can't be.
#[derive(Debug)]
pub(crate) struct Impossible(pub(crate) String);

pub(crate) fn impossible(column: &str, value: impl std::fmt::Display) -> Impossible {
    Impossible(format!("the column {column} contains an invalid value: {value}"))
}

/// A value that is always there is not.
fn missing(column: &str, what: &str) -> Impossible {
    Impossible(format!("the column {column} is empty, but must contain {what}"))
}

/// Policies by their text: most tasks of a store have one of a few, and reading JSON costs more than a look.
#[derive(Default)]
pub(crate) struct Policies(HashMap<String, Policy>);

impl Policies {
    const MAX: usize = 256;

    fn read(&mut self, text: &str) -> Result<Policy, Impossible> {
        if let Some(policy) = self.0.get(text) {
            return Ok(*policy);
        }
        let policy: Policy = read_column(text).ok_or_else(|| impossible("policy", text))?;
        if self.0.len() >= Self::MAX {
            self.0.clear();
        }
        self.0.insert(text.to_owned(), policy);
        Ok(policy)
    }
}

/// The columns that follow from the phase.
pub(crate) struct TaskColumns<'a> {
    pub(crate) state: &'static str,
    pub(crate) cause: Option<&'static str>,
    pub(crate) owed: i64,
    pub(crate) compensations: i64,
    pub(crate) unwinding: Option<&'static str>,
    pub(crate) unwinding_reason: Option<&'a str>,
    pub(crate) cancel_at: Option<i64>,
    pub(crate) cancel_by: Option<&'a str>,
    pub(crate) cancel_reason: Option<&'a str>,
    pub(crate) terminal_reason: Option<&'a str>,
    pub(crate) result: Option<&'a str>,
    pub(crate) retried_as: Option<&'a str>,
    pub(crate) finished_at: Option<i64>,
    pub(crate) dismissed_at: Option<i64>,
    pub(crate) dismissed_by: Option<&'a str>,
    pub(crate) dismissed_note: Option<&'a str>,
}

impl TaskColumns<'_> {
    pub(crate) fn of(task: &Task) -> TaskColumns<'_> {
        let ending = task.ending();
        let (unwinding, unwinding_reason) = match &task.phase {
            Phase::Compensating { why, reason, .. } => (Some(why.word()), Some(reason.as_str())),
            Phase::Planned | Phase::Dispatched(_) | Phase::Running(_) | Phase::Ended(_) => (None, None),
        };
        let cancel = task.cancel.as_ref();
        let dismissed = ending.and_then(|ending| ending.dismissed.as_ref());
        TaskColumns {
            state: task.state().word(),
            cause: ending.map(|ending| ending.cause.word()),
            owed: task.owed().count() as i64,
            compensations: task.compensations.len() as i64,
            unwinding,
            unwinding_reason,
            cancel_at: cancel.map(|cancel| cancel.at.as_micros()),
            cancel_by: cancel.map(|cancel| cancel.by.as_str()),
            cancel_reason: cancel.map(|cancel| cancel.reason.as_str()),
            terminal_reason: ending.and_then(|ending| ending.reason.as_ref()).map(Reason::as_str),
            result: ending.and_then(|ending| ending.result.as_ref()).map(Document::as_str),
            retried_as: ending.and_then(|ending| ending.retried_as.as_ref()).map(TaskId::as_str),
            finished_at: ending.map(|ending| ending.finished_at.as_micros()),
            dismissed_at: dismissed.map(|dismissed| dismissed.at.as_micros()),
            dismissed_by: dismissed.map(|dismissed| dismissed.by.as_str()),
            dismissed_note: dismissed.map(|dismissed| dismissed.note.as_str()),
        }
    }
}

/// What of a task is not in its own row.
#[derive(Default)]
pub(crate) struct Parts {
    pub(crate) due: Option<Due>,
    pub(crate) checkpoint: Option<Document>,
    pub(crate) compensations: Vec<Compensation>,
}

/// How many compensations the row says that the task has: where there are none, nobody has to look.
pub(crate) fn compensation_count<R: Row>(row: &R) -> Result<i64, R::Fault> {
    row.a_number(16)
}

/// The task of a row that begins with [`task_columns`].
pub(crate) fn read_task<R: Row>(
    row: &R,
    policies: &mut Policies,
    parts: Parts,
) -> Result<StoredTask, R::Fault> {
    let labels = row.a_text(10)?;
    let cancel = match row.time(19)? {
        Some(at) => {
            Some(Cancel { at, by: Actor::new(row.a_text(20)?)?, reason: Reason::new(row.a_text(21)?)? })
        }
        None => None,
    };
    let task = Task {
        namespace: Namespace::new(row.a_text(1)?)?,
        id: TaskId::new(row.a_text(2)?)?,
        saga_id: SagaId::new(row.a_text(3)?)?,
        queue: Queue::new(row.a_text(4)?)?,
        kind: Kind::new(row.a_text(5)?)?,
        priority: small(row, 8)?,
        not_before: row.time(9)?,
        labels: read_labels(labels)?,
        payload: Document::new(row.a_text(11)?)?,
        policy: policies.read(row.a_text(12)?)?,
        attempts: small(row, 13)?,
        epoch: Epoch(unsigned(row.a_number(14)?)),
        revision: Revision(unsigned(row.a_number(15)?)),
        cancel,
        retry_of: row.optional(25, TaskId::new)?,
        created_at: row.a_time(26)?,
        updated_at: row.a_time(27)?,
        started_at: row.time(28)?,
        phase: read_phase(row, parts.due)?,
        checkpoint: parts.checkpoint,
        compensations: parts.compensations,
    };
    Ok(StoredTask { row: row.a_number(0)?, task, head: row.hash(30)? })
}

fn read_phase<R: Row>(row: &R, due: Option<Due>) -> Result<Phase, R::Fault> {
    let state = row.word::<State>("state", 6)?;
    if let Some(state) = state.terminal() {
        return Ok(Phase::Ended(Box::new(Ending {
            state,
            cause: row.word::<Cause>("cause", 7)?,
            reason: row.optional(22, Reason::new)?,
            result: row.optional(23, Document::new)?,
            retried_as: row.optional(24, TaskId::new)?,
            dismissed: read_dismissal(row)?,
            finished_at: row.a_time(29)?,
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
    let Some(at) = row.time(31)? else { return Ok(None) };
    Ok(Some(Dismissal { at, by: Actor::new(row.a_text(32)?)?, note: Reason::new(row.a_text(33)?)? }))
}

fn read_unwinding<R: Row>(row: &R, undoing: Undoing) -> Result<Phase, R::Fault> {
    let why = row.word::<Unwinding>("unwinding", 17)?;
    Ok(Phase::Compensating { why, reason: Reason::new(row.a_text(18)?)?, undoing })
}

/// The row of `due` whose [`due_columns`] begin at `at`; none where there is none.
pub(crate) fn read_due<R: Row>(row: &R, at: usize) -> Result<Option<Due>, R::Fault> {
    if row.text(at)?.is_none() {
        return Ok(None);
    }
    let lease = match row.number(at + 3)? {
        Some(epoch) => Some(LeaseColumns {
            epoch: Epoch(unsigned(epoch)),
            granted_to: Actor::new(row.a_text(at + 2)?)?,
            ttl: Ttl::new(Span::from_micros(unsigned(row.a_number(at + 4)?)))?,
            heartbeat_at: row.a_time(at + 6)?,
            progressed_at: row.a_time(at + 7)?,
            progress: row.optional(at + 10, Progress::new)?,
            cancel_asked: row.truth(at + 11)?,
            stall_after: row.span(at + 12)?,
            time_limit: row.span(at + 13)?,
            lock_delay: row.span(at + 14)?,
            cancel_grace: row.span(at + 16)?,
            cancel_told: read_cancel_told(row, at + 17)?,
        }),
        None => None,
    };
    Ok(Some(Due {
        wait: row.word::<Wait>("wait", at)?,
        owner: row.optional(at + 1, Owner::new)?,
        lease,
        since: row.time(at + 5)?,
        expires_at: row.a_time(at + 8)?,
        check_at: row.a_time(at + 9)?,
        held_back: row.truth(at + 15)?,
    }))
}

/// How often a holder was told to stop, and since when: two columns, both empty where it was not.
fn read_cancel_told<R: Row>(row: &R, at: usize) -> Result<Option<CancelTold>, R::Fault> {
    let Some(since) = row.time(at + 1)? else { return Ok(None) };
    Ok(Some(CancelTold { times: small(row, at)?, since }))
}

/// The compensation whose [`compensation_columns`] begin at `at`.
pub(crate) fn read_compensation<R: Row>(row: &R, at: usize) -> Result<Compensation, R::Fault> {
    Ok(Compensation {
        seq: Seq(small(row, at)?),
        undo: Undo {
            kind: Kind::new(row.a_text(at + 1)?)?,
            target: Text::new(row.a_text(at + 2)?)?,
            reason: row.optional(at + 3, Reason::new)?,
        },
        registered: row.word("registered", at + 4)?,
        status: row.word("status", at + 5)?,
        epoch: row.number(at + 6)?.map(|epoch| Epoch(unsigned(epoch))),
        key: row.optional(at + 7, UndoKey::new)?,
        tries: small(row, at + 8)?,
        receipt: row.optional(at + 9, Text::new)?,
        last_error: row.optional(at + 10, Text::new)?,
        waiver: row.optional(at + 11, Reason::new)?,
    })
}

/// An event whose number, time, actor, type and data begin at a column.
pub(crate) fn read_event<R: Row>(
    row: &R,
    at: usize,
    namespace: &Namespace,
    task: &TaskId,
) -> Result<Event, R::Fault> {
    let (kind, data) = (row.a_text(at + 3)?, row.a_text(at + 4)?);
    Ok(Event {
        namespace: namespace.clone(),
        task: task.clone(),
        number: Revision(unsigned(row.a_number(at)?)),
        at: row.a_time(at + 1)?,
        actor: Actor::new(row.a_text(at + 2)?)?,
        what: read_data(kind, data).ok_or_else(|| impossible("data", format_args!("{kind} {data}")))?,
    })
}

/// A remembered request whose digest, actor, time and answer begin at a column.
pub(crate) fn read_request<R: Row>(row: &R, at: usize) -> Result<Request, R::Fault> {
    let answered = row.a_text(at + 3)?;
    Ok(Request {
        digest: row.hash(at)?,
        actor: Actor::new(row.a_text(at + 1)?)?,
        at: row.a_time(at + 2)?,
        answered: read_column(answered).ok_or_else(|| impossible("answered", answered))?,
    })
}

pub(crate) fn labels_column(labels: &Labels) -> String {
    if labels.is_empty() { "{}".to_owned() } else { column(labels) }
}

fn read_labels(text: &str) -> Result<Labels, Impossible> {
    if text == "{}" { Ok(Labels::new()) } else { read_column(text).ok_or_else(|| impossible("labels", text)) }
}

/// A number of a type that is narrower than a column.
fn small<R: Row, T: TryFrom<i64>>(row: &R, at: usize) -> Result<T, R::Fault> {
    let number = row.a_number(at)?;
    Ok(T::try_from(number).map_err(|_| impossible(row.name(at), number))?)
}

pub(crate) fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(crate) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

pub(crate) fn length(span: Span) -> i64 {
    number(span.as_micros())
}

pub(crate) fn micros(time: Option<Time>) -> Option<i64> {
    time.map(Time::as_micros)
}
