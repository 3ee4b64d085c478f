//! Reading what people and programs write. What is wrong is told with the place where it stands.

use serde::Deserialize;
use serde_json::value::RawValue;
use tenure_core::id::Document;
use tenure_core::refusal::Refusal;

use crate::json;

/// What is wrong with JSON, and where.
pub(crate) type ReadError = serde_path_to_error::Error<serde_json::Error>;

/// Reads a request body: one value and nothing after it.
pub fn read_body<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Refusal> {
    read_whole(text, "body", "one value")
}

/// Reads one value and nothing after it. An error names the place.
pub(crate) fn read_whole<'a, T: Deserialize<'a>>(
    text: &'a str,
    field: &'static str,
    what: &str,
) -> Result<T, Refusal> {
    located(text, what).map_err(|why| Refusal::invalid(field, why))
}

/// The same, for text that has no author who could be told about a field.
pub(crate) fn located<'a, T: Deserialize<'a>>(text: &'a str, what: &str) -> Result<T, String> {
    // To keep the place in mind costs more than to read: it is done only once something is known to be wrong.
    if let Ok(value) = serde_json::from_str(text) {
        return Ok(value);
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| explained(&error))?;
    reader.end().map_err(|error| format!("must be {what}: {error}"))?;
    Ok(value)
}

/// The error, with its place.
fn explained(error: &ReadError) -> String {
    at_path(error, &error.inner().to_string())
}

/// The same, for a member of an object. Each member was read by itself, so that the line and column that were counted there say
/// nothing of where it stands.
pub(crate) fn explained_member(error: &ReadError) -> String {
    at_path(error, &without_position(error))
}

fn at_path(error: &ReadError, words: &str) -> String {
    let (path, words) = (error.path().to_string(), in_words(words));
    match path.as_str() {
        "." | "?" => words,
        path => format!("{path}: {words}"),
    }
}

fn without_position(error: &ReadError) -> String {
    let words = error.inner().to_string();
    words.split(" at line ").next().unwrap_or_default().to_owned()
}

/// What is wrong with a member of an object, told of that one of `fields`.
pub(crate) fn of_member(error: &ReadError, fields: &[&'static str]) -> Refusal {
    let field = |name: &str| fields.iter().copied().find(|field| *field == name);
    let (path, words) = (error.path().to_string(), in_words(&without_position(error)));
    let missing = words.strip_prefix("missing field `").and_then(|rest| field(rest.trim_end_matches('`')));
    if let (".", Some(missing)) = (path.as_str(), missing) {
        return Refusal::invalid(missing, "is required");
    }
    let end = path.find(['.', '[']).unwrap_or(path.len());
    let (first, rest) = path.split_at(end);
    match (field(first), rest.trim_start_matches('.')) {
        (Some(field), "") => Refusal::invalid(field, words),
        (Some(field), rest) => Refusal::invalid(field, format_args!("{rest}: {words}")),
        (None, _) => Refusal::invalid("body", words),
    }
}

/// What numbers are wanted, as people say it.
fn in_words(told: &str) -> String {
    let numbers = [
        ("expected u16", "expected a whole number from 0 to 65535"),
        ("expected u32", "expected a whole number from 0 to 4294967295"),
        ("expected u64", "expected a whole number from 0"),
        ("expected i32", "expected a whole number from -2147483648 to 2147483647"),
    ];
    match numbers.iter().find(|(name, _)| told.contains(name)) {
        Some((name, words)) => told.replace(name, words),
        None => told.to_owned(),
    }
}

pub(crate) fn document(field: &'static str, raw: Option<Box<RawValue>>) -> Result<Option<Document>, Refusal> {
    raw.map(|raw| json::document_of(field, &raw)).transpose()
}
