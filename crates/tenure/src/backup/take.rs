//! Makes a backup: a copy of a file, or an export of a database.

use std::io::{BufWriter, Write};
use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use tenure_sqlite::SqliteOptions;
use tenure_sqlite::backup::{copy, set_mark};
use tenure_store::backup::{BackupMark, is_a_backup};
use tenure_store::{Error, IfMissing, SchemaState};

use crate::backup::check::{StoreFacts, blocking, check_export, examine, examine_file};
use crate::backup::part::{PartFile, failed};
use crate::backup::{
    BackupError, BackupKind, BackupOptions, BackupProgress, BackupReport, BackupStage, IfUnverified,
};
use crate::ledger::LedgerBuilder;
use crate::transfer::{ExportProgress, Exporter, TokenHashes, WRITTEN_BY};

/// The permissions of a file with hashes of tokens.
pub(super) const PRIVATE: u32 = 0o600;

/// Backs up the store at that URL into a new file, while others work in it. The file has its name only when it is verified and on
/// the disk.
pub async fn back_up(
    builder: LedgerBuilder,
    url: &str,
    file: &Path,
    options: &BackupOptions,
    progress: &BackupProgress,
) -> Result<BackupReport, BackupError> {
    match url.split_once(':').map(|(scheme, _)| scheme) {
        Some("sqlite") => of_file(builder, url, file, options, progress).await,
        Some("postgres" | "postgresql") => of_database(builder, url, file, options, progress).await,
        Some("http" | "https") => Err(BackupError::Refused(
            "a backup runs beside the database, not over HTTP: run it on a machine that opens the store itself, and name the \
             file or the database"
                .to_owned(),
        )),
        Some("memory") => Err(BackupError::Refused(
            "a store in memory can't be backed up; name a file or a database".to_owned(),
        )),
        Some(_) | None => {
            // It says which URLs there are.
            builder.missing(IfMissing::Refuse).open(url).await?;
            Err(BackupError::Refused("this kind of store can't be backed up".to_owned()))
        }
    }
}

/// What marks the SQLite file of that URL as a backup; none for any other store.
pub async fn mark_of(url: &str) -> Result<Option<BackupMark>, Error> {
    if !url.starts_with("sqlite:") {
        return Ok(None);
    }
    let path = SqliteOptions::from_url(url)?.path;
    if !path.exists() {
        return Ok(None);
    }
    match blocking(move || tenure_sqlite::backup::mark_of(&path)).await {
        Ok(mark) => mark,
        Err(error) => Err(Error::Unavailable(error.to_string().into())),
    }
}

async fn of_file(
    builder: LedgerBuilder,
    url: &str,
    file: &Path,
    options: &BackupOptions,
    progress: &BackupProgress,
) -> Result<BackupReport, BackupError> {
    match builder.clone().condition(url).await? {
        SchemaState::Current | SchemaState::Older => {}
        SchemaState::Missing | SchemaState::Newer { .. } | SchemaState::Foreign => {
            // Opening it says what is wrong.
            builder.missing(IfMissing::Refuse).open(url).await?;
            return Err(BackupError::Refused("there is no store; check the path".to_owned()));
        }
    }
    if let Some(mark) = mark_of(url).await? {
        return Err(is_a_backup(url, &mark).into());
    }
    let from = SqliteOptions::from_url(url)?.path;
    let mode = std::fs::metadata(&from).map_err(|error| failed(&from, &error))?.permissions().mode();
    let part = PartFile::begin(file)?;
    let at = copy_watched(&from, &part, &builder, progress).await?;
    crate::failpoints::reached("backup/after_copy");
    let mut mark = BackupMark { at, by: WRITTEN_BY.to_owned(), verified: false };
    mark_part(&part, &mark).await?;
    let (ledger, facts) = examine_file(&builder, &part, options.anchor.as_ref(), progress).await?;
    drop(ledger);
    refuse_findings(&facts, options.unverified, "the backup")?;
    mark.verified = facts.findings.is_empty();
    mark_part(&part, &mark).await?;
    let bytes = part.publish(mode).await?;
    let StoreFacts { tasks, events, cursor, epoch_floor, findings, .. } = facts;
    let kind = BackupKind::Sqlite;
    Ok(BackupReport { file: file.to_owned(), kind, at, cursor, tasks, events, bytes, epoch_floor, findings })
}

async fn mark_part(part: &PartFile, mark: &BackupMark) -> Result<(), BackupError> {
    let (path, mark) = (part.path().to_owned(), mark.clone());
    part.blocking(move |_| Ok(set_mark(&path, &mark)?)).await
}

/// Copies a file into the hidden one, and counts its pages.
pub(super) async fn copy_watched(
    from: &Path,
    part: &PartFile,
    builder: &LedgerBuilder,
    progress: &BackupProgress,
) -> Result<tenure_core::time::Time, BackupError> {
    let (from, to, clock) = (from.to_owned(), part.path().to_owned(), builder.clock_of_files());
    let (told, mut news) = tokio::sync::watch::channel((0, 0));
    let mut copying = std::pin::pin!(part.blocking(move |part| {
        Ok(copy(&from, &to, clock.as_ref(), |done, of| {
            told.send_replace((done, of));
            part.goes_on().map_or(ControlFlow::Break(()), ControlFlow::Continue)
        })?)
    }));
    progress.set(BackupStage::Copying, 0, 0);
    loop {
        tokio::select! {
            copied = copying.as_mut() => return copied,
            Ok(()) = news.changed() => {
                let (done, of) = *news.borrow_and_update();
                progress.set(BackupStage::Copying, done, of);
            }
        }
    }
}

/// Ends with what is wrong, unless the caller keeps it.
pub(super) fn refuse_findings(
    facts: &StoreFacts,
    unverified: IfUnverified,
    what: &str,
) -> Result<(), BackupError> {
    if facts.findings.is_empty() || unverified == IfUnverified::Keep {
        return Ok(());
    }
    let words = format!("{what} does not hold and was not kept; with --keep-unverified it is, as it is");
    Err(BackupError::Unverified { words, findings: facts.findings.clone() })
}

async fn of_database(
    builder: LedgerBuilder,
    url: &str,
    file: &Path,
    options: &BackupOptions,
    progress: &BackupProgress,
) -> Result<BackupReport, BackupError> {
    if builder.clone().condition(url).await? == SchemaState::Older {
        return Err(BackupError::Refused(
            "the store has an older schema, which is not exported: copy it with pg_dump before `tenure migrate`, and back it up \
             afterwards"
                .to_owned(),
        ));
    }
    let ledger = builder.missing(IfMissing::Refuse).open(url).await?;
    let part = PartFile::begin(file)?;
    let store = Arc::clone(ledger.store());
    let mut exporter = Exporter::begin(store.as_ref(), TokenHashes::Carried).await?;
    let mut lines = BufWriter::new(part.file());
    while let Some(page) = exporter.next().await? {
        lines.write_all(&page).map_err(|error| failed(part.path(), &error))?;
        let ExportProgress { counts, events_expected } = exporter.progress();
        progress.set(BackupStage::Exporting, counts.events, events_expected);
    }
    lines.flush().map_err(|error| failed(part.path(), &error))?;
    drop(lines);
    part.file().sync_all().map_err(|error| failed(part.path(), &error))?;
    crate::failpoints::reached("backup/after_export");
    // What was written is not what is on the disk, until it was read from there.
    let checked = check_export(part.path(), progress).await?;
    let facts = examine(&ledger, options.anchor.as_ref(), (progress, checked.counts.events)).await?;
    refuse_findings(&facts, options.unverified, "the store")?;
    let bytes = part.publish(PRIVATE).await?;
    Ok(BackupReport {
        file: file.to_owned(),
        kind: BackupKind::Export,
        at: checked.header.at,
        cursor: exporter.end().as_str().to_owned(),
        tasks: checked.tasks,
        events: checked.counts.events,
        bytes,
        epoch_floor: checked.header.epoch_floor,
        findings: facts.findings,
    })
}
