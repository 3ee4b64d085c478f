//! The handlers of all routes, a module for each subject. A handler turns a request into calls of the ledger, and
//! their answers into JSON. It decides nothing about tasks.

pub(crate) mod answers;
pub(crate) mod claims;
pub(crate) mod commands;
pub(crate) mod events;
pub(crate) mod lists;
pub(crate) mod looks;
pub(crate) mod pages;
pub(crate) mod probes;
pub(crate) mod recovery;
pub(crate) mod retention;
pub(crate) mod search;
pub(crate) mod tasks;
pub(crate) mod tokens;
pub(crate) mod verbs;

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, Response};
use tenure::Ledger;
use tenure::api::duration::DurationInput;
use tenure::core::id::{Namespace, TaskId};
use tenure::core::refusal::Refusal;
use tenure::store::answering::AnswerForm;
use tenure::store::{Cursor, Page, PageSize};

use crate::access::Audience;
use crate::body::Query;
use crate::headers::{PREFERENCE_APPLIED, preferred_return};
use crate::memory::SMALL_BYTES;
use crate::problem::Problem;
use crate::route::Asked;

/// The longest wait of a request.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// The maximum number of items of a page, and the default.
const PAGE_MAX: usize = 1_000;
const PAGE_USUAL: usize = 100;

impl Asked {
    /// The namespace of the path.
    fn namespace(&self) -> Result<&Namespace, Problem> {
        self.path.namespace.as_ref().ok_or_else(|| Problem::broken("this route has no namespace in its path"))
    }

    /// The ledger, seen from the namespace of the path.
    pub(crate) fn ledger(&self) -> Result<Ledger, Problem> {
        self.served.ledger_of(self.namespace()?)
    }

    /// The task that the path names.
    pub(crate) fn id(&self) -> Result<TaskId, Problem> {
        let id = self.path.id.as_deref();
        let id = id.ok_or_else(|| Problem::broken("this route has no task in its path"))?;
        Ok(TaskId::new(id)?)
    }
}

/// The bytes of a page. One that is larger has a single item.
pub(crate) const PAGE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A page of what `read` returns. The memory for it is taken before it is read; more is taken afterwards only for a single item that
/// is larger. If there is no memory for a large page, the page is small and ends early.
pub(crate) async fn page<T, E>(
    asked: &Asked,
    items: usize,
    read: impl AsyncFnOnce(PageSize) -> Result<Page<T>, E>,
    bytes_of: impl Fn(&T) -> usize,
) -> Result<Page<T>, Problem>
where
    Problem: From<E>,
{
    let has_memory = asked.memory.for_answer_at_once(PAGE_BYTES_MAX).is_some();
    let bytes = if has_memory { PAGE_BYTES_MAX } else { SMALL_BYTES };
    let page = read(PageSize { items, bytes }).await?;
    asked.memory.for_answer(page.items.iter().map(bytes_of).sum()).await?;
    Ok(page)
}

/// How much of a task the answer contains: what the query says, else what the caller prefers by a header, else `usual`.
fn answer_form(asked: &Asked, usual: AnswerForm) -> Result<AnswerForm, Problem> {
    let said = asked.query.one("return")?;
    match said.or(preferred_return(&asked.head.headers)) {
        None => Ok(usual),
        Some("minimal") => Ok(AnswerForm::Minimal),
        Some("representation") => Ok(AnswerForm::Whole),
        Some(_) => Err(Refusal::invalid("return", "`minimal` or `representation`").into()),
    }
}

/// Adds the header that says which preference was followed.
fn prefers(asked: &Asked, mut response: Response<Body>) -> Response<Body> {
    let preferred =
        preferred_return(&asked.head.headers).filter(|_| matches!(asked.query.one("return"), Ok(None)));
    let applied = match preferred {
        Some("minimal") => HeaderValue::from_static("return=minimal"),
        Some(_) => HeaderValue::from_static("return=representation"),
        None => return response,
    };
    response.headers_mut().insert(PREFERENCE_APPLIED, applied);
    response
}

/// The number of items that the caller asks for.
fn limit(query: &Query) -> Result<usize, Problem> {
    let refused = || Problem::from(Refusal::invalid("limit", format_args!("a number from 1 to {PAGE_MAX}")));
    let Some(text) = query.one("limit")? else { return Ok(PAGE_USUAL) };
    let limit: usize = text.parse().map_err(|_| refused())?;
    if (1..=PAGE_MAX).contains(&limit) { Ok(limit) } else { Err(refused()) }
}

/// The cursor that the caller gives.
fn cursor(query: &Query, name: &'static str) -> Result<Option<Cursor>, Problem> {
    Ok(query.one(name)?.map(Cursor::from_text))
}

/// How long a query asks to wait.
fn wait_in(query: &Query) -> Result<Option<Duration>, Problem> {
    wait(query.one("wait")?.map(|text| DurationInput::Text(text.to_owned())))
}

/// How long to wait.
fn wait(said: Option<DurationInput>) -> Result<Option<Duration>, Problem> {
    let Some(said) = said else { return Ok(None) };
    let wait = Duration::from(said.span("wait")?);
    if wait > WAIT_MAX {
        return Err(Refusal::invalid("wait", "up to 60s; repeat the request to wait longer").into());
    }
    Ok(Some(wait))
}

/// Returns when the caller's token is no longer valid, with the problem: a caller that waits must not get what it may no longer ask
/// for.
async fn no_longer_known(asked: &Asked) -> Problem {
    loop {
        tokio::time::sleep(asked.served.options.limits.token_check_every).await;
        match asked.served.caller(Audience::Program, &asked.head).await {
            Err(problem) if problem.is_of_the_caller() => return problem,
            // While the store is unavailable, nothing is known about the token.
            Ok(_) | Err(_) => {}
        }
    }
}
