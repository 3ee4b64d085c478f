//! The mark of a database into which a backup is being restored. While it is there, the store is not opened for anything else, so a
//! half of a backup never passes for a store.

use tenure_store::backup::{RESTORING_KEY, RestoringMark};
use tenure_store::columns::Row as _;
use tenure_store::numbers::number;
use tenure_store::{Error, Failure};

use crate::columns::{PostgresError, PostgresResult};
use crate::database::PostgresDatabase;
use crate::link::Link;
use crate::sql;
use crate::store::PostgresStore;
use crate::write::{Ended, commit_answered};

/// What was written first: nobody may create a task while it is decided that there is none.
const LOCK: &str = "lock table tenure.tasks, tenure.tokens, tenure.intake in share row exclusive mode";
const READ: &str = "select value from tenure.meta where key = $1";
/// Tokens count, too: those of the backup may have their names.
const BEGIN: &str = "\
    insert into tenure.meta (key, value) select $1, $2 \
    where not exists (select from tenure.tasks) and not exists (select from tenure.events) \
        and not exists (select from tenure.pruned) and not exists (select from tenure.tokens) \
        and not exists (select from tenure.intake) \
    on conflict (key) do nothing returning key";
const RAISE_FLOOR: &str = "\
    insert into tenure.meta as old (key, value) values ('epoch_floor', $1::bigint::text) \
    on conflict (key) do update set value = greatest(old.value::bigint, excluded.value::bigint)::text";
const DURABLE: &str = "\
    select case current_setting('synchronous_commit') when 'off' then set_config('synchronous_commit', 'on', true) end";
const END: &str = "delete from tenure.meta where key = $1 and value = $2 returning key";

/// A change of the mark.
#[derive(Clone, Copy)]
enum MarkChange {
    Begin,
    End,
}

#[doc(hidden)]
impl PostgresStore {
    /// The restore that was begun here and has not ended.
    pub async fn restoring(&self) -> Result<Option<RestoringMark>, Error> {
        let database = std::sync::Arc::clone(&self.database);
        let shown = database.shown();
        let text = self.on_runtime(async move {
            let read = async {
                let link = Link::connect(&database.settings).await?;
                let rows = link.once(READ, &[&RESTORING_KEY]).await?;
                rows.first().map(|row| Ok::<_, PostgresError>(row.a_text(0)?.to_owned())).transpose()
            };
            read.await.map_err(|fault: PostgresError| fault.surely_not_done(&database.shown()))
        });
        let Some(text) = text.await? else { return Ok(None) };
        RestoringMark::read(&text).map(Some).map_err(|error| {
            Error::Corrupt(Failure::new(
                format!("{shown}: the mark of a restore can't be read: {error}"),
                error,
            ))
        })
    }

    /// Marks a database without a task as one into which a backup is being restored. False if it is not empty, or marked already.
    pub async fn begin_restore(&self, mark: &RestoringMark) -> Result<bool, Error> {
        self.change_mark(mark, MarkChange::Begin).await
    }

    /// Raises the epoch floor and takes the mark away, in one transaction. False if the mark is gone already.
    pub async fn end_restore(&self, mark: &RestoringMark) -> Result<bool, Error> {
        self.change_mark(mark, MarkChange::End).await
    }

    async fn change_mark(&self, mark: &RestoringMark, change: MarkChange) -> Result<bool, Error> {
        let (database, mark) = (std::sync::Arc::clone(&self.database), mark.clone());
        self.on_runtime(async move {
            let begun = begin(&database, &mark, change).await;
            let (link, is_changed) = begun.map_err(|fault| fault.surely_not_done(&database.shown()))?;
            if !is_changed {
                return Ok(false);
            }
            match commit_answered(&link).await {
                Ended::Committed(_) => Ok(true),
                Ended::Failed(fault) => Err(fault.surely_not_done(&database.shown())),
                Ended::Unknown(fault) => Err(Error::Unknown(fault.into_failure(&database.shown()))),
            }
        })
        .await
    }
}

/// All of the transaction but its commit.
async fn begin(
    database: &PostgresDatabase,
    mark: &RestoringMark,
    change: MarkChange,
) -> PostgresResult<(Link, bool)> {
    let link = Link::connect(&database.settings).await?;
    link.send_plain(sql::BEGIN).answer().await?;
    // Answered means on the disk, whatever the role's own setting is.
    link.once(DURABLE, &[]).await?;
    let changed = match change {
        MarkChange::Begin => {
            let lock = database.settings.schema.in_sql(LOCK);
            link.send_plain(&lock).answer().await?;
            link.once(BEGIN, &[&RESTORING_KEY, &mark.to_text()]).await?
        }
        MarkChange::End => {
            link.once(RAISE_FLOOR, &[&number(mark.epoch_floor.0)]).await?;
            link.once(END, &[&RESTORING_KEY, &mark.to_text()]).await?
        }
    };
    Ok((link, !changed.is_empty()))
}
