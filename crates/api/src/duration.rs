//! A duration in JSON.

use std::fmt;
use std::time::Duration;

use serde::de::{Deserializer, Error, Unexpected, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::Number;
use tenure_core::refusal::Refusal;
use tenure_core::time::Span;

use crate::instant;

/// A text such as `90s` or `PT1M30S`, or a number of seconds: as it was written, and still to be read under the name of its field.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(untagged)]
pub enum DurationInput {
    /// A text.
    Text(String),
    /// A number of seconds; negative ones among them.
    Seconds(Number),
}

impl DurationInput {
    /// How long that is.
    pub fn span(self, field: &'static str) -> Result<Span, Refusal> {
        const TEXTS: &str =
            "a text such as 90s, 5m or 2h, or ISO 8601 without months and years, such as PT1M30S";
        let span = match self {
            DurationInput::Text(text) => instant::parse_span(field, &text).ok(),
            DurationInput::Seconds(seconds) => span_of(&seconds),
        };
        span.ok_or_else(|| {
            let most = u64::MAX / MICROS_PER_SECOND;
            Refusal::invalid(field, format_args!("a number of seconds from 0 to {most}, {TEXTS}"))
        })
    }
}

impl From<Span> for DurationInput {
    fn from(span: Span) -> DurationInput {
        DurationInput::Text(span.to_string())
    }
}

const MICROS_PER_SECOND: u64 = 1_000_000;

/// What a binary fraction misses of a decimal one is made good by rounding.
const HALF_A_MICROSECOND: Duration = Duration::from_nanos(500);

fn span_of(seconds: &Number) -> Option<Span> {
    let micros = match seconds.as_u64() {
        Some(seconds) => seconds.checked_mul(MICROS_PER_SECOND),
        None => {
            let length = Duration::try_from_secs_f64(seconds.as_f64()?).ok()?;
            u64::try_from(length.checked_add(HALF_A_MICROSECOND)?.as_micros()).ok()
        }
    };
    micros.map(Span::from_micros)
}

impl<'de> Deserialize<'de> for DurationInput {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<DurationInput, D::Error> {
        deserializer.deserialize_any(TextOrNumber)
    }
}

struct TextOrNumber;

impl Visitor<'_> for TextOrNumber {
    type Value = DurationInput;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration: a text such as 90s or PT1M30S, or a number of seconds")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<DurationInput, E> {
        Ok(DurationInput::Text(text.to_owned()))
    }

    fn visit_u64<E: Error>(self, seconds: u64) -> Result<DurationInput, E> {
        Ok(DurationInput::Seconds(seconds.into()))
    }

    fn visit_i64<E: Error>(self, seconds: i64) -> Result<DurationInput, E> {
        Ok(DurationInput::Seconds(seconds.into()))
    }

    fn visit_f64<E: Error>(self, seconds: f64) -> Result<DurationInput, E> {
        // JSON has neither infinities nor what is no number.
        let number =
            Number::from_f64(seconds).ok_or_else(|| E::invalid_value(Unexpected::Float(seconds), &self))?;
        Ok(DurationInput::Seconds(number))
    }
}

#[cfg(feature = "openapi")]
mod schema {
    use std::borrow::Cow;

    use utoipa::openapi::RefOr;
    use utoipa::openapi::schema::{AnyOfBuilder, ObjectBuilder, Schema, SchemaType, Type};
    use utoipa::{PartialSchema, ToSchema};

    impl PartialSchema for super::DurationInput {
        fn schema() -> RefOr<Schema> {
            let text = ObjectBuilder::new().schema_type(SchemaType::Type(Type::String));
            let text = text.description(Some(
                "A whole number with `us`, `ms`, `s`, `m`, `h` or `d`, such as `90s`; or ISO 8601, such as `PT1M30S`.",
            ));
            let number = ObjectBuilder::new().schema_type(SchemaType::Type(Type::Number));
            let number = number.minimum(Some(0.0)).description(Some("Seconds."));
            AnyOfBuilder::new().item(text).item(number).description(Some("A duration.")).into()
        }
    }

    impl ToSchema for super::DurationInput {
        fn name() -> Cow<'static, str> {
            "Duration".into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(json: &str) -> Option<u64> {
        let input: DurationInput = serde_json::from_str(json).ok()?;
        input.span("ttl").ok().map(Span::as_micros)
    }

    #[test]
    fn a_duration_is_a_text_or_a_number_of_seconds() {
        for same in ["\"90s\"", "\"PT1M30S\"", "\"PT90S\"", "90", "90.0", "9e1"] {
            assert_eq!(micros(same), Some(90_000_000), "{same}");
        }
        assert_eq!(micros("0.1"), Some(100_000));
        assert_eq!(micros("1.000001"), Some(1_000_001));
        assert_eq!(micros("0"), Some(0));
    }

    #[test]
    fn what_is_no_duration_is_refused_and_says_what_would_be_one() {
        for wrong in
            ["-1", "-0.5", "1e300", "18446744073709551615", "\"90\"", "\"\"", "\"P1M\"", "true", "[]"]
        {
            assert_eq!(micros(wrong), None, "{wrong}");
        }
        for (wrong, told) in [("-1", "from 0 to"), ("1e300", "from 0 to"), ("\"P1M\"", "without months")] {
            let input: DurationInput = serde_json::from_str(wrong).expect("a number or a text");
            let refused = input.span("policy.lease_ttl").expect_err(wrong);
            assert_eq!(refused.field, Some("policy.lease_ttl"), "{wrong}");
            assert!(refused.to_string().contains(told), "{refused}");
        }
        let why = serde_json::from_str::<DurationInput>("true").expect_err("refused").to_string();
        assert!(why.contains("90s") && why.contains("PT1M30S") && why.contains("seconds"), "{why}");
    }
}
