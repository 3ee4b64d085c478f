//! What all pages ask of a request, and where they lead.

use axum::body::Body;
use axum::http::header::{HeaderValue, LOCATION};
use axum::http::{Response, StatusCode};
use tenure::access::{NamespaceScope, Role};
use tenure::core::id::Namespace;
use tenure::core::refusal::Refusal;
use tenure::ledger::DEFAULT_NAMESPACE;

use crate::problem::Problem;
use crate::route::{Answered, Asked};

impl Asked {
    /// The namespace that a page shows: that of its path or query, else the server's.
    pub(super) fn shown_namespace(&self) -> Result<Namespace, Problem> {
        if let Some(namespace) = &self.path.namespace {
            return Ok(namespace.clone());
        }
        let named = match self.query.one("ns")? {
            Some(name) => Namespace::new(name)?,
            None => self.usual_namespace()?,
        };
        if self.caller.namespaces.contains(&named) {
            return Ok(named);
        }
        Err(Problem::not_found("this namespace does not exist, or your token is not bound to it"))
    }

    /// The server's own namespace; for a token that is not bound to it, the first one that it is bound to.
    fn usual_namespace(&self) -> Result<Namespace, Problem> {
        let usual = match &self.served.options.namespace {
            Some(namespace) => namespace.clone(),
            None => Namespace::new(DEFAULT_NAMESPACE)?,
        };
        let first = match &self.caller.namespaces {
            NamespaceScope::All => None,
            NamespaceScope::These(these) => these.iter().next(),
        };
        match first {
            Some(first) if !self.caller.namespaces.contains(&usual) => Ok(first.clone()),
            Some(_) | None => Ok(usual),
        }
    }

    /// Whether the caller may act on tasks.
    pub(super) fn may_act(&self) -> bool {
        self.caller.role.includes(Role::Operator)
    }
}

/// A field of a form that must be there.
pub(super) fn required(field: &'static str) -> Refusal {
    Refusal::invalid(field, "is required")
}

/// Sends the browser to another page.
pub(super) fn to(path: &str) -> Answered {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    let place = HeaderValue::from_str(path).map_err(|_| Problem::broken("the path is no header"))?;
    response.headers_mut().insert(LOCATION, place);
    Ok(response)
}
