//! Errors of commands, each with its exit status.

use std::io;

use tenure::Error;
use tenure::core::limit::InvalidField;
use tenure::core::refusal::{Code, Refusal};

/// Why a command failed.
#[derive(Debug)]
pub(crate) enum CliError {
    /// The arguments make no sense together.
    Usage(String),
    /// It failed for a reason outside the ledger.
    Failed(String),
    /// The ledger's error.
    Ledger(Error),
    /// The ledger's error about a token.
    OfToken(Error),
    /// The output could not be written.
    Output(io::Error),
    /// The lease could not be acquired.
    NotAcquired(Refusal),
    /// The error was printed already.
    Told,
    /// The error was printed already, and this is the exit status.
    Status(u8),
    /// The command was interrupted by a signal with that number.
    Interrupted(u8),
}

impl From<Error> for CliError {
    fn from(error: Error) -> CliError {
        CliError::Ledger(error)
    }
}

impl From<Refusal> for CliError {
    fn from(refusal: Refusal) -> CliError {
        CliError::Ledger(Error::Refused(refusal))
    }
}

impl From<InvalidField> for CliError {
    fn from(invalid: InvalidField) -> CliError {
        CliError::Ledger(invalid.into())
    }
}

impl CliError {
    /// The message alone, for callers that collect several.
    pub(crate) fn words(&self) -> String {
        match self {
            CliError::Usage(words) | CliError::Failed(words) => words.clone(),
            CliError::Ledger(error) | CliError::OfToken(error) => error.to_string(),
            CliError::Output(error) => error.to_string(),
            CliError::NotAcquired(refusal) => refusal.to_string(),
            CliError::Told | CliError::Status(_) | CliError::Interrupted(_) => String::new(),
        }
    }

    /// The exit status.
    pub(crate) fn status(&self) -> u8 {
        match self {
            CliError::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
            CliError::Failed(_) | CliError::Output(_) | CliError::Told => 1,
            CliError::Usage(_) => 2,
            CliError::Ledger(error) | CliError::OfToken(error) => status_of(error),
            CliError::NotAcquired(_) => NOT_ACQUIRED,
            CliError::Status(status) => *status,
            // As in a shell: 128 plus the number of the signal.
            CliError::Interrupted(signal) => 128 + signal,
        }
    }
}

fn status_of(error: &Error) -> u8 {
    match error {
        Error::Refused(refusal) if refusal.code == Code::NotFound => 4,
        Error::Refused(refusal) if refusal.code == Code::Forbidden => 1,
        Error::Refused(_) => 3,
        Error::Corrupt(_) => 1,
        Error::Unavailable(_) => 5,
        Error::Unknown(_) => 6,
        // Of a later version: as if its outcome were unknown.
        _ => 6,
    }
}

/// The exit status of `tenure run` when the lease could not be acquired: "try again later" in sysexits.h.
const NOT_ACQUIRED: u8 = 75;
