//! Retention in the database: pruning, the record of anchors, and named cursors. They are rare, each on a connection of its own.

use tenure_api::wire::Word as _;
use tenure_core::id::{CursorName, Namespace};
use tenure_core::time::Time;
use tenure_store::Error;
use tenure_store::columns::Row as _;
use tenure_store::numbers::{number, unsigned};
use tenure_store::retention::{
    AnchorPurpose, AnchorRecord, CURSORS_MAX, CursorMove, CursorRow, NamedCursor, NewAnchor, PruneStep,
    PrunedTask, cursor_exists, moves_back, no_such_cursor, too_many_cursors,
};

use crate::columns::{Meaning, PostgresError, PostgresResult};
use crate::database::PostgresDatabase;
use crate::link::Link;
use crate::load::LockWait;
use crate::read::{PostgresReader, one};
use crate::retained::{ENDED_TO_PRUNE, cursor_place, read_ended};
use crate::sql;
use crate::write::{Ended, commit_answered};

/// How often a write is tried whose failures pass.
const TRIES_MAX: u32 = 5;

/// One that writes.
#[derive(Clone)]
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

/// How a try ended.
enum WriteAttempt {
    Done(Written),
    Refused(Error),
    /// Surely not done.
    Failed(PostgresError),
    Unknown(PostgresError),
}

/// Writes in one transaction, by the database's clock.
pub(crate) async fn write(database: &PostgresDatabase, write: RetentionWrite) -> Result<Written, Error> {
    let mut tries = 0;
    loop {
        tries += 1;
        let fault = match try_once(database, write.clone()).await {
            WriteAttempt::Done(written) => return Ok(written),
            WriteAttempt::Refused(refused) => return Err(refused),
            WriteAttempt::Unknown(fault) => {
                return Err(Error::Unknown(fault.into_failure(&database.shown())));
            }
            WriteAttempt::Failed(fault) => fault,
        };
        let passes = matches!(fault.meaning(), Meaning::Again | Meaning::Reconnect);
        if !passes || tries == TRIES_MAX {
            return Err(fault.surely_not_done(&database.shown()));
        }
    }
}

/// One transaction. A connection that is dropped before the commit was sent takes it back.
async fn try_once(database: &PostgresDatabase, write: RetentionWrite) -> WriteAttempt {
    let begun = async {
        let mut link = database.connect_to_write().await?;
        link.send_plain(sql::BEGIN).answer().await?;
        link.ask(sql::SETTINGS_AND_NOW, &[&LockWait::Usual.timeout()]).await?;
        let written = write_all(&mut link, database, write).await?;
        Ok((link, written))
    };
    let (link, written) = match begun.await {
        Ok(written) => written,
        Err(fault) => return WriteAttempt::Failed(fault),
    };
    let written = match written {
        Ok(written) => written,
        Err(refused) => return WriteAttempt::Refused(refused),
    };
    match commit_answered(&link).await {
        Ended::Committed(_) => WriteAttempt::Done(written),
        Ended::Failed(fault) => WriteAttempt::Failed(fault),
        Ended::Unknown(fault) => WriteAttempt::Unknown(fault),
    }
}

/// All of the transaction but its commit.
async fn write_all(
    link: &mut Link,
    database: &PostgresDatabase,
    write: RetentionWrite,
) -> PostgresResult<Result<Written, Error>> {
    match write {
        RetentionWrite::Prune(step) => Ok(Ok(Written::Pruned(prune(link, database, step).await?))),
        RetentionWrite::RecordAnchor(anchor) => {
            let now = PostgresReader::new(link, database).now().await?;
            Ok(Ok(Written::Anchor(insert_anchor(link, anchor, AnchorPurpose::Audit, now).await?)))
        }
        RetentionWrite::MoveCursor(moving) => {
            Ok(move_cursor(link, database, moving).await?.map(Written::Cursor))
        }
        RetentionWrite::ForgetCursor(namespace, name) => {
            Ok(forget_cursor(link, database, &namespace, &name).await?.map(Written::Cursor))
        }
        RetentionWrite::CarryCursor(row) => Ok(carry_cursor(link, &row).await?.map(|()| Written::Carried)),
    }
}

// ---- pruning -------------------------------------------------------------------------------------------------

/// A new cursor waits until the transaction has ended, so that it needs nothing that goes here.
const LOCK_FOLLOWERS: &str = "lock table tenure.followers in share mode";
/// The numbers of transactions start again in another cluster, and followers have places among those of pruned events.
const KEEP_FEED: &str = "\
    insert into tenure.meta (key, value) select 'feed_pruned', max(feed)::text from tenure.events \
        where (namespace, task) in (select * from unnest($1::text[], $2::text[])) having max(feed) is not null \
    on conflict (key) do update set value = greatest(meta.value::bigint, excluded.value::bigint)::text";
const RECORD: &str = "\
    insert into tenure.pruned (namespace, id, saga_id, number, head, state, finished_at, pruned_at, anchor) \
    select * from unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bytea[], $6::text[], $7::bigint[], \
        $8::bigint[], $9::bigint[])";
const PRUNING: &str = "select set_config('tenure_commands.pruning', $1, true)";
/// In the order in which transactions lock rows. The task comes last.
const DELETES: [&str; 5] = [
    "delete from tenure.compensations using unnest($1::text[], $2::text[]) as gone(n, i) where namespace = n and task = i",
    "delete from tenure.checkpoints using unnest($1::text[], $2::text[]) as gone(n, i) where namespace = n and task = i",
    "delete from tenure.due using unnest($1::text[], $2::text[]) as gone(n, i) where namespace = n and task = i",
    "delete from tenure.events using unnest($1::text[], $2::text[]) as gone(n, i) where namespace = n and task = i",
    "with gone as (delete from tenure.tasks using unnest($1::text[], $2::text[]) as gone(n, i) \
        where tasks.namespace = n and tasks.id = i returning 1) \
     select tenure.all_of((select count(*) from gone), cardinality($2::text[]), 'tasks')",
];

async fn prune(
    link: &mut Link,
    database: &PostgresDatabase,
    step: PruneStep,
) -> PostgresResult<Vec<PrunedTask>> {
    let namespaces: Vec<&str> = step.tasks.iter().map(|task| task.namespace.as_str()).collect();
    let ids: Vec<&str> = step.tasks.iter().map(|task| task.id.as_str()).collect();
    let rows = link.ask(ENDED_TO_PRUNE, &[&namespaces, &ids]).await?;
    link.send_plain(&database.settings.schema.in_sql(LOCK_FOLLOWERS)).answer().await?;
    let mut reader = PostgresReader::new(link, database);
    let held = reader.held(&rows).await?;
    // Read after the locks, which may have been waited for.
    let (now, newest) = (reader.now().await?, reader.newest().await?);
    let mut found = Vec::with_capacity(rows.len());
    for row in &rows {
        found.extend(read_ended(row, &held)?);
    }
    let Some(decided) = step.decide(found, newest.as_str().to_owned(), now) else { return Ok(Vec::new()) };
    let anchor = insert_anchor(link, decided.anchor.clone(), AnchorPurpose::Prune, now).await?;
    let pruned = decided.pruned(anchor.number);
    delete(link, &pruned).await?;
    Ok(pruned)
}

/// Records what is left of tasks.
pub(crate) async fn insert_pruned(link: &mut Link, tasks: &[PrunedTask]) -> PostgresResult<()> {
    let namespaces: Vec<&str> = tasks.iter().map(|task| task.namespace.as_str()).collect();
    let ids: Vec<&str> = tasks.iter().map(|task| task.id.as_str()).collect();
    let sagas: Vec<&str> = tasks.iter().map(|task| task.saga_id.as_str()).collect();
    let numbers: Vec<i64> = tasks.iter().map(|task| number(task.number.0)).collect();
    let heads: Vec<&[u8]> = tasks.iter().map(|task| &task.head.0[..]).collect();
    let states: Vec<&str> = tasks.iter().map(|task| task.state.word()).collect();
    let ends: Vec<i64> = tasks.iter().map(|task| task.finished_at.as_micros()).collect();
    let times: Vec<i64> = tasks.iter().map(|task| task.pruned_at.as_micros()).collect();
    let anchors: Vec<i64> = tasks.iter().map(|task| number(task.anchor)).collect();
    link.once(RECORD, &[&namespaces, &ids, &sagas, &numbers, &heads, &states, &ends, &times, &anchors])
        .await?;
    Ok(())
}

async fn delete(link: &mut Link, tasks: &[PrunedTask]) -> PostgresResult<()> {
    let namespaces: Vec<&str> = tasks.iter().map(|task| task.namespace.as_str()).collect();
    let ids: Vec<&str> = tasks.iter().map(|task| task.id.as_str()).collect();
    link.once(KEEP_FEED, &[&namespaces, &ids]).await?;
    link.once(PRUNING, &[&"on"]).await?;
    insert_pruned(link, tasks).await?;
    for delete in DELETES {
        link.once(delete, &[&namespaces, &ids]).await?;
    }
    link.once(PRUNING, &[&"off"]).await?;
    Ok(())
}

// ---- anchors -------------------------------------------------------------------------------------------------

pub(crate) async fn insert_anchor(
    link: &mut Link,
    anchor: NewAnchor,
    purpose: AnchorPurpose,
    now: Time,
) -> PostgresResult<AnchorRecord> {
    let add = "insert into tenure.anchors (purpose, cursor, root, lines, at, by) values ($1, $2, $3, $4, $5, $6) returning no";
    let (root, lines, at) = (&anchor.root.0[..], number(anchor.lines), now.as_micros());
    let (word, cursor, by) = (purpose.word(), anchor.cursor.as_str(), anchor.by.as_str());
    let rows = link.once(add, &[&word, &cursor, &root, &lines, &at, &by]).await?;
    let number = one(&rows)?.a_number(0)?;
    Ok(anchor.recorded(unsigned(number), purpose, now))
}

// ---- named cursors -------------------------------------------------------------------------------------------

const LOCK_CURSOR: &str =
    "select feed, \"order\" from tenure.followers where namespace = $1 and name = $2 for update";
const FORWARD: &str = "\
    update tenure.followers set feed = $3, \"order\" = $4, moved_at = $5, moved_by = $6 \
    where namespace = $1 and name = $2";
const COUNT: &str = "select count(*) from tenure.followers where namespace = $1";
/// One that another process added in the meantime is a unique violation, and this is tried again.
const ADD: &str = "\
    insert into tenure.followers (namespace, name, feed, \"order\", moved_at, moved_by) values ($1, $2, $3, $4, $5, $6)";
const FORGET: &str = "delete from tenure.followers where namespace = $1 and name = $2";

async fn move_cursor(
    link: &mut Link,
    database: &PostgresDatabase,
    moving: CursorMove,
) -> PostgresResult<Result<NamedCursor, Error>> {
    let CursorMove { namespace, name, to, by } = moving;
    let given = match to.as_ref().map_or(Ok((0, 0)), |to| to.numbers('e')) {
        Ok(given) => given,
        Err(foreign) => return Ok(Err(foreign)),
    };
    let (key, by) = ((namespace.as_str(), name.as_str()), by.as_str());
    let rows = link.once(LOCK_CURSOR, &[&key.0, &key.1]).await?;
    let at =
        rows.first().map(|row| Ok::<_, PostgresError>((row.a_number(0)?, row.a_number(1)?))).transpose()?;
    let mut reader = PostgresReader::new(link, database);
    // A place that the history of one task gave may be ahead of what everybody is shown yet.
    let (feed, order) = given.min((reader.horizon().await? - 1, i64::MAX));
    let now = reader.now().await?;
    let moved_at = now.as_micros();
    match at {
        Some(at) if to.is_some() && (feed, order) < at => {
            let [at, to] = [at, (feed, order)].map(cursor_place);
            return Ok(Err(moves_back(&name, at.as_str(), to.as_str())));
        }
        Some(at) if (feed, order) <= at => {}
        Some(_) => {
            link.once(FORWARD, &[&key.0, &key.1, &feed, &order, &moved_at, &by]).await?;
        }
        None => {
            if let Err(refused) = add_cursor(link, key, (feed, order), (moved_at, by)).await? {
                return Ok(Err(refused));
            }
        }
    }
    let found = PostgresReader::new(link, database).named_cursor(&namespace, &name).await?;
    Ok(found.ok_or_else(|| no_such_cursor(&namespace, &name)))
}

async fn add_cursor(
    link: &mut Link,
    key: (&str, &str),
    (feed, order): (i64, i64),
    (moved_at, by): (i64, &str),
) -> PostgresResult<Result<(), Error>> {
    let count = link.once(COUNT, &[&key.0]).await?;
    if one(&count)?.a_number(0)? >= number(CURSORS_MAX as u64) {
        return Ok(Err(too_many_cursors()));
    }
    link.once(ADD, &[&key.0, &key.1, &feed, &order, &moved_at, &by]).await?;
    Ok(Ok(()))
}

async fn carry_cursor(link: &mut Link, row: &CursorRow) -> PostgresResult<Result<(), Error>> {
    let place = match row.cursor.numbers('e') {
        Ok(place) => place,
        Err(foreign) => return Ok(Err(foreign)),
    };
    let key = (row.namespace.as_str(), row.name.as_str());
    if !link.once(LOCK_CURSOR, &[&key.0, &key.1]).await?.is_empty() {
        return Ok(Err(cursor_exists(&row.namespace, &row.name)));
    }
    add_cursor(link, key, place, (row.moved_at.as_micros(), row.moved_by.as_str())).await
}

async fn forget_cursor(
    link: &mut Link,
    database: &PostgresDatabase,
    namespace: &Namespace,
    name: &CursorName,
) -> PostgresResult<Result<NamedCursor, Error>> {
    let found = PostgresReader::new(link, database).named_cursor(namespace, name).await?;
    let Some(found) = found else { return Ok(Err(no_such_cursor(namespace, name))) };
    link.once(FORGET, &[&namespace.as_str(), &name.as_str()]).await?;
    Ok(Ok(found))
}
