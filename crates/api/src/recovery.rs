//! What recovery did, or would do.

use std::collections::BTreeMap;

use serde::Serialize;
use tenure_core::id::{Epoch, Namespace, TaskId};
use tenure_core::task::State;
use tenure_core::time::Time;

#[cfg(feature = "openapi")]
use crate::schema::{self, all, word_schemas};
use crate::wire::{self, Word};
use crate::words_on_wire;

/// What became of a task that recovery handled.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Outcome {
    /// It waits to be begun again.
    Planned,
    /// Nothing is owed any more, and it is closed.
    Compensated,
    /// It is parked for a person.
    Quarantined,
    /// Its undo waits for another try, or for another recoverer.
    HandedBack,
    /// Somebody else has it now, or ended it.
    Lost,
    /// The store could not be asked.
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
    /// Which handler undid it.
    pub kind: String,
    /// What was undone.
    pub target: String,
    /// What was left as proof.
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
    /// The epoch that it had when it was found: leases up to this one are over.
    #[serde(skip)]
    pub epoch: Epoch,
    /// What became of it.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = OutcomeWord))]
    pub outcome: Outcome,
    /// What was undone, in that order.
    pub undone: Vec<UndoReceipt>,
    /// Why it was parked or left, where it was.
    #[serde(rename = "because")]
    #[cfg_attr(feature = "openapi", schema(required))]
    pub reason: Option<String>,
}

/// A stale task, and what would become of it.
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
    /// From when on recovery may take it up.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub due_at: Time,
    /// The state that it would have.
    #[serde(with = "wire")]
    #[cfg_attr(feature = "openapi", schema(value_type = schema::StateWord))]
    pub becomes: State,
    /// What would be undone, in that order.
    pub undo: Vec<PlannedUndo>,
    /// Why it would be parked, where it would.
    #[serde(rename = "because")]
    #[cfg_attr(feature = "openapi", schema(required))]
    pub parked_reason: Option<String>,
    /// The same in a sentence.
    #[serde(rename = "why")]
    pub sentence: String,
}

/// A compensation that would be undone.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PlannedUndo {
    /// The number of the compensation.
    pub seq: u32,
    /// Which handler undoes it.
    pub kind: String,
    /// What is undone.
    pub target: String,
    /// How often that was tried in vain.
    pub tries: u32,
}

/// What a sweep came to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SweepReport {
    /// How many tasks were looked after.
    pub tended: u64,
    /// How many compensations were undone.
    pub undone: u64,
    /// How many tasks for each outcome; every outcome is there.
    pub outcomes: BTreeMap<String, u64>,
}

/// What recovery did, or would do.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Recovered {
    /// What it came to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report: Option<SweepReport>,
    /// The tasks that were looked after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tended: Option<Vec<RecoveredTask>>,
    /// What would be done, where that was asked for.
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
    /// What became of a task that recovery looked after.
    OutcomeWord shown as "Outcome": all::<Outcome>();
}
