//! The space that answers may take, and what a transaction may read.

use tenure_core::task::Task;

use crate::answer::{Answer, MinimalAnswer};
use crate::answering::{AnswerForm, AnswerOptions, MinimalTask};
use crate::size::task_bytes;

/// The bytes of tasks that are read in one transaction; a command that comes after them begins in the next. A single one is
/// executed whatever its size.
const TRANSACTION_BYTES_MAX: usize = 32 * 1024 * 1024;

/// The remaining space: for a caller's answers, and in the transaction.
#[derive(Debug)]
pub struct AnswerBudget {
    form: AnswerForm,
    answer_bytes_left: usize,
    /// The bytes of tasks and histories that were read for the transaction.
    read_bytes: usize,
}

impl AnswerBudget {
    /// The whole space of a new transaction.
    pub fn of_a_transaction() -> AnswerBudget {
        AnswerBudget { form: AnswerForm::Whole, answer_bytes_left: usize::MAX, read_bytes: 0 }
    }

    /// The commands that come are answered by these options.
    pub fn begin(&mut self, options: AnswerOptions) {
        (self.form, self.answer_bytes_left) = (options.form, options.bytes_max);
    }

    /// Whether another command may begin.
    pub fn is_full(&self) -> bool {
        self.read_bytes >= TRANSACTION_BYTES_MAX
    }

    /// So much was read.
    pub fn has_read(&mut self, bytes: usize) {
        self.read_bytes = self.read_bytes.saturating_add(bytes);
    }

    /// How many bytes a task has in the answer to a command that grants a lease, or does not.
    pub fn bytes_of(&self, task: &Task, grants: bool) -> usize {
        if self.is_whole(grants) { task_bytes(task) } else { MinimalTask::BYTES_MAX }
    }

    /// Reserves space for an answer of that size; if there is not enough, reserves nothing.
    pub fn take(&mut self, bytes: usize) -> Result<(), TooLarge> {
        self.answer_bytes_left = self.answer_bytes_left.checked_sub(bytes).ok_or(TooLarge { bytes })?;
        Ok(())
    }

    /// The answer in the form in which it was asked for.
    pub fn formed(&self, answer: Answer, grants: bool) -> Answer {
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
pub struct TooLarge {
    /// What it takes.
    pub bytes: usize,
}
