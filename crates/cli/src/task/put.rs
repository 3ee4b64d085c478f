//! `tenure task put`.

use clap::Args;
use tenure::api::put::read_put;
use tenure::core::id::Reason;

use super::answers::{Needed, answer_call};
use crate::context::Context;
use crate::error::CliError;
use crate::values::ByOperator;

/// Write a whole task record from JSON
///
/// Use it to bring in tasks from elsewhere, or to correct a task that nobody holds. Without a revision the task must not
/// exist; with one, it must be the stored revision. Missing fields get their defaults. Leases, epochs and ended tasks can't
/// be changed. A new record can be running or dispatched elsewhere: then it has a `lease` or `reservation`, with `owner` and
/// `expires_at`, and needs a reason.
#[derive(Args)]
#[command(
    after_help = "Example:\n  tenure task show build-42 -o json | sed 's/\"priority\":0/\"priority\":5/' | tenure task put\n  \
        tenure task put @record.json --as alice --reason 'moves in'"
)]
pub(crate) struct Put {
    /// Task as `tenure task show -o json` prints it, or with fewer fields; also @FILE
    #[arg(value_name = "RECORD", default_value = "@-")]
    record: String,
    /// Reason; a new record that somebody holds needs one. Replaces that of the record; also @FILE
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    by: ByOperator,
}

impl Put {
    pub(crate) async fn run(self, context: &mut Context<'_, '_>) -> Result<(), CliError> {
        let text = context.text("RECORD", &self.record)?;
        let reason = context.optional_text("--reason", self.reason)?;
        let ledger = context.ledger().await?;
        let mut record = read_put(&text, ledger.namespace())?;
        if let Some(reason) = reason {
            record.reason = Some(Reason::named("reason", reason)?);
        }
        context.out.is_about(record.record.task.as_str());
        let call = context.by_operator(ledger.put(record), &self.by);
        answer_call(context, &ledger, call, Needed::Nothing).await
    }
}
