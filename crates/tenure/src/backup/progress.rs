//! How far a backup or a restore has come, for people who wait for it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::audit::VerifyProgress;

/// What is done at the moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum BackupStage {
    /// Pages of a file are copied.
    #[default]
    Copying,
    /// Events are exported.
    Exporting,
    /// An export is read from its beginning to its end; in bytes.
    Reading,
    /// Events are imported; in bytes of the export.
    Importing,
    /// Histories are verified; in events.
    Verifying,
}

/// How far a backup or a restore has come. It may be read meanwhile.
#[derive(Debug, Default)]
pub struct BackupProgress {
    now: Mutex<(BackupStage, u64, u64)>,
    pub(super) verified: VerifyProgress,
}

impl BackupProgress {
    /// What is done, how much of it was done, and how much there is, in the unit of the stage; 0 if nobody knows.
    pub fn now(&self) -> (BackupStage, u64, u64) {
        let (stage, done, of) = *self.lock();
        match stage {
            BackupStage::Verifying => (stage, self.verified.events(), of),
            BackupStage::Copying | BackupStage::Exporting | BackupStage::Reading | BackupStage::Importing => {
                (stage, done, of)
            }
        }
    }

    pub(super) fn set(&self, stage: BackupStage, done: u64, of: u64) {
        *self.lock() = (stage, done, of);
    }

    fn lock(&self) -> MutexGuard<'_, (BackupStage, u64, u64)> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
