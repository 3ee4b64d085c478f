//! Texts that fit columns.

use textwrap::core::display_width;

/// A text with a space behind it at least, over exactly that many columns.
pub(super) fn padded(text: &str, width: usize) -> String {
    let text = fitted(text, width.saturating_sub(1));
    let rest = width.saturating_sub(display_width(&text));
    format!("{text}{}", " ".repeat(rest))
}

/// A text over at most that many columns.
pub(super) fn fitted(text: &str, width: usize) -> String {
    if display_width(text) <= width {
        return text.to_owned();
    }
    let mut fitted = String::new();
    for letter in text.chars() {
        if display_width(&fitted) + display_width(letter.encode_utf8(&mut [0; 4])) >= width {
            break;
        }
        fitted.push(letter);
    }
    if width > 0 {
        fitted.push('…');
    }
    fitted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_takes_as_many_columns_as_it_is_given() {
        assert_eq!(
            (fitted("build-42", 8), fitted("build-42", 7), fitted("build-42", 0)),
            ("build-42".into(), "build-…".into(), String::new())
        );
        assert_eq!(padded("ab", 5), "ab   ");
        assert_eq!(padded("abcde", 5), "abc… ");
        // Two columns a letter.
        assert_eq!((fitted("日本語", 6), fitted("日本語", 5)), ("日本語".into(), "日本…".into()));
    }
}
