//! `tenure audit verify` and `tenure audit anchor`.

use clap::{Args, Subcommand};
use tenure::Ledger;
use tenure::api::audit::{AnchorAnswer, ReportAnswer};
use tenure::audit::{Anchor, VerifyReport};

use crate::context::Context;
use crate::error::CliError;
use crate::global::OutputFormat;
use crate::tables::counted;

#[derive(Subcommand)]
pub(crate) enum AuditVerb {
    Verify(Verify),
    Anchor(WriteAnchor),
}

impl AuditVerb {
    pub(crate) async fn run(self, context: &mut Context<'_, '_>) -> Result<(), CliError> {
        match self {
            AuditVerb::Verify(verb) => verb.run(context).await,
            AuditVerb::Anchor(verb) => verb.run(context).await,
        }
    }
}

/// Verify the history, of all namespaces or of one task
///
/// Use it when you must rely on the record. It names each event that was changed, removed, inserted or moved and, with an
/// anchor, each task that is missing. If it finds anything, the exit status is 1.
#[derive(Args)]
#[command(after_help = "Example:\n  tenure audit verify --anchor anchor-of-monday")]
pub(crate) struct Verify {
    /// Verify only this task, in --namespace
    #[arg(long, value_name = "ID")]
    task: Option<String>,
    /// Anchor to verify against, a file that `tenure audit anchor` wrote; - for standard input
    #[arg(long, value_name = "FILE")]
    anchor: Option<String>,
}

impl Verify {
    async fn run(self, context: &mut Context<'_, '_>) -> Result<(), CliError> {
        let anchor = self.anchor.map(|file| read(context, &file)).transpose()?;
        let ledger = context.existing_ledger().await?;
        let report = match &self.task {
            Some(task) => ledger.verify_task(task, anchor.as_ref()).await?,
            None => ledger.verify(anchor.as_ref()).await?,
        };
        // The exit status gives the verdict, even if nobody reads the output to its end.
        let verdict = if report.holds() { Ok(()) } else { Err(CliError::Told) };
        let shown = show(context, &report);
        verdict.and(shown)
    }
}

/// Warns that the history of a task is not what was recorded. The command continues and shows the task.
pub(crate) async fn warn_of_broken_history(context: &mut Context<'_, '_>, ledger: &Ledger, task: &str) {
    // If the history can't be read, the command itself reports it.
    let Ok(report) = ledger.verify_task(task, None).await else { return };
    if let Some(first) = report.findings.first() {
        let words = format!("the history of this task is not what was recorded: {first}");
        context.out.error(
            &words,
            Some(&format!(
                "copy the store before you change anything; see `tenure audit verify --task {task}`"
            )),
        );
    }
}

fn show(context: &mut Context<'_, '_>, report: &VerifyReport) -> Result<(), CliError> {
    if context.out.form() == OutputFormat::Json {
        return context.out.json(&ReportAnswer { report: report.into() });
    }
    report.findings.iter().try_for_each(|finding| context.out.sentence(&finding.to_string()))?;
    if context.out.is_quiet() {
        return Ok(());
    }
    let looked_at = format!("{}, {}", counted(report.tasks, "task"), counted(report.events, "event"));
    context.out.line(&match report.findings.len() {
        0 => format!("verified: {looked_at}"),
        count => format!("not verified: {} in {looked_at}", counted(count as u64, "finding")),
    })
}

fn read(context: &mut Context<'_, '_>, file: &str) -> Result<Anchor, CliError> {
    let text = context.file("--anchor", file)?;
    text.parse().map_err(|error| {
        CliError::Usage(format!("--anchor: {file}: {error}; pass a file that `tenure audit anchor` wrote"))
    })
}

/// Write an anchor, to verify the history against later
///
/// Use it regularly, and keep the file somewhere else. The hash chain alone does not show that the newest events of a task
/// were cut off, or that a whole task was removed.
#[derive(Args)]
#[command(after_help = "Example:\n  tenure audit anchor > anchor-of-monday")]
pub(crate) struct WriteAnchor {}

impl WriteAnchor {
    async fn run(self, context: &mut Context<'_, '_>) -> Result<(), CliError> {
        let ledger = context.existing_ledger().await?;
        let anchor = ledger.anchor().await?;
        match context.out.form() {
            OutputFormat::Json => context.out.json(&AnchorAnswer { anchor }),
            OutputFormat::Table => context.out.bytes(anchor.to_string().as_bytes()),
        }
    }
}
