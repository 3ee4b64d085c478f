//! Columns to types and back. What is stored is checked like what comes from outside: another program may have written it.

use std::collections::HashMap;

use rusqlite::{Connection, Row, params};
use tenure_core::chain::Hash;
use tenure_core::compensation::{Compensation, Undo};
use tenure_core::event::Event;
use tenure_core::id::{
    Actor, Document, Epoch, Kind, Namespace, Owner, Progress, Queue, Reason, Revision, SagaId, Seq, TaskId,
    Text, UndoKey,
};
use tenure_core::policy::{Policy, Ttl};
use tenure_core::refusal::Refusal;
use tenure_core::task::{Cancel, Cause, Ending, Labels, Phase, Reservation, State, Task, Undoing, Unwinding};
use tenure_core::time::{Span, Time};

use crate::codec::{column, read_column, read_data};
use crate::error::Error;
use crate::store::due::{Due, LeaseColumns, Wait};
use crate::store::execute::Kept;
use crate::store::sqlite::open::Database;
use crate::wire::Word;

/// The columns that [`read_task`] reads, in its order, and the tables they come from.
macro_rules! concat_task_sql {
    ($rest:literal) => {
        concat!(
            "select tasks.no, tasks.namespace, tasks.id, tasks.saga_id, tasks.queue, tasks.kind, tasks.state, \
             tasks.cause, tasks.priority, tasks.not_before, tasks.labels, tasks.payload, tasks.policy, \
             tasks.attempts, tasks.epoch, tasks.revision, tasks.compensations, tasks.unwinding, \
             tasks.unwinding_reason, tasks.cancel_at, tasks.cancel_by, tasks.cancel_reason, tasks.terminal_reason, \
             tasks.result, tasks.retried_as, tasks.retry_of, tasks.created_at, tasks.updated_at, tasks.started_at, \
             tasks.finished_at, tasks.head, checkpoints.checkpoint, \
             due.wait, due.owner, due.granted_to, due.epoch, due.ttl, due.since, due.heartbeat_at, \
             due.progressed_at, due.expires_at, due.check_at, due.progress, due.cancel_asked, due.stall_after, \
             due.time_limit, due.lock_delay, due.held_back \
             from tasks left join due on due.task = tasks.no left join checkpoints on checkpoints.task = tasks.no ",
            $rest
        )
    };
}
pub(crate) use concat_task_sql;

/// What is wrong with the store: SQLite says so, or what it gives can't be.
#[derive(Debug)]
pub(crate) enum Fault {
    Sqlite(rusqlite::Error),
    Broken(String),
}

impl Fault {
    /// What it means to a caller: nothing was committed.
    pub(crate) fn of(&self, database: &Database) -> Error {
        match self {
            Fault::Sqlite(error) => database.fault(error),
            Fault::Broken(what) => {
                Error::Unavailable(format!("{}: the store is broken: {what}", database.path.display()))
            }
        }
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Fault {
        Fault::Sqlite(error)
    }
}

/// A stored name that breaks its limits: somebody else wrote it.
impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Fault {
        Fault::Broken(format!("a stored value can't be: {refusal}"))
    }
}

pub(crate) type Found<T> = Result<T, Fault>;

/// Policies by their text: most tasks of a store have one of a few, and reading JSON costs more than a look.
#[derive(Default)]
pub(crate) struct Policies(HashMap<String, Policy>);

impl Policies {
    const MAX: usize = 256;

    fn read(&mut self, text: &str) -> Found<Policy> {
        if let Some(policy) = self.0.get(text) {
            return Ok(*policy);
        }
        let policy: Policy = read_column(text).ok_or_else(|| broken("policy", text))?;
        if self.0.len() >= Self::MAX {
            self.0.clear();
        }
        self.0.insert(text.to_owned(), policy);
        Ok(policy)
    }
}

pub(crate) fn broken(column: &str, text: impl std::fmt::Display) -> Fault {
    Fault::Broken(format!("the column {column} holds what can't be: {text}"))
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
}

impl TaskColumns<'_> {
    pub(crate) fn of(task: &Task) -> TaskColumns<'_> {
        let ending = task.ending();
        let (unwinding, unwinding_reason) = match &task.phase {
            Phase::Compensating { why, reason, .. } => (Some(why.word()), Some(reason.as_str())),
            Phase::Planned | Phase::Dispatched(_) | Phase::Running(_) | Phase::Ended(_) => (None, None),
        };
        let cancel = task.cancel.as_ref();
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
        }
    }
}

/// Where the columns of `due` begin in a task's row.
const DUE_AT: usize = 32;

/// The task of that name, with its row and head.
pub(crate) fn find_task(
    connection: &Connection,
    policies: &mut Policies,
    namespace: &Namespace,
    id: &TaskId,
) -> Found<Option<Kept>> {
    let sql = concat_task_sql!("where tasks.namespace = ? and tasks.id = ?");
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params![namespace.as_str(), id.as_str()])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    read_task(connection, policies, row).map(Some)
}

pub(crate) fn read_task(connection: &Connection, policies: &mut Policies, row: &Row<'_>) -> Found<Kept> {
    let no: i64 = row.get(0)?;
    let namespace = Namespace::new(row.get::<_, String>(1)?)?;
    let id = TaskId::new(row.get::<_, String>(2)?)?;
    let count: i64 = row.get(16)?;
    let compensations = if count > 0 { read_compensations(connection, no)? } else { Vec::new() };
    let labels: String = row.get(10)?;
    let cancel = match row.get::<_, Option<i64>>(19)? {
        Some(at) => Some(Cancel {
            at: Time::from_micros(at),
            by: Actor::new(row.get::<_, String>(20)?)?,
            reason: Reason::new(row.get::<_, String>(21)?)?,
        }),
        None => None,
    };
    let task = Task {
        saga_id: SagaId::new(row.get::<_, String>(3)?)?,
        queue: Queue::new(row.get::<_, String>(4)?)?,
        kind: Kind::new(row.get::<_, String>(5)?)?,
        priority: row.get(8)?,
        not_before: time(row.get(9)?),
        labels: read_labels(&labels)?,
        payload: Document::new(row.get::<_, String>(11)?)?,
        policy: policies.read(row.get_ref(12)?.as_str().map_err(rusqlite::Error::from)?)?,
        attempts: row.get(13)?,
        epoch: Epoch(unsigned(row.get(14)?)),
        revision: Revision(unsigned(row.get(15)?)),
        compensations,
        cancel,
        retry_of: optional(row.get(25)?, TaskId::new)?,
        created_at: Time::from_micros(row.get(26)?),
        updated_at: Time::from_micros(row.get(27)?),
        started_at: time(row.get(28)?),
        checkpoint: optional(row.get(31)?, Document::new)?,
        phase: read_phase(row)?,
        namespace,
        id,
    };
    Ok(Kept { row: no, task, head: Hash(row.get(30)?) })
}

fn read_phase(row: &Row<'_>) -> Found<Phase> {
    let state = word::<State>("state", row.get_ref(6)?)?;
    if let Some(state) = state.terminal() {
        return Ok(Phase::Ended(Box::new(Ending {
            state,
            cause: word::<Cause>("cause", row.get_ref(7)?)?,
            reason: optional(row.get(22)?, Reason::new)?,
            result: optional(row.get(23)?, Document::new)?,
            retried_as: optional(row.get(24)?, TaskId::new)?,
            finished_at: Time::from_micros(row.get(29)?),
        })));
    }
    if state == State::Planned {
        return Ok(Phase::Planned);
    }
    let due = read_due(row, DUE_AT)?
        .ok_or_else(|| broken("state", format!("{} without a row of due", state.word())))?;
    if due.state() != state {
        return Err(broken("state", format!("{}, and due waits for {}", state.word(), due.wait.word())));
    }
    let incomplete = || broken("due", format!("a {} without its columns", due.wait.word()));
    match due.wait {
        Wait::Start => Err(broken("state", state.word())),
        Wait::Reservation => Ok(Phase::Dispatched(Reservation {
            owner: due.owner.clone().ok_or_else(incomplete)?,
            reserved_at: due.since.ok_or_else(incomplete)?,
            expires_at: due.expires_at,
        })),
        Wait::Lease => Ok(Phase::Running(due.lease().ok_or_else(incomplete)?)),
        Wait::UndoLease => read_unwinding(row, Undoing::HeldBy(due.lease().ok_or_else(incomplete)?)),
        Wait::Undo => read_unwinding(row, Undoing::DueAt(due.expires_at)),
    }
}

fn read_unwinding(row: &Row<'_>, undoing: Undoing) -> Found<Phase> {
    let why = word::<Unwinding>("unwinding", row.get_ref(17)?)?;
    Ok(Phase::Compensating { why, reason: Reason::new(row.get::<_, String>(18)?)?, undoing })
}

/// The row of `due` whose columns begin at `at`; none where there is none.
pub(crate) fn read_due(row: &Row<'_>, at: usize) -> Found<Option<Due>> {
    if row.get_ref(at)?.data_type() == rusqlite::types::Type::Null {
        return Ok(None);
    }
    let wait = word::<Wait>("wait", row.get_ref(at)?)?;
    let span = |value: Option<i64>| value.map(|micros| Span::from_micros(unsigned(micros)));
    let lease = match row.get::<_, Option<i64>>(at + 3)? {
        Some(epoch) => Some(LeaseColumns {
            epoch: Epoch(unsigned(epoch)),
            granted_to: Actor::new(row.get::<_, String>(at + 2)?)?,
            ttl: Ttl::new(Span::from_micros(unsigned(row.get(at + 4)?)))?,
            heartbeat_at: Time::from_micros(row.get(at + 6)?),
            progressed_at: Time::from_micros(row.get(at + 7)?),
            progress: optional(row.get(at + 10)?, Progress::new)?,
            cancel_asked: row.get(at + 11)?,
            stall_after: span(row.get(at + 12)?),
            time_limit: span(row.get(at + 13)?),
            lock_delay: span(row.get(at + 14)?),
        }),
        None => None,
    };
    Ok(Some(Due {
        wait,
        owner: optional(row.get(at + 1)?, Owner::new)?,
        lease,
        since: time(row.get(at + 5)?),
        expires_at: Time::from_micros(row.get(at + 8)?),
        check_at: Time::from_micros(row.get(at + 9)?),
        held_back: row.get(at + 15)?,
    }))
}

fn read_compensations(connection: &Connection, no: i64) -> Found<Vec<Compensation>> {
    let mut statement = connection.prepare_cached(
        "select seq, kind, target, reason, registered, status, epoch, key, tries, receipt, last_error, waiver \
         from compensations where task = ? order by seq",
    )?;
    let mut rows = statement.query(params![no])?;
    let mut compensations = Vec::new();
    while let Some(row) = rows.next()? {
        compensations.push(Compensation {
            seq: Seq(row.get(0)?),
            undo: Undo {
                kind: Kind::new(row.get::<_, String>(1)?)?,
                target: Text::new(row.get::<_, String>(2)?)?,
                reason: optional(row.get(3)?, Reason::new)?,
            },
            registered: word("registered", row.get_ref(4)?)?,
            status: word("status", row.get_ref(5)?)?,
            epoch: row.get::<_, Option<i64>>(6)?.map(|epoch| Epoch(unsigned(epoch))),
            key: optional(row.get(7)?, UndoKey::new)?,
            tries: row.get(8)?,
            receipt: optional(row.get(9)?, Text::new)?,
            last_error: optional(row.get(10)?, Text::new)?,
            waiver: optional(row.get(11)?, Reason::new)?,
        });
    }
    Ok(compensations)
}

/// An event whose number, time, actor, type and data begin at a column.
pub(crate) fn read_event(row: &Row<'_>, at: usize, namespace: &Namespace, task: &TaskId) -> Found<Event> {
    let (kind, data): (String, String) = (row.get(at + 3)?, row.get(at + 4)?);
    Ok(Event {
        namespace: namespace.clone(),
        task: task.clone(),
        number: Revision(unsigned(row.get(at)?)),
        at: Time::from_micros(row.get(at + 1)?),
        actor: Actor::new(row.get::<_, String>(at + 2)?)?,
        what: read_data(&kind, &data).ok_or_else(|| broken("data", format!("{kind} {data}")))?,
    })
}

pub(crate) fn labels_column(labels: &Labels) -> String {
    if labels.is_empty() { "{}".to_owned() } else { column(labels) }
}

fn read_labels(text: &str) -> Found<Labels> {
    if text == "{}" { Ok(Labels::new()) } else { read_column(text).ok_or_else(|| broken("labels", text)) }
}

fn word<T: Word>(column: &str, value: rusqlite::types::ValueRef<'_>) -> Found<T> {
    let text = value.as_str().map_err(rusqlite::Error::from)?;
    T::of_word(text).ok_or_else(|| broken(column, text))
}

fn optional<T>(text: Option<String>, new: impl FnOnce(String) -> Result<T, Refusal>) -> Found<Option<T>> {
    Ok(text.map(new).transpose()?)
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

fn time(micros: Option<i64>) -> Option<Time> {
    micros.map(Time::from_micros)
}
