//! Retention: prunes tasks that ended long ago, in bounded steps. Each task's history is verified first, and archived if wanted;
//! then its rows are deleted behind an anchor, and its names and head stay.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! use tenure::Ledger;
//! use tenure::core::time::Span;
//! use tenure::retention::{PruneOptions, PruneRun};
//!
//! let ledger = Ledger::open("memory:").await?;
//! let mut run = PruneRun::begin(&ledger, PruneOptions::older_than(Span::from_days(90))).await?;
//! while run.step(None).await?.is_some() {}
//! assert_eq!(run.report().pruned.sum(), 0);
//! # Ok::<(), tenure::retention::PruneError>(()) }).unwrap();
//! ```

mod archive;
mod report;
mod run;
mod watch;

pub use archive::Archive;
pub use report::{EndedCounts, PruneReport};
pub use run::{PruneError, PruneOptions, PruneRun, PruneScope};
pub use watch::{RetentionLoop, RetentionMetrics, RetentionSnapshot};
