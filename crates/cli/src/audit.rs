//! `tenure audit verify` and `tenure audit anchor`.

use std::time::Duration;

use clap::{Args, Subcommand};
use tenure::Ledger;
use tenure::api::audit::{AnchorAnswer, ReportAnswer};
use tenure::audit::{Anchor, VerifyProgress, VerifyReport};
use tenure::clock::Moment;
use tenure::core::time::Span;
use tenure_view::words::count;
use tokio::time::timeout;

use crate::context::Context;
use crate::error::CliError;
use crate::global::OutputFormat;
use crate::values::ByOperator;

/// How often a person who waits sees how far a verification has come.
const SHOWN_EVERY: Duration = Duration::from_millis(250);

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
        let anchor = self.anchor.map(|file| read_anchor(context, &file)).transpose()?;
        let ledger = context.ledger_to_verify().await?;
        let report = match &self.task {
            Some(task) => ledger.verify_task(task, anchor.as_ref()).await?,
            None => verify(context, &ledger, anchor.as_ref()).await?,
        };
        // The exit status gives the verdict, even if nobody reads the output to its end.
        let verdict = if report.holds() { Ok(()) } else { Err(CliError::Told) };
        let shown = show(context, &report);
        verdict.and(shown)
    }
}

/// Verifies the whole store. A person who waits at a terminal sees how far it has come.
async fn verify(
    context: &mut Context<'_, '_>,
    ledger: &Ledger,
    anchor: Option<&Anchor>,
) -> Result<VerifyReport, CliError> {
    if !context.out.shows_passing_lines() || context.is_store_served()? {
        return Ok(ledger.verify(anchor).await?);
    }
    let (progress, began) = (VerifyProgress::default(), Moment::now());
    let mut verifying = std::pin::pin!(ledger.verify_watched(anchor, &progress));
    let report = loop {
        match timeout(SHOWN_EVERY, verifying.as_mut()).await {
            Ok(report) => break report,
            Err(_) => context.out.passing_line(&how_far(&progress, Moment::now().since(began))),
        }
    };
    context.out.passing_line("");
    Ok(report?)
}

fn how_far(progress: &VerifyProgress, took: Span) -> String {
    let tasks = count(progress.tasks(), "task");
    let rate = progress.tasks().saturating_mul(1_000_000) / took.as_micros().max(1);
    format!("verifying: {tasks}, {}; {rate} tasks a second", count(progress.events(), "event"))
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
    let mut looked_at = format!("{}, {}", count(report.tasks, "task"), count(report.events, "event"));
    if report.pruned > 0 {
        looked_at += &format!(", and the heads of {} that were pruned", count(report.pruned, "task"));
    }
    context.out.line(&match report.findings.len() {
        0 => format!("verified: {looked_at}"),
        found => format!("not verified: {} in {looked_at}", count(found as u64, "finding")),
    })
}

/// Reads the file of an anchor.
pub(crate) fn read_anchor(context: &mut Context<'_, '_>, file: &str) -> Result<Anchor, CliError> {
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
        let by = ByOperator::default();
        if let Err(error) = ledger.acting_as(&context.person(&by))?.record_anchor(&anchor).await
            && !context.is_store_served()?
        {
            // The anchor is as good without its record.
            context.out.note(&format!("the anchor is not recorded in the store: {error}"));
        }
        match context.out.form() {
            OutputFormat::Json => context.out.json(&AnchorAnswer { anchor }),
            OutputFormat::Table => context.out.bytes(anchor.to_string().as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_sees_counts_and_a_rate() {
        let nothing = how_far(&VerifyProgress::default(), Span::ZERO);
        assert_eq!(nothing, "verifying: 0 tasks, 0 events; 0 tasks a second");
    }
}
