//! What a worker's run came to.

/// The result of a worker's run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct WorkerReport {
    /// Tasks that were claimed.
    pub claimed: u64,
    /// Completed, or ended in another way by their function.
    pub completed: u64,
    /// Rolled back.
    pub rolled_back: u64,
    /// Given back.
    pub released: u64,
    /// Failed.
    pub failed: u64,
    /// Parked for a person.
    pub quarantined: u64,
    /// Lost, because another owner took over or the lease could not be renewed.
    pub lost: u64,
    /// Ended, but the end could not be recorded.
    pub unrecorded: u64,
}

impl WorkerReport {
    /// Counts the outcome of a task.
    pub(super) fn count(&mut self, outcome: JobOutcome) {
        let counter = match outcome {
            JobOutcome::Completed => &mut self.completed,
            JobOutcome::RolledBack => &mut self.rolled_back,
            JobOutcome::Released => &mut self.released,
            JobOutcome::Failed => &mut self.failed,
            JobOutcome::Quarantined => &mut self.quarantined,
            JobOutcome::Lost => &mut self.lost,
            JobOutcome::Unrecorded => &mut self.unrecorded,
        };
        *counter += 1;
    }
}

/// The outcome of a claimed task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum JobOutcome {
    Completed,
    RolledBack,
    Released,
    Failed,
    Quarantined,
    Lost,
    Unrecorded,
}
