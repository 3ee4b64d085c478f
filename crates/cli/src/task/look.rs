//! `tenure task show` and `tenure task why`.

use clap::Args;
use tenure::api::list::TaskAnswer;
use tenure::core::event::Triage;
use tenure::core::task::{LastLease, Task};
use tenure::core::time::{Span, Time};
use tenure::instant::{print_seconds, rough, rough_left};
use tenure::ledger::Note;
use tenure::store::watch::Watchers;
use tenure::why::why_watched;

use crate::audit::warn_of_broken_history;
use crate::context::Context;
use crate::error::CliError;
use crate::global::OutputFormat;
use crate::output::escape_control;
use crate::tables;
use crate::values::TaskArgument;

/// Show everything that is stored about a task
///
/// Use it to see its state, lease, payload, policy, compensations and notes.
#[derive(Args)]
#[command(after_help = "Example:\n  tenure task show build-42")]
pub(crate) struct Show {
    #[command(flatten)]
    task: TaskArgument,
}

impl Show {
    pub(crate) async fn run(self, context: &mut Context<'_, '_>) -> Result<(), CliError> {
        let id = context.task_id(self.task.id)?;
        let ledger = context.ledger_to_read().await?;
        let (task, now) = (ledger.task(&id).await?, ledger.now().await?);
        warn_of_broken_history(context, &ledger, &id).await;
        match context.out.form() {
            // `task put` reads this format. The notes are in `task why` and in the history.
            OutputFormat::Json => context.out.json(&TaskAnswer::at(&task, now)),
            OutputFormat::Table if context.out.is_quiet() => context.out.line(task.state().as_str()),
            OutputFormat::Table => {
                let (watchers, notes) = (ledger.watchers().await?, ledger.notes(&id).await?);
                show(context, &task, now, &watchers, &notes)
            }
        }
    }
}

/// Explain in one sentence why a task is in its state
///
/// Use it when a task does not move. It says what the task waits for, who holds it, what happens next and when.
#[derive(Args)]
#[command(after_help = "Example:\n  tenure task why build-42")]
pub(crate) struct Why {
    #[command(flatten)]
    task: TaskArgument,
}

impl Why {
    pub(crate) async fn run(self, context: &mut Context<'_, '_>) -> Result<(), CliError> {
        let id = context.task_id(self.task.id)?;
        let ledger = context.ledger_to_read().await?;
        let (task, now) = (ledger.task(&id).await?, ledger.now().await?);
        warn_of_broken_history(context, &ledger, &id).await;
        let (watchers, notes) = (ledger.watchers().await?, ledger.notes(&id).await?);
        let why = why_watched(&task, now, &watchers);
        match context.out.form() {
            OutputFormat::Json => context.out.json(&why.answer(&task, now, notes)),
            OutputFormat::Table => {
                let sentence = with_commands(context, &why.sentence)?;
                context.out.sentence(&sentence)?;
                notes.iter().try_for_each(|note| context.out.sentence(&format!("note: {}", words(note, now))))
            }
        }
    }
}

/// Why a task is in its state, with commands that can be typed here: a server's store can't be served again from here.
fn with_commands(context: &Context<'_, '_>, words: &str) -> Result<String, CliError> {
    let words = context.out.with_options(words);
    let serve = context.out.with_options("`tenure serve` or ");
    Ok(if context.is_store_served()? { words.replace(&serve, "") } else { words })
}

/// Prints a task for people: one line for each thing to say.
fn show(
    context: &mut Context<'_, '_>,
    task: &Task,
    now: Time,
    watchers: &Watchers,
    notes: &[Note],
) -> Result<(), CliError> {
    let mut lines = Lines::default();
    let at = |time| moment(time, now);
    lines.add("task", &task.id);
    if task.saga_id.as_str() != task.id.as_str() {
        lines.add("saga", &task.saga_id);
    }
    lines.add_shown("state", context.out.painted(&tables::state_words(task, now), tables::colour(task, now)));
    lines.add("why", with_commands(context, &why_watched(task, now, watchers).words)?);
    lines.add("queue", format_args!("{}, priority {}", task.queue, task.priority));
    lines.add("kind", &task.kind);
    for (key, value) in &task.labels {
        lines.add("label", format_args!("{key}={value}"));
    }
    lines.add("attempts", format_args!("{} of {}", task.attempts, task.policy.max_attempts));
    lines.add("revision", format_args!("{}, epoch {}", task.revision, task.epoch));
    if let Some(lease) = task.lease() {
        lines.add(
            "lease",
            format_args!("{} at epoch {}, since {}", lease.owner, lease.epoch, at(lease.acquired_at)),
        );
        lines.add("heartbeat", at(lease.heartbeat_at));
        lines.add("expires", at(lease.expires_at));
        if let Some(progress) = &lease.progress {
            lines.add("progress", format_args!("{progress} at {}", at(lease.progressed_at)));
        }
    }
    if let Some(LastLease { owner, epoch, since, until }) = &task.last_lease {
        let (since, until) = (print_seconds(*since), print_seconds(*until));
        lines.add("last held", format_args!("by {owner}, epoch {epoch}, {since} to {until}"));
    }
    if let Some(cancel) = &task.cancel {
        lines.add("cancel", format_args!("asked by {} at {}: {}", cancel.by, at(cancel.at), cancel.reason));
    }
    if task.payload.as_str() != "null" {
        lines.add("payload", &task.payload);
    }
    if let Some(checkpoint) = &task.checkpoint {
        lines.add("checkpoint", checkpoint);
    }
    if let Some(result) = task.ending().and_then(|ending| ending.result.as_ref()) {
        lines.add("result", result);
    }
    lines.add("policy", tables::policy_words(&task.policy));
    if let Some(old) = &task.retry_of {
        lines.add("retry of", old);
    }
    lines.add("created", at(task.created_at));
    lines.add("updated", at(task.updated_at));
    notes.iter().for_each(|note| lines.add("note", words(note, now)));
    lines.0.iter().try_for_each(|line| context.out.line(line))?;
    if !task.compensations.is_empty() {
        context.out.line("")?;
        let table = tables::compensations(context.out, &task.compensations);
        context.out.show(&table)?;
    }
    Ok(())
}

/// A time, and how long ago or ahead it is.
fn moment(time: Time, now: Time) -> String {
    let apart = if time > now {
        format!("in {}", rough_left(time.since(now)))
    } else if now.since(time) < Span::from_secs(1) {
        "just now".to_owned()
    } else {
        format!("{} ago", rough(now.since(time)))
    };
    format!("{} ({apart})", print_seconds(time))
}

/// A note on one line.
fn words(note: &Note, now: Time) -> String {
    let dismissed = if note.triage == Triage::Dismissed { ", dismissing the task" } else { "" };
    format!("{} by {}{dismissed}: {}", moment(note.at, now), note.by, note.words)
}

/// Lines that each begin with a name.
#[derive(Default)]
struct Lines(Vec<String>);

impl Lines {
    fn add(&mut self, name: &str, value: impl std::fmt::Display) {
        self.add_shown(name, escape_control(&value.to_string()));
    }

    /// Adds a value that is already safe for a terminal.
    fn add_shown(&mut self, name: &str, value: String) {
        // Further lines of a text are indented below the first.
        self.0.push(format!("{name:<10} {}", value.replace('\n', "\n           ")));
    }
}
