//! The guards of what is only said of a task: its labels, notes, and words on its end.

use super::{holds_active, task_is};
use crate::case::Case;
use crate::command::{HolderAction, OperatorAction};
use crate::event::{LabelChanges, Triage};
use crate::task::LABELS_MAX;

// ---- labels --------------------------------------------------------------------------------------------------

/// The labels that a command sets and removes.
pub(crate) fn label_changes<'a>(case: &Case<'a>) -> Option<&'a LabelChanges> {
    match (case.by_holder(), case.by_operator()) {
        (Some(HolderAction::Label { changes }), _) | (_, Some(OperatorAction::Label { changes, .. })) => {
            Some(changes)
        }
        (_, _) => None,
    }
}

pub(crate) fn labels_fit(case: &Case) -> bool {
    let Some(changes) = label_changes(case) else { return false };
    task_is(case, |task| changes.applied_to(&task.labels).len() <= LABELS_MAX)
}

pub(crate) fn labels_do_not_fit(case: &Case) -> bool {
    !labels_fit(case)
}

pub(crate) fn holds_active_and_labels_fit(case: &Case) -> bool {
    holds_active(case) && labels_fit(case)
}

pub(crate) fn holds_active_and_labels_do_not_fit(case: &Case) -> bool {
    holds_active(case) && !labels_fit(case)
}

// ---- a note --------------------------------------------------------------------------------------------------

/// It gives a corrected reason for the end, or dismisses it.
pub(crate) fn is_about_the_end(case: &Case) -> bool {
    corrects_the_end(case) || dismisses(case)
}

pub(crate) fn gives_only_a_note(case: &Case) -> bool {
    !is_about_the_end(case)
}

pub(crate) fn dismisses(case: &Case) -> bool {
    matches!(case.by_operator(), Some(OperatorAction::Annotate { triage: Triage::Dismissed, .. }))
}

pub(crate) fn dismisses_nothing(case: &Case) -> bool {
    !dismisses(case)
}

fn corrects_the_end(case: &Case) -> bool {
    matches!(case.by_operator(), Some(OperatorAction::Annotate { terminal_reason: Some(_), .. }))
}
