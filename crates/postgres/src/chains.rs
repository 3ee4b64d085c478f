//! Reads chains to verify, of tasks and of namespaces themselves, and finds events that belong to neither.

use std::collections::HashMap;

use tenure_core::event::Subject;
use tenure_core::id::Namespace;
use tenure_store::Error;
use tenure_store::columns::{EventRow, Row as _, TableRow as _, at};
use tenure_store::filling::{PageFill, page};
use tenure_store::stored::{ColumnValue, StoredChain, StoredEvent, StoredRow};
use tenure_store::{Cursor, Page, PageSize};
use tokio_postgres::types::Type;

use crate::columns::{KEY_COLUMN_COUNT, PostgresResult, PostgresRow, subject_of};
use crate::read::PostgresReader;
use crate::sql::{Sql, indexed_columns};

/// Where a walk over all chains is: at tasks by their age within a namespace, then at namespaces with a history of their own and at the
/// rows of other tables without a task.
#[derive(Clone)]
pub(crate) enum ChainCursor {
    Tasks { namespace: String, no: i64 },
    Orphans { namespace: String, task: String },
}

impl ChainCursor {
    pub(crate) fn of(cursor: Option<&Cursor>) -> Result<ChainCursor, Error> {
        let Some(cursor) = cursor else {
            return Ok(ChainCursor::Tasks { namespace: String::new(), no: i64::MIN });
        };
        let read = || {
            let (kind, rest) = cursor.as_str().split_once(' ')?;
            let (namespace, rest) = rest.split_once('/')?;
            match kind {
                "c" => Some(ChainCursor::Tasks { namespace: namespace.to_owned(), no: rest.parse().ok()? }),
                "o" => Some(ChainCursor::Orphans { namespace: namespace.to_owned(), task: rest.to_owned() }),
                _ => None,
            }
        };
        read().ok_or_else(Cursor::foreign)
    }

    fn cursor(&self) -> Cursor {
        match self {
            ChainCursor::Tasks { namespace, no } => Cursor::from_text(format!("c {namespace}/{no}")),
            ChainCursor::Orphans { namespace, task } => Cursor::from_text(format!("o {namespace}/{task}")),
        }
    }
}

/// Names that rows of other tables have, and no task. Those of namespaces have no id.
const ORPHANS: &str = "\
    select namespace, task from ( \
        select namespace, task from tenure.events union select namespace, task from tenure.due \
        union select namespace, '' from tenure.namespace_histories union select namespace, task from tenure.checkpoints union select namespace, task from tenure.compensations) as named \
    where (namespace, task) > ($1, $2) \
    and not exists (select from tenure.tasks where tasks.namespace = named.namespace and tasks.id = named.task) \
    order by namespace, task limit $3";

/// The names of tasks, by their age within a namespace.
const TASK_NAMES: &str = "\
    select namespace, id from tenure.tasks where (namespace, no) > ($1, $2) and no > 0 order by namespace, no limit $3";

/// How large the histories of tasks are, in the order of their names as they are given. Rows repeat what events tell.
const HISTORY_OCTETS: &str = "\
    select 2 * coalesce(sum(octet_length(data) + 320), 0)::bigint from unnest($1::text[], $2::text[]) with ordinality as wanted(n, i, place) \
    left join tenure.events on namespace = n and task = i group by place order by place";

static EVENTS: Sql = Sql::new(|| {
    format!(
        "select namespace, task, {} from unnest($1::text[], $2::text[]) as wanted(n, i) \
         join tenure.events on namespace = n and task = i order by namespace, task, feed, \"order\"",
        EventRow::select_list()
    )
});

/// The rows of tasks in the order of their names as they are given. Behind them what only PostgreSQL keeps: whether the names are
/// taken, where the newest event is in the feed, and what indexes look at.
static TASK_ROWS: Sql = Sql::new(|| {
    let indexed = indexed_columns("tasks", "tasks.created_at");
    let indexed: String = indexed
        .iter()
        .map(|(name, value)| format!(", tasks.{name} is not distinct from ({value}) as has_its_{name}"))
        .collect();
    format!(
        "select tasks.namespace as key_namespace, tasks.id as key_task, tasks.*, \
            coalesce(names.saga_id = tasks.saga_id, false) as has_its_names, \
            coalesce(tasks.feed = (select max(feed) from tenure.events \
                where events.namespace = tasks.namespace and events.task = tasks.id), false) as has_its_feed{indexed} \
        from unnest($1::text[], $2::text[]) with ordinality as wanted(n, i, place) \
        join tenure.tasks on tasks.namespace = n and tasks.id = i \
        left join tenure.names on names.namespace = n and names.id = i order by place"
    )
});

/// What only PostgreSQL keeps of a task, by the column that says whether it is right.
const APART: [(&str, &str); 4] = [
    ("has_its_names", "names.saga_id"),
    ("has_its_feed", "tasks.feed"),
    ("has_its_claim_from", "tasks.claim_from"),
    ("has_its_ended_badly", "tasks.ended_badly"),
];

/// The rows of the other tables, each with the names by which it is looked up.
const OTHER_ROWS: [(&str, &str); 3] = [
    (
        "due",
        "select due.namespace as key_namespace, due.task as key_task, due.* \
         from unnest($1::text[], $2::text[]) as wanted(n, i) join tenure.due on namespace = n and task = i",
    ),
    (
        "checkpoints",
        "select checkpoints.namespace as key_namespace, checkpoints.task as key_task, checkpoint \
         from unnest($1::text[], $2::text[]) as wanted(n, i) join tenure.checkpoints on namespace = n and task = i",
    ),
    (
        "compensations",
        "select compensations.namespace as key_namespace, compensations.task as key_task, compensations.* \
         from unnest($1::text[], $2::text[]) as wanted(n, i) join tenure.compensations on namespace = n and task = i \
         order by namespace, task, seq",
    ),
];

/// The rows of namespaces, with whether they say where their newest events are in the feed.
const NAMESPACE_ROWS: &str = "\
    select histories.namespace as key_namespace, '' as key_task, histories.*, \
        histories.feed is not distinct from (select max(events.feed) from tenure.events \
            where events.namespace = histories.namespace and events.task = '') as has_its_feed \
    from unnest($1::text[], $2::text[]) as wanted(n, i) join tenure.namespace_histories as histories \
    on histories.namespace = n and i = ''";

/// A row as it is stored; its first two columns are the names of its task.
fn stored_row(table: &'static str, row: &PostgresRow) -> PostgresResult<StoredRow<'static>> {
    let mut columns = Vec::with_capacity(row.len());
    for (at, column) in row.columns().iter().enumerate().skip(KEY_COLUMN_COUNT) {
        let value = match *column.type_() {
            Type::INT8 => row.number(at)?.into(),
            Type::TEXT => row.text(at)?.map(str::to_owned).into(),
            Type::BOOL => ColumnValue::from(row.truth(at)?),
            Type::BYTEA => {
                row.bytes(at)?.map_or(ColumnValue::Null, |bytes| ColumnValue::Bytes(bytes.to_vec().into()))
            }
            // It was added by hand: no column of Tenure has another type.
            _ => continue,
        };
        columns.push((column.name().to_owned().into(), value));
    }
    Ok(StoredRow { table: table.into(), columns })
}

fn names_of(row: &PostgresRow) -> PostgresResult<(String, String)> {
    Ok((row.a_text(0)?.to_owned(), row.a_text(1)?.to_owned()))
}

impl PostgresReader<'_> {
    /// One snapshot: between two statements, other transactions could add rows that the first one did not
    /// see.
    pub(crate) async fn chains(
        &mut self,
        place: ChainCursor,
        size: PageSize,
    ) -> PostgresResult<Page<StoredChain>> {
        self.begin().await?;
        let page = match place {
            ChainCursor::Tasks { namespace, no } => self.chains_of_tasks(&namespace, no, size).await?,
            ChainCursor::Orphans { namespace, task } => self.orphans(&namespace, &task, size).await?,
        };
        self.end().await?;
        Ok(page)
    }

    /// The chain of one task, or of a namespace itself.
    pub(crate) async fn chain_of(
        &mut self,
        namespace: &Namespace,
        subject: &Subject,
    ) -> PostgresResult<Option<StoredChain>> {
        self.begin().await?;
        let chains = self.stored_chains(&[(namespace.as_str(), subject.as_str())]).await?;
        self.end().await?;
        let is_there = |chain: &StoredChain| {
            chain.stored_name.is_some() || !chain.events.is_empty() || !chain.rows.is_empty()
        };
        Ok(chains.into_iter().next().filter(is_there))
    }

    async fn chains_of_tasks(
        &mut self,
        namespace: &str,
        no: i64,
        size: PageSize,
    ) -> PostgresResult<Page<StoredChain>> {
        let mut names = self.link.ask(TASK_NAMES, &[&namespace, &no, &page(size.items)]).await?;
        let fits = self.fitting_histories(&names, size).await?;
        let is_cut = fits < names.len();
        names.truncate(fits);
        let chains = self.stored_chains(&both_names(&names)?).await?;
        let last = names.last().map(names_of).transpose()?;
        let next = match last.zip(chains.last()) {
            Some(((namespace, _), last)) => ChainCursor::Tasks { namespace, no: last.row },
            None => ChainCursor::Orphans { namespace: String::new(), task: String::new() },
        };
        Ok(Page::new(chains, Some(next.cursor()), is_cut))
    }

    async fn orphans(
        &mut self,
        namespace: &str,
        task: &str,
        size: PageSize,
    ) -> PostgresResult<Page<StoredChain>> {
        let mut rows = self.link.ask(ORPHANS, &[&namespace, &task, &page(size.items)]).await?;
        let fits = self.fitting_histories(&rows, size).await?;
        let is_cut = fits < rows.len();
        let is_full = is_cut || rows.len() as i64 == page(size.items);
        rows.truncate(fits);
        let names = both_names(&rows)?;
        let last = names.last().filter(|_| is_full);
        let next = last.map(|(namespace, task)| {
            ChainCursor::Orphans { namespace: (*namespace).into(), task: (*task).into() }.cursor()
        });
        Ok(Page::new(self.stored_chains(&names).await?, next, is_cut))
    }

    /// How many of the tasks fit a page, by what is stored of their histories.
    async fn fitting_histories(&mut self, names: &[PostgresRow], size: PageSize) -> PostgresResult<usize> {
        let (namespaces, ids): (Vec<&str>, Vec<&str>) = both_names(names)?.into_iter().unzip();
        let (mut fill, mut fits) = (PageFill::new(size), 0);
        for row in self.link.ask(HISTORY_OCTETS, &[&namespaces, &ids]).await? {
            if !fill.takes(usize::try_from(row.a_number(0)?).unwrap_or(usize::MAX)) {
                break;
            }
            fits += 1;
        }
        Ok(fits)
    }

    /// The chains of tasks, in the order of these names.
    pub(crate) async fn stored_chains(&mut self, names: &[(&str, &str)]) -> PostgresResult<Vec<StoredChain>> {
        let (namespaces, ids): (Vec<&str>, Vec<&str>) = names.iter().copied().unzip();
        let name = |(namespace, id): &(&str, &str)| {
            Namespace::new(*namespace).and_then(|namespace| Ok((namespace, subject_of(id)?))).ok()
        };
        let mut chains: Vec<StoredChain> =
            names.iter().map(|both| StoredChain::without_task(0, name(both))).collect();
        let places: HashMap<(String, String), usize> =
            names.iter().enumerate().map(|(at, (n, i))| (((*n).to_owned(), (*i).to_owned()), at)).collect();
        for row in self.link.once(&TASK_ROWS, &[&namespaces, &ids]).await? {
            let names = names_of(&row)?;
            let Some(chain) = places.get(&names).and_then(|at| chains.get_mut(*at)) else { continue };
            let stored = stored_row("tasks", &row)?;
            let is = |column| stored.value(column) == Some(&ColumnValue::from(true));
            chain.stored_name = Some(format!("{}/{}", names.0, names.1));
            chain.row = match stored.value("no") {
                Some(ColumnValue::Number(no)) => *no,
                _ => 0,
            };
            let wrong = APART.iter().filter(|(column, _)| !is(column));
            chain.apart.extend(wrong.map(|(_, name)| (*name).to_owned()));
            chain.rows.push(stored);
        }
        for row in self.link.once(NAMESPACE_ROWS, &[&namespaces, &ids]).await? {
            let names = names_of(&row)?;
            let Some(chain) = places.get(&names).and_then(|at| chains.get_mut(*at)) else { continue };
            let stored = stored_row("namespace_histories", &row)?;
            chain.stored_name = Some(names.0);
            if stored.value("has_its_feed") != Some(&ColumnValue::from(true)) {
                chain.apart.push("namespace_histories.feed".to_owned());
            }
            chain.rows.push(stored);
        }
        for (table, sql) in OTHER_ROWS {
            for row in self.link.once(sql, &[&namespaces, &ids]).await? {
                let chain = places.get(&names_of(&row)?).and_then(|at| chains.get_mut(*at));
                if let Some(chain) = chain {
                    chain.rows.push(stored_row(table, &row)?);
                }
            }
        }
        for row in self.link.ask(&EVENTS, &[&namespaces, &ids]).await? {
            let chain = places.get(&names_of(&row)?).and_then(|at| chains.get_mut(*at));
            let Some(chain) = chain else { continue };
            let event = row.starting_at(KEY_COLUMN_COUNT);
            chain.events.push(StoredEvent {
                // Places are given anew from one, so that what was moved by its feed is found, too.
                order: chain.events.len() as i64 + 1,
                number: event.a_number(at!(EventRow, "number"))?,
                at: event.a_number(at!(EventRow, "at"))?,
                actor: event.a_text(at!(EventRow, "actor"))?.to_owned(),
                kind: event.a_text(at!(EventRow, "type"))?.to_owned(),
                data: event.a_text(at!(EventRow, "data"))?.to_owned(),
                hash: event.bytes(at!(EventRow, "hash"))?.unwrap_or_default().to_vec(),
            });
        }
        Ok(chains)
    }
}

/// The names that rows begin with.
fn both_names(rows: &[PostgresRow]) -> PostgresResult<Vec<(&str, &str)>> {
    rows.iter().map(|row| Ok((row.a_text(0)?, row.a_text(1)?))).collect()
}
