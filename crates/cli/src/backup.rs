//! `tenure backup FILE`: a verified copy of the store, made while others work in it.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use tenure::api::wire;
use tenure::backup::{
    BackupError, BackupOptions, BackupProgress, BackupReport, BackupStage, IfUnverified, back_up,
};
use tenure::core::id::Epoch;
use tenure::core::time::Time;
use tenure::instant::print_seconds;
use tenure_view::words::count;
use tokio::time::timeout;

use crate::audit::read_anchor;
use crate::context::Context;
use crate::error::CliError;
use crate::global::OutputFormat;
use crate::output::{Output, Written};
use crate::progress_bar::{DonePart, ProgressBar};
use crate::signals::Signals;

/// How often a person who waits sees how far it has come.
const SHOWN_EVERY: Duration = Duration::from_millis(250);

/// Write a verified backup of the store to a new file, while others work
///
/// Use it from cron, and before an upgrade. The backup has the store as it is when the command begins. Of a SQLite store it is one SQLite
/// file; of PostgreSQL it is an export, with the hashes of the tokens. It is verified, as `tenure audit verify` does it, before it has its
/// name, and it is on the disk when the command ends. If it does not hold, each finding is named, nothing is left behind, and the exit
/// status is 1. A file that exists is never overwritten. `tenure restore` makes a store of it.
#[derive(Args)]
#[command(after_help = "Example:\n  tenure backup /backups/tasks-monday.backup\n  \
    tenure backup --anchor anchor-of-monday tasks.backup --store postgres://db/app")]
pub(crate) struct Backup {
    /// The file to write; it must not exist
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Anchor to verify against, a file that `tenure audit anchor` wrote; - for standard input
    #[arg(long, value_name = "FILE")]
    anchor: Option<String>,
    /// Keep the backup if it does not hold, too: a damaged store may be all that there is. The exit status is 1 all the same
    #[arg(long)]
    keep_unverified: bool,
}

impl Backup {
    pub(crate) async fn run(self, context: &mut Context<'_, '_>) -> Result<(), CliError> {
        let anchor = self.anchor.map(|file| read_anchor(context, &file)).transpose()?;
        let settings = context.settings()?;
        let (builder, url) = context.store_to_look_at(&settings)?;
        let options = BackupOptions::default().with(|options| {
            options.anchor = anchor;
            options.unverified = unverified(self.keep_unverified);
        });
        let progress = BackupProgress::default();
        let backing_up = back_up(builder, &url, &self.file, &options, &progress);
        let report = watched(context.out, &progress, backing_up).await?;
        let report = report.map_err(|error| failed(context.out, error))?;
        let verdict = if report.findings.is_empty() { Ok(()) } else { Err(CliError::Told) };
        let shown = show(context.out, &report);
        verdict.and(shown)
    }
}

/// What an option without a value says.
pub(crate) fn unverified(is_kept: bool) -> IfUnverified {
    if is_kept { IfUnverified::Keep } else { IfUnverified::Refuse }
}

/// Waits for a backup or a restore. A person at a terminal sees how far it has come. At a signal the work is dropped, which removes what
/// is not whole.
pub(crate) async fn watched<T>(
    out: &mut Output<'_>,
    progress: &BackupProgress,
    work: impl Future<Output = T>,
) -> Result<T, CliError> {
    let mut signals = Signals::that_end()?;
    let mut work = std::pin::pin!(work);
    let (mut bar, mut stage) = (ProgressBar::new("copying", "pages"), BackupStage::Copying);
    let done = loop {
        let waited = tokio::select! {
            biased;
            signal = signals.next() => {
                out.passing_line("");
                return Err(CliError::Interrupted(signal));
            }
            waited = timeout(SHOWN_EVERY, work.as_mut()) => waited,
        };
        match waited {
            Ok(done) => break done,
            Err(_) => {
                let (now, done, of) = progress.now();
                if now != stage {
                    (bar, stage) = (bar_of(now), now);
                }
                bar.show(out, done, DonePart { done, of: Some(of).filter(|of| *of > 0) });
            }
        }
    };
    out.passing_line("");
    Ok(done)
}

fn bar_of(stage: BackupStage) -> ProgressBar {
    match stage {
        BackupStage::Copying => ProgressBar::new("copying", "pages"),
        BackupStage::Exporting => ProgressBar::new("exporting", "events"),
        BackupStage::Reading => ProgressBar::new("reading", "bytes"),
        BackupStage::Importing => ProgressBar::new("importing", "bytes"),
        BackupStage::Verifying => ProgressBar::new("verifying", "events"),
    }
}

/// The error of a backup or a restore. What does not hold is named first.
pub(crate) fn failed(out: &mut Output<'_>, error: BackupError) -> CliError {
    match error {
        BackupError::Store(error) => CliError::Ledger(error),
        BackupError::File(words) => CliError::Failed(words),
        BackupError::Refused(words) => CliError::Usage(words),
        BackupError::Unverified { words, findings } => {
            findings.iter().for_each(|finding| out.error(finding, None));
            CliError::Failed(words)
        }
        error => CliError::Failed(error.to_string()),
    }
}

/// What was backed up, for programs.
#[derive(Serialize)]
struct BackupAnswer<'a> {
    backup: BackupJson<'a>,
}

#[derive(Serialize)]
struct BackupJson<'a> {
    file: String,
    kind: &'static str,
    #[serde(with = "wire")]
    at: Time,
    cursor: &'a str,
    tasks: u64,
    events: u64,
    bytes: u64,
    #[serde(with = "wire")]
    epoch_floor: Epoch,
    verified: bool,
    findings: &'a [String],
}

fn show(out: &mut Output<'_>, report: &BackupReport) -> Written {
    let BackupReport { file, kind, at, cursor, tasks, events, bytes, epoch_floor, findings } = report;
    let file = file.display().to_string();
    if out.form() == OutputFormat::Json {
        return out.json(&BackupAnswer {
            backup: BackupJson {
                file,
                kind: kind.as_str(),
                at: *at,
                cursor,
                tasks: *tasks,
                events: *events,
                bytes: *bytes,
                epoch_floor: *epoch_floor,
                verified: findings.is_empty(),
                findings,
            },
        });
    }
    findings.iter().for_each(|finding| out.error(finding, None));
    if out.is_quiet() {
        return out.line(&file);
    }
    let (at, tasks, events) = (print_seconds(*at), count(*tasks, "task"), count(*events, "event"));
    out.line(&format!("backed up to {file} as of {at}: {tasks}, {events} up to {cursor}, {bytes} bytes"))?;
    match findings.len() {
        0 => out.line("verified: it holds, and it is on the disk"),
        found => out.line(&format!("not verified: {}; it was kept as it is", count(found as u64, "finding"))),
    }
}
