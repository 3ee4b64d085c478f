//! The four kinds of error that a command can return: refused, unavailable, corrupt, unknown.

use tenure_api::instant;
use tenure_core::limit::InvalidField;
use tenure_core::refusal::{Code, Refusal};

/// Why a command was not done, or may not have been done. A ledger returns no other errors.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The command was refused, with a code. Nothing changed.
    #[error("refused: {}", told(.0))]
    Refused(Refusal),
    /// The store did not do it. Try it again.
    #[error("unavailable, nothing was done: {0}")]
    Unavailable(String),
    /// The stored data is inconsistent, or was not written by Tenure. Nothing was done. Retrying does not
    /// help: a person must look first.
    #[error("corrupt, nothing was done: {0}")]
    Corrupt(String),
    /// The commit failed, and its outcome is unknown. Repeat the command with the same request id, or check
    /// the task.
    #[error("unknown whether it was done: {0}")]
    Unknown(String),
}

/// The refusal with the times that the core can't print: since when and until when the task is held, and when to
/// retry.
fn told(refusal: &Refusal) -> String {
    let mut words = refusal.to_string();
    if let Some(held) = &refusal.held_by {
        words.push_str(&format!(
            ", since {} until {}",
            instant::print(held.since),
            instant::print(held.until)
        ));
    }
    if let Some(retry_at) = refusal.retry_at {
        words.push_str(&format!("; not before {}", instant::print(retry_at)));
    }
    words
}

impl Error {
    /// The refusal's code, if it is one.
    pub fn code(&self) -> Option<Code> {
        match self {
            Error::Refused(refusal) => Some(refusal.code),
            Error::Unavailable(_) | Error::Corrupt(_) | Error::Unknown(_) => None,
        }
    }

    /// What happened, without the kind of the error before it.
    pub fn message(&self) -> String {
        match self {
            Error::Refused(refusal) => told(refusal),
            Error::Unavailable(words) | Error::Corrupt(words) | Error::Unknown(words) => words.clone(),
        }
    }

    /// The refusal, if it is one.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Error::Refused(refusal) => Some(refusal),
            Error::Unavailable(_) | Error::Corrupt(_) | Error::Unknown(_) => None,
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Error {
        Error::Refused(refusal)
    }
}

/// A command with such a field is refused before it reaches the store.
impl From<InvalidField> for Error {
    fn from(invalid: InvalidField) -> Error {
        Error::Refused(invalid.into())
    }
}

/// What is known about a command that was tried and has no answer yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SoFar {
    /// Nothing was done by any try.
    Undone,
    /// One of the tries may have been done. A later "unavailable" does not change that.
    Unsure,
}

impl SoFar {
    /// The error to report after one more failed try.
    pub fn with(&mut self, error: Error) -> Error {
        match (*self, error) {
            (SoFar::Undone, error @ (Error::Unavailable(_) | Error::Corrupt(_))) => error,
            (SoFar::Unsure, Error::Unavailable(words) | Error::Corrupt(words)) => Error::Unknown(words),
            (_, error) => {
                *self = SoFar::Unsure;
                error
            }
        }
    }

    /// The refusal, unless it is unknown whether an earlier try was done.
    pub fn or(self, refusal: Error, error: Error) -> Error {
        match self {
            SoFar::Undone => refusal,
            SoFar::Unsure => error,
        }
    }

    /// The final error, which takes earlier tries into account.
    pub fn at_last(self, error: Error) -> Error {
        match (self, error) {
            (SoFar::Unsure, Error::Refused(refusal)) => Error::Unknown(format!(
                "an earlier try may have succeeded; the last one was refused: {refusal}"
            )),
            (SoFar::Unsure, Error::Unavailable(words) | Error::Corrupt(words)) => Error::Unknown(words),
            (_, error) => error,
        }
    }
}
