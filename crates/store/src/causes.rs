//! Errors with their causes.

use std::error::Error;

/// The error with what it says of its causes: the outermost words alone often say only where it happened.
pub fn with_causes(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let said = inner.to_string();
        if !words.contains(&said) {
            words.push_str(&format!(": {said}"));
        }
        cause = inner.source();
    }
    words
}
