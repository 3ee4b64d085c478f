//! Decides from a command's exit status what happens to its task, as the options say.

use std::time::Duration;

use clap::Args;
use tenure::core::id::Document;
use tenure::core::task::Task;
use tenure::handler::truncate_for_record;
use tenure::keeper::KeptLease;
use tenure::process::{CommandEnd, StartError};
use tenure::worker::WorkError;

use super::finished::{Finished, StopReason};
use crate::output::quoted;
use crate::values::one_of;

/// What happens to a task whose command ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Word {
    /// The task is completed.
    Complete,
    /// What the task owes is undone; then it is tried again if attempts are left.
    Rollback,
    /// The task has failed for good, and nothing is undone.
    Fail,
    /// The lease is released, and the attempt does not count.
    Release,
    /// The task is quarantined.
    Quarantine,
}

impl Word {
    const ALL: [Word; 5] = [Word::Complete, Word::Rollback, Word::Fail, Word::Release, Word::Quarantine];
    /// The choices for a failed command, the default first.
    const BAD: [Word; 3] = [Word::Rollback, Word::Fail, Word::Release];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Word::Complete => "complete",
            Word::Rollback => "rollback",
            Word::Fail => "fail",
            Word::Release => "release",
            Word::Quarantine => "quarantine",
        }
    }
}

/// The options that map exit statuses to actions.
#[derive(Args, Clone)]
pub(crate) struct Ends {
    /// What to do with the task if the command fails
    #[arg(long, value_name = "ACTION", default_value = "rollback", value_parser = one_of(&Word::BAD, Word::as_str))]
    on_failure: Word,
    /// What to do for an exit status or range of them, such as 75=release or 100-109=fail; a signal counts as 128 plus its
    /// number. Can be repeated; the last match applies
    #[arg(long, value_name = "STATUS=ACTION", value_parser = rule)]
    on_status: Vec<Rule>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Rule {
    from: u8,
    to: u8,
    word: Word,
}

fn rule(text: &str) -> Result<Rule, String> {
    let form =
        "expected STATUS=ACTION or FROM-TO=ACTION, with complete, rollback, fail, release or quarantine";
    let (statuses, word) = text.split_once('=').ok_or(form)?;
    let (from, to) = statuses.split_once('-').unwrap_or((statuses, statuses));
    let number =
        |text: &str| text.parse::<u8>().map_err(|_| format!("`{text}` is not an exit status from 0 to 255"));
    let (from, to) = (number(from)?, number(to)?);
    if from > to {
        return Err(format!("the range {from}-{to} is empty"));
    }
    let word = Word::ALL.into_iter().find(|one| one.as_str() == word).ok_or(form)?;
    Ok(Rule { from, to, word })
}

/// How a task ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Ending {
    pub(crate) word: Word,
    pub(crate) reason: String,
}

impl Ends {
    /// What happens to the task. None: the lease is lost, and nothing may be recorded.
    pub(crate) fn of(&self, finished: &Finished) -> Option<Ending> {
        let (status, words) = match (&finished.why, &finished.end) {
            (StopReason::Lost | StopReason::EndedItsTask, _) => return None,
            (StopReason::Cancelled, _) => {
                let reason =
                    with_tail("the command was stopped, because somebody asked the task to stop", finished);
                return Some(Ending { word: Word::Rollback, reason });
            }
            (StopReason::ToldToStop, _) => {
                return Some(Ending { word: Word::Release, reason: "the worker was told to stop".into() });
            }
            (StopReason::NotStarted(error), _) => {
                (status_of_start(error), format!("the command did not start: {error}"))
            }
            (StopReason::ItsOwn, Some(end)) => (status_of(end), words_of(end)),
            (StopReason::ItsOwn, None) => return None,
        };
        let rule = self.on_status.iter().rev().find(|rule| (rule.from..=rule.to).contains(&status));
        let word = match rule {
            Some(rule) => rule.word,
            None if status == 0 => Word::Complete,
            None => self.on_failure,
        };
        Some(Ending { word, reason: with_tail(&words, finished) })
    }
}

/// What happened, and the end of the command's standard error.
fn with_tail(words: &str, finished: &Finished) -> String {
    if finished.tail.is_empty() {
        return words.to_owned();
    }
    truncate_for_record(&format!("{words}; last output: {}", finished.tail))
}

/// The exit status as a shell reports it.
pub(crate) fn status_of(end: &CommandEnd) -> u8 {
    match end {
        CommandEnd::Exited(status) => u8::try_from(*status).unwrap_or(u8::MAX),
        CommandEnd::Signalled(signal) => u8::try_from(128 + *signal).unwrap_or(u8::MAX),
        CommandEnd::Lost(_) => 1,
    }
}

/// The exit status as a shell reports it: 127 for a program that is not found, 126 for one that can't be executed.
pub(crate) fn status_of_start(error: &StartError) -> u8 {
    match error {
        StartError::NotFound { .. } => 127,
        StartError::NotExecutable { .. } => 126,
        StartError::Failed { .. } | _ => 1,
    }
}

fn words_of(end: &CommandEnd) -> String {
    match end {
        CommandEnd::Exited(status) => format!("the command exited with status {status}"),
        CommandEnd::Signalled(signal) => format!("the command was ended by signal {signal}"),
        CommandEnd::Lost(why) => format!("it is not known how the command ended: {why}"),
    }
}

impl Ending {
    /// Records the end of the task.
    pub(crate) async fn record(&self, lease: &KeptLease) -> Result<Task, tenure::Error> {
        match self.word {
            Word::Complete => lease.complete().await,
            Word::Rollback => lease.roll_back(&self.reason).await,
            Word::Fail => lease.fail(&self.reason).await,
            Word::Release => lease.release(&self.reason, Duration::ZERO).await,
            Word::Quarantine => lease.quarantine(&self.reason).await,
        }
    }

    /// The result for a worker, which records it itself.
    pub(crate) fn returned(self) -> Result<Option<Document>, WorkError> {
        match self.word {
            Word::Complete => Ok(None),
            Word::Rollback => Err(WorkError::RollBack(self.reason)),
            Word::Fail => Err(WorkError::Fail(self.reason)),
            Word::Release => Err(WorkError::Retry(self.reason, Duration::ZERO)),
            Word::Quarantine => Err(WorkError::Quarantine(self.reason)),
        }
    }

    /// The command line that records it by hand.
    pub(crate) fn by_hand(&self, lease: &KeptLease, store: &str) -> String {
        let (id, holder) = (lease.id(), lease.holder());
        let verb = self.word.as_str();
        let mut words = format!("tenure task {verb} {id} --owner {} --epoch {}", holder.owner, holder.epoch);
        words.push_str(&format!(
            " --store {}",
            quoted(&tenure::ledger::url_without_secrets(store).to_string())
        ));
        let namespace = lease.ledger().namespace().as_str();
        if namespace != tenure::ledger::DEFAULT_NAMESPACE {
            words.push_str(&format!(" --namespace {namespace}"));
        }
        if self.word != Word::Complete {
            words.push_str(&format!(" --reason {}", quoted(&self.reason)));
        }
        if self.word == Word::Fail {
            words.push_str(" --undo none=-");
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(on_failure: Word, rules: &[&str]) -> Ends {
        let on_status = rules.iter().map(|text| rule(text).expect("a rule")).collect();
        Ends { on_failure, on_status }
    }

    fn ended(end: CommandEnd) -> Finished {
        Finished { why: StopReason::ItsOwn, end: Some(end), tail: String::new(), copies: Vec::new() }
    }

    #[test]
    fn a_status_becomes_what_the_options_say_and_the_last_rule_counts() {
        let ends = ends(Word::Fail, &["3-9=release", "5=complete", "143=quarantine", "0=rollback"]);
        let word = |end| ends.of(&ended(end)).map(|ending| ending.word);
        assert_eq!(word(CommandEnd::Exited(1)), Some(Word::Fail));
        assert_eq!(word(CommandEnd::Exited(4)), Some(Word::Release));
        assert_eq!(word(CommandEnd::Exited(5)), Some(Word::Complete));
        assert_eq!(word(CommandEnd::Signalled(15)), Some(Word::Quarantine));
        assert_eq!(word(CommandEnd::Exited(0)), Some(Word::Rollback));
    }

    #[test]
    fn what_is_lost_is_not_spoken_of_and_what_was_cancelled_is_undone() {
        let ends = ends(Word::Fail, &[]);
        let finished =
            |why| Finished { why, end: Some(CommandEnd::Exited(0)), tail: String::new(), copies: Vec::new() };
        assert_eq!(ends.of(&finished(StopReason::Lost)), None);
        assert_eq!(ends.of(&finished(StopReason::Cancelled)).map(|ending| ending.word), Some(Word::Rollback));
        assert_eq!(ends.of(&finished(StopReason::ToldToStop)).map(|ending| ending.word), Some(Word::Release));
    }

    #[test]
    fn a_rule_that_makes_no_sense_is_told() {
        for wrong in ["3", "x=fail", "300=fail", "9-3=fail", "3=explode", "=fail", "1-2-3=fail"] {
            assert!(rule(wrong).is_err(), "{wrong}");
        }
    }
}
