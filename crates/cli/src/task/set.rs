//! `tenure task set`.

use clap::{Arg, Args};
use clap_complete::ArgValueCompleter;
use tenure::core::command::{Put, PutUndo};
use tenure::core::compensation::Undo;
use tenure::core::event::LabelChanges;
use tenure::core::id::{Document, Kind, LabelKey, LabelValue, Queue, Reason, Revision, Text};
use tenure::core::refusal::Refusal;
use tenure::core::time::{Span, Time};
use tenure::{Ledger, instant, json};

use super::answers::{Needed, answer};
use crate::complete;
use crate::context::Context;
use crate::creation::{FailurePolicy, NONE, PolicyOptions};
use crate::error::CliError;
use crate::values::{ByOperator, TaskArgument, UndoWords, Undos, each_key_once, pair, span};

/// Change a task that nobody holds
///
/// Use it to correct a task before it begins, or while its undo waits: it reads the task, changes only what is given, and
/// writes it back. If somebody else changes the task at the same time, it reads it again and tries again, unless --revision is
/// given. The labels of a task that somebody holds are changed by `tenure task label`.
#[derive(Args)]
#[command(
    mut_args(without_default),
    after_help = "Example:\n  tenure task set build-42 --as alice --queue slow --priority 5 --label team=infra\n  \
                  tenure task set build-42 --as alice --max-attempts 3 --stall-after none"
)]
pub(crate) struct Set {
    #[command(flatten)]
    task: TaskArgument,
    /// Queue to put the task in
    #[arg(long, add = ArgValueCompleter::new(complete::queues))]
    queue: Option<String>,
    /// Kind of task, a free name
    #[arg(long, add = ArgValueCompleter::new(complete::kinds))]
    kind: Option<String>,
    /// Label to set. Can be repeated
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = pair)]
    labels: Vec<(String, String)>,
    /// Key of a label to remove, if the task has it. Can be repeated
    #[arg(long = "unset-label", value_name = "KEY")]
    unset_labels: Vec<String>,
    /// Input for the work: JSON, @FILE or @-
    #[arg(long, value_name = "JSON")]
    payload: Option<String>,
    /// Priority in the queue; higher ones are claimed first
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    priority: Option<i32>,
    /// Time before which the task can't be acquired or claimed, with an offset; none removes it
    #[arg(long, value_name = "TIME", conflicts_with = "delay")]
    not_before: Option<String>,
    /// How long from now the task can't be acquired or claimed, such as 10m
    #[arg(long, value_name = "DURATION")]
    delay: Option<String>,
    #[command(flatten)]
    undos: Undos,
    /// Change only this revision of the task, and do not try again
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    revision: Option<u64>,
    #[command(flatten)]
    by: ByOperator,
    #[command(flatten)]
    policy: PolicyOptions,
    #[command(flatten)]
    failure: FailurePolicy,
}

/// A policy option without the default of a new task: what is not given does not change.
fn without_default(option: Arg) -> Arg {
    if option.get_help_heading() != Some("Policy") {
        return option;
    }
    let help = option.get_help().map(ToString::to_string).unwrap_or_default();
    let help = help.split_once(" [default: ").map_or(help.as_str(), |(help, _)| help).to_owned();
    option.help(help).default_value(None::<&'static str>)
}

/// What is written into the record, checked.
#[derive(Default)]
struct Changes {
    queue: Option<Queue>,
    kind: Option<Kind>,
    labels: LabelChanges,
    payload: Option<Document>,
    priority: Option<i32>,
    /// `Some(None)` removes the time.
    not_before: Option<Option<Time>>,
    undos: Vec<Undo>,
}

impl Set {
    pub(crate) async fn run(self, context: &mut Context<'_, '_>) -> Result<(), CliError> {
        let id = context.task_id(self.task.id.clone())?;
        let request = self.request_id(context)?;
        if !self.says_something() {
            let words =
                "nothing to change: give at least one option, such as --priority 5 or --label team=infra";
            return Err(CliError::Usage(words.to_owned()));
        }
        let delay = span("delay", self.delay.as_deref())?;
        let changes = self.changes(context)?;
        let ledger = context.ledger().await?.acting_as(&context.person(&self.by))?;
        let changes = changes.due_after(&ledger, delay).await?;
        let change = |put: &mut Put| {
            changes.write(put);
            self.policy.change(&mut put.record.policy)?;
            self.failure.change(&mut put.record.policy);
            Ok(())
        };
        let task = match (self.revision.map(Revision), request) {
            (Some(revision), Some(request)) => {
                ledger.set_with_request_id(&id, revision, &request, change).await?
            }
            (Some(revision), None) => ledger.set_at(&id, revision, change).await?,
            (None, _) => ledger.set(&id, change).await?,
        };
        answer(context, &ledger, &task, Needed::Nothing).await
    }

    /// The request id, if a repeat would be the same command.
    fn request_id(&self, context: &Context<'_, '_>) -> Result<Option<String>, CliError> {
        let Some(request) = context.request_id() else { return Ok(None) };
        let words = if self.revision.is_none() {
            "--request-id needs --revision here: otherwise a repeat would change a task that is changed already"
        } else if self.delay.is_some() {
            "--request-id can't be used with --delay: a repeat would give another time; use --not-before"
        } else {
            return Ok(Some(request.to_owned()));
        };
        Err(CliError::Usage(words.to_owned()))
    }

    fn says_something(&self) -> bool {
        let texts = [&self.queue, &self.kind, &self.payload, &self.not_before, &self.delay];
        let lists = [self.labels.is_empty(), self.unset_labels.is_empty(), self.undos.0.is_empty()];
        texts.into_iter().any(Option::is_some)
            || self.priority.is_some()
            || lists.contains(&false)
            || self.policy.say_something()
            || self.failure.say_something()
    }

    fn changes(&self, context: &mut Context<'_, '_>) -> Result<Changes, CliError> {
        each_key_once(&self.labels)?;
        let set = self
            .labels
            .iter()
            .map(|(key, value)| Ok((LabelKey::new(key.as_str())?, LabelValue::new(value.as_str())?)));
        let unset = self.unset_labels.iter().map(|key| LabelKey::named("unset_label", key.as_str()));
        let labels = LabelChanges {
            set: set.collect::<Result<_, Refusal>>()?,
            unset: unset.collect::<Result<_, _>>()?,
        };
        let payload = context.optional_text("--payload", self.payload.clone())?;
        let not_before = match self.not_before.as_deref() {
            None => None,
            Some(NONE) => Some(None),
            Some(text) => Some(Some(instant::parse("not_before", text)?)),
        };
        Ok(Changes {
            queue: self.queue.as_deref().map(Queue::new).transpose()?,
            kind: self.kind.as_deref().map(Kind::new).transpose()?,
            labels,
            payload: payload.map(|text| json::document("payload", &text)).transpose()?,
            priority: self.priority,
            not_before,
            undos: self.undos.0.iter().map(|undo| checked(context, undo)).collect::<Result<_, _>>()?,
        })
    }
}

fn checked(context: &mut Context<'_, '_>, undo: &UndoWords) -> Result<Undo, CliError> {
    let reason = context.optional_text("--undo-reason", undo.reason.clone())?;
    Ok(Undo {
        kind: Kind::named("compensations.kind", undo.kind.as_str())?,
        target: Text::named("compensations.target", undo.target.as_str())?,
        reason: reason.map(|reason| Reason::named("compensations.reason", reason)).transpose()?,
    })
}

impl Changes {
    /// By the store's clock, because that clock decides when the task is due.
    async fn due_after(self, ledger: &Ledger, delay: Option<Span>) -> Result<Changes, CliError> {
        let Some(delay) = delay else { return Ok(self) };
        Ok(Changes { not_before: Some(Some(ledger.now().await? + delay)), ..self })
    }

    fn write(&self, put: &mut Put) {
        let record = &mut put.record;
        if let Some(queue) = &self.queue {
            record.queue = queue.clone();
        }
        if let Some(kind) = &self.kind {
            record.kind = kind.clone();
        }
        if let Some(payload) = &self.payload {
            record.payload = payload.clone();
        }
        record.labels = self.labels.applied_to(&record.labels);
        record.priority = self.priority.unwrap_or(record.priority);
        record.not_before = self.not_before.unwrap_or(record.not_before);
        let added = self.undos.iter().map(|undo| PutUndo { seq: None, undo: undo.clone() });
        put.compensations.extend(added);
    }
}
