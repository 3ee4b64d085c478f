//! Moves a whole store into another one, of whatever kind: an [`Exporter`] gives JSON Lines, and an [`Importer`] takes them.
//!
//! Neither keeps more in memory than a page, however large the store is. An import that was interrupted is repeated from the start
//! of the file: it skips what is there.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! use tenure::Ledger;
//! use tenure::transfer::{Exporter, Importer, TokenHashes};
//!
//! let (old, new) = (Ledger::open("memory:").await?, Ledger::open("memory:").await?);
//! old.create("build-42").await?;
//! let mut exporter = Exporter::begin(old.store().as_ref(), TokenHashes::Left).await?;
//! let mut file = Vec::new();
//! while let Some(lines) = exporter.next().await? {
//!     file.extend(lines);
//! }
//! let mut importer = Importer::begin(new.store().as_ref(), file.as_slice())?;
//! while let Some(refused) = importer.next().await.map_err(|error| error.to_string()).unwrap() {
//!     assert!(refused.is_empty(), "{refused:?}");
//! }
//! assert_eq!(new.task("build-42").await?, old.task("build-42").await?);
//! # Ok::<(), tenure::Error>(()) }).unwrap();
//! ```

mod export;
mod followers;
mod import;
mod lines;
mod movable;
mod place;

pub(crate) use export::WRITTEN_BY;
pub use export::{ExportProgress, Exporter, TokenHashes};
pub use import::{ImportError, ImportReport, Importer, RefusedLine};
pub(crate) use lines::{LINE_BYTES_MAX, LinesDigest};
#[cfg(feature = "sqlite")]
pub(crate) use lines::{Line, LineReader};
pub use tenure_store::transfer::{
    CarriedAnchor, CarriedFollower, CarriedLease, CarriedRequest, EXPORT_FORMAT, ExportCounts, ExportHeader,
    ExportLine, ReplayBatch, ReplayItem, ReplayVerdict, StoreContents, TIME_AHEAD_MAX,
};
