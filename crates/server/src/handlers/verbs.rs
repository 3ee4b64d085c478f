//! Verbs on one task: a command each, made of the path and the body.

use axum::http::StatusCode;
use tenure::core::command::Command;
use tenure::core::id::Seq;
use tenure::core::refusal::Refusal;
use tenure::core::task::Task;
use tenure::record::command::{By, Target, Verb, read_body};
use tenure::record::{AnswerRecord, RenewalAnswer};
use tenure::store::Answer;

use super::{tasks, time_for};
use crate::headers::request_id;
use crate::problem::Problem;
use crate::routes::{Answered, Asked, json};

/// The command of that verb, by whoever asks, if they may give it.
pub(crate) fn command(asked: &Asked, verb: Verb, body: &str) -> Result<Command, Problem> {
    let (caller, served) = (&asked.caller, &asked.served);
    let by = By {
        namespace: asked.namespace()?,
        actor: caller.name.clone(),
        reach: caller.reach(),
        chance: served.ledger.chance(),
    };
    let task = asked.path.id.as_ref().map(|_| asked.id()).transpose()?;
    let seq = asked.path.seq.as_deref().map(|text| {
        let number = text.parse().map_err(|_| Refusal::invalid("seq", "a whole number from 1"));
        number.map(Seq)
    });
    let target = Target { task, seq: seq.transpose()?, request: request_id(&asked.head.headers)? };
    let command = read_body(verb, target, body, &by)?;
    caller.may(&command.action)?;
    Ok(command)
}

/// Has a command decided, and gives what it was answered.
pub(crate) async fn decide(asked: &Asked, command: Command) -> Result<Answer, Problem> {
    let answers = asked.served.ledger.transact(vec![command]).await;
    let answer = answers.into_iter().next().ok_or_else(|| Problem::broken("the store gave no answer"))?;
    Ok(answer?)
}

/// The same for a command on one task.
pub(crate) async fn send(asked: &Asked, command: Command) -> Result<Task, Problem> {
    match decide(asked, command).await? {
        Answer::Task(task) | Answer::Retried(task, _) => Ok(*task),
        Answer::Claimed(_) | Answer::Renewed(_) => Err(Problem::broken("the store answered another command")),
    }
}

/// Reads, decides, and gives the task.
pub(crate) async fn done(asked: &Asked, verb: Verb) -> Result<Task, Problem> {
    let command = command(asked, verb, &asked.body.text)?;
    send(asked, command).await
}

async fn answered(asked: Asked, verb: Verb, status: StatusCode) -> Answered {
    let task = done(&asked, verb).await?;
    let now = time_for(&asked.served.ledger, &task).await;
    Ok(tasks::shown(status, &task, now))
}

/// What a heartbeat or progress answers: the renewal, and the task as it is right after it.
async fn renewed(asked: Asked, verb: Verb) -> Answered {
    let command = command(&asked, verb, &asked.body.text)?;
    let Answer::Renewed(renewal) = decide(&asked, command).await? else {
        return Err(Problem::broken("the store answered another command"));
    };
    // It was renewed: a look at the task that fails makes no failure of that.
    match asked.ledger()?.task(asked.id()?.as_str()).await {
        Ok(task) => Ok(json(StatusCode::OK, &RenewalAnswer::of(&task, renewal.at, renewal))),
        Err(_) => Ok(json(StatusCode::OK, &AnswerRecord::of(&Ok(Answer::Renewed(renewal)), renewal.at))),
    }
}

/// `POST …/retry`: the new task, and the old one, which names it.
pub(crate) async fn retry(asked: Asked) -> Answered {
    let command = command(&asked, Verb::Retry, &asked.body.text)?;
    let answer = decide(&asked, command).await?;
    let Answer::Retried(task, _) = &answer else {
        return Err(Problem::broken("the store answered another command"));
    };
    let now = task.updated_at;
    Ok(json(StatusCode::CREATED, &AnswerRecord::of(&Ok(answer), now)))
}

pub(crate) async fn heartbeat(asked: Asked) -> Answered {
    renewed(asked, Verb::Heartbeat).await
}

pub(crate) async fn progress(asked: Asked) -> Answered {
    renewed(asked, Verb::Progress).await
}

/// Verbs that answer with the task as they left it.
macro_rules! verbs {
    ($($name:ident: $verb:ident, $status:ident;)*) => { $(
        pub(crate) async fn $name(asked: Asked) -> Answered {
            answered(asked, Verb::$verb, StatusCode::$status).await
        }
    )* };
}
verbs! {
    acquire: Acquire, OK;
    release: Release, OK;
    dispatch: Dispatch, OK;
    complete: Complete, OK;
    fail: Fail, OK;
    roll_back: RollBack, OK;
    quarantine: Quarantine, OK;
    cancel: Cancel, OK;
    compensate: Compensate, OK;
    note: Notes, OK;
    register: Register, CREATED;
    settle: Settle, OK;
    waive: Waive, OK;
    adopt: Adopt, OK;
}
