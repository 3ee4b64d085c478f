//! Raises the epoch floor of a store that another tool put back: a base backup of PostgreSQL, a dump, a snapshot of a volume, or a
//! backup that was copied to the place of a store.

use std::sync::Arc;

use tenure_sqlite::SqliteOptions;
use tenure_store::backup::IfMarked;
use tenure_store::transfer::ReplayBatch;
use tenure_store::{Error, IfMissing};

use crate::backup::check::{blocking, examine};
use crate::backup::floors::floor_above;
use crate::backup::lost::lost_since;
use crate::backup::take::{mark_of, refuse_findings};
use crate::backup::{BackupError, BackupKind, BackupProgress, RestoreOptions, RestoreReport};
use crate::ledger::{LedgerBuilder, url_without_secrets};

/// Raises the epoch floor of the store at that URL, and says what of it was lost. Nobody may work in it meanwhile. For a backup that was
/// copied there the caller must say which floors were given before: its note is beside the original.
pub async fn raise_floor(
    builder: LedgerBuilder,
    url: &str,
    options: &RestoreOptions,
    progress: &BackupProgress,
) -> Result<RestoreReport, BackupError> {
    if ["http:", "https:", "memory:"].iter().any(|scheme| url.starts_with(scheme)) {
        return Err(BackupError::Refused(
            "the epoch floor is raised beside the database: run it on a machine that opens the store itself, and name the file \
             or the database"
                .to_owned(),
        ));
    }
    let mark = mark_of(url).await?;
    if mark.is_some() && options.floor_above.is_none() {
        let shown = url_without_secrets(url);
        return Err(BackupError::Refused(format!(
            "{shown} is a backup that was copied there, and the epoch floors that restores of it gave are noted beside the backup: \
             restore that with `tenure restore FILE`, or pass --epoch-floor-above with the highest of them, 0 if it was never restored"
        )));
    }
    let builder = match &mark {
        Some(_) => builder.if_marked(IfMarked::Open),
        None => builder,
    };
    let ledger = builder.missing(IfMissing::Refuse).open(url).await?;
    let store = Arc::clone(ledger.store());
    let Some(moved) = store.transfer() else {
        return Err(BackupError::Refused("the epoch floor of this store can't be raised".to_owned()));
    };
    let facts = examine(&ledger, None, (progress, 0)).await?;
    refuse_findings(&facts, options.unverified, "the store")?;
    let floor = floor_above([facts.epoch_floor, options.floor_above.unwrap_or_default()])?;
    let raised = ReplayBatch { epoch_floor: floor, items: Arc::new([]) };
    moved.replay(raised).await?;
    let lost = match &options.anchor {
        Some(anchor) => Some(lost_since(store.as_ref(), anchor).await?),
        None => None,
    };
    if mark.is_some() {
        // Behind the floor: a killed run leaves a backup.
        drop((ledger, store));
        let path = SqliteOptions::from_url(url)?.path;
        let unmarked = blocking(move || tenure_sqlite::backup::make_store(&path, floor)).await?;
        unmarked.map_err(|error: Error| BackupError::Store(error))?;
    }
    let mut warnings = Vec::new();
    if options.floor_above.is_none() {
        warnings.push(format!(
            "the epoch floor {} is noted nowhere: if the same copy is put back again, pass --epoch-floor-above {}",
            floor.0, floor.0
        ));
    }
    Ok(RestoreReport {
        file: None,
        kind: BackupKind::InPlace,
        of: mark.map(|mark| mark.at).or(facts.newest_event_at).unwrap_or(facts.now),
        now: facts.now,
        cursor: facts.cursor,
        tasks: facts.tasks,
        events: facts.events,
        epoch_floor: floor,
        findings: facts.findings,
        leases: facts.leases,
        lost,
        warnings,
    })
}
