//! Ending a task, as its holder or as an operator: `tenure task complete`, `fail`, `rollback`, `quarantine`, `cancel`,
//! `compensate`; and `note`.

use clap::Args;
use tenure::ledger::JsonText;

use super::answers::{Needed, answer_call};
use crate::context::Context;
use crate::error::CliError;
use crate::values::{ByLease, ByOperator, SettledByHand, TaskArgument, UndoWords, Undos};

/// The reason of an operator, which can't be left out.
fn reason_by_operator(reason: Option<String>) -> Result<String, CliError> {
    reason.ok_or_else(|| {
        CliError::Usage(
            "no lease and no reason given: pass --owner and --epoch as the holder, or --reason as an operator".to_owned(),
        )
    })
}

/// Complete a task
///
/// Use it when the work is finished. The holder of the lease gives --owner and --epoch. An operator who knows that the work
/// is done gives --reason instead.
#[derive(Args)]
#[command(
    after_help = "Example:\n  tenure task complete build-42 --owner w1 --epoch 1 --result '{\"pr\":12}'"
)]
pub(crate) struct Complete {
    #[command(flatten)]
    task: TaskArgument,
    #[command(flatten)]
    lease: ByLease,
    /// Result of the work: JSON, @FILE or @-
    #[arg(long, value_name = "JSON")]
    result: Option<String>,
    #[command(flatten)]
    by: ByOperator,
    /// Reason, when completing it without a lease; also @FILE or @-
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

impl Complete {
    pub(crate) async fn run(self, context: &mut Context<'_, '_>) -> Result<(), CliError> {
        let id = context.task_id(self.task.id)?;
        let holder = context.holder(&id, &self.lease, &self.by)?;
        if holder.is_some() && self.reason.is_some() {
            let words = "--reason is only for completing a task without a lease; pass the result of the work with --result";
            return Err(CliError::Usage(words.to_owned()));
        }
        let result = context.optional_text("--result", self.result)?;
        let reason = match holder {
            Some(_) => String::new(),
            None => context.text("--reason", &reason_by_operator(self.reason)?)?,
        };
        let ledger = context.ledger().await?;
        let call = match holder {
            Some(holder) => context.by_holder(ledger.complete(&id, &holder), &self.by),
            None => context.by_operator(ledger.mark_completed(&id, &reason), &self.by),
        };
        let call = match &result {
            Some(result) => call.result(JsonText(result)),
            None => call,
        };
        answer_call(context, &ledger, call, Needed::Nothing).await
    }
}

/// Fail a task for good, without undoing anything
///
/// Use it when the work can't be done and another attempt would not help. What remains to be undone must be known: it is
/// registered before, or given with --undo; `--undo none=-` says that nothing remains. To have the work undone, roll it back.
#[derive(Args)]
#[command(
    after_help = "Example:\n  tenure task fail build-42 --owner w1 --epoch 1 --reason 'no such repo' --undo none=-"
)]
pub(crate) struct Fail {
    #[command(flatten)]
    task: TaskArgument,
    #[command(flatten)]
    lease: ByLease,
    /// Reason; also @FILE or @-
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    undos: Undos,
    #[command(flatten)]
    by: ByOperator,
}

impl Fail {
    pub(crate) async fn run(self, context: &mut Context<'_, '_>) -> Result<(), CliError> {
        let id = context.task_id(self.task.id)?;
        let holder = context.holder(&id, &self.lease, &self.by)?;
        let reason = context.text("--reason", &self.reason)?;
        let mut undos = self.undos.0.into_iter();
        let undo = undos.next();
        if undos.next().is_some() {
            let words =
                "only one --undo can be given; register the others first, with `tenure task undo add`";
            return Err(CliError::Usage(words.to_owned()));
        }
        let ledger = context.ledger().await?;
        let call = match holder {
            Some(holder) => context.by_holder(ledger.fail(&id, &holder, &reason), &self.by),
            None => context.by_operator(ledger.mark_failed(&id, &reason), &self.by),
        };
        let call = match undo {
            None => call,
            Some(UndoWords { kind, target, reason: None }) => call.remains(&kind, &target),
            Some(UndoWords { kind, target, reason: Some(reason) }) => {
                let reason = context.text("--undo-reason", &reason)?;
                call.remains_because(&kind, &target, &reason)
            }
        };
        answer_call(context, &ledger, call, Needed::Nothing).await
    }
}

/// Give up the work and have it undone
///
/// Use it when the work failed and its side effects must not stay. Recovery undoes what is owed, newest first. Then the task
/// is tried again if it has attempts left.
#[derive(Args)]
#[command(
    after_help = "Example:\n  tenure task rollback build-42 --owner w1 --epoch 1 --reason 'tests failed'"
)]
pub(crate) struct Rollback {
    #[command(flatten)]
    task: TaskArgument,
    #[command(flatten)]
    lease: ByLease,
    /// Reason; also @FILE or @-
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Keep the lease, to undo the work yourself with `undo settle`
    #[arg(long)]
    keep: bool,
    #[command(flatten)]
    by: ByOperator,
}

impl Rollback {
    pub(crate) async fn run(self, context: &mut Context<'_, '_>) -> Result<(), CliError> {
        let id = context.task_id(self.task.id)?;
        let holder = context.the_holder(&id, &self.lease)?;
        let reason = context.text("--reason", &self.reason)?;
        let ledger = context.ledger().await?;
        let call = ledger.roll_back(&id, &holder, &reason);
        let call = if self.keep { call.keep_lease() } else { call };
        let call = context.by_holder(call, &self.by);
        answer_call(context, &ledger, call, Needed::Nothing).await
    }
}

/// Quarantine a task until a person decides
///
/// Use it when a person must look at the task before anything else happens to it. What is owed stays owed.
#[derive(Args)]
#[command(after_help = "Example:\n  tenure task quarantine build-42 --as alice --reason 'needs a look'")]
pub(crate) struct Quarantine {
    #[command(flatten)]
    task: TaskArgument,
    #[command(flatten)]
    lease: ByLease,
    /// Reason; also @FILE or @-
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    by: ByOperator,
}

impl Quarantine {
    pub(crate) async fn run(self, context: &mut Context<'_, '_>) -> Result<(), CliError> {
        let id = context.task_id(self.task.id)?;
        let holder = context.holder(&id, &self.lease, &self.by)?;
        let reason = context.text("--reason", &self.reason)?;
        let ledger = context.ledger().await?;
        match holder {
            Some(holder) => {
                let call = context.by_holder(ledger.quarantine(&id, &holder, &reason), &self.by);
                answer_call(context, &ledger, call, Needed::Nothing).await
            }
            None => {
                let call = context.by_operator(ledger.mark_quarantined(&id, &reason), &self.by);
                answer_call(context, &ledger, call, Needed::Nothing).await
            }
        }
    }
}

/// Ask a task to stop
///
/// Use it when the work is no longer wanted. A planned task is undone and closed. The holder of a running task is told at
/// its next heartbeat, and the task is not tried again.
#[derive(Args)]
#[command(
    after_help = "Example:\n  tenure task cancel build-42 --as alice --reason 'superseded by build-43'"
)]
pub(crate) struct Cancel {
    #[command(flatten)]
    task: TaskArgument,
    /// Reason; also @FILE or @-
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    by: ByOperator,
}

impl Cancel {
    pub(crate) async fn run(self, context: &mut Context<'_, '_>) -> Result<(), CliError> {
        let id = context.task_id(self.task.id)?;
        let reason = context.text("--reason", &self.reason)?;
        let ledger = context.ledger().await?;
        let call = context.by_operator(ledger.cancel(&id, &reason), &self.by);
        answer_call(context, &ledger, call, Needed::Nothing).await
    }
}

/// Close a task that was undone by hand
///
/// Use it when a person has cleaned up. Each compensation that is still owed needs a receipt, or must be waived with a reason.
#[derive(Args)]
#[command(
    after_help = "Example:\n  tenure task compensate build-42 --as alice --reason 'cleaned by hand' --waive 2=gone\n  \
        tenure task compensate build-42 --as alice --reason 'cleaned up' --receipt '1=removed by hand'"
)]
pub(crate) struct Compensate {
    #[command(flatten)]
    task: TaskArgument,
    /// Reason; also @FILE or @-
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    settled: SettledByHand,
    #[command(flatten)]
    by: ByOperator,
}

impl Compensate {
    pub(crate) async fn run(self, context: &mut Context<'_, '_>) -> Result<(), CliError> {
        let id = context.task_id(self.task.id)?;
        context.is_a_person(&self.by)?;
        let reason = context.text("--reason", &self.reason)?;
        let ledger = context.ledger().await?;
        let mut call = ledger.mark_compensated(&id, &reason);
        for (seq, receipt) in &self.settled.receipts {
            call = call.receipt(*seq, receipt);
        }
        for (seq, reason) in &self.settled.waivers {
            call = call.waive(*seq, reason);
        }
        let call = context.by_operator(call, &self.by);
        answer_call(context, &ledger, call, Needed::Nothing).await
    }
}

/// Add a note to a task
///
/// Use it to record what was found or done by hand. The note is an event of the history; it can be added to a task that has
/// ended. With --dismiss the task leaves the lists of tasks that need attention.
#[derive(Args)]
#[command(after_help = "Example:\n  tenure task note build-42 --as alice 'looked at it'\n  \
    tenure task note build-42 --dismiss --as alice 'seen; the disk was full'")]
pub(crate) struct Note {
    #[command(flatten)]
    task: TaskArgument,
    /// Text of the note; also @FILE or @-
    #[arg(value_name = "TEXT")]
    note: Option<String>,
    /// Corrected reason for the end of a task; the old one stays in the history. Also @FILE or @-
    #[arg(long, value_name = "TEXT")]
    terminal_reason: Option<String>,
    /// Mark the end of the task as dealt with; the note says why
    #[arg(long)]
    dismiss: bool,
    #[command(flatten)]
    by: ByOperator,
}

impl Note {
    pub(crate) async fn run(self, context: &mut Context<'_, '_>) -> Result<(), CliError> {
        // With --terminal-reason the note can be left out. Then a single argument is the task's id, unless the
        // environment names the task.
        let is_alone = self.note.is_none() && self.terminal_reason.is_some() && !self.dismiss;
        let (id, note) = match (self.task.id, context.variable("TENURE_TASK")) {
            (id, None) if is_alone => (context.task_id(id)?, None),
            (None, Some(_)) if is_alone => (context.task_id(None)?, None),
            (id, _) => {
                let (id, note) = context.task_id_before(id, self.note, "TEXT")?;
                (id, Some(note))
            }
        };
        let note = context.optional_text("TEXT", note)?;
        let terminal_reason = context.optional_text("--terminal-reason", self.terminal_reason)?;
        let ledger = context.ledger().await?;
        let annotate = |note: &str| match self.dismiss {
            true => ledger.dismiss(&id, note),
            false => ledger.annotate(&id, note),
        };
        let call = match (note, terminal_reason) {
            (Some(note), Some(words)) => annotate(&note).terminal_reason(&words),
            (Some(note), None) => annotate(&note),
            (None, words) => ledger.reword(&id, &words.unwrap_or_default()),
        };
        let call = context.by_operator(call, &self.by);
        answer_call(context, &ledger, call, Needed::Nothing).await
    }
}
