//! Whether a backup holds: the pages of a file, the chains of all histories, and each line of an export.

use std::fs::File;
use std::io::BufReader;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use tenure_core::chain::Hash;
use tenure_core::id::Epoch;
use tenure_core::time::Time;
use tenure_sqlite::backup::copy;
use tenure_sqlite::{SqliteOptions, SqliteStore};
use tenure_store::backup::IfMarked;
use tenure_store::health::{Integrity, IntegrityCheck};
use tenure_store::transfer::{ExportCounts, ExportHeader, ExportLine, ReplayItem};
use tenure_store::{Error, SchemaState, StoreAccess};

use crate::Ledger;
use crate::audit::Anchor;
use crate::backup::lost::{RestoredLease, leases_of};
use crate::backup::part::{PartFile, failed};
use crate::backup::{BackupError, BackupProgress, BackupStage};
use crate::ledger::LedgerBuilder;
use crate::transfer::{Line, LineReader};

/// How much of a file is read at once.
const BUFFER_BYTES: usize = 256 * 1024;

/// How many lines are read before others have their turn.
const LINES_BETWEEN_LOOKS: u64 = 500;

/// What a store has, and what is wrong with it.
pub(super) struct StoreFacts {
    pub(super) tasks: u64,
    pub(super) events: u64,
    pub(super) cursor: String,
    pub(super) epoch_floor: Epoch,
    pub(super) now: Time,
    pub(super) newest_event_at: Option<Time>,
    pub(super) leases: Vec<RestoredLease>,
    pub(super) findings: Vec<String>,
}

/// Reads all of a store.
pub(super) async fn examine(
    ledger: &Ledger,
    anchor: Option<&Anchor>,
    (progress, events): (&BackupProgress, u64),
) -> Result<StoreFacts, BackupError> {
    progress.set(BackupStage::Verifying, 0, events);
    let store = ledger.store().as_ref();
    let mut findings = Vec::new();
    if let Some(file) = store.health(IntegrityCheck::Whole).await?.file
        && let Integrity::Broken(problems) = file.integrity
    {
        findings.extend(problems.into_iter().map(|problem| format!("the file is damaged: {problem}")));
    }
    let (mut tasks, mut events) = (0, 0);
    match ledger.verify_watched(anchor, &progress.verified).await {
        Ok(report) => {
            (tasks, events) = (report.tasks, report.events);
            findings.extend(report.findings.iter().map(ToString::to_string));
        }
        // Of a damaged file not even that can be read.
        Err(Error::Corrupt(failure)) => findings.push(failure.message().to_owned()),
        Err(error) => return Err(error.into()),
    }
    let now = store.now().await?;
    let leases = match leases_of(store, now).await {
        Err(Error::Corrupt(failure)) => {
            findings.push(failure.message().to_owned());
            Vec::new()
        }
        leases => leases?,
    };
    let epoch_floor = match store.transfer() {
        Some(moved) => moved.contents().await?.epoch_floor,
        None => Epoch::default(),
    };
    Ok(StoreFacts {
        tasks,
        events,
        cursor: store.newest().await?.as_str().to_owned(),
        epoch_floor,
        now,
        newest_event_at: progress.verified.newest_event_at(),
        leases,
        findings,
    })
}

/// The same of a file that nobody else has open. It is not changed: one of an older schema is looked at in a migrated copy.
pub(super) async fn examine_file(
    builder: &LedgerBuilder,
    part: &PartFile,
    anchor: Option<&Anchor>,
    progress: &BackupProgress,
) -> Result<(Ledger, StoreFacts), BackupError> {
    let clock = builder.clock_of_files();
    let (path, access) = match SqliteStore::condition(SqliteOptions::new(part.path())).await? {
        SchemaState::Older => {
            let (from, scratch, clock) = (part.path().to_owned(), part.scratch(), Arc::clone(&clock));
            let to = scratch.clone();
            part.blocking(move |part| {
                let goes_on = |_, _| part.goes_on().map_or(ControlFlow::Break(()), ControlFlow::Continue);
                Ok(copy(&from, &to, clock.as_ref(), goes_on)?)
            })
            .await?;
            (scratch, StoreAccess::ReadWrite)
        }
        SchemaState::Missing | SchemaState::Current | SchemaState::Newer { .. } | SchemaState::Foreign => {
            (part.path().to_owned(), StoreAccess::ReadOnly)
        }
    };
    let options = SqliteOptions::new(path).with(|options| {
        options.clock = clock;
        options.access = access;
        options.marked = IfMarked::Open;
    });
    let ledger = Ledger::with_store(Arc::new(SqliteStore::open(options).await?));
    let facts = examine(&ledger, anchor, (progress, 0)).await?;
    Ok((ledger, facts))
}

/// Work that blocks, on a thread where that is allowed.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, BackupError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| BackupError::File(format!("the work was ended: {error}")))
}

/// An export that is whole.
#[derive(Clone)]
pub(super) struct CheckedExport {
    pub(super) header: ExportHeader,
    pub(super) counts: ExportCounts,
    pub(super) tasks: u64,
    pub(super) bytes: u64,
    /// The digest of the lines before the last.
    #[cfg_attr(
        not(feature = "postgres"),
        expect(dead_code, reason = "only a restore into a database asks for it")
    )]
    pub(super) sha256: Hash,
}

/// Reads an export from its beginning to its end. It changes nothing: what is not whole or can't be read is known before anything
/// is done with it.
pub(super) async fn check_export(
    path: &Path,
    progress: &BackupProgress,
) -> Result<CheckedExport, BackupError> {
    let file = File::open(path).map_err(|error| failed(path, &error))?;
    let length = file.metadata().map_err(|error| failed(path, &error))?.len();
    let refused = |words: String| BackupError::Refused(format!("{}: {words}", path.display()));
    let mut lines = LineReader::new(BufReader::with_capacity(BUFFER_BYTES, file));
    let mut next = |number: u64| match lines.next().map_err(|error| failed(path, &error))? {
        Some(Line::Text(text)) => Ok(Some((text, lines.bytes, lines.before))),
        Some(Line::Unreadable(why)) => Err(refused(format!("line {number}: {why}"))),
        None => Ok(None),
    };
    let Some((first, ..)) = next(1)? else { return Err(refused("the file is empty".to_owned())) };
    let header = ExportHeader::read(&first).map_err(|words| refused(format!("line 1: {words}")))?;
    let (mut counts, mut tasks) = (ExportCounts { lines: 1, ..ExportCounts::default() }, 0);
    loop {
        let number = counts.lines + 1;
        let Some((text, bytes, before)) = next(number)? else {
            return Err(refused(format!(
                "the export has no end: it was cut off behind line {}; get the whole file",
                counts.lines
            )));
        };
        progress.set(BackupStage::Reading, bytes, length);
        if number.is_multiple_of(LINES_BETWEEN_LOOKS) {
            // Nothing here waits, and then nobody could watch it or stop it.
            tokio::task::yield_now().await;
        }
        match ExportLine::read(&text).map_err(|words| refused(format!("line {number}: {words}")))? {
            ExportLine::End(told, sha256) => {
                if (told, sha256) != (counts, before) {
                    return Err(refused(format!(
                        "line {number}: what stands before it is not what was exported: lines were changed, added or removed"
                    )));
                }
                if next(number + 1)?.is_some() {
                    return Err(refused(format!(
                        "line {}: it stands behind the line that ends the export",
                        number + 1
                    )));
                }
                return Ok(CheckedExport { header, counts, tasks, bytes, sha256 });
            }
            ExportLine::Item(item) => {
                counts.count(&item);
                tasks += u64::from(is_a_beginning(&item));
            }
            ExportLine::Follower(_) => counts.followers += 1,
            ExportLine::Token(_) => counts.tokens += 1,
        }
        counts.lines += 1;
    }
}

/// Whether it is the first event of a task.
fn is_a_beginning(item: &ReplayItem) -> bool {
    matches!(item, ReplayItem::Event(event) if event.event.number.0 == 1 && event.event.subject.task().is_some())
}
