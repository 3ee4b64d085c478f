//! Probes and metrics, for programs that start, stop and monitor servers.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::http::{Response, StatusCode};
use serde::Serialize;

use crate::route::{Answered, Asked, json};

#[derive(Serialize)]
struct Live {
    live: bool,
}

#[derive(Serialize)]
struct Ready {
    ready: bool,
    store: &'static str,
    stopping: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(rename = "because")]
    reason: Option<String>,
}

/// `GET /livez`: this process answers. It does not ask the store: an unavailable database is no reason to restart the server.
pub(crate) async fn live(_asked: Asked) -> Answered {
    Ok(json(StatusCode::OK, &Live { live: true }))
}

/// `GET /readyz`: whether the server can serve requests.
pub(crate) async fn ready(asked: Asked) -> Answered {
    let stopping = asked.served.stopping.is_stopped();
    // Every request begins with this read.
    let wait_max = asked.served.options.limits.watch_wait_max;
    let store = tokio::time::timeout(wait_max, asked.served.token_cache.look()).await;
    let failure = match store {
        Ok(Ok(_)) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some(format!("the store has not answered for {} s", wait_max.as_secs_f64())),
    };
    let takes_writes = !asked.served.metrics.writes().are_refused();
    let ready = failure.is_none() && takes_writes && !stopping;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let store = match (&failure, takes_writes) {
        (Some(_), _) => "away",
        (None, false) => "reads_only",
        (None, true) => "answers",
    };
    // A caller needs no token, so the reason goes to the log only: it may name hosts.
    if let Some(failure) = failure {
        tracing::warn!(error = failure, "not ready");
    }
    let reason = stopping.then(|| "the server is stopping".to_owned());
    Ok(json(status, &Ready { ready, store, stopping, reason }))
}

/// `GET /metrics`.
pub(crate) async fn metrics(asked: Asked) -> Answered {
    let served = &asked.served;
    served.metrics.memory(served.quotas.memory_taken());
    let text = served.metrics.text(&served.ledger, &served.recovery).await;
    let mut response = Response::new(Body::from(text));
    let kind = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    Ok(response)
}
