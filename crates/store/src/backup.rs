//! What a store says of itself while nobody may work in it: a file that is a backup, and a database that is being restored. Both are
//! marks in `meta`.

use serde::{Deserialize, Serialize};
use tenure_api::{instant, wire};
use tenure_core::chain::Hash;
use tenure_core::id::Epoch;
use tenure_core::time::Time;

use crate::error::Error;

/// The key of `meta` that marks a file as a backup.
pub const BACKUP_KEY: &str = "backup";
/// The key of `meta` that marks a database into which a backup is being restored.
pub const RESTORING_KEY: &str = "restoring";

/// What to do with a store that is marked so that nobody works in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum IfMarked {
    /// Refuse to open it. A backup is opened to read only.
    #[default]
    Refuse,
    /// Open it: a restore does.
    Open,
}

/// Marks a file as a backup.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BackupMark {
    /// The store's time of the moment that it has.
    #[serde(with = "wire")]
    pub at: Time,
    /// The program that wrote it, with its version.
    pub by: String,
    /// Whether its pages and histories were verified, and hold.
    pub verified: bool,
}

impl BackupMark {
    /// Reads it as it is stored.
    pub fn read(text: &str) -> Result<BackupMark, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// As it is stored.
    pub fn to_text(&self) -> String {
        tenure_api::to_json(self)
    }
}

/// Marks a database into which a backup is being restored.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RestoringMark {
    /// The digest of the lines of the backup before its last one.
    #[serde(with = "wire")]
    pub sha256: Hash,
    /// The epoch floor that this restore gives.
    #[serde(with = "wire")]
    pub epoch_floor: Epoch,
}

impl RestoringMark {
    /// Reads it as it is stored.
    pub fn read(text: &str) -> Result<RestoringMark, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// As it is stored.
    pub fn to_text(&self) -> String {
        tenure_api::to_json(self)
    }
}

/// The error of opening a backup as a store.
pub fn is_a_backup(shown: &str, mark: &BackupMark) -> Error {
    let at = instant::print_seconds(mark.at);
    let words = format!(
        "{shown} is a backup, made at {at}: nobody may work in it; restore it into a new file with `tenure --store sqlite:NEW restore \
         {shown}`"
    );
    Error::Unavailable(words.into())
}
