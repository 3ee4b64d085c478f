//! Reads outside a batch: tasks, lists, the history, due tasks, chains to verify.

use std::collections::HashMap;

use tenure_api::wire::Word;
use tenure_core::id::{Document, Namespace, Queue, RequestId, TaskId};
use tenure_core::task::{State, Task};
use tenure_core::time::{Span, Time};
use tenure_store::columns::{
    DueRow, EventRow, Policies, Row, TASK_COLUMN_COUNT, TableRow, TaskParts, column_count,
    compensation_count, read_compensation, read_due, read_stored_event, read_task, read_task_key,
    task_select_list,
};
use tenure_store::execute::REQUEST_MEMORY;
use tenure_store::filling::{FoundEvents, PageFill, page};
use tenure_store::rows::StoredTask;
use tenure_store::size::task_bytes;
use tenure_store::{Cursor, EventFilter, Filter, Lapsed, Order, Page, PageSize, Recorded};
use tokio_postgres::types::ToSql;

use crate::columns::{
    KEY_COLUMN_COUNT, Key, PostgresError, PostgresResult, PostgresRow, TaskKeyArrays, read_key, read_subject,
};
use crate::database::PostgresDatabase;
use crate::link::{Link, Parameter};
use crate::sql::{self, Sql};

/// A look into the database.
pub(crate) struct PostgresReader<'l> {
    pub(crate) link: &'l mut Link,
    pub(crate) database: &'l PostgresDatabase,
    pub(crate) policies: Policies,
}

/// Every task, and what it waits for.
const TASKS_AND_DUE: &str = "\
    tenure.tasks left join tenure.due on due.namespace = tasks.namespace and due.task = tasks.id";
const THEIR_CHECKPOINTS: &str = "\
    left join tenure.checkpoints on checkpoints.namespace = tasks.namespace and checkpoints.task = tasks.id";

/// Tasks with all that belongs to them but their compensations, by their keys and in the order of these.
static TASKS: Sql = Sql::new(|| {
    let (task, due) = (task_select_list(), DueRow::select_list());
    format!(
        "select {task}, checkpoints.checkpoint, {due} \
         from unnest($1::text[], $2::text[]) with ordinality as wanted(n, i, at) \
         cross join lateral ({}) as tasks \
         left join tenure.due on due.namespace = tasks.namespace and due.task = tasks.id {THEIR_CHECKPOINTS} \
         order by wanted.at",
        task_of("wanted.n", "wanted.i")
    )
});

/// One task by its key, whatever the planner knows of the table: `offset` keeps it from reading a namespace's tasks instead.
fn task_of(namespace: &str, id: &str) -> String {
    format!("select * from tenure.tasks as own where own.namespace = {namespace} and own.id = {id} offset 0")
}

/// How large a compensation is that is stored.
const COMPENSATION_OCTETS: &str = "octet_length(target) + coalesce(octet_length(reason), 0) + coalesce(octet_length(receipt), 0) \
    + coalesce(octet_length(last_error), 0) + coalesce(octet_length(waiver), 0)";

/// All that has been committed and no transaction that is still open can come before.
const HORIZON: &str = "\
    select (select value::bigint from tenure.meta where key = 'feed_base') \
        + pg_snapshot_xmin(pg_current_snapshot())::text::bigint";

/// Every namespace that has a task: from one to the next by an index, so that it costs the namespaces and not the tasks.
const NAMESPACES: &str = "\
    with recursive namespaces (name) as ( \
        (select namespace from tenure.tasks order by namespace limit 1) \
        union all \
        select (select namespace from tenure.tasks where namespace > namespaces.name order by namespace limit 1) \
        from namespaces where namespaces.name is not null) \
    select name from namespaces where name is not null";

impl<'l> PostgresReader<'l> {
    pub(crate) fn new(link: &'l mut Link, database: &'l PostgresDatabase) -> PostgresReader<'l> {
        PostgresReader { link, database, policies: Policies::default() }
    }

    pub(crate) async fn now(&mut self) -> PostgresResult<Time> {
        if let Some(clock) = &self.database.clock {
            // A large batch gives instants ahead of the clock, and no later command gets an earlier one.
            return Ok(clock.read().wall.max(self.database.last.get()));
        }
        one(&self.link.ask(sql::NOW, &[]).await?)?.a_time(0)
    }

    /// Several looks at one moment. It ends with [`Self::end`]; after a fault the connection goes, and it with it.
    pub(crate) async fn begin(&mut self) -> PostgresResult<()> {
        self.link.send_plain("begin isolation level repeatable read read only").answer().await
    }

    pub(crate) async fn end(&mut self) -> PostgresResult<()> {
        self.link.send_plain(sql::COMMIT).answer().await
    }

    pub(crate) async fn task(&mut self, namespace: &Namespace, id: &TaskId) -> PostgresResult<Option<Task>> {
        self.begin().await?;
        let rows =
            self.link.ask(&TASKS, &[&[namespace.as_str()].as_slice(), &[id.as_str()].as_slice()]).await?;
        let found = self.read_whole(&rows).await?.pop();
        self.end().await?;
        found.map(|kept| Ok(kept?.into_task())).transpose()
    }

    /// The tasks of rows of [`TASKS`], as far as each can be read.
    async fn read_whole(&mut self, rows: &[PostgresRow]) -> PostgresResult<Vec<PostgresResult<StoredTask>>> {
        let mut with_compensations = Vec::new();
        for row in rows {
            if compensation_count(row)? > 0 {
                with_compensations.extend(read_task_key(row).ok());
            }
        }
        let mut compensations = HashMap::<Key, Vec<_>>::new();
        if !with_compensations.is_empty() {
            let keys = TaskKeyArrays::of(with_compensations.iter());
            for row in self.link.ask(&sql::COMPENSATIONS, &[&keys.namespaces, &keys.ids]).await? {
                compensations
                    .entry(read_key(&row, 0)?)
                    .or_default()
                    .push(read_compensation(&row, KEY_COLUMN_COUNT));
            }
        }
        let policies = &mut self.policies;
        let read = |row: &PostgresRow| {
            let compensations = compensations.remove(&read_task_key(row)?).unwrap_or_default();
            let parts = TaskParts {
                due: read_due(row, TASK_COLUMN_COUNT + 1)?,
                checkpoint: row.optional(TASK_COLUMN_COUNT, Document::new)?,
                compensations: compensations.into_iter().collect::<PostgresResult<_>>()?,
            };
            read_task(row, policies, parts)
        };
        Ok(rows.iter().map(read).collect())
    }

    pub(crate) async fn namespaces(&mut self) -> PostgresResult<Vec<Namespace>> {
        let rows = self.link.ask(NAMESPACES, &[]).await?;
        let names = rows.iter().map(|row| Ok(Namespace::new(row.a_text(0)?)?));
        let mut namespaces = names.collect::<PostgresResult<Vec<_>>>()?;
        namespaces.extend(self.pruned_namespaces().await?);
        namespaces.sort_unstable();
        namespaces.dedup();
        Ok(namespaces)
    }

    pub(crate) async fn tasks(
        &mut self,
        filter: &Filter,
        after: Option<i64>,
        size: PageSize,
    ) -> PostgresResult<Page<Task>> {
        let wanted = Conditions::of(filter, after, self.now().await?);
        self.begin().await?;
        let (fitting, mut more) = self.keys_that_fit(&wanted, filter.order, size).await?;
        let keys = TaskKeyArrays::of(fitting.iter());
        let rows = self.link.ask(&TASKS, &[&keys.namespaces, &keys.ids]).await?;
        let kept = self.read_whole(&rows).await?.into_iter().collect::<PostgresResult<Vec<StoredTask>>>()?;
        self.end().await?;
        let (mut fill, mut items, mut last) = (PageFill::new(size), Vec::new(), None);
        for kept in kept {
            if !fill.takes(task_bytes(&kept.task)) {
                more = true;
                break;
            }
            last = Some(kept.row);
            items.push(kept.into_task());
        }
        let next = last.filter(|_| more).map(|row| Cursor::of('t', row));
        let is_cut = more && items.len() < size.items.max(1);
        Ok(Page::new(items, next, is_cut))
    }

    /// The tasks that fit a page, by what is stored of them, and whether there are more. Whole rows come only after it is known
    /// which may: what a server sends is all kept here.
    async fn keys_that_fit(
        &mut self,
        wanted: &Conditions,
        order: Order,
        size: PageSize,
    ) -> PostgresResult<(Vec<Key>, bool)> {
        let limit = page(size.items);
        // What belongs to a task is looked up only for those of the page.
        let sql = format!(
            "select tasks.namespace, tasks.id, \
                 octet_length(tasks.payload)::bigint + coalesce(octet_length(tasks.result), 0) \
                 + coalesce(octet_length(checkpoints.checkpoint), 0) \
                 + case when tasks.compensations = 0 then 0 else (select sum({COMPENSATION_OCTETS}) \
                     from tenure.compensations as own where own.namespace = tasks.namespace and own.task = tasks.id) end \
             from (select tasks.* from {} where {} order by tasks.no {order} limit {}) as tasks \
             {THEIR_CHECKPOINTS} order by tasks.no {order}",
            wanted.source,
            wanted.sql(),
            limit + 1,
            order = order.sql(),
        );
        let (mut fill, mut fitting) = (PageFill::new(size), Vec::new());
        let rows = self.link.once(&sql, &wanted.parameters()).await?;
        for row in &rows {
            if !fill.takes(usize::try_from(row.a_number(KEY_COLUMN_COUNT)?).unwrap_or(usize::MAX)) {
                break;
            }
            fitting.push(read_key(row, 0)?);
        }
        let more = fitting.len() < rows.len();
        Ok((fitting, more))
    }

    pub(crate) async fn lapsed(&mut self, after: Option<(i64, Key)>, limit: usize) -> PostgresResult<Lapsed> {
        let now = self.now().await?.as_micros();
        let limit = page(limit);
        let (check_at, namespace, task) = match &after {
            Some((check_at, (namespace, task))) => (*check_at, namespace.as_str(), task.as_str()),
            None => (i64::MIN, "", ""),
        };
        let due = "select namespace, task, check_at from tenure.due where not held_back and check_at <= $1 \
                   and expires_at + coalesce(lock_delay, 0) + coalesce(recover_after, 0) <= $1 and (check_at, namespace, task) > ($2, $3, $4) \
                   order by check_at, namespace, task limit $5";
        let rows = self.link.ask(due, &[&now, &check_at, &namespace, &task, &(limit + 1)]).await?;
        let mut places = Vec::new();
        for row in &rows {
            places.push((row.a_number(2)?, read_key(row, 0)?));
        }
        let more = places.len() as i64 > limit;
        places.truncate(limit as usize);
        let next = places.last().filter(|_| more).map(|(check_at, key)| lapsed_cursor(*check_at, key));
        let next_check = self.next_check(now).await?;
        Ok(Lapsed { tasks: places.into_iter().map(|(_, key)| key).collect(), next, next_check })
    }

    /// When to look again: the earliest check that is ahead, or the end of a wait whose check is past already because
    /// a heartbeat moved the end alone. Those are few.
    async fn next_check(&mut self, now: i64) -> PostgresResult<Option<Time>> {
        let ahead = "select least( \
                 (select min(expires_at + coalesce(lock_delay, 0) + coalesce(recover_after, 0)) from tenure.due \
                     where not held_back and check_at <= $1 and expires_at + coalesce(lock_delay, 0) + coalesce(recover_after, 0) > $1), \
                 (select min(check_at) from tenure.due where not held_back and check_at > $1))";
        one(&self.link.ask(ahead, &[&now]).await?)?.time(0)
    }

    pub(crate) async fn claimable_at(
        &mut self,
        namespace: &Namespace,
        queue: &Queue,
    ) -> PostgresResult<Option<Time>> {
        // The two indexes that a claim uses.
        let waits = "select least( \
                 (select min(claim_from) from tenure.tasks where namespace = $1 and queue = $2 and claim_from is not null), \
                 (select min(expires_at) from tenure.due \
                     where namespace = $1 and queue = $2 and wait = 'reservation'))";
        one(&self.link.ask(waits, &[&namespace.as_str(), &queue.as_str()]).await?)?.time(0)
    }

    pub(crate) async fn remembers(&mut self, namespace: &Namespace, id: &RequestId) -> PostgresResult<bool> {
        let oldest = (self.now().await? - REQUEST_MEMORY).as_micros();
        let remembered =
            "select exists (select from tenure.requests where namespace = $1 and id = $2 and at > $3)";
        one(&self.link.ask(remembered, &[&namespace.as_str(), &id.as_str(), &oldest]).await?)?.truth(0)
    }

    pub(crate) async fn horizon(&mut self) -> PostgresResult<i64> {
        one(&self.link.ask(HORIZON, &[]).await?)?.a_number(0)
    }

    pub(crate) async fn newest(&mut self) -> PostgresResult<Cursor> {
        Ok(Cursor::between('e', self.horizon().await? - 1, i64::MAX))
    }

    pub(crate) async fn has_events(&mut self, (feed, order): (i64, i64)) -> PostgresResult<bool> {
        let horizon = self.horizon().await?;
        let newer =
            "select exists (select from tenure.events where (feed, \"order\") > ($1, $2) and feed < $3)";
        one(&self.link.ask(newer, &[&feed, &order, &horizon]).await?)?.truth(0)
    }

    pub(crate) async fn events(
        &mut self,
        filter: &EventFilter,
        after: (i64, i64),
        size: PageSize,
    ) -> PostgresResult<Page<Recorded>> {
        // Read first: all that lies below it has ended by then, so the next statement sees all of it.
        let horizon = self.horizon().await?;
        let is_of_one_task = filter.namespace.is_some() && filter.task.is_some();
        // A place that the history of one task gave may be ahead of what everybody is shown yet, and something may still
        // come in front of it.
        let after = if is_of_one_task { after } else { after.min((horizon - 1, i64::MAX)) };
        let mut wanted = Conditions::on("tenure.events");
        wanted.clauses.push("(feed, \"order\") > ($1, $2)".to_owned());
        wanted.values = vec![Box::new(after.0), Box::new(after.1)];
        // The events of one task are written under its lock, one transaction after the other: none can come in front.
        if !is_of_one_task {
            wanted.add("feed < ", horizon);
        }
        if let Some(namespace) = &filter.namespace {
            wanted.add("namespace = ", namespace.to_string());
        }
        if let Some(task) = &filter.task {
            wanted.add("task = ", task.to_string());
        }
        let (limit, bytes) = (page(size.items), i64::try_from(size.bytes).unwrap_or(i64::MAX).max(1));
        // Each level names its rows `events`, as the list of columns does.
        let columns = format!("feed, \"order\", namespace, task, {}", EventRow::select_list());
        // What a server sends is all kept here, so it counts how much that is.
        let sql = format!(
            "select {columns}, all_rows from ( \
                 select *, count(*) over () as all_rows, \
                     sum(octet_length(data)) over (order by feed, \"order\") - octet_length(data) as before from ( \
                     select {columns} from {} \
                     where {} order by feed, \"order\" limit {limit}) as events) as events \
             where before < {bytes} order by feed, \"order\"",
            wanted.source,
            wanted.sql()
        );
        let mut found = FoundEvents::new(size);
        let rows = self.link.once(&sql, &wanted.parameters()).await?;
        let all_rows =
            rows.first().map_or(Ok(0), |row| row.a_number(EVENT + column_count::<EventRow<'_>>()))?;
        for row in &rows {
            let cursor = Cursor::between('e', row.a_number(0)?, row.a_number(1)?);
            let recorded = match recorded(row, cursor.clone()) {
                Err(PostgresError::Broken(_)) => None,
                read => Some(read?),
            };
            if !found.takes(cursor, recorded) {
                break;
            }
        }
        // The history of one task may be ahead of what everybody is shown, so its end may be behind the horizon.
        let end = |last: Option<&Cursor>| {
            let last = last.and_then(|last| last.numbers('e').ok()).unwrap_or(after);
            let (feed, order) = last.max((horizon - 1, i64::MAX));
            Cursor::between('e', feed, order)
        };
        Ok(found.page(all_rows > rows.len() as i64, end))
    }

    /// How old the oldest committed event is that can't be shown yet; zero if there is none. The age of the transaction that holds
    /// it back is not read, because the role may not be allowed to see other transactions.
    pub(crate) async fn feed_lag(&mut self) -> PostgresResult<Span> {
        let sql = format!(
            "select at from tenure.events where feed >= ({HORIZON}) order by feed, \"order\" limit 1"
        );
        let rows = self.link.once(&sql, &[]).await?;
        let Some(oldest) = rows.first() else { return Ok(Span::ZERO) };
        let oldest = oldest.a_time(0)?;
        Ok(self.now().await?.since(oldest))
    }

    /// Whether something was created in somebody's transaction and is not made yet.
    pub(crate) async fn has_intake(&mut self) -> PostgresResult<bool> {
        let waiting = "select exists (select from tenure.intake where problem is null)";
        one(&self.link.ask(waiting, &[]).await?)?.truth(0)
    }
}

/// Where the columns of the event are in a row of [`PostgresReader::events`]: behind its place in the feed and its task's key.
pub(crate) const EVENT: usize = 2 + KEY_COLUMN_COUNT;

/// The event of a row of [`PostgresReader::events`].
pub(crate) fn recorded(row: &PostgresRow, cursor: Cursor) -> PostgresResult<Recorded> {
    let (namespace, subject) = read_subject(row, 2)?;
    let (event, hash, data) = read_stored_event(row, EVENT, &namespace, &subject)?;
    Ok(Recorded { cursor, event, hash, data })
}

pub(crate) fn one(rows: &[PostgresRow]) -> PostgresResult<&PostgresRow> {
    rows.first()
        .ok_or_else(|| PostgresError::Broken("a statement returned no row, but must return one".into()))
}

/// A place in the order of checks: names have no `/`.
fn lapsed_cursor(check_at: i64, (namespace, task): &Key) -> Cursor {
    Cursor::from_text(format!("d{check_at} {namespace}/{task}"))
}

pub(crate) fn lapsed_place(cursor: &Cursor) -> Result<(i64, Key), tenure_store::Error> {
    let read = || {
        let (check_at, key) = cursor.as_str().strip_prefix('d')?.split_once(' ')?;
        let (namespace, task) = key.split_once('/')?;
        Some((check_at.parse().ok()?, (Namespace::new(namespace).ok()?, TaskId::new(task).ok()?)))
    };
    read().ok_or_else(Cursor::foreign)
}

/// The tables of a query, its where clause, and the values of that.
pub(crate) struct Conditions {
    pub(crate) source: String,
    clauses: Vec<String>,
    values: Vec<Box<dyn ToSql + Sync + Send>>,
}

impl Conditions {
    pub(crate) fn on(source: &str) -> Conditions {
        Conditions { source: source.to_owned(), clauses: Vec::new(), values: Vec::new() }
    }

    /// The clause with a parameter behind it.
    pub(crate) fn add(&mut self, clause: &str, value: impl ToSql + Sync + Send + 'static) {
        self.values.push(Box::new(value));
        self.clauses.push(format!("{clause}${}", self.values.len()));
    }

    /// A clause without a parameter of its own.
    pub(crate) fn condition(&mut self, clause: String) {
        self.clauses.push(clause);
    }

    /// A parameter for clauses that name it, as `$1`.
    pub(crate) fn parameter(&mut self, value: impl ToSql + Sync + Send + 'static) -> String {
        self.values.push(Box::new(value));
        format!("${}", self.values.len())
    }

    pub(crate) fn sql(&self) -> String {
        if self.clauses.is_empty() { "true".to_owned() } else { self.clauses.join(" and ") }
    }

    pub(crate) fn parameters(&self) -> Vec<Parameter<'_>> {
        self.values.iter().map(|value| &**value as Parameter<'_>).collect()
    }

    /// By saga id, and by how ids begin.
    fn by_names(&mut self, filter: &Filter) {
        if let Some(saga_id) = &filter.saga_id {
            self.add("tasks.saga_id = ", saga_id.to_string());
            if let Some(namespace) = &filter.namespace {
                // Names are found by both of them.
                let [namespace, saga_id] =
                    [namespace.to_string(), saga_id.to_string()].map(|value| self.parameter(value));
                self.condition(format!(
                    "tasks.id = (select names.id from tenure.names \
                      where names.namespace = {namespace} and names.saga_id = {saga_id})"
                ));
            }
        }
        if let Some([first, behind]) = filter.id_range() {
            let [first, behind] = [first, behind].map(|value| self.parameter(value));
            let in_range = |tasks: &str| format!("{tasks}.id >= {first} and {tasks}.id < {behind}");
            match &filter.namespace {
                // By the primary key, whose texts are compared byte by byte: `offset` keeps the planner from reading by age instead.
                Some(namespace) if !filter.stale => {
                    let namespace = self.parameter(namespace.to_string());
                    self.source = format!(
                        "(select * from tenure.tasks as own where own.namespace = {namespace} and {} offset 0) as tasks \
                         left join tenure.due on due.namespace = tasks.namespace and due.task = tasks.id",
                        in_range("own")
                    );
                }
                Some(_) | None => self.condition(in_range("tasks")),
            }
        }
    }

    /// The same as the store in memory says in Rust.
    fn of(filter: &Filter, after: Option<i64>, now: Time) -> Conditions {
        let mut wanted = Conditions::on(TASKS_AND_DUE);
        // Always true, and in the words of the index by age.
        wanted.clauses.push("tasks.no > 0".to_owned());
        if let Some(after) = after {
            wanted.add(&format!("tasks.no {} ", filter.order.behind()), after);
        }
        if let Some(namespace) = &filter.namespace {
            wanted.add("tasks.namespace = ", namespace.to_string());
        }
        if !filter.states.is_empty() {
            wanted.clauses.push(in_states(&filter.states));
        }
        if filter.open {
            wanted.clauses.push("tasks.finished_at is null".to_owned());
        }
        if filter.ended_badly {
            wanted.clauses.push("tasks.ended_badly is not null and tasks.cause <> 'cancelled'".to_owned());
        }
        if filter.unattended {
            wanted.clauses.push("tasks.retried_as is null and tasks.dismissed_at is null".to_owned());
        }
        if let Some(since) = filter.since {
            wanted.add("coalesce(tasks.finished_at, tasks.updated_at) >= ", since.as_micros());
        }
        if let Some(cause) = filter.cause {
            wanted.add("tasks.cause = ", cause.word());
        }
        if let Some(queue) = &filter.queue {
            wanted.add("tasks.queue = ", queue.to_string());
        }
        wanted.by_names(filter);
        if let Some(owner) = &filter.owner {
            wanted.add("due.owner = ", owner.to_string());
        }
        if let Some(owner) = &filter.last_owner {
            wanted.add("tasks.last_owner = ", owner.to_string());
        }
        for (key, value) in &filter.labels {
            wanted.values.push(Box::new(key.to_string()));
            let place = wanted.values.len();
            wanted.add(&format!("tasks.labels::json ->> ${place}::text = "), value.to_string());
        }
        if filter.stale {
            // By the two indexes over `check_at`, so that it costs what is due and not what exists.
            wanted.values.push(Box::new(now.as_micros()));
            let at = wanted.values.len();
            wanted.source = format!(
                "(select * from tenure.due where not held_back and check_at <= ${at} union all \
                  select * from tenure.due where held_back and check_at <= ${at}) as due \
                 cross join lateral ({}) as tasks",
                task_of("due.namespace", "due.task")
            );
            wanted.clauses.push(format!(
                "due.wait in ('lease', 'undo_lease', 'reservation') and due.expires_at <= ${at}"
            ));
        }
        wanted
    }
}

/// In the words of the index that has them, if one has.
fn in_states(states: &[State]) -> String {
    let words: Vec<String> = states.iter().map(|state| format!("'{}'", state.word())).collect();
    let words = words.join(", ");
    let ended_badly = |state: &State| state.terminal().is_some() && *state != State::Completed;
    let in_flight = |state: &State| matches!(state, State::Dispatched | State::Running | State::Compensating);
    if states.iter().all(ended_badly) {
        format!("tasks.ended_badly in ({words})")
    } else if states.iter().all(|state| *state == State::Planned) {
        "tasks.claim_from is not null".to_owned()
    } else if states.iter().all(in_flight) {
        // Few tasks are in flight among all that ever were: they are found by what they wait for.
        format!("due.wait <> 'start' and tasks.state in ({words})")
    } else {
        format!("tasks.state in ({words})")
    }
}
