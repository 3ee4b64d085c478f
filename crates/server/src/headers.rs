//! Reads the headers of a request. Each may be given once, and a header that the route would ignore is refused.

use axum::http::header::{ACCEPT, CONTENT_ENCODING, HeaderMap, HeaderName, IF_MATCH};
use tenure::core::id::RequestId;
use tenure::core::refusal::Refusal;

use crate::problem::Problem;
use crate::route::{Method, Route};

pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
pub(crate) const PREFER: HeaderName = HeaderName::from_static("prefer");
pub(crate) const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
pub(crate) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// The text of a header that may be given once. `field` is its name as people write it.
pub(crate) fn one<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
    field: &'static str,
) -> Result<Option<&'a str>, Problem> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Refusal::invalid(field, "must be given only once").into());
    }
    let text = value.to_str().map_err(|_| Refusal::invalid(field, "must be printable ASCII"))?;
    Ok(Some(text))
}

/// The request id that a header gives.
pub(crate) fn request_id(headers: &HeaderMap) -> Result<Option<RequestId>, Problem> {
    let field = "Idempotency-Key";
    let Some(text) = one(headers, &IDEMPOTENCY_KEY, field)? else { return Ok(None) };
    // The header's draft wants a quoted string; most clients send it bare.
    let bare = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    Ok(Some(RequestId::named(field, bare)?))
}

/// The answer that a caller prefers by `Prefer: return=minimal`. Servers may ignore this header; this one does
/// not.
pub(crate) fn preferred_return(headers: &HeaderMap) -> Option<&'static str> {
    let named = headers.get_all(&PREFER).iter().filter_map(|value| value.to_str().ok());
    let mut words = named.flat_map(|value| value.split([',', ';'])).map(str::trim);
    words.find_map(|word| match word.to_ascii_lowercase().as_str() {
        "return=minimal" | "return=\"minimal\"" => Some("minimal"),
        "return=representation" | "return=\"representation\"" => Some("representation"),
        _ => None,
    })
}

/// Refuses a header that the route would ignore: its sender would believe that it took effect.
pub(crate) fn are_heard(route: &Route, headers: &HeaderMap) -> Result<(), Problem> {
    if headers.contains_key(IF_MATCH) && !matches!(route.method, Method::Put | Method::Patch) {
        let limit = "only PUT and PATCH accept a revision; prove a lease with `owner` and `epoch`";
        return Err(Refusal::invalid("If-Match", limit).into());
    }
    if route.method != Method::Get && headers.contains_key(&IDEMPOTENCY_KEY) && !route.names_its_command() {
        let limit = "this route does not accept it; in a list of commands give each one its `request_id`";
        return Err(Refusal::invalid("Idempotency-Key", limit).into());
    }
    let encoding = one(headers, &CONTENT_ENCODING, "Content-Encoding")?;
    if encoding.is_some_and(|encoding| !encoding.trim().eq_ignore_ascii_case("identity")) {
        return Err(Problem::unsupported_encoding());
    }
    Ok(())
}

/// Whether this `Accept` header prefers a stream of events to a page: the higher weight, or the first of equal
/// ones.
pub(crate) fn wants_stream(headers: &HeaderMap) -> bool {
    let named = headers.get_all(ACCEPT).iter().filter_map(|kinds| kinds.to_str().ok());
    let (mut stream, mut page) = (0.0, 0.0);
    for kind in named.flat_map(|kinds| kinds.split(',')) {
        let mut parts = kind.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
        let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        let weight: f32 = weight.map_or(1.0, |weight| weight.parse().unwrap_or(0.0));
        match kind.as_str() {
            "text/event-stream" if weight > page => stream = weight,
            "application/json" | "application/*" | "*/*" if weight > page => page = weight,
            _ => {}
        }
    }
    stream > 0.0 && stream >= page
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn accepting(kinds: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(kinds))])
    }

    #[test]
    fn a_stream_is_for_whoever_likes_it_better_than_a_page() {
        for kinds in [
            "text/event-stream",
            "Text/Event-Stream; charset=utf-8",
            "text/event-stream, application/json",
            "application/json;q=0.5, text/event-stream",
            "*/*;q=0.1, text/event-stream;q=0.2",
        ] {
            assert!(wants_stream(&accepting(kinds)), "{kinds}");
        }
        for kinds in [
            "",
            "*/*",
            "application/json",
            "application/json, text/event-stream",
            "text/event-stream;q=0",
            "text/event-stream;q=0.5, application/json",
            "text/event-streams",
        ] {
            assert!(!wants_stream(&accepting(kinds)), "{kinds}");
        }
    }

    #[test]
    fn what_is_given_twice_is_refused() {
        let mut headers = HeaderMap::new();
        headers.append(IDEMPOTENCY_KEY, HeaderValue::from_static("\"a\""));
        assert_eq!(request_id(&headers).expect("one").expect("a name").as_str(), "a");
        headers.append(IDEMPOTENCY_KEY, HeaderValue::from_static("b"));
        assert_eq!(request_id(&headers).expect_err("two").code(), "invalid");
    }
}
