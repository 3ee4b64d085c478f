//! Reads the task of a path, and answers with a task.

use axum::http::StatusCode;
use axum::http::header::{ETAG, HeaderMap, HeaderValue};
use tenure::core::id::{Namespace, Revision, TaskId};
use tenure::core::task::Task;
use tenure::record;
use tenure::store::Answer;
use tenure::store::answering::MinimalAnswer;
use tenure::store::size::{answer_bytes, task_bytes};

use super::prefers;
use crate::problem::Problem;
use crate::route::{Answered, Asked, json};

/// The task that the path names, with the memory to answer it.
pub(crate) async fn look(asked: &Asked) -> Result<Task, Problem> {
    let _permit = asked.quota.look().await?;
    let task = asked.ledger()?.task(asked.id()?.as_str()).await?;
    asked.memory.for_answer(task_bytes(&task)).await?;
    Ok(task)
}

/// The same, if that is possible without waiting.
pub(super) async fn look_at_once(asked: &Asked) -> Option<Task> {
    let _permit = asked.quota.look_at_once()?;
    let task = asked.ledger().ok()?.task(asked.id().ok()?.as_str()).await.ok()?;
    asked.memory.for_answer_at_once(task_bytes(&task))?;
    Some(task)
}

/// The response to a command on a task, with the task's revision as a weak tag.
pub(super) async fn told(asked: &Asked, status: StatusCode, answer: Answer) -> Answered {
    let Some((_, _, revision)) = named(&answer) else {
        return Err(Problem::wrong_answer());
    };
    let (now, bytes) = (asked.served.ledger.time_for(&answer).await, answer_bytes(&answer));
    let make = move || {
        let mut response = json(status, &record::answer(&Ok(answer), now));
        tag(response.headers_mut(), revision);
        response
    };
    Ok(prefers(asked, asked.served.work.make(bytes, make).await?))
}

/// The name and revision of the task that a command left.
pub(super) fn named(answer: &Answer) -> Option<(&Namespace, &TaskId, Revision)> {
    match answer {
        Answer::Task(task) | Answer::Retried(task, _) => Some((&task.namespace, &task.id, task.revision)),
        Answer::Minimal(MinimalAnswer::Task(task) | MinimalAnswer::Retried(task, _)) => {
            Some((&task.namespace, &task.id, task.revision))
        }
        Answer::Claimed(_) | Answer::Renewed(_) | Answer::Minimal(MinimalAnswer::Claimed(_)) => None,
    }
}

pub(super) fn tag(headers: &mut HeaderMap, revision: Revision) {
    if let Ok(tag) = HeaderValue::from_str(&format!("W/\"{revision}\"")) {
        headers.insert(ETAG, tag);
    }
}
