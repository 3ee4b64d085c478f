//! Retention in the file: pruning, the record of anchors, and named cursors. Each write is a transaction on a connection of its own
//! that takes the same writer lock as the committer.

use rusqlite::{Connection, OptionalExtension, Transaction, params};
use tenure_api::wire::Word as _;
use tenure_clock::Clock;
use tenure_core::chain::Hash;
use tenure_core::id::{Actor, CursorName, Namespace, Revision, SagaId, TaskId};
use tenure_core::task::Terminal;
use tenure_core::time::Time;
use tenure_store::numbers::{number, unsigned};
use tenure_store::retention::{
    AnchorPurpose, AnchorRecord, BEHIND_MAX, Behind, CURSORS_MAX, CursorMove, CursorRow, EndedTask,
    LOOKED_AT_MAX, NamedCursor, NewAnchor, PruneFilter, PruneStep, PrunedTask, cursor_exists, moves_back,
    no_such_cursor, pruned_cursor, pruned_place, too_many_cursors,
};
use tenure_store::stored::StoredChain;
use tenure_store::{Cursor, Error, Page};

use crate::columns::{SqliteError, SqliteResult};
use crate::open::SqliteFile;
use crate::position::{EVENT_FLOOR, TASK_FLOOR, newest_event, newest_task};
use crate::read::SqliteReader;

/// Says to the guards of the tables that this transaction prunes. No other transaction sees it.
const PRUNING: &str = "pruning";

/// One that writes.
pub(crate) enum RetentionWrite {
    Prune(PruneStep),
    RecordAnchor(NewAnchor),
    MoveCursor(CursorMove),
    ForgetCursor(Namespace, CursorName),
    /// One that was in another store.
    CarryCursor(CursorRow),
}

/// What it gives.
pub(crate) enum Written {
    Pruned(Vec<PrunedTask>),
    Anchor(AnchorRecord),
    Cursor(NamedCursor),
    Carried,
}

/// Writes in one transaction, by that clock. An answered write is on the disk, even if other writes need not be: what is pruned
/// was archived before, and must not come back.
pub(crate) fn write(
    database: &SqliteFile,
    clock: &dyn Clock,
    last: Time,
    write: RetentionWrite,
) -> Result<Written, Error> {
    database.write_flushed(|transaction| {
        let reader = SqliteReader::new(transaction, database, clock, last);
        let now = reader.find_now().map_err(|fault| fault.of(database))?;
        let written = match write {
            RetentionWrite::Prune(step) => prune(transaction, step, now).map(Written::Pruned).map(Ok),
            RetentionWrite::RecordAnchor(anchor) => {
                insert_anchor(transaction, anchor, AnchorPurpose::Audit, now).map(Written::Anchor).map(Ok)
            }
            RetentionWrite::MoveCursor(moving) => {
                move_cursor(transaction, moving, now).map(|moved| moved.map(Written::Cursor))
            }
            RetentionWrite::ForgetCursor(namespace, name) => {
                forget_cursor(transaction, &namespace, &name, now).map(|gone| gone.map(Written::Cursor))
            }
            RetentionWrite::CarryCursor(row) => {
                carry_cursor(transaction, &row).map(|carried| carried.map(|()| Written::Carried))
            }
        };
        written.map_err(|fault| fault.of(database))?
    })
}

// ---- pruning -------------------------------------------------------------------------------------------------

fn prune(transaction: &Transaction<'_>, step: PruneStep, now: Time) -> SqliteResult<Vec<PrunedTask>> {
    let mut found = Vec::with_capacity(step.tasks.len());
    for task in &step.tasks {
        let ended = format!("{ENDED} where namespace = ? and id = ?");
        let mut ended = transaction.prepare_cached(&ended)?;
        let mut rows = ended.query(params![task.namespace.as_str(), task.id.as_str()])?;
        if let Some(row) = rows.next()? {
            found.extend(with_hold(transaction, row)?);
        }
    }
    let newest = Cursor::of('e', newest_event(transaction)?.0);
    let Some(decided) = step.decide(found, newest.as_str().to_owned(), now) else { return Ok(Vec::new()) };
    keep_numbers(transaction)?;
    let anchor = insert_anchor(transaction, decided.anchor.clone(), AnchorPurpose::Prune, now)?;
    let pruned = decided.pruned(anchor.number);
    delete(transaction, &pruned)?;
    Ok(pruned)
}

const RECORD: &str = "insert into pruned (namespace, id, saga_id, number, head, state, finished_at, pruned_at, anchor) \
    values (?, ?, ?, ?, ?, ?, ?, ?, ?)";

/// Records what is left of a task.
pub(crate) fn insert_pruned(connection: &Connection, task: &PrunedTask) -> SqliteResult<()> {
    connection.prepare_cached(RECORD)?.execute(params![
        task.namespace.as_str(),
        task.id.as_str(),
        task.saga_id.as_str(),
        number(task.number.0),
        task.head.0,
        task.state.word(),
        task.finished_at.as_micros(),
        task.pruned_at.as_micros(),
        number(task.anchor),
    ])?;
    Ok(())
}

/// The numbers of tasks and the places of events are never given again: followers have the places.
fn keep_numbers(transaction: &Transaction<'_>) -> SqliteResult<()> {
    let numbers = [(EVENT_FLOOR, newest_event(transaction)?.0), (TASK_FLOOR, newest_task(transaction)?)];
    for (key, number) in numbers {
        let keep = "insert or replace into meta (key, value) values (?, ?)";
        transaction.prepare_cached(keep)?.execute(params![key, number.to_string()])?;
    }
    Ok(())
}

fn delete(transaction: &Transaction<'_>, pruned: &[PrunedTask]) -> SqliteResult<()> {
    transaction.execute("insert into meta (key, value) values (?, 'on')", [PRUNING])?;
    for task in pruned {
        insert_pruned(transaction, task)?;
        let (namespace, id) = (task.namespace.as_str(), task.id.as_str());
        let no: i64 = transaction
            .prepare_cached("select no from tasks where namespace = ? and id = ?")?
            .query_row([namespace, id], |row| row.get(0))?;
        // The task comes last: the guards of the others look at it.
        for delete in [
            "delete from compensations where task = ?",
            "delete from checkpoints where task = ?",
            "delete from due where task = ?",
            "delete from events where task = ?",
            "delete from tasks where no = ?",
        ] {
            transaction.prepare_cached(delete)?.execute([no])?;
        }
    }
    transaction.execute("delete from meta where key = ?", [PRUNING])?;
    Ok(())
}

/// Ended or not: whether a task has ended is seen in its row.
const ENDED: &str =
    "select no, namespace, id, saga_id, revision, head, state, finished_at, updated_at from tasks";

/// The task of a row of [`ENDED`]; none if it has not ended.
fn with_hold(connection: &Connection, row: &rusqlite::Row<'_>) -> SqliteResult<Option<EndedTask>> {
    let Some(mut task) = read_ended(row)? else { return Ok(None) };
    task.held_by = held_by(connection, row.get(0)?, &task.namespace)?;
    Ok(Some(task))
}

/// The same, without what holds it back.
fn read_ended(row: &rusqlite::Row<'_>) -> SqliteResult<Option<EndedTask>> {
    let Some(finished_at) = row.get::<_, Option<i64>>(7)? else { return Ok(None) };
    Ok(Some(EndedTask {
        namespace: Namespace::new(row.get::<_, String>(1)?)?,
        id: TaskId::new(row.get::<_, String>(2)?)?,
        saga_id: SagaId::new(row.get::<_, String>(3)?)?,
        number: Revision(unsigned(row.get(4)?)),
        head: Hash(row.get(5)?),
        state: terminal(&row.get::<_, String>(6)?)?,
        finished_at: Time::from_micros(finished_at),
        updated_at: Time::from_micros(row.get(8)?),
        held_by: None,
    }))
}

fn terminal(word: &str) -> SqliteResult<Terminal> {
    Terminal::of_word(word).ok_or_else(|| SqliteError::Broken(format!("`{word}` is not a terminal state")))
}

/// The slowest cursor of the namespace, if the newest event of the task comes behind it.
fn held_by(connection: &Connection, no: i64, namespace: &Namespace) -> SqliteResult<Option<CursorName>> {
    let mut held = connection.prepare_cached(
        "select name from followers where namespace = ?1 and \"order\" < \
            (select \"order\" from events where task = ?2 order by number desc limit 1) \
         order by \"order\", name limit 1",
    )?;
    let name: Option<String> =
        held.query_row(params![namespace.as_str(), no], |row| row.get(0)).optional()?;
    Ok(name.map(CursorName::new).transpose()?)
}

// ---- anchors -------------------------------------------------------------------------------------------------

pub(crate) fn insert_anchor(
    connection: &Connection,
    anchor: NewAnchor,
    purpose: AnchorPurpose,
    now: Time,
) -> SqliteResult<AnchorRecord> {
    connection
        .prepare_cached(
            "insert into anchors (purpose, cursor, root, lines, at, by) values (?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            purpose.word(),
            anchor.cursor,
            anchor.root.0,
            number(anchor.lines),
            now.as_micros(),
            anchor.by.as_str(),
        ])?;
    Ok(anchor.recorded(unsigned(connection.last_insert_rowid()), purpose, now))
}

const ANCHORS: &str = "select no, purpose, cursor, root, lines, at, by from anchors";

fn read_anchor(row: &rusqlite::Row<'_>) -> SqliteResult<AnchorRecord> {
    let purpose: String = row.get(1)?;
    Ok(AnchorRecord {
        number: unsigned(row.get(0)?),
        purpose: AnchorPurpose::of_word(&purpose)
            .ok_or_else(|| SqliteError::Broken(format!("`{purpose}` is no purpose of an anchor")))?,
        cursor: row.get(2)?,
        root: Hash(row.get(3)?),
        lines: unsigned(row.get(4)?),
        at: Time::from_micros(row.get(5)?),
        by: Actor::new(row.get::<_, String>(6)?)?,
    })
}

// ---- named cursors -------------------------------------------------------------------------------------------

fn move_cursor(
    connection: &Connection,
    moving: CursorMove,
    now: Time,
) -> SqliteResult<Result<NamedCursor, Error>> {
    let CursorMove { namespace, name, to, by } = moving;
    let place = match to.as_ref().map_or(Ok(0), |to| to.number('e')) {
        Ok(place) => place,
        Err(foreign) => return Ok(Err(foreign)),
    };
    if place > newest_event(connection)?.0 {
        return Ok(Err(Cursor::ahead()));
    }
    match find_cursor(connection, &namespace, &name)? {
        Some((at, _)) if to.is_some() && place < at => {
            let [at, to] = [at, place].map(|place| Cursor::of('e', place));
            return Ok(Err(moves_back(&name, at.as_str(), to.as_str())));
        }
        Some((at, _)) if place <= at => {}
        Some(_) => {
            let forward = "update followers set \"order\" = ?, moved_at = ?, moved_by = ? where namespace = ? and name = ?";
            connection.prepare_cached(forward)?.execute(params![
                place,
                now.as_micros(),
                by.as_str(),
                namespace.as_str(),
                name.as_str()
            ])?;
        }
        None => {
            let (namespace, name, cursor) = (namespace.clone(), name.clone(), Cursor::of('e', place));
            let row = CursorRow { namespace, name, cursor, moved_at: now, moved_by: by };
            if let Err(refused) = add_cursor(connection, &row, place)? {
                return Ok(Err(refused));
            }
        }
    }
    match find_cursor(connection, &namespace, &name)? {
        Some(row) => with_lag(connection, row, now).map(Ok),
        None => Ok(Err(no_such_cursor(&namespace, &name))),
    }
}

fn add_cursor(connection: &Connection, row: &CursorRow, place: i64) -> SqliteResult<Result<(), Error>> {
    let CursorRow { namespace, name, cursor: _, moved_at, moved_by } = row;
    let count = "select count(*) from followers where namespace = ?";
    let count: i64 = connection.prepare_cached(count)?.query_row([namespace.as_str()], |row| row.get(0))?;
    if count >= number(CURSORS_MAX as u64) {
        return Ok(Err(too_many_cursors()));
    }
    let add = "insert into followers (namespace, name, \"order\", moved_at, moved_by) values (?, ?, ?, ?, ?)";
    connection.prepare_cached(add)?.execute(params![
        namespace.as_str(),
        name.as_str(),
        place,
        moved_at.as_micros(),
        moved_by.as_str()
    ])?;
    Ok(Ok(()))
}

fn carry_cursor(connection: &Connection, row: &CursorRow) -> SqliteResult<Result<(), Error>> {
    let place = match row.cursor.number('e') {
        Ok(place) => place,
        Err(foreign) => return Ok(Err(foreign)),
    };
    if find_cursor(connection, &row.namespace, &row.name)?.is_some() {
        return Ok(Err(cursor_exists(&row.namespace, &row.name)));
    }
    add_cursor(connection, row, place)
}

fn forget_cursor(
    connection: &Connection,
    namespace: &Namespace,
    name: &CursorName,
    now: Time,
) -> SqliteResult<Result<NamedCursor, Error>> {
    let Some(row) = find_cursor(connection, namespace, name)? else {
        return Ok(Err(no_such_cursor(namespace, name)));
    };
    connection.execute(
        "delete from followers where namespace = ? and name = ?",
        [namespace.as_str(), name.as_str()],
    )?;
    with_lag(connection, row, now).map(Ok)
}

const CURSORS: &str = "select namespace, name, \"order\", moved_at, moved_by from followers";

/// The place of a cursor, and its row.
fn read_cursor(row: &rusqlite::Row<'_>) -> SqliteResult<(i64, CursorRow)> {
    let place = row.get(2)?;
    let read = CursorRow {
        namespace: Namespace::new(row.get::<_, String>(0)?)?,
        name: CursorName::new(row.get::<_, String>(1)?)?,
        cursor: Cursor::of('e', place),
        moved_at: Time::from_micros(row.get(3)?),
        moved_by: Actor::new(row.get::<_, String>(4)?)?,
    };
    Ok((place, read))
}

fn find_cursor(
    connection: &Connection,
    namespace: &Namespace,
    name: &CursorName,
) -> SqliteResult<Option<(i64, CursorRow)>> {
    let mut found = connection.prepare_cached(&format!("{CURSORS} where namespace = ? and name = ?"))?;
    let mut rows = found.query([namespace.as_str(), name.as_str()])?;
    rows.next()?.map(read_cursor).transpose()
}

fn with_lag(connection: &Connection, (place, row): (i64, CursorRow), now: Time) -> SqliteResult<NamedCursor> {
    let mut behind = connection.prepare_cached(
        "select count(*), coalesce(sum(iif(namespace = ?2, 1, 0)), 0), min(iif(namespace = ?2, at, null)) from ( \
            select coalesce(tasks.namespace, namespace_histories.namespace) as namespace, events.at from events \
            left join tasks on tasks.no = events.task \
            left join namespace_histories on namespace_histories.no = events.task \
            where events.\"order\" > ?1 order by events.\"order\" limit ?3)",
    )?;
    let given = params![place, row.namespace.as_str(), number(BEHIND_MAX as u64)];
    let behind = behind.query_row(given, |found| {
        Ok(Behind {
            looked_at: usize::try_from(found.get::<_, i64>(0)?).unwrap_or(usize::MAX),
            count: unsigned(found.get(1)?),
            since: found.get::<_, Option<i64>>(2)?.map(Time::from_micros),
        })
    })?;
    Ok(row.behind(behind, now))
}

// ---- reads ---------------------------------------------------------------------------------------------------

pub(crate) const PRUNED: &str =
    "select namespace, id, saga_id, number, head, state, finished_at, pruned_at, anchor from pruned";

pub(crate) fn read_pruned(row: &rusqlite::Row<'_>) -> SqliteResult<PrunedTask> {
    Ok(PrunedTask {
        namespace: Namespace::new(row.get::<_, String>(0)?)?,
        id: TaskId::new(row.get::<_, String>(1)?)?,
        saga_id: SagaId::new(row.get::<_, String>(2)?)?,
        number: Revision(unsigned(row.get(3)?)),
        head: Hash(row.get(4)?),
        state: terminal(&row.get::<_, String>(5)?)?,
        finished_at: Time::from_micros(row.get(6)?),
        pruned_at: Time::from_micros(row.get(7)?),
        anchor: unsigned(row.get(8)?),
    })
}

impl SqliteReader<'_> {
    pub(crate) fn prunable(
        &mut self,
        filter: &PruneFilter,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<EndedTask>, Error> {
        let after = after.map_or(Ok(i64::MIN), |cursor| cursor.number('p'))?;
        self.find_prunable(filter, after, limit.max(1)).map_err(|fault| self.error(fault))
    }

    fn find_prunable(&self, filter: &PruneFilter, after: i64, limit: usize) -> SqliteResult<Page<EndedTask>> {
        let now = self.find_now()?;
        let of_namespace = if filter.namespace.is_some() { "namespace = ?3 and " } else { "?3 is null and " };
        let sql = format!("{ENDED} where {of_namespace}no > ?1 order by no limit ?2");
        let mut looked = self.connection().prepare_cached(&sql)?;
        let namespace = filter.namespace.as_ref().map(Namespace::as_str);
        let mut rows = looked.query(params![after, number(LOOKED_AT_MAX as u64 + 1), namespace])?;
        let (mut items, mut next, mut looked_at) = (Vec::new(), None, 0);
        while let Some(row) = rows.next()? {
            if looked_at == LOOKED_AT_MAX || items.len() == limit {
                return Ok(Page::new(items, next, false));
            }
            looked_at += 1;
            next = Some(Cursor::of('p', row.get(0)?));
            if read_ended(row)?.is_some_and(|task| filter.takes(&task, now)) {
                items.extend(with_hold(self.connection(), row)?);
            }
        }
        Ok(Page::new(items, None, false))
    }

    pub(crate) fn chains_of(&mut self, tasks: &[(Namespace, TaskId)]) -> Result<Vec<StoredChain>, Error> {
        let chains = tasks.iter().map(|(namespace, id)| self.chain_of(namespace, &id.clone().into()));
        chains.filter_map(Result::transpose).collect()
    }

    pub(crate) fn pruned(&mut self, namespace: &Namespace, id: &TaskId) -> Result<Option<PrunedTask>, Error> {
        let find = || -> SqliteResult<_> {
            let sql = format!("{PRUNED} where namespace = ? and id = ?");
            let mut found = self.connection().prepare_cached(&sql)?;
            let mut rows = found.query([namespace.as_str(), id.as_str()])?;
            rows.next()?.map(read_pruned).transpose()
        };
        find().map_err(|fault| self.error(fault))
    }

    pub(crate) fn pruned_tasks(
        &mut self,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<PrunedTask>, Error> {
        let (namespace, id) = pruned_place(after)?;
        let limit = limit.max(1);
        let find = || -> SqliteResult<Vec<PrunedTask>> {
            let sql = format!("{PRUNED} where (namespace, id) > (?, ?) order by namespace, id limit ?");
            let mut found = self.connection().prepare_cached(&sql)?;
            let mut rows = found.query(params![namespace, id, number((limit as u64).saturating_add(1))])?;
            let mut items = Vec::new();
            while let Some(row) = rows.next()? {
                items.push(read_pruned(row)?);
            }
            Ok(items)
        };
        let mut items = find().map_err(|fault| self.error(fault))?;
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(pruned_cursor);
        Ok(Page::new(items, next, false))
    }

    pub(crate) fn anchors(&mut self, after: u64, limit: usize) -> Result<Vec<AnchorRecord>, Error> {
        let find = || -> SqliteResult<Vec<AnchorRecord>> {
            let sql = format!("{ANCHORS} where no > ? order by no limit ?");
            let mut found = self.connection().prepare_cached(&sql)?;
            let mut rows = found.query(params![number(after), number(limit.max(1) as u64)])?;
            let mut records = Vec::new();
            while let Some(row) = rows.next()? {
                records.push(read_anchor(row)?);
            }
            Ok(records)
        };
        find().map_err(|fault| self.error(fault))
    }

    pub(crate) fn newest_anchor(&mut self, purpose: AnchorPurpose) -> Result<Option<AnchorRecord>, Error> {
        let find = || -> SqliteResult<Option<AnchorRecord>> {
            let sql = format!("{ANCHORS} where purpose = ? order by at desc, no desc limit 1");
            let mut found = self.connection().prepare_cached(&sql)?;
            let mut rows = found.query([purpose.word()])?;
            rows.next()?.map(read_anchor).transpose()
        };
        find().map_err(|fault| self.error(fault))
    }

    pub(crate) fn named_cursors(&mut self, namespace: &Namespace) -> Result<Vec<NamedCursor>, Error> {
        let find = || -> SqliteResult<Vec<NamedCursor>> {
            let now = self.find_now()?;
            let sql = format!("{CURSORS} where namespace = ? order by name");
            let mut found = self.connection().prepare_cached(&sql)?;
            let mut rows = found.query([namespace.as_str()])?;
            let mut cursors = Vec::new();
            while let Some(row) = rows.next()? {
                cursors.push(with_lag(self.connection(), read_cursor(row)?, now)?);
            }
            Ok(cursors)
        };
        find().map_err(|fault| self.error(fault))
    }

    pub(crate) fn prunes(&mut self) -> Result<u64, Error> {
        let find = || -> SqliteResult<u64> {
            let count = "select count(*) from anchors where purpose = ?";
            let mut count = self.connection().prepare_cached(count)?;
            Ok(unsigned(count.query_row([AnchorPurpose::Prune.word()], |row| row.get(0))?))
        };
        find().map_err(|fault| self.error(fault))
    }

    pub(crate) fn pruned_behind(&mut self, anchor: u64) -> Result<Vec<PrunedTask>, Error> {
        let find = || -> SqliteResult<Vec<PrunedTask>> {
            let sql = format!("{PRUNED} where anchor = ? order by namespace, id");
            let mut found = self.connection().prepare_cached(&sql)?;
            let mut rows = found.query([number(anchor)])?;
            let mut pruned = Vec::new();
            while let Some(row) = rows.next()? {
                pruned.push(read_pruned(row)?);
            }
            Ok(pruned)
        };
        find().map_err(|fault| self.error(fault))
    }

    pub(crate) fn followers(
        &mut self,
        after: Option<&(Namespace, CursorName)>,
        limit: usize,
    ) -> Result<Vec<CursorRow>, Error> {
        let (namespace, name) =
            after.map_or(("", ""), |(namespace, name)| (namespace.as_str(), name.as_str()));
        let find = || -> SqliteResult<Vec<CursorRow>> {
            let sql = format!("{CURSORS} where (namespace, name) > (?, ?) order by namespace, name limit ?");
            let mut found = self.connection().prepare_cached(&sql)?;
            let mut rows = found.query(params![namespace, name, number(limit.max(1) as u64)])?;
            let mut followers = Vec::new();
            while let Some(row) = rows.next()? {
                followers.push(read_cursor(row)?.1);
            }
            Ok(followers)
        };
        find().map_err(|fault| self.error(fault))
    }

    pub(crate) fn follower(
        &mut self,
        namespace: &Namespace,
        name: &CursorName,
    ) -> Result<Option<CursorRow>, Error> {
        let found = find_cursor(self.connection(), namespace, name);
        found.map(|found| found.map(|(_, row)| row)).map_err(|fault| self.error(fault))
    }

    /// The namespaces that have pruned tasks, by name.
    pub(crate) fn pruned_namespaces(&self) -> SqliteResult<Vec<Namespace>> {
        // From one to the next by the key, so that it costs the namespaces and not the tasks.
        let mut found = self.connection().prepare_cached(
            "with recursive namespaces (name) as ( \
                select min(namespace) from pruned \
                union all \
                select (select min(namespace) from pruned where namespace > namespaces.name) from namespaces \
                where namespaces.name is not null) \
             select name from namespaces where name is not null",
        )?;
        let names = found.query_map([], |row| row.get::<_, String>(0))?;
        names.map(|name| Ok(Namespace::new(name?)?)).collect()
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;
    use crate::read::tests::new_file;

    #[test]
    fn a_pruned_task_is_recorded_in_few_steps_however_many_were_pruned_before() {
        let (_folder, database) = new_file();
        let connection = database.connect().expect("opens");
        let record = |number: u64| {
            let task = PrunedTask {
                namespace: Namespace::new("default").expect("a name"),
                id: TaskId::new(format!("t{number}")).expect("an id"),
                saga_id: SagaId::new(format!("s{number}")).expect("an id"),
                number: Revision(4),
                head: Hash([7; 32]),
                state: Terminal::Completed,
                finished_at: Time::MIN,
                pruned_at: Time::MIN,
                anchor: 1,
            };
            insert_pruned(&connection, &task).expect("recorded");
            connection.prepare_cached(RECORD).expect("SQL").reset_status(StatementStatus::VmStep)
        };
        let first = record(0);
        let last = (1..500).map(record).last().expect("many");
        assert!(first > 0 && last < first + 20, "{first} steps at first, {last} at last");
    }
}
