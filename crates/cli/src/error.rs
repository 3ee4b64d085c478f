//! What a command that was not done ends with: words for a person, JSON for a program, and a status.

use std::io;

use tenure::api::refusal::CommandError;
use tenure::core::refusal::{Code, Refusal};
use tenure::core::task::State;
use tenure::{Error, instant};

use crate::output::{Output, harmless_line};

/// Why a command was not done.
#[derive(Debug)]
pub(crate) enum CliError {
    /// The words of the command line make no sense together.
    Usage(String),
    /// It was tried, and something other than the ledger stood in the way.
    Failed(String),
    /// The ledger's answer.
    Ledger(Error),
    /// The ledger's answer about a token.
    OfToken(Error),
    /// The answer could not be written.
    Output(io::Error),
    /// A lease was not to be had.
    NotAcquired(Refusal),
    /// All was said already.
    Told,
    /// All was said already, and the status is another's.
    Status(u8),
    /// Somebody asked the command to stop, with a signal of that number.
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

impl CliError {
    /// Says it, and returns the status of the process.
    pub(crate) fn show(&self, out: &mut Output<'_>) -> u8 {
        match self {
            CliError::Usage(words) => {
                let help = out.help();
                out.error(words, Some(&format!("see `{help}`")));
            }
            CliError::Failed(words) => out.error(&harmless_line(words), None),
            CliError::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            CliError::Output(error) => out.error(
                &format!("the answer can't be written: {error}"),
                Some(if out.has_subject() {
                    "what the command had to do was done before; look with `tenure task show ID`"
                } else {
                    "what the command had to do was done before; look with `tenure events`"
                }),
            ),
            CliError::Ledger(error) => {
                let advice = match error {
                    Error::Unknown(_) if out.has_request_id() => Some("repeat it with the same --request-id"),
                    Error::Unknown(_) if out.has_subject() => Some(
                        "look with `tenure task show ID` before you repeat it; with a --request-id a repeat is safe",
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

    /// What it says to a person, for those who gather several.
    pub(crate) fn words(&self) -> String {
        match self {
            CliError::Usage(words) | CliError::Failed(words) => words.clone(),
            CliError::Ledger(error) | CliError::OfToken(error) => error.to_string(),
            CliError::Output(error) => error.to_string(),
            CliError::NotAcquired(refusal) => refusal.to_string(),
            CliError::Told | CliError::Status(_) | CliError::Interrupted(_) => String::new(),
        }
    }

    /// What the process ends with.
    pub(crate) fn status(&self) -> u8 {
        match self {
            CliError::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
            CliError::Failed(_) | CliError::Output(_) | CliError::Told => 1,
            CliError::Usage(_) => 2,
            CliError::Ledger(error) | CliError::OfToken(error) => status_of(error),
            CliError::NotAcquired(_) => NOT_ACQUIRED,
            CliError::Status(status) => *status,
            // As a shell has it: 128 and the signal's number.
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

/// As `tenure run` ends when the lease was not to be had: "try again later", among the statuses of sysexits.h.
const NOT_ACQUIRED: u8 = 75;

fn show_ledgers(error: &Error, advice: Option<&str>, out: &mut Output<'_>) {
    out.error(&harmless_line(&told(error)), advice);
    // Whoever reads JSON finds it where the answer would be. If that can't be written, it was said above.
    let _ = out.json_only(&CommandError::from(error)).and_then(|()| out.flush());
}

/// The error in words, with the times to the second.
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

/// The way out, where it is about a token and not about a task.
fn advice_on_token(error: &Error) -> Option<&'static str> {
    match (error, error.code()) {
        (_, Some(Code::Exists)) => {
            Some("see `tenure token list`; `tenure token revoke NAME` makes a name free")
        }
        (_, Some(Code::NotFound)) => Some("see `tenure token list`, and check --store"),
        (Error::Unknown(_), _) => {
            Some("see `tenure token list`; if the token is listed but you never saw its secret, revoke it")
        }
        (Error::Refused(_) | Error::Unavailable(_) | Error::Corrupt(_), _) => advice(error),
    }
}

/// The way out.
fn advice(error: &Error) -> Option<&'static str> {
    let refusal = match error {
        Error::Refused(refusal) => refusal,
        // It says itself what is wrong with the file, or that it may be tried again.
        Error::Unavailable(_) => return None,
        Error::Corrupt(_) => {
            return Some("keep a copy of the store as it is; `tenure audit verify` says what does not hold");
        }
        Error::Unknown(_) => {
            return Some(
                "look with `tenure events` before you repeat it; with a --request-id a repeat is safe",
            );
        }
    };
    match refusal.code {
        Code::Invalid => match refusal.field {
            Some("payload" | "result" | "progress" | "checkpoint") => {
                Some("give it in single quotes, '{\"a\":1}', or as @FILE")
            }
            Some("record") => {
                Some("see `tenure task put --help`, and `tenure task show` with -o json for how one looks")
            }
            // The others are said in full: the field and its limit.
            Some(_) | None => None,
        },
        Code::Forbidden => Some(
            "give a token that may, with --token or TENURE_TOKEN; see `tenure --store STORE token list`, with the server's own store",
        ),
        // The state is that of a task which is there: it is a compensation that is not.
        Code::NotFound if refusal.state.is_some() => {
            Some("see the numbers that there are: `tenure task undo list ID`")
        }
        Code::NotFound => Some("see `tenure task list`, and check --namespace and --store"),
        Code::Exists => Some("see what is stored: `tenure task show ID`; or leave --id out, and one is made"),
        Code::RequestReused => Some("take a new --request-id for a new command"),
        Code::Terminal if refusal.state == Some(State::Completed) => {
            Some("it stays as it is; `tenure task note ID '…'` leaves a note")
        }
        Code::Terminal => Some(
            "it stays as it is; `tenure task note ID '…'` leaves a note, `tenure task retry ID --reason '…'` makes a new task of it, once",
        ),
        Code::Leased | Code::Reserved => Some(
            "wait until it is free, see `tenure task why ID`; only its holder acts on it, with its --owner and --epoch",
        ),
        Code::NotDue => Some("wait until then, or see `tenure task why ID`"),
        Code::NoLease => match refusal.state {
            Some(State::Planned) => Some("acquire it first: `tenure task acquire ID --owner OWNER`"),
            Some(_) | None => Some("see `tenure task why ID`"),
        },
        Code::StaleEpoch => {
            Some("this lease is over: stop the work, its result does not count; see `tenure task why ID`")
        }
        Code::WrongOwner => Some("give the --owner that acquired it; see `tenure task why ID`"),
        Code::LeaseLapsed => Some(
            "the lease is over; until somebody takes over it may still be ended (complete, fail, rollback, release)",
        ),
        Code::NotExtending => Some("give a longer --ttl; what is held is not shortened"),
        Code::Stalled => Some("report progress with the heartbeat: --progress"),
        Code::OutOfTime => Some("end the attempt: complete, fail, rollback or release"),
        Code::Cancelled => Some("stop the work, and give it up: rollback, or another end"),
        Code::CompensationRequired => Some("say what remains to undo: --undo KIND=TARGET, or --undo none=-"),
        Code::CompensationOwed => Some(
            "see what is owed: `tenure task undo list ID`; `tenure recover` undoes it, unless the task is under on_lapse hold; \
             who acquires the task settles or adopts it; or a person waives it: `tenure task undo settle ID NUMBER --as WHO \
             --waive --reason '…'`",
        ),
        Code::CompensationSettled => Some("nothing is to be done; see `tenure task undo list ID`"),
        Code::WrongState => Some("see `tenure task why ID`"),
        Code::StaleWrite => {
            Some("read it again, `tenure task show ID -o json`, and put that with the change")
        }
    }
}
