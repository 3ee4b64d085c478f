//! `tenure prune`.

use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::PossibleValuesParser;
use serde::Serialize;
use tenure::Ledger;
use tenure::api::wire;
use tenure::api::wire::parse_word;
use tenure::core::id::{CursorName, Namespace};
use tenure::core::task::Terminal;
use tenure::core::time::Time;
use tenure::instant::print_seconds;
use tenure::retention::{Archive, EndedCounts, PruneError, PruneOptions, PruneReport, PruneRun, PruneScope};
use tenure_view::words::count;

use crate::context::Context;
use crate::error::CliError;
use crate::global::OutputFormat;
use crate::values::{ByOperator, span};

/// The states that a task can end in.
const STATES: [&str; 4] = ["completed", "failed", "compensated", "quarantined"];

/// Delete tasks that ended long ago
///
/// Use it to keep the store small, from a timer or by hand; `tenure serve --retain` does it by itself. Each history is verified
/// first, and a task whose history does not hold is kept and reported. Ids and saga ids of pruned tasks stay taken, and
/// `tenure audit verify` knows their heads. Nothing is deleted that a named cursor has not passed. A quarantined task that
/// still owes an undo is kept until it is retried or dismissed, unless --state quarantined is given. It runs beside the
/// database, in steps: if it is stopped, what was done stays done, and it can be repeated with the same options.
#[derive(Args)]
#[command(after_help = "Example:\n  tenure prune --older-than 90d --dry-run\n  \
    tenure prune --older-than 90d --archive pruned.jsonl\n  tenure prune --older-than 365d --state completed --all-namespaces")]
pub(crate) struct Prune {
    /// Prune tasks that ended at least this long ago; 7d or more
    #[arg(long, value_name = "DURATION")]
    older_than: String,
    /// Only tasks that ended in this state. Can be repeated [default: every terminal state, but no quarantined task that still
    /// owes an undo]
    #[arg(long, value_name = "STATE", value_parser = PossibleValuesParser::new(STATES))]
    state: Vec<String>,
    /// Write the histories to this file before they are deleted, in the form of an export. An archive that is there is
    /// continued
    #[arg(long, value_name = "FILE", conflicts_with = "dry_run")]
    archive: Option<PathBuf>,
    /// Print what would be pruned and what would be kept, without pruning it
    #[arg(long)]
    dry_run: bool,
    /// Prune every namespace, and not only one
    #[arg(long)]
    all_namespaces: bool,
    #[command(flatten)]
    by: ByOperator,
}

impl Prune {
    pub(crate) async fn run(self, context: &mut Context<'_, '_>) -> Result<(), CliError> {
        let options = self.options()?;
        options.check().map_err(tenure::Error::from)?;
        let ledger = context.existing_ledger().await?.acting_as(&context.person(&self.by))?;
        let mut run = PruneRun::begin(&ledger, options).await?;
        if !self.all_namespaces {
            note_absent_namespace(context, &ledger).await?;
        }
        if self.dry_run {
            while run.plan().await?.is_some() {}
            return self.tell(context, &run, None);
        }
        let archived = match &self.archive {
            Some(path) => Some(archive_and_prune(context, &ledger, &mut run, path).await?),
            None => {
                while run.step(None).await.map_err(failed)?.is_some() {
                    say_how_far(context, run.report());
                }
                None
            }
        };
        context.out.passing_line("");
        self.tell(context, &run, archived)
    }

    fn options(&self) -> Result<PruneOptions, CliError> {
        let older_than = span("older_than", Some(&self.older_than))?.unwrap_or_default();
        let states = self.state.iter().map(|word| parse_word::<Terminal>("state", word));
        let states = states.collect::<Result<Vec<_>, _>>()?;
        Ok(PruneOptions::older_than(older_than).with(|options| {
            options.states = states;
            if self.all_namespaces {
                options.scope = PruneScope::WholeStore;
            }
        }))
    }

    /// Prints the summary. Tasks that were kept because of what is wrong with them make it fail.
    fn tell(
        &self,
        context: &mut Context<'_, '_>,
        run: &PruneRun,
        archive: Option<ArchiveJson>,
    ) -> Result<(), CliError> {
        let report = run.report();
        match context.out.form() {
            OutputFormat::Json => {
                let prune = PruneJson::of(report, (self.dry_run, run.finished_before()), archive);
                context.out.json(&PruneAnswer { prune })?;
            }
            OutputFormat::Table => self.tell_people(context, run, archive)?,
        }
        if report.corrupt == 0 {
            return Ok(());
        }
        for finding in &report.findings {
            context.out.error(finding, None);
        }
        let words = format!("{} kept, because their histories do not hold", count(report.corrupt, "task"));
        context
            .out
            .error(&words, Some("run `tenure audit verify` and restore what was changed from a backup"));
        Err(CliError::Told)
    }

    fn tell_people(
        &self,
        context: &mut Context<'_, '_>,
        run: &PruneRun,
        archive: Option<ArchiveJson>,
    ) -> Result<(), CliError> {
        let report = run.report();
        let EndedCounts { completed, failed, compensated, quarantined } = report.pruned;
        let sum = report.pruned.sum();
        if context.out.is_quiet() {
            return context.out.line(&sum.to_string());
        }
        let before = print_seconds(run.finished_before());
        let verb = if self.dry_run { "would be pruned" } else { "pruned" };
        context.out.line(&format!("{} {verb} that ended by {before}", count(sum, "task")))?;
        if sum > 0 {
            context.out.line(&format!(
                "  completed {completed}, failed {failed}, compensated {compensated}, quarantined {quarantined}"
            ))?;
        }
        if let Some((oldest, newest)) = report.oldest.zip(report.newest) {
            let (oldest, newest) = (print_seconds(oldest), print_seconds(newest));
            context.out.line(&format!("  the oldest ended at {oldest}, the newest at {newest}"))?;
        }
        for ((namespace, name), tasks) in &report.held {
            context.out.line(&format!(
                "{} kept: the cursor {name} of the namespace {namespace} has not passed them",
                count(*tasks, "task")
            ))?;
        }
        if report.kept_owing > 0 {
            let tasks = count(report.kept_owing, "task");
            context.out.line_with_commands(&format!(
                "{tasks} kept: quarantined with an undo still owed (`tenure task list --state quarantined`); undo it with \
                 `tenure task retry ID --reason '…'`, or dismiss it with `tenure task note ID --dismiss '…'`"
            ))?;
        }
        if report.changed > 0 {
            let changed = count(report.changed, "task");
            context.out.line(&format!("{changed} changed meanwhile and stay until the next run"))?;
        }
        if let Some(archive) = archive {
            let (events, file) = (count(archive.events, "event"), archive.file);
            context.out.line(&format!("archived in {file}, which has {events}"))?;
        }
        Ok(())
    }
}

/// Says that no task is or was in the namespace, which may be a typing error. A store without any namespace has nothing to compare it with.
async fn note_absent_namespace(context: &mut Context<'_, '_>, ledger: &Ledger) -> Result<(), CliError> {
    let namespaces = ledger.namespaces().await?;
    if namespaces.is_empty() || namespaces.contains(ledger.namespace()) {
        return Ok(());
    }
    let names: Vec<&str> = namespaces.iter().map(Namespace::as_str).collect();
    let (name, names) = (ledger.namespace(), names.join(", "));
    context.out.note(&format!(
        "there is no namespace {name}, so nothing is pruned; the store has {names}. Check --namespace, or pass --all-namespaces"
    ));
    Ok(())
}

/// Each step is on the disk in the archive before its tasks are deleted.
async fn archive_and_prune(
    context: &mut Context<'_, '_>,
    ledger: &Ledger,
    run: &mut PruneRun,
    path: &Path,
) -> Result<ArchiveJson, CliError> {
    let shown = path.display().to_string();
    let unwritable = |error: std::io::Error| CliError::Failed(format!("--archive: {shown}: {error}"));
    let mut archive = Archive::open(path, ledger.now().await?).map_err(unwritable)?;
    while run.step(Some(&mut archive)).await.map_err(failed)?.is_some() {
        say_how_far(context, run.report());
    }
    let counts = archive.finish().map_err(unwritable)?;
    Ok(ArchiveJson { file: shown.clone(), lines: counts.lines, events: counts.events })
}

fn failed(error: PruneError) -> CliError {
    let words = format!("{error}; what was pruned before is in the archive");
    if let PruneError::Store(error) = error { error.into() } else { CliError::Failed(words) }
}

fn say_how_far(context: &mut Context<'_, '_>, report: &PruneReport) {
    if context.out.shows_passing_lines() {
        context.out.passing_line(&format!("pruning: {} so far", count(report.pruned.sum(), "task")));
    }
}

#[derive(Serialize)]
struct PruneAnswer {
    prune: PruneJson,
}

#[derive(Serialize)]
struct PruneJson {
    dry_run: bool,
    #[serde(with = "wire")]
    finished_before: Time,
    tasks: u64,
    states: StatesJson,
    #[serde(with = "wire")]
    oldest: Option<Time>,
    #[serde(with = "wire")]
    newest: Option<Time>,
    held: Vec<HeldJson>,
    kept_owing: u64,
    corrupt: u64,
    findings: Vec<String>,
    changed: u64,
    archive: Option<ArchiveJson>,
}

#[derive(Serialize)]
struct StatesJson {
    completed: u64,
    failed: u64,
    compensated: u64,
    quarantined: u64,
}

#[derive(Serialize)]
struct HeldJson {
    #[serde(with = "wire")]
    namespace: Namespace,
    #[serde(with = "wire")]
    cursor: CursorName,
    tasks: u64,
}

#[derive(Serialize)]
struct ArchiveJson {
    file: String,
    lines: u64,
    events: u64,
}

impl PruneJson {
    fn of(
        report: &PruneReport,
        (dry_run, finished_before): (bool, Time),
        archive: Option<ArchiveJson>,
    ) -> PruneJson {
        let EndedCounts { completed, failed, compensated, quarantined } = report.pruned;
        let held = report.held.iter().map(|((namespace, name), tasks)| HeldJson {
            namespace: namespace.clone(),
            cursor: name.clone(),
            tasks: *tasks,
        });
        PruneJson {
            dry_run,
            finished_before,
            tasks: report.pruned.sum(),
            states: StatesJson { completed, failed, compensated, quarantined },
            oldest: report.oldest,
            newest: report.newest,
            held: held.collect(),
            kept_owing: report.kept_owing,
            corrupt: report.corrupt,
            findings: report.findings.clone(),
            changed: report.changed,
            archive,
        }
    }
}
