//! Notes of `tenure run` and `tenure worker` about a task, apart from the command's output.

use std::fmt;

use tenure::core::id::{Epoch, TaskId};
use tenure::keeper::KeptLease;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

/// A note about a task.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct TaskNote {
    task: TaskId,
    epoch: Epoch,
    words: String,
}

impl fmt::Display for TaskNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} epoch {}: {}", self.task, self.epoch, self.words)
    }
}

/// Sends notes about one task to the code that prints them.
#[derive(Clone)]
pub(crate) struct Notes {
    to: UnboundedSender<TaskNote>,
    task: TaskId,
    epoch: Epoch,
}

impl Notes {
    /// Notes about the task of this lease, and the receiver for them.
    pub(crate) fn of(lease: &KeptLease) -> (Notes, UnboundedReceiver<TaskNote>) {
        let (to, from) = mpsc::unbounded_channel();
        (Notes::to(to, lease), from)
    }

    /// The same, to a receiver that several tasks share.
    pub(crate) fn to(to: UnboundedSender<TaskNote>, lease: &KeptLease) -> Notes {
        Notes { to, task: lease.id().clone(), epoch: lease.holder().epoch }
    }

    pub(crate) fn tell(&self, words: impl Into<String>) {
        // A note that can't be printed must not stop the work.
        let _ = self.to.send(TaskNote { task: self.task.clone(), epoch: self.epoch, words: words.into() });
    }
}
