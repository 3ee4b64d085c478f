//! What moves from one store to another: the lines of an export, and how a store takes them. It reads no file and writes none.
//!
//! The history is the store: a task is the fold of its events. So an export has the events, and besides them only what no event
//! has: the record of anchors with what was pruned, what heartbeats wrote to live leases, the remembered request ids, named cursors, and
//! tokens.

mod carried;
mod line;
mod order;
mod replay;

pub use carried::{
    CarriedAnchor, CarriedFollower, CarriedLease, CarriedRequest, ReplayBatch, ReplayItem, ReplayVerdict,
    StoreContents, TIME_AHEAD_MAX,
};
pub use line::{EXPORT_FORMAT, ExportCounts, ExportHeader, ExportLine};
#[doc(hidden)]
pub use order::{HistoryOrder, ORDER_KEY, SLIGHTLY};
#[doc(hidden)]
pub use replay::{ReplayRows, Replayed, replay};
