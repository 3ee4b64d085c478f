//! Makes a new store of a backup. It has its name, or can be opened, only when it is whole.

use std::fs::File;
use std::io::{BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use tenure_core::id::Epoch;
use tenure_core::time::Time;
use tenure_sqlite::backup::{floor_of, make_single_file, make_store, mark_of};
use tenure_sqlite::{SqliteOptions, SqliteStore};
use tenure_store::SchemaState;

use crate::Ledger;
use crate::audit::Anchor;
use crate::backup::check::{CheckedExport, StoreFacts, blocking, check_export, examine_file};
use crate::backup::floors::{GivenFloor, give};
use crate::backup::lost::{LostHistory, lost_since};
use crate::backup::part::{PartFile, failed};
use crate::backup::take::{PRIVATE, copy_watched, refuse_findings};
use crate::backup::{BackupError, BackupKind, BackupProgress, BackupStage, RestoreOptions, RestoreReport};
use crate::ledger::{LedgerBuilder, url_without_secrets};
use crate::transfer::{ImportError, Importer, RefusedLine};

/// How much of a file is read at once.
const BUFFER_BYTES: usize = 256 * 1024;
/// How every SQLite file begins.
const SQLITE: &[u8; 16] = b"SQLite format 3\0";
/// How every export begins.
const EXPORT: &[u8; 16] = b"{\"tenure_export\"";
/// The most refused lines that are named; there is none in an export that is whole.
const NAMED_MAX: usize = 100;

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

/// What a backup is, as its first bytes say, and what it says of itself.
pub(super) enum Source {
    /// A SQLite file, of that moment, with that mode.
    Sqlite { at: Time, mode: u32 },
    /// An export that is whole.
    Export(Box<CheckedExport>),
}

impl Source {
    async fn of(file: &Path, progress: &BackupProgress) -> Result<Source, BackupError> {
        let mut first = Vec::new();
        let mut opened = File::open(file).map_err(|error| failed(file, &error))?;
        let found = opened.metadata().map_err(|error| failed(file, &error))?;
        let not_a_backup = || {
            BackupError::Refused(format!(
                "{} is not a backup; give a file that `tenure backup` or `tenure export` wrote",
                file.display()
            ))
        };
        if !found.is_file() {
            return Err(not_a_backup());
        }
        let read = opened.by_ref().take(SQLITE.len() as u64).read_to_end(&mut first);
        read.map_err(|error| failed(file, &error))?;
        if first == EXPORT {
            return Ok(Source::Export(Box::new(check_export(file, progress).await?)));
        }
        if first != SQLITE {
            return Err(not_a_backup());
        }
        match SqliteStore::condition(SqliteOptions::new(file)).await? {
            SchemaState::Current | SchemaState::Older => {}
            SchemaState::Newer { found, known } => {
                return Err(BackupError::Refused(format!(
                    "{} has schema version {found}, but this program supports only up to {known}; use a newer version of it",
                    file.display()
                )));
            }
            SchemaState::Missing | SchemaState::Foreign => return Err(not_a_backup()),
        }
        let path = file.to_owned();
        match blocking(move || mark_of(&path)).await?? {
            Some(mark) => Ok(Source::Sqlite { at: mark.at, mode: found.permissions().mode() }),
            None => Err(BackupError::Refused(format!(
                "{file} is a store, not a backup: somebody may work in it. Make a backup of it with `tenure --store sqlite:{file} \
                 backup FILE`; if another tool put it there, raise its epoch floor with `tenure --store sqlite:{file} restore \
                 --in-place`",
                file = file.display()
            ))),
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
            blocking(move || make_single_file(&path)).await??;
            (BackupKind::Export, checked.header.at, PRIVATE)
        }
    };
    crate::failpoints::reached("restore/after_copy");
    let (ledger, facts) = examine_file(&builder, &part, None, progress).await?;
    refuse_findings(&facts, options.unverified, "the backup")?;
    let lost = lost_of(&ledger, options.anchor.as_ref()).await?;
    drop(ledger);
    let path = part.path().to_owned();
    let of_backup = blocking(move || floor_of(&path)).await??;
    let given = give_floor(file, of_backup, options, (url, facts.now)).await?;
    let (path, floor) = (part.path().to_owned(), given.floor);
    blocking(move || make_store(&path, floor)).await??;
    crate::failpoints::reached("restore/after_raise");
    blocking(move || part.publish(mode)).await??;
    Ok(report((file, kind, of), facts, given, lost))
}

pub(super) async fn lost_of(
    ledger: &Ledger,
    anchor: Option<&Anchor>,
) -> Result<Option<LostHistory>, BackupError> {
    match anchor {
        Some(anchor) => Ok(Some(lost_since(ledger.store().as_ref(), anchor).await?)),
        None => Ok(None),
    }
}

pub(super) async fn give_floor(
    file: &Path,
    of_backup: Epoch,
    options: &RestoreOptions,
    (url, at): (&str, Time),
) -> Result<GivenFloor, BackupError> {
    let (file, above, store) = (file.to_owned(), options.floor_above, url_without_secrets(url));
    blocking(move || give(&file, of_backup, above, (&store, at))).await?
}

pub(super) fn report(
    (file, kind, of): (&Path, BackupKind, Time),
    facts: StoreFacts,
    given: GivenFloor,
    lost: Option<LostHistory>,
) -> RestoreReport {
    RestoreReport {
        file: Some(file.to_owned()),
        kind,
        of,
        now: facts.now,
        cursor: facts.cursor,
        tasks: facts.tasks,
        events: facts.events,
        epoch_floor: given.floor,
        findings: facts.findings,
        leases: facts.leases,
        lost,
        warnings: given.warning.into_iter().collect(),
    }
}

/// Imports an export that is whole. Nothing of it may be refused.
pub(super) async fn import(
    ledger: &Ledger,
    file: &Path,
    checked: &CheckedExport,
    progress: &BackupProgress,
) -> Result<(), BackupError> {
    let opened = File::open(file).map_err(|error| failed(file, &error))?;
    let from = BufReader::with_capacity(BUFFER_BYTES, opened);
    let mut importer = Importer::begin(ledger.store().as_ref(), from)?;
    let (mut named, mut refused_lines) = (Vec::new(), 0);
    loop {
        let refused = match importer.next().await {
            Ok(Some(refused)) => refused,
            Ok(None) => break,
            Err(ImportError::Store(error)) => return Err(error.into()),
            Err(ImportError::Read(error)) => return Err(failed(file, &error)),
        };
        progress.set(BackupStage::Importing, importer.bytes_read(), checked.bytes);
        refused_lines += refused.len();
        let room = NAMED_MAX - named.len().min(NAMED_MAX);
        let name = |RefusedLine { line, reason }: RefusedLine| format!("line {line}: {reason}");
        named.extend(refused.into_iter().take(room).map(name));
        crate::failpoints::reached("restore/after_batch");
    }
    if refused_lines == 0 {
        return Ok(());
    }
    if refused_lines > named.len() {
        named.push(format!("and {} more lines", refused_lines - named.len()));
    }
    let words = format!("{refused_lines} lines of {} were refused, so nothing was restored", file.display());
    Err(BackupError::Unverified { words, findings: named })
}
