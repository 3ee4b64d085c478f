//! `tenure task retry`.

use clap::Args;

use super::answers::{Needed, answer_call};
use crate::context::Context;
use crate::error::CliError;
use crate::values::{ByOperator, SettledByHand, TaskArgument};

/// Retry a failed, compensated or quarantined task as a new task
///
/// Use it when the cause of the failure is gone. The new task gets the old one's payload, policy and what is still owed,
/// which is undone first. The old task does not change, except that it names the new one. A task can be retried once.
#[derive(Args)]
#[command(
    after_help = "Example:\n  tenure task retry build-42 --as alice --reason 'handler added' --waive 2=gone\n  \
        tenure task retry build-42 --as alice --reason 'cleaned up' --receipt '1=removed by hand'"
)]
pub(crate) struct Retry {
    #[command(flatten)]
    task: TaskArgument,
    /// Reason; also @FILE or @-
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Id of the new task [default: a new id, which is printed]
    #[arg(long = "id", value_name = "ID")]
    successor: Option<String>,
    #[command(flatten)]
    settled: SettledByHand,
    #[command(flatten)]
    by: ByOperator,
}

impl Retry {
    pub(crate) async fn run(self, context: &mut Context<'_, '_>) -> Result<(), CliError> {
        let id = context.task_id(self.task.id)?;
        context.is_a_person(&self.by)?;
        let reason = context.text("--reason", &self.reason)?;
        let ledger = context.ledger().await?;
        let mut call = ledger.retry(&id, &reason);
        if let Some(successor) = &self.successor {
            call = call.id(successor);
        }
        for (seq, receipt) in &self.settled.receipts {
            call = call.receipt(*seq, receipt);
        }
        for (seq, reason) in &self.settled.waivers {
            call = call.waive(*seq, reason);
        }
        let call = context.by_operator(call, &self.by);
        answer_call(context, &ledger, call, Needed::Id).await
    }
}
