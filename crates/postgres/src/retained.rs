//! Reads for retention: ended tasks, what is left of pruned ones, recorded anchors, and named cursors with their lag.

use std::collections::HashMap;

use tenure_api::wire::Word as _;
use tenure_core::chain::Hash;
use tenure_core::id::{Actor, CursorName, Namespace, Revision, SagaId, TaskId};
use tenure_core::task::Terminal;
use tenure_core::time::Time;
use tenure_store::columns::Row as _;
use tenure_store::numbers::{number, unsigned};
use tenure_store::retention::{
    AnchorPurpose, AnchorRecord, BEHIND_MAX, Behind, CursorRow, EndedTask, LOOKED_AT_MAX, NamedCursor,
    PruneFilter, PrunedTask, pruned_cursor,
};
use tenure_store::stored::StoredChain;
use tenure_store::{Cursor, Error, Page};

use crate::columns::{Key, PostgresError, PostgresResult, PostgresRow, read_key};
use crate::read::{PostgresReader, one};

/// What [`read_ended`] reads of a task.
macro_rules! ended {
    () => {
        "select tasks.namespace, tasks.id, saga_id, revision, head, state, finished_at, updated_at, no, \
            owed > 0 and retried_as is null and dismissed_at is null "
    };
}

/// The tasks of these names, locked in their order.
pub(crate) const ENDED_TO_PRUNE: &str = concat!(
    ended!(),
    "from unnest($1::text[], $2::text[]) as wanted(n, i) join tenure.tasks on tasks.namespace = n and tasks.id = i \
    order by tasks.namespace, tasks.id for update of tasks"
);

/// A page of all tasks, by their ages within a namespace: ended ones are in no index of their own.
const ALL_TASKS: &str = concat!(
    ended!(),
    "from tenure.tasks where (namespace, no) > ($1, $2) and no > 0 order by namespace, no limit $3"
);
const TASKS_OF_NAMESPACE: &str =
    concat!(ended!(), "from tenure.tasks where namespace = $1 and no > $2 and no > 0 order by no limit $3");

/// Of these tasks those that a cursor needs, with the slowest one of them.
const HELD: &str = "\
    select n, i, slowest.name from unnest($1::text[], $2::text[]) as wanted(n, i) \
    cross join lateral ( \
        select feed, \"order\" from tenure.events where namespace = n and task = i order by number desc limit 1) as newest \
    cross join lateral ( \
        select name from tenure.followers where namespace = n and (followers.feed, followers.\"order\") < (newest.feed, newest.\"order\") \
        order by followers.feed, followers.\"order\", name limit 1) as slowest";

const PRUNED: &str =
    "select namespace, id, saga_id, number, head, state, finished_at, pruned_at, anchor from tenure.pruned";
const ANCHORS: &str = "select no, purpose, cursor, root, lines, at, by from tenure.anchors";
const CURSORS: &str = "select namespace, name, feed, \"order\", moved_at, moved_by from tenure.followers";

/// What comes behind a cursor, of the events that everybody is shown.
const BEHIND: &str = "\
    select count(*), count(*) filter (where namespace = $3), min(at) filter (where namespace = $3) from ( \
        select namespace, at from tenure.events where (feed, \"order\") > ($1, $2) and feed < $4 \
        order by feed, \"order\" limit $5) as behind";

/// Every namespace that has pruned tasks, from one to the next by the key.
const PRUNED_NAMESPACES: &str = "\
    with recursive namespaces (name) as ( \
        (select namespace from tenure.pruned order by namespace limit 1) \
        union all \
        select (select namespace from tenure.pruned where namespace > namespaces.name order by namespace limit 1) \
        from namespaces where namespaces.name is not null) \
    select name from namespaces where name is not null";

/// What is left of these tasks, of those that were pruned.
pub(crate) const PRUNED_AMONG: &str = "\
    select namespace, id, saga_id, number, head, state, finished_at, pruned_at, anchor \
    from unnest($1::text[], $2::text[]) as wanted(n, i) join tenure.pruned on namespace = n and id = i";
/// The recorded anchors that were made at these times, with these roots.
pub(crate) const ANCHORS_AMONG: &str = "\
    select no, purpose, cursor, root, lines, at, by from tenure.anchors \
    where (at, root) in (select * from unnest($1::bigint[], $2::bytea[]))";

/// The tasks that are held, by what.
pub(crate) type Held = HashMap<Key, CursorName>;

/// A place among the tasks, by their ages within a namespace: names have no `/`.
pub(crate) fn prunable_place(after: Option<&Cursor>) -> Result<(String, i64), Error> {
    let Some(after) = after else { return Ok((String::new(), i64::MIN)) };
    let read = || {
        let (namespace, no) = after.as_str().strip_prefix('p')?.split_once('/')?;
        Some((namespace.to_owned(), no.parse().ok()?))
    };
    read().ok_or_else(Cursor::foreign)
}

/// A place in the history as a cursor.
pub(crate) fn cursor_place((feed, order): (i64, i64)) -> Cursor {
    Cursor::between('e', feed, order)
}

/// The task of a row of [`ENDED_TO_PRUNE`]; none if it has not ended.
pub(crate) fn read_ended(row: &PostgresRow, held: &Held) -> PostgresResult<Option<EndedTask>> {
    let Some(finished_at) = row.time(6)? else { return Ok(None) };
    let key = read_key(row, 0)?;
    Ok(Some(EndedTask {
        held_by: held.get(&key).cloned(),
        namespace: key.0,
        id: key.1,
        saga_id: SagaId::new(row.a_text(2)?)?,
        number: Revision(unsigned(row.a_number(3)?)),
        head: hash(row, 4)?,
        state: terminal(row.a_text(5)?)?,
        finished_at,
        updated_at: row.a_time(7)?,
        owes: row.truth(9)?,
    }))
}

fn hash(row: &PostgresRow, at: usize) -> PostgresResult<Hash> {
    let bytes = row.bytes(at)?.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    bytes.map(Hash).ok_or_else(|| PostgresError::Broken("a stored hash does not have 32 bytes".into()))
}

fn terminal(word: &str) -> PostgresResult<Terminal> {
    Terminal::of_word(word).ok_or_else(|| PostgresError::Broken(format!("`{word}` is not a terminal state")))
}

pub(crate) fn read_pruned(row: &PostgresRow) -> PostgresResult<PrunedTask> {
    let (namespace, id) = read_key(row, 0)?;
    Ok(PrunedTask {
        namespace,
        id,
        saga_id: SagaId::new(row.a_text(2)?)?,
        number: Revision(unsigned(row.a_number(3)?)),
        head: hash(row, 4)?,
        state: terminal(row.a_text(5)?)?,
        finished_at: row.a_time(6)?,
        pruned_at: row.a_time(7)?,
        anchor: unsigned(row.a_number(8)?),
    })
}

pub(crate) fn read_anchor(row: &PostgresRow) -> PostgresResult<AnchorRecord> {
    let purpose = row.a_text(1)?;
    Ok(AnchorRecord {
        number: unsigned(row.a_number(0)?),
        purpose: AnchorPurpose::of_word(purpose)
            .ok_or_else(|| PostgresError::Broken(format!("`{purpose}` is no purpose of an anchor")))?,
        cursor: row.a_text(2)?.to_owned(),
        root: hash(row, 3)?,
        lines: unsigned(row.a_number(4)?),
        at: row.a_time(5)?,
        by: Actor::new(row.a_text(6)?)?,
    })
}

/// The place of a cursor, and its row.
fn read_cursor(row: &PostgresRow) -> PostgresResult<((i64, i64), CursorRow)> {
    let place = (row.a_number(2)?, row.a_number(3)?);
    let read = CursorRow {
        namespace: Namespace::new(row.a_text(0)?)?,
        name: CursorName::new(row.a_text(1)?)?,
        cursor: cursor_place(place),
        moved_at: row.a_time(4)?,
        moved_by: Actor::new(row.a_text(5)?)?,
    };
    Ok((place, read))
}

impl PostgresReader<'_> {
    /// Which of the tasks of rows of [`ENDED_TO_PRUNE`] a cursor still needs.
    pub(crate) async fn held(&mut self, rows: &[PostgresRow]) -> PostgresResult<Held> {
        let mut ended = Vec::new();
        for row in rows {
            if row.time(6)?.is_some() {
                ended.push((row.a_text(0)?, row.a_text(1)?));
            }
        }
        let (namespaces, ids): (Vec<&str>, Vec<&str>) = ended.into_iter().unzip();
        if ids.is_empty() {
            return Ok(Held::new());
        }
        let mut held = Held::new();
        for row in self.link.ask(HELD, &[&namespaces, &ids]).await? {
            held.insert(read_key(&row, 0)?, CursorName::new(row.a_text(2)?)?);
        }
        Ok(held)
    }

    pub(crate) async fn prunable(
        &mut self,
        filter: &PruneFilter,
        (namespace, no): (String, i64),
        limit: usize,
    ) -> PostgresResult<Page<EndedTask>> {
        let now = self.now().await?;
        let looks = number(LOOKED_AT_MAX as u64 + 1);
        let mut rows = match &filter.namespace {
            Some(only) => self.link.ask(TASKS_OF_NAMESPACE, &[&only.as_str(), &no, &looks]).await?,
            None => self.link.ask(ALL_TASKS, &[&namespace, &no, &looks]).await?,
        };
        let mut has_more = rows.len() > LOOKED_AT_MAX;
        rows.truncate(LOOKED_AT_MAX);
        let mut taken = Vec::new();
        for (at, row) in rows.iter().enumerate() {
            let takes = read_ended(row, &Held::new())?.is_some_and(|task| filter.takes(&task, now));
            taken.extend(takes.then_some(at));
        }
        if let Some(last) = taken.get(limit.max(1) - 1).copied() {
            has_more |= last + 1 < rows.len();
            rows.truncate(last + 1);
        }
        let held = self.held(&rows).await?;
        let mut items = Vec::new();
        for row in &rows {
            items.extend(read_ended(row, &held)?.filter(|task| filter.takes(task, now)));
        }
        let next = match rows.last().filter(|_| has_more) {
            Some(last) => Some(Cursor::from_text(format!("p{}/{}", last.a_text(0)?, last.a_number(8)?))),
            None => None,
        };
        Ok(Page::new(items, next, false))
    }

    /// The chains of these tasks, as far as they are there.
    pub(crate) async fn chains_of(&mut self, tasks: &[Key]) -> PostgresResult<Vec<StoredChain>> {
        self.begin().await?;
        let names: Vec<(&str, &str)> =
            tasks.iter().map(|(namespace, id)| (namespace.as_str(), id.as_str())).collect();
        let mut chains = self.stored_chains(&names).await?;
        self.end().await?;
        chains.retain(|chain| chain.stored_name.is_some());
        Ok(chains)
    }

    pub(crate) async fn pruned(
        &mut self,
        namespace: &Namespace,
        id: &TaskId,
    ) -> PostgresResult<Option<PrunedTask>> {
        let sql = format!("{PRUNED} where namespace = $1 and id = $2");
        let rows = self.link.once(&sql, &[&namespace.as_str(), &id.as_str()]).await?;
        rows.first().map(read_pruned).transpose()
    }

    pub(crate) async fn pruned_tasks(
        &mut self,
        (namespace, id): (String, String),
        limit: usize,
    ) -> PostgresResult<Page<PrunedTask>> {
        let limit = limit.max(1);
        let sql = format!("{PRUNED} where (namespace, id) > ($1, $2) order by namespace, id limit $3");
        let rows =
            self.link.once(&sql, &[&namespace, &id, &number((limit as u64).saturating_add(1))]).await?;
        let mut items = rows.iter().map(read_pruned).collect::<PostgresResult<Vec<_>>>()?;
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(pruned_cursor);
        Ok(Page::new(items, next, false))
    }

    pub(crate) async fn anchors(&mut self, after: u64, limit: usize) -> PostgresResult<Vec<AnchorRecord>> {
        let sql = format!("{ANCHORS} where no > $1 order by no limit $2");
        let rows = self.link.once(&sql, &[&number(after), &number(limit.max(1) as u64)]).await?;
        rows.iter().map(read_anchor).collect()
    }

    pub(crate) async fn newest_anchor(
        &mut self,
        purpose: AnchorPurpose,
    ) -> PostgresResult<Option<AnchorRecord>> {
        let sql = format!("{ANCHORS} where purpose = $1 order by at desc, no desc limit 1");
        let rows = self.link.once(&sql, &[&purpose.word()]).await?;
        rows.first().map(read_anchor).transpose()
    }

    pub(crate) async fn named_cursors(&mut self, namespace: &Namespace) -> PostgresResult<Vec<NamedCursor>> {
        let sql = format!("{CURSORS} where namespace = $1 order by name");
        let rows = self.link.once(&sql, &[&namespace.as_str()]).await?;
        let mut cursors = Vec::with_capacity(rows.len());
        for row in &rows {
            cursors.push(self.with_lag(row).await?);
        }
        Ok(cursors)
    }

    pub(crate) async fn prunes(&mut self) -> PostgresResult<u64> {
        let count = "select count(*) from tenure.anchors where purpose = $1";
        let rows = self.link.once(count, &[&AnchorPurpose::Prune.word()]).await?;
        Ok(unsigned(one(&rows)?.a_number(0)?))
    }

    pub(crate) async fn pruned_behind(&mut self, anchor: u64) -> PostgresResult<Vec<PrunedTask>> {
        let sql = format!("{PRUNED} where anchor = $1 order by namespace, id");
        let rows = self.link.once(&sql, &[&number(anchor)]).await?;
        rows.iter().map(read_pruned).collect()
    }

    pub(crate) async fn followers(
        &mut self,
        after: Option<&(Namespace, CursorName)>,
        limit: usize,
    ) -> PostgresResult<Vec<CursorRow>> {
        let (namespace, name) =
            after.map_or(("", ""), |(namespace, name)| (namespace.as_str(), name.as_str()));
        let sql = format!("{CURSORS} where (namespace, name) > ($1, $2) order by namespace, name limit $3");
        let rows = self.link.once(&sql, &[&namespace, &name, &number(limit.max(1) as u64)]).await?;
        rows.iter().map(|row| Ok(read_cursor(row)?.1)).collect()
    }

    pub(crate) async fn follower(
        &mut self,
        namespace: &Namespace,
        name: &CursorName,
    ) -> PostgresResult<Option<CursorRow>> {
        let sql = format!("{CURSORS} where namespace = $1 and name = $2");
        let rows = self.link.once(&sql, &[&namespace.as_str(), &name.as_str()]).await?;
        rows.first().map(|row| Ok(read_cursor(row)?.1)).transpose()
    }

    pub(crate) async fn named_cursor(
        &mut self,
        namespace: &Namespace,
        name: &CursorName,
    ) -> PostgresResult<Option<NamedCursor>> {
        let sql = format!("{CURSORS} where namespace = $1 and name = $2");
        let rows = self.link.once(&sql, &[&namespace.as_str(), &name.as_str()]).await?;
        match rows.first() {
            Some(row) => self.with_lag(row).await.map(Some),
            None => Ok(None),
        }
    }

    async fn with_lag(&mut self, row: &PostgresRow) -> PostgresResult<NamedCursor> {
        let ((feed, order), row) = read_cursor(row)?;
        let (horizon, now) = (self.horizon().await?, self.now().await?);
        let looks = number(BEHIND_MAX as u64);
        let given =
            self.link.ask(BEHIND, &[&feed, &order, &row.namespace.as_str(), &horizon, &looks]).await?;
        let found = one(&given)?;
        let behind = Behind {
            looked_at: usize::try_from(found.a_number(0)?).unwrap_or(usize::MAX),
            count: unsigned(found.a_number(1)?),
            since: found.number(2)?.map(Time::from_micros),
        };
        Ok(row.behind(behind, now))
    }

    /// The namespaces that have pruned tasks, by name.
    pub(crate) async fn pruned_namespaces(&mut self) -> PostgresResult<Vec<Namespace>> {
        let rows = self.link.ask(PRUNED_NAMESPACES, &[]).await?;
        rows.iter().map(|row| Ok(Namespace::new(row.a_text(0)?)?)).collect()
    }
}
