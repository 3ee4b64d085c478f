//! `tenure owners`.

use clap::Args;
use tenure::instant::{rough, rough_left};

use crate::context::Context;
use crate::error::CliError;
use crate::global::OutputFormat;
use crate::output::{Colour, Output, plain};

/// List the owners of leases and reservations
///
/// Use it to see which workers are alive, how many leases each has, and when the first of them expires. As JSON it prints
/// one owner per line.
#[derive(Args)]
#[command(after_help = "Example:\n  tenure owners")]
pub(crate) struct Owners {}

impl Owners {
    pub(crate) async fn run(self, context: &mut Context<'_, '_>) -> Result<(), CliError> {
        let ledger = context.ledger_to_read().await?;
        let (holdings, now) = (ledger.holdings().await?, ledger.now().await?);
        if context.out.form() == OutputFormat::Json {
            return holdings.iter().try_for_each(|holding| context.out.json(holding));
        }
        if context.out.is_quiet() {
            return holdings.iter().try_for_each(|holding| context.out.line(holding.owner.as_str()));
        }
        if holdings.is_empty() {
            context.out.note("there are no leases or reservations");
            return Ok(());
        }
        let mut table =
            context.out.table(&["OWNER", "LEASES", "RESERVED", "STALE", "HELD FOR", "FIRST EXPIRES"]);
        for holding in &holdings {
            let ends = match holding.until > now {
                true => plain(format_args!("in {}", rough_left(holding.until.since(now)))),
                false => context.out.cell(&format!("{} ago", rough(now.since(holding.until))), Colour::Bad),
            };
            Output::row(
                &mut table,
                [
                    plain(&holding.owner),
                    plain(holding.leases),
                    plain(holding.reservations),
                    plain(holding.stale),
                    plain(rough(now.since(holding.since))),
                    ends,
                ],
            );
        }
        context.out.show(&table)
    }
}
