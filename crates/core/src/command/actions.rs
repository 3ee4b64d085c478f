//! What is known of each action of a holder and of an operator: its verb, its document, the compensation that it names, and its
//! limits.

use super::{Action, Holder, HolderAction, OperatorAction, check_count};
use crate::compensation::COMPENSATIONS_MAX;
use crate::event::{Triage, Waiver};
use crate::id::{Document, Seq, TaskId};
use crate::refusal::Refusal;
use crate::time::Span;
use crate::verb::Verb;

fn named<'a>(
    field: &'static str,
    document: &'a mut Option<Document>,
) -> Option<(&'static str, &'a mut Document)> {
    Some((field, document.as_mut()?))
}

impl HolderAction {
    /// The action on that task, with the proof of its lease.
    pub fn on(self, task: TaskId, by: Holder) -> Action {
        Action::ByHolder { task, by, act: self }
    }

    pub(super) const fn verb(&self) -> Verb {
        match self {
            HolderAction::Heartbeat { .. } => Verb::Heartbeat,
            HolderAction::Progress { .. } => Verb::Progress,
            HolderAction::Release { .. } => Verb::Release,
            HolderAction::Register { .. } => Verb::Register,
            HolderAction::Adopt => Verb::Adopt,
            HolderAction::Settle { .. } => Verb::Settle,
            HolderAction::Try { .. } => Verb::Try,
            HolderAction::Complete { .. } => Verb::Complete,
            HolderAction::Fail { .. } => Verb::Fail,
            HolderAction::RollBack { .. } => Verb::RollBack,
            HolderAction::Quarantine { .. } => Verb::Quarantine,
        }
    }

    pub(super) fn document_mut(&mut self) -> Option<(&'static str, &mut Document)> {
        match self {
            HolderAction::Heartbeat { checkpoint, .. } | HolderAction::Progress { checkpoint, .. } => {
                named("checkpoint", checkpoint)
            }
            HolderAction::Complete { result } => named("result", result),
            HolderAction::Release { .. }
            | HolderAction::Register { .. }
            | HolderAction::Adopt
            | HolderAction::Settle { .. }
            | HolderAction::Try { .. }
            | HolderAction::Fail { .. }
            | HolderAction::RollBack { .. }
            | HolderAction::Quarantine { .. } => None,
        }
    }

    pub(super) fn seq(&self) -> Option<Seq> {
        match self {
            HolderAction::Settle { seq, .. } | HolderAction::Try { seq, .. } => Some(*seq),
            HolderAction::Heartbeat { .. }
            | HolderAction::Progress { .. }
            | HolderAction::Release { .. }
            | HolderAction::Register { .. }
            | HolderAction::Adopt
            | HolderAction::Complete { .. }
            | HolderAction::Fail { .. }
            | HolderAction::RollBack { .. }
            | HolderAction::Quarantine { .. } => None,
        }
    }

    pub(super) fn check(&self) -> Result<(), Refusal> {
        if let HolderAction::Release { delay: Some(delay), .. } = self
            && *delay > Span::from_days(3_650)
        {
            return Err(Refusal::invalid("delay", "up to 3650 days"));
        }
        if let HolderAction::Progress { progress: None, checkpoint: None } = self {
            return Err(Refusal::invalid("progress", "give progress, a checkpoint, or both"));
        }
        Ok(())
    }
}

impl OperatorAction {
    /// The action on that task.
    pub fn on(self, task: TaskId) -> Action {
        Action::ByOperator { task, act: self }
    }

    pub(super) const fn verb(&self) -> Verb {
        match self {
            OperatorAction::Register { .. } => Verb::RegisterBeforeLease,
            OperatorAction::Waive { .. } => Verb::Waive,
            OperatorAction::MarkCompleted { .. } => Verb::MarkCompleted,
            OperatorAction::MarkFailed { .. } => Verb::MarkFailed,
            OperatorAction::MarkCompensated { .. } => Verb::MarkCompensated,
            OperatorAction::MarkQuarantined { .. } => Verb::MarkQuarantined,
            OperatorAction::Cancel { .. } => Verb::Cancel,
            OperatorAction::Annotate { .. } => Verb::Annotate,
            OperatorAction::Retry { .. } => Verb::Retry,
        }
    }

    pub(super) fn document_mut(&mut self) -> Option<(&'static str, &mut Document)> {
        match self {
            OperatorAction::MarkCompleted { result, .. } => named("result", result),
            OperatorAction::Register { .. }
            | OperatorAction::Waive { .. }
            | OperatorAction::MarkFailed { .. }
            | OperatorAction::MarkCompensated { .. }
            | OperatorAction::MarkQuarantined { .. }
            | OperatorAction::Cancel { .. }
            | OperatorAction::Annotate { .. }
            | OperatorAction::Retry { .. } => None,
        }
    }

    pub(super) fn seq(&self) -> Option<Seq> {
        match self {
            OperatorAction::Waive { waiver } => Some(waiver.seq),
            OperatorAction::Register { .. }
            | OperatorAction::MarkCompleted { .. }
            | OperatorAction::MarkFailed { .. }
            | OperatorAction::MarkCompensated { .. }
            | OperatorAction::MarkQuarantined { .. }
            | OperatorAction::Cancel { .. }
            | OperatorAction::Annotate { .. }
            | OperatorAction::Retry { .. } => None,
        }
    }

    pub(super) fn check(&self, task: &TaskId) -> Result<(), Refusal> {
        match self {
            OperatorAction::Annotate { note: None, triage: Triage::Dismissed, .. } => {
                Err(Refusal::invalid("note", "to dismiss a task, give a note with the reason"))
            }
            OperatorAction::Annotate { note: None, terminal_reason: None, .. } => {
                Err(Refusal::invalid("note", "give a note, a terminal_reason, or both"))
            }
            OperatorAction::Retry { successor, .. } if task == successor => {
                Err(Refusal::invalid("id", "the new task needs another id"))
            }
            OperatorAction::MarkCompensated { waive, .. } | OperatorAction::Retry { waive, .. } => {
                check_waivers(waive)
            }
            OperatorAction::Register { .. }
            | OperatorAction::Waive { .. }
            | OperatorAction::MarkCompleted { .. }
            | OperatorAction::MarkFailed { .. }
            | OperatorAction::MarkQuarantined { .. }
            | OperatorAction::Cancel { .. }
            | OperatorAction::Annotate { .. } => Ok(()),
        }
    }
}

fn check_waivers(waive: &[Waiver]) -> Result<(), Refusal> {
    check_count("waive", waive.len(), COMPENSATIONS_MAX)?;
    let twice =
        waive.iter().enumerate().any(|(at, one)| waive[..at].iter().any(|other| other.seq == one.seq));
    if twice { Err(Refusal::invalid("waive", "give each compensation only once")) } else { Ok(()) }
}
