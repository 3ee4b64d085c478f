//! Makes a new store of a backup. It has its name, or can be opened, only when it is whole.

use std::path::Path;
use std::sync::Arc;

use tenure_sqlite::backup::{floor_of, make_single_file, make_store};
use tenure_sqlite::{SqliteOptions, SqliteStore};

use crate::Ledger;
use crate::audit::Anchor;
use crate::backup::check::examine_file;
use crate::backup::part::PartFile;
use crate::backup::source::{Source, give_floor, import, lost_of, report};
use crate::backup::take::{PRIVATE, copy_watched, refuse_findings};
use crate::backup::{BackupError, BackupKind, BackupProgress, RestoreOptions, RestoreReport};
use crate::ledger::LedgerBuilder;

/// Restores a backup into the store at that URL: a file that does not exist, or a database without a task.
pub async fn restore(
    builder: LedgerBuilder,
    url: &str,
    file: &Path,
    options: &RestoreOptions,
    progress: &BackupProgress,
) -> Result<RestoreReport, BackupError> {
    if let Some(anchor) = &options.anchor
        && Anchor::root_of(&anchor.lines) != anchor.root
    {
        return Err(BackupError::Refused(
            "anchor: its root does not match its lines; give another one".to_owned(),
        ));
    }
    let source = Source::of(file, progress).await?;
    match url.split_once(':').map(|(scheme, _)| scheme) {
        Some("sqlite") => into_file(builder, url, (file, source), options, progress).await,
        #[cfg(feature = "postgres")]
        Some("postgres" | "postgresql") => {
            super::restore_database::into_database(builder, url, (file, source), options, progress).await
        }
        Some("http" | "https") => Err(BackupError::Refused(
            "a restore runs beside the database, not over HTTP: run it on a machine that opens the store itself, and name a new \
             file or an empty database"
                .to_owned(),
        )),
        Some("memory") => Err(BackupError::Refused(
            "a store in memory would be gone at once; name a new file or an empty database".to_owned(),
        )),
        Some(_) | None => {
            // It says which URLs there are, or how this program must be built.
            builder.open(url).await?;
            Err(BackupError::Refused("nothing can be restored into this kind of store".to_owned()))
        }
    }
}

async fn into_file(
    builder: LedgerBuilder,
    url: &str,
    (file, source): (&Path, Source),
    options: &RestoreOptions,
    progress: &BackupProgress,
) -> Result<RestoreReport, BackupError> {
    let target = SqliteOptions::from_url(url)?.path;
    let part = PartFile::begin(&target)?;
    let (kind, of, mode) = match &source {
        Source::Sqlite { at, mode } => {
            copy_watched(file, &part, &builder, progress).await?;
            (BackupKind::Sqlite, *at, *mode)
        }
        Source::Export(checked) => {
            let options =
                SqliteOptions::new(part.path()).with(|options| options.clock = builder.clock_of_files());
            let ledger = Ledger::with_store(Arc::new(SqliteStore::open(options).await?));
            import(&ledger, file, checked, progress).await?;
            drop(ledger);
            let path = part.path().to_owned();
            part.blocking(move |_| Ok(make_single_file(&path)?)).await?;
            (BackupKind::Export, checked.header.at, PRIVATE)
        }
    };
    crate::failpoints::reached("restore/after_copy");
    let (ledger, facts) = examine_file(&builder, &part, None, progress).await?;
    refuse_findings(&facts, options.unverified, "the backup")?;
    let lost = lost_of(&ledger, options.anchor.as_ref()).await?;
    drop(ledger);
    let path = part.path().to_owned();
    let of_backup = part.blocking(move |_| Ok(floor_of(&path)?)).await?;
    let given = give_floor(file, of_backup, options, (url, facts.now)).await?;
    let (path, floor) = (part.path().to_owned(), given.floor);
    part.blocking(move |_| Ok(make_store(&path, floor)?)).await?;
    crate::failpoints::reached("restore/after_raise");
    part.publish(mode).await?;
    Ok(report((file, kind, of), facts, given, lost))
}
