//! `tenure owners`.

use clap::Args;
use tenure::instant::{rough, rough_left};
use tenure::record::HoldingRecord;

use crate::arguments::Form;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Colour, Output};

/// List who holds what
///
/// Use it to see which workers are alive: how many leases each has, and when the first of them ends. As JSON it is an
/// owner a line.
#[derive(Args)]
#[command(after_help = "Example:\n  tenure owners")]
pub(crate) struct Owners {}

impl Owners {
    pub(crate) async fn run(self, context: &mut Context<'_, '_>) -> Result<(), Failure> {
        let ledger = context.ledger().await?;
        let (holdings, now) = (ledger.holdings().await?, ledger.now().await?);
        if context.out.form() == Form::Json {
            return holdings.iter().try_for_each(|holding| context.out.json(&HoldingRecord::of(holding)));
        }
        if context.out.is_quiet() {
            return holdings.iter().try_for_each(|holding| context.out.line(holding.owner.as_str()));
        }
        if holdings.is_empty() {
            context.out.note("nobody holds anything");
            return Ok(());
        }
        let mut table =
            context.out.table(&["OWNER", "LEASES", "RESERVED", "STALE", "HOLDS FOR", "FIRST ENDS"]);
        for holding in &holdings {
            let ends = match holding.until > now {
                true => format!("in {}", rough_left(holding.until.since(now))),
                false => {
                    context.out.painted(&format!("{} ago", rough(now.since(holding.until))), Colour::Bad)
                }
            };
            let for_long = rough(now.since(holding.since));
            let counts = [holding.leases, holding.reservations, holding.stale].map(|count| count.to_string());
            let [leases, reservations, stale] = counts;
            Output::row(&mut table, [holding.owner.to_string(), leases, reservations, stale, for_long, ends]);
        }
        context.out.show(&table)
    }
}
