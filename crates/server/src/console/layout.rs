//! What all pages have: the head with its places, and the headers of their answers.

use askama::Template;
use axum::body::Body;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, REFERRER_POLICY};
use axum::http::{Response, StatusCode};
use tenure::access::Role;
use tenure::core::id::Namespace;
use tenure::core::time::{Span, Time};
use tenure_view::words::millis;

use super::assets::VERSION;
use crate::problem::Problem;
use crate::route::Asked;

/// Nothing is loaded from elsewhere, no script or style is in a page itself, and no other site may frame one.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

/// How many namespaces there are to choose from. Others are reached by an address.
const NAMESPACES_MAX: usize = 200;

/// The places of the head.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    Now,
    Triage,
    Tasks,
    Owners,
    Audit,
    Queues,
    History,
    Access,
    /// A page that none of them leads to.
    Elsewhere,
}

/// What is around the content of a page.
pub(super) struct Layout {
    pub(super) title: String,
    pub(super) version: &'static str,
    pub(super) place: Place,
    /// When the page should be loaded again, because it shows less than what has happened.
    pub(super) again: Option<Span>,
    /// None on pages for people who are not signed in.
    pub(super) head: Option<Head>,
}

/// The head of a page for somebody who may see the store.
pub(super) struct Head {
    pub(super) namespace: String,
    /// The namespaces to choose from.
    pub(super) namespaces: Vec<String>,
    /// Who it is, and in which role; none while no token exists.
    pub(super) who: Option<(String, &'static str)>,
    /// Whether they may create and revoke tokens.
    pub(super) manages_tokens: bool,
    /// The store's time, in milliseconds since 1970.
    pub(super) now_ms: i64,
}

impl Layout {
    /// Without a head.
    pub(super) fn bare(title: &str) -> Layout {
        Layout {
            title: title.to_owned(),
            version: &VERSION,
            place: Place::Elsewhere,
            again: None,
            head: None,
        }
    }

    /// The same, to be loaded again after that long.
    pub(super) fn again_after(self, again: Option<Span>) -> Layout {
        Layout { again, ..self }
    }

    /// With one, for a page about that namespace at that time.
    pub(super) async fn of(
        asked: &Asked,
        place: Place,
        title: &str,
        namespace: &Namespace,
        now: Time,
    ) -> Result<Layout, Problem> {
        let mut namespaces: Vec<String> = (asked.served.ledger.store().namespaces().await?.iter())
            .filter(|one| asked.caller.namespaces.contains(one))
            .take(NAMESPACES_MAX)
            .map(ToString::to_string)
            .collect();
        if !namespaces.iter().any(|one| one == namespace.as_str()) {
            namespaces.push(namespace.to_string());
            namespaces.sort_unstable();
        }
        let who = asked.caller.name.as_ref().map(|name| (name.to_string(), asked.caller.role.as_str()));
        let head = Head {
            namespace: namespace.to_string(),
            namespaces,
            who,
            manages_tokens: asked.caller.role.includes(Role::Admin),
            now_ms: millis(now),
        };
        Ok(Layout { title: title.to_owned(), version: &VERSION, place, again: None, head: Some(head) })
    }
}

/// A page as an answer.
pub(super) fn respond(status: StatusCode, page: &impl Template) -> Response<Body> {
    match page.render() {
        Ok(text) => respond_with(status, text),
        // Writing into a text does not fail, and no page of ours fails by itself.
        Err(error) => Problem::broken(format!("a page can't be written: {error}")).into_response(),
    }
}

/// The text of a page as an answer.
fn respond_with(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (REFERRER_POLICY, "same-origin"),
        (OPENER_POLICY, "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
