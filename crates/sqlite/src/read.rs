//! Reads outside a transaction: lists, the history, due tasks, chains to verify.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, params, params_from_iter};
use tenure_clock::Clock;
use tenure_core::event::Subject;
use tenure_core::id::{Namespace, Queue, RequestId, TaskId};
use tenure_core::task::Task;
use tenure_core::time::Time;
use tenure_store::Error;
use tenure_store::columns::{EventRow, Policies, at, column_count, read_stored_event};
use tenure_store::execute::REQUEST_MEMORY;
use tenure_store::filling::{FoundEvents, PageFill, page};
use tenure_store::size::{chain_bytes, task_bytes};
use tenure_store::stored::{ColumnValue, StoredChain, StoredEvent, StoredRow};
use tenure_store::{Cursor, EventFilter, Filter, Lapsed, Page, PageSize, Recorded};

use crate::columns::{SqliteError, SqliteResult, SqliteRow, find_task, read_whole};
use crate::conditions::Conditions;
use crate::open::SqliteFile;
use crate::position::{newest_event, read_mark};
use crate::sql;

/// Every namespace that has a task: from one to the next by an index, so that it costs the namespaces and not the tasks.
const NAMESPACES: &str = "\
    with recursive namespaces (name) as ( \
        select min(namespace) from tasks \
        union all \
        select (select min(namespace) from tasks where namespace > namespaces.name) from namespaces where namespaces.name is not null) \
    select name from namespaces where name is not null";

/// A look at the file.
pub(crate) struct SqliteReader<'c> {
    connection: &'c Connection,
    database: &'c SqliteFile,
    clock: &'c dyn Clock,
    /// The last instant that this process gave.
    last: Time,
    policies: Policies,
}

impl<'c> SqliteReader<'c> {
    pub(crate) fn new(
        connection: &'c Connection,
        database: &'c SqliteFile,
        clock: &'c dyn Clock,
        last: Time,
    ) -> SqliteReader<'c> {
        SqliteReader { connection, database, clock, last, policies: Policies::default() }
    }

    pub(crate) fn connection(&self) -> &'c Connection {
        self.connection
    }

    pub(crate) fn error(&self, fault: SqliteError) -> Error {
        fault.of(self.database)
    }

    pub(crate) fn task(&mut self, namespace: &Namespace, id: &TaskId) -> Result<Option<Task>, Error> {
        self.find_task(namespace, id).map_err(|fault| self.error(fault))
    }

    fn find_task(&mut self, namespace: &Namespace, id: &TaskId) -> SqliteResult<Option<Task>> {
        Ok(find_task(self.connection, &mut self.policies, namespace, id)?.map(|kept| kept.into_task()))
    }

    pub(crate) fn now(&mut self) -> Result<Time, Error> {
        self.find_now().map_err(|fault| self.error(fault))
    }

    pub(crate) fn find_now(&self) -> SqliteResult<Time> {
        let mark = "select value from meta where key = 'clock'";
        let mark: Option<String> =
            self.connection.prepare_cached(mark)?.query_row([], |row| row.get(0)).optional()?;
        let reading = self.clock.read();
        let now = mark.and_then(|text| read_mark(&text)).map_or(reading.wall, |mark| mark.now(&reading));
        // A large batch gives instants ahead of the clock, and no later command gets an earlier one.
        Ok(now.max(self.last).max(newest_event(self.connection)?.1))
    }

    pub(crate) fn namespaces(&mut self) -> Result<Vec<Namespace>, Error> {
        self.find_namespaces().map_err(|fault| self.error(fault))
    }

    fn find_namespaces(&self) -> SqliteResult<Vec<Namespace>> {
        let mut namespaces = self.connection.prepare_cached(NAMESPACES)?;
        let mut rows = namespaces.query([])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(Namespace::new(row.get::<_, String>(0)?)?);
        }
        found.extend(self.pruned_namespaces()?);
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    pub(crate) fn tasks(
        &mut self,
        filter: &Filter,
        after: Option<&Cursor>,
        size: PageSize,
    ) -> Result<Page<Task>, Error> {
        let after = after.map(|cursor| cursor.number('t')).transpose()?;
        self.find_tasks(filter, after, size).map_err(|fault| self.error(fault))
    }

    fn find_tasks(
        &mut self,
        filter: &Filter,
        after: Option<i64>,
        size: PageSize,
    ) -> SqliteResult<Page<Task>> {
        let limit = page(size.items) + 1;
        let wanted = Conditions::of_page(filter, after, self.find_now()?, limit);
        let (select, order) = (&*sql::SELECT_TASKS, filter.order.sql());
        let sql = format!("{select} where {} order by tasks.no {order} limit {limit}", wanted.sql());
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut rows = statement.query(params_from_iter(&wanted.values))?;
        let (mut items, mut last, mut fill, mut more) = (Vec::new(), None, PageFill::new(size), false);
        while let Some(row) = rows.next()? {
            let kept = read_whole(self.connection, &mut self.policies, row)?;
            if !fill.takes(task_bytes(&kept.task)) {
                more = true;
                break;
            }
            last = Some(kept.row);
            items.push(kept.into_task());
        }
        let next = last.filter(|_| more).map(|row| Cursor::of('t', row));
        let is_cut = fill.is_cut() && next.is_some();
        Ok(Page::new(items, next, is_cut))
    }

    pub(crate) fn lapsed(&mut self, after: Option<&Cursor>, limit: usize) -> Result<Lapsed, Error> {
        let after = after.map_or(Ok((i64::MIN, 0)), |cursor| cursor.numbers('d'))?;
        self.find_lapsed(after, limit).map_err(|fault| self.error(fault))
    }

    fn find_lapsed(&self, (check_at, task): (i64, i64), limit: usize) -> SqliteResult<Lapsed> {
        let now = self.find_now()?.as_micros();
        let limit = page(limit);
        let mut due = self.connection.prepare_cached(
            "select tasks.namespace, tasks.id, due.check_at, due.task from due join tasks on tasks.no = due.task \
             where due.held_back = 0 and due.check_at <= ?1 and due.expires_at + coalesce(due.lock_delay, 0) + coalesce(due.recover_after, 0) <= ?1 \
             and (due.check_at, due.task) > (?2, ?3) order by due.check_at, due.task limit ?4",
        )?;
        let mut rows = due.query(params![now, check_at, task, limit + 1])?;
        let (mut tasks, mut places) = (Vec::new(), Vec::new());
        while let Some(row) = rows.next()? {
            tasks.push((Namespace::new(row.get::<_, String>(0)?)?, TaskId::new(row.get::<_, String>(1)?)?));
            places.push((row.get(2)?, row.get(3)?));
        }
        let more = tasks.len() as i64 > limit;
        tasks.truncate(limit as usize);
        let last = tasks.len().checked_sub(1).map(|at| places[at]).filter(|_| more);
        let next = last.map(|(check_at, task)| Cursor::between('d', check_at, task));
        Ok(Lapsed { tasks, next, next_check: self.find_next_check(now)? })
    }

    /// When to look again: the earliest check that is ahead, or the end of a wait whose check is past already because
    /// a heartbeat moved the end alone. Those are few.
    fn find_next_check(&self, now: i64) -> SqliteResult<Option<Time>> {
        let mut ahead = self.connection.prepare_cached(
            "select min(at) from ( \
                 select min(expires_at + coalesce(lock_delay, 0) + coalesce(recover_after, 0)) as at from due \
                 where held_back = 0 and check_at <= ?1 and expires_at + coalesce(lock_delay, 0) + coalesce(recover_after, 0) > ?1 \
                 union all \
                 select min(check_at) as at from due where held_back = 0 and check_at > ?1)",
        )?;
        let at: Option<i64> = ahead.query_row([now], |row| row.get(0))?;
        Ok(at.map(Time::from_micros))
    }

    pub(crate) fn claimable_at(
        &mut self,
        namespace: &Namespace,
        queue: &Queue,
    ) -> Result<Option<Time>, Error> {
        self.find_claimable_at(namespace, queue).map_err(|fault| self.error(fault))
    }

    fn find_claimable_at(&self, namespace: &Namespace, queue: &Queue) -> SqliteResult<Option<Time>> {
        // The two indexes that a claim uses.
        let mut waits = self.connection.prepare_cached(
            "select min(at) from ( \
                 select min(coalesce(not_before, created_at)) as at from tasks \
                 where namespace = ?1 and queue = ?2 and state = 'planned' \
                 union all \
                 select min(expires_at) from due where namespace = ?1 and queue = ?2 and wait = 'reservation')",
        )?;
        let at: Option<i64> = waits.query_row((namespace.as_str(), queue.as_str()), |row| row.get(0))?;
        Ok(at.map(Time::from_micros))
    }

    pub(crate) fn remembers(&mut self, namespace: &Namespace, id: &RequestId) -> Result<bool, Error> {
        self.find_remembered(namespace, id).map_err(|fault| self.error(fault))
    }

    fn find_remembered(&self, namespace: &Namespace, id: &RequestId) -> SqliteResult<bool> {
        let oldest = self.find_now()? - REQUEST_MEMORY;
        let mut remembered = self.connection.prepare_cached(
            "select exists (select 1 from requests where namespace = ?1 and id = ?2 and at > ?3)",
        )?;
        Ok(remembered.query_row((namespace.as_str(), id.as_str(), oldest.as_micros()), |row| row.get(0))?)
    }

    pub(crate) fn events(
        &mut self,
        filter: &EventFilter,
        after: Option<&Cursor>,
        size: PageSize,
    ) -> Result<Page<Recorded>, Error> {
        let after = after.map_or(Ok(0), |cursor| cursor.number('e'))?;
        if after > self.newest_place()? {
            return Err(Cursor::ahead());
        }
        self.find_events(filter, after, size).map_err(|fault| self.error(fault))
    }

    fn find_events(&self, filter: &EventFilter, after: i64, size: PageSize) -> SqliteResult<Page<Recorded>> {
        let newest = newest_event(self.connection)?.0;
        let mut wanted = Conditions::default();
        wanted.add("events.\"order\" > ?", after);
        wanted.add("events.\"order\" <= ?", newest);
        let name = if filter.task.is_some() { "tasks.namespace" } else { sql::EVENT_NAMESPACE };
        match &filter.namespace {
            // Of a whole namespace the events are read in their order, not task by task: no index has the expression.
            Some(namespace) => wanted.add(format!("{name} = ?"), namespace.to_string()),
            None => wanted.condition(format!("{name} is not null")),
        }
        if let Some(task) = &filter.task {
            wanted.add("tasks.id = ?", task.to_string());
        }
        let limit = page(size.items);
        let (select, wanted_sql) = (&*sql::SELECT_EVENTS, wanted.sql());
        let sql = format!("{select} where {wanted_sql} order by events.\"order\" limit {limit}");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut rows = statement.query(params_from_iter(&wanted.values))?;
        let mut found = FoundEvents::new(size);
        while let Some(row) = rows.next()? {
            let cursor = Cursor::of('e', row.get(ORDER)?);
            let recorded = match recorded(row, cursor.clone()) {
                Err(SqliteError::Broken(_)) => None,
                read => Some(read?),
            };
            if !found.takes(cursor, recorded) {
                break;
            }
        }
        Ok(found.page(false, |_| Cursor::of('e', newest.max(after))))
    }

    pub(crate) fn newest(&mut self) -> Result<Cursor, Error> {
        let newest = newest_event(self.connection).map_err(|fault| self.error(fault))?;
        Ok(Cursor::of('e', newest.0))
    }

    /// The place of the newest event.
    pub(crate) fn newest_place(&mut self) -> Result<i64, Error> {
        Ok(newest_event(self.connection).map_err(|fault| self.error(fault))?.0)
    }

    pub(crate) fn chains(
        &mut self,
        after: Option<&Cursor>,
        size: PageSize,
    ) -> Result<Page<StoredChain>, Error> {
        let after = after.map_or(Ok(i64::MIN), |cursor| cursor.number('c'))?;
        let mut fill = PageFill::new(size);
        let items = self.find_chains(after, size.items, &mut fill).map_err(|fault| self.error(fault))?;
        let next = items.last().filter(|_| fill.is_full()).map(|last| Cursor::of('c', last.row));
        let is_cut = fill.is_cut() && next.is_some();
        Ok(Page::new(items, next, is_cut))
    }

    /// The chain of one task, or of a namespace itself. An event whose task's row is gone belongs to no chain here: only reading all events finds it.
    pub(crate) fn chain_of(
        &mut self,
        namespace: &Namespace,
        subject: &Subject,
    ) -> Result<Option<StoredChain>, Error> {
        self.find_chain_of(namespace, subject).map_err(|fault| self.error(fault))
    }

    fn find_chain_of(
        &mut self,
        namespace: &Namespace,
        subject: &Subject,
    ) -> SqliteResult<Option<StoredChain>> {
        let _moment = self.connection.unchecked_transaction()?;
        let namespace = namespace.as_str();
        let row = match subject {
            Subject::Task(id) => {
                let mut row =
                    self.connection.prepare_cached("select no from tasks where namespace = ? and id = ?")?;
                row.query_row((namespace, id.as_str()), |row| row.get(0)).optional()?
            }
            Subject::Namespace => {
                let mut row = self
                    .connection
                    .prepare_cached("select no from namespace_histories where namespace = ?")?;
                row.query_row([namespace], |row| row.get(0)).optional()?
            }
        };
        row.map(|row| self.chain(row)).transpose()
    }

    /// Rows of tasks and of namespaces, whose numbers are the lower ones, and rows of other tables that belong to none: a removed task
    /// leaves them behind, or nothing at all.
    fn find_chains(
        &mut self,
        after: i64,
        limit: usize,
        fill: &mut PageFill,
    ) -> SqliteResult<Vec<StoredChain>> {
        // One look at one moment: between two statements another process could add what the first did not see.
        let moment = self.connection.unchecked_transaction()?;
        // Of the other tables only those rows are looked through that stand between the first and the last of these tasks.
        let mut rows = moment.prepare_cached(
            "with page as (select no from tasks where no > ?1 order by no limit ?2), \
             last as (select iif(count(*) < ?2, 9223372036854775807, max(no)) as no from page) \
             select no from page \
             union select no from namespace_histories where no > ?1 and no <= (select no from last) \
             union select task from events where task > ?1 and task <= (select no from last) \
             and not exists (select 1 from tasks where tasks.no = events.task) \
             union select task from due where task > ?1 and task <= (select no from last) \
             and not exists (select 1 from tasks where tasks.no = due.task) \
             union select task from checkpoints where task > ?1 and task <= (select no from last) \
             and not exists (select 1 from tasks where tasks.no = checkpoints.task) \
             union select task from compensations where task > ?1 and task <= (select no from last) \
             and not exists (select 1 from tasks where tasks.no = compensations.task) \
             order by 1 limit ?2",
        )?;
        let rows = rows.query_map(params![after, page(limit)], |row| row.get(0))?;
        let rows = rows.collect::<rusqlite::Result<Vec<i64>>>()?;
        let mut chains = Vec::new();
        for row in rows {
            let chain = self.chain(row)?;
            if !fill.takes(chain_bytes(&chain)) {
                break;
            }
            chains.push(chain);
        }
        Ok(chains)
    }

    fn chain(&mut self, no: i64) -> SqliteResult<StoredChain> {
        let mut chain = StoredChain::without_task(no, None);
        let mut events = self.connection.prepare_cached(&sql::CHAIN)?;
        let mut events = events.query([no])?;
        while let Some(row) = events.next()? {
            chain.events.push(StoredEvent {
                order: row.get(ORDER)?,
                number: row.get(at!(EventRow, "number"))?,
                at: row.get(at!(EventRow, "at"))?,
                actor: text_as_stored(row, at!(EventRow, "actor"))?,
                kind: text_as_stored(row, at!(EventRow, "type"))?,
                data: text_as_stored(row, at!(EventRow, "data"))?,
                hash: row.get(at!(EventRow, "hash"))?,
            });
        }
        for (table, sql) in [
            ("tasks", "select * from tasks where no = ?"),
            ("namespace_histories", "select * from namespace_histories where no = ?"),
            ("due", "select * from due where task = ?"),
            ("checkpoints", "select * from checkpoints where task = ?"),
            ("compensations", "select * from compensations where task = ? order by seq"),
        ] {
            let mut statement = self.connection.prepare_cached(sql)?;
            let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
            let mut rows = statement.query([no])?;
            while let Some(row) = rows.next()? {
                let value =
                    |(at, name): (usize, &String)| Ok((name.clone().into(), value_as_stored(row, at)?));
                // The first column is the task's number, by which the row was found.
                let columns = names.iter().enumerate().skip(1).map(value).collect::<SqliteResult<_>>()?;
                chain.rows.push(StoredRow { table: table.into(), columns });
            }
        }
        let mut named = self.connection.prepare_cached("select namespace, id from tasks where no = ?")?;
        let mut named = named.query([no])?;
        if let Some(row) = named.next()? {
            let (namespace, id) = (text_as_stored(row, 0)?, text_as_stored(row, 1)?);
            chain.stored_name = Some(format!("{namespace}/{id}"));
            chain.name =
                Namespace::new(namespace).and_then(|namespace| Ok((namespace, TaskId::new(id)?.into()))).ok();
        }
        let mut named =
            self.connection.prepare_cached("select namespace from namespace_histories where no = ?")?;
        let mut named = named.query([no])?;
        if let Some(row) = named.next()? {
            let namespace = text_as_stored(row, 0)?;
            chain.stored_name = Some(namespace.clone());
            chain.name = Namespace::new(namespace).map(|namespace| (namespace, Subject::Namespace)).ok();
        }
        Ok(chain)
    }
}

/// A text that may be anything. What is not UTF-8 is changed to what is, and so to what was never hashed.
fn text_as_stored(row: &rusqlite::Row<'_>, at: usize) -> SqliteResult<String> {
    let bytes = row.get_ref(at)?.as_bytes().map_err(rusqlite::Error::from)?;
    Ok(String::from_utf8_lossy(bytes).into_owned())
}

fn value_as_stored(row: &rusqlite::Row<'_>, at: usize) -> SqliteResult<ColumnValue<'static>> {
    Ok(match row.get_ref(at)? {
        ValueRef::Null => ColumnValue::Null,
        ValueRef::Integer(number) => ColumnValue::Number(number),
        ValueRef::Text(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => ColumnValue::Text(text.to_owned().into()),
            Err(_) => ColumnValue::Bytes(bytes.to_vec().into()),
        },
        ValueRef::Blob(bytes) => ColumnValue::Bytes(bytes.to_vec().into()),
        // No table here has a column for it.
        ValueRef::Real(real) => ColumnValue::Text(real.to_string().into()),
    })
}

/// Where the place of an event is: behind its columns. Its namespace and the id of its task come next.
pub(crate) const ORDER: usize = column_count::<EventRow<'_>>();

/// The event of a row of [`SqliteReader::find_events`].
pub(crate) fn recorded(row: &rusqlite::Row<'_>, cursor: Cursor) -> SqliteResult<Recorded> {
    let namespace = Namespace::new(row.get::<_, String>(ORDER + 1)?)?;
    let task = row.get::<_, Option<String>>(ORDER + 2)?.map(TaskId::new).transpose()?;
    let (event, hash, data) = read_stored_event(&SqliteRow(row), 0, &namespace, &task.into())?;
    Ok(Recorded { cursor, event, hash, data })
}

#[cfg(test)]
pub(crate) mod tests {
    use rusqlite::types::Value;
    use tenure_core::id::SagaId;
    use tenure_core::task::State;

    use super::*;
    use crate::open::Synchronous;
    use tenure_core::id::Owner;

    /// How SQLite goes about a list, in its own words.
    fn plan(filter: &Filter) -> String {
        let wanted = Conditions::of_page(filter, None, Time::MIN, 51);
        let list = format!("{} where {} order by tasks.no desc limit 51", *sql::SELECT_TASKS, wanted.sql());
        plan_of(&list, &wanted.values)
    }

    /// A file without a task, and the folder that it is in.
    pub(crate) fn new_file() -> (tempfile::TempDir, SqliteFile) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tasks.db");
        let database = SqliteFile::new(path, Synchronous::Full);
        database.prepare(std::time::Duration::ZERO, tenure_store::backup::IfMarked::Refuse).expect("made");
        (folder, database)
    }

    pub(crate) fn plan_of(sql: &str, values: &[Value]) -> String {
        let (_folder, database) = new_file();
        let connection = database.connect().expect("opens");
        let mut statement = connection.prepare(&format!("explain query plan {sql}")).expect("SQL");
        let steps =
            statement.query_map(params_from_iter(values), |row| row.get::<_, String>(3)).expect("a plan");
        steps.map(|step| step.expect("a step")).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn finding_namespaces_does_not_mean_reading_every_task() {
        let plan = plan_of(NAMESPACES, &[]);
        let searches = plan.matches("SEARCH tasks USING COVERING INDEX").count();
        assert!(searches == 2 && !plan.contains("SCAN tasks"), "{plan}");
    }

    fn in_a_namespace() -> Filter {
        Filter::default().with(|filter| filter.namespace = Namespace::new("default").ok())
    }

    #[test]
    fn finding_stale_tasks_does_not_mean_reading_every_task_that_ever_was() {
        let plan = plan(&in_a_namespace().with(|filter| filter.stale = true));
        assert!(plan.contains("SEARCH tasks USING INTEGER PRIMARY KEY (rowid=?)"), "{plan}");
        assert!(
            plan.contains("due_to_check (check_at<?)") && plan.contains("due_held_back (check_at<?)"),
            "{plan}"
        );
    }

    #[test]
    fn what_is_in_flight_is_found_by_what_it_waits_for() {
        let owner = Owner::new("w").ok();
        for filter in [
            in_a_namespace().with(|filter| filter.states = vec![State::Running, State::Compensating]),
            in_a_namespace().with(|filter| filter.owner = owner),
        ] {
            let plan = plan(&filter);
            assert!(plan.contains("SEARCH tasks USING INTEGER PRIMARY KEY (rowid=?)"), "{plan}");
        }
    }

    #[test]
    fn a_saga_id_is_found_by_indexes() {
        let plan = plan(&in_a_namespace().with(|filter| filter.saga_id = SagaId::new("s").ok()));
        assert!(plan.contains("tasks_by_saga") && !plan.contains("SCAN tasks"), "{plan}");
        assert!(plan.contains("SEARCH tasks USING INTEGER PRIMARY KEY (rowid=?)"), "{plan}");
    }

    #[test]
    fn the_beginning_of_an_id_is_found_by_the_index_of_ids() {
        for states in [vec![], vec![State::Failed, State::Quarantined]] {
            let of_ids = in_a_namespace().with(|filter| filter.id_prefix = TaskId::new("build-").ok());
            let plan = plan(&of_ids.with(|filter| filter.states = states));
            assert!(plan.contains("tasks_by_id (namespace=? AND id>? AND id<?)"), "{plan}");
            assert!(!plan.contains("SCAN tasks") && !plan.contains("tasks_by_age"), "{plan}");
        }
    }

    #[test]
    fn a_page_of_the_newest_tasks_is_not_sorted_first() {
        for states in [vec![], vec![State::Quarantined]] {
            let plan = plan(&in_a_namespace().with(|filter| filter.states = states));
            assert!(!plan.contains("TEMP B-TREE") && !plan.contains("SCAN tasks"), "{plan}");
        }
        let badly = || in_a_namespace().with(|filter| (filter.ended_badly, filter.unattended) = (true, true));
        for filter in [
            in_a_namespace().with(|filter| filter.states = vec![State::Quarantined]),
            badly(),
            badly().with(|filter| filter.states = vec![State::Failed, State::Compensated]),
        ] {
            let plan = plan(&filter);
            assert!(plan.contains("tasks_ended_badly (namespace=? AND state=?)"), "{plan}");
            assert!(!plan.contains("TEMP B-TREE") && !plan.contains("tasks_by_age"), "{plan}");
        }
    }
}
