//! A route, what its handler is given, and what a handler answers.

use std::sync::Arc;

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{Response, StatusCode};
use axum::routing::MethodFilter;
use tenure::core::id::Namespace;
use tenure::store::BoxFuture;

use crate::access::{Access, Audience, Caller};
use crate::body::{Query, Text};
use crate::description::Described;
use crate::memory::RequestMemory;
use crate::problem::Problem;
use crate::quotas::TokenQuota;
use crate::state::ServerState;

/// The methods of routes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    /// Reads.
    Get,
    /// Gives a command.
    Post,
    /// Writes a whole record.
    Put,
    /// Changes a part of a record.
    Patch,
    /// Revokes a token.
    Delete,
}

impl Method {
    /// The method as HTTP has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
        }
    }

    pub(crate) fn filter(self) -> MethodFilter {
        match self {
            Method::Get => MethodFilter::GET,
            Method::Post => MethodFilter::POST,
            Method::Put => MethodFilter::PUT,
            Method::Patch => MethodFilter::PATCH,
            Method::Delete => MethodFilter::DELETE,
        }
    }
}

/// What a handler is given.
pub(crate) struct Asked {
    pub(crate) served: Arc<ServerState>,
    pub(crate) caller: Caller,
    pub(crate) quota: Arc<TokenQuota>,
    pub(crate) path: Path,
    pub(crate) query: Query,
    pub(crate) head: Parts,
    pub(crate) body: Text,
    pub(crate) memory: RequestMemory,
}

/// The parts of a path. The task and the compensation are texts that are still to be checked.
#[derive(Default)]
pub(crate) struct Path {
    /// Routes without one have none.
    pub(crate) namespace: Option<Namespace>,
    pub(crate) id: Option<String>,
    pub(crate) seq: Option<String>,
}

pub(crate) type Answered = Result<Response<Body>, Problem>;
type Handler = fn(Asked) -> BoxFuture<'static, Answered>;

/// One line of the table.
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path, with `{ns}`, `{id}` and `{seq}` for its parts.
    pub path: &'static str,
    /// What it needs.
    pub access: Access,
    /// Who it is for.
    pub audience: Audience,
    /// What it is for, in a line.
    pub summary: &'static str,
    /// The parameters of its query, each with a word on what it says.
    pub(crate) query: &'static [(&'static str, &'static str)],
    /// What it takes and gives.
    pub(crate) described: Described,
    pub(crate) handler: Handler,
}

impl Route {
    /// The forms that its answer may have.
    pub(crate) fn kinds(&self) -> &'static [&'static str] {
        match self.path {
            "/metrics" => &["application/openmetrics-text"],
            "/docs" | "/" => &["text/html"],
            path if path.ends_with("/events") => &["application/json", "text/event-stream"],
            _ => &["application/json"],
        }
    }

    /// Whether it can read much of the store. Such requests run on threads of their own, so that short ones need not wait.
    pub(crate) fn is_long(&self) -> bool {
        const ENDS: [&str; 14] = [
            "/tasks",
            "/events",
            "/history",
            "/stale",
            "/owners",
            "/stats",
            "/anchor",
            "/verify",
            "/chain",
            "/chains",
            "/cursors",
            "/pruned",
            "/anchors",
            "/openapi.json",
        ];
        self.method == Method::Get && (self.path == "/" || ENDS.iter().any(|end| self.path.ends_with(end)))
    }

    /// Whether `Idempotency-Key` is the request id of its command. In a request of many commands each has its own, and a request
    /// without a command has none.
    pub(crate) fn names_its_command(&self) -> bool {
        const OTHERS: [&str; 4] =
            ["/v1/{ns}/commands", "/v1/{ns}/heartbeats", "/v1/{ns}/recovery", "/v1/{ns}/cursors/{id}"];
        self.method != Method::Get && self.path.starts_with("/v1/{ns}/") && !OTHERS.contains(&self.path)
    }

    /// Whether the route supports `If-None-Match`.
    pub(crate) fn is_tagged(&self) -> bool {
        self.method == Method::Get && self.path == "/v1/{ns}/tasks/{id}"
    }
}

/// An answer as JSON.
pub(crate) fn json(status: StatusCode, record: &impl serde::Serialize) -> Response<Body> {
    let mut text = tenure::api::to_json(record);
    // It grew by doubling, and may be kept for a slow reader.
    text.shrink_to_fit();
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let kind = axum::http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(axum::http::header::CONTENT_TYPE, kind);
    response
}
