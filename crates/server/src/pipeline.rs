//! The steps of a request: identify the caller, check its rights, read the body, run the handler, count the result.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::body::Body;
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{RawPathParams, Request};
use axum::http::Response;
use axum::http::header::{CACHE_CONTROL, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use axum::http::request::Parts;
use tenure::clock::Moment;
use tenure::core::id::Namespace;
use tenure::core::refusal::Refusal;
use tracing::Instrument;

use crate::access::{Access, Audience, Caller};
use crate::body::{self, BodyKind, Query};
use crate::console;
use crate::headers;
use crate::memory::{RequestMemory, SMALL_BYTES};
use crate::problem::Problem;
use crate::response_limits;
use crate::route::{Answered, Asked, Method, Path, Route};
use crate::state::ServerState;
use crate::traced;

/// The body of a caller that is not known: a token and where to go.
const STRANGER_BYTES_MAX: usize = 8 * 1024;
const STRANGER_WAIT_MAX: Duration = Duration::from_secs(5);

/// Answers one request of a route.
pub(crate) async fn answer(
    route: &'static Route,
    served: Arc<ServerState>,
    parts: Result<RawPathParams, RawPathParamsRejection>,
    request: Request,
) -> Response<Body> {
    let began = Moment::now();
    // A panic fails only its own request.
    let (head, body) = request.into_parts();
    let visit = (route.audience == Audience::Person).then(|| console::Visit::of(&head));
    let path = path(parts);
    // Once it has begun, a span can't be put elsewhere.
    let span = traced::span(route, &head, path.as_ref().ok());
    let work = work(route, Arc::clone(&served), path, (head, body));
    let worked = caught(work).instrument(span.clone()).await;
    let mut response = worked.unwrap_or_else(|problem| {
        served.metrics.problem(problem.code());
        match &visit {
            Some(visit) => console::problem_page(problem, visit),
            None => problem.into_response(),
        }
    });
    let headers = response.headers_mut();
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let (status, took) = (response.status(), Moment::now().since(began));
    served.metrics.answered((route.method.as_str(), route.path), status, took);
    let (method, status, took_us) = (route.method.as_str(), status.as_u16(), took.as_micros());
    span.record("http.response.status_code", status);
    if status >= 500 {
        span.record("otel.status_code", "ERROR");
    }
    tracing::debug!(method, route = route.path, status, took_us, "answered");
    response
}

async fn work(
    route: &'static Route,
    served: Arc<ServerState>,
    path: Result<Path, Problem>,
    (head, body): (Parts, Body),
) -> Answered {
    let caller = match route.access {
        Access::Probe => Caller::nobody(),
        Access::Watch(_) => served.watcher(&head).await?,
        Access::Store(_) | Access::WholeStore(_) | Access::Namespace(_) => {
            served.caller(route.audience, &head).await?
        }
    };
    // An invalid path is reported only to callers with access.
    let path = path?;
    let namespace = path.namespace.clone();
    caller.enter(route.access, namespace.as_ref())?;
    let quota = served.quotas.of(caller.name.as_ref());
    if route.access != Access::Probe {
        quota.count()?;
    }
    headers::are_heard(route, &head.headers)?;
    if route.audience == Audience::Person && route.method != Method::Get {
        console::check_same_site(&head)?;
    }
    let known: Vec<&str> = route.query.iter().map(|(name, _)| *name).collect();
    let query = Query::read(head.uri.query(), &known)?;
    let limits = &served.options.limits;
    // Who is not known may send little, quickly, and not beside many others.
    let is_stranger = route.access == Access::Probe && route.method != Method::Get;
    let _stranger = if is_stranger { Some(served.stranger()?) } else { None };
    let bounds = match is_stranger {
        true => (STRANGER_BYTES_MAX, STRANGER_WAIT_MAX.min(limits.body_wait_max)),
        false => (limits.body_bytes_max, limits.body_wait_max),
    };
    let body = match route.method {
        Method::Get => body::Bytes::none(),
        Method::Post | Method::Put | Method::Patch | Method::Delete => {
            let kind = match route.audience {
                Audience::Program => BodyKind::Json,
                Audience::Person => BodyKind::Form,
            };
            body::read(&head.headers, body, &quota, kind, bounds).await?
        }
    };
    let (wait_max, memory) = (limits.write_wait_max, RequestMemory::of(Arc::clone(&quota), body.memory()));
    let is_long = route.is_long() || body.len() >= SMALL_BYTES;
    let (kept, served_by) = (memory.clone(), Arc::clone(&served));
    let handled = async move {
        let body = body.text()?;
        (route.handler)(Asked { served, caller, quota, path, query, head, body, memory }).await
    };
    let response = if is_long { served_by.work.on(handled).await? } else { handled.await }?;
    response_limits::with_memory(response, route.method, &kept, wait_max).await
}

fn path(parts: Result<RawPathParams, RawPathParamsRejection>) -> Result<Path, Problem> {
    let parts = parts.map_err(|_| Refusal::invalid("path", "must be UTF-8"))?;
    let mut path = Path::default();
    for (name, value) in &parts {
        match name {
            "ns" => path.namespace = Some(Namespace::new(value)?),
            "id" => path.id = Some(value.to_owned()),
            _ => path.seq = Some(value.to_owned()),
        }
    }
    Ok(path)
}

/// The response; a panic becomes an internal server error.
async fn caught(work: impl Future<Output = Answered>) -> Answered {
    let mut work = pin!(work);
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
        Ok(polled) => polled,
        Err(_) => Poll::Ready(Err(Problem::panicked())),
    })
    .await
}
