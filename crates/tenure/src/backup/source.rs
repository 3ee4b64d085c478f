//! What a backup is, as its first bytes say, and what every restore of it does, whatever the new store is.

use std::fs::File;
use std::io::{BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tenure_core::id::Epoch;
use tenure_core::time::Time;
use tenure_sqlite::backup::mark_of;
use tenure_sqlite::{SqliteOptions, SqliteStore};
use tenure_store::SchemaState;

use crate::Ledger;
use crate::audit::Anchor;
use crate::backup::check::{CheckedExport, StoreFacts, blocking, check_export};
use crate::backup::floors::{GivenFloor, give};
use crate::backup::lost::{LostHistory, lost_since};
use crate::backup::part::failed;
use crate::backup::{BackupError, BackupKind, BackupProgress, BackupStage, RestoreOptions, RestoreReport};
use crate::ledger::url_without_secrets;
use crate::transfer::{ImportError, Importer, RefusedLine};

/// How much of a file is read at once.
const BUFFER_BYTES: usize = 256 * 1024;
/// How every SQLite file begins.
const SQLITE: &[u8; 16] = b"SQLite format 3\0";
/// How every export begins.
const EXPORT: &[u8; 16] = b"{\"tenure_export\"";
/// The most refused lines that are named; there is none in an export that is whole.
const NAMED_MAX: usize = 100;

/// What a backup is, as its first bytes say, and what it says of itself.
pub(super) enum Source {
    /// A SQLite file, of that moment, with that mode.
    Sqlite { at: Time, mode: u32 },
    /// An export that is whole.
    Export(Box<CheckedExport>),
}

impl Source {
    pub(super) async fn of(file: &Path, progress: &BackupProgress) -> Result<Source, BackupError> {
        let mut first = Vec::new();
        let mut opened = File::open(file).map_err(|error| failed(file, &error))?;
        let found = opened.metadata().map_err(|error| failed(file, &error))?;
        let not_a_backup = || {
            BackupError::Refused(format!(
                "{} is not a backup; give a file that `tenure --store STORE backup FILE` or `tenure --store STORE export` wrote",
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
                 --in-place --yes`",
                file = file.display()
            ))),
        }
    }
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
