//! The form of answers and their size limits. A command whose answer does not fit is not executed.

use tenure_core::command::Command;

use crate::answer::Answer;
use crate::error::Error;

pub use crate::answer::MinimalAnswer;
pub use tenure_api::answer::{MinimalLease, MinimalTask};

/// The most bytes of tasks that one claim grants, however many were asked for: a single one is granted whatever its size.
pub const CLAIM_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How much of a task an answer contains.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum AnswerForm {
    /// All of it.
    #[default]
    Whole,
    /// The whole task where a lease was granted, because the worker needs its payload; else the fields of [`MinimalTask`].
    GrantsWhole,
    /// What is in [`MinimalTask`].
    Minimal,
}

/// Options for answers to commands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct AnswerOptions {
    /// How much of a task each answer has.
    pub form: AnswerForm,
    /// The maximum bytes of JSON of all answers together. A command whose answer does not fit is not
    /// executed, nor are those after it.
    pub bytes_max: usize,
}

tenure_core::with_changes!(AnswerOptions);

/// Whole, whatever its size: for callers that have the store in their own process.
impl Default for AnswerOptions {
    fn default() -> AnswerOptions {
        AnswerOptions { form: AnswerForm::Whole, bytes_max: usize::MAX }
    }
}

/// The result of some commands: answers to the first of them, and the commands that were not executed.
#[derive(Debug, Default)]
pub struct Answered {
    /// The answers, in the order of the commands.
    pub answers: Vec<Result<Answer, Error>>,
    /// The remaining commands, of which nothing was done.
    pub rest: Vec<Command>,
    /// The size of the next answer, if the rest was left because of it. Otherwise the transaction was full,
    /// and the rest can be sent again unchanged.
    pub next_bytes: Option<usize>,
}

impl Answered {
    /// All were answered.
    pub fn all(answers: Vec<Result<Answer, Error>>) -> Answered {
        Answered { answers, ..Answered::default() }
    }
}
