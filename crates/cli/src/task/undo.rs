//! `tenure task undo …`: registering, settling, adopting and listing compensations.

use clap::{Args, Subcommand};
use clap_complete::ArgValueCompleter;
use tenure::api::task::Compensation as CompensationJson;

use super::answers::{Needed, answer_call};
use crate::complete;
use crate::context::Context;
use crate::error::CliError;
use crate::global::OutputFormat;
use crate::tables;
use crate::values::{ByLease, ByOperator, TaskArgument};

#[derive(Subcommand)]
pub(crate) enum UndoVerb {
    Add(Add),
    Settle(Settle),
    Adopt(Adopt),
    List(UndoList),
}

impl UndoVerb {
    pub(crate) async fn run(self, context: &mut Context<'_, '_>) -> Result<(), CliError> {
        match self {
            UndoVerb::Add(verb) => verb.run(context).await,
            UndoVerb::Settle(verb) => verb.run(context).await,
            UndoVerb::Adopt(verb) => verb.run(context).await,
            UndoVerb::List(verb) => verb.run(context).await,
        }
    }
}

/// Register how to undo a side effect, before it happens
///
/// Use it right before each side effect that must not stay if the work fails. Registered by the holder of a lease, it is
/// owed at once. Registered without a lease, it is owed by every attempt that begins.
#[derive(Args)]
#[command(
    after_help = "Example:\n  tenure task undo add build-42 --owner w1 --epoch 1 --kind close-pr --target 12"
)]
pub(crate) struct Add {
    #[command(flatten)]
    task: TaskArgument,
    #[command(flatten)]
    lease: ByLease,
    /// Handler that undoes it; none if there is nothing to undo
    #[arg(long, add = ArgValueCompleter::new(complete::undo_kinds))]
    kind: String,
    /// What to undo: a path, a number, a name
    #[arg(long)]
    target: String,
    /// Reason for registering it; also @FILE or @-
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    by: ByOperator,
}

impl Add {
    async fn run(self, context: &mut Context<'_, '_>) -> Result<(), CliError> {
        let id = context.task_id(self.task.id)?;
        let holder = context.holder(&id, &self.lease, &self.by)?;
        let reason = context.optional_text("--reason", self.reason)?;
        let ledger = context.ledger().await?;
        let call = match holder {
            Some(holder) => {
                context.by_holder(ledger.register(&id, &holder, &self.kind, &self.target), &self.by)
            }
            None => context.by_operator(ledger.register_standing(&id, &self.kind, &self.target), &self.by),
        };
        let call = match &reason {
            Some(reason) => call.reason(reason),
            None => call,
        };
        answer_call(context, &ledger, call, Needed::Nothing).await
    }
}

/// Record that an undo ran, failed, or is waived
///
/// Use it with --receipt after an undo that ran, with --error after one that failed, or with --waive for one that need not
/// run. The holder gives --owner and --epoch. An operator gives a receipt without them after undoing it by hand; only an
/// operator can waive.
#[derive(Args)]
#[command(
    after_help = "Example:\n  tenure task undo settle build-42 1 --owner w1 --epoch 1 --receipt 'closed'\n  \
                  tenure task undo settle build-42 1 --as alice --receipt 'closed by hand'\n  \
                  tenure task undo settle build-42 1 --as alice --waive --reason 'gone already'"
)]
#[group(id = "outcome", required = true, multiple = false)]
pub(crate) struct Settle {
    #[command(flatten)]
    task: TaskArgument,
    /// Number of the compensation, as `tenure task undo list` shows it
    #[arg(value_name = "NUMBER")]
    seq: Option<String>,
    #[command(flatten)]
    lease: ByLease,
    /// Proof that the undo ran; also @FILE or @-
    #[arg(long, value_name = "TEXT", group = "outcome")]
    receipt: Option<String>,
    /// Why the undo failed; also @FILE or @-
    #[arg(long, value_name = "TEXT", group = "outcome")]
    error: Option<String>,
    /// Record that the undo need not run, for the given --reason
    #[arg(long, group = "outcome", requires = "reason", conflicts_with_all = ["owner", "epoch"])]
    waive: bool,
    /// Why it is waived, or was undone by hand; also @FILE or @- [default: the receipt]
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["owner", "epoch", "error"])]
    reason: Option<String>,
    #[command(flatten)]
    by: ByOperator,
}

impl Settle {
    async fn run(self, context: &mut Context<'_, '_>) -> Result<(), CliError> {
        let (id, seq) = context.task_id_before(self.task.id, self.seq, "NUMBER")?;
        let seq: u32 = seq.parse().map_err(|_| {
            CliError::Usage(format!("`{seq}` is not a number; see `tenure task undo list {id}`"))
        })?;
        if self.waive {
            context.is_a_person(&self.by)?;
            let reason = context.text("--reason", &self.reason.unwrap_or_default())?;
            let ledger = context.ledger().await?;
            let call = context.by_operator(ledger.waive(&id, seq, &reason), &self.by);
            return answer_call(context, &ledger, call, Needed::Nothing).await;
        }
        let holder = match &self.error {
            None => context.holder(&id, &self.lease, &self.by)?,
            // Nobody but the holder knows of a failed try.
            Some(_) => Some(context.the_holder(&id, &self.lease)?),
        };
        let receipt = context.optional_text("--receipt", self.receipt)?;
        let error = context.optional_text("--error", self.error)?;
        let reason = context.optional_text("--reason", self.reason)?;
        let ledger = context.ledger().await?;
        let Some(holder) = holder else {
            let call = ledger.settle_by_hand(&id, seq, &receipt.unwrap_or_default());
            let call = match &reason {
                Some(reason) => call.because(reason),
                None => call,
            };
            let call = context.by_operator(call, &self.by);
            return answer_call(context, &ledger, call, Needed::Nothing).await;
        };
        if reason.is_some() {
            let words = "--reason is only for operators; pass --as to settle it by hand";
            return Err(CliError::Usage(words.to_owned()));
        }
        let call = match (receipt, error) {
            (Some(receipt), _) => ledger.settle(&id, &holder, seq, &receipt),
            (None, error) => ledger.tried(&id, &holder, seq, &error.unwrap_or_default()),
        };
        let call = context.by_holder(call, &self.by);
        answer_call(context, &ledger, call, Needed::Nothing).await
    }
}

/// Adopt what an earlier lease still owes
///
/// Use it after taking over a task whose policy is `hold`. What the previous holder owed becomes yours, to keep or to undo.
#[derive(Args)]
#[command(after_help = "Example:\n  tenure task undo adopt build-42 --owner w2 --epoch 2")]
pub(crate) struct Adopt {
    #[command(flatten)]
    task: TaskArgument,
    #[command(flatten)]
    lease: ByLease,
    #[command(flatten)]
    by: ByOperator,
}

impl Adopt {
    async fn run(self, context: &mut Context<'_, '_>) -> Result<(), CliError> {
        let id = context.task_id(self.task.id)?;
        let holder = context.the_holder(&id, &self.lease)?;
        let ledger = context.ledger().await?;
        let call = context.by_holder(ledger.adopt(&id, &holder), &self.by);
        answer_call(context, &ledger, call, Needed::Nothing).await
    }
}

/// List the compensations of a task, newest first
///
/// Use it to see what a task owes and what was undone, with the receipts. They are undone in the order shown. As JSON it
/// prints one compensation per line.
#[derive(Args)]
#[command(after_help = "Example:\n  tenure task undo list build-42")]
pub(crate) struct UndoList {
    #[command(flatten)]
    task: TaskArgument,
}

impl UndoList {
    async fn run(self, context: &mut Context<'_, '_>) -> Result<(), CliError> {
        let id = context.task_id(self.task.id)?;
        let ledger = context.ledger_to_read().await?;
        let task = ledger.task(&id).await?;
        let newest_first = || task.compensations.iter().rev();
        match context.out.form() {
            OutputFormat::Json => {
                newest_first().try_for_each(|one| context.out.json(&CompensationJson::from(one)))
            }
            OutputFormat::Table if context.out.is_quiet() => newest_first()
                .filter(|one| one.is_owed())
                .try_for_each(|one| context.out.line(&one.seq.to_string())),
            OutputFormat::Table if task.compensations.is_empty() => {
                context.out.note("no compensations are registered");
                Ok(())
            }
            OutputFormat::Table => {
                let table = tables::compensations(context.out, newest_first());
                context.out.show(&table)
            }
        }
    }
}
