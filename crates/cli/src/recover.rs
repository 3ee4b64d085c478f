//! `tenure recover`.

use std::num::NonZeroU32;
use std::time::Duration;

use clap::Args;
use tenure::api::recovery::SweepReport;
use tenure::clock::Moment;
use tenure::core::id::{Namespace, TaskId};
use tenure::core::task::State;
use tenure::core::time::Span;
use tenure::handler::Handlers;
use tenure::instant::print_seconds;
use tenure::recovery::{Outcome, PlannedTask, RecoveredTask, Recovery, RecoveryOptions, RecoveryReport};
use tenure::stop::StopSignal;
use tenure_view::words::count;
use tokio::sync::mpsc;

use crate::context::Context;
use crate::error::CliError;
use crate::global::OutputFormat;
use crate::handlers;
use crate::output::{Output, plain};
use crate::signals::Signals;
use crate::store::is_one_store;
use crate::survivors::{Survivor, survivors};
use crate::values::span;

/// Recover stale tasks and undo what they left
///
/// Use it where no server runs recovery: once, from a timer or by hand, or with --watch as a service. It takes over every
/// task whose lease has lapsed and undoes what the task owes, newest first, as the `[undo.KIND]` sections of the --config
/// file say. Then it plans the task again, closes it, or quarantines it. It covers all namespaces unless one is given.
#[derive(Args)]
#[command(after_help = "Example:\n  tenure recover --plan\n  tenure recover --watch --config tenure.toml")]
pub(crate) struct Recover {
    /// Print what recovery would do, without doing it
    #[arg(long, conflicts_with = "watch")]
    plan: bool,
    /// Keep running, and recover tasks as they become stale, until interrupted
    #[arg(long)]
    watch: bool,
    /// Maximum number of tasks to undo at the same time
    #[arg(short = 'c', long, value_name = "COUNT", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..))]
    concurrency: u16,
    /// Maximum number of tasks that one sweep takes over
    #[arg(long, value_name = "COUNT", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..), help_heading = "Advanced")]
    sweep_max: u32,
    /// Maximum number of times that an undo is tried in this run, before its task is handed back for the next one; without
    /// --watch, which does so after each failed try [default: as often as its section says, waiting in between]
    #[arg(long, value_name = "COUNT", conflicts_with = "watch", value_parser = clap::value_parser!(u32).range(1..))]
    tries_now: Option<u32>,
    /// With --watch: how long a task that this process has no handler for is left to others, before it is quarantined
    #[arg(long, value_name = "DURATION", default_value = "10m", help_heading = "Advanced")]
    handler_wait: String,
    /// How long undos in progress may take after an interrupt, before their tasks are handed back
    #[arg(long, value_name = "DURATION", default_value = "10s", help_heading = "Advanced")]
    grace: String,
}

impl Recover {
    pub(crate) async fn run(self, context: &mut Context<'_, '_>) -> Result<(), CliError> {
        let said = context.settings()?;
        let store = context.store_of(&said)?;
        let handlers = handlers::of(context, &said.config)?;
        let settings = self.settings(said.said_namespace.as_deref())?;
        let ledger =
            if self.plan { context.ledger_to_read().await? } else { context.ledger_with_work().await? };
        let recovery = Recovery::new(ledger).options(settings).handlers(handlers.clone());
        if self.plan {
            return show_plan(context, &recovery.plan().await?);
        }
        if self.watch {
            watches(context, &handlers);
        }
        let (tell, mut told) = mpsc::unbounded_channel();
        let recovery = recovery.on_recovered(move |recovered| {
            // Sending fails only if the output has failed, which is reported then.
            let _ = tell.send(recovered.clone());
        });
        let (stop, mut survivors) = (StopSignal::new(), Survivors { store, ..Survivors::default() });
        // After an interrupt, or when the output has failed, recovery stops in order: it hands back what it undoes, and notes what
        // it moved.
        let (mut by_signal, mut shown) = (None, Ok(()));
        let report = {
            let mut signals = Signals::that_end()?;
            let mut running = std::pin::pin!(async {
                match self.watch {
                    true => recovery.watch(stop.clone()).await,
                    false => recovery.once_until(stop.clone()).await,
                }
            });
            loop {
                tokio::select! {
                    biased;
                    Some(recovered) = told.recv(), if shown.is_ok() => {
                        shown = show(context, &mut survivors, &recovered);
                        if shown.is_err() {
                            stop.stop();
                        }
                    }
                    signal = signals.next(), if by_signal.is_none() => {
                        by_signal = Some(signal);
                        stop.stop();
                    }
                    report = &mut running => break report?,
                }
            }
        };
        shown?;
        while let Ok(recovered) = told.try_recv() {
            show(context, &mut survivors, &recovered)?;
        }
        let summed_up = self.sum_up(context, &report);
        match by_signal {
            // What was due may not all be handled.
            Some(signal) if !self.watch => Err(CliError::Interrupted(signal)),
            Some(_) | None => summed_up,
        }
    }

    fn settings(&self, namespace: Option<&str>) -> Result<RecoveryOptions, CliError> {
        let length = |name: &'static str, text: &str| -> Result<Duration, CliError> {
            Ok(span(name, Some(text))?.map(Duration::from).unwrap_or_default())
        };
        let mut options = RecoveryOptions::default();
        options.at_once = usize::from(self.concurrency);
        options.sweep_max = self.sweep_max as usize;
        options.handler_wait = length("handler_wait", &self.handler_wait)?;
        options.grace = length("grace", &self.grace)?;
        options.tries_now = self.tries_now.and_then(NonZeroU32::new);
        options.namespace = namespace.map(Namespace::new).transpose()?;
        Ok(options)
    }

    /// Prints the summary: a note for people; JSON on standard error for programs, since standard output has the tasks.
    fn sum_up(&self, context: &mut Context<'_, '_>, report: &RecoveryReport) -> Result<(), CliError> {
        if context.out.form() == OutputFormat::Table {
            context.out.note(&summary(report));
            for (namespace, reason) in &report.unrecorded {
                let words = "does not have all that recovery moved there; the histories of the tasks do";
                context.out.note(&format!("the history of the namespace {namespace} {words}: {reason}"));
            }
        } else {
            context.out.beside(&SweepReport::from(report));
        }
        match report.of(Outcome::Failed) {
            0 => Ok(()),
            _ => Err(CliError::Told),
        }
    }
}

fn watches(context: &mut Context<'_, '_>, handlers: &Handlers) {
    let kinds: Vec<&str> = handlers.kinds().into_iter().map(|kind| kind.as_str()).collect();
    let kinds = if kinds.is_empty() { "nothing".to_owned() } else { kinds.join(", ") };
    context.out.note(&format!("recovering stale tasks, with handlers for {kinds}; Ctrl-C stops it"));
}

fn summary(report: &RecoveryReport) -> String {
    if report.tasks == 0 {
        return "no stale tasks".to_owned();
    }
    let outcomes = Outcome::ALL.iter().filter(|one| report.of(**one) > 0);
    let outcomes: Vec<String> =
        outcomes.map(|one| format!("{} {}", report.of(*one), one.as_str().replace('_', " "))).collect();
    let tasks = count(report.tasks, "task");
    format!("recovered {tasks}: {}; {} undone", outcomes.join(", "), count(report.undone, "compensation"))
}

/// Processes of this machine that work under a lease, listed again from time to time.
#[derive(Default)]
struct Survivors {
    store: String,
    seen: Vec<Survivor>,
    looked: Option<Moment>,
}

impl Survivors {
    /// Names processes that still work on a task under a lease that has ended. Their warden was killed together with its
    /// parent, and there was no cgroup to end them by.
    fn name(&mut self, context: &mut Context<'_, '_>, recovered: &RecoveredTask) {
        if matches!(recovered.outcome, Outcome::Lost | Outcome::Failed) {
            return;
        }
        let now = Moment::now();
        if self.looked.is_none_or(|looked| now.since(looked) >= Span::from_secs(1)) {
            (self.seen, self.looked) = (survivors(), Some(now));
        }
        let is_its = |one: &&Survivor| {
            one.task == recovered.task.as_str()
                && one.namespace == recovered.namespace.as_str()
                && one.epoch <= recovered.epoch.0
                && is_one_store(&one.store, &self.store)
        };
        for one in self.seen.iter().filter(is_its) {
            context.out.note(&format!(
                "process {} ({}) on this machine still works on {} under epoch {}, which has ended; stop it",
                one.pid, one.name, one.task, one.epoch
            ));
        }
    }
}

/// Prints a recovered task as soon as recovery is done with it.
fn show(
    context: &mut Context<'_, '_>,
    survivors: &mut Survivors,
    recovered: &RecoveredTask,
) -> Result<(), CliError> {
    survivors.name(context, recovered);
    if context.out.form() == OutputFormat::Json {
        context.out.json(recovered)?;
    } else if context.out.is_quiet() {
        context.out.line(recovered.task.as_str())?;
    } else {
        let undone: Vec<String> =
            recovered.undone.iter().map(|one| format!("{} {}", one.kind, one.target)).collect();
        let undone = if undone.is_empty() { String::new() } else { format!("undid {}; ", undone.join(", ")) };
        let became = match recovered.outcome {
            Outcome::Planned => "planned again",
            Outcome::Compensated => "closed as compensated",
            Outcome::Quarantined => "quarantined",
            Outcome::HandedBack => "handed back",
            Outcome::Lost => "skipped: somebody else has it now",
            Outcome::Failed => "skipped: the store is unavailable",
        };
        let name = name(&recovered.namespace, &recovered.task);
        let became = match &recovered.reason {
            // It says itself what became of the task.
            Some(reason) if reason.starts_with(became) => reason.clone(),
            Some(reason) => format!("{became}: {reason}"),
            None => became.to_owned(),
        };
        context.out.sentence(&format!("{name}: {undone}{became}"))?;
    }
    context.out.flush()
}

/// The id of a task, with its namespace in front unless that is the default one: recovery covers all namespaces.
fn name(namespace: &Namespace, task: &TaskId) -> String {
    match namespace.as_str() {
        tenure::ledger::DEFAULT_NAMESPACE => task.to_string(),
        other => format!("{other}/{task}"),
    }
}

fn show_plan(context: &mut Context<'_, '_>, plans: &[PlannedTask]) -> Result<(), CliError> {
    match context.out.form() {
        OutputFormat::Json => plans.iter().try_for_each(|planned| context.out.json(planned)),
        OutputFormat::Table if context.out.is_quiet() => {
            plans.iter().try_for_each(|planned| context.out.line(planned.task.as_str()))
        }
        OutputFormat::Table if plans.is_empty() => {
            context.out.note("no stale tasks");
            Ok(())
        }
        OutputFormat::Table => {
            let mut table = context.out.table(&["TASK", "STATE", "DUE SINCE", "ACTION"]);
            for planned in plans {
                Output::row(
                    &mut table,
                    [
                        plain(name(&planned.namespace, &planned.task)),
                        plain(planned.state.as_str()),
                        plain(print_seconds(planned.due_at)),
                        plain(action(planned)),
                    ],
                );
            }
            context.out.show(&table)
        }
    }
}

fn action(planned: &PlannedTask) -> String {
    if let Some(reason) = &planned.parked_reason {
        return format!("quarantine: {reason}");
    }
    if planned.undo.is_empty() {
        return match planned.becomes {
            State::Planned => "plan again".to_owned(),
            State::Compensated => "close as compensated".to_owned(),
            State::Quarantined => "quarantine".to_owned(),
            other @ (State::Dispatched
            | State::Running
            | State::Compensating
            | State::Completed
            | State::Failed) => format!("make it {}", other.as_str()),
        };
    }
    let undo: Vec<String> = planned.undo.iter().map(|one| format!("{} {}", one.kind, one.target)).collect();
    format!("undo {}", undo.join(", then "))
}
