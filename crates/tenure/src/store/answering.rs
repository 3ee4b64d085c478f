//! The form of answers and their size limits. A command whose answer does not fit is not executed.

use tenure_core::command::Command;
use tenure_core::task::Task;

use crate::error::Error;
use crate::store::Answer;
use crate::store::size::task_bytes;

pub use tenure_api::answer::{MinimalLease, MinimalTask};

/// The most bytes of tasks that one claim grants, however many were asked for: a single one is granted whatever its size.
pub const CLAIM_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The bytes of tasks that are read in one transaction; a command that comes after them begins in the next. A single one is
/// executed whatever its size.
pub(crate) const TRANSACTION_BYTES_MAX: usize = 32 * 1024 * 1024;

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
pub struct AnswerOptions {
    /// How much of a task each answer has.
    pub form: AnswerForm,
    /// The maximum bytes of JSON of all answers together. A command whose answer does not fit is not
    /// executed, nor are those after it.
    pub bytes_max: usize,
}

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

/// What a command on tasks came to, in the minimal form.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MinimalAnswer {
    /// The task afterwards.
    Task(Box<MinimalTask>),
    /// The tasks that a claim granted.
    Claimed(Vec<MinimalTask>),
    /// The new task of a retry, and the old one.
    Retried(Box<MinimalTask>, Box<MinimalTask>),
}

/// The remaining space: for a caller's answers, and in the transaction.
#[derive(Debug)]
pub(crate) struct AnswerBudget {
    form: AnswerForm,
    answer_bytes_left: usize,
    /// The bytes of tasks and histories that were read for the transaction.
    read_bytes: usize,
}

impl AnswerBudget {
    /// The whole space of a new transaction.
    pub(crate) fn new() -> AnswerBudget {
        AnswerBudget { form: AnswerForm::Whole, answer_bytes_left: usize::MAX, read_bytes: 0 }
    }

    /// The commands that come are answered by these options.
    pub(crate) fn begin(&mut self, options: AnswerOptions) {
        (self.form, self.answer_bytes_left) = (options.form, options.bytes_max);
    }

    /// Whether another command may begin.
    pub(crate) fn is_full(&self) -> bool {
        self.read_bytes >= TRANSACTION_BYTES_MAX
    }

    /// So much was read.
    pub(crate) fn has_read(&mut self, bytes: usize) {
        self.read_bytes = self.read_bytes.saturating_add(bytes);
    }

    /// How many bytes a task has in the answer to a command that grants a lease, or does not.
    pub(crate) fn bytes_of(&self, task: &Task, grants: bool) -> usize {
        if self.is_whole(grants) { task_bytes(task) } else { MinimalTask::BYTES_MAX }
    }

    /// Reserves space for an answer of that size; if there is not enough, reserves nothing.
    pub(crate) fn take(&mut self, bytes: usize) -> Result<(), TooLarge> {
        self.answer_bytes_left = self.answer_bytes_left.checked_sub(bytes).ok_or(TooLarge { bytes })?;
        Ok(())
    }

    /// The answer in the form in which it was asked for.
    pub(crate) fn formed(&self, answer: Answer, grants: bool) -> Answer {
        if self.is_whole(grants) {
            return answer;
        }
        let minimal = |task: Box<Task>| Box::new(MinimalTask::from(&*task));
        match answer {
            Answer::Task(task) => Answer::Minimal(MinimalAnswer::Task(minimal(task))),
            Answer::Claimed(tasks) => {
                Answer::Minimal(MinimalAnswer::Claimed(tasks.iter().map(MinimalTask::from).collect()))
            }
            Answer::Retried(new, old) => Answer::Minimal(MinimalAnswer::Retried(minimal(new), minimal(old))),
            Answer::Renewed(_) | Answer::Minimal(_) => answer,
        }
    }

    fn is_whole(&self, grants: bool) -> bool {
        match self.form {
            AnswerForm::Whole => true,
            AnswerForm::GrantsWhole => grants,
            AnswerForm::Minimal => false,
        }
    }
}

/// An answer does not fit into what is left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TooLarge {
    /// What it takes.
    pub(crate) bytes: usize,
}
