//! Canonical JSON: the one form in which payload, result, checkpoint and progress are stored.
//!
//! Keys are sorted, white space is removed, and numbers stay to the letter, whatever their size. A duplicate key is
//! refused, because a reader would silently lose one of its values.

use std::borrow::Cow;

use serde_json::value::RawValue;
use tenure_core::id::{
    DOCUMENT_BYTES_MAX, DOCUMENT_LIMIT, Document, PROGRESS_BYTES_MAX, PROGRESS_LIMIT, Progress,
};
use tenure_core::refusal::Refusal;

/// The maximum depth: readers in other languages stop at about the same.
pub(crate) const DEPTH_MAX: usize = 100;

/// Canonical JSON of up to 256 KiB.
pub fn document(field: &'static str, text: &str) -> Result<Document, Refusal> {
    let json = valid(text).map_err(|error| error.of(field, DOCUMENT_LIMIT))?;
    document_of(field, json)
}

/// The same of JSON that a parser has read, so that it is not read once more.
pub(crate) fn document_of(field: &'static str, json: &RawValue) -> Result<Document, Refusal> {
    let text =
        canonical(json, DOCUMENT_BYTES_MAX, DEPTH_MAX).map_err(|error| error.of(field, DOCUMENT_LIMIT))?;
    Ok(Document::named(field, text)?)
}

/// Canonical JSON of up to 1 KiB.
pub fn progress(text: &str) -> Result<Progress, Refusal> {
    progress_of(valid(text).map_err(|error| error.of("progress", PROGRESS_LIMIT))?)
}

/// The same of JSON that a parser has read.
pub(crate) fn progress_of(json: &RawValue) -> Result<Progress, Refusal> {
    let text = canonical(json, PROGRESS_BYTES_MAX, DEPTH_MAX)
        .map_err(|error| error.of("progress", PROGRESS_LIMIT))?;
    Ok(Progress::new(text)?)
}

/// The canonical form of JSON that this program wrote.
pub(crate) fn canonical_text(text: &str) -> String {
    valid(text)
        .and_then(|json| canonical(json, usize::MAX, DEPTH_MAX))
        .unwrap_or_else(|error| panic!("what was written can be read: {error:?}"))
}

/// Why a text has no canonical form.
#[derive(Debug)]
enum CanonicalError {
    TooLarge,
    Malformed(String),
}

impl CanonicalError {
    fn of(self, field: &'static str, limit: &'static str) -> Refusal {
        match self {
            CanonicalError::TooLarge => Refusal::invalid(field, limit),
            CanonicalError::Malformed(why) => {
                Refusal::invalid(field, format_args!("must be valid JSON: {why}"))
            }
        }
    }
}

impl From<serde_json::Error> for CanonicalError {
    fn from(error: serde_json::Error) -> CanonicalError {
        CanonicalError::Malformed(error.to_string())
    }
}

fn valid(text: &str) -> Result<&RawValue, CanonicalError> {
    Ok(serde_json::from_str(text)?)
}

/// The text is read a fixed number of times, however deep it is nested. Reading stops as soon as the text is too
/// large or too deep.
fn canonical(json: &RawValue, bytes_max: usize, depth_max: usize) -> Result<String, CanonicalError> {
    let text = json.get();
    let tokens = tokens(text, bytes_max, depth_max)?;
    let mut writer = Writer { text, tokens: &tokens, bytes_max, out: String::new() };
    writer.write(0)?;
    Ok(writer.out)
}

/// A value or a key, by its place in the text.
#[derive(Clone, Copy)]
struct Token {
    begin: usize,
    end: usize,
    /// The number of the first token behind it and what it contains.
    next: usize,
}

/// The tokens of valid JSON, in the order in which they begin. The canonical form has at least a byte for each.
fn tokens(text: &str, bytes_max: usize, depth_max: usize) -> Result<Vec<Token>, CanonicalError> {
    let bytes = text.as_bytes();
    let (mut tokens, mut open, mut at) = (Vec::<Token>::new(), Vec::new(), 0);
    while at < bytes.len() {
        let begin = at;
        match bytes[begin] {
            b' ' | b'\t' | b'\n' | b'\r' | b',' | b':' => {
                at += 1;
                continue;
            }
            b'}' | b']' => {
                at += 1;
                let next = tokens.len();
                if let Some(token) = open.pop().and_then(|number: usize| tokens.get_mut(number)) {
                    (token.end, token.next) = (at, next);
                }
                continue;
            }
            b'{' | b'[' => {
                at += 1;
                open.push(tokens.len());
                if open.len() > depth_max {
                    return Err(CanonicalError::Malformed(format!(
                        "nested more than {depth_max} levels deep"
                    )));
                }
            }
            b'"' => at = end_of_string(bytes, begin),
            _ => at = end_of_scalar(bytes, begin),
        }
        if tokens.len() == bytes_max {
            return Err(CanonicalError::TooLarge);
        }
        tokens.push(Token { begin, end: at, next: tokens.len() + 1 });
    }
    Ok(tokens)
}

/// Whether valid JSON is nested deeper than `levels`. It reads the text once, and no further than it must.
pub(crate) fn is_deeper_than(levels: usize, text: &str) -> bool {
    let bytes = text.as_bytes();
    let (mut open, mut at) = (0_usize, 0);
    while at < bytes.len() && open <= levels {
        match bytes[at] {
            b'"' => {
                at = end_of_string(bytes, at);
                continue;
            }
            b'{' | b'[' => open += 1,
            b'}' | b']' => open = open.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    open > levels
}

/// Behind the closing quote of the string that begins there.
fn end_of_string(bytes: &[u8], begin: usize) -> usize {
    let mut at = begin + 1;
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    bytes.len().min(at + 1)
}

/// Behind the number, `true`, `false` or `null` that begins there.
fn end_of_scalar(bytes: &[u8], begin: usize) -> usize {
    let is_of_it = |byte: &u8| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b',' | b':' | b'}' | b']');
    begin + bytes[begin..].iter().take_while(|byte| is_of_it(byte)).count()
}

/// Writes tokens in their canonical form.
struct Writer<'a> {
    text: &'a str,
    tokens: &'a [Token],
    bytes_max: usize,
    out: String,
}

impl<'a> Writer<'a> {
    /// Writes the value of that number. Values are at most so deep as was allowed, so it may call itself.
    fn write(&mut self, number: usize) -> Result<(), CanonicalError> {
        let raw = self.raw(number);
        match raw.as_bytes().first() {
            Some(b'{') => self.write_object(number)?,
            Some(b'[') => self.write_array(number)?,
            Some(b'"') => self.write_string(number)?,
            Some(_) | None => self.out.push_str(raw),
        }
        if self.out.len() > self.bytes_max { Err(CanonicalError::TooLarge) } else { Ok(()) }
    }

    fn write_object(&mut self, number: usize) -> Result<(), CanonicalError> {
        let mut members = Vec::new();
        let mut key = number + 1;
        while key < self.tokens[number].next {
            members.push((self.string(key)?, key));
            key = self.tokens[key + 1].next;
        }
        members.sort_unstable();
        if let Some([(key, _), (_, second)]) = members.array_windows().find(|[one, other]| one.0 == other.0) {
            let (line, column) = self.place(*second);
            let why = format!("duplicate key {key:?} at line {line} column {column}");
            return Err(CanonicalError::Malformed(why));
        }
        self.out.push('{');
        for (at, (_, key)) in members.iter().enumerate() {
            if at > 0 {
                self.out.push(',');
            }
            self.write_string(*key)?;
            self.out.push(':');
            self.write(key + 1)?;
        }
        self.out.push('}');
        Ok(())
    }

    fn write_array(&mut self, number: usize) -> Result<(), CanonicalError> {
        self.out.push('[');
        let mut value = number + 1;
        while value < self.tokens[number].next {
            if value > number + 1 {
                self.out.push(',');
            }
            self.write(value)?;
            value = self.tokens[value].next;
        }
        self.out.push(']');
        Ok(())
    }

    fn write_string(&mut self, number: usize) -> Result<(), CanonicalError> {
        match self.string(number)? {
            // A string without an escape is written as it is in the text.
            Cow::Borrowed(_) => self.out.push_str(self.raw(number)),
            Cow::Owned(text) => self.out.push_str(&serde_json::to_string(&text)?),
        }
        Ok(())
    }

    /// What a string says.
    fn string(&self, number: usize) -> Result<Cow<'a, str>, CanonicalError> {
        let raw = self.raw(number);
        if !raw.contains('\\') {
            return Ok(Cow::Borrowed(raw.trim_matches('"')));
        }
        let text: String = serde_json::from_str(raw)?;
        if text.contains('\0') {
            return Err(CanonicalError::Malformed("a string contains a NUL character".to_owned()));
        }
        Ok(Cow::Owned(text))
    }

    /// In which line and column a token begins, as people count them.
    fn place(&self, number: usize) -> (usize, usize) {
        let before = &self.text[..self.tokens[number].begin];
        let line_begin = before.rfind('\n').map_or(0, |end| end + 1);
        (before.matches('\n').count() + 1, before[line_begin..].chars().count() + 1)
    }

    fn raw(&self, number: usize) -> &'a str {
        let Token { begin, end, .. } = self.tokens[number];
        &self.text[begin..end]
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

    /// A value in one form, the slow way.
    fn slowly(value: &serde_json::Value) -> String {
        value.to_string()
    }

    #[test]
    fn every_shape_has_the_form_that_sorting_each_object_gives() {
        for text in [
            r#"{"z":{"b":[{"d":1,"c":[]},{}],"a":null},"":"","k\u0041":[[[]],{"y":{"x":{}}}]}"#,
            r#"[ {"b":1 , "a":[true,false,null , -0.5e+3]} , "\\\"\n\u00e9\t" , [ ] , { } ]"#,
            r#"  "plain"  "#,
            r#"{"a b":"[{,:}]","c":"\\"}"#,
            "12",
        ] {
            // Numbers keep their letters here, and not there.
            let text = text.replace("-0.5e+3", "-5");
            let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
            assert_eq!(document("payload", &text).expect("a document").as_str(), slowly(&value), "{text}");
        }
    }

    #[test]
    fn what_is_too_large_is_given_up_before_all_of_it_was_looked_at() {
        let ones = |count: usize| format!("[{}]", vec!["1"; count].join(","));
        assert!(document("payload", &ones(131_071)).is_ok(), "256 KiB less a byte");
        let refusal = document("payload", &ones(131_073)).expect_err("over it");
        assert_eq!(refusal.message.as_ref(), format!("payload: {DOCUMENT_LIMIT}"));
        let tokens = tokens(&ones(4_000_000), 1_000, DEPTH_MAX);
        assert!(matches!(tokens, Err(CanonicalError::TooLarge)));
        // White space is not counted: it is not kept.
        let spaced = format!("[1{}]", " ".repeat(1_000_000));
        assert_eq!(document("payload", &spaced).expect("small").as_str(), "[1]");
        assert!(progress(&format!("\"{}\"", "x".repeat(1_023))).is_err(), "a byte over 1 KiB");
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
