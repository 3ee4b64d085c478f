//! `tenure task retry`.

use clap::Args;

use super::{Needed, answer_call};
use crate::context::Context;
use crate::error::CliError;
use crate::values::{ByOperator, TaskArgument, waiver};

/// Make a new task of one that failed, was undone or is parked
///
/// Use it when what stood in the way is gone. The new task has the old one's payload, policy and what is still owed, which
/// is undone first; the old one stays as it is and names the new one. Once.
#[derive(Args)]
#[command(
    after_help = "Example:\n  tenure task retry build-42 --as alice --reason 'handler added' --waive 2=gone"
)]
pub(crate) struct Retry {
    #[command(flatten)]
    task: TaskArgument,
    /// Why; also @FILE or @-
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// The new task's name [else: one is made and printed]
    #[arg(long = "id", value_name = "ID")]
    successor: Option<String>,
    /// The number of something owed that need not be undone, and why. May be repeated
    #[arg(long = "waive", value_name = "NUMBER=REASON", value_parser = waiver)]
    waivers: Vec<(u32, String)>,
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
        for (seq, reason) in &self.waivers {
            call = call.waive(*seq, reason);
        }
        let call = context.by_operator(call, &self.by);
        answer_call(context, &ledger, call, Needed::Id).await
    }
}
