//! The values of options, and the groups of options that several commands take.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{ArgMatches, Args, FromArgMatches};
use clap_complete::ArgValueCompleter;
use tenure::core::refusal::Refusal;
use tenure::core::time::Span;
use tenure::instant;

use crate::complete;

/// The options that prove a lease.
#[derive(Args, Clone, Default)]
pub(crate) struct ByLease {
    /// Owner of the lease [env: TENURE_OWNER]
    #[arg(long, value_name = "OWNER", add = ArgValueCompleter::new(complete::owners))]
    pub(crate) owner: Option<String>,
    /// Epoch of the lease, as acquire printed it [env: TENURE_EPOCH]
    #[arg(long, value_name = "EPOCH")]
    pub(crate) epoch: Option<u64>,
}

/// The option that names the actor.
#[derive(Args, Clone, Default)]
pub(crate) struct ByOperator {
    /// Name to record as the actor [default: the owner of the lease, or the login name]
    #[arg(long = "as", value_name = "WHO")]
    pub(crate) who: Option<String>,
}

/// The id of a task.
#[derive(Args, Clone)]
pub(crate) struct TaskArgument {
    /// Task id [env: TENURE_TASK]
    #[arg(value_name = "ID", add = ArgValueCompleter::new(complete::tasks))]
    pub(crate) id: Option<String>,
}

/// The length of a lease or reservation.
#[derive(Args, Clone)]
pub(crate) struct Length {
    /// How long a lease or reservation lasts, 1s to 7d [default: the ttl of the task's policy]
    #[arg(long, value_name = "DURATION")]
    ttl: Option<String>,
}

impl Length {
    pub(crate) fn span(&self) -> Result<Option<Span>, Refusal> {
        span("ttl", self.ttl.as_deref())
    }
}

/// A duration that can be left out.
pub(crate) fn span(field: &'static str, text: Option<&str>) -> Result<Option<Span>, Refusal> {
    text.map(|text| instant::parse_span(field, text)).transpose()
}

/// Splits `key=value` at the first `=`.
pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// Splits `kind=target` at the first `=`.
fn kind_and_target(text: &str) -> Result<(String, String), String> {
    pair(text).map_err(|_| "expected KIND=TARGET, such as remove-worktree=/tmp/wt-42".to_owned())
}

/// Refuses labels of which two have the same key.
pub(crate) fn each_key_once(labels: &[(String, String)]) -> Result<(), Refusal> {
    for (nth, (key, _)) in labels.iter().enumerate() {
        if labels[..nth].iter().any(|(before, _)| before == key) {
            return Err(Refusal::invalid("labels", format_args!("the key {key} is given twice")));
        }
    }
    Ok(())
}

/// Parses `2=gone`: the number of a compensation and why it need not be undone.
fn waiver(text: &str) -> Result<(u32, String), String> {
    numbered(text, "expected NUMBER=REASON, such as 2=gone")
}

/// Parses `2=removed by hand`: the number of a compensation and the receipt of its undo.
fn receipt(text: &str) -> Result<(u32, String), String> {
    numbered(text, "expected NUMBER=RECEIPT, such as '2=removed by hand'")
}

fn numbered(text: &str, form: &str) -> Result<(u32, String), String> {
    let (seq, words) = text.split_once('=').ok_or(form)?;
    Ok((seq.parse().map_err(|_| form)?, words.to_owned()))
}

/// What became of owed compensations outside of Tenure.
#[derive(Args, Clone)]
pub(crate) struct SettledByHand {
    /// Number of an owed compensation that was undone by hand, and the receipt. Can be repeated
    #[arg(long = "receipt", value_name = "NUMBER=RECEIPT", value_parser = receipt)]
    pub(crate) receipts: Vec<(u32, String)>,
    /// Number of an owed compensation that need not be undone, and why. Can be repeated
    #[arg(long = "waive", value_name = "NUMBER=REASON", value_parser = waiver)]
    pub(crate) waivers: Vec<(u32, String)>,
}

/// A parser for one of a fixed set of words.
pub(crate) fn one_of<T: Copy + Send + Sync + 'static>(
    all: &'static [T],
    word: fn(T) -> &'static str,
) -> impl TypedValueParser<Value = T> {
    let words = PossibleValuesParser::new(all.iter().map(|value| word(*value)));
    words.try_map(move |given| all.iter().copied().find(|value| word(*value) == given).ok_or("no such word"))
}

/// All `--undo KIND=TARGET` options, each with the `--undo-reason` that follows it.
#[derive(Clone, Default)]
pub(crate) struct Undos(pub(crate) Vec<UndoWords>);

/// One side effect to undo.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct UndoWords {
    pub(crate) kind: String,
    pub(crate) target: String,
    pub(crate) reason: Option<String>,
}

#[derive(Args)]
struct UndoOptions {
    /// How to undo a side effect: the handler, and after the first = the target. Can be repeated
    #[arg(long, value_name = "KIND=TARGET", value_parser = kind_and_target)]
    undo: Vec<(String, String)>,
    /// Reason for the --undo before it; also @FILE or @-
    #[arg(long, value_name = "TEXT")]
    undo_reason: Vec<String>,
}

impl Args for Undos {
    fn augment_args(command: clap::Command) -> clap::Command {
        UndoOptions::augment_args(command)
    }
    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        UndoOptions::augment_args(command)
    }
}

impl FromArgMatches for Undos {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Undos, clap::Error> {
        let options = UndoOptions::from_arg_matches(matches)?;
        let places = |name| matches.indices_of(name).into_iter().flatten();
        let pairs = places("undo").zip(options.undo);
        let mut undos: Vec<(usize, UndoWords)> =
            pairs.map(|(at, (kind, target))| (at, UndoWords { kind, target, reason: None })).collect();
        for (at, reason) in places("undo_reason").zip(options.undo_reason) {
            let before = undos.iter_mut().rev().find(|(undo, _)| *undo < at);
            match before {
                Some((_, undo)) if undo.reason.is_none() => undo.reason = Some(reason),
                Some(_) | None => {
                    return Err(clap::Error::raw(
                        clap::error::ErrorKind::ArgumentConflict,
                        "an --undo-reason must follow its --undo, and each --undo can have one\n",
                    ));
                }
            }
        }
        Ok(Undos(undos.into_iter().map(|(_, undo)| undo).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Undos::from_arg_matches(matches)?;
        Ok(())
    }
}
