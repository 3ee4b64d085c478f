//! Prints the error of a command: the message and a hint for people, JSON for programs.

use std::io;

use tenure::api::refusal::CommandError;
use tenure::core::refusal::Code;
use tenure::core::task::State;
use tenure::{Error, instant};

use crate::error::CliError;
use crate::output::{Output, harmless_line};

/// Prints the error, and returns the exit status.
pub(crate) fn show(failure: &CliError, out: &mut Output<'_>) -> u8 {
    match failure {
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
            let advice = if !matches!(error, Error::Unknown(_)) {
                advice(error)
            } else if out.has_request_id() {
                Some("repeat the command with the same --request-id")
            } else if out.has_subject() {
                Some(
                    "check with `tenure task show ID` before you repeat the command; with --request-id a repeat is safe",
                )
            } else {
                advice(error)
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
    failure.status()
}

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
        (error, _) => advice(error),
    }
}

const CHECK_FIRST: &str =
    "check with `tenure events` before you repeat the command; with --request-id a repeat is safe";

/// The hint: what to do next.
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
        Error::Unknown(_) => return Some(CHECK_FIRST),
        // Of a later version: as if its outcome were unknown.
        _ => return Some(CHECK_FIRST),
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
        // Of a later version.
        _ => None,
    }
}
