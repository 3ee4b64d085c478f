//! A duration as JSON may say it.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};
use tenure_core::refusal::Refusal;
use tenure_core::time::Span;

use crate::instant;

/// A text such as `90s` or `PT1M30S`, or a number of seconds. The text is still to be read, under the name of its field.
pub enum DurationInput {
    /// As it was written.
    Text(String),
    /// As a number of seconds, to the microsecond.
    Seconds(Span),
}

impl DurationInput {
    /// How long that is.
    pub fn span(self, field: &'static str) -> Result<Span, Refusal> {
        match self {
            DurationInput::Text(text) => instant::parse_span(field, &text),
            DurationInput::Seconds(span) => Ok(span),
        }
    }
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
        let micros = seconds.checked_mul(MICROS_PER_SECOND).ok_or_else(|| out_of_range(seconds))?;
        Ok(DurationInput::Seconds(Span::from_micros(micros)))
    }

    fn visit_i64<E: Error>(self, seconds: i64) -> Result<DurationInput, E> {
        u64::try_from(seconds).map_err(|_| out_of_range(seconds)).and_then(|seconds| self.visit_u64(seconds))
    }

    fn visit_f64<E: Error>(self, seconds: f64) -> Result<DurationInput, E> {
        let span = std::time::Duration::try_from_secs_f64(seconds).map_err(|_| out_of_range(seconds))?;
        let micros = (span + HALF_A_MICROSECOND).as_micros();
        let micros = u64::try_from(micros).map_err(|_| out_of_range(seconds))?;
        Ok(DurationInput::Seconds(Span::from_micros(micros)))
    }
}

const MICROS_PER_SECOND: u64 = 1_000_000;

/// What a binary fraction misses of a decimal one is made good by rounding.
const HALF_A_MICROSECOND: std::time::Duration = std::time::Duration::from_nanos(500);

fn out_of_range<E: Error>(seconds: impl fmt::Display) -> E {
    E::custom(format_args!("a number of seconds from 0 on that some clock can count, not {seconds}"))
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
        let why = serde_json::from_str::<DurationInput>("true").err().expect("refused").to_string();
        assert!(why.contains("90s") && why.contains("PT1M30S") && why.contains("seconds"), "{why}");
    }
}
