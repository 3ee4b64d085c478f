//! The rows of a command inside one SQLite transaction. SQL finds and writes here; it decides nothing.

use std::iter;
use std::sync::OnceLock;

use rusqlite::types::ToSqlOutput;
use rusqlite::{Connection, OptionalExtension, Params, ToSql, params, params_from_iter};
use tenure_core::chain::Hash;
use tenure_core::compensation::Compensation;
use tenure_core::decide::Names;
use tenure_core::event::Event;
use tenure_core::id::{
    Document, Epoch, Namespace, Progress, Queue, Reason, RequestId, Revision, SagaId, TaskId, Text, UndoKey,
};
use tenure_core::task::Task;
use tenure_core::time::Time;

use crate::codec::{Sealed, column};
use crate::store::columns::{
    DUE_COLUMNS, Policies, TaskColumns, due_columns, labels_column, micros, number, read_due, read_event,
    read_request,
};
use crate::store::due::Due;
use crate::store::ends::{EndKey, IN_ALL, Minutes, NewEnds};
use crate::store::execute::{Change, LeaseRow, REQUEST_MEMORY, Request, Rows, StoredTask, does_not_continue};
use crate::store::sqlite::columns::{Fault, Found, find_task};
use crate::store::stored::{ColumnValue, StoredRow, compensation_row, due_row, task_row};
use crate::wire::Word;

impl ToSql for ColumnValue<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        match self {
            ColumnValue::Null => Ok(ToSqlOutput::from(rusqlite::types::Null)),
            ColumnValue::Number(number) => number.to_sql(),
            ColumnValue::Text(text) => text.to_sql(),
            ColumnValue::Bytes(bytes) => bytes.to_sql(),
        }
    }
}

/// The transaction's view of the tables.
pub(crate) struct SqliteRows<'c> {
    pub(crate) connection: &'c Connection,
    pub(crate) policies: &'c mut Policies,
    pub(crate) next_task: i64,
    pub(crate) next_event: i64,
    pub(crate) floor: Epoch,
    pub(crate) ends: NewEnds,
}

impl SqliteRows<'_> {
    /// Adds the ends of this transaction to what is counted, and lets go of counts that are asked for no more.
    pub(crate) fn write_ends(&mut self, now: Time) -> Found<()> {
        for (key, count) in self.ends.take() {
            let EndKey { namespace, minute, queue, state, cause } = &key;
            if *minute != IN_ALL {
                self.execute(
                    "delete from ends where namespace = ? and minute > ? and minute < ?",
                    params![namespace.as_str(), IN_ALL, Minutes::at(now).kept],
                )?;
            }
            self.execute(
                "insert into ends (namespace, minute, queue, state, cause, count) values (?, ?, ?, ?, ?, ?) \
                 on conflict (namespace, minute, queue, state, cause) do update set count = count + excluded.count",
                params![namespace.as_str(), minute, queue.as_str(), state, cause, count],
            )?;
        }
        Ok(())
    }

    fn execute(&self, sql: &str, params: impl Params) -> Found<usize> {
        Ok(self.connection.prepare_cached(sql)?.execute(params)?)
    }

    /// A change of exactly one row; anything else means that the row was not what was read, and nothing may be written.
    fn change_one(&self, sql: &str, params: impl Params) -> Found<()> {
        match self.execute(sql, params)? {
            1 => Ok(()),
            count => Err(Fault::Broken(format!("{count} rows were changed instead of one: {sql}"))),
        }
    }

    /// Nothing is appended to a history that does not end where its task says: it would hide what was done to it.
    fn must_continue(&self, before: &StoredTask) -> Found<()> {
        let newest = "select number, hash from events where task = ? order by number desc limit 1";
        let mut newest = self.connection.prepare_cached(newest)?;
        let newest =
            newest.query_row([before.row], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?)));
        let (number, head) = (number(before.task.revision.0), before.head.0);
        if newest.optional()?.is_some_and(|(newest, hash)| newest == number && hash == head) {
            return Ok(());
        }
        Err(Fault::Broken(does_not_continue(&before.task.namespace, &before.task.id)))
    }

    /// Inserts a row behind the number of its task. `text` keeps the statement, which is the same for each row of a table.
    fn insert(&self, text: &OnceLock<String>, no: (&str, i64), row: &StoredRow<'_>) -> Found<()> {
        let text = text.get_or_init(|| {
            let names: Vec<&str> = row.columns.iter().map(|(name, _)| name.as_ref()).collect();
            let places = ", ?".repeat(names.len());
            format!("insert into {} ({}, {}) values (?{places})", row.table, no.0, names.join(", "))
        });
        let values = row.columns.iter().map(|(_, value)| value);
        self.execute(text, params_from_iter(iter::once(&ColumnValue::Number(no.1)).chain(values)))?;
        Ok(())
    }

    fn insert_task(&self, no: i64, task: &Task, head: Hash) -> Found<()> {
        static INSERT: OnceLock<String> = OnceLock::new();
        self.insert(&INSERT, ("no", no), &task_row(task, head))
    }

    /// Writes what commands change. It repeats what was read, so that a row that is not that is never overwritten.
    fn update_task(&self, before: &StoredTask, task: &Task, head: Hash) -> Found<()> {
        let columns = TaskColumns::of(task);
        let old = &before.task;
        self.change_one(
            "update tasks set state = ?, cause = ?, not_before = ?, attempts = ?, epoch = ?, revision = ?, owed = ?, \
             compensations = ?, unwinding = ?, unwinding_reason = ?, cancel_at = ?, cancel_by = ?, \
             cancel_reason = ?, terminal_reason = ?, result = ?, retried_as = ?, updated_at = ?, started_at = ?, \
             finished_at = ?, head = ?, dismissed_at = ?, dismissed_by = ?, dismissed_note = ? where no = ? and revision = ? and state = ? and epoch = ?",
            params![
                columns.state,
                columns.cause,
                micros(task.not_before),
                task.attempts,
                number(task.epoch.0),
                number(task.revision.0),
                columns.owed,
                columns.compensations,
                columns.unwinding,
                columns.unwinding_reason,
                columns.cancel_at,
                columns.cancel_by,
                columns.cancel_reason,
                columns.terminal_reason,
                columns.result,
                columns.retried_as,
                task.updated_at.as_micros(),
                micros(task.started_at),
                columns.finished_at,
                head.0,
                columns.dismissed_at,
                columns.dismissed_by,
                columns.dismissed_note,
                before.row,
                number(old.revision.0),
                old.state().word(),
                number(old.epoch.0)
            ],
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
        static INSERT: OnceLock<String> = OnceLock::new();
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
                None => self.insert(&INSERT, ("task", no), &compensation_row(one))?,
            }
        }
        Ok(())
    }

    fn write_due(&self, no: i64, before: Option<&Task>, task: &Task) -> Found<()> {
        let (old, new) = (before.and_then(Due::of), Due::of(task));
        match new {
            Some(due) if old.as_ref() == Some(&due) => Ok(()),
            Some(due) => {
                if old.is_some() {
                    self.change_one("delete from due where task = ?", params![no])?;
                }
                self.insert_due(no, task, &due)
            }
            None if old.is_some() => self.change_one("delete from due where task = ?", params![no]),
            None => Ok(()),
        }
    }

    fn insert_due(&self, no: i64, task: &Task, due: &Due) -> Found<()> {
        static INSERT: OnceLock<String> = OnceLock::new();
        self.insert(&INSERT, ("task", no), &due_row(task, due))
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

    /// Lets go of up to two requests that are as old as that. Each that comes does so, so they are forgotten without a sweep.
    fn forget(&self, until: Time) -> Found<()> {
        // To look first costs a step in an index; to delete what a select finds costs a table of its own each time.
        let mut old = self
            .connection
            .prepare_cached("select namespace, id from requests where at <= ? order by at limit 2")?;
        let mut rows = old.query(params![until.as_micros()])?;
        let mut forgotten: Vec<(String, String)> = Vec::new();
        while let Some(row) = rows.next()? {
            forgotten.push((row.get(0)?, row.get(1)?));
        }
        for (namespace, id) in forgotten {
            self.change_one("delete from requests where namespace = ? and id = ?", params![namespace, id])?;
        }
        Ok(())
    }

    /// The highest priority below `below` that a planned task of the queue has.
    fn highest(&self, namespace: &Namespace, queue: &Queue, below: Option<i64>) -> Found<Option<i64>> {
        let mut highest = self.connection.prepare_cached(
            "select priority from tasks where namespace = ? and queue = ? and state = 'planned' and priority < ? \
             order by priority desc limit 1",
        )?;
        let params = params![namespace.as_str(), queue.as_str(), below.unwrap_or(i64::MAX)];
        Ok(highest.query_row(params, |row| row.get(0)).optional()?)
    }

    /// As [`Self::highest`], of the tasks that are due: it reads over those that are not.
    fn highest_due(
        &self,
        namespace: &Namespace,
        queue: &Queue,
        below: Option<i64>,
        now: Time,
    ) -> Found<Option<i64>> {
        let mut highest = self.connection.prepare_cached(
            "select priority from tasks where namespace = ? and queue = ? and state = 'planned' and priority < ? \
             and coalesce(not_before, created_at) <= ? order by priority desc limit 1",
        )?;
        let params = params![namespace.as_str(), queue.as_str(), below.unwrap_or(i64::MAX), now.as_micros()];
        Ok(highest.query_row(params, |row| row.get(0)).optional()?)
    }

    /// The due tasks of one priority, in the order in which they are claimed.
    fn planned(
        &self,
        namespace: &Namespace,
        queue: &Queue,
        priority: i64,
        limit: usize,
        now: Time,
    ) -> Found<Vec<Candidate>> {
        let mut due = self.connection.prepare_cached(
            "select id, coalesce(not_before, created_at), no from tasks \
             where namespace = ? and queue = ? and state = 'planned' and priority = ? \
             and coalesce(not_before, created_at) <= ? order by coalesce(not_before, created_at), no limit ?",
        )?;
        let params = params![namespace.as_str(), queue.as_str(), priority, now.as_micros(), limit as i64];
        let candidates = due.query_map(params, |row| {
            Ok(Candidate { id: row.get(0)?, priority, due_since: row.get(1)?, no: row.get(2)? })
        })?;
        Ok(candidates.collect::<rusqlite::Result<_>>()?)
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

/// How many priorities a claim looks into one by one.
const PRIORITIES_MAX: usize = 32;

/// A task that may be claimed, with what claims are ordered by.
struct Candidate {
    id: String,
    priority: i64,
    due_since: i64,
    no: i64,
}

impl Rows for SqliteRows<'_> {
    type Fault = Fault;

    fn task(&mut self, namespace: &Namespace, id: &TaskId) -> Found<Option<StoredTask>> {
        find_task(self.connection, self.policies, namespace, id)
    }

    fn leased(&mut self, namespace: &Namespace, id: &TaskId) -> Found<Option<LeaseRow>> {
        let mut statement = self.connection.prepare_cached(concat!(
            "select ",
            due_columns!(),
            ", due.task from due where due.task = (select no from tasks where namespace = ? and id = ?)"
        ))?;
        let mut rows = statement.query(params![namespace.as_str(), id.as_str()])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        let Some(due) = read_due(row, 0)? else { return Ok(None) };
        let task = due.seen_by_heartbeat(namespace, id);
        let row = row.get(DUE_COLUMNS)?;
        Ok(task.map(|task| LeaseRow { row, check_at: due.check_at, task }))
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
        // One priority after the other, so that tasks of a high one that are not due yet are not read one by one. Where
        // there are very many priorities they are, because a look for each would cost more.
        let mut read_set = 0;
        while planned < limit {
            read_set += 1;
            let next = if read_set <= PRIORITIES_MAX {
                self.highest(namespace, queue, below)?
            } else {
                self.highest_due(namespace, queue, below, now)?
            };
            let Some(priority) = next else { break };
            let due = self.planned(namespace, queue, priority, limit - planned, now)?;
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
        read_request(row, 0).map(Some)
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
        self.forget(request.at - REQUEST_MEMORY)
    }

    fn write(&mut self, change: Change<'_>) -> Found<()> {
        let Change { before, after, head, events } = change;
        let no = before.map_or(self.next_task, |kept| kept.row);
        let old = before.map(|kept| &kept.task);
        before.map_or(Ok(()), |before| self.must_continue(before))?;
        // First what belongs to the task: the guards refuse it once the task's own row says that it ended.
        let compensations = old.map_or(&[][..], |task| &task.compensations);
        self.write_compensations(no, compensations, &after.compensations)?;
        let checkpoint = old.and_then(|old| old.checkpoint.as_ref());
        if let Some(changed) = after.checkpoint.as_ref().filter(|new| checkpoint != Some(*new)) {
            self.write_checkpoint(no, changed)?;
        }
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
        self.ends.count(old, after, after.updated_at);
        self.write_due(no, old, after)?;
        events.iter().try_for_each(|sealed| self.write_event(no, sealed))
    }

    fn renew(&mut self, before: &LeaseRow, after: &Task, now: Time) -> Found<()> {
        let Some(lease) = after.lease() else {
            return Err(Fault::Broken("a heartbeat without a lease".into()));
        };
        self.change_one(
            "update due set heartbeat_at = ?, progressed_at = ?, expires_at = ?, progress = ?, cancel_told = ?, \
             cancel_told_at = ? where task = ? and owner = ? and epoch = ?",
            params![
                lease.heartbeat_at.as_micros(),
                lease.progressed_at.as_micros(),
                lease.expires_at.as_micros(),
                lease.progress.as_ref().map(Progress::as_str),
                lease.cancel_told.map(|told| told.times),
                lease.cancel_told.map(|told| told.since.as_micros()),
                before.row,
                lease.owner.as_str(),
                number(lease.epoch.0)
            ],
        )?;
        if before.check_at <= now {
            // The check moves only when its time has come: one index write a ttl, not one a heartbeat.
            self.change_one("update due set check_at = expires_at where task = ?", params![before.row])?;
        }
        after.checkpoint.as_ref().map_or(Ok(()), |checkpoint| self.write_checkpoint(before.row, checkpoint))
    }

    fn floor(&mut self) -> Found<Epoch> {
        Ok(self.floor)
    }

    fn broken(&mut self, what: String) -> Fault {
        Fault::Broken(what)
    }
}
