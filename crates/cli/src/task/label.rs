//! `tenure task label`.

use clap::Args;

use super::answers::{Needed, answer_call};
use crate::context::Context;
use crate::error::CliError;
use crate::values::{ByLease, ByOperator, TaskArgument, each_key_once, pair};

/// Set and remove labels of a task that has not ended
///
/// Use it when something becomes known while the work runs, such as the number of a pull request. The holder of the lease
/// gives --owner and --epoch; an operator can do it without them, also while somebody holds the task. Other labels stay.
#[derive(Args)]
#[command(after_help = "Example:\n  tenure task label build-42 --owner w1 --epoch 1 --set pr=12\n  \
                        tenure task label build-42 --as alice --unset pr --reason 'closed'")]
#[group(id = "label_changes", required = true, multiple = true)]
pub(crate) struct Label {
    #[command(flatten)]
    task: TaskArgument,
    /// Label to set. Can be repeated
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = pair, group = "label_changes")]
    set: Vec<(String, String)>,
    /// Key of a label to remove, if the task has it. Can be repeated
    #[arg(long = "unset", value_name = "KEY", group = "label_changes")]
    unset: Vec<String>,
    #[command(flatten)]
    lease: ByLease,
    /// Reason, without a lease; also @FILE or @-
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["owner", "epoch"])]
    reason: Option<String>,
    #[command(flatten)]
    by: ByOperator,
}

impl Label {
    pub(crate) async fn run(self, context: &mut Context<'_, '_>) -> Result<(), CliError> {
        let id = context.task_id(self.task.id)?;
        let holder = context.holder(&id, &self.lease, &self.by)?;
        if holder.is_some() && self.reason.is_some() {
            let words = "--reason is only for operators; pass --as to act as one";
            return Err(CliError::Usage(words.to_owned()));
        }
        each_key_once(&self.set)?;
        let reason = context.optional_text("--reason", self.reason)?;
        let ledger = context.ledger().await?;
        let mut call = match &holder {
            Some(holder) => context.by_holder(ledger.label(&id, holder), &self.by),
            None => context.by_operator(ledger.relabel(&id), &self.by),
        };
        if let Some(reason) = &reason {
            call = call.because(reason);
        }
        for (key, value) in &self.set {
            call = call.set(key, value);
        }
        for key in &self.unset {
            call = call.unset(key);
        }
        answer_call(context, &ledger, call, Needed::Nothing).await
    }
}
