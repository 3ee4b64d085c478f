//! What a caller chooses for a backup or a restore, what each reports, and why one failed.

use std::path::PathBuf;

use tenure_core::id::Epoch;
use tenure_core::time::{Span, Time};
use tenure_store::Error;

use crate::audit::Anchor;
use crate::backup::lost::{LostHistory, RestoredLease};

/// What to do if the histories don't hold, or the file is damaged.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum IfUnverified {
    /// Leave nothing behind, and say what is wrong.
    #[default]
    Refuse,
    /// Keep the backup or the store as it is: a damaged one may be all that there is.
    Keep,
}

/// Options of a backup.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct BackupOptions {
    /// An anchor to verify against. It must be older than the backup.
    pub anchor: Option<Anchor>,
    /// What to do if it does not hold.
    pub unverified: IfUnverified,
}

tenure_core::with_changes!(BackupOptions);

/// Options of a restore.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct RestoreOptions {
    /// The newest anchor: what it has and the backup does not is lost, and is named.
    pub anchor: Option<Anchor>,
    /// The highest epoch floor that a restore of the same store gave before, if that is not noted beside the backup.
    pub floor_above: Option<Epoch>,
    /// What to do if it does not hold.
    pub unverified: IfUnverified,
}

tenure_core::with_changes!(RestoreOptions);

/// What a backup is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BackupKind {
    /// A SQLite file.
    Sqlite,
    /// An export: JSON Lines.
    Export,
    /// Not a backup: a store that another tool put back.
    InPlace,
}

impl BackupKind {
    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            BackupKind::Sqlite => "sqlite",
            BackupKind::Export => "export",
            BackupKind::InPlace => "in_place",
        }
    }
}

/// What was backed up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BackupReport {
    /// The backup.
    pub file: PathBuf,
    /// What it is.
    pub kind: BackupKind,
    /// The store's time of the moment that it has.
    pub at: Time,
    /// The newest cursor of its history.
    pub cursor: String,
    /// How many tasks it has.
    pub tasks: u64,
    /// How many events.
    pub events: u64,
    /// How long the file is.
    pub bytes: u64,
    /// The epoch floor of the store.
    pub epoch_floor: Epoch,
    /// What is wrong with it. Empty: its pages and histories were verified, and hold.
    pub findings: Vec<String>,
}

/// What was restored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RestoreReport {
    /// The backup; none if only the floor of a store was raised.
    pub file: Option<PathBuf>,
    /// What it is.
    pub kind: BackupKind,
    /// The moment that it has. Of a store that another tool put back: when its newest event happened.
    pub of: Time,
    /// The store's time now.
    pub now: Time,
    /// The newest cursor of the store's history.
    pub cursor: String,
    /// How many tasks the store has.
    pub tasks: u64,
    /// How many events.
    pub events: u64,
    /// No epoch is granted at or below it.
    pub epoch_floor: Epoch,
    /// What is wrong with it. Empty: its pages and histories were verified, and hold.
    pub findings: Vec<String>,
    /// The leases that it has. Their holders may be at work.
    pub leases: Vec<RestoredLease>,
    /// What the anchor has and the store does not; none without an anchor.
    pub lost: Option<LostHistory>,
    /// What the caller should know, such as a floor that is noted nowhere.
    pub warnings: Vec<String>,
}

impl RestoreReport {
    /// How long ago the moment is that was restored.
    pub fn age(&self) -> Span {
        self.now.since(self.of)
    }
}

/// Why a backup or a restore failed. Neither changes the store or the backup that it reads.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// A store or a SQLite file can't be used.
    #[error(transparent)]
    Store(#[from] Error),
    /// A file can't be read or written.
    #[error("{0}")]
    File(String),
    /// It can't be done with these files or options. Nothing was changed. The words say what to do.
    #[error("{0}")]
    Refused(String),
    /// The histories don't hold, or the file is damaged. Each finding names what is wrong.
    #[error("{words}")]
    Unverified {
        /// What was done about it, and what to do.
        words: String,
        /// What is wrong.
        findings: Vec<String>,
    },
}
