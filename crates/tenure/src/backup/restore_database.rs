//! Restores an export into a PostgreSQL database. A mark keeps all others out until it is whole; a killed restore is repeated, and
//! goes on.

use std::path::Path;
use std::sync::Arc;

use tenure_postgres::PostgresStore;
use tenure_store::backup::{IfMarked, RestoringMark};

use crate::Ledger;
use crate::backup::check::{CheckedExport, examine};
use crate::backup::floors::GivenFloor;
use crate::backup::source::{Source, give_floor, import, lost_of, report};
use crate::backup::take::refuse_findings;
use crate::backup::{BackupError, BackupKind, BackupProgress, RestoreOptions, RestoreReport};
use crate::ledger::{LedgerBuilder, url_without_secrets};

pub(super) async fn into_database(
    builder: LedgerBuilder,
    url: &str,
    (file, source): (&Path, Source),
    options: &RestoreOptions,
    progress: &BackupProgress,
) -> Result<RestoreReport, BackupError> {
    let shown = url_without_secrets(url);
    let checked = match source {
        Source::Export(checked) => checked,
        Source::Sqlite { .. } => {
            let file = file.display();
            return Err(BackupError::Refused(format!(
                "{file} is a backup of a SQLite store, and {shown} is a database: restore it into a new file with `tenure --store \
                 sqlite:NEW restore {file}`, and move that with `tenure --store sqlite:NEW export --with-tokens > EXPORT` \
                 and `tenure --store {shown} import EXPORT`; the epoch floor goes with it"
            )));
        }
    };
    let ledger = builder.if_marked(IfMarked::Open).open(url).await?;
    let store = Arc::clone(ledger.store());
    let Some(database) = store.as_any().downcast_ref::<PostgresStore>() else {
        return Err(BackupError::Refused(format!("{shown} is no PostgreSQL database")));
    };
    let (mark, given) = begin(database, &ledger, (file, &checked, &shown), (url, options)).await?;
    crate::failpoints::reached("restore/after_mark");
    import(&ledger, file, &checked, progress).await?;
    // On PostgreSQL the newest events may be hidden for a moment.
    if let Some(moved) = store.transfer() {
        moved.end_of_history().await?;
    }
    let facts = examine(&ledger, None, (progress, checked.counts.events)).await?;
    refuse_findings(&facts, options.unverified, "the restored store")?;
    let lost = lost_of(&ledger, options.anchor.as_ref()).await?;
    crate::failpoints::reached("restore/after_import");
    if !database.end_restore(&mark).await? {
        return Err(BackupError::Refused(format!(
            "another restore of {} into {shown} ended meanwhile; the store is whole",
            file.display()
        )));
    }
    Ok(report((file, BackupKind::Export, checked.header.at), facts, given, lost))
}

/// Marks the database, or finds that this restore was begun and goes on.
async fn begin(
    database: &PostgresStore,
    ledger: &Ledger,
    (file, checked, shown): (&Path, &CheckedExport, &str),
    (url, options): (&str, &RestoreOptions),
) -> Result<(RestoringMark, GivenFloor), BackupError> {
    let begun_with = |mark: RestoringMark| match mark.sha256 == checked.sha256 {
        true => Ok((mark.clone(), GivenFloor { floor: mark.epoch_floor, warning: None })),
        false => Err(BackupError::Refused(format!(
            "a restore of another file into {shown} was begun and has not ended: repeat it with that file, or drop the schema \
             to begin again"
        ))),
    };
    if let Some(mark) = database.restoring().await? {
        return begun_with(mark);
    }
    let contents = ledger.store().transfer().map(|moved| moved.contents());
    let own_floor = match contents {
        Some(contents) => contents.await?.epoch_floor,
        None => Default::default(),
    };
    let now = ledger.now().await?;
    let given = give_floor(file, checked.header.epoch_floor.max(own_floor), options, (url, now)).await?;
    let mark = RestoringMark { sha256: checked.sha256, epoch_floor: given.floor };
    if database.begin_restore(&mark).await? {
        return Ok((mark, given));
    }
    match database.restoring().await? {
        Some(mark) => begun_with(mark),
        None => Err(BackupError::Refused(format!(
            "{shown} is in use: it has tasks, a history or tokens, and nothing is restored over them; name an empty database, or \
             another schema with ?schema="
        ))),
    }
}
