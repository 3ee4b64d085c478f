//! What a holder does while it holds a lease: `tenure task heartbeat`, `progress` and `release`.

use clap::Args;
use tenure::Ledger;
use tenure::instant::print_seconds;
use tenure::ledger::JsonText;
use tenure::record::renewal_answer;
use tenure::store::Renewal;

use super::answers::{Needed, answer_call};
use crate::context::Context;
use crate::error::CliError;
use crate::global::OutputFormat;
use crate::values::{ByLease, ByOperator, TaskArgument, span};

/// Renew a lease
///
/// Use it while the work goes on, each time a third of the lease's length has passed. It prints when the lease now expires,
/// and whether somebody asked the task to stop. If it is refused, stop the work: the lease is no longer yours, or can't be
/// extended.
#[derive(Args)]
#[command(
    after_help = "Example:\n  tenure task heartbeat build-42 --owner w1 --epoch 1 --ttl 60s --progress '{\"percent\":40}'"
)]
pub(crate) struct Heartbeat {
    #[command(flatten)]
    task: TaskArgument,
    #[command(flatten)]
    lease: ByLease,
    /// How long the lease lasts from now, 1s to 7d [default: as long as when it was acquired]
    #[arg(long, value_name = "DURATION")]
    ttl: Option<String>,
    /// Progress of the work: JSON, @FILE or @-
    #[arg(long, value_name = "JSON")]
    progress: Option<String>,
    /// Data from which the next holder can go on: JSON, @FILE or @-
    #[arg(long, value_name = "JSON")]
    checkpoint: Option<String>,
}

impl Heartbeat {
    pub(crate) async fn run(self, context: &mut Context<'_, '_>) -> Result<(), CliError> {
        let id = context.task_id(self.task.id)?;
        let holder = context.the_holder(&id, &self.lease)?;
        let ttl = span("ttl", self.ttl.as_deref())?;
        let progress = context.optional_text("--progress", self.progress)?;
        let checkpoint = context.optional_text("--checkpoint", self.checkpoint)?;
        let ledger = context.ledger().await?;
        let mut call = ledger.heartbeat(&id, &holder);
        if let Some(ttl) = ttl {
            call = call.ttl(ttl);
        }
        if let Some(progress) = &progress {
            call = call.progress(JsonText(progress));
        }
        if let Some(checkpoint) = &checkpoint {
            call = call.checkpoint(JsonText(checkpoint));
        }
        let renewal = call.await?;
        show(context, &ledger, &id, renewal, "lease renewed, expires at").await
    }
}

/// Report progress without renewing the lease
///
/// Use it when something else sends the heartbeats. It counts as progress for --stall-after.
#[derive(Args)]
#[command(
    after_help = "Example:\n  tenure task progress build-42 --owner w1 --epoch 1 --progress '{\"percent\":40}'"
)]
pub(crate) struct Progress {
    #[command(flatten)]
    task: TaskArgument,
    #[command(flatten)]
    lease: ByLease,
    /// Progress of the work: JSON, @FILE or @-
    #[arg(long, value_name = "JSON", required_unless_present = "checkpoint")]
    progress: Option<String>,
    /// Data from which the next holder can go on: JSON, @FILE or @-
    #[arg(long, value_name = "JSON")]
    checkpoint: Option<String>,
}

impl Progress {
    pub(crate) async fn run(self, context: &mut Context<'_, '_>) -> Result<(), CliError> {
        let id = context.task_id(self.task.id)?;
        let holder = context.the_holder(&id, &self.lease)?;
        let progress = context.optional_text("--progress", self.progress)?;
        let checkpoint = context.optional_text("--checkpoint", self.checkpoint)?;
        let ledger = context.ledger().await?;
        let mut call = ledger.progress(&id, &holder);
        if let Some(progress) = &progress {
            call = call.report(JsonText(progress));
        }
        if let Some(checkpoint) = &checkpoint {
            call = call.checkpoint(JsonText(checkpoint));
        }
        let renewal = call.await?;
        show(context, &ledger, &id, renewal, "progress saved, lease not renewed, expires at").await
    }
}

/// Prints the result of a renewal. The task is read afterwards, when more may have happened; the renewal is what this
/// command did.
async fn show(
    context: &mut Context<'_, '_>,
    ledger: &Ledger,
    id: &str,
    renewal: Renewal,
    done: &str,
) -> Result<(), CliError> {
    let until = print_seconds(renewal.expires_at);
    if context.out.form() == OutputFormat::Table {
        if context.out.is_quiet() {
            return if renewal.cancel_asked { context.out.line("cancel") } else { Ok(()) };
        }
        let stop = if renewal.cancel_asked { "; somebody asked the task to stop" } else { "" };
        return context.out.line(&format!("{id}: {done} {until}{stop}"));
    }
    let read = async { Ok::<_, tenure::Error>((ledger.task(id).await?, ledger.now().await?)) };
    let (task, now) = read.await.map_err(|error| {
        CliError::Failed(format!("{id}: {done} {until}; but then reading the task failed: {error}"))
    })?;
    context.out.json(&renewal_answer(&task, now, renewal))
}

/// Release a lease before the work is done
///
/// Use it when you hold a task and can't continue: on shutdown, or when something is missing. The attempt does not count.
/// What is owed is undone first, unless the policy is `hold`.
#[derive(Args)]
#[command(
    after_help = "Example:\n  tenure task release build-42 --owner w1 --epoch 1 --reason 'shutting down'"
)]
pub(crate) struct Release {
    #[command(flatten)]
    task: TaskArgument,
    #[command(flatten)]
    lease: ByLease,
    /// Reason for the release; also @FILE or @-
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// How long nobody can acquire or claim the task afterwards [default: no delay]
    #[arg(long, value_name = "DURATION")]
    delay: Option<String>,
    #[command(flatten)]
    by: ByOperator,
}

impl Release {
    pub(crate) async fn run(self, context: &mut Context<'_, '_>) -> Result<(), CliError> {
        let id = context.task_id(self.task.id)?;
        let holder = context.the_holder(&id, &self.lease)?;
        let delay = span("delay", self.delay.as_deref())?;
        let reason = context.text("--reason", &self.reason)?;
        let ledger = context.ledger().await?;
        let mut call = ledger.release(&id, &holder, &reason);
        if let Some(delay) = delay {
            call = call.delay(delay);
        }
        let call = context.by_holder(call, &self.by);
        answer_call(context, &ledger, call, Needed::Nothing).await
    }
}
