//! The rows of a command inside one SQLite transaction. SQL finds and writes here; it decides nothing.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params, params_from_iter};
use tenure_core::case::Names;
use tenure_core::compensation::Compensation;
use tenure_core::event::Event;
use tenure_core::id::{Document, Epoch, Namespace, Queue, RequestId, Revision, SagaId, TaskId};
use tenure_core::task::Task;
use tenure_core::time::Time;
use tenure_store::codec::Sealed;
use tenure_store::columns::{
    DueRow, Policies, RequestRow, TableRow, TaskRow, column_count, read_due, read_event, read_request,
};
use tenure_store::due::Due;
use tenure_store::ends::{EndKey, IN_ALL, Minutes, NewEnds};
use tenure_store::execute::{REQUEST_MEMORY, does_not_continue};
use tenure_store::numbers::number;
use tenure_store::remembered::Request;
use tenure_store::rows::{Change, LeaseRow, Rows, StoredTask};
use tenure_store::stored::ColumnValue;
use tenure_store::waiting::NewlyDue;

use crate::columns::{SqliteError, SqliteResult, SqliteRow, SqliteValue, find_task};
use crate::known::{OpenTask, OpenTasks};
use crate::sql::{self, Update};
use crate::statements::Statements;

/// The transaction's view of the tables.
pub(crate) struct SqliteRows<'c> {
    pub(crate) connection: &'c Connection,
    pub(crate) statements: Statements<'c>,
    pub(crate) open_tasks: &'c mut OpenTasks,
    pub(crate) policies: &'c mut Policies,
    pub(crate) next_task: i64,
    pub(crate) next_event: i64,
    pub(crate) floor: Epoch,
    pub(crate) ends: NewEnds,
    /// When ends are counted that happened long before; none: as they happen.
    pub(crate) counted_at: Option<Time>,
    pub(crate) newly_due: NewlyDue,
}

impl SqliteRows<'_> {
    fn read_task(&mut self, namespace: &Namespace, id: &TaskId) -> SqliteResult<Option<StoredTask>> {
        find_task(self.connection, self.policies, namespace, id)
    }

    fn read_lease(&mut self, namespace: &Namespace, id: &TaskId) -> SqliteResult<Option<LeaseRow>> {
        let mut rows = self.statements.get(&sql::LEASE)?.query(params![namespace.as_str(), id.as_str()])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        let Some(due) = read_due(&SqliteRow(row), 0)? else { return Ok(None) };
        let task = due.seen_by_heartbeat(namespace, id);
        let row = row.get(column_count::<DueRow<'_>>())?;
        Ok(task.map(|task| LeaseRow { row, check_at: due.check_at, task: Arc::new(task) }))
    }

    /// Adds the ends of this transaction to what is counted, and deletes counts that are too old to be read.
    pub(crate) fn write_ends(&mut self, now: Time) -> SqliteResult<()> {
        for (key, count) in self.ends.take() {
            let EndKey { namespace, minute, queue, state, cause } = &key;
            if *minute != IN_ALL {
                self.statements.execute(
                    "delete from ends where namespace = ? and minute > ? and minute < ?",
                    params![namespace.as_str(), IN_ALL, Minutes::at(now).kept],
                )?;
            }
            self.statements.execute(
                "insert into ends (namespace, minute, queue, state, cause, count) values (?, ?, ?, ?, ?, ?) \
                 on conflict (namespace, minute, queue, state, cause) do update set count = count + excluded.count",
                params![namespace.as_str(), minute, queue.as_str(), state, cause, count],
            )?;
        }
        Ok(())
    }

    /// Nothing is appended to a history that does not end where its task says: it would hide what was done to it.
    fn must_continue(&mut self, before: &StoredTask) -> SqliteResult<()> {
        let newest = "select number, hash from events where task = ? order by number desc limit 1";
        let newest = self
            .statements
            .get(newest)?
            .query_row([before.row], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?)));
        let (number, head) = (number(before.task.revision.0), before.head.0);
        if newest.optional()?.is_some_and(|(newest, hash)| newest == number && hash == head) {
            return Ok(());
        }
        let Task { namespace, id, .. } = &*before.task;
        Err(SqliteError::Broken(does_not_continue(namespace, id)))
    }

    /// Inserts a row behind its key.
    fn insert<'a, R: TableRow<'a>>(&mut self, sql: &'static str, key: &[i64], row: R) -> SqliteResult<()> {
        let key = key.iter().map(|number| ColumnValue::Number(*number));
        self.statements
            .execute(sql, params_from_iter(key.chain(row.values(R::COLUMNS.iter())).map(SqliteValue)))?;
        Ok(())
    }

    /// A row that is not what was read is never overwritten.
    fn update<'a, R: TableRow<'a>>(
        &mut self,
        update: &'static Update,
        no: i64,
        before: R,
        after: R,
    ) -> SqliteResult<()> {
        let parameters = update.parameters(no, before, after);
        self.statements.change_one(&update.text, params_from_iter(parameters.map(SqliteValue)))
    }

    fn update_task(&mut self, before: &StoredTask, after: TaskRow<'_>) -> SqliteResult<()> {
        let (no, old) = (before.row, TaskRow::of(before));
        if before.task.ending().is_some() {
            after.must_stay(before).map_err(SqliteError::Broken)?;
            return self.update(&sql::UPDATE_NOTES, no, old, after);
        }
        // First: the other update changes the revision, which both expect to be as it was read.
        if TaskRow::was_put(&before.task, after.task) {
            self.update(&sql::UPDATE_PUT_FIELDS, no, old, after)?;
        }
        self.update(&sql::UPDATE_TASK, no, old, after)
    }

    fn write_compensations(
        &mut self,
        no: i64,
        before: &[Compensation],
        after: &[Compensation],
    ) -> SqliteResult<()> {
        for (at, one) in after.iter().enumerate() {
            match before.get(at) {
                Some(old) if old == one => {}
                Some(old) => self.update(&sql::UPDATE_COMPENSATION, no, old, one)?,
                None => self.insert(&sql::INSERT_COMPENSATION, &[no], one)?,
            }
        }
        Ok(())
    }

    /// Returns the new `check_at`, if the row is another one.
    fn write_due(&mut self, no: i64, before: Option<&Task>, task: &Task) -> SqliteResult<Option<Time>> {
        let (old, new) = (before.and_then(Due::of), Due::of(task));
        if old == new {
            return Ok(None);
        }
        if old.is_some() {
            self.statements.change_one("delete from due where task = ?", params![no])?;
        }
        if let Some(due) = &new {
            self.insert(&sql::INSERT_DUE, &[no], DueRow::of(task, due))?;
        }
        Ok(new.map(|due| due.check_at))
    }

    fn write_checkpoint(&mut self, no: i64, checkpoint: &Document) -> SqliteResult<()> {
        self.statements.execute(
            "insert into checkpoints (task, checkpoint) values (?, ?) \
             on conflict (task) do update set checkpoint = excluded.checkpoint",
            params![no, checkpoint.as_str()],
        )?;
        Ok(())
    }

    pub(crate) fn write_event(&mut self, no: i64, sealed: &Sealed) -> SqliteResult<()> {
        self.insert(&sql::INSERT_EVENT, &[self.next_event, no], sealed)?;
        self.next_event += 1;
        Ok(())
    }

    /// Deletes up to two requests that are that old. Each new request does so, and no sweep is needed.
    fn forget(&mut self, until: Time) -> SqliteResult<()> {
        // To look first costs a step in an index; to delete what a select finds costs a table of its own each time.
        let old = "select namespace, id from requests where at <= ? order by at limit 2";
        let old =
            self.statements.get(old)?.query_map([until.as_micros()], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let forgotten: Vec<(String, String)> = old.collect::<rusqlite::Result<_>>()?;
        for (namespace, id) in forgotten {
            let delete = "delete from requests where namespace = ? and id = ?";
            self.statements.change_one(delete, [namespace, id])?;
        }
        Ok(())
    }

    /// The highest priority below `below` that a planned task of the queue has.
    fn highest(
        &mut self,
        namespace: &Namespace,
        queue: &Queue,
        below: Option<i64>,
    ) -> SqliteResult<Option<i64>> {
        let highest = self.statements.get(
            "select priority from tasks where namespace = ? and queue = ? and state = 'planned' and priority < ? \
             order by priority desc limit 1",
        )?;
        let params = params![namespace.as_str(), queue.as_str(), below.unwrap_or(i64::MAX)];
        Ok(highest.query_row(params, |row| row.get(0)).optional()?)
    }

    /// As [`Self::highest`], of the tasks that are due: it reads over those that are not.
    fn highest_due(
        &mut self,
        namespace: &Namespace,
        queue: &Queue,
        below: Option<i64>,
        now: Time,
    ) -> SqliteResult<Option<i64>> {
        let highest = self.statements.get(
            "select priority from tasks where namespace = ? and queue = ? and state = 'planned' and priority < ? \
             and coalesce(not_before, created_at) <= ? order by priority desc limit 1",
        )?;
        let params = params![namespace.as_str(), queue.as_str(), below.unwrap_or(i64::MAX), now.as_micros()];
        Ok(highest.query_row(params, |row| row.get(0)).optional()?)
    }

    /// The due tasks of one priority, in the order in which they are claimed.
    fn planned(
        &mut self,
        namespace: &Namespace,
        queue: &Queue,
        priority: i64,
        limit: usize,
        now: Time,
    ) -> SqliteResult<Vec<Candidate>> {
        let due = self.statements.get(
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
    fn lapsed_reservations(
        &mut self,
        namespace: &Namespace,
        queue: &Queue,
        now: Time,
    ) -> SqliteResult<Vec<Candidate>> {
        let lapsed = self.statements.get(
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
    type Fault = SqliteError;

    fn task(&mut self, namespace: &Namespace, id: &TaskId) -> SqliteResult<Option<StoredTask>> {
        if let Some(OpenTask::Whole { stored, .. }) = self.open_tasks.get(namespace, id) {
            let known = Some(stored.clone());
            debug_assert_eq!(known, self.read_task(namespace, id)?, "a known task is not what is stored");
            return Ok(known);
        }
        let lease = self.open_tasks.take(namespace, id).and_then(|known| known.lease());
        let found = self.read_task(namespace, id)?;
        if let Some(stored) = found.clone().filter(|stored| stored.task.ending().is_none()) {
            let check_at = lease.map(|lease| lease.check_at);
            self.open_tasks.put(OpenTask::Whole { stored, check_at, is_continued: false });
        }
        Ok(found)
    }

    fn leased(&mut self, namespace: &Namespace, id: &TaskId) -> SqliteResult<Option<LeaseRow>> {
        let known = self.open_tasks.get(namespace, id);
        if let Some(OpenTask::Whole { stored, .. }) = &known
            && stored.task.lease().is_none()
        {
            return Ok(None);
        }
        if let Some(known) = known.and_then(|known| known.lease()) {
            debug_assert_eq!(
                Some((known.row, known.check_at, known.task.lease().cloned(), known.task.cancel.is_some())),
                self.read_lease(namespace, id)?.map(|LeaseRow { row, check_at, task }| {
                    (row, check_at, task.lease().cloned(), task.cancel.is_some())
                }),
                "a known lease is not what is stored"
            );
            return Ok(Some(known));
        }
        let found = self.read_lease(namespace, id)?;
        if let Some(lease) = &found {
            match self.open_tasks.get(namespace, id) {
                Some(OpenTask::Whole { check_at, .. }) => *check_at = Some(lease.check_at),
                Some(OpenTask::Lease(_)) | None => self.open_tasks.put(OpenTask::Lease(lease.clone())),
            }
        }
        Ok(found)
    }

    fn names(&mut self, namespace: &Namespace, id: &TaskId, saga_id: &SagaId) -> SqliteResult<Names> {
        // A saga id is taken by a task that was given it, or by one whose own id it is.
        let taken = "select exists (select 1 from tasks where namespace = ?1 and id = ?2) \
                     or exists (select 1 from tasks where namespace = ?1 and saga_id = ?3 and saga_id <> id) \
                     or exists (select 1 from tasks where namespace = ?1 and id = ?3 and saga_id = id) \
                     or exists (select 1 from pruned where namespace = ?1 and id = ?2) \
                     or exists (select 1 from pruned where namespace = ?1 and saga_id = ?3)";
        let params = params![namespace.as_str(), id.as_str(), saga_id.as_str()];
        let taken: bool = self.statements.get(taken)?.query_row(params, |row| row.get(0))?;
        Ok(if taken { Names::Taken } else { Names::Free })
    }

    fn claimable(
        &mut self,
        namespace: &Namespace,
        queue: &Queue,
        limit: u32,
        now: Time,
    ) -> SqliteResult<Vec<TaskId>> {
        let limit = limit as usize;
        let mut candidates = self.lapsed_reservations(namespace, queue, now)?;
        let mut below = None;
        let mut planned = 0;
        // One priority after the other, so that tasks of a high one that are not due yet are not read one by one. Where
        // there are very many priorities they are, because a look for each would cost more.
        let mut priorities = 0;
        while planned < limit {
            priorities += 1;
            let next = if priorities <= PRIORITIES_MAX {
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

    fn history(&mut self, namespace: &Namespace, id: &TaskId, up_to: Revision) -> SqliteResult<Vec<Event>> {
        let mut rows = self.statements.get(&sql::HISTORY)?.query(params![
            namespace.as_str(),
            id.as_str(),
            number(up_to.0)
        ])?;
        let (mut events, subject) = (Vec::new(), id.clone().into());
        while let Some(row) = rows.next()? {
            events.push(read_event(&SqliteRow(row), 0, namespace, &subject)?);
        }
        Ok(events)
    }

    fn request(&mut self, namespace: &Namespace, id: &RequestId) -> SqliteResult<Option<Request>> {
        let mut rows = self.statements.get(&sql::REQUEST)?.query(params![namespace.as_str(), id.as_str()])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        read_request(&SqliteRow(row), 0).map(Some)
    }

    fn remember(&mut self, namespace: &Namespace, id: &RequestId, request: &Request) -> SqliteResult<()> {
        let name = [namespace.into(), ColumnValue::Text(id.as_str().into())];
        let values = name.into_iter().chain(request.values(RequestRow::COLUMNS.iter()));
        self.statements.execute(&sql::PUT_REQUEST, params_from_iter(values.map(SqliteValue)))?;
        self.forget(request.at - REQUEST_MEMORY)
    }

    fn write(&mut self, change: Change<'_>) -> SqliteResult<()> {
        let Change { before, after, head, events } = change;
        let no = before.as_ref().map_or(self.next_task, |kept| kept.row);
        let old = before.as_ref().map(|kept| &*kept.task);
        let known = old.and_then(|old| self.open_tasks.take(&old.namespace, &old.id));
        let (check_at, is_continued) = match known {
            Some(OpenTask::Whole { check_at, is_continued, .. }) => (check_at, is_continued),
            Some(OpenTask::Lease(_)) | None => (None, false),
        };
        if let Some(before) = before.as_ref().filter(|_| !is_continued) {
            self.must_continue(before)?;
        }
        // First what belongs to the task: the guards refuse it once the task's own row says that it ended.
        let compensations = old.map_or(&[][..], |task| &task.compensations);
        self.write_compensations(no, compensations, &after.compensations)?;
        let checkpoint = old.and_then(|old| old.checkpoint.as_ref());
        if let Some(changed) = after.checkpoint.as_ref().filter(|new| checkpoint != Some(*new)) {
            self.write_checkpoint(no, changed)?;
        }
        let row = TaskRow { task: after, head: &head };
        match &before {
            Some(before) => self.update_task(before, row)?,
            None => {
                self.insert(&sql::INSERT_TASK, &[no], row)?;
                self.next_task += 1;
            }
        }
        self.ends.count(old, after, self.counted_at.unwrap_or(after.updated_at));
        self.newly_due.note(after);
        let check_at = self.write_due(no, old, after)?.or(check_at);
        events.iter().try_for_each(|sealed| self.write_event(no, sealed))?;
        if after.ending().is_none() {
            let stored = StoredTask { row: no, task: Arc::new(after.clone()), head };
            self.open_tasks.put(OpenTask::Whole { stored, check_at, is_continued: true });
        }
        Ok(())
    }

    fn renew(&mut self, before: LeaseRow, after: &Task, now: Time) -> SqliteResult<()> {
        let Some(due) = Due::of(after) else {
            return Err(SqliteError::Broken("a heartbeat without a lease".into()));
        };
        // No heartbeat changes what fences it.
        let row = DueRow::of(after, &due);
        self.update(&sql::RENEW_DUE, before.row, row, row)?;
        let LeaseRow { row: no, mut check_at, task } = before;
        // Then nobody shares the known one, and it is changed in its place.
        drop(task);
        if check_at <= now {
            // The check moves only when its time has come: one index write a ttl, not one a heartbeat.
            let moved = "update due set check_at = expires_at where task = ?";
            self.statements.change_one(moved, [no])?;
            check_at = due.expires_at;
        }
        if let Some(checkpoint) = &after.checkpoint {
            self.write_checkpoint(no, checkpoint)?;
        }
        self.open_tasks.renew(after, check_at);
        Ok(())
    }

    fn floor(&mut self) -> SqliteResult<Epoch> {
        Ok(self.floor)
    }

    fn broken(&mut self, what: String) -> SqliteError {
        SqliteError::Broken(what)
    }
}

#[cfg(test)]
mod tests {
    use tenure_core::chain::Hash;
    use tenure_core::compensation::{Registered, Undo};
    use tenure_core::id::{Kind, Seq, Text};
    use tenure_core::task::{Cause, Ending, Phase, Terminal};

    use super::*;
    use crate::open::{SqliteFile, Synchronous};

    fn ended() -> StoredTask {
        let ending = Ending {
            state: Terminal::Completed,
            cause: Cause::Completed,
            reason: None,
            result: None,
            retried_as: None,
            dismissed: None,
            finished_at: Time::from_micros(1),
        };
        let (namespace, id) = (Namespace::new("default").expect("a name"), TaskId::new("t").expect("a name"));
        let task = Task { phase: Phase::Ended(Box::new(ending)), ..Task::blank(namespace, id) };
        StoredTask { row: 1, task: Arc::new(task), head: Hash::START }
    }

    /// Why a change of a task that has ended is not written. The file has no such task, so a statement that is run changes
    /// no row.
    fn refused(change: impl FnOnce(&mut Task)) -> String {
        let folder = tempfile::tempdir().expect("a folder");
        let file = SqliteFile::new(folder.path().join("tasks.db"), Synchronous::Full);
        file.prepare(std::time::Duration::ZERO, tenure_store::backup::IfMarked::Refuse).expect("made");
        let connection = file.connect_without_guards().expect("opens");
        let mut rows = SqliteRows {
            connection: &connection,
            statements: Statements::of(&connection),
            open_tasks: &mut OpenTasks::default(),
            policies: &mut Policies::default(),
            next_task: 1,
            next_event: 1,
            floor: Epoch::ZERO,
            ends: NewEnds::default(),
            counted_at: None,
            newly_due: NewlyDue::default(),
        };
        let (before, head) = (ended(), Hash([1; 32]));
        let mut after = Task::clone(&before.task);
        change(&mut after);
        match rows.update_task(&before, TaskRow { task: &after, head: &head }) {
            Err(SqliteError::Broken(words)) => words,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn of_a_task_that_has_ended_the_writer_changes_only_the_notes() {
        let noted = refused(|task| {
            task.revision = Revision(7);
            task.updated_at = Time::from_micros(7);
            let Phase::Ended(ending) = &mut task.phase else { panic!("it has ended") };
            ending.retried_as = Some(TaskId::new("t2").expect("a name"));
        });
        assert!(
            noted.starts_with("0 rows were changed instead of one: update tasks set revision"),
            "{noted}"
        );
        let words = |what: &str| format!("the terminal task default/t would change: {what}");
        assert_eq!(refused(|task| task.phase = Phase::Planned), words("state"));
        assert_eq!(refused(|task| task.attempts = 9), words("attempts"));
        assert_eq!(refused(|task| task.priority = 9), words("priority"));
        let undo = Undo {
            kind: Kind::new("rm").expect("a kind"),
            target: Text::new("x").expect("a text"),
            reason: None,
        };
        let added = Compensation::new(Seq(1), undo, Registered::BeforeLease);
        assert_eq!(refused(|task| task.compensations.push(added)), words("compensations"));
        let checkpoint = Document::null();
        assert_eq!(refused(|task| task.checkpoint = Some(checkpoint)), words("compensations or checkpoint"));
    }
}
