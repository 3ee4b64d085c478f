//! `tenure export`: the whole store as JSON Lines on standard output.

use clap::Args;
use tenure::instant::rough;
use tenure::transfer::{ExportProgress, Exporter, TokenHashes};
use tenure_view::words::count;

use crate::context::Context;
use crate::error::CliError;
use crate::progress_bar::{DonePart, ProgressBar};

/// Write the whole store to standard output, to import it into another one
///
/// Use it to move a store to another machine or to the other kind of database, and to keep a copy that any program can read. It
/// writes JSON Lines: the events of all namespaces, what is left of pruned tasks, recorded anchors, live leases, remembered request ids
/// and named cursors, as they are when it begins. Others go on working meanwhile, but nothing may be pruned. Each event is checked; it
/// stops at one that was changed. The last line has a digest of all before it.
#[derive(Args)]
#[command(after_help = "Example:\n  tenure export > tasks.jsonl\n  \
    tenure export --store sqlite:tasks.db | tenure import --store postgres://db/app -")]
pub(crate) struct Export {
    /// Export the tokens, too, as hashes of their secrets: they are valid in the new store
    #[arg(long)]
    with_tokens: bool,
}

impl Export {
    pub(crate) async fn run(self, context: &mut Context<'_, '_>) -> Result<(), CliError> {
        if context.is_store_served()? {
            return Err(CliError::Usage(
                "an export runs beside the database, not over HTTP: pass --store with the file or the database".into(),
            ));
        }
        let ledger = context.existing_ledger().await?;
        let tokens = if self.with_tokens { TokenHashes::Carried } else { TokenHashes::Left };
        let mut exporter = Exporter::begin(ledger.store().as_ref(), tokens).await?;
        let mut bar = ProgressBar::new("exporting", "events");
        let exported = loop {
            match exporter.next().await {
                Ok(Some(lines)) => context.out.bytes(&lines).map_err(cut_off)?,
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
            let ExportProgress { counts, events_expected } = exporter.progress();
            let part = DonePart { done: counts.events, of: Some(events_expected) };
            bar.show(context.out, counts.events, part);
        };
        context.out.passing_line("");
        exported?;
        context.out.flush().map_err(cut_off)?;
        let counts = exporter.progress().counts;
        context.out.note(&format!(
            "exported {}, {}, {}, {}, {}, {} and {} in {}",
            count(counts.events, "event"),
            count(counts.pruned, "pruned task"),
            count(counts.anchors, "anchor"),
            count(counts.leases, "lease"),
            count(counts.requests, "request id"),
            count(counts.followers, "named cursor"),
            count(counts.tokens, "token"),
            rough(bar.took())
        ));
        Ok(())
    }
}

/// Of an output that was cut off nothing was done, also if its reader has closed the pipe: a script must not take the part for an export.
fn cut_off(error: CliError) -> CliError {
    let CliError::Output(error) = error else { return error };
    CliError::Failed(format!("can't write the output: {error}; the export is not whole: repeat it"))
}
