//! The database that all parts of a store share: connecting, the clock, and signals about new events. Also what its
//! schema must be, how it is created and migrated, and the error if the schema is something else.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tenure_clock::{Clock, LastInstant, Moment};
use tenure_core::refusal::Refusal;
use tenure_store::Error;
use tenure_store::backup::{IfMarked, RESTORING_KEY};
use tenure_store::columns::Row as _;
use tenure_store::entropy::{RandomSource as _, SystemEntropy};
use tenure_store::waiting::ClaimWaits;
use tenure_store::{IfMissing, SchemaState, older_schema};
use tokio::sync::{Notify, watch};

use crate::batch::Batch;
use crate::columns::{PostgresError, PostgresResult};
use crate::known::KnownTasks;
use crate::link::Link;
use crate::settings::PostgresSettings;

/// The migrations in order; the schema version is how many of them ran. A released one never changes.
const MIGRATIONS: [&str; 9] = [
    include_str!("../migrations/V1__ledger.sql"),
    include_str!("../migrations/V2__intake.sql"),
    include_str!("../migrations/V3__tokens.sql"),
    include_str!("../migrations/V4__guards.sql"),
    include_str!("../migrations/V5__ends.sql"),
    include_str!("../migrations/V6__speed.sql"),
    include_str!("../migrations/V7__last_leases.sql"),
    include_str!("../migrations/V8__retention.sql"),
    include_str!("../migrations/V9__namespace_histories.sql"),
];

/// The minimum server version.
const SERVER_MIN: i64 = 140_000;

/// How often to retry an unavailable database.
const LOOK_APART: Duration = Duration::from_millis(100);

/// Retries until `patience` has passed, while the database is away.
pub(crate) async fn patiently<T, F: Future<Output = PostgresResult<T>>>(
    patience: Duration,
    tries: impl Fn() -> F,
) -> PostgresResult<T> {
    let until = Moment::now() + patience.into();
    loop {
        match tries().await {
            Err(fault) if fault.may_pass() && Moment::now() < until => {
                let left = Duration::from(until.since(Moment::now()));
                tokio::time::sleep(LOOK_APART.min(left)).await;
            }
            done => return done,
        }
    }
}

/// What a schema was found to be.
enum FoundSchema {
    /// There is no store in it.
    Missing,
    /// Tenure's, with that many migrations.
    Version(usize),
    /// Tenure's, of a later version.
    Newer(usize),
    /// Another program's.
    Foreign,
}

/// The shared state of all parts of a store.
pub(crate) struct PostgresDatabase {
    pub(crate) settings: PostgresSettings,
    /// A clock for tests; otherwise the database's clock is used.
    pub(crate) clock: Option<Arc<dyn Clock>>,
    /// What the committers know of open tasks.
    known: Mutex<KnownTasks>,
    /// The last instant that was given by the injected clock.
    pub(crate) last: LastInstant,
    /// Counts the signals for followers.
    pub(crate) grown: watch::Sender<u64>,
    /// Counts those of other processes.
    pub(crate) others_wrote: watch::Sender<u64>,
    pub(crate) claim_waits: Arc<ClaimWaits>,
    /// What this process signs its signals with.
    own_sign: String,
    /// How many batches ended tasks, since old counts were deleted.
    ends_apart: AtomicU32,
    /// Whether other processes must still be signalled.
    pub(crate) untold: Notify,
}

impl PostgresDatabase {
    /// A look for old counts costs as much as counting, and there are seldom any. A batch looks in its own namespaces. It is a prime number,
    /// so that each of some namespaces that write in turn has a batch that looks.
    pub(crate) const SWEEPS_APART: u32 = 17;

    pub(crate) fn new(settings: PostgresSettings, clock: Option<Arc<dyn Clock>>) -> PostgresDatabase {
        let (grown, untold) = (watch::Sender::new(0), Notify::new());
        let (known, last) = (Mutex::default(), LastInstant::default());
        let (others_wrote, claim_waits) = (watch::Sender::new(0), Arc::default());
        let own_sign = SystemEntropy.new_id();
        let ends_apart = AtomicU32::new(0);
        PostgresDatabase {
            settings,
            clock,
            known,
            last,
            grown,
            others_wrote,
            claim_waits,
            own_sign,
            ends_apart,
            untold,
        }
    }

    pub(crate) fn known(&self) -> MutexGuard<'_, KnownTasks> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The URL without secrets.
    pub(crate) fn shown(&self) -> String {
        self.settings.shown()
    }

    /// Wakes followers, in this process and in others.
    pub(crate) fn tell_followers(&self) {
        self.grown.send_modify(|signs| *signs += 1);
        self.untold.notify_one();
    }

    /// Takes a signal about new events: signals of this process come back to it.
    pub(crate) fn take_sign(&self, sign: &str) {
        self.grown.send_modify(|signs| *signs += 1);
        if sign != self.own_sign {
            self.others_wrote.send_modify(|signs| *signs += 1);
        }
    }

    pub(crate) fn own_sign(&self) -> &str {
        &self.own_sign
    }

    /// Offers what a committed batch made due to claims that wait.
    pub(crate) fn offer(&self, batch: &Batch) {
        let mut newly_due = self.claim_waits.newly_due();
        batch.changed_tasks().for_each(|task| newly_due.note(task));
        self.claim_waits.offer(newly_due);
    }

    /// Whether a batch that ends tasks is to delete old counts of ended tasks, too.
    pub(crate) fn sweeps_ends(&self) -> bool {
        self.ends_apart.fetch_add(1, Ordering::Relaxed).is_multiple_of(Self::SWEEPS_APART)
    }

    /// The channel for signals to other processes: each schema has its own.
    pub(crate) fn channel(&self) -> &str {
        self.settings.schema.as_str()
    }

    /// Creates the schema if it does not exist, and migrates it to the newest version.
    pub(crate) async fn prepare(&self, missing: IfMissing, marked: IfMarked) -> Result<(), Error> {
        let prepared = patiently(self.settings.patience_to_open, || self.find_or_make(missing, marked));
        prepared.await.map_err(|fault| fault.surely_not_done(&self.shown()))
    }

    /// Checks that the schema can be read as it is.
    pub(crate) async fn is_current(&self) -> Result<(), Error> {
        let version = patiently(self.settings.patience_to_open, || async {
            let link = Link::connect(&self.settings).await?;
            look_at_server(&link).await?;
            self.version(&link, IfMarked::Refuse).await?.ok_or_else(no_store)
        });
        match version.await.map_err(|fault| fault.surely_not_done(&self.shown()))? {
            version if version < MIGRATIONS.len() => Err(older_schema(&self.shown())),
            _ => Ok(()),
        }
    }

    /// The state of the schema, without changing it.
    pub(crate) async fn condition(&self) -> Result<SchemaState, Error> {
        let found = patiently(self.settings.patience_to_open, || self.find());
        found.await.map_err(|fault| fault.surely_not_done(&self.shown()))
    }

    /// Drops the schema, if its name begins as those that are made to measure in.
    pub(crate) async fn drop_trial(&self, prefix: &str) -> Result<(), Error> {
        let schema = self.settings.schema.as_str();
        if !schema.starts_with(prefix) {
            return Err(Refusal::invalid("schema", format_args!("a name that begins with {prefix}")).into());
        }
        let dropped = async {
            let link = Link::connect(&self.settings).await?;
            link.send_plain(&format!("drop schema if exists \"{schema}\" cascade")).answer().await
        };
        dropped.await.map_err(|fault: PostgresError| fault.surely_not_done(&self.shown()))
    }

    async fn find(&self) -> PostgresResult<SchemaState> {
        let link = Link::connect(&self.settings).await?;
        look_at_server(&link).await?;
        Ok(match self.found(&link).await?.0 {
            FoundSchema::Missing => SchemaState::Missing,
            FoundSchema::Version(version) if version < MIGRATIONS.len() => SchemaState::Older,
            FoundSchema::Version(_) => SchemaState::Current,
            FoundSchema::Newer(found) => SchemaState::Newer { found, known: MIGRATIONS.len() },
            FoundSchema::Foreign => SchemaState::Foreign,
        })
    }

    async fn find_or_make(&self, missing: IfMissing, marked: IfMarked) -> PostgresResult<()> {
        let link = Link::connect(&self.settings).await?;
        look_at_server(&link).await?;
        let version = self.version(&link, marked).await?;
        if version == Some(MIGRATIONS.len()) && !is_restored_elsewhere(&link).await? {
            return Ok(());
        }
        if version.is_none() && missing == IfMissing::Refuse {
            return Err(no_store());
        }
        // The lock belongs to the transaction, so it is released with it however that ends, also behind a
        // pooler.
        link.send_plain("begin isolation level read committed read write").answer().await?;
        link.once(LOCK, &[&self.settings.schema.as_str()]).await?;
        // Another process may have done it while this one waited.
        let version = self.version(&link, marked).await?;
        self.migrate(&link, version).await?;
        if is_restored_elsewhere(&link).await? {
            link.once(RAISE_FEED, &[]).await?;
        }
        link.send_plain("commit").answer().await
    }

    /// A connection for a committer. Its events must come after the stored ones, even if the cluster was
    /// replaced and a dump was restored into it.
    pub(crate) async fn connect_to_write(&self) -> PostgresResult<Link> {
        let link = Link::connect(&self.settings).await?;
        if is_restored_elsewhere(&link).await? {
            link.send_plain("begin isolation level read committed read write").answer().await?;
            link.once(LOCK, &[&self.settings.schema.as_str()]).await?;
            if is_restored_elsewhere(&link).await? {
                link.once(RAISE_FEED, &[]).await?;
            }
            link.send_plain("commit").answer().await?;
        }
        Ok(link)
    }

    /// How many migrations ran; none, if there is no store in the schema.
    async fn version(&self, link: &Link, marked: IfMarked) -> PostgresResult<Option<usize>> {
        let schema = &self.settings.schema;
        let (found, mark) = self.found(link).await?;
        if mark.is_some() && marked == IfMarked::Refuse {
            return Err(PostgresError::Unfit(format!(
                "a backup is being restored into the schema `{schema}`: wait until that is done; if it was interrupted, repeat \
                 the restore with the same file"
            )));
        }
        match found {
            FoundSchema::Missing => Ok(None),
            FoundSchema::Version(version) => Ok(Some(version)),
            FoundSchema::Newer(version) => Err(PostgresError::Unfit(format!(
                "the schema `{schema}` has version {version}, but this program supports only up to {}; use a newer \
                 version of it",
                MIGRATIONS.len()
            ))),
            FoundSchema::Foreign => Err(PostgresError::Unfit(format!(
                "the schema `{schema}` contains another program's tables; choose another one with ?schema="
            ))),
        }
    }

    /// What there is, and the mark of a restore that was begun and has not ended.
    async fn found(&self, link: &Link) -> PostgresResult<(FoundSchema, Option<String>)> {
        let rows = link.once(FIND, &[&self.settings.schema.as_str()]).await?;
        let found = rows.first().map(|row| row.truth(0)).transpose()?.unwrap_or(false);
        if !found {
            return Ok((FoundSchema::Missing, None));
        }
        let rows = link.once(VERSION_AND_MARK, &[&RESTORING_KEY]).await?;
        let text = |at| Ok::<_, PostgresError>(rows.first().map(|row| row.text(at)).transpose()?.flatten());
        let version = text(0)?.and_then(|text| text.parse::<usize>().ok());
        let found = match version {
            Some(version) if version <= MIGRATIONS.len() => FoundSchema::Version(version),
            Some(version) => FoundSchema::Newer(version),
            None => FoundSchema::Foreign,
        };
        Ok((found, text(1)?.map(str::to_owned)))
    }

    /// All or nothing: one that is killed leaves the old schema.
    async fn migrate(&self, link: &Link, version: Option<usize>) -> PostgresResult<()> {
        let schema = self.settings.schema.as_str();
        if version.is_none() {
            let rows =
                link.once("select exists (select from pg_namespace where nspname = $1)", &[&schema]).await?;
            // Checked first: a role that may not create schemas may still use an existing one.
            if !rows.first().map(|row| row.truth(0)).transpose()?.unwrap_or(false) {
                link.send_plain(&format!("create schema \"{schema}\"")).answer().await?;
            }
        }
        let done = version.unwrap_or(0);
        // The functions that guards and checks use are resolved once, now, so that other objects of the same
        // name can't take their place.
        link.send_plain("set local search_path = pg_catalog, pg_temp").answer().await?;
        for migration in MIGRATIONS.get(done..).unwrap_or(&[]) {
            link.send_plain(&self.settings.schema.in_sql(migration)).answer().await?;
        }
        if done < MIGRATIONS.len() {
            link.once(NOTE_VERSION, &[&MIGRATIONS.len().to_string()]).await?;
        }
        Ok(())
    }
}

fn no_store() -> PostgresError {
    PostgresError::Unfit("this schema contains no store; check its name".into())
}

const LOCK: &str = "select pg_advisory_xact_lock(hashtextextended('tenure: ' || $1, 0))";

const FIND: &str = "\
    select exists (select from pg_class join pg_namespace on pg_namespace.oid = relnamespace \
        where nspname = $1 and relname = 'meta' and relkind in ('r', 'p'))";

const VERSION_AND_MARK: &str = "\
    select (select value from tenure.meta where key = 'schema_version'), (select value from tenure.meta where key = $1)";

const NOTE_VERSION: &str = "\
    insert into tenure.meta (key, value) values ('schema_version', $1), ('feed_base', '0'), ('epoch_floor', '0') \
    on conflict (key) do update set value = excluded.value where meta.key = 'schema_version'";

/// Transaction ids start again in a cluster into which a dump was restored. New events must come after the stored
/// ones, and behind those that were pruned, so the base that is added to the ids is raised.
const IS_RESTORED: &str = "\
    select coalesce(greatest((select feed from tenure.events order by feed desc, \"order\" desc limit 1), \
        (select value::bigint from tenure.meta where key = 'feed_pruned')) \
        >= (select value::bigint from tenure.meta where key = 'feed_base') \
            + pg_snapshot_xmax(pg_current_snapshot())::text::bigint, false)";

const RAISE_FEED: &str = "\
    update tenure.meta set value = (greatest((select feed from tenure.events order by feed desc, \"order\" desc limit 1), \
        (select value::bigint from tenure.meta where key = 'feed_pruned')) + 1)::text \
    where key = 'feed_base'";

async fn is_restored_elsewhere(link: &Link) -> PostgresResult<bool> {
    let rows = link.once(IS_RESTORED, &[]).await?;
    rows.first().map(|row| row.truth(0)).transpose().map(|found| found.unwrap_or(false))
}

async fn look_at_server(link: &Link) -> PostgresResult<()> {
    let about = "select current_setting('server_version_num')::bigint, current_setting('server_encoding')";
    let rows = link.once(about, &[]).await?;
    let Some(row) = rows.first() else { return Ok(()) };
    let (version, encoding) = (row.a_number(0)?, row.a_text(1)?);
    if version < SERVER_MIN {
        let version = version / 10_000;
        return Err(PostgresError::Unfit(format!(
            "this server is PostgreSQL {version}; Tenure needs 14 or later"
        )));
    }
    if encoding != "UTF8" {
        return Err(PostgresError::Unfit(format!(
            "the database's encoding is {encoding}; use a database with the encoding UTF8"
        )));
    }
    Ok(())
}
