//! The rows of a command inside one SQLite transaction. SQL here finds and writes; it decides nothing.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, Params, Row, named_params, params};
use tenure_core::chain::Hash;
use tenure_core::compensation::{Compensation, Undo};
use tenure_core::decide::Names;
use tenure_core::event::Event;
use tenure_core::id::{
    Actor, Document, Epoch, Kind, Namespace, Owner, Progress, Queue, Reason, RequestId, Revision, SagaId,
    Seq, TaskId, Text, UndoKey,
};
use tenure_core::policy::{Policy, Ttl};
use tenure_core::refusal::Refusal;
use tenure_core::task::{Cancel, Cause, Ending, Labels, Phase, Reservation, State, Task, Undoing, Unwinding};
use tenure_core::time::{Span, Time};

use crate::codec::{Sealed, column, read_column, read_data};
use crate::store::due::{Due, LeaseColumns, Wait};
use crate::store::execute::{Change, Kept, Request, Rows};
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

/// The transaction's view of the tables.
pub(crate) struct SqliteRows<'c> {
    pub(crate) connection: &'c Connection,
    pub(crate) policies: &'c mut Policies,
    pub(crate) next_task: i64,
    pub(crate) next_event: i64,
    pub(crate) floor: Epoch,
}

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

fn broken(column: &str, text: impl std::fmt::Display) -> Fault {
    Fault::Broken(format!("the column {column} holds what can't be: {text}"))
}

impl SqliteRows<'_> {
    fn execute(&self, sql: &str, params: impl Params) -> Found<usize> {
        Ok(self.connection.prepare_cached(sql)?.execute(params)?)
    }

    /// A change of exactly one row; anything else means that the row was not what was read, and nothing may be written.
    fn change_one(&self, sql: &str, params: impl Params) -> Found<()> {
        match self.execute(sql, params)? {
            1 => Ok(()),
            count => Err(Fault::Broken(format!("{count} rows changed where one had been read: {sql}"))),
        }
    }

    fn insert_task(&self, no: i64, task: &Task, head: Hash) -> Found<()> {
        let columns = TaskColumns::of(task);
        self.execute(
            "insert into tasks (no, namespace, id, saga_id, queue, kind, state, cause, priority, not_before, labels, \
             payload, policy, attempts, epoch, revision, owed, compensations, unwinding, unwinding_reason, cancel_at, \
             cancel_by, cancel_reason, terminal_reason, result, retried_as, retry_of, created_at, updated_at, \
             started_at, finished_at, head) values (:no, :namespace, :id, :saga_id, :queue, :kind, :state, :cause, \
             :priority, :not_before, :labels, :payload, :policy, :attempts, :epoch, :revision, :owed, :compensations, \
             :unwinding, :unwinding_reason, :cancel_at, :cancel_by, :cancel_reason, :terminal_reason, :result, \
             :retried_as, :retry_of, :created_at, :updated_at, :started_at, :finished_at, :head)",
            named_params! {
                ":no": no, ":namespace": task.namespace.as_str(), ":id": task.id.as_str(),
                ":saga_id": task.saga_id.as_str(), ":queue": task.queue.as_str(), ":kind": task.kind.as_str(),
                ":state": columns.state, ":cause": columns.cause, ":priority": task.priority,
                ":not_before": micros(task.not_before), ":labels": labels_column(&task.labels),
                ":payload": task.payload.as_str(), ":policy": column(&task.policy), ":attempts": task.attempts,
                ":epoch": number(task.epoch.0), ":revision": number(task.revision.0), ":owed": columns.owed,
                ":compensations": columns.compensations, ":unwinding": columns.unwinding,
                ":unwinding_reason": columns.unwinding_reason, ":cancel_at": columns.cancel_at,
                ":cancel_by": columns.cancel_by, ":cancel_reason": columns.cancel_reason,
                ":terminal_reason": columns.terminal_reason, ":result": columns.result,
                ":retried_as": columns.retried_as, ":retry_of": task.retry_of.as_ref().map(TaskId::as_str),
                ":created_at": task.created_at.as_micros(), ":updated_at": task.updated_at.as_micros(),
                ":started_at": micros(task.started_at), ":finished_at": columns.finished_at, ":head": head.0,
            },
        )?;
        Ok(())
    }

    /// Writes what commands change. It repeats what was read, so that a row that is not that is never overwritten.
    fn update_task(&self, before: &Kept, task: &Task, head: Hash) -> Found<()> {
        let columns = TaskColumns::of(task);
        let old = &before.task;
        self.change_one(
            "update tasks set state = :state, cause = :cause, not_before = :not_before, attempts = :attempts, \
             epoch = :epoch, revision = :revision, owed = :owed, compensations = :compensations, \
             unwinding = :unwinding, unwinding_reason = :unwinding_reason, cancel_at = :cancel_at, \
             cancel_by = :cancel_by, cancel_reason = :cancel_reason, terminal_reason = :terminal_reason, \
             result = :result, retried_as = :retried_as, updated_at = :updated_at, started_at = :started_at, \
             finished_at = :finished_at, head = :head \
             where no = :no and revision = :old_revision and state = :old_state and epoch = :old_epoch",
            named_params! {
                ":state": columns.state, ":cause": columns.cause, ":not_before": micros(task.not_before),
                ":attempts": task.attempts, ":epoch": number(task.epoch.0), ":revision": number(task.revision.0),
                ":owed": columns.owed, ":compensations": columns.compensations, ":unwinding": columns.unwinding,
                ":unwinding_reason": columns.unwinding_reason, ":cancel_at": columns.cancel_at,
                ":cancel_by": columns.cancel_by, ":cancel_reason": columns.cancel_reason,
                ":terminal_reason": columns.terminal_reason, ":result": columns.result,
                ":retried_as": columns.retried_as, ":updated_at": task.updated_at.as_micros(),
                ":started_at": micros(task.started_at), ":finished_at": columns.finished_at, ":head": head.0,
                ":no": before.row, ":old_revision": number(old.revision.0), ":old_state": old.state().word(),
                ":old_epoch": number(old.epoch.0),
            },
        )
    }

    /// Writes what only a put changes.
    fn update_fields(&self, no: i64, before: &Task, task: &Task) -> Found<()> {
        let same = before.queue == task.queue
            && before.kind == task.kind
            && before.priority == task.priority
            && before.labels == task.labels
            && before.payload == task.payload
            && before.policy == task.policy;
        if same {
            return Ok(());
        }
        self.change_one(
            "update tasks set queue = ?, kind = ?, priority = ?, labels = ?, payload = ?, policy = ? where no = ?",
            params![
                task.queue.as_str(),
                task.kind.as_str(),
                task.priority,
                labels_column(&task.labels),
                task.payload.as_str(),
                column(&task.policy),
                no
            ],
        )
    }

    fn write_compensations(&self, no: i64, before: &[Compensation], after: &[Compensation]) -> Found<()> {
        for (at, one) in after.iter().enumerate() {
            match before.get(at) {
                Some(old) if old == one => {}
                Some(_) => self.change_one(
                    "update compensations set status = ?, epoch = ?, key = ?, tries = ?, receipt = ?, last_error = ?, \
                     waiver = ? where task = ? and seq = ?",
                    params![
                        one.status.word(),
                        one.epoch.map(|epoch| number(epoch.0)),
                        one.key.as_ref().map(UndoKey::as_str),
                        one.tries,
                        one.receipt.as_ref().map(Text::as_str),
                        one.last_error.as_ref().map(Text::as_str),
                        one.waiver.as_ref().map(Reason::as_str),
                        no,
                        one.seq.0
                    ],
                )?,
                None => {
                    self.execute(
                        "insert into compensations (task, seq, kind, target, reason, registered, status, epoch, key, \
                         tries, receipt, last_error, waiver) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                        params![
                            no,
                            one.seq.0,
                            one.undo.kind.as_str(),
                            one.undo.target.as_str(),
                            one.undo.reason.as_ref().map(Reason::as_str),
                            one.registered.word(),
                            one.status.word(),
                            one.epoch.map(|epoch| number(epoch.0)),
                            one.key.as_ref().map(UndoKey::as_str),
                            one.tries,
                            one.receipt.as_ref().map(Text::as_str),
                            one.last_error.as_ref().map(Text::as_str),
                            one.waiver.as_ref().map(Reason::as_str)
                        ],
                    )?;
                }
            }
        }
        Ok(())
    }

    fn write_due(&self, no: i64, before: Option<&Task>, task: &Task) -> Found<()> {
        let (old, new) = (before.and_then(Due::of), Due::of(task));
        match new {
            Some(due) if old.as_ref() == Some(&due) => Ok(()),
            Some(due) => self.put_due(no, task, &due),
            None if old.is_some() => self.change_one("delete from due where task = ?", params![no]),
            None => Ok(()),
        }
    }

    fn put_due(&self, no: i64, task: &Task, due: &Due) -> Found<()> {
        let lease = due.lease.as_ref();
        let queue = Some(task.queue.as_str()).filter(|_| due.wait == Wait::Reservation);
        self.execute(
            "insert or replace into due (task, wait, namespace, queue, owner, granted_to, epoch, ttl, since, \
             heartbeat_at, progressed_at, expires_at, check_at, progress, cancel_asked, stall_after, time_limit, \
             lock_delay, held_back) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            params![
                no,
                due.wait.word(),
                task.namespace.as_str(),
                queue,
                due.owner.as_ref().map(Owner::as_str),
                lease.map(|lease| lease.granted_to.as_str()),
                lease.map(|lease| number(lease.epoch.0)),
                lease.map(|lease| length(lease.ttl.span())),
                micros(due.since),
                lease.map(|lease| lease.heartbeat_at.as_micros()),
                lease.map(|lease| lease.progressed_at.as_micros()),
                due.expires_at.as_micros(),
                due.check_at.as_micros(),
                lease.and_then(|lease| lease.progress.as_ref()).map(Progress::as_str),
                lease.is_some_and(|lease| lease.cancel_asked),
                lease.and_then(|lease| lease.stall_after).map(length),
                lease.and_then(|lease| lease.time_limit).map(length),
                lease.and_then(|lease| lease.lock_delay).map(length),
                due.held_back
            ],
        )?;
        Ok(())
    }

    fn write_checkpoint(&self, no: i64, checkpoint: &Document) -> Found<()> {
        self.execute(
            "insert into checkpoints (task, checkpoint) values (?, ?) \
             on conflict (task) do update set checkpoint = excluded.checkpoint",
            params![no, checkpoint.as_str()],
        )?;
        Ok(())
    }

    fn write_event(&mut self, no: i64, sealed: &Sealed) -> Found<()> {
        let event = &sealed.event;
        self.execute(
            "insert into events (\"order\", task, number, at, actor, type, data, hash) values (?, ?, ?, ?, ?, ?, ?, ?)",
            params![
                self.next_event,
                no,
                number(event.number.0),
                event.at.as_micros(),
                event.actor.as_str(),
                event.what.kind(),
                sealed.data,
                sealed.hash.0
            ],
        )?;
        self.next_event += 1;
        Ok(())
    }

    /// The claimable tasks of one priority, or of the highest there is below `below`.
    fn planned(
        &self,
        namespace: &Namespace,
        queue: &Queue,
        below: Option<i64>,
        limit: usize,
        now: Time,
    ) -> Found<Option<(i64, Vec<Candidate>)>> {
        let mut highest = self.connection.prepare_cached(
            "select priority from tasks where namespace = ? and queue = ? and state = 'planned' and priority < ? \
             order by priority desc limit 1",
        )?;
        let below = below.unwrap_or(i64::MAX);
        let found = highest.query_row(params![namespace.as_str(), queue.as_str(), below], |row| row.get(0));
        let Some(priority) = found.optional()? else { return Ok(None) };
        let mut due = self.connection.prepare_cached(
            "select id, coalesce(not_before, created_at), no from tasks \
             where namespace = ? and queue = ? and state = 'planned' and priority = ? \
             and coalesce(not_before, created_at) <= ? order by coalesce(not_before, created_at), no limit ?",
        )?;
        let params = params![namespace.as_str(), queue.as_str(), priority, now.as_micros(), limit as i64];
        let candidates = due.query_map(params, |row| {
            Ok(Candidate { id: row.get(0)?, priority, due_since: row.get(1)?, no: row.get(2)? })
        })?;
        Ok(Some((priority, candidates.collect::<rusqlite::Result<_>>()?)))
    }

    /// The tasks of a queue whose reservations have lapsed; few, because recovery frees them.
    fn lapsed_reservations(&self, namespace: &Namespace, queue: &Queue, now: Time) -> Found<Vec<Candidate>> {
        let mut lapsed = self.connection.prepare_cached(
            "select tasks.id, tasks.priority, coalesce(tasks.not_before, tasks.created_at), tasks.no \
             from due join tasks on tasks.no = due.task \
             where due.wait = 'reservation' and due.namespace = ? and due.queue = ? and due.expires_at <= ?",
        )?;
        let params = params![namespace.as_str(), queue.as_str(), now.as_micros()];
        let candidates = lapsed.query_map(params, |row| {
            Ok(Candidate { id: row.get(0)?, priority: row.get(1)?, due_since: row.get(2)?, no: row.get(3)? })
        })?;
        Ok(candidates.collect::<rusqlite::Result<_>>()?)
    }
}

/// A task that may be claimed, with what claims are ordered by.
struct Candidate {
    id: String,
    priority: i64,
    due_since: i64,
    no: i64,
}

impl Rows for SqliteRows<'_> {
    type Fault = Fault;

    fn task(&mut self, namespace: &Namespace, id: &TaskId) -> Found<Option<Kept>> {
        let sql = concat_task_sql!("where tasks.namespace = ? and tasks.id = ?");
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query(params![namespace.as_str(), id.as_str()])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        read_task(self.connection, self.policies, row).map(Some)
    }

    fn leased(&mut self, namespace: &Namespace, id: &TaskId) -> Found<Option<Task>> {
        let mut statement = self.connection.prepare_cached(
            "select due.wait, due.owner, due.granted_to, due.epoch, due.ttl, due.since, due.heartbeat_at, \
             due.progressed_at, due.expires_at, due.check_at, due.progress, due.cancel_asked, due.stall_after, \
             due.time_limit, due.lock_delay, due.held_back \
             from due where due.task = (select no from tasks where namespace = ? and id = ?)",
        )?;
        let mut rows = statement.query(params![namespace.as_str(), id.as_str()])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        Ok(read_due(row, 0)?.and_then(|due| due.seen_by_heartbeat(namespace, id)))
    }

    fn names(&mut self, namespace: &Namespace, id: &TaskId, saga_id: &SagaId) -> Found<Names> {
        let mut statement = self.connection.prepare_cached(
            "select exists (select 1 from tasks where namespace = ?1 and id = ?2) \
             or exists (select 1 from tasks where namespace = ?1 and saga_id = ?3)",
        )?;
        let params = params![namespace.as_str(), id.as_str(), saga_id.as_str()];
        let taken: bool = statement.query_row(params, |row| row.get(0))?;
        Ok(if taken { Names::Taken } else { Names::Free })
    }

    fn claimable(
        &mut self,
        namespace: &Namespace,
        queue: &Queue,
        limit: u32,
        now: Time,
    ) -> Found<Vec<TaskId>> {
        let limit = limit as usize;
        let mut candidates = self.lapsed_reservations(namespace, queue, now)?;
        let mut below = None;
        let mut planned = 0;
        // One priority after the other, so that tasks of a high one that are not due yet are not read one by one.
        while planned < limit {
            let Some((priority, due)) = self.planned(namespace, queue, below, limit - planned, now)? else {
                break;
            };
            planned += due.len();
            candidates.extend(due);
            below = Some(priority);
        }
        candidates.sort_by_key(|one| (std::cmp::Reverse(one.priority), one.due_since, one.no));
        candidates.truncate(limit);
        candidates.into_iter().map(|one| Ok(TaskId::new(one.id)?)).collect()
    }

    fn history(&mut self, namespace: &Namespace, id: &TaskId, up_to: Revision) -> Found<Vec<Event>> {
        let mut statement = self.connection.prepare_cached(
            "select number, at, actor, type, data from events \
             where task = (select no from tasks where namespace = ? and id = ?) and number <= ? order by number",
        )?;
        let mut rows = statement.query(params![namespace.as_str(), id.as_str(), number(up_to.0)])?;
        let mut events = Vec::new();
        while let Some(row) = rows.next()? {
            events.push(read_event(row, 0, namespace, id)?);
        }
        Ok(events)
    }

    fn request(&mut self, namespace: &Namespace, id: &RequestId) -> Found<Option<Request>> {
        let mut statement = self.connection.prepare_cached(
            "select digest, actor, at, answered from requests where namespace = ? and id = ?",
        )?;
        let mut rows = statement.query(params![namespace.as_str(), id.as_str()])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        let answered: String = row.get(3)?;
        Ok(Some(Request {
            digest: Hash(row.get(0)?),
            actor: Actor::new(row.get::<_, String>(1)?)?,
            at: Time::from_micros(row.get(2)?),
            answered: read_column(&answered).ok_or_else(|| broken("answered", &answered))?,
        }))
    }

    fn remember(&mut self, namespace: &Namespace, id: &RequestId, request: &Request) -> Found<()> {
        self.execute(
            "insert or replace into requests (namespace, id, digest, actor, at, answered) values (?, ?, ?, ?, ?, ?)",
            params![
                namespace.as_str(),
                id.as_str(),
                request.digest.0,
                request.actor.as_str(),
                request.at.as_micros(),
                column(&request.answered)
            ],
        )?;
        // Each that comes lets up to two go that are old enough, so they are forgotten without a sweep.
        let forgotten_at = request.at - crate::store::execute::REQUEST_MEMORY;
        self.execute(
            "delete from requests where (namespace, id) in \
             (select namespace, id from requests where at <= ? order by at limit 2)",
            params![forgotten_at.as_micros()],
        )?;
        Ok(())
    }

    fn write(&mut self, change: Change<'_>) -> Found<()> {
        let Change { before, after, head, events } = change;
        let no = before.map_or(self.next_task, |kept| kept.row);
        let old = before.map(|kept| &kept.task);
        // First what belongs to the task: the guards refuse it once the task's own row says that it ended.
        let compensations = old.map_or(&[][..], |task| &task.compensations);
        self.write_compensations(no, compensations, &after.compensations)?;
        match before {
            Some(before) => {
                self.update_fields(no, &before.task, after)?;
                self.update_task(before, after, head)?;
            }
            None => {
                self.insert_task(no, after, head)?;
                self.next_task += 1;
            }
        }
        self.write_due(no, old, after)?;
        if let Some(checkpoint) =
            after.checkpoint.as_ref().filter(|new| old.and_then(|old| old.checkpoint.as_ref()) != Some(new))
        {
            self.write_checkpoint(no, checkpoint)?;
        }
        events.iter().try_for_each(|sealed| self.write_event(no, sealed))
    }

    fn renew(&mut self, after: &Task, checkpoint_given: bool, now: Time) -> Found<()> {
        let Some(lease) = after.lease() else {
            return Err(Fault::Broken("a heartbeat without a lease".into()));
        };
        let (namespace, id) = (after.namespace.as_str(), after.id.as_str());
        // The check moves only when its time has come: one index write a ttl, not one a heartbeat.
        self.change_one(
            "update due set heartbeat_at = ?1, progressed_at = ?2, expires_at = ?3, progress = ?4 \
             where task = (select no from tasks where namespace = ?5 and id = ?6) and owner = ?7 and epoch = ?8",
            params![
                lease.heartbeat_at.as_micros(),
                lease.progressed_at.as_micros(),
                lease.expires_at.as_micros(),
                lease.progress.as_ref().map(Progress::as_str),
                namespace,
                id,
                lease.owner.as_str(),
                number(lease.epoch.0)
            ],
        )?;
        self.execute(
            "update due set check_at = expires_at \
             where task = (select no from tasks where namespace = ? and id = ?) and check_at <= ?",
            params![namespace, id, now.as_micros()],
        )?;
        let Some(checkpoint) = after.checkpoint.as_ref().filter(|_| checkpoint_given) else { return Ok(()) };
        let no = "select no from tasks where namespace = ? and id = ?";
        let no = self.connection.prepare_cached(no)?.query_row(params![namespace, id], |row| row.get(0))?;
        self.write_checkpoint(no, checkpoint)
    }

    fn floor(&mut self) -> Found<Epoch> {
        Ok(self.floor)
    }

    fn broken(&mut self, what: String) -> Fault {
        Fault::Broken(what)
    }
}

// ---- columns to types and back -------------------------------------------------------------------------------

/// The columns that follow from the phase.
struct TaskColumns<'a> {
    state: &'static str,
    cause: Option<&'static str>,
    owed: i64,
    compensations: i64,
    unwinding: Option<&'static str>,
    unwinding_reason: Option<&'a str>,
    cancel_at: Option<i64>,
    cancel_by: Option<&'a str>,
    cancel_reason: Option<&'a str>,
    terminal_reason: Option<&'a str>,
    result: Option<&'a str>,
    retried_as: Option<&'a str>,
    finished_at: Option<i64>,
}

impl TaskColumns<'_> {
    fn of(task: &Task) -> TaskColumns<'_> {
        let ending = task.ending();
        let (unwinding, unwinding_reason) = match &task.phase {
            Phase::Compensating { why, reason, .. } => (Some(why.as_str()), Some(reason.as_str())),
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
    let text: String = row.get(17)?;
    let why = Unwinding::ALL
        .into_iter()
        .find(|why| why.as_str() == text)
        .ok_or_else(|| broken("unwinding", &text))?;
    Ok(Phase::Compensating { why, reason: Reason::new(row.get::<_, String>(18)?)?, undoing })
}

/// The row of `due` whose columns begin at `at`; none where there is none.
fn read_due(row: &Row<'_>, at: usize) -> Found<Option<Due>> {
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

fn labels_column(labels: &Labels) -> String {
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

fn length(span: Span) -> i64 {
    number(span.as_micros())
}

fn micros(time: Option<Time>) -> Option<i64> {
    time.map(Time::as_micros)
}

fn time(micros: Option<i64>) -> Option<Time> {
    micros.map(Time::from_micros)
}
