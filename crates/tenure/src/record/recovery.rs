//! The results of recovery, and its plans.

use serde::Serialize;
use tenure_core::id::{Namespace, TaskId};
use tenure_core::task::State;
use tenure_core::time::Time;

use super::Of;
use crate::recovery::{Planned, RecoveredTask, Report};
use crate::wire::{Held, Wired};

/// A task that recovery handled.
#[derive(Serialize)]
pub struct TendedRecord<'a> {
    namespace: Of<'a, Namespace>,
    task: Of<'a, TaskId>,
    outcome: &'static str,
    undone: Vec<UndoneRecord<'a>>,
    because: Option<&'a str>,
}

#[derive(Serialize)]
struct UndoneRecord<'a> {
    seq: u32,
    kind: &'a str,
    target: &'a str,
    receipt: &'a str,
}

impl<'a> TendedRecord<'a> {
    /// The task.
    pub fn of(tended: &'a RecoveredTask) -> TendedRecord<'a> {
        let undone = tended.undone.iter().map(|one| UndoneRecord {
            seq: one.seq,
            kind: &one.kind,
            target: &one.target,
            receipt: &one.receipt,
        });
        TendedRecord {
            namespace: Wired(&tended.namespace),
            task: Wired(&tended.task),
            outcome: tended.outcome.as_str(),
            undone: undone.collect(),
            because: tended.because.as_deref(),
        }
    }
}

/// A stale task, and what recovery would do with it.
#[derive(Serialize)]
pub struct PlannedRecord<'a> {
    namespace: Of<'a, Namespace>,
    task: Of<'a, TaskId>,
    state: Held<State>,
    due_at: Of<'a, Time>,
    becomes: Held<State>,
    undo: Vec<PlannedUndoRecord<'a>>,
    because: Option<&'a str>,
    why: &'a str,
}

#[derive(Serialize)]
struct PlannedUndoRecord<'a> {
    seq: u32,
    kind: &'a str,
    target: &'a str,
    tries: u32,
}

impl<'a> PlannedRecord<'a> {
    /// The task.
    pub fn of(planned: &'a Planned) -> PlannedRecord<'a> {
        let undo = planned.undo.iter().map(|one| PlannedUndoRecord {
            seq: one.seq,
            kind: &one.kind,
            target: &one.target,
            tries: one.tries,
        });
        PlannedRecord {
            namespace: Wired(&planned.namespace),
            task: Wired(&planned.task),
            state: Held(planned.state),
            due_at: Wired(&planned.due_at),
            becomes: Held(planned.becomes),
            undo: undo.collect(),
            because: planned.parked_because.as_deref(),
            why: &planned.words,
        }
    }
}

/// The result of a run of recovery.
#[derive(Serialize)]
pub struct RecoveryRecord {
    tended: u64,
    undone: u64,
    outcomes: serde_json::Map<String, serde_json::Value>,
}

impl RecoveryRecord {
    /// The report; every outcome is there.
    pub fn of(report: &Report) -> RecoveryRecord {
        let outcomes = crate::recovery::Outcome::ALL.iter();
        let outcomes = outcomes.map(|one| (one.as_str().to_owned(), report.of(*one).into()));
        RecoveryRecord { tended: report.tended, undone: report.undone, outcomes: outcomes.collect() }
    }
}

/// The result of a sweep, and the handled tasks.
#[derive(Serialize)]
pub struct SweptRecord<'a> {
    report: RecoveryRecord,
    tended: Vec<TendedRecord<'a>>,
}

impl<'a> SweptRecord<'a> {
    /// The report, and each task.
    pub fn of(report: &Report, tended: &'a [RecoveredTask]) -> SweptRecord<'a> {
        SweptRecord {
            report: RecoveryRecord::of(report),
            tended: tended.iter().map(TendedRecord::of).collect(),
        }
    }
}

/// What a sweep would do.
#[derive(Serialize)]
pub struct PlansRecord<'a> {
    planned: Vec<PlannedRecord<'a>>,
}

impl<'a> PlansRecord<'a> {
    /// Each task, and what recovery would do with it.
    pub fn of(planned: &'a [Planned]) -> PlansRecord<'a> {
        PlansRecord { planned: planned.iter().map(PlannedRecord::of).collect() }
    }
}
