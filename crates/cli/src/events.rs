//! `tenure events`.

use std::time::Duration;

use clap::Args;
use clap_complete::ArgValueCompleter;
use tenure::api::event::Event as EventJson;
use tenure::instant::print_seconds;
use tenure::ledger::Follower;
use tenure::store::{Cursor, Recorded};
use tenure::{Error, Ledger};

use crate::audit::warn_of_broken_history;
use crate::complete;
use crate::context::Context;
use crate::error::CliError;
use crate::global::OutputFormat;
use crate::outage::Outage;
use crate::tables::{self, Headed};

/// How many events are read at once.
const PAGE: usize = 500;
/// How often a follower with nothing to print checks whether its output is still read.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Show the history, oldest first
///
/// Use it to see who did what and when, or with --follow to see it as it happens. As JSON it prints one event per line, with
/// the cursor to give to --after.
#[derive(Args)]
#[command(
    after_help = "Example:\n  tenure events --task build-42\n  tenure events --follow --after now -o json"
)]
pub(crate) struct Events {
    /// Show only events of this task
    #[arg(long, value_name = "ID", add = ArgValueCompleter::new(complete::tasks))]
    task: Option<String>,
    /// Show only events after this cursor; now for new events only [default: from the beginning]
    #[arg(long, value_name = "CURSOR")]
    after: Option<String>,
    /// Maximum number of events to show [default: all]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Keep printing new events until interrupted
    #[arg(short, long)]
    follow: bool,
}

impl Events {
    pub(crate) async fn run(self, context: &mut Context<'_, '_>) -> Result<(), CliError> {
        let ledger = context.ledger_to_read().await?;
        if let Some(task) = &self.task {
            // A task that does not exist has no history; a typo must not look like an empty one.
            ledger.task(task).await?;
        }
        let after = match self.after.as_deref() {
            None => None,
            Some("now") => Some(ledger.newest().await?),
            Some(cursor) => Some(Cursor::from_text(cursor)),
        };
        if let Some(task) = &self.task {
            warn_of_broken_history(context, &ledger, task).await;
        }
        let left = self.limit.unwrap_or(u64::MAX);
        match self.follow {
            true => self.follow(context, &ledger, after, left).await,
            false => self.list(context, &ledger, after, left).await,
        }
    }

    async fn list(
        &self,
        context: &mut Context<'_, '_>,
        ledger: &Ledger,
        mut after: Option<Cursor>,
        mut left: u64,
    ) -> Result<(), CliError> {
        let (mut all_read, mut is_first) = (true, true);
        loop {
            let limit = PAGE.min(usize::try_from(left).unwrap_or(PAGE));
            let page = match &self.task {
                Some(task) => ledger.history(task, after, limit).await?,
                None => ledger.events(after, limit).await?,
            };
            let headed = if all_read && is_first { Headed::Yes } else { Headed::No };
            match context.out.form() {
                OutputFormat::Table if !context.out.is_quiet() && !page.items.is_empty() => {
                    let table = tables::events(context.out, &page.items, headed);
                    context.out.show(&table)?;
                    is_first = false;
                }
                OutputFormat::Table | OutputFormat::Json => {
                    page.items.iter().try_for_each(|recorded| show(context, recorded))?
                }
            }
            page.unreadable.iter().for_each(|words| context.out.error(words, None));
            all_read = all_read && page.unreadable.is_empty();
            left -= page.items.len() as u64;
            // A page that is not full was the last one, unless it was cut because its events are large.
            if (page.items.len() < limit && !page.is_cut) || left == 0 {
                return if all_read { Ok(()) } else { Err(CliError::Told) };
            }
            after = page.next;
        }
    }

    async fn follow(
        &self,
        context: &mut Context<'_, '_>,
        ledger: &Ledger,
        after: Option<Cursor>,
        left: u64,
    ) -> Result<(), CliError> {
        let mut changes = match &self.task {
            Some(task) => ledger.follow_task(task, after)?,
            None => ledger.follow(after),
        };
        // A store that can't be reached from the start is more likely a typo than an outage.
        ledger.newest().await?;
        let (mut outage, mut left, mut told) = (Outage::default(), left, None);
        while left > 0 {
            let Some(next) = next(context, &mut changes).await else { return Ok(()) };
            match next {
                Ok(recorded) => {
                    outage.is_over();
                    show(context, &recorded)?;
                    context.out.flush()?;
                    left -= 1;
                }
                // An unreadable event is skipped, and the ones after it are shown. A damaged store would repeat the same
                // error endlessly.
                Err(Error::Corrupt(failure)) => {
                    if told.as_ref() != Some(&failure) {
                        context.out.error(failure.message(), None);
                        told = Some(failure);
                    }
                    tokio::time::sleep(LOOK_EVERY).await;
                    if (context.around.reader_is_gone)() {
                        return Ok(());
                    }
                }
                Err(error) => {
                    outage.rest(error, context.out).await?;
                    if (context.around.reader_is_gone)() {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }
}

/// The next event; none once nobody reads the output.
async fn next(context: &Context<'_, '_>, changes: &mut Follower) -> Option<Result<Recorded, Error>> {
    // The same read continues while the output is checked, so that a long one is not restarted again and again.
    let mut next = std::pin::pin!(changes.next());
    loop {
        tokio::select! {
            recorded = &mut next => return Some(recorded),
            () = tokio::time::sleep(LOOK_EVERY) => {
                if (context.around.reader_is_gone)() {
                    return None;
                }
            }
        }
    }
}

/// Prints an event on one line: cursor, time, task, number, type, actor and data.
fn show(context: &mut Context<'_, '_>, recorded: &Recorded) -> Result<(), CliError> {
    if context.out.form() == OutputFormat::Json {
        return context.out.json(&EventJson::from(recorded));
    }
    if context.out.is_quiet() {
        return context.out.line(recorded.cursor.as_str());
    }
    let event = &recorded.event;
    let (at, what) = (print_seconds(event.at), event.what.kind());
    let data = tables::data_of(recorded);
    let line = format!(
        "{:<6} {at}  {} #{}  {what} by {}  {data}",
        recorded.cursor.as_str(),
        event.task,
        event.number,
        event.actor
    );
    context.out.sentence(line.trim_end())
}
