//! `tenure status`: a namespace on one screen.

use std::collections::BTreeMap;

use clap::Args;
use tenure::Ledger;
use tenure::api::overview::{Status as StatusJson, StatusAnswer};
use tenure::api::retention::NamedCursor;
use tenure::api::task::Task as TaskJson;
use tenure::core::id::Namespace;
use tenure::core::task::{State, Task};
use tenure::core::time::{Span, Time};
use tenure::instant::{print_seconds, rough};
use tenure::store::Filter;
use tenure::store::ends::EndCount;
use tenure::store::overview::Overview;
use tenure_view::needs::{Section, needs, waiting_for_recovery};
use tenure_view::words::{Instant, count, recovery_words};
use tenure_view::{ReadSize, Snapshot};

use crate::context::Context;
use crate::error::CliError;
use crate::global::OutputFormat;
use crate::output::{Colour, Output, harmless_line, plain};
use crate::tables;

/// How many tasks are listed in each section.
const NAMED: usize = 10;
/// Show open, stale, quarantined and unsuccessful tasks, and recovery
///
/// Use it first when something seems wrong. Tasks that did not succeed are counted over the last 24 hours, by cause;
/// cancelled tasks are not counted.
#[derive(Args)]
#[command(after_help = "Example:\n  tenure status")]
pub(crate) struct Status {
    /// Show every namespace that has or had tasks, one after the other; as JSON, one per line
    #[arg(long)]
    all_namespaces: bool,
}

impl Status {
    pub(crate) async fn run(self, context: &mut Context<'_, '_>) -> Result<(), CliError> {
        let ledger = context.ledger_to_read().await?;
        if !self.all_namespaces {
            return Status::show(context, &ledger).await;
        }
        let namespaces = ledger.namespaces().await?;
        if namespaces.is_empty() {
            context.out.note("there are no namespaces yet; the first task of one creates it");
        }
        for (nth, namespace) in namespaces.iter().enumerate() {
            let is_for_people = context.out.form() == OutputFormat::Table;
            match (is_for_people, context.out.is_quiet()) {
                (true, true) => context.out.line(&format!("namespace {namespace}"))?,
                (true, false) if nth > 0 => context.out.line("")?,
                (true | false, _) => {}
            }
            context.out.is_about_namespace(namespace.as_str());
            Status::show(context, &ledger.in_namespace(namespace.as_str())?).await?;
        }
        Ok(())
    }

    async fn show(context: &mut Context<'_, '_>, ledger: &Ledger) -> Result<(), CliError> {
        match (context.out.form(), context.out.is_quiet()) {
            (OutputFormat::Json, _) => Status::as_json(context, ledger).await,
            (OutputFormat::Table, false) => Status::for_people(context, ledger).await,
            (OutputFormat::Table, true) => {
                ledger.overview().await?.states.iter().try_for_each(|count| {
                    context.out.line(&format!("{} {}", count.state.as_str(), count.count))
                })
            }
        }
    }

    /// Programs get whole tasks, the newest of each list, and what ended badly in the last day: their lists are an interface, and so
    /// not those that screens have.
    async fn as_json(context: &mut Context<'_, '_>, ledger: &Ledger) -> Result<(), CliError> {
        let overview = ledger.overview().await?;
        let stale = named(ledger, Filter::default().with(|filter| filter.stale = true)).await?;
        let parked = Filter::default().with(|filter| {
            filter.states = vec![State::Quarantined];
            filter.unattended = true;
        });
        let quarantined = named(ledger, parked).await?;
        let since = Some(overview.at - Span::from_days(1));
        let ended_badly = Filter::default().with(|filter| {
            // Quarantined tasks have a list of their own.
            filter.states = vec![State::Failed, State::Compensated];
            filter.ended_badly = true;
            filter.unattended = true;
            filter.since = since;
        });
        let ended_badly = named(ledger, ended_badly).await?;
        let cursors = ledger.named_cursors().await?;
        // The lists are read after the counts, so they are judged by a time that is not earlier.
        let now = ledger.now().await?;
        let shown = |tasks: &[Task]| tasks.iter().map(|task| TaskJson::at(task, now)).collect();
        let status = StatusJson {
            namespace: ledger.namespace().clone(),
            stale: shown(&stale),
            quarantined: shown(&quarantined),
            ended_badly: shown(&ended_badly),
            cursors,
            overview,
        };
        context.out.json(&StatusAnswer { status })
    }

    /// People see what the console and `tenure top` show, as of one moment.
    async fn for_people(context: &mut Context<'_, '_>, ledger: &Ledger) -> Result<(), CliError> {
        let snapshot = Snapshot::read(ledger, &Filter::default(), ReadSize::TERMINAL).await?;
        let Snapshot { overview, stale, quarantined, ended_badly, .. } = &snapshot;
        // The lists are read after the counts, so all is judged by a time that is not earlier.
        let now = ledger.now().await?;
        let namespace = ledger.namespace();
        context.out.line(&format!("namespace {namespace} at {}", print_seconds(now)))?;
        context.out.line("")?;
        let table = counts(context.out, overview, now);
        context.out.show(&table)?;
        context.out.line("")?;
        let is_served = context.is_store_served()?;
        let lines = lines(&snapshot, now, is_served);
        lines.iter().try_for_each(|line| context.out.line_with_commands(line))?;
        if let Some(words) = clock_words(context.wall(), now) {
            context.out.line(&words)?;
        }
        if snapshot.is_empty() {
            let namespaces = ledger.namespaces().await?;
            if !namespaces.contains(namespace) {
                context.out.line(&no_namespace_words(namespace, &namespaces))?;
            }
        }
        section(context.out, "Stale", (stale, Some(snapshot.stale_count())), "tenure stale", now)?;
        let (parked, further) =
            (snapshot.count_of(State::Quarantined), "tenure task list --state quarantined");
        section(context.out, "Quarantined", (quarantined, Some(parked)), further, now)?;
        let badly = (!snapshot.has_more_that_ended_badly).then_some(ended_badly.len() as u64);
        let title = "Failed or compensated, and nobody has seen to it";
        section(context.out, title, (ended_badly, badly), "tenure task list --ended-badly", now)?;
        cursors(context.out, &ledger.named_cursors().await?)
    }
}

/// The lines between the counts and the lists.
fn lines(snapshot: &Snapshot, now: Time, is_served: bool) -> Vec<String> {
    let overview = &snapshot.overview;
    let bad = || overview.did_not_succeed();
    let sum = |count: fn(&EndCount) -> u64| bad().map(count).sum::<u64>();
    let (today, last_hour) = (sum(|end| end.last_day), sum(|end| end.last_hour));
    let mut causes = BTreeMap::<&str, u64>::new();
    let mut queues = BTreeMap::<&str, u64>::new();
    for end in bad().filter(|end| end.last_day > 0) {
        *causes.entry(end.cause.as_str()).or_default() += end.last_day;
        *queues.entry(end.queue.as_str()).or_default() += end.last_day;
    }
    let mut lines = Vec::new();
    lines.push(match today {
        0 => "unsuccessful in the last 24 hours: 0".to_owned(),
        _ => format!(
            "unsuccessful in the last 24 hours: {today} ({}), {last_hour} of them in the last hour; see \
             `tenure task list --ended-badly --since 24h`",
            most_first(causes)
        ),
    });
    if queues.len() > 1 {
        lines.push(format!("  by queue: {}", most_first(queues)));
    }
    let recovery = recovery_words(&overview.recovery, now);
    lines.push(match overview.recovery.are_there(now) {
        true => format!("recovery: {recovery}"),
        false => {
            let (waiting, start) = (waiting_for_recovery(snapshot), start_recovery(is_served));
            format!("recovery: {recovery}{waiting}; {start}")
        }
    });
    // That no recovery runs has its line, with the commands for the store that was asked.
    let needs = needs(snapshot, now).into_iter().filter(|need| need.section != Section::Recovery);
    lines.extend(needs.map(|need| harmless_line(&format!("! {}", need.words))));
    lines
}

/// How to start recovery. A store behind a server can't be served again from here.
fn start_recovery(is_served: bool) -> &'static str {
    match is_served {
        true => "run `tenure recover --watch`, or the server without --no-recovery",
        false => "run `tenure serve` or `tenure recover --watch`",
    }
}

/// A warning if this machine's clock is far from the store's: times here and there can't be compared then.
fn clock_words(wall: Time, store: Time) -> Option<String> {
    const FAR: Span = Span::from_secs(5);
    let (apart, word) = match wall > store {
        true => (wall.since(store), "ahead of"),
        false => (store.since(wall), "behind"),
    };
    (apart > FAR).then(|| {
        format!("clock: this machine is {} {word} the store; leases use the store's clock", rough(apart))
    })
}

fn no_namespace_words(namespace: &Namespace, all: &[Namespace]) -> String {
    let names: Vec<&str> = all.iter().map(Namespace::as_str).collect();
    match names.as_slice() {
        [] => format!("no task was ever created in the namespace {namespace}, or in any other"),
        names => {
            format!(
                "no task was ever created in the namespace {namespace}; namespaces with tasks: {}",
                names.join(", ")
            )
        }
    }
}

/// Names with their counts, the highest count first.
fn most_first(counts: BTreeMap<&str, u64>) -> String {
    let mut counts: Vec<(&str, u64)> = counts.into_iter().collect();
    counts.sort_by_key(|(name, count)| (std::cmp::Reverse(*count), *name));
    let words: Vec<String> = counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
    words.join(", ")
}

async fn named(ledger: &Ledger, filter: Filter) -> Result<Vec<Task>, CliError> {
    Ok(ledger.tasks(filter, None, NAMED).await?.items)
}

fn counts(out: &Output<'_>, overview: &Overview, now: Time) -> comfy_table::Table {
    let mut table = out.table(&["STATE", "TASKS", "STALE", "OLDEST", "OLDEST TASK"]);
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
        let oldest = count.oldest.as_ref();
        let age = |since: Time| {
            let Instant { rough, is_ahead, .. } = Instant::of(since, now);
            if is_ahead { format!("in {rough}") } else { rough }
        };
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

/// The named cursors, the slowest first: each of them stops the pruning of what it has not passed.
fn cursors(out: &mut Output<'_>, cursors: &[NamedCursor]) -> Result<(), CliError> {
    if cursors.is_empty() {
        return Ok(());
    }
    let mut slowest: Vec<&NamedCursor> = cursors.iter().collect();
    slowest.sort_by_key(|cursor| std::cmp::Reverse((cursor.lag, cursor.behind)));
    out.line("")?;
    let title = out.painted("Cursors", Colour::Strong);
    out.line(&title)?;
    for cursor in slowest.iter().take(NAMED) {
        let more = if cursor.more { "at least " } else { "" };
        let lag = cursor.lag.map(|lag| format!(", the oldest {} ago", rough(lag))).unwrap_or_default();
        let behind = count(cursor.behind, "event");
        out.line(&format!("  {}: {more}{behind} behind{lag}", cursor.name))?;
    }
    match slowest.len().saturating_sub(NAMED) {
        0 => Ok(()),
        further => out.line(&format!("  and {further} more")),
    }
}

/// The first tasks of a list, each with the reason, and how many further ones there are, if somebody has counted them.
fn section(
    out: &mut Output<'_>,
    title: &str,
    (tasks, count): (&[Task], Option<u64>),
    further: &str,
    now: Time,
) -> Result<(), CliError> {
    if tasks.is_empty() && count == Some(0) {
        return Ok(());
    }
    out.line("")?;
    let title = out.painted(title, Colour::Strong);
    out.line(&title)?;
    let named = &tasks[..tasks.len().min(NAMED)];
    for task in named {
        let id = out.painted(task.id.as_str(), tables::colour(task, now));
        // Whether recovery runs is said once, above.
        let why = harmless_line(&tenure::why::why(task, now).words);
        out.line(&format!("  {id} {}: {why}", tables::state_words(task, now)))?;
    }
    match count.map(|count| count.saturating_sub(named.len() as u64)) {
        Some(0) => Ok(()),
        Some(unnamed) => out.line_with_commands(&format!("  and {unnamed} more: `{further}`")),
        None => out.line_with_commands(&format!("  and more: `{further}`")),
    }
}
