//! One task: made, shown, written whole, and why it is where it is.

use axum::body::Body;
use axum::http::header::{ETAG, HeaderMap, HeaderValue, IF_MATCH, IF_NONE_MATCH, LOCATION};
use axum::http::{Response, StatusCode};
use tenure::core::command::Action;
use tenure::core::id::Revision;
use tenure::core::refusal::Refusal;
use tenure::core::task::Task;
use tenure::core::time::Time;
use tenure::record::command::Verb;
use tenure::record::{TaskAnswer, WhyAnswer};
use tenure::why::why;

use super::{time_for, verbs};
use crate::headers::one;
use crate::problem::Problem;
use crate::routes::{Answered, Asked, json};

/// `POST …/tasks`.
pub(crate) async fn create(asked: Asked) -> Answered {
    let task = verbs::done(&asked, Verb::Create).await?;
    let now = time_for(&asked.served.ledger, &task).await;
    let mut response = shown(StatusCode::CREATED, &task, now);
    let place = format!("/v1/{}/tasks/{}", task.namespace, task.id);
    if let Ok(place) = HeaderValue::from_str(&place) {
        response.headers_mut().insert(LOCATION, place);
    }
    Ok(response)
}

/// `GET …/tasks/{id}`. Whoever has that revision already is told so; heartbeats don't change it.
pub(crate) async fn show(asked: Asked) -> Answered {
    let ledger = asked.ledger()?;
    let task = ledger.task(asked.id()?.as_str()).await?;
    let known = asked.head.headers.get(IF_NONE_MATCH).and_then(|tags| tags.to_str().ok());
    if known.is_some_and(|tags| tags.split(',').any(|tag| revision_of(tag) == Some(task.revision))) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        tag(response.headers_mut(), &task);
        return Ok(response);
    }
    let now = ledger.now().await?;
    Ok(shown(StatusCode::OK, &task, now))
}

/// `PUT …/tasks/{id}`.
pub(crate) async fn put(asked: Asked) -> Answered {
    let mut command = verbs::command(&asked, Verb::Put, &asked.body.text)?;
    let Action::Put(put) = &mut command.action else { return Err(Problem::broken("a put is no put")) };
    if let Some(revision) = if_match(&asked.head.headers)? {
        if put.revision.is_some_and(|said| said != revision) {
            return Err(Refusal::invalid("revision", "If-Match says another one; give one of them").into());
        }
        put.revision = Some(revision);
    }
    let is_new = put.revision.is_none_or(|revision| revision == Revision(0));
    let task = verbs::send(&asked, command).await?;
    let now = time_for(&asked.served.ledger, &task).await;
    Ok(shown(if is_new { StatusCode::CREATED } else { StatusCode::OK }, &task, now))
}

/// `GET …/tasks/{id}/why`.
pub(crate) async fn why_so(asked: Asked) -> Answered {
    let ledger = asked.ledger()?;
    let task = ledger.task(asked.id()?.as_str()).await?;
    let now = ledger.now().await?;
    let mut response = json(StatusCode::OK, &WhyAnswer::of(&task, now, &why(&task, now)));
    tag(response.headers_mut(), &task);
    Ok(response)
}

/// A task as an answer, with its revision as a weak tag.
pub(crate) fn shown(status: StatusCode, task: &Task, now: Time) -> Response<Body> {
    let mut response = json(status, &TaskAnswer::of(task, now));
    tag(response.headers_mut(), task);
    response
}

fn tag(headers: &mut HeaderMap, task: &Task) {
    if let Ok(tag) = HeaderValue::from_str(&format!("W/\"{}\"", task.revision)) {
        headers.insert(ETAG, tag);
    }
}

/// The revision that a put is for. It is one, because a put is decided against what its sender read.
fn if_match(headers: &HeaderMap) -> Result<Option<Revision>, Problem> {
    let Some(tag) = one(headers, &IF_MATCH, "If-Match")? else { return Ok(None) };
    let refused =
        || Refusal::invalid("If-Match", "give the one ETag that the task was read with, such as W/\"3\"");
    Ok(Some(revision_of(tag).ok_or_else(refused)?))
}

fn revision_of(tag: &str) -> Option<Revision> {
    let tag = tag.trim();
    let quoted = tag.strip_prefix("W/").unwrap_or(tag);
    quoted.strip_prefix('"')?.strip_suffix('"')?.parse().ok().map(Revision)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_a_revision_whether_weak_or_strong() {
        assert_eq!(revision_of(" W/\"3\""), Some(Revision(3)));
        assert_eq!(revision_of("\"12\""), Some(Revision(12)));
        for odd in ["3", "*", "W/3", "\"a\"", ""] {
            assert_eq!(revision_of(odd), None, "{odd}");
        }
    }
}
