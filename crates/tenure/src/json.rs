//! Canonical JSON: what callers give as payload, result, checkpoint or progress, in the one form that is stored.
//!
//! Keys are sorted and white space is gone; numbers stay to the letter, whatever their size. A key that stands twice
//! is refused, because a reader would silently lose one of its values.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;
use tenure_core::id::{Document, Progress};
use tenure_core::refusal::Refusal;

/// Values deeper than this are refused: readers in other languages stop at about as much.
const DEPTH_MAX: usize = 100;

/// Canonical JSON of up to 256 KiB.
pub fn document(field: &'static str, text: &str) -> Result<Document, Refusal> {
    Document::named(field, canonical(field, text)?)
}

/// Canonical JSON of up to 1 KiB.
pub fn progress(text: &str) -> Result<Progress, Refusal> {
    Progress::new(canonical("progress", text)?)
}

fn canonical(field: &'static str, text: &str) -> Result<String, Refusal> {
    let mut out = String::with_capacity(text.len());
    let written = serde_json::from_str(text).map_err(|error| error.to_string());
    written
        .and_then(|raw: &RawValue| write(raw.get(), DEPTH_MAX, &mut out))
        .map_err(|why| Refusal::invalid(field, format_args!("must be JSON: {why}")))?;
    Ok(out)
}

fn write(raw: &str, depth_left: usize, out: &mut String) -> Result<(), String> {
    let raw = raw.trim_matches([' ', '\t', '\n', '\r']);
    let deeper = || depth_left.checked_sub(1).ok_or(format!("more than {DEPTH_MAX} levels deep"));
    match raw.as_bytes().first() {
        Some(b'{') => write_object(raw, deeper()?, out),
        Some(b'[') => write_array(raw, deeper()?, out),
        Some(b'"') => write_string(&read::<String>(raw)?, out),
        Some(_) | None => {
            out.push_str(raw);
            Ok(())
        }
    }
}

fn write_object(raw: &str, depth_left: usize, out: &mut String) -> Result<(), String> {
    let Object(members) = read(raw)?;
    out.push('{');
    for (at, (key, value)) in members.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        write_string(key, out)?;
        out.push(':');
        write(value.get(), depth_left, out)?;
    }
    out.push('}');
    Ok(())
}

fn write_array(raw: &str, depth_left: usize, out: &mut String) -> Result<(), String> {
    out.push('[');
    for (at, value) in read::<Vec<&RawValue>>(raw)?.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        write(value.get(), depth_left, out)?;
    }
    out.push(']');
    Ok(())
}

fn write_string(text: &str, out: &mut String) -> Result<(), String> {
    if text.contains('\0') {
        return Err("a text has a NUL in it".to_owned());
    }
    out.push_str(&serde_json::to_string(text).map_err(|error| error.to_string())?);
    Ok(())
}

fn read<'a, T: Deserialize<'a>>(raw: &'a str) -> Result<T, String> {
    serde_json::from_str(raw).map_err(|error| error.to_string())
}

/// An object whose keys stand once each.
struct Object<'a>(BTreeMap<String, &'a RawValue>);

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = BTreeMap<String, &'de RawValue>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = BTreeMap::new();
                while let Some((key, value)) = map.next_entry::<String, &RawValue>()? {
                    if let Some((twice, _)) = members.insert(key.clone(), value).map(|_| (key, ())) {
                        return Err(A::Error::custom(format_args!("the key {twice:?} stands twice")));
                    }
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Members).map(Object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_value_has_one_form() {
        let form = |text| document("payload", text).map(|document| document.to_string());
        assert_eq!(
            form(r#" { "b" : [1, 2.50, {"y":null,"x":"\u00e9"}], "a":true } "#).as_deref(),
            Ok(r#"{"a":true,"b":[1,2.50,{"x":"é","y":null}]}"#)
        );
        assert_eq!(form("[ ]").as_deref(), Ok("[]"));
        assert_eq!(form(r#""a\/b""#).as_deref(), Ok(r#""a/b""#));
    }

    #[test]
    fn a_number_keeps_every_digit() {
        let long = "123456789012345678901234567890.5e-400";
        assert_eq!(document("payload", long).map(|d| d.to_string()).as_deref(), Ok(long));
    }

    #[test]
    fn what_is_not_json_or_would_lose_something_is_refused_by_the_name_of_its_field() {
        let deep = "[".repeat(DEPTH_MAX + 1) + &"]".repeat(DEPTH_MAX + 1);
        for text in
            ["", "{", "nul", "{a:1}", "[1,]", r#"{"a":1,"a":2}"#, r#""\u0000""#, r#""\ud800""#, "1 2", &deep]
        {
            let refusal = document("result", text).expect_err(text);
            assert_eq!(refusal.field, Some("result"), "{text}");
        }
    }
}
