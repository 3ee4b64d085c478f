//! What `tenure run` and `tenure worker` say themselves of a task, beside what its command writes.

use std::fmt;

use tenure::core::id::{Epoch, TaskId};
use tenure::keeper::KeptLease;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

/// A line about a task.
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

/// Takes lines about one task, to whoever prints them.
#[derive(Clone)]
pub(crate) struct Notes {
    to: UnboundedSender<TaskNote>,
    task: TaskId,
    epoch: Epoch,
}

impl Notes {
    /// About the task of that lease, with the end at which they come out.
    pub(crate) fn of(lease: &KeptLease) -> (Notes, UnboundedReceiver<TaskNote>) {
        let (to, from) = mpsc::unbounded_channel();
        (Notes::to(to, lease), from)
    }

    /// The same, to an end that takes those of several tasks.
    pub(crate) fn to(to: UnboundedSender<TaskNote>, lease: &KeptLease) -> Notes {
        Notes { to, task: lease.id().clone(), epoch: lease.holder().epoch }
    }

    pub(crate) fn tell(&self, words: impl Into<String>) {
        // Who can't be told is not kept from the work.
        let _ = self.to.send(TaskNote { task: self.task.clone(), epoch: self.epoch, words: words.into() });
    }
}
