//! Prints the demo: headings, commands with their output, and a line for each event as it comes.
//!
//! Lines are wrapped at the width of the terminal; without one they are left whole.

use std::borrow::Cow;

use tenure::core::event::{Event, EventData};
use tenure::core::time::Time;
use textwrap::WordSplitter::NoHyphenation;

use crate::context::Context;
use crate::error::CliError;
use crate::global::OutputFormat;
use crate::output::{Colour, harmless_line};

/// Wider lines are hard to read, however wide the terminal is.
const COLUMNS_MAX: usize = 100;
/// Sentences are wrapped at this width without a terminal, too.
const SENTENCE_COLUMNS_MAX: usize = 76;
/// The column of an event's text, after time, actor and task.
const EVENT_INDENT: usize = 28;

/// Prints the demo as it happens.
pub(super) struct Teller<'s, 'a, 'w> {
    pub(super) context: &'s mut Context<'a, 'w>,
    /// The time of the first event: times are printed relative to it.
    began: Option<Time>,
}

impl<'s, 'a, 'w> Teller<'s, 'a, 'w> {
    pub(super) fn new(context: &'s mut Context<'a, 'w>) -> Teller<'s, 'a, 'w> {
        Teller { context, began: None }
    }

    pub(super) fn heading(&mut self, words: &str) -> Result<(), CliError> {
        self.say("", 0, "", None)?;
        self.say("", 0, words, Some(Colour::Strong))
    }

    /// Prints an explanation.
    pub(super) fn explain(&mut self, words: &str) -> Result<(), CliError> {
        let columns =
            self.columns().map_or(SENTENCE_COLUMNS_MAX, |columns| columns.min(SENTENCE_COLUMNS_MAX));
        wrapped(words, Some(columns.saturating_sub(2)))
            .iter()
            .try_for_each(|line| self.say("  ", 2, line, None))
    }

    /// Prints a command as it could be typed.
    pub(super) fn command(&mut self, words: &str) -> Result<(), CliError> {
        let sign = self.context.out.painted("$ ", Colour::Busy);
        self.say(&sign, 4, words, Some(Colour::Busy))
    }

    /// Prints a line of a command's output.
    pub(super) fn printed(&mut self, words: &str) -> Result<(), CliError> {
        self.say("    ", 4, words, Some(Colour::Faint))
    }

    /// Prints a statement that was checked.
    pub(super) fn is_so(&mut self, words: &str) -> Result<(), CliError> {
        let sign = self.context.out.painted("  ✓ ", Colour::Good);
        self.say(&sign, 4, words, Some(Colour::Good))
    }

    /// Prints an event. The creation of tasks is printed for all of them together, and sweeps are not.
    pub(super) fn event(&mut self, event: &Event) -> Result<(), CliError> {
        self.began.get_or_insert(event.at);
        match words_of(&event.what) {
            Some(words) => self.happened(event.at, event.actor.as_str(), event.subject.as_str(), &words),
            None => Ok(()),
        }
    }

    /// Prints what happened to a task.
    pub(super) fn happened(&mut self, at: Time, who: &str, task: &str, words: &str) -> Result<(), CliError> {
        let after = at.since(*self.began.get_or_insert(at)).as_micros() / 100_000;
        let who = if who.starts_with("recovery/") { "recovery" } else { who };
        let time = format!("{:>3}.{}s", after / 10, after % 10);
        let out = &self.context.out;
        let (time, who) =
            (out.painted(&time, Colour::Faint), out.painted(&format!("{who:<8}"), colour_of(who)));
        self.say(&format!("{time}  {who}  {task:<8}  "), EVENT_INDENT, words, None)
    }

    fn columns(&self) -> Option<usize> {
        self.context.out.width().map(|width| usize::from(width).min(COLUMNS_MAX))
    }

    /// Prints text after a prefix. The first line has the prefix, the others are indented.
    fn say(
        &mut self,
        before: &str,
        indent: usize,
        words: &str,
        colour: Option<Colour>,
    ) -> Result<(), CliError> {
        let columns = self.columns().map(|columns| columns.saturating_sub(indent));
        let out = &mut self.context.out;
        if out.form() == OutputFormat::Json || out.is_quiet() {
            return Ok(());
        }
        let indented = " ".repeat(indent);
        for (nth, line) in wrapped(&harmless_line(words), columns).iter().enumerate() {
            let before = if nth == 0 { before } else { &indented };
            let line = colour.map_or(line.to_string(), |colour| out.painted(line, colour));
            out.line(&format!("{before}{line}"))?;
        }
        out.flush()
    }
}

/// The colour of each actor.
fn colour_of(who: &str) -> Colour {
    match who {
        "w1" => Colour::First,
        "w2" => Colour::Second,
        "w3" => Colour::Third,
        _ => Colour::Good,
    }
}

/// An event in words; none if it is not printed.
fn words_of(what: &EventData) -> Option<String> {
    Some(match what {
        // A sweep's tasks are told of one by one.
        EventData::Created(_) | EventData::RecoverySwept { .. } => return None,
        EventData::Registered { .. } => "registers its undo".to_owned(),
        EventData::Acquired(grant) => format!("acquires the lease, epoch {}", grant.epoch),
        EventData::Reclaimed(grant) => match &grant.lapsed {
            Some(lapsed) => {
                format!("takes over under epoch {1}: {0}'s lease lapsed", lapsed.owner, grant.epoch)
            }
            None => format!("takes over under epoch {}", grant.epoch),
        },
        EventData::Settled { receipt, .. } => format!("undone; receipt: {}", said_last(receipt.as_str())),
        EventData::Tried { error, .. } => format!("undo failed: {}", said_last(error.as_str())),
        EventData::Replanned { .. } => "planned again".to_owned(),
        EventData::RolledBack { reason, .. } => format!("gives up: {reason}"),
        EventData::Released { reason, .. } => format!("released: {reason}"),
        EventData::Changed(_)
        | EventData::Dispatched { .. }
        | EventData::Renewed { .. }
        | EventData::Progressed { .. }
        | EventData::Lapsed { .. }
        | EventData::Adopted { .. }
        | EventData::Waived(_)
        | EventData::CancelAsked { .. }
        | EventData::Labelled { .. }
        | EventData::Ended(_)
        | EventData::Annotated { .. }
        | EventData::Retried { .. } => what.kind().replace('_', " "),
        // Of a later version.
        _ => what.kind().replace('_', " "),
    })
}

/// A command's receipt has its exit status, then its output.
fn said_last(receipt: &str) -> &str {
    let last = receipt.lines().next_back().unwrap_or(receipt);
    last.strip_prefix("output: ").unwrap_or(last)
}

/// Wraps the text at blanks to this many columns. A longer word stays whole, so that it can be copied.
fn wrapped(text: &str, columns: Option<usize>) -> Vec<Cow<'_, str>> {
    let Some(columns) = columns else { return vec![text.into()] };
    let options = textwrap::Options::new(columns).break_words(false).word_splitter(NoHyphenation);
    textwrap::wrap(text, options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_wrapped_at_blanks_and_words_stay_whole() {
        assert_eq!(wrapped("one two three", None), ["one two three"]);
        assert_eq!(wrapped("one two three", Some(7)), ["one two", "three"]);
        assert_eq!(wrapped("one two-threefour", Some(7)), ["one", "two-threefour"]);
        assert_eq!(wrapped("", Some(7)), [""]);
    }

    #[test]
    fn of_a_receipt_what_the_command_printed_last_is_told() {
        assert_eq!(said_last("exited with 0\noutput: removed a"), "removed a");
        assert_eq!(said_last("exited with 0"), "exited with 0");
    }
}
