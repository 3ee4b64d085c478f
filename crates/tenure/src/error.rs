//! The four kinds of error that a command can return: refused, unavailable, corrupt, unknown.

use tenure_core::refusal::{Code, Refusal};

use crate::instant;

/// Why a command has no answer "done". Nothing else can come out of a ledger.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Error {
    /// The expected "no", with its code. Nothing changed.
    #[error("refused: {}", told(.0))]
    Refused(Refusal),
    /// The store could not do it, and surely did not. It may be tried again.
    #[error("unavailable, nothing was done: {0}")]
    Unavailable(String),
    /// What is stored contradicts itself, or can't be what Tenure wrote. Nothing was done, and nothing is until somebody has looked:
    /// to try again does not help.
    #[error("corrupt, nothing was done: {0}")]
    Corrupt(String),
    /// The store's commit failed in a way that says nothing about its fate. Repeat it with the same request id, or look.
    #[error("unknown whether it was done: {0}")]
    Unknown(String),
}

/// The refusal with the times that the core can't print: since when and until when it is held, and when to come again.
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

/// What is known of a command that was tried, and not answered yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SoFar {
    /// No try was done.
    Undone,
    /// One may have been. No later "unavailable" changes that.
    Unsure,
}

impl SoFar {
    /// What is to be said after one more error.
    pub(crate) fn with(&mut self, error: Error) -> Error {
        match (*self, error) {
            (SoFar::Undone, error @ (Error::Unavailable(_) | Error::Corrupt(_))) => error,
            (SoFar::Unsure, Error::Unavailable(words) | Error::Corrupt(words)) => Error::Unknown(words),
            (_, error) => {
                *self = SoFar::Unsure;
                error
            }
        }
    }

    /// The refusal, unless it would say that nothing was done, and nobody knows.
    pub(crate) fn or(self, refusal: Error, error: Error) -> Error {
        match self {
            SoFar::Undone => refusal,
            SoFar::Unsure => error,
        }
    }

    /// What is said at last of an error that does not know of the tries before.
    #[cfg(feature = "remote")]
    pub(crate) fn at_last(self, error: Error) -> Error {
        match (self, error) {
            (SoFar::Unsure, Error::Refused(refusal)) => {
                Error::Unknown(format!("an earlier try may have succeeded; the last one was refused: {refusal}"))
            }
            (SoFar::Unsure, Error::Unavailable(words) | Error::Corrupt(words)) => Error::Unknown(words),
            (_, error) => error,
        }
    }
}
