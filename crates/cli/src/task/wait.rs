//! `tenure task wait`.

use std::time::Duration;

use clap::Args;
use tenure::Ledger;
use tenure::core::task::{State, Task};
use tenure::core::time::Span;

use super::answers::{Needed, answer};
use crate::context::Context;
use crate::error::CliError;
use crate::outage::Outage;
use crate::output::Output;
use crate::values::{TaskArgument, one_of, span};

/// Wait until a task ends
///
/// Use it in a script that needs work to be finished elsewhere. It exits with status 0 as soon as the task is in a terminal
/// state; with --for only if it is in that state, otherwise with 1. It can miss a state that lasts only a moment.
#[derive(Args)]
#[command(after_help = "Example:\n  tenure task wait build-42 --for completed --timeout 1h && echo built")]
pub(crate) struct Wait {
    #[command(flatten)]
    task: TaskArgument,
    /// State to wait for. Can be repeated [default: any terminal state]
    #[arg(long = "for", value_name = "STATE", value_parser = one_of(&State::ALL, State::as_str))]
    wanted: Vec<State>,
    /// Maximum time to wait; after it the exit status is 1 [default: no limit]
    #[arg(long, value_name = "DURATION")]
    timeout: Option<String>,
}

impl Wait {
    pub(crate) async fn run(self, context: &mut Context<'_, '_>) -> Result<(), CliError> {
        let id = context.task_id(self.task.id.clone())?;
        let timeout = span("timeout", self.timeout.as_deref())?;
        let ledger = context.ledger_to_read().await?;
        let waiting = until(context.out, &ledger, &id, &self.wanted);
        let task = match timeout {
            None => waiting.await?,
            Some(timeout) => {
                let waited = tokio::time::timeout(Duration::from_micros(timeout.as_micros()), waiting).await;
                match waited {
                    Ok(task) => task?,
                    // The task may have ended just as the wait did.
                    Err(_) => ledger.task(&id).await?,
                }
            }
        };
        // The exit status says how the task ended, even if nobody reads the output.
        let shown = answer(context, &ledger, &task, Needed::Nothing).await;
        self.judge(&task, timeout).and(shown)
    }

    fn judge(&self, task: &Task, timeout: Option<Span>) -> Result<(), CliError> {
        let (id, state, has_ended) = (&task.id, task.state(), task.ending().is_some());
        if self.wanted.contains(&state) || (has_ended && self.wanted.is_empty()) {
            return Ok(());
        }
        Err(CliError::Failed(match timeout {
            Some(timeout) if !has_ended => {
                format!("{id} is still {} after {timeout}", state.as_str())
            }
            Some(_) | None => {
                let wanted: Vec<&str> = self.wanted.iter().map(|state| state.as_str()).collect();
                format!("{id} ended as {}, not as {}", state.as_str(), wanted.join(" or "))
            }
        }))
    }
}

/// Returns the task once it is in a wanted state, or has ended.
async fn until(out: &mut Output<'_>, ledger: &Ledger, id: &str, wanted: &[State]) -> Result<Task, CliError> {
    // The cursor is taken before the task is read, so that no event in between is missed.
    let mut changes = ledger.follow_task(id, Some(ledger.newest().await?))?;
    let mut task = ledger.task(id).await?;
    let mut outage = Outage::default();
    while !wanted.contains(&task.state()) && task.state().terminal().is_none() {
        let changed = async {
            changes.next().await?;
            ledger.task(id).await
        };
        match changed.await {
            Ok(changed) => {
                outage.is_over();
                task = changed;
            }
            Err(error) => {
                outage.rest(error, out).await?;
                // An event from before the outage may not have been handled, so the task is read again.
                task = loop {
                    match ledger.task(id).await {
                        Ok(now) => break now,
                        Err(error) => outage.rest(error, out).await?,
                    }
                };
            }
        }
    }
    Ok(task)
}
