//! Error responses: problems as in RFC 9457, with the refusal's code.

use axum::body::Body;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{Response, StatusCode};
use serde::Serialize;
use tenure::Error;
use tenure::api::refusal::Refusal as RefusalJson;
use tenure::core::limit::InvalidField;
use tenure::core::refusal::{Code, Refusal};

/// An error response: why a request failed, and what the client can do.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    refusal: Option<Box<Refusal>>,
    /// The value of `Retry-After`, in seconds.
    retry_after: Option<u32>,
}

/// Codes of problems that are not refusals of the ledger. The refusals' codes are
/// `tenure::core::refusal::Code::ALL`.
pub(crate) const OTHER_CODES: [(&str, StatusCode, &str); 11] = [
    ("unauthenticated", StatusCode::UNAUTHORIZED, "The request needs a valid token."),
    (
        "method_not_allowed",
        StatusCode::METHOD_NOT_ALLOWED,
        "The route exists, but does not take this method.",
    ),
    ("too_slow", StatusCode::REQUEST_TIMEOUT, "The request body did not arrive in time."),
    ("too_large", StatusCode::PAYLOAD_TOO_LARGE, "The request body is over the size limit."),
    (
        "unsupported_media_type",
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "The body's `Content-Type` is not JSON, or the body has a `Content-Encoding`.",
    ),
    (
        "misdirected",
        StatusCode::MISDIRECTED_REQUEST,
        "The request is for another host or comes from another site.",
    ),
    ("too_many_requests", StatusCode::TOO_MANY_REQUESTS, "The caller is over its request limit."),
    ("broken", StatusCode::INTERNAL_SERVER_ERROR, "Internal server error. Please report it."),
    (
        "corrupt",
        StatusCode::INTERNAL_SERVER_ERROR,
        "The stored data is inconsistent. Nothing was done; run `tenure audit verify` to see where.",
    ),
    ("unavailable", StatusCode::SERVICE_UNAVAILABLE, "The request was not executed; try it again."),
    (
        "unknown",
        StatusCode::GATEWAY_TIMEOUT,
        "It is unknown whether the request was executed. Repeat it with the same `Idempotency-Key`.",
    ),
];

impl Problem {
    fn other(code: &'static str, detail: impl Into<String>) -> Problem {
        let known = OTHER_CODES.iter().find(|(name, _, _)| *name == code);
        let status = known.map_or(StatusCode::INTERNAL_SERVER_ERROR, |(_, status, _)| *status);
        Problem { status, code, detail: detail.into(), refusal: None, retry_after: None }
    }

    /// The status of the response.
    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// What went wrong, in a sentence for people.
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    /// The field that was refused, if it is about one.
    pub(crate) fn field(&self) -> Option<&'static str> {
        self.refusal.as_ref().and_then(|refusal| refusal.field)
    }

    /// Whether the ledger refused.
    pub(crate) fn is_refusal(&self) -> bool {
        self.refusal.is_some()
    }

    /// The caller is not identified.
    pub(crate) fn unauthenticated(detail: impl Into<String>) -> Problem {
        Problem::other("unauthenticated", detail)
    }

    /// There is no such route. This is not a refusal: a client must not read it as a missing task.
    pub(crate) fn no_route() -> Problem {
        let detail = "there is no such route; see /openapi.json".to_owned();
        let (status, code) = (StatusCode::NOT_FOUND, Code::NotFound.as_str());
        Problem { status, code, detail, refusal: None, retry_after: None }
    }

    /// The route does not take this method.
    pub(crate) fn method_not_allowed() -> Problem {
        Problem::other("method_not_allowed", "this route does not take this method; see /openapi.json")
    }

    /// The body did not arrive in time.
    pub(crate) fn too_slow() -> Problem {
        Problem::other(
            "too_slow",
            "the request body did not arrive in time; send it again, faster or in smaller requests",
        )
    }

    /// The body is over the limit.
    pub(crate) fn too_large(limit: usize) -> Problem {
        let detail =
            format!("the request body is over the limit of {limit} bytes; send several smaller requests");
        Problem::other("too_large", detail)
    }

    /// The body is in another form than JSON.
    pub(crate) fn unsupported_media_type() -> Problem {
        let detail = "send the body as JSON, with `Content-Type: application/json`";
        Problem::other("unsupported_media_type", detail)
    }

    /// The body has a `Content-Encoding`.
    pub(crate) fn unsupported_encoding() -> Problem {
        let detail = "compressed bodies are not supported; send the body without `Content-Encoding`";
        Problem::other("unsupported_media_type", detail)
    }

    /// The request comes from another site, or is for another host name.
    pub(crate) fn misdirected(detail: impl Into<String>) -> Problem {
        Problem::other("misdirected", detail)
    }

    /// The caller is over its quota.
    pub(crate) fn too_many_requests(detail: impl Into<String>) -> Problem {
        Problem { retry_after: Some(1), ..Problem::other("too_many_requests", detail) }
    }

    /// The server can't do it now; nothing was done.
    pub(crate) fn unavailable(detail: impl Into<String>) -> Problem {
        Problem { retry_after: Some(1), ..Problem::other("unavailable", detail) }
    }

    /// An internal server error.
    pub(crate) fn broken(detail: impl Into<String>) -> Problem {
        Problem::other("broken", detail)
    }

    /// The store answered, but not as this kind of command is answered.
    pub(crate) fn wrong_answer() -> Problem {
        Problem::broken("the store's answer is for another kind of command")
    }

    /// A handler panicked; the panic is in the log.
    pub(crate) fn panicked() -> Problem {
        Problem::broken("internal server error; see the server's log")
    }

    /// The thing does not exist, or the caller has no access to it.
    pub(crate) fn not_found(detail: impl Into<Box<str>>) -> Problem {
        Problem::from(Refusal::new(Code::NotFound, detail))
    }

    /// The caller has no right to do this.
    pub(crate) fn forbidden(detail: impl Into<Box<str>>) -> Problem {
        Problem::from(Refusal::new(Code::Forbidden, detail))
    }

    /// Whether it is about the caller and not about the request.
    pub(crate) fn is_of_the_caller(&self) -> bool {
        matches!(self.status, StatusCode::UNAUTHORIZED | StatusCode::MISDIRECTED_REQUEST)
    }

    /// The code, for what is counted.
    pub(crate) fn code(&self) -> &'static str {
        self.code
    }

    /// The answer on the wire.
    pub(crate) fn into_response(self) -> Response<Body> {
        let text = serde_json::to_string(&ProblemRecord::of(&self)).unwrap_or_else(|_| "{}".to_owned());
        let mut response = Response::new(Body::from(text));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        // Also where no route answers, and nobody else adds them.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if matches!(self.status, StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT) {
            // The rest of the body is not read: the next request would begin in the middle of it.
            headers.insert(HeaderName::from_static("connection"), HeaderValue::from_static("close"));
        }
        response
    }
}

/// The status that a refusal is answered with.
pub(crate) fn status_of(code: Code) -> StatusCode {
    match code {
        Code::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::Forbidden => StatusCode::FORBIDDEN,
        Code::StaleWrite => StatusCode::PRECONDITION_FAILED,
        Code::Exists
        | Code::RequestReused
        | Code::Terminal
        | Code::Leased
        | Code::Reserved
        | Code::NotDue
        | Code::NoLease
        | Code::StaleEpoch
        | Code::WrongOwner
        | Code::LeaseLapsed
        | Code::NotExtending
        | Code::Stalled
        | Code::OutOfTime
        | Code::Cancelled
        | Code::CompensationRequired
        | Code::CompensationOwed
        | Code::CompensationSettled
        | Code::WrongState => StatusCode::CONFLICT,
        // Of a later version.
        _ => StatusCode::CONFLICT,
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Problem {
        let (status, code) = (status_of(refusal.code), refusal.code.as_str());
        let detail = refusal.message.to_string();
        Problem { status, code, detail, refusal: Some(Box::new(refusal)), retry_after: None }
    }
}

impl From<InvalidField> for Problem {
    fn from(invalid: InvalidField) -> Problem {
        Problem::from(Refusal::from(invalid))
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Problem {
        match error {
            Error::Refused(refusal) => Problem::from(refusal),
            Error::Unavailable(failure) => Problem::unavailable(failure.message()),
            Error::Corrupt(failure) => Problem::other("corrupt", failure.message()),
            Error::Unknown(failure) => Problem::other("unknown", failure.message()),
            // Of a later version: as if its outcome were unknown.
            other => Problem::other("unknown", other.message()),
        }
    }
}

/// A problem as JSON.
#[derive(Serialize)]
struct ProblemRecord<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    detail: &'a str,
    #[serde(flatten)]
    refusal: Option<RefusalJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
}

impl<'a> ProblemRecord<'a> {
    fn of(problem: &'a Problem) -> ProblemRecord<'a> {
        let refusal = problem.refusal.as_deref().map(RefusalJson::from);
        ProblemRecord {
            kind: format!("/docs#{}", problem.code),
            title: problem.status.canonical_reason().unwrap_or("Problem"),
            status: problem.status.as_u16(),
            detail: &problem.detail,
            // A refusal brings its own.
            code: refusal.is_none().then_some(problem.code),
            refusal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_status_and_no_code_has_two_meanings() {
        for code in Code::ALL {
            assert!(status_of(code).is_client_error(), "{code}");
            assert!(OTHER_CODES.iter().all(|(name, _, _)| *name != code.as_str()), "{code} is a refusal");
        }
    }

    #[test]
    fn a_refusal_is_told_with_everything_that_its_caller_needs() {
        let problem = Problem::from(Refusal::invalid("ttl", "1 s to 7 days"));
        let told = serde_json::to_value(ProblemRecord::of(&problem)).expect("JSON");
        assert_eq!(told["code"], "invalid");
        assert_eq!(told["field"], "ttl");
        assert_eq!(told["status"], 422);
        assert_eq!(told["type"], "/docs#invalid");
        assert_eq!(told["detail"], "ttl: 1 s to 7 days");
    }
}
