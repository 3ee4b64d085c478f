//! What a run of recovery came to.

use std::collections::BTreeMap;

use tenure_api::recovery::{Outcome, RecoveredTask, SweepReport};
use tenure_core::id::Namespace;

/// The result of a run of recovery.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RecoveryReport {
    /// The number of handled tasks.
    pub tasks: u64,
    /// The number of tasks for each outcome.
    pub outcomes: BTreeMap<Outcome, u64>,
    /// The number of undos with a receipt.
    pub undone: u64,
    /// The namespaces whose histories do not have all that it moved there, each with the reason. Nothing else is wrong with them.
    pub unrecorded: BTreeMap<Namespace, String>,
}

impl RecoveryReport {
    pub(super) fn add(&mut self, task: &RecoveredTask) {
        self.tasks += 1;
        *self.outcomes.entry(task.outcome).or_default() += 1;
        self.undone += task.undone.len() as u64;
    }

    /// How many ended that way.
    pub fn of(&self, outcome: Outcome) -> u64 {
        self.outcomes.get(&outcome).copied().unwrap_or_default()
    }
}

impl From<&RecoveryReport> for SweepReport {
    fn from(report: &RecoveryReport) -> SweepReport {
        let outcomes = Outcome::ALL.into_iter();
        SweepReport {
            tasks: report.tasks,
            undone: report.undone,
            outcomes: outcomes.map(|one| (one.as_str().to_owned(), report.of(one))).collect(),
            unrecorded: report.unrecorded.iter().map(|(name, why)| (name.to_string(), why.clone())).collect(),
        }
    }
}
