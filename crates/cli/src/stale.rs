//! `tenure stale`.

use clap::Args;
use tenure::store::Filter;

use crate::context::Context;
use crate::error::CliError;
use crate::task::Part;

/// List tasks whose lease or reservation has lapsed
///
/// Use it to see which workers died or hang. Its cost grows with the number of due tasks, not of all tasks. As JSON it prints
/// one task per line.
#[derive(Args)]
#[command(after_help = "Example:\n  tenure stale")]
pub(crate) struct Stale {
    #[command(flatten)]
    part: Part,
}

impl Stale {
    pub(crate) async fn run(self, context: &mut Context<'_, '_>) -> Result<(), CliError> {
        let ledger = context.ledger_to_read().await?;
        self.part
            .show(context, &ledger, Filter::default().with(|filter| filter.stale = true), "no stale tasks")
            .await
    }
}
