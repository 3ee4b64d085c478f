//! `tenure task show` and `tenure task why`.

use clap::Args;
use tenure::core::task::Task;
use tenure::core::time::Time;
use tenure::instant::{print_seconds, rough, rough_left};
use tenure::record::{TaskAnswer, WhyAnswer};
use tenure::why::why;

use crate::arguments::Form;
use crate::audit::warn_of_broken_history;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::harmless;
use crate::tables;
use crate::values::TaskArgument;

/// Show all of a task
///
/// Use it to see what is stored: state, lease, payload, what was registered to be undone and what became of it.
#[derive(Args)]
#[command(after_help = "Example:\n  tenure task show build-42")]
pub(crate) struct Show {
    #[command(flatten)]
    task: TaskArgument,
}

impl Show {
    pub(crate) async fn run(self, context: &mut Context<'_, '_>) -> Result<(), Failure> {
        let id = context.task_id(self.task.id)?;
        let ledger = context.ledger_to_read().await?;
        let (task, now) = (ledger.task(&id).await?, ledger.now().await?);
        warn_of_broken_history(context, &ledger, &id).await;
        match context.out.form() {
            Form::Json => context.out.json(&TaskAnswer::of(&task, now)),
            Form::Table if context.out.is_quiet() => context.out.line(task.state().as_str()),
            Form::Table => show(context, &task, now),
        }
    }
}

/// Say in one sentence why a task is where it is
///
/// Use it when a task does not move: it says what it waits for, who holds it, what happens next and when.
#[derive(Args)]
#[command(after_help = "Example:\n  tenure task why build-42")]
pub(crate) struct Why {
    #[command(flatten)]
    task: TaskArgument,
}

impl Why {
    pub(crate) async fn run(self, context: &mut Context<'_, '_>) -> Result<(), Failure> {
        let id = context.task_id(self.task.id)?;
        let ledger = context.ledger_to_read().await?;
        let (task, now) = (ledger.task(&id).await?, ledger.now().await?);
        warn_of_broken_history(context, &ledger, &id).await;
        let why = why(&task, now);
        match context.out.form() {
            Form::Json => context.out.json(&WhyAnswer::of(&task, now, &why)),
            Form::Table => context.out.sentence(&why.sentence),
        }
    }
}

/// A task as a person reads it: a line for each thing that there is to say.
fn show(context: &mut Context<'_, '_>, task: &Task, now: Time) -> Result<(), Failure> {
    let mut lines = Lines::default();
    let at = |time: Time| {
        let apart = if time > now {
            format!("in {}", rough_left(time.since(now)))
        } else {
            format!("{} ago", rough(now.since(time)))
        };
        format!("{} ({apart})", print_seconds(time))
    };
    lines.add("task", &task.id);
    if task.saga_id.as_str() != task.id.as_str() {
        lines.add("saga", &task.saga_id);
    }
    lines.add_shown("state", context.out.painted(&tables::state_words(task, now), tables::colour(task, now)));
    lines.add("why", why(task, now).words);
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
    lines.0.iter().try_for_each(|line| context.out.line(line))?;
    if !task.compensations.is_empty() {
        context.out.line("")?;
        let table = tables::compensations(context.out, &task.compensations);
        context.out.show(&table)?;
    }
    Ok(())
}

/// Named lines, one below the other.
#[derive(Default)]
struct Lines(Vec<String>);

impl Lines {
    fn add(&mut self, name: &str, value: impl std::fmt::Display) {
        self.add_shown(name, harmless(&value.to_string()));
    }

    /// What is as a terminal may have it.
    fn add_shown(&mut self, name: &str, value: String) {
        // A text of several lines stays below its name.
        self.0.push(format!("{name:<10} {}", value.replace('\n', "\n           ")));
    }
}
