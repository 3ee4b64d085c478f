//! Notes in the history of each namespace what recovery moved there: an event for each sweep that moved something.

use std::collections::BTreeMap;

use tenure_api::recovery::{Outcome, RecoveredTask};
use tenure_core::event::SweepCounts;
use tenure_core::id::Namespace;
use tenure_store::Error;

use super::setup::Setup;

/// What a run of recovery moved and has not noted yet.
#[derive(Default)]
pub(super) struct SweepNotes {
    to_note: BTreeMap<Namespace, SweepCounts>,
    /// The namespaces of which something could not be noted, each with the reason.
    unrecorded: BTreeMap<Namespace, String>,
    /// Why it failed last, if it did.
    failure: Option<String>,
}

impl SweepNotes {
    /// Counts a handled task.
    pub(super) fn add(&mut self, task: &RecoveredTask) {
        let counts = self.to_note.entry(task.namespace.clone()).or_default();
        let of_outcome = match task.outcome {
            Outcome::Planned => &mut counts.planned,
            Outcome::Compensated => &mut counts.compensated,
            Outcome::Quarantined => &mut counts.quarantined,
            Outcome::HandedBack => &mut counts.handed_back,
            Outcome::Lost => &mut counts.lost,
            Outcome::Failed => &mut counts.failed,
        };
        *of_outcome += 1;
        counts.undone += task.undone.len() as u64;
    }

    /// Notes what was moved since the last note. If that fails, nothing else does: the tasks have their own events. What was surely not
    /// written is noted with the next sweep.
    pub(super) async fn write(&mut self, setup: &Setup) {
        for (namespace, counts) in std::mem::take(&mut self.to_note) {
            if !counts.has_moved() {
                continue;
            }
            let Err(error) = note(setup, &namespace, counts).await else {
                self.failure = None;
                continue;
            };
            let words = error.to_string();
            // It may fail with each sweep; one log line is enough while the error stays the same.
            if self.failure.as_ref() != Some(&words) {
                tracing::warn!(
                    %namespace,
                    error = words,
                    "the history of the namespace does not say that recovery was here; what it did is in those of its tasks"
                );
            }
            self.failure = Some(words.clone());
            if matches!(error, Error::Unavailable(_)) {
                self.to_note.insert(namespace, counts);
            } else {
                self.unrecorded.insert(namespace, words);
            }
        }
    }

    /// Notes what is left, and gives the namespaces of which something could not be noted.
    pub(super) async fn end(mut self, setup: &Setup) -> BTreeMap<Namespace, String> {
        self.write(setup).await;
        let reason = self.failure.unwrap_or_default();
        self.unrecorded.extend(self.to_note.into_keys().map(|namespace| (namespace, reason.clone())));
        self.unrecorded
    }
}

/// Writes one event. If nobody can say whether it was written, it is written once more: rather twice than never.
async fn note(setup: &Setup, namespace: &Namespace, counts: SweepCounts) -> Result<(), Error> {
    let ledger = setup.ledger.in_namespace(namespace.as_str())?;
    match ledger.note_sweep(setup.owner(), counts).await {
        Err(Error::Unknown(_)) => ledger.note_sweep(setup.owner(), counts).await.map(drop),
        noted => noted.map(drop),
    }
}
