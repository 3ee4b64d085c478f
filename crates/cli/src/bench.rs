//! `tenure bench`: measures whether the disk, the database and the network of a store are fast enough.
//!
//! `site` is where it measures, `load` gives the commands, `measured` has the figures of one load, and `advice` says in
//! sentences what they mean.

mod advice;
mod load;
mod measured;
mod site;

use std::time::Duration;

use clap::Args;
use serde::Serialize;
use tenure::ledger::url_without_secrets;

use crate::context::Context;
use crate::error::CliError;
use crate::global::OutputFormat;
use crate::output::{Output, plain};
use crate::signals::Signals;

use advice::{Kind, advice};
use load::Load;
use measured::{Measured, grouped};
use site::Site;

/// Measure the disk, the database and the network of a store
///
/// Use it before you put a store into production, and when one is slow. It takes less than a minute. On SQLite it measures in a
/// temporary file beside the store, on PostgreSQL in a temporary schema of the same database; both are removed at the end. On
/// a server it only reads, unless --write is given. It ends with advice.
#[derive(Args)]
#[command(after_help = "Example:\n  \
    tenure bench\n  \
    tenure bench --store postgres://app@db/app\n  \
    tenure bench --store http://tenure:7117 --namespace bench --write")]
pub(crate) struct Bench {
    /// Seconds that each measurement takes, 1 to 60
    #[arg(long, value_name = "COUNT", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
    /// Callers that give commands at once, 1 to 1000
    #[arg(long, value_name = "COUNT", default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=1000))]
    callers: u64,
    /// On a server, measure commands, too: the tasks that they create stay in its history
    #[arg(long)]
    write: bool,
}

impl Bench {
    pub(crate) async fn run(self, context: &mut Context<'_, '_>) -> Result<(), CliError> {
        let mut signals = Signals::that_end()?;
        let site = Site::find(context).await?;
        let kind = site.kind();
        if self.write && kind != Kind::Server {
            context.out.note("--write is only for servers: other stores are measured in a temporary one");
        }
        let measured = tokio::select! {
            biased;
            signal = signals.next() => Err(CliError::Interrupted(signal)),
            measured = self.measure(&site, context) => measured,
        };
        // However it ended, nothing of it stays. What it failed with says more than what the removal failed with.
        let removed = site.remove().await;
        let measured = measured?;
        removed?;
        let report = Report {
            store: url_without_secrets(&context.store_of(&context.settings()?)?),
            advice: advice(kind, &measured),
            measured,
        };
        report.show(context)
    }

    async fn measure(&self, site: &Site, context: &mut Context<'_, '_>) -> Result<Vec<Measured>, CliError> {
        let (kind, seconds) = (site.kind(), Duration::from_secs(self.seconds));
        let mut rows = Vec::new();
        if let Some(folder) = site.folder() {
            rows.push(load::syncs(folder.to_owned(), seconds).await?);
        }
        let ledger = site.ledger(context).await?;
        if kind != Kind::File && kind != Kind::Memory {
            rows.push(load::round_trips(&ledger, seconds).await?);
        }
        if kind == Kind::Server && !self.write {
            context.out.note(
                "only reads are measured: give --write to measure commands, whose tasks stay on the server",
            );
            return Ok(rows);
        }
        let load = Load::new(ledger, context.around.entropy.new_id(), seconds);
        rows.push(load.lives(1).await?);
        rows.push(load.lives(self.callers as usize).await?);
        rows.push(load.heartbeats(self.callers as usize).await?);
        rows.push(load.claims().await?);
        Ok(rows)
    }
}

#[derive(Serialize)]
struct Report {
    store: String,
    measured: Vec<Measured>,
    advice: Vec<String>,
}

#[derive(Serialize)]
struct BenchJson<'r> {
    bench: &'r Report,
}

impl Report {
    fn show(&self, context: &mut Context<'_, '_>) -> Result<(), CliError> {
        if context.out.form() == OutputFormat::Json {
            return context.out.json(&BenchJson { bench: self });
        }
        let mut table = context.out.table(&["MEASURED", "PER SECOND", "MEDIAN", "99 %"]);
        for row in &self.measured {
            let cells = [row.name(), grouped(row.per_second()), row.median_shown(), row.slow_shown()];
            Output::row(&mut table, cells.map(plain));
        }
        context.out.show(&table)?;
        self.advice.iter().try_for_each(|sentence| context.out.line(sentence))
    }
}
