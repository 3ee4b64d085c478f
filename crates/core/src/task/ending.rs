//! How a task ended: the cause, the reason, and whether a person has handled it.

use super::state::Terminal;
use crate::id::{Actor, Document, Reason, TaskId};
use crate::time::Time;

/// What brought a task to its end.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Cause {
    /// Its holder completed it.
    Completed,
    /// Its holder failed it.
    Failed,
    /// It was rolled back and its attempts are spent.
    RolledBack,
    /// Its lease lapsed, and its attempts are spent or its policy parks it.
    Lapsed,
    /// Like `lapsed`, but the lease ended because there was no progress for the policy's `stall_after`.
    Stalled,
    /// Like `lapsed`, but the lease ended at the policy's `time_limit`.
    OutOfTime,
    /// It was cancelled.
    Cancelled,
    /// Its attempts are spent and its policy parks it then.
    AttemptsSpent,
    /// No attempt began in time.
    NotStarted,
    /// No handler exists for a kind of undo that it owes.
    UndoUnhandled,
    /// An undo kept failing.
    UndoFailed,
    /// Its holder parked it.
    ByHolder,
    /// An operator marked it.
    ByOperator,
}

impl Cause {
    /// Every cause.
    pub const ALL: [Cause; 13] = [
        Cause::Completed,
        Cause::Failed,
        Cause::RolledBack,
        Cause::Lapsed,
        Cause::Stalled,
        Cause::OutOfTime,
        Cause::Cancelled,
        Cause::AttemptsSpent,
        Cause::NotStarted,
        Cause::UndoUnhandled,
        Cause::UndoFailed,
        Cause::ByHolder,
        Cause::ByOperator,
    ];

    /// The cause as interfaces write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Cause::Completed => "completed",
            Cause::Failed => "failed",
            Cause::RolledBack => "rolled_back",
            Cause::Lapsed => "lapsed",
            Cause::Stalled => "stalled",
            Cause::OutOfTime => "out_of_time",
            Cause::Cancelled => "cancelled",
            Cause::AttemptsSpent => "attempts_spent",
            Cause::NotStarted => "not_started",
            Cause::UndoUnhandled => "undo_unhandled",
            Cause::UndoFailed => "undo_failed",
            Cause::ByHolder => "by_holder",
            Cause::ByOperator => "by_operator",
        }
    }
}

impl Terminal {
    /// Whether a task in this state and with this cause did not succeed. Only a completion or a cancel is a
    /// success.
    pub fn is_bad(self, cause: Cause) -> bool {
        self != Terminal::Completed && cause != Cause::Cancelled
    }
}

/// How a task ended.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Ending {
    /// In which state.
    pub state: Terminal,
    /// What brought it there.
    pub cause: Cause,
    /// Why, in words. An annotation may correct it; the old text stays in the history.
    pub reason: Option<Reason>,
    /// What the work gave.
    pub result: Option<Document>,
    /// When.
    pub finished_at: Time,
    /// The new task that a person made of it.
    pub retried_as: Option<TaskId>,
    /// A person has dismissed it: it needs no more attention.
    pub dismissed: Option<Dismissal>,
}

/// The dismissal of an end by a person: it needs no more attention.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Dismissal {
    /// When.
    pub at: Time,
    /// Who.
    pub by: Actor,
    /// Why.
    pub note: Reason,
}

impl Ending {
    /// Whether it did not succeed: everything but a completion and a cancel.
    pub fn is_bad(&self) -> bool {
        self.state.is_bad(self.cause)
    }

    /// Whether a person has handled it, by a retry or a dismissal.
    pub fn is_attended(&self) -> bool {
        self.retried_as.is_some() || self.dismissed.is_some()
    }
}
