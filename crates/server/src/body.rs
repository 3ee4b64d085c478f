//! Reads the body of a request, within limits of size and time, and its query.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http_body_util::BodyExt;
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use tenure::core::refusal::Refusal;
use tokio::time::timeout;

use crate::options::BODY_COST;
use crate::problem::Problem;
use crate::quotas::{Memory, SMALL_BODY_BYTES, TokenQuota};

/// A request body, with the memory that it holds.
pub(crate) struct Bytes {
    bytes: Vec<u8>,
    memory: BodyMemory,
    kind: BodyKind,
}

/// The memory of a body: of what small ones have, until it is large.
#[derive(Default)]
struct BodyMemory {
    small: Memory,
    large: Memory,
}

impl BodyMemory {
    /// Takes what a body needs that has grown to `bytes` by `more`.
    async fn grow(&mut self, quota: &TokenQuota, bytes: usize, more: usize) -> Result<(), Problem> {
        if bytes <= SMALL_BODY_BYTES {
            self.small.add(quota.small_memory(BODY_COST * more).await?);
        } else {
            let held = self.large.bytes();
            self.large.add(quota.memory(BODY_COST * more, held).await?);
        }
        Ok(())
    }
}

impl Bytes {
    /// None: of a request without a body.
    pub(crate) fn none() -> Bytes {
        Bytes { bytes: Vec::new(), memory: BodyMemory::default(), kind: BodyKind::Json }
    }

    /// How many.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// How much memory it holds of what large bodies and answers share.
    pub(crate) fn memory(&self) -> usize {
        self.memory.large.bytes()
    }

    /// The body as text. An empty body counts as an empty object.
    pub(crate) fn text(self) -> Result<Text, Problem> {
        let text = String::from_utf8(self.bytes).map_err(|_| Refusal::invalid("body", "must be UTF-8"))?;
        let is_nothing = text.trim().is_empty() && self.kind == BodyKind::Json;
        let text = if is_nothing { "{}".to_owned() } else { text };
        Ok(Text { text, _memory: self.memory })
    }
}

/// What a body must be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum BodyKind {
    /// JSON; an empty one counts as an empty object.
    Json,
    /// The fields of a form.
    Form,
}

impl BodyKind {
    /// The most that a form has: the names of a thousand tasks, and a reason.
    const FORM_BYTES_MAX: usize = 256 * 1024;

    /// How long such a body may be, of what bodies may have.
    fn bytes_max(self, bytes_max: usize) -> usize {
        match self {
            BodyKind::Json => bytes_max,
            BodyKind::Form => bytes_max.min(BodyKind::FORM_BYTES_MAX),
        }
    }
}

/// A body as text.
pub(crate) struct Text {
    pub(crate) text: String,
    _memory: BodyMemory,
}

/// Reads a body, which must be of that kind or empty. Memory is reserved as it arrives, so an announced length reserves
/// nothing.
pub(crate) async fn read(
    headers: &HeaderMap,
    body: Body,
    quota: &TokenQuota,
    kind: BodyKind,
    (bytes_max, wait_max): (usize, Duration),
) -> Result<Bytes, Problem> {
    let bytes_max = kind.bytes_max(bytes_max);
    let announced = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > bytes_max as u64) {
        return Err(Problem::too_large(bytes_max));
    }
    let gathered = timeout(wait_max, gather(body, quota, bytes_max)).await;
    let (bytes, memory) = gathered.map_err(|_| Problem::too_slow())??;
    let said = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let fits = match kind {
        BodyKind::Json => is_json(said),
        BodyKind::Form => media_type(said).eq_ignore_ascii_case("application/x-www-form-urlencoded"),
    };
    if !bytes.is_empty() && !fits {
        return Err(Problem::unsupported_media_type());
    }
    Ok(Bytes { bytes, memory, kind })
}

async fn gather(
    mut body: Body,
    quota: &TokenQuota,
    bytes_max: usize,
) -> Result<(Vec<u8>, BodyMemory), Problem> {
    let (mut bytes, mut memory) = (Vec::new(), BodyMemory::default());
    while let Some(frame) = body.frame().await {
        let cut = |_| Problem::from(Refusal::invalid("body", "ended before it was complete; send it again"));
        let Ok(data) = frame.map_err(cut)?.into_data() else { continue };
        if bytes.len() + data.len() > bytes_max {
            return Err(Problem::too_large(bytes_max));
        }
        memory.grow(quota, bytes.len() + data.len(), data.len()).await?;
        bytes.extend_from_slice(&data);
    }
    Ok((bytes, memory))
}

/// A media type without its parameters.
fn media_type(kind: &str) -> &str {
    kind.split(';').next().unwrap_or_default().trim()
}

fn is_json(kind: &str) -> bool {
    let kind = media_type(kind);
    kind.eq_ignore_ascii_case("application/json")
        || (kind.to_ascii_lowercase().starts_with("application/")
            && kind.to_ascii_lowercase().ends_with("+json"))
}

/// Parses a body. An error names the place in the body.
pub(crate) fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Problem> {
    Ok(tenure::api::read_body(text)?)
}

/// The parameters of a query: each once, except those that may be repeated; unknown ones are refused.
pub(crate) struct Query {
    values: BTreeMap<String, Vec<String>>,
}

impl Query {
    /// Reads the query; `known` are the names that the route takes.
    pub(crate) fn read(text: Option<&str>, known: &[&str]) -> Result<Query, Problem> {
        let mut values = BTreeMap::<String, Vec<String>>::new();
        for pair in text.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = split(pair);
            let name = decoded(name)?;
            if !known.contains(&name.as_str()) {
                let limit = format!("unknown parameter `{name}`; this route takes {}", listed(known));
                return Err(Refusal::invalid("query", limit).into());
            }
            // `state=` is ignored, because forms send empty fields.
            if !value.is_empty() || !pair.contains('=') {
                values.entry(name).or_default().push(decoded(value)?);
            }
        }
        Ok(Query { values })
    }

    /// The value of a parameter that may be given once.
    pub(crate) fn one(&self, name: &'static str) -> Result<Option<&str>, Problem> {
        match self.all(name) {
            [] => Ok(None),
            [value] => Ok(Some(value)),
            _ => Err(Refusal::invalid(name, "must be given only once").into()),
        }
    }

    /// Every value of a parameter that may be repeated.
    pub(crate) fn all(&self, name: &str) -> &[String] {
        self.values.get(name).map_or(&[], Vec::as_slice)
    }

    /// A boolean parameter; false by default.
    pub(crate) fn flag(&self, name: &'static str) -> Result<bool, Problem> {
        match self.one(name)? {
            None | Some("false") => Ok(false),
            Some("true" | "") => Ok(true),
            Some(_) => Err(Refusal::invalid(name, "true or false").into()),
        }
    }
}

fn listed(known: &[&str]) -> String {
    if known.is_empty() { "none".to_owned() } else { known.join(", ") }
}

fn split(pair: &str) -> (&str, &str) {
    pair.split_once('=').unwrap_or((pair, ""))
}

/// The names and values of a form, one after the other.
pub(crate) fn pairs(text: &str) -> impl Iterator<Item = Result<(String, String), Problem>> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(split);
    pairs.map(|(name, value)| Ok((decoded(name)?, decoded(value)?)))
}

/// A part of a query or path as text: `%2F` is a slash, and in a query `+` is a space.
fn decoded(text: &str) -> Result<String, Problem> {
    let refused = || {
        Problem::from(Refusal::invalid(
            "query",
            "must be UTF-8, percent-encoded with `%` and two hexadecimal digits",
        ))
    };
    let is_escape = |after: &str| {
        after.as_bytes().get(..2).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    if !text.split('%').skip(1).all(is_escape) {
        return Err(refused());
    }
    let text = text.replace('+', " ");
    percent_decode_str(&text).decode_utf8().map(Cow::into_owned).map_err(|_| refused())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_to_the_letter() {
        let query =
            Query::read(Some("label=a%3Db&label=c+d&plan=true"), &["label", "plan"]).expect("a query");
        assert_eq!(query.all("label"), ["a=b", "c d"]);
        assert!(query.flag("plan").expect("a word"));
        assert!(query.one("label").is_err(), "it is there twice");
        let empty = Query::read(Some("label=&plan="), &["label", "plan"]).expect("a query");
        assert!(empty.all("label").is_empty() && !empty.flag("plan").expect("a word"), "it says nothing");
    }

    #[test]
    fn what_nobody_asks_for_is_refused_by_name() {
        for text in ["stat=running", "state=%zz", "state=%f", "state=%ff"] {
            assert!(Query::read(Some(text), &["state"]).is_err(), "{text}");
        }
    }

    #[test]
    fn json_goes_by_several_names() {
        for kind in ["application/json", "Application/JSON; charset=utf-8", "application/merge-patch+json"] {
            assert!(is_json(kind), "{kind}");
        }
        for kind in ["text/plain", "application/x-www-form-urlencoded", "", "text/json+html"] {
            assert!(!is_json(kind), "{kind}");
        }
    }
}
