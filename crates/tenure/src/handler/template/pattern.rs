//! A pattern that the whole of a text must match, and the form in which a refused text is shown.

use regex::{Regex, RegexBuilder};

/// The largest compiled size of a pattern. It also bounds the cost of a match, which takes at most this many
/// steps for each character.
const PATTERN_BYTES_MAX: usize = 1024 * 1024;
/// How deep a pattern may be nested.
const PATTERN_DEPTH_MAX: u32 = 64;
/// How much of a text is shown where it is refused.
const SHOWN_CHARS_MAX: usize = 200;

/// A pattern that matches only the whole of a text. `^` and `$` of the author's own do no harm within, and `(?m)` ends with
/// the group.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    text: String,
    /// Anchored at both ends.
    whole: Regex,
}

impl Pattern {
    /// Reads a pattern; errors name the setting that it comes from.
    pub(super) fn new(setting: &str, text: &str) -> Result<Pattern, String> {
        if text.is_empty() {
            return Err(format!("`{setting}` is empty; it would allow only the empty text"));
        }
        let compiled = |pattern: &str| {
            let mut builder = RegexBuilder::new(pattern);
            builder.size_limit(PATTERN_BYTES_MAX).nest_limit(PATTERN_DEPTH_MAX).build()
        };
        // By itself first: `a)|(?:b` is a pattern only between our own parentheses, and would be anchored at neither end.
        compiled(text).map_err(|error| format!("`{setting}` is not a valid regular expression: {error}"))?;
        // No group is closed by a comment that `(?x)` allows at the end of a pattern.
        let whole = compiled(&format!(r"\A(?:{text})\z")).map_err(|error| {
            format!(
                "`{setting}` must not end with a comment, because it has to match the whole text: {error}"
            )
        })?;
        Ok(Pattern { text: text.to_owned(), whole })
    }

    /// Whether it matches a text of no characters.
    pub(super) fn allows_empty(&self) -> bool {
        self.whole.is_match("")
    }

    /// Whether it matches the whole of the text; if not, an error that begins with what the text is.
    pub(super) fn allows(&self, what: &str, text: &str) -> Result<(), String> {
        if self.whole.is_match(text) {
            return Ok(());
        }
        Err(format!("{what} {} is not allowed: `{}` does not match the whole of it", shown(text), self.text))
    }
}

/// A text for people, with invisible characters escaped.
pub(super) fn shown(text: &str) -> String {
    let mut chars = text.chars();
    let beginning: String = chars.by_ref().take(SHOWN_CHARS_MAX).collect();
    let rest = if chars.next().is_some() { "…" } else { "" };
    format!("{beginning:?}{rest}")
}
