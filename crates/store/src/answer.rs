//! What a command that was done is answered with.

use tenure_api::answer::{MinimalTask, Renewal};
use tenure_core::task::Task;

/// The answer to a command that was done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// The task afterwards.
    Task(Box<Task>),
    /// The tasks granted by a claim, in claim order.
    Claimed(Vec<Task>),
    /// The answer to a heartbeat or a progress.
    Renewed(Renewal),
    /// The new task of a retry, and the old one.
    Retried(Box<Task>, Box<Task>),
    /// A short form of the above, for a caller that did not ask for whole tasks.
    Minimal(MinimalAnswer),
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
