//! `tenure task create`.

use clap::Args;
use tenure::core::id::Queue;

use super::answers::{Needed, answer_call};
use super::create_many::create_many;
use crate::context::Context;
use crate::creation::{CreationOptions, FailurePolicy};
use crate::error::CliError;
use crate::values::ByOperator;

/// Create a task
///
/// Use it to record work before anybody begins it. If the id or saga id exists already, the command is refused and the
/// stored task does not change.
#[derive(Args)]
#[command(
    after_help = "Example:\n  tenure task create --id build-42 --queue agents --undo remove-worktree=/tmp/wt-42\n  \
        tenure task create --from-file tasks.jsonl"
)]
pub(crate) struct Create {
    /// Task id [default: a new id, which is printed]
    #[arg(long)]
    id: Option<String>,
    /// Create many tasks from a file with one task per line, as JSON like the body of `POST …/tasks`; - for standard input. If a
    /// line is malformed, no task is created; if one is refused, the others are still created
    #[arg(long, value_name = "FILE", conflicts_with_all = [
        "id", "queue", "kind", "labels", "payload", "priority", "not_before", "delay", "saga", "UndoOptions", "PolicyOptions",
        "FailurePolicy",
    ])]
    from_file: Option<String>,
    #[command(flatten)]
    by: ByOperator,
    #[command(flatten)]
    creation: CreationOptions,
    #[command(flatten)]
    failure: FailurePolicy,
}

impl Create {
    pub(crate) async fn run(self, context: &mut Context<'_, '_>) -> Result<(), CliError> {
        if let Some(file) = &self.from_file {
            return create_many(context, file, &self.by).await;
        }
        let mut read = self.creation.read(context)?;
        self.failure.change(&mut read.policy);
        if let Some(id) = &self.id {
            context.out.is_about(id);
        }
        let ledger = context.ledger().await?;
        let call = self.creation.call(&ledger, self.id.as_deref(), Queue::DEFAULT, read).await?;
        let call = context.by_operator(call, &self.by);
        answer_call(context, &ledger, call, Needed::Id).await
    }
}
