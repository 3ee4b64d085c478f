//! Errors with their causes.

use std::error::Error as StdError;

use crate::error::Error;

/// The error with what it says of its causes: the outermost words alone often say only where it happened.
pub fn with_causes(error: &(dyn StdError + 'static)) -> String {
    let mut words = error.to_string();
    let (mut inner, mut said) = (error, words.clone());
    // The words of a store's error are complete, so its causes would only repeat them.
    while let Some(cause) = inner.source().filter(|_| !inner.is::<Error>()) {
        let its = cause.to_string();
        // Many errors end with the words of their cause.
        if !said.ends_with(&its) {
            words.push_str(&format!(": {its}"));
        }
        (inner, said) = (cause, its);
    }
    words
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::error::Failure;

    #[derive(Debug, thiserror::Error)]
    #[error("{words}")]
    struct Step {
        words: &'static str,
        source: Option<Box<dyn StdError + Send + Sync>>,
    }

    fn step(words: &'static str, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Step {
        Step { words, source: Some(source.into()) }
    }

    #[test]
    fn each_cause_is_named_once() {
        assert_eq!(with_causes(&step("a", step("b", io::Error::other("c")))), "a: b: c");
        assert_eq!(with_causes(&step("a: b", step("b", io::Error::other("c")))), "a: b: c");
        assert_eq!(with_causes(&step("step 10 failed", io::Error::other("1"))), "step 10 failed: 1");
    }

    #[test]
    fn what_a_store_says_is_complete() {
        let locked = Failure::new("t.db: locked (5)", io::Error::other("a text that says it again"));
        let error = Error::Unavailable(locked);
        let words = "unavailable, nothing was done: t.db: locked (5)";
        assert_eq!(with_causes(&error), words);
        assert_eq!(with_causes(&step("step 2", error)), format!("step 2: {words}"));
    }
}
