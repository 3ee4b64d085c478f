//! The four kinds of error that a command can return: refused, unavailable, corrupt, unknown.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use tenure_api::instant;
use tenure_core::limit::InvalidField;
use tenure_core::refusal::{Code, Refusal};

/// Why a command was not done, or may not have been done. A ledger returns no other errors.
///
/// The text of an error is complete, with what caused it, because it is also sent over the network. The error of the system
/// or of a library that caused it is its [`source`](StdError::source), if it happened in this process.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Error {
    /// The command was refused, with a code. Nothing changed.
    Refused(Refusal),
    /// The store did not do it. A retry may succeed. Of an error in opening a store read the message first: a missing directory or
    /// a file of another program stays as it is until somebody changes it.
    Unavailable(Failure),
    /// The stored data is inconsistent, or was not written by Tenure. Nothing was done. Retrying does not
    /// help: a person must look first.
    Corrupt(Failure),
    /// The commit failed, and its outcome is unknown. Repeat the command with the same request id, or check
    /// the task.
    Unknown(Failure),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Refused(refusal) => write!(f, "refused: {}", told(refusal)),
            Error::Unavailable(failure) => write!(f, "unavailable, nothing was done: {failure}"),
            Error::Corrupt(failure) => write!(f, "corrupt, nothing was done: {failure}"),
            Error::Unknown(failure) => write!(f, "unknown whether it was done: {failure}"),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Error::Refused(_) => None,
            Error::Unavailable(failure) | Error::Corrupt(failure) | Error::Unknown(failure) => {
                failure.cause()
            }
        }
    }
}

/// What went wrong, in words, and the error of the system or of a library that caused it, if there was one. Two are equal if
/// their words are.
#[derive(Clone)]
pub struct Failure {
    message: String,
    cause: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Failure {
    /// With a cause, which the words name, too: a server sends them alone.
    pub fn new(message: impl Into<String>, cause: impl StdError + Send + Sync + 'static) -> Failure {
        Failure { message: message.into(), cause: Some(Arc::new(cause)) }
    }

    /// What went wrong, and what caused it.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The error that caused it. Which types these are is not part of the interface, except [`std::io::Error`].
    pub fn cause(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause.as_deref().map(|cause| cause as &(dyn StdError + 'static))
    }
}

impl From<String> for Failure {
    fn from(message: String) -> Failure {
        Failure { message, cause: None }
    }
}

impl From<&str> for Failure {
    fn from(message: &str) -> Failure {
        Failure::from(message.to_owned())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// As the text that it is: causes repeat what it says.
impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.message, f)
    }
}

impl PartialEq for Failure {
    fn eq(&self, other: &Failure) -> bool {
        self.message == other.message
    }
}

impl Eq for Failure {}

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
            Error::Unavailable(failure) | Error::Corrupt(failure) | Error::Unknown(failure) => {
                failure.message.clone()
            }
        }
    }

    /// The same error, and behind its words what a caller can do. A refusal says that by itself.
    #[doc(hidden)]
    pub fn with_advice(mut self, advice: &str) -> Error {
        match &mut self {
            Error::Refused(_) => {}
            Error::Unavailable(failure) | Error::Corrupt(failure) | Error::Unknown(failure) => {
                failure.message.push_str(advice);
            }
        }
        self
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
            (SoFar::Unsure, Error::Unavailable(failure) | Error::Corrupt(failure)) => Error::Unknown(failure),
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
            (SoFar::Unsure, Error::Refused(refusal)) => {
                let words = format!("an earlier try may have succeeded; the last one was refused: {refusal}");
                Error::Unknown(words.into())
            }
            (SoFar::Unsure, Error::Unavailable(failure) | Error::Corrupt(failure)) => Error::Unknown(failure),
            (_, error) => error,
        }
    }
}
