//! The verbs on one task. Each becomes one command, made from the path and the body.

use axum::http::StatusCode;
use tenure::Error;
use tenure::api::command::{By, CommandName, Target, read_body};
use tenure::core::command::{Action, Command};
use tenure::core::id::Seq;
use tenure::core::refusal::Refusal;
use tenure::record;
use tenure::store::Answer;
use tenure::store::answering::{AnswerForm, AnswerOptions, CLAIM_BYTES_MAX, MinimalAnswer};
use tenure::store::size::task_bytes;

use super::{answer_form, answers, prefers};
use crate::headers::request_id;
use crate::memory::SMALL_BYTES;
use crate::problem::Problem;
use crate::route::{Answered, Asked, json};

/// The usual size of a task in an answer.
const USUAL_TASK_BYTES: usize = 4 * 1024;

/// The caller's command of that name, if the caller may give it.
pub(crate) fn command(asked: &Asked, name: CommandName, body: &str) -> Result<Command, Problem> {
    let (caller, served) = (&asked.caller, &asked.served);
    let by = By {
        namespace: asked.namespace()?,
        actor: caller.name.clone(),
        lease_scope: caller.lease_scope(),
        random: served.ledger.entropy(),
    };
    let task = asked.path.id.as_ref().map(|_| asked.id()).transpose()?;
    let seq = asked.path.seq.as_deref().map(|text| {
        let number = text.parse().map_err(|_| Refusal::invalid("seq", "a whole number from 1"));
        number.map(Seq)
    });
    let target = Target { task, seq: seq.transpose()?, request: request_id(&asked.head.headers)? };
    let command = read_body(name, target, body, &by)?;
    caller.may(&command.action)?;
    Ok(command)
}

/// Decides a command and returns its answer. Memory for a large answer is taken before anything is done.
pub(crate) async fn decide(asked: &Asked, command: Command, form: AnswerForm) -> Result<Answer, Error> {
    let (store, memory) = (asked.served.ledger.store(), &asked.memory);
    let mut bytes_max = SMALL_BYTES;
    if let Action::Claim { limit, .. } = &command.action {
        // As much as that many tasks of the usual size need; otherwise most claims of several tasks would be tried twice.
        let usual = CLAIM_BYTES_MAX.min(USUAL_TASK_BYTES.saturating_mul(*limit as usize));
        if memory.for_answer_at_once(usual).is_some() {
            bytes_max = bytes_max.max(usual);
        }
    }
    let mut commands = vec![command];
    loop {
        // Documents that were read from a body are canonical.
        let answered = store
            .transact_within(
                commands,
                AnswerOptions::default().with(|options| {
                    options.form = form;
                    options.bytes_max = bytes_max;
                }),
            )
            .await;
        if let Some(answer) = answered.answers.into_iter().next() {
            return answer;
        }
        if answered.rest.is_empty() {
            return Err(Error::Unknown("the store gave no answer".into()));
        }
        if let Some(bytes) = answered.next_bytes {
            memory.for_answer(bytes).await?;
            bytes_max = bytes;
        }
        commands = answered.rest;
    }
}

/// Reads the command of that name and decides it.
pub(crate) async fn done(asked: &Asked, name: CommandName) -> Result<Answer, Problem> {
    let form = answer_form(asked, AnswerForm::Whole)?;
    let command = command(asked, name, &asked.body.text)?;
    Ok(decide(asked, command, form).await?)
}

async fn answered(asked: Asked, name: CommandName, status: StatusCode) -> Answered {
    let answer = done(&asked, name).await?;
    answers::told(&asked, status, answer).await
}

/// The answer to a heartbeat or progress: the renewal, and the task right after it.
async fn renewed(asked: Asked, name: CommandName) -> Answered {
    let form = answer_form(&asked, AnswerForm::Whole)?;
    let command = command(&asked, name, &asked.body.text)?;
    let Answer::Renewed(renewal) = decide(&asked, command, form).await? else {
        return Err(Problem::wrong_answer());
    };
    // The lease was renewed: the request must not fail because the task can't be read, and the holder must not wait for that.
    let task = match form {
        AnswerForm::Whole | AnswerForm::GrantsWhole => answers::look_at_once(&asked).await,
        AnswerForm::Minimal => None,
    };
    let Some(task) = task else {
        let answer = Ok(Answer::Renewed(renewal));
        let response = json(StatusCode::OK, &record::answer(&answer, renewal.at));
        return Ok(prefers(&asked, response));
    };
    let bytes = task_bytes(&task);
    let make = move || json(StatusCode::OK, &record::renewal_answer(&task, renewal.at, renewal));
    asked.served.work.make(bytes, make).await
}

/// `POST …/retry`: answers with the new task, and the old one, which names it.
pub(crate) async fn retry(asked: Asked) -> Answered {
    let answer = done(&asked, CommandName::Retry).await?;
    match answer {
        Answer::Retried(..) | Answer::Minimal(MinimalAnswer::Retried(..)) => {
            answers::told(&asked, StatusCode::CREATED, answer).await
        }
        Answer::Task(_) | Answer::Claimed(_) | Answer::Renewed(_) | Answer::Minimal(_) => {
            Err(Problem::wrong_answer())
        }
    }
}

pub(crate) async fn heartbeat(asked: Asked) -> Answered {
    renewed(asked, CommandName::Heartbeat).await
}

pub(crate) async fn progress(asked: Asked) -> Answered {
    renewed(asked, CommandName::Progress).await
}

/// Verbs that answer with the task as they left it.
macro_rules! verbs {
    ($($name:ident: $verb:ident, $status:ident;)*) => { $(
        pub(crate) async fn $name(asked: Asked) -> Answered {
            answered(asked, CommandName::$verb, StatusCode::$status).await
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
    label: Label, OK;
    note: Notes, OK;
    register: Register, CREATED;
    settle: Settle, OK;
    waive: Waive, OK;
    adopt: Adopt, OK;
}
