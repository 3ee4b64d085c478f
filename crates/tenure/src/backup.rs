//! Backs a store up while it is in use, and restores it.
//!
//! A backup of a SQLite store is one SQLite file, marked so that nobody works in it. A backup of a PostgreSQL store is an export with
//! its tokens. [`back_up`] verifies either before it has its name. [`restore`] makes a new store of it, and raises the epoch floor: so
//! no lease that was granted after the backup is confused with one that is granted now. [`raise_floor`] does only that, for a store that
//! another tool put back.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! use tenure::Ledger;
//! use tenure::backup::{BackupOptions, BackupProgress, RestoreOptions, back_up, restore};
//!
//! # let folder = tempfile::tempdir().unwrap();
//! let place = |name: &str| folder.path().join(name);
//! let (old, new) = (format!("sqlite:{}", place("tasks.db").display()), format!("sqlite:{}", place("new.db").display()));
//! Ledger::open(&old).await.unwrap().create("build-42").await.unwrap();
//! let (file, progress) = (place("tasks.backup"), BackupProgress::default());
//! let report = back_up(Ledger::builder(), &old, &file, &BackupOptions::default(), &progress).await?;
//! assert_eq!((report.tasks, report.findings.len()), (1, 0));
//! let report = restore(Ledger::builder(), &new, &file, &RestoreOptions::default(), &progress).await?;
//! assert_eq!(report.epoch_floor.0, 1 << 32);
//! assert_eq!(Ledger::open(&new).await.unwrap().acquire("build-42", "w1").await.unwrap().epoch.0, (1 << 32) + 1);
//! # Ok::<(), tenure::backup::BackupError>(()) }).unwrap();
//! ```

mod check;
mod floors;
mod lost;
mod options;
mod part;
mod progress;
mod raise;
mod restore;
#[cfg(feature = "postgres")]
mod restore_database;
mod source;
mod take;

pub use floors::{FLOOR_ABOVE_MAX, FLOOR_STEP};
pub use lost::{LostHistory, RestoredLease, ShorterHistory};
pub use options::BackupReport;
pub use options::{BackupError, BackupKind, BackupOptions, IfUnverified, RestoreOptions, RestoreReport};
pub use progress::{BackupProgress, BackupStage};
pub use raise::raise_floor;
pub use restore::restore;
pub use take::{back_up, mark_of};
pub use tenure_store::backup::BackupMark;
