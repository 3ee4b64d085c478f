//! `tenure status`: a namespace on one screen.

use clap::Args;
use tenure::Ledger;
use tenure::core::task::{State, Task};
use tenure::core::time::Time;
use tenure::instant::{print_seconds, rough, rough_left};
use tenure::record::StatusAnswer;
use tenure::store::Filter;
use tenure::store::overview::{Overview, StateCount};

use crate::arguments::Form;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Colour, Output, harmless_line, plain};
use crate::tables;

/// How many tasks of each kind that needs a look are named.
const NAMED: usize = 10;
/// Among how many of the newest they are looked for.
const PAGES: usize = 20;
const PAGE: usize = 100;

/// Show what is in flight, stale or quarantined, and how old the oldest is
///
/// Use it first, whenever something seems wrong. Of what ended well there is no count: those are found with
/// `tenure task list`.
#[derive(Args)]
#[command(after_help = "Example:\n  tenure status")]
pub(crate) struct Status {}

impl Status {
    pub(crate) async fn run(self, context: &mut Context<'_, '_>) -> Result<(), Failure> {
        let ledger = context.ledger_to_read().await?;
        let overview = ledger.overview().await?;
        let stale = named(&ledger, Filter { stale: true, ..Filter::default() }).await?;
        let parked = Filter { states: vec![State::Quarantined], ..Filter::default() };
        let quarantined = named(&ledger, parked).await?;
        // The lists are looked at after the counts, so they are judged by a time that is not before them.
        let now = ledger.now().await?;
        if context.out.form() == Form::Json {
            let answer = StatusAnswer::of(ledger.namespace(), &overview, (&stale, &quarantined), now);
            return context.out.json(&answer);
        }
        if context.out.is_quiet() {
            return overview.states.iter().try_for_each(|count| {
                context.out.line(&format!("{} {}", count.state.as_str(), count.count))
            });
        }
        let namespace = ledger.namespace();
        context.out.line(&format!("namespace {namespace} at {}", print_seconds(overview.at)))?;
        context.out.line("")?;
        let table = counts(context.out, &overview);
        context.out.show(&table)?;
        let counted = |count: fn(&StateCount) -> u64| overview.states.iter().map(count).sum::<u64>();
        section(context.out, "Stale", &stale, counted(|one| one.stale), "tenure stale", now)?;
        let parked = counted(|one| if one.state == State::Quarantined { one.count } else { 0 });
        let further = "tenure task list --state quarantined";
        section(context.out, "Quarantined, for a person", &quarantined, parked, further, now)
    }
}

async fn named(ledger: &Ledger, filter: Filter) -> Result<Vec<Task>, Failure> {
    let (mut tasks, mut after) = (Vec::new(), None);
    for _ in 0..PAGES {
        let page = ledger.tasks(filter.clone(), after, PAGE).await?;
        // Who was retried needs nobody's look any more.
        let open =
            page.items.into_iter().filter(|task| task.ending().is_none_or(|end| end.retried_as.is_none()));
        tasks.extend(open);
        after = page.next;
        if tasks.len() >= NAMED || after.is_none() {
            break;
        }
    }
    tasks.truncate(NAMED);
    Ok(tasks)
}

fn counts(out: &Output<'_>, overview: &Overview) -> comfy_table::Table {
    let mut table = out.table(&["STATE", "TASKS", "STALE", "OLDEST", "WHICH"]);
    for count in &overview.states {
        let ended_badly = count.state.terminal().is_some() && count.count > 0;
        let colour = match count.count {
            _ if ended_badly || count.stale > 0 => Colour::Bad,
            0 => Colour::Faint,
            _ => Colour::Strong,
        };
        let tasks = match count.later {
            0 => count.count.to_string(),
            later => format!("{} ({later} not due yet)", count.count),
        };
        let age = |since: Time| match since > overview.at {
            true => format!("in {}", rough_left(since.since(overview.at))),
            false => rough(overview.at.since(since)),
        };
        let oldest = count.oldest.as_ref();
        Output::row(
            &mut table,
            [
                out.cell(count.state.as_str(), colour),
                plain(tasks),
                plain(count.stale),
                plain(oldest.map(|oldest| age(oldest.since)).unwrap_or_default()),
                plain(oldest.map(|oldest| oldest.task.to_string()).unwrap_or_default()),
            ],
        );
    }
    table
}

/// The newest tasks that need a look, each with why, and how many there are besides.
fn section(
    out: &mut Output<'_>,
    title: &str,
    tasks: &[Task],
    count: u64,
    further: &str,
    now: Time,
) -> Result<(), Failure> {
    if tasks.is_empty() && count == 0 {
        return Ok(());
    }
    out.line("")?;
    let title = out.painted(title, Colour::Strong);
    out.line(&title)?;
    for task in tasks {
        let id = out.painted(task.id.as_str(), tables::colour(task, now));
        let why = harmless_line(&tenure::why::why(task, now).words);
        out.line(&format!("  {id} {}: {why}", tables::state_words(task, now)))?;
    }
    let unnamed = count.saturating_sub(tasks.len() as u64);
    if unnamed > 0 {
        out.line(&format!("  and {unnamed} more: {further}"))?;
    }
    Ok(())
}
