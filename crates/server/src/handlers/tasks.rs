//! One task: create, show, put, and explain its state.

use axum::body::Body;
use axum::http::header::{HeaderMap, HeaderValue, IF_MATCH, IF_NONE_MATCH, LOCATION};
use axum::http::{Response, StatusCode};
use tenure::Error;
use tenure::api::command::CommandName;
use tenure::api::list::TaskAnswer;
use tenure::api::patch::MergePatch;
use tenure::core::command::Action;
use tenure::core::id::Revision;
use tenure::core::refusal::{Code, Refusal};
use tenure::store::answering::AnswerForm;
use tenure::store::size::task_bytes;
use tenure::why::why_watched;

use super::answers::{look, named, tag, told};
use super::{answer_form, verbs};
use crate::headers::{one, request_id};
use crate::problem::Problem;
use crate::route::{Answered, Asked, json};

/// `POST …/tasks`.
pub(crate) async fn create(asked: Asked) -> Answered {
    let answer = verbs::done(&asked, CommandName::Create).await?;
    let place = named(&answer).map(|(namespace, id, _)| format!("/v1/{namespace}/tasks/{id}"));
    let mut response = told(&asked, StatusCode::CREATED, answer).await?;
    if let Some(place) = place.and_then(|place| HeaderValue::from_str(&place).ok()) {
        response.headers_mut().insert(LOCATION, place);
    }
    Ok(response)
}

/// `GET …/tasks/{id}`. A caller that has this revision already gets 304; heartbeats don't change the revision.
pub(crate) async fn show(asked: Asked) -> Answered {
    let task = look(&asked).await?;
    let known = asked.head.headers.get(IF_NONE_MATCH).and_then(|tags| tags.to_str().ok());
    if known.is_some_and(|tags| tags.split(',').any(|tag| revision_of(tag) == Some(task.revision))) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        tag(response.headers_mut(), task.revision);
        return Ok(response);
    }
    let (now, bytes) = (asked.served.ledger.now().await?, task_bytes(&task));
    let make = move || {
        let mut response = json(StatusCode::OK, &TaskAnswer::at(&task, now));
        tag(response.headers_mut(), task.revision);
        response
    };
    asked.served.work.make(bytes, make).await
}

/// `PUT …/tasks/{id}`.
pub(crate) async fn put(asked: Asked) -> Answered {
    let form = answer_form(&asked, AnswerForm::Whole)?;
    let mut command = verbs::command(&asked, CommandName::Put, &asked.body.text)?;
    let Action::Put(put) = &mut command.action else { return Err(Problem::broken("the put is not a put")) };
    if let Some(revision) = if_match(&asked.head.headers)? {
        put.revision = Some(same_revision(put.revision, revision)?);
    }
    let is_new = put.revision.is_none_or(|revision| revision == Revision(0));
    let answer = verbs::decide(&asked, command, form).await?;
    told(&asked, if is_new { StatusCode::CREATED } else { StatusCode::OK }, answer).await
}

/// How often a patch that names no revision is made again of the newest record.
const PATCH_TRIES: usize = 8;

/// `PATCH …/tasks/{id}`. Without a revision it applies to the newest record: if that changes meanwhile, it is read again.
pub(crate) async fn patch(asked: Asked) -> Answered {
    let form = answer_form(&asked, AnswerForm::Whole)?;
    let (patch, request) = (MergePatch::read(&asked.body.text)?, request_id(&asked.head.headers)?);
    let revision = match if_match(&asked.head.headers)? {
        Some(tagged) => Some(same_revision(patch.revision(), tagged)?),
        None => patch.revision(),
    };
    if revision.is_none() && request.is_some() {
        // The repeat would be made of another record, and so be another command.
        let limit = "give If-Match, too: only then a repeat is the same command";
        return Err(Refusal::invalid("Idempotency-Key", limit).into());
    }
    let mut tries = PATCH_TRIES;
    loop {
        let newest = look(&asked).await?;
        let task = match (revision, &request) {
            (Some(revision), Some(request)) => {
                asked.ledger()?.task_to_change(newest, revision, request).await?
            }
            (_, _) => newest,
        };
        let mut command = verbs::command(&asked, CommandName::Put, &patch.put_body(&task))?;
        let Action::Put(put) = &mut command.action else {
            return Err(Problem::broken("the patch is not a put"));
        };
        put.revision = revision.or(put.revision);
        match verbs::decide(&asked, command, form).await {
            Err(Error::Refused(refusal))
                if refusal.code == Code::StaleWrite && revision.is_none() && tries > 0 =>
            {
                tries -= 1;
            }
            answer => return told(&asked, StatusCode::OK, answer?).await,
        }
    }
}

/// The revision of `If-Match`, where the body says no other.
fn same_revision(said: Option<Revision>, revision: Revision) -> Result<Revision, Refusal> {
    if said.is_some_and(|said| said != revision) {
        return Err(Refusal::invalid("revision", "differs from If-Match; give only one of them"));
    }
    Ok(revision)
}

/// `GET …/tasks/{id}/why`.
pub(crate) async fn why_so(asked: Asked) -> Answered {
    let task = look(&asked).await?;
    let ledger = asked.ledger()?;
    let (watchers, notes) = (ledger.watchers().await?, ledger.notes(task.id.as_str()).await?);
    let (now, bytes) = (ledger.now().await?, task_bytes(&task));
    let make = move || {
        let why = why_watched(&task, now, &watchers);
        let answer = why.answer(&task, now, notes);
        let mut response = json(StatusCode::OK, &answer);
        tag(response.headers_mut(), task.revision);
        response
    };
    asked.served.work.make(bytes, make).await
}

/// The revision that a put is for. There is exactly one, because a put is decided against what its sender read.
fn if_match(headers: &HeaderMap) -> Result<Option<Revision>, Problem> {
    let Some(tag) = one(headers, &IF_MATCH, "If-Match")? else { return Ok(None) };
    let refused = || {
        Refusal::invalid("If-Match", "must be the ETag that the task had when you read it, such as W/\"3\"")
    };
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
