//! Claims, which may wait for work, and the look that tells when one may find some.

use std::time::Duration;

use axum::http::StatusCode;
use serde::Deserialize;
use tenure::core::id::Queue;
use tenure::core::task::Task;
use tenure::record::command::Verb;
use tenure::record::{ClaimableRecord, GrantedAnswer};
use tenure::store::Answer;

use super::{LOOKED_AT_EVERY, verbs, wait};
use crate::body::parse;
use crate::problem::Problem;
use crate::routes::{Answered, Asked, json};

/// The part of a claim's body that says how long to wait.
#[derive(Deserialize)]
struct Waiting {
    wait: Option<String>,
}

/// `POST …/claims`. Where nothing is due it waits that long, and then answers with no tasks. A server that stops answers so
/// at once: its caller asks another one.
pub(crate) async fn claim(asked: Asked) -> Answered {
    let waiting = wait(parse::<Waiting>(&asked.body.text)?.wait.as_deref())?;
    let command = verbs::command(&asked, Verb::Claim, &asked.body.text)?;
    let ledger = asked.ledger()?;
    let tasks = match waiting.filter(|wait| !wait.is_zero()) {
        None => match verbs::decide(&asked, command).await? {
            Answer::Claimed(tasks) => tasks,
            Answer::Task(_) | Answer::Renewed(_) | Answer::Retried(..) => {
                return Err(Problem::broken("the store answered another command"));
            }
        },
        Some(wait) => {
            let _room = asked.share.wait()?;
            let claiming = ledger.claim_until(command, over(&asked, wait));
            tokio::select! {
                claimed = claiming => claimed?,
                problem = no_longer_known(&asked) => return Err(problem),
            }
        }
    };
    let now = granted_at(&tasks);
    Ok(json(StatusCode::OK, &GrantedAnswer::of(&tasks, now)))
}

/// `GET …/claimable`.
pub(crate) async fn claimable(asked: Asked) -> Answered {
    let queue = Queue::new(asked.query.one("queue")?.unwrap_or(Queue::DEFAULT))?;
    let (store, namespace) = (asked.served.ledger.store(), asked.namespace()?);
    let waiting = wait(asked.query.one("wait")?)?.unwrap_or_default();
    let at = if waiting.is_zero() {
        store.claimable_at(namespace.clone(), queue).await?
    } else {
        let _room = asked.share.wait()?;
        let ledger = asked.ledger()?;
        let until_due = ledger.until_claimable(&queue);
        tokio::select! {
            due = until_due => Some(due?),
            () = over(&asked, waiting) => store.claimable_at(namespace.clone(), queue.clone()).await?,
        }
    };
    Ok(json(StatusCode::OK, &ClaimableRecord::of(at)))
}

/// When a wait is over: by its length, or because the server stops.
fn over(asked: &Asked, wait: Duration) -> impl Future<Output = ()> + Send + 'static {
    let stopping = asked.served.stopping.clone();
    async move {
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = stopping.cancelled() => {}
        }
    }
}

/// What is wrong with the caller's token, once something is: whoever waits must not be granted what they may not ask for any
/// more.
async fn no_longer_known(asked: &Asked) -> Problem {
    loop {
        tokio::time::sleep(LOOKED_AT_EVERY).await;
        match asked.served.caller(&asked.head).await {
            Err(problem) if problem.is_of_the_caller() => return problem,
            // A store that is away says nothing about anybody.
            Ok(_) | Err(_) => {}
        }
    }
}

/// When they were granted: one that was granted is not stale then.
fn granted_at(tasks: &[Task]) -> tenure::core::time::Time {
    tasks.iter().map(|task| task.updated_at).min().unwrap_or(tenure::core::time::Time::MIN)
}
