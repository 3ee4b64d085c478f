//! What an export carries besides its header and its end, and what a store says to each of it.

use std::sync::Arc;

use tenure_core::event::LeaseEnd;
use tenure_core::id::{Epoch, Namespace, RequestId, Revision, TaskId};
use tenure_core::time::Span;

use crate::codec::Sealed;
use crate::remembered::Request;

/// How far ahead of the store's time something may have happened that is imported. Clocks of two machines differ by less, and a
/// search by time in PostgreSQL allows for as much. More would push the time of the store.
pub const TIME_AHEAD_MAX: Span = Span::from_secs(60);

/// What a store has, for those who want to move it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StoreContents {
    /// No epoch is granted at or below it.
    pub epoch_floor: Epoch,
    /// How many events there are, approximately: for people who wait.
    pub events: u64,
}

/// What heartbeats and progress have written to a lease that has not ended. The event that ends a lease has the same.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CarriedLease {
    /// The namespace of the task.
    pub namespace: Namespace,
    /// The task.
    pub task: TaskId,
    /// The number of its newest event.
    pub revision: Revision,
    /// The lease as it was.
    pub lease: LeaseEnd,
}

/// A request id that is remembered, so that a repeat is answered as the first was.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CarriedRequest {
    /// The namespace.
    pub namespace: Namespace,
    /// The request id.
    pub id: RequestId,
    /// What is remembered.
    #[doc(hidden)]
    pub request: Request,
}

/// One thing that a store takes from an export.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ReplayItem {
    /// An event.
    #[doc(hidden)]
    Event(Box<Sealed>),
    /// What heartbeats have written.
    Lease(Box<CarriedLease>),
    /// A remembered request id.
    Request(Box<CarriedRequest>),
}

/// What is taken in one transaction.
#[derive(Clone, Debug)]
pub struct ReplayBatch {
    /// The epoch floor of the store that it comes from: this store's becomes at least that.
    pub epoch_floor: Epoch,
    /// In the order of the export.
    pub items: Arc<[ReplayItem]>,
}

/// What became of one item.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ReplayVerdict {
    /// It was written.
    Written,
    /// It is in the store already, or is not needed any more.
    Skipped,
    /// It was not written, for this reason.
    Refused(String),
}
