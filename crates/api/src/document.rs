//! JSON values that callers gave, as they are: payloads, results, checkpoints, progress.

use serde::ser::{Serialize, Serializer};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::wire::Wire;

/// A value that is always there. Where somebody changed it in the database it may be no JSON any more: then it is shown as
/// the text that it is, because somebody who looks into damage must not be left without an answer.
pub(crate) fn serialize<T: AsRef<str>, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    match serde_json::from_str::<&RawValue>(value.as_ref()) {
        Ok(raw) => raw.serialize(serializer),
        Err(_) => serializer.serialize_str(value.as_ref()),
    }
}

pub(crate) fn deserialize<'de, T: Wire, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    T::take(deserializer)
}

/// The value as a body has it.
pub(crate) fn raw(value: &impl AsRef<str>) -> Box<RawValue> {
    let text = value.as_ref();
    let quoted = || serde_json::value::to_raw_value(text);
    RawValue::from_string(text.to_owned())
        .or_else(|_| quoted())
        .unwrap_or_else(|error| panic!("a text can be written: {error}"))
}

/// A value that may be left out. If it is there, `null` is a value like others: what a record says to be its own `null`, see
/// [`unless_null`].
pub(crate) mod optional {
    use super::*;

    pub(crate) fn serialize<T: AsRef<str>, S: Serializer>(
        value: &Option<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => super::serialize(value, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, T: Wire, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<T>, D::Error> {
        T::take(deserializer).map(Some)
    }
}

/// What a field holds where `null` stands for nothing, unless it is named among those that were given it.
pub(crate) fn unless_null<T: AsRef<str>>(value: Option<T>, name: &str, given_null: &[String]) -> Option<T> {
    value.filter(|value| value.as_ref() != "null" || given_null.iter().any(|given| given == name))
}

/// The text of a value in a body that may be left out. If it is there, `null` is a value like others.
pub(crate) fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(deserializer).map(Some)
}
