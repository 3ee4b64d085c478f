//! `tenure events`.

mod place;

use std::time::Duration;

use clap::Args;
use clap_complete::ArgValueCompleter;
use tenure::api::event::Event as EventJson;
use tenure::api::retention::{CursorAnswer, NamedCursor};
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
use crate::values::ByOperator;
use place::StoredPlace;

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
    after_help = "Example:\n  tenure events --task build-42\n  tenure events --follow --after now -o json\n  \
    tenure events --follow --cursor-name mailer -o json"
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
    /// Continue after the stored cursor with this name, and move it behind what was printed. After an interruption the last
    /// events come again: at least once. A new cursor begins with the oldest event. Nothing is pruned that it has not passed
    #[arg(long, value_name = "NAME", conflicts_with_all = ["task", "after"])]
    cursor_name: Option<String>,
    /// Delete the cursor given by --cursor-name, so that it no longer stops `tenure prune`, and exit
    #[arg(long, requires = "cursor_name", conflicts_with_all = ["follow", "limit"])]
    forget: bool,
}

impl Events {
    pub(crate) async fn run(self, context: &mut Context<'_, '_>) -> Result<(), CliError> {
        let ledger = match self.cursor_name {
            // It is stored, and moved by a person.
            Some(_) => context.existing_ledger().await?.acting_as(&context.person(&ByOperator::default()))?,
            None => context.ledger_to_read().await?,
        };
        if let Some(name) = self.cursor_name.as_deref().filter(|_| self.forget) {
            let gone = ledger.forget_cursor(name).await?;
            return forgotten(context, gone);
        }
        if let Some(task) = &self.task {
            // A task that does not exist has no history; a typo must not look like an empty one.
            ledger.task(task).await?;
        }
        let mut after = match self.after.as_deref() {
            None => None,
            Some("now") => Some(ledger.newest().await?),
            Some(cursor) => Some(Cursor::from_text(cursor)),
        };
        let mut stored = None;
        if let Some(name) = &self.cursor_name {
            let (place, at) = StoredPlace::find(&ledger, name).await?;
            (stored, after) = (Some(place), Some(at));
        }
        if let Some(task) = &self.task {
            warn_of_broken_history(context, &ledger, task).await;
        }
        let left = self.limit.unwrap_or(u64::MAX);
        match self.follow {
            true => self.follow(context, &ledger, (after, stored), left).await,
            false => self.list(context, &ledger, (after, stored), left).await,
        }
    }

    async fn list(
        &self,
        context: &mut Context<'_, '_>,
        ledger: &Ledger,
        (mut after, mut stored): (Option<Cursor>, Option<StoredPlace>),
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
            if let (Some(stored), Some(next)) = (&mut stored, &page.next) {
                context.out.flush()?;
                stored.has_printed(next.clone());
                stored.store().await?;
            }
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
        (after, mut stored): (Option<Cursor>, Option<StoredPlace>),
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
            let next = match next(context, &mut changes, stored.as_mut()).await {
                Ok(Some(next)) => next,
                Ok(None) => return Ok(()),
                Err(error) => Err(error),
            };
            match next {
                Ok(recorded) => {
                    outage.is_over();
                    show(context, &recorded)?;
                    context.out.flush()?;
                    if let Some(stored) = &mut stored {
                        stored.has_printed(recorded.cursor.clone());
                    }
                    left -= 1;
                }
                // Another follower moved the same cursor.
                Err(refused @ Error::Refused(_)) => return Err(refused.into()),
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
        match &mut stored {
            Some(stored) => Ok(stored.store().await?),
            None => Ok(()),
        }
    }
}

/// The next event; none once nobody reads the output. An error outside is that of a cursor that could not be stored.
async fn next(
    context: &Context<'_, '_>,
    changes: &mut Follower,
    mut stored: Option<&mut StoredPlace>,
) -> Result<Option<Result<Recorded, Error>>, Error> {
    // The same read continues while the output is checked, so that a long one is not restarted again and again.
    let mut next = std::pin::pin!(changes.next());
    loop {
        if let Some(stored) = stored.as_mut().filter(|stored| stored.is_due()) {
            stored.store().await?;
        }
        tokio::select! {
            biased;
            recorded = &mut next => return Ok(Some(recorded)),
            () = tokio::time::sleep(LOOK_EVERY) => {
                if (context.around.reader_is_gone)() {
                    return Ok(None);
                }
                if let Some(stored) = &mut stored {
                    stored.store().await?;
                }
            }
        }
    }
}

/// Says what was deleted.
fn forgotten(context: &mut Context<'_, '_>, gone: NamedCursor) -> Result<(), CliError> {
    match context.out.form() {
        OutputFormat::Json => context.out.json(&CursorAnswer { cursor: gone }),
        OutputFormat::Table if context.out.is_quiet() => Ok(()),
        OutputFormat::Table => {
            let NamedCursor { name, cursor, .. } = gone;
            context.out.line(&format!("the cursor {name} was at {cursor} and is deleted"))
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
        tables::subject(event),
        event.number,
        event.actor
    );
    context.out.sentence(line.trim_end())
}
