//! The histories of namespaces in the database. Sweeps of recovery that moved something are noted in a transaction of their own.

use std::collections::{BTreeMap, BTreeSet};

use tenure_core::id::{Namespace, Revision};
use tenure_core::time::Time;
use tenure_store::Error;
use tenure_store::codec::Sealed;
use tenure_store::columns::{Row as _, read_namespace_head};
use tenure_store::namespace_history::{NamespaceHead, NamespaceRows, SweepNote, note_sweep};

use crate::batch::{Batch, FoundNamespace};
use crate::columns::{Meaning, PostgresError, PostgresResult};
use crate::database::PostgresDatabase;
use crate::link::Link;
use crate::load::LockWait;
use crate::read::PostgresReader;
use crate::sql;
use crate::write::{Ended, write_back};

/// How often a note is tried whose failures pass.
const TRIES_MAX: u32 = 5;

/// The histories of these namespaces, locked in the order of their names. One that does not exist yet is locked by nothing: of two first
/// events the slower one is tried again.
pub(crate) async fn lock(
    link: &mut Link,
    namespaces: BTreeSet<&Namespace>,
) -> PostgresResult<BTreeMap<Namespace, FoundNamespace>> {
    let mut found: BTreeMap<Namespace, FoundNamespace> =
        namespaces.into_iter().map(|namespace| (namespace.clone(), FoundNamespace::default())).collect();
    if found.is_empty() {
        return Ok(found);
    }
    let names: Vec<&str> = found.keys().map(Namespace::as_str).collect();
    let rows = link.ask(&sql::LOCK_NAMESPACES, &[&names]).await?;
    for row in &rows {
        let end = Some(read_namespace_head(row, 2)?);
        found.insert(
            Namespace::new(row.a_text(0)?)?,
            FoundNamespace { stored: end, feed: row.a_number(1)?, end },
        );
    }
    Ok(found)
}

impl NamespaceRows for Batch {
    fn namespace_head(&mut self, namespace: &Namespace) -> PostgresResult<Option<NamespaceHead>> {
        let found = self.namespaces.get(namespace);
        let found = found
            .ok_or_else(|| PostgresError::Broken(format!("the history of {namespace} was not fetched")))?;
        Ok(found.end)
    }

    fn append(&mut self, next: Sealed) -> PostgresResult<()> {
        let found = self.namespaces.entry(next.event.namespace.clone()).or_default();
        found.end = Some(NamespaceHead::behind(&next));
        self.events.push(next);
        Ok(())
    }
}

/// How a try ended.
enum NoteAttempt {
    Done(Revision),
    /// Surely not done.
    Failed(PostgresError),
    Unknown(PostgresError),
}

/// Notes a sweep in one transaction, by the database's clock.
pub(crate) async fn note(database: &PostgresDatabase, note: &SweepNote) -> Result<Revision, Error> {
    note.check()?;
    let mut tries = 0;
    loop {
        tries += 1;
        let fault = match try_once(database, note.clone()).await {
            NoteAttempt::Done(number) => return Ok(number),
            NoteAttempt::Unknown(fault) => {
                return Err(Error::Unknown(fault.into_failure(&database.shown())));
            }
            NoteAttempt::Failed(fault) => fault,
        };
        let passes = matches!(fault.meaning(), Meaning::Again | Meaning::Reconnect);
        if !passes || tries == TRIES_MAX {
            return Err(fault.surely_not_done(&database.shown()));
        }
        tokio::time::sleep(std::time::Duration::from_millis(u64::from(tries))).await;
    }
}

/// One transaction. A connection that is dropped before the commit was sent takes it back.
async fn try_once(database: &PostgresDatabase, note: SweepNote) -> NoteAttempt {
    let begun = async {
        let mut link = database.connect_to_write().await?;
        let decided = decide(&mut link, database, note).await?;
        Ok((link, decided))
    };
    let (mut link, (rows, number, now)) = match begun.await {
        Ok(begun) => begun,
        Err(fault) => return NoteAttempt::Failed(fault),
    };
    match write_back(&mut link, database, &rows, &[], now).await {
        Ended::Failed(fault) => NoteAttempt::Failed(fault),
        Ended::Unknown(fault) => NoteAttempt::Unknown(fault),
        Ended::Committed(_) => {
            // Only the injected clock has a floor in this process.
            database.last.raise(now);
            database.tell_followers();
            NoteAttempt::Done(number)
        }
    }
}

/// All of the transaction but its writes and its commit.
async fn decide(
    link: &mut Link,
    database: &PostgresDatabase,
    note: SweepNote,
) -> PostgresResult<(Batch, Revision, Time)> {
    link.send_plain(sql::BEGIN).answer().await?;
    link.ask(sql::SETTINGS_AND_NOW, &[&LockWait::Usual.timeout()]).await?;
    let namespaces = lock(link, BTreeSet::from([&note.namespace])).await?;
    // After the lock: what another one noted meanwhile is not later.
    let now = PostgresReader::new(link, database).now().await?;
    let mut rows = Batch { namespaces, ..Batch::default() };
    let number = note_sweep(&mut rows, note, now)?;
    Ok((rows, number, now))
}
