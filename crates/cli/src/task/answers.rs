//! Prints the task that a command left.

use tenure::Ledger;
use tenure::api::list::TaskAnswer;
use tenure::core::task::Task;
use tenure::core::time::Time;
use tenure::why::why;

use crate::context::Context;
use crate::error::CliError;
use crate::global::OutputFormat;

/// What `--quiet` prints of a task that a command changed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Needed {
    Nothing,
    Id,
    Epoch,
}

/// Prints the task after a command: why it is in its state, or the whole task as JSON.
pub(super) async fn answer(
    context: &mut Context<'_, '_>,
    ledger: &Ledger,
    task: &Task,
    needed: Needed,
) -> Result<(), CliError> {
    let now = context.moment(ledger, Some(task)).await;
    show(context, task, now, needed)
}

/// The same, at a time that is known already.
pub(super) fn show(
    context: &mut Context<'_, '_>,
    task: &Task,
    now: Time,
    needed: Needed,
) -> Result<(), CliError> {
    match context.out.form() {
        OutputFormat::Json => context.out.json(&TaskAnswer::at(task, now)),
        OutputFormat::Table if !context.out.is_quiet() => context.out.sentence(&why(task, now).sentence),
        OutputFormat::Table => match needed {
            Needed::Nothing => Ok(()),
            Needed::Id => context.out.line(task.id.as_str()),
            Needed::Epoch => context.out.line(&task.epoch.to_string()),
        },
    }
}

/// Runs a call and prints the task that it returns.
pub(super) async fn answer_call<V: tenure::ledger::Verb<Done = Task>>(
    context: &mut Context<'_, '_>,
    ledger: &Ledger,
    call: tenure::ledger::Call<V>,
    needed: Needed,
) -> Result<(), CliError> {
    let task = call.await?;
    answer(context, ledger, &task, needed).await
}
