//! Errors of commands: the message for people, the JSON for programs, and the exit status.

use std::io;

use tenure::api::refusal::CommandError;
use tenure::core::limit::InvalidField;
use tenure::core::refusal::{Code, Refusal};
use tenure::core::task::State;
use tenure::{Error, instant};

use crate::output::{Output, harmless_line};

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
    /// Prints the error, and returns the exit status.
    pub(crate) fn show(&self, out: &mut Output<'_>) -> u8 {
        match self {
            CliError::Usage(words) => {
                let help = out.help();
                out.error(words, Some(&format!("see `{help}`")));
            }
            CliError::Failed(words) => out.error(&harmless_line(words), None),
            CliError::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            CliError::Output(error) => out.error(
                &format!("can't write the output: {error}"),
                Some(if out.has_subject() {
                    "the command itself was done; see `tenure task show ID`"
                } else {
                    "the command itself was done; see `tenure events`"
                }),
            ),
            CliError::Ledger(error) => {
                let advice = match error {
                    Error::Unknown(_) if out.has_request_id() => {
                        Some("repeat the command with the same --request-id")
                    }
                    Error::Unknown(_) if out.has_subject() => Some(
                        "check with `tenure task show ID` before you repeat the command; with --request-id a repeat is safe",
                    ),
                    Error::Unknown(_) | Error::Refused(_) | Error::Unavailable(_) | Error::Corrupt(_) => {
                        advice(error)
                    }
                };
                show_ledgers(error, advice, out);
            }
            CliError::OfToken(error) => show_ledgers(error, advice_on_token(error), out),
            CliError::NotAcquired(refusal) => {
                let error = Error::Refused(refusal.clone());
                show_ledgers(&error, advice(&error), out);
            }
            CliError::Told | CliError::Status(_) | CliError::Interrupted(_) => {}
        }
        self.status()
    }

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
    }
}

/// The exit status of `tenure run` when the lease could not be acquired: "try again later" in sysexits.h.
const NOT_ACQUIRED: u8 = 75;

fn show_ledgers(error: &Error, advice: Option<&str>, out: &mut Output<'_>) {
    out.error(&harmless_line(&told(error)), advice);
    // Programs read the JSON from standard output. If it can't be written, the message was printed above.
    let _ = out.json_only(&CommandError::from(error)).and_then(|()| out.flush());
}

/// The message, with times to the second.
fn told(error: &Error) -> String {
    let Error::Refused(refusal) = error else { return error.to_string() };
    let mut words = format!("refused: {}: {}", refusal.code, refusal.message);
    if let Some(held) = &refusal.held_by {
        let (since, until) = (instant::print_seconds(held.since), instant::print_seconds(held.until));
        words.push_str(&match held.epoch {
            Some(epoch) => format!(" (held by {} at epoch {epoch}, since {since} until {until})", held.owner),
            None => format!(" (reserved for {}, since {since} until {until})", held.owner),
        });
    }
    if let Some(retry_at) = refusal.retry_at {
        words.push_str(&format!("; not before {}", instant::print_seconds(retry_at)));
    }
    words
}

/// The hint for an error about a token.
fn advice_on_token(error: &Error) -> Option<&'static str> {
    match (error, error.code()) {
        (_, Some(Code::Exists)) => Some("see `tenure token list`; `tenure token revoke NAME` frees the name"),
        (_, Some(Code::NotFound)) => Some("see `tenure token list`, and check --store"),
        (Error::Unknown(_), _) => {
            Some("see `tenure token list`; if the token is listed but you never saw its secret, revoke it")
        }
        (Error::Refused(_) | Error::Unavailable(_) | Error::Corrupt(_), _) => advice(error),
    }
}

/// The hint: what to do next.
#[expect(clippy::too_many_lines, reason = "one match over every code")]
fn advice(error: &Error) -> Option<&'static str> {
    let refusal = match error {
        Error::Refused(refusal) => refusal,
        // The message itself says what is wrong with the file, or that the command can be repeated.
        Error::Unavailable(_) => return None,
        Error::Corrupt(_) => {
            return Some(
                "copy the store before you change anything; `tenure audit verify` shows what is wrong",
            );
        }
        Error::Unknown(_) => {
            return Some(
                "check with `tenure events` before you repeat the command; with --request-id a repeat is safe",
            );
        }
    };
    match refusal.code {
        Code::Invalid => match refusal.field {
            Some("payload" | "result" | "progress" | "checkpoint") => {
                Some("put JSON in single quotes, '{\"a\":1}', or in a file: @FILE")
            }
            Some("record") => Some(
                "see `tenure task put --help`; `tenure task show -o json` prints a record in this format",
            ),
            // The message says the rest: the field and its limit.
            Some(_) | None => None,
        },
        Code::Forbidden => Some(
            "pass a token with the needed role and namespace, with --token or TENURE_TOKEN; `tenure --store STORE token list`, with the server's own store, lists them",
        ),
        // The refusal has a task's state, so the task exists and the compensation does not.
        Code::NotFound if refusal.state.is_some() => {
            Some("see the valid numbers: `tenure task undo list ID`")
        }
        Code::NotFound => Some("see `tenure task list`, and check --namespace and --store"),
        Code::Exists => Some("see the stored task: `tenure task show ID`; or leave --id out to get a new id"),
        Code::RequestReused => Some("use a new --request-id for each new command"),
        Code::Terminal if refusal.state == Some(State::Completed) => {
            Some("a completed task does not change; `tenure task note ID '…'` adds a note")
        }
        Code::Terminal => Some(
            "an ended task does not change; `tenure task note ID '…'` adds a note, `tenure task retry ID --reason '…'` retries it as a new task, once",
        ),
        Code::Leased | Code::Reserved => Some(
            "wait until it is free, see `tenure task why ID`; only its holder can act on it, with --owner and --epoch",
        ),
        Code::NotDue => Some("wait until then; see `tenure task why ID`"),
        Code::NoLease => match refusal.state {
            Some(State::Planned) => Some("acquire it first: `tenure task acquire ID --owner OWNER`"),
            Some(_) | None => Some("see `tenure task why ID`"),
        },
        Code::StaleEpoch => Some(
            "stop the work: this lease has ended, and its result is not accepted; see `tenure task why ID`",
        ),
        Code::WrongOwner => Some("pass the --owner that acquired the task; see `tenure task why ID`"),
        Code::LeaseLapsed => Some(
            "the lease has lapsed; until somebody takes over, you can still end it (complete, fail, rollback, release)",
        ),
        Code::NotExtending => Some("pass a longer --ttl; a lease is never shortened"),
        Code::Stalled => Some("report progress with the heartbeat: pass --progress"),
        Code::OutOfTime => Some("end the attempt: complete, fail, rollback or release"),
        Code::Cancelled => Some("stop the work and end the attempt: rollback, fail, release or complete"),
        Code::CompensationRequired => {
            Some("name what remains to be undone: --undo KIND=TARGET, or --undo none=- for nothing")
        }
        Code::CompensationOwed => Some(
            "see what is owed: `tenure task undo list ID`; `tenure recover` undoes it, unless the policy is on_lapse hold; a new \
             holder can settle or adopt it; an operator can waive it: `tenure task undo settle ID NUMBER --as WHO --waive \
             --reason '…'`",
        ),
        Code::CompensationSettled => Some("nothing to do; see `tenure task undo list ID`"),
        Code::WrongState => Some("see `tenure task why ID`"),
        Code::StaleWrite => {
            Some("read the task again with `tenure task show ID -o json`, and put it with your change")
        }
    }
}
