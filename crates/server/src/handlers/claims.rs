//! Claims, which may wait for work, and the route that says when a claim can find some.

use std::time::Duration;

use axum::http::StatusCode;
use serde::Deserialize;
use tenure::Error;
use tenure::api::command::CommandName;
use tenure::api::duration::DurationInput;
use tenure::api::list::Claimable;
use tenure::core::command::Command;
use tenure::core::id::Queue;
use tenure::core::task::Task;
use tenure::record;
use tenure::store::Answer;
use tenure::store::answering::{AnswerForm, MinimalAnswer, MinimalTask};
use tenure::store::size::task_bytes;

use super::{answer_form, no_longer_known, prefers, verbs, wait, wait_in};
use crate::body::parse;
use crate::route::{Answered, Asked, json};

/// The part of a claim's body that says how long to wait.
#[derive(Deserialize)]
struct Waiting {
    wait: Option<DurationInput>,
}

/// `POST …/claims`. If no task is due, it waits that long and then answers with no tasks. A server that stops answers so at once,
/// so that the caller asks another server. Each try has a request id of its own, made from the claim's; a repeat of the claim gets at
/// once what the first one was granted, however long that one waited.
pub(crate) async fn claim(asked: Asked) -> Answered {
    let form = answer_form(&asked, AnswerForm::Whole)?;
    let waiting = wait(parse::<Waiting>(&asked.body.text)?.wait)?;
    let command = verbs::command(&asked, CommandName::Claim, &asked.body.text)?;
    let tasks = match waiting.filter(|wait| !wait.is_zero()) {
        None => {
            let tasks = claim_once(&asked, command.clone()).await?;
            // It may repeat a claim that waited: that one was granted tasks under an id made from this one.
            let may_repeat = tasks.is_empty() && command.request.is_some();
            match may_repeat {
                true => asked.ledger()?.claim_at_once(command, |claim| claim_once(&asked, claim)).await?,
                false => tasks,
            }
        }
        Some(wait) => {
            let (_permit, ledger) = (asked.quota.wait()?, asked.ledger()?);
            tokio::select! {
                claimed = ledger.claim_until(command, over(&asked, wait), |claim| claim_once(&asked, claim)) => claimed?,
                problem = no_longer_known(&asked) => return Err(problem),
            }
        }
    };
    let (now, bytes) = (granted_at(&tasks), tasks.iter().map(task_bytes).sum());
    let make = move || {
        let answer = match form {
            AnswerForm::Whole | AnswerForm::GrantsWhole => Answer::Claimed(tasks),
            AnswerForm::Minimal => {
                Answer::Minimal(MinimalAnswer::Claimed(tasks.iter().map(MinimalTask::from).collect()))
            }
        };
        json(StatusCode::OK, &record::answer(&Ok(answer), now))
    };
    Ok(prefers(&asked, asked.served.work.make(bytes, make).await?))
}

async fn claim_once(asked: &Asked, command: Command) -> Result<Vec<Task>, Error> {
    match verbs::decide(asked, command, AnswerForm::Whole).await? {
        Answer::Claimed(tasks) => Ok(tasks),
        Answer::Task(_) | Answer::Renewed(_) | Answer::Retried(..) | Answer::Minimal(_) => {
            Err(Error::Unknown("the store's answer is for another kind of command".into()))
        }
    }
}

/// `GET …/claimable`.
pub(crate) async fn claimable(asked: Asked) -> Answered {
    let queue = Queue::new(asked.query.one("queue")?.unwrap_or(Queue::DEFAULT))?;
    let (store, namespace) = (asked.served.ledger.store(), asked.namespace()?);
    let waiting = wait_in(&asked.query)?.unwrap_or_default();
    let at = if waiting.is_zero() {
        store.claimable_at(namespace.clone(), queue).await?
    } else {
        let _permit = asked.quota.wait()?;
        let ledger = asked.ledger()?;
        tokio::select! {
            due = ledger.until_claimable(&queue) => Some(due?),
            problem = no_longer_known(&asked) => return Err(problem),
            () = over(&asked, waiting) => store.claimable_at(namespace.clone(), queue.clone()).await?,
        }
    };
    Ok(json(StatusCode::OK, &Claimable { at }))
}

/// When a wait is over: by its length, or because the server stops.
fn over(asked: &Asked, wait: Duration) -> impl Future<Output = ()> + Send + 'static {
    let stopping = asked.served.stopping.clone();
    async move {
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = stopping.stopped() => {}
        }
    }
}

/// When they were granted: at that time none is stale.
fn granted_at(tasks: &[Task]) -> tenure::core::time::Time {
    tasks.iter().map(|task| task.updated_at).min().unwrap_or(tenure::core::time::Time::MIN)
}
