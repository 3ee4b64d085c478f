//! What is known of each action of a holder and of an operator: its verb, its document, the compensation that it names, and its
//! limits.

use std::collections::BTreeSet;

use super::{Action, Holder, HolderAction, OperatorAction, check_count};
use crate::compensation::COMPENSATIONS_MAX;
use crate::event::{HandReceipt, LabelChanges, Triage, Waiver};
use crate::id::{Document, Seq, TaskId};
use crate::refusal::Refusal;
use crate::task::LABELS_MAX;
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
            HolderAction::Label { .. } => Verb::Label,
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
            | HolderAction::Label { .. }
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
            | HolderAction::Label { .. }
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
        match self {
            HolderAction::Progress { progress: None, checkpoint: None } => {
                Err(Refusal::invalid("progress", "give progress, a checkpoint, or both"))
            }
            HolderAction::Label { changes } => check_labels(changes),
            HolderAction::Heartbeat { .. }
            | HolderAction::Progress { .. }
            | HolderAction::Release { .. }
            | HolderAction::Register { .. }
            | HolderAction::Adopt
            | HolderAction::Settle { .. }
            | HolderAction::Try { .. }
            | HolderAction::Complete { .. }
            | HolderAction::Fail { .. }
            | HolderAction::RollBack { .. }
            | HolderAction::Quarantine { .. } => Ok(()),
        }
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
            OperatorAction::Settle { .. } => Verb::SettleByHand,
            OperatorAction::Label { .. } => Verb::LabelByOperator,
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
            | OperatorAction::Settle { .. }
            | OperatorAction::Label { .. }
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
            OperatorAction::Settle { done, .. } => Some(done.seq),
            OperatorAction::Register { .. }
            | OperatorAction::Label { .. }
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
            OperatorAction::MarkCompensated { waive, settled, .. }
            | OperatorAction::Retry { waive, settled, .. } => check_settled(waive, settled),
            OperatorAction::Settle { done, .. } => check_receipt("receipt", done),
            OperatorAction::Label { changes, .. } => check_labels(changes),
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

/// Each compensation that is settled with another command is named once, as waived or with a receipt.
fn check_settled(waive: &[Waiver], settled: &[HandReceipt]) -> Result<(), Refusal> {
    check_count("waive", waive.len(), COMPENSATIONS_MAX)?;
    check_count("receipts", settled.len(), COMPENSATIONS_MAX)?;
    let mut named = BTreeSet::new();
    if !waive.iter().all(|one| named.insert(one.seq)) {
        return Err(Refusal::invalid("waive", "give each compensation only once"));
    }
    if !settled.iter().all(|one| named.insert(one.seq)) {
        return Err(Refusal::invalid(
            "receipts",
            "give each compensation only once, waived or with a receipt",
        ));
    }
    settled.iter().try_for_each(|one| check_receipt("receipts.receipt", one))
}

/// By hand, the receipt is all that shows that something was undone. That of a holder may be empty: a handler that has nothing to say
/// has run, and that is known without words.
fn check_receipt(field: &'static str, done: &HandReceipt) -> Result<(), Refusal> {
    if done.receipt.as_str().trim().is_empty() {
        let seq = done.seq;
        let limit =
            format_args!("must not be empty: say what shows that compensation {seq} was undone, or waive it");
        return Err(Refusal::invalid(field, limit));
    }
    Ok(())
}

fn check_labels(changes: &LabelChanges) -> Result<(), Refusal> {
    let LabelChanges { set, unset } = changes;
    if set.is_empty() && unset.is_empty() {
        return Err(Refusal::invalid("set", "give labels to set or to unset"));
    }
    check_count("set", set.len(), LABELS_MAX)?;
    check_count("unset", unset.len(), LABELS_MAX)?;
    match unset.iter().find(|key| set.contains_key(*key)) {
        Some(key) => Err(Refusal::invalid("unset", format_args!("`{key}` is also in set; give it once"))),
        None => Ok(()),
    }
}
