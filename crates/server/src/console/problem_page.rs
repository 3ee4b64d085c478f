//! A problem as a page: what went wrong, and the way out.

use askama::Template;
use axum::body::Body;
use axum::http::header::{ACCEPT, CONNECTION, HeaderMap, RETRY_AFTER};
use axum::http::request::Parts;
use axum::http::{Response, StatusCode};

use super::address::encoded;
use super::asked::to;
use super::layout::{Layout, Place, respond};
use crate::problem::Problem;

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage {
    layout: Layout,
    heading: &'static str,
    detail: String,
    is_sign_in_needed: bool,
}

/// Who asked: a browser, and for what.
pub(crate) struct Visit {
    is_browser: bool,
    target: String,
}

impl Visit {
    pub(crate) fn of(head: &Parts) -> Visit {
        let target = head.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
        // Back to the form, if it is at the same address: what it sent is not sent again.
        let has_form = head.method == axum::http::Method::GET || head.uri.path().ends_with("/act");
        let target = if has_form { target } else { "/".to_owned() };
        Visit { is_browser: wants_page(&head.headers), target }
    }
}

/// Programs ask for JSON or anything, browsers for a page.
fn wants_page(headers: &HeaderMap) -> bool {
    headers.get(ACCEPT).and_then(|kinds| kinds.to_str().ok()).is_some_and(|kinds| kinds.contains("text/html"))
}

/// The answer to somebody who asked for a page.
pub(crate) fn response(problem: Problem, visit: &Visit) -> Response<Body> {
    if !visit.is_browser {
        return problem.into_response();
    }
    let status = problem.status();
    if status == StatusCode::UNAUTHORIZED {
        let next = encoded(&visit.target);
        return to(&format!("/sign-in?next={next}")).unwrap_or_else(Problem::into_response);
    }
    let heading = match status {
        StatusCode::NOT_FOUND => "Not found",
        StatusCode::FORBIDDEN => "Not allowed",
        StatusCode::CONFLICT => "It was refused",
        StatusCode::UNPROCESSABLE_ENTITY => "Something is missing or wrong",
        StatusCode::SERVICE_UNAVAILABLE => "The store does not answer",
        StatusCode::GATEWAY_TIMEOUT => "It is not known whether it was done",
        _ => "It did not work",
    };
    let is_sign_in_needed = status == StatusCode::FORBIDDEN;
    let detail = problem.detail().to_owned();
    let page = ProblemPage { layout: Layout::bare(heading), heading, detail, is_sign_in_needed };
    let mut response = respond(status, &page);
    // What a browser must do besides is the same.
    let plain = problem.into_response();
    for name in [RETRY_AFTER, CONNECTION] {
        if let Some(value) = plain.headers().get(&name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    response
}
