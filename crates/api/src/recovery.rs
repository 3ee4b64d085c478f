//! The results of recovery, and its plans.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tenure_core::event::SweepCounts;
use tenure_core::id::{Epoch, Namespace, Revision, TaskId};
use tenure_core::task::State;
use tenure_core::time::Time;

#[cfg(feature = "openapi")]
use crate::schema::{self, all, word_schemas};
use crate::wire::{self, Word};
use crate::words_on_wire;

/// What became of a task that recovery handled.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Outcome {
    /// It is planned again.
    Planned,
    /// Nothing is owed any more, and it is closed.
    Compensated,
    /// It is parked for a person.
    Quarantined,
    /// Its undo waits for another try, or for another recovery process.
    HandedBack,
    /// Another owner has it now, or ended it.
    Lost,
    /// The store did not answer.
    Failed,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Outcome; 6] = [
        Outcome::Planned,
        Outcome::Compensated,
        Outcome::Quarantined,
        Outcome::HandedBack,
        Outcome::Lost,
        Outcome::Failed,
    ];

    /// The word that interfaces use.
    pub fn as_str(self) -> &'static str {
        self.word()
    }
}

/// An undo that ran and has its receipt.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = UndoneCompensation))]
pub struct UndoReceipt {
    /// The number of the compensation.
    pub seq: u32,
    /// The kind of the compensation.
    pub kind: String,
    /// What was undone: its target.
    pub target: String,
    /// The receipt.
    pub receipt: String,
}

/// A task that recovery handled.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = TendedTask))]
pub struct RecoveredTask {
    /// Its namespace.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub namespace: Namespace,
    /// The task.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub task: TaskId,
    /// The epoch that it had when it was found: leases up to this epoch are over.
    #[serde(skip)]
    pub epoch: Epoch,
    /// The outcome.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = OutcomeWord))]
    pub outcome: Outcome,
    /// The undos that ran, in order.
    pub undone: Vec<UndoReceipt>,
    /// Why it was parked or left, if it was.
    #[serde(rename = "because")]
    #[cfg_attr(feature = "openapi", schema(required))]
    pub reason: Option<String>,
}

/// A stale task, and what recovery would do with it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PlannedTask {
    /// Its namespace.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub namespace: Namespace,
    /// The task.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub task: TaskId,
    /// Its state.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = schema::StateWord))]
    pub state: State,
    /// When recovery may reclaim it.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub due_at: Time,
    /// Its state after that.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = schema::StateWord))]
    pub becomes: State,
    /// What would be undone, in order.
    pub undo: Vec<PlannedUndo>,
    /// Why it would be parked, if it would.
    #[serde(rename = "because")]
    #[cfg_attr(feature = "openapi", schema(required))]
    pub parked_reason: Option<String>,
    /// The plan in one sentence.
    #[serde(rename = "why")]
    pub sentence: String,
}

/// A compensation that would be undone.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PlannedUndo {
    /// The number of the compensation.
    pub seq: u32,
    /// The kind of the compensation.
    pub kind: String,
    /// What is undone.
    pub target: String,
    /// The number of failed tries.
    pub tries: u32,
}

/// What a sweep of recovery that ran elsewhere moved in the namespace of the path.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SweepBody {
    /// The recovery process, as the owner of its leases.
    pub owner: String,
    /// How many tasks it planned again.
    #[serde(default)]
    pub planned: u64,
    /// How many it closed, with nothing owed any more.
    #[serde(default)]
    pub compensated: u64,
    /// How many it parked for a person.
    #[serde(default)]
    pub quarantined: u64,
    /// How many it handed back, to be undone later.
    #[serde(default)]
    pub handed_back: u64,
    /// How many it lost to another owner meanwhile.
    #[serde(default)]
    pub lost: u64,
    /// For how many the store did not answer.
    #[serde(default)]
    pub failed: u64,
    /// How many compensations it undid.
    #[serde(default)]
    pub undone: u64,
    /// Who ran it, if no token says so. Default: the owner.
    #[serde(rename = "as", default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

impl SweepBody {
    /// What that owner moved.
    pub fn new(owner: String, counts: SweepCounts, by: Option<String>) -> SweepBody {
        let SweepCounts { planned, compensated, quarantined, handed_back, lost, failed, undone } = counts;
        SweepBody { owner, planned, compensated, quarantined, handed_back, lost, failed, undone, by }
    }

    /// The counts alone.
    pub fn counts(&self) -> SweepCounts {
        let SweepBody {
            owner: _,
            planned,
            compensated,
            quarantined,
            handed_back,
            lost,
            failed,
            undone,
            by: _,
        } = *self;
        SweepCounts { planned, compensated, quarantined, handed_back, lost, failed, undone }
    }
}

/// The event of a sweep.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SweepNoted {
    /// Its number within the history of the namespace.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    pub number: Revision,
}

/// The counts of a run of recovery.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SweepReport {
    /// The number of handled tasks.
    #[serde(rename = "tended")]
    pub tasks: u64,
    /// The number of undone compensations.
    pub undone: u64,
    /// The number of tasks for each outcome; every outcome is present.
    pub outcomes: BTreeMap<String, u64>,
    /// The namespaces whose histories do not have all that it moved there, each with the reason. Left out if there are none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<BTreeMap<String, String>>))]
    pub unrecorded: BTreeMap<String, String>,
}

/// The result of recovery, or its plan.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Recovered {
    /// The counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report: Option<SweepReport>,
    /// The handled tasks.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(rename = "tended")]
    pub tasks: Option<Vec<RecoveredTask>>,
    /// The plan, if requested.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub planned: Option<Vec<PlannedTask>>,
}

words_on_wire! {
    Outcome {
        Outcome::Planned => "planned", Outcome::Compensated => "compensated",
        Outcome::Quarantined => "quarantined", Outcome::HandedBack => "handed_back", Outcome::Lost => "lost",
        Outcome::Failed => "failed",
    }
}

#[cfg(feature = "openapi")]
word_schemas! {
    /// What happened to a task that recovery handled.
    OutcomeWord shown as "Outcome": all::<Outcome>();
}
