//! `tenure restore FILE`: makes a new store of a backup, and says what was lost.

use std::path::PathBuf;

use clap::{ArgGroup, Args};
use serde::Serialize;
use tenure::Error;
use tenure::api::wire;
use tenure::backup::{
    BackupError, BackupProgress, LostHistory, RestoreOptions, RestoreReport, RestoredLease, raise_floor,
    restore,
};
use tenure::core::id::{Epoch, Namespace, Owner, TaskId};
use tenure::core::time::Time;
use tenure::instant::{print_seconds, rough};
use tenure_view::words::count;

use crate::audit::read_anchor;
use crate::backup::{failed, unverified, watched};
use crate::context::Context;
use crate::error::CliError;
use crate::global::OutputFormat;
use crate::output::{Output, Written};

/// How many leases or tasks of one kind people are shown. `-o json` has all.
const SHOWN_MAX: usize = 20;

/// Make a new store of a backup, and say what was lost
///
/// Use it when the store is damaged or gone, and now and then to test a backup. --store names the new store: a SQLite file that does not
/// exist, or a PostgreSQL database without tasks; a store is never overwritten. The backup is verified again. The epoch floor is raised by
/// 2^32, so that no lease granted since the backup is taken for a new one; FILE.restored notes it, since the same backup must not give
/// the same floor twice. Repeat the command if it was killed.
///
/// With --in-place it does only the last step, for a store that another tool put back, such as pg_basebackup. If that is a copy of a
/// backup of `tenure backup`, give --epoch-floor-above.
#[derive(Args)]
#[command(group = ArgGroup::new("source").required(true))]
#[command(after_help = "Example:\n  tenure restore --store sqlite:new.db tasks-monday.backup\n  \
    tenure restore --store postgres://db/app --in-place --yes --anchor anchor-of-monday")]
pub(crate) struct Restore {
    /// The backup, a file that `tenure backup` or `tenure export` wrote
    #[arg(value_name = "FILE", group = "source")]
    file: Option<PathBuf>,
    /// Only raise the epoch floor of --store, which another tool put back. Stop everything that uses it first
    #[arg(long, group = "source", requires = "yes")]
    in_place: bool,
    /// Do it: the epoch floor is never lowered again
    #[arg(long, requires = "in_place")]
    yes: bool,
    /// Newest anchor, a file that `tenure audit anchor` wrote: name each task that it has and the backup does not; - for standard input
    #[arg(long, value_name = "FILE")]
    anchor: Option<String>,
    /// Highest epoch floor that a restore of this store gave before, 0 if there was none; needed if FILE.restored can't be written or is lost,
    /// and for a copied backup with --in-place
    #[arg(long, value_name = "NUMBER")]
    epoch_floor_above: Option<u64>,
    /// Restore a backup that does not hold, too. The exit status is 1 all the same
    #[arg(long)]
    keep_unverified: bool,
}

impl Restore {
    pub(crate) async fn run(self, context: &mut Context<'_, '_>) -> Result<(), CliError> {
        let anchor = self.anchor.map(|file| read_anchor(context, &file)).transpose()?;
        let settings = context.settings()?;
        let (builder, url) = context.store_to_look_at(&settings)?;
        let options = RestoreOptions::default().with(|options| {
            options.anchor = anchor;
            options.floor_above = self.epoch_floor_above.map(Epoch);
            options.unverified = unverified(self.keep_unverified);
        });
        let progress = BackupProgress::default();
        let report = match &self.file {
            Some(file) => {
                let restoring = restore(builder, &url, file, &options, &progress);
                watched(context.out, &progress, restoring).await?
            }
            None => watched(context.out, &progress, raise_floor(builder, &url, &options, &progress)).await?,
        };
        let report = report.map_err(|error| match (error, &self.file) {
            // The file is damaged, and the store is not there yet: no advice about the store helps.
            (BackupError::Store(Error::Corrupt(error)), Some(_)) => CliError::Failed(error.to_string()),
            (error, _) => failed(context.out, error),
        })?;
        let verdict = if report.findings.is_empty() { Ok(()) } else { Err(CliError::Told) };
        let shown = match context.out.form() {
            OutputFormat::Json => context.out.json(&RestoreAnswer { restore: RestoreJson::of(&report) }),
            OutputFormat::Table => tell(context.out, &report),
        };
        verdict.and(shown)
    }
}

/// Tells people what was restored, and what they must know of it.
fn tell(out: &mut Output<'_>, report: &RestoreReport) -> Written {
    report.findings.iter().for_each(|finding| out.error(finding, None));
    report.warnings.iter().for_each(|warning| out.note(warning));
    if out.is_quiet() {
        return out.line(&report.epoch_floor.0.to_string());
    }
    let (tasks, events) = (count(report.tasks, "task"), count(report.events, "event"));
    let (of, age) = (print_seconds(report.of), rough(report.age()));
    let floor = report.epoch_floor.0;
    match &report.file {
        Some(file) => out.line(&format!(
            "restored {} as of {of}, {age} ago: {tasks}, {events} up to {}; epochs are granted above {floor}",
            file.display(),
            report.cursor
        ))?,
        None => out.line(&format!(
            "raised the epoch floor: epochs are granted above {floor}; the store is as of {of}, {age} ago: {tasks}, {events} up to {}",
            report.cursor
        ))?,
    }
    match report.findings.len() {
        0 => out.line("verified: it holds")?,
        found => out.line(&format!("not verified: {}", count(found as u64, "finding")))?,
    }
    out.line(&format!(
        "lost: what happened after {of}. Leases granted since are refused as stale_epoch, and no new lease gets their epochs"
    ))?;
    tell_leases(out, &report.leases)?;
    match &report.lost {
        Some(lost) => tell_lost(out, lost)?,
        None => out.line("pass --anchor with the newest anchor to have each lost task named")?,
    }
    out.line(&format!(
        "followers: those with a cursor of their own begin again behind {}; named cursors are where they were then, and get events again",
        report.cursor
    ))
}

fn tell_leases(out: &mut Output<'_>, leases: &[RestoredLease]) -> Written {
    let (lapsed, live): (Vec<_>, Vec<_>) = leases.iter().partition(|lease| lease.is_lapsed);
    let sorts = [
        (live, "with time left: the holder goes on"),
        (lapsed, "without: the holder may still end the task, until somebody takes over"),
    ];
    for (leases, words) in sorts {
        if leases.is_empty() {
            continue;
        }
        out.line(&format!("{} {words}", count(leases.len() as u64, "lease")))?;
        for lease in leases.iter().take(SHOWN_MAX) {
            let RestoredLease { namespace, task, owner, epoch, expires_at, .. } = lease;
            let until = print_seconds(*expires_at);
            out.line(&format!("  {namespace}/{task}: {owner} at epoch {}, until {until}", epoch.0))?;
        }
        tell_rest(out, leases.len())?;
    }
    Ok(())
}

fn tell_lost(out: &mut Output<'_>, lost: &LostHistory) -> Written {
    let shorter = lost
        .shorter
        .iter()
        .map(|one| format!("{}: has {} of {}", one.task, one.number, count(one.anchored, "event")));
    let sorts = [
        ("in the anchor, and not in the backup", lost.missing.clone()),
        ("with fewer events than in the anchor", shorter.collect()),
        ("pruned since the backup, and there again", lost.back.clone()),
        ("with another history than in the anchor", lost.other.clone()),
    ];
    if sorts.iter().all(|(_, tasks)| tasks.is_empty()) {
        return out.line("nothing that the anchor has is missing");
    }
    for (words, tasks) in sorts.iter().filter(|(_, tasks)| !tasks.is_empty()) {
        out.line(&format!("{} {words}", count(tasks.len() as u64, "task")))?;
        tasks.iter().take(SHOWN_MAX).try_for_each(|task| out.line(&format!("  {task}")))?;
        tell_rest(out, tasks.len())?;
    }
    Ok(())
}

fn tell_rest(out: &mut Output<'_>, all: usize) -> Written {
    match all.saturating_sub(SHOWN_MAX) {
        0 => Ok(()),
        rest => out.line(&format!("  and {rest} more; -o json names all")),
    }
}

/// What was restored, for programs.
#[derive(Serialize)]
struct RestoreAnswer<'a> {
    restore: RestoreJson<'a>,
}

#[derive(Serialize)]
struct RestoreJson<'a> {
    file: Option<String>,
    kind: &'static str,
    #[serde(with = "wire")]
    of: Time,
    #[serde(with = "wire")]
    at: Time,
    cursor: &'a str,
    tasks: u64,
    events: u64,
    #[serde(with = "wire")]
    epoch_floor: Epoch,
    verified: bool,
    findings: &'a [String],
    leases: Vec<LeaseJson>,
    lost: Option<LostJson<'a>>,
    warnings: &'a [String],
}

#[derive(Serialize)]
struct LeaseJson {
    #[serde(with = "wire")]
    namespace: Namespace,
    #[serde(with = "wire")]
    task: TaskId,
    #[serde(with = "wire")]
    owner: Owner,
    #[serde(with = "wire")]
    epoch: Epoch,
    #[serde(with = "wire")]
    expires_at: Time,
    lapsed: bool,
}

#[derive(Serialize)]
struct LostJson<'a> {
    anchored_cursor: &'a str,
    missing: &'a [String],
    shorter: Vec<ShorterJson<'a>>,
    back: &'a [String],
    other: &'a [String],
}

#[derive(Serialize)]
struct ShorterJson<'a> {
    task: &'a str,
    number: u64,
    anchored: u64,
}

impl<'a> RestoreJson<'a> {
    fn of(report: &'a RestoreReport) -> RestoreJson<'a> {
        let lease = |lease: &RestoredLease| LeaseJson {
            namespace: lease.namespace.clone(),
            task: lease.task.clone(),
            owner: lease.owner.clone(),
            epoch: lease.epoch,
            expires_at: lease.expires_at,
            lapsed: lease.is_lapsed,
        };
        let lost = report.lost.as_ref().map(|lost| LostJson {
            anchored_cursor: &lost.anchored_cursor,
            missing: &lost.missing,
            shorter: lost
                .shorter
                .iter()
                .map(|one| ShorterJson { task: &one.task, number: one.number, anchored: one.anchored })
                .collect(),
            back: &lost.back,
            other: &lost.other,
        });
        RestoreJson {
            file: report.file.as_ref().map(|file| file.display().to_string()),
            kind: report.kind.as_str(),
            of: report.of,
            at: report.now,
            cursor: &report.cursor,
            tasks: report.tasks,
            events: report.events,
            epoch_floor: report.epoch_floor,
            verified: report.findings.is_empty(),
            findings: &report.findings,
            leases: report.leases.iter().map(lease).collect(),
            lost,
            warnings: &report.warnings,
        }
    }
}
