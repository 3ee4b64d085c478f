//! What an export carries besides its header and its end, and what a store says to each of it.

use std::sync::Arc;

use tenure_api::audit::{Anchor, AnchorLine};
use tenure_core::chain::Hash;
use tenure_core::event::{LeaseEnd, Subject};
use tenure_core::id::{Actor, CursorName, Epoch, Namespace, RequestId, Revision, TaskId};
use tenure_core::time::{Span, Time};

use crate::codec::Sealed;
use crate::remembered::Request;
use crate::retention::{AnchorPurpose, AnchorRecord, PrunedTask, line_of};

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

/// The record of an anchor, with the tasks that were pruned behind it. A store gives it a number of its own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CarriedAnchor {
    /// What it was made for.
    pub purpose: AnchorPurpose,
    /// The newest cursor of the history when it was made. It is one of the store where that was.
    pub cursor: String,
    /// The Merkle root over its lines.
    pub root: Hash,
    /// How many lines it has.
    pub lines: u64,
    /// When it was made.
    pub at: Time,
    /// Who made it.
    pub by: Actor,
    /// What is left of the tasks that were pruned behind it, by namespace and id. The number of the anchor in each is that of the
    /// store which it comes from, and 0 if it was read from a line.
    pub pruned: Vec<PrunedTask>,
}

impl CarriedAnchor {
    /// A record, and what was pruned behind it.
    pub fn of(record: AnchorRecord, pruned: Vec<PrunedTask>) -> CarriedAnchor {
        let AnchorRecord { number: _, purpose, cursor, root, lines, at, by } = record;
        CarriedAnchor { purpose, cursor, root, lines, at, by, pruned }
    }

    /// The number and the root of its lines, if these are the tasks that were pruned behind it.
    #[doc(hidden)]
    pub fn lines_of(pruned: &[PrunedTask]) -> (u64, Hash) {
        let lines: Vec<AnchorLine> = pruned.iter().map(line_of).collect();
        (lines.len() as u64, Anchor::root_of(&lines))
    }
}

/// A named cursor. Places differ between stores, so it says what its follower has seen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CarriedFollower {
    /// The namespace that it follows.
    pub namespace: Namespace,
    /// Its name.
    pub name: CursorName,
    /// How many of the exported events of the namespace its follower has seen.
    pub events: u64,
    /// The Merkle root over the hashes of these events, in the order of the history.
    pub root: Hash,
    /// The last of them, as the number of an event of a task or of the namespace.
    pub last: Option<(Subject, Revision)>,
    /// When it was moved last.
    pub moved_at: Time,
    /// Who moved it last.
    pub moved_by: Actor,
}

/// One thing that a store takes from an export.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ReplayItem {
    /// The record of an anchor, with what was pruned behind it.
    Anchor(Box<CarriedAnchor>),
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
    /// Of the tasks that were pruned behind an anchor only a part was written. The rest is in the store already, or is refused for this
    /// reason.
    Part {
        /// How many were written.
        pruned: u64,
        /// Why others were not.
        refused: Option<String>,
    },
    /// It was not written, for this reason.
    Refused(String),
}
