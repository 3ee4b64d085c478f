//! The documents that surfaces answer with. Each contains records under their names.

use serde::Serialize;
use tenure_core::event::Triage;
use tenure_core::id::{Actor, Namespace, Reason};
use tenure_core::task::Task;
use tenure_core::time::Time;

use super::{AnchorRecord, NextRecord, Of, OverviewRecord, RenewalRecord, ReportRecord, TaskRecord};
use crate::audit::{Anchor, Report};
use crate::ledger::Note;
use crate::store::Renewal;
use crate::store::overview::Overview;
use crate::why::Why;
use crate::wire::Wired;

/// A task after a command or a read.
#[derive(Serialize)]
pub struct TaskAnswer<'a> {
    task: TaskRecord<'a>,
}

impl<'a> TaskAnswer<'a> {
    /// The task as it is at `now`.
    pub fn of(task: &'a Task, now: Time) -> TaskAnswer<'a> {
        TaskAnswer { task: TaskRecord::of(task, now) }
    }
}

/// The answer to a retry: the new task, and the old one, which names it.
#[derive(Serialize)]
pub struct RetriedAnswer<'a> {
    task: TaskRecord<'a>,
    retried: TaskRecord<'a>,
}

impl<'a> RetriedAnswer<'a> {
    /// Both tasks as they are at `now`.
    pub fn of(new: &'a Task, old: &'a Task, now: Time) -> RetriedAnswer<'a> {
        RetriedAnswer { task: TaskRecord::of(new, now), retried: TaskRecord::of(old, now) }
    }
}

/// The tasks that a claim was granted.
#[derive(Serialize)]
pub struct GrantedAnswer<'a> {
    tasks: Vec<TaskRecord<'a>>,
}

impl<'a> GrantedAnswer<'a> {
    /// The tasks as they are at `now`, in the order in which they were next.
    pub fn of(tasks: &'a [Task], now: Time) -> GrantedAnswer<'a> {
        GrantedAnswer { tasks: tasks.iter().map(|task| TaskRecord::of(task, now)).collect() }
    }
}

/// The answer to a heartbeat or a progress, and the task right after it.
#[derive(Serialize)]
pub struct RenewalAnswer<'a> {
    task: TaskRecord<'a>,
    renewal: RenewalRecord,
}

impl<'a> RenewalAnswer<'a> {
    /// The task as it is at `now`, and the renewal.
    pub fn of(task: &'a Task, now: Time, renewal: Renewal) -> RenewalAnswer<'a> {
        RenewalAnswer { task: TaskRecord::of(task, now), renewal: RenewalRecord::of(renewal) }
    }
}

/// A task, and an explanation of its state.
#[derive(Serialize)]
pub struct WhyAnswer<'a> {
    task: TaskRecord<'a>,
    why: &'a str,
    next: Option<NextRecord>,
    notes: Vec<NoteRecord<'a>>,
}

impl<'a> WhyAnswer<'a> {
    /// The task at `now`, the explanation, and the notes.
    pub fn of(task: &'a Task, now: Time, why: &'a Why, notes: &'a [Note]) -> WhyAnswer<'a> {
        WhyAnswer {
            task: TaskRecord::of(task, now),
            why: &why.sentence,
            next: why.next.as_ref().map(NextRecord::of),
            notes: notes.iter().map(NoteRecord::of).collect(),
        }
    }
}

#[derive(Serialize)]
struct NoteRecord<'a> {
    at: Of<'a, Time>,
    by: Of<'a, Actor>,
    note: Of<'a, Reason>,
    dismisses: bool,
}

impl<'a> NoteRecord<'a> {
    fn of(note: &'a Note) -> NoteRecord<'a> {
        NoteRecord {
            at: Wired(&note.at),
            by: Wired(&note.by),
            note: Wired(&note.words),
            dismisses: note.triage == Triage::Dismissed,
        }
    }
}

/// A namespace on one screen: counts, and the newest tasks that need attention.
#[derive(Serialize)]
pub struct StatusAnswer<'a> {
    status: StatusRecord<'a>,
}

#[derive(Serialize)]
struct StatusRecord<'a> {
    namespace: Of<'a, Namespace>,
    #[serde(flatten)]
    overview: OverviewRecord<'a>,
    stale: Vec<TaskRecord<'a>>,
    quarantined: Vec<TaskRecord<'a>>,
    ended_badly: Vec<TaskRecord<'a>>,
}

/// The newest of the counted tasks that need attention.
#[derive(Clone, Copy, Debug)]
pub struct NamedTasks<'a> {
    /// Whose lease or reservation has lapsed.
    pub stale: &'a [Task],
    /// That are parked for a person.
    pub quarantined: &'a [Task],
    /// That failed or were undone in the last day.
    pub ended_badly: &'a [Task],
}

impl<'a> StatusAnswer<'a> {
    /// The overview, with some of the tasks that it counts as they are at `now`.
    pub fn of(
        namespace: &'a Namespace,
        overview: &'a Overview,
        named: NamedTasks<'a>,
        now: Time,
    ) -> StatusAnswer<'a> {
        let records = |tasks: &'a [Task]| tasks.iter().map(|task| TaskRecord::of(task, now)).collect();
        StatusAnswer {
            status: StatusRecord {
                namespace: Wired(namespace),
                overview: OverviewRecord::of(overview),
                stale: records(named.stale),
                quarantined: records(named.quarantined),
                ended_badly: records(named.ended_badly),
            },
        }
    }
}

/// The result of a verification.
#[derive(Serialize)]
pub struct ReportAnswer<'a> {
    report: ReportRecord<'a>,
}

impl<'a> ReportAnswer<'a> {
    /// The report.
    pub fn of(report: &'a Report) -> ReportAnswer<'a> {
        ReportAnswer { report: ReportRecord::of(report) }
    }
}

/// An anchor of a store.
#[derive(Serialize)]
pub struct AnchorAnswer<'a> {
    anchor: AnchorRecord<'a>,
}

impl<'a> AnchorAnswer<'a> {
    /// The anchor.
    pub fn of(anchor: &'a Anchor) -> AnchorAnswer<'a> {
        AnchorAnswer { anchor: AnchorRecord::of(anchor) }
    }
}
